"""Blobs out of an archive: one pass finds the data URLs, decodes and hashes them, and keeps those that are wanted.

They lie one behind the other in a file without a name. A blob is named by what its bytes hash to and by nothing else.
"""

from collections.abc import Container, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Self

from ocblob.errors import ArchiveError, BlobCorruptError, BlobMissingError
from ocblob.scan import PayloadSpan, scan
from ocblob.sessions.contents import Watched, scratch_file
from ocblob.sessions.lines import text_chunks

READ_BYTES: Final = 1024 * 1024


class ExtractedBlobs:
    """Blobs on disk, by digest; use it as a context manager. Memory: some 150 bytes each."""

    def __init__(self, directory: Path | None = None) -> None:
        self._places: dict[bytes, tuple[int, int]] = {}
        self._directory = directory
        self._file: BinaryIO | None = None
        self._end = 0
        """Behind the last blob that is kept."""
        self._at = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and bytes.fromhex(digest) in self._places

    def __len__(self) -> int:
        return len(self._places)

    def digests(self) -> Iterator[str]:
        """All of them, in the order of the archive."""
        return (digest.hex() for digest in self._places)

    def size(self, digest: str) -> int:
        """Bytes of a blob. Raises `BlobMissingError`."""
        return self._place(digest)[1]

    def chunks(self, digest: str) -> Iterator[bytes]:
        """A blob in pieces. Raises `BlobMissingError`."""
        at, left = self._place(digest)
        while left and self._file is not None:
            self._file.seek(at)
            chunk = self._file.read(min(left, READ_BYTES))
            if not chunk:
                raise BlobCorruptError(f"the file with blob {digest} was cut off", digest=digest)
            yield chunk
            at, left = at + len(chunk), left - len(chunk)

    def close(self) -> None:
        """Give the disk free."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def write(self, data: bytes) -> None:
        """Some bytes of the blob that comes in."""
        if self._file is None:
            self._file = scratch_file(self._directory)
            self._watched = Watched(self._file, self._directory)
        if self._at == self._end:
            self._file.seek(self._end)
        self._watched.write(data)
        self._at += len(data)

    def keep(self, digest: str) -> None:
        """What came in is this blob."""
        self._places[bytes.fromhex(digest)] = (self._end, self._at - self._end)
        self._end = self._at

    def drop(self) -> None:
        """What came in is not needed."""
        self._at = self._end

    def _place(self, digest: str) -> tuple[int, int]:
        place = self._places.get(bytes.fromhex(digest))
        if place is None:
            raise BlobMissingError(f"the archive does not hold blob {digest}", digest=digest)
        return place


def extract(
    path: Path, wanted: Container[bytes] | None, directory: Path | None, *, damaged: bool = False
) -> ExtractedBlobs:
    """Take the blobs with these raw digests out of an archive, or all of them. Memory: a piece of text.

    Of one that is known to be `damaged`, those that stand before what cannot be read. Raises `ArchiveError` if the file
    cannot be read, is damaged, or the disk does not take what is in it.
    """
    blobs = ExtractedBlobs(directory)
    try:
        with path.open("rb") as file:
            for span in scan(text_chunks(file), tap=blobs.write):
                if not isinstance(span, PayloadSpan) or span.digest in blobs:
                    blobs.drop()
                elif wanted is None or bytes.fromhex(span.digest) in wanted:
                    blobs.keep(span.digest)
                else:
                    blobs.drop()
    except BaseException as error:
        if isinstance(error, BlobCorruptError) and damaged:
            blobs.drop()
            return blobs
        blobs.close()
        if isinstance(error, BlobCorruptError):
            raise ArchiveError(f"{path} is damaged ({error}); it is not as it was written") from error
        if isinstance(error, OSError):
            raise ArchiveError(f"{path}: its attachments cannot be taken out: {error.strerror or error}") from error
        raise
    return blobs
