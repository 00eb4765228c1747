"""Shards: of n equal parts of the rows of a database, the i-th.

Which one a row is in depends on its table and its key alone: not on other rows, on who asks, or on when.
"""

from collections.abc import Iterator
from datetime import UTC, datetime

from ocblob.cells import Column, Scope
from ocblob.databases.base import Cell, Database
from ocblob.digest import digest_of

_HASH_DIGITS = 16


def in_shard(cell: Cell, shard: tuple[int, int] | None) -> bool:
    """Whether a cell's row is in the i-th of n parts; all columns of a row are in the same one."""
    if shard is None:
        return True
    part, parts = shard
    return int(digest_of(_identity(cell))[:_HASH_DIGITS], 16) % parts == part - 1


def listed(database: Database, column: Column, *, larger_than: int, scope: Scope) -> Iterator[Cell]:
    """The candidates of a scope, those of its shard alone."""
    for cell in database.candidates(column, larger_than=larger_than, scope=scope):
        if in_shard(cell, scope.shard):
            yield cell


def measured(database: Database, column: Column, *, larger_than: int, scope: Scope) -> tuple[int, int]:
    """How many cells `listed` gives, and their bytes; those of a shard have to be listed for it."""
    if scope.shard is None:
        return database.measure(column, larger_than=larger_than, scope=scope)
    count = size = 0
    for cell in listed(database, column, larger_than=larger_than, scope=scope):
        count, size = count + 1, size + cell.size
    return count, size


def _identity(cell: Cell) -> bytes:
    """A row's table and key, the same on every machine."""
    key = cell.key if isinstance(cell.key, tuple) else (cell.key,)
    texts = [part.encode("utf-8", "surrogatepass") for part in (cell.column.table, *map(_text, key))]
    # With its length before each, no two rows come to the same.
    return b"".join(b"%d:%s" % (len(text), text) for text in texts)


def _text(part: object) -> str:
    if isinstance(part, bytes | bytearray | memoryview):
        return bytes(part).hex()
    # A driver gives times in the zone of its session, which is each machine's own.
    return str(part.astimezone(UTC)) if isinstance(part, datetime) and part.tzinfo is not None else str(part)
