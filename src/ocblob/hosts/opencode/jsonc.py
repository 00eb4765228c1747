"""JSON with comments and trailing commas, as OpenCode reads its configuration, with the place of every value.

Nothing is ever written from the values: who edits cuts the text at the places, and all else stays as it is.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ocblob.errors import UsageError

DEPTH_MAX: Final = 200

_SPACE = re.compile(r"(?:[ \t\r\n]+|//[^\r\n]*|/\*.*?\*/)*", re.DOTALL)
_SCALAR = re.compile(
    r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*"'
    r"|-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![0-9A-Za-z_])"
    r"|(?:true|false|null)(?![0-9A-Za-z_])"
)
_VARIABLE = re.compile(r"\{(?:env|file):[^}]+\}")
"""What OpenCode puts a text in place of before it parses, so that a number may come from there."""


@dataclass(frozen=True, slots=True)
class Node:
    """One value and where it stands: `text[start:end]`."""

    start: int
    end: int
    value: Any
    """As Python has it; of two members with one name the last counts."""
    items: tuple["Node", ...] = ()
    """Of an array."""
    members: tuple["Member", ...] = ()
    """Of an object, in the order of the text."""

    def member(self, name: str) -> "Member | None":
        """The member that counts."""
        return next((member for member in reversed(self.members) if member.name == name), None)


@dataclass(frozen=True, slots=True)
class Member:
    """A name and its value in an object."""

    name: str
    start: int
    """Where the name's opening quote stands."""
    node: Node

    @property
    def end(self) -> int:
        """Behind the value."""
        return self.node.end


def parse(text: str) -> Node:
    """The document. A byte order mark may stand before it.

    Raises `UsageError`, which tells line and column, for what OpenCode would not read either.
    """
    parser = _Parser(text)
    node = parser.value(parser.skip(1 if text.startswith("\ufeff") else 0), 0)
    rest = parser.skip(node.end)
    if rest < len(text):
        raise parser.error(rest, "the end of the file")
    return node


def skip(text: str, at: int) -> int:
    """Behind white space and comments."""
    match = _SPACE.match(text, at)
    return at if match is None else match.end()


def _whole(digits: str) -> int | float:
    """Of thousands of digits Python makes no number; to OpenCode, too, they are infinite."""
    try:
        return int(digits)
    except ValueError:
        return float(digits)


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text

    def skip(self, at: int) -> int:
        return skip(self.text, at)

    def error(self, at: int, wanted: str) -> UsageError:
        line = self.text.count("\n", 0, at) + 1
        column = at - self.text.rfind("\n", 0, at)
        found = repr(self.text[at]) if at < len(self.text) else "the end of the file"
        return UsageError(f"line {line}, column {column}: expected {wanted}, found {found}")

    def value(self, at: int, depth: int) -> Node:
        if depth > DEPTH_MAX:
            raise self.error(at, f"at most {DEPTH_MAX} levels")
        if match := _SCALAR.match(self.text, at):
            return Node(at, match.end(), json.loads(match[0], parse_int=_whole))
        if match := _VARIABLE.match(self.text, at):
            return Node(at, match.end(), match[0])
        if self.text.startswith("{", at):
            members: list[Member] = []
            end = self._list(at, "}", lambda place: self._member(place, depth, members))
            return Node(at, end, {member.name: member.node.value for member in members}, members=tuple(members))
        if self.text.startswith("[", at):
            items: list[Node] = []
            end = self._list(at, "]", lambda place: self._item(place, depth, items))
            return Node(at, end, [item.value for item in items], items=tuple(items))
        raise self.error(at, "a value")

    def _list(self, at: int, closing: str, element: Callable[[int], int]) -> int:
        """Elements between commas, of which one may stand behind the last; returns what is behind the list."""
        at = self.skip(at + 1)
        while not self.text.startswith(closing, at):
            at = self.skip(element(at))
            if self.text.startswith(",", at):
                at = self.skip(at + 1)
            elif not self.text.startswith(closing, at):
                raise self.error(at, f"',' or {closing!r}")
        return at + 1

    def _item(self, at: int, depth: int, items: list[Node]) -> int:
        items.append(self.value(at, depth + 1))
        return items[-1].end

    def _member(self, at: int, depth: int, members: list[Member]) -> int:
        match = _SCALAR.match(self.text, at)
        if match is None or match[0][0] != '"':
            raise self.error(at, "a name in quotation marks")
        colon = self.skip(match.end())
        if not self.text.startswith(":", colon):
            raise self.error(colon, "':'")
        members.append(Member(json.loads(match[0]), at, self.value(self.skip(colon + 1), depth + 1)))
        return members[-1].end
