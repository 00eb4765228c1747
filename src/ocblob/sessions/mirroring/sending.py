"""One session's rows sent: every row of the source is read, and put if the target does not have it just so."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.base import ANNOUNCED_CELL_BYTES, LARGE_CELL_BYTES
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import Content, Row, SessionFacts, Snapshot, Value
from ocblob.errors import DatabaseError
from ocblob.rows import RowSum
from ocblob.sessions.mirroring.feeding import Feeder
from ocblob.sessions.mirroring.looking import (
    Comparison,
    Mark,
    Marks,
    Verdict,
    are_of_a_mirror,
    marks_kept,
    marks_read,
    rows_there,
)
from ocblob.sessions.mirroring.lying import Lie, Lies, key_digest
from ocblob.sessions.mirroring.plan import Recorded
from ocblob.sessions.mirroring.report import MirrorFate, MirrorReport
from ocblob.sessions.mirroring.scratch import Scratch
from ocblob.sessions.mirroring.transforming import Transform, Transformed
from ocblob.sessions.recent import RecentSnapshot


@dataclass(frozen=True, slots=True)
class Manner:
    """How sessions are mirrored."""

    verify: bool = False
    """Rows that are there are read, and not only what is kept of them; blobs that they name are looked after."""
    force: bool = False
    """What the source has takes the place of whatever is there."""
    large_cells: bool = True
    """Whether a host beside us may wait for cells of 100 MB and more."""


@dataclass(slots=True)
class Sent:
    """A session whose rows are on their way, or there."""

    facts: SessionFacts
    lies: Mapping[str, Lie]
    sums: dict[str, RowSum] = field(default_factory=dict)
    """Of each table with rows, as they were sent."""
    tables: set[str] = field(default_factory=set)
    """In which the target had rows of it."""
    changes: int = 0
    by_marks: bool = False
    """Whether what the target keeps of its rows was taken for the rows."""

    @property
    def rows(self) -> int:
        """In all tables."""
        return sum(each.rows for each in self.sums.values())

    @property
    def digest(self) -> str:
        """Of all of them."""
        return sum(self.sums.values(), RowSum()).hexdigest()


class Sender:
    """Sends sessions of one source to one target."""

    def __init__(  # noqa: PLR0913
        self,
        target: HostDatabase,
        tree: SessionTree,
        lies: Lies,
        report: MirrorReport,
        *,
        transform: Transform,
        manner: Manner,
        directory: Path | None,
        announce: Callable[[str], None],
        progress: Callable[[int], None],
    ) -> None:
        self._target = target
        self._tree = tree
        self._lies = lies
        self._report = report
        self._transform = transform
        self._manner = manner
        self._directory = directory
        self._announce = announce
        self._progress = progress
        self._recent = RecentSnapshot(target)

    def send(  # noqa: PLR0913
        self,
        facts: SessionFacts,
        source: Snapshot,
        feeder: Feeder,
        *,
        columns: Mapping[str, tuple[str, ...]] | None,
        new: bool,
        ours: bool | None,
        read: bool,
    ) -> Sent | None:
        """Put what the target does not have. None if the session is left; the report says why.

        `new` says that the target has no such session. `ours` says whether the target's record is of this source, None
        if there is none: where it is, rows that went from a source that has used the session since go from the target
        too. `columns` are those that the session's rows have, where that is known.
        With `read` what is kept of rows is not trusted.
        """
        if not source.exists(self._tree, facts.id):
            self._report.fates[facts.id] = MirrorFate.GONE
            return None
        if self._target.keeps_records and not _is_plain(facts.id):
            raise DatabaseError("its id is no text that a server can look it up by")
        sent = Sent(facts, self._lies.of(columns))
        marks = {} if new else marks_kept(self._target, self._tree, sent.lies, facts.id)
        if ours is None:
            ours = are_of_a_mirror(mark.digest for mark in marks.values())
        sent.by_marks = new or (ours and not read)
        if not sent.by_marks:
            with self._target.snapshot() as state:
                marks = marks_read(state, self._tree, sent.lies, facts.id)
        sent.tables.update(table for table, _ in marks)
        if marks and not ours:
            comparison = self._compared(sent, source, marks)
            if not (self._manner.force or self._goes(facts.id, comparison)):
                return None
            self._remove(sent, feeder, comparison.left)
            for key in comparison.left:
                del marks[key]
        if len(marks) > facts.rows and not self._may_shrink(facts):
            return None
        self._put(sent, source, feeder, marks)
        if marks and not self._may_shrink(facts):
            return None
        self._remove(sent, feeder, marks.keys())
        return sent

    def close(self) -> None:
        """Hold nothing in the target."""
        self._recent.release()

    def _may_shrink(self, facts: SessionFacts) -> bool:
        """Whether rows that went from the source may go from the target; if not, the report says why.

        A retention that is deleting a large session, or was killed at that, has used nothing, and recorded the session
        before its first row went. So the record is read now, when the source's state is the one that rows come from.
        """
        record = next(self._target.records(facts.id), None)
        if self._manner.force or record is None or Recorded.of(record).is_older(facts):
            return True
        self._report.leave(
            facts.id,
            MirrorFate.CONFLICT,
            "rows of it went from the source, which has not used it since they were mirrored: `ocblob pull` brings them"
            " back, `ocblob mirror --force` takes them from the target too",
        )
        return False

    def _goes(self, session: str, comparison: Comparison) -> bool:
        match comparison.verdict:
            case Verdict.AHEAD:
                self._report.fates[session] = MirrorFate.AHEAD
                return False
            case Verdict.CONFLICT:
                self._report.leave(session, MirrorFate.CONFLICT, comparison.words)
                return False
        return True

    def _compared(self, sent: Sent, source: Snapshot, marks: Marks) -> Comparison:
        times = [mark.updated for mark in marks.values() if mark.updated is not None]
        comparison = Comparison(marks, (sent.facts.used_ms, max(times, default=None)))
        with Scratch(self._directory) as scratch:
            for owned, lie, row in self._rows(sent, source):
                fitted = lie.fitted(self._transform(owned.table, lie.columns, row, scratch).row)
                comparison.row(owned, lie, fitted, lie.digest(fitted))
                scratch.rewind(0)
        return comparison

    def _put(self, sent: Sent, source: Snapshot, feeder: Feeder, marks: Marks) -> None:
        """Marks that were found are taken out."""
        for owned, lie, row in self._rows(sent, source):
            before = feeder.scratch.size
            moved = self._transform(owned.table, lie.columns, row, feeder.scratch)
            fitted = lie.fitted(moved.row)
            digest = lie.digest(fitted)
            sent.sums.setdefault(owned.table, RowSum()).add(digest)
            mark = marks.pop((owned.table, key_digest(owned.table, lie.key_of(fitted))), None)
            self._progress(row.content_size)
            if mark is None or not self._is_there(mark, fitted, digest):
                self._check(lie, fitted, new=mark is None)
                sent_row = Transformed(fitted, moved.wanted, moved.chars)
                owner = "" if self._manner.force else owned.session
                feeder.put(owned.table, lie.common, sent_row, digest, owner=owner)
                sent.changes += 1
                continue
            self._report.rows_same += 1
            if self._manner.verify and moved.wanted:
                feeder.want(moved)
            else:
                feeder.scratch.rewind(before)

    def _is_there(self, mark: Mark, fitted: Row, digest: str) -> bool:
        # In a host's file a row may lie elsewhere: its own place was taken.
        return mark.digest == digest and (mark.rowid == fitted.rowid or not self._target.keeps_records)

    def _check(self, lie: Lie, fitted: Row, *, new: bool) -> None:
        """Raise `DatabaseError` for what a host's file should not get."""
        if self._target.keeps_records:
            return
        if not self._manner.force and new and self._recent.now().find(lie.table, lie.key_of(fitted)) is not None:
            raise DatabaseError(f"{lie.name(fitted)} is a row of another session in the target")
        if not self._target.reads_beside_writes:
            self._recent.release()
        self._check_size(lie.name(fitted), _largest(fitted))

    def _check_size(self, name: str, size: int) -> None:
        if size < ANNOUNCED_CELL_BYTES:
            return
        shown = f"{size / 1e6:.0f} MB"
        if size >= LARGE_CELL_BYTES and not (self._manner.large_cells or self._manner.force):
            raise DatabaseError(
                f"{name} has {shown} in one cell, and the host would wait for it; --force does it all the same"
            )
        # The file grows, and the WAL by as much, until the next checkpoint.
        if 2 * size > self._target.room():
            raise DatabaseError(f"{name}: no room on the disk for the {2 * size / 1e6:.0f} MB that {shown} take")
        self._announce(f"{name}: putting {shown} into a file takes about {2 * size / 1e6:.0f} MB of memory")

    def _remove(self, sent: Sent, feeder: Feeder, left: Collection[tuple[str, bytes]]) -> None:
        if not left:
            return
        for table, key in self._keys_there(sent):
            if (table, key_digest(table, key)) in left:
                feeder.remove(table, key)
                sent.changes += 1

    def _keys_there(self, sent: Sent) -> list[tuple[str, tuple[Value, ...]]]:
        if sent.by_marks:
            return [
                (owned.table, mark.key)
                for owned in self._tree.owned
                if owned.table in sent.lies
                for mark in self._target.marks(self._tree, owned.table, sent.facts.id)
            ]
        with self._target.snapshot() as state:
            there = rows_there(state, self._tree, sent.lies, sent.facts.id)
            return [(owned.table, lie.key_of(row)) for owned, lie, row in there]

    def _rows(self, sent: Sent, source: Snapshot) -> Iterator[tuple[OwnedTable, Lie, Row]]:
        """Raises `DatabaseError` for rows of a table that the target does not have."""
        for owned in self._tree.owned:
            lie = sent.lies.get(owned.table)
            for row in source.rows(owned, sent.facts.id):
                if lie is None:
                    raise DatabaseError(f"the target has no table {owned.table}, and the session has rows of it")
                yield owned, lie, row


def _is_plain(name: str) -> bool:
    # What was no UTF-8 is told by lone surrogates.
    return "\0" not in name and not any("\ud800" <= char <= "\udfff" for char in name)


def _largest(row: Row) -> int:
    return max((value.size for value in row.values if isinstance(value, Content)), default=0)
