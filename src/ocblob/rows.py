"""Rows of sessions as values: one digest says that a session in a database and one in an archive are the same.

It covers every column's name, type and bytes, in the order that the rows lie in; not where they lie (rowids).
"""

from collections.abc import Sequence

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import Content, Row, Snapshot, Value
from ocblob.digest import Hasher


class SessionHasher:
    """The digest of one session, fed table by table and row by row."""

    def __init__(self) -> None:
        self._hasher = Hasher()

    def table(self, table: str, columns: Sequence[str]) -> None:
        """The rows that follow are of this table."""
        self._part(b"table", table.encode())
        for column in columns:
            self._part(b"column", column.encode())

    def row(self, row: Row) -> None:
        """One row. Reads its contents, in pieces."""
        self._part(b"row", b"")
        for value in row.values:
            self._value(value)

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._hasher.hexdigest()

    def _value(self, value: Value) -> None:
        if isinstance(value, Content):
            self._hasher.update(f"{value.kind} {value.size}\n".encode())
            for chunk in value.chunks():
                self._hasher.update(chunk)
        else:
            self._part(type(value).__name__.encode(), repr(value).encode())

    def _part(self, kind: bytes, data: bytes) -> None:
        # With its length, so that no two sequences of parts have the same bytes.
        self._hasher.update(b"%s %d\n%s" % (kind, len(data), data))


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
