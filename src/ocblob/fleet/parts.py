"""A pass cut into parts: ranges of keys with about equal bytes between them.

The ranges of a column leave out no key that there may be: a row that comes meanwhile is in one of them too.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ocblob.cells import Column, KeyRange, Scope
from ocblob.databases.base import Cell, Database

FIRST_PART_BYTES: Final = 64 * 10**6
LAST_PART_BYTES: Final = 10**9
"""A small database has many parts, and a large one not too many: they grow."""
PARTS_OF_A_SIZE: Final = 16


@dataclass(frozen=True, slots=True)
class Part:
    """What one task is about."""

    column: Column
    scope: Scope
    cells: int
    """Candidates, when they were listed."""
    size: int
    """Their bytes."""

    def __str__(self) -> str:
        keys = self.scope.keys or KeyRange()
        return f"{self.column} after {keys.after} up to {keys.upto}"


def cut(
    database: Database, columns: Sequence[Column], *, larger_than: int, scope: Scope, part_bytes: int | None = None
) -> Iterator[Part]:
    """The parts of a pass, as they are found. No cell is read, and one part is in memory at a time, by its numbers."""
    found = 0
    for column in columns:
        after: object = None
        last: Cell | None = None
        cells = size = 0
        for cell in database.candidates(column, larger_than=larger_than, scope=scope):
            if last is not None and size + cell.size > (_part_bytes(found) if part_bytes is None else part_bytes):
                yield Part(column, replace(scope, keys=KeyRange(after, last.key)), cells, size)
                after, cells, size, found = last.key, 0, 0, found + 1
            last, cells, size = cell, cells + 1, size + cell.size
        if cells:
            yield Part(column, replace(scope, keys=KeyRange(after)), cells, size)
            found += 1


def _part_bytes(found: int) -> int:
    """How large the next part is, if nobody says so."""
    return min(FIRST_PART_BYTES << min(found // PARTS_OF_A_SIZE, 8), LAST_PART_BYTES)
