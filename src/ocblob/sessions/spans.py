"""Payloads and refs in the values of rows: what of a text an archive keeps as a blob, and which blobs it names."""

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from ocblob.databases.session_rows import SMALL_BYTES, Content, Row
from ocblob.marks import REF_CELL_BYTES_MIN
from ocblob.ref import MARKER_BASE64, Ref
from ocblob.scan import RefSpan, Span, scan

PAYLOAD_CHARS_MIN: Final = 1024
"""Base64 text shorter than this stays in the text around it."""
_URL: Final = b"data:"
_QUOTED_URL: Final = b'"data:'


def spans_of(content: Content, *, hashing: bool = True, bare_refs: bool = True) -> Iterator[Span]:
    """The spans of one text or blob, in their order; a text that is nothing but a data URL is one too."""
    if content.size < REF_CELL_BYTES_MIN:
        return
    chunks = content.chunks()
    if content.size <= SMALL_BYTES:
        data = b"".join(chunks)
        if _QUOTED_URL not in data and MARKER_BASE64 not in data and not data.startswith(_URL):
            return
        chunks = iter((data,))
    first = next(chunks, b"")
    bare = first.startswith(_URL)
    whole = itertools.chain((b'["', first) if bare else (first,), chunks, (b'"]',) if bare else ())
    shift = 2 if bare else 0
    for span in scan(whole, min_chars=PAYLOAD_CHARS_MIN, hashing=hashing, bare_refs=bare_refs):
        yield replace(span, start=span.start - shift, end=span.end - shift) if shift else span


def refs_of(row: Row) -> Iterator[Ref]:
    """The refs in one row."""
    for value in row.values:
        if isinstance(value, Content):
            for span in spans_of(value, hashing=False):
                if isinstance(span, RefSpan):
                    yield span.ref
