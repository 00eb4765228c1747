"""Where the blobs and the refs of a history are: stores, hosts and databases, real but for the time."""

import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

import apsw

from histories_processes import now, point
from ocblob import digest, find_refs
from ocblob.backends.base import ObjectStat
from ocblob.backends.local import LocalBackend
from ocblob.backends.memory import MemoryBackend
from ocblob.marks import digests_in
from ocblob.store import LocalTier, layout
from samples import data_url, payload

DAY_S: Final = 86400
PAYLOADS: Final = [payload(300, f"history {number}") for number in range(4)]
DIGESTS: Final = [digest.digest_of(data) for data in PAYLOADS]
TIER_BYTES: Final = 3000


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
        super().put(key, data, size=size)
        return self._dated(key)

    def adopt(self, key: str, path: Path) -> None:
        """A point."""
        point(f"adopt {key}")
        super().adopt(key, path)
        self._dated(key)

    def _dated(self, key: str) -> str:
        """Files are as old as the world has it; returns the version."""
        os.utime(self.path(key), (now(), now()))
        return super().stat(key).version

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
