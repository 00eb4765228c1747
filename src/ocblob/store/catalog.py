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
SCHEMA_VERSION: Final = 2
USED_RESOLUTION_S: Final = 3600
"""Last use is kept this coarsely, so that reading rarely writes."""
PAGE_ROWS: Final = 1000

_POLL_S: Final = 0.02
_CACHE_KIB: Final = 32 * 1024
_SCHEMA: Final = """
CREATE TABLE blob (
    digest BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    stored_size INTEGER NOT NULL,
    held INTEGER NOT NULL,
    state INTEGER NOT NULL,
    since INTEGER NOT NULL,
    used_at INTEGER NOT NULL,
    generation TEXT NOT NULL DEFAULT '',
    version TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID;
CREATE TABLE claim (
    digest BLOB NOT NULL,
    writer TEXT NOT NULL,
    until INTEGER NOT NULL,
    verified INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (digest, writer)
) WITHOUT ROWID;
CREATE INDEX claim_writer ON claim (writer);
CREATE INDEX blob_used ON blob (used_at, digest);
CREATE TABLE copy (
    digest BLOB NOT NULL,
    place TEXT NOT NULL,
    stored_size INTEGER NOT NULL,
    version TEXT NOT NULL,
    PRIMARY KEY (digest, place)
) WITHOUT ROWID;
CREATE TABLE note (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
"""
_ROW: Final = "hex(digest), size, stored_size, held, state, since, used_at, generation, version"


class State(IntEnum):
    """What may happen to a blob next."""

    LIVE = 0
    CONDEMNED = 1
    """In the trash, in its grace; a put or a read brings it back."""
    DELETING = 2
    """About to be removed from the trash; a put starts afresh."""
    CORRUPT = 3
    """In quarantine; a put starts afresh."""


@dataclass(frozen=True, slots=True)
class BlobRow:
    """One blob as the catalog knows it."""

    digest: str
    size: int
    stored_size: int
    held: int
    """Bytes on the local tier; 0 if only other places have it."""
    state: State
    since: int
    """When it came into this state, seconds since the epoch."""
    used_at: int
    """Last use, coarse by an hour, seconds since the epoch."""
    generation: str
    """The trash generation of a condemned blob."""
    version: str
    """The version that a remote store had when it acknowledged or gave a true object; empty if that was never."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Sums over the blobs of a store."""

    blobs: int
    size: int
    stored_size: int
    held: int
    """Of the stored size, what is on the local tier."""
    condemned: int
    """Bytes at rest in the trash."""


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
            try:
                self._prepare(store_id, read_only=read_only)
            except BaseException:
                # Left open, it would keep a new catalog from taking this one's place.
                self._db.close()
                raise

    def _prepare(self, store_id: str, *, read_only: bool) -> None:
        # First of all: even a pragma may meet another process that makes this catalog just now.
        self._db.set_busy_timeout(BUSY_TIMEOUT_MS)
        # Temporary tables of a million rows belong on disk.
        self._db.execute(f"PRAGMA temp_store=FILE; PRAGMA cache_size=-{_CACHE_KIB}").fetchall()
        if read_only:
            self._db.execute("PRAGMA query_only=ON").fetchall()
            return
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
        rebuild = "ocblob check --rebuild-catalog makes a new one"
        if self._value("PRAGMA user_version") != SCHEMA_VERSION:
            raise StoreFormatError(f"{self.path} was written by another version of ocblob", hint=rebuild)
        if self._value("SELECT id FROM store") != store_id:
            raise StoreFormatError(f"{self.path} belongs to another store", hint=rebuild)

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
        with self._lock, _translated(self.path):
            for row in self._db.execute(f"SELECT {_ROW} FROM blob WHERE digest=?", (bytes.fromhex(digest),)):
                return _blob_row(row)
        return None

    def put(self, digest: str, *, size: int, stored_size: int, held: int | None = None, version: str = "") -> None:
        """Enter a blob as live, whatever it was before. Only inside `transaction`, after its object is durable."""
        now = int(time.time())
        self._db.execute(
            "INSERT INTO blob VALUES (?1,?2,?3,?6,?4,?5,?5,'',?7) ON CONFLICT (digest) DO UPDATE SET size=?2,"
            " stored_size=?3, held=?6, since=iif(state=?4, since, ?5), state=?4, generation='',"
            " used_at=max(used_at, ?5), version=?7",
            (bytes.fromhex(digest), size, stored_size, State.LIVE, now, stored_size if held is None else held, version),
        )

    def change_state(self, digest: str, old: State, new: State, *, generation: str = "") -> bool:
        """Compare and swap a blob's state inside `transaction`; False if it was not `old` any more."""
        self._db.execute(
            "UPDATE blob SET state=?, since=?, generation=? WHERE digest=? AND state=?",
            (new, int(time.time()), generation, bytes.fromhex(digest), old),
        )
        return self._db.changes() == 1

    def set_held(self, digests: Iterable[tuple[str, int]]) -> None:
        """Note how many bytes the local tier has of each blob, inside `transaction`."""
        self._db.executemany(
            "UPDATE blob SET held=?2 WHERE digest=?1", [(bytes.fromhex(digest), held) for digest, held in digests]
        )

    def clear_held(self) -> None:
        """Forget what the local tier has, inside `transaction`: it is counted anew."""
        self._db.execute("UPDATE blob SET held=0 WHERE held>0")

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

    def void_verified(self, *, writer: str) -> None:
        """Forget what a writer has verified: something was taken away since."""
        with self.transaction():
            self._db.execute("UPDATE claim SET verified=0 WHERE writer=?", (writer,))

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

    def copy_version(self, digest: str, place: str) -> tuple[int, str] | None:
        """Stored size and version of a blob's object in another place, as it was acknowledged there."""
        sql = "SELECT stored_size, version FROM copy WHERE digest=? AND place=?"
        with self._lock, _translated(self.path):
            for stored_size, version in self._db.execute(sql, (bytes.fromhex(digest), place)):
                return int(stored_size), str(version)
        return None

    def set_copies(self, place: str, copies: Iterable[tuple[str, int, str]]) -> None:
        """Enter objects of another place (digest, stored size, version), inside `transaction`."""
        self._db.executemany(
            "INSERT OR REPLACE INTO copy VALUES (?1,?2,?3,?4)",
            [(bytes.fromhex(digest), place, size, version) for digest, size, version in copies],
        )

    def drop_copies(self, digests: Iterable[str]) -> None:
        """Forget objects in other places, inside `transaction`."""
        self._db.executemany("DELETE FROM copy WHERE digest=?", [(bytes.fromhex(digest),) for digest in digests])

    def note(self, name: str) -> str:
        """A small value that was kept; empty if it was not."""
        with self._lock, _translated(self.path):
            return str(self._value("SELECT value FROM note WHERE name=?", (name,)) or "")

    def set_note(self, name: str, value: str) -> None:
        """Keep a small value, durably."""
        with self.transaction():
            self._db.execute("INSERT OR REPLACE INTO note VALUES (?,?)", (name, value))

    def totals(self) -> Totals:
        """Count the live blobs, and what lies in the trash."""
        sql = (
            "SELECT coalesce(sum(state=?1),0), coalesce(sum(iif(state=?1,size,0)),0),"
            " coalesce(sum(iif(state=?1,stored_size,0)),0), coalesce(sum(iif(state=?1,held,0)),0),"
            " coalesce(sum(iif(state IN (?2,?3),stored_size,0)),0) FROM blob"
        )
        with self._lock, _translated(self.path):
            for row in self._db.execute(sql, (State.LIVE, State.CONDEMNED, State.DELETING)):
                return Totals(*row)
        raise AssertionError("an aggregate has one row")

    def blobs(self) -> Iterator[BlobRow]:
        """Every blob in the order of digests, a page in memory at a time."""
        sql = f"SELECT {_ROW} FROM blob WHERE digest>? ORDER BY digest LIMIT {PAGE_ROWS}"
        after = b""
        while True:
            with self._lock, _translated(self.path):
                rows = [_blob_row(row) for row in self._db.execute(sql, (after,))]
            if not rows:
                return
            yield from rows
            after = bytes.fromhex(rows[-1].digest)

    def connect_beside(self) -> apsw.Connection:
        """Another connection, for temporary tables over the same rows."""
        with _translated(self.path):
            flags = apsw.SQLITE_OPEN_READWRITE if os.access(self.path, os.W_OK) else apsw.SQLITE_OPEN_READONLY
            connection = apsw.Connection(str(self.path), flags=flags)
            connection.set_busy_timeout(BUSY_TIMEOUT_MS)
            connection.execute(f"PRAGMA temp_store=FILE; PRAGMA cache_size=-{_CACHE_KIB}").fetchall()
        return connection

    def _value(self, sql: str, bindings: tuple[object, ...] = ()) -> object:
        return self._db.execute(sql, bindings).get


def set_aside(path: Path) -> None:
    """Give a catalog another name. Raises `StoreLockedError` if another process has it open; damage is no obstacle."""
    if not path.exists():
        return
    with contextlib.suppress(StoreFormatError, StoreUnavailableError), _translated(path):
        connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
        try:
            connection.execute("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK").fetchall()
        finally:
            connection.close()
    old = f"{path.name}.{time.time_ns():x}.old"
    for suffix in ("-wal", "", "-shm"):
        with contextlib.suppress(FileNotFoundError):
            path.with_name(path.name + suffix).replace(path.with_name(old + suffix))


def _blob_row(row: tuple[Any, ...]) -> BlobRow:
    digest, size, stored_size, held, state, since, used_at, generation, version = row
    return BlobRow(digest.lower(), size, stored_size, held, State(state), since, used_at, generation, version)


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
