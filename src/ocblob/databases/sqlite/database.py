"""One SQLite file: candidates by length, found without reading a cell.

`octet_length` reads only a row's header; reading and writing cells have files of their own.
"""

import contextlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Self

from ocblob.cells import Column, KeyRange, Scope, SessionTable
from ocblob.databases.addresses import file_address
from ocblob.databases.base import Cell, Edit, EditResult
from ocblob.databases.sqlite.connection import Reading, check_encoding, check_file, connect, quote
from ocblob.databases.sqlite.reading import SQLiteCells
from ocblob.databases.sqlite.schema import Schema
from ocblob.databases.sqlite.session_database import SQLiteSessions
from ocblob.databases.sqlite.swapping import TEXT_OR_BLOB, Swapper
from ocblob.databases.sqlite.sweep import sweep
from ocblob.errors import DatabaseUnsupportedError

PAGE_ROWS: Final = 500
_ROWID_MIN: Final = -(2**63)
_ROWID_MAX: Final = 2**63 - 1


class SQLiteDatabase(SQLiteSessions):
    """See `Database`. `warnings` says what may go wrong with a file like this one."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        self.path = path.resolve()
        self.address = file_address(self.path)
        self.warnings = check_file(self.path, read_only=read_only)
        self._reading = Reading(self.path)
        check_encoding(self._reading)
        self._schema = Schema(self._reading)
        self._wal = self._rows("PRAGMA journal_mode") == [("wal",)]
        self._swapper = None if read_only else Swapper(self.path, self._schema)

    @property
    def url(self) -> str:
        """The resolved path."""
        return str(self.path)

    @property
    def longest_transaction_s(self) -> float:
        """How long the longest of our write transactions has taken, begin to commit."""
        return 0.0 if self._swapper is None else self._swapper.longest_transaction_s

    @property
    def _writer(self) -> Swapper:
        if self._swapper is None:
            raise DatabaseUnsupportedError(f"{self.path} is open for reading only")
        return self._swapper

    def close(self) -> None:
        """Close; the last connection to a WAL file checkpoints it."""
        self._reading.close()
        if self._swapper is not None:
            self._swapper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def tables(self) -> dict[str, frozenset[str]]:
        """The columns of every ordinary table."""
        return self._schema.tables()

    def check_column(self, column: Column) -> None:
        """See `Database`."""
        self._schema.check_column(column)

    def check_scope(self, column: Column, scope: Scope) -> None:
        """See `Database`."""
        self._where(column, scope)

    def candidates(self, column: Column, *, larger_than: int, scope: Scope) -> Iterator[Cell]:
        """See `Database`; a read transaction lasts no longer than one page."""
        rows, bindings = self._candidates(column, scope)
        rowid, length = self._schema.rowid(column.table), f"octet_length({quote(column.column)})"
        sql = f"SELECT {rowid}, {length} {rows} AND {rowid}>=:start ORDER BY {rowid} LIMIT {PAGE_ROWS}"
        start = _ROWID_MIN
        if (keys := scope.keys) is not None and keys.after is not None:
            # The page's own bound: SQLite finds the first row by one of them only.
            start = _rowid(keys.after) + 1
        while start <= _ROWID_MAX:
            page = self._reading.rows(sql, {**bindings, "start": start, "larger": larger_than})
            for key, size in page:
                yield Cell(column, key, int(size))
            if len(page) < PAGE_ROWS:
                return
            start = page[-1][0] + 1

    def measure(self, column: Column, *, larger_than: int, scope: Scope) -> tuple[int, int]:
        """See `Database`."""
        rows, bindings = self._candidates(column, scope)
        sql = f"SELECT count(*), coalesce(sum(octet_length({quote(column.column)})), 0) {rows}"
        ((count, size),) = self._reading.rows(sql, {**bindings, "larger": larger_than})
        return int(count), int(size)

    @contextlib.contextmanager
    def cells(self) -> Iterator[SQLiteCells]:
        """A reader with a connection of its own."""
        cells = SQLiteCells(self.path, connect(self.path, read_only=True))
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
        sql = f"SELECT {self._schema.key(table)}, {session} FROM {quote(table)} WHERE {self._schema.rowid(table)}=?"
        for key, owner in self._rows(sql, cell.key):
            return str(key), str(owner)
        return str(cell.key), ""

    def find(self, column: Column, key: str) -> Cell | None:
        """See `Database`."""
        name, rowid = quote(column.column), self._schema.rowid(column.table)
        sql = (
            f"SELECT {rowid}, octet_length({name}) FROM {quote(column.table)}"
            f" WHERE CAST({self._schema.key(column.table)} AS TEXT)=? AND typeof({name}) IN {TEXT_OR_BLOB}"
        )
        for found, size in self._rows(sql, key):
            return Cell(column, found, int(str(size)))
        return None

    def find_again(self, cell: Cell) -> bool:
        """See `Database`."""
        table, name = quote(cell.column.table), quote(cell.column.column)
        where = f"{self._schema.rowid(cell.column.table)}=? AND typeof({name}) IN {TEXT_OR_BLOB}"
        return bool(self._rows(f"SELECT 1 FROM {table} WHERE {where}", cell.key))

    @property
    def reads_beside_writes(self) -> bool:
        """See `Database`: in WAL mode they do; elsewhere a commit waits until every reader has gone."""
        return self._wal

    def session_times(self, sessions: SessionTable) -> dict[str, int]:
        """See `Database`."""
        names = f"{quote(sessions.id)}, {quote(sessions.updated)}"
        rows = self._rows(f"SELECT {names} FROM {quote(sessions.table)}")
        return {str(session): when for session, when in rows if isinstance(when, int)}

    def table_sizes(self) -> dict[str, tuple[int, int]]:
        """See `Database`."""
        found = {}
        for table, columns in self.tables().items():
            content = "+".join(f"coalesce(octet_length({quote(column)}),0)" for column in sorted(columns))
            ((rows, size),) = self._rows(f"SELECT count(*), coalesce(sum({content}),0) FROM {quote(table)}")
            found[table] = (int(str(rows)), int(str(size)))
        return found

    def room(self) -> int:
        """See `Database`: what its disk has free."""
        return shutil.disk_usage(self.path.parent).free

    def stamp(self) -> object:
        """See `Database`."""
        return self._writer.stamp()

    def swap(self, edits: Sequence[Edit], *, stamp: object) -> list[EditResult]:
        """See `Database`."""
        return self._writer.swap(edits, stamp=stamp)

    def flush(self) -> None:
        """See `Database`."""
        self._writer.flush()

    def sweep(self, needles: Sequence[bytes], *, larger_than: int = 0) -> Iterator[bytes]:
        """See `Database`; on a connection of its own."""
        return sweep(self.path, needles, larger_than=larger_than)

    def _candidates(self, column: Column, scope: Scope) -> tuple[str, dict[str, object]]:
        where, bindings = self._where(column, scope)
        name = quote(column.column)
        wanted = f"octet_length({name})>:larger AND typeof({name}) IN {TEXT_OR_BLOB}{where}"
        return f"FROM {quote(column.table)} WHERE {wanted}", bindings

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
        return self._in_range(where, bindings, column, scope.keys)

    def _in_range(
        self, where: str, bindings: dict[str, object], column: Column, keys: KeyRange | None
    ) -> tuple[str, dict[str, object]]:
        rowid = self._schema.rowid(column.table)
        if keys is not None and keys.after is not None:
            where, bindings = f"{where} AND {rowid}>:after", {**bindings, "after": _rowid(keys.after)}
        if keys is not None and keys.upto is not None:
            where, bindings = f"{where} AND {rowid}<=:upto", {**bindings, "upto": _rowid(keys.upto)}
        return where, bindings

    def _rows(self, sql: str, *bindings: object) -> list[tuple[object, ...]]:
        return self._reading.rows(sql, bindings)


def _rowid(key: object) -> int:
    if isinstance(key, int):
        return key
    raise DatabaseUnsupportedError(f"{key!r} is no rowid")
