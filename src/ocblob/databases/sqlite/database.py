"""One SQLite file: candidates by length, chunked reads, swaps beside a live writer.

No cell is ever loaded as a whole: `octet_length` reads only a row's header, and blob handles read pieces.
"""

import contextlib
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

import apsw

from ocblob.cells import Column, Scope
from ocblob.databases.base import READ_BYTES, Cell, CellReader, Edit, EditResult, Outcome
from ocblob.databases.sqlite.connection import check_encoding, check_file, connect, quote, translated
from ocblob.errors import CellError, DatabaseError, DatabaseUnsupportedError, OcblobError
from ocblob.filesystem import fsync_file

PAGE_ROWS: Final = 500
TRANSACTION_S: Final = 0.15
"""A transaction takes no further edit after this long; a host that waits for the lock is frozen meanwhile."""
BOUND_BYTES_MAX: Final = 4 * 1024 * 1024
"""Content up to this size is bound as one value; larger content is streamed into a zeroed cell."""

_TYPES: Final = "('text', 'blob')"


class SQLiteDatabase:
    """See `Database`. `warnings` says what may go wrong with a file like this one."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path.resolve()
        self.read_only = read_only
        self.warnings = check_file(self.path, read_only=read_only)
        self.longest_transaction_s = 0.0
        """How long the longest of our write transactions has taken, begin to commit."""
        self._db = connect(self.path, read_only=True)
        """For reading; the writer's transactions do not pass through it."""
        self._writer = self._db if read_only else connect(self.path, read_only=False)
        self._schema: dict[str, frozenset[str]] | None = None
        check_encoding(self._db, self.path)

    @property
    def url(self) -> str:
        """The resolved path."""
        return str(self.path)

    def close(self) -> None:
        """Close; the last connection to a WAL file checkpoints it."""
        with translated(self.path):
            self._db.close()
            self._writer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def tables(self) -> dict[str, frozenset[str]]:
        """The columns of every ordinary table."""
        if self._schema is None:
            with translated(self.path):
                names = self._rows("SELECT name FROM pragma_table_list WHERE schema='main' AND type='table'")
                columns = {str(name): self._rows("SELECT name FROM pragma_table_info(?)", name) for (name,) in names}
            self._schema = {
                name: frozenset(str(column) for (column,) in found)
                for name, found in columns.items()
                if not name.startswith("sqlite_")
            }
        return self._schema

    def check_column(self, column: Column) -> None:
        """Refuse views, virtual tables, tables without rowid, and what is not there."""
        with translated(self.path):
            found = self._rows("SELECT type, wr FROM pragma_table_list WHERE schema='main' AND name=?", column.table)
            generated = self._rows(
                "SELECT hidden FROM pragma_table_xinfo(?) WHERE name=? AND hidden>1",
                column.table,
                column.column,
            )
        if not found:
            raise DatabaseUnsupportedError(f"{self.path} has no table {column.table}")
        ((kind, without_rowid),) = found
        if kind != "table":
            raise DatabaseUnsupportedError(f"{column.table} in {self.path} is a {kind}; only tables have cells to swap")
        if without_rowid:
            raise DatabaseUnsupportedError(
                f"{column.table} in {self.path} is a WITHOUT ROWID table; its cells cannot be read in pieces"
            )
        if generated:
            raise DatabaseUnsupportedError(f"{column} in {self.path} is a generated column")
        if column.column not in self.tables()[column.table]:
            raise DatabaseUnsupportedError(f"{column.table} in {self.path} has no column {column.column}")

    def candidates(self, column: Column, *, larger_than: int, scope: Scope) -> Iterator[Cell]:
        """See `Database`; a read transaction lasts no longer than one page."""
        rows, bindings = self._candidates(column, scope)
        rowid, length = self._rowid(column.table), f"octet_length({quote(column.column)})"
        sql = f"SELECT {rowid}, {length} {rows} AND {rowid}>:after ORDER BY {rowid} LIMIT {PAGE_ROWS}"
        after: int | None = None
        while True:
            values = {**bindings, "after": -(2**63) if after is None else after, "larger": larger_than}
            with translated(self.path):
                page = list(self._db.execute(sql, values))
            for key, size in page:
                yield Cell(column, key, int(size))
            if len(page) < PAGE_ROWS:
                return
            after = page[-1][0]

    def measure(self, column: Column, *, larger_than: int, scope: Scope) -> tuple[int, int]:
        """See `Database`."""
        rows, bindings = self._candidates(column, scope)
        sql = f"SELECT count(*), coalesce(sum(octet_length({quote(column.column)})), 0) {rows}"
        with translated(self.path):
            ((count, size),) = self._db.execute(sql, {**bindings, "larger": larger_than})
        return int(count), int(size)

    def _candidates(self, column: Column, scope: Scope) -> tuple[str, dict[str, object]]:
        where, bindings = self._where(column, scope)
        name = quote(column.column)
        return (
            f"FROM {quote(column.table)} WHERE octet_length({name})>:larger AND typeof({name}) IN {_TYPES}{where}",
            bindings,
        )

    @contextlib.contextmanager
    def cells(self) -> "Iterator[_Cells]":
        """A reader with a connection of its own."""
        cells = _Cells(self.path, connect(self.path, read_only=True))
        try:
            yield cells
        finally:
            cells.close()

    def label(self, cell: Cell) -> str:
        """By the primary key, if it has a name."""
        key, _session = self.row_names(cell)
        return f"{cell.column} {key}"

    def row_names(self, cell: Cell) -> tuple[str, str]:
        """See `Database`; a row without a primary key is named by its rowid."""
        table = cell.column.table
        session = quote(cell.column.session) if cell.column.session else "''"
        sql = f"SELECT {self._key(table)}, {session} FROM {quote(table)} WHERE {self._rowid(table)}=?"
        with translated(self.path):
            for key, owner in self._rows(sql, cell.key):
                return str(key), str(owner)
        return str(cell.key), ""

    def find(self, column: Column, key: str) -> Cell | None:
        """See `Database`."""
        name, rowid = quote(column.column), self._rowid(column.table)
        sql = (
            f"SELECT {rowid}, octet_length({name}) FROM {quote(column.table)}"
            f" WHERE CAST({self._key(column.table)} AS TEXT)=? AND typeof({name}) IN {_TYPES}"
        )
        with translated(self.path):
            for found, size in self._rows(sql, key):
                return Cell(column, found, int(str(size)))
        return None

    def table_sizes(self) -> dict[str, tuple[int, int]]:
        """See `Database`."""
        found = {}
        for table, columns in self.tables().items():
            content = "+".join(f"coalesce(octet_length({quote(column)}),0)" for column in sorted(columns))
            with translated(self.path):
                ((rows, size),) = self._rows(f"SELECT count(*), coalesce(sum({content}),0) FROM {quote(table)}")
            found[table] = (int(str(rows)), int(str(size)))
        return found

    def _key(self, table: str) -> str:
        """The primary key's column if it has one, else the rowid."""
        keys = self._rows("SELECT name FROM pragma_table_info(?) WHERE pk>0", table)
        return quote(str(keys[0][0])) if len(keys) == 1 else self._rowid(table)

    def stamp(self) -> object:
        """SQLite's `data_version`: it moves when another connection commits, not when this one does."""
        with translated(self.path):
            return self._writer.execute("PRAGMA data_version").get

    def swap(self, edits: Sequence[Edit], *, stamp: object) -> list[EditResult]:
        """See `Database`."""
        with translated(self.path):
            # In WAL mode NORMAL may lose the last commits at a power cut, never more, and no fsync happens
            # while we hold the lock; `flush` makes them durable. Without a WAL it could damage the file.
            wal = self._writer.execute("PRAGMA journal_mode").get == "wal"
            self._writer.execute(f"PRAGMA synchronous={'NORMAL' if wal else 'FULL'}")
        results: list[EditResult] = []
        while len(results) < len(edits):
            results += self._swap_some(edits[len(results) :], stamp)
        return results

    def flush(self) -> None:
        """See `Database`: the bytes of committed transactions are in the WAL, or in the file already."""
        wal = self.path.with_name(self.path.name + "-wal")
        try:
            # No lock of SQLite's lies on this file, so closing it here drops none.
            fsync_file(wal)
        except FileNotFoundError:
            return
        except OSError as error:
            raise DatabaseError(f"{wal}: {error.strerror}") from error

    def _swap_some(self, edits: Sequence[Edit], stamp: object) -> list[EditResult]:
        """As many edits as one short transaction takes, one at least."""
        results: list[EditResult] = []
        with translated(self.path):
            self._writer.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            try:
                moved = self._writer.execute("PRAGMA data_version").get != stamp
                for edit in edits:
                    results.append(self._swap_one(edit, check=moved))
                    if time.monotonic() - begun > TRANSACTION_S:
                        break
            except BaseException:
                self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")
        self.longest_transaction_s = max(self.longest_transaction_s, time.monotonic() - begun)
        return results

    def _swap_one(self, edit: Edit, *, check: bool) -> EditResult:
        cell = edit.cell
        self._writer.execute("SAVEPOINT edit")
        try:
            if check and not self._unchanged(edit):
                outcome = Outcome.CHANGED
            elif edit.size <= BOUND_BYTES_MAX:
                outcome = self._update(cell, "?1", b"".join(edit.chunks()))
            else:
                outcome = self._update(cell, "zeroblob(?1)", edit.size)
                self._fill(edit)
        except (apsw.ConstraintError, apsw.TooBigError, OcblobError) as error:
            # This cell's own trouble; the others go on. Anything else is the database's and ends the pass.
            self._writer.execute("ROLLBACK TO edit; RELEASE edit").fetchall()
            return EditResult(edit, None, error if isinstance(error, OcblobError) else CellError(f"{cell}: {error}"))
        self._writer.execute("RELEASE edit")
        return EditResult(edit, outcome)

    def _update(self, cell: Cell, value: str, binding: bytes | int) -> Outcome:
        name, table = quote(cell.column.column), cell.column.table
        # The cell keeps its type: text stays text, byte for byte, whether it is valid UTF-8 or not.
        self._writer.execute(
            f"UPDATE {quote(table)} SET {name}=iif(typeof({name})='text', CAST({value} AS TEXT), {value})"
            f" WHERE {self._rowid(table)}=?2 AND typeof({name}) IN {_TYPES}",
            (binding, cell.key),
        )
        return Outcome.SWAPPED if self._writer.changes() else Outcome.CHANGED

    def _fill(self, edit: Edit) -> None:
        cell = edit.cell
        with self._writer.blob_open("main", cell.column.table, cell.column.column, _rowid(cell), True) as blob:
            written = 0
            for chunk in edit.chunks():
                blob.write(chunk)
                written += len(chunk)
        if written != edit.size:
            raise CellError(f"{cell}: {written} bytes came instead of {edit.size}")

    def _unchanged(self, edit: Edit) -> bool:
        cells = _Cells(self.path, self._writer)
        try:
            return edit.unchanged(cells.open(edit.cell))
        except CellError:
            return False
        finally:
            cells.release()

    def _where(self, column: Column, scope: Scope) -> tuple[str, dict[str, object]]:
        """The conditions of a scope. Raises `DatabaseUnsupportedError` if the table has nothing to judge by."""
        where, bindings = "", dict[str, object]()
        sessions = scope.session_table
        if (scope.sessions or scope.keep_newest) and not (column.session and sessions):
            raise DatabaseUnsupportedError(f"rows of {column.table} in {self.path} belong to no session that is known")
        if scope.sessions:
            names = {f"session{i}": session for i, session in enumerate(scope.sessions)}
            where += f" AND {quote(column.session)} IN ({', '.join(f':{name}' for name in names)})"
            bindings |= names
        if scope.keep_newest and sessions:
            where += (
                f" AND {quote(column.session)} NOT IN (SELECT {quote(sessions.id)} FROM {quote(sessions.table)}"
                f" ORDER BY {quote(sessions.updated)} DESC, {quote(sessions.id)} DESC LIMIT :newest)"
            )
            bindings["newest"] = scope.keep_newest
        if scope.updated_before_ms is not None:
            if column.updated:
                where += f" AND {quote(column.updated)}<:before"
            elif column.session and sessions:
                where += (
                    f" AND {quote(column.session)} NOT IN (SELECT {quote(sessions.id)} FROM {quote(sessions.table)}"
                    f" WHERE {quote(sessions.updated)}>=:before)"
                )
            else:
                raise DatabaseUnsupportedError(f"rows of {column.table} in {self.path} have no time that is known")
            bindings["before"] = scope.updated_before_ms
        return where, bindings

    def _rowid(self, table: str) -> str:
        """A name of the rowid that no column takes."""
        columns = {column.lower() for column in self.tables()[table]}
        for name in ("rowid", "_rowid_", "oid"):
            if name not in columns:
                return name
        raise DatabaseUnsupportedError(f"{table} in {self.path} hides its rowid behind columns of that name")

    def _rows(self, sql: str, *bindings: object) -> list[tuple[object, ...]]:
        return list(self._db.execute(sql, bindings))


class _Cells:
    """One blob handle, moved from row to row while the column stays the same."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self._path = path
        self._db = connection
        self._blob: apsw.Blob | None = None
        self._column: Column | None = None

    def open(self, cell: Cell) -> CellReader:
        try:
            with translated(self._path):
                if self._blob is not None and self._column == cell.column:
                    self._blob.reopen(_rowid(cell))
                else:
                    self.release()
                    table, column = cell.column.table, cell.column.column
                    self._blob = self._db.blob_open("main", table, column, _rowid(cell), False)
                    self._column = cell.column
        except DatabaseError as error:
            self.release()
            if isinstance(error.__cause__, apsw.SQLError):
                raise CellError(f"{cell}: {error.__cause__}") from error
            raise
        return _CellReader(self._path, cell, self._blob)

    def release(self) -> None:
        """Close the handle: an open one is a read transaction."""
        if self._blob is not None:
            self._blob.close(True)
            self._blob = None

    def close(self) -> None:
        self.release()
        self._db.close()


class _CellReader:
    def __init__(self, path: Path, cell: Cell, blob: apsw.Blob) -> None:
        self._path = path
        self._cell = cell
        self._blob = blob
        self.size = blob.length()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        at = start
        while at < end:
            try:
                with translated(self._path):
                    self._blob.seek(at)
                    data = self._blob.read(min(READ_BYTES, end - at))
            except DatabaseError as error:
                if isinstance(error.__cause__, apsw.AbortError):
                    raise CellError(f"{self._cell}: the row changed while it was read") from error
                raise
            if not data:
                raise CellError(f"{self._cell}: ends at byte {at}")
            yield data
            at += len(data)


def _rowid(cell: Cell) -> int:
    if not isinstance(cell.key, int):
        raise CellError(f"{cell}: not a rowid")
    return cell.key
