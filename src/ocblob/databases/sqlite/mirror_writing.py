"""Rows put into a host's SQLite file in the places of those with their keys, in short transactions.

A row that is there goes and comes in one transaction, and keeps its place and the columns that nobody names.
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from ocblob.databases.mirror_rows import MirroredSession
from ocblob.databases.session_rows import Content, Row, Value
from ocblob.databases.sqlite.connection import quote
from ocblob.databases.sqlite.session_row_writer import RowWriter
from ocblob.databases.sqlite.session_snapshot import SQLiteSnapshot, held, placeholder
from ocblob.databases.sqlite.session_tables import Tables
from ocblob.databases.sqlite.session_taking import Taken
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.errors import DatabaseUnsupportedError

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
"""Rows, and bytes of their content, that are held before they are put in."""


@dataclass(frozen=True, slots=True)
class _Change:
    table: str
    key: tuple[Value, ...]
    columns: tuple[str, ...] = ()
    row: Row | None = None
    """None for a row that goes."""

    @property
    def size(self) -> int:
        return self.row.content_size if self.row is not None else 0


@contextlib.contextmanager
def mirror_writer(writer: SessionWriter) -> Iterator["SQLiteMirrorWriter"]:
    """See `MirrorDatabase`."""
    # Rows go and come: nothing may go along with them, and a source may have rows that refer to nothing.
    writer.rows("PRAGMA foreign_keys=OFF")
    with Taken(writer.path) as taken:
        rows = SQLiteMirrorWriter(writer, taken)
        yield rows
        rows.finish()


class SQLiteMirrorWriter:
    """See `MirrorWriter`. A row may be refused by the `put` of a later one, or by the end of the block."""

    def __init__(self, writer: SessionWriter, taken: Taken) -> None:
        self._writer = writer
        self._tables = Tables(writer.path, writer.db)
        self._rows = RowWriter(writer)
        self._taken = taken
        self._waiting: deque[_Change] = deque()
        self._size = 0

    def put(self, table: str, columns: Sequence[str], row: Row, digest: str, *, owner: str = "") -> None:
        """See `MirrorWriter`; the digest is kept nowhere, nor a record."""
        del digest, owner
        self._rows.check(table, columns)
        given = dict(zip(columns, row.values, strict=True))
        key = tuple(given.get(name) for name in self._key(table))
        self._add(_Change(table, key, tuple(columns), self._taken.row(row)))

    def remove(self, table: str, key: Sequence[Value]) -> None:
        """See `MirrorWriter`."""
        self._add(_Change(table, tuple(key)))

    def record(self, session: MirroredSession) -> None:
        """See `MirrorWriter`: no record is kept."""
        del session
        self.finish()

    def finish(self) -> None:
        """All that waits is put in, and durable."""
        while self._waiting:
            self._write()
        self._writer.make_durable()

    def _key(self, table: str) -> tuple[str, ...]:
        key = self._tables[table].shape.key
        if not key:
            raise DatabaseUnsupportedError(f"{table} in {self._writer.path} has no primary key to find a row by")
        return key

    def _add(self, change: _Change) -> None:
        self._waiting.append(change)
        self._size += change.size
        while len(self._waiting) >= BATCH_ROWS or self._size >= BATCH_BYTES:
            self._write()

    def _write(self) -> None:
        """One transaction; if a row is refused it is undone, and none of its rows waits any more."""
        done = 0
        try:
            with self._writer.transaction():
                for change in self._waiting:
                    if done and change.size >= BATCH_BYTES:
                        break  # it has a transaction for itself
                    done += 1
                    self._change(change)
                    if self._writer.over_time:
                        break
        finally:
            for _ in range(done):
                self._waiting.popleft()
            if not self._waiting:
                self._size = 0
                self._taken.release()

    def _change(self, change: _Change) -> None:
        table = self._tables[change.table]
        names = zip(self._key(change.table), change.key, strict=True)
        condition = " AND ".join(f"{quote(name)} IS {placeholder(value)}" for name, value in names)
        address = condition, tuple(map(held, change.key))
        if change.row is None:
            self._writer.rows(f"DELETE FROM {table.sql} WHERE {address[0]}", address[1])
            return
        columns, row = change.columns, change.row
        there = SQLiteSnapshot(self._writer.path, self._writer.db, self._tables).row(table, address)
        if there is not None:
            columns, row = _over(table.shape.columns, there, columns, row)
            self._writer.rows(f"DELETE FROM {table.sql} WHERE {address[0]}", address[1])
        self._rows.put(change.table, columns, row)


def _over(all_columns: Sequence[str], there: Row, columns: Sequence[str], row: Row) -> tuple[tuple[str, ...], Row]:
    """A row in the place of one that is there; what it does not say stays."""
    others = {
        name: _in_memory(value) for name, value in zip(all_columns, there.values, strict=True) if name not in columns
    }
    return (*columns, *others), Row(there.rowid, (*row.values, *others.values()))


def _in_memory(value: Value) -> Value:
    if not isinstance(value, Content):
        return value
    return Content(value.kind, value.size, partial(iter, (held(value),)))
