"""What is known of every session without its content: one walk of each table, on the server."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

import sqlalchemy as sa

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import SMALL_BYTES, SessionFacts
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.session_tables import check_columns
from ocblob.databases.sql.session_values import nature, size_of
from ocblob.databases.sql.tables import SqlTable, Tables

PAGE_ROWS: Final = 1000


@dataclass(slots=True)
class _Total:
    rows: int = 0
    size: int = 0
    used_ms: int | None = None
    shared: bool = False


def survey(server: Server, tables: Tables, tree: SessionTree) -> Iterator[SessionFacts]:
    """See `SessionDatabase`. Memory: a few numbers for each session."""
    owned = [(table, check_columns(server, tables, table)) for table in tree.owned]
    totals = dict[str, _Total]()
    with server.snapshot() as connection:
        for table, found in owned:
            walk = _walk(server, found, table.session, table.updated)
            for session, rows, size, used in _streamed(connection, walk):
                total = totals.setdefault(str(session), _Total())
                total.rows += int(rows)
                total.size += int(size)
                total.shared = total.shared or table.table in tree.shared_tables
                total.used_ms = max((time for time in (total.used_ms, used) if time is not None), default=None)
        for name, parent, title, created, shared in _streamed(connection, _sessions(server, tables, tree)):
            total = totals.pop(str(name), _Total())
            yield SessionFacts(
                id=str(name),
                parent="" if parent is None else str(parent),
                title=title or "",
                created_ms=created,
                used_ms=total.used_ms,
                size=total.size,
                rows=total.rows,
                shared=bool(shared) or total.shared,
            )


def _walk(server: Server, table: SqlTable, session: str, updated: str) -> sa.Select[Any]:
    size = reduce(add, (size_of(server.dialect, column) for column in table.columns))
    return sa.select(
        table[session],
        sa.func.count(),
        sa.cast(sa.func.sum(size), sa.BigInteger),
        _time(table, updated, latest=True),
    ).group_by(table[session])


def _sessions(server: Server, tables: Tables, tree: SessionTree) -> sa.Select[Any]:
    table = tables[tree.sessions.table]
    octets, title = server.dialect.octets, table[tree.title]
    shared = [sa.func.coalesce(octets(table[column]), 0) > 0 for column in tree.shared]
    return sa.select(
        table[tree.sessions.session],
        table[tree.parent],
        sa.case((octets(title) <= SMALL_BYTES, title)),
        _time(table, tree.created),
        sa.case((sa.or_(sa.false(), *shared), 1), else_=0),
    )


def _time(table: SqlTable, column: str, *, latest: bool = False) -> sa.ColumnElement[Any]:
    """A time is a number: epoch milliseconds."""
    if not column or nature(table[column]) != "integer":
        return sa.cast(sa.null(), sa.BigInteger)
    return sa.func.max(table[column]) if latest else table[column]


def _streamed(connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Any]:
    with connection.execution_options(yield_per=PAGE_ROWS).execute(statement) as rows:
        yield from rows
