"""Parts of a pass: shards by a hash of the key, ranges of keys, and what a fleet cuts."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from command_line import Cli, cli_in
from ocblob.cells import Column, KeyRange, Scope
from ocblob.databases.base import Cell
from ocblob.databases.shards import in_shard, listed, measured
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.errors import DatabaseUnsupportedError
from ocblob.fleet.parts import FIRST_PART_BYTES, LAST_PART_BYTES, Part, cut
from samples import BODY, cell, dump, make_database, payload, refs

ROWS = 60
EXAMPLE_KEYS: list[Any] = [
    1,
    -(2**63),
    "prt_1",
    "",
    "ключ",
    b"\x00\xff",
    UUID(int=7),
    Decimal("1.50"),
    datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
    None,
]
WRITTEN = ([76, 155, 36, 809, 156, 867, 785, 976, 8, 187], 441)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with an environment of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """Rows of one attachment each, of different sizes."""
    rows = [cell(payload(20_000 + 100 * number, number)) for number in range(ROWS)]
    return make_database(tmp_path / "app.db", rows)


def rowid(key: object) -> int:
    """A key of SQLite's."""
    assert isinstance(key, int)
    return key


def cell_at(key: object, column: Column = BODY) -> Cell:
    """A cell with this key."""
    return Cell(column, key, 1)


@given(key=st.one_of(st.integers(-(2**63), 2**63 - 1), st.text(), st.binary(), st.uuids()), parts=st.integers(1, 50))
def test_a_row_is_in_one_shard(key: object, parts: int) -> None:
    """Of n shards exactly one has it, the same one for every column of the row and for a key of one column."""
    found = [part for part in range(1, parts + 1) if in_shard(cell_at(key), (part, parts))]

    assert 1 == len(found)
    assert in_shard(cell_at((key,), Column("doc", "other")), (found[0], parts))


def test_shards_never_move() -> None:
    """Machines of other versions have the same shards: these were written down."""
    found = [next(part for part in range(1, 1001) if in_shard(cell_at(key), (part, 1000))) for key in EXAMPLE_KEYS]
    pair = next(part for part in range(1, 1001) if in_shard(cell_at(("a", 1)), (part, 1000)))

    assert WRITTEN == (found, pair)


def test_a_time_is_the_same_row_in_every_zone() -> None:
    """A server's session may be in any time zone."""
    here = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
    there = here.astimezone(timezone(timedelta(hours=5, minutes=30)))

    shards = [[part for part in range(1, 101) if in_shard(cell_at((when,)), (part, 100))] for when in (here, there)]

    assert shards[0] == shards[1]


def test_shards_are_about_equal() -> None:
    """A thousand rows in four shards: none has more than a third."""
    counts = Counter(next(part for part in (1, 2, 3, 4) if in_shard(cell_at(key), (part, 4))) for key in range(1000))

    assert 4 == len(counts)
    assert max(counts.values()) < 333


def test_shards_are_the_whole(db: Path) -> None:
    """Every row is listed by one shard, and measured by it, whatever the others do."""
    with SQLiteDatabase(db, read_only=True) as database:
        whole = list(listed(database, BODY, larger_than=0, scope=Scope()))
        shards = [Scope(shard=(part, 3)) for part in (1, 2, 3)]
        parts = [list(listed(database, BODY, larger_than=0, scope=scope)) for scope in shards]
        sums = [measured(database, BODY, larger_than=0, scope=scope) for scope in shards]

        assert sorted((cell.key for part in parts for cell in part), key=rowid) == [cell.key for cell in whole]
        assert [(len(part), sum(cell.size for cell in part)) for part in parts] == sums
        assert tuple(map(sum, zip(*sums, strict=True))) == measured(database, BODY, larger_than=0, scope=Scope())


@given(cuts=st.sets(st.integers(-2, ROWS + 2), max_size=6))
def test_ranges_are_the_whole(tmp_path_factory: pytest.TempPathFactory, cuts: set[int]) -> None:
    """Ranges that begin where another ends have every row once, in order; one after the largest key has none."""
    path = tmp_path_factory.getbasetemp() / "ranges.db"
    if not path.exists():
        make_database(path, [cell(payload(100, number)) for number in range(ROWS)])
    bounds = [None, *sorted(cuts), None]
    ranges = [KeyRange(after, upto) for after, upto in pairwise(bounds)]

    with SQLiteDatabase(path, read_only=True) as database:
        whole = list(database.candidates(BODY, larger_than=0, scope=Scope()))
        found = [list(database.candidates(BODY, larger_than=0, scope=Scope(keys=keys))) for keys in ranges]
        counts = [database.measure(BODY, larger_than=0, scope=Scope(keys=keys))[0] for keys in ranges]
        beyond = Scope(keys=KeyRange(2**63 - 1))

        assert whole == [cell for part in found for cell in part]
        assert counts == [len(part) for part in found]
        assert [] == list(database.candidates(BODY, larger_than=0, scope=beyond))


def test_a_range_of_other_keys_is_refused(db: Path) -> None:
    """A key that is no rowid is an error before anything is read."""
    scope = Scope(keys=KeyRange("prt_1"))

    with SQLiteDatabase(db, read_only=True) as database, pytest.raises(DatabaseUnsupportedError, match="no rowid"):
        database.check_scope(BODY, scope)


def test_parts_tile_the_keys(db: Path) -> None:
    """What a fleet cuts has every row once, leaves no key out, and is as large as was said."""
    with SQLiteDatabase(db, read_only=True) as database:
        whole = list(database.candidates(BODY, larger_than=0, scope=Scope()))
        parts = list(cut(database, [BODY], larger_than=0, scope=Scope(), part_bytes=200_000))
        found = [cell for part in parts for cell in database.candidates(BODY, larger_than=0, scope=part.scope)]

    assert whole == found
    assert len(parts) > 5
    assert all(100_000 < part.size <= 200_000 for part in parts[:-1])
    assert sum(cell.size for cell in whole) == sum(part.size for part in parts)
    assert len(whole) == sum(part.cells for part in parts)
    keys = [part.scope.keys or KeyRange() for part in parts]
    assert [None, *(one.upto for one in keys[:-1])] == [one.after for one in keys]
    assert keys[-1].upto is None


def test_a_cell_larger_than_a_part_is_one(db: Path) -> None:
    """Each cell alone, if none fits with another; the scope of the pass stays."""
    scope = Scope(updated_before_ms=None, sessions=())
    with SQLiteDatabase(db, read_only=True) as database:
        parts = list(cut(database, [BODY], larger_than=0, scope=scope, part_bytes=1))

    assert [1] * ROWS == [part.cells for part in parts]
    assert all(replace(part.scope, keys=None) == scope for part in parts)


class Many:
    """A database with nothing but numbers of a large one."""

    def __init__(self, cells: int, size: int) -> None:
        self._cells, self._size = cells, size

    def candidates(self, column: Column, *, larger_than: int, scope: Scope) -> Iterator[Cell]:
        """Cells of one size."""
        del larger_than, scope
        return (Cell(column, key, self._size) for key in range(self._cells))


def sizes_of(parts: Sequence[Part]) -> list[int]:
    """In the order in which they are submitted."""
    return [part.size for part in parts]


def test_parts_grow() -> None:
    """A small database is many parts, and a large one has none beyond a gigabyte."""
    few: Any = Many(1000, 10**6)
    many: Any = Many(100_000, 10**6)

    small = sizes_of(list(cut(few, [BODY], larger_than=0, scope=Scope())))
    large = sizes_of(list(cut(many, [BODY], larger_than=0, scope=Scope())))

    assert 16 == len(small)
    assert FIRST_PART_BYTES == max(small)
    assert LAST_PART_BYTES == max(large)
    assert large[:-1] == sorted(large[:-1])
    assert 160 > len(large)


@pytest.mark.parametrize("shard", ["0/4", "5/4", "1/0", "-1/4", "1", "a/b", "1/4/2", "", "1.5/4"])
@pytest.mark.parametrize("command", ["offload", "restore"])
def test_what_is_no_shard(cli: Cli, db: Path, command: str, shard: str) -> None:
    """Usage errors, before anything is touched."""
    before = dump(db)

    assert 2 == cli.run(command, "--db", db, "--table", "doc:body", f"--shard={shard}").code
    assert before == dump(db)


def test_shards_offload_and_restore_the_whole(cli: Cli, db: Path) -> None:
    """Each shard moves its own rows out, and back; together they are a plain pass."""
    before = dump(db)
    arguments = ("--db", db, "--table", "doc:body", "--json")

    reports = [cli.run("offload", *arguments, "--shard", f"{part}/3").json["report"] for part in (1, 2, 3)]
    assert ROWS == sum(report["payloads"] for report in reports)
    assert all(report["payloads"] == report["cells"] for report in reports)
    assert 0 == cli.run("offload", *arguments).json["report"]["payloads"]
    assert ROWS == len(refs(db))

    first = cli.run("restore", "--db", db, "--json", "--shard", "1/2").json
    assert 0 < first["refs_restored"] < ROWS
    assert ROWS - first["refs_restored"] == len(refs(db))
    cli.run("restore", "--db", db, "--shard", "2/2")
    assert before == dump(db)


def test_rows_that_come_meanwhile_are_in_one_shard(cli: Cli, db: Path) -> None:
    """A row that is inserted between two shards' passes moves no other row to another shard."""
    arguments = ("--db", db, "--table", "doc:body", "--json")
    first = cli.run("offload", *arguments, "--shard", "1/2").json["report"]["payloads"]
    connection = apsw.Connection(str(db))
    connection.execute("INSERT INTO doc VALUES (-5, ?)", (cell(payload(30_000, "new")),))
    connection.close()

    second = cli.run("offload", *arguments, "--shard", "2/2").json["report"]["payloads"]
    again = cli.run("offload", *arguments, "--shard", "1/2").json["report"]["payloads"]

    assert ROWS + 1 == first + second + again
    assert ROWS + 1 == len(refs(db))


@pytest.mark.parametrize("options", [("--shard", "1/2"), ("--dry-run",)], ids=" ".join)
def test_a_fleet_has_no_use_for_them(cli: Cli, db: Path, options: tuple[str, ...]) -> None:
    """A fleet cuts the pass itself, and does it."""
    done = cli.run("offload", "--db", db, "--table", "doc:body", "--dask", "tcp://127.0.0.1:1", *options)

    assert 2 == done.code
    assert "exclude each other" in done.err


@pytest.mark.parametrize("option", ["--part-size=1MB", "--send-password"])
def test_options_of_a_fleet_need_one(cli: Cli, db: Path, option: str) -> None:
    """Alone they would do nothing."""
    done = cli.run("offload", "--db", db, "--table", "doc:body", option)

    assert 2 == done.code
    assert "needs --dask" in done.err


def test_parts_of_nothing_are_none(cli: Cli, db: Path) -> None:
    """A size of 0 is not taken for none."""
    done = cli.run("offload", "--db", db, "--dask", "tcp://127.0.0.1:1", "--part-size", "0")

    assert (2, True) == (done.code, "--part-size is 0" in done.err)


def test_a_file_is_no_fleets(cli: Cli, db: Path) -> None:
    """A SQLite file is refused: workers on other machines cannot open it."""
    before = dump(db)

    done = cli.run("offload", "--db", db, "--table", "doc:body", "--dask", "tcp://127.0.0.1:1")

    assert 2 == done.code
    assert "is a SQLite file" in done.err
    assert before == dump(db)
