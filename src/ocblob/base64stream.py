"""Canonical base64, streamed: text that decodes here is exactly what encoding the bytes gives again.

Only the standard alphabet, full padding and zero trailing bits are canonical (RFC 4648 section 3.5).
"""

from collections.abc import Iterable, Iterator
from typing import Final

import pybase64

GROUP_CHARS: Final = 4
"""Base64 text comes in groups that stand for 3 bytes each."""


class NotCanonicalError(ValueError):
    """The text is base64 that encoding would not give back, or no base64 at all."""


def encoded_size(size: int) -> int:
    """Characters of the base64 text of `size` bytes."""
    return (size + 2) // 3 * 4


class Base64Decoder:
    """Feed text in any pieces, get bytes. Raises `NotCanonicalError` at the piece that breaks the rule.

    Holds at most 3 characters between pieces.
    """

    __slots__ = ("_carry", "_padded")

    def __init__(self) -> None:
        self._carry = b""
        self._padded = False

    @property
    def waiting(self) -> bytes:
        """Text that is no whole group yet, at most 3 characters."""
        return self._carry

    def feed(self, text: memoryview) -> bytes:
        """Decode what is whole groups of four so far."""
        head = b""
        if self._carry:
            missing = GROUP_CHARS - len(self._carry)
            group = self._carry + bytes(text[:missing])
            text = text[missing:]
            if len(group) < GROUP_CHARS:
                self._carry = group
                return b""
            head = self._decode(group, group)
        rest = len(text) % GROUP_CHARS
        self._carry = bytes(text[len(text) - rest :])
        if len(text) == rest:
            return head
        whole = text[: len(text) - rest]
        body = self._decode(whole, bytes(whole[-GROUP_CHARS:]))
        return head + body if head else body

    def close(self) -> None:
        """Say that the text is over."""
        if self._carry:
            raise NotCanonicalError("the length is no multiple of 4")

    def _decode(self, text: memoryview | bytes, last_group: bytes) -> bytes:
        if self._padded:
            raise NotCanonicalError("text after the padding")
        try:
            data = pybase64.b64decode(text, validate=True)
        except ValueError as error:
            raise NotCanonicalError(str(error)) from error
        if last_group.endswith(b"="):
            self._padded = True
            # The decoder is lenient about bits below the last byte; encoding again is the definition.
            if pybase64.b64encode(pybase64.b64decode(last_group)) != last_group:
                raise NotCanonicalError("trailing bits are not zero")
        return data


def decode(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The bytes of canonical base64 text that comes in pieces."""
    decoder = Base64Decoder()
    for chunk in chunks:
        if data := decoder.feed(memoryview(chunk)):
            yield data
    decoder.close()


def encode(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Base64 text of bytes that come in pieces; holds at most 2 bytes between pieces."""
    carry = b""
    for chunk in chunks:
        data = carry + chunk if carry else chunk
        whole = len(data) - len(data) % 3
        carry = bytes(data[whole:])
        if whole:
            yield pybase64.b64encode(memoryview(data)[:whole])
    if carry:
        yield pybase64.b64encode(carry)
