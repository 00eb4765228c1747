"""What a put reads from: announced bytes of a stream, which a driver may want again for another attempt."""

import io
from collections.abc import Iterator
from typing import BinaryIO, Final

from ocblob.errors import BackendError
from ocblob.positioned import Positioned

IN_MEMORY_BYTES: Final = 4 << 20
"""A small body is sent from memory: for a file boto3 first asks the server whether it may, one round trip more."""


class Source:
    """`size` bytes of a stream from where it is. Raises `BackendError` if it has more or fewer."""

    def __init__(self, data: BinaryIO, size: int, place: str) -> None:
        self.size = size
        self.error: BackendError | None = None
        """What was wrong with it; boto3 wraps errors of a body in its own."""
        self._data = data
        self._place = place
        self._held: bytes | None = None
        self._start = data.tell() if data.seekable() else None
        if self._start is not None:
            found = data.seek(0, io.SEEK_END) - self._start
            data.seek(self._start)
            if found != size:
                raise self._fail(found)

    @property
    def rewinds(self) -> bool:
        """Whether it can be read again without holding it."""
        return self._start is not None

    def body(self) -> "bytes | Window":
        """All of it for one request, from its beginning: in memory if it is small or cannot be rewound."""
        if self._held is None and self._start is not None and self.size > IN_MEMORY_BYTES:
            return Window(self)
        if self._held is None:
            self._held = b"".join(self.pieces(max(self.size, 1)))
        return self._held

    def pieces(self, piece_bytes: int) -> Iterator[bytes]:
        """All of it once, in pieces of one size but the last."""
        if self._start is not None:
            self._data.seek(self._start)
        for at in range(0, self.size, piece_bytes):
            wanted = min(piece_bytes, self.size - at)
            piece = self.read(wanted)
            if len(piece) < wanted:
                raise self._fail(at + len(piece))
            yield piece
        if self.read(1):
            raise self._fail(self.size + 1)

    def read(self, size: int) -> bytes:
        """That many bytes, fewer only at the end of the stream."""
        held = []
        try:
            while size and (data := self._data.read(size)):
                held.append(data)
                size -= len(data)
        except OSError as error:
            self.error = BackendError(f"{self._place}: the source cannot be read: {error.strerror or error}")
            raise self.error from error
        return held[0] if len(held) == 1 else b"".join(held)

    def read_at(self, at: int, size: int) -> bytes:
        """Exactly that many bytes from a place in it."""
        assert self._start is not None  # noqa: S101 - a window is only made of what rewinds
        self._data.seek(self._start + at)
        data = self.read(size)
        if len(data) < size:
            raise self._fail(at + len(data))
        return data

    def _fail(self, found: int) -> BackendError:
        self.error = BackendError(f"{self._place}: got {found} bytes instead of {self.size}")
        return self.error


class Window(Positioned):
    """A source as a file that begins at 0, where boto3 rewinds to."""

    def __init__(self, source: Source) -> None:
        super().__init__(source.size)
        self._source = source

    def read_at(self, at: int, size: int) -> bytes:
        """From the source."""
        return self._source.read_at(at, size)
