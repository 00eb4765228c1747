"""The connection that deletes and inserts rows of sessions: short transactions, durable in the end."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, Self

import apsw

from ocblob.databases.sqlite.connection import Bindings, connect, make_wal_durable, translated
from ocblob.errors import DatabaseError

TRANSACTION_S: Final = 0.15
"""A transaction takes nothing more after this long; a host that waits for the lock is frozen meanwhile."""

HELD_S: Final = 0.3
"""After this much of the lock, in transactions that follow each other, it is left alone for a while."""
PAUSE_S: Final = 0.11
"""That long: SQLite's own way to wait looks whether the lock is free every 0.1 s, and may miss every shorter gap."""

WAL_PAGES: Final = 1000
"""From this many on the WAL is moved into the file, as SQLite would by itself; but out of the transaction's time."""


class SessionWriter:
    """One connection, for one thread. As `Swapper` does, it fsyncs nothing under the lock if there is a WAL."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.db = connect(path, read_only=False)
        self._begun = self._ended = time.monotonic()
        self._held_s = 0.0
        self.longest_transaction_s = 0.0
        self.wal = self.rows("PRAGMA journal_mode") == [("wal",)]
        self.rows(f"PRAGMA synchronous={'NORMAL' if self.wal else 'FULL'}")
        self._wal_pages = 0
        self.db.set_wal_hook(self._committed)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.db.close(True)  # an open cursor would raise its error once more

    @contextlib.contextmanager
    def transaction(self) -> Iterator[None]:
        """All of the block or nothing; the lock is held from its beginning."""
        self._give_way()
        self.rows("BEGIN IMMEDIATE")
        self._begun = time.monotonic()
        try:
            yield
            self.rows("COMMIT")
        finally:
            # After a full disk SQLite has ended the transaction itself.
            if self.db.in_transaction:
                self.rows("ROLLBACK")
            self._ended = time.monotonic()
            self._held_s += self._ended - self._begun
            self.longest_transaction_s = max(self.longest_transaction_s, self._ended - self._begun)
        if self._wal_pages > WAL_PAGES:
            # Nobody waits for a passive one, and it waits for nobody. What was committed is committed without it.
            with contextlib.suppress(DatabaseError):
                self.rows("PRAGMA wal_checkpoint(PASSIVE)")

    def _committed(self, _db: apsw.Connection, _name: str, pages: int) -> int:
        self._wal_pages = pages
        return apsw.SQLITE_OK

    def _give_way(self) -> None:
        """Who waits for the lock gets it, though one of our transactions follows the other."""
        idle = time.monotonic() - self._ended
        if idle < PAUSE_S:
            if self._held_s < HELD_S:
                return
            time.sleep(PAUSE_S - idle)
        self._held_s = 0.0

    @property
    def over_time(self) -> bool:
        """Whether the transaction has been long enough."""
        return time.monotonic() - self._begun > TRANSACTION_S

    def version(self) -> object:
        """SQLite's `data_version`: it moves when another connection commits, not when this one does."""
        return self.rows("PRAGMA data_version")[0][0]

    def rows(self, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
        """Run a statement to its end; all rows of its small answer."""
        with translated(self.path):
            return list(self.db.execute(sql, bindings))

    def make_durable(self) -> None:
        """What was committed survives a power cut when this returns."""
        make_wal_durable(self.path)
