"""A file made of reads at places: what a stream of a blob, of remote bytes, or a window on a source says only once."""

import io
from typing import Any


class Positioned(io.RawIOBase):
    """`size` bytes to read and seek in. A subclass reads; not for several threads at once."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size
        self._at = 0

    def read_at(self, at: int, size: int) -> bytes:
        """At least one byte and at most `size`, which are all there; or an error, never nothing."""
        raise NotImplementedError

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Nothing is read or asked for yet."""
        starts = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}
        if whence not in starts:
            raise ValueError(f"invalid whence: {whence}")
        at = starts[whence] + offset
        if at < 0:
            raise ValueError(f"negative seek position {at}")
        self._at = at
        return at

    def read(self, size: int | None = -1, /) -> bytes:
        """Up to `size` bytes, all that is left if negative; none only at the end."""
        if self.closed:
            raise ValueError("read of a closed object")
        rest = max(self.size - self._at, 0)
        if size is None or size < 0:
            return self.readall() if rest else b""
        wanted = min(size, rest)
        data = self.read_at(self._at, wanted) if wanted else b""
        self._at += len(data)
        return data

    def readall(self) -> bytes:
        """All that is left, in memory."""
        return b"".join(iter(lambda: self.read(self.size), b""))

    def readinto(self, buffer: Any, /) -> int:
        """As `read`."""
        view = memoryview(buffer).cast("B")
        data = self.read(len(view))
        view[: len(data)] = data
        return len(data)
