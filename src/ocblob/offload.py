"""Rows to store: move base64 payloads out of cells and leave refs.

A cell is swapped only after every blob that its new content names is durable in the store. Scanning, staging
and committing overlap; what waits in memory is the new content of a few batches of cells, never a payload.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final, Self

from ocblob import base64stream
from ocblob.cells import Column, Scope
from ocblob.databases.base import Cell, CellReader, Cells, Database, Edit, Outcome
from ocblob.errors import CellError, ClaimLostError
from ocblob.rewrite import OffloadPlan, plan_offload
from ocblob.scan import PayloadSpan
from ocblob.store import BlobStore
from ocblob.store.writer import Batch, Receipt, Wanted, Writer

MIN_CHARS: Final = 8 * 1024
"""Payloads below this many characters of base64 stay inline."""
BATCH_CELLS: Final = 256
BATCH_BYTES: Final = 32 * 1024 * 1024
"""Bytes of cells that one batch covers: what a contested transaction may have to read again."""
BATCH_CONTENT_BYTES: Final = 2 * 1024 * 1024
BATCHES_IN_FLIGHT: Final = 3
CLAIM_TRIES: Final = 3
PROBLEMS_MAX: Final = 100
"""Rows reported one by one; the others are counted."""

Progress = Callable[[int], None]
"""Called with the number of bytes of cells that are dealt with since the last call."""


@dataclass(slots=True)
class OffloadReport:
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
    ref_chars: int = 0
    """Text that stands in the rows instead."""
    blobs_new: int = 0
    stored_size_new: int = 0
    refs: int = 0
    """Refs that were there before."""
    inline: dict[str, int] = field(default_factory=dict)
    """Payloads that stay, by reason."""
    changed: int = 0
    """Cells that somebody changed while we looked, twice; the next pass takes them."""
    failed: int = 0
    problems: list[str] = field(default_factory=list)
    """The first of them, in words, with their rows."""
    longest_transaction_s: float = 0.0
    elapsed_s: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every payload that should have moved has."""
        return not self.failed and not self.changed

    def problem(self, where: str, error: Exception) -> None:
        """Count a cell that could not be dealt with."""
        self.failed += 1
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(f"{where}: {error}")


@dataclass(frozen=True, slots=True)
class _Planned:
    cell: Cell
    plan: OffloadPlan


@dataclass(slots=True)
class _Group:
    """Cells that are committed together."""

    stamp: object
    planned: list[_Planned] = field(default_factory=list)
    cell_bytes: int = 0
    content_bytes: int = 0

    def add(self, item: _Planned) -> None:
        self.planned.append(item)
        self.cell_bytes += item.cell.size
        self.content_bytes += len(item.plan.content)

    @property
    def full(self) -> bool:
        return (
            len(self.planned) >= BATCH_CELLS
            or self.cell_bytes >= BATCH_BYTES
            or self.content_bytes >= BATCH_CONTENT_BYTES
        )


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
    with database.cells() as cells:
        for _cell, plan in _plans(database, cells, columns, scope, min_chars, "0" * 8, report, progress):
            report.cells_swapped += 1
            _count_moved(report, plan)
            cells.release()
    report.elapsed_s = time.monotonic() - begun
    return report


def offload(  # noqa: PLR0913
    database: Database,
    store: BlobStore,
    columns: tuple[Column, ...],
    *,
    scope: Scope,
    min_chars: int = MIN_CHARS,
    progress: Progress = lambda _: None,
) -> OffloadReport:
    """Move every payload of at least `min_chars` characters out of these columns' cells.

    May be killed at any moment and run again. Raises `DatabaseError` or `BackendError` when it cannot go on;
    what was swapped by then is durable in the store. Memory: below 80 MiB whatever the size of a cell.
    """
    begun = time.monotonic()
    report = OffloadReport()
    with store.writer() as writer, _CellsPool(database) as pool, database.cells() as cells:
        offloader = _Offloader(database, writer, pool, min_chars, store.short_id, report)
        plans = _plans(database, cells, columns, scope, min_chars, store.short_id, report, progress)
        with offloader:
            for cell, plan in plans:
                offloader.add(cell, plan, cells)
            offloader.flush(cells)
        # What changed under our eyes gets a second look, in a quiet order.
        with offloader:
            again, offloader.changed = offloader.changed, []
            for cell in again:
                if second := _plan(database, cells, cell, min_chars, store.short_id, report):
                    offloader.add(cell, second, cells)
                    offloader.flush(cells)
        report.changed = len(offloader.changed)
    report.longest_transaction_s = getattr(database, "longest_transaction_s", 0.0)
    report.elapsed_s = time.monotonic() - begun
    return report


def _plans(  # noqa: PLR0913, PLR0917 - one loop, two callers
    database: Database,
    cells: Cells,
    columns: tuple[Column, ...],
    scope: Scope,
    min_chars: int,
    store: str,
    report: OffloadReport,
    progress: Progress,
) -> Iterator[tuple[Cell, OffloadPlan]]:
    for column in columns:
        for cell in database.candidates(column, larger_than=min_chars, scope=scope):
            if plan := _plan(database, cells, cell, min_chars, store, report):
                yield cell, plan
            progress(cell.size)


def _plan(  # noqa: PLR0913, PLR0917
    database: Database, cells: Cells, cell: Cell, min_chars: int, store: str, report: OffloadReport
) -> OffloadPlan | None:
    """The plan of one cell; None if nothing moves or it cannot be read."""
    report.cells += 1
    try:
        plan = plan_offload(cells.open(cell), min_chars=min_chars, store=store)
    except CellError as error:
        report.problem(database.label(cell), error)
        return None
    report.refs += len(plan.refs)
    for span in plan.inline:
        report.inline[span.reason.value] = report.inline.get(span.reason.value, 0) + 1
    return plan if plan.payloads else None


class _Offloader:
    """Takes plans, forms batches, and commits them in their order in a thread of its own."""

    def __init__(  # noqa: PLR0913, PLR0917
        self,
        database: Database,
        writer: Writer,
        pool: "_CellsPool",
        min_chars: int,
        store: str,
        report: OffloadReport,
    ) -> None:
        self._database = database
        self._writer = writer
        self._pool = pool
        self._min_chars = min_chars
        self._store = store
        self._report = report
        self._group = _Group(database.stamp())
        self._pending: list[Future[None]] = []
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="ocblob-commit")
        self.changed: list[Cell] = []

    def __enter__(self) -> Self:
        self._group = _Group(self._database.stamp())
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        pending, self._pending = self._pending, []
        for future in pending:
            if kind is None:
                future.result()
            else:
                future.cancel()

    def add(self, cell: Cell, plan: OffloadPlan, cells: Cells) -> None:
        self._group.add(_Planned(cell, plan))
        if self._group.full:
            self.flush(cells)

    def flush(self, cells: Cells) -> None:
        """Hand the batch over; wait if too many are on their way."""
        group, cells_read = self._group, cells
        cells_read.release()
        if group.planned:
            while len(self._pending) >= BATCHES_IN_FLIGHT:
                self._pending.pop(0).result()
            batch = self._writer.begin(self._wanted(group))
            self._pending.append(self._committer.submit(self._commit, group, batch))
        # Before anything of the next batch is read.
        self._group = _Group(self._database.stamp())

    def _wanted(self, group: _Group) -> list[Wanted]:
        wanted: dict[str, Wanted] = {}
        for item in group.planned:
            for span in item.plan.payloads:
                if span.digest not in wanted:
                    wanted[span.digest] = Wanted(span.digest, span.size, self._pool.reader(item.cell, span))
        return list(wanted.values())

    def _commit(self, group: _Group, batch: Batch) -> None:
        receipt = batch.finish()
        for tries_left in reversed(range(CLAIM_TRIES)):
            try:
                self._writer.confirm(receipt.stored)
                break
            except ClaimLostError:
                if not tries_left:
                    raise
                receipt = self._writer.begin(self._wanted(group)).finish()
        self._count_stored(receipt)
        edits = [self._edit(item) for item in group.planned if self._is_stored(item, receipt)]
        plans = {id(edit): item.plan for edit, item in edits}
        for result in self._database.swap([edit for edit, _ in edits], stamp=group.stamp):
            if result.error is not None:
                self._report.problem(self._database.label(result.edit.cell), result.error)
            elif result.outcome is Outcome.CHANGED:
                self.changed.append(result.edit.cell)
            else:
                self._report.cells_swapped += 1
                _count_moved(self._report, plans[id(result.edit)])

    def _is_stored(self, item: _Planned, receipt: Receipt) -> bool:
        for span in item.plan.payloads:
            if error := receipt.failed.get(span.digest):
                if isinstance(error, CellError):
                    self.changed.append(item.cell)
                else:
                    self._report.problem(self._database.label(item.cell), error)
                return False
        return True

    def _edit(self, item: _Planned) -> tuple[Edit, _Planned]:
        plan = item.plan

        def unchanged(reader: CellReader) -> bool:
            return plan_offload(reader, min_chars=self._min_chars, store=self._store) == plan

        return Edit(item.cell, len(plan.content), lambda: iter((plan.content,)), unchanged), item

    def _count_stored(self, receipt: Receipt) -> None:
        for stored in receipt.stored.values():
            if stored.new:
                self._report.blobs_new += 1
                self._report.stored_size_new += stored.stored_size


class _CellsPool:
    """Readers for the staging threads: made when one is missing, kept for the pass."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._free: SimpleQueue[Cells] = SimpleQueue()
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._stack.close()

    def reader(self, cell: Cell, span: PayloadSpan) -> Callable[[], Iterator[bytes]]:
        """A function that reads one payload's bytes again, in any thread."""

        def chunks() -> Iterator[bytes]:
            with self._borrowed() as cells:
                yield from base64stream.decode(cells.open(cell).read(span.start, span.end))

        return chunks

    @contextmanager
    def _borrowed(self) -> Iterator[Cells]:
        try:
            cells = self._free.get_nowait()
        except Empty:
            cells = self._stack.enter_context(self._database.cells())
        try:
            yield cells
        finally:
            cells.release()
            self._free.put(cells)


def _count_moved(report: OffloadReport, plan: OffloadPlan) -> None:
    for span in plan.payloads:
        report.payloads += 1
        report.payload_chars += span.end - span.start
        report.size += span.size
