"""Giving cells their new content: short transactions beside a live writer, each cell only if unchanged."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import apsw

from ocblob.databases.base import Cell, Edit, EditResult, Outcome
from ocblob.databases.sqlite.connection import connect, make_wal_durable, quote, translated
from ocblob.databases.sqlite.reading import SQLiteCells, rowid_of
from ocblob.databases.sqlite.schema import Schema
from ocblob.errors import CellError, OcblobError

TRANSACTION_S: Final = 0.15
"""A transaction takes no further edit after this long; a host that waits for the lock is frozen meanwhile."""
BOUND_BYTES_MAX: Final = 4 * 1024 * 1024
"""Content up to this size is bound as one value; larger content is streamed into a zeroed cell if it can be."""
LARGE_CELL_BYTES: Final = 64 * 1024 * 1024
"""Reading a cell of this size takes long enough to be kept out of a transaction; it has one of its own."""
TEXT_OR_BLOB: Final = "('text', 'blob')"

_CELLS_OWN_TROUBLE = (apsw.ConstraintError, apsw.TooBigError, apsw.SQLError, OcblobError)


class Swapper:
    """The one connection that writes."""

    def __init__(self, path: Path, schema: Schema) -> None:
        self._path = path
        self._schema = schema
        self._db = connect(path, read_only=False)
        self._lock = threading.Lock()
        self._version: object = None
        """SQLite's `data_version`, when it was last looked at."""
        self._own_changes = self._db.total_changes()
        self._meddled = False
        """Whether a trigger has written more than we did: then no earlier read of ours can be trusted."""
        self.longest_transaction_s = 0.0

    def close(self) -> None:
        """Close; the last connection to a WAL file checkpoints it."""
        with self._lock, translated(self._path):
            self._db.close()

    def stamp(self) -> object:
        """SQLite's `data_version`: it moves when another connection commits, not when this one does.

        Does not wait for a transaction of ours: an older value only means that more is looked at twice.
        """
        if self._lock.acquire(blocking=self._version is None):
            try:
                self._look()
            finally:
                self._lock.release()
        return self._version

    def _look(self) -> object:
        with translated(self._path):
            self._version = self._db.execute("PRAGMA data_version").get
        return self._version

    def swap(self, edits: Sequence[Edit], *, stamp: object) -> list[EditResult]:
        """See `Database`."""
        with self._lock, translated(self._path):
            # In WAL mode NORMAL may lose the last commits at a power cut, never more, and no fsync happens
            # while we hold the lock; `flush` makes them durable. Without a WAL it could damage the file.
            wal = self._db.execute("PRAGMA journal_mode").get == "wal"
            self._db.execute(f"PRAGMA synchronous={'NORMAL' if wal else 'FULL'}")
        for edit in edits:
            # Looked up now: another connection of ours may be locked out once the transaction has begun.
            self._schema.rowid(edit.cell.column.table)
            self._schema.is_streamable(edit.cell.column)
        results: list[EditResult] = []
        while len(results) < len(edits):
            results += self._swap_some(edits[len(results) :], stamp)
        return results

    def flush(self) -> None:
        """See `Database`."""
        make_wal_durable(self._path)

    def _swap_some(self, edits: Sequence[Edit], stamp: object) -> list[EditResult]:
        """As many edits as one short transaction takes, one at least."""
        results: list[EditResult] = []
        with self._lock, translated(self._path):
            stamp = self._checked_before(edits[0], stamp)
            self._db.execute("BEGIN IMMEDIATE")
            begun = time.monotonic()
            try:
                moved = self._look() != stamp
                for edit in edits:
                    if results and edit.cell.size >= LARGE_CELL_BYTES:
                        break
                    results.append(self._swap_one(edit, check=moved or self._meddled))
                    if edit.cell.size >= LARGE_CELL_BYTES:
                        break
                    if time.monotonic() - begun > TRANSACTION_S:
                        break
                self._db.execute("COMMIT")
            except BaseException:
                # After a full disk, or a trigger that rolls back, SQLite has ended the transaction itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        self.longest_transaction_s = max(self.longest_transaction_s, time.monotonic() - begun)
        return results

    def _checked_before(self, edit: Edit, stamp: object) -> object:
        """Check a large cell before the transaction, so that it need not be read under the lock.

        Returns the stamp that the check was made at, or the old one if there was none to make or it failed.
        """
        if edit.cell.size < LARGE_CELL_BYTES or self._look() == stamp:
            return stamp
        fresh = self._look()
        return fresh if self._unchanged(edit) else stamp

    def _swap_one(self, edit: Edit, *, check: bool) -> EditResult:
        cell = edit.cell
        if check and not self._unchanged(edit):
            return EditResult(edit, Outcome.CHANGED)
        streamed = edit.size > BOUND_BYTES_MAX and self._schema.is_streamable(cell.column)
        try:
            try:
                return EditResult(edit, self._replace(edit, streamed=streamed))
            except (apsw.ConstraintError, apsw.SQLError):
                # A zeroed cell may break a CHECK, and an indexed one cannot be streamed into.
                if not streamed or not self._db.in_transaction:
                    raise
                return EditResult(edit, self._replace(edit, streamed=False))
        except _CELLS_OWN_TROUBLE as error:
            if not self._db.in_transaction:
                raise
            return EditResult(edit, None, error if isinstance(error, OcblobError) else CellError(f"{cell}: {error}"))

    def _replace(self, edit: Edit, *, streamed: bool) -> Outcome:
        """Write one cell, or leave the transaction as it was."""
        self._db.execute("SAVEPOINT edit")
        try:
            if streamed:
                outcome = self._update(edit.cell, "zeroblob(?1)", edit.size)
                self._fill(edit)
            else:
                outcome = self._update(edit.cell, "?1", _whole(edit))
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK TO edit; RELEASE edit").fetchall()
                self._own_changes = self._db.total_changes()
            raise
        self._db.execute("RELEASE edit")
        return outcome

    def _update(self, cell: Cell, value: str, binding: bytes | int) -> Outcome:
        name, table = quote(cell.column.column), cell.column.table
        # The cell keeps its type: text stays text, byte for byte, whether it is valid UTF-8 or not.
        self._db.execute(
            f"UPDATE {quote(table)} SET {name}=iif(typeof({name})='text', CAST({value} AS TEXT), {value})"
            f" WHERE {self._schema.rowid(table)}=?2 AND typeof({name}) IN {TEXT_OR_BLOB}",
            (binding, cell.key),
        )
        changed = self._db.changes()
        self._own_changes += changed
        if self._db.total_changes() != self._own_changes:
            self._own_changes, self._meddled = self._db.total_changes(), True
        return Outcome.SWAPPED if changed else Outcome.CHANGED

    def _fill(self, edit: Edit) -> None:
        cell = edit.cell
        with self._db.blob_open("main", cell.column.table, cell.column.column, rowid_of(cell), True) as blob:
            written = 0
            for chunk in edit.chunks():
                blob.write(chunk)
                written += len(chunk)
        _check_size(edit, written)

    def _unchanged(self, edit: Edit) -> bool:
        cells = SQLiteCells(self._path, self._db)
        try:
            return edit.unchanged(cells.open(edit.cell))
        except CellError:
            return False
        finally:
            cells.release()


def _whole(edit: Edit) -> bytes:
    data = b"".join(edit.chunks())
    _check_size(edit, len(data))
    return data


def _check_size(edit: Edit, size: int) -> None:
    if size != edit.size:
        raise CellError(f"{edit.cell}: {size} bytes came instead of {edit.size}")
