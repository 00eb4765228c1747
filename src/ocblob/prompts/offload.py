"""Prompt files to store: payloads move out of lines and leave refs.

A file is replaced only after every blob that its new content names is durable in the store.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final

from ocblob import base64stream
from ocblob.batches import BATCH_BYTES, BATCH_CELLS, BATCH_CONTENT_BYTES
from ocblob.errors import CellError, OcblobError
from ocblob.prompts.lines import Line, PromptFile
from ocblob.prompts.report import PromptOffloadReport
from ocblob.prompts.rewriting import Draft, rewrite
from ocblob.rewrite import OffloadPlan, plan_offload
from ocblob.scan import PayloadSpan
from ocblob.store import BlobStore
from ocblob.store.writer import Receipt, Wanted, Writer

_NO_STORE: Final = "0" * 8


def offload_prompts(paths: Iterable[Path], store: BlobStore | None, *, min_chars: int) -> PromptOffloadReport:
    """Move every payload of at least `min_chars` characters out of these files; without a store only look.

    A line that is no JSON value stays as it is. Raises `BackendError` if the store fails; what was replaced by
    then names only what is durable. Memory: as for cells, whatever the length of a line; and about 100 bytes for
    each payload of one file.
    """
    begun = time.monotonic()
    report = PromptOffloadReport()
    if store is None:
        for path in paths:
            _look(path, report, min_chars)
    else:
        with store.writer() as writer:
            for path in paths:
                _offload(path, report, writer, partial(plan_offload, min_chars=min_chars, store=store.short_id))
    report.elapsed_s = time.monotonic() - begun
    return report


def _look(path: Path, report: PromptOffloadReport, min_chars: int) -> None:
    report.files += 1
    seen = _Seen()
    try:
        with PromptFile(path) as file:
            for line in file.lines():
                seen.add(plan_offload(line, min_chars=min_chars, store=_NO_STORE), moves=True)
    except (OSError, CellError) as error:
        report.leave(path, error.strerror if isinstance(error, OSError) else error)
    else:
        seen.count(report)


def _offload(path: Path, report: PromptOffloadReport, writer: Writer, plan: Callable[[Line], OffloadPlan]) -> None:
    edit = _Edit(report, writer, plan)
    if rewrite(path, report, edit, ready=lambda: writer.confirm(edit.seen.digests)):
        edit.seen.count(report)


@dataclass(slots=True)
class _Seen:
    """What one look at a file has found; counted once the file is replaced."""

    lines: int = 0
    moved: list[tuple[int, int]] = field(default_factory=list)
    """Characters and bytes of each payload that moves."""
    digests: set[str] = field(default_factory=set)
    refs: int = 0
    inline: dict[str, int] = field(default_factory=dict)
    failed: list[tuple[Line, OcblobError]] = field(default_factory=list)

    def add(self, plan: OffloadPlan, *, moves: bool) -> None:
        """Take a line's plan."""
        self.refs += plan.refs
        for reason, count in plan.inline.items():
            self.inline[reason.value] = self.inline.get(reason.value, 0) + count
        if moves and plan.payloads:
            self.lines += 1
            self.moved += ((span.end - span.start, span.size) for span in plan.payloads)
            self.digests.update(span.digest for span in plan.payloads)

    def count(self, report: PromptOffloadReport) -> None:
        """Into the report."""
        report.lines += self.lines
        report.payloads += len(self.moved)
        report.payload_chars += sum(chars for chars, _ in self.moved)
        report.size += sum(size for _, size in self.moved)
        report.refs += self.refs
        for reason, count in self.inline.items():
            report.inline[reason] = report.inline.get(reason, 0) + count
        for line, error in self.failed:
            report.failed += 1
            report.tell(f"{line}: {error}")


class _Edit:
    """Goes through a file's lines: plans wait until their blobs are durable, then go into the draft."""

    def __init__(self, report: PromptOffloadReport, writer: Writer, plan: Callable[[Line], OffloadPlan]) -> None:
        self._report = report
        self._writer = writer
        self._plan = plan
        self._waiting: list[tuple[Line, OffloadPlan]] = []
        self.seen = _Seen()

    def __call__(self, file: PromptFile, draft: Draft) -> None:
        self.seen, self._waiting = _Seen(), []
        for line in file.lines():
            plan = self._plan(line)
            if not plan.payloads:
                self.seen.add(plan, moves=False)
                continue
            self._waiting.append((line, plan))
            if self._full():
                self._store(draft)
        self._store(draft)

    def _full(self) -> bool:
        return (
            len(self._waiting) >= BATCH_CELLS
            or sum(line.size for line, _ in self._waiting) >= BATCH_BYTES
            or sum(len(plan.content) for _, plan in self._waiting) >= BATCH_CONTENT_BYTES
        )

    def _store(self, draft: Draft) -> None:
        wanted = {
            span.digest: Wanted(span.digest, span.size, partial(_payload, line, span))
            for line, plan in self._waiting
            for span in plan.payloads
        }
        receipt = self._writer.begin(wanted.values()).finish()
        self._report.blobs_new += len(receipt.new)
        self._report.stored_size_new += sum(stored.stored_size for stored in receipt.new)
        for line, plan in self._waiting:
            error = _failure(plan, receipt)
            self.seen.add(plan, moves=error is None)
            if error is None:
                draft.change(line, (plan.content,))
            else:
                self.seen.failed.append((line, error))
        self._waiting = []


def _failure(plan: OffloadPlan, receipt: Receipt) -> OcblobError | None:
    """Why a line has to stay. Raises `CellError` if the file was written to meanwhile: it is read again then."""
    for span in plan.payloads:
        error = receipt.failed.get(span.digest)
        if isinstance(error, CellError):
            raise error
        if error is not None:
            return error
    return None


def _payload(line: Line, span: PayloadSpan) -> Iterator[bytes]:
    """A payload's bytes, read again in another thread."""
    with PromptFile(line.file.path) as file:
        yield from base64stream.decode(file.read(line.start + span.start, line.start + span.end))
