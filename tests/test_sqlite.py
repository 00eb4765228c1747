import os
import random
import re
import stat
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import pytest

from disks import remount, small_disk
from ocblob import BlobStore
from ocblob.cells import Column, Scope
from ocblob.databases.base import Cell, CellReader, Edit, EditResult, Outcome
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.errors import CellError, DatabaseError, DatabaseLockedError, DatabaseUnsupportedError
from ocblob.offload import OffloadReport, offload
from ocblob.restore import RestoreReport, restore
from processes import Neighbour, NeighbourError, as_nobody
from samples import (
    BODY,
    DAY_MS,
    DOC_SCHEMA,
    EVERYTHING,
    SESSIONS,
    bodies,
    cell,
    data_url,
    dump,
    integrity,
    make_database,
    make_opencode,
    opencode_profile,
    opened,
    payload,
    query,
    refs,
    unresolved,
)

LARGE = 6_000_000
"""Decoded bytes; the cell is past what is bound as one value."""
PART = Column("part", "data", session="session_id", updated="time_updated")
EVENT = Column("event", "data", session="aggregate_id")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """An empty store."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        yield store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "app.db"


def move_out(path: Path, store: BlobStore, *columns: Column, scope: Scope = EVERYTHING) -> OffloadReport:
    """Offload these columns, or the documents."""
    with SQLiteDatabase(path) as database:
        return offload(database, store, columns or (BODY,), scope=scope)


def put_back(path: Path, store: BlobStore, *columns: Column, scope: Scope = EVERYTHING) -> RestoreReport:
    """Restore these columns, or the documents."""
    with SQLiteDatabase(path) as database:
        return restore(database, store, columns or (BODY,), scope=scope)


def listed(path: Path, column: Column = BODY, *, larger_than: int = 0, scope: Scope = EVERYTHING) -> list[Cell]:
    """The candidates of a column."""
    with SQLiteDatabase(path, read_only=True) as database:
        return list(database.candidates(column, larger_than=larger_than, scope=scope))


def edit(cell: Cell, content: bytes, *, unchanged: Callable[[CellReader], bool] = lambda _: True) -> Edit:
    """New content for a cell."""
    return Edit(cell, len(content), lambda: iter([content]), unchanged)


def content(path: Path, key: int) -> object:
    """A document's body with its type, as bytes."""
    return query(path, "SELECT typeof(body), CAST(body AS BLOB) FROM doc WHERE id=?", key)[0]


# What is refused


def test_no_database_is_an_error(path: Path) -> None:
    """A path where nothing is gives an error with a hint, and no file is made."""
    with pytest.raises(DatabaseError, match="no database") as caught:
        SQLiteDatabase(path)

    assert "--db" in caught.value.hint
    assert not path.exists()


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(b"SQLite format 3", id="cut magic"),
        pytest.param(b"-- a dump\nCREATE TABLE doc (id, body);\n" * 100, id="text"),
        pytest.param(random.Random(1).randbytes(8192), id="encrypted"),
        pytest.param(b"SQLite format 3\0" + random.Random(2).randbytes(8176), id="encrypted but for the magic"),
    ],
)
def test_what_is_no_database_is_refused(path: Path, damage: bytes) -> None:
    """A file of other bytes is refused in words, and left as it is."""
    path.write_bytes(damage)

    with pytest.raises(DatabaseUnsupportedError, match="not a SQLite database"):
        SQLiteDatabase(path)

    assert damage == path.read_bytes()
    assert [path] == list(path.parent.iterdir())


def test_a_directory_is_refused(path: Path) -> None:
    """A directory is no database."""
    path.mkdir()

    with pytest.raises(DatabaseUnsupportedError, match="not a file"):
        SQLiteDatabase(path)


def test_an_empty_file_is_a_database_without_tables(path: Path) -> None:
    """To SQLite an empty file is an empty database: it opens, has no tables, and stays empty."""
    path.touch()

    with SQLiteDatabase(path) as database:
        assert {} == database.tables()
        with pytest.raises(DatabaseUnsupportedError, match="no table doc"):
            database.check_column(BODY)

    assert 0 == path.stat().st_size


@pytest.mark.parametrize("encoding", ["UTF-16le", "UTF-16be"])
def test_utf16_is_refused(path: Path, encoding: str) -> None:
    """A database whose text is not UTF-8 is refused by name."""
    with opened(path) as db:
        db.execute(f"PRAGMA encoding='{encoding}'")
        db.execute(DOC_SCHEMA)
    before = path.read_bytes()

    with pytest.raises(DatabaseUnsupportedError, match=encoding):
        SQLiteDatabase(path)

    assert before == path.read_bytes()


@pytest.mark.parametrize(
    ("schema", "column", "words"),
    [
        (DOC_SCHEMA, "doc:text", "no column text"),
        (DOC_SCHEMA, "docs:body", "no table docs"),
        (DOC_SCHEMA, "doc:rowid", "no column rowid"),
        (DOC_SCHEMA, "sqlite_schema:sql", "sqlite_schema"),
        (f"{DOC_SCHEMA}; CREATE VIEW v AS SELECT * FROM doc", "v:body", "is a view"),
        ("CREATE TABLE doc (id TEXT PRIMARY KEY, body TEXT) WITHOUT ROWID", "doc:body", "WITHOUT ROWID"),
        ("CREATE VIRTUAL TABLE doc USING fts5(body)", "doc:body", "is a virtual"),
        ("CREATE VIRTUAL TABLE doc USING fts5(body)", "doc_data:block", "is a shadow"),
        ("CREATE TABLE doc (id, src TEXT, body TEXT AS (src || 'x'))", "doc:body", "generated"),
        ("CREATE TABLE doc (id, src TEXT, body TEXT AS (src || 'x') STORED)", "doc:body", "generated"),
        ("CREATE TABLE doc (id, body TEXT, n AS (length(body)))", "doc:body", "generated"),
        ("CREATE TABLE doc (rowid, _rowid_, oid, body TEXT)", "doc:body", "rowid"),
    ],
)
def test_cells_that_cannot_be_swapped_are_refused(path: Path, schema: str, column: str, words: str) -> None:
    """A column whose cells cannot be read or written in pieces is refused as a whole, in words."""
    with opened(path) as db:
        db.execute(schema).fetchall()
    table, _, name = column.partition(":")

    def use(database: SQLiteDatabase) -> None:
        database.check_column(Column(table, name))
        list(database.candidates(Column(table, name), larger_than=0, scope=EVERYTHING))

    with SQLiteDatabase(path) as database, pytest.raises(DatabaseUnsupportedError, match=re.escape(words)):
        use(database)


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that everybody can reach; pytest's own are private."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)
        Path(name).chmod(0o700)


@pytest.mark.parametrize("what", ["file", "directory"])
def test_what_may_not_be_written_is_refused(open_directory: Path, what: str) -> None:
    """Without leave to write the file or its directory nothing is begun; reading goes."""
    path = make_database(open_directory / "app.db", [cell(payload(9000))], journal="delete")
    path.chmod(0o444 if what == "file" else 0o666)
    open_directory.chmod(0o777 if what == "file" else 0o555)
    before = path.read_bytes()

    with as_nobody():
        with pytest.raises(DatabaseUnsupportedError, match="read-only"):
            SQLiteDatabase(path)
        found = listed(path)

    assert 1 == len(found)
    assert before == path.read_bytes()


def test_a_file_that_may_not_be_read_is_an_error(open_directory: Path) -> None:
    """Without leave to read there is an error, and not a wrong word about its format."""
    path = make_database(open_directory / "app.db", [])
    path.chmod(0o000)
    open_directory.chmod(0o755)

    with as_nobody(), pytest.raises(DatabaseError, match=r"unable to open|Permission denied") as caught:
        SQLiteDatabase(path, read_only=True)

    assert not isinstance(caught.value, DatabaseUnsupportedError)


def test_a_damaged_page_is_an_error(path: Path) -> None:
    """A database whose pages are garbage says that it is damaged."""
    make_database(path, [cell(payload(9000, number)) for number in range(40)], journal="delete")
    data = bytearray(path.read_bytes())
    data[4096:] = random.Random(3).randbytes(len(data) - 4096)
    path.write_bytes(data)

    with pytest.raises(DatabaseError, match="damaged"):
        listed(path)


def test_a_database_that_reads_only_does_not_write(path: Path) -> None:
    """Opened for reading, a swap is refused."""
    make_database(path, ["x" * 100])
    with SQLiteDatabase(path, read_only=True) as database:
        (found,) = database.candidates(BODY, larger_than=0, scope=EVERYTHING)

        with pytest.raises(DatabaseError):
            database.swap([edit(found, b"y")], stamp=None)

    assert ["x" * 100] == bodies(path)


def test_a_closed_database_is_one_file(path: Path, store: BlobStore) -> None:
    """Neither looking nor writing leaves companions beside a database that nobody else uses."""
    make_database(path, [cell(payload(9000))])
    listed(path)
    looked = sorted(found.name for found in path.parent.glob("app.db*"))
    move_out(path, store)

    assert ["app.db"] == looked
    assert ["app.db"] == sorted(found.name for found in path.parent.glob("app.db*"))


# Candidates


def test_candidates_are_texts_and_blobs_above_a_size(path: Path) -> None:
    """Only text and blobs of more bytes than the limit count; bytes, not characters."""
    make_database(path, ["x" * 100, "x" * 101, b"\0" * 101, 12345678901, 1.5, None, "", "ü" * 51, "x\0" * 60])

    assert [(2, 101), (3, 101), (8, 102), (9, 120)] == [(c.key, c.size) for c in listed(path, larger_than=100)]


def test_candidates_come_in_pages(path: Path) -> None:
    """More rows than a page are listed once each, in the order of their keys, and measured alike."""
    make_database(path, ["x" * (number % 7) for number in range(1700)])
    expected = [number + 1 for number in range(1700) if number % 7 > 3]

    with SQLiteDatabase(path) as database:
        found = [c.key for c in database.candidates(BODY, larger_than=3, scope=EVERYTHING)]
        measured = database.measure(BODY, larger_than=3, scope=EVERYTHING)

    assert expected == found
    assert (len(expected), sum((key - 1) % 7 for key in expected)) == measured


ROWIDS = [-(2**63), -(2**63) + 1, -5_000_000_000, -1, 0, 1, 2**31, 2**63 - 2, 2**63 - 1]


def test_every_rowid_is_found(path: Path, store: BlobStore) -> None:
    """Rows with negative, huge and extreme rowids move out and come back."""
    make_database(path, [])
    with opened(path) as db:
        for rowid in ROWIDS:
            db.execute("INSERT INTO doc VALUES (?,?)", (rowid, cell(payload(9000, rowid))))
    before = dump(path)

    assert ROWIDS == [found.key for found in listed(path)]
    assert len(ROWIDS) == move_out(path, store).cells_swapped
    assert len(ROWIDS) == put_back(path, store).cells_restored
    assert before == dump(path)


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE doc (id INTEGER PRIMARY KEY, rowid TEXT DEFAULT 7, body TEXT)",
        'CREATE TABLE doc (id, "_ROWID_" TEXT DEFAULT 7, RowId TEXT DEFAULT 8, body TEXT)',
        "CREATE TABLE doc (id TEXT PRIMARY KEY, body)",
        "CREATE TABLE doc (id INT PRIMARY KEY DESC, body BLOB)",
        "CREATE TABLE doc (id, part, body TEXT, PRIMARY KEY (id, part))",
        "CREATE TABLE doc (id ANY, body TEXT) STRICT",
        "CREATE TABLE doc (id, body VARCHAR(10) COLLATE NOCASE UNIQUE)",
        "CREATE TABLE doc (id, body JSON NOT NULL CHECK (json_valid(body)))",
    ],
)
def test_tables_of_many_kinds_move_out_and_come_back(path: Path, store: BlobStore, schema: str) -> None:
    """Whatever the table declares, its cells move out, resolve, and are restored byte for byte."""
    make_database(path, [cell(payload(9000, number)) for number in range(5)], schema=schema)
    before = dump(path)

    out = move_out(path, store)
    moved = refs(path)
    back = put_back(path, store)

    assert (5, 5, 5) == (out.cells_swapped, len(moved), back.cells_restored)
    assert before == dump(path)


def test_names_of_any_kind_are_quoted(path: Path, store: BlobStore) -> None:
    """Table and column names with quotes, spaces and key words are taken as they are."""
    table, name = 'or"der by; --', 'select "x"'
    with opened(path) as db:
        quoted = [word.replace('"', '""') for word in (table, name)]
        db.execute(f'CREATE TABLE "{quoted[0]}" ("group" TEXT PRIMARY KEY, "{quoted[1]}" TEXT)')
        db.execute(f'INSERT INTO "{quoted[0]}" VALUES (?,?)', ("one", cell(payload(9000))))
    before = dump(path)
    column = Column(table, name)
    with SQLiteDatabase(path) as database:
        database.check_column(column)
        (found,) = database.candidates(column, larger_than=0, scope=EVERYTHING)

        assert f"{table}:{name} one" == database.label(found)
        assert found == database.find(column, "one")
    assert 1 == move_out(path, store, column).cells_swapped
    assert 1 == put_back(path, store, column).cells_restored
    assert before == dump(path)


# Scope


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """An OpenCode with four sessions of two parts each; session 0 was active on day 100, each next a day earlier."""
    return make_opencode(tmp_path / "opencode.db", sessions=4, parts=2, size=9000, now_ms=100 * DAY_MS)


def sessions_of(path: Path, scope: Scope) -> list[list[str]]:
    """The sessions of the candidates of `part` and of `event`."""
    with SQLiteDatabase(path, read_only=True) as database:
        return [
            sorted({database.row_names(found)[1] for found in database.candidates(column, larger_than=0, scope=scope)})
            for column in (PART, EVENT)
        ]


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (Scope(session_table=SESSIONS), "0123"),
        (Scope(sessions=("ses_1",), session_table=SESSIONS), "1"),
        (Scope(sessions=("ses_3", "ses_1", "ses_x"), session_table=SESSIONS), "13"),
        (Scope(keep_newest=1, session_table=SESSIONS), "123"),
        (Scope(keep_newest=3, session_table=SESSIONS), "3"),
        (Scope(keep_newest=99, session_table=SESSIONS), ""),
        (Scope(updated_before_ms=100 * DAY_MS, session_table=SESSIONS), "123"),
        (Scope(updated_before_ms=98 * DAY_MS + 1, session_table=SESSIONS), "23"),
        (Scope(updated_before_ms=0, session_table=SESSIONS), ""),
        (Scope(("ses_0", "ses_1", "ses_2"), 100 * DAY_MS, 2, SESSIONS), "2"),
    ],
)
def test_a_scope_means_rows_and_their_events_alike(host: Path, scope: Scope, expected: str) -> None:
    """Sessions by name, all but the newest, and those before a time; an event has its session's time."""
    names = [f"ses_{number}" for number in expected]

    assert [names, names] == sessions_of(host, scope)


def test_a_row_has_its_own_time(host: Path) -> None:
    """A part that changed lately in an old session is as young as its change."""
    with opened(host) as db:
        db.execute("UPDATE part SET time_updated=? WHERE id='prt_3_0'", (200 * DAY_MS,))
    scope = Scope(updated_before_ms=150 * DAY_MS, session_table=SESSIONS)

    keys = {
        query(host, "SELECT id FROM part WHERE rowid=?", int(str(c.key)))[0][0] for c in listed(host, PART, scope=scope)
    }

    assert "prt_3_0" not in keys
    assert 7 == len(keys)


def test_rows_of_no_session_are_left_by_a_scope_of_sessions(host: Path) -> None:
    """An event of a session that is gone belongs to none: it stays out of what keeps or names sessions."""
    with opened(host) as db:
        db.execute("DELETE FROM session WHERE id='ses_3'")

    assert [["ses_3"], ["ses_3"]] == sessions_of(host, Scope(("ses_3",), session_table=SESSIONS))
    assert [["ses_1", "ses_2", "ses_3"]] * 2 == sessions_of(host, Scope(keep_newest=1, session_table=SESSIONS))


@pytest.mark.parametrize(
    "scope",
    [
        Scope(sessions=("ses_1",)),
        Scope(keep_newest=1),
        Scope(updated_before_ms=1),
        Scope(sessions=("ses_1",), session_table=SESSIONS),
        Scope(updated_before_ms=1, session_table=SESSIONS),
    ],
)
def test_a_scope_that_a_table_cannot_be_judged_by_is_refused(path: Path, scope: Scope) -> None:
    """Where rows have no session or time, a scope that needs one is an error and never means all rows."""
    make_database(path, ["x" * 100])

    with pytest.raises(DatabaseUnsupportedError, match="doc"):
        listed(path, scope=scope)


def test_offload_and_restore_keep_to_their_scope(host: Path, store: BlobStore) -> None:
    """Only the named session's rows change, in both directions."""
    before = dump(host)
    columns = opencode_profile(host).columns
    scope = Scope(sessions=("ses_2",), session_table=SESSIONS)

    moved = move_out(host, store, *columns, scope=scope)
    named = {ref.digest for ref in refs(host)}
    untouched = put_back(host, store, *columns, scope=Scope(sessions=("ses_1",), session_table=SESSIONS))
    back = put_back(host, store, *columns, scope=scope)

    assert (4, 2, 2) == (moved.cells_swapped, moved.blobs_new, len(named))
    assert (0, 4) == (untouched.cells_restored, back.cells_restored)
    assert before == dump(host)


# Reading


@pytest.mark.parametrize(
    "body",
    [
        pytest.param("x", id="one byte"),
        pytest.param("é→🙂" * 300_000, id="multi-byte text"),
        pytest.param(payload(3_000_001), id="blob"),
        pytest.param("\0" * 2_000_000, id="NULs"),
        pytest.param("head\0tail" * 1000, id="NULs inside"),
    ],
)
def test_cells_are_read_in_pieces(path: Path, body: str | bytes) -> None:
    """The pieces of a cell are its bytes, in order, each of a bounded size; any part can be had."""
    make_database(path, ["first", body, "last"])
    expected = body.encode() if isinstance(body, str) else body
    with SQLiteDatabase(path) as database, database.cells() as cells:
        (_, found, *_) = database.candidates(BODY, larger_than=0, scope=EVERYTHING)
        reader = cells.open(found)
        pieces = list(reader.read(0, reader.size))
        middle = b"".join(reader.read(len(expected) // 3, len(expected) // 2))

        assert len(expected) == reader.size == found.size
        assert expected == b"".join(pieces)
        assert 1_000_000 >= max(map(len, pieces))
        assert expected[len(expected) // 3 : len(expected) // 2] == middle
        assert [] == list(reader.read(reader.size, reader.size))


def test_text_of_no_valid_encoding_moves_out_and_comes_back(path: Path, store: BlobStore) -> None:
    """Bytes that are no UTF-8 inside a text cell stay exactly these bytes, and the cell stays text."""
    make_database(path, [None])
    head = b'{"note":"\xff\xfe\xc3(\xed\xa0\x80","url":"'
    raw = head + data_url(payload(9000)).encode() + b'"}'
    with opened(path) as db:
        db.execute("UPDATE doc SET body=CAST(? AS TEXT)", (raw,))

    moved = move_out(path, store)
    out = query(path, "SELECT CAST(body AS BLOB) FROM doc WHERE CAST(body AS BLOB)>=?", head)
    put_back(path, store)

    assert (1, 1) == (moved.cells_swapped, len(out))
    assert [("text", raw)] == query(path, "SELECT typeof(body), CAST(body AS BLOB) FROM doc")


@pytest.mark.parametrize(
    "change",
    [
        "DELETE FROM doc WHERE id=2",
        "UPDATE doc SET body=NULL WHERE id=2",
        "UPDATE doc SET body=7 WHERE id=2",
    ],
)
def test_a_row_that_went_away_cannot_be_read(path: Path, change: str) -> None:
    """A cell that is gone, or neither text nor blob any more, is an error of that cell; the next one reads."""
    schema = "CREATE TABLE doc (id INTEGER PRIMARY KEY, body)"
    make_database(path, ["one" * 100, "two" * 100, "three" * 100], schema=schema)
    with SQLiteDatabase(path) as database, database.cells() as cells:
        first, second, third = database.candidates(BODY, larger_than=0, scope=EVERYTHING)
        cells.open(first)
        cells.release()
        with Neighbour(path) as neighbour:
            neighbour.execute(change)

        with pytest.raises(CellError):
            cells.open(second)
        assert b"three" * 100 == b"".join(cells.open(third).read(0, 500))
        assert [True, False, True] == [database.find_again(found) for found in (first, second, third)]


def test_reading_sees_one_state_of_a_cell(path: Path) -> None:
    """A cell that another process changes while it is read comes as it was, or as an error; never mixed."""
    make_database(path, ["a" * 2_000_000])
    with SQLiteDatabase(path) as database, database.cells() as cells:
        (found,) = database.candidates(BODY, larger_than=0, scope=EVERYTHING)
        pieces = cells.open(found).read(0, found.size)
        seen = [next(pieces)]
        with Neighbour(path) as neighbour:
            neighbour.execute("UPDATE doc SET body=?", "b" * 2_000_000)
        with suppress(CellError):
            seen += pieces

    assert {b"a"} == {piece[:1] for piece in seen} | {piece[-1:] for piece in seen}


def test_a_released_reader_holds_nothing(path: Path) -> None:
    """After release another process can take the database for itself."""
    make_database(path, ["a" * 1000], journal="delete")
    with SQLiteDatabase(path) as database, database.cells() as cells:
        (found,) = database.candidates(BODY, larger_than=0, scope=EVERYTHING)
        list(cells.open(found).read(0, 10))
        cells.release()
        with Neighbour(path, patience_s=0) as neighbour:
            neighbour.execute("BEGIN EXCLUSIVE")
            neighbour.execute("UPDATE doc SET body='new'")
            neighbour.execute("COMMIT")

    assert ["new"] == bodies(path)


# Names of rows


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        (DOC_SCHEMA, "doc:body 1"),
        ("CREATE TABLE doc (id TEXT PRIMARY KEY, body TEXT)", "doc:body 1"),
        ("CREATE TABLE doc (id, body)", "doc:body 1"),
        ("CREATE TABLE doc (id, n DEFAULT 5, body, PRIMARY KEY (id, n))", "doc:body 1"),
    ],
)
def test_rows_are_named_by_their_key(path: Path, schema: str, expected: str) -> None:
    """A row's label is its primary key if that is one column, else its rowid; find takes it back."""
    make_database(path, ["x" * 100], schema=schema)
    with SQLiteDatabase(path) as database:
        (found,) = database.candidates(BODY, larger_than=0, scope=EVERYTHING)

        assert expected == database.label(found)
        assert found == database.find(BODY, database.row_names(found)[0])
        assert database.find(BODY, "nobody") is None


def test_sizes_of_tables_are_told_without_reading(host: Path) -> None:
    """Rows and bytes of every ordinary table."""
    with SQLiteDatabase(host, read_only=True) as database:
        sizes = database.table_sizes()

    lengths = sum(len(str(value).encode()) for row in query(host, "SELECT * FROM part") for value in row)
    assert 8 == sizes["part"][0]
    assert 0 <= lengths - sizes["part"][1] < 8 * 2 * 16
    assert {"session", "message", "event", "event_sequence"} <= sizes.keys()


# Swapping


@pytest.fixture
def letters(path: Path) -> Path:
    """Five rows: text and blobs."""
    return make_database(path, ["a" * 300, b"b" * 300, "c" * 300, b"d" * 300, "e" * 300])


@pytest.mark.parametrize("size", [0, 10, 5_000_000])
def test_a_swapped_cell_keeps_its_type(letters: Path, size: int) -> None:
    """Text stays text and a blob stays a blob, whether the new content is small, empty or streamed."""
    new = b"n" * size
    with SQLiteDatabase(letters) as database:
        stamp = database.stamp()
        text, blob, *_ = database.candidates(BODY, larger_than=0, scope=EVERYTHING)
        results = database.swap([edit(text, new), edit(blob, new)], stamp=stamp)

        assert [Outcome.SWAPPED] * 2 == [result.outcome for result in results]
        assert 0 < database.longest_transaction_s
    assert [("text", new), ("blob", new), ("text", b"c" * 300)] == [content(letters, key) for key in (1, 2, 3)]


def test_nothing_is_read_again_when_nobody_wrote(letters: Path) -> None:
    """As long as no other process writes, cells are swapped without a second look, batch after batch."""
    asked: list[int] = []

    def unchanged(reader: CellReader) -> bool:
        asked.append(reader.size)
        return True

    with SQLiteDatabase(letters) as database:
        for found in list(database.candidates(BODY, larger_than=0, scope=EVERYTHING)):
            stamp = database.stamp()
            database.swap([edit(found, b"new", unchanged=unchanged)], stamp=stamp)
            database.swap([edit(found, b"newer", unchanged=unchanged)], stamp=stamp)

    assert [] == asked
    assert {"newer", b"newer"} == set(bodies(letters))


def test_every_cell_is_looked_at_again_when_somebody_wrote(letters: Path) -> None:
    """After any foreign commit each cell of the batch is compared inside the transaction."""
    asked: list[bytes] = []

    def unchanged(reader: CellReader) -> bool:
        asked.append(b"".join(reader.read(0, 1)))
        return asked[-1] != b"c"

    with SQLiteDatabase(letters) as database:
        stamp = database.stamp()
        cells = list(database.candidates(BODY, larger_than=0, scope=EVERYTHING))
        with Neighbour(letters) as neighbour:
            neighbour.execute("INSERT INTO doc (body) VALUES ('other')")
        results = database.swap([edit(found, b"new", unchanged=unchanged) for found in cells], stamp=stamp)

    swapped, changed = Outcome.SWAPPED, Outcome.CHANGED
    assert [b"a", b"b", b"c", b"d", b"e"] == asked
    assert [swapped, swapped, changed, swapped, swapped] == [result.outcome for result in results]
    assert ["new", b"new", "c" * 300, b"new", "new", "other"] == bodies(letters)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ("UPDATE doc SET body='theirs' WHERE id=3", "theirs"),
        ("UPDATE doc SET body=NULL WHERE id=3", None),
        ("UPDATE doc SET body=42 WHERE id=3", "42"),
        ("DELETE FROM doc WHERE id=3", "no row"),
    ],
)
def test_what_another_process_wrote_survives(letters: Path, change: str, expected: object) -> None:
    """A cell that changed between read and swap keeps the other's content; the rows beside it are swapped."""

    def is_old(reader: CellReader) -> bool:
        return b"".join(reader.read(0, reader.size))[-1:] in b"abcde"

    with SQLiteDatabase(letters) as database:
        stamp = database.stamp()
        cells = list(database.candidates(BODY, larger_than=0, scope=EVERYTHING))
        with Neighbour(letters) as neighbour:
            neighbour.execute(change)
        results = database.swap([edit(found, b"new", unchanged=is_old) for found in cells], stamp=stamp)

    actual = [body for (body,) in query(letters, "SELECT body FROM doc WHERE id=3")] or ["no row"]
    assert [Outcome.CHANGED] == [result.outcome for result in results if result.edit.cell.key == 3]
    assert [expected] == actual
    assert ["new", b"new"] == bodies(letters)[:2]


def test_an_edit_that_fails_leaves_its_cell_alone(letters: Path) -> None:
    """Content that cannot be had, or has another size than announced, costs one edit; the others are done."""

    def broken() -> Iterator[bytes]:
        yield b"half"
        raise CellError("gone")

    with SQLiteDatabase(letters) as database:
        stamp = database.stamp()
        one, two, three, *_ = database.candidates(BODY, larger_than=0, scope=EVERYTHING)
        edits = [
            Edit(one, 100, broken, lambda _: True),
            Edit(two, 5_000_000, broken, lambda _: True),
            Edit(three, 5_000_000, lambda: iter([b"short"]), lambda _: True),
            edit(one, b"new"),
        ]
        results = database.swap(edits, stamp=stamp)

    assert [CellError, CellError, CellError, type(None)] == [type(result.error) for result in results]
    assert ["new", b"b" * 300, "c" * 300] == bodies(letters)[:3]


@pytest.mark.parametrize("action", ["ABORT, 'no'", "FAIL, 'no'", "IGNORE"])
def test_a_trigger_that_refuses_keeps_only_its_row(path: Path, store: BlobStore, action: str) -> None:
    """A row that a trigger protects stays inline and is reported; every other row moves."""
    make_database(path, [cell(payload(9000, number)) for number in range(5)])
    with opened(path) as db:
        db.execute(f"CREATE TRIGGER guard BEFORE UPDATE ON doc WHEN old.id=3 BEGIN SELECT RAISE({action}); END")
    before = bodies(path)

    report = move_out(path, store)

    assert 4 == report.cells_swapped
    assert not report.complete
    assert (1, 4) == (len([1 for now, then in zip(bodies(path), before, strict=True) if now == then]), len(refs(path)))
    assert before[2] == bodies(path)[2]


def test_a_trigger_that_rolls_back_is_an_error_in_words(path: Path, store: BlobStore) -> None:
    """If the database undoes our transaction itself, the pass ends with its words and no row is lost."""
    make_database(path, [cell(payload(9000, number)) for number in range(5)])
    with opened(path) as db:
        db.execute(
            "CREATE TRIGGER guard BEFORE UPDATE ON doc WHEN old.id=3 BEGIN SELECT RAISE(ROLLBACK, 'keep out'); END"
        )
    before = bodies(path)

    with pytest.raises(DatabaseError, match="keep out"):
        move_out(path, store)

    assert before == bodies(path)


def test_what_a_trigger_writes_survives(path: Path, store: BlobStore) -> None:
    """A row that the database's own trigger changes when another one is swapped keeps what the trigger wrote."""
    make_database(path, [cell(payload(9000, number)) for number in range(4)])
    with opened(path) as db:
        db.execute(
            "CREATE TRIGGER t AFTER UPDATE ON doc WHEN new.id=1 BEGIN UPDATE doc SET body='{\"new\":1}' WHERE id=3; END"
        )

    report = move_out(path, store)

    assert '{"new":1}' == bodies(path)[2]
    assert 3 == len(refs(path))
    assert [] == unresolved(path, Path(store.url))
    assert 3 == report.cells_swapped


def test_a_failing_foreign_key_is_an_error_and_no_row_is_lost(path: Path, store: BlobStore) -> None:
    """A database that refuses our commit gives an error in its words and keeps every row."""
    make_database(
        path,
        [cell(payload(9000, number)) for number in range(3)],
        schema="CREATE TABLE doc (id, body TEXT REFERENCES other(key) DEFERRABLE INITIALLY DEFERRED);"
        "CREATE TABLE other (key TEXT PRIMARY KEY)",
    )
    before = bodies(path)

    with pytest.raises(DatabaseError, match="FOREIGN KEY"):
        move_out(path, store)

    assert before == bodies(path)


def test_a_lock_that_does_not_end_is_an_error(letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process keeps the write lock, the error says so, and nothing of ours is half done."""
    monkeypatch.setattr("ocblob.databases.sqlite.connection.BUSY_TIMEOUT_MS", 20)
    before = bodies(letters)
    with SQLiteDatabase(letters) as database, Neighbour(letters) as neighbour:
        stamp = database.stamp()
        cells = list(database.candidates(BODY, larger_than=0, scope=EVERYTHING))
        neighbour.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseLockedError) as caught:
            database.swap([edit(found, b"new") for found in cells], stamp=stamp)
        neighbour.execute("ROLLBACK")
        assert before == bodies(letters)
        database.swap([edit(cells[0], b"new")], stamp=stamp)

    assert caught.value.hint
    assert ["new", *before[1:]] == bodies(letters)


def test_a_long_batch_is_several_transactions(letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a transaction has lasted long enough it is committed; another process gets its turn between two."""
    monkeypatch.setattr("ocblob.databases.sqlite.swapping.TRANSACTION_S", -1)
    counts: list[int] = []
    with SQLiteDatabase(letters) as database, Neighbour(letters) as neighbour:
        stamp = database.stamp()
        cells = list(database.candidates(BODY, larger_than=0, scope=EVERYTHING))

        def look() -> Iterator[bytes]:
            ((count,),) = neighbour.execute("SELECT count(*) FROM doc WHERE CAST(body AS TEXT)='new'")
            counts.append(count)
            yield b"new"

        results = database.swap([Edit(found, 3, look, lambda _: True) for found in cells], stamp=stamp)

    assert [0, 1, 2, 3, 4] == counts
    assert 5 == len(results)


def test_a_large_cell_is_compared_while_nobody_waits(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a foreign write a large cell is read again before our transaction, wherever it stands in the batch."""
    monkeypatch.setattr("ocblob.databases.sqlite.swapping.LARGE_CELL_BYTES", 1000)
    make_database(path, ["a" * 100, "b" * 2000, "c" * 100, "d" * 2000, "e" * 2000])
    seen: list[str] = []
    with SQLiteDatabase(path) as database, Neighbour(path, patience_s=0) as neighbour:
        stamp = database.stamp()
        cells = list(database.candidates(BODY, larger_than=0, scope=EVERYTHING))
        neighbour.execute("INSERT INTO doc (body) VALUES ('theirs')")

        def unchanged(reader: CellReader) -> bool:
            try:
                neighbour.execute("BEGIN IMMEDIATE")
                neighbour.execute("ROLLBACK")
                seen.append(f"{reader.size} free")
            except NeighbourError:
                seen.append(f"{reader.size} locked")
            return True

        results = database.swap([edit(found, b"new", unchanged=unchanged) for found in cells], stamp=stamp)

    assert [Outcome.SWAPPED] * 5 == [result.outcome for result in results]
    assert ["2000 free"] * 3 == [what for what in seen if what.startswith("2000")]
    assert ["new"] * 5 == bodies(path)[:5]


def test_a_flush_syncs_the_wal(letters: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was committed is in the WAL, and flush makes that file durable."""
    synced: list[str] = []
    real = os.fsync

    def fsync(fd: int) -> None:
        synced.append(Path(f"/dev/fd/{fd}").resolve().name)
        real(fd)

    with SQLiteDatabase(letters) as database:
        stamp = database.stamp()
        (found, *_) = database.candidates(BODY, larger_than=0, scope=EVERYTHING)
        database.swap([edit(found, b"new")], stamp=stamp)
        monkeypatch.setattr(os, "fsync", fsync)
        database.flush()

    assert ["app.db-wal"] == synced


# Whole passes


@pytest.mark.parametrize("journal", ["wal", "delete", "truncate", "persist"])
@pytest.mark.parametrize("size", [9000, LARGE])
def test_every_journal_mode_works(path: Path, store: BlobStore, journal: str, size: int) -> None:
    """Rows move out and come back byte for byte in any journal mode, which stays as it is."""
    make_database(path, [cell(payload(size, number), note="ünï\\u0000") for number in range(3)], journal=journal)
    before = dump(path)

    out, back = move_out(path, store), put_back(path, store)

    kept = journal if journal == "wal" else "delete"
    assert (3, 3, True, True) == (out.cells_swapped, back.cells_restored, out.complete, back.complete)
    assert before == dump(path)
    assert [(kept,)] == query(path, "PRAGMA journal_mode")


LARGE_CELL_SCHEMAS = {
    "an index": f"{DOC_SCHEMA}; CREATE INDEX i ON doc (body)",
    "an expression index": f"{DOC_SCHEMA}; CREATE INDEX i ON doc (json_extract(body, '$.mime'))",
    "a partial index": f"{DOC_SCHEMA}; CREATE INDEX i ON doc (id) WHERE body LIKE '%x%'",
    "a unique column": "CREATE TABLE doc (id INTEGER PRIMARY KEY, body TEXT UNIQUE)",
    "a check": "CREATE TABLE doc (id INTEGER PRIMARY KEY, body TEXT CHECK (json_valid(body)))",
    "a check of its length": "CREATE TABLE doc (id INTEGER PRIMARY KEY, body TEXT CHECK (length(body) > 10))",
    "a foreign key": "CREATE TABLE o (k PRIMARY KEY); CREATE TABLE doc (id INTEGER PRIMARY KEY, k REFERENCES o, body)",
    "strict": "CREATE TABLE doc (id INTEGER PRIMARY KEY, body TEXT) STRICT",
    "no declared type": "CREATE TABLE doc (id INTEGER PRIMARY KEY, body)",
}


@pytest.mark.parametrize("schema", LARGE_CELL_SCHEMAS.values(), ids=LARGE_CELL_SCHEMAS)
def test_large_cells_come_back_on_any_schema(path: Path, store: BlobStore, schema: str) -> None:
    """A cell of megabytes is restored byte for byte although indexes, checks and keys forbid to stream into it."""
    make_database(path, [cell(payload(size, size)) for size in (LARGE, 9000)], schema=schema)
    before = dump(path)

    out, back = move_out(path, store), put_back(path, store)

    assert (2, 2) == (out.cells_swapped, back.cells_restored)
    assert [] == back.problems
    assert before == dump(path)
    assert "ok" == integrity(path)


def test_triggers_see_what_is_written(path: Path, store: BlobStore) -> None:
    """A trigger that copies new content, as search indexes do, never sees anything but real content."""
    make_database(path, [cell(payload(size, size)) for size in (LARGE, 9000)])
    with opened(path) as db:
        db.execute("CREATE TABLE log (body TEXT)")
        db.execute("CREATE TRIGGER t AFTER UPDATE ON doc BEGIN INSERT INTO log VALUES (new.body); END")
    before = bodies(path)

    move_out(path, store)
    moved = bodies(path)
    put_back(path, store)

    assert before == bodies(path)
    assert [*moved, *before] == [body for (body,) in query(path, "SELECT body FROM log ORDER BY rowid")]


def test_cells_of_nothing_but_nuls_stay(path: Path, store: BlobStore) -> None:
    """A column full of NULs holds no payloads: nothing moves, nothing fails, nothing changes."""
    make_database(path, ["\0" * 100_000, b"\0" * 100_000, cell(payload(9000)) + "\0", "\0" + cell(payload(9000, 1))])
    before = dump(path)

    report = move_out(path, store)

    assert before == dump(path)
    assert (0, 0) == (report.cells_swapped, report.failed)


def test_payloads_in_blob_cells_move_too(path: Path, store: BlobStore) -> None:
    """JSON that a host keeps in a blob is offloaded and restored as a blob."""
    make_database(path, [cell(payload(9000)).encode()])
    before = dump(path)

    assert 1 == move_out(path, store).cells_swapped
    assert [("blob",)] == query(path, "SELECT typeof(body) FROM doc")
    assert 1 == put_back(path, store).cells_restored
    assert before == dump(path)


def swap_after(monkeypatch: pytest.MonkeyPatch, interfere: Callable[[int], object]) -> None:
    """Let `interfere(n)` run just before the n-th swap of rows, when all was read and stored."""
    real = SQLiteDatabase.swap
    calls = iter(range(1000))

    def swap(database: SQLiteDatabase, edits: Sequence[Edit], *, stamp: object) -> list[EditResult]:
        interfere(next(calls))
        return real(database, edits, stamp=stamp)

    monkeypatch.setattr(SQLiteDatabase, "swap", swap)


def test_a_row_that_changes_before_its_swap_is_looked_at_again(
    path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What another process writes between read and swap survives, and the same pass moves its payload out."""
    make_database(path, [cell(payload(9000, number)) for number in range(3)])
    theirs = cell(payload(12_000, "theirs"), note="theirs")
    expected = [bodies(path)[0], theirs, bodies(path)[2]]
    with Neighbour(path) as neighbour:

        def interfere(number: int) -> None:
            if number == 0:
                neighbour.execute("UPDATE doc SET body=? WHERE id=2", theirs)

        swap_after(monkeypatch, interfere)
        report = move_out(path, store)
        monkeypatch.undo()

        assert (3, 3, 0, True) == (report.cells_swapped, report.payloads, report.changed, report.complete)
        assert 3 == put_back(path, store).cells_restored
    assert expected == bodies(path)


def test_a_row_that_keeps_changing_is_left_to_the_next_pass(
    path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row that changes at each look keeps its latest content, is counted, and the pass is not complete."""
    make_database(path, [cell(payload(9000, number)) for number in range(3)])
    latest: list[str] = []
    with Neighbour(path) as neighbour:

        def interfere(number: int) -> None:
            latest.append(cell(payload(9000, f"theirs {number}")))
            neighbour.execute("UPDATE doc SET body=? WHERE id=2", latest[-1])

        swap_after(monkeypatch, interfere)
        report = move_out(path, store)

    assert (2, 1, False) == (report.cells_swapped, report.changed, report.complete)
    assert latest[-1] == bodies(path)[1]


def test_a_row_that_is_deleted_before_its_swap_is_no_trouble(
    path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that the user deletes meanwhile stays deleted, and the pass is complete without it."""
    make_database(path, [cell(payload(9000, number)) for number in range(3)])
    with Neighbour(path) as neighbour:
        swap_after(monkeypatch, lambda _: neighbour.execute("DELETE FROM doc WHERE id=2"))
        report = move_out(path, store)

    assert (2, 0, True) == (report.cells_swapped, report.failed, report.complete)
    assert [(1,), (3,)] == query(path, "SELECT id FROM doc")


def test_restore_leaves_what_another_process_wrote(
    path: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ref that is overwritten while it is restored is gone for good; the others come back."""
    make_database(path, [cell(payload(9000, number)) for number in range(3)])
    before = bodies(path)
    move_out(path, store)
    with Neighbour(path) as neighbour:
        swap_after(monkeypatch, lambda _: neighbour.execute("UPDATE doc SET body='theirs' WHERE id=2"))
        report = put_back(path, store)

    assert (2, 1, False) == (report.cells_restored, report.changed, report.complete)
    assert [before[0], "theirs", before[2]] == bodies(path)


def test_nothing_moves_twice(path: Path, store: BlobStore) -> None:
    """A second pass finds refs only, changes nothing and says so."""
    make_database(path, [cell(payload(9000, number)) for number in range(3)])
    move_out(path, store)
    before = dump(path)

    report = move_out(path, store)

    assert (0, 0, 0) == (report.cells_swapped, report.payloads, report.blobs_new)
    assert before == dump(path)


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system with room for three megabytes."""
    with small_disk(tmp_path / "small", 3 * 1024 * 1024) as at:
        yield at


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("sizes", [[60_000] * 40, [2_400_000]], ids=["many small", "one large"])
def test_a_restore_without_room_loses_nothing(
    full_disk: Path, store: BlobStore, journal: str, sizes: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too little room is seen before, or ends the restore in words; every ref still resolves, and room cures it."""
    elsewhere = make_database(full_disk.parent / "app.db", [cell(payload(n, i)) for i, n in enumerate(sizes)])
    before = dump(elsewhere)
    move_out(elsewhere, store)
    with opened(elsewhere) as db:
        db.execute("VACUUM")
    path = full_disk / "app.db"
    path.write_bytes(elsewhere.read_bytes())
    query(path, f"PRAGMA journal_mode={journal}")

    with pytest.raises(DatabaseError, match="no room"):
        put_back(path, store)
    refused = len(refs(path))
    monkeypatch.setattr(SQLiteDatabase, "room", lambda _: 10**12)
    with pytest.raises(DatabaseError, match="full"):
        put_back(path, store)

    assert len(sizes) == refused
    assert "ok" == integrity(path)
    assert [] == unresolved(path, Path(store.url))
    remount(full_disk, "size=30m")
    put_back(path, store)
    assert before == dump(path)


def test_the_neighbour_is_a_real_one(letters: Path) -> None:
    """The second process sees our commits and we see its; its errors come back as errors."""
    with Neighbour(letters) as neighbour:
        neighbour.execute("UPDATE doc SET body=? WHERE id=?", "theirs", 1)

        assert "theirs" == bodies(letters)[0]
        assert [[5]] == neighbour.execute("SELECT count(*) FROM doc")
        with pytest.raises(NeighbourError):
            neighbour.execute("SELECT nonsense")


def test_files_keep_their_mode(letters: Path, store: BlobStore) -> None:
    """A pass changes neither a database's permissions nor those of its companions."""
    letters.chmod(0o640)

    move_out(letters, store)

    assert 0o640 == stat.S_IMODE(letters.stat().st_mode)
