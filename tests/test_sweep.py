import base64
import contextlib
import os
import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from ocblob.databases.base import OVERLAP_BYTES, PIECE_BYTES
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.databases.sqlite import sweep as sweeping
from ocblob.databases.sqlite.connection import connect
from ocblob.errors import DatabaseError, DatabaseLockedError, DatabaseUnsupportedError
from ocblob.marks import NEEDLES, Marks, digests_in, mark
from ocblob.ref import Ref, marker_line
from ocblob.rewrite import reference_text
from processes import Neighbour, as_nobody
from samples import Value, make_database, opened

JOURNALS = ["wal", "delete", "truncate", "persist"]
LONG = 20_000_000


def digest(number: int) -> bytes:
    """The digest of a blob."""
    return number.to_bytes(4, "big") * 8


def text(number: int) -> str:
    """A file part's JSON with a ref in it."""
    found = reference_text("image/png", Ref(digest(number).hex(), 7, (("store", "3f2a9c01"),)))
    assert found is not None
    return '{"type":"file","url":"data:image/png;base64,' + found.decode("ascii") + '"}'


def make(path: Path, script: str, rows: dict[str, list[tuple[Value, ...]]], *, journal: str = "wal") -> Path:
    """A database by a script, then with rows by their statements."""
    with opened(path) as db:
        db.execute(f"PRAGMA journal_mode={journal}").fetchall()
        db.execute(script).fetchall()
        for statement, values in rows.items():
            db.executemany(statement, values)
    return path


def marked(path: Path) -> set[bytes]:
    """Every digest that a lenient mark finds."""
    with contextlib.closing(Marks()) as marks:
        with SQLiteDatabase(path, read_only=True) as database:
            mark(marks, database)
        return set(marks.digests())


def pieces(path: Path) -> list[bytes]:
    """What a sweep gives."""
    with SQLiteDatabase(path, read_only=True) as database:
        return list(database.sweep(NEEDLES))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a database may be made."""
    return tmp_path / "app.db"


# Where a ref may stand

TABLES = {
    "rowid": ("CREATE TABLE t (id INTEGER PRIMARY KEY, a TEXT)", "INSERT INTO t VALUES (-9223372036854775808, ?)"),
    "last rowid": ("CREATE TABLE t (id INTEGER PRIMARY KEY, a)", "INSERT INTO t VALUES (9223372036854775807, ?)"),
    "without rowid": ("CREATE TABLE t (a TEXT, b, PRIMARY KEY (b)) WITHOUT ROWID", "INSERT INTO t VALUES (?, 1)"),
    "key of without rowid": ("CREATE TABLE t (a TEXT PRIMARY KEY) WITHOUT ROWID", "INSERT INTO t VALUES (?)"),
    "hidden rowid": ("CREATE TABLE t (rowid TEXT, oid TEXT, _rowid_ TEXT)", "INSERT INTO t VALUES ('', '', ?)"),
    "one rowid hidden": ("CREATE TABLE t (rowid TEXT)", "INSERT INTO t VALUES (?)"),
    "strict": ("CREATE TABLE t (a TEXT) STRICT", "INSERT INTO t VALUES (?)"),
    "any column": ("CREATE TABLE t (a INTEGER, b REAL, c BLOB)", "INSERT INTO t VALUES (1, ?, 2)"),
    "generated stored": (
        "CREATE TABLE t (a TEXT, b AS (substr(a, 2)) STORED, c AS (a || 'x'))",
        "INSERT INTO t (a) VALUES (?)",
    ),
    "generated only": (
        "CREATE TABLE t (a TEXT, b TEXT AS (replace(a, '~', '')))",
        "INSERT INTO t (a) VALUES (replace(?, 'b2Nib', 'b2~Nib'))",
    ),
    "quoted names": ('CREATE TABLE "o""dd t" ("a ""b\'" TEXT)', 'INSERT INTO "o""dd t" VALUES (?)'),
    "indexed": ("CREATE TABLE t (a TEXT); CREATE INDEX i ON t (a)", "INSERT INTO t VALUES (?)"),
    "partial index": (
        "CREATE TABLE t (a TEXT, b); CREATE UNIQUE INDEX i ON t (a) WHERE b",
        "INSERT INTO t VALUES (?, 1)",
    ),
    "fts5": ("CREATE VIRTUAL TABLE t USING fts5 (a)", "INSERT INTO t VALUES (?)"),
    "fts4": ("CREATE VIRTUAL TABLE t USING fts4 (a)", "INSERT INTO t VALUES (?)"),
    "rtree": ("CREATE VIRTUAL TABLE t USING rtree (id, a, b, +c TEXT)", "INSERT INTO t VALUES (1, 2, 3, ?)"),
    "many columns": (
        f"CREATE TABLE t ({', '.join(f'c{i}' for i in range(1999))})",
        "INSERT INTO t (c1998) VALUES (?)",
    ),
    "session title": ("CREATE TABLE session (id TEXT, title TEXT NOT NULL)", "INSERT INTO session VALUES ('s', ?)"),
}


@pytest.mark.parametrize("journal", ["wal", "delete"])
@pytest.mark.parametrize("large", [False, True])
@pytest.mark.parametrize("table", TABLES)
def test_every_kind_of_table_is_swept(path: Path, table: str, large: bool, journal: str) -> None:  # noqa: FBT001
    """A ref counts in whatever table and column it stands, in a small cell as in one of more than a piece."""
    schema, statement = TABLES[table]
    before = "x" * (PIECE_BYTES + 12345) if large else "x"
    make(path, schema, {statement: [(before + text(1),)]}, journal=journal)
    assert {digest(1)} == marked(path)


def test_column_added_later_is_swept(path: Path) -> None:
    """A column that is younger than a row counts, and so does its default, whatever its length."""
    make(path, "CREATE TABLE t (a); INSERT INTO t VALUES (1)", {})
    with opened(path) as db:
        db.execute("ALTER TABLE t ADD COLUMN b TEXT; INSERT INTO t VALUES (2, ?)", (text(1),)).fetchall()
        db.execute(f"ALTER TABLE t ADD COLUMN c TEXT DEFAULT '{'x' * 2_000_000}{text(2)}'").fetchall()
        db.execute(f"CREATE VIEW v AS SELECT '{text(3)}'").fetchall()
    assert {digest(1), digest(2), digest(3)} == marked(path)


def test_table_of_an_unknown_module(path: Path) -> None:
    """A virtual table that nobody here can open stops nothing: what it keeps is in ordinary tables."""
    make(path, "CREATE VIRTUAL TABLE t USING fts5 (a)", {"INSERT INTO t VALUES (?)": [(text(1),)]})
    with opened(path) as db:
        db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 0)
        db.execute("PRAGMA writable_schema=ON").fetchall()
        db.execute("UPDATE sqlite_schema SET sql=replace(sql, 'fts5', 'nosuch') WHERE name='t'").fetchall()
    assert {digest(1)} == marked(path)


CELLS: dict[str, tuple[str, Value]] = {
    "nul before": ("?", "a\0b" + text(1)),
    "blob": ("?", text(1).encode("ascii")),
    "blob as text": ("CAST(? AS TEXT)", b"\xff\xfe\0\xc3" + text(1).encode("ascii") + b"\xed\xa0\x80\xff"),
    "bare line": ("?", marker_line(Ref(digest(1).hex(), 7)).decode("ascii")),
    "bare in binary": ("?", b"\0" * 99 + marker_line(Ref(digest(1).hex(), 7)) + b"\xff" * 9),
    "jsonb": ("jsonb(?)", text(1)),
    "json in json": ("json_quote(?)", text(1)),
    "utf-16": ("?", marker_line(Ref(digest(1).hex(), 7)).decode("ascii").encode("utf-16")),
    "shifted": ("?", b"data:;base64," + base64.b64encode(b"\x80" + marker_line(Ref(digest(1).hex(), 7)))),
}


@pytest.mark.parametrize("cell", CELLS)
def test_odd_cells_are_swept(path: Path, cell: str) -> None:
    """NUL bytes, text that is no UTF-8, blobs, JSON inside JSON: a ref in any of them counts."""
    value, binding = CELLS[cell]
    make_database(path, [None, 1, 2.5, "", b"", 2**62])
    with opened(path) as db:
        db.execute(f"INSERT INTO doc (body) VALUES ({value})", (binding,))
    assert {digest(1)} == marked(path)


@pytest.mark.parametrize("where", ["rowid", "without rowid"])
def test_no_ref_is_cut_in_a_large_cell(path: Path, where: str) -> None:
    """Refs around every border of the pieces of a large cell are all found."""
    ref = text(0)
    borders = [at for at in (PIECE_BYTES * i for i in range(1, LONG // PIECE_BYTES + 1)) if at < LONG]
    body, number, expected = bytearray(b"x" * LONG), 0, set()
    for border in borders:
        for near in (border - 2 * len(ref) - number, border - number % len(ref), border + len(ref) + number):
            number += 13
            body[near : near + len(ref)] = text(number).encode("ascii")
            expected.add(digest(number))
    schema, statement = TABLES[where]
    make(path, schema, {statement: [(body[:LONG].decode("ascii"),)]})
    assert expected == marked(path)
    assert max(map(len, pieces(path))) <= PIECE_BYTES + OVERLAP_BYTES


@pytest.mark.parametrize("size", [PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 2 * PIECE_BYTES, 17 * PIECE_BYTES])
@pytest.mark.parametrize("table", ["rowid", "without rowid", "generated stored"])
def test_cells_of_exactly_the_limits(path: Path, table: str, size: int) -> None:
    """A ref at the end of a cell counts when the cell is just as long as a piece, or as several."""
    schema, statement = TABLES[table]
    make(path, schema, {statement: [(text(1).rjust(size),)]})
    assert {digest(1)} == marked(path)


def test_pieces_are_bounded_and_only_those_with_a_needle(path: Path) -> None:
    """Small cells come together, large ones in parts; a part without a needle does not come at all."""
    make_database(path, ["x" * 900_000 + text(1), "y" * 3_000_000, *["z" * 2000] * 1000, "w" * 5_000_000 + text(2)])
    found = pieces(path)
    assert 2 == len(found)
    assert max(map(len, found)) <= 2 * PIECE_BYTES
    assert not any(b"y" * 1000 in piece for piece in found)


def test_short_cells_may_be_left_out(path: Path) -> None:
    """Cells up to a size that nobody asked for are not looked at."""
    make_database(path, ["needle", "a needle"])
    with SQLiteDatabase(path, read_only=True) as database:
        assert [b"a needle"] == list(database.sweep([b"needle"], larger_than=6))
        assert [True] == [b"\0needle\0" in piece for piece in database.sweep([b"needle"])]
        assert [] == list(database.sweep([b"needles"]))


# One state of the database

TWO = "CREATE TABLE a (id INTEGER PRIMARY KEY, t TEXT); CREATE TABLE z (id INTEGER PRIMARY KEY, t TEXT);"
FILLER: list[tuple[Value, ...]] = [(i, f"{'x' * 3000}ocblob") for i in range(1000)]


def swept_with(path: Path, meanwhile: Callable[[int], object]) -> set[bytes]:
    """The digests of a sweep during which something happens after each piece; it may have to wait for a lock."""
    found: set[bytes] = set()
    writer = threading.Thread()
    with SQLiteDatabase(path, read_only=True) as database:
        for number, piece in enumerate(database.sweep(NEEDLES)):
            found.update(digests_in(piece))
            if not writer.is_alive():
                writer = threading.Thread(target=meanwhile, args=(number,))
                writer.start()
                writer.join(0.05)
    writer.join(20)
    return found


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_row_that_moves_meanwhile_is_found(path: Path, journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that another process moves from a table to come into one that was read is not missed."""
    monkeypatch.setattr(sweeping, "LOCK_S", 0.0)
    make(
        path, TWO, {"INSERT INTO a VALUES (?, ?)": FILLER, "INSERT INTO z VALUES (1, ?)": [(text(1),)]}, journal=journal
    )
    with Neighbour(path) as neighbour:

        def move(number: int) -> None:
            if number == 1:
                neighbour.execute("BEGIN")
                neighbour.execute("INSERT INTO a SELECT -5, t FROM z")
                neighbour.execute("DELETE FROM z")
                neighbour.execute("COMMIT")

        assert {digest(1)} == swept_with(path, move)


@pytest.mark.parametrize("table", ["rowid", "without rowid"])
@pytest.mark.parametrize("change", ["DELETE FROM t", "DROP TABLE t", "UPDATE t SET a='short'"])
def test_cell_that_goes_while_it_is_read(path: Path, change: str, table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a WAL, a large cell that goes away between two looks makes the sweep begin again, not fail or end."""
    monkeypatch.setattr(sweeping, "LOCK_S", 0.0)
    monkeypatch.setattr(sweeping, "SLICE_BYTES", PIECE_BYTES)
    schema, statement = TABLES[table]
    bodies: list[tuple[Value, ...]] = [(text(1) * 40_000,)]
    make(path, f"{schema}; CREATE TABLE u (a TEXT)", {statement: bodies, "INSERT INTO u VALUES (?)": [(text(2),)]},
         journal="delete")  # fmt: skip
    with Neighbour(path) as neighbour:

        def go(number: int) -> None:
            if number == 1:
                neighbour.execute(change)

        assert {digest(1), digest(2)} == swept_with(path, go)


def test_database_that_never_rests_is_locked(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a WAL, after three attempts with a writer in between the sweep gives up with an error."""
    monkeypatch.setattr(sweeping, "LOCK_S", 0.0)
    make(path, TWO, {"INSERT INTO a VALUES (?, ?)": FILLER}, journal="delete")
    with Neighbour(path) as neighbour, pytest.raises(DatabaseLockedError, match="each of 3 attempts"):
        swept_with(path, lambda number: neighbour.execute("INSERT INTO z (t) VALUES (?)", str(number)))


@pytest.mark.parametrize("journal", JOURNALS)
def test_writer_is_not_kept_out(path: Path, journal: str) -> None:
    """While a sweep stands between two pieces of a large cell, another process can soon commit."""
    body = text(1) * 40_000
    make(path, TWO, {"INSERT INTO a VALUES (1, ?)": [(body,)]}, journal=journal)
    with Neighbour(path) as neighbour, SQLiteDatabase(path, read_only=True) as database:
        sweep = database.sweep(NEEDLES)
        next(sweep)
        done = threading.Event()

        def write() -> None:
            neighbour.execute("INSERT INTO z (t) VALUES ('x')")
            done.set()

        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        for _ in sweep:
            if done.wait(0.3):
                break
        assert done.wait(5)
        writer.join()


def test_snapshot_of_a_wal_is_not_disturbed(path: Path) -> None:
    """In WAL mode what is committed after the sweep began is not seen, and nothing has to be read twice."""
    make(path, TWO, {"INSERT INTO a VALUES (?, ?)": FILLER, "INSERT INTO z VALUES (1, ?)": [(text(1),)]})
    with Neighbour(path) as neighbour:
        found = swept_with(path, lambda number: neighbour.execute("UPDATE z SET t=?", str(number)))
    assert {digest(1)} == found


# What cannot be read


def test_utf16_database_is_refused(path: Path) -> None:
    """Text that is not UTF-8 would hide refs: the database is refused, also if it became one since it was opened."""
    path.touch()
    with SQLiteDatabase(path, read_only=True) as database:
        make(path, "PRAGMA encoding='UTF-16le'; CREATE TABLE t (a TEXT)", {}, journal="delete")
        with pytest.raises(DatabaseUnsupportedError, match="UTF-16le"):
            list(database.sweep(NEEDLES))
    with pytest.raises(DatabaseUnsupportedError, match="UTF-16le"):
        SQLiteDatabase(path, read_only=True)


@pytest.mark.parametrize("body", ["x" * 3000, "x" * 3_000_000], ids=len)
def test_damaged_page_is_an_error(path: Path, body: str) -> None:
    """A page that is no page any more, of rows or of a long cell's pages, stops the sweep with an error."""
    make_database(path, [body + text(number) for number in range(max(3, 600_000 // len(body)))])
    size = path.stat().st_size
    with SQLiteDatabase(path, read_only=True) as database:
        assert [] != list(database.sweep(NEEDLES))
    damaged = 0
    content = path.read_bytes()
    for at in range(2 * 4096, size, max(4096, size // 60 // 4096 * 4096)):
        path.write_bytes(content[:at] + b"\xff" * 4096 + content[at + 4096 :])
        with SQLiteDatabase(path, read_only=True) as database:
            try:
                list(database.sweep(NEEDLES))
            except DatabaseError:
                damaged += 1
    assert damaged > 40


def test_truncated_file_is_an_error(path: Path) -> None:
    """A file that lost its end is not read as a shorter one."""
    make_database(path, ["x" * 3000 + text(number) for number in range(200)])
    os.truncate(path, path.stat().st_size // 8192 * 4096)
    with pytest.raises(DatabaseError):
        marked(path)


@pytest.mark.parametrize("journal", JOURNALS)
def test_locked_database_is_an_error(path: Path, journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database that another process keeps for itself cannot be swept."""
    monkeypatch.setattr("ocblob.databases.sqlite.connection.BUSY_TIMEOUT_MS", 50)
    make_database(path, [text(1)], journal=journal)
    with SQLiteDatabase(path, read_only=True) as database:
        pass
    with Neighbour(path) as neighbour:
        neighbour.execute("PRAGMA locking_mode=EXCLUSIVE")
        neighbour.execute("BEGIN EXCLUSIVE")
        with pytest.raises(DatabaseLockedError):
            list(database.sweep(NEEDLES))


def test_unreadable_database_is_an_error(path: Path) -> None:
    """A file that may not be read, or is no database, raises ours."""
    make_database(path, [text(1)])
    path.chmod(0)
    with as_nobody(), pytest.raises(DatabaseError):
        pieces(path)
    path.chmod(0o600)
    path.write_bytes(os.urandom(8192))
    with pytest.raises(DatabaseError):
        marked(path)


def test_generated_column_that_fails_is_an_error(path: Path) -> None:
    """A column whose values cannot be computed is not skipped."""
    with opened(path) as db:
        db.create_scalar_function("own", lambda *_values: "x", 1, deterministic=True)
        db.execute("CREATE TABLE t (a TEXT, b AS (own(a))); INSERT INTO t VALUES (?)", (text(1),)).fetchall()
    with pytest.raises(DatabaseError, match="own"):
        marked(path)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_replaced_file_is_an_error(path: Path, journal: str) -> None:
    """A file that was put in the place of the one that is open is not taken for it."""
    make_database(path, [text(1)], journal=journal)
    other = make_database(path.with_name("other.db"), [text(2)], journal=journal)
    sweep = sweeping.sweep(path, NEEDLES, larger_than=0)

    def replaced(path: Path, *, read_only: bool) -> apsw.Connection:
        connection = connect(path, read_only=read_only)
        connection.execute("SELECT 1 FROM sqlite_schema").fetchall()
        other.replace(path)
        return connection

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sweeping, "connect", replaced)
        with pytest.raises(DatabaseError, match="replaced"):
            list(sweep)


# Durable


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The inodes of what was synced."""
    inodes: list[int] = []
    real = os.fsync

    def observed(fd: int) -> None:
        inodes.append(os.fstat(fd).st_ino)
        real(fd)

    monkeypatch.setattr(os, "fsync", observed)
    return inodes


@pytest.mark.parametrize("read_only", [True, False])
def test_wal_and_file_are_durable_before_the_first_piece(
    path: Path, synced: list[int], read_only: bool  # noqa: FBT001
) -> None:  # fmt: skip
    """A commit in a WAL that no checkpoint has seen is synced before anything is believed, and so is the file."""
    make_database(path, [text(1)])
    with Neighbour(path) as neighbour, SQLiteDatabase(path, read_only=read_only) as database:
        neighbour.execute("PRAGMA synchronous=OFF")
        neighbour.execute("UPDATE doc SET body='gone'")
        wal = path.with_name(path.name + "-wal")
        assert [] == list(database.sweep(NEEDLES))
        assert {wal.stat().st_ino, path.stat().st_ino, path.parent.stat().st_ino} <= set(synced)


@pytest.mark.parametrize("journal", JOURNALS[1:])
def test_end_of_a_journal_is_durable(path: Path, synced: list[int], journal: str) -> None:
    """Without a WAL the file is synced, and the journal whose end is the commit: its content, or its name's removal."""
    make_database(path, [text(1)], journal=journal)
    with Neighbour(path) as neighbour, SQLiteDatabase(path, read_only=True) as database:
        neighbour.execute(f"PRAGMA journal_mode={journal}")
        neighbour.execute("PRAGMA synchronous=OFF")
        neighbour.execute("UPDATE doc SET body='gone'")
        log = path.with_name(path.name + "-journal")
        assert (journal != "delete") is log.exists()
        assert [] == list(database.sweep(NEEDLES))
        expected = {file.stat().st_ino for file in (path, log, path.parent) if file.exists()}
        assert expected <= set(synced)


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_file_that_cannot_be_synced_is_an_error(path: Path, journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the disk does not say that all is safe, no piece comes."""

    def fail(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    make_database(path, [text(1)], journal=journal)
    with SQLiteDatabase(path, read_only=True) as database:
        monkeypatch.setattr(os, "fsync", fail)
        with pytest.raises(DatabaseError, match="durable"):
            next(database.sweep(NEEDLES))


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_database_that_cannot_be_written_is_swept(path: Path, journal: str) -> None:
    """A file and a WAL that may only be read are swept and synced all the same."""
    for parent in path.parents[:4]:
        parent.chmod(0o755)
    make_database(path, [text(1)], journal=journal)
    with Neighbour(path) as neighbour:
        neighbour.execute("UPDATE doc SET body=body || ?", text(2))
        for file in path.parent.glob("app.db*"):
            file.chmod(0o644)
        with as_nobody():
            found = pieces(path)
        assert {digest(1), digest(2)} == {one for piece in found for one in digests_in(piece)}


def test_locks_of_this_process_stay(path: Path) -> None:
    """Syncing closes no descriptor of the file: a transaction of ours still keeps other processes out."""
    make_database(path, [text(1)], journal="delete")
    with opened(path) as db, Neighbour(path, patience_s=0.1) as neighbour:
        db.execute("BEGIN IMMEDIATE").fetchall()
        assert {digest(1)} == marked(path)
        with pytest.raises(Exception, match="locked"):
            neighbour.execute("UPDATE doc SET body='lost'")
        db.execute("COMMIT").fetchall()


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_sweep_leaves_nothing_behind(path: Path, journal: str) -> None:
    """After a sweep, also one that was not read to its end, the directory is as before and the file unlocked."""
    make_database(path, [text(number) * 4000 for number in range(10)], journal=journal)
    before = path.read_bytes()
    names = sorted(path.parent.iterdir())
    with SQLiteDatabase(path, read_only=True) as database:
        sweep = database.sweep(NEEDLES)
        next(sweep)
        sweep.close()  # type: ignore[attr-defined]
    assert names == sorted(path.parent.iterdir())
    assert before == path.read_bytes()
