"""Sessions out of a mirror, as an archive gives them: whole, byte for byte, payloads inline again.

A session whose rows are not those that were mirrored is refused, unless that is allowed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import time

from ocblob.cells import Column, OwnedTable, SessionTree
from ocblob.databases.mirror_rows import MirroredSession
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import Content, Row, SessionDatabase, SessionFacts, Snapshot, Value
from ocblob.errors import BlobMissingError, DatabaseUnsupportedError
from ocblob.rows import RowSum, row_digest
from ocblob.sessions.contents import BlobSource, NoBlobs
from ocblob.sessions.elements import ArchivedSession, ArchivedTable, ArchivedTotals, Rows
from ocblob.sessions.mirroring import rehydrated
from ocblob.sessions.mirroring.looking import are_of_a_mirror
from ocblob.sessions.sources import Header
from ocblob.sessions.unarchive import UnarchiveReport, put_back_from
from ocblob.store import BlobStore


@dataclass(frozen=True, slots=True)
class MirrorSource:
    """The sessions of one mirror, or of any database with sessions."""

    database: HostDatabase
    tree: SessionTree
    host: str
    payloads: tuple[Column, ...]
    """Where a mirror keeps refs for payloads."""
    trusting: bool = False
    """Whether rows are taken that are not those that were mirrored."""
    _looked_at: set[str] = field(default_factory=set)

    @property
    def noun(self) -> str:
        """How messages call it."""
        return "mirror"

    def record(self, session: str) -> MirroredSession | None:
        """What was mirrored of a session; None if it was not, or where no records are kept.

        Asked for one by one: a mirror may have millions.
        """
        return next(self.database.records(session), None)

    def facts(self, snapshot: Snapshot, session: str) -> SessionFacts | None:
        """See `facts_of`."""
        return facts_of(snapshot, self.tree, session, self.record(session))

    def headers(self, facts: Iterable[SessionFacts]) -> list[Header]:
        """What is known of sessions, as `facts_of` tells it; what they are is only known when they are read."""
        now_ms = int(time() * 1000)
        return [
            (
                ArchivedSession(
                    self.host, each.id, each.parent, each.title, each.created_ms, each.used_ms, now_ms, refs=True
                ),
                ArchivedTotals(each.rows, each.size, 0, ""),
            )
            for each in facts
        ]

    def sessions(
        self, wanted: Collection[str] = (), *, blobs: BlobSource | None = None, directory: Path | None = None
    ) -> Iterator[tuple[ArchivedSession, Rows]]:
        """See `SessionSource`: in the order of `wanted`, each as it is when it is come to."""
        del directory
        for session in wanted:
            record = self.record(session)
            with self.database.snapshot() as snapshot:
                facts = facts_of(snapshot, self.tree, session, record)
                if facts is not None:
                    ((header, _),) = self.headers([facts])
                    yield header, self._rows(snapshot, session, record, blobs or NoBlobs())

    def _rows(self, snapshot: Snapshot, session: str, record: MirroredSession | None, blobs: BlobSource) -> Rows:
        self._check(snapshot, session, record)
        had = record.columns if record is not None else {}
        for own, table, column in self.tree.context:
            for value in _texts(snapshot, self.tree.sessions, session, own):
                rows = snapshot.context_rows(table, column, value)
                yield from self._as_archived(snapshot, table, rows, had, blobs, context=True)
        for owned in self.tree.owned:
            yield from self._as_archived(snapshot, owned.table, snapshot.rows(owned, session), had, blobs)

    def _as_archived(  # noqa: PLR0913
        self,
        snapshot: Snapshot,
        table: str,
        rows: Iterable[Row],
        had: Mapping[str, tuple[str, ...]],
        blobs: BlobSource,
        *,
        context: bool = False,
    ) -> Rows:
        """Of the columns that came after a session none has a value of its own in it."""
        shape = snapshot.shape(table)
        columns = tuple(name for name in had.get(table, shape.columns) if name in shape.columns)
        places = [shape.columns.index(name) for name in columns]
        as_archived = ArchivedTable(table, columns, shape.key, context)
        for row in rows:
            values = rehydrated(table, shape.columns, row, self.payloads, blobs).values
            yield as_archived, Row(row.rowid, tuple(values[place] for place in places))

    def _check(self, snapshot: Snapshot, session: str, record: MirroredSession | None) -> None:
        """Raise `DatabaseUnsupportedError` if a session is not what its record says. Reads its rows, once."""
        if self.trusting or session in self._looked_at:
            return
        if record is None:
            if self._is_begun(session):
                raise DatabaseUnsupportedError(
                    "a mirror that was interrupted has put it there, perhaps a part of it only: the next `ocblob"
                    " mirror` completes it; --force takes it as it is"
                )
        elif sum_of(snapshot, self.tree, session) != record.digest:
            raise DatabaseUnsupportedError(
                "its rows in the mirror are not those that were mirrored: somebody has changed them there; --force"
                " takes them as they are"
            )
        self._looked_at.add(session)

    def _is_begun(self, session: str) -> bool:
        """Whether a session without a record was put by a mirror."""
        marks = (mark for owned in self.tree.owned for mark in self.database.marks(self.tree, owned.table, session))
        try:
            return are_of_a_mirror(mark.digest for mark in marks)
        except DatabaseUnsupportedError:  # a host's own tables
            return False


class StoreBlobs:
    """The blobs that payloads are made of: see `BlobSource`."""

    def __init__(self, store: BlobStore | None) -> None:
        self._store = store

    def chunks(self, digest: str) -> Iterator[bytes]:
        """A blob in pieces."""
        if self._store is None:
            raise BlobMissingError(f"blob {digest} cannot be had: there is no store", digest=digest)
        return self._store.chunks(digest)


def put_back_out_of(  # noqa: PLR0913
    source: MirrorSource,
    database: SessionDatabase,
    tree: SessionTree,
    sessions: Sequence[str],
    *,
    store: BlobStore | None,
    directory: Path | None,
) -> UnarchiveReport:
    """As `put_back_from`, out of a mirror whose payloads are in a store."""
    with source.database.snapshot() as there:
        known = [source.facts(there, session) for session in sessions]
    headers = source.headers(facts for facts in known if facts is not None)
    return put_back_from(source, database, tree, headers, sessions, blobs=StoreBlobs(store), directory=directory)


def sum_of(snapshot: Snapshot, tree: SessionTree, session: str) -> str:
    """The digest of a session as a record has it."""
    total = RowSum()
    for owned in tree.owned:
        columns = snapshot.shape(owned.table).columns
        for row in snapshot.rows(owned, session):
            total.add(row_digest(owned.table, columns, row))
    return total.hexdigest()


def facts_of(
    snapshot: Snapshot, tree: SessionTree, session: str, record: MirroredSession | None
) -> SessionFacts | None:
    """What is known of one session by its own row and its record; None if it is not there."""
    shape = snapshot.shape(tree.sessions.table)
    for row in snapshot.rows(tree.sessions, session):
        cells = dict(zip(shape.columns, row.values, strict=True))
        return SessionFacts(
            id=session,
            parent=_text(cells.get(tree.parent)),
            title=_text(cells.get(tree.title)),
            created_ms=_time(cells.get(tree.created)),
            used_ms=_time(cells.get(tree.sessions.updated)),
            size=record.source_size if record is not None else 0,
            rows=record.rows if record is not None else 0,
            shared=False,
        )
    return None


def tree_below(snapshot: Snapshot, tree: SessionTree, sessions: Sequence[str]) -> tuple[str, ...]:
    """These sessions and all their descendants, a parent before its children."""
    found = dict.fromkeys(sessions)
    level = list(found)
    while level:
        level = [child for child in sorted(snapshot.children(tree, level)) if child not in found]
        found |= dict.fromkeys(level)
    return tuple(found)


def root_of(snapshot: Snapshot, tree: SessionTree, session: str) -> str:
    """The session that began it all, as far up as there are any."""
    seen = {session}
    while (facts := facts_of(snapshot, tree, session, None)) is not None:
        if not facts.parent or facts.parent in seen or not snapshot.exists(tree, facts.parent):
            break
        session = facts.parent
        seen.add(session)
    return session


def _texts(snapshot: Snapshot, table: OwnedTable, session: str, column: str) -> list[str]:
    """What a session's own row has in a column, as text."""
    place = snapshot.shape(table.table).columns.index(column)
    values = (row.values[place] for row in snapshot.rows(table, session))
    return [
        b"".join(value.chunks()).decode("utf-8", "surrogateescape") for value in values if isinstance(value, Content)
    ]


def _text(value: Value) -> str:
    if isinstance(value, Content):
        return b"".join(value.chunks()).decode("utf-8", "replace")
    return "" if value is None else str(value)


def _time(value: Value) -> int | None:
    return value if isinstance(value, int) else None
