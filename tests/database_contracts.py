"""What every database must do, whatever keeps it: one class of tests that runs on SQLite and on each server.

Where a database may differ, its `Place` says how; nothing else here knows which one it is.
"""

import contextlib
import importlib
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from ocblob import BlobStore
from ocblob.cells import Column, KeyRange, Scope, SessionTable
from ocblob.databases.addresses import Address
from ocblob.databases.base import Cell, CellReader, Edit, EditResult, Outcome
from ocblob.databases.opening import HostDatabase, open_database
from ocblob.errors import BlobError, CellError, DatabaseError, DatabaseLockedError, DatabaseUnsupportedError
from ocblob.offload import offload
from ocblob.restore import restore
from odd_cells import CELLS

BODY: Final = Column("doc", "body", session="session_id", updated="time_updated")
RAW: Final = Column("doc", "raw", session="session_id", updated="time_updated")
SESSIONS: Final = SessionTable("talk", "id", "time_updated")
EVERYTHING: Final = Scope()
MANY: Final = 1203
"""More rows than two pages have."""
LARGE: Final = 6_000_000
"""Bytes that no database binds as one value."""
ROUNDS: Final = 4
PAUSE_S: Final = 0.002
"""A second writer lets others in."""


class Place(Protocol):
    """Where a database is made and looked at, by a client that is not ours. It is empty but for `doc` and `talk`."""

    address: Address
    text: str
    """The type of a column of long texts, and so on."""
    blob: str
    key: str
    keys_apart: tuple[str, ...]
    """Keys that are different ones here, though they look alike."""

    def run(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """Run a statement with values named as in `:name`, and commit; its rows."""

    def put(self, key: str, body: bytes | None, raw: bytes | None = None, session: str = "", updated: int = 0) -> None:
        """A row of `doc`."""

    def look(self, key: str) -> tuple[bytes | None, bytes | None] | None:
        """Body and raw bytes of a row; None if it is not there."""

    def change(self, key: str, body: bytes | None) -> None:
        """Give a row another body."""

    def holds(self, text: bytes) -> bool:
        """Whether a text may have these bytes."""

    def writing(self, key: str) -> AbstractContextManager[None]:
        """While it is open somebody writes to this row, and does not commit."""

    def make_impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Databases that are opened from now on wait for a lock for about a second."""


def edit(
    database: HostDatabase, cell: Cell, content: bytes, *, chunks: Callable[[], Iterator[bytes]] | None = None
) -> Edit:
    """New content for a cell as it is now."""
    with database.cells() as cells:
        reader = cells.open(cell)
        old = everything(reader)
        version = reader.version

    def unchanged(reader: CellReader) -> bool:
        return everything(reader) == old

    return Edit(cell, len(content), chunks or (lambda: iter([content])), unchanged, version)


def everything(reader: CellReader) -> bytes:
    """All bytes of a cell."""
    return b"".join(reader.read(0, reader.size))


def listed(
    database: HostDatabase, column: Column = BODY, *, larger_than: int = -1, scope: Scope = EVERYTHING
) -> list[Cell]:
    """The candidates of a column."""
    return list(database.candidates(column, larger_than=larger_than, scope=scope))


def edits(database: HostDatabase, column: Column, content: bytes) -> list[tuple[Cell, Edit]]:
    """New content for every cell of a column, each read while it is listed, as a pass does: fetched with others."""
    cells = database.candidates(column, larger_than=0, scope=EVERYTHING)
    return [(cell, edit(database, cell, content)) for cell in cells]


def named(database: HostDatabase, cells: Sequence[Cell]) -> str:
    """The keys of rows, in their order."""
    return " ".join(database.row_names(cell)[0] for cell in cells)


def outcomes(results: Sequence[EditResult]) -> list[Outcome | None]:
    """What became of edits."""
    return [result.outcome for result in results]


class DatabaseContract:
    """The tests of a database. A subclass has a fixture `place`, with empty tables for each test."""

    @pytest.fixture
    def database(self, place: Place) -> Iterator[HostDatabase]:
        """It, opened."""
        with open_database(place.address) as database:
            yield database

    @pytest.fixture
    def letters(self, place: Place, database: HostDatabase) -> list[Cell]:
        """The bodies of rows a, b and c."""
        for key in "abc":
            place.put(key, f"old {key}".encode(), key.encode())
        return listed(database)

    # What there is

    def test_tables_have_their_columns(self, database: HostDatabase) -> None:
        """Every table is known with all its columns."""
        found = database.tables()

        assert {"id", "session_id", "time_updated", "body", "raw"} == found["doc"]
        assert {"id", "time_updated"} == found["talk"]

    def test_it_is_named_without_a_password(self, place: Place, database: HostDatabase) -> None:
        """The name is the address' own, and no password is in it."""
        assert place.address.name == database.url
        assert place.address == database.address
        assert "s3cret" not in database.url + repr(database.address)

    @pytest.mark.parametrize(
        ("column", "words"),
        [
            (Column("nothing", "body"), "no table nothing"),
            (Column("doc", "nothing"), "no column nothing"),
            (Column("seen", "body"), "is a view"),
        ],
        ids=str,
    )
    def test_what_has_no_cells_is_refused(
        self, place: Place, database: HostDatabase, column: Column, words: str
    ) -> None:
        """A table, a column that is not there, and a view are refused in words."""
        place.run("CREATE VIEW seen AS SELECT id, body FROM doc")
        try:
            with pytest.raises(DatabaseUnsupportedError, match=words):
                database.check_column(column)
        finally:
            place.run("DROP VIEW seen")

    def test_columns_of_text_and_bytes_are_taken(self, database: HostDatabase) -> None:
        """Texts and blobs are what cells may be."""
        database.check_column(BODY)
        database.check_column(RAW)

    # Candidates

    def test_candidates_are_cells_above_a_size(self, place: Place, database: HostDatabase) -> None:
        """Bytes count, not characters; what is null is none, and neither is what is as large as the limit."""
        place.put("a", b"x" * 10, b"x" * 11)
        place.put("b", "é€😀".encode(), bytes(9))
        place.put("c", None, None)
        place.put("d", b"x" * 11, b"")

        texts = listed(database, larger_than=8)
        blobs = listed(database, RAW, larger_than=9)

        assert ("a b d", [10, 9, 11]) == (named(database, texts), [cell.size for cell in texts])
        assert ("a", [11]) == (named(database, blobs), [cell.size for cell in blobs])
        assert (3, 30) == database.measure(BODY, larger_than=8, scope=EVERYTHING)
        assert (0, 0) == database.measure(BODY, larger_than=1000, scope=EVERYTHING)

    def test_candidates_come_in_pages_in_the_order_of_their_keys(self, place: Place, database: HostDatabase) -> None:
        """Every row comes once, whatever the number of pages."""
        keys = [f"k{number:05}" for number in range(MANY)]
        fill(place, keys)

        found = listed(database)

        some = (0, 1, 499, 500, 501, 999, 1000, MANY - 1)
        assert [keys[at] for at in some] == [database.row_names(found[at])[0] for at in some]
        assert MANY == len(found) == len({cell.key for cell in found})
        assert (MANY, 6 * MANY) == database.measure(BODY, larger_than=0, scope=EVERYTHING)

    @pytest.mark.parametrize(
        ("scope", "expected"),
        [
            (Scope(sessions=("s1",), session_table=SESSIONS), "a b"),
            (Scope(sessions=("s1", "s3", "none"), session_table=SESSIONS), "a b e"),
            (Scope(sessions=("S1", "s1 "), session_table=SESSIONS), ""),
            (Scope(keep_newest=1, session_table=SESSIONS), "a b c d"),
            (Scope(keep_newest=2, session_table=SESSIONS), "a b"),
            (Scope(keep_newest=9, session_table=SESSIONS), ""),
            (Scope(updated_before_ms=30), "a b"),
            (Scope(sessions=("s1",), updated_before_ms=20, session_table=SESSIONS), "a"),
        ],
    )
    def test_a_scope_means_some_rows(self, place: Place, database: HostDatabase, scope: Scope, expected: str) -> None:
        """Sessions, the newest ones and times leave out the others; a name means itself and no other spelling."""
        fill_sessions(place)

        assert expected == named(database, listed(database, scope=scope))
        count, _size = database.measure(BODY, larger_than=-1, scope=scope)
        assert len(expected.split()) == count

    def test_rows_without_a_time_have_their_sessions(self, place: Place, database: HostDatabase) -> None:
        """A row of a column without times is as old as its session."""
        fill_sessions(place)
        column = Column("doc", "body", session="session_id")

        found = listed(database, column, scope=Scope(updated_before_ms=200, session_table=SESSIONS))

        assert "a b" == named(database, found)

    @pytest.mark.parametrize(
        ("column", "scope"),
        [
            (Column("doc", "body"), Scope(sessions=("s1",), session_table=SESSIONS)),
            (BODY, Scope(keep_newest=1)),
            (Column("doc", "body"), Scope(updated_before_ms=1)),
        ],
    )
    def test_a_scope_that_rows_cannot_be_judged_by_is_refused(
        self, database: HostDatabase, column: Column, scope: Scope
    ) -> None:
        """Nobody guesses whose a row is, or how old."""
        with pytest.raises(DatabaseUnsupportedError):
            database.check_scope(column, scope)

    def test_a_range_of_keys_is_a_part_of_the_rows(self, place: Place, database: HostDatabase) -> None:
        """After one key, up to and with another; both ends may be open, and parts side by side are the whole."""
        fill(place, list("abcdef"))
        keys = [cell.key for cell in listed(database)]

        def part(after: object, upto: object) -> str:
            return named(database, listed(database, scope=Scope(keys=KeyRange(after, upto))))

        assert "c d" == part(keys[1], keys[3])
        assert "a b" == part(None, keys[1])
        assert "e f" == part(keys[3], None)
        assert "" == part(keys[5], None)
        assert "" == part(keys[3], keys[3])

    # Cells

    @pytest.mark.parametrize(
        "content",
        [b"", b"x", "é€😀\u2028\r\n\t'\\\"%:?".encode(), b"%s :name \\0 " * 100, "€".encode() * 200_000],
        ids=["empty", "one", "odd", "marks", "large"],
    )
    def test_cells_read_as_they_are(self, place: Place, database: HostDatabase, content: bytes) -> None:
        """Text and blob give their bytes, whole or in part."""
        place.put("a", content, content[::-1])

        with database.cells() as cells:
            for column, expected in ((BODY, content), (RAW, content[::-1])):
                (cell,) = listed(database, column)
                reader = cells.open(cell)
                middle = b"".join(reader.read(len(expected) // 3, len(expected) // 2))
                assert (len(expected), expected) == (reader.size, everything(reader))
                assert expected[len(expected) // 3 : len(expected) // 2] == middle

    @pytest.mark.parametrize("change", ["gone", "null"])
    def test_a_cell_that_went_away_cannot_be_read(self, place: Place, database: HostDatabase, change: str) -> None:
        """A row that is gone, or a cell that is null, is the cell's own trouble, and is not found again."""
        place.put("a", b"text")
        (cell,) = listed(database)
        if change == "gone":
            place.run("DELETE FROM doc")
        else:
            place.change("a", None)

        with database.cells() as cells, pytest.raises(CellError):
            everything(cells.open(cell))

        assert not database.find_again(cell)

    def test_many_readers_read_at_once(self, place: Place, database: HostDatabase) -> None:
        """Each thread has a reader of its own."""
        keys = [f"k{number:02}" for number in range(40)]
        fill(place, keys)
        found = listed(database)
        seen: list[bytes] = []

        def read(some: Sequence[Cell]) -> None:
            with database.cells() as cells:
                seen.extend(everything(cells.open(cell)) for cell in some)

        threads = [threading.Thread(target=read, args=(found[at::4],)) for at in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert sorted(key.ljust(6).encode() for key in keys) == sorted(seen)

    # Names

    def test_a_row_is_named_and_found_by_its_key(self, place: Place, database: HostDatabase) -> None:
        """What a row is named by finds it, and nothing like it does."""
        place.put("prt_1", b"text", session="ses_1")
        (cell,) = listed(database)

        assert ("prt_1", "ses_1") == database.row_names(cell)
        assert "doc:body prt_1" == database.label(cell)
        assert cell == database.find(BODY, "prt_1")
        assert [None, None, None] == [database.find(BODY, key) for key in ("prt_", "PRT_1", "")]
        assert database.find_again(cell)

    def test_a_null_cell_is_not_found(self, place: Place, database: HostDatabase) -> None:
        """A row whose cell is null has no cell."""
        place.put("a", None)

        assert database.find(BODY, "a") is None

    def test_keys_that_look_alike_are_different_ones(self, place: Place, database: HostDatabase) -> None:
        """Case, accents, blanks: every row is listed, read, found and swapped by its own key."""
        for key in place.keys_apart:
            place.put(key, f"of <{key}>".encode())
        found = listed(database)

        results = database.swap(
            [edit(database, cell, f"new <{database.row_names(cell)[0]}>".encode()) for cell in found],
            stamp=database.stamp(),
        )

        assert sorted(place.keys_apart) == sorted(database.row_names(cell)[0] for cell in found)
        assert [Outcome.SWAPPED] * len(found) == outcomes(results)
        for key in place.keys_apart:
            assert (f"new <{key}>".encode(), None) == place.look(key)
            assert (cell := database.find(BODY, key)) is not None
            assert key == database.row_names(cell)[0]

    @pytest.mark.parametrize("kind", ["integers", "two columns", "three columns"])
    def test_rows_have_keys_of_many_kinds(
        self, place: Place, database: HostDatabase, kind: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Numbers, also negative ones, and keys of several columns come in pages, in order, and are swapped."""
        for module in ("sql.listing", "sqlite.database"):
            with contextlib.suppress(ImportError):
                monkeypatch.setattr(importlib.import_module(f"ocblob.databases.{module}"), "PAGE_ROWS", 4)
        parts = {
            "integers": ("n BIGINT NOT NULL PRIMARY KEY", "n"),
            "two columns": (f"k {place.key} NOT NULL, n BIGINT NOT NULL, PRIMARY KEY (k, n)", "k, n"),
            "three columns": (
                f"n BIGINT NOT NULL, k {place.key} NOT NULL, m BIGINT NOT NULL, PRIMARY KEY (n, k, m)",
                "n, k, m",
            ),
        }
        columns, names = parts[kind]
        place.run(f"CREATE TABLE odd (body {place.text}, {columns})")
        values = ", ".join(f":{name}" for name in names.split(", "))
        numbers = range(-7, 8)
        for number in numbers:
            row = {"k": "ab"[number % 2], "n": number if kind != "three columns" else number // 5, "m": number}
            wanted = {name: row[name] for name in names.split(", ")}
            place.run(f"INSERT INTO odd ({names}, body) VALUES ({values}, :body)", body=f"body {number}", **wanted)
        column = Column("odd", "body")
        try:
            database.check_column(column)
            found = listed(database, column)
            results = database.swap([edit(database, cell, b"new") for cell in found], stamp=database.stamp())

            assert len(numbers) == len({cell.key for cell in found})
            assert [Outcome.SWAPPED] * len(numbers) == outcomes(results)
            assert [("new",)] * len(numbers) == place.run("SELECT body FROM odd")
            again = [database.find(column, database.row_names(cell)[0]) for cell in found]
            assert [cell.key for cell in found] == [cell.key for cell in again if cell is not None]
        finally:
            place.run("DROP TABLE odd")

    # What is known of it all

    def test_sessions_tell_when_they_were_active(self, place: Place, database: HostDatabase) -> None:
        """Every session that has a time is told with it."""
        fill_sessions(place)

        assert {"s1": 100, "s2": 200, "s3": 300} == database.session_times(SESSIONS)

    def test_tables_tell_their_rows_and_bytes(self, place: Place, database: HostDatabase) -> None:
        """Rows are counted; bytes are at least those of texts and blobs."""
        place.put("a", b"x" * 1000, bytes(2000))
        place.put("b", None)

        found = database.table_sizes()

        assert 2 == found["doc"][0]
        assert 3000 <= found["doc"][1] < 3100
        assert (0, 0) == found["talk"]

    # Swapping

    @pytest.mark.parametrize("size", [0, 3, 100_000, LARGE], ids=["empty", "small", "medium", "large"])
    def test_a_swapped_cell_is_what_was_given(self, place: Place, database: HostDatabase, size: int) -> None:
        """Text stays text, blob stays blob, and what stands beside it stays as it is; also from and to nothing."""
        new = ("é😀'\\%" * (size // 8 + 1)).encode()[: size - size % 3 or size]
        new = new.decode(errors="ignore").encode()
        place.put("a", b"", b"old")
        texts, blobs = listed(database), listed(database, RAW)

        text = database.swap([edit(database, texts[0], new)], stamp=database.stamp())
        blob = database.swap([edit(database, blobs[0], new[::-1])], stamp=database.stamp())

        assert [Outcome.SWAPPED] * 2 == outcomes([*text, *blob])
        assert (new, new[::-1]) == place.look("a")

    def test_many_edits_are_swapped_in_their_order(self, place: Place, database: HostDatabase) -> None:
        """More than one transaction takes; results come in the order of the edits."""
        keys = [f"k{number:03}" for number in range(150)]
        fill(place, keys)
        stamp = database.stamp()
        edits = [edit(database, cell, f"new {number}".encode()) for number, cell in enumerate(listed(database))]

        results = database.swap(edits, stamp=stamp)

        assert edits == [result.edit for result in results]
        assert {Outcome.SWAPPED} == set(outcomes(results))
        assert [(f"new {number}",) for number in range(150)] == place.run("SELECT body FROM doc ORDER BY id")
        assert database.longest_transaction_s > 0

    @pytest.mark.parametrize("change", ["changed", "gone", "null"])
    def test_what_somebody_else_wrote_survives(
        self, place: Place, database: HostDatabase, letters: list[Cell], change: str
    ) -> None:
        """A cell that is not what was read stays; those beside it are swapped."""
        stamp = database.stamp()
        edits = [edit(database, cell, b"new") for cell in letters]
        if change == "changed":
            place.change("b", b"theirs")
        elif change == "gone":
            place.run("DELETE FROM doc WHERE id = 'b'")
        else:
            place.change("b", None)

        results = database.swap(edits, stamp=stamp)

        assert [Outcome.SWAPPED, Outcome.CHANGED, Outcome.SWAPPED] == outcomes(results)
        expected = {"changed": (b"theirs", b"b"), "gone": None, "null": (None, b"b")}
        assert expected[change] == place.look("b")

    def test_a_large_content_does_not_overwrite_what_somebody_else_wrote(
        self, place: Place, database: HostDatabase, letters: list[Cell]
    ) -> None:
        """Content that is sent in pieces keeps to the same rule."""
        stamp = database.stamp()
        late = edit(database, letters[0], bytes(LARGE).replace(b"\0", b"x"))
        place.change("a", b"theirs")

        assert [Outcome.CHANGED] == outcomes(database.swap([late], stamp=stamp))
        assert (b"theirs", b"a") == place.look("a")

    @pytest.mark.parametrize("size", [100, LARGE], ids=["small", "large"])
    def test_an_edit_that_fails_leaves_its_cell_alone(
        self, place: Place, database: HostDatabase, letters: list[Cell], size: int
    ) -> None:
        """A blob that cannot be had, or other bytes than announced, undo one edit and no other."""

        def broken() -> Iterator[bytes]:
            yield b"some"
            raise BlobError("gone", digest="0" * 64)

        stamp = database.stamp()
        content = b"y" * size
        edits = [
            edit(database, letters[0], content, chunks=broken),
            edit(database, letters[1], content, chunks=lambda: iter([b"short"])),
            edit(database, letters[2], content),
        ]

        results = database.swap(edits, stamp=stamp)

        assert [None, None, Outcome.SWAPPED] == outcomes(results)
        assert isinstance(results[0].error, BlobError)
        assert [(b"old a", b"a"), (b"old b", b"b"), (content, b"c")] == [place.look(key) for key in "abc"]

    def test_a_row_that_the_database_refuses_costs_no_other(self, place: Place, database: HostDatabase) -> None:
        """A constraint that a new content breaks is that edit's trouble."""
        check = "CHECK (body LIKE 'new%' OR body LIKE 'old%')"
        place.run(f"CREATE TABLE odd (id BIGINT NOT NULL PRIMARY KEY, body {place.text}, {check})")
        column = Column("odd", "body")
        for number in range(5):
            place.run("INSERT INTO odd (id, body) VALUES (:id, 'old')", id=number)
        stamp = database.stamp()
        news = [b"new", b"bad", b"new", b"bad" * 2_000_000, b"new"]
        edits = [edit(database, cell, new) for cell, new in zip(listed(database, column), news, strict=True)]
        try:
            results = database.swap(edits, stamp=stamp)

            done = Outcome.SWAPPED
            assert [done, None, done, None, done] == outcomes(results)
            assert [CellError, CellError] == [type(result.error) for result in results if result.error]
            left = [body for (body,) in place.run("SELECT body FROM odd ORDER BY id")]
            assert ["new", "old", "new", "old", "new"] == left
        finally:
            place.run("DROP TABLE odd")

    def test_a_lock_that_does_not_end_is_an_error(
        self, place: Place, letters: list[Cell], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody else's lock is waited for, then told; no cell is what it should not be."""
        place.make_impatient(monkeypatch)
        with open_database(place.address) as database:
            stamp = database.stamp()
            edits = [edit(database, cell, b"new") for cell in letters]
            with place.writing("b"), pytest.raises(DatabaseLockedError):
                database.swap(edits, stamp=stamp)
            left = place.look("b")
            again = [edit(database, cell, b"new") for cell in letters]

            assert (b"old b", b"b") == left
            assert {Outcome.SWAPPED} == set(outcomes(database.swap(again, stamp=database.stamp())))

    def test_no_write_of_a_second_writer_is_lost(self, place: Place, database: HostDatabase) -> None:
        """Two write to the same rows: every cell ends with what the other wrote last, and what was made of it."""
        keys = [f"k{number}" for number in range(8)]
        fill(place, keys)
        last = {key: key.ljust(6) for key in keys}
        done = threading.Event()

        def other() -> None:
            choice = random.Random(1)
            for number in range(10_000):
                if done.wait(PAUSE_S):
                    return
                key = choice.choice(keys)
                place.change(key, f"write {number};".encode())
                last[key] = f"write {number};"

        writer = threading.Thread(target=other)
        writer.start()
        try:
            for _round in range(ROUNDS):
                stamp = database.stamp()
                edits = []
                with database.cells() as cells:
                    for cell in listed(database):
                        reader = cells.open(cell)
                        old = everything(reader)
                        edits.append(ours(cell, old, reader.version))
                    cells.release()
                database.swap(edits, stamp=stamp)
        finally:
            done.set()
            writer.join()

        for key in keys:
            found = place.look(key)
            assert found is not None
            assert found[0] is not None
            assert last[key] == found[0].decode().rstrip("!")

    def test_what_reads_only_does_not_write(self, place: Place, letters: list[Cell]) -> None:
        """A database that was opened for reading reads, and refuses to swap."""
        with open_database(place.address, read_only=True) as database:
            late = edit(database, letters[0], b"new")
            with pytest.raises(DatabaseUnsupportedError, match="reading only"):
                database.swap([late], stamp=None)

        assert (b"old a", b"a") == place.look("a")

    def test_a_flush_comes_back(self, database: HostDatabase, letters: list[Cell]) -> None:
        """What was swapped is durable, and the database goes on."""
        database.swap([edit(database, letters[0], b"new")], stamp=database.stamp())

        database.flush()

        assert database.room() > 0
        assert 3 == len(listed(database))

    # All together

    def test_odd_cells_move_out_and_come_back(self, place: Place, database: HostDatabase, tmp_path: Path) -> None:
        """Every odd cell that the database can hold gives its payloads away, and gets them back byte for byte."""
        wanted: dict[str, tuple[bytes | None, bytes | None]] = {}
        for number, cell in enumerate(CELLS):
            key = f"{number:04}"
            if cell.type == "text" and place.holds(cell.data):
                wanted[key] = (cell.data, None)
            elif cell.type in {"text", "blob"}:
                wanted[key] = (None, cell.data)
            else:
                wanted[key] = (None, None)
            place.put(key, *wanted[key])

        with BlobStore.create(tmp_path / "store")[0] as store:
            out = offload(database, store, (BODY, RAW), scope=EVERYTHING)
            back = restore(database, store, (BODY, RAW), scope=EVERYTHING)

        assert sum(cell.moves for cell in CELLS) == out.payloads == back.refs_restored
        assert (0, 0, 0, 0) == (out.failed, out.changed, back.failed, back.changed)
        assert wanted == {key: place.look(key) for key in wanted}

    def test_a_pass_may_be_repeated(self, place: Place, database: HostDatabase, tmp_path: Path) -> None:
        """Nothing moves twice, and a second restore finds nothing to do."""
        odd = next(cell for cell in CELLS if cell.name == "plain png")
        place.put("a", odd.data)

        with BlobStore.create(tmp_path / "store")[0] as store:
            passes = [offload(database, store, (BODY,), scope=EVERYTHING).payloads for _ in range(2)]
            restores = [restore(database, store, (BODY,), scope=EVERYTHING).refs_restored for _ in range(2)]

        assert ([1, 0], [1, 0]) == (passes, restores)
        assert (odd.data, None) == place.look("a")

    def test_a_dropped_table_is_an_error_in_words(self, place: Place, database: HostDatabase) -> None:
        """A table that goes away meanwhile is told as an error of the database."""
        place.run(f"CREATE TABLE odd (id BIGINT NOT NULL PRIMARY KEY, body {place.text})")
        column = Column("odd", "body")
        database.check_column(column)
        place.run("DROP TABLE odd")

        with pytest.raises(DatabaseError):
            listed(database, column)


def ours(cell: Cell, old: bytes, version: object) -> Edit:
    """An edit that adds a mark."""
    new = old + b"!"
    return Edit(cell, len(new), lambda: iter([new]), lambda reader: everything(reader) == old, version)


def fill(place: Place, keys: Sequence[str]) -> None:
    """A row for each key, whose body is the key and blanks."""
    for start in range(0, len(keys), 200):
        rows = ", ".join(f"('{key}', '', 0, '{key:6}', NULL)" for key in keys[start : start + 200])
        place.run(f"INSERT INTO doc VALUES {rows}")


def fill_sessions(place: Place) -> None:
    """Three sessions and their rows, and a row of none."""
    for session, updated in (("s1", 100), ("s2", 200), ("s3", 300)):
        place.run("INSERT INTO talk (id, time_updated) VALUES (:id, :at)", id=session, at=updated)
    for number, (key, session) in enumerate(zip("abcde", ["s1", "s1", "s2", "s2", "s3"], strict=True), start=1):
        place.put(key, b"text", session=session, updated=10 * number)
