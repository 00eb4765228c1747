"""Which rows a pass is about, and how one of them is found again: conditions, never contents."""

import json
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa

from ocblob.cells import Column, Scope, SessionTable
from ocblob.databases.base import Cell
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.tables import SqlTable, Tables, kind_of
from ocblob.errors import CellError, DatabaseUnsupportedError

PAGE_ROWS: Final = 500
Condition = sa.ColumnElement[bool]
_KEY_VALUES: Final = (str, bytes, int, Decimal, datetime, date, time, timedelta, UUID)


def by_key(table: SqlTable, key: object) -> Condition:
    """Whether a row is the one with this key. Raises `CellError` for what is no key of the table."""
    if not isinstance(key, tuple) or len(key) != len(table.key):
        raise CellError(f"{key!r} is no key of {table.table.name}")
    return sa.and_(*(column == value for column, value in zip(table.key, key, strict=True)))


class Listing:
    """Candidates of one database, and their names."""

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables
        self._dialect = server.dialect

    def check_scope(self, column: Column, scope: Scope) -> None:
        """See `Database`."""
        self._where(column, scope)

    def pages(self, column: Column, *, larger_than: int, scope: Scope) -> Iterator[list[Cell]]:
        """See `Database.candidates`. A statement a page: nothing is held between two of them."""
        table = self._tables[column.table]
        size = self._dialect.octets(table[column.column])
        wanted = self._wanted(column, larger_than, scope)
        query = sa.select(*table.key, size.label("ocblob_size")).order_by(*table.key).limit(PAGE_ROWS)
        after: tuple[Any, ...] | None = None
        while True:
            start = sa.true() if after is None else self._dialect.after(table.key, after)
            rows = self._rows(query.where(wanted, start))
            if rows:
                yield [Cell(column, tuple(key), int(octets)) for *key, octets in rows]
            if len(rows) < PAGE_ROWS:
                return
            after = tuple(rows[-1][:-1])

    def measure(self, column: Column, *, larger_than: int, scope: Scope) -> tuple[int, int]:
        """See `Database`."""
        size = self._dialect.octets(self._tables[column.table][column.column])
        query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(size), 0))
        ((count, total),) = self._rows(query.where(self._wanted(column, larger_than, scope)))
        return int(count), int(total)

    def row_names(self, cell: Cell) -> tuple[str, str]:
        """See `Database`. A key of several columns is a JSON array of their texts."""
        table = self._tables[cell.column.table]
        if not cell.column.session:
            return key_text(cell.key), ""
        query = sa.select(table[cell.column.session]).where(by_key(table, cell.key))
        for (session,) in self._rows(query):
            return key_text(cell.key), "" if session is None else str(session)
        return key_text(cell.key), ""

    def find(self, column: Column, key: str) -> Cell | None:
        """See `Database`."""
        table = self._tables[column.table]
        cell = table[column.column]
        texts = _texts(key, len(table.key))
        if texts is None:
            return None
        same = (self._is_text(part, text) for part, text in zip(table.key, texts, strict=True))
        query = sa.select(*table.key, self._dialect.octets(cell)).where(*same, cell.is_not(None))
        for *found, size in self._rows(query):
            return Cell(column, tuple(found), int(size))
        return None

    def find_again(self, cell: Cell) -> bool:
        """See `Database`."""
        table = self._tables[cell.column.table]
        query = sa.select(sa.literal(1)).where(by_key(table, cell.key), table[cell.column.column].is_not(None))
        return bool(self._rows(query))

    def session_times(self, sessions: SessionTable) -> dict[str, int]:
        """See `Database`."""
        table = self._tables[sessions.table]
        rows = self._rows(sa.select(table[sessions.id], table[sessions.updated]))
        return {str(session): int(when) for session, when in rows if isinstance(when, int | Decimal)}

    def table_sizes(self) -> dict[str, tuple[int, int]]:
        """See `Database`; what is neither text nor blob is not counted."""
        found = {}
        for name in self._tables.names():
            table = self._tables[name]
            contents = [column for column in table.columns if kind_of(column) != "other"]
            size = sum((sa.func.coalesce(self._dialect.octets(column), 0) for column in contents), sa.literal(0))
            query = sa.select(sa.func.count(), sa.func.coalesce(sa.func.sum(size), 0)).select_from(table.table)
            ((rows, content),) = self._rows(query)
            found[name] = (int(rows), int(content))
        return found

    def _wanted(self, column: Column, larger_than: int, scope: Scope) -> Condition:
        size = self._dialect.octets(self._tables[column.table][column.column])
        return sa.and_(size > larger_than, *self._where(column, scope))

    def _where(self, column: Column, scope: Scope) -> list[Condition]:
        """The conditions of a scope. Raises `DatabaseUnsupportedError` if the table has nothing to judge by."""
        table = self._tables[column.table]
        sessions = scope.session_table
        where: list[Condition] = []
        if (scope.sessions or scope.keep_newest) and not (column.session and sessions):
            raise DatabaseUnsupportedError(
                f"rows of {column.table} in {self._server.address} belong to no session that is known"
            )
        if scope.sessions:
            where.append(sa.or_(*(self._is_text(table[column.session], session) for session in scope.sessions)))
        if scope.keep_newest and sessions:
            where.append(table[column.session].not_in(self._newest(sessions, scope.keep_newest)))
        if scope.updated_before_ms is not None:
            where.append(self._before(column, sessions, scope.updated_before_ms))
        if scope.keys is not None:
            where += self._between(table, scope.keys.after, scope.keys.upto)
        return where

    def _newest(self, sessions: SessionTable, count: int) -> sa.Select[Any]:
        """The sessions that were active last, as a table of its own: MySQL limits no list of an `IN`."""
        table = self._tables[sessions.table]
        updated = table[sessions.updated]
        # A session without a time is older than every other one; servers do not agree on that.
        timeless = sa.case((updated.is_(None), 1), else_=0)
        newest = (
            sa.select(table[sessions.id].label("id"))
            .order_by(timeless, updated.desc(), table[sessions.id].desc())
            .limit(count)
            .subquery("newest")
        )
        return sa.select(newest.c.id)

    def _before(self, column: Column, sessions: SessionTable | None, before_ms: int) -> Condition:
        if column.updated:
            return self._time(column.table, column.updated) < before_ms
        if column.session and sessions:
            other = self._tables[sessions.table]
            active = sa.select(other[sessions.id]).where(self._time(sessions.table, sessions.updated) >= before_ms)
            return self._tables[column.table][column.session].not_in(active)
        raise DatabaseUnsupportedError(f"rows of {column.table} in {self._server.address} have no time that is known")

    def _time(self, table: str, name: str) -> sa.Column[Any]:
        column = self._tables[table][name]
        if not isinstance(column.type, sa.types.Numeric | sa.types.Integer):
            raise DatabaseUnsupportedError(
                f"column {name} of {table} in {self._server.address} is {column.type}: no number of milliseconds"
            )
        return column

    def _between(self, table: SqlTable, after: object, upto: object) -> Iterator[Condition]:
        if after is not None:
            yield self._dialect.after(table.key, _as_key(table, after))
        if upto is not None:
            yield sa.not_(self._dialect.after(table.key, _as_key(table, upto)))

    def _is_text(self, column: sa.Column[Any], text: str) -> Condition:
        """Whether a column's value is this one as `key_text` writes it, each byte of it."""
        if isinstance(column.type, sa.types.Integer):
            # Binding the number lets the server look into an index.
            return column == int(text) if text.lstrip("-").isdecimal() else sa.false()
        if kind_of(column) == "text":
            return self._dialect.is_text(column, text)
        if kind_of(column) == "blob":
            return column == bytes.fromhex(text) if _is_hex(text) else sa.false()
        return sa.cast(column, sa.String(255)) == text

    def _rows(self, query: sa.Executable) -> list[Any]:
        def read() -> list[Any]:
            with self._server.reading() as connection:
                return list(connection.execute(query))

        return self._server.retried(read)


def key_text(key: object) -> str:
    """A key as messages name it and `find` takes it."""
    if not isinstance(key, tuple):
        return str(key)
    parts = [part.hex() if isinstance(part, bytes) else str(part) for part in key]
    return parts[0] if len(parts) == 1 else json.dumps(parts, ensure_ascii=False)


def _texts(key: str, count: int) -> list[str] | None:
    """The texts of a key's columns; None if it cannot be one."""
    if count == 1:
        return [key]
    try:
        parts = json.loads(key)
    except ValueError:
        return None
    if not isinstance(parts, list) or len(parts) != count or not all(isinstance(part, str) for part in parts):
        return None
    return parts


def _as_key(table: SqlTable, key: object) -> tuple[Any, ...]:
    values = key if isinstance(key, tuple) else (key,)
    if len(values) != len(table.key) or not all(isinstance(value, _KEY_VALUES) for value in values):
        raise DatabaseUnsupportedError(f"{key!r} is no key of {table.table.name}")
    return values


def _is_hex(text: str) -> bool:
    try:
        bytes.fromhex(text)
    except ValueError:
        return False
    return True
