"""Rows as a mirror on a server has them: payloads are blobs of the store, and refs that say `by=mirror` stand for them.

The same row always gives the same row: nothing but the row, the store and `MIN_CHARS` has a say in it.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ocblob import base64stream
from ocblob.cells import Column
from ocblob.databases.session_rows import Content, Row, Value
from ocblob.rewrite import plan_offload
from ocblob.scan import PayloadSpan
from ocblob.sessions.mirroring.scratch import KeptReader, Scratch
from ocblob.store.writer import Wanted

MIN_CHARS: Final = 8 * 1024
"""Payloads below this many characters of base64 stay inline. Not to be chosen: rows would differ by it."""
BY: Final = "mirror"


@dataclass(frozen=True, slots=True)
class Transformed:
    """A row on its way to a mirror."""

    row: Row
    """Readable as long as the scratch that it was kept in."""
    wanted: tuple[Wanted, ...] = ()
    """The blobs that it names and may name only once they are durable."""
    chars: int = 0
    """Base64 text that is not in it any more."""


Transform = Callable[[str, Sequence[str], Row, Scratch], Transformed]


def kept(_table: str, _columns: Sequence[str], row: Row, scratch: Scratch) -> Transformed:
    """The row as it is."""
    return Transformed(scratch.kept(row))


class Transformer:
    """Moves payloads out of the cells of some columns. Writes no blob: that is up to who puts the row."""

    def __init__(self, payloads: Sequence[Column], *, store: str) -> None:
        """`store` is what refs say of it: the first 8 digits of its id."""
        self._payloads = frozenset((column.table, column.column) for column in payloads)
        self._store = store

    def __call__(self, table: str, columns: Sequence[str], row: Row, scratch: Scratch) -> Transformed:
        """One row. Reads its contents; memory as `plan_offload` takes it."""
        held = scratch.kept(row)
        values, wanted, chars = list[Value](), list[Wanted](), 0
        for column, value in zip(columns, held.values, strict=True):
            if isinstance(value, Content) and value.size > MIN_CHARS and (table, column) in self._payloads:
                moved = self._moved(value)
                values.append(moved.content)
                wanted += moved.wanted
                chars += moved.chars
            else:
                values.append(value)
        return Transformed(Row(held.rowid, tuple(values)), tuple(wanted), chars)

    def _moved(self, content: Content) -> "_Moved":
        reader = KeptReader(content)
        plan = plan_offload(reader, min_chars=MIN_CHARS, store=self._store, by=BY)
        if not plan.payloads:
            return _Moved(content)
        return _Moved(
            Content(content.kind, len(plan.content), partial(_one, plan.content)),
            tuple(Wanted(span.digest, span.size, partial(_payload, reader, span)) for span in plan.payloads),
            sum(span.end - span.start for span in plan.payloads),
        )


@dataclass(frozen=True, slots=True)
class _Moved:
    content: Content
    wanted: tuple[Wanted, ...] = ()
    chars: int = 0


def _one(data: bytes) -> Iterator[bytes]:
    return iter((data,))


def _payload(reader: KeptReader, span: PayloadSpan) -> Iterator[bytes]:
    return base64stream.decode(reader.read(span.start, span.end))
