"""A prompt file as lines, each read in pieces as a cell is, however long it is."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from ocblob.databases.base import PIECE_BYTES, READ_BYTES
from ocblob.errors import CellError


class PromptFile:
    """One file, open for reading; for one thread. What comes behind its first `size` bytes does not count."""

    def __init__(self, path: Path, size: int | None = None) -> None:
        """By default it counts as it is now."""
        self.path = path
        self._file: BinaryIO = path.open("rb", buffering=0)
        self.size = self._file.seek(0, 2) if size is None else size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._file.close()

    def lines(self) -> Iterator["Line"]:
        """Every line, the last one too if no newline ends it. Memory: two pieces."""
        number, start, at = 1, 0, 0
        for piece in self.read(0, self.size, PIECE_BYTES):
            newline = piece.find(b"\n")
            while newline >= 0:
                yield Line(self, number, start, at + newline)
                number, start = number + 1, at + newline + 1
                newline = piece.find(b"\n", newline + 1)
            at += len(piece)
        if start < self.size:
            yield Line(self, number, start, self.size)

    def read(self, start: int, end: int, piece_bytes: int = READ_BYTES) -> Iterator[bytes]:
        """Bytes in pieces. Raises `CellError` if they are not there any more."""
        while start < end:
            self._file.seek(start)
            data = self._file.read(min(piece_bytes, end - start))
            if not data:
                raise CellError(f"{self.path} has become shorter while it was read")
            start += len(data)
            yield data


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its newline: a reader of it, as databases have them for cells."""

    file: PromptFile
    number: int
    start: int
    end: int

    @property
    def size(self) -> int:
        """Bytes."""
        return self.end - self.start

    @property
    def version(self) -> None:
        """The whole file is compared before it is replaced."""

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end` of the line, in pieces. Raises `CellError`."""
        return self.file.read(self.start + start, self.start + end)

    def __str__(self) -> str:
        return f"{self.file.path} line {self.number}"
