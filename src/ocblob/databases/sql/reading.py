"""Reading cells of a server's: each is fetched once and given out in pieces."""

import contextlib
import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa

from ocblob.databases.base import READ_BYTES, Cell, CellReader
from ocblob.databases.sql.listing import by_key
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.tables import Tables, kind_of
from ocblob.errors import CellError


class SqlReading:
    """Shared by all `Cells` of a database."""

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables

    def listed(self, cells: Sequence[Cell]) -> None:
        """These are likely to be opened next, in this order."""

    @contextlib.contextmanager
    def cells(self) -> Iterator["SqlCells"]:
        """A reader, for one thread."""
        yield SqlCells(self._server, self._tables)

    def close(self) -> None:
        """Nothing is held."""


class SqlCells:
    """See `Cells`."""

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables

    def open(self, cell: Cell) -> CellReader:
        """See `Cells`."""
        table = self._tables[cell.column.table]
        column = table[cell.column.column]
        text = kind_of(column) == "text"
        dialect = self._server.dialect
        version = dialect.version(table.table)
        query = sa.select(dialect.content(column), sa.null() if version is None else version).where(
            by_key(table, cell.key)
        )

        def read() -> Any:
            with self._server.reading() as connection:
                return connection.execute(query).one_or_none()

        found = self._server.retried(read)
        if found is None or found[0] is None:
            raise CellError(f"{cell}: the row or its content is gone")
        data = dialect.decoded(found[0], text=text)
        known = found[1] if version is not None else dialect.content_version(hashlib.sha256(found[0]), text=text)
        return SqlCellReader(cell, data, known)

    def release(self) -> None:
        """Nothing is held."""


class SqlCellReader:
    """See `CellReader`."""

    def __init__(self, cell: Cell, data: bytes, version: object) -> None:
        self._cell = cell
        self._data = data
        self.version = version
        self.size = len(data)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """See `CellReader`."""
        for at in range(start, end, READ_BYTES):
            if at >= self.size:
                raise CellError(f"{self._cell}: ends at byte {self.size}")
            yield self._data[at : min(at + READ_BYTES, end)]
