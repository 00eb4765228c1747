"""Contents of cells in temporary files that have no name, so that what is read twice is fetched once.

What was used longest ago goes first. Whoever holds a content can read it, whether it is gone from here or not.
"""

import contextlib
import errno
import os
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Final
from weakref import WeakValueDictionary, finalize

from ocblob.cells import Column
from ocblob.databases.base import READ_BYTES, Cell
from ocblob.errors import CellError, DatabaseError

SPOOL_BYTES: Final = 512 * 1024 * 1024
"""More than the batches that are on their way, and what is fetched ahead of them."""
SPOOL_CONTENTS: Final = 8192
"""Each takes some hundred bytes of memory."""
SPOOL_FILES: Final = 128
"""As many as its bytes make of cells that have a file each; a process may open 256 on some systems."""

Place = tuple[Column, object]
"""A column, and the key of a row."""


def place_of(cell: Cell) -> Place:
    """Where a cell is, whatever its size."""
    return cell.column, cell.key


class Content:
    """What was in a cell when it was fetched."""

    __slots__ = ("__weakref__", "_file", "_start", "cell", "size", "version")

    def __init__(self, cell: Cell, file: "_File", start: int, size: int, version: object) -> None:
        self.cell = cell
        self._file = file
        self._start = start
        self.size = size
        self.version = version
        """See `CellReader`."""

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """See `CellReader`."""
        at = start
        while at < end:
            if at >= self.size:
                raise CellError(f"{self.cell}: ends at byte {self.size}")
            data = self._file.read(self._start + at, min(READ_BYTES, end - at, self.size - at))
            if not data:
                raise DatabaseError(f"{self.cell}: what was read of it is not there any more")
            yield data
            at += len(data)


class Segment:
    """A file with some contents one after the other; for one thread to write."""

    def __init__(self, spool: "Spool", file: "_File") -> None:
        self._spool = spool
        self._file = file
        self._start = 0
        self.size = 0
        self.counted = 0
        """Bytes of it that the spool has counted."""
        self.contents: dict[Place, Content] = {}

    def write(self, data: bytes) -> None:
        """More of the content that `keep` is called for next."""
        self._file.write(data)
        self.size += len(data)

    def keep(self, cell: Cell, version: object) -> Content:
        """What was written since the last time is the content of this cell."""
        content = Content(cell, self._file, self._start, self.size - self._start, version)
        self._start = self.size
        self._spool.add(self, content)
        return content


class Spool:
    """The segments, the one that was used last at the end; for any number of threads."""

    def __init__(self, *, limit_bytes: int = SPOOL_BYTES, limit_contents: int = SPOOL_CONTENTS) -> None:
        self._limit_bytes = limit_bytes
        self._limit_contents = limit_contents
        self._lock = threading.Lock()
        self._segments: OrderedDict[Segment, None] = OrderedDict()
        self._size = 0
        """Bytes of all of them."""
        self._owners: dict[Place, Segment] = {}
        # Here also is what somebody reads still, though its segment is gone.
        self._contents: WeakValueDictionary[Place, Content] = WeakValueDictionary()

    def segment(self) -> Segment:
        """A new one."""
        return Segment(self, _File())

    def add(self, segment: Segment, content: Content) -> None:
        """Let a content be found, and let go of what there is no room for."""
        place = place_of(content.cell)
        with self._lock:
            self._drop(place)
            segment.contents[place] = content
            if segment not in self._segments:
                self._segments[segment] = None
                segment.counted = 0
            self._segments.move_to_end(segment)
            self._size += segment.size - segment.counted
            segment.counted = segment.size
            self._owners[place] = segment
            self._contents[place] = content
            while len(self._segments) > 1 and self._crowded():
                oldest, _ = self._segments.popitem(last=False)
                self._size -= oldest.counted
                for gone in oldest.contents:
                    del self._owners[gone]
                oldest.contents.clear()

    def get(self, cell: Cell) -> Content | None:
        """What was fetched of a cell, as long as it is there."""
        place = place_of(cell)
        with self._lock:
            if (owner := self._owners.get(place)) is not None:
                self._segments.move_to_end(owner)
            return self._contents.get(place)

    def forget(self, cell: Cell) -> None:
        """Whoever asks for it from now on gets what will be fetched then."""
        with self._lock:
            self._drop(place_of(cell))

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._segments.clear()
            self._size = 0
            self._owners.clear()
            self._contents.clear()

    def _drop(self, place: Place) -> None:
        self._contents.pop(place, None)
        if (owner := self._owners.pop(place, None)) is not None:
            del owner.contents[place]
            if not owner.contents and owner in self._segments:
                del self._segments[owner]
                self._size -= owner.counted

    def _crowded(self) -> bool:
        return (
            self._size > self._limit_bytes
            or len(self._owners) > self._limit_contents
            or len(self._segments) > SPOOL_FILES
        )


class _File:
    """A file without a name; it is gone when nobody holds it any more."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        with _told():
            # A process that is killed leaves nothing, nor does one that forgets to close.
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it lives as long as its contents
        finalize(self, self._file.close)

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()

    def write(self, data: bytes) -> None:
        left = memoryview(data)
        with self._lock, _told():
            self._file.seek(0, os.SEEK_END)
            while left:
                left = left[self._file.write(left) :]

    def read(self, at: int, size: int) -> bytes:
        with _told():
            if hasattr(os, "pread"):
                return os.pread(self._file.fileno(), size, at)
            with self._lock:
                self._file.seek(at)
                return self._file.read(size)


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        hint = "TMPDIR names another directory" if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        raise DatabaseError(
            f"rows that were read cannot wait in {tempfile.gettempdir()}: {error.strerror}", hint=hint
        ) from error
