"""Rows into the lines of an archive. A text is read at most three times, and never held."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from ocblob.databases.session_rows import Content, Row
from ocblob.scan import PayloadSpan, Span
from ocblob.sessions.cutting import Cut, Listed
from ocblob.sessions.lines import Writable
from ocblob.sessions.spans import spans_of
from ocblob.sessions.values import (
    PIECE_BYTES,
    BlobText,
    dumped,
    packed_blob_text,
    packed_pieces,
    packed_reference,
    packed_value,
)

LINE_VALUES_BYTES: Final = 256 * 1024
"""What the texts in a row's line may have together; more of them stand behind it."""


@dataclass(frozen=True, slots=True)
class ScannedRow:
    """A row and what is in its texts."""

    row: Row
    spans: tuple[tuple[Span, ...], ...]
    """Of each value; none of one that is no text or blob."""


def scanned(row: Row) -> ScannedRow:
    """Look for the payloads and refs of a row, and hash them."""
    return ScannedRow(row, tuple(tuple(spans_of(value)) if isinstance(value, Content) else () for value in row.values))


def pack_rows(
    sink: Writable, table: str, columns: Sequence[str], key: Sequence[str], rows: Iterable[ScannedRow]
) -> int:
    """One table; how many rows it has. Begins and ends without a line end."""
    head = dumped({"table": table, "columns": columns, "key": key, "rows": []})
    listed = Listed(sink, head.removesuffix(b"]}"))
    count = 0
    for row in rows:
        listed.item()
        _pack_row(sink, row)
        count += 1
    listed.close(b"]}")
    return count


def _pack_row(sink: Writable, scanned_row: ScannedRow) -> None:
    values: list[object] = [packed_value(scanned_row.row.rowid)]
    behind: list[tuple[Content, tuple[Span, ...]]] = []
    room = LINE_VALUES_BYTES
    for value, spans in zip(scanned_row.row.values, scanned_row.spans, strict=True):
        if not isinstance(value, Content):
            values.append(packed_value(value))
            continue
        text = _line_text(value, spans) if value.size <= room else None
        if text is None:
            values.append(packed_reference(len(behind)))
            behind.append((value, spans))
        else:
            room -= value.size
            values.append(text)
    line = dumped(values)
    if not behind:
        sink.write(line)
        return
    listed = Listed(sink, b'{"row":' + line + b',"contents":[')
    for content, spans in behind:
        listed.item()
        _pack_content(sink, content, spans)
    listed.close(b"]}")


def _line_text(content: Content, spans: tuple[Span, ...]) -> str | None:
    """The text of a content that may stand in its row's line."""
    if content.kind == "blob" or content.size > PIECE_BYTES or any(isinstance(span, PayloadSpan) for span in spans):
        return None
    try:
        return b"".join(content.chunks()).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _pack_content(sink: Writable, content: Content, spans: tuple[Span, ...]) -> None:
    head = dumped({"kind": content.kind, "size": content.size, "pieces": []})
    listed = Listed(sink, head.removesuffix(b"]}"))
    for piece in _pieces(content, spans):
        listed.item(piece)
    listed.close(b"]}")


def _pieces(content: Content, spans: tuple[Span, ...]) -> Iterator[bytes]:
    cut = Cut(content.chunks())
    blob = content.kind == "blob"
    for span in spans:
        if isinstance(span, PayloadSpan):
            yield from packed_pieces(cut.take(span.start), blob=blob)
            yield packed_blob_text(BlobText(span.digest, span.size))
            cut.skip(span.end)
    yield from packed_pieces(cut.take(content.size), blob=blob)
