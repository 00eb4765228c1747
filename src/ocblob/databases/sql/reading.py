"""Reading cells of a server's: each is fetched once, whoever reads it and how often."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence

from ocblob.databases.base import Cell, CellReader
from ocblob.databases.shards import in_shard
from ocblob.databases.sql.ahead import Ahead
from ocblob.databases.sql.fetching import Fetcher
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.spool import Content, Spool, place_of
from ocblob.databases.sql.tables import Tables


class SqlReading:
    """Shared by all `Cells` of a database."""

    def __init__(self, server: Server, tables: Tables) -> None:
        self._spool = Spool()
        self._fetcher = Fetcher(server, tables, self._spool)
        self._aheads: tuple[Ahead, ...] = ()

    def ahead(self, pages: Iterator[Sequence[Cell]], *, shard: tuple[int, int] | None) -> Iterator[Cell]:
        """The listed cells of a shard. They are fetched ahead of whoever iterates, as soon as one is opened."""
        one = Ahead(self._fetcher, self._fresh(pages, shard))
        self._aheads = (*self._aheads, one)
        try:
            yield from one.cells()
        finally:
            self._aheads = tuple(other for other in self._aheads if other is not one)

    def _fresh(self, pages: Iterator[Sequence[Cell]], shard: tuple[int, int] | None) -> Iterator[Sequence[Cell]]:
        for page in pages:
            cells = [cell for cell in page if in_shard(cell, shard)]
            # What was read for an earlier listing may not be what is there now.
            self.forget(cells)
            yield cells

    @contextlib.contextmanager
    def cells(self) -> Iterator["SqlCells"]:
        """A reader, for one thread."""
        cells = SqlCells(self)
        try:
            yield cells
        finally:
            cells.release()

    def content(self, cell: Cell) -> Content:
        """What is in a cell, or was when it was fetched."""
        place = place_of(cell)
        for one in self._aheads:
            one.wait_for(place)
        return self._spool.get(cell) or self._fetcher.alone(cell)

    def forget(self, cells: Iterable[Cell]) -> None:
        """These have another content now; whoever opens one gets it."""
        for cell in cells:
            self._spool.forget(cell)

    def close(self) -> None:
        """Fetch nothing more, and give the disk free."""
        for one in self._aheads:
            one.stop()
        self._spool.clear()


class SqlCells:
    """See `Cells`."""

    def __init__(self, reading: SqlReading) -> None:
        self._reading = reading
        self._open: Content | None = None

    def open(self, cell: Cell) -> CellReader:
        """See `Cells`. The cell that was opened last is kept, so that its next payload needs no other fetch."""
        self._open = self._reading.content(cell)
        return self._open

    def release(self) -> None:
        """See `Cells`: nothing is held in the server anyway."""
        self._open = None
