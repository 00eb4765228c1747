import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ocblob.databases.session_rows import SessionFacts
from ocblob.errors import UsageError
from ocblob.sessions.limits import AGE_MAX_S, DAY_S, RetainLimits
from ocblob.sessions.plan import Limit, Missed, Protection, RetainPlan, Totals, plan_retain
from ocblob.sessions.trees import forest

NOW_MS = 1_900_000_000_000
DAY_MS = 86_400_000
MB = 1_000_000
MANY = 10_000
HOLDS = RetainLimits(max_sessions=10**9)


def fact(name: str, days: float | None = 10, **more: Any) -> SessionFacts:
    """A session of 1 MB in ten rows that began, and was used last, so many days ago."""
    time_ms = None if days is None else NOW_MS - int(days * DAY_MS)
    return replace(SessionFacts(name, "", f"about {name}", time_ms, time_ms, MB, 10, shared=False), **more)


def plan(facts: Sequence[SessionFacts], **limits: Any) -> RetainPlan:
    """The plan for these limits."""
    return plan_retain(facts, RetainLimits(**limits), now_ms=NOW_MS)


def gone(plan: RetainPlan) -> list[str]:
    """The roots of what goes, in its order."""
    return [eviction.tree.root for eviction in plan.evictions]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (RetainLimits(), "nothing to do: name a limit"),
        (RetainLimits(max_size=0), "a maximum size of 0 bytes: 1.0 MB at least"),
        (RetainLimits(max_size=-1), "a maximum size of -1 bytes"),
        (RetainLimits(max_size=999_999), "a maximum size of 999999 bytes"),
        (RetainLimits(max_size=2**63), "no more than any disk holds"),
        (RetainLimits(max_age_s=0), "a maximum age of 0 s: 1 h at least"),
        (RetainLimits(max_age_s=3599.9), "a maximum age of 3599.9 s"),
        (RetainLimits(max_age_s=-86400), "a maximum age of -86400 s"),
        (RetainLimits(max_age_s=math.nan), "a maximum age of nan s"),
        (RetainLimits(max_age_s=math.inf), "a maximum age of inf s"),
        (RetainLimits(max_age_s=AGE_MAX_S + 1), "100 years at most"),
        (RetainLimits(max_sessions=0), "a maximum of 0 sessions: 1 at least"),
        (RetainLimits(max_sessions=-3), "a maximum of -3 sessions"),
        (RetainLimits(max_sessions=10**9 + 1), "1,000,000,000 at most"),
        (RetainLimits(max_sessions=5, keep_active_s=-1), "to keep what was active within -1 s: 0 at least"),
        (RetainLimits(max_sessions=5, keep_active_s=math.nan), "to keep what was active within nan s"),
        (RetainLimits(max_sessions=5, keep_active_s=AGE_MAX_S + 1), "100 years at most"),
        (RetainLimits(max_sessions=5, by="title"), "not by 'title'"),  # type: ignore[arg-type]
        (RetainLimits(max_sessions=5, keep=("ses_1", "")), "a session to keep has an empty id"),
    ],
)
def test_limits_that_cannot_be_meant_are_refused(limits: RetainLimits, words: str) -> None:
    """A limit of nothing, below nothing, that is no number, or beyond all sense, is an error and never a plan."""
    with pytest.raises(UsageError, match=words):
        limits.check()
    with pytest.raises(UsageError, match=words):
        plan_retain([fact("a")], limits, now_ms=NOW_MS)


def test_the_smallest_and_largest_limits_can_be_meant() -> None:
    """The bounds themselves are allowed, and nothing needs to be active."""
    RetainLimits(max_size=10**6, max_age_s=3600, max_sessions=1, keep_active_s=0).check()
    RetainLimits(max_size=2**62, max_age_s=AGE_MAX_S, max_sessions=10**9, keep_active_s=AGE_MAX_S).check()


def test_what_is_too_old_goes_and_nothing_else() -> None:
    """A limit of age alone takes every older session, the oldest first."""
    done = plan([fact("a", 31), fact("b", 29), fact("c", 90), fact("d", 30)], max_age_s=30 * DAY_S)

    assert ["c", "a"] == gone(done)
    assert [Limit.AGE, Limit.AGE] == [eviction.limit for eviction in done.evictions]
    assert done.complete


def test_the_oldest_go_until_there_are_few_enough() -> None:
    """A limit of sessions counts trees, not the children in them."""
    facts = [fact("a", 40), fact("a1", 40, parent="a"), fact("b", 30), fact("c", 20), fact("c1", 19, parent="c")]

    assert ["a"] == gone(plan(facts, max_sessions=2))
    assert [] == gone(plan(facts, max_sessions=3))


def test_the_oldest_go_until_the_rest_is_small_enough() -> None:
    """A limit of size stops as soon as it holds, by what each tree really frees."""
    facts = [fact("a", 40, size=3 * MB), fact("b", 30, size=MB), fact("c", 20, size=2 * MB)]

    assert ["a"] == gone(plan(facts, max_size=3 * MB))
    assert ["a", "b"] == gone(plan(facts, max_size=3 * MB - 1))
    assert Totals(1, 1, 10, 2 * MB) == plan(facts, max_size=2 * MB).after


def test_limits_work_together() -> None:
    """What one limit has taken counts for the next ones; each eviction names the one that asked for it."""
    facts = [fact("a", 90), fact("b", 50), fact("c", 40), fact("d", 30, size=5 * MB), fact("e", 20)]
    done = plan(facts, max_age_s=60 * DAY_S, max_sessions=3, max_size=6 * MB)

    assert [("a", Limit.AGE), ("b", Limit.SESSIONS), ("c", Limit.SIZE)] == [
        (eviction.tree.root, eviction.limit) for eviction in done.evictions
    ]


def test_age_goes_by_when_it_began_or_by_the_last_use_of_the_whole_tree() -> None:
    """By `used` a tree is as young as the latest activity of any session in it."""
    old, child = fact("a", 90, used_ms=NOW_MS - 80 * DAY_MS), fact("a1", 20, parent="a")

    assert ["a"] == gone(plan([old, child], max_age_s=60 * DAY_S))
    assert [] == gone(plan([old, child], max_age_s=60 * DAY_S, by="used"))
    assert ["a"] == gone(plan([old, child], max_age_s=15 * DAY_S, by="used"))


def test_order_goes_by_the_same_time_as_age() -> None:
    """The session that began first is not the one that was used first."""
    facts = [fact("a", 90, used_ms=NOW_MS - 10 * DAY_MS), fact("b", 50)]

    assert ["a"] == gone(plan(facts, max_sessions=1))
    assert ["b"] == gone(plan(facts, max_sessions=1, by="used"))


@pytest.mark.parametrize(
    ("more", "limits", "reason"),
    [
        ({"shared": True}, {}, Protection.SHARED),
        ({}, {"keep": ("a1",)}, Protection.KEPT),
        ({"created_ms": None}, {}, Protection.UNDATED),
        ({"used_ms": None}, {}, Protection.UNDATED),
        ({"created_ms": 0}, {}, Protection.UNDATED),
        ({"used_ms": NOW_MS // 1000}, {}, Protection.UNDATED),
        ({"used_ms": NOW_MS - 6 * DAY_MS}, {}, Protection.ACTIVE),
        ({"used_ms": NOW_MS - 20 * DAY_MS}, {"keep_active_s": 21.0 * DAY_S}, Protection.ACTIVE),
        ({"used_ms": NOW_MS + DAY_MS}, {"keep_active_s": 0.0}, Protection.ACTIVE),
        ({"created_ms": NOW_MS + DAY_MS}, {"keep_active_s": 0.0}, Protection.ACTIVE),
        ({"shared": True, "used_ms": None}, {"keep": ("a1",)}, Protection.KEPT),
    ],
)
def test_one_protected_session_protects_its_tree(more: Any, limits: Any, reason: Protection) -> None:
    """What holds for a child keeps its parent and its sisters too; the next in age goes in its place."""
    facts = [fact("a", 90), fact("a1", 90, parent="a", **more), fact("a2", 90, parent="a"), fact("b", 50)]
    done = plan(facts, max_sessions=1, **limits)

    assert ["b"] == gone(done)
    assert [(reason, 1, 3, 3 * MB)] == [(each.reason, each.trees, each.sessions, each.size) for each in done.protected]


def test_nothing_needs_to_be_active() -> None:
    """With `--keep-active 0` a session that was used a moment ago may go."""
    assert ["a"] == gone(plan([fact("a", 0), fact("b", -0.0)], max_sessions=1, keep_active_s=0.0))


def test_limits_that_protected_trees_stand_against_are_told() -> None:
    """Each limit that does not hold says what remains; those that hold say nothing."""
    facts = [fact("a", 90, shared=True, size=8 * MB), fact("b", 80, shared=True), fact("c", 50), fact("d", 40)]
    done = plan(facts, max_age_s=60 * DAY_S, max_sessions=2, max_size=2 * MB)

    assert ["c", "d"] == gone(done)
    assert not done.complete
    assert (
        Missed(Limit.AGE, 60 * DAY_S, 90 * DAY_S, 2),
        Missed(Limit.SIZE, 2 * MB, 9 * MB, 2),
    ) == done.missed


def test_sessions_to_keep_that_are_not_there_are_told() -> None:
    """An id that was mistyped would not keep what was meant."""
    assert ("ses_typo",) == plan(
        [fact("a"), fact("a1", parent="a")], max_sessions=1, keep=("a1", "ses_typo")
    ).unknown_keep


def test_a_lost_parent_makes_a_root() -> None:
    """A child whose parent is not there is a tree of its own."""
    assert ["a", "b"] == [tree.root for tree in forest([fact("a", parent="nobody"), fact("b")])]


def test_a_session_with_an_empty_id_is_nobodys_parent() -> None:
    """An empty id stands for no parent: it must not make one tree of all sessions."""
    assert ["", "a", "b"] == [tree.root for tree in forest([fact(""), fact("a"), fact("b", parent="")])]


def test_a_cycle_is_one_tree() -> None:
    """Each other's parents go together, with what hangs below them; the one that began first is the root."""
    facts = [
        fact("a", 10, parent="c"),
        fact("b", 12, parent="a"),
        fact("c", 11, parent="b"),
        fact("below", 90, parent="c"),
        fact("self", 5, parent="self"),
    ]
    trees = forest(facts)

    assert [("b", {"a", "b", "c", "below"}), ("self", {"self"})] == [(tree.root, set(tree.sessions)) for tree in trees]


def test_a_long_chain_is_one_tree() -> None:
    """Depth costs no recursion; a parent comes before its child."""
    facts = [fact(f"{number:05}", parent=f"{number - 1:05}") for number in range(MANY)]
    random.Random(1).shuffle(facts)
    (tree,) = forest(facts)

    assert tuple(f"{number:05}" for number in range(MANY)) == tree.sessions
    assert (MANY * MB, MANY * 10) == (tree.size, tree.rows)


IDS = st.sampled_from("abcdefgh")
TIMES = st.one_of(st.none(), st.integers(-1, 12).map(lambda days: NOW_MS - days * DAY_MS))


@st.composite
def sessions(draw: st.DrawFn) -> list[SessionFacts]:
    """A few sessions with parents of every kind: none, there, not there, in a circle."""
    ids = draw(st.lists(IDS, unique=True))
    return [
        SessionFacts(
            name,
            draw(st.one_of(st.just(""), IDS)),
            "",
            draw(TIMES),
            draw(TIMES),
            draw(st.integers(1, 4)) * MB,
            draw(st.integers(1, 3)),
            shared=draw(st.integers(0, 9)) == 0,
        )
        for name in ids
    ]


@st.composite
def some_limits(draw: st.DrawFn) -> RetainLimits:
    """At least one limit."""
    limits = RetainLimits(
        draw(st.one_of(st.none(), st.integers(1, 12).map(lambda size: size * MB))),
        draw(st.one_of(st.none(), st.integers(1, 12).map(lambda days: float(days * DAY_S)))),
        draw(st.one_of(st.none(), st.integers(1, 6))),
        draw(st.sampled_from(("created", "used"))),
        draw(st.integers(0, 5)) * float(DAY_S),
        tuple(draw(st.sets(IDS, max_size=1))),
    )
    return limits if limits.given else replace(limits, max_sessions=1)


def families(facts: list[SessionFacts]) -> list[set[str]]:
    """The model: sessions that parents connect, by joining sets until nothing changes."""
    sets = [{each.id} for each in facts]
    for each in facts:
        joined = [members for members in sets if members & {each.id, each.parent}]
        sets = [members for members in sets if members not in joined] + [set().union(*joined)]
    return sets


@dataclass(frozen=True)
class Model:
    """What a plan must be, found by looking at everything anew before each single eviction."""

    facts: list[SessionFacts]
    limits: RetainLimits

    @cached_property
    def _known(self) -> dict[str, SessionFacts]:
        return {each.id: each for each in self.facts}

    def evictions(self) -> list[tuple[str, Limit]]:
        """Root and limit of each, in their order."""
        left = families(self.facts)
        taken: list[tuple[str, Limit]] = []
        while candidates := [members for members in left if self._may_go(members)]:
            oldest = min(candidates, key=lambda members: (self._when(members), self._root(members)))
            limit = self._exceeded(oldest, left)
            if limit is None:
                break
            taken.append((self._root(oldest), limit))
            left.remove(oldest)
        return taken

    def _exceeded(self, oldest: set[str], left: list[set[str]]) -> Limit | None:
        limits, size = self.limits, sum(self._known[name].size for members in left for name in members)
        if limits.max_age_s is not None and NOW_MS - self._when(oldest) > limits.max_age_s * 1000:
            return Limit.AGE
        if limits.max_sessions is not None and len(left) > limits.max_sessions:
            return Limit.SESSIONS
        return Limit.SIZE if limits.max_size is not None and size > limits.max_size else None

    def _root(self, members: set[str]) -> str:
        heads = [name for name in members if self._known[name].parent not in members]
        circle = heads or [name for name in members if self._on_circle(name)]
        return min(circle, key=lambda name: (self._known[name].created_ms or 0, name))

    def _on_circle(self, name: str) -> bool:
        at = name
        for _ in self._known:
            at = self._known[at].parent
            if at == name:
                return True
        return False

    def _used(self, members: set[str]) -> int:
        return max(max(self._known[name].used_ms or 0, self._known[name].created_ms or 0) for name in members)

    def _when(self, members: set[str]) -> int:
        return self._used(members) if self.limits.by == "used" else self._known[self._root(members)].created_ms or 0

    def _may_go(self, members: set[str]) -> bool:
        dated = all(
            self._known[name].created_ms is not None and self._known[name].used_ms is not None for name in members
        )
        shared = any(self._known[name].shared for name in members)
        active = NOW_MS - self._used(members) < self.limits.keep_active_s * 1000
        return dated and not shared and not active and not members & set(self.limits.keep)


@given(sessions(), some_limits(), st.randoms(use_true_random=False))
@example([fact("a", 9, parent="b"), fact("b", 8, parent="a")], RetainLimits(max_sessions=1), random.Random(0))
def test_the_plan_is_that_of_the_model(facts: list[SessionFacts], limits: RetainLimits, order: random.Random) -> None:
    """Whole trees, the oldest first, none of them protected, no more than needed, whatever the order of the facts."""
    done = plan_retain(facts, limits, now_ms=NOW_MS)
    shuffled = list(facts)
    order.shuffle(shuffled)
    evicted = {session for eviction in done.evictions for session in eviction.tree.sessions}
    parents = {each.id: each.parent for each in facts}

    assert Model(facts, limits).evictions() == [(eviction.tree.root, eviction.limit) for eviction in done.evictions]
    assert done == plan_retain(shuffled, limits, now_ms=NOW_MS)
    assert all((name in evicted) == (parent in evicted) for name, parent in parents.items() if parent in parents)


@given(sessions(), some_limits())
def test_the_sums_of_a_plan_are_right(facts: list[SessionFacts], limits: RetainLimits) -> None:
    """What was there is what goes and what stays, and a limit holds or is told."""
    done = plan_retain(facts, limits, now_ms=NOW_MS)
    trees = [eviction.tree for eviction in done.evictions]

    assert (len(facts), sum(each.size for each in facts)) == (done.before.sessions, done.before.size)
    assert done.before.size == done.after.size + sum(tree.size for tree in trees)
    assert done.before.rows == done.after.rows + sum(tree.rows for tree in trees)
    assert done.before.trees == done.after.trees + len(trees)
    over = {Limit.SIZE: limits.max_size is not None and done.after.size > limits.max_size}
    over[Limit.SESSIONS] = limits.max_sessions is not None and done.after.trees > limits.max_sessions
    assert {limit for limit, exceeded in over.items() if exceeded} == {missed.limit for missed in done.missed} - {
        Limit.AGE
    }


@given(sessions())
def test_every_session_is_in_one_tree(facts: list[SessionFacts]) -> None:
    """No session is lost or counted twice, and a root comes before what it began."""
    trees = forest(facts)
    listed = [session for tree in trees for session in tree.sessions]

    assert sorted(each.id for each in facts) == sorted(listed)
    assert sorted(map(sorted, families(facts))) == sorted(sorted(tree.sessions) for tree in trees)
    assert all(tree.root == tree.sessions[0] for tree in trees)


@pytest.mark.alone
def test_ten_thousand_sessions_are_planned_at_once() -> None:
    """A plan for 10,000 sessions takes a small part of the 2 s that it may take."""
    facts = [
        fact(f"ses_{number:05}", number / 10, parent=f"ses_{number - 1:05}" if number % 3 else "")
        for number in range(MANY)
    ]
    begun = time.perf_counter()
    done = plan(facts, max_size=MANY * MB // 2)

    assert time.perf_counter() - begun < 1
    assert 1600 < len(done.evictions) < 1700
