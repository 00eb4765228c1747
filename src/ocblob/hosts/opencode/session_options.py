"""What a file of OpenCode's configuration says about the retention of sessions, and in which line.

It stands in the options of our plugin's entry, or in an object `session` at the top, which needs no plugin: OpenCode
drops keys that it does not know.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ocblob.errors import UsageError
from ocblob.hosts.opencode.configuration import own_options
from ocblob.hosts.opencode.jsonc import Member, Node, parse

SESSION: Final = "session"


@dataclass(frozen=True, slots=True)
class Written:
    """A name and its value."""

    name: str
    value: Any
    line: int
    """Counted from 1."""


@dataclass(frozen=True, slots=True)
class SessionOptions:
    """What one file says."""

    plugin: tuple[Written, ...] | None
    """Of our entry, the last one of the file; None if the file has none."""
    session: tuple[Written, ...]


def session_options(text: str, directory: Path) -> SessionOptions:
    """What a file's text says; relative paths of plugins begin in `directory`.

    Raises `UsageError` that names the line for what OpenCode would not read, for a `session` that is no object, and for
    a name that stands there twice.
    """
    root = parse(text)
    if not isinstance(root.value, dict):
        raise UsageError("it is no JSON object")
    _refuse_twice(text, (each for each in root.members if each.name == SESSION))
    member = root.member(SESSION)
    if member is not None and not isinstance(member.node.value, dict | None):
        raise UsageError(f"line {_line(text, member.start)}: {SESSION} must be an object, found {member.node.value!r}")
    options = own_options(root, directory)
    return SessionOptions(
        None if options is None else _written(text, options), () if member is None else _written(text, member.node)
    )


def _written(text: str, node: Node) -> tuple[Written, ...]:
    """What its members say. `null` is as good as nothing."""
    _refuse_twice(text, node.members)
    return tuple(
        Written(member.name, member.node.value, _line(text, member.start))
        for member in node.members
        if member.node.value is not None
    )


def _refuse_twice(text: str, members: Iterable[Member]) -> None:
    """OpenCode takes the last one; but what the other one keeps would go."""
    seen = set[str]()
    for member in members:
        if member.name in seen:
            raise UsageError(f"line {_line(text, member.start)}: {member.name} stands here for the second time")
        seen.add(member.name)


def _line(text: str, at: int) -> int:
    return text.count("\n", 0, at) + 1
