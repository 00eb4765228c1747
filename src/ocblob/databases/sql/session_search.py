"""Words looked for in sessions, by the server: only ids come back."""

from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa

from ocblob.cells import SearchedColumn
from ocblob.databases.session_rows import SEARCHED_BYTES
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.tables import Tables, kind_of

_ESCAPE: Final = "/"


def search(server: Server, tables: Tables, columns: Sequence[SearchedColumn], words: str) -> set[str]:
    """See `SessionDatabase`."""
    statements = [
        _sessions(server, tables, column, words)
        for column in columns
        if kind_of(tables[column.table][column.column]) == "text"
    ]
    return server.retried(lambda: _found(server, statements))


def _found(server: Server, statements: Sequence[sa.Select[Any]]) -> set[str]:
    with server.snapshot() as connection:
        return {str(session) for statement in statements for (session,) in connection.execute(statement)}


def _sessions(server: Server, tables: Tables, column: SearchedColumn, words: str) -> sa.Select[Any]:
    table = tables[column.table]
    cell = table[column.column]
    small = server.dialect.octets(cell) <= SEARCHED_BYTES
    # A large cell may come to be read before its size is looked at, unless the order is said.
    text = sa.case((small, cell))
    wanted = [text.icontains(_escaped(column.needle(words)), escape=_ESCAPE)]
    if column.mark:
        wanted.append(text.contains(_escaped(column.mark), escape=_ESCAPE))
    return sa.select(table[column.session]).where(*wanted).distinct()


def _escaped(words: str) -> str:
    """As a pattern of nothing but these; to SQL Server a bracket means something too."""
    return "".join(f"{_ESCAPE}{char}" if char in f"%_[{_ESCAPE}" else char for char in words)
