r"""The ref's text form: a marker line inside a small valid file, inside a valid data URL.

    data:<original header>;base64,<base64 of a placeholder that contains the marker line>

    ocblob/1 <digest> <size> store=<first 8 hex digits of the store id>\n

A ref has one valid form. What does not parse strictly is not a ref, and is left alone.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import pybase64

from ocblob.digest import is_digest

MARKER: Final = b"ocblob/1 "
MARKER_BASE64: Final = b"b2NibG9iLzEg"
"""What every ref's base64 text contains, because its marker starts at a multiple of 3."""

PLACEHOLDER_BYTES_MAX: Final = 8 * 1024
"""A placeholder with a preview in it; without one it stays below 2 KiB."""

SIZE_MAX: Final = 2**53 - 1
"""Bytes; what JavaScript counts exactly. A marker with a larger size is no ref."""

REF_CHARS_MAX: Final = (PLACEHOLDER_BYTES_MAX + 2) // 3 * 4

_LINE = re.compile(
    rb"ocblob/1 (?P<digest>[0-9a-f]{64}) (?P<size>0|[1-9][0-9]{0,15})"
    rb"(?P<pairs>(?: [a-z][a-z0-9_-]*=[!-~]*)*)\n"
)


@dataclass(frozen=True, slots=True)
class Ref:
    """What a row keeps in place of a payload."""

    digest: str
    size: int
    """Bytes of the attachment, decoded."""
    pairs: tuple[tuple[str, str], ...] = ()
    """Further `key=value` pairs in their order; unknown ones are kept."""

    def __post_init__(self) -> None:
        if not is_digest(self.digest) or not 0 <= self.size <= SIZE_MAX:
            raise ValueError(f"not a ref: {self.digest!r}, {self.size}")

    @property
    def store(self) -> str:
        """The first 8 digits of the id of the store it was put in. A hint for messages; it decides nothing."""
        return dict(self.pairs).get("store", "")

    @property
    def by(self) -> str:
        """Who made it, if that was no offload: `mirror` for one that is a payload again when its row comes back."""
        return dict(self.pairs).get("by", "")


def marker_line(ref: Ref) -> bytes:
    """The line that makes a placeholder a ref."""
    pairs = "".join(f" {key}={value}" for key, value in ref.pairs)
    return f"ocblob/1 {ref.digest} {ref.size}{pairs}\n".encode("ascii")


def parse_placeholder(data: bytes) -> Ref | None:
    """The ref in the bytes of a placeholder, or None: exactly one marker line, at a multiple of 3."""
    at = data.find(MARKER)
    if at < 0 or at % 3 or data.find(MARKER, at + 1) >= 0:
        return None
    match = _LINE.match(data, at)
    if match is None or int(match["size"]) > SIZE_MAX:
        return None
    pairs = tuple(_pair(item) for item in match["pairs"].decode("ascii").split())
    return Ref(match["digest"].decode("ascii"), int(match["size"]), pairs)


def parse_base64(text: bytes, *, accepts: Callable[[bytes], bool] = lambda _: True) -> Ref | None:
    """The ref in the base64 text of a data URL, or None. `accepts` judges the placeholder's bytes as a file."""
    if MARKER_BASE64 not in text or len(text) > REF_CHARS_MAX or len(text) % 4:
        return None
    try:
        data = pybase64.b64decode(text, validate=True)
    except ValueError:
        return None
    if pybase64.b64encode(data) != text or not accepts(data):
        return None
    return parse_placeholder(data)


def _pair(item: str) -> tuple[str, str]:
    key, _, value = item.partition("=")
    return key, value
