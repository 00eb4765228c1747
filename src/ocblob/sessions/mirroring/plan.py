"""Which sessions a mirror looks at: those that are not as they were when they were mirrored, by what surveys tell.

No content is read for that, and the sessions that are left are only counted.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from ocblob.cells import SessionTree
from ocblob.databases.mirror_rows import MirroredSession
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import SessionFacts
from ocblob.errors import OcblobError
from ocblob.sessions.trees import descendants, forest


@dataclass(frozen=True, slots=True)
class Recorded:
    """What the target's record says of a session."""

    origin: str
    used_ms: int | None
    """When it had been used last in its source."""

    @classmethod
    def of(cls, record: MirroredSession) -> "Recorded":
        """The same of a whole record."""
        return cls(record.origin, record.source_used_ms)

    def is_older(self, facts: SessionFacts) -> bool:
        """Whether the source has used it since."""
        return facts.used_ms is not None and (self.used_ms is None or self.used_ms < facts.used_ms)

    def is_newer(self, facts: SessionFacts) -> bool:
        """Whether the source has an older state of it: a backup, say, or what a deletion has left."""
        return self.used_ms is not None and (facts.used_ms is None or self.used_ms > facts.used_ms)


@dataclass(frozen=True, slots=True)
class MirrorPlan:
    """What a mirror is about to look at."""

    sessions: tuple[SessionFacts, ...]
    """A parent before its children."""
    skipped: int
    """Sessions that are as they were."""
    recorded: Mapping[str, Recorded]
    """Of each of these sessions that the target has a record of."""
    columns: Mapping[str, Mapping[str, tuple[str, ...]]]
    """Of each of these sessions that the source has a record of, the columns that its tables had."""

    def without(self, sessions: Collection[str]) -> "MirrorPlan":
        """The same, but for some sessions."""
        return replace(self, sessions=tuple(each for each in self.sessions if each.id not in sessions))

    @property
    def rows(self) -> int:
        """In every table."""
        return sum(each.rows for each in self.sessions)

    @property
    def size(self) -> int:
        """Bytes of their contents in the source."""
        return sum(each.size for each in self.sessions)


def plan_mirror(  # noqa: PLR0913
    source: HostDatabase,
    target: HostDatabase | None,
    tree: SessionTree,
    *,
    origin: str,
    sessions: Collection[str] = (),
    verify: bool = False,
) -> MirrorPlan:
    """The sessions with these ids and their descendants, all if none is named, that may have changed.

    With `verify` all of them. `origin` is what records call the source. Without a target nothing is there yet. Raises
    `OcblobError` for an id that is not there.
    """
    facts = {each.id: each for each in source.survey(tree)}
    if missing := sorted(set(sessions) - facts.keys()):
        raise OcblobError(f"there is no session {', '.join(missing)}")
    parents = {each.id: each.parent for each in facts.values()}
    wanted = descendants(sessions, parents) if sessions else facts.keys()
    past = _past(source, target, tree, facts.keys())
    in_order = (facts[session] for found in forest(facts.values()) for session in found.sessions if session in wanted)
    going = tuple(each for each in in_order if verify or not past.had(each, origin))
    recorded = {
        each.id: Recorded(past.origins[each.id], past.recorded[each.id][2]) for each in going if each.id in past.origins
    }
    return MirrorPlan(going, len(wanted) - len(going), recorded, _columns(source, {each.id for each in going}))


def common_tree(tree: SessionTree, target: HostDatabase) -> SessionTree:
    """The tables of a tree that a database has."""
    there = target.tables()
    return replace(tree, owned=tuple(owned for owned in tree.owned if owned.table in there))


def _columns(source: HostDatabase, sessions: Collection[str]) -> dict[str, Mapping[str, tuple[str, ...]]]:
    """Most sessions have the same, which are held once."""
    same: dict[tuple[tuple[str, tuple[str, ...]], ...], Mapping[str, tuple[str, ...]]] = {}
    return {
        each.session: same.setdefault(tuple(sorted(each.columns.items())), each.columns)
        for each in source.records()
        if each.session in sessions
    }


_Known = tuple[int, int, int | None]
"""Rows, bytes and time of a session, as a survey tells them."""


@dataclass(slots=True)
class _Past:
    """What was mirrored before. Memory: a few numbers for each session."""

    origins: dict[str, str] = field(default_factory=dict)
    recorded: dict[str, _Known] = field(default_factory=dict)
    """By the target's records: of the source as it was."""
    there: dict[str, _Known] = field(default_factory=dict)
    """In a target that keeps no records: of the target as it is."""
    came_from: dict[str, _Known] = field(default_factory=dict)
    """By the source's own records: of what its sessions came from. There they were larger."""

    def had(self, facts: SessionFacts, origin: str) -> bool:
        """Whether a session is in the target as it is in the source, as far as numbers tell."""
        known = _known(facts)
        if facts.id in self.origins:
            return self.origins[facts.id] == origin and self.recorded[facts.id] == known
        if facts.id not in self.there:
            return False
        rows, size, used_ms = self.came_from.get(facts.id, known)
        # A row that somebody has written in a mirror itself shows in the others.
        return (rows, used_ms) == (facts.rows, facts.used_ms) and self.there[facts.id] == (rows, size, used_ms)


def _past(source: HostDatabase, target: HostDatabase | None, tree: SessionTree, sessions: Collection[str]) -> _Past:
    """Of these sessions: a target may have any number of others."""
    past = _Past()
    if target is None:
        return past
    if not target.keeps_records:
        surveyed = target.survey(common_tree(tree, target))
        past.there = {each.id: _known(each) for each in surveyed if each.id in sessions}
        past.came_from = {
            each.session: (each.source_rows, each.source_size, each.source_used_ms) for each in source.records()
        }
        return past
    names = dict[str, str]()
    for each in target.records():
        if each.session not in sessions:
            continue
        past.origins[each.session] = names.setdefault(each.origin, each.origin)
        past.recorded[each.session] = (each.source_rows, each.source_size, each.source_used_ms)
    return past


def _known(facts: SessionFacts) -> _Known:
    return facts.rows, facts.size, facts.used_ms


def groups(facts: Iterable[SessionFacts], *, rows: int, size: int) -> Iterable[tuple[SessionFacts, ...]]:
    """The same sessions in their order, some at a time: up to so many rows and bytes together, or one."""
    group, held, held_bytes = list[SessionFacts](), 0, 0
    for each in facts:
        if group and (held + each.rows > rows or held_bytes + each.size > size):
            yield tuple(group)
            group, held, held_bytes = [], 0, 0
        group.append(each)
        held, held_bytes = held + each.rows, held_bytes + each.size
    if group:
        yield tuple(group)
