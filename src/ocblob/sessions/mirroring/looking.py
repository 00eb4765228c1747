"""What a target has of one session, and what becomes of it when the session comes there again."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum, auto

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import Row, Snapshot
from ocblob.sessions.mirroring.lying import Lie, key_digest


@dataclass(frozen=True, slots=True)
class Mark:
    """A row that is there."""

    digest: str
    rowid: int | None
    updated: int | None = None
    """When it changed last; None if that is not known."""


Marks = dict[tuple[str, bytes], Mark]
"""By table and key. Memory: some 250 bytes for each row of a session."""


def marks_kept(target: HostDatabase, tree: SessionTree, lies: Mapping[str, Lie], session: str) -> Marks:
    """By what the target keeps of each row; no content is read."""
    return {
        (owned.table, key_digest(owned.table, mark.key)): Mark(mark.digest, mark.rowid)
        for owned in tree.owned
        if owned.table in lies
        for mark in target.marks(tree, owned.table, session)
    }


def marks_read(state: Snapshot, tree: SessionTree, lies: Mapping[str, Lie], session: str) -> Marks:
    """By the rows themselves."""
    return {
        (owned.table, key_digest(owned.table, lie.key_of(row))): Mark(
            lie.digest(row), row.rowid, updated_of(owned, lie, row)
        )
        for owned, lie, row in rows_there(state, tree, lies, session)
    }


def rows_there(
    state: Snapshot, tree: SessionTree, lies: Mapping[str, Lie], session: str
) -> Iterator[tuple[OwnedTable, Lie, Row]]:
    """The rows that a target has of a session, with the columns that the source has too."""
    for owned in tree.owned:
        if owned.table in lies:
            lie = lies[owned.table]
            for row in state.rows(owned, session):
                yield owned, lie, lie.reduced(row)


def are_of_a_mirror(digests: Iterable[str]) -> bool:
    """Whether rows without a record were put by a mirror that was interrupted, by what the target keeps of each.

    Rows that somebody else wrote have no digest.
    """
    some = False
    for digest in digests:
        if not digest:
            return False
        some = True
    return some


def updated_of(owned: OwnedTable, lie: Lie, row: Row) -> int | None:
    """When a row changed last."""
    value = lie.value(owned.updated, row) if owned.updated else None
    return value if isinstance(value, int) else None


class Verdict(Enum):
    """What the rows of a session mean for those that are there already, of which nobody knows where they came from."""

    SAME = auto()
    AHEAD = auto()
    FORWARD = auto()
    """Rows are added, or newer ones take the places of older ones."""
    CONFLICT = auto()


@dataclass(slots=True)
class Comparison:
    """Fed with every row of the source, it judges a session that was there before."""

    marks: Marks
    session_time: tuple[int | None, int | None]
    """When the session was used last in the source and in the target: rows without times have these."""
    left: set[tuple[str, bytes]] = field(init=False)
    """Rows that the target has and the source does not."""
    forward: int = 0
    """Rows that the target lacks, or has an older one of."""
    backward: int = 0
    """Rows of which the target has a newer one."""
    clash: str = ""
    """The first row that differs though neither is newer."""

    def __post_init__(self) -> None:
        self.left = set(self.marks)

    def row(self, owned: OwnedTable, lie: Lie, fitted: Row, digest: str) -> None:
        """One row of the source as it would be put."""
        key = (owned.table, key_digest(owned.table, lie.key_of(fitted)))
        self.left.discard(key)
        mark = self.marks.get(key)
        if mark is None:
            self.forward += 1
            return
        if mark.digest == digest:
            return
        here, there = updated_of(owned, lie, fitted), mark.updated
        if here is None or there is None:
            here, there = self.session_time
        if here is None or there is None or here == there:
            self.clash = self.clash or lie.name(fitted)
        elif here > there:
            self.forward += 1
        else:
            self.backward += 1

    @property
    def verdict(self) -> Verdict:
        """When every row was told."""
        ahead = bool(self.backward or self.left)
        if self.clash or (ahead and self.forward):
            return Verdict.CONFLICT
        if self.forward:
            return Verdict.FORWARD
        return Verdict.AHEAD if ahead else Verdict.SAME

    @property
    def words(self) -> str:
        """Why it is a conflict."""
        if self.clash:
            return f"{self.clash} is not the same in both, and neither is newer"
        return "both have rows that the other one does not have, or newer ones"
