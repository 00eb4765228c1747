"""Whether bytes are a JSON text, as far as memory allows to tell."""

import json
import re
from typing import Final

PARSED_BYTES_MAX: Final = 1024 * 1024
"""New content up to this size is parsed to be sure that it is JSON; of a larger one tokens and brackets are."""
_WHITE_SPACE: Final = b" \t\r\n"
_TOKEN = re.compile(
    rb'[ \t\r\n]*("[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*"|[][{},:]|true|false|null|-?[0-9][0-9.eE+-]*)'
)
_PARTNERS: Final = {b"{": b"}", b"[": b"]"}
_SEPARATORS: Final = frozenset({b",", b":"})
_CLOSING: Final = frozenset(_PARTNERS.values())


def is_json(content: bytes) -> bool:
    """Whether a cell's content is a JSON text, as far as memory allows to tell.

    Only structure is judged: bytes that are no valid UTF-8 inside a string stay as the host wrote them.
    """
    if len(content) > PARSED_BYTES_MAX:
        return _is_balanced(content)
    try:
        json.loads(content.decode("latin-1"), parse_constant=_no_constant, parse_int=str, parse_float=str)
    except RecursionError:
        return _is_balanced(content)  # deeper than Python follows; SQLite and JavaScript go further
    except ValueError:
        return False
    return True


def _is_balanced(content: bytes) -> bool:
    """Whether it is one array or object of JSON's tokens, with separators between values and brackets in pairs."""
    expected = bytearray()
    after_value = after_opening = False
    at, end = 0, len(content.rstrip(_WHITE_SPACE))
    while at < end:
        token = _TOKEN.match(content, at, end)
        if token is None or (not expected and at > 0):
            return False
        text, at = token[1], token.end()
        if text in _SEPARATORS:
            fits, value = after_value, False
        elif text in _CLOSING:
            fits = (after_value or after_opening) and bool(expected) and expected.pop() == text[0]
            value = True
        else:
            fits = not after_value and (text in _PARTNERS or bool(expected))
            value = text not in _PARTNERS
            expected += _PARTNERS.get(text, b"")
        if not fits:
            return False
        after_value, after_opening = value, text in _PARTNERS
    return at > 0 and not expected


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")
