"""A text read once from beginning to end, cut where its payloads are; and what else it takes to show one as JSON."""

import codecs
from collections.abc import Iterable, Iterator
from typing import Final

from ocblob.sessions.lines import Writable

_LINE_ENDS: Final = bytes.maketrans(b"\r\n", b"  ")


class Cut:
    """Gives a text out up to one place after another."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._chunk = b""
        self._begin = 0
        """Where in the text the chunk begins."""
        self._at = 0

    def take(self, end: int) -> Iterator[bytes]:
        """The bytes up to here."""
        while self._at < end:
            if self._at - self._begin == len(self._chunk):
                self._begin, self._chunk = self._at, next(self._chunks, b"")
                if not self._chunk:
                    return
            piece = self._chunk[self._at - self._begin : end - self._begin]
            self._at += len(piece)
            yield piece

    def skip(self, end: int) -> None:
        """Leave out the bytes up to here."""
        for _ in self.take(end):
            pass


class Listed:
    """A JSON list, an item a line: each item ends the line of the one before it."""

    def __init__(self, sink: Writable, opening: bytes) -> None:
        self._sink = sink
        self._empty = True
        sink.write(opening + b"\n")

    def item(self, line: bytes = b"") -> None:
        """An item begins, with this text."""
        self._sink.write(line if self._empty else b",\n" + line)
        self._empty = False

    def close(self, closing: bytes) -> None:
        """The list ends."""
        self._sink.write(closing if self._empty else b"\n" + closing)


def on_one_line(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """JSON text without line ends, which only stand between its tokens, and what is no UTF-8 replaced."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    waiting = False
    for chunk in chunks:
        if waiting or not chunk.isascii():
            piece = decoder.decode(chunk).encode("utf-8")
            waiting = decoder.getstate() != (b"", 0)
        else:
            piece = chunk
        yield piece.translate(_LINE_ENDS) if b"\n" in piece or b"\r" in piece else piece
    if rest := decoder.decode(b"", final=True):
        yield rest.encode("utf-8")
