"""Sessions as trees: one that was begun by another belongs to it, and goes or stays with it.

A parent that is not there makes a root of its child. Sessions that are each other's parents are one tree.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from ocblob.databases.session_rows import SessionFacts

TITLE_CHARS: Final = 200
"""More of a title is not kept: all trees are held at once."""
EARLIEST_MS: Final = 10**11
"""1973. What is less counts no milliseconds, but seconds or nothing: who took it for old would drop what is in use."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A session with all its descendants."""

    root: str
    title: str
    """The root's."""
    sessions: tuple[str, ...]
    """Ids, the root first, a parent before its children."""
    created_ms: int | None
    """When the root began; None if that is not known."""
    used_ms: int | None
    """The latest activity in any of them, its beginning too; None if none is known."""
    size: int
    """Bytes of content of all rows."""
    rows: int
    shared: bool
    """Whether any of them is."""
    dated: bool
    """Whether both times of every one of them are known."""


def forest(facts: Iterable[SessionFacts]) -> list[Tree]:
    """Every session in exactly one tree, ordered by the roots' ids, whatever the order of the facts."""
    known = {each.id: each if len(each.title) <= TITLE_CHARS else _shortened(each) for each in facts}
    children = _children({each.id: each.parent for each in known.values()})
    below = {child for siblings in children.values() for child in siblings}
    seen: set[str] = set()
    trees = [_tree(known, _descend(root, children, seen)) for root in sorted(known.keys() - below)]
    # What no root leads to hangs on a cycle.
    trees += [
        _tree(known, _descend(_begun_first(session, known), children, seen))
        for session in sorted(known)
        if session not in seen
    ]
    return sorted(trees, key=lambda tree: tree.root)


def descendants(sessions: Iterable[str], parents: Mapping[str, str]) -> set[str]:
    """These, and all that hang below them; `parents` has the parent of every session, empty for none."""
    children = _children(parents)
    seen: set[str] = set()
    for session in sessions:
        _descend(session, children, seen)
    return seen


def _children(parents: Mapping[str, str]) -> dict[str, list[str]]:
    """Of each session those that it has begun, as far as it is there itself."""
    # Nobody's child is no child of a session with an empty id.
    there = parents.keys() - {""}
    children: dict[str, list[str]] = {}
    for session in sorted(parents):
        if parents[session] in there:
            children.setdefault(parents[session], []).append(session)
    return children


def _shortened(facts: SessionFacts) -> SessionFacts:
    return replace(facts, title=facts.title[:TITLE_CHARS])


def _descend(root: str, children: dict[str, list[str]], seen: set[str]) -> list[str]:
    found = [root]
    seen.add(root)
    for session in found:  # it grows meanwhile: no recursion, a chain may be as long as there are sessions
        for child in children.get(session, ()):
            if child not in seen:
                seen.add(child)
                found.append(child)
    return found


def _begun_first(session: str, known: dict[str, SessionFacts]) -> str:
    """Of the cycle that a session is on or below, the one that began first."""
    upwards = set[str]()
    while session not in upwards:
        upwards.add(session)
        session = known[session].parent
    return min(_around(session, known), key=lambda each: (known[each].created_ms or 0, each))


def _around(session: str, known: dict[str, SessionFacts]) -> Iterator[str]:
    yield session
    after = known[session].parent
    while after != session:
        yield after
        after = known[after].parent


def _tree(known: dict[str, SessionFacts], sessions: list[str]) -> Tree:
    root = known[sessions[0]]
    members = [known[session] for session in sessions]
    times = [[_time(each.used_ms), _time(each.created_ms)] for each in members]
    return Tree(
        root.id,
        root.title,
        tuple(sessions),
        _time(root.created_ms),
        max((time for both in times for time in both if time is not None), default=None),
        sum(each.size for each in members),
        sum(each.rows for each in members),
        shared=any(each.shared for each in members),
        dated=not any(time is None for both in times for time in both),
    )


def _time(time_ms: int | None) -> int | None:
    return None if time_ms is None or time_ms < EARLIEST_MS else time_ms
