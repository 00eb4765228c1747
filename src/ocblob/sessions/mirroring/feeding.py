"""Rows on their way to a target, some at a time: their blobs are durable in the store before the first of them is put.

While the blobs of some rows are staged, the next ones are read.
"""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ocblob.databases.mirror_rows import MirrorWriter
from ocblob.databases.session_rows import Row, Value
from ocblob.errors import ClaimLostError, OcblobError
from ocblob.sessions.mirroring.report import MirrorReport
from ocblob.sessions.mirroring.scratch import Scratch, in_memory
from ocblob.sessions.mirroring.transforming import Transformed
from ocblob.store.writer import Batch, Receipt, Wanted, Writer

BUNDLE_ROWS: Final = 256
BUNDLE_BYTES: Final = 2 * 1024 * 1024
"""Contents that one bundle holds in memory."""
BUNDLE_SCRATCH_BYTES: Final = 32 * 1024 * 1024
"""And in its file, but for one row that is larger."""
BUNDLES_IN_FLIGHT: Final = 2
CLAIM_TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class _Change:
    table: str
    columns: tuple[str, ...]
    row: Row | None
    """None for a row that goes."""
    digest: str = ""
    owner: str = ""
    key: tuple[Value, ...] = ()


@dataclass(slots=True)
class _Bundle:
    scratch: Scratch
    changes: list[_Change] = field(default_factory=list)
    wanted: dict[str, Wanted] = field(default_factory=dict)
    held: int = 0
    batch: Batch | None = None

    @property
    def full(self) -> bool:
        return (
            len(self.changes) >= BUNDLE_ROWS or self.held >= BUNDLE_BYTES or self.scratch.size >= BUNDLE_SCRATCH_BYTES
        )


class Feeder:
    """Puts rows by one writer of a target. Use it as a context manager: an error stops what has not been put."""

    def __init__(
        self,
        target: MirrorWriter,
        tables: Sequence[str],
        blobs: Writer | None,
        report: MirrorReport,
        *,
        directory: Path | None,
    ) -> None:
        """`tables` are in the order that rows go in. Without a writer of `blobs` no row may want any."""
        self._target = target
        self._tables = {table: number for number, table in enumerate(tables)}
        self._blobs = blobs
        self._report = report
        self._directory = directory
        self._bundle = _Bundle(Scratch(directory))
        self._pending: list[_Bundle] = []

    @property
    def scratch(self) -> Scratch:
        """Where the next row is to be kept."""
        return self._bundle.scratch

    def put(self, table: str, columns: Sequence[str], sent: Transformed, digest: str, *, owner: str = "") -> None:
        """One row, that was kept in `scratch`; it is put when its blobs are durable. See `MirrorWriter.put`."""
        self._bundle.changes.append(_Change(table, tuple(columns), sent.row, digest, owner))
        self._want(sent)
        self._bundle.held += in_memory(sent.row)
        self._report.rows_put += 1
        self._report.size_put += sent.row.content_size
        self._report.payload_chars += sent.chars
        self._hand_over_if_full()

    def want(self, sent: Transformed) -> None:
        """Only the blobs of a row, which was kept in `scratch`, have to be in the store."""
        self._want(sent)
        self._hand_over_if_full()

    def _want(self, sent: Transformed) -> None:
        for each in sent.wanted:
            self._bundle.wanted.setdefault(each.digest, each)

    def remove(self, table: str, key: Sequence[Value]) -> None:
        """One row goes, after those that were put before."""
        self._bundle.changes.append(_Change(table, (), None, key=tuple(key)))
        self._report.rows_removed += 1
        self._hand_over_if_full()

    def _hand_over_if_full(self) -> None:
        if self._bundle.full:
            self._hand_over()
            if len(self._pending) >= BUNDLES_IN_FLIGHT:
                self._put(self._pending.pop(0))

    def finish(self) -> None:
        """Every row is put, as far as the writer does it by itself."""
        self._hand_over()
        while self._pending:
            self._put(self._pending.pop(0))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            for bundle in (*self._pending, self._bundle):
                if bundle.batch is not None:
                    # Its rows are being read in other threads.
                    with contextlib.suppress(OcblobError):
                        bundle.batch.finish()
                bundle.scratch.close()

    def _hand_over(self) -> None:
        bundle, self._bundle = self._bundle, _Bundle(Scratch(self._directory))
        self._pending.append(bundle)
        if bundle.wanted and self._blobs is not None:
            bundle.batch = self._blobs.begin(bundle.wanted.values())

    def _put(self, bundle: _Bundle) -> None:
        try:
            self._store(bundle)
            # Rows of one table go in together: a server takes many at the price of one. The order of the tables stays.
            for change in sorted(bundle.changes, key=lambda change: self._tables[change.table]):
                if change.row is None:
                    self._target.remove(change.table, change.key)
                else:
                    self._target.put(change.table, change.columns, change.row, change.digest, owner=change.owner)
        finally:
            bundle.scratch.close()

    def _store(self, bundle: _Bundle) -> None:
        """All blobs of a bundle durable and claimed; what was taken away meanwhile is put again."""
        if self._blobs is None or bundle.batch is None:
            return
        for tries in range(1, CLAIM_TRIES + 1):
            try:
                receipt = self._confirmed(bundle.batch)
                break
            except ClaimLostError:
                if tries == CLAIM_TRIES:
                    raise
                bundle.batch = self._blobs.begin(bundle.wanted.values())
        for error in receipt.failed.values():
            raise error
        self._report.blobs_new += len(receipt.new)
        self._report.stored_size_new += sum(stored.stored_size for stored in receipt.new)

    def _confirmed(self, batch: Batch) -> Receipt:
        receipt = batch.finish()
        if self._blobs is not None:
            self._blobs.confirm(receipt.stored)
        return receipt
