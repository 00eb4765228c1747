"""The contents of one archived row, kept until the next row is asked for: small ones in memory, large ones on disk."""

import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Literal, Protocol

from ocblob import base64stream
from ocblob.databases.session_rows import CONTENT_READ_BYTES, Content
from ocblob.errors import ArchiveError, BlobCorruptError, BlobMissingError
from ocblob.sessions.values import BlobText, ContentHead, Piece

MEMORY_BYTES: Final = 1024 * 1024
"""Contents of a row up to this size together never touch the disk."""


RESERVE_BYTES: Final = 64 * 1024 * 1024
"""Room that what is large leaves on its disk: a host that works there must not run into a full one."""
ROOM_LOOK_BYTES: Final = 16 * 1024 * 1024
"""How often it is looked at."""


class BlobSource(Protocol):
    """Where the bytes of blobs come from: blobs taken out of an archive, a store."""

    def chunks(self, digest: str) -> Iterator[bytes]:
        """A blob in pieces. Raises `BlobError` or `BackendError`."""


class NoBlobs:
    """No blobs at all."""

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Raises `BlobMissingError`."""
        raise BlobMissingError(f"the archive does not hold blob {digest}", digest=digest)


class RowContents:
    """Keeps what pieces a content has. Closing it makes every content it gave unreadable."""

    def __init__(self, directory: Path | None, blobs: BlobSource) -> None:
        self._directory = directory
        self._blobs = blobs
        self._spool: BinaryIO | None = None
        self._held = 0

    def clear(self) -> None:
        """Forget the contents of the row before."""
        self._held = 0
        if self._spool is not None:
            if isinstance(self._spool, io.BytesIO):
                self._spool = None
                return
            self._spool.seek(0)
            self._spool.truncate()

    def close(self) -> None:
        """Give the disk free."""
        if self._spool is not None:
            self._spool.close()
            self._spool = None

    def add(self, head: ContentHead, pieces: Iterator[Piece], refused: Callable[[str], ArchiveError]) -> Content:
        """Keep the pieces of a content; `refused` makes the error if their sizes are not what the head says."""
        parts: list[tuple[int, int] | BlobText] = []
        total = 0
        for piece in pieces:
            if isinstance(piece, BlobText):
                total += piece.text_size
                parts.append(piece)
                continue
            total += len(piece)
            at = self._write(piece)
            last = parts[-1] if parts else None
            if isinstance(last, tuple) and sum(last) == at:
                parts[-1] = (last[0], last[1] + len(piece))
            else:
                parts.append((at, len(piece)))
        if total != head.size:
            raise refused(f"a content of {total} bytes that says it has {head.size}")
        kind: Literal["text", "blob"] = "blob" if head.kind == "blob" else "text"
        return Content(kind, head.size, lambda: self._chunks(parts))

    def _chunks(self, parts: list[tuple[int, int] | BlobText]) -> Iterator[bytes]:
        for part in parts:
            if isinstance(part, BlobText):
                yield from base64stream.encode(_sized(self._blobs.chunks(part.digest), part))
                continue
            at, left = part
            while left and self._spool is not None:
                self._spool.seek(at)
                chunk = self._spool.read(min(left, CONTENT_READ_BYTES))
                yield chunk
                at, left = at + len(chunk), left - len(chunk)

    def _write(self, data: bytes) -> int:
        at = self._held
        if self._spool is None:
            self._spool = io.BytesIO()
        try:
            if isinstance(self._spool, io.BytesIO) and at + len(data) > MEMORY_BYTES:
                memory, self._spool = self._spool, scratch_file(self._directory)
                self._spool.write(memory.getbuffer())
            self._spool.seek(at)
            self._spool.write(data)
        except OSError as error:
            raise ArchiveError(f"no room to read the archive: {error.strerror or error}") from error
        self._held += len(data)
        return at


def _sized(chunks: Iterator[bytes], part: BlobText) -> Iterator[bytes]:
    """Nobody who reads a row gets more of a blob than the row says."""
    left = part.size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise BlobCorruptError(f"blob {part.digest} is larger than a row says", digest=part.digest)
        yield chunk


class Watched:
    """Writes to a file, and fails before its disk is full."""

    def __init__(self, file: BinaryIO, directory: Path | None) -> None:
        self._file = file
        self._directory = directory or tempfile.gettempdir()
        self._unseen = 0

    def write(self, data: bytes, /) -> int:
        """Raises `ArchiveError` for a disk that is nearly full, and OSError."""
        self._unseen += len(data)
        if self._unseen >= ROOM_LOOK_BYTES:
            self._unseen = 0
            if shutil.disk_usage(self._directory).free < RESERVE_BYTES:
                raise ArchiveError(f"{self._directory}: the disk is nearly full; nothing was kept")
        return self._file.write(data)


def scratch_file(directory: Path | None) -> BinaryIO:
    """A file without a name, gone when it is closed or the process ends. Raises OSError."""
    return tempfile.TemporaryFile(prefix=".ocblob-", dir=directory)
