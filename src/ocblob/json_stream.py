"""Whether text that comes in pieces is one JSON object. Memory: a piece, and a byte for each open bracket."""

import re
from typing import Final

_SPACE = re.compile(rb"[ \t\r\n]*")
_IN_STRING = re.compile(rb'[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*')
_ATOM = re.compile(rb"[-+.0-9a-zA-Z]+")
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?")
_WORDS: Final = frozenset({b"true", b"false", b"null"})
_ESCAPE_BYTES_MAX: Final = 6
_ATOM_BYTES_MAX: Final = 4096
_PARTNER: Final = {b"}": b"{", b"]": b"["}

# What may come next.
_VALUE, _VALUE_OR_END, _KEY, _KEY_OR_END, _COLON, _AFTER, _DONE = range(7)


class JsonObject:
    """Feed text, then ask whether all of it was one object. Bytes in strings need not be valid UTF-8."""

    def __init__(self) -> None:
        self._open = bytearray()
        self._next = _VALUE
        self._held = b""
        self._in_string = False
        self._broken = False

    def feed(self, piece: bytes) -> None:
        """The next piece of any size."""
        if not self._broken and piece:
            self._held = self._take(self._held + piece if self._held else piece, last=False)

    def close(self) -> bool:
        """Whether it was one object, and nothing else."""
        if not self._broken and self._held:
            self._held = self._take(self._held, last=True)
        return not self._broken and self._next == _DONE and not self._held

    def _take(self, text: bytes, *, last: bool) -> bytes:
        """Walk over whole tokens; what is left may go on in the next piece."""
        at = 0
        while at < len(text) and not self._broken:
            if self._in_string:
                at = self._string(text, at)
                if self._in_string:
                    return text[at:]
                continue
            at = self._end_of(_SPACE, text, at)
            char = text[at : at + 1]
            if not char:
                break
            atom = _ATOM.match(text, at)
            if atom is None:
                self._mark(char)
                at += 1
            elif atom.end() == len(text) and not last:
                self._broken = len(text) - at > _ATOM_BYTES_MAX
                return text[at:]
            else:
                self._broken = not (atom[0] in _WORDS or _NUMBER.fullmatch(atom[0]))
                self._value()
                at = atom.end()
        return b""

    def _string(self, text: bytes, at: int) -> int:
        """Where a string ends, or what of it is looked at in the next piece."""
        at = self._end_of(_IN_STRING, text, at)
        if text[at : at + 1] == b'"':
            self._in_string = False
            return at + 1
        # An escape may be cut; anything else that stops here is none.
        self._broken = at < len(text) and (text[at : at + 1] != b"\\" or len(text) - at >= _ESCAPE_BYTES_MAX)
        return at

    def _mark(self, char: bytes) -> None:
        """A quote or a bracket, a comma or a colon."""
        if char == b'"':
            self._in_string = True
            if self._next in {_KEY, _KEY_OR_END}:
                self._next = _COLON
            else:
                self._value()
        elif char in _PARTNER:
            fits = self._next in {_AFTER, _KEY_OR_END if char == b"}" else _VALUE_OR_END}
            self._broken = not (fits and self._open and self._open.pop() == ord(_PARTNER[char]))
            self._next = _AFTER if self._open else _DONE
        elif char in {b"{", b"["}:
            self._broken = self._next not in {_VALUE, _VALUE_OR_END} or (not self._open and char == b"[")
            self._open += char
            self._next = _KEY_OR_END if char == b"{" else _VALUE_OR_END
        elif char == b",":
            self._broken = self._next != _AFTER
            self._next = _KEY if self._open.endswith(b"{") else _VALUE
        else:
            self._broken = char != b":" or self._next != _COLON
            self._next = _VALUE

    def _value(self) -> None:
        """A value that is no object or array ends here; an object alone may stand outside of everything."""
        self._broken = self._broken or self._next not in {_VALUE, _VALUE_OR_END} or not self._open
        self._next = _AFTER

    @staticmethod
    def _end_of(pattern: "re.Pattern[bytes]", text: bytes, at: int) -> int:
        match = pattern.match(text, at)
        return at if match is None else match.end()
