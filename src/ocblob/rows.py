"""Rows of sessions as values: one digest says that a session in a database and one in an archive are the same.

It covers every column's name, type and bytes, in the order that the rows lie in; not where they lie (rowids).
"""

from collections.abc import Sequence

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import SMALL_BYTES, Content, Row, Snapshot
from ocblob.digest import Hasher


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


def _part(kind: bytes, data: bytes) -> bytes:
    # With its length, so that no two sequences of parts have the same bytes.
    return b"%s %d\n%s" % (kind, len(data), data)
