"""Attachments one by one: list them, take one out.

An attachment's address is `table:key#n`: the n-th data URL, from 0, of the cell in the row with this key.
"""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ocblob import base64stream
from ocblob.cells import Column, Scope
from ocblob.databases.base import CellReader, Database
from ocblob.digest import is_digest
from ocblob.errors import CellError, UsageError
from ocblob.scan import PayloadSpan, RefSpan, Span, scan
from ocblob.store import BlobStore

NAME_WINDOW_BYTES: Final = 4096
"""How far around a data URL its file name is looked for."""

_ADDRESS = re.compile(r"(?:(?P<table>[^:#]+):)?(?P<key>[^#]+)(?:#(?P<index>\d+))?")
_NAME = re.compile(rb'"filename":("(?:[^"\\\x00-\x1f]|\\.)*")')


@dataclass(frozen=True, slots=True)
class Attachment:
    """One data URL in a row."""

    address: str
    session: str
    mime: str
    name: str
    """The file's name as the row tells it; empty if it does not."""
    size: int
    """Bytes decoded; for an inline one by the length of its text."""
    digest: str
    """Of a ref; empty for an inline one, which is not read for a list."""

    @property
    def inline(self) -> bool:
        """Whether the bytes are still in the row."""
        return not self.digest


def attachments(
    database: Database, columns: tuple[Column, ...], *, scope: Scope, min_size: int = 1
) -> Iterator[Attachment]:
    """Every attachment of these columns, in the order of rows. Memory: one piece of a cell."""
    with database.cells() as cells:
        for column in columns:
            for cell in database.candidates(column, larger_than=base64stream.encoded_size(1), scope=scope):
                try:
                    reader = cells.open(cell)
                    key = session = ""
                    for index, span in enumerate(_spans(reader, column)):
                        size = _size(span)
                        if size < min_size:
                            continue
                        if not key:
                            key, session = database.row_names(cell)
                        yield Attachment(
                            f"{column.table}:{key}#{index}",
                            session,
                            span.mime,
                            _name(reader, span),
                            size,
                            span.ref.digest if isinstance(span, RefSpan) else "",
                        )
                except CellError:
                    continue  # the row went away under the list
            cells.release()


def extract(
    database: Database, open_store: Callable[[], BlobStore], columns: tuple[Column, ...], what: str
) -> Iterator[bytes]:
    """The bytes of one attachment: by address, by a row's key alone, or by digest. Memory: one piece.

    Raises `UsageError` if nothing or more than one thing is meant, and what reading a blob raises.
    """
    if is_digest(what):
        yield from open_store().chunks(what)
        return
    match = _ADDRESS.fullmatch(what)
    if match is None:
        raise UsageError(f"{what!r} is no address; `ocblob ls` shows them, as part:prt_1#0")
    with database.cells() as cells:
        found = [
            (cell, span)
            for column in columns
            if match["table"] in {None, column.table} and (cell := database.find(column, match["key"]))
            for index, span in enumerate(_spans(cells.open(cell), column))
            if match["index"] in {None, str(index)}
        ]
        if not found:
            raise UsageError(f"there is no attachment {what}", hint="`ocblob ls` shows them")
        if len(found) > 1:
            raise UsageError(f"{what} has {len(found)} attachments", hint=f"name one: {what}#0")
        ((cell, span),) = found
        if isinstance(span, RefSpan):
            yield from open_store().chunks(span.ref.digest)
        else:
            yield from base64stream.decode(cells.open(cell).read(span.start, span.end))


def _spans(reader: CellReader, column: Column) -> Iterator[Span]:
    for span in scan(reader.read(0, reader.size), hashing=False, bare_refs=column.bare_refs):
        if isinstance(span, PayloadSpan | RefSpan):
            yield span


def _size(span: Span) -> int:
    return span.ref.size if isinstance(span, RefSpan) else (span.end - span.start) * 3 // 4


def _name(reader: CellReader, span: Span) -> str:
    """The file name that stands nearest to a data URL; OpenCode writes it before the URL or behind it."""
    before = b"".join(reader.read(max(0, span.start - NAME_WINDOW_BYTES), span.start))
    after = b"".join(reader.read(span.end, min(reader.size, span.end + NAME_WINDOW_BYTES)))
    before = before[before.rfind(b"{") + 1 :]
    after = after[: after.find(b"}")] if b"}" in after else after
    match = _NAME.search(before) or _NAME.search(after)
    try:
        return "" if match is None else str(json.loads(match[1].decode("utf-8", "replace")))
    except ValueError:
        return ""
