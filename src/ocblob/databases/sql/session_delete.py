"""Deleting sessions in one serializable transaction: only what was looked at, every row in its own name.

Where versions of rows are kept, a writer that is not serializable is not seen by one that is. So it is counted before
the commit, as others see them, whether there are more rows of these sessions than those that go.
"""

from collections.abc import Callable, Sequence
from typing import Final

import sqlalchemy as sa

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import Deleted, DeleteResult, Snapshot
from ocblob.databases.sql.mirror_records import SESSION, forget_sessions
from ocblob.databases.sql.odd_cells import GROUP_ROWS, ODD_CELL, has_any, remove, row_name
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.session_snapshot import SqlSnapshot
from ocblob.databases.sql.session_tables import check_columns, check_deletion
from ocblob.databases.sql.session_values import among
from ocblob.databases.sql.tables import Tables
from ocblob.errors import DatabaseError

CHANGED: Final = DeleteResult(Deleted.CHANGED, 0)
Unchanged = Callable[[Snapshot], bool]


class _ChangedError(DatabaseError):
    """Somebody works in these sessions; the transaction is undone."""


def delete_sessions(
    server: Server, tables: Tables, tree: SessionTree, sessions: Sequence[str], *, unchanged: Unchanged
) -> DeleteResult:
    """See `SessionDatabase`."""
    for owned in tree.owned:
        check_columns(server, tables, owned)
    tried: int | None = None
    """Rows of a transaction that was about to be committed, and may have been."""

    def attempt() -> DeleteResult:
        nonlocal tried
        if tried and not _count(server, tables, tree, sessions):
            return DeleteResult(Deleted.DELETED, tried)
        with server.transaction(serializable=True) as connection:
            _lock(server, tables, connection, tree, sessions)
            check_deletion(server, tables, connection, tree, sessions)
            if not unchanged(SqlSnapshot(server, tables, connection)):
                return CHANGED
            rows = delete_rows(server, tables, connection, tree, sessions)
            if _newcomers(server, tables, tree, sessions, rows):
                raise _ChangedError(f"{server.address}: somebody works in these sessions; nothing was deleted")
            tried = sum(rows)
        return DeleteResult(Deleted.DELETED, sum(rows))

    try:
        return server.retried(attempt)
    except _ChangedError:
        return CHANGED


def delete_rows(
    server: Server, tables: Tables, connection: sa.Connection, tree: SessionTree, sessions: Sequence[str]
) -> list[int]:
    """All rows of these sessions, inside a transaction, rows before what they refer to; how many of each table."""
    counts = [_counted(server, tables, connection, owned, sessions) for owned in tree.owned]
    gone = []
    for owned in reversed(tree.owned):
        table = tables[owned.table]
        _delete_odd_cells(server, tables, connection, owned, sessions)
        gone.append(
            connection.execute(
                sa.delete(table.table).where(among(server.dialect, table[owned.session], sessions))
            ).rowcount
        )
    gone.reverse()
    if gone != counts:
        # A cascade of somebody's took some, or others came: what is deleted is not what was looked at.
        raise _ChangedError("more than the rows of these sessions would be deleted; nothing was")
    if SESSION in tables.all_names():
        forget_sessions(connection, sessions)
    return gone


def _lock(
    server: Server, tables: Tables, connection: sa.Connection, tree: SessionTree, sessions: Sequence[str]
) -> None:
    """Where reading locks rows, they are locked for writing at once.

    If it read first and wrote later, whoever puts a row in between would be undone for a deadlock, and not we.
    """
    if server.dialect.writers_unseen:
        return
    for owned in reversed(tree.owned):
        theirs = among(server.dialect, tables[owned.table][owned.session], sessions)
        connection.execute(sa.select(sa.func.count()).where(theirs).with_for_update())


def _delete_odd_cells(
    server: Server, tables: Tables, connection: sa.Connection, owned: OwnedTable, sessions: Sequence[str]
) -> None:
    table = tables[owned.table]
    if ODD_CELL not in tables.all_names() or not has_any(connection, table.table.name):
        return
    # Keys are small: an index holds them.
    keys = connection.execute(sa.select(*table.key).where(among(server.dialect, table[owned.session], sessions))).all()
    for start in range(0, len(keys), GROUP_ROWS):
        remove(connection, table.table.name, [row_name(tuple(key)) for key in keys[start : start + GROUP_ROWS]])


def _newcomers(server: Server, tables: Tables, tree: SessionTree, sessions: Sequence[str], rows: Sequence[int]) -> bool:
    """Whether others see more rows of these sessions than go. Our deletions are not committed: they see those too.

    Where reading locks, nobody could have put one in.
    """
    if not server.dialect.writers_unseen:
        return False
    with server.reading() as others:
        return any(
            _counted(server, tables, others, owned, sessions) != count
            for owned, count in zip(tree.owned, rows, strict=True)
        )


def _count(server: Server, tables: Tables, tree: SessionTree, sessions: Sequence[str]) -> int:
    """Rows of these sessions that are there."""
    with server.reading() as connection:
        return sum(_counted(server, tables, connection, owned, sessions) for owned in tree.owned)


def _counted(
    server: Server, tables: Tables, connection: sa.Connection, owned: OwnedTable, sessions: Sequence[str]
) -> int:
    theirs = among(server.dialect, tables[owned.table][owned.session], sessions)
    found = connection.execute(sa.select(sa.func.count()).where(theirs)).scalar_one()
    return int(found)
