"""Whole rows of one state of a database on a server: no large text or blob is ever held."""

import contextlib
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final, Literal

import sqlalchemy as sa

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import Content, Row, TableDefinition, TableShape, Value
from ocblob.databases.sql.mirror_definitions import definition_of
from ocblob.databases.sql.odd_cells import ODD_CELL, has_any, odd_values, row_name
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.session_keys import bound_key
from ocblob.databases.sql.session_pages import row_pages
from ocblob.databases.sql.session_tables import shape_of
from ocblob.databases.sql.session_values import nature, pieces, readable, small
from ocblob.databases.sql.tables import SqlTable, Tables
from ocblob.errors import DatabaseError

IDS_PAGE: Final = 500
"""Ids in one statement."""
ODD_ROWS: Final = 20
"""Rows whose odd cells are held at a time."""


@contextlib.contextmanager
def snapshot(server: Server, tables: Tables) -> Iterator["SqlSnapshot"]:
    """One state, on a connection of its own."""
    with server.snapshot() as connection:
        yield SqlSnapshot(server, tables, connection)


class SqlSnapshot:
    """See `Snapshot`: over a connection that is in a transaction."""

    def __init__(self, server: Server, tables: Tables, connection: sa.Connection) -> None:
        self.connection = connection
        self._server = server
        self._tables = tables
        self._known = dict[str, _KnownTable]()
        self._has_odd: bool | None = None
        """Whether any table has odd cells; None if nobody has asked yet."""

    def shape(self, table: str) -> TableShape:
        """See `Snapshot`."""
        return shape_of(self._tables[table])

    def definition(self, table: str) -> TableDefinition:
        """See `Snapshot`."""
        with self._server.translated():
            return definition_of(self._server, self._tables, self.connection, table)

    def rows(self, table: OwnedTable, session: str) -> Iterator[Row]:
        """See `Snapshot`."""
        return self.context_rows(table.table, table.session, session)

    def context_rows(self, table: str, column: str, value: str) -> Iterator[Row]:
        """See `Snapshot`."""
        found = self._table(table)
        owner = self._owner(found.table[column], value)
        if owner is None:
            return
        with self._server.translated():
            for page in found.pages.all(self.connection, column, owner):
                yield from found.made(self.connection, page)

    def find(self, table: str, key: Sequence[Value]) -> Row | None:
        """See `Snapshot`."""
        found = self._table(table)
        columns = found.table.key
        if len(key) != len(columns):
            where = f"{table} in {self._server.address}"
            raise DatabaseError(f"{where} has a key of {len(columns)} columns, not {len(key)}")
        bound = bound_key(self._server.dialect, found.table, key)
        if not bound:
            return None
        with self._server.translated():
            row = found.pages.one(self.connection, bound)
            return None if row is None else next(iter(found.made(self.connection, [row])))

    def exists(self, tree: SessionTree, session: str) -> bool:
        """See `Snapshot`."""
        if not self._is_text(session):
            return False
        theirs = self._server.dialect.is_text(self._tables[tree.sessions.table][tree.sessions.session], session)
        with self._server.translated():
            found = self.connection.execute(sa.select(sa.literal(1)).where(theirs).limit(1))
            return found.first() is not None

    def children(self, tree: SessionTree, sessions: Sequence[str]) -> set[str]:
        """See `Snapshot`."""
        table = self._tables[tree.sessions.table]
        names = list(filter(self._is_text, sessions))
        found = set[str]()
        with self._server.translated():
            for start in range(0, len(names), IDS_PAGE):
                wanted = names[start : start + IDS_PAGE]
                pairs = sa.select(table[tree.sessions.session], table[tree.parent])
                rows = self.connection.execute(pairs.where(table[tree.parent].in_(wanted)))
                exactly = set(wanted)  # a collation may take others for equal
                found.update(str(child) for child, parent in rows if parent in exactly)
        return found

    def _owner(self, column: sa.Column[Any], value: str) -> str | int | None:
        """A session's id, or another value that is told as text, as it is bound; None if the column cannot hold it."""
        if nature(column) == "integer":
            return int(value) if value.removeprefix("-").isdecimal() else None
        return value if self._is_text(value) else None

    def _is_text(self, value: str) -> bool:
        try:
            self._server.dialect.encoded(value.encode("utf-8", "surrogateescape"), text=True)
        except ValueError:
            return False
        return True

    def _table(self, name: str) -> "_KnownTable":
        if name not in self._known:
            if self._has_odd is None:
                self._has_odd = ODD_CELL in self._tables.all_names() and has_any(self.connection)
            odd = self._has_odd and has_any(self.connection, name)
            self._known[name] = _KnownTable(self._server, self._tables[name], odd=odd)
        return self._known[name]


class _KnownTable:
    """How one table's rows are read."""

    def __init__(self, server: Server, table: SqlTable, *, odd: bool) -> None:
        if not table.key:
            raise DatabaseError(f"{table.table.name} in {server.address} has no primary key to find a row by")
        self.table = table
        self._dialect = server.dialect
        self._server = server
        self._odd = odd
        """Whether rows may have cells of `ocblob_odd_cell`; in one state that does not change."""
        self._placed = table.rowid is not None
        self._natures = [(column.name, nature(column)) for column in table.columns]
        self.pages = row_pages(self._dialect, table)

    def made(self, connection: sa.Connection, page: Sequence[Sequence[Any]]) -> Iterator[Row]:
        """Rows of what was selected."""
        if not self._odd:
            for selected in page:
                yield self._row(connection, selected, self._key(selected))
            return
        for start in range(0, len(page), ODD_ROWS):
            yield from self._made_odd(connection, page[start : start + ODD_ROWS])

    def _made_odd(self, connection: sa.Connection, group: Sequence[Sequence[Any]]) -> Iterator[Row]:
        keys = list(map(self._key, group))
        names = [row_name(key) for key in keys]
        cells = odd_values(connection, self._dialect, self.table.table.name, names)
        for selected, key, name in zip(group, keys, names, strict=True):
            row = self._row(connection, selected, key)
            values = [
                cells.get((name, column), value) for (column, _), value in zip(self._natures, row.values, strict=True)
            ]
            yield Row(row.rowid, tuple(values))

    def _key(self, selected: Sequence[Any]) -> tuple[Any, ...]:
        return tuple(selected[self._placed : self._placed + len(self.table.key)])

    def _row(self, connection: sa.Connection, selected: Sequence[Any], key: tuple[Any, ...]) -> Row:
        values = list[Value]()
        cells = iter(selected[self._placed + len(self.table.key) : -1])
        for number, (_, kind) in enumerate(self._natures):
            cell = next(cells)
            match kind:
                case "integer":
                    values.append(None if cell is None else int(cell))
                case "real":
                    values.append(None if cell is None else float(cell))
                case _:
                    raw = next(cells)
                    values.append(None if cell is None else self._content(connection, number, key, cell, raw))
        return Row(selected[0] if self._placed else None, tuple(values))

    def _content(
        self, connection: sa.Connection, number: int, key: tuple[Any, ...], size: int, raw: bytes | None
    ) -> Content:
        kind: Literal["text", "blob"] = "blob" if self._natures[number][1] == "blob" else "text"
        if raw is not None:
            return small(kind, self._dialect.decoded(raw, text=kind == "text"))
        return Content(kind, size, partial(self._chunks, connection, number, key, kind))

    def _chunks(
        self, connection: sa.Connection, number: int, key: tuple[Any, ...], kind: Literal["text", "blob"]
    ) -> Iterator[bytes]:
        place = sa.and_(*(column == value for column, value in zip(self.table.key, key, strict=True)))
        column: Any = readable(self.table.columns[number])
        with self._server.translated():
            yield from pieces(self._dialect.stream(connection, column, place, text=kind == "text"))
