"""Putting rows of sessions in, in short transactions: a row that is refused is named, and those beside it go in."""

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import sqlalchemy as sa

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Content, Row, Value
from ocblob.databases.sql.server import (
    ConnectionLostError,
    RowRefusedError,
    Server,
    TransactionUndoneError,
    ValueTooLargeError,
)
from ocblob.databases.sql.session_delete import delete_rows
from ocblob.databases.sql.session_row_binder import BoundRow, RowBinder, shown
from ocblob.databases.sql.session_row_writer import RowWriter
from ocblob.databases.sql.session_snapshot import snapshot
from ocblob.databases.sql.session_tables import check_deletion, foreign_keys
from ocblob.databases.sql.tables import Tables
from ocblob.digest import Hasher
from ocblob.errors import DanglingRowError, DatabaseError, DatabaseLockedError, DatabaseUnsupportedError

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
"""Rows, and bytes of their content, that are held before they are put in."""

ROWS_OWN_TROUBLE = (RowRefusedError, DanglingRowError)


@contextlib.contextmanager
def inserter(server: Server, tables: Tables, *, dangling: bool = False) -> Iterator["SqlInserter"]:
    """See `SessionDatabase`. If the block ends with an error, what it had put in by then stays."""
    rows = SqlInserter(server, tables, dangling=dangling)
    yield rows
    rows.finish()


class SqlInserter:
    """See `Inserter`. A row may be refused by the `add` of a later one, or by the end of the block, in its own name."""

    def __init__(self, server: Server, tables: Tables, *, dangling: bool) -> None:
        self._server = server
        self._tables = tables
        self._binder = RowBinder(server, tables)
        self._writer = RowWriter(server, tables, self._binder)
        self._dangling = dangling
        self._waiting: list[BoundRow] = []
        self._size = 0
        self._refused = deque[DatabaseError]()
        _check_dangling(server, dangling=dangling)

    def add(self, table: str, columns: Sequence[str], row: Row) -> None:
        """See `Inserter`."""
        bound = self._binder.bound(table, columns, row)
        if bound.large:
            # What waits goes first: a large row has a transaction for itself, and is read while it goes in.
            self._write()
        self._waiting.append(bound)
        self._size += row.content_size
        if bound.large or len(self._waiting) >= BATCH_ROWS or self._size >= BATCH_BYTES:
            self._write()
        if self._refused:
            raise self._refused.popleft()

    def finish(self) -> None:
        """Put in what still waits, all that can be; the first refusal is raised when that is done."""
        self._write()
        if self._refused:
            raise self._refused.popleft()

    def _write(self) -> None:
        waiting, self._waiting, self._size = self._waiting, [], 0
        if waiting:
            self._put(waiting, again=False)

    def _put(self, rows: Sequence[BoundRow], *, again: bool) -> None:
        """All of these in one transaction; if one is refused, the halves of them, down to that one.

        `again`: an earlier transaction with these rows may have been committed without an answer.
        """
        tried = again

        def work() -> None:
            nonlocal tried
            try:
                with self._server.transaction() as connection, _unbound(self._server, connection, off=self._dangling):
                    self._writer.insert(connection, rows)
            except ConnectionLostError:
                tried = True
                raise

        try:
            self._server.retried(work)
        except ROWS_OWN_TROUBLE as error:
            if len(rows) > 1:
                middle = len(rows) // 2
                self._put(rows[:middle], again=tried)
                self._put(rows[middle:], again=tried)
            elif not (tried and self._is_there(rows[0])):
                self._refused.append(named(self._server, self._tables, rows[0], error))

    def _is_there(self, row: BoundRow) -> bool:
        """Whether a row that is refused is there as it would be: put in by a transaction of ours that got no answer."""
        given = dict(zip(row.columns, row.row.values, strict=True))
        key = [given.get(column.name) for column in row.table.key]
        with snapshot(self._server, self._tables) as state:
            found = state.find(row.table.table.name, key)
            if found is None:
                return False
            lies = dict(zip(state.shape(row.table.table.name).columns, found.values, strict=True))
            return all(_same(value, lies[name]) for name, value in given.items())


def delete_and_insert(  # noqa: PLR0913
    server: Server,
    tables: Tables,
    tree: SessionTree,
    session: str,
    rows: Iterable[tuple[str, Sequence[str], Row]],
    *,
    dangling: bool = False,
) -> None:
    """See `SessionDatabase`. Rows come once, so it is not tried again; all or nothing is done."""
    _check_dangling(server, dangling=dangling)
    binder = RowBinder(server, tables)
    writer = RowWriter(server, tables, binder)
    try:
        with server.transaction() as connection, _unbound(server, connection, off=dangling):
            check_deletion(server, tables, connection, tree, (session,))
            delete_rows(server, tables, connection, tree, (session,))
            for table, columns, row in rows:
                bound = binder.bound(table, columns, row)
                try:
                    writer.insert(connection, [bound])
                except ROWS_OWN_TROUBLE as error:
                    raise _RefusedError(bound, error) from error
    except _RefusedError as error:
        # Which row it refers to is asked when the transaction is undone.
        raise named(server, tables, error.row, error.reason) from error
    except TransactionUndoneError as error:
        raise DatabaseLockedError(str(error)) from error


class _RefusedError(Exception):
    """A row is refused; its transaction is to be undone."""

    def __init__(self, row: BoundRow, reason: DatabaseError) -> None:
        super().__init__(str(reason))
        self.row = row
        self.reason = reason


def named(server: Server, tables: Tables, row: BoundRow, error: DatabaseError) -> DatabaseError:
    """An error in the row's own name."""
    words = str(error).removeprefix(f"{server.address}: ")
    if isinstance(error, DanglingRowError):
        return DanglingRowError(f"{row.label}: {_missing_parent(server, tables, row) or words}")
    kind = ValueTooLargeError if isinstance(error, ValueTooLargeError) else RowRefusedError
    return kind(words if words.startswith(row.label) else f"{row.label}: {words}")


def _missing_parent(server: Server, tables: Tables, row: BoundRow) -> str:
    """Which row it refers to that is not there; not every server says."""
    given = dict(zip(row.columns, row.row.values, strict=True))
    for key in foreign_keys(server):
        bound = [row.values.get(column) for column in key.columns]
        if key.table.lower() != row.table.table.name.lower() or None in bound:
            continue
        parent = tables[key.parent]
        place = (parent[column] == value for column, value in zip(key.parent_columns, bound, strict=True))
        with server.reading() as connection:
            if connection.execute(sa.select(sa.literal(1)).where(*place).limit(1)).first() is None:
                names = " ".join(shown(given.get(column)) for column in key.columns)
                return f"there is no {key.parent} {names}, to which its {key.columns[0]} refers"
    return ""


def _check_dangling(server: Server, *, dangling: bool) -> None:
    if dangling and server.dialect.keys_off is None:
        raise DatabaseUnsupportedError(f"{server.address}: this server takes no row that refers to none")


@contextlib.contextmanager
def _unbound(server: Server, connection: sa.Connection, *, off: bool) -> Iterator[None]:
    """While it is open, rows may refer to rows that are not there."""
    if not off or server.dialect.keys_off is None:
        yield
        return
    begin, end = server.dialect.keys_off
    connection.exec_driver_sql(begin)
    try:
        yield
    except BaseException:
        # MySQL's setting is the connection's, and would be that of whoever gets it next.
        with contextlib.suppress(sa.exc.SQLAlchemyError):
            connection.exec_driver_sql(end)
        raise
    connection.exec_driver_sql(end)


def _same(one: Value, other: Value) -> bool:
    if isinstance(one, Content) and isinstance(other, Content):
        return one.kind == other.kind and one.size == other.size and _digest(one) == _digest(other)
    return type(one) is type(other) and repr(one) == repr(other)


def _digest(content: Content) -> str:
    hasher = Hasher()
    for chunk in content.chunks():
        hasher.update(chunk)
    return hasher.hexdigest()
