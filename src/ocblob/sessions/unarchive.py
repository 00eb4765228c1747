"""Sessions out of an archive, back into their database, byte for byte.

`plan_unarchive` compares and decides, `apply_unarchive` puts in. Rows that are there and equal are never touched, so
an interrupted run is completed by the next one. What is wrong with one session stops no other.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Final

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Row, SessionDatabase, TableShape
from ocblob.errors import BackendError, BlobError, DatabaseError, DatabaseLockedError
from ocblob.pass_report import Problems
from ocblob.rows import SessionHasher
from ocblob.sessions.elements import Rows as ArchivedRows
from ocblob.sessions.fitting import Fit, Fits
from ocblob.sessions.reader import Archive, BlobSource
from ocblob.sessions.unarchive_plan import Choice, Fate, Header, SessionPlan, chosen, plan_unarchive

ANNOUNCED_CELL_BYTES: Final = 32 * 1000 * 1000
ANNOUNCED_REPLACE_BYTES: Final = 32 * 1000 * 1000
INSERT_BYTES_PER_S: Final = 50e6
"""That go in in a second, on the slow side; other writers wait meanwhile if it is one transaction."""
_Going = tuple[str, Sequence[str], Row]


@dataclass(slots=True)
class UnarchiveReport(Problems):
    """What an unarchive did."""

    fates: dict[str, Fate] = field(default_factory=dict)
    """Of each session, when it was done with; the plan's, for a dry run."""
    rows: int = 0
    """That went in."""
    size: int = 0
    """Bytes of their contents."""
    unsure: list[str] = field(default_factory=list)
    """Sessions that did not read back row for row in the archived order; compare them again."""
    failed: int = 0
    """Sessions that were refused, or that the database did not take as they were."""
    locked: str = ""
    """Why it ended early: who holds the database, for longer than we wait."""
    longest_transaction_s: float = 0.0

    def count(self, fate: Fate) -> int:
        """How many sessions had this fate."""
        return sum(each is fate for each in self.fates.values())

    @property
    def complete(self) -> bool:
        """Whether every session is back."""
        return not self.failed and not self.locked

    def fail(self, session: str, why: Exception | str) -> None:
        """A session is not back."""
        self.failed += 1
        self.fates[session] = Fate.REFUSED
        self.tell(f"{session}: {why}")


def apply_unarchive(  # noqa: PLR0913
    database: SessionDatabase,
    tree: SessionTree,
    archive: Archive,
    headers: Sequence[Header],
    plans: Sequence[SessionPlan],
    *,
    blobs: BlobSource,
    directory: Path | None = None,
    room: Callable[[], int] | None = None,
    keep: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> UnarchiveReport:
    """Do what was planned; what is reported as back is durable and was read back.

    Blobs that refs in rows name must be in a store by now. `room` tells the bytes that the database may grow by.
    """
    begun = time.monotonic()
    report = UnarchiveReport()
    putter = _Putter(database, tree, report, announce, room, keep=keep)
    for plan in plans:
        if plan.fate is Fate.REFUSED:
            report.fail(plan.session, plan.why)
        elif plan.fate is Fate.THERE:
            report.fates[plan.session] = plan.fate
    going = {plan.session: plan for plan in plans if plan.fate not in {Fate.REFUSED, Fate.THERE}}
    try:
        for session, rows in archive.sessions(tuple(going), blobs=blobs, directory=directory) if going else ():
            putter.put(going[session.id], rows)
            progress(going[session.id].size)
        # Where a rowid was not free, rows lie in another order: each one is looked at then.
        unsure, report.unsure = tuple(report.unsure), []
        again = plan_unarchive(
            database, tree, archive, headers, sessions=unsure, blobs=blobs, choice=Choice(), directory=directory
        )
        for plan in again:
            if plan.fate is not Fate.THERE:
                report.fail(plan.session, f"it does not read back as it was archived: {plan.why or 'rows are missing'}")
    except DatabaseLockedError as error:
        report.locked = str(error)
        report.tell(str(error))
    report.elapsed_s = time.monotonic() - begun
    return report


def put_back(
    database: SessionDatabase, tree: SessionTree, path: Path, sessions: Sequence[str], *, directory: Path | None = None
) -> UnarchiveReport:
    """Put the rows of sessions back that are missing, and leave whatever is there, new or changed, as it is.

    For sessions that somebody began to work in while they were deleted piece by piece. Their blobs are not looked
    at: what the rows' refs name was in a store before, and what was is registered.
    """
    archive = Archive(path)
    headers = [header for header in archive.headers() if header[0].id in set(sessions)]
    chosen(headers, sessions)
    with archive.needed(sessions) as needed, archive.extract(needed, directory) as blobs:
        plans = plan_unarchive(
            database,
            tree,
            archive,
            headers,
            sessions=tuple(session.id for session, _ in headers),
            blobs=blobs,
            choice=Choice(keep=True),
            directory=directory,
        )
        return apply_unarchive(database, tree, archive, headers, plans, blobs=blobs, directory=directory, keep=True)


class _Putter:
    """Puts in session after session, and reads each of them back."""

    def __init__(  # noqa: PLR0913
        self,
        database: SessionDatabase,
        tree: SessionTree,
        report: UnarchiveReport,
        announce: Callable[[str], None],
        room: Callable[[], int] | None,
        *,
        keep: bool,
    ) -> None:
        self._database = database
        self._tree = tree
        self._report = report
        self._announce = announce
        self._room = room
        self._keep = keep
        self._fits = Fits(self._shape)

    def put(self, plan: SessionPlan, rows: ArchivedRows) -> None:
        """One session. Raises `DatabaseLockedError`; any other error is the session's own and is reported."""
        self._say(plan)
        try:
            self._check_room(plan)
            owned = self._with_context(rows)
            seen = Seen()
            going = self._going(plan, owned, seen)
            if plan.fate is Fate.REPLACE:
                self._database.delete_and_insert(self._tree, plan.session, going)
            else:
                with self._database.inserter() as inserter:
                    for table, columns, row in going:
                        inserter.add(table, columns, row)
            if not self._keep and not self._is_back(plan.session, seen):
                self._report.unsure.append(plan.session)
        except DatabaseLockedError:
            raise
        except (DatabaseError, BlobError, BackendError) as error:
            self._report.fail(plan.session, error)
            return
        self._report.fates[plan.session] = plan.fate
        self._report.rows += plan.rows
        self._report.size += plan.size

    def _say(self, plan: SessionPlan) -> None:
        if plan.largest >= ANNOUNCED_CELL_BYTES:
            self._announce(
                f"{plan.largest_name}: putting {plan.largest / 1e6:.0f} MB back takes about"
                f" {2 * plan.largest / 1e6:.0f} MB of memory"
            )
        if plan.fate is Fate.REPLACE and plan.size >= ANNOUNCED_REPLACE_BYTES:
            self._announce(
                f"{plan.session}: {plan.size / 1e6:.0f} MB are replaced in one transaction; whoever else writes waits"
                f" for up to {max(1.0, plan.size / INSERT_BYTES_PER_S):.0f} s"
            )

    def _check_room(self, plan: SessionPlan) -> None:
        # The file grows, and the WAL by as much, until the next checkpoint.
        needed = 2 * plan.size
        if self._room is not None and needed > self._room():
            raise DatabaseError(f"no room on the disk for the {needed / 1e6:.0f} MB that it takes for a while")

    def _with_context(self, rows: ArchivedRows) -> ArchivedRows:
        """Put in the rows that the session refers to, where they are missing; what is left are rows of its own."""
        for table, row in rows:
            if not table.context:
                # Its contents can be read until the next one is asked for.
                return chain(((table, row),), rows)
            lies = self._fits.of(table)
            if lies is None or not lies.key:
                continue
            with self._database.snapshot() as snapshot:
                there = snapshot.find(table.table, lies.key_of(row)) is not None
            if not there:
                with self._database.inserter() as inserter:
                    inserter.add(table.table, lies.columns, lies.fitted(row))
        return iter(())

    def _going(self, plan: SessionPlan, rows: ArchivedRows, seen: "Seen") -> Iterator[_Going]:
        """The rows that go in, as they lie in the tables of today; all of them are seen."""
        flags = iter(plan.missing)
        for table, row in rows:
            lies, missing = self._fits.of(table), next(flags, None)
            if lies is None or missing is None:
                raise DatabaseError("the archive or the tables changed while rows went in")
            fitted = lies.fitted(row)
            if not self._keep:
                seen.row(lies, fitted)
            if missing:
                yield table.table, lies.columns, fitted

    def _is_back(self, session: str, seen: "Seen") -> bool:
        """Whether the session reads back as it was archived, in the same order."""
        hasher = SessionHasher()
        owned = {each.table: each for each in self._tree.owned}
        with self._database.snapshot() as snapshot:
            for lies in seen.tables:
                hasher.table(lies.table, lies.columns)
                for row in snapshot.rows(owned[lies.table], session):
                    hasher.row(lies.reduced(row))
        return hasher.hexdigest() == seen.hexdigest()

    def _shape(self, table: str) -> TableShape:
        with self._database.snapshot() as snapshot:
            return snapshot.shape(table)


class Seen:
    """The rows of one session as they came by, over the columns that the database has."""

    def __init__(self) -> None:
        self.tables: list[Fit] = []
        self._hasher = SessionHasher()

    def row(self, lies: Fit, row: Row) -> None:
        """Reads its contents."""
        if not self.tables or self.tables[-1] is not lies:
            self.tables.append(lies)
            self._hasher.table(lies.table, lies.columns)
        self._hasher.row(row)

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._hasher.hexdigest()
