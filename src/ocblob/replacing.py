"""A file that another process goes on writing to, replaced as a whole: no line of its is lost.

OpenCode opens its prompt history for an instant, by name, to append a line or to write it anew. It must never be kept
out: the latter it does without waiting (O_NONBLOCK), so that a lease of ours makes it fail, and then it drops the
lines without a word. So a rename happens at any time, and what was in place stays beside it under another name until
it is certain that nobody writes there any more; what arrived late moves over.
"""

import glob
import os
import re
import time
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Final

from ocblob.digest import Hasher
from ocblob.filesystem import copy_mode_and_owner, fsync_directory, fsync_fd, fsync_file, is_written

LINGER_S: Final = 0.1
"""Who had looked the name up before the rename has opened the file by then: that takes microseconds."""
PATIENCE_S: Final = 2.0
"""A writer that takes longer is none that appends a line."""
POLL_S: Final = 0.02
READ_BYTES: Final = 1024 * 1024
NEW: Final = ".ocblob-new"
KEPT: Final = ".ocblob-kept"
_DIGITS: Final = 16
_SAYS = re.compile(rf"\.([0-9]+)-([0-9a-f]{{{_DIGITS}}})-[0-9a-f]{{8}}{re.escape(KEPT)}")


@dataclass(frozen=True, slots=True)
class Content:
    """What a file held."""

    size: int
    digest: str
    """Its first digits."""


class Replaced(Enum):
    """What became of a replacement."""

    DONE = "done"
    IN_USE = "another process has it open for writing"
    CHANGED = "it was written to meanwhile"


def content_of(path: Path, size: int | None = None) -> Content:
    """What a file holds; of a longer one only the first `size` bytes are looked at. Raises OSError."""
    hasher, seen = Hasher(), 0
    with path.open("rb", buffering=0) as file:
        while data := file.read(READ_BYTES if size is None else min(READ_BYTES, size - seen)):
            hasher.update(data)
            seen += len(data)
    return _content(seen, hasher)


def name_for_new(path: Path) -> Path:
    """Where to make what is to take a file's place."""
    return path.with_name(f".{path.name}.{os.urandom(4).hex()}{NEW}")


def begins_with(path: Path, content: Content) -> bool:
    """Whether a file holds this, and perhaps more that was appended. Raises OSError."""
    return content_of(path, content.size) == content


def replace(path: Path, new: Path, was: Content) -> Replaced:
    """Put `new` in the place of a file that held `was`, with its mode and owner; durable when it returns.

    What its host appends meanwhile is appended to `new` too, however late it comes. If the file was written anew it is
    not replaced, and what was written is there. Raises OSError: the file is the old one or the new one then, and what
    is missing from it is beside it, for `tidy`. To be called under `sole_replacer`. Memory: what a host appends.
    """
    if path.stat().st_nlink > 1:
        raise OSError(0, "it has another hard link, which would be left behind", str(path))
    if _stays_written(path, path.name):
        return Replaced.IN_USE
    copy_mode_and_owner(path, new)
    known = _bring_over(path, new, was, whole_lines=True)
    if known is None:
        return Replaced.CHANGED
    fsync_file(new)
    now = content_of(new)
    kept = _keep(path, known)
    try:
        if not begins_with(kept, known) or not kept.samefile(path):
            return Replaced.CHANGED
        new.replace(path)
    finally:
        if new.exists():
            kept.unlink()
    outcome = _look_after(path, kept, known)
    if outcome is Replaced.DONE:
        kept.unlink(missing_ok=True)
    else:
        # What is written there is what the host means the file to be.
        back = _keep(path, now)
        kept.replace(path)
        if _look_after(path, back, now) is not Replaced.DONE:
            raise OSError(0, f"two processes wrote to it while it was replaced; what one of them wrote is in {back}")
        back.unlink(missing_ok=True)
    return outcome


def tidy(path: Path) -> list[Path]:
    """End what a killed process of ours has begun; returns what is left because it holds lines of its own.

    To be called under `sole_replacer`. Raises OSError.
    """
    left = []
    for new in _beside(path, NEW):
        new.unlink()
    for kept in kept_beside(path):
        said = _SAYS.search(kept.name)
        if kept.samefile(path) or (said and _absorb(path, kept, Content(int(said[1]), said[2])) is Replaced.DONE):
            kept.unlink()
        else:
            left.append(kept)
    return left


def kept_beside(path: Path) -> list[Path]:
    """What `replace` or `tidy` has left beside a file because it may hold lines of its own."""
    return _beside(path, KEPT)


def _beside(path: Path, kind: str) -> list[Path]:
    return sorted(path.parent.glob(f".{glob.escape(path.name)}.*{kind}"))


def _keep(path: Path, holds: Content) -> Path:
    """A second name, which says what its file holds: a later process of ours finds there what came after that."""
    kept = path.with_name(f".{path.name}.{holds.size}-{holds.digest}-{os.urandom(4).hex()}{KEPT}")
    try:
        os.link(path, kept)
    except OSError as error:
        # exFAT and some network file systems have no hard links.
        raise OSError(error.errno, f"it cannot have a second name for a while: {error.strerror}", str(path)) from error
    return kept


def _look_after(path: Path, kept: Path, was: Content) -> Replaced:
    """Wait for the last writers of a file that has lost its place, and bring over what they wrote."""
    fsync_directory(path.parent)
    time.sleep(LINGER_S)
    if _stays_written(kept, path.name, nameless=True):
        return Replaced.IN_USE
    return _absorb(path, kept, was)


def _absorb(path: Path, kept: Path, was: Content) -> Replaced:
    """Append to a file what was appended to the one that was there before."""
    return Replaced.CHANGED if _bring_over(kept, path, was) is None else Replaced.DONE


def _bring_over(source: Path, target: Path, was: Content, *, whole_lines: bool = False) -> Content | None:
    """Append to `target` what was appended to `source` since it held `was`, durably.

    What `target` has of `source` by then; None if that does not begin with `was` any more. Of a line that somebody is
    about to write only a part may be there yet: with `whole_lines` it is left for later.
    """
    hasher, left, last = Hasher(), was.size, b"\n"
    with source.open("rb") as file:
        while data := file.read(min(READ_BYTES, left)):
            hasher.update(data)
            left, last = left - len(data), data[-1:]
        if _content(was.size - left, hasher) != was:
            return None
        # At once: a line that comes in parts could get another one into it.
        rest = file.read()
    lines = rest = rest[: rest.rfind(b"\n") + 1] if whole_lines else rest
    if lines:
        hasher.update(lines)
        if last == b"\n" and not _ends_a_line(target):
            # A full disk has stopped us, or the host, halfway through a line: the next one must not be lost with it.
            lines = b"\n" + lines
        fd = os.open(target, os.O_WRONLY | os.O_APPEND | getattr(os, "O_BINARY", 0))
        try:
            while lines:
                lines = lines[os.write(fd, lines) :]
            fsync_fd(fd)
        finally:
            os.close(fd)
    return _content(was.size + len(rest), hasher)


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        return file.read(1) in {b"", b"\n"}


def _content(size: int, hasher: Hasher) -> Content:
    return Content(size, hasher.hexdigest()[:_DIGITS])


def _stays_written(path: Path, name: str, *, nameless: bool = False) -> bool:
    deadline = time.monotonic() + PATIENCE_S
    while is_written(path, name=name, nameless=nameless):
        if time.monotonic() > deadline:
            return True
        time.sleep(POLL_S)
    return False
