"""Finds payloads and refs in the bytes of a cell. Pure: pieces of a cell in, spans out, no I/O.

A JSON string counts only when the whole string is a data URL: its opening quote follows one of `: , [ {` or
JSON white space, its closing quote follows the payload. Inside valid JSON a bare quote that follows one of
these can only open a string, so the rule needs no parser, and text that merely talks about data URLs never
matches: quotes inside a string are escaped.

A host may keep the base64 of a data URL without its header. Of such strings only refs can be told, and they are looked
for only where the host is known to do so.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import partial
from typing import Final

from ocblob.base64stream import Base64Decoder, NotCanonicalError
from ocblob.digest import Hasher
from ocblob.placeholders import accepts, type_of
from ocblob.ref import MARKER_BASE64, REF_CHARS_MAX, Ref, parse_base64

HEADER_BYTES_MAX: Final = 1024
"""A data URL's media type with its parameters; a longer one is no data URL to us."""

_OPENING: Final = b'"data:'
_BEFORE_OPENING: Final = frozenset(b":,[{ \t\r\n")
_HEADER = re.compile(rb'[^"\\,\x00-\x1f]*;base64', re.IGNORECASE)


class Reason(StrEnum):
    """Why base64 stays where it is."""

    SMALL = "small"
    """Below the minimal size, or no larger than its ref would be."""
    NOT_CANONICAL = "not-canonical"
    """Encoding the decoded bytes would not give the same text."""
    ESCAPED = "escaped"
    """The JSON string has escapes in it."""
    UNTERMINATED = "unterminated"
    """The cell ends before the string does."""
    BROKEN_JSON = "broken-json"
    """The cell would be no valid JSON with a ref in it, so it is none now."""
    NO_CARRIER = "no-carrier"
    """An image type that no placeholder exists for."""
    KEPT_TEXT = "kept-text"
    """The text around the payloads alone is more than a row swap may hold in memory."""


@dataclass(frozen=True, slots=True)
class Span:
    """The base64 text of one data URL: bytes `start` to `end` of the cell."""

    start: int
    end: int
    header: str
    """Between `data:` and the comma, as it stands: `image/png;base64`."""

    @property
    def mime(self) -> str:
        """The declared type without parameters, lower case; `text/plain` if none is declared."""
        return self.header.partition(";")[0].strip().lower() or "text/plain"


@dataclass(frozen=True, slots=True)
class PayloadSpan(Span):
    """A payload that may be offloaded."""

    digest: str
    """Empty if the scan did not hash."""
    size: int


@dataclass(frozen=True, slots=True)
class RefSpan(Span):
    """A ref. Of one without a data URL the header is what its placeholder is."""

    ref: Ref


@dataclass(frozen=True, slots=True)
class InlineSpan(Span):
    """Base64 that is neither: it stays."""

    reason: Reason


def scan(
    chunks: Iterable[bytes],
    *,
    min_chars: int = 1,
    hashing: bool = True,
    bare_refs: bool = False,
    tap: Callable[[bytes], object] | None = None,
) -> Iterator[Span]:
    """Yield the spans of a cell that comes in pieces of any size, in their order.

    With `bare_refs` also refs that are a whole JSON string without being a data URL.

    Payloads shorter than `min_chars` characters of base64 come as inline. Without `hashing` nothing is
    decoded: payloads have no digest, and some of them may turn out not to be canonical. A `tap` is given the decoded
    bytes of each data URL, as far as they go, before its span comes and says what they are. With one no data URL is
    a ref, or too short: one that reads as a ref, or is empty, stands for bytes that somebody has kept.
    Memory: one piece, and 12 KiB.
    """
    find = _find_header_or_ref if bare_refs else _find_header
    text = b""
    base = 0  # offset of text[0] in the cell
    payload: _Payload | None = None
    for chunk in chunks:
        text = text + chunk if text else chunk
        at = 0
        while True:
            if payload is not None:
                end = text.find(b'"', at)
                payload.feed(memoryview(text)[at:] if end < 0 else memoryview(text)[at:end])
                if end < 0:
                    base, text = base + len(text), b""
                    break
                yield payload.close()
                payload, at = None, end + 1
            header, at = find(text, at)
            if isinstance(header, RefSpan):
                yield replace(header, start=base + header.start, end=base + header.end)
                continue
            if header is None:
                # What may be the beginning of a data URL waits for the next piece.
                base, text = base + at, text[at:]
                break
            payload = _Payload(base + at, header, None if tap else min_chars, hashing=hashing, tap=tap)
    if payload is not None:
        yield payload.unterminated()


def is_header(text: str) -> bool:
    """Whether this may stand between `data:` and the comma of a data URL that a scan finds."""
    data = text.encode("utf-8", "surrogatepass")
    return len(data) <= HEADER_BYTES_MAX and text.isprintable() and _HEADER.fullmatch(data) is not None


def _find_header(text: bytes, at: int) -> tuple[str | None, int]:
    """The next data URL's header and the offset behind its comma; else None and what to keep from."""
    while True:
        opening = text.find(_OPENING, at)
        if opening < 0:
            return None, max(at - 1, len(text) - len(_OPENING), 0)
        begin = opening + len(_OPENING)
        if opening == 0 or text[opening - 1] not in _BEFORE_OPENING:
            at = begin
            continue
        comma = text.find(b",", begin, begin + HEADER_BYTES_MAX + 1)
        if comma < 0 and len(text) <= begin + HEADER_BYTES_MAX:
            return None, opening - 1
        if comma >= 0 and _HEADER.fullmatch(text, begin, comma):
            return text[begin:comma].decode("utf-8", "surrogateescape"), comma + 1
        at = begin


def _find_header_or_ref(text: bytes, at: int) -> tuple[str | RefSpan | None, int]:
    """The same, or a ref that stands before it and the offset behind its closing quote."""
    header, behind = _find_header(text, at)
    before = behind if header is None else text.rfind(_OPENING, at, behind)
    while (marker := text.find(MARKER_BASE64, at, max(before, 0) if header is not None else len(text))) >= 0:
        opening, closing = text.rfind(b'"', at, marker), text.find(b'"', marker)
        at = marker + len(MARKER_BASE64)
        if opening < 1 or text[opening - 1] not in _BEFORE_OPENING:
            continue
        if closing < 0 and len(text) - opening <= REF_CHARS_MAX:
            return None, opening - 1
        if ref := _bare_ref(text, opening + 1, closing):
            return ref, closing + 1
    if header is not None:
        return header, behind
    # What may be the beginning of a ref waits for the next piece.
    opening = text.rfind(b'"', at)
    waits = opening > 0 and len(text) - opening <= REF_CHARS_MAX
    return None, min(behind, opening - 1) if waits else behind


def _bare_ref(text: bytes, start: int, end: int) -> RefSpan | None:
    """The ref that these bytes are, whatever type its placeholder is of."""
    if not 0 < end - start <= REF_CHARS_MAX:
        return None
    kind: str | None = None

    def is_placeholder(data: bytes) -> bool:
        nonlocal kind
        kind = type_of(data)
        return kind is not None

    ref = parse_base64(text[start:end], accepts=is_placeholder)
    return None if ref is None else RefSpan(start, end, f"{kind};base64", ref)


class _Payload:
    """The base64 text of one data URL, while it comes in."""

    __slots__ = ("_decoder", "_hasher", "_header", "_length", "_min", "_reason", "_short", "_size", "_start", "_tap")

    def __init__(
        self, start: int, header: str, min_chars: int | None, *, hashing: bool, tap: Callable[[bytes], object] | None
    ) -> None:
        """No `min_chars` at all: it is a payload, and no ref."""
        self._tap = tap
        self._start = start
        self._header = header
        self._min = 0 if min_chars is None else max(min_chars, 1)
        self._length = 0
        self._size = 0
        self._short: bytes | None = b"" if self._min else None
        """The whole text, as long as it may be a ref's."""
        self._decoder = Base64Decoder() if hashing else None
        self._hasher = Hasher()
        self._reason: Reason | None = None

    def feed(self, text: memoryview) -> None:
        self._length += len(text)
        if self._short is not None:
            self._short = self._short + bytes(text) if self._length <= REF_CHARS_MAX else None
        if self._reason is not None:
            self._refuse(bytes(text))
        if self._decoder is None or self._reason is not None:
            return
        waiting = self._decoder.waiting
        try:
            data = self._decoder.feed(text)
        except NotCanonicalError:
            self._refuse(waiting + bytes(text))
            return
        self._size += len(data)
        self._hasher.update(data)
        if self._tap is not None:
            self._tap(data)

    def close(self) -> Span:
        where = (self._start, self._start + self._length, self._header)
        mime = self._header.partition(";")[0]
        if self._short is not None and (ref := parse_base64(self._short, accepts=partial(accepts, mime))):
            return RefSpan(*where, ref)
        if self._length < self._min:
            return InlineSpan(*where, Reason.SMALL)
        if self._decoder is None:
            return PayloadSpan(*where, "", self._length * 3 // 4)
        if self._reason is None:
            try:
                self._decoder.close()
            except NotCanonicalError:
                self._refuse(self._decoder.waiting)
        if self._reason is not None:
            return InlineSpan(*where, self._reason)
        return PayloadSpan(*where, self._hasher.hexdigest(), self._size)

    def _refuse(self, text: bytes) -> None:
        """Not canonical; the reason is the same wherever the pieces of the text were cut."""
        if self._reason is not Reason.ESCAPED:
            self._reason = Reason.ESCAPED if b"\\" in text else Reason.NOT_CANONICAL

    def unterminated(self) -> Span:
        return InlineSpan(self._start, self._start + self._length, self._header, Reason.UNTERMINATED)


def scan_text(text: bytes) -> Iterator[Span]:
    """The spans of text that is in memory: a cell's JSON, or one bare data URL. Nothing is hashed."""
    if not text.startswith(b"data:"):
        yield from scan((text,), hashing=False)
        return
    span = next(scan((b'["', text, b'"'), hashing=False), None)
    if span is not None and span.end - 2 == len(text):
        yield replace(span, start=span.start - 2, end=span.end - 2)


def find_refs(cell: str | bytes) -> list[Ref]:
    """The refs in a cell's text, or in one bare data URL, in their order."""
    text = cell.encode("utf-8", "surrogatepass") if isinstance(cell, str) else cell
    return [span.ref for span in scan_text(text) if isinstance(span, RefSpan)]
