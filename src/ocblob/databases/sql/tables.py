"""The tables of one database of a server, as they are now: what is the host's in them, and what is ours.

A mirror has columns and tables of its own, whose names begin with `ocblob_`; nobody else sees them.
"""

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ocblob.cells import Column
from ocblob.databases.sql.dialects.base import SELF_CHANGING
from ocblob.databases.sql.server import Server
from ocblob.errors import DatabaseUnsupportedError

OURS: Final = "ocblob_"
ROWID: Final = "ocblob_rowid"
"""Where a row of a mirror lay in the SQLite file it comes from; rows lie in this order."""
DIGEST: Final = "ocblob_digest"
"""The digest of a row of a mirror as it was put."""

Kind = Literal["text", "blob", "other"]


@dataclass(frozen=True, slots=True)
class SqlTable:
    """One table."""

    table: sa.Table
    """With every column, ours too."""
    columns: tuple[sa.Column[Any], ...]
    """The host's, in their order; generated ones are left out."""
    key: tuple[sa.Column[Any], ...]
    """What a row is found by; empty if there is nothing."""
    rowid: sa.Column[Any] | None
    digest: sa.Column[Any] | None
    statements: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """What others made for it once, by what it is for: to make a statement takes longer than to run it."""

    @property
    def order(self) -> tuple[sa.Column[Any], ...]:
        """What the rows of a session lie ordered by."""
        return self.key if self.rowid is None else (self.rowid, *self.key)

    def __getitem__(self, name: str) -> sa.Column[Any]:
        found: sa.Column[Any] = self.table.c[name]
        return found


class Tables:
    """The tables in the schema that the URL means, looked up once."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._metadata = sa.MetaData()
        self._found: dict[str, SqlTable] = {}
        self._names: dict[str, frozenset[str]] | None = None
        self._all_names: dict[str, tuple[str, ...]] | None = None
        self._lock = threading.RLock()

    def forget(self) -> None:
        """Look again: tables were made, or changed."""
        with self._lock:
            self._metadata, self._found, self._names = sa.MetaData(), {}, None
            self._all_names = None

    def names(self) -> dict[str, frozenset[str]]:
        """The host's tables and their columns."""
        with self._lock:
            if self._names is None:
                self._names = {
                    name: frozenset(column for column in columns if not column.startswith(OURS))
                    for name, columns in self.all_names().items()
                    if not name.startswith(OURS)
                }
            return self._names

    def all_names(self) -> dict[str, tuple[str, ...]]:
        """Every table, ours too, with all its columns."""
        with self._lock:
            if self._all_names is None:
                with self._server.catalog() as inspector:
                    self._all_names = {
                        str(name): tuple(column["name"] for column in columns)
                        for (_, name), columns in inspector.get_multi_columns().items()
                    }
            return self._all_names

    def __getitem__(self, name: str) -> SqlTable:
        """Raises `DatabaseUnsupportedError` if there is no such table."""
        with self._lock:
            if name not in self._found:
                self._found[name] = self._reflected(name)
            return self._found[name]

    def _reflected(self, name: str) -> SqlTable:
        with self._server.catalog() as inspector:
            if name in inspector.get_view_names():
                raise DatabaseUnsupportedError(
                    f"{name} in {self._server.address} is a view; only tables have cells to swap"
                )
            if name not in inspector.get_table_names():
                raise DatabaseUnsupportedError(f"{self._server.address} has no table {name}")
            connection = inspector.bind
            assert isinstance(connection, sa.Connection)  # noqa: S101 - `Server.catalog` makes it from one
            table = sa.Table(name, self._metadata, autoload_with=connection, resolve_fks=False)
            for changing in self._server.dialect.self_changing(connection, name):
                table.columns[changing].info[SELF_CHANGING] = True
            unique = inspector.get_unique_constraints(name) if not table.primary_key.columns else []
        columns = tuple(column for column in table.columns if not column.name.startswith(OURS) and not column.computed)
        key = tuple(table.primary_key.columns) or _unique(table, [found["column_names"] for found in unique])
        return SqlTable(table, columns, key, table.columns.get(ROWID), table.columns.get(DIGEST))

    def check_column(self, column: Column) -> None:
        """Raise `DatabaseUnsupportedError` unless cells of this column can be read and swapped."""
        found = self[column.table]
        where = f"{column.table} in {self._server.address}"
        if column.column not in found.table.columns:
            raise DatabaseUnsupportedError(f"{where} has no column {column.column}")
        if not found.key:
            raise DatabaseUnsupportedError(f"{where} has no primary key to find a row by")
        for part in found.key:
            if why := _no_key(part) or self._server.dialect.check_key(part):
                raise DatabaseUnsupportedError(f"the key column {part.name} of {where} is {part.type}: {why}")
        if why := self._server.dialect.check_table(found.table):
            raise DatabaseUnsupportedError(f"{where}: {why}")
        cell = found[column.column]
        if cell.computed is not None:
            raise DatabaseUnsupportedError(f"column {column.column} of {where} is generated from others")
        if kind_of(cell) == "other":
            raise DatabaseUnsupportedError(f"column {column.column} of {where} is {cell.type}: neither text nor blob")
        if why := self._server.dialect.check_text(cell):
            raise DatabaseUnsupportedError(f"column {column.column} of {where}: {why}")


def kind_of(column: sa.Column[Any]) -> Kind:
    """What cells of a column hold."""
    if isinstance(column.type, sa.types.LargeBinary | sa.types._Binary):  # noqa: SLF001 - VARBINARY has no public base
        return "blob"
    # An enumeration and a set are Strings to SQLAlchemy, but take no text of ours.
    if isinstance(column.type, sa.types.String) and not isinstance(column.type, sa.types.Enum | mysql.SET):
        return "text"
    return "other"


_KEY_TYPES: Final = (
    sa.types.Integer,
    sa.types.Numeric,
    sa.types.Uuid,
    sa.types.Boolean,
    sa.types.Date,
    sa.types.DateTime,
    sa.types.Time,
)


def _no_key(column: sa.Column[Any]) -> str:
    """Why a row cannot be found again by such a value; empty if it can."""
    found = column.type
    if isinstance(found, sa.types.Float):
        return "a row is not found by a rounded number"
    if kind_of(column) != "other" or isinstance(found, _KEY_TYPES):
        return ""
    return "a row is found by text, bytes, numbers and times"


def _unique(table: sa.Table, found: Sequence[Sequence[str | None]]) -> tuple[sa.Column[Any], ...]:
    """The columns of a constraint that tells rows apart; one with nulls in it does not."""
    for names in found:
        columns = [table.columns[name] for name in names if name is not None]
        if columns and not any(column.nullable for column in columns):
            return tuple(columns)
    return ()
