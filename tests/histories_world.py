"""A world in which time passes as it is told, processes stop where it is told, and the power may fail.

What lies in the store and in the databases is real; what is promised of it is looked at after every step.
"""

import contextlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from histories_places import DAY_S, DIGESTS, PAYLOADS, Database, Host, OwnBackend, Rows, SharedBackend
from histories_processes import KilledError, LossError, Process, begin_time, clock, current, now
from ocblob import prune
from ocblob.backends.base import Backend
from ocblob.errors import (
    BlobCorruptError,
    BlobError,
    BlobExpiredError,
    BlobMissingError,
)
from ocblob.store import BlobStore, layout
from ocblob.store.copies import Copy
from ocblob.store.reader import Reader
from ocblob.store.registry import RegisteredDatabase, Registry

MARGIN_S: Final = 5
"""Times are kept by the second."""
SLEEP_AFTER_CONFIRM_MAX_S: Final = 8 * DAY_S
"""Between its last look and its row a writer may sleep, but for less than a grace: nothing can protect it longer."""


@dataclass
class World:
    """One store, its hosts and databases, and what is promised of them.

    Promised is every digest that a registered database (as it is, and as it would be after a power cut) or a pin names,
    and, for a grace after it was last named, every one that lay in its place then: so a backup, a copy or a power cut
    that brings a name back within 14 days after the last registered one went finds its blob. A name that a copied row
    brings to a blob in the trash is promised while it stands; the grace after it is promised from the first mark, read
    or put on that sees it. A name that comes from further back promises nothing until a writer has put the blob again.
    Excepted are digests that `--expire` took, which must say so, and those whose every copy was damaged.
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
    named: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    """Named now, and found by a mark since it was named."""
    seq: int = 0

    def __post_init__(self) -> None:
        begin_time()
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
        clock["ahead"] += seconds

    def confirmed(self, process: Process, digests: Iterable[str]) -> None:
        """A writer has just made sure of these blobs."""
        process.confirmed_at, process.confirmed_seq = now(), self.seq
        for name in digests:
            # A local store's writer has read all of it, or put it; a remote one's trusts a version.
            if self.shape != "shared" and self.damaged.get(name, 0) <= process.begun_seq:
                self.damaged.pop(name, None)
            for database in self.databases:
                database.doubtful.discard(name)

    def swapped(self, process: Process | None, digests: Iterable[str]) -> None:
        """Rows name these blobs anew; what was expired before they were confirmed is no excuse any more."""
        if process is not None:
            for name in digests:
                if self.expired.get(name, 0) <= process.confirmed_seq:
                    self.expired.pop(name, None)

    def promised(self, name: str) -> bool:
        """Whether a digest is named, or was within the grace."""
        return name in self.named or self.last_named.get(name, 0.0) + self.grace_s - MARGIN_S > now()

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
        current_names: set[str] = set()
        entries = {entry.url for entry in self._registered()}
        for database in self.databases:
            named = database.named() | database.durable
            if not database.registered and str(database.path) in entries:
                database.registered = True
                self.copied(database, named)
            if database.registered:
                current_names |= named - database.doubtful
        for stat in self.backend.scan(layout.PINS):
            name = stat.key.removeprefix(layout.PINS).removesuffix(".json")
            current_names.add(name)
        self.named = current_names
        self.seen &= current_names
        for name in current_names:
            if name in self.seen or self._is_live(name):
                self.last_named[name] = now()
        for name in sorted(current_names | self.last_named.keys()):
            if self.promised(name):
                self._check(name)

    def _is_live(self, name: str) -> bool:
        places = [key for key in self.keys(name) if is_good(self.backend, key, name) is not None]
        if places or self.copy is None:
            return layout.object_key(name) in places
        return is_good(self.copy, layout.object_key(name), name) is not None

    def _registered(self) -> Iterator[RegisteredDatabase]:
        return Registry(self.backend).databases()

    def _check(self, name: str) -> None:
        try:
            data = self.reader.read(name)
        except BlobExpiredError as error:
            if name not in self.expired:
                raise LossError(f"{name} is said to be expired, but was put since: {error}") from error
            return
        except (BlobCorruptError, BlobMissingError) as error:
            if name not in self.damaged:
                raise LossError(f"{name}, named {now() - self.last_named.get(name, 0.0):.0f} s ago: {error}") from error
            return
        if data != PAYLOADS[DIGESTS.index(name)]:
            raise LossError(f"{name} has other bytes")
        # A spare that lies in the trash since before is good luck, and goes when its own grace is over.
        if name in self.damaged and self._is_live(name) and self._all_good(name):
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
