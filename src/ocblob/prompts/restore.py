"""Store to prompt files: payloads come back into their lines, byte for byte."""

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

from ocblob import base64stream
from ocblob.errors import BackendError, BlobError, CellError
from ocblob.marks import REF_CELL_BYTES_MIN
from ocblob.prompts.lines import Line, PromptFile
from ocblob.prompts.report import PromptRestoreReport
from ocblob.prompts.rewriting import Draft, rewrite
from ocblob.rewrite import Replacement, splice
from ocblob.scan import RefSpan, scan
from ocblob.store import BlobStore
from ocblob.unresolved import Unresolved


def restore_prompts(paths: Iterable[Path], store: BlobStore, *, dry_run: bool = False) -> PromptRestoreReport:
    """Put the payload of every ref in these files back. A ref whose blob cannot be had stays, and is counted.

    Memory: the refs of one line, whatever its length.
    """
    begun = time.monotonic()
    report = PromptRestoreReport()
    for path in paths:
        edit = _Edit(store)
        try:
            done = _look(path, report, edit) if dry_run else rewrite(path, report, edit)
        except (BlobError, BackendError) as error:
            # Damaged or out of reach since it was looked at a moment ago.
            report.leave(path, error)
        else:
            edit.count(report, restored=done)
    report.elapsed_s = time.monotonic() - begun
    return report


def _look(path: Path, report: PromptRestoreReport, edit: "_Edit") -> bool:
    report.files += 1
    try:
        with PromptFile(path) as file:
            edit(file, None)
    except (OSError, CellError) as error:
        report.leave(path, error.strerror if isinstance(error, OSError) else error)
        return False
    return True


class _Edit:
    """Goes through a file's lines; without a draft it only looks."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._unresolved = Unresolved(store)
        self._begin()

    def _begin(self) -> None:
        self._lines = self._refs = self._size = 0
        self._reasons: dict[str, int] = {}
        self._told: list[str] = []

    def __call__(self, file: PromptFile, draft: Draft | None) -> None:
        self._begin()
        for line in file.lines():
            refs = self._resolved(line) if line.size > REF_CELL_BYTES_MIN else []
            if not refs:
                continue
            self._lines += 1
            self._refs += len(refs)
            self._size += sum(span.ref.size for span in refs)
            if draft is not None:
                draft.change(line, splice(line, [self._replacement(span) for span in refs]))

    def count(self, report: PromptRestoreReport, *, restored: bool) -> None:
        """Into the report."""
        if restored:
            report.lines += self._lines
            report.refs_restored += self._refs
            report.size += self._size
        for reason, count in self._reasons.items():
            report.unresolved[reason] = report.unresolved.get(reason, 0) + count
        for problem in self._told:
            report.tell(problem)

    def _resolved(self, line: Line) -> list[RefSpan]:
        found = []
        for span in scan(line.read(0, line.size), hashing=False):
            if not isinstance(span, RefSpan):
                continue
            if trouble := self._unresolved.why(span.ref):
                reason, words = trouble
                self._reasons[reason] = self._reasons.get(reason, 0) + 1
                self._told.append(f"{line}: {words}")
            else:
                found.append(span)
        return found

    def _replacement(self, span: RefSpan) -> Replacement:
        size = base64stream.encoded_size(span.ref.size)
        return Replacement(span.start, span.end, size, partial(self._payload, span))

    def _payload(self, span: RefSpan) -> Iterable[bytes]:
        return base64stream.encode(self._store.chunks(span.ref.digest))
