"""Stores for tests: of several places, of several hosts, and at other times."""

import random
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from ocblob import BlobStore, deletions
from ocblob.backends.base import Backend
from ocblob.backends.memory import MemoryBackend
from ocblob.config import StorePlace
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.offload import offload
from ocblob.store import LocalTier, layout
from ocblob.store.survey import Survey
from ocblob.store.trash import Item
from samples import BODY, EVERYTHING, cell, make_database, opened, payload

DAY_S = 86_400
CACHE_BYTES = 1_000_000


class Clock:
    """What `time.time` says: now, and what a test adds to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real, self.ahead = time.time, 0.0
        monkeypatch.setattr(time, "time", lambda: real() + self.ahead)

    def wait(self, *, days: float = 0, seconds: float = 0) -> None:
        """Let time go by."""
        self.ahead += days * DAY_S + seconds


def place(root: Path, state: Path | None = None, *, cache_bytes: int = CACHE_BYTES) -> StorePlace:
    """A local store as the command line means it."""
    return StorePlace(str(root), "--store", LocalTier(state or root.parent / "state", cache_bytes), {})


def remote_store(
    backend: Backend, directory: Path, *, cache_bytes: int = CACHE_BYTES, writable: bool = True
) -> BlobStore:
    """A store that only its backend holds, as one host opens it."""
    identity = layout.create_identity(backend)
    return BlobStore(backend, identity, writable=writable, tier=LocalTier(directory, cache_bytes))


def put_many(store: BlobStore, count: int, *, size: int = 3000, seed: object = 0) -> list[str]:
    """Put blobs that no codec makes smaller; their digests in this order."""
    with store.writer() as writer:
        return [writer.put([payload(size, (seed, number))]).digest for number in range(count)]


def listed(store: BlobStore, digests: Iterable[str]) -> list[Item]:
    """Blobs as a deleter lists them, wherever in the store they lie."""
    items = []
    for digest in digests:
        key = store.reader.find(digest)
        assert key is not None
        stat = store.backend.stat(key)
        items.append(Item(digest, stat.stored_size, stat.version, key))
    return items


def keys(backend: Backend, prefix: str) -> list[str]:
    """The names of everything below a prefix, ordered."""
    return sorted(stat.key for stat in backend.scan(prefix))


def set_used(store: BlobStore, uses: dict[str, int]) -> None:
    """Say when blobs were used last."""
    with store.catalog.transaction():
        for digest, at in uses.items():
            store.catalog._db.execute("UPDATE blob SET used_at=? WHERE digest=?", (at, bytes.fromhex(digest)))


def reconcile(store: BlobStore) -> None:
    """A look at everything, as each prune begins with one."""
    with Survey(store.catalog) as survey:
        survey.take(store.backend)
        survey.reconcile(remote=store.remote)


def damage(backend: MemoryBackend, key: str, *, at: int | None = None) -> None:
    """Flip one bit of an object; its version stays, as where a disk went bad."""
    data, stat = backend._objects[key]
    changed = bytearray(data)
    changed[random.Random(key).randrange(len(data)) if at is None else at] ^= 0x10
    backend._objects[key] = (bytes(changed), stat)


def shared(monkeypatch: pytest.MonkeyPatch, backend: Backend) -> None:
    """Let passes over any store open this backend, with the tier of the host that they run on."""

    def open_store(place: StorePlace, *, read_only: bool = False) -> BlobStore:
        return remote_store(backend, place.tier.directory, cache_bytes=place.tier.cache_bytes, writable=not read_only)

    monkeypatch.setattr(deletions, "open_store", open_store)


def offloaded(path: Path, store: BlobStore, bodies: Iterable[bytes]) -> Path:
    """A registered database whose rows name these blobs."""
    make_database(path, [cell(body) for body in bodies])
    with SQLiteDatabase(path) as database:
        store.registry.register(database.url, host="generic", tables=[str(BODY)])
        assert offload(database, store, (BODY,), scope=EVERYTHING).complete
    return path


def forget_rows(path: Path) -> None:
    """Let nothing in a database name anything, without a trace in free pages or the WAL."""
    with opened(path) as db:
        db.execute("PRAGMA secure_delete=ON; DELETE FROM doc; PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
