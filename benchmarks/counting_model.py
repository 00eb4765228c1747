"""A mock model that keeps no request: bodies of hundreds of megabytes are hashed and counted as they arrive."""

from __future__ import annotations

from dataclasses import dataclass
from io import BufferedIOBase

from blake3 import blake3
from mock_model import TITLE_PROMPT, Answer, MockModel

CHUNK_BYTES = 1 << 20
TITLE_MARK = f'"content":"{TITLE_PROMPT}'.encode()
HEAD_BYTES = 4096
"""The system message stands in these."""


@dataclass(frozen=True, slots=True)
class Body:
    """What is known of a request's body once it has gone."""

    size: int
    digest: str


class CountingModel(MockModel):
    """Answers every turn with the same text. The bodies of turns are in `bodies`, oldest first; titles are not."""

    def __init__(self, answer: str) -> None:
        super().__init__(default=answer)
        self._answer = answer
        self.bodies: list[Body] = []

    def take(self, stream: BufferedIOBase, size: int) -> Answer:
        """Read a body of `size` bytes in chunks and take its answer."""
        hasher = blake3()
        head = b""
        left = size
        while left and (chunk := stream.read(min(left, CHUNK_BYTES))):
            head = head or chunk[:HEAD_BYTES]
            left -= len(chunk)
            hasher.update(chunk)
        if TITLE_MARK in head:
            return self._title
        self.bodies.append(Body(size, hasher.hexdigest()))
        return self._answer
