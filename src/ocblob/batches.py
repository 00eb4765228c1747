"""Planned cells committed in batches: blobs first, then rows.

Batches are committed one after the other in a thread of their own, while the next ones are scanned and staged.
Between a batch's stamp and its swap nothing that anybody else wrote goes unnoticed.
"""

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Final, Self

from ocblob import base64stream
from ocblob.databases.base import Cell, CellReader, Cells, Database, Edit, Outcome
from ocblob.errors import CellError, ClaimLostError
from ocblob.rewrite import OffloadPlan, still_fits
from ocblob.scan import PayloadSpan
from ocblob.store.writer import Batch, Receipt, Wanted, Writer

BATCH_CELLS: Final = 256
BATCH_BYTES: Final = 64 * 1024 * 1024
"""Bytes of cells that one batch covers."""
FIRST_BATCH_BYTES: Final = 8 * 1024 * 1024
"""The first batch is small, and the next ones double: stagers and a remote store begin to work at once."""
BATCH_CONTENT_BYTES: Final = 2 * 1024 * 1024
"""New content that one batch holds in memory."""
BATCHES_IN_FLIGHT: Final = 3
IN_FLIGHT_CONTENT_BYTES: Final = 10 * 1024 * 1024
CLAIM_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class PlannedCell:
    """A cell and what is to become of it."""

    cell: Cell
    plan: OffloadPlan


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of one cell."""

    planned: PlannedCell
    swapped: bool
    retry: bool = False
    """Somebody changed or removed it meanwhile: it deserves a second look."""
    error: Exception | None = None
    """Why it cannot be swapped at all."""


@dataclass(slots=True)
class _Group:
    stamp: object
    limit_bytes: int
    planned: list[PlannedCell] = field(default_factory=list)
    cell_bytes: int = 0
    content_bytes: int = 0

    def add(self, item: PlannedCell) -> None:
        self.planned.append(item)
        self.cell_bytes += item.cell.size
        self.content_bytes += len(item.plan.content)

    @property
    def full(self) -> bool:
        return (
            len(self.planned) >= BATCH_CELLS
            or self.cell_bytes >= self.limit_bytes
            or self.content_bytes >= BATCH_CONTENT_BYTES
        )


class CellBatches:
    """Takes planned cells and commits them.

    Used as a context manager: a clean end waits for the last batch; an error, here or in a batch, stops the
    others before they touch a row. `done` and `stored` are told
    what happened, in the committing thread.
    """

    def __init__(
        self,
        database: Database,
        writer: Writer,
        *,
        done: Callable[[Committed], None],
        stored: Callable[[Receipt], None],
    ) -> None:
        self._database = database
        self._writer = writer
        self._done = done
        self._stored = stored
        self._readers = _Readers(database)
        self._committer = ThreadPoolExecutor(1, thread_name_prefix="ocblob-commit")
        self._pending: list[tuple[Future[None], int]] = []
        """Batches on their way, with the bytes of new content that each holds."""
        self._stopped = False
        self._group = _Group(database.stamp(), FIRST_BATCH_BYTES)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        try:
            if kind is None:
                self.wait()
        finally:
            self._stopped = True
            self._committer.shutdown(wait=True, cancel_futures=True)
            self._writer.settle()
            self._readers.close()

    def add(self, item: PlannedCell, cells: Cells) -> None:
        """Take one; hands a batch over when it is full."""
        self._group.add(item)
        if self._group.full:
            self.hand_over(cells)

    def hand_over(self, cells: Cells) -> None:
        """Let what was taken be committed; waits if too many batches are on their way."""
        cells.release()
        if self._group.planned:
            while self._crowded():
                self._pending.pop(0)[0].result()
            batch = self._writer.begin(self._wanted(self._group))
            future = self._committer.submit(self._commit, self._group, batch)
            self._pending.append((future, self._group.content_bytes))
            if not self._database.reads_beside_writes:
                self.wait()
        # Taken before anything of the next batch is read.
        self._group = _Group(self._database.stamp(), min(2 * self._group.limit_bytes, BATCH_BYTES))

    def wait(self) -> None:
        """Until every batch that was handed over is committed."""
        while self._pending:
            self._pending.pop(0)[0].result()

    def _crowded(self) -> bool:
        held = sum(size for _, size in self._pending) + self._group.content_bytes
        return len(self._pending) >= BATCHES_IN_FLIGHT or bool(self._pending and held > IN_FLIGHT_CONTENT_BYTES)

    def _wanted(self, group: _Group) -> list[Wanted]:
        wanted: dict[str, Wanted] = {}
        for item in group.planned:
            for span in item.plan.payloads:
                if span.digest not in wanted:
                    wanted[span.digest] = Wanted(span.digest, span.size, self._readers.payload(item.cell, span))
        return list(wanted.values())

    def _commit(self, group: _Group, batch: Batch) -> None:
        if self._stopped:
            return
        try:
            receipt = self._put(group, batch)
            self._stored(receipt)
            ready = [item for item in group.planned if not self._refused(item, receipt)]
            edits = [_edit(item) for item in ready]
            results = self._database.swap(edits, stamp=group.stamp)
        except BaseException:
            self._stopped = True
            raise
        for item, result in zip(ready, results, strict=True):
            changed = result.outcome is Outcome.CHANGED
            self._done(Committed(item, result.outcome is Outcome.SWAPPED, changed, result.error))

    def _put(self, group: _Group, batch: Batch) -> Receipt:
        """All blobs of a batch durable and claimed; whatever was taken away meanwhile is put again."""
        for _try in range(CLAIM_TRIES - 1):
            try:
                return self._confirmed(batch)
            except ClaimLostError:
                batch = self._writer.begin(self._wanted(group))
        return self._confirmed(batch)

    def _confirmed(self, batch: Batch) -> Receipt:
        receipt = batch.finish()
        self._readers.release()
        self._writer.confirm(receipt.stored)
        return receipt

    def _refused(self, item: PlannedCell, receipt: Receipt) -> bool:
        for span in item.plan.payloads:
            if error := receipt.failed.get(span.digest):
                changed = isinstance(error, CellError)
                self._done(Committed(item, swapped=False, retry=changed, error=None if changed else error))
                return True
        return False


class _Readers:
    """Readers for the staging threads: made when one is missing, kept until the end."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._free: SimpleQueue[Cells] = SimpleQueue()
        self._stack = contextlib.ExitStack()

    def close(self) -> None:
        self._stack.close()

    def release(self) -> None:
        """End the reads of readers that nobody uses now."""
        idle = []
        with contextlib.suppress(Empty):
            while True:
                idle.append(self._free.get_nowait())
        for cells in idle:
            cells.release()
            self._free.put(cells)

    def payload(self, cell: Cell, span: PayloadSpan) -> Callable[[], Iterator[bytes]]:
        """A function that reads one payload's bytes again, in any thread."""

        def chunks() -> Iterator[bytes]:
            with self._borrowed() as cells:
                yield from base64stream.decode(cells.open(cell).read(span.start, span.end))

        return chunks

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Cells]:
        try:
            cells = self._free.get_nowait()
        except Empty:
            cells = self._stack.enter_context(self._database.cells())
        try:
            yield cells
        finally:
            # Not released: the next payload is likely to be in the same cell, further on.
            self._free.put(cells)


def _edit(item: PlannedCell) -> Edit:
    return Edit(item.cell, len(item.plan.content), _content(item), _same(item), item.plan.version)


def _content(item: PlannedCell) -> Callable[[], Iterator[bytes]]:
    return lambda: iter((item.plan.content,))


def _same(item: PlannedCell) -> Callable[[CellReader], bool]:
    return lambda reader: still_fits(item.plan, reader)
