"""Deleting sessions: only what was looked at, every row in its own name, nothing along a cascade.

What is looked at is one state, outside of the lock. If nobody has committed since, it is what the transaction
deletes. If somebody has, a small tree is looked at again under the lock, and of a large one every row is compared
with that state before it goes; so a host that is busy with other sessions is no obstacle.
"""

from collections.abc import Callable, Sequence
from typing import Final

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Deleted, DeleteResult, Snapshot
from ocblob.databases.sqlite.connection import quote
from ocblob.databases.sqlite.session_pieces import ChangedError, PieceDeletion
from ocblob.databases.sqlite.session_snapshot import SQLiteSnapshot, among, snapshot
from ocblob.databases.sqlite.session_tables import ForeignKey, decoded
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.errors import DatabaseError, DatabaseUnsupportedError

WHOLE_ROWS_MAX: Final = 2_000
WHOLE_BYTES_MAX: Final = 32 * 1024 * 1024
"""Rows, and bytes of their content, up to which a tree is deleted, and looked at again, in one transaction."""
TRIES: Final = 3
"""Without a WAL a large tree is looked at again outside of the lock, so often, because somebody wrote meanwhile."""

Unchanged = Callable[[Snapshot], bool]
CHANGED: Final = DeleteResult(Deleted.CHANGED, 0)


def delete_sessions(
    writer: SessionWriter, tree: SessionTree, sessions: Sequence[str], *, unchanged: Unchanged
) -> DeleteResult:
    """See `SessionDatabase`."""
    for _ in range(TRIES):
        version = writer.version()
        with snapshot(writer.path) as state:
            check_deletion(state, tree, sessions)
            if not unchanged(state):
                return CHANGED
            whole = _is_small(state, tree, sessions) or _refers_to_itself(state, tree)
            if writer.wal and not whole:
                return PieceDeletion(writer, tree, sessions, state=state, version=version).run()
        # Without a WAL no transaction ends while a state is held, so it is let go before one begins.
        found = _delete_whole(writer, tree, sessions, unchanged if whole else None, version)
        if found is not None:
            return found
    return CHANGED


def _delete_whole(
    writer: SessionWriter, tree: SessionTree, sessions: Sequence[str], unchanged: Unchanged | None, version: object
) -> DeleteResult | None:
    """All in one transaction; None if somebody has committed and it cannot be looked at again under the lock."""
    with writer.transaction():
        if writer.version() != version:
            if unchanged is None:
                return None
            state = SQLiteSnapshot(writer.path, writer.db)
            check_deletion(state, tree, sessions)
            if not unchanged(state):
                return CHANGED
        return DeleteResult(Deleted.DELETED, delete_rows(writer, tree, sessions))


def _is_small(state: SQLiteSnapshot, tree: SessionTree, sessions: Sequence[str]) -> bool:
    rows = size = 0
    for owned in tree.owned:
        table = state.tables[owned.table]
        condition, ids = among(quote(owned.session), sessions)
        measured = f"SELECT count(*), coalesce(sum({table.content_size}),0) FROM {table.sql} WHERE {condition}"
        ((count, bytes_),) = state.select(measured, ids)
        rows, size = rows + count, size + bytes_
    return rows <= WHOLE_ROWS_MAX and size <= WHOLE_BYTES_MAX


def _refers_to_itself(state: SQLiteSnapshot, tree: SessionTree) -> bool:
    """Whether rows of a table refer to others of it: piece by piece a cascade would take rows of later pieces."""
    others = {owned.table.lower() for owned in tree.owned} - {tree.sessions.table.lower()}
    return any(key.table.lower() == key.parent.lower() in others for key in state.tables.foreign_keys())


def check_deletion(state: SQLiteSnapshot, tree: SessionTree, sessions: Sequence[str]) -> None:
    """Refuse if rows of other sessions, or what triggers take, would go with these."""
    if trigger := state.tables.trigger_on_delete(tree):
        raise DatabaseUnsupportedError(
            f"{state.path} has the trigger {trigger}, which runs when rows of a session are deleted",
            hint="what a trigger takes is in no archive; nothing was deleted",
        )
    owned = {table.table.lower(): table.session for table in tree.owned}
    for key in state.tables.foreign_keys():
        if key.table.lower() in owned and key.parent.lower() in owned:
            _check_key(state, key, owned[key.table.lower()], owned[key.parent.lower()], sessions)


def _check_key(
    state: SQLiteSnapshot, key: ForeignKey, session: str, parent_session: str, sessions: Sequence[str]
) -> None:
    """A row that refers to one of these sessions' rows and is not theirs would go along, or stand in the way."""
    if (key.columns, key.parent_columns) == ((session,), (parent_session,)):
        return  # it refers to its own session
    joined = " AND ".join(
        f"child.{quote(column)}=parent.{quote(named)}"
        for column, named in zip(key.columns, key.parent_columns, strict=True)
    )
    inside, ids = among(f"parent.{quote(parent_session)}", sessions)
    outside, same_ids = among(f"child.{quote(session)}", sessions)
    table = state.tables[key.table]
    name = quote(table.shape.key[0]) if table.shape.key else table.rowid
    found = state.select(
        f"SELECT CAST(child.{name} AS BLOB), CAST(child.{quote(session)} AS BLOB) FROM {quote(key.parent)} AS parent"
        f" JOIN {quote(key.table)} AS child ON {joined} WHERE {inside} AND coalesce(NOT ({outside}), 1) LIMIT 1",
        (*ids, *same_ids),
    )
    for row, owner in found:
        raise DatabaseError(
            f"{key.table} {decoded(row)} in {state.path} is of session {decoded(owner) or '(none)'}, but refers to a"
            f" {key.parent} of a session that is to be deleted",
            hint="it would be deleted along; nothing was",
        )


def delete_rows(writer: SessionWriter, tree: SessionTree, sessions: Sequence[str]) -> int:
    """All rows of these sessions, inside a transaction; rows before what they refer to."""
    state = SQLiteSnapshot(writer.path, writer.db)
    conditions = [(owned, *among(quote(owned.session), sessions)) for owned in tree.owned]
    counts = [
        state.select(f"SELECT count(*) FROM {quote(owned.table)} WHERE {condition}", ids)[0][0]
        for owned, condition, ids in conditions
    ]
    before = writer.db.total_changes()
    for owned, condition, ids in reversed(conditions):
        writer.rows(f"DELETE FROM {quote(owned.table)} WHERE {condition}", ids)
    # Rows that a cascade takes are counted here too.
    rows = writer.db.total_changes() - before
    if rows != sum(counts):
        raise ChangedError(f"{writer.path}: more than the rows of these sessions would be deleted; nothing was")
    return rows
