"""Planned sessions into a database, some at a time: put in, made durable, read back.

A session counts as back only when it reads back as it was archived; that is asked after the rows are durable.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from itertools import chain
from types import TracebackType
from typing import Final, Self

from ocblob.cells import SessionTree
from ocblob.databases.base import ANNOUNCED_CELL_BYTES
from ocblob.databases.session_rows import Inserter, Row, SessionDatabase, TableShape
from ocblob.errors import BackendError, BlobError, DatabaseError, DatabaseLockedError
from ocblob.rows import SessionHasher
from ocblob.sessions.comparing import context_tables
from ocblob.sessions.elements import Rows as ArchivedRows
from ocblob.sessions.fitting import Fit, Fits
from ocblob.sessions.recent import RecentSnapshot
from ocblob.sessions.unarchive_plan import INSERT_BYTES_PER_S, Fate, SessionPlan
from ocblob.sessions.unarchive_report import UnarchiveReport

GROUP_ROWS: Final = 1000
GROUP_BYTES: Final = 4 * 1024 * 1024
"""Sessions up to this together are made durable at once."""
ANNOUNCED_REPLACE_BYTES: Final = 32 * 1000 * 1000
_Going = tuple[str, Sequence[str], Row]


class Manner(Enum):
    """How sessions go in."""

    GROUPED = "grouped"
    """Some at a time. A row that is refused may be told of when another session goes in, and stop that one too."""
    ALONE = "alone"
    """One by one: what is refused is its own."""
    DANGLING = "dangling"
    """And rows may refer to rows that are not there: to have lost them is no reason to lose the rest."""


class Putter:
    """Puts in session after session, as a context manager. Raises `DatabaseLockedError`; what is done stays then.

    Any other error is a session's own and is reported.
    """

    def __init__(  # noqa: PLR0913
        self,
        database: SessionDatabase,
        tree: SessionTree,
        report: UnarchiveReport,
        *,
        announce: Callable[[str], None],
        room: Callable[[], int] | None,
        keep: bool,
        manner: Manner = Manner.GROUPED,
    ) -> None:
        self._database = database
        self._tree = tree
        self._context = context_tables(tree)
        self._report = report
        self._announce = announce
        self._room = room
        self._keep = keep
        self._alone, self._dangling = manner is not Manner.GROUPED, manner is Manner.DANGLING
        self._recent = RecentSnapshot(database)
        self._fits = Fits(self._shape)
        self._known: set[tuple[str, bytes]] = set()
        """Rows of contexts that are there."""
        self._open = ExitStack()
        self._inserter: Inserter | None = None
        self._group: list[_Put] = []

    def put(self, plan: SessionPlan, rows: ArchivedRows) -> None:
        """One session. It is reported when its group is durable."""
        self._say(plan)
        seen = _Seen(plan)
        error: Exception | None = None
        try:
            self._check_room(plan)
            going = self._going(seen, self._with_context(rows))
            if plan.fate is Fate.REPLACE:
                self.finish()
                self._database.delete_and_insert(self._tree, plan.session, going, dangling=self._dangling)
            else:
                error = self._add(going)
        except DatabaseLockedError:
            raise
        except (DatabaseError, BlobError, BackendError) as raised:
            error = raised
        self._group.append(_Put(plan, seen, error))
        rows_held, size = (sum(getattr(each.plan, name) for each in self._group) for name in ("rows", "size"))
        alone = self._alone or self._keep or plan.fate is Fate.REPLACE
        if error or alone or rows_held >= GROUP_ROWS or size >= GROUP_BYTES:
            self.finish()

    def finish(self) -> None:
        """Make what was put in durable, and look at it."""
        group, self._group = self._group, []
        late: Exception | None = None
        try:
            self._inserter = None
            self._open.close()
        except DatabaseLockedError:
            raise
        except DatabaseError as error:
            late = error
        self._recent.release()
        for put in group:
            self._judge(put, put.error or late)
        self._recent.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._recent.release()
        if error is None:
            self.finish()
        else:
            # What waits is not put in: the next run does it.
            self._open.__exit__(kind, error, trace)

    def _add(self, going: Iterator[_Going]) -> DatabaseError | None:
        """Rows in. Where rows that are there are kept, one that does not go in beside them stops no other."""
        first = None
        for table, columns, row in going:
            try:
                self._into().add(table, columns, row)
            except DatabaseLockedError:
                raise
            except DatabaseError as error:
                if not self._keep:
                    raise
                first = first or error
        return first

    def _judge(self, put: "_Put", error: Exception | None) -> None:
        plan = put.plan
        if self._keep and error is not None:
            self._report.fail(plan.session, error)
        elif error is not None or not (self._keep or self._is_back(put.seen)):
            # The error may be about a row of another session of its group, or somebody else put the same rows in.
            self._report.unsure[plan.session] = error
        else:
            self._report.back(plan)

    def _into(self) -> Inserter:
        if self._inserter is None:
            self._inserter = self._open.enter_context(self._database.inserter(dangling=self._dangling))
        return self._inserter

    def _say(self, plan: SessionPlan) -> None:
        if plan.largest >= ANNOUNCED_CELL_BYTES and self._room is not None:
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
            lies = self._fits.of(table) if table.table in self._context else None
            if lies is None or not lies.key:
                continue
            name = (table.table, lies.key_digest(row))
            if name in self._known:
                continue
            if self._recent.now().find(table.table, lies.key_of(row)) is None:
                self._recent.release()
                with self._database.inserter() as inserter:
                    inserter.add(table.table, lies.columns, lies.fitted(row))
            self._known.add(name)
        return iter(())

    def _going(self, seen: "_Seen", rows: ArchivedRows) -> Iterator[_Going]:
        """The rows that go in, as they lie in the tables of today; all of them are seen."""
        self._recent.release()
        flags = iter(seen.plan.missing)
        for table, row in rows:
            lies, missing = self._fits.of(table), next(flags, None)
            if lies is None or missing is None:
                raise DatabaseError("the archive or the tables changed while rows went in")
            fitted = lies.fitted(row)
            seen.row(lies, fitted)
            if missing:
                yield table.table, lies.columns, fitted

    def _is_back(self, seen: "_Seen") -> bool:
        """Whether the session reads back as it was archived, in the same order."""
        owned = {each.table: each for each in self._tree.owned}
        snapshot = self._recent.now()
        hasher = SessionHasher()
        for lies in seen.tables:
            hasher.table(lies.table, lies.columns)
            for row in snapshot.rows(owned[lies.table], seen.plan.session):
                hasher.row(lies.reduced(row))
        return hasher.hexdigest() == seen.hexdigest()

    def _shape(self, table: str) -> TableShape:
        shape = self._recent.now().shape(table)
        # Without a WAL nobody can commit while a snapshot is open, we neither.
        self._recent.release()
        return shape


class _Seen:
    """The rows of one session as they came by, over the columns that the database has."""

    def __init__(self, plan: SessionPlan) -> None:
        self.plan = plan
        self.tables: list[Fit] = []
        self._hasher = None if plan.digest else SessionHasher()

    def row(self, lies: Fit, row: Row) -> None:
        """Reads its contents, unless it is known what the session will be."""
        begun = bool(self.tables) and self.tables[-1] is lies
        if not begun:
            self.tables.append(lies)
        if self._hasher is not None:
            if not begun:
                self._hasher.table(lies.table, lies.columns)
            self._hasher.row(row)

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self.plan.digest if self._hasher is None else self._hasher.hexdigest()


@dataclass(frozen=True, slots=True)
class _Put:
    """A session that waits to be looked at."""

    plan: SessionPlan
    seen: _Seen
    error: Exception | None
