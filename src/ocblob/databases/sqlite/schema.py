"""What a table allows: names of its columns and rowid, and whether its cells can be read and swapped."""

from pathlib import Path
from typing import Any, Protocol

from ocblob.cells import Column
from ocblob.databases.sqlite.connection import Bindings, quote
from ocblob.errors import DatabaseUnsupportedError


class Answering(Protocol):
    """Where a schema is looked up."""

    path: Path

    def rows(self, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
        """All rows of a small answer."""


class Schema:
    """The tables of one file, looked up once."""

    def __init__(self, reading: Answering) -> None:
        self._path = reading.path
        self._reading = reading
        self._tables: dict[str, frozenset[str]] | None = None
        self._streamable: dict[Column, bool] = {}

    def forget(self) -> None:
        """Look again: tables were made."""
        self._tables, self._streamable = None, {}

    def tables(self) -> dict[str, frozenset[str]]:
        """The columns of every ordinary table."""
        if self._tables is None:
            names = self._rows("SELECT name FROM pragma_table_list WHERE schema='main' AND type='table'")
            columns = {str(name): self._rows("SELECT name FROM pragma_table_info(?)", name) for (name,) in names}
            self._tables = {
                name: frozenset(str(column) for (column,) in found)
                for name, found in columns.items()
                if not name.startswith("sqlite_")
            }
        return self._tables

    def check_column(self, column: Column) -> None:
        """Refuse views, virtual tables, tables without rowid or with generated columns, and what is not there."""
        found = self._rows("SELECT type, wr FROM pragma_table_list WHERE schema='main' AND name=?", column.table)
        where = f"{column.table} in {self._path}"
        if not found or column.table.lower().startswith("sqlite_"):
            raise DatabaseUnsupportedError(f"{self._path} has no table {column.table}")
        ((kind, without_rowid),) = found
        if kind != "table":
            raise DatabaseUnsupportedError(f"{where} is a {kind}; only tables have cells to swap")
        if without_rowid:
            raise DatabaseUnsupportedError(f"{where} is a WITHOUT ROWID table; its cells cannot be read in pieces")
        if self._rows("SELECT 1 FROM pragma_table_xinfo(?) WHERE hidden>1", column.table):
            raise DatabaseUnsupportedError(f"{where} has generated columns; SQLite reads no cell of it in pieces")
        if column.column not in self.tables()[column.table]:
            raise DatabaseUnsupportedError(f"{where} has no column {column.column}")

    def rowid(self, table: str) -> str:
        """A name of the rowid that no column takes."""
        columns = {column.lower() for column in self.tables()[table]}
        for name in ("rowid", "_rowid_", "oid"):
            if name not in columns:
                return name
        raise DatabaseUnsupportedError(f"{table} in {self._path} hides its rowid behind columns of that name")

    def key(self, table: str) -> str:
        """The primary key's column if it has one, else the rowid."""
        keys = self._rows("SELECT name FROM pragma_table_info(?) WHERE pk>0", table)
        return quote(str(keys[0][0])) if len(keys) == 1 else self.rowid(table)

    def is_streamable(self, column: Column) -> bool:
        """Whether content may be written into a zeroed cell: no trigger and no index may look at the cell between.

        SQLite refuses that for indexed columns only; a partial index whose condition names the column would go
        wrong silently.
        """
        if column not in self._streamable:
            triggers = "SELECT 1 FROM sqlite_schema WHERE type='trigger' AND tbl_name=? COLLATE NOCASE"
            indexes = (
                "SELECT 1 FROM pragma_index_list(?1) AS i, pragma_index_xinfo(i.name) AS c"
                " WHERE i.partial OR c.cid=-2 OR c.name=?2 COLLATE NOCASE"
            )
            looked_at = self._rows(triggers, column.table) or self._rows(indexes, column.table, column.column)
            self._streamable[column] = not looked_at
        return self._streamable[column]

    def _rows(self, sql: str, *bindings: object) -> list[tuple[object, ...]]:
        return self._reading.rows(sql, bindings)
