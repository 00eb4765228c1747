"""Which blobs rows name: counted in a temporary file, so that memory does not grow with their number."""

from collections.abc import Iterator
from dataclasses import dataclass

import apsw

from ocblob.cells import Column, Scope
from ocblob.databases.base import Cell, Cells, Database
from ocblob.errors import CellError
from ocblob.ref import Ref
from ocblob.scan import RefSpan, Span, scan

REF_CELL_BYTES_MIN = 100
"""No cell with a ref in it is shorter."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One digest and how it is named."""

    digest: str
    size: int
    refs: int


class Marks:
    """A set of digests with counts, in a temporary database that is gone with this object."""

    def __init__(self) -> None:
        self._db = apsw.Connection("")  # SQLite spills it to an unnamed file when it grows
        self._db.execute(
            "PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF;"
            "CREATE TABLE mark (digest BLOB PRIMARY KEY, size INTEGER, refs INTEGER) WITHOUT ROWID"
        ).fetchall()

    def add(self, ref: Ref) -> None:
        """Count one ref."""
        self._db.execute(
            "INSERT INTO mark VALUES (?,?,1) ON CONFLICT (digest) DO UPDATE SET refs=refs+1",
            (bytes.fromhex(ref.digest), ref.size),
        )

    def __iter__(self) -> Iterator[Mark]:
        for digest, size, refs in self._db.execute("SELECT hex(digest), size, refs FROM mark ORDER BY digest"):
            yield Mark(str(digest).lower(), int(size), int(refs))

    def totals(self) -> tuple[int, int, int]:
        """Digests, their bytes, and the bytes of all refs together."""
        digests = unique = named = 0
        # Users can forge refs of any size: the sums are not left to 64 bits.
        for size, refs in self._db.execute("SELECT size, refs FROM mark"):
            digests, unique, named = digests + 1, unique + size, named + size * refs
        return digests, unique, named

    def close(self) -> None:
        """Drop the temporary file."""
        self._db.close()


def refs_in(database: Database, columns: tuple[Column, ...]) -> Iterator[tuple[Cell, Ref]]:
    """Every ref in these columns' cells, strictly parsed."""
    with database.cells() as cells:
        for column in columns:
            for cell in database.candidates(column, larger_than=REF_CELL_BYTES_MIN, scope=Scope()):
                for span in _spans(cells, cell):
                    if isinstance(span, RefSpan):
                        yield cell, span.ref
            cells.release()


def _spans(cells: Cells, cell: Cell) -> Iterator[Span]:
    try:
        reader = cells.open(cell)
        yield from scan(reader.read(0, reader.size), hashing=False)
    except CellError:
        return  # the row went away, or changed: it is no row to judge by now
