"""One blob as a file that can be read and seeked in."""

from collections.abc import Callable
from typing import BinaryIO

from ocblob import codec
from ocblob.digest import Hasher, digest_of
from ocblob.errors import BlobCorruptError, StoreUnavailableError
from ocblob.positioned import Positioned


class BlobStream(Positioned):
    """A readable, seekable view of one blob.

    Read from beginning to end it is checked by its digest, at the end; a part of it by frame checksums.
    Memory: one frame, 1 MiB.
    """

    def __init__(self, source: BinaryIO, digest: str, on_corrupt: Callable[[], None]) -> None:
        self._source = source
        self._digest = digest
        self.header = codec.parse_header(source.read(codec.HEADER_BYTES), digest=digest)
        super().__init__(self.header.size)
        self._on_corrupt = on_corrupt
        self._table = codec.read_seek_table(source, self.header)
        self._index = -1
        self._frame = b""
        self._hasher = Hasher()
        self._hashed = 0
        """Bytes from the beginning that the hasher has seen."""
        self._damage: BlobCorruptError | None = None
        if not self.size and digest != digest_of(b""):
            raise BlobCorruptError(f"object {digest} is empty", digest=digest)

    def read_at(self, at: int, size: int) -> bytes:
        """Up to the end of the frame that holds this place."""
        index, skip = divmod(at, codec.FRAME_BYTES)
        if self._damage is not None:
            raise self._damage
        try:
            self._load(index)
        except BlobCorruptError as error:
            self._damage = error
            self._on_corrupt()
            raise
        except OSError as error:
            raise StoreUnavailableError(f"blob {self._digest}: {error.strerror}") from error
        return self._frame[skip : skip + size]

    def close(self) -> None:
        """Give the file free."""
        if not self.closed:
            self._source.close()
        super().close()

    def _load(self, index: int) -> None:
        if index == self._index:
            return
        expected = min(codec.FRAME_BYTES, self.size - index * codec.FRAME_BYTES)
        frame = codec.read_frame(self._source, self._table, index, digest=self._digest)
        if len(frame) != expected:
            raise BlobCorruptError(f"object {self._digest} has a frame of {len(frame)} bytes", digest=self._digest)
        if index * codec.FRAME_BYTES == self._hashed:
            self._hasher.update(frame)
            self._hashed += len(frame)
            if self._hashed == self.size and self._hasher.hexdigest() != self._digest:
                raise BlobCorruptError(
                    f"object {self._digest} hashes to {self._hasher.hexdigest()}", digest=self._digest
                )
        self._index, self._frame = index, frame
