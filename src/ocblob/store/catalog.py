"""The catalog: sizes, last use, states and claims of a store's blobs, in SQLite.

It is never ahead of the objects: a row is written after the object is durable, and every commit is durable
itself (`synchronous=FULL`). It can be rebuilt from the objects; it is never the only witness of a blob.
"""

import contextlib
import os
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

import apsw

from ocblob.errors import StoreFormatError, StoreLockedError, StoreUnavailableError
from ocblob.filesystem import PRIVATE_FILE_MODE

BUSY_TIMEOUT_MS: Final = 30_000
NOTE_TIMEOUT_MS: Final = 50
"""For what a reader notes: a host must not wait for a writer of ours."""
SCHEMA_VERSION: Final = 1
USED_RESOLUTION_S: Final = 3600
"""Last use is kept this coarsely, so that reading rarely writes."""

_POLL_S: Final = 0.02
_SCHEMA: Final = """
CREATE TABLE blob (
    digest BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    stored_size INTEGER NOT NULL,
    state INTEGER NOT NULL,
    since INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    generation TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE claim (
    digest BLOB NOT NULL,
    writer TEXT NOT NULL,
    until INTEGER NOT NULL,
    verified INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (digest, writer)
) WITHOUT ROWID;
CREATE INDEX claim_writer ON claim (writer);
"""


class State(IntEnum):
    """What may happen to a blob next."""

    LIVE = 0
    CONDEMNED = 1
    """In the trash, in its grace; a put or a read brings it back."""
    DELETING = 2
    """About to be unlinked; a put waits and starts afresh."""
    CORRUPT = 3
    """In quarantine; a put starts afresh."""


@dataclass(frozen=True, slots=True)
class BlobRow:
    """One blob as the catalog knows it."""

    digest: str
    size: int
    stored_size: int
    state: State
    since: int
    """When it came into this state, seconds since the epoch."""
    used_at: int
    """Last use, coarse by an hour, seconds since the epoch."""
    generation: str
    """The trash generation of a condemned blob."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the live blobs of a store."""

    blobs: int
    size: int
    stored_size: int


class Catalog:
    """One SQLite file; may be shared by threads. Raises `StoreUnavailableError` when it cannot be used."""

    def __init__(self, path: Path, *, store_id: str, read_only: bool = False) -> None:
        self.path = path
        self._lock = threading.RLock()
        if read_only and not path.exists():
            raise StoreFormatError(f"{path} is missing", hint="ocblob check --rebuild-catalog makes a new one")
        with _translated(path):
            if not read_only and not path.exists():
                path.touch(PRIVATE_FILE_MODE)
            # A read-only connection cannot remove the -wal and -shm files that it needs.
            readable_only = read_only and not os.access(path, os.W_OK)
            flags = apsw.SQLITE_OPEN_READONLY if readable_only else apsw.SQLITE_OPEN_READWRITE
            self._db = apsw.Connection(str(path), flags=flags)
            if read_only:
                self._db.execute("PRAGMA query_only=ON").fetchall()
            self._db.set_busy_timeout(BUSY_TIMEOUT_MS)
            if not read_only:
                self._use_wal()
                self._db.execute("PRAGMA synchronous=FULL; PRAGMA fullfsync=ON").fetchall()
                self._create(store_id)

    def _use_wal(self) -> None:
        """Two processes may make a catalog at once, and for this step SQLite itself does not wait."""
        deadline = time.monotonic() + BUSY_TIMEOUT_MS / 1000
        while True:
            try:
                self._db.execute("PRAGMA journal_mode=WAL").fetchall()
            except apsw.BusyError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(_POLL_S)
            else:
                return

    def _create(self, store_id: str) -> None:
        # A look first: opening a catalog that is there must not wait for a writer.
        if self._value("PRAGMA user_version") == 0:
            with self.transaction():
                # Another process may have been faster.
                if self._value("PRAGMA user_version") == 0:
                    self._db.execute(_SCHEMA).fetchall()
                    self._db.execute("CREATE TABLE store (id TEXT NOT NULL)")
                    self._db.execute("INSERT INTO store VALUES (?)", (store_id,))
                    self._db.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        if self._value("PRAGMA user_version") != SCHEMA_VERSION:
            raise StoreFormatError(f"{self.path} was written by another version of ocblob")
        if self._value("SELECT id FROM store") != store_id:
            raise StoreFormatError(
                f"{self.path} belongs to another store", hint="ocblob check --rebuild-catalog makes a new one"
            )

    def close(self) -> None:
        """Give the file free."""
        with self._lock:
            self._db.close()

    @contextlib.contextmanager
    def transaction(self, *, timeout_ms: int = BUSY_TIMEOUT_MS) -> Iterator[None]:
        """All or nothing, durable at its end, one at a time over all processes.

        Raises `StoreLockedError` if another process holds the lock for longer than `timeout_ms`.
        """
        with self._lock, _translated(self.path):
            self._db.set_busy_timeout(timeout_ms)
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException:
                # After a full disk SQLite has ended the transaction itself.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    def get(self, digest: str) -> BlobRow | None:
        """What is known of one blob."""
        sql = "SELECT hex(digest), size, stored_size, state, since, used_at, generation FROM blob WHERE digest=?"
        with self._lock, _translated(self.path):
            for row in self._db.execute(sql, (bytes.fromhex(digest),)):
                return _blob_row(row)
        return None

    def put(self, digest: str, *, size: int, stored_size: int) -> None:
        """Enter a blob as live, whatever it was before. Only inside `transaction`, after its object is durable."""
        now = int(time.time())
        self._db.execute(
            "INSERT INTO blob VALUES (?1,?2,?3,?4,?5,?5,'') ON CONFLICT (digest) DO UPDATE SET size=?2,"
            " stored_size=?3, since=iif(state=?4, since, ?5), state=?4, generation='', used_at=max(used_at, ?5)",
            (bytes.fromhex(digest), size, stored_size, State.LIVE, now),
        )

    def change_state(self, digest: str, old: State, new: State, *, generation: str = "") -> bool:
        """Compare and swap a blob's state inside `transaction`; False if it was not `old` any more."""
        self._db.execute(
            "UPDATE blob SET state=?, since=?, generation=? WHERE digest=? AND state=?",
            (new, int(time.time()), generation, bytes.fromhex(digest), old),
        )
        return self._db.changes() == 1

    def remove(self, digest: str) -> None:
        """Forget a blob, inside `transaction`."""
        self._db.execute("DELETE FROM blob WHERE digest=?", (bytes.fromhex(digest),))

    def touch(self, used: dict[str, int]) -> None:
        """Note last uses (digest to seconds since the epoch), coarsely, and only if nobody is in the way."""
        with self.transaction(timeout_ms=NOTE_TIMEOUT_MS):
            self._db.executemany(
                "UPDATE blob SET used_at=?2 WHERE digest=?1 AND used_at<?3",
                [(bytes.fromhex(digest), at, at - USED_RESOLUTION_S) for digest, at in used.items()],
            )

    def set_claims(self, digests: Iterable[str], *, writer: str, until: int) -> None:
        """Enter or extend claims, inside `transaction`."""
        self._db.executemany(
            "INSERT INTO claim VALUES (?,?,?,0) ON CONFLICT (digest, writer) DO UPDATE SET until=excluded.until",
            [(bytes.fromhex(digest), writer, until) for digest in digests],
        )

    def set_verified(self, digests: Iterable[str], *, writer: str) -> None:
        """Note that a writer has put or verified these blobs, inside `transaction`."""
        self._db.executemany(
            "UPDATE claim SET verified=1 WHERE digest=? AND writer=?",
            [(bytes.fromhex(digest), writer) for digest in digests],
        )

    def is_verified(self, digest: str, *, writer: str) -> bool:
        """Whether this writer has put or verified the blob."""
        sql = "SELECT coalesce(max(verified), 0) FROM claim WHERE digest=? AND writer=?"
        with self._lock, _translated(self.path):
            return bool(self._value(sql, (bytes.fromhex(digest), writer)))

    def claimed_until(self, digest: str, *, writer: str = "") -> int:
        """When the last claim on a digest (of one writer, if given) ends; 0 if there is none."""
        sql = "SELECT coalesce(max(until), 0) FROM claim WHERE digest=?1 AND (?2='' OR writer=?2)"
        with self._lock, _translated(self.path):
            return int(str(self._value(sql, (bytes.fromhex(digest), writer))))

    def drop_claims(self, *, writer: str, ended_before: int = 0) -> None:
        """Drop a writer's claims, and any that ended long ago."""
        with self.transaction():
            self._db.execute("DELETE FROM claim WHERE writer=? OR until<?", (writer, ended_before))

    def totals(self) -> Totals:
        """Count the live blobs."""
        sql = "SELECT count(*), coalesce(sum(size),0), coalesce(sum(stored_size),0) FROM blob WHERE state=?"
        with self._lock, _translated(self.path):
            for row in self._db.execute(sql, (State.LIVE,)):
                return Totals(*row)
        raise AssertionError("an aggregate has one row")

    def blobs(self) -> Iterator[BlobRow]:
        """Every blob in the order of digests, a page in memory at a time."""
        sql = (
            "SELECT hex(digest), size, stored_size, state, since, used_at, generation"
            " FROM blob WHERE digest>? ORDER BY digest LIMIT 1000"
        )
        after = b""
        while True:
            with self._lock, _translated(self.path):
                rows = [_blob_row(row) for row in self._db.execute(sql, (after,))]
            if not rows:
                return
            yield from rows
            after = bytes.fromhex(rows[-1].digest)

    def _value(self, sql: str, bindings: tuple[object, ...] = ()) -> object:
        return self._db.execute(sql, bindings).get


def _blob_row(row: tuple[Any, ...]) -> BlobRow:
    digest, size, stored_size, state, since, used_at, generation = row
    return BlobRow(digest.lower(), size, stored_size, State(state), since, used_at, generation)


@contextlib.contextmanager
def _translated(path: Path) -> Iterator[None]:
    try:
        yield
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise StoreFormatError(
            f"{path} is damaged: {error}", hint="ocblob check --rebuild-catalog makes a new one"
        ) from error
    except (apsw.BusyError, apsw.LockedError) as error:
        raise StoreLockedError(f"{path} is locked by another process: {error}", hint="try again") from error
    except apsw.Error as error:
        raise StoreUnavailableError(f"{path}: {error}") from error
    except OSError as error:
        raise StoreUnavailableError(f"{path}: {error.strerror}") from error
