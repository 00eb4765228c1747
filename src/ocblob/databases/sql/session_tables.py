"""Which tables refer to which, and what would go along when rows of sessions are deleted."""

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import TableShape
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.session_values import among
from ocblob.databases.sql.tables import SqlTable, Tables
from ocblob.errors import DatabaseError, DatabaseUnsupportedError


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of a table that name a row of another one, or of itself."""

    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


def foreign_keys(server: Server) -> list[ForeignKey]:
    """Of every table."""
    with server.catalog() as inspector:
        found = inspector.get_multi_foreign_keys()
    return [
        ForeignKey(str(table), tuple(key["constrained_columns"]), key["referred_table"], tuple(key["referred_columns"]))
        for (_, table), keys in sorted(found.items(), key=lambda item: str(item[0][1]))
        for key in keys
    ]


def check_tree(server: Server, tables: Tables, tree: SessionTree) -> None:
    """See `SessionDatabase`. A table whose rows cannot be told apart is refused too."""
    for table in tree.owned:
        check_columns(server, tables, table)
    owned = {table.table.lower() for table in tree.owned}
    for key in foreign_keys(server):
        if key.parent.lower() in owned and key.table.lower() not in owned:
            raise DatabaseUnsupportedError(
                f"table {key.table} in {server.address} refers to {key.parent} and does not say to which session"
                " its rows belong"
            )


def check_columns(server: Server, tables: Tables, owned: OwnedTable) -> SqlTable:
    """Raise `DatabaseUnsupportedError` if a table lacks a column that it is said to have, or a key."""
    table = tables[owned.table]
    for column in filter(None, (owned.session, owned.updated)):
        if column not in table.table.c:
            raise DatabaseUnsupportedError(f"{owned.table} in {server.address} has no column {column}")
    if not table.key:
        raise DatabaseUnsupportedError(f"{owned.table} in {server.address} has no primary key to find a row by")
    return table


def shape_of(table: SqlTable) -> TableShape:
    """A table as the verbs see it."""
    required = {
        column.name
        for column in table.columns
        if not column.nullable
        and column.server_default is None
        and column.identity is None
        # A key that the server counts up by itself.
        and column.autoincrement is not True
    }
    return TableShape(
        table.table.name,
        tuple(column.name for column in table.columns),
        tuple(column.name for column in table.key),
        frozenset(required),
    )


def check_deletion(
    server: Server, tables: Tables, connection: sa.Connection, tree: SessionTree, sessions: Sequence[str]
) -> None:
    """Refuse if rows of other sessions, or what triggers take, would go with these."""
    owned = {table.table.lower(): table.session for table in tree.owned}
    for table, trigger in connection.exec_driver_sql(server.dialect.delete_triggers):
        if str(table).lower() in owned:
            raise DatabaseUnsupportedError(
                f"{server.address} has the trigger {trigger}, which runs when rows of a session are deleted",
                hint="what a trigger takes is in no archive; nothing was deleted",
            )
    for key in foreign_keys(server):
        if key.table.lower() in owned and key.parent.lower() in owned:
            own = owned[key.table.lower()], owned[key.parent.lower()]
            _check_key(server, tables, connection, key, *own, sessions)


def _check_key(  # noqa: PLR0913, PLR0917
    server: Server,
    tables: Tables,
    connection: sa.Connection,
    key: ForeignKey,
    session: str,
    parent_session: str,
    sessions: Sequence[str],
) -> None:
    """A row that refers to one of these sessions' rows and is not theirs would go along, or stand in the way."""
    if (key.columns, key.parent_columns) == ((session,), (parent_session,)):
        return  # it refers to its own session
    table = tables[key.table]
    child, parent = table.table.alias("child"), tables[key.parent].table.alias("parent")
    joined = sa.and_(
        *(child.c[column] == parent.c[named] for column, named in zip(key.columns, key.parent_columns, strict=True))
    )
    name = table.key[0].name if table.key else session
    strangers = sa.or_(child.c[session].is_(None), sa.not_(among(server.dialect, child.c[session], sessions)))
    found = connection.execute(
        sa.select(child.c[name], child.c[session])
        .select_from(parent.join(child, joined))
        .where(among(server.dialect, parent.c[parent_session], sessions), strangers)
        .limit(1)
    ).first()
    if found is not None:
        raise DatabaseError(
            f"{key.table} {found[0]} in {server.address} is of session {found[1] or '(none)'}, but refers to a"
            f" {key.parent} of a session that is to be deleted",
            hint="it would be deleted along; nothing was",
        )
