"""Deleting a large tree of sessions piece by piece, beside a host that goes on writing.

The state that was looked at stays open on a connection of its own. Once anybody has committed, each row is compared
with it, in the transaction that deletes the row: what goes is byte for byte what was looked at.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Final

import apsw

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import Content, Deleted, DeleteResult, Row, Value
from ocblob.databases.sqlite.connection import quote
from ocblob.databases.sqlite.session_snapshot import Address, SQLiteSnapshot, among
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.errors import DatabaseError

PIECE_ROWS: Final = 200
PIECE_BYTES: Final = 8 * 1024 * 1024
"""Rows, and bytes of their content, that are deleted between two looks at the clock."""
LARGE_BYTES: Final = 64 * 1024 * 1024
"""A piece of this size has a transaction for itself, and is compared outside of it if it can be."""


class ChangedError(DatabaseError):
    """The rows are not what was looked at, or more would go than they; the transaction is undone."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Rows of one table."""

    table: str
    addresses: tuple[Address, ...]
    size: int


class PieceDeletion:
    """One tree. `version` is the writer's from before `state` was taken."""

    def __init__(
        self,
        writer: SessionWriter,
        tree: SessionTree,
        sessions: Sequence[str],
        *,
        state: SQLiteSnapshot,
        version: object,
    ) -> None:
        self._writer = writer
        self._tree = tree
        self._sessions = sessions
        self._state = state
        self._version = version
        self._compares = False
        """Whether somebody has committed since the state was taken: then no row is known to be as it was."""
        self._left = {owned.table: self._count(state, owned) for owned in tree.owned}
        self._gone = 0

    def run(self) -> DeleteResult:
        """Until all is gone, or somebody is found to work in these sessions."""
        # The sessions themselves go last: until then what is left of a tree is found by them.
        last = self._tree.sessions
        pieces = self._pieces([owned for owned in reversed(self._tree.owned) if owned.table != last.table])
        try:
            piece = next(pieces, None)
            while piece is not None:
                piece = self._delete_some(piece, pieces)
            self._delete_last(last)
        except DatabaseError as error:
            # A row that came meanwhile may stand in the way by a foreign key.
            if not isinstance(error, ChangedError) and not isinstance(error.__cause__, apsw.ConstraintError):
                raise
            return DeleteResult(Deleted.HALF if self._gone else Deleted.CHANGED, self._gone)
        return DeleteResult(Deleted.DELETED, self._gone)

    def _delete_some(self, piece: Piece | None, pieces: Iterator[Piece]) -> Piece | None:
        """As many pieces as one short transaction takes, one at least; returns the next one."""
        seen = self._compared_outside(piece) if piece is not None and piece.size >= LARGE_BYTES else None
        taken = 0
        with self._writer.transaction():
            live = self._live()
            while piece is not None:
                if live is not None and (seen is None or seen != self._writer.version()):
                    self._compare(piece, live)
                taken += self._delete(piece)
                large, piece = piece.size >= LARGE_BYTES, next(pieces, None)
                if large or self._writer.over_time or (piece is not None and piece.size >= LARGE_BYTES):
                    break
        self._gone += taken
        return piece

    def _delete_last(self, owned: OwnedTable) -> None:
        with self._writer.transaction():
            self._live()  # compares these very rows
            before, taken = self._writer.db.total_changes(), self._left[owned.table]
            condition, ids = among(quote(owned.session), self._sessions)
            # By one statement: sessions may refer to each other.
            self._writer.rows(f"DELETE FROM {quote(owned.table)} WHERE {condition}", ids)
            if self._writer.db.total_changes() - before != taken:
                raise ChangedError(f"rows of {owned.table} are not what they were")
            self._left[owned.table] = 0
            self._check_counts(SQLiteSnapshot(self._writer.path, self._writer.db))
        self._gone += taken

    def _pieces(self, tables: Sequence[OwnedTable]) -> Iterator[Piece]:
        """All rows of these tables, as they lie in the state that was looked at."""
        for owned in tables:
            table = self._state.tables[owned.table]
            for session in self._sessions:
                addresses, size = list[Address](), 0
                for address in self._state.addresses(table, owned.session, session):
                    measure = f"SELECT {table.content_size} FROM {table.sql} WHERE {address[0]}"
                    row_size = self._state.select(measure, address[1])[0][0]
                    if addresses and (len(addresses) >= PIECE_ROWS or size + row_size > PIECE_BYTES):
                        yield Piece(owned.table, tuple(addresses), size)
                        addresses, size = [], 0
                    addresses.append(address)
                    size += row_size
                if addresses:
                    yield Piece(owned.table, tuple(addresses), size)

    def _has_moved(self) -> bool:
        self._compares = self._compares or self._writer.version() != self._version
        return self._compares

    def _live(self) -> SQLiteSnapshot | None:
        """What is there now, if it has to be compared. Most who work in a session are found at once by its row."""
        if not self._has_moved():
            return None
        live = SQLiteSnapshot(self._writer.path, self._writer.db)
        self._check_counts(live)
        if live.children(self._tree, self._sessions) != self._state.children(self._tree, self._sessions):
            raise ChangedError("a session was begun by one of these")
        for session in self._sessions:
            rows = (state.rows(self._tree.sessions, session) for state in (self._state, live))
            if not all(_same(old, new) for old, new in zip_longest(*rows)):
                raise ChangedError(f"session {session} is not what it was")
        return live

    def _compared_outside(self, piece: Piece) -> object:
        """The version in which a large piece was found to be as it was; None if nobody has committed anything."""
        if not self._has_moved():
            return None
        self._writer.rows("BEGIN")
        try:
            version = self._writer.version()
            self._compare(piece, SQLiteSnapshot(self._writer.path, self._writer.db))
        finally:
            self._writer.rows("ROLLBACK")
        return version

    def _compare(self, piece: Piece, live: SQLiteSnapshot) -> None:
        table = self._state.tables[piece.table]
        if table != live.tables[piece.table]:
            raise ChangedError(f"table {piece.table} is not what it was")
        for address in piece.addresses:
            if not _same(self._state.row(table, address), live.row(table, address)):
                raise ChangedError(f"a row of {piece.table} is not what it was")

    def _delete(self, piece: Piece) -> int:
        before = self._writer.db.total_changes()
        for condition, bindings in piece.addresses:
            self._writer.rows(f"DELETE FROM {quote(piece.table)} WHERE {condition}", bindings)
        if self._writer.db.total_changes() - before != len(piece.addresses):
            # One was gone, or took a row along that came after the state was looked at.
            raise ChangedError(f"rows of {piece.table} are not what they were")
        self._left[piece.table] -= len(piece.addresses)
        return len(piece.addresses)

    def _check_counts(self, live: SQLiteSnapshot) -> None:
        for owned in self._tree.owned:
            if self._count(live, owned) != self._left[owned.table]:
                raise ChangedError(f"rows of {owned.table} have come or gone")

    def _count(self, state: SQLiteSnapshot, owned: OwnedTable) -> int:
        condition, ids = among(quote(owned.session), self._sessions)
        return int(state.select(f"SELECT count(*) FROM {quote(owned.table)} WHERE {condition}", ids)[0][0])


def _same(old: Row | None, new: Row | None) -> bool:
    """Whether two rows are the same, byte for byte."""
    if old is None or new is None:
        return False
    return old.rowid == new.rowid and all(
        _same_value(one, other) for one, other in zip(old.values, new.values, strict=True)
    )


def _same_value(old: Value, new: Value) -> bool:
    if isinstance(old, Content) and isinstance(new, Content):
        if (old.kind, old.size) != (new.kind, new.size):
            return False
        # Both come in pieces of the same sizes.
        return all(one == other for one, other in zip_longest(old.chunks(), new.chunks()))
    return type(old) is type(new) and repr(old) == repr(new)
