"""Putting rows of sessions in, type for type and byte for byte, each with its rowid if that is free."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence

import apsw

from ocblob.cells import Column, SessionTree
from ocblob.databases.session_rows import Row
from ocblob.databases.sqlite.connection import quote, translated
from ocblob.databases.sqlite.session_delete import check_deletion, delete_rows
from ocblob.databases.sqlite.session_snapshot import SQLiteSnapshot, held, placeholder
from ocblob.databases.sqlite.session_tables import Tables
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.errors import DatabaseError

Streamable = Callable[[Column], bool]


class SQLiteInserter:
    """See `Inserter`."""

    def __init__(self, writer: SessionWriter, is_streamable: Streamable) -> None:
        self._writer = writer
        self._is_streamable = is_streamable
        self._tables = Tables(writer.path, writer.db)

    def add(self, table: str, columns: Sequence[str], row: Row) -> None:
        """See `Inserter`."""
        with self._writer.transaction():
            self.put(table, columns, row)

    def put(self, table: str, columns: Sequence[str], row: Row) -> None:
        """One row, inside a transaction."""
        found = self._tables[table]
        for column in columns:
            if column not in found.shape.columns:
                raise DatabaseError(f"{table} in {self._writer.path} has no column {column}")
        names = [quote(column) for column in columns]
        places = [placeholder(value) for value in row.values]
        values = [held(value) for value in row.values]
        with translated(self._writer.path):
            taken = f"SELECT 1 FROM {found.sql} WHERE {found.rowid}=?"
            if (
                found.rowid
                and not found.alias
                and row.rowid is not None
                and not self._writer.db.execute(taken, (row.rowid,)).fetchall()
            ):
                names.append(found.rowid)
                places.append("?")
                values.append(row.rowid)
            sql = f"INSERT OR ABORT INTO {found.sql} ({', '.join(names)}) VALUES ({', '.join(places)})"
            try:
                self._writer.db.execute(sql, values)
            except apsw.ConstraintError as error:
                raise DatabaseError(f"{table} in {self._writer.path}: {error}") from error


@contextlib.contextmanager
def inserter(writer: SessionWriter, is_streamable: Streamable) -> Iterator[SQLiteInserter]:
    """See `SessionDatabase`."""
    yield SQLiteInserter(writer, is_streamable)
    writer.make_durable()


def delete_and_insert(
    writer: SessionWriter,
    is_streamable: Streamable,
    tree: SessionTree,
    session: str,
    rows: Iterable[tuple[str, Sequence[str], Row]],
) -> None:
    """See `SessionDatabase`."""
    with writer.transaction():
        check_deletion(SQLiteSnapshot(writer.path, writer.db), tree, (session,))
        delete_rows(writer, tree, (session,))
        added = SQLiteInserter(writer, is_streamable)
        for table, columns, row in rows:
            added.put(table, columns, row)
    writer.make_durable()
