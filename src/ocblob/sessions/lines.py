"""An archive as lines: each is read whole up to a limit, or passed over in pieces, whatever its length.

The file is plain text, or the same text in zstd frames of up to 1 MiB; which one it is tell its first bytes.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, Protocol, Self

from ocblob import codec
from ocblob.digest import Hasher
from ocblob.errors import ArchiveError, BlobCorruptError

READ_BYTES: Final = 256 * 1024
LINE_BYTES_MAX: Final = 32 * 1024 * 1024
"""More than any line that is read whole: the values of a row that stand in it, or the columns of a table."""
TAIL_BYTES: Final = 64
_ZSTD: Final = b"\x28\xb5\x2f\xfd"
_OURS: Final = "not an archive that ocblob wrote, or changed since"


class Lines:
    """A cursor over the lines of an archive file; use it as a context manager. Raises only `ArchiveError`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = 0
        self._buffer = b""
        self._at = 0
        self._hasher = Hasher()
        try:
            self._file: BinaryIO = path.open("rb")
        except OSError as error:
            raise ArchiveError(f"{path}: {error.strerror or error}") from error
        self._chunks = self._checked(text_chunks(self._file))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()

    def refused(self, why: str) -> ArchiveError:
        """What is said of a line that does not belong where it stands."""
        return ArchiveError(f"{self._path}, line {self._number}: {why}; {_OURS}")

    def line(self) -> bytes:
        """The next line without its end."""
        begin = self._at
        while (end := self._buffer.find(b"\n", begin)) < 0:
            held = len(self._buffer) - self._at
            if held > LINE_BYTES_MAX:
                self._number += 1
                raise self.refused("it is too long for a line of its kind")
            begin = held
            self._more()
        line = self._buffer[self._at : end]
        self._hasher.update(memoryview(self._buffer)[self._at : end + 1])
        self._at = end + 1
        self._number += 1
        return line

    def expect(self, *allowed: bytes) -> bytes:
        """The next line, which is one of these."""
        line = self.line()
        if line not in allowed:
            raise self.refused(f"expected {' or '.join(repr(text.decode()) for text in allowed)}")
        return line

    def skip(self, size: int = TAIL_BYTES) -> tuple[bytes, bytes]:
        """Pass over a line of any length; its first and its last bytes, `size` of them or fewer."""
        head = tail = b""
        end = -1
        while end < 0:
            if self._at == len(self._buffer):
                self._more()
            end = self._buffer.find(b"\n", self._at)
            behind = len(self._buffer) if end < 0 else end + 1
            self._hasher.update(memoryview(self._buffer)[self._at : behind])
            piece = memoryview(self._buffer)[self._at : len(self._buffer) if end < 0 else end]
            head += bytes(piece[: size - len(head)])
            tail = (tail + bytes(piece[-size:]))[-size:]
            self._at = behind
        self._number += 1
        return head, tail

    def begin_digest(self) -> None:
        """The digest is over the lines that are read from now on."""
        self._hasher.reset()

    def digest(self) -> str:
        """Of the lines that were read since it was begun."""
        digest: str = self._hasher.hexdigest()
        return digest

    def end(self) -> None:
        """Nothing may follow."""
        if self._at < len(self._buffer) or next(self._chunks, b""):
            self._number += 1
            raise self.refused("something stands behind the end")

    def _more(self) -> None:
        chunk = next(self._chunks, b"")
        if not chunk:
            self._number += 1
            raise self.refused("the file ends here")
        self._buffer = self._buffer[self._at :] + chunk if self._at < len(self._buffer) else chunk
        self._at = 0

    def _checked(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        try:
            yield from chunks
        except BlobCorruptError as error:
            self._number += 1
            raise self.refused(f"damaged near here ({error})") from error
        except OSError as error:
            raise ArchiveError(f"{self._path}: {error.strerror or error}") from error


def text_chunks(file: BinaryIO) -> Iterator[bytes]:
    """The text of an archive in pieces of up to 1 MiB. Raises `BlobCorruptError` for damaged frames, and OSError."""
    begin = file.read(len(_ZSTD))
    file.seek(0)
    if begin == _ZSTD:
        yield from codec.unpacked_frames(file, name="frame")
        return
    while chunk := file.read(READ_BYTES):
        yield chunk


class Writable(Protocol):
    """What the text is written to."""

    def write(self, data: bytes, /) -> object:
        """All of it."""


class TextSink:
    """Where the text of an archive goes: to a file as it is, or in frames. Counts both sides."""

    def __init__(self, file: Writable, *, packed: bool) -> None:
        self._file = file
        self._buffer = bytearray()
        self._hasher = Hasher()
        self._pack: Callable[[bytes | bytearray], bytes] = codec.frame_packer() if packed else bytes
        self.text_size = 0
        """Bytes of text up to now."""
        self.stored_size = 0
        """Bytes that are in the file."""

    def write(self, data: bytes | memoryview) -> None:
        """Append some text."""
        self.text_size += len(data)
        self._hasher.update(data)
        at = 0
        while len(self._buffer) + len(data) - at >= codec.FRAME_BYTES:
            take = codec.FRAME_BYTES - len(self._buffer)
            self._buffer += memoryview(data)[at : at + take]
            at += take
            self.flush()
        self._buffer += memoryview(data)[at:]

    def begin_digest(self) -> None:
        """The digest is over the text that is written from now on."""
        self._hasher.reset()

    def digest(self) -> str:
        """Of the text that was written since it was begun."""
        digest: str = self._hasher.hexdigest()
        return digest

    def flush(self) -> None:
        """Let go of what waits."""
        if self._buffer:
            data = self._pack(self._buffer)
            self._file.write(data)
            self.stored_size += len(data)
            self._buffer.clear()
