"""Values of rows as JSON has them: what stands in a row's line, and the pieces of what is too long for one.

A text that is short, valid UTF-8 and without payloads is a JSON string. Any other text, and every blob, is
`{"content": n}`, the n-th content behind the row: texts, base64 of bytes, and `{"base64": digest, "size": n}`,
which stands for the base64 text of a blob.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

import pybase64

from ocblob.base64stream import encoded_size
from ocblob.digest import is_digest

PIECE_BYTES: Final = 64 * 1024
"""Of text, or of bytes before they are base64."""
UTF8_BYTES_MAX: Final = 4
_INTEGERS: Final = range(-(2**63), 2**63)
"""That a database holds."""
_encode: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Made once: `json.dumps` makes one for each call."""
Plain = int | float | str | None


@dataclass(frozen=True, slots=True)
class BlobText:
    """The canonical base64 text of a blob."""

    digest: str
    size: int
    """Bytes of the blob, decoded."""

    @property
    def text_size(self) -> int:
        """Bytes of the text."""
        return encoded_size(self.size)


@dataclass(frozen=True, slots=True)
class ContentHead:
    """What stands before the pieces of a content."""

    kind: str
    size: int


@dataclass(frozen=True, slots=True)
class ContentIndex:
    """A place in a row that a content belongs to."""

    index: int


Piece = bytes | BlobText


def dumped(value: object) -> bytes:
    """One value as JSON, in UTF-8 and on one line."""
    try:
        return _encode(value).encode("utf-8")
    except UnicodeEncodeError:  # a half of a surrogate pair has no UTF-8, but JSON has a way to write it
        return json.dumps(value, separators=(",", ":")).encode("ascii")


def packed_value(value: Plain) -> object:
    """What stands in a row's line for a value. Integers and reals come back as they were."""
    if isinstance(value, float) and not math.isfinite(value):
        return {"real": repr(value)}
    return value


def packed_reference(index: int) -> object:
    """What stands in a row's line for a content."""
    return {"content": index}


def unpacked_value(value: object) -> Plain | ContentIndex:
    """The value of one place in a row's line. Raises ValueError for what cannot stand there."""
    match value:
        case None | str():
            return value
        case bool():
            pass
        case int() if value in _INTEGERS:
            return value
        case float():
            return value
        case {"real": str(text)} if text in {"inf", "-inf"}:
            return float(text)
        case {"content": int(index)}:
            return ContentIndex(index)
    raise ValueError("a value that no column has")


def packed_pieces(chunks: Iterable[bytes], *, blob: bool) -> Iterator[bytes]:
    """Lines of pieces for raw bytes, none of them ended; text stays readable as far as it is valid UTF-8."""
    for chunk in _sized(chunks, text=not blob):
        try:
            text = None if blob else chunk.decode("utf-8")
        except UnicodeDecodeError:
            text = None
        yield dumped(text if text is not None else {"bytes": pybase64.b64encode(chunk).decode("ascii")})


def packed_blob_text(piece: BlobText) -> bytes:
    """The line that stands for a blob's base64."""
    return dumped({"base64": piece.digest, "size": piece.size})


def unpacked_piece(value: object) -> Piece:
    """The bytes of a piece, or the blob it stands for. Raises ValueError."""
    match value:
        case str():
            return value.encode("utf-8")
        case {"base64": str(digest), "size": int(size)} if is_digest(digest) and size >= 0:
            return BlobText(digest, size)
        case {"bytes": str(text)}:
            return pybase64.b64decode(text, validate=True)
    raise ValueError("no piece of a text or a blob")


def unpacked_head(value: object) -> ContentHead:
    """What is said of a content before its pieces. Raises ValueError."""
    match value:
        case {"kind": "text" | "blob" as kind, "size": int(size), "pieces": []} if size >= 0:
            return ContentHead(kind, size)
    raise ValueError("no beginning of a text or a blob")


def _sized(chunks: Iterable[bytes], *, text: bool) -> Iterator[bytes]:
    """The same bytes in pieces of up to `PIECE_BYTES`; those of a text end with a whole character."""
    held = b""
    for chunk in chunks:
        held = held + chunk if held else chunk
        at = 0
        while len(held) - at > PIECE_BYTES:
            end = _boundary(held, at + PIECE_BYTES) if text else at + PIECE_BYTES
            yield bytes(held[at:end])
            at = end
        held = held[at:]
    if held:
        yield bytes(held)


def _boundary(data: bytes, end: int) -> int:
    """The last place up to `end` where no character is cut; `end` itself if this is no UTF-8."""
    for before in range(UTF8_BYTES_MAX):
        if data[end - before] & 0xC0 != 0x80:  # noqa: PLR2004 - not inside a character
            return end - before
    return end
