"""Rows of sessions as values: one digest says that a session in a database and one in an archive are the same.

It covers every column's name, type and bytes, in the order that the rows lie in; not where they lie (rowids).
Between databases rows are told apart one by one: by digests that no empty column and no order of columns has a say in.
"""

from collections.abc import Sequence
from typing import Final

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import SMALL_BYTES, Content, Row, Snapshot
from ocblob.digest import Hasher

_SUMS: Final = 2**256


class SessionHasher:
    """The digest of one session, fed table by table and row by row."""

    def __init__(self) -> None:
        self._hasher = Hasher()

    def table(self, table: str, columns: Sequence[str]) -> None:
        """The rows that follow are of this table."""
        self._hasher.update(_part(b"table", table.encode()))
        for column in columns:
            self._hasher.update(_part(b"column", column.encode()))

    def row(self, row: Row) -> None:
        """One row. Reads its contents, in pieces."""
        # Many small updates cost more than the hash itself.
        parts = [_part(b"row", b"")]
        for value in row.values:
            if not isinstance(value, Content):
                parts.append(_part(type(value).__name__.encode(), repr(value).encode()))
                continue
            parts.append(f"{value.kind} {value.size}\n".encode())
            if value.size <= SMALL_BYTES:
                parts.extend(value.chunks())
                continue
            self._hasher.update(b"".join(parts))
            parts.clear()
            for chunk in value.chunks():
                self._hasher.update(chunk)
        self._hasher.update(b"".join(parts))

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._hasher.hexdigest()


def session_digest(snapshot: Snapshot, tree: SessionTree, session: str) -> str:
    """The digest of a session as it is in a database. Memory: one row without its large contents."""
    hasher = SessionHasher()
    for owned in tree.owned:
        hash_table(hasher, snapshot, owned, session)
    return hasher.hexdigest()


def hash_table(hasher: SessionHasher, snapshot: Snapshot, owned: OwnedTable, session: str) -> None:
    """A session's rows of one table. A table without any counts for nothing: one that is new changes no digest."""
    begun = False
    for row in snapshot.rows(owned, session):
        if not begun:
            hasher.table(owned.table, snapshot.shape(owned.table).columns)
            begun = True
        hasher.row(row)


def row_digest(table: str, columns: Sequence[str], row: Row) -> str:
    """64 hex digits of one row by itself. Reads its contents.

    Columns count by their names and not by their order, and one that is null for nothing: a table that gained or lost
    an empty column has the same rows.
    """
    hasher = Hasher(_part(b"table", table.encode()))
    for column, value in sorted(zip(columns, row.values, strict=True), key=_name):
        if value is None:
            continue
        hasher.update(_part(b"column", column.encode()))
        if not isinstance(value, Content):
            hasher.update(_part(type(value).__name__.encode(), repr(value).encode()))
            continue
        hasher.update(f"{value.kind} {value.size}\n".encode())
        for chunk in value.chunks():
            hasher.update(chunk)
    return hasher.hexdigest()


class RowSum:
    """One digest of any number of rows, in whatever order they come: the sum of their digests."""

    def __init__(self) -> None:
        self.rows = 0
        self._sum = 0

    def add(self, digest: str) -> None:
        """One row, by its `row_digest`."""
        self.rows += 1
        self._sum = (self._sum + int(digest, 16)) % _SUMS

    def hexdigest(self) -> str:
        """64 hex digits."""
        return f"{self._sum:064x}"

    def __add__(self, other: "RowSum") -> "RowSum":
        both = RowSum()
        both.rows, both._sum = self.rows + other.rows, (self._sum + other._sum) % _SUMS
        return both


def _name(pair: tuple[str, object]) -> str:
    return pair[0]


def _part(kind: bytes, data: bytes) -> bytes:
    # With its length, so that no two sequences of parts have the same bytes.
    return b"%s %d\n%s" % (kind, len(data), data)
