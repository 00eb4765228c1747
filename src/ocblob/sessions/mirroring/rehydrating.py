"""Rows of a mirror as they were before: refs that say `by=mirror` are payloads again, read from the store.

Every other ref stays a ref: it was one in the database that the row came from.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Final

from ocblob import base64stream
from ocblob.cells import Column, OwnedTable, SessionTree
from ocblob.databases.session_rows import (
    CONTENT_READ_BYTES,
    Content,
    Row,
    Snapshot,
    TableDefinition,
    TableShape,
    Value,
)
from ocblob.errors import BlobCorruptError
from ocblob.marks import REF_CELL_BYTES_MIN
from ocblob.ref import MARKER_BASE64
from ocblob.rewrite import KEPT_BYTES_MAX, Replacement, spliced_size
from ocblob.scan import RefSpan, scan
from ocblob.sessions.contents import BlobSource
from ocblob.sessions.mirroring.transforming import BY

_SIZES: Final = range(REF_CELL_BYTES_MIN, KEPT_BYTES_MAX + 1)
"""Of cells that a mirror may have made refs in."""


class RehydratedSnapshot:
    """See `Snapshot`: another one, with the payloads of some columns back in its rows.

    Reading a content raises `BlobError` or `BackendError`, which names the blob, if the store cannot give it.
    """

    def __init__(self, snapshot: Snapshot, payloads: Sequence[Column], blobs: BlobSource) -> None:
        self._snapshot = snapshot
        self._payloads = payloads
        self._blobs = blobs

    def shape(self, table: str) -> TableShape:
        """See `Snapshot`."""
        return self._snapshot.shape(table)

    def definition(self, table: str) -> TableDefinition:
        """See `Snapshot`."""
        return self._snapshot.definition(table)

    def rows(self, table: OwnedTable, session: str) -> Iterator[Row]:
        """See `Snapshot`."""
        columns = self.shape(table.table).columns
        for row in self._snapshot.rows(table, session):
            yield rehydrated(table.table, columns, row, self._payloads, self._blobs)

    def context_rows(self, table: str, column: str, value: str) -> Iterator[Row]:
        """See `Snapshot`."""
        columns = self.shape(table).columns
        for row in self._snapshot.context_rows(table, column, value):
            yield rehydrated(table, columns, row, self._payloads, self._blobs)

    def find(self, table: str, key: Sequence[Value]) -> Row | None:
        """See `Snapshot`."""
        row = self._snapshot.find(table, key)
        return row and rehydrated(table, self.shape(table).columns, row, self._payloads, self._blobs)

    def exists(self, tree: SessionTree, session: str) -> bool:
        """See `Snapshot`."""
        return self._snapshot.exists(tree, session)

    def children(self, tree: SessionTree, sessions: Sequence[str]) -> set[str]:
        """See `Snapshot`."""
        return self._snapshot.children(tree, sessions)


def rehydrated(table: str, columns: Sequence[str], row: Row, payloads: Sequence[Column], blobs: BlobSource) -> Row:
    """A row with the payloads that a mirror took out of it. Memory: the text of its cells, up to 8 MiB each."""
    names = {column.column for column in payloads if column.table == table}
    values = tuple(
        _rehydrated(value, blobs) if column in names and isinstance(value, Content) else value
        for column, value in zip(columns, row.values, strict=True)
    )
    return Row(row.rowid, values)


def _rehydrated(content: Content, blobs: BlobSource) -> Content:
    """Its size is known by the refs alone; blobs are read when the content is."""
    if content.size not in _SIZES:
        return content
    data = b"".join(content.chunks())
    plain = Content(content.kind, len(data), partial(_pieces, data))
    if MARKER_BASE64 not in data:
        return plain
    spans = [span for span in scan((data,), hashing=False) if isinstance(span, RefSpan) and span.ref.by == BY]
    if not spans:
        return plain
    replacements = [
        Replacement(span.start, span.end, base64stream.encoded_size(span.ref.size), partial(_payload, span, blobs))
        for span in spans
    ]
    size = spliced_size(len(data), replacements)
    return Content(content.kind, size, partial(_pieces, data, tuple(replacements)))


def _payload(span: RefSpan, blobs: BlobSource) -> Iterator[bytes]:
    left = span.ref.size
    for chunk in blobs.chunks(span.ref.digest):
        left -= len(chunk)
        yield chunk
    if left:
        raise BlobCorruptError(
            f"a row says {span.ref.size} bytes of blob {span.ref.digest}, which has {span.ref.size - left}",
            digest=span.ref.digest,
        )


def _pieces(data: bytes, replacements: Sequence[Replacement] = ()) -> Iterator[bytes]:
    at = 0
    for new in replacements:
        yield from _cut(data[at : new.start])
        for piece in base64stream.encode(new.chunks()):
            yield from _cut(piece)
        at = new.end
    yield from _cut(data[at:])


def _cut(piece: bytes) -> Iterator[bytes]:
    for at in range(0, len(piece), CONTENT_READ_BYTES):
        yield piece[at : at + CONTENT_READ_BYTES]
