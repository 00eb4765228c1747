"""Deleting sessions: only what was looked at, every row by name, nothing by a cascade."""

from collections.abc import Callable, Sequence

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Deleted, DeleteResult, Snapshot
from ocblob.databases.sqlite.connection import quote
from ocblob.databases.sqlite.session_snapshot import SQLiteSnapshot, among
from ocblob.databases.sqlite.session_tables import ForeignKey, decoded
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.errors import DatabaseError, DatabaseUnsupportedError


def delete_sessions(
    writer: SessionWriter, tree: SessionTree, sessions: Sequence[str], *, unchanged: Callable[[Snapshot], bool]
) -> DeleteResult:
    """See `SessionDatabase`."""
    with writer.transaction():
        state = SQLiteSnapshot(writer.path, writer.db)
        check_deletion(state, tree, sessions)
        if not unchanged(state):
            return DeleteResult(Deleted.CHANGED, 0)
        rows = delete_rows(writer, tree, sessions)
    writer.make_durable()
    return DeleteResult(Deleted.DELETED, rows)


def check_deletion(state: SQLiteSnapshot, tree: SessionTree, sessions: Sequence[str]) -> None:
    """Refuse if rows of other sessions, or others yet, would go with these."""
    if trigger := state.tables.deletes_more(tree):
        raise DatabaseUnsupportedError(f"trigger {trigger} runs when rows of a session are deleted; nothing was")
    owned = {table.table.lower(): table.session for table in tree.owned}
    for key in state.tables.foreign_keys():
        if key.table.lower() in owned and key.parent.lower() in owned:
            _check_key(state, key, owned[key.table.lower()], owned[key.parent.lower()], sessions)


def _check_key(
    state: SQLiteSnapshot, key: ForeignKey, session: str, parent_session: str, sessions: Sequence[str]
) -> None:
    table = state.tables[key.table]
    joined = " AND ".join(
        f"child.{quote(column)}=parent.{quote(named)}"
        for column, named in zip(key.columns, key.parent_columns, strict=True)
    )
    inside, ids = among(f"parent.{quote(parent_session)}", sessions)
    outside, same_ids = among(f"child.{quote(session)}", sessions)
    name = quote(table.shape.key[0]) if table.shape.key else table.rowid
    found = state.select(
        f"SELECT CAST(child.{name} AS BLOB), CAST(child.{quote(session)} AS BLOB) FROM {quote(key.parent)} AS parent"
        f" JOIN {table.sql} AS child ON {joined} WHERE {inside} AND coalesce(NOT ({outside}), 1) LIMIT 1",
        (*ids, *same_ids),
    )
    for row, owner in found:
        raise DatabaseError(
            f"{key.table} {decoded(row)} belongs to session {decoded(owner) or 'none'}, but refers to {key.parent}"
            f" of a session that is to be deleted; nothing was deleted"
        )


def delete_rows(writer: SessionWriter, tree: SessionTree, sessions: Sequence[str]) -> int:
    """All rows of these sessions, inside a transaction; children before what they refer to."""
    before, rows = writer.db.total_changes(), 0
    for owned in reversed(tree.owned):
        condition, ids = among(quote(owned.session), sessions)
        writer.execute(f"DELETE FROM {quote(owned.table)} WHERE {condition}", ids)
        rows += writer.db.changes()
    if writer.db.total_changes() - before != rows:
        raise DatabaseError(f"{writer.path}: more than the rows of these sessions would be deleted; nothing was")
    return rows
