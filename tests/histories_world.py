"""A world in which time passes as it is told, processes stop where it is told, and the power may fail.

Every process is a thread that runs only while it has its turn; it may be stopped, killed or left asleep before any
call of a backend, any mark, and at each gap of a writer. What lies in the store and in the databases is real.
"""

import contextlib
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, cast
from unittest import mock

import apsw

from ocblob import batches, deletions, digest, evict, find_refs, prune, sync
from ocblob.backends import local as local_backend
from ocblob.backends.base import Backend, ObjectStat
from ocblob.backends.local import LocalBackend
from ocblob.backends.memory import MemoryBackend
from ocblob.databases.sqlite import SQLiteDatabase, sweep
from ocblob.databases.sqlite.swapping import Swapper
from ocblob.errors import BlobCorruptError, BlobError, BlobExpiredError, BlobMissingError, DatabaseError
from ocblob.marks import digests_in
from ocblob.store import BlobStore, LocalTier, blobstore, layout, tiers, trash, writer
from ocblob.store import catalog as catalogs
from ocblob.store.copies import Copy
from ocblob.store.reader import Reader
from ocblob.store.survey import Survey
from samples import data_url, payload

DAY_S: Final = 86400
PAYLOADS: Final = [payload(300, f"history {number}") for number in range(4)]
DIGESTS: Final = [digest.digest_of(data) for data in PAYLOADS]
TIER_BYTES: Final = 3000
MARGIN_S: Final = 5
"""Times are kept by the second."""
SLEEP_AFTER_CONFIRM_MAX_S: Final = 8 * DAY_S
"""Between its last look and its row a writer may sleep, but for less than a grace: nothing can protect it longer."""

_here = threading.local()
_real_time = time.time
_clock = {"ahead": 0.0}


class LossError(Exception):
    """Something that was promised does not read back."""


class KilledError(BaseException):
    """The process is gone."""


def now() -> float:
    """The simulated time."""
    return _real_time() // 1 + _clock["ahead"]


def point(label: str) -> None:
    """A place where a process may be stopped."""
    if (process := current()) is not None:
        process.point(label)


def current() -> "Process | None":
    """The process whose turn it is; None outside of any."""
    return cast("Process | None", getattr(_here, "process", None))


class Process(threading.Thread):
    """One run of a verb."""

    def __init__(self, world: "World", host: "Host", verb: str, run: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.host = host
        self.verb = verb
        self.label = "start"
        self.killed = False
        self.ended = False
        self.error: BaseException | None = None
        self.busy = 0
        """Locks that others would wait for."""
        self.confirmed_at: float | None = None
        self.confirmed_seq = 0
        self.begun_seq = world.seq
        self.buried: set[str] = set()
        """Whose tombstones it has put."""
        self._left: int | None = None
        self._run = run
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)

    def run(self) -> None:
        """The thread: waits for its first turn."""
        _here.process = self
        self._go.acquire()
        try:
            if not self.killed:
                self._run()
        except BaseException as error:  # noqa: BLE001 - judged by who gave the turn
            self.error = error
        self.ended = True
        self._back.release()

    def turn(self, points: int | None = None) -> None:
        """Let it run, to its end or for some points."""
        self._left = points
        if self.ident is None:
            self.start()
        self._go.release()
        self._back.acquire()

    def kill(self) -> None:
        """End it where it stands."""
        self.killed = True
        if not self.ended and self.ident is not None:
            self.turn()

    def point(self, label: str) -> None:
        """Stop here if its points are used up and nobody would wait for a lock."""
        if self.killed:
            raise KilledError
        if self._left is None:
            return
        if self._left > 0 or self.busy:
            self._left = max(self._left - 1, 0)
            return
        self.label = label
        self._back.release()
        self._go.acquire()
        if self.killed:
            raise KilledError


class Inline:
    """An executor without threads: what is submitted is done at once."""

    def __init__(self, *_arguments: object, **_options: object) -> None:
        pass

    def submit(self, act: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Do it."""
        future: Future[Any] = Future()
        try:
            future.set_result(act(*arguments))
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            future.set_exception(error)
        return future

    def map(self, act: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]:
        """All of them, then the results."""
        futures = [self.submit(act, *arguments) for arguments in zip(*iterables, strict=False)]
        return (future.result() for future in futures)

    def shutdown(self, **_options: object) -> None:
        """Nothing to wait for."""

    def __enter__(self) -> "Inline":
        return self

    def __exit__(self, *_exception: object) -> None:
        pass


class Lazy(Inline):
    """Does what is submitted when its result is asked for, if the world likes it so."""

    def submit(self, act: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Maybe later."""
        process = current()
        if process is None or not process.world.lazy:
            return super().submit(act, *arguments)
        return cast("Future[Any]", _Later(lambda: super(Lazy, self).submit(act, *arguments)))


class _Later:
    def __init__(self, begin: Callable[[], Future[Any]]) -> None:
        self._begin = begin
        self._future: Future[Any] | None = None

    def result(self) -> Any:
        """Do it now, if it was not done yet."""
        self._future = self._future or self._begin()
        return self._future.result()


class SharedBackend(MemoryBackend):
    """A remote store: a process may be stopped before each call. `copies` moves as S3 does, else by a rename."""

    def __init__(self, *, copies: bool) -> None:
        super().__init__()
        self.copies = copies
        self.tombstones: Callable[[str], None] = lambda _: None
        self.deleted: Callable[[str], None] = lambda _: None

    def put(self, key: str, data: BinaryIO, *, size: int) -> str:
        """A point."""
        point(f"put {key}")
        if key.startswith(layout.TOMBSTONES):
            self.tombstones(key)
        return super().put(key, data, size=size)

    def put_new(self, key: str, data: BinaryIO, *, size: int) -> str | None:
        """A point."""
        point(f"put_new {key}")
        return super().put_new(key, data, size=size)

    def open(self, key: str) -> BinaryIO:
        """A point."""
        point(f"open {key}")
        return super().open(key)

    def stat(self, key: str) -> ObjectStat:
        """A point."""
        point(f"stat {key}")
        return super().stat(key)

    def move(self, key: str, to: str, *, version: str = "") -> bool:
        """A point, and one between copy and delete."""
        point(f"move {key}")
        if not self.copies:
            return super().move(key, to, version=version)
        data, stat = self._get(key)
        if version not in {"", stat.version}:
            return False
        self._keep(to, data)
        point(f"move on {key}")
        super().delete(key, version=stat.version)
        return True

    def delete(self, key: str, *, version: str = "") -> bool:
        """A point."""
        point(f"delete {key}")
        self.deleted(key)
        return super().delete(key, version=version)

    def scan(self, prefix: str) -> Iterator[ObjectStat]:
        """A point."""
        point(f"scan {prefix}")
        return super().scan(prefix)

    def damage(self, key: str, *, seen: bool) -> bool:
        """Flip a bit; `seen` gives the object another version."""
        if key not in self._objects:
            return False
        data, stat = self._objects[key]
        bad = data[:-20] + bytes([data[-20] ^ 16]) + data[-19:]
        self._objects[key] = (bad, stat)
        if seen:
            self._keep(key, bad)
        return True


class OwnBackend(LocalBackend):
    """A local store: the same points."""

    tombstones: Callable[[str], None] = staticmethod(lambda _: None)
    deleted: Callable[[str], None] = staticmethod(lambda _: None)

    def put(self, key: str, data: BinaryIO, *, size: int) -> str:
        """A point."""
        point(f"put {key}")
        if key.startswith(layout.TOMBSTONES):
            self.tombstones(key)
        return super().put(key, data, size=size)

    def adopt(self, key: str, path: Path) -> None:
        """A point."""
        point(f"adopt {key}")
        super().adopt(key, path)

    def open(self, key: str) -> BinaryIO:
        """A point."""
        point(f"open {key}")
        return super().open(key)

    def stat(self, key: str) -> ObjectStat:
        """A point."""
        point(f"stat {key}")
        return super().stat(key)

    def move(self, key: str, to: str, *, version: str = "") -> bool:
        """A point."""
        point(f"move {key}")
        return super().move(key, to, version=version)

    def delete(self, key: str, *, version: str = "") -> bool:
        """A point."""
        point(f"delete {key}")
        self.deleted(key)
        return super().delete(key, version=version)

    def scan(self, prefix: str) -> Iterator[ObjectStat]:
        """A point."""
        point(f"scan {prefix}")
        return super().scan(prefix)

    def damage(self, key: str, *, seen: bool) -> bool:
        """Flip a bit."""
        del seen
        path = self.path(key)
        if not path.is_file():
            return False
        if len(data := path.read_bytes()) < 20:
            return False
        path.write_bytes(data[:-20] + bytes([data[-20] ^ 16]) + data[-19:])
        return True


@dataclass(slots=True)
class Host:
    """A machine."""

    number: int
    directory: Path
    cache_bytes: int

    @property
    def tier(self) -> LocalTier:
        """Where its catalogs are."""
        return LocalTier(self.directory, self.cache_bytes)


@dataclass(slots=True)
class Rows:
    """What a database says: a backup, or a copy that nobody registered."""

    cells: list[str]
    notes: list[str]
    taken_at: float


class Database:
    """A database that its host app holds open, as hosts do: nothing is durable before somebody makes it so."""

    def __init__(self, path: Path, host: Host) -> None:
        self.path = path
        self.host = host
        self.registered = False
        self.mounted = True
        self.doubtful: set[str] = set()
        """Named here, but by rows that come from a copy older than the grace."""
        self.db = self._open()
        self.db.execute("PRAGMA page_size=1024; PRAGMA journal_mode=WAL").fetchall()
        self.db.execute("CREATE TABLE t (id INTEGER PRIMARY KEY, data TEXT)")
        self.db.execute("CREATE TABLE note (id INTEGER PRIMARY KEY, text TEXT)")
        self._files: tuple[bytes, bytes] = (b"", b"")
        self.durable: frozenset[str] = frozenset()
        self.checkpoint()

    def _open(self) -> apsw.Connection:
        db = apsw.Connection(str(self.path))
        db.set_busy_timeout(2000)
        db.execute("PRAGMA synchronous=NORMAL").fetchall()
        return db

    @property
    def _wal(self) -> Path:
        return self.path.with_name(self.path.name + "-wal")

    def cells(self) -> list[tuple[int, str]]:
        """The rows."""
        return [(int(key), str(data)) for key, data in self.db.execute("SELECT id, data FROM t ORDER BY id")]

    def notes(self) -> list[str]:
        """The other table."""
        return [str(text) for (text,) in self.db.execute("SELECT text FROM note ORDER BY id")]

    def rows(self) -> Rows:
        """All of it, as a copy of the file has it."""
        return Rows([data for _key, data in self.cells()], self.notes(), now())

    def named(self) -> frozenset[str]:
        """What it names now."""
        return named_in([data for _key, data in self.cells()], self.notes())

    def add(self, data: str) -> None:
        """A row."""
        self.db.execute("INSERT INTO t (data) VALUES (?)", (data,))

    def replace(self, rows: Rows) -> None:
        """The file is another one now."""
        with self.db:
            self.db.execute("DELETE FROM t; DELETE FROM note").fetchall()
            self.db.executemany("INSERT INTO t (data) VALUES (?)", [(data,) for data in rows.cells])
            self.db.executemany("INSERT INTO note (text) VALUES (?)", [(text,) for text in rows.notes])
        self.checkpoint()

    def checkpoint(self) -> None:
        """The host's own; its fsync of the WAL comes first."""
        self.db.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        self.made_durable()

    def made_durable(self) -> None:
        """Somebody has fsynced it."""
        self._files = (self.path.read_bytes(), self._wal.read_bytes() if self._wal.exists() else b"")
        self.durable = self.named()

    def power_cut(self, *, kept: bool) -> None:
        """What was not durable is gone, or by luck it is not."""
        files = (self.path.read_bytes(), self._wal.read_bytes()) if kept and self._wal.exists() else self._files
        self.db.close()
        for suffix in ("-wal", "-shm"):
            self.path.with_name(self.path.name + suffix).unlink(missing_ok=True)
        self.path.write_bytes(files[0])
        if files[1]:
            self._wal.write_bytes(files[1])
        self.db = self._open()
        self.made_durable()

    def close(self) -> None:
        """At the end."""
        self.db.close()


_named_in: dict[str, frozenset[str]] = {}


def named_in(cells: Iterable[str], notes: Iterable[str] = ()) -> frozenset[str]:
    """The digests that texts name."""
    found: set[str] = set()
    for text in cells:
        if text not in _named_in:
            _named_in[text] = frozenset(ref.digest for ref in find_refs(text))
        found |= _named_in[text]
    for text in notes:
        if text not in _named_in:
            _named_in[text] = frozenset(raw.hex() for raw in digests_in(text.encode()))
        found |= _named_in[text]
    return frozenset(found)


def cell_of(number: int) -> str:
    """A row's text with a payload in it."""
    return f'{{"n":{number},"url":"{data_url(PAYLOADS[number], "application/octet-stream")}"}}'


CELLS: Final = frozenset(cell_of(number) for number in range(len(PAYLOADS)))


@dataclass
class World:
    """One store, its hosts and databases, and what is promised of them.

    Promised is every digest that a registered database (as it is, and as it would be after a power cut) or a pin has
    named within the last grace: so a backup, a copy or a power cut that brings a name back within 14 days after the
    last one that was registered went finds its blob. A name that comes from further back promises nothing until a
    writer has put the blob again. Excepted are digests that `--expire` took, which must say so, and those whose
    every copy was damaged.
    """

    root: Path
    shape: str
    """`shared`: a remote store of two hosts; `own`: a local one; `own+copy`: that with a copy."""
    copies: bool
    lazy: bool
    cache_bytes: int
    grace_s: float = prune.GRACE_S
    processes: list[Process] = field(default_factory=list)
    backups: list[Rows] = field(default_factory=list)
    last_named: dict[str, float] = field(default_factory=dict)
    expired: dict[str, int] = field(default_factory=dict)
    damaged: dict[str, int] = field(default_factory=dict)
    doubtful_pins: set[str] = field(default_factory=set)
    seq: int = 0

    def __post_init__(self) -> None:
        _clock["ahead"] = 0.0
        hosts = 2 if self.shape == "shared" else 1
        self.hosts = [Host(number, self.root / f"host{number}", self.cache_bytes) for number in range(hosts)]
        self.backend: SharedBackend | OwnBackend
        if self.shape == "shared":
            self.backend = SharedBackend(copies=self.copies)
        else:
            self.backend = OwnBackend(self.root / "store")
            for name in ("objects", "staging"):
                (self.root / "store" / name).mkdir(parents=True)
        self.identity = layout.create_identity(self.backend)
        self.backend.tombstones = self._buried
        self.backend.deleted = self._deleted
        self.copy = SharedBackend(copies=False) if self.shape == "own+copy" else None
        self.databases = [
            Database(self.root / f"db{number}.sqlite", self.hosts[number % len(self.hosts)]) for number in range(2)
        ]
        self._own_copies: tuple[tuple[Copy, Backend], ...] = ()
        if self.copy is not None:
            layout.create_identity(self.copy, self.identity)
            self._own_copies = ((Copy("c0", "memory:copy", 0), self.copy),)
        self.reader = Reader(self.backend, copies=lambda: [place for _copy, place in self._own_copies])

    def open(self, host: Host) -> BlobStore:
        """The store in a process of its own."""
        tier = host.tier if self.shape == "shared" else None
        store = BlobStore(self.backend, self.identity, writable=True, tier=tier)
        store._copies = self._own_copies
        return store

    @contextlib.contextmanager
    def opened(self, host: Host) -> Iterator[BlobStore]:
        """The same, and closed whatever happened."""
        store = self.open(host)
        try:
            yield store
            store.close()
        finally:
            if store._catalog is not None:
                store._catalog._db.close()

    def database_at(self, path: Path) -> Database:
        """By its path."""
        return next(database for database in self.databases if database.path == path)

    def begin(self, host: Host, verb: str, run: Callable[[], None], points: int | None) -> Process:
        """Start a process and let it run."""
        process = Process(self, host, verb, run)
        self.processes.append(process)
        self.go_on(process, points)
        return process

    def go_on(self, process: Process, points: int | None) -> None:
        """Let a process run on."""
        process.turn(points)
        self._settle(process)

    def _settle(self, process: Process) -> None:
        if not process.ended:
            return
        self.processes.remove(process)
        process.join()
        if process.error is not None and not isinstance(process.error, KilledError):
            raise process.error

    def kill(self, process: Process) -> None:
        """A crash of one process."""
        process.kill()
        process.join()
        self.processes.remove(process)

    def power_cut(self, host: Host, *, kept: bool) -> None:
        """A crash of all of a host's processes, and of what was not durable."""
        for process in [process for process in self.processes if process.host is host]:
            self.kill(process)
        for database in self.databases:
            if database.host is host:
                database.power_cut(kept=kept)
        if self.shape == "shared":
            tier = host.directory / self.identity.id
            for path in sorted((tier / "objects").glob("*/*")):
                if kept:
                    path.write_bytes(b"")
                else:
                    path.unlink()
            shutil.rmtree(tier / "staging", ignore_errors=True)

    def pass_time(self, seconds: float) -> None:
        """Who has confirmed and sleeps, wakes up before a grace is over."""
        for process in list(self.processes):
            if process.confirmed_at is not None and now() + seconds - process.confirmed_at > SLEEP_AFTER_CONFIRM_MAX_S:
                self.go_on(process, None)
        _clock["ahead"] += seconds

    def confirmed(self, process: Process, digests: Iterable[str]) -> None:
        """A writer has just made sure of these blobs."""
        process.confirmed_at, process.confirmed_seq = now(), self.seq
        for name in digests:
            # A local store's writer has read all of it, or put it; a remote one's trusts a version.
            if self.shape != "shared" and self.damaged.get(name, 0) <= process.begun_seq:
                self.damaged.pop(name, None)
            self.doubtful_pins.discard(name)
            for database in self.databases:
                database.doubtful.discard(name)

    def swapped(self, process: Process | None, digests: Iterable[str]) -> None:
        """Rows name these blobs anew; what was expired before they were confirmed is no excuse any more."""
        if process is not None:
            for name in digests:
                if self.expired.get(name, 0) <= process.confirmed_seq:
                    self.expired.pop(name, None)

    def promised(self, name: str) -> bool:
        """Whether a digest was named within the grace."""
        return self.last_named.get(name, 0.0) + self.grace_s - MARGIN_S > now()

    def copied(self, database: Database, names: Iterable[str]) -> None:
        """Rows of another place stand in a database now."""
        database.doubtful |= {name for name in names if not self.promised(name)}

    def _buried(self, key: str) -> None:
        self.seq += 1
        name = key.removeprefix(layout.TOMBSTONES).removesuffix(".json")
        self.expired[name] = self.seq
        if (process := current()) is not None:
            process.buried.add(name)

    def _deleted(self, key: str) -> None:
        process = current()
        if process is not None and process.verb == "expire" and key.startswith(layout.TRASH):
            # It may have been used while an expiry was under way: that takes blobs that are in use.
            self.seq += 1
            name = layout.digest_of_key(key)
            if name in process.buried:
                self.expired[name] = self.seq

    def check(self) -> None:
        """Raise `LossError` unless everything that is promised reads back, or says rightly why not."""
        entries = {str(entry.url) for entry in self._registered()}
        for database in self.databases:
            named = database.named() | database.durable
            if not database.registered and str(database.path) in entries:
                database.registered = True
                self.copied(database, named)
            if database.registered:
                for name in named - database.doubtful:
                    self.last_named[name] = now()
        for stat in MemoryBackend.scan(self.backend, layout.PINS) if self.shape == "shared" else self.backend.scan(
            layout.PINS
        ):
            name = stat.key.removeprefix(layout.PINS).removesuffix(".json")
            if name not in self.doubtful_pins:
                self.last_named[name] = now()
        for name in list(self.last_named):
            if self.promised(name):
                self._check(name)

    def _registered(self) -> Iterator[Any]:
        return blobstore.Registry(self.backend).databases()

    def _check(self, name: str) -> None:
        try:
            data = self.reader.read(name)
        except BlobExpiredError as error:
            if name not in self.expired:
                raise LossError(f"{name} is said to be expired, but was put since: {error}") from error
            return
        except (BlobCorruptError, BlobMissingError) as error:
            if name not in self.damaged:
                raise LossError(f"{name}, named {now() - self.last_named[name]:.0f} s ago: {error}") from error
            return
        if data != PAYLOADS[DIGESTS.index(name)]:
            raise LossError(f"{name} has other bytes")
        if name in self.damaged and self._all_good(name):
            self.damaged.pop(name, None)

    def _damaged(self, name: str) -> None:
        self.seq += 1
        self.damaged[name] = self.seq

    def keys(self, name: str) -> list[str]:
        """Where the store's own object may be."""
        return list(dict.fromkeys(self.reader._own_keys(name)))

    def _all_good(self, name: str) -> bool:
        places: list[tuple[Backend, str]] = [(self.backend, key) for key in self.keys(name)]
        if self.copy is not None:
            places.append((self.copy, layout.object_key(name)))
        return all(is_good(place, key, name) is not False for place, key in places)

    def damage(self, name: str, place: int, *, seen: bool) -> None:
        """Damage one copy of a blob; whether that is an excuse depends on what else there is."""
        if place == 0 or (self.shape == "own"):
            for key in self.keys(name):
                if self.backend.damage(key, seen=seen):
                    if self.copy is None or is_good(self.copy, layout.object_key(name), name) is not True:
                        self._damaged(name)
                    return
        elif self.copy is not None:
            # Nothing but a full read can find what is damaged under the version that was acknowledged.
            own = any(is_good(self.backend, key, name) for key in self.keys(name))
            if self.copy.damage(layout.object_key(name), seen=seen) and not (seen and own):
                self._damaged(name)
        else:
            tier = OwnBackend(self.hosts[place % 2].directory / self.identity.id)
            tier.damage(layout.object_key(name), seen=seen)

    def close(self) -> None:
        """Nothing runs after this."""
        for process in list(self.processes):
            self.kill(process)
        for database in self.databases:
            database.close()


def is_good(place: Backend, key: str, name: str) -> bool | None:
    """Whether an object is true; None if it is not there."""
    try:
        Reader(place).verify_own(name, key)
    except BlobError:
        return False
    except Exception:  # noqa: BLE001 - absent
        return None
    return True


_real_transaction = catalogs.Catalog.transaction
_real_swap = SQLiteDatabase.swap
_real_durable = sweep._make_durable
_real_flush = Swapper.flush
_real_confirm = writer.Writer.confirm
_real_finish = writer.Batch.finish
_real_take = Survey.take
_real_mark_here = deletions._mark_here
_real_change = trash.Trash._change
_real_reconcile = Survey.reconcile


@contextlib.contextmanager
def _transaction(self: catalogs.Catalog, **options: Any) -> Iterator[None]:
    process = current()
    if process is None:
        with _real_transaction(self, **options):
            yield
        return
    if process.killed:
        raise KilledError
    process.busy += 1
    try:
        with _real_transaction(self, **options):
            yield
    finally:
        process.busy -= 1


def _swap(self: SQLiteDatabase, edits: Any, *, stamp: object) -> Any:
    point("swap")
    process = current()
    if process is None:
        return _real_swap(self, edits, stamp=stamp)
    database = process.world.database_at(self.path)
    before = database.named()
    process.busy += 1
    try:
        return _real_swap(self, edits, stamp=stamp)
    finally:
        process.busy -= 1
        if not process.killed:
            process.world.swapped(process, database.named() - before)


def _make_durable(path: Path) -> None:
    point("fsync")
    _real_durable(path)
    _noted_durable(path)


def _flush(self: Swapper) -> None:
    point("flush")
    _real_flush(self)
    _noted_durable(self._path)


def _noted_durable(path: Path) -> None:
    if (process := current()) is not None:
        process.world.database_at(path).made_durable()


def _confirm(self: writer.Writer, digests: Any) -> None:
    point("confirm")
    _real_confirm(self, digests)
    if (process := current()) is not None:
        process.world.confirmed(process, digests)


def _finish(self: writer.Batch) -> writer.Receipt:
    point("finish")
    return _real_finish(self)


def _take(self: Survey, backend: Backend) -> None:
    point("survey")
    _real_take(self, backend)
    point("surveyed")


def _mark_here(store: BlobStore, entry: Any, marks: Any, **options: Any) -> int:
    point("mark")
    process = current()
    if process is not None and not process.world.database_at(Path(entry.url)).mounted:
        raise deletions._refusal(entry, "it is not mounted") from DatabaseError("not mounted")
    return _real_mark_here(store, entry, marks, **options)


def _change(self: trash.Trash, *arguments: Any, **options: Any) -> Any:
    point("change")
    return _real_change(self, *arguments, **options)


def _remove_stale(staging: Path) -> None:
    """By the simulated time: what a process that began more than a day ago has staged is gone."""
    process = current()
    if process is None or not staging.is_dir():
        return
    began: dict[Path, float] = process.world.__dict__.setdefault("staged", {})
    for directory in staging.iterdir():
        if began.setdefault(directory, now()) < now() - writer.STALE_STAGING_S:
            shutil.rmtree(directory, ignore_errors=True)


overrides: list[tuple[Any, str, Any]] = []
"""What a rule that is switched off replaces; it comes last."""


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """Time, threads and durability as the worlds of this process have them."""
    with contextlib.ExitStack() as stack:
        for module in (trash, tiers, batches, local_backend, sync):
            stack.enter_context(mock.patch.object(module, "ThreadPoolExecutor", Inline))
        for target, name, new in (
            (writer, "ThreadPoolExecutor", Lazy),
            (writer, "_remove_stale", _remove_stale),
            (catalogs.Catalog, "transaction", _transaction),
            (SQLiteDatabase, "swap", _swap),
            (sweep, "_make_durable", _make_durable),
            (Swapper, "flush", _flush),
            (writer.Writer, "confirm", _confirm),
            (writer.Batch, "finish", _finish),
            (Survey, "take", _take),
            (deletions, "_mark_here", _mark_here),
            (trash.Trash, "_change", _change),
            (deletions, "open_store", lambda place, read_only=False: place.opened()),  # noqa: ARG005, FBT002
            (evict, "SIZE_MIN_BYTES", 1),
            (time, "time", now),
        ):
            stack.enter_context(mock.patch.object(target, name, new))
        for target, name, new in overrides:
            stack.enter_context(mock.patch.object(target, name, new))
        yield


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory if there is one."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="ocblob-history-", dir=base))
    before, tempfile.tempdir = tempfile.tempdir, str(path)
    try:
        yield path
    finally:
        tempfile.tempdir = before
        shutil.rmtree(path, ignore_errors=True)


def dice(seed: int) -> random.Random:
    """The same numbers for the same seed."""
    return random.Random(seed)
