"""Putting rows into a mirror: each in the place of the one with its key, many in one transaction.

A row that is there is deleted and put in anew; a row that another mirror puts at the same time is met by trying again.
"""

import contextlib
import random
import time
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby
from typing import Any, Final

import sqlalchemy as sa

from ocblob.databases.mirror_rows import MirroredSession
from ocblob.databases.session_rows import Row, Value
from ocblob.databases.sql.mirror_records import put_records
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.session_insert import ROWS_OWN_TROUBLE, named
from ocblob.databases.sql.session_row_binder import BoundRow, RowBinder
from ocblob.databases.sql.session_row_writer import RowWriter
from ocblob.databases.sql.tables import Tables
from ocblob.errors import DatabaseError, DatabaseUnsupportedError

BATCH_ROWS: Final = 1000
BATCH_BYTES: Final = 4 * 1024 * 1024
"""Rows, and bytes of their content, that are held before they are put in."""
BATCH_RECORDS: Final = 200
TRIES: Final = 4
"""A row that somebody else puts in between is refused once; then it is there, and goes first."""
_PAUSE_S: Final = 0.05

_Key = tuple[str, tuple[Any, ...]]


@contextlib.contextmanager
def mirror_writer(server: Server, tables: Tables) -> Iterator["SqlMirrorWriter"]:
    """See `MirrorDatabase`. If the block ends with an error, what waits is not put in."""
    writer = SqlMirrorWriter(server, tables)
    yield writer
    writer.finish()


class SqlMirrorWriter:
    """See `MirrorWriter`."""

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables
        self._binder = RowBinder(server, tables)
        self._writer = RowWriter(server, tables, self._binder)
        self._waiting = dict[_Key, BoundRow]()
        self._going = dict[_Key, None]()
        """Rows that are to go, before those that wait are put in."""
        self._records = dict[str, MirroredSession]()
        self._size = 0
        self._owners = dict[str, str]()
        """Of each table, the column that tells whose a row is."""

    def put(self, table: str, columns: Sequence[str], row: Row, digest: str, *, owner: str = "") -> None:
        """See `MirrorWriter`."""
        self._owners[table] = owner
        bound = self._binder.bound(table, columns, row, digest=digest)
        if bound.table.digest is None:
            raise DatabaseUnsupportedError(f"table {table} in {self._server.address} is no mirror's")
        if bound.large:
            self.finish()
        self._waiting[table, bound.key] = bound
        self._size += row.content_size
        if bound.large or len(self._waiting) >= BATCH_ROWS or self._size >= BATCH_BYTES:
            self.finish()

    def remove(self, table: str, key: Sequence[Value]) -> None:
        """See `MirrorWriter`."""
        bound = self._binder.key(table, key)
        if bound is None:
            return
        self._waiting.pop((table, bound), None)
        self._going[table, bound] = None
        if len(self._going) >= BATCH_ROWS:
            self.finish()

    def record(self, session: MirroredSession) -> None:
        """See `MirrorWriter`."""
        self._records[session.session] = session
        if len(self._records) >= BATCH_RECORDS:
            self.finish()

    def finish(self) -> None:
        """Put in what waits."""
        rows, going, records = list(self._waiting.values()), list(self._going), list(self._records.values())
        self._waiting, self._going, self._records, self._size = {}, {}, {}, 0
        if not (rows or going or records):
            return
        try:
            self._server.retried(partial(self._transaction, rows, going, records))
        except ROWS_OWN_TROUBLE:
            self._server.retried(partial(self._transaction, [], going, []))
            if refused := [error for row in rows if (error := self._alone(row)) is not None]:
                raise refused[0] from None
            self._server.retried(partial(self._transaction, [], [], records))

    def _transaction(self, rows: Sequence[BoundRow], going: Sequence[_Key], records: Sequence[MirroredSession]) -> None:
        """May be repeated: what it puts in takes the place of what it put in before."""
        with self._server.transaction() as connection:
            self._remove(connection, going)
            self._check_owners(connection, rows)
            self._remove(connection, [(row.table.table.name, row.key) for row in rows])
            self._writer.insert(connection, rows)
            if records:
                put_records(connection, records)

    def _check_owners(self, connection: sa.Connection, rows: Sequence[BoundRow]) -> None:
        for name, group in groupby(rows, lambda row: row.table.table.name):
            if owner := self._owners.get(name):
                self._writer.check_owners(connection, list(group), owner)

    def _remove(self, connection: sa.Connection, keys: Sequence[_Key]) -> None:
        for table, group in groupby(keys, lambda key: key[0]):
            self._writer.remove(connection, self._tables[table], [key for _, key in group])

    def _alone(self, row: BoundRow) -> DatabaseError | None:
        """One row in a transaction for itself; what stands against it."""
        refused: DatabaseError | None = None
        for number in range(TRIES):
            try:
                self._server.retried(partial(self._transaction, [row], [], []))
            except ROWS_OWN_TROUBLE as error:
                refused = named(self._server, self._tables, row, error)
                time.sleep(_PAUSE_S * number * random.random())  # noqa: S311 - a pause is no secret
            else:
                return None
        return refused
