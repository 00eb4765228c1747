"""One prompt file written anew: lines change, every other byte is copied, and the new file takes its place."""

import contextlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, Final

from ocblob.errors import CellError, ClaimLostError
from ocblob.filesystem import create_private, is_written, sole_replacer
from ocblob.prompts.lines import Line, PromptFile
from ocblob.prompts.report import PromptReport
from ocblob.replacing import Replaced, content_of, name_for_new, replace, tidy

TRIES: Final = 3
"""A host that writes between our reading and the rename makes us begin again."""

Edit = Callable[[PromptFile, "Draft"], None]
"""Goes through a file's lines and changes some, in their order. May be called again for the same file."""


class Draft:
    """The new file: begun with the first line that changes."""

    def __init__(self, source: PromptFile, path: Path) -> None:
        self._source = source
        self._path = path
        self._file: BinaryIO | None = None
        self._copied = 0
        self.lines = 0
        """How many changed."""

    def change(self, line: Line, chunks: Iterable[bytes]) -> None:
        """Give a line, which comes after those that were changed before, new content."""
        if self._file is None:
            self._file = create_private(self._path)
        self._copy(self._file, line.start)
        self._file.writelines(chunks)
        self._copied = line.end
        self.lines += 1

    def finish(self) -> None:
        """Copy the rest."""
        if self._file is not None:
            self._copy(self._file, self._source.size)
        self.close()

    def close(self) -> None:
        """Close the file, however far it came."""
        if self._file is not None:
            self._file.close()

    def _copy(self, file: BinaryIO, end: int) -> None:
        file.writelines(self._source.read(self._copied, end))


def rewrite(path: Path, report: PromptReport, edit: Edit, *, ready: Callable[[], None] = lambda: None) -> bool:
    """Write a file anew; whether it is done, which it also is if nothing changes.

    If not, the report says why; unless the host has removed the file, which is no trouble. `ready` is called just
    before the rename and may raise `ClaimLostError`: all of it is done again then.
    """
    report.files += 1
    outcome: object = ""
    try:
        resolved = path.resolve(strict=True)
        with sole_replacer(resolved.parent):
            for left in tidy(resolved):
                report.leave(left, f"holds lines that were written to {path.name} while it was replaced")
            for _try in range(TRIES):
                try:
                    outcome = _attempt(resolved, edit, ready)
                except (CellError, ClaimLostError) as error:
                    outcome = error
                    continue
                if outcome in {Replaced.DONE, None}:
                    report.files_replaced += outcome is Replaced.DONE
                    return True
                if outcome is Replaced.IN_USE:
                    break
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not path.exists():
            return False  # the host removed it
        outcome = error.strerror
    report.leave(path, outcome.value if isinstance(outcome, Replaced) else outcome)
    return False


def _attempt(path: Path, edit: Edit, ready: Callable[[], None]) -> Replaced | None:
    """What became of it; None if nothing was to change."""
    times = _times(path)
    was = content_of(path)
    with _draft(path, was.size) as (source, draft, new):
        edit(source, draft)
        draft.finish()
        if not draft.lines:
            # A host that writes a file anew makes it empty first: that there is nothing to do is no answer then. The
            # times come last: it may have closed the file since.
            still = not is_written(path, name=path.name) and _times(path) == times
            return None if still else Replaced.CHANGED
        ready()
        return replace(path, new, was)


@contextlib.contextmanager
def _draft(path: Path, size: int) -> Iterator[tuple[PromptFile, Draft, Path]]:
    new = name_for_new(path)
    with PromptFile(path, size) as source:
        draft = Draft(source, new)
        try:
            yield source, draft, new
        finally:
            draft.close()
            new.unlink(missing_ok=True)


def _times(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_size, stat.st_mtime_ns
