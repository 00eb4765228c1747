"""A new archive file: written beside its place, flushed, read back in full, and only then given its name.

No file is ever written over. Until it has its name it is `.ocblob-archive-<random>.part`; one that a killed process
left is removed a day later by whoever writes an archive in the same directory.
"""

import contextlib
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from ocblob.errors import ArchiveError, UsageError
from ocblob.filesystem import create_private, fsync_fd, make_private_directory, publish_new
from ocblob.sessions.contents import Watched
from ocblob.sessions.lines import TextSink
from ocblob.sessions.verification import verify

PLAIN: Final = ".json"
PACKED: Final = ".json.zst"
STALE_S: Final = 86400
"""Longer than any archive takes: what was last written before is nobody's."""
NAME_TRIES: Final = 10
_PART = re.compile(r"\.ocblob-archive-[0-9a-f]{16}\.part")


@dataclass(frozen=True, slots=True)
class ArchivePlace:
    """Where an archive goes."""

    directory: Path
    name: str
    """Empty if a new name is made."""
    stem: str
    """What new names begin with."""

    @property
    def packed(self) -> bool:
        """Whether it is compressed."""
        return not self.name or self.name.endswith(PACKED)

    def path(self) -> Path:
        """The file's path; a new name each time it is asked, if there is none."""
        if self.name:
            return self.directory / self.name
        now = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
        return self.directory / f"{self.stem}-{now}-{os.urandom(4).hex()}{PACKED}"


def archive_place(path: Path, *, stem: str) -> ArchivePlace:
    """The place that a user means by a path: a file by its suffix, or a directory that is there.

    Raises `UsageError` for a file that is there and for any other suffix.
    """
    if path.is_dir():
        return ArchivePlace(path, "", stem)
    if not path.name.endswith((PLAIN, PACKED)) or path.name in {PLAIN, PACKED}:
        raise UsageError(f"{path}: an archive is called something{PLAIN} or something{PACKED}, or name a directory")
    if os.path.lexists(path):
        raise UsageError(f"{path} is there already; an archive is never written over")
    if not path.parent.is_dir():
        raise UsageError(f"{path.parent} is no directory")
    return ArchivePlace(path.parent, path.name, stem)


def seal(
    place: ArchivePlace, write: Callable[[TextSink], dict[str, str]], *, progress: Callable[[int], None]
) -> tuple[Path, int]:
    """Make an archive file; its path and size. `write` gives the digest of each session, by its id.

    It is durable when it returns. Raises `ArchiveError` that names what stands against it, and leaves nothing then.
    """
    with _told(place.directory):
        _clear(place.directory)
        part = place.directory / f".ocblob-archive-{os.urandom(8).hex()}.part"
        try:
            with create_private(part) as file:
                sink = TextSink(Watched(file, place.directory), packed=place.packed)
                digests = write(sink)
                sink.flush()
                file.flush()
                fsync_fd(file.fileno())
                size = sink.stored_size
            progress(0)
            found = verify(part, directory=place.directory)
            if found != digests:
                raise ArchiveError(f"{part} does not hold what went into it; nothing was kept")
            return _publish(part, place), size
        finally:
            part.unlink(missing_ok=True)


def make_directory(directory: Path) -> None:
    """The default place of archives, which only its owner can enter. Raises `ArchiveError`."""
    with _told(directory):
        make_private_directory(directory)


def _publish(part: Path, place: ArchivePlace) -> Path:
    for _ in range(NAME_TRIES):
        path = place.path()
        try:
            publish_new(part, path)
        except FileExistsError:
            if place.name:
                raise ArchiveError(f"{path} has come to be there meanwhile; it was not written over") from None
            continue
        return path
    raise ArchiveError(f"{place.directory}: no free name for an archive")


def _clear(directory: Path) -> None:
    """Remove what killed processes left."""
    for path in directory.iterdir():
        if _PART.fullmatch(path.name):
            # Another process may be just as tidy, or it is another user's.
            with contextlib.suppress(OSError):
                if time.time() - path.lstat().st_mtime > STALE_S:
                    path.unlink()


@contextlib.contextmanager
def _told(directory: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ArchiveError(f"{directory}: no archive was written: {error.strerror or error}") from error
