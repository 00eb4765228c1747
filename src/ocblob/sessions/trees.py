"""Sessions as trees: one that was begun by another belongs to it, and goes or stays with it.

A parent that is not there makes a root of its child. Sessions that are each other's parents are one tree.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Final

from ocblob.databases.session_rows import SessionFacts

TITLE_CHARS: Final = 200
"""More of a title is not kept: all trees are held at once."""


@dataclass(frozen=True, slots=True)
class Tree:
    """A session with all its descendants."""

    root: str
    title: str
    """The root's."""
    sessions: tuple[str, ...]
    """Ids, the root first, a parent before its children."""
    created_ms: int | None
    """When the root began."""
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
    children: dict[str, list[str]] = {}
    for session in sorted(known):
        if known[session].parent in known:
            children.setdefault(known[session].parent, []).append(session)
    seen: set[str] = set()
    trees = [
        _tree(known, _descend(root, children, seen)) for root, each in sorted(known.items()) if each.parent not in known
    ]
    # What no root leads to hangs on a cycle.
    trees += [
        _tree(known, _descend(_begun_first(session, known), children, seen))
        for session in sorted(known)
        if session not in seen
    ]
    return sorted(trees, key=lambda tree: tree.root)


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
    return Tree(
        root.id,
        root.title,
        tuple(sessions),
        root.created_ms,
        max((time for each in members for time in (each.used_ms, each.created_ms) if time is not None), default=None),
        sum(each.size for each in members),
        sum(each.rows for each in members),
        shared=any(each.shared for each in members),
        dated=all(each.created_ms is not None and each.used_ms is not None for each in members),
    )
