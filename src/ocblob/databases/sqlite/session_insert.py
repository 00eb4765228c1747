"""Putting rows of sessions in, in short transactions: whatever their source takes its time for is done before each."""

import contextlib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Row
from ocblob.databases.sqlite.session_delete import check_deletion, delete_rows
from ocblob.databases.sqlite.session_row_writer import RowError, RowWriter
from ocblob.databases.sqlite.session_snapshot import SQLiteSnapshot
from ocblob.databases.sqlite.session_taking import Taken
from ocblob.databases.sqlite.session_writing import SessionWriter

BATCH_ROWS: Final = 500
BATCH_BYTES: Final = 4 * 1024 * 1024
"""Rows, and bytes of their content, that are held before they are put in."""

_Waiting = tuple[str, Sequence[str], Row]


@contextlib.contextmanager
def inserter(writer: SessionWriter, *, dangling: bool = False) -> Iterator["SQLiteInserter"]:
    """See `SessionDatabase`. If the block ends with an error, what it had put in by then stays."""
    if dangling:
        writer.rows("PRAGMA foreign_keys=OFF")
    with Taken(writer.path) as taken:
        rows = SQLiteInserter(writer, taken)
        yield rows
        try:
            rows.finish()
        finally:
            writer.make_durable()


class SQLiteInserter:
    """See `Inserter`. A row may be refused by the `add` of a later one, or by the end of the block, in its own name."""

    def __init__(self, writer: SessionWriter, taken: Taken) -> None:
        self._writer = writer
        self._rows = RowWriter(writer)
        self._taken = taken
        self._waiting: deque[_Waiting] = deque()
        self._size = 0

    def add(self, table: str, columns: Sequence[str], row: Row) -> None:
        """See `Inserter`."""
        self._rows.check(table, columns)
        # Its contents may come from far away: they are here before the database is locked.
        self._waiting.append((table, columns, self._taken.row(row)))
        self._size += self._waiting[-1][2].content_size
        while len(self._waiting) >= BATCH_ROWS or self._size >= BATCH_BYTES:
            if error := self._write():
                raise error

    def finish(self) -> None:
        """Put in what still waits, all that can be; the first refusal is raised when that is done."""
        refused = None
        while self._waiting:
            error = self._write()
            refused = refused or error
        if refused:
            raise refused

    def _write(self) -> RowError | None:
        """One transaction, which ends early if a row is refused."""
        refused, done = None, 0
        with self._writer.transaction():
            for table, columns, row in self._waiting:
                if done and row.content_size >= BATCH_BYTES:
                    break  # it has a transaction for itself
                done += 1
                try:
                    self._rows.put(table, columns, row)
                except RowError as error:
                    refused = error
                if refused or self._writer.over_time:
                    break
        for _ in range(done):
            self._waiting.popleft()
        if not self._waiting:
            self._size = 0
            self._taken.release()
        return refused


def delete_and_insert(
    writer: SessionWriter,
    tree: SessionTree,
    session: str,
    rows: Iterable[tuple[str, Sequence[str], Row]],
    *,
    dangling: bool = False,
) -> None:
    """See `SessionDatabase`."""
    if dangling:
        writer.rows("PRAGMA foreign_keys=OFF")
    with writer.transaction():
        check_deletion(SQLiteSnapshot(writer.path, writer.db), tree, (session,))
        delete_rows(writer, tree, (session,))
        writes = RowWriter(writer)
        for table, columns, row in rows:
            writes.check(table, columns)
            writes.put(table, columns, row)
    writer.make_durable()
