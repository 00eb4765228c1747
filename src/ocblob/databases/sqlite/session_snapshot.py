"""Whole rows of one state of a SQLite file: no large text or blob is ever held.

A statement ends before its row is handed out, so nothing is open while the contents of a row are read.
"""

import contextlib
from array import array
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

import apsw

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import (
    CONTENT_READ_BYTES,
    SMALL_BYTES,
    Content,
    Row,
    TableDefinition,
    TableShape,
    Value,
)
from ocblob.databases.sqlite.connection import Bindings, connect, quote, translated
from ocblob.databases.sqlite.session_definitions import definition
from ocblob.databases.sqlite.session_tables import Table, Tables, decoded, encoded
from ocblob.errors import DatabaseError

KEYS_PAGE: Final = 500
"""Keys that are held at a time where rows have no rowid."""
SLICE_BYTES: Final = 16 * 1024 * 1024
"""What is read at a time of a cell that SQLite can only load as a whole."""
IDS_PAGE: Final = 500
"""Ids in one statement."""

_IN_BYTES: Final = ("text", "blob")
Address = tuple[str, tuple[object, ...]]
"""The condition that one row fulfils, and its bindings."""


@contextlib.contextmanager
def snapshot(path: Path) -> Iterator["SQLiteSnapshot"]:
    """One state, on a connection of its own. Without a WAL nobody can commit while it is open."""
    db = connect(path, read_only=True)
    try:
        with translated(path):
            db.execute("BEGIN")
            # The first look takes the snapshot.
            db.execute("SELECT count(*) FROM sqlite_schema").fetchall()
        yield SQLiteSnapshot(path, db)
    finally:
        db.close(True)  # an open cursor would raise its error once more


class SQLiteSnapshot:
    """See `Snapshot`: over a connection that is in a transaction."""

    def __init__(self, path: Path, db: apsw.Connection, tables: Tables | None = None) -> None:
        self.path = path
        self._db = db
        self.tables = Tables(path, db) if tables is None else tables
        self._statements: dict[tuple[str, str], str] = {}

    def shape(self, table: str) -> TableShape:
        """See `Snapshot`."""
        return self.tables[table].shape

    def definition(self, table: str) -> TableDefinition:
        """See `Snapshot`."""
        found = self.tables[table]
        return definition(found, self.tables.statements(table), self.tables.indexed(table))

    def rows(self, table: OwnedTable, session: str) -> Iterator[Row]:
        """See `Snapshot`."""
        return self.context_rows(table.table, table.session, session)

    def context_rows(self, table: str, column: str, value: str) -> Iterator[Row]:
        """See `Snapshot`."""
        found = self.tables[table]
        for address in self.addresses(found, column, value):
            row = self.row(found, address)
            if row is None:
                raise DatabaseError(f"{self.path}: a row of {table} is gone while it is looked at")
            yield row

    def find(self, table: str, key: Sequence[Value]) -> Row | None:
        """See `Snapshot`."""
        found = self.tables[table]
        if len(key) != len(found.shape.key):
            raise DatabaseError(f"{table} in {self.path} has a key of {len(found.shape.key)} columns, not {len(key)}")
        conditions = [
            f"{quote(name)} IS {placeholder(value)}" for name, value in zip(found.shape.key, key, strict=True)
        ]
        return self.row(found, (" AND ".join(conditions), tuple(map(held, key)))) if key else None

    def exists(self, tree: SessionTree, session: str) -> bool:
        """See `Snapshot`."""
        table, column = quote(tree.sessions.table), quote(tree.sessions.session)
        return bool(self.select(f"SELECT 1 FROM {table} WHERE {column}=CAST(? AS TEXT)", (encoded(session),)))

    def children(self, tree: SessionTree, sessions: Sequence[str]) -> set[str]:
        """See `Snapshot`."""
        table, column, parent = quote(tree.sessions.table), quote(tree.sessions.session), quote(tree.parent)
        found = set[str]()
        for start in range(0, len(sessions), IDS_PAGE):
            condition, ids = among(parent, sessions[start : start + IDS_PAGE])
            rows = self.select(f"SELECT CAST({column} AS BLOB) FROM {table} WHERE {condition}", ids)
            found.update(decoded(child) for (child,) in rows)
        return found

    def addresses(self, table: Table, column: str, value: str) -> Iterator[Address]:
        """Where the rows lie whose column has this value, in their order. Memory: 8 bytes for each rowid."""
        where = f"{quote(column)}=CAST(? AS TEXT)"
        if table.rowid:
            sql = f"SELECT {table.rowid} FROM {table.sql} WHERE {where} ORDER BY {table.rowid}"
            with translated(self.path):
                rowids = array("q", (rowid for (rowid,) in self._db.execute(sql, (encoded(value),))))
            for rowid in rowids:
                yield f"{table.rowid}=?", (rowid,)
            return
        keys, after, last = ", ".join(table.address), "", tuple[object, ...]()
        typed = ", ".join(f"typeof({name}), {_small(name)}" for name in table.address)
        while True:
            sql = f"SELECT {typed} FROM {table.sql} WHERE {where}{after} ORDER BY {keys} LIMIT {KEYS_PAGE}"
            page = self.select(sql, (encoded(value), *last))
            for row in page:
                kinds, last = row[::2], row[1::2]
                places = [_place(kind) for kind in kinds]
                after = f" AND ({keys})>({', '.join(places)})"
                yield (
                    " AND ".join(f"{name}={place}" for name, place in zip(table.address, places, strict=True)),
                    last,
                )
            if len(page) < KEYS_PAGE:
                return

    def row(self, table: Table, address: Address) -> Row | None:
        """One row without its large contents."""
        condition, bindings = address
        for rowid, *cells in self.select(self._statement(table, condition), bindings):
            values = list[Value]()
            for name, kind, cell in zip(table.shape.columns, cells[::2], cells[1::2], strict=True):
                if kind not in _IN_BYTES:
                    values.append(cell)
                elif isinstance(cell, bytes):
                    values.append(Content(kind, len(cell), partial(iter, (cell,))))
                else:
                    values.append(Content(kind, cell, partial(self._chunks, table, name, address, cell)))
            return Row(rowid, tuple(values))
        return None

    def _statement(self, table: Table, condition: str) -> str:
        # Made once: there may be a million rows.
        sql = self._statements.get((table.sql, condition))
        if sql is None:
            values = ", ".join(f"typeof({quote(name)}), {_value(quote(name))}" for name in table.shape.columns)
            sql = f"SELECT {table.rowid or 'NULL'}, {values} FROM {table.sql} WHERE {condition} LIMIT 1"
            self._statements[table.sql, condition] = sql
        return sql

    def select(self, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
        """All rows of a small answer."""
        with translated(self.path):
            return list(self._db.execute(sql, bindings))

    def stream(self, sql: str, bindings: Bindings = ()) -> Iterator[tuple[Any, ...]]:
        """The rows of a large answer, one by one; finish it before anything else is asked."""
        with translated(self.path):
            yield from self._db.execute(sql, bindings)

    def _chunks(self, table: Table, column: str, address: Address, size: int) -> Iterator[bytes]:
        blob = self._blob(table, column, address)
        if blob is None:
            yield from self._slices(table, column, address, size)
            return
        try:
            for start in range(0, size, CONTENT_READ_BYTES):
                with translated(self.path):
                    data = blob.read(min(CONTENT_READ_BYTES, size - start))
                yield data
        finally:
            blob.close(True)

    def _blob(self, table: Table, column: str, address: Address) -> apsw.Blob | None:
        """A handle on a cell; None where SQLite opens none."""
        if not table.in_pieces:
            return None
        (rowid,) = self.select(f"SELECT {table.rowid} FROM {table.sql} WHERE {address[0]} LIMIT 1", address[1])[0]
        with translated(self.path):
            try:
                return self._db.blob_open("main", table.shape.table, column, rowid, False)
            except apsw.SQLError:
                # A column that was added after the row was written has no cell there, and its default may be large.
                return None

    def _slices(self, table: Table, column: str, address: Address, size: int) -> Iterator[bytes]:
        """SQLite loads the cell for each slice then, so these are large."""
        condition, bindings = address
        sql = f"SELECT substr(CAST({quote(column)} AS BLOB), ?, ?) FROM {table.sql} WHERE {condition} LIMIT 1"
        for start in range(0, size, SLICE_BYTES):
            ((data,),) = self.select(sql, (start + 1, SLICE_BYTES, *bindings))
            for at in range(0, len(data), CONTENT_READ_BYTES):
                yield data[at : at + CONTENT_READ_BYTES]


def among(column: str, sessions: Sequence[str]) -> tuple[str, tuple[bytes, ...]]:
    """The condition that a column has one of these values, and its bindings."""
    places = ", ".join("CAST(? AS TEXT)" for _ in sessions)
    return f"{column} IN ({places})", tuple(map(encoded, sessions))


def placeholder(value: Value) -> str:
    """What stands for a value in SQL: text is bound as bytes, it need not be valid UTF-8."""
    return _place(value.kind) if isinstance(value, Content) else "?"


def held(value: Value) -> int | float | bytes | None:
    """A value as it is bound, in memory."""
    return b"".join(value.chunks()) if isinstance(value, Content) else value


def _place(kind: str) -> str:
    return "CAST(? AS TEXT)" if kind == "text" else "?"


def _small(name: str) -> str:
    return f"iif(typeof({name})='text', CAST({name} AS BLOB), {name})"


def _value(name: str) -> str:
    """A value if it is small, else its size; a cell's header tells which, so a large one is never loaded."""
    return f"CASE WHEN octet_length({name})>{SMALL_BYTES} THEN octet_length({name}) ELSE {_small(name)} END"
