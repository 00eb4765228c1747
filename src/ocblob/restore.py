"""Store to rows: put payloads back, byte for byte.

A ref whose blob cannot be had stays as it is and is counted. Large cells cost SQLite about twice their size
in memory while they are written; that is announced first.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from ocblob import base64stream
from ocblob.cells import Column, Scope
from ocblob.databases.base import (
    ANNOUNCED_CELL_BYTES,
    LARGE_CELL_BYTES,
    Cell,
    CellReader,
    Cells,
    Database,
    Edit,
    Outcome,
)
from ocblob.databases.shards import listed
from ocblob.errors import CellError, DatabaseError
from ocblob.marks import REF_CELL_BYTES_MIN
from ocblob.pass_report import PassReport
from ocblob.ref import MARKER_BASE64
from ocblob.rewrite import Replacement, spliced_size
from ocblob.scan import RefSpan, scan
from ocblob.store import BlobStore
from ocblob.unresolved import Unresolved

BATCH_CELLS: Final = 128
BATCH_BYTES: Final = 8 * 1024 * 1024


@dataclass(slots=True)
class RestoreReport(PassReport):
    """What a restore did. Sizes in bytes."""

    cells: int = 0
    """Cells with refs in them."""
    cells_restored: int = 0
    refs_restored: int = 0
    size: int = 0
    """Bytes of attachments put back, decoded."""
    unresolved: dict[str, int] = field(default_factory=dict)
    """Refs that stay, by reason: missing, expired, corrupt, unavailable, foreign."""

    @property
    def complete(self) -> bool:
        """Whether no ref is left."""
        return not (self.failed or self.changed or self.unresolved)


@dataclass(frozen=True, slots=True)
class RestorePlan:
    """What one cell becomes."""

    cell: Cell
    original: bytes
    """The whole cell as it is: refs and the text around them."""
    refs: tuple[RefSpan, ...]
    """Those whose blobs are there and true."""
    version: object = None
    """`CellReader.version` of what was read."""

    @property
    def size(self) -> int:
        """Bytes of the restored cell."""
        return spliced_size(len(self.original), (self._replacement(span) for span in self.refs))

    @staticmethod
    def _replacement(span: RefSpan) -> Replacement:
        return Replacement(span.start, span.end, base64stream.encoded_size(span.ref.size), tuple)

    def chunks(self, store: BlobStore) -> Iterator[bytes]:
        """The restored cell, streamed; raises `BlobError` if a blob has gone bad meanwhile."""
        at = 0
        for span in self.refs:
            yield self.original[at : span.start]
            yield from base64stream.encode(store.chunks(span.ref.digest))
            at = span.end
        yield self.original[at:]


def restore(  # noqa: PLR0913
    database: Database,
    store: BlobStore,
    columns: tuple[Column, ...],
    *,
    scope: Scope,
    dry_run: bool = False,
    large_cells: bool = True,
    announce: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> RestoreReport:
    """Put the payloads of every ref in these columns back; durable when it returns.

    With `large_cells=False` cells of 100 MB and more are left and counted as failed.
    """
    begun = time.monotonic()
    report = RestoreReport()
    planner = _Planner(database, store, report)
    restorer = _Restorer(database, store, report, announce, dry_run=dry_run)
    with database.cells() as cells:
        for column in columns:
            for cell in listed(database, column, larger_than=REF_CELL_BYTES_MIN, scope=scope):
                try:
                    plan = planner.plan(cells.open(cell), cell)
                except CellError as error:
                    if database.find_again(cell):
                        report.fail(database.label(cell), error)
                    continue
                progress(cell.size)
                if plan is None:
                    continue
                if plan.size >= LARGE_CELL_BYTES and not large_cells:
                    report.fail(
                        database.label(cell),
                        f"would be {plan.size / 1e6:.0f} MB, and the host would wait for it;"
                        " --force does it all the same",
                    )
                    continue
                restorer.add(plan, cells)
            # Before the next column is read: on some servers a row has one version for all of its cells.
            restorer.flush(cells)
    if report.cells_restored and not dry_run:
        database.flush()
    report.longest_transaction_s = database.longest_transaction_s
    report.elapsed_s = time.monotonic() - begun
    return report


class _Planner:
    """Plans cell after cell; a ref that cannot be resolved is reported and stays."""

    def __init__(self, database: Database, store: BlobStore, report: RestoreReport) -> None:
        self._database = database
        self._unresolved = Unresolved(store)
        self._report = report

    def plan(self, reader: CellReader, cell: Cell) -> RestorePlan | None:
        """What becomes of a cell; None if no ref of it can be resolved."""
        if not _may_hold_refs(reader):
            return None
        found = scan(reader.read(0, reader.size), hashing=False, bare_refs=cell.column.bare_refs)
        spans = [span for span in found if isinstance(span, RefSpan)]
        if not spans:
            return None
        self._report.cells += 1
        resolved = []
        for span in spans:
            if trouble := self._unresolved.why(span.ref):
                reason, words = trouble
                self._report.unresolved[reason] = self._report.unresolved.get(reason, 0) + 1
                self._report.tell(f"{self._database.label(cell)}: {words}")
            else:
                resolved.append(span)
        if not resolved:
            return None
        original = b"".join(reader.read(0, reader.size))
        return RestorePlan(cell, original, tuple(resolved), reader.version)


def _may_hold_refs(reader: CellReader) -> bool:
    """A quick look for the constant text of every ref, over the seams of the pieces too."""
    tail = b""
    for chunk in reader.read(0, reader.size):
        if MARKER_BASE64 in chunk or (tail and MARKER_BASE64 in tail + chunk[: len(MARKER_BASE64)]):
            return True
        tail = chunk[-len(MARKER_BASE64) :]
    return False


class _Restorer:
    """Collects plans and swaps them in short transactions."""

    def __init__(
        self,
        database: Database,
        store: BlobStore,
        report: RestoreReport,
        announce: Callable[[str], None],
        *,
        dry_run: bool,
    ) -> None:
        self._database = database
        self._store = store
        self._report = report
        self._announce = announce
        self._dry_run = dry_run
        self._plans: list[RestorePlan] = []
        self._bytes = 0
        self._stamp = None if dry_run else database.stamp()

    def add(self, plan: RestorePlan, cells: Cells) -> None:
        if plan.size >= ANNOUNCED_CELL_BYTES:
            self._announce(
                f"{self._database.label(plan.cell)}: putting {plan.size / 1e6:.0f} MB back takes about"
                f" {2 * plan.size / 1e6:.0f} MB of memory"
            )
        self._plans.append(plan)
        self._bytes += plan.size
        if self._bytes >= BATCH_BYTES or len(self._plans) >= BATCH_CELLS:
            self.flush(cells)

    def flush(self, cells: Cells) -> None:
        cells.release()
        plans, self._plans, self._bytes = self._plans, [], 0
        if self._dry_run:
            for plan in plans:
                self._count(plan)
        elif plans:
            self._swap(plans)
        if not self._dry_run:
            self._stamp = self._database.stamp()

    def _swap(self, plans: list[RestorePlan]) -> None:
        # The file grows, and the WAL by as much, until the next checkpoint.
        needed = 2 * sum(plan.size for plan in plans)
        if needed > self._database.room():
            raise DatabaseError(
                f"{self._database.url}: no room on the disk for the next {needed / 1e6:.0f} MB; what is restored stays"
            )
        edits = [self._edit(plan) for plan in plans]
        results = self._database.swap(edits, stamp=self._stamp)
        for plan, result in zip(plans, results, strict=True):
            if result.error is not None:
                self._report.fail(self._database.label(plan.cell), result.error)
            elif result.outcome is Outcome.CHANGED:
                self._report.changed += 1
                self._report.tell(f"{self._database.label(plan.cell)}: changed while it was read; restore again")
            else:
                self._count(plan)

    def _edit(self, plan: RestorePlan) -> Edit:
        def unchanged(reader: CellReader) -> bool:
            return reader.size == len(plan.original) and b"".join(reader.read(0, reader.size)) == plan.original

        return Edit(plan.cell, plan.size, lambda: plan.chunks(self._store), unchanged, plan.version)

    def _count(self, plan: RestorePlan) -> None:
        self._report.cells_restored += 1
        self._report.refs_restored += len(plan.refs)
        self._report.size += sum(span.ref.size for span in plan.refs)
