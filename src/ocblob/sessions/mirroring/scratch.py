"""Contents of rows kept for a while, so that they can be read at any place and by any thread.

Small ones stay in memory, the others lie one behind the other in a file without a name.
"""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Self

from ocblob.databases.session_rows import CONTENT_READ_BYTES, SMALL_BYTES, Content, Row, Value
from ocblob.errors import DatabaseError
from ocblob.sessions.contents import Watched, scratch_file


class Scratch:
    """The contents of some rows; closing it makes all of them unreadable. Memory: the small ones."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        self.size = 0
        """Bytes that lie in the file."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the disk free."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None
            self.size = 0

    def kept(self, row: Row) -> Row:
        """The same row, whose contents stay readable until this is closed, or rewound to before them."""
        return Row(row.rowid, tuple(map(self._kept, row.values)))

    def rewind(self, size: int) -> None:
        """Forget what was kept since the file had this size."""
        self.size = size

    def _kept(self, value: Value) -> Value:
        if not isinstance(value, Content):
            return value
        if value.size <= SMALL_BYTES:
            data = b"".join(value.chunks())
            return Content(value.kind, len(data), partial(iter, (data,)))
        begin = self.size
        for chunk in value.chunks():
            self._append(chunk)
        return Content(value.kind, self.size - begin, Stretch(self, begin, self.size))

    def _append(self, data: bytes) -> None:
        with self._lock:
            try:
                if self._file is None:
                    self._file = scratch_file(self._directory)
                    self._watched = Watched(self._file, self._directory)
                self._file.seek(self.size)
                self._watched.write(data)
            except OSError as error:
                raise DatabaseError(f"no room for the rows on their way: {error.strerror or error}") from error
        self.size += len(data)

    def read(self, at: int, size: int) -> bytes:
        """Bytes of the file."""
        with self._lock:
            if self._file is None:
                raise DatabaseError("rows on their way were given up")
            self._file.seek(at)
            return self._file.read(size)


@dataclass(frozen=True, slots=True)
class Stretch:
    """The bytes of one content in a scratch file."""

    scratch: Scratch
    begin: int
    end: int

    def __call__(self) -> Iterator[bytes]:
        """All of them."""
        return self.read(0, self.end - self.begin)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """A part of them."""
        for at in range(self.begin + start, self.begin + end, CONTENT_READ_BYTES):
            yield self.scratch.read(at, min(CONTENT_READ_BYTES, self.begin + end - at))


class KeptReader:
    """See `CellReader`: a content that was kept."""

    version = None

    def __init__(self, content: Content) -> None:
        self.size = content.size
        self._stretch = content.chunks if isinstance(content.chunks, Stretch) else None
        self._data = b"" if self._stretch else b"".join(content.chunks())

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """See `CellReader`."""
        if self._stretch is not None:
            yield from self._stretch.read(start, end)
        elif end > start:
            yield self._data[start:end]


def in_memory(row: Row) -> int:
    """Bytes of contents that a row holds by itself."""
    return sum(
        value.size for value in row.values if isinstance(value, Content) and not isinstance(value.chunks, Stretch)
    )
