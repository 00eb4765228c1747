"""One session into an archive: what people see of it, the blobs it needs beside, and every row of every table."""

import itertools
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, cast

from ocblob import base64stream
from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import Content, Row, SessionFacts, Snapshot
from ocblob.rows import SessionHasher
from ocblob.scan import PayloadSpan, RefSpan, Span
from ocblob.sessions.contents import Watched
from ocblob.sessions.cutting import Cut, Listed
from ocblob.sessions.elements import FORMAT
from ocblob.sessions.inlining import Inlining, SessionRefs
from ocblob.sessions.lines import TextSink, Writable
from ocblob.sessions.packing import ScannedRow, pack_rows, scanned
from ocblob.sessions.shown import HOST, Shown
from ocblob.sessions.values import dumped

TITLE_CHARS: Final = 1000
NAME_CHARS: Final = 200
SPOOL_BYTES: Final = 4 * 1024 * 1024
COPY_BYTES: Final = 256 * 1024
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
        directory: Path,
    ) -> None:
        """`directory` takes what is too large for memory meanwhile."""
        self._directory = directory
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
        self._attach_and_pack(session, refs)
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

    def _attach_and_pack(self, session: str, refs: SessionRefs) -> None:
        """The blobs that rows need and nothing before them has brought, then the rows.

        Each row is read once: its line waits in a file without a name until all blobs stand before it.
        """
        with tempfile.SpooledTemporaryFile(SPOOL_BYTES, prefix=".ocblob-", dir=str(self._directory)) as spool:
            lines = Watched(cast("BinaryIO", spool), self._directory)
            attached = Listed(self._sink, b'"attachments":[')
            self._tables(lines, attached, refs, b'"context":[', self._context(session))
            self._tables(lines, attached, refs, b'"tables":[', self._owned(session), counted=True)
            attached.close(b"],\n")
            spool.seek(0)
            while piece := spool.read(COPY_BYTES):
                self._sink.write(piece)

    def _attach(self, attached: Listed, refs: SessionRefs, table: str, found: ScannedRow) -> None:
        """What one row needs."""
        name = ""
        for value, spans in zip(found.row.values, found.spans, strict=True):
            for span in spans:
                if isinstance(value, Content) and isinstance(span, PayloadSpan):
                    self._attach_payload(attached, value, span)
                elif isinstance(span, RefSpan):
                    name = name or self._name(table, found.row)
                    if self._inlining.fetches(span.ref):
                        self._attach_blob(attached, span)
                    refs.look(span.ref, name)

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

    def _tables(  # noqa: PLR0913
        self,
        spool: Writable,
        attached: Listed,
        refs: SessionRefs,
        opening: bytes,
        tables: Iterator[_Where],
        *,
        counted: bool = False,
    ) -> None:
        listed = Listed(spool, opening)
        for where in tables:
            # A table without rows is not written: the first row decides.
            first = next(where.rows, None)
            if first is None:
                continue
            listed.item()
            shape = self._snapshot.shape(where.table)
            if counted:
                self._hasher.table(where.table, shape.columns)
            rows = self._scanned(itertools.chain((first,), where.rows), counted=counted)
            pack_rows(spool, where.table, shape.columns, shape.key, self._attached(rows, attached, refs, where.table))
        listed.close(b"],\n")

    def _scanned(self, rows: Iterable[Row], *, counted: bool) -> Iterator[ScannedRow]:
        for row in rows:
            if counted:
                self._hasher.row(row)
                self._rows += 1
                self._size += row.content_size
            yield scanned(row)

    def _attached(
        self, rows: Iterable[ScannedRow], attached: Listed, refs: SessionRefs, table: str
    ) -> Iterator[ScannedRow]:
        for found in rows:
            self._attach(attached, refs, table, found)
            yield found

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
