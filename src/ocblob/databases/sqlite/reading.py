"""Reading cells in pieces, through blob handles: no cell is ever loaded as a whole."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import apsw

from ocblob.cells import Column
from ocblob.databases.base import READ_BYTES, SNAPSHOT_S, Cell, CellReader
from ocblob.databases.sqlite.connection import translated
from ocblob.errors import CellError, DatabaseError


class SQLiteCells:
    """One blob handle, moved from row to row while the column stays the same."""

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self._path = path
        self._db = connection
        self._blob: apsw.Blob | None = None
        self._column: Column | None = None
        self._key: object = None
        self._until = 0.0

    def open(self, cell: Cell) -> CellReader:
        """See `Cells`."""
        same = self._key == cell.key and self._column == cell.column
        if self._blob is not None and not same and (self._column != cell.column or time.monotonic() > self._until):
            self.release()
        with translated(self._path):
            if self._blob is not None and same:
                # The handle knows its way along the cell; a new one would walk it from the beginning.
                return SQLiteCellReader(self._path, cell, self._blob)
            blob = self._reopened(cell) or self._opened(cell)
            self._key = cell.key
        return SQLiteCellReader(self._path, cell, blob)

    def _reopened(self, cell: Cell) -> apsw.Blob | None:
        """The open handle on another row; None if there is none, or its view is older than the row."""
        if self._blob is None:
            return None
        try:
            self._blob.reopen(rowid_of(cell))
        except (apsw.SQLError, apsw.AbortError):
            self.release()
        return self._blob

    def _opened(self, cell: Cell) -> apsw.Blob:
        table, column = cell.column.table, cell.column.column
        try:
            self._blob = self._db.blob_open("main", table, column, rowid_of(cell), False)
        except apsw.SQLError as error:
            raise CellError(f"{cell}: {error}") from error
        self._column, self._until = cell.column, time.monotonic() + SNAPSHOT_S
        return self._blob

    def release(self) -> None:
        """Close the handle: an open one is a read transaction."""
        if self._blob is not None:
            self._blob.close(True)
            self._blob = None

    def close(self) -> None:
        """Close the connection too."""
        self.release()
        self._db.close()


class SQLiteCellReader:
    """See `CellReader`."""

    version: Final = None

    def __init__(self, path: Path, cell: Cell, blob: apsw.Blob) -> None:
        self._path = path
        self._cell = cell
        self._blob = blob
        self.size = blob.length()

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """See `CellReader`."""
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


def rowid_of(cell: Cell) -> int:
    """The rowid that a cell of ours is found by."""
    if not isinstance(cell.key, int):
        raise CellError(f"{cell}: not a rowid")
    return cell.key
