"""The line grammar of an archive: elements, tables and rows out of lines. What does not fit is refused by its line."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from ocblob.databases.session_rows import Content, Row, Value
from ocblob.digest import is_digest
from ocblob.sessions.contents import RowContents
from ocblob.sessions.lines import Lines
from ocblob.sessions.values import ContentIndex, Piece, unpacked_head, unpacked_piece, unpacked_value

FORMAT: Final = 1
_INFO: Final = b'{"info":{'
_OCBLOB: Final = b'"ocblob":{'
_PARTS: Final = b',"parts":['
_CONTEXT: Final = b'"context":['
_TABLES: Final = b'"tables":['
_ROWS: Final = b'"rows":['
_ROW: Final = b'{"row":'
_CONTENTS: Final = b',"contents":['
_PIECES: Final = b'"pieces":['
_CLOSINGS: Final = (b"]}", b"]},")


@dataclass(frozen=True, slots=True)
class ArchivedSession:
    """What stands before a session's rows."""

    host: str
    """The name of the host profile."""
    id: str
    parent: str
    """Empty for none."""
    title: str
    created_ms: int | None
    used_ms: int | None
    archived_ms: int
    refs: bool
    """Whether refs in its rows were left without their blobs."""


@dataclass(frozen=True, slots=True)
class ArchivedTotals:
    """What stands behind a session's rows."""

    rows: int
    """Without those of its context."""
    size: int
    """Bytes of content of these rows."""
    unresolved: int
    """Different blobs that refs in its rows name and that the archive does not hold."""
    digest: str
    """`rows.session_digest` of it, over the columns that are archived."""


@dataclass(frozen=True, slots=True)
class ArchivedTable:
    """A table of an archive: its rows follow."""

    table: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    """The columns of the primary key; empty if it has none."""
    context: bool
    """Whether these are rows that the session refers to and does not own."""


Rows = Iterator[tuple[ArchivedTable, Row]]


class Elements:
    """Walks over an archive: of each session `begin`, `rows` to their end or `pass_rows`, then `totals`."""

    def __init__(self, lines: Lines) -> None:
        self._lines = lines
        self._first = True
        self._comma = False
        """Whether a comma stood behind the last item of a list."""

    def begin(self) -> ArchivedSession | None:
        """Pass over what the archive shows of the next session, and tell which it is; None at the end."""
        lines = self._lines
        if self._first:
            lines.expect(b"[")
        elif lines.expect(b",", b"]") == b"]":
            lines.end()
            return None
        lines.begin_digest()
        head, tail = lines.skip()
        if self._first and head == b"]":
            lines.end()
            return None
        self._first = False
        if not head.startswith(_INFO) or not tail.endswith(b"},"):
            raise lines.refused("expected a session")
        self._pass_messages()
        session = self._session(lines.line())
        lines.expect(b'"attachments":[')
        for head, tail in self._items(b"],", whole=False):
            if not head.startswith(b'"data:') or not tail.endswith((b'"', b'",')):
                raise lines.refused("expected an attachment")
            self._comma = tail.endswith(b",")
        return session

    def rows(self, contents: RowContents) -> Rows:
        """The rows of the session that was begun, those of its context first. To be read to the end."""
        for name, context in ((_CONTEXT, True), (_TABLES, False)):
            self._lines.expect(name)
            for line, _ in self._items(b"],"):
                table = self._table(line, context=context)
                for row_line, _ in self._items(*_CLOSINGS):
                    contents.clear()
                    yield table, self._row(row_line, table, contents)

    def pass_rows(self) -> None:
        """Instead of `rows`: pass over them, unparsed. That they are as they were written, `totals` tells."""
        for name in (_CONTEXT, _TABLES):
            self._lines.expect(name)
            while self._lines.skip()[0] != b"],":
                pass

    def totals(self) -> ArchivedTotals:
        """What stands behind the rows. The text of the whole session is looked at by then."""
        text = self._lines.digest()
        line = self._lines.line()
        match self._json(b"{" + line[:-1]) if line.endswith(b"}}") else None:
            case {
                "rows": int(rows),
                "size": int(size),
                "unresolved": int(unresolved),
                "digest": str(digest),
                "text": str(told),
            } if is_digest(digest):
                if told != text:
                    raise self._lines.refused("the text of this session is not as it was written")
                return ArchivedTotals(rows, size, unresolved, digest)
        raise self._lines.refused("expected what the rows amount to")

    def _pass_messages(self) -> None:
        self._lines.expect(b'"messages":[')
        for head, tail in self._items(b"],", whole=False):
            if not head.startswith(_INFO) or not tail.endswith(_PARTS):
                raise self._lines.refused("expected a message")
            for part, end in self._items(*_CLOSINGS, whole=False):
                if not part.startswith(b"{") or not end.endswith((b"}", b"},")):
                    raise self._lines.refused("expected a part of a message")
                self._comma = end.endswith(b",")

    def _session(self, line: bytes) -> ArchivedSession:
        fits = line.startswith(_OCBLOB) and line.endswith(b",")
        match self._json(line[len(_OCBLOB) - 1 : -1] + b"}") if fits else None:
            case {"format": int(version)} if version != FORMAT:
                raise self._lines.refused(f"format {version}, and this ocblob reads format {FORMAT}")
            case {
                "host": str(host),
                "session": str(session),
                "parent": None | str() as parent,
                "title": str(title),
                "created_ms": None | int() as created_ms,
                "used_ms": None | int() as used_ms,
                "archived_ms": int(archived_ms),
                "refs": bool(refs),
            }:
                return ArchivedSession(host, session, parent or "", title, created_ms, used_ms, archived_ms, refs)
        raise self._lines.refused("expected what ocblob says of a session")

    def _table(self, line: bytes, *, context: bool) -> ArchivedTable:
        match self._json(line + b"]}") if line.endswith(_ROWS) else None:
            case {"table": str(table), "columns": [*columns], "key": [*key], "rows": []} if all(
                isinstance(name, str) for name in (*columns, *key)
            ):
                return ArchivedTable(table, tuple(columns), tuple(key), context)
        raise self._lines.refused("expected a table")

    def _row(self, line: bytes, table: ArchivedTable, contents: RowContents) -> Row:
        text, behind = line, False
        if line.startswith(b"{"):
            behind = line.endswith(_CONTENTS)
            text = line[len(_ROW) : -len(_CONTENTS)] if behind and line.startswith(_ROW) else b""
        else:
            self._comma = line.endswith(b",")
            text = line[:-1] if self._comma else line
        try:
            values = [unpacked_value(value) for value in self._array(text)]
        except ValueError as error:
            raise self._lines.refused(str(error)) from error
        held = [self._content(head, contents) for head, _ in self._items(*_CLOSINGS)] if behind else []
        rowid, *others = values
        if not isinstance(rowid, int | None) or len(others) != len(table.columns):
            raise self._lines.refused(f"a row that does not fit the columns of table {table.table}")
        named = [value.index for value in others if isinstance(value, ContentIndex)]
        if named != list(range(len(held))):
            raise self._lines.refused("a row without its contents, or contents without their row")
        try:
            return Row(rowid, tuple(_value(value, held) for value in others))
        except UnicodeEncodeError as error:
            raise self._lines.refused("a text that no database has") from error

    def _array(self, text: bytes) -> list[object]:
        values = self._json(text)
        if not isinstance(values, list) or not values:
            raise self._lines.refused("expected a row")
        return values

    def _content(self, line: bytes, contents: RowContents) -> Content:
        try:
            head = unpacked_head(self._json(line + b"]}") if line.endswith(_PIECES) else None)
            return contents.add(head, self._pieces(), self._lines.refused)
        except ValueError as error:
            raise self._lines.refused(str(error)) from error

    def _pieces(self) -> Iterator[Piece]:
        for line, _ in self._items(*_CLOSINGS):
            self._comma = line.endswith(b",")
            yield unpacked_piece(self._json(line[:-1] if self._comma else line))

    def _items(self, *closings: bytes, whole: bool = True) -> Iterator[tuple[bytes, bytes]]:
        """The first and last bytes of the first line of each item of a list, `whole` or not, up to its closing line.

        Who takes an item leaves in `_comma` whether one stood behind it.
        """
        self._comma = True
        empty = True
        while True:
            head, tail = (self._lines.line(), b"") if whole else self._lines.skip()
            if head in closings:
                if self._comma and not empty:
                    raise self._lines.refused("a list that ends with a comma")
                self._comma = head.endswith(b",")
                return
            if not self._comma:
                raise self._lines.refused("a list that does not end, or misses a comma")
            empty = False
            yield head, tail

    def _json(self, text: bytes) -> object:
        try:
            value: object = json.loads(text.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise self._lines.refused("no JSON, or not of the form that belongs here") from error
        return value


def _value(value: object, held: list[Content]) -> Value:
    match value:
        case ContentIndex(index):
            return held[index]
        case str():
            data = value.encode("utf-8")
            return Content("text", len(data), lambda: iter((data,)))
        case None | int() | float():
            return value
    raise AssertionError(value)
