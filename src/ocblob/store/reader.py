"""Reading blobs: always verified, from wherever the store still holds them.

What comes out as success hashes to the digest. "Missing" is only said when every place has answered that it
has no such object; no answer is `StoreUnavailableError`.
"""

import contextlib
import io
import os
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from ocblob import codec
from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.digest import Hasher
from ocblob.errors import (
    BackendError,
    BlobCorruptError,
    BlobExpiredError,
    BlobMissingError,
    ObjectNotFoundError,
)
from ocblob.store.layout import OBJECTS, QUARANTINE, TOMBSTONES, TRASH, get_json, object_key, trash_key


class Reader:
    """Gives out the blobs of one backend. Needs no catalog and nothing writable."""

    def __init__(self, backend: Backend, *, on_corrupt: Callable[[str], None] | None = None) -> None:
        self._backend = backend
        self._on_corrupt = on_corrupt
        """Called before a corrupt object is moved; None if this store is not ours to change."""

    def chunks(self, digest: str) -> Iterator[bytes]:
        """The blob in pieces of up to 1 MiB; an end without an error means that all of it was true.

        Raises `BlobMissingError`, `BlobExpiredError`, `BlobCorruptError` or `BackendError`.
        """
        key, file = self._locate(digest)
        with file:
            try:
                yield from codec.decode(file, digest=digest)
            except BlobCorruptError:
                self._quarantine(digest, key, file)
                raise
            except OSError as error:
                raise BackendError(f"{self._backend.url}: {key}: {error.strerror}") from error

    def open(self, digest: str) -> "BlobStream":
        """A seekable stream of the blob. Raises as `chunks` does, damage at the latest at the stream's end."""
        key, file = self._locate(digest)
        try:
            return BlobStream(file, digest, lambda: self._quarantine(digest, key, file))
        except BlobCorruptError:
            self._quarantine(digest, key, file)
            file.close()
            raise

    def verify(self, digest: str) -> int:
        """Read the whole blob and forget it; return its size. Raises as `chunks` does."""
        return sum(len(chunk) for chunk in self.chunks(digest))

    def find(self, digest: str) -> str | None:
        """The key of the blob's object, live or in the trash; None if neither is there."""
        for key in self._places(digest):
            with contextlib.suppress(ObjectNotFoundError):
                return self._backend.stat(key).key
        return None

    def _locate(self, digest: str) -> tuple[str, BinaryIO]:
        for key in self._places(digest):
            with contextlib.suppress(ObjectNotFoundError):
                return key, self._backend.open(key)
        try:
            tombstone = get_json(self._backend, f"{TOMBSTONES}{digest}.json")
        except ObjectNotFoundError:
            raise BlobMissingError(f"blob {digest} is not in the store {self._backend.url}", digest=digest) from None
        policy, when = tombstone.get("policy", "policy"), tombstone.get("when", "an unknown day")
        raise BlobExpiredError(
            f"blob {digest} was dropped by {policy} on {when}",
            digest=digest,
            tombstone=tombstone,
        )

    def _places(self, digest: str) -> Iterator[str]:
        """Where the object may be. The live place twice: a blob may be revived while we look through the trash."""
        yield object_key(digest)
        for generation in self.generations():
            yield trash_key(generation, digest)
        yield object_key(digest)

    def generations(self) -> list[str]:
        """The trash's generations, newest first."""
        if isinstance(self._backend, LocalBackend):
            with contextlib.suppress(FileNotFoundError):
                return sorted((entry.name for entry in self._backend.path(TRASH.rstrip("/")).iterdir()), reverse=True)
            return []
        return sorted({stat.key.split("/")[1] for stat in self._backend.scan(TRASH)}, reverse=True)

    def _quarantine(self, digest: str, key: str, file: BinaryIO) -> None:
        """Move a corrupt object away, if it is still the very file that was read."""
        if self._on_corrupt is None:
            return
        with contextlib.suppress(BackendError, OSError):
            if isinstance(self._backend, LocalBackend) and not os.path.samestat(
                os.fstat(file.fileno()), self._backend.path(key).stat()
            ):
                return
            if key.startswith(OBJECTS):
                self._on_corrupt(digest)
            target = f"{QUARANTINE}{digest}.{time.time_ns():x}"
            self._backend.move(key, target)
            self._backend.sync([key, target])


class BlobStream(io.RawIOBase):
    """A readable, seekable view of one blob.

    Read from beginning to end it is checked by its digest, at the end; a part of it by frame checksums.
    Memory: one frame, 1 MiB.
    """

    def __init__(self, source: BinaryIO, digest: str, on_corrupt: Callable[[], None]) -> None:
        super().__init__()
        self._source = source
        self._digest = digest
        self._on_corrupt = on_corrupt
        self.header = codec.parse_header(source.read(codec.HEADER_BYTES), digest=digest)
        self._table = codec.read_seek_table(source, digest=digest)
        if self._table.size != self.header.size:
            raise BlobCorruptError(f"object {digest} has a table of {self._table.size} bytes", digest=digest)
        self._at = 0
        self._index = -1
        self._frame = b""
        self._hasher: Hasher | None = Hasher()
        self._hashed = 0

    @property
    def size(self) -> int:
        """Bytes of the whole blob."""
        return self.header.size

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """The position in the blob."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """As files do; a position behind the end reads nothing."""
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.size}[whence]
        if start + offset < 0:
            raise ValueError(f"negative position {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        """Up to the end of the current frame."""
        if self._at >= self.size:
            return 0
        index, skip = divmod(self._at, codec.FRAME_BYTES)
        try:
            self._load(index)
        except BlobCorruptError:
            self._on_corrupt()
            raise
        data = memoryview(self._frame)[skip : skip + len(buffer)]
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)

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
        self._index, self._frame = index, frame
        if self._hasher is None or index * codec.FRAME_BYTES != self._hashed:
            return
        self._hasher.update(frame)
        self._hashed += len(frame)
        if self._hashed == self.size and self._hasher.hexdigest() != self._digest:
            raise BlobCorruptError(f"object {self._digest} hashes to {self._hasher.hexdigest()}", digest=self._digest)
