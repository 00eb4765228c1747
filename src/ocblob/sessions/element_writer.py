"""One session into an archive: what people see of it, the blobs it needs beside, and every row of every table."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ocblob import base64stream
from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import Content, Row, SessionFacts, Snapshot
from ocblob.rows import SessionHasher
from ocblob.scan import PayloadSpan, RefSpan, Span
from ocblob.sessions.cutting import Cut, Listed
from ocblob.sessions.elements import FORMAT
from ocblob.sessions.inlining import Inlining, SessionRefs
from ocblob.sessions.lines import TextSink
from ocblob.sessions.packing import ScannedRow, pack_rows, scanned
from ocblob.sessions.shown import HOST, Shown
from ocblob.sessions.spans import row_size
from ocblob.sessions.values import dumped

TITLE_CHARS: Final = 1000
NAME_CHARS: Final = 200
NO_TYPE: Final = "application/octet-stream;base64"


@dataclass(frozen=True, slots=True)
class SealedSession:
    """One session as it went into an archive."""

    id: str
    digest: str
    rows: int
    size: int
    """Bytes of its texts and blobs."""
    unresolved: dict[str, int]
    """Refs in its rows whose blobs are not in the archive, nor, if refs were to stay, in the store: by reason."""


@dataclass(frozen=True, slots=True)
class _Where:
    """Rows of one table that a session has or refers to."""

    table: str
    rows: Iterator[Row]


class ElementWriter:
    """Writes one session as it is in one snapshot."""

    def __init__(  # noqa: PLR0913
        self,
        sink: TextSink,
        snapshot: Snapshot,
        tree: SessionTree,
        inlining: Inlining,
        *,
        host: str,
        refs: bool,
        archived_ms: int,
    ) -> None:
        self._sink = sink
        self._snapshot = snapshot
        self._tree = tree
        self._inlining = inlining
        self._host = host
        self._refs = refs
        self._archived_ms = archived_ms
        self._hasher = SessionHasher()
        self._rows = self._size = 0

    def write(self, facts: SessionFacts) -> SealedSession:
        """One element, without a line end behind it."""
        sink = self._sink
        sink.begin_digest()
        session = facts.id
        self._show(session)
        sink.write(dumped({"ocblob": self._head(facts)})[1:-2] + b",\n")
        refs = SessionRefs(self._inlining)
        self._attach(session, refs)
        self._tables(b'"context":[', self._context(session))
        self._tables(b'"tables":[', self._owned(session), counted=True)
        totals = {
            "rows": self._rows,
            "size": self._size,
            "unresolved": refs.absent,
            "digest": self._hasher.hexdigest(),
            "text": sink.digest(),
        }
        sink.write(dumped(totals)[1:] + b"}")
        return SealedSession(session, self._hasher.hexdigest(), self._rows, self._size, dict(refs.reasons))

    def _show(self, session: str) -> None:
        owned = {each.table: each for each in self._tree.owned}
        if self._host == HOST and {"session", "message", "part"} <= owned.keys():
            Shown(self._sink, self._snapshot, self._inlining, session).write(owned)
        else:
            self._sink.write(b'{"info":{},\n"messages":[\n],\n')

    def _head(self, facts: SessionFacts) -> dict[str, object]:
        return {
            "format": FORMAT,
            "host": self._host,
            "session": facts.id,
            "parent": facts.parent or None,
            "title": facts.title[:TITLE_CHARS],
            "created_ms": facts.created_ms,
            "used_ms": facts.used_ms,
            "archived_ms": self._archived_ms,
            "refs": self._refs,
        }

    def _attach(self, session: str, refs: SessionRefs) -> None:
        """The blobs that rows need and nothing before them has brought."""
        listed = Listed(self._sink, b'"attachments":[')
        for where in (*self._context(session), *self._owned(session)):
            for row in where.rows:
                found = scanned(row)
                name = ""
                for value, spans in zip(row.values, found.spans, strict=True):
                    for span in spans:
                        if isinstance(value, Content) and isinstance(span, PayloadSpan):
                            self._attach_payload(listed, value, span)
                        elif isinstance(span, RefSpan):
                            name = name or self._name(where.table, row)
                            if self._inlining.fetches(span.ref):
                                self._attach_blob(listed, span)
                            refs.look(span.ref, name)
        listed.close(b"],\n")

    def _attach_payload(self, listed: Listed, content: Content, span: PayloadSpan) -> None:
        if self._inlining.begin(span.digest, span.size):
            cut = Cut(content.chunks())
            cut.skip(span.start)
            self._attach_text(listed, span, cut.take(span.end))

    def _attach_blob(self, listed: Listed, span: RefSpan) -> None:
        self._inlining.begin(span.ref.digest, span.ref.size)
        self._attach_text(listed, span, base64stream.encode(self._inlining.chunks(span.ref.digest)))

    def _attach_text(self, listed: Listed, span: Span, text: Iterator[bytes]) -> None:
        header = span.header if span.header.isascii() else NO_TYPE
        listed.item(b'"data:' + header.encode("ascii") + b",")
        for piece in text:
            self._sink.write(piece)
        self._sink.write(b'"')

    def _tables(self, opening: bytes, tables: Iterator[_Where], *, counted: bool = False) -> None:
        listed = Listed(self._sink, opening)
        for where in tables:
            # A table without rows is not written: the first row decides.
            first = next(where.rows, None)
            if first is None:
                continue
            listed.item()
            shape = self._snapshot.shape(where.table)
            if counted:
                self._hasher.table(where.table, shape.columns)
            rows = self._scanned(first, where.rows, counted=counted)
            pack_rows(self._sink, where.table, shape.columns, shape.key, rows)
        listed.close(b"],\n")

    def _scanned(self, first: Row, others: Iterator[Row], *, counted: bool) -> Iterator[ScannedRow]:
        row: Row | None = first
        while row is not None:
            if counted:
                self._hasher.row(row)
                self._rows += 1
                self._size += row_size(row)
            yield scanned(row)
            row = next(others, None)

    def _owned(self, session: str) -> Iterator[_Where]:
        for table in self._tree.owned:
            yield _Where(table.table, self._snapshot.rows(table, session))

    def _context(self, session: str) -> Iterator[_Where]:
        """Rows that the session's own row refers to."""
        sessions: OwnedTable = self._tree.sessions
        for column, table, named in self._tree.context:
            columns = self._snapshot.shape(sessions.table).columns
            if column not in columns:
                continue
            for row in self._snapshot.rows(sessions, session):
                value = row.values[columns.index(column)]
                if isinstance(value, Content):
                    text = b"".join(value.chunks()).decode("utf-8", "surrogateescape")
                    yield _Where(table, self._snapshot.context_rows(table, named, text))

    def _name(self, table: str, row: Row) -> str:
        """A row's name for messages: its table and its key."""
        shape = self._snapshot.shape(table)
        key = [row.values[shape.columns.index(column)] for column in shape.key if column in shape.columns]
        return f"{table}:{','.join(map(_shown, key)) or row.rowid}"


def _shown(value: object) -> str:
    if isinstance(value, Content):
        return b"".join(value.chunks())[:NAME_CHARS].decode("utf-8", "replace")
    return str(value)
