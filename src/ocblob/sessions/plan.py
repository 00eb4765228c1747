"""Which trees of sessions go, in which order, and because of which limit. Pure: facts in, a plan out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from ocblob.databases.session_rows import SessionFacts
from ocblob.sessions.limits import RetainLimits
from ocblob.sessions.trees import Tree, forest


class Limit(StrEnum):
    """A limit that may be exceeded, in the order they are looked at."""

    AGE = "max-age"
    SESSIONS = "max-sessions"
    SIZE = "max-size"


class Protection(StrEnum):
    """Why a tree never goes; the first that holds is told."""

    KEPT = "kept"
    SHARED = "shared"
    UNDATED = "undated"
    """A time of one of its sessions is not known."""
    ACTIVE = "active"
    """Used, or brought back from a mirror, within the time to keep, or in the future."""


@dataclass(frozen=True, slots=True)
class Totals:
    """How much there is of sessions."""

    trees: int
    sessions: int
    rows: int
    size: int
    """Bytes of content."""

    def less(self, other: "Totals") -> "Totals":
        """What is left without the other."""
        return Totals(
            self.trees - other.trees,
            self.sessions - other.sessions,
            self.rows - other.rows,
            self.size - other.size,
        )


@dataclass(frozen=True, slots=True)
class Eviction:
    """A tree that goes."""

    tree: Tree
    limit: Limit
    """What it exceeds."""


@dataclass(frozen=True, slots=True)
class Protected:
    """Trees that stay for one reason, over a limit or not."""

    reason: Protection
    trees: int
    sessions: int
    size: int


@dataclass(frozen=True, slots=True)
class Missed:
    """A limit that does not hold, as what exceeds it is protected."""

    limit: Limit
    allowed: float
    """Bytes, seconds, or trees."""
    remains: float
    """In the same; of ages the highest."""
    trees: int
    """Trees that are too old, or too many; of a size, those that are left."""


@dataclass(frozen=True, slots=True)
class RetainPlan:
    """What a retention does to a database."""

    now_ms: int
    limits: RetainLimits
    evictions: tuple[Eviction, ...]
    """The oldest first."""
    protected: tuple[Protected, ...]
    before: Totals
    after: Totals
    missed: tuple[Missed, ...]
    unknown_keep: tuple[str, ...]
    """Sessions to keep that are not there."""

    @property
    def leaving(self) -> Totals:
        """What goes."""
        return self.before.less(self.after)

    @property
    def complete(self) -> bool:
        """Whether every limit holds afterwards."""
        return not self.missed


def plan_retain(
    facts: Iterable[SessionFacts],
    limits: RetainLimits,
    *,
    now_ms: int,
    pulled: Mapping[str, int] = MappingProxyType({}),
) -> RetainPlan:
    """The oldest trees go, whole, until every limit holds or only protected ones are left.

    What is too old goes in any case, then what is too many, then what is too large. Of two trees of one time the one
    whose root has the lesser id goes first. `pulled` tells when sessions came back from a mirror:
    they are in use since.
    """
    limits.check()
    trees = forest(facts)
    keep = frozenset(limits.keep)
    guarded = {tree.root: reason for tree in trees if (reason := _protection(tree, keep, limits, now_ms, pulled))}
    before = _totals(trees)
    count, size = before.trees, before.size
    evictions: list[Eviction] = []
    for tree in sorted((tree for tree in trees if tree.root not in guarded), key=lambda tree: _order(tree, limits)):
        limit = _exceeded(tree, limits, now_ms=now_ms, trees=count, size=size)
        if limit is None:
            break
        evictions.append(Eviction(tree, limit))
        count, size = count - 1, size - tree.size
    gone = {eviction.tree.root for eviction in evictions}
    left = [tree for tree in trees if tree.root not in gone]
    after = _totals(left)
    return RetainPlan(
        now_ms,
        limits,
        tuple(evictions),
        tuple(
            _protected(reason, [tree for tree in trees if guarded.get(tree.root) is reason])
            for reason in _told(guarded)
        ),
        before,
        after,
        missed_limits(left, limits, now_ms=now_ms),
        tuple(sorted(keep - {session for tree in trees for session in tree.sessions})),
    )


def missed_limits(left: list[Tree], limits: RetainLimits, *, now_ms: int) -> tuple[Missed, ...]:
    """The limits that do not hold for trees that stay. A tree without a time is not taken for an old one."""
    missed = []
    ages = [age for tree in left if (age := _age_s(tree, limits, now_ms)) is not None]
    if limits.max_age_s is not None and (old := [age for age in ages if age > limits.max_age_s]):
        missed.append(Missed(Limit.AGE, limits.max_age_s, max(old), len(old)))
    if limits.max_sessions is not None and len(left) > limits.max_sessions:
        missed.append(Missed(Limit.SESSIONS, limits.max_sessions, len(left), len(left) - limits.max_sessions))
    size = sum(tree.size for tree in left)
    if limits.max_size is not None and size > limits.max_size:
        missed.append(Missed(Limit.SIZE, limits.max_size, size, len(left)))
    return tuple(missed)


def _protection(
    tree: Tree, keep: frozenset[str], limits: RetainLimits, now_ms: int, pulled: Mapping[str, int]
) -> Protection | None:
    if not keep.isdisjoint(tree.sessions):
        return Protection.KEPT
    if tree.shared:
        return Protection.SHARED
    if not tree.dated or tree.used_ms is None:
        return Protection.UNDATED
    # A clock that was wrong once must not cost a session: what was used in the future is in use.
    used_ms = max([tree.used_ms, *(pulled[session] for session in tree.sessions if session in pulled)])
    return Protection.ACTIVE if used_ms > now_ms - limits.keep_active_s * 1000 else None


def _exceeded(tree: Tree, limits: RetainLimits, *, now_ms: int, trees: int, size: int) -> Limit | None:
    """The limit that a tree must go for while there are so many trees of that size; None if they all hold."""
    age = _age_s(tree, limits, now_ms)
    if limits.max_age_s is not None and age is not None and age > limits.max_age_s:
        return Limit.AGE
    if limits.max_sessions is not None and trees > limits.max_sessions:
        return Limit.SESSIONS
    return Limit.SIZE if limits.max_size is not None and size > limits.max_size else None


def _time_ms(tree: Tree, limits: RetainLimits) -> int | None:
    return tree.created_ms if limits.by == "created" else tree.used_ms


def _age_s(tree: Tree, limits: RetainLimits, now_ms: int) -> float | None:
    time = _time_ms(tree, limits)
    return None if time is None else (now_ms - time) / 1000


def _order(tree: Tree, limits: RetainLimits) -> tuple[int, str]:
    return _time_ms(tree, limits) or 0, tree.root


def _told(guarded: dict[str, Protection]) -> list[Protection]:
    return [reason for reason in Protection if reason in set(guarded.values())]


def _protected(reason: Protection, trees: list[Tree]) -> Protected:
    totals = _totals(trees)
    return Protected(reason, totals.trees, totals.sessions, totals.size)


def _totals(trees: list[Tree]) -> Totals:
    return Totals(
        len(trees),
        sum(len(tree.sessions) for tree in trees),
        sum(tree.rows for tree in trees),
        sum(tree.size for tree in trees),
    )
