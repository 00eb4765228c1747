"""At which line a key of a TOML text stands, which `tomllib` does not tell.

For texts that `tomllib` has read; of any other the answers are guesses.
"""

import re
from collections.abc import Mapping
from typing import Final

Path = tuple[str, ...]
"""A key below its tables: `("s3", "region")`."""

_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_PART: Final = re.compile(r"[A-Za-z0-9_-]+|\"(?:\\.|[^\"\\\n])*\"|'[^'\n]*'")
_DOT: Final = re.compile(r"[ \t]*(\.?)[ \t]*")
_VALUE: Final = re.compile(
    r'"""(?:\\.|[^\\])*?"{3,5}'
    r"|'''.*?'{3,5}"
    r'|"(?:\\.|[^"\\\n])*"'
    r"|'[^'\n]*'"
    r"|#[^\n]*"
    r"|[\[\]{}\n]"
    r"|[^\"'#\[\]{}\n]+",
    re.DOTALL,
)
"""What a value is made of; a line ends it, unless a bracket is open."""


def lines_of(text: str) -> Mapping[Path, int]:
    """The line of every key and of every table, counted from 1. Keys of inline tables are left out."""
    found: dict[Path, int] = {}
    table: Path = ()
    at = _behind(_SPACE, text, 0)
    while at < len(text):
        header = text.startswith("[", at)
        path, end = _path(text, at + (2 if text.startswith("[[", at) else 1 if header else 0))
        if header:
            table = path
        found.setdefault(path if header else table + path, text.count("\n", 0, at) + 1)
        at = _behind(_SPACE, text, max(_line_end(text, end), at + 1))
    return found


def _path(text: str, at: int) -> tuple[Path, int]:
    """A key with its dots, and what is behind it."""
    parts: list[str] = []
    at = _behind(re.compile(r"[ \t]*"), text, at)
    while match := _PART.match(text, at):
        parts.append(_plain(match[0]))
        dot = _DOT.match(text, match.end())
        at = match.end() if dot is None else dot.end()
        if dot is None or not dot[1]:
            break
    return tuple(parts), at


def _plain(part: str) -> str:
    if part[0] not in "\"'":
        return part
    import tomllib  # noqa: PLC0415 - only a file that is there is worth it

    return str(tomllib.loads(f"key = {part}")["key"])


def _line_end(text: str, at: int) -> int:
    """Behind the value, or the header, of which this is within."""
    depth = 0
    while match := _VALUE.match(text, at):
        at = match.end()
        if match[0] in "[{":
            depth += 1
        elif match[0] in "]}":
            depth -= 1
        elif match[0] == "\n" and depth <= 0:
            break
    return at


def _behind(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return at if match is None else match.end()
