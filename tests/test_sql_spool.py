"""What was read from a server waits in files without a name, and what is listed is fetched ahead."""

import random
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from disks import small_disk
from ocblob.cells import Column
from ocblob.databases.base import Cell
from ocblob.databases.sql.ahead import AHEAD_BYTES, Ahead
from ocblob.databases.sql.spool import SPOOL_FILES, Spool, place_of
from ocblob.errors import DatabaseError

COLUMN = Column("part", "data")


def cell(number: int, size: int = 10) -> Cell:
    """One of a table's."""
    return Cell(COLUMN, (f"prt_{number}",), size)


def kept(spool: Spool, *cells: Cell) -> None:
    """Contents that are told apart by their bytes, in one segment."""
    segment = spool.segment()
    for each in cells:
        segment.write(bytes_of(each))
        segment.keep(each, None)


def bytes_of(each: Cell) -> bytes:
    """A content of the cell's size."""
    return (str(each.key) * each.size).encode()[: each.size]


def read(spool: Spool, each: Cell) -> bytes | None:
    """What is there of a cell."""
    content = spool.get(each)
    return None if content is None else b"".join(content.read(0, content.size))


def test_contents_of_one_file_are_told_apart() -> None:
    """Each comes back as it went in, whole or a part of it."""
    spool = Spool()
    kept(spool, cell(1, 300_000), cell(2, 0), cell(3, 70))

    assert [bytes_of(cell(1, 300_000)), b"", bytes_of(cell(3, 70))] == [read(spool, cell(n)) for n in (1, 2, 3)]
    found = spool.get(cell(3))
    assert found is not None
    assert bytes_of(cell(3, 70))[10:20] == b"".join(found.read(10, 20))


def test_what_was_used_longest_ago_goes_first() -> None:
    """A segment goes as a whole when there are more bytes than there is room for."""
    spool = Spool(limit_bytes=250)
    kept(spool, cell(1, 100))
    kept(spool, cell(2, 100))
    assert read(spool, cell(1)) is not None  # used again
    kept(spool, cell(3, 100))

    assert [True, False, True] == [read(spool, cell(n)) is not None for n in (1, 2, 3)]


def test_so_many_small_ones_are_kept() -> None:
    """Each takes memory, however small it is."""
    spool = Spool(limit_contents=3)
    for number in range(5):
        kept(spool, cell(number))

    assert [False, False, True, True, True] == [read(spool, cell(n)) is not None for n in range(5)]


def test_so_many_files_are_open() -> None:
    """Small contents with a file each would take all that a process may open."""
    spool = Spool()
    for number in range(2 * SPOOL_FILES):
        kept(spool, cell(number))

    assert SPOOL_FILES == sum(spool.get(cell(number)) is not None for number in range(2 * SPOOL_FILES))


def test_who_holds_a_content_reads_on() -> None:
    """It is there for its reader though there is no room for it any more."""
    spool = Spool(limit_bytes=150)
    kept(spool, cell(1, 100))
    held = spool.get(cell(1))
    kept(spool, cell(2, 100))
    spool.clear()

    assert held is not None
    assert bytes_of(cell(1, 100)) == b"".join(held.read(0, 100))


@pytest.mark.parametrize("seed", range(5))
def test_room_is_counted_right(seed: int) -> None:
    """Whatever comes, comes again, is forgotten or goes, the sum is that of the files that are there."""
    dice, spool = random.Random(seed), Spool(limit_bytes=2_000, limit_contents=12)
    for _ in range(300):
        action = dice.randrange(8)
        if action == 0:
            spool.forget(cell(dice.randrange(20)))
        elif action == 1 and dice.random() < 0.1:
            spool.clear()
        else:
            kept(spool, *(cell(n, dice.randrange(200)) for n in dice.sample(range(20), dice.randrange(1, 4))))
        assert sum(segment.size for segment in spool._segments) == spool._size
        assert len(spool._segments) == 1 or spool._size <= 2_000


def test_a_full_temporary_directory_is_an_error_in_words(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It names the directory, and what to do."""
    with small_disk(tmp_path / "small", 1) as place:
        monkeypatch.setattr(tempfile, "tempdir", str(place))
        with pytest.raises(DatabaseError, match=f"cannot wait in {place}: No space left") as raised:
            kept(Spool(), cell(1, 3_000_000))
    assert "TMPDIR" in raised.value.hint


class Fetched:
    """Stands for what fetches: notes what it was asked for."""

    large_bytes = 4 << 20

    def __init__(self, *, fails_at: int = -1) -> None:
        self.cells: list[Cell] = []
        self._fails_at = fails_at

    def together(self, cells: Sequence[Cell], *, kept: Callable[[Cell], bool]) -> None:
        """A group."""
        for each in cells:
            if len(self.cells) == self._fails_at:
                raise DatabaseError("the server is gone")
            self.cells.append(each)
            if not kept(each):
                return

    def alone(self, each: Cell) -> None:
        """A large one."""
        self.cells.append(each)


def ahead(fetcher: Fetched, pages: Iterator[Sequence[Cell]]) -> Ahead:
    """One listing over it."""
    return Ahead(fetcher, pages)  # type: ignore[arg-type]


def test_cells_come_in_order_and_each_is_fetched_once() -> None:
    """Large ones alone, in their places."""
    fetcher = Fetched()
    cells = [cell(n, 5 << 20 if n % 7 == 0 else 1000) for n in range(100)]
    listing = ahead(fetcher, iter([cells[:30], cells[30:90], [], cells[90:]]))
    seen = []
    for each in listing.cells():
        listing.wait_for(place_of(each))
        seen.append(each)

    assert cells == seen == fetcher.cells


def test_nothing_is_fetched_before_it_is_opened() -> None:
    """Who only counts what is listed costs the server no content."""
    fetcher = Fetched()
    assert 50 == len(list(ahead(fetcher, iter([[cell(n) for n in range(50)]])).cells()))
    assert [] == fetcher.cells


def test_so_much_is_fetched_ahead_and_no_more() -> None:
    """Its bytes are bounded, while the work is at its first cell."""
    fetcher, size = Fetched(), 1 << 20
    listing = ahead(fetcher, iter([[cell(n, size) for n in range(500)]]))
    cells = listing.cells()
    first = next(cells)
    listing.wait_for(place_of(first))
    for _ in range(100):
        threading.Event().wait(0.005)

    assert 1 <= len(fetcher.cells) * size <= AHEAD_BYTES + (17 << 20)
    listing.stop()
    assert not listing._thread.is_alive()


def test_what_goes_wrong_ahead_reaches_who_waits_for_it() -> None:
    """Whoever opens the cell gets the error, and the thread has ended."""
    fetcher = Fetched(fails_at=3)
    listing = ahead(fetcher, iter([[cell(n) for n in range(10)]]))
    with pytest.raises(DatabaseError, match="the server is gone"):
        list(map(listing.wait_for, map(place_of, listing.cells())))
    assert not listing._thread.is_alive()


def test_a_listing_that_fails_ends_with_its_error() -> None:
    """Not with a listing that seems to be over."""

    def pages() -> Iterator[Sequence[Cell]]:
        yield [cell(1)]
        raise DatabaseError("the server is gone")

    with pytest.raises(DatabaseError, match="the server is gone"):
        list(ahead(Fetched(), pages()).cells())


def test_who_stops_it_between_two_looks_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread has just seen that it goes on, and has nothing to do: it ends, since nobody wakes it any more."""
    one = ahead(Fetched(), iter([]))
    one._listed_all = True

    def stopped() -> list[Cell]:
        one._stopped = True
        return []

    monkeypatch.setattr(one, "_group", stopped)
    thread = threading.Thread(target=one._run, daemon=True)
    thread.start()
    thread.join(10)

    assert not thread.is_alive()
