"""Sessions of one database kept in another: sent some at a time, read back, and only then recorded.

Whatever ends it early leaves rows that the next run looks at again, and no record of what is not there.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ocblob.cells import Column, SessionTree
from ocblob.databases.mirror_rows import MirroredSession
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import SessionFacts, Snapshot, TableDefinition, TableShape
from ocblob.errors import BackendError, BlobError, BlobMissingError, DatabaseError, DatabaseLockedError
from ocblob.rows import RowSum
from ocblob.sessions.mirroring.context import Context
from ocblob.sessions.mirroring.feeding import Feeder
from ocblob.sessions.mirroring.looking import rows_there
from ocblob.sessions.mirroring.lying import Lies
from ocblob.sessions.mirroring.plan import MirrorPlan, groups
from ocblob.sessions.mirroring.rehydrating import RehydratedSnapshot
from ocblob.sessions.mirroring.report import MirrorFate, MirrorReport
from ocblob.sessions.mirroring.sending import Manner, Sender, Sent
from ocblob.sessions.mirroring.transforming import Transform, Transformer, kept
from ocblob.store import BlobStore
from ocblob.store.writer import Writer

GROUP_ROWS: Final = 1000
GROUP_BYTES: Final = 16 * 1024 * 1024
"""Sessions up to this together are committed, read back and recorded at once."""


@dataclass(frozen=True, slots=True)
class Direction:
    """What becomes of payloads on the way."""

    payloads: tuple[Column, ...]
    """The cells that may hold some."""
    offload: bool
    """They go into the store, and refs that say so to the target, which keeps records. To one that keeps none such refs
    go as the payloads that they stand for.
    """


def definitions(source: HostDatabase, tree: SessionTree) -> list[TableDefinition]:
    """Of every table that a mirror needs; a table comes after those that it refers to."""
    with source.snapshot() as state:
        return [state.definition(table) for table in tables_of(tree)]


def tables_of(tree: SessionTree) -> list[str]:
    """Every table that a mirror is about, in the order that rows go in."""
    names = [table for _, table, _ in tree.context] + [owned.table for owned in tree.owned]
    return list(dict.fromkeys(names))


def shapes_of(state: Snapshot, database: HostDatabase, tree: SessionTree) -> dict[str, TableShape]:
    """Of those of a mirror's tables that a database has."""
    there = database.tables()
    return {table: state.shape(table) for table in tables_of(tree) if table in there}


def apply_mirror(  # noqa: PLR0913
    source: HostDatabase,
    target: HostDatabase,
    tree: SessionTree,
    plan: MirrorPlan,
    store: BlobStore | None,
    *,
    origin: str,
    direction: Direction,
    manner: Manner | None = None,
    directory: Path | None = None,
    announce: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> MirrorReport:
    """Send what was planned. The target has been prepared; `directory` takes what is too large for memory.

    May be killed at any moment and run again. Raises `BackendError` if
    the store cannot be written, and `DatabaseError` if a database cannot be read at all; a session's own trouble, and a
    database that is locked, are in the report.
    """
    begun = time.monotonic()
    report = MirrorReport(skipped=plan.skipped)
    if plan.sessions:
        with ExitStack() as stack:
            blobs = stack.enter_context(store.writer()) if store is not None and direction.offload else None
            way = _Way(source, target, tree, store, blobs, direction, manner or Manner(), directory, announce, progress)
            try:
                _Run(way, plan, origin, report).all()
            except DatabaseLockedError as error:
                report.locked = str(error)
                report.tell(str(error))
    report.longest_transaction_s = target.longest_transaction_s
    report.elapsed_s = time.monotonic() - begun
    return report


class _NoStore:
    """See `BlobSource`."""

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Raises `BlobMissingError`."""
        raise BlobMissingError(f"there is no store to read blob {digest} from", digest=digest)


@dataclass(frozen=True, slots=True)
class _Way:
    source: HostDatabase
    target: HostDatabase
    tree: SessionTree
    store: BlobStore | None
    blobs: Writer | None
    direction: Direction
    manner: Manner
    directory: Path | None
    announce: Callable[[str], None]
    progress: Callable[[int], None]

    @property
    def transform(self) -> Transform:
        if self.store is None or not self.direction.offload:
            return kept
        return Transformer(self.direction.payloads, store=self.store.short_id)

    @contextmanager
    def state(self) -> Iterator[Snapshot]:
        """One of the source, whose rows are as the target gets them but for their payloads."""
        with self.source.snapshot() as state:
            if self.target.keeps_records:
                yield state
            else:
                yield RehydratedSnapshot(state, self.direction.payloads, self.store or _NoStore())

    @property
    def tables(self) -> list[str]:
        return tables_of(self.tree)

    def shapes(self, database: HostDatabase) -> dict[str, TableShape]:
        with database.snapshot() as state:
            return shapes_of(state, database, self.tree)


class _Run:
    """One mirror."""

    def __init__(self, way: _Way, plan: MirrorPlan, origin: str, report: MirrorReport) -> None:
        self._way = way
        self._plan = plan
        self._origin = origin
        self._report = report
        self._lies = Lies(way.shapes(way.source), way.shapes(way.target))
        self._context = Context(way.target, way.tree, self._lies, force=way.manner.force, directory=way.directory)

    def all(self) -> None:
        """Every session that was planned."""
        for group in groups(self._plan.sessions, rows=GROUP_ROWS, size=GROUP_BYTES):
            self._mirror(group, read=self._way.manner.verify)

    def _mirror(self, group: Sequence[SessionFacts], *, read: bool) -> None:
        """Some sessions, or one by one if there is trouble with one of them."""
        tally = MirrorReport()
        try:
            sent = self._send(group, tally, read=read)
            unlike = self._check(sent)
        except DatabaseLockedError:
            raise
        except (DatabaseError, BlobError, BackendError) as error:
            if isinstance(error, BackendError) and self._way.direction.offload:
                raise
            self._context.forget()
            if len(group) == 1:
                self._report.leave(group[0].id, MirrorFate.FAILED, error)
                return
            for each in group:
                self._mirror((each,), read=read)
            return
        self._record([each for each in sent if each.facts.id not in unlike], tally)
        self._report.add(tally)
        for bad in (each for each in sent if each.facts.id in unlike):
            if bad.by_marks:
                # What was kept of its rows was not true: somebody else has written there.
                self._mirror((bad.facts,), read=True)
            else:
                self._report.leave(bad.facts.id, MirrorFate.FAILED, unlike[bad.facts.id])

    def _send(self, group: Sequence[SessionFacts], tally: MirrorReport, *, read: bool) -> list[Sent]:
        """All that was put is committed when this returns."""
        way, found = self._way, list[Sent | None]()
        with way.target.snapshot() as state:
            # A session's own row comes first: where it is not, nothing is.
            new = {facts.id for facts in group if not (read or state.exists(way.tree, facts.id))}
        sender = Sender(
            way.target,
            way.tree,
            self._lies,
            tally,
            transform=way.transform,
            manner=way.manner,
            directory=way.directory,
            announce=way.announce,
            progress=way.progress,
        )
        with (
            way.state() as source,
            way.target.mirror_writer() as writer,
            closing(sender),
            Feeder(writer, way.tables, way.blobs, tally, directory=way.directory) as feeder,
        ):
            for facts in group:
                self._context.send(facts.id, source, feeder)
                known = self._plan.recorded.get(facts.id)
                ours = None if known is None else known.origin == self._origin and not known.is_newer(facts)
                columns = self._plan.columns.get(facts.id)
                found.append(
                    sender.send(facts, source, feeder, columns=columns, new=facts.id in new, ours=ours, read=read)
                )
        return [sent for sent in found if sent is not None]

    def _check(self, sent: Sequence[Sent]) -> dict[str, str]:
        """Sessions that do not read back as they were sent, and how."""
        with self._way.target.snapshot() as state:
            self._context.check(state)
            # What was read a moment ago, and found to be the same, is not read again.
            unlike = {each.facts.id: self._unlike(state, each) for each in sent if each.changes or each.by_marks}
        return {session: words for session, words in unlike.items() if words}

    def _unlike(self, state: Snapshot, sent: Sent) -> str:
        there: dict[str, RowSum] = {}
        lies = {table: lie for table, lie in sent.lies.items() if table in sent.sums or table in sent.tables}
        for owned, lie, row in rows_there(state, self._way.tree, lies, sent.facts.id):
            there.setdefault(owned.table, RowSum()).add(lie.digest(row))
        for table in (*sent.sums, *there):
            put, found = (sums.get(table, RowSum()) for sums in (sent.sums, there))
            if put.rows != found.rows:
                return f"{found.rows:,} rows of {table} are in the target, and {put.rows:,} were sent"
            if put.hexdigest() != found.hexdigest():
                return f"rows of {table} do not read back as they were sent"
        return ""

    def _record(self, sent: Sequence[Sent], tally: MirrorReport) -> None:
        for each in sent:
            tally.fates[each.facts.id] = MirrorFate.MIRRORED if each.changes else MirrorFate.SAME
        if not (sent and self._way.target.keeps_records):
            return
        with self._way.target.mirror_writer() as writer:
            for each in sent:
                writer.record(self._recorded(each))

    def _recorded(self, sent: Sent) -> MirroredSession:
        facts = sent.facts
        return MirroredSession(
            facts.id,
            sent.digest,
            sent.rows,
            facts.rows,
            facts.size,
            facts.used_ms,
            self._origin,
            int(time.time() * 1000),
            {table: sent.lies[table].common for table in sent.sums},
        )
