"""Tables as one connection sees them: what can be written, how a row is found, who refers to whom."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import TableShape
from ocblob.databases.sqlite.connection import Bindings, quote, translated
from ocblob.errors import DatabaseUnsupportedError

_ON_DELETE: Final = re.compile(r"\bdelete\s+on\b", re.IGNORECASE)
_COMMENT: Final = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
TERMS: Final = 100
"""Columns that are added up in one pair of brackets; SQLite allows expressions of limited depth."""


@dataclass(frozen=True, slots=True)
class ForeignKey:
    """Columns of a table that name a row of another one, or of itself."""

    table: str
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Table:
    """An ordinary table."""

    shape: TableShape
    rowid: str
    """What the rowid is called in SQL, quoted; empty if its rows have none."""
    alias: str
    """The column that is the rowid; empty if none is."""
    in_pieces: bool
    """Whether SQLite opens handles on its cells."""
    affinities: tuple[str, ...]
    """Of the columns of the shape: TEXT, INTEGER, REAL, NUMERIC or BLOB."""

    @property
    def sql(self) -> str:
        """Its name, quoted."""
        return quote(self.shape.table)

    @property
    def address(self) -> tuple[str, ...]:
        """What its rows are told apart by, and lie ordered by, quoted."""
        return (self.rowid,) if self.rowid else tuple(map(quote, self.shape.key))

    @property
    def content_size(self) -> str:
        """The bytes of a row's content, from its header alone."""
        terms = [f"coalesce(octet_length({quote(column)}),0)" for column in self.shape.columns]
        return "+".join(f"({'+'.join(terms[start : start + TERMS])})" for start in range(0, len(terms), TERMS))


class Tables:
    """Looked up once each; as long as one transaction, or the block of an inserter."""

    def __init__(self, path: Path, db: apsw.Connection) -> None:
        self._path = path
        self._db = db
        self._known: dict[str, Table] = {}

    def __getitem__(self, name: str) -> Table:
        """Raises `DatabaseUnsupportedError` for what is no ordinary table."""
        if name not in self._known:
            self._known[name] = self._look(name)
        return self._known[name]

    def foreign_keys(self) -> list[ForeignKey]:
        """Of every table."""
        rows = self._rows(
            'SELECT t.name, f.id, f."table", f."from", f."to"'
            " FROM pragma_table_list AS t, pragma_foreign_key_list(t.name) AS f"
            " WHERE t.schema='main' AND t.type='table' ORDER BY t.name, f.id, f.seq"
        )
        found: dict[tuple[str, int], tuple[str, list[str], list[str]]] = {}
        for table, number, parent, column, parent_column in rows:
            _, columns, parent_columns = found.setdefault((table, number), (parent, [], []))
            columns.append(column)
            if parent_column is not None:
                parent_columns.append(parent_column)
        return [
            ForeignKey(table, tuple(columns), parent, tuple(parent_columns) or self._key(parent))
            for (table, _), (parent, columns, parent_columns) in found.items()
        ]

    def check_tree(self, tree: SessionTree) -> None:
        """See `SessionDatabase`."""
        owned = {table.table.lower(): table for table in tree.owned}
        for table in tree.owned:
            self.check_columns(table)
        for key in self.foreign_keys():
            if key.parent.lower() in owned and key.table.lower() not in owned:
                raise DatabaseUnsupportedError(
                    f"table {key.table} in {self._path} refers to {key.parent} and does not say to which session"
                    " its rows belong"
                )

    def check_columns(self, owned: OwnedTable) -> None:
        """Raise `DatabaseUnsupportedError` if a table lacks a column that it is said to have."""
        columns = self[owned.table].shape.columns
        for column in filter(None, (owned.session, owned.updated)):
            if column not in columns:
                raise DatabaseUnsupportedError(f"{owned.table} in {self._path} has no column {column}")

    def trigger_on_delete(self, tree: SessionTree) -> str:
        """The name of a trigger that runs when a row of an owned table is deleted; empty if there is none."""
        names = ", ".join("?" for _ in tree.owned)
        sql = f"SELECT name, sql FROM sqlite_schema WHERE type='trigger' AND lower(tbl_name) IN ({names}) ORDER BY name"
        for name, text in self._rows(sql, tuple(owned.table.lower() for owned in tree.owned)):
            # What looks like a comment may be part of a name.
            if _ON_DELETE.search(str(text)) or _ON_DELETE.search(_COMMENT.sub(" ", str(text))):
                return str(name)
        return ""

    def statements(self, table: str) -> list[str]:
        """What made a table and its indexes."""
        sql = (
            "SELECT sql FROM sqlite_schema WHERE lower(tbl_name)=lower(?) AND type IN ('table', 'index')"
            " AND sql IS NOT NULL ORDER BY type DESC, name"
        )
        return [str(made) for (made,) in self._rows(sql, (table,))]

    def indexed(self, table: str) -> set[str]:
        """Columns that are in an index, or refer to another table."""
        sql = (
            "SELECT i.name FROM pragma_index_list(?1) AS l, pragma_index_info(l.name) AS i WHERE i.name IS NOT NULL"
            ' UNION SELECT "from" FROM pragma_foreign_key_list(?1)'
        )
        return {str(column) for (column,) in self._rows(sql, (table,))}

    def _key(self, table: str) -> tuple[str, ...]:
        rows = self._rows("SELECT name FROM pragma_table_info(?) WHERE pk>0 ORDER BY pk", (table,))
        return tuple(name for (name,) in rows)

    def _look(self, name: str) -> Table:
        found = self._rows("SELECT type, wr, strict FROM pragma_table_list WHERE schema='main' AND name=?", (name,))
        if not found or name.lower().startswith("sqlite_"):
            raise DatabaseUnsupportedError(f"{self._path} has no table {name}")
        ((kind, without_rowid, strict),) = found
        if kind != "table":
            raise DatabaseUnsupportedError(f"{name} in {self._path} is a {kind}, not a table")
        columns = self._rows(
            'SELECT name, type, "notnull", dflt_value IS NOT NULL, pk, hidden FROM pragma_table_xinfo(?)', (name,)
        )
        written = [column for column in columns if not column[5]]
        key = tuple(column[0] for column in sorted((c for c in columns if c[4]), key=lambda c: c[4]))
        alias = "" if without_rowid or len(key) != 1 or self._has_key_index(name) else key[0]
        required = {column for column, _, not_null, default, _, _ in written if not_null and not default}
        shape = TableShape(name, tuple(column[0] for column in written), key, frozenset(required - {alias}))
        return Table(
            shape,
            rowid="" if without_rowid else self._rowid(name, alias, {column[0].lower() for column in columns}),
            alias=alias,
            in_pieces=not without_rowid and not any(column[5] > 1 for column in columns),
            affinities=tuple(affinity(column[1], strict=bool(strict)) for column in written),
        )

    def _has_key_index(self, table: str) -> bool:
        # A single INTEGER PRIMARY KEY that has no index of its own is the rowid.
        return bool(self._rows("SELECT 1 FROM pragma_index_list(?) WHERE origin='pk'", (table,)))

    def _rowid(self, table: str, alias: str, columns: set[str]) -> str:
        if alias:
            return quote(alias)
        for name in ("rowid", "_rowid_", "oid"):
            if name not in columns:
                return name
        raise DatabaseUnsupportedError(f"{table} in {self._path} hides its rowid behind columns of that name")

    def _rows(self, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
        with translated(self._path):
            return list(self._db.execute(sql, bindings))


def affinity(declared: str, *, strict: bool = False) -> str:
    """What SQLite would rather have in a column, by its declared type."""
    kind = declared.upper()
    if strict and kind == "ANY":
        return "BLOB"
    for name, words in (
        ("INTEGER", ("INT",)),
        ("TEXT", ("CHAR", "CLOB", "TEXT")),
        ("BLOB", ("BLOB",)),
        ("REAL", ("REAL", "FLOA", "DOUB")),
    ):
        if any(word in kind for word in words):
            return name
    return "NUMERIC" if kind else "BLOB"


def encoded(text: str) -> bytes:
    """A session's id as SQLite holds it. Ids of ours come from `decoded`, so none is without a way back."""
    return text.encode("utf-8", "surrogateescape")


def decoded(data: bytes | None) -> str:
    """Text of SQLite's, valid UTF-8 or not; the empty text for null."""
    return (data or b"").decode("utf-8", "surrogateescape")
