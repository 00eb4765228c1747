"""The part of an archive that is for people and for `opencode import`: a session as OpenCode's `export` prints it.

Cells of messages and parts are spliced as bytes, never parsed as a whole when they are large. A cell that is no JSON
object is left out; the rows of the tables have it all the same.
"""

import math
from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import pybase64

from ocblob import base64stream
from ocblob.cells import OwnedTable
from ocblob.databases.session_rows import SMALL_BYTES, Content, Row, Snapshot, Value
from ocblob.hosts.opencode.export import Cell, session_info
from ocblob.json_stream import JsonObject
from ocblob.json_text import is_json
from ocblob.ref import Ref, marker_line
from ocblob.rewrite import reference_text
from ocblob.scan import PayloadSpan, RefSpan, Span
from ocblob.sessions.cutting import Cut, Listed, on_one_line
from ocblob.sessions.inlining import Inlining
from ocblob.sessions.lines import TextSink
from ocblob.sessions.spans import spans_of
from ocblob.sessions.values import dumped

HOST: Final = "opencode"
CELL_BYTES_MAX: Final = 4 * 1024 * 1024
"""A cell of a session's own row that is larger is not shown."""
_SPACE: Final = b" \t\r\n"
_BETWEEN: Final = "\0"


@dataclass(frozen=True, slots=True)
class _Object:
    """A cell that is a JSON object."""

    content: Content
    spans: tuple[Span, ...]
    """Its payloads and refs."""
    start: int
    """Where its first bracket is."""
    end: int
    """Where its last bracket is."""
    empty: bool
    """Whether it has no keys."""


class Shown:
    """Writes what people see of one session, from a snapshot."""

    def __init__(self, sink: TextSink, snapshot: Snapshot, inlining: Inlining, session: str) -> None:
        self._sink = sink
        self._snapshot = snapshot
        self._inlining = inlining
        self._session = session

    def write(self, owned: Mapping[str, OwnedTable]) -> None:
        """`info` and `messages`, messages by their times, parts by their ids, as the host has them."""
        info: dict[str, object] = {}
        for row in self._snapshot.rows(owned["session"], self._session):
            info = session_info(self._cells("session", row))
        self._sink.write(b'{"info":' + dumped(info) + b",\n")
        listed = Listed(self._sink, b'"messages":[')
        parts = self._parts(owned["part"])
        for message in self._messages(owned["message"]):
            shown = self._object("message", message)
            if shown is None:
                continue
            listed.item(b'{"info":')
            self._splice(shown, {"id": message, "sessionID": self._session})
            inner = Listed(self._sink, b',"parts":[')
            for part in _of(parts, message):
                if (found := self._object("part", part)) is not None:
                    inner.item()
                    self._splice(found, {"id": part, "sessionID": self._session, "messageID": message})
            inner.close(b"]}")
        listed.close(b"],\n")

    def _messages(self, table: OwnedTable) -> list[str]:
        keys = []
        for row in self._snapshot.rows(table, self._session):
            cells = self._cells(table.table, row, {"id", "time_created"})
            time = cells.get("time_created")
            keys.append((time if isinstance(time, int | float) else 0, str(cells.get("id"))))
        return [message for _, message in sorted(keys)]

    def _parts(self, table: OwnedTable) -> list[str]:
        """Message and id of every part, in one text each: there may be very many of them."""
        found = []
        for row in self._snapshot.rows(table, self._session):
            cells = self._cells(table.table, row, {"id", "message_id"})
            found.append(f"{cells.get('message_id')}{_BETWEEN}{cells.get('id')}")
        found.sort()
        return found

    def _cells(self, table: str, row: Row, wanted: Collection[str] = ()) -> dict[str, Cell]:
        """Cells by their columns, those that are wanted or all."""
        columns = self._snapshot.shape(table).columns
        return {
            name: _cell(value) for name, value in zip(columns, row.values, strict=True) if not wanted or name in wanted
        }

    def _object(self, table: str, key: str) -> _Object | None:
        """The data of one row, if it is a JSON object."""
        shape = self._snapshot.shape(table)
        data = key.encode("utf-8", "surrogatepass")
        if shape.key != ("id",):
            return None
        row = self._snapshot.find(table, (Content("text", len(data), lambda: iter((data,))),))
        if row is None:
            return None
        value = row.values[shape.columns.index("data")]
        return _object(value) if isinstance(value, Content) and value.kind == "text" else None

    def _splice(self, shown: _Object, more: dict[str, str]) -> None:
        """The object with more keys behind its own; of a key that it has already, readers take the last."""
        for chunk in on_one_line(self._filled(shown)):
            self._sink.write(chunk)
        self._sink.write((b"" if shown.empty else b",") + dumped(more)[1:])

    def _filled(self, shown: _Object) -> Iterator[bytes]:
        """The text of an object up to its last bracket: a blob where it comes first, else a ref."""
        cut = Cut(shown.content.chunks())
        cut.skip(shown.start)
        for span in shown.spans:
            yield from cut.take(span.start)
            if isinstance(span, PayloadSpan):
                if span.header.isascii() and self._inlining.begin(span.digest, span.size):
                    yield from cut.take(span.end)
                else:
                    cut.skip(span.end)
                    yield self._reference(span)
            elif isinstance(span, RefSpan) and span.header.isascii() and self._inlining.fetches(span.ref):
                self._inlining.begin(span.ref.digest, span.ref.size)
                cut.skip(span.end)
                yield from base64stream.encode(self._inlining.chunks(span.ref.digest))
        yield from cut.take(shown.end)

    def _reference(self, span: PayloadSpan) -> bytes:
        store = self._inlining.short_id
        ref = Ref(span.digest, span.size, (("store", store),) if store else ())
        # A type that has no placeholder: the bare marker is no picture, but says which blob it was.
        return reference_text(span.mime, ref) or pybase64.b64encode(marker_line(ref))


def _of(parts: list[str], message: str) -> Iterator[str]:
    """The ids of one message's parts."""
    before = message + _BETWEEN
    for at in range(bisect_left(parts, before), len(parts)):
        if not parts[at].startswith(before):
            return
        yield parts[at].removeprefix(before)


def _cell(value: Value) -> Cell:
    if not isinstance(value, Content):
        return value if value is None or math.isfinite(value) else None
    if value.kind == "blob" or value.size > CELL_BYTES_MAX:
        return None
    return b"".join(value.chunks()).decode("utf-8", "replace")


def _object(content: Content) -> _Object | None:
    """Where the payloads and the end of a cell are; None if it is no object."""
    spans = tuple(span for span in spans_of(content, bare_refs=False) if isinstance(span, PayloadSpan | RefSpan))
    if content.size <= SMALL_BYTES:
        text = b"".join(content.chunks())
        inner = text.strip(_SPACE)
        if not inner.startswith(b"{") or not is_json(text):
            return None
        return _Object(content, spans, text.index(b"{"), text.rindex(b"}"), not inner[1:-1].strip(_SPACE))
    check, cut = JsonObject(), Cut(content.chunks())
    first, end, begin = -1, 0, 0
    empty = True
    for start, stop in [*((span.start, span.end) for span in spans), (content.size, content.size)]:
        # What is base64 needs no look.
        for piece in cut.take(start):
            check.feed(piece)
            if first < 0 and (at := piece.find(b"{")) >= 0:
                first = begin + at
            if (at := piece.rfind(b"}")) >= 0:
                end = begin + at
            empty = empty and not piece.strip(_SPACE + b"{}")
            begin += len(piece)
        cut.skip(stop)
        begin = stop
    return _Object(content, spans, first, end, empty) if check.close() else None
