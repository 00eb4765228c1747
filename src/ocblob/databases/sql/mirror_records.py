"""What a mirror notes of each session, and which of its rows are there; small, and never with content."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final

import sqlalchemy as sa

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.mirror_rows import MirroredSession, RowMark
from ocblob.databases.session_rows import Content, Value
from ocblob.databases.sql.odd_cells import odd_values, row_name
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.session_keys import stands_in
from ocblob.databases.sql.session_pages import mark_pages
from ocblob.databases.sql.session_values import held, nature, small
from ocblob.databases.sql.tables import SqlTable, Tables
from ocblob.errors import DatabaseUnsupportedError

SESSION: Final = "ocblob_session"
PAGE_ROWS: Final = 1000
_METADATA: Final = sa.MetaData()
TABLE: Final = sa.Table(
    SESSION,
    _METADATA,
    sa.Column("session", sa.Unicode(255), primary_key=True),
    sa.Column("digest", sa.Unicode(64)),
    sa.Column("row_count", sa.BigInteger),
    sa.Column("source_row_count", sa.BigInteger),
    sa.Column("source_size", sa.BigInteger),
    sa.Column("source_used_ms", sa.BigInteger),
    sa.Column("origin", sa.UnicodeText()),
    sa.Column("mirrored_at_ms", sa.BigInteger),
    sa.Column("table_columns", sa.UnicodeText()),
)


def records(server: Server, tables: Tables, session: str | None) -> Iterator[MirroredSession]:
    """See `MirrorDatabase`."""
    if SESSION not in tables.all_names():
        return
    with server.snapshot() as connection:
        statement = sa.select(TABLE).order_by(TABLE.c.session)
        if session is not None:
            statement = statement.where(server.dialect.is_text(TABLE.c.session, session))
        with connection.execution_options(yield_per=PAGE_ROWS).execute(statement) as found:
            for name, digest, rows, source_rows, source_size, used, origin, when, columns in found:
                named = {table: tuple(names) for table, names in json.loads(columns).items()}
                yield MirroredSession(name, digest, rows, source_rows, source_size, used, origin, when, columns=named)


def put_records(connection: sa.Connection, records: Sequence[MirroredSession]) -> None:
    """Each in the place of the one that is there; no session twice."""
    forget_sessions(connection, [record.session for record in records])
    connection.execute(
        sa.insert(TABLE),
        [
            {
                "session": record.session,
                "digest": record.digest,
                "row_count": record.rows,
                "source_row_count": record.source_rows,
                "source_size": record.source_size,
                "source_used_ms": record.source_used_ms,
                "origin": record.origin,
                "mirrored_at_ms": record.mirrored_at_ms,
                "table_columns": json.dumps({table: list(names) for table, names in record.columns.items()}),
            }
            for record in records
        ],
    )


def forget_sessions(connection: sa.Connection, sessions: Sequence[str]) -> None:
    """Their records go: their rows are not what was mirrored any more."""
    connection.execute(sa.delete(TABLE).where(TABLE.c.session.in_(sessions)))


def marks(server: Server, tables: Tables, tree: SessionTree, table: str, session: str) -> Iterator[RowMark]:
    """See `MirrorDatabase`. A row that was changed here since it was put, or put by no mirror, has the digest ""."""
    owned = _owned(tree, table)
    found = tables[table]
    if found.digest is None or found.rowid is None:
        raise DatabaseUnsupportedError(f"table {table} in {server.address} is no mirror's")
    pages = mark_pages(server.dialect, found, found.digest)
    with server.reading() as connection:
        for page in pages.all(connection, owned.session, session):
            for rowid, *key, digest, _ in page:
                yield RowMark(_key(server, connection, found, key), rowid, digest or "")


def _owned(tree: SessionTree, table: str) -> OwnedTable:
    for owned in tree.owned:
        if owned.table == table:
            return owned
    raise DatabaseUnsupportedError(f"table {table} has no rows of sessions")


def _key(server: Server, connection: sa.Connection, table: SqlTable, key: Sequence[Any]) -> tuple[Value, ...]:
    values = [_value(nature(column), value) for column, value in zip(table.key, key, strict=True)]
    if any(map(stands_in, key)):
        name = row_name(key)
        odd = odd_values(connection, server.dialect, table.table.name, [name])
        values = [odd.get((name, column.name), value) for column, value in zip(table.key, values, strict=True)]
    # It is looked at when the connection may do something else: no key is too large to be held.
    return tuple(small(value.kind, held(value)) if isinstance(value, Content) else value for value in values)


def _value(kind: str, value: Any) -> Value:
    if isinstance(value, str):
        return small("text", value.encode())
    if isinstance(value, bytes):
        return small("blob", value)
    return float(value) if kind == "real" else int(value)
