"""Rows to store: move base64 payloads out of cells and leave refs.

A cell is swapped only after every blob that its new content names is durable in the store. What waits in memory
is the new content of a few batches of cells, never a payload.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Protocol

from ocblob.batches import CellBatches, Committed, PlannedCell
from ocblob.cells import Column, Scope
from ocblob.databases.base import Cell, CellReader, Cells, Database
from ocblob.databases.shards import listed
from ocblob.errors import CellError
from ocblob.pass_report import PassReport
from ocblob.placeholders.preview import previews_for
from ocblob.rewrite import OffloadPlan, plan_offload
from ocblob.store import BlobStore
from ocblob.store.writer import Receipt

MIN_CHARS: Final = 8 * 1024
"""Payloads below this many characters of base64 stay inline."""

Progress = Callable[[int], None]
"""Called with the number of bytes of cells that are dealt with since the last call."""


@dataclass(slots=True)
class OffloadReport(PassReport):
    """What a pass did. Sizes in bytes."""

    cells: int = 0
    """Cells looked at."""
    cells_swapped: int = 0
    payloads: int = 0
    """Payloads moved out; in a dry run, that would be."""
    payload_chars: int = 0
    """Base64 text that left the rows."""
    size: int = 0
    """The same, decoded."""
    blobs_new: int = 0
    stored_size_new: int = 0
    refs: int = 0
    """Refs that were there before."""
    inline: dict[str, int] = field(default_factory=dict)
    """Payloads that stay, by reason."""

    @property
    def complete(self) -> bool:
        """Whether every payload that should have moved has."""
        return not self.failed and not self.changed

    def troubles(self) -> int:
        """How many things went wrong, told in words or not."""
        return self.failed

    def count_moved(self, plan: OffloadPlan) -> None:
        """Count a cell whose payloads have moved."""
        self.cells_swapped += 1
        for span in plan.payloads:
            self.payloads += 1
            self.payload_chars += span.end - span.start
            self.size += span.size

    def count_stored(self, receipt: Receipt) -> None:
        """Count what a batch has put."""
        self.blobs_new += len(receipt.new)
        self.stored_size_new += sum(stored.stored_size for stored in receipt.new)


def plan_offloads(
    database: Database,
    columns: tuple[Column, ...],
    *,
    scope: Scope,
    min_chars: int = MIN_CHARS,
    progress: Progress = lambda _: None,
) -> OffloadReport:
    """What `offload` would do: read everything, write nothing."""
    begun = time.monotonic()
    report = OffloadReport()
    planner = _Planner(database, report, partial(plan_offload, min_chars=min_chars, store="0" * 8), progress)
    with database.cells() as cells:
        for item in planner.plans(cells, columns, larger_than=min_chars, scope=scope):
            report.count_moved(item.plan)
    report.elapsed_s = time.monotonic() - begun
    return report


def offload(  # noqa: PLR0913 - what, where to, and how much of it
    database: Database,
    store: BlobStore,
    columns: tuple[Column, ...],
    *,
    scope: Scope,
    min_chars: int = MIN_CHARS,
    progress: Progress = lambda _: None,
    previews: bool | None = None,
) -> OffloadReport:
    """Move every payload of at least `min_chars` characters out of these columns' cells.

    Pictures leave refs that show them, with `previews` or if nobody says so and Pillow is there.
    May be killed at any moment and run again. Raises `DatabaseError` or `BackendError` when it cannot go on;
    what was swapped by then is durable in the store. Memory: below 80 MiB whatever the size of a cell; with
    previews up to 200 MiB, if there are pictures of many pixels.
    """
    wanted = previews_for(previews)
    begun = time.monotonic()
    report = OffloadReport()
    changed: list[Cell] = []

    def done(result: Committed) -> None:
        item = result.planned
        if result.swapped:
            report.count_moved(item.plan)
        elif result.retry:
            changed.append(item.cell)
        elif result.error is not None:
            report.fail(database.label(item.cell), result.error)

    plan_cell = partial(plan_offload, min_chars=min_chars, store=store.short_id, previews=wanted)
    planner = _Planner(database, report, plan_cell, progress)
    with (
        store.writer() as writer,
        database.cells() as cells,
        CellBatches(database, writer, done=done, stored=report.count_stored) as batches,
    ):
        for item in planner.plans(cells, columns, larger_than=min_chars, scope=scope):
            batches.add(item, cells)
        batches.hand_over(cells)
        batches.wait()
        # What changed under our eyes gets a second look, row by row.
        again, changed[:] = list(changed), []
        for cell in again:
            if plan := planner.plan(cells, cell):
                batches.add(PlannedCell(cell, plan), cells)
            batches.hand_over(cells)
        batches.wait()
    report.changed = len(changed)
    report.longest_transaction_s = database.longest_transaction_s
    report.elapsed_s = time.monotonic() - begun
    return report


class Offload(Protocol):
    """Whatever does a pass as `offload` does."""

    def __call__(  # noqa: PLR0913 - as `offload`
        self,
        database: Database,
        store: BlobStore,
        columns: tuple[Column, ...],
        *,
        scope: Scope,
        min_chars: int,
        progress: Progress,
        previews: bool | None,
    ) -> OffloadReport:
        """See `offload`."""


class _Planner:
    """Goes through the rows and plans cell after cell; what cannot be read is reported and passed over."""

    def __init__(
        self,
        database: Database,
        report: OffloadReport,
        plan: Callable[[CellReader], OffloadPlan],
        progress: Progress,
    ) -> None:
        self._database = database
        self._report = report
        self._plan = plan
        self._progress = progress

    def plans(
        self, cells: Cells, columns: tuple[Column, ...], *, larger_than: int, scope: Scope
    ) -> Iterator[PlannedCell]:
        """The cells of which something moves."""
        for column in columns:
            for cell in listed(self._database, column, larger_than=larger_than, scope=scope):
                if plan := self.plan(cells, cell):
                    yield PlannedCell(cell, plan)
                self._progress(cell.size)
            cells.release()

    def plan(self, cells: Cells, cell: Cell) -> OffloadPlan | None:
        """The plan of one cell; None if nothing moves, or the row is gone, or it cannot be read."""
        self._report.cells += 1
        try:
            plan = self._plan(cells.open(cell))
        except CellError as error:
            if self._database.find_again(cell):
                self._report.fail(self._database.label(cell), error)
            return None
        self._report.refs += plan.refs
        for reason, count in plan.inline.items():
            self._report.inline[reason.value] = self._report.inline.get(reason.value, 0) + count
        return plan if plan.payloads else None
