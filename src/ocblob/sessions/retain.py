"""Trees of sessions out of a database, as planned: sealed first, then deleted if they still are what was sealed.

A crash at any moment leaves each session whole in the database or whole in an archive that was read back. What goes
wrong with one tree stops no other one.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import partial
from typing import Final

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Deleted, SessionDatabase, Snapshot
from ocblob.errors import DatabaseError, DatabaseLockedError, OcblobError
from ocblob.pass_report import Problems
from ocblob.rows import session_digest
from ocblob.sessions.plan import RetainPlan, Totals
from ocblob.sessions.seals import Seal, Sealed
from ocblob.sessions.trees import Tree, forest

PROBED_SESSIONS: Final = 5000
"""Sessions of which the database is asked at once whether it would delete them."""
_AT_WORK: Final = "somebody works in it, or has deleted it"


class Fate(StrEnum):
    """What became of a tree that was to go."""

    EVICTED = "evicted"
    CHANGED = "changed"
    """Somebody works in it; the next pass looks at it again."""
    UNSEALED = "unsealed"
    """An attachment cannot be put into the archive, or the mirror does not hold it as it is."""
    PUT_BACK = "put back"
    """Something came between while it was being deleted; the rows that went are back, from archive or mirror."""
    HALF = "half"
    """As that, but they are not back."""
    FAILED = "failed"
    """The database refused; it is as it was."""


@dataclass(frozen=True, slots=True)
class TreeResult:
    """What became of one tree."""

    root: str
    sessions: int
    size: int
    fate: Fate
    rows: int
    """Rows that are gone."""
    why: str = ""


@dataclass(slots=True)
class RetainReport(Problems):
    """What a retention did."""

    planned: Totals = field(default_factory=lambda: Totals(0, 0, 0, 0))
    """What was to go."""
    before: Totals = field(default_factory=lambda: Totals(0, 0, 0, 0))
    archive: str = ""
    archive_size: int = 0
    archived: int = 0
    """Sessions in it."""
    mirror: str = ""
    mirrored: int = 0
    """Sessions that the mirror holds, of those that were to go."""
    results: list[TreeResult] = field(default_factory=list)
    """Of trees that were come to: those that could not go anyhow, then the others in the order of the plan."""
    locked: str = ""
    """Why it ended early: who holds the database, for longer than we wait."""
    longest_transaction_s: float = 0.0

    @property
    def evicted(self) -> Totals:
        """What is gone."""
        gone = [result for result in self.results if result.fate is Fate.EVICTED]
        return Totals(
            len(gone),
            sum(result.sessions for result in gone),
            sum(result.rows for result in gone),
            sum(result.size for result in gone),
        )

    @property
    def remains(self) -> Totals:
        """What is there now."""
        return self.before.less(self.evicted)

    @property
    def complete(self) -> bool:
        """Whether all went that was to go."""
        return self.evicted.trees == self.planned.trees

    def add(self, tree: Tree, fate: Fate, rows: int, why: str) -> None:
        """What became of a tree."""
        self.results.append(TreeResult(tree.root, len(tree.sessions), tree.size, fate, rows, why))
        if fate is not Fate.EVICTED:
            self.tell(f"{tree.root} stays ({fate}): {why}")


PutBack = Callable[[Sequence[str]], str]
"""Puts rows of sessions back that were sealed somewhere; why they are not back, if so. Raises `OcblobError` too."""
Look = Callable[[Sequence[str]], Mapping[str, str]]
"""Which of these sessions cannot be sealed now, and why, as far as that is known without sealing them."""
Told = Callable[[Tree, str], None]
"""Hears of each tree that went, and of what holds it, as soon as it has gone."""
Note = Callable[[Tree, Sealed], Callable[[], None]]
"""Notes that a tree may be in pieces from now on, and what has it whole; what it returns ends that.

Raises `OcblobError` if it must not go without a note.
"""


def apply_retain(  # noqa: PLR0913
    database: SessionDatabase,
    tree: SessionTree,
    plan: RetainPlan,
    *,
    seal: Seal,
    put_back: PutBack | None,
    look: Look | None,
    told: Told = lambda _tree, _archive: None,
    note: Note = lambda _tree, _sealed: lambda: None,
) -> RetainReport:
    """Evict what the plan says. Raises what `seal` raises, before anything is deleted.

    A tree goes only if it was sealed as a whole and is still what the plan saw, and what was sealed. What cannot go is
    not even sealed, as far as that is known before: it would be sealed again by every run.
    """
    begun = time.monotonic()
    report = RetainReport(planned=plan.leaving, before=plan.before)
    trees = _fit(database, tree, [eviction.tree for eviction in plan.evictions], look, report)
    if trees:
        sealed = seal([session for each in trees for session in each.sessions])
        report.archive, report.archive_size, report.mirror = sealed.archive, sealed.archive_size, sealed.mirror
        report.archived = len(sealed.digests) if sealed.archive else 0
        report.mirrored = len(sealed.digests.keys() - sealed.left.keys()) if sealed.mirror else 0
        evictor = _Evictor(database, tree, sealed, put_back, report)
        for each in trees:
            try:
                end = note(each, sealed)
            except OcblobError as error:
                report.add(each, Fate.FAILED, 0, str(error))
                continue
            fate = evictor.evict(each)
            if fate is not Fate.HALF:
                end()
            if fate is Fate.EVICTED:
                told(each, sealed.where)
            if report.locked:
                break
        try:
            database.flush()
        except DatabaseError as error:
            report.tell(f"after a power cut, what went last may be back: {error}")
    report.elapsed_s = time.monotonic() - begun
    return report


def _fit(
    database: SessionDatabase, tree: SessionTree, trees: Sequence[Tree], look: Look | None, report: RetainReport
) -> list[Tree]:
    """Those that may go; of the others the report tells why they stay. None if the database is locked."""
    try:
        if trees:
            # No sessions: it takes the lock, and that is all.
            database.delete_sessions(tree, (), unchanged=lambda _: True)
        refused = _refused(database, tree, trees)
    except DatabaseLockedError as error:
        report.locked = str(error)
        return []
    asked = [session for each in trees if each.root not in refused for session in each.sessions]
    unfit = look(asked) if look is not None else {}
    fit = []
    for each in trees:
        lacking = next((session for session in each.sessions if session in unfit), None)
        if each.root in refused:
            report.add(each, Fate.FAILED, 0, refused[each.root])
        elif lacking is not None:
            report.add(each, Fate.UNSEALED, 0, f"{lacking}: {unfit[lacking]}")
        else:
            fit.append(each)
    return fit


def _refused(database: SessionDatabase, tree: SessionTree, trees: Sequence[Tree]) -> dict[str, str]:
    """The roots of those that the database refuses to delete, and why."""
    found: dict[str, str] = {}
    group: list[Tree] = []
    for number, each in enumerate(trees, start=1):
        group.append(each)
        if sum(len(one.sessions) for one in group) < PROBED_SESSIONS and number < len(trees):
            continue
        # All at once: hardly ever is one of them refused.
        if _why_refused(database, tree, [session for one in group for session in one.sessions]):
            found |= {one.root: why for one in group if (why := _why_refused(database, tree, one.sessions))}
        group = []
    return found


def _why_refused(database: SessionDatabase, tree: SessionTree, sessions: Sequence[str]) -> str:
    """Why these would not be deleted; nothing is deleted, as nothing is said to be unchanged."""
    try:
        database.delete_sessions(tree, sessions, unchanged=lambda _: False)
    except DatabaseLockedError:
        raise
    except DatabaseError as error:
        return str(error)
    return ""


class _Evictor:
    """Deletes trees one by one, and reports what became of each."""

    def __init__(
        self, database: SessionDatabase, tree: SessionTree, sealed: Sealed, back: PutBack | None, report: RetainReport
    ) -> None:
        self._database = database
        self._tree = tree
        self._sealed = sealed
        self._put_back = back
        self._report = report
        # Between the plan and the seal somebody may have begun to work in a session: it is sealed as it is now, and
        # active. Facts that are taken after the seal tell.
        self._facts = {each.root: each for each in forest(database.survey(tree))}

    def evict(self, each: Tree) -> Fate:
        """What becomes of a tree; it is in the report."""
        fate, rows, why = self._unsealed(each) or self._delete(each)
        self._report.add(each, fate, rows, why)
        return fate

    def _unsealed(self, each: Tree) -> tuple[Fate, int, str] | None:
        """Why a tree must not be deleted; None if it may."""
        for session in each.sessions:
            if session in self._sealed.left:
                return Fate.UNSEALED, 0, f"{session}: {self._sealed.left[session]}"
        sealed = all(session in self._sealed.digests for session in each.sessions)
        return None if sealed and self._facts.get(each.root) == each else (Fate.CHANGED, 0, _AT_WORK)

    def _delete(self, each: Tree) -> tuple[Fate, int, str]:
        try:
            done = self._database.delete_sessions(self._tree, each.sessions, unchanged=partial(self._is_whole, each))
        except DatabaseError as error:
            return self._refused(each, error)
        except KeyboardInterrupt:
            # Who stops us must not find a session in pieces.
            self._report.tell(f"{each.root}: {self._refused(each, DatabaseError('interrupted'))[2]}")
            raise
        if done.outcome is Deleted.DELETED:
            return Fate.EVICTED, done.rows, ""
        if done.outcome is Deleted.CHANGED:
            return Fate.CHANGED, 0, _AT_WORK
        return self._half(each, done.rows, f"somebody began to work in it when {done.rows:,} of its rows were gone")

    def _is_whole(self, each: Tree, snapshot: Snapshot) -> bool:
        """Whether no session was begun in it meanwhile, and every one of it is what was sealed."""
        return snapshot.children(self._tree, each.sessions) <= set(each.sessions) and all(
            session_digest(snapshot, self._tree, session) == self._sealed.digests[session] for session in each.sessions
        )

    def _refused(self, each: Tree, error: DatabaseError) -> tuple[Fate, int, str]:
        """A large tree goes in several transactions: some of them may have been done."""
        if isinstance(error, DatabaseLockedError):
            self._report.locked = str(error)
        try:
            with self._database.snapshot() as snapshot:
                whole = self._is_whole(each, snapshot)
        except DatabaseError as unread:
            return self._half(each, 0, f"{error}; and it cannot be read: {unread}")
        return (Fate.FAILED, 0, str(error)) if whole else self._half(each, 0, f"{error}; some of its rows were gone")

    def _half(self, each: Tree, rows: int, why: str) -> tuple[Fate, int, str]:
        """The rows that went come back at once."""
        if self._put_back is None:
            return Fate.HALF, rows, f"{why}, and nothing holds them"
        try:
            failed = self._put_back(each.sessions)
        except (OcblobError, OSError) as error:  # a full temporary directory must not cost the words
            failed = str(error)
        if not failed:
            return Fate.PUT_BACK, 0, f"{why}; they are back"
        return Fate.HALF, rows, f"{why}, and they are not back: {failed}; {self._sealed.cure(each.sessions)}"
