"""Cells out of the server and into the spool, each with the version of its row, from one statement or one state."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from ocblob.cells import Column
from ocblob.databases.base import Cell
from ocblob.databases.sql.listing import by_key
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.spool import Content, Spool
from ocblob.databases.sql.tables import SqlTable, Tables, kind_of
from ocblob.errors import CellError


class Fetcher:
    """Fetches cells of one database; for any number of threads."""

    def __init__(self, server: Server, tables: Tables, spool: Spool) -> None:
        self._server = server
        self._tables = tables
        self._dialect = server.dialect
        self._spool = spool

    @property
    def large_bytes(self) -> int:
        """A cell of more than this is fetched alone, and in pieces."""
        return self._dialect.large_bytes

    def together(self, cells: Sequence[Cell], *, kept: Callable[[Cell], bool]) -> None:
        """Cells of one column by one statement; `kept` is told of each, and says whether to go on.

        What is gone meanwhile, holds nothing, or has grown large, is left out. Memory: a row, as the driver holds it.
        """
        left = {_bare(cell.key): cell for cell in cells}
        segment = self._spool.segment()

        def fetch() -> None:
            with self._server.reading() as connection:
                for key, version, raw in self._rows(connection, list(left.values())):
                    cell = left.pop(key, None)
                    if cell is None or raw is None:
                        continue
                    text = self._is_text(cell.column)
                    segment.write(self._dialect.decoded(raw, text=text))
                    segment.keep(cell, self._version(version, raw, text=text))
                    if not kept(cell):
                        return

        self._server.retried(fetch)

    def _rows(self, connection: sa.Connection, cells: Sequence[Cell]) -> Iterator[tuple[object, Any, Any]]:
        """Key, version and content of the rows that are there."""
        if not cells:
            return
        table, column = self._place(cells[0].column)
        found = sa.case((self._dialect.octets(column) <= self.large_bytes, self._dialect.whole(column)))
        statement = sa.select(*table.key, self._version_of(table), found).where(self._keys(table, cells))
        for *key, version, raw in self._dialect.rows(connection, statement):
            yield _bare(tuple(key)), version, _plain(raw)

    def alone(self, cell: Cell) -> Content:
        """One cell in pieces, of whatever size. Raises `CellError` if it is gone, or holds nothing any more."""
        table, column = self._place(cell.column)
        where = by_key(table, cell.key)
        text = self._is_text(cell.column)
        looked = sa.select(self._version_of(table), self._dialect.octets(column)).where(where)

        def fetch() -> Content:
            segment = self._spool.segment()
            with self._server.snapshot() as connection:
                found = connection.execute(looked).one_or_none()
                if found is None or found[1] is None:
                    raise CellError(f"{cell}: the row or its content is gone")
                seen = hashlib.sha256()
                for piece in self._dialect.stream(connection, column, where, text=text, seen=seen):
                    segment.write(piece)
                if segment.size < int(found[1]):
                    raise CellError(f"{cell}: {segment.size:,} bytes came of {int(found[1]):,}")
                if self._dialect.version(table.table) is None:
                    return segment.keep(cell, self._dialect.content_version(seen, text=text))
                return segment.keep(cell, found[0])

        return self._server.retried(fetch)

    def _keys(self, table: SqlTable, cells: Sequence[Cell]) -> sa.ColumnElement[bool]:
        """Whether a row is one of these."""
        if len(table.key) > 1:
            return sa.or_(*(by_key(table, cell.key) for cell in cells))
        return self._dialect.among(table.key[0], [key for cell in cells for key in _parts(cell.key)])

    def _version_of(self, table: SqlTable) -> sa.ColumnElement[Any]:
        version = self._dialect.version(table.table)
        return sa.null() if version is None else version

    def _version(self, version: object, raw: bytes, *, text: bool) -> object:
        return self._dialect.content_version(hashlib.sha256(raw), text=text) if version is None else version

    def _place(self, column: Column) -> tuple[SqlTable, sa.Column[Any]]:
        table = self._tables[column.table]
        return table, table[column.column]

    def _is_text(self, column: Column) -> bool:
        return kind_of(self._place(column)[1]) == "text"


def _parts(key: object) -> tuple[object, ...]:
    if not isinstance(key, tuple):
        raise CellError(f"{key!r} is no key of a row")
    return key


def _bare(key: object) -> object:
    """A key that is equal whether its texts came as `str` or as bytes."""
    return tuple(part.encode() if isinstance(part, str) else part for part in _parts(key))


def _plain(raw: Any) -> Any:
    """A text or a blob of the driver's as bytes."""
    if isinstance(raw, str):
        return raw.encode()
    return raw if raw is None or isinstance(raw, bytes) else bytes(raw)
