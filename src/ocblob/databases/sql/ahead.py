"""Fetching ahead: while cells of a listing are worked on, the next ones are listed and fetched.

Nothing is fetched before the first of them is opened. What is ahead is bounded by bytes, and waits in the spool.
"""

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ocblob.databases.base import Cell
from ocblob.databases.sql.fetching import Fetcher
from ocblob.databases.sql.spool import Place, place_of
from ocblob.errors import CellError

AHEAD_BYTES: Final = 32 * 1024 * 1024
"""So much is fetched before it is asked for."""
GROUP_BYTES: Final = 16 * 1024 * 1024
"""Fetched by one statement. No snapshot of the server's is held for longer than that takes."""
GROUP_CELLS: Final = 256
TOLD_CELLS: Final = 32
TOLD_BYTES: Final = 256 * 1024
"""So many cells, or bytes, come before who waits is told: to be told of each small one costs more than it does."""
STOP_S: Final = 5.0
"""A server that does not answer keeps nobody for longer."""


class Ahead:
    """One listing, by a thread of its own. Iterated over in the thread that works on the cells, which ends it."""

    def __init__(self, fetcher: Fetcher, pages: Iterator[Sequence[Cell]]) -> None:
        self._fetcher = fetcher
        self._pages = pages
        self._changed = threading.Condition()
        self._page: Sequence[Cell] | None = None
        """Listed, and not handed out yet."""
        self._expected: deque[Cell] = deque()
        """Listed, and not fetched yet, in this order."""
        self._pending: set[Place] = set()
        """Those, and what is being fetched."""
        self._arrived: list[Place] = []
        self._arrived_bytes = 0
        """What is in the spool, and nobody has been told of yet."""
        self._listed_all = self._wanted = self._stopped = False
        self._fetched = self._passed = 0
        """Cells so far, in the order of the listing."""
        self._fetched_bytes = self._passed_bytes = 0
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="ocblob-ahead", daemon=True)

    def cells(self) -> Iterator[Cell]:
        """The cells, in their order."""
        self._thread.start()
        try:
            while (page := self._next_page()) is not None:
                for cell in page:
                    yield cell
                    self._pass(cell)
        finally:
            self.stop()

    def stop(self) -> None:
        """Fetch nothing more."""
        with self._changed:
            self._stopped = True
            self._expected.clear()
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(STOP_S)

    def wait_for(self, place: Place) -> None:
        """Until a cell of this listing is fetched, or it is known that it will not be."""
        with self._changed:
            while place in self._pending and not self._stopped:
                if self._error is not None:
                    raise self._error
                if not self._wanted:
                    self._wanted = True
                    self._changed.notify_all()
                self._changed.wait()

    def _next_page(self) -> Sequence[Cell] | None:
        with self._changed:
            while self._page is None and not self._listed_all and self._error is None:
                self._changed.wait()
            page, self._page = self._page, None
            if page is None and self._error is not None:
                raise self._error
            self._changed.notify_all()
            return page

    def _pass(self, cell: Cell) -> None:
        """The work is beyond this cell."""
        with self._changed:
            self._passed += 1
            self._passed_bytes += cell.size
            self._changed.notify_all()

    def _run(self) -> None:
        try:
            while not self._stopped:
                with self._changed:
                    group = self._group()
                    lists = not group and self._page is None and not self._listed_all
                    if not (group or lists or self._stopped):
                        self._changed.wait()
                if group:
                    self._fetch(group)
                elif lists:
                    self._list()
        except BaseException as error:  # noqa: BLE001 - whoever waits gets it
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _list(self) -> None:
        page = next(self._pages, None)
        with self._changed:
            if page is None:
                self._listed_all = True
            else:
                self._page = page
                self._expected.extend(page)
                self._pending.update(map(place_of, page))
            self._changed.notify_all()

    def _group(self) -> list[Cell]:
        """What to fetch next; nothing if nobody has asked yet, or enough is ahead."""
        while self._expected and self._fetched < self._passed:
            self._took(self._expected.popleft(), here=False)
        group: list[Cell] = []
        size = 0
        if self._stopped or not self._wanted or self._fetched_bytes - self._passed_bytes > AHEAD_BYTES:
            return group
        while self._expected and len(group) < GROUP_CELLS:
            large = self._expected[0].size > self._fetcher.large_bytes
            if group and (large or size + self._expected[0].size > GROUP_BYTES):
                break
            cell = self._expected.popleft()
            self._took(cell, here=True)
            group.append(cell)
            size += cell.size
            if large:
                break
        return group

    def _took(self, cell: Cell, *, here: bool) -> None:
        self._fetched += 1
        self._fetched_bytes += cell.size
        if not here:
            # The work went by without it: it is fetched alone if anybody asks.
            self._pending.discard(place_of(cell))
            self._changed.notify_all()

    def _fetch(self, group: Sequence[Cell]) -> None:
        if len(group) == 1 and group[0].size > self._fetcher.large_bytes:
            with contextlib.suppress(CellError):  # whoever opens it is told
                self._fetcher.alone(group[0])
        else:
            self._fetcher.together(group, kept=self._kept)
        self._tell(map(place_of, group))

    def _kept(self, cell: Cell) -> bool:
        self._arrived.append(place_of(cell))
        self._arrived_bytes += cell.size
        if len(self._arrived) >= TOLD_CELLS or self._arrived_bytes >= TOLD_BYTES:
            self._tell(self._arrived)
        return not self._stopped

    def _tell(self, places: Iterable[Place]) -> None:
        """Nobody needs to wait for these any more."""
        with self._changed:
            self._pending.difference_update(places)
            self._changed.notify_all()
        self._arrived, self._arrived_bytes = [], 0
