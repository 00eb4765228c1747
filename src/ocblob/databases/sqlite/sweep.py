"""Everything that a SQLite file says, in pieces: every text and blob of every column of every table.

A sweep sees one state of the whole database, and makes that state durable before it hands out the first piece:
what is not in it cannot come back by a power cut. It ends without an error only after it has read everything.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from ocblob.databases.base import PIECE_BYTES, overlapping
from ocblob.databases.sqlite.connection import connect, quote, translated
from ocblob.errors import DatabaseError, DatabaseLockedError, DatabaseUnsupportedError
from ocblob.filesystem import fsync_directory, fsync_fd, fsync_file

SNAPSHOT_TRIES: Final = 3
"""Without a WAL a sweep holds no lock for long; so often it begins again because somebody wrote meanwhile."""
LOCK_S: Final = 0.25
"""Without a WAL a writer waits for our reading; after this long it gets its turn."""
JOIN_BYTES: Final = 256 * 1024
"""Small cells are looked at together, this many bytes at a time: they stay in the processor's cache."""
SLICE_BYTES: Final = 16 * 1024 * 1024
"""What is read at a time of a cell that SQLite can only load as a whole."""
COLUMNS_MAX: Final = 100
"""Columns of one statement; SQLite allows 2000 of a table, and fewer terms in an expression."""
ROWID_MIN: Final = -(2**63)
ROWID_MAX: Final = 2**63 - 1
SEPARATOR: Final = bytes(8)
"""Between cells of a piece: nothing reads on from one into the next."""


def sweep(path: Path, needles: Sequence[bytes], *, larger_than: int) -> Iterator[bytes]:
    """See `Database.sweep`."""
    with translated(path), contextlib.ExitStack() as stack:
        db = connect(path, read_only=True)
        stack.callback(db.close, True)  # an open cursor would raise its error once more
        # A page whose cells lie outside of it is damaged; without this it may pass for one with fewer rows.
        db.execute("PRAGMA cell_size_check=ON").fetchall()
        for _ in range(SNAPSHOT_TRIES):
            pinned = _pin(db)
            version = db.execute("PRAGMA data_version").get
            _make_durable(path)
            try:
                yield from _Snapshot(db, path, needles, larger_than, pinned=pinned).pieces()
            except (apsw.SQLError, _MovedError) as error:
                # A table or a row that was there is gone, or the file is damaged.
                if pinned or db.execute("PRAGMA data_version").get == version:
                    raise DatabaseError(f"{path}: {error}") from error
                continue
            # In a read transaction nothing moves. Elsewhere a row may have gone from a table that was still to
            # come into one that had been read.
            if pinned or db.execute("PRAGMA data_version").get == version:
                return
        raise DatabaseLockedError(
            f"{path} was written to during each of {SNAPSHOT_TRIES} attempts to read all of it",
            hint="try again when its host is idle",
        )


class _MovedError(Exception):
    """A cell is not what it was a moment ago."""


def _pin(db: apsw.Connection) -> bool:
    """Hold one state of the database if readers do not stop writers, as in WAL mode; say whether it is held."""
    if db.in_transaction:
        db.execute("ROLLBACK")
    db.execute("BEGIN")
    # The first look takes the snapshot; the mode cannot change while it is held.
    db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
    if db.execute("PRAGMA journal_mode").get == "wal":
        return True
    db.execute("COMMIT")
    return False


def _make_durable(path: Path) -> None:
    """All that is committed now survives a power cut when this returns.

    A checkpoint would do it too, but needs a file that may be written, waits for readers and makes writers
    wait. An fsync takes no lock of SQLite's and works on whatever can be read. What a reader sees is in the WAL
    or in the file: the WAL cannot be started over while our snapshot is in it. Both are needed: a host that
    runs with `synchronous=OFF` checkpoints without any fsync. Without a WAL a commit is the end of the rollback
    journal: one that comes back after a power cut undoes it. The directory holds both names.
    """
    try:
        for suffix in ("-wal", "-journal"):
            # No lock of SQLite's lies on these files, so closing them here drops none.
            with contextlib.suppress(FileNotFoundError):
                _sync(path.with_name(path.name + suffix))
        _sync_database(path)
        fsync_directory(path.parent)
    except OSError as error:
        raise DatabaseError(f"{path} cannot be made durable: {error.strerror}") from error


def _sync(path: Path) -> None:
    if sys.platform == "win32":  # it flushes only what is open for writing
        fsync_file(path)
        return
    fd = os.open(path, os.O_RDONLY)
    try:
        fsync_fd(fd)
    finally:
        os.close(fd)


def _sync_database(path: Path) -> None:
    """Through descriptors that SQLite has open: closing one of our own would drop this process's locks."""
    if sys.platform == "win32":
        _sync(path)  # there locks belong to handles
        return
    wanted, synced = path.stat(), False
    for name in os.listdir("/dev/fd"):  # noqa: PTH208 # numbers, not paths to open
        try:
            found = os.fstat(int(name))
        except OSError:
            continue  # the listing's own is closed by now
        if (found.st_dev, found.st_ino) == (wanted.st_dev, wanted.st_ino):
            fsync_fd(int(name))
            synced = True
    if not synced:
        raise DatabaseError(f"{path} was replaced while it was open")


@dataclass(frozen=True, slots=True)
class _Table:
    """One table, and how its rows are found again: by rowid, else by counting."""

    name: str
    rowid: str
    """A name of the rowid that no column takes; empty if there is none."""
    columns: tuple[str, ...]

    @property
    def key(self) -> str:
        """What a row is selected with."""
        return self.rowid or "NULL"

    @property
    def first(self) -> int:
        """The lowest key."""
        return ROWID_MIN if self.rowid else 0

    def rows_from(self, wanted: str) -> str:
        """The clauses for rows from a key on. They name the table itself, whatever an index says."""
        source = f"FROM {quote(self.name)} NOT INDEXED WHERE ({wanted})"
        return f"{source} AND {self.rowid}>=? ORDER BY {self.rowid}" if self.rowid else f"{source} LIMIT -1 OFFSET ?"

    def row_at(self, wanted: str) -> str:
        """The clauses for the row with a key."""
        source = f"FROM {quote(self.name)} NOT INDEXED WHERE"
        return f"{source} {self.rowid}=?" if self.rowid else f"{source} {wanted} LIMIT 1 OFFSET ?"


@dataclass(frozen=True, slots=True)
class _Large:
    """A cell that is too large to come with its row."""

    table: _Table
    column: str
    key: int
    size: int
    row_at: str

    def __str__(self) -> str:
        return f"{self.table.name}:{self.column} row {self.key}"


class _Snapshot:
    """One reading of the whole database."""

    def __init__(
        self, db: apsw.Connection, path: Path, needles: Sequence[bytes], larger_than: int, *, pinned: bool
    ) -> None:
        self._db = db
        self._path = path
        self._needles = needles
        self._larger_than = larger_than
        self._pinned = pinned

    def pieces(self) -> Iterator[bytes]:
        """All pieces with a needle in them."""
        if (encoding := self._db.execute("PRAGMA encoding").get) != "UTF-8":
            raise DatabaseUnsupportedError(f"{self._path} is a {encoding} database; ocblob handles UTF-8 only")
        for table in self._tables():
            for start in range(0, len(table.columns), COLUMNS_MAX):
                for piece in self._read(table, table.columns[start : start + COLUMNS_MAX]):
                    if any(needle in piece for needle in self._needles):
                        yield piece

    def _tables(self) -> list[_Table]:
        """Every b-tree that holds rows; a virtual table keeps its content in such tables, or elsewhere."""
        names = self._column("SELECT name FROM sqlite_schema WHERE type='table' AND rootpage>0")
        without = set(self._column("SELECT name FROM pragma_table_list WHERE schema='main' AND wr"))
        found = []
        for name in ("sqlite_schema", *names):
            columns = self._column("SELECT name FROM pragma_table_xinfo(?)", name)
            taken = {column.lower() for column in columns}
            rowids = [] if name in without else [id_ for id_ in ("rowid", "_rowid_", "oid") if id_ not in taken]
            found.append(_Table(name, next(iter(rowids), ""), tuple(columns)))
        return found

    def _column(self, sql: str, *bindings: str) -> list[str]:
        return [str(value) for (value,) in self._db.execute(sql, bindings)]

    def _read(self, table: _Table, columns: tuple[str, ...]) -> Iterator[bytes]:
        """Cells of up to `PIECE_BYTES` come with their rows, several in a piece; larger ones by their length.

        Bytes are searched here, not by `instr()` in SQL: that takes longer for one needle than a row takes to
        come here, and there are several.
        """
        lengths = [f"octet_length({quote(column)})" for column in columns]  # reads no payload
        wanted = " OR ".join(f"{length}>{self._larger_than}" for length in lengths)
        # As blobs: text may hold NUL bytes, or be no UTF-8.
        values = ", ".join(
            f"CASE WHEN {length}>{PIECE_BYTES} THEN {length}"
            f" WHEN {length}>{self._larger_than} THEN CAST({quote(column)} AS BLOB) END"
            for column, length in zip(columns, lengths, strict=True)
        )
        held: list[bytes] = []
        large: list[_Large] = []
        size = 0
        for key, row in self._rows(table, f"SELECT {table.key}, {values} {table.rows_from(wanted)}"):
            for column, value in zip(columns, row, strict=True):
                if isinstance(value, bytes):
                    held.append(value)
                    size += len(value)
                elif value:
                    large.append(_Large(table, column, key, int(value), table.row_at(wanted)))
            if size >= JOIN_BYTES:
                yield SEPARATOR.join(held)
                held, size = [], 0
        yield SEPARATOR.join(held)
        for cell in large:  # now that no statement holds a lock
            yield from overlapping(self._parts(cell))

    def _rows(self, table: _Table, sql: str) -> Iterator[tuple[int, tuple[Any, ...]]]:
        """Rows with their keys. Nothing is locked for much longer than `LOCK_S` unless a snapshot is held.

        Counting goes wrong if rows move between two statements; then somebody wrote, and all is read again.
        """
        key = table.first - 1
        while key < ROWID_MAX:
            until = time.monotonic() + LOCK_S
            with contextlib.closing(self._db.execute(sql, (key + 1,))) as cursor:
                for rowid, *row in cursor:
                    key = key + 1 if rowid is None else rowid
                    yield key, tuple(row)
                    if not self._pinned and time.monotonic() > until:
                        break
                else:
                    return

    def _parts(self, cell: _Large) -> Iterator[bytes]:
        """The bytes of a cell; it never comes as a whole, if SQLite can help it."""
        try:
            with self._open(cell):
                pass
        except apsw.SQLError:
            # No handle goes to a table without rowid or with generated columns, nor to a column that was added
            # after the row was written. SQLite loads the cell for each slice then, so these are large.
            yield from self._slices(cell)
            return
        start = 0
        while start < cell.size:
            until = time.monotonic() + LOCK_S
            with self._open(cell) as blob:
                blob.seek(min(start, blob.length()))
                while start < cell.size:
                    part = blob.read(PIECE_BYTES)
                    if len(part) != min(PIECE_BYTES, cell.size - start):
                        raise _MovedError(f"{cell} ends at byte {start + len(part)}")
                    yield part
                    start += len(part)
                    if not self._pinned and time.monotonic() > until:
                        break

    def _open(self, cell: _Large) -> apsw.Blob:
        if not cell.table.rowid:
            raise apsw.SQLError(f"{cell}: no rowid")
        return self._db.blob_open("main", cell.table.name, cell.column, cell.key, False)

    def _slices(self, cell: _Large) -> Iterator[bytes]:
        sql = f"SELECT substr(CAST({quote(cell.column)} AS BLOB), ?, ?) {cell.row_at}"
        for start in range(0, cell.size, SLICE_BYTES):
            found = self._db.execute(sql, (start + 1, SLICE_BYTES, cell.key)).get
            if not isinstance(found, bytes) or len(found) != min(SLICE_BYTES, cell.size - start):
                raise _MovedError(f"{cell} is gone")
            for at in range(0, len(found), PIECE_BYTES):
                yield found[at : at + PIECE_BYTES]
