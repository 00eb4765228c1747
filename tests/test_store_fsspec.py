"""A store on an fsspec URL: no versions that can be trusted, no conditions, no fsync; all the same nothing is lost."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from ocblob import BlobStore, LocalTier, Resolver, config
from ocblob.cells import Scope
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.deletions import evict_pass, prune_pass
from ocblob.evict import Limits
from ocblob.inspection import validate
from ocblob.offload import offload
from ocblob.restore import restore
from ocblob.store.layout import object_key
from samples import dump, make_opencode, opencode_profile, refs

DAY_S = 86400


@pytest.fixture
def place(tmp_path: Path) -> Iterator[config.StorePlace]:
    """A prefix of fsspec's memory file system, which is gone afterwards."""
    prefix = f"store-{os.urandom(6).hex()}"
    yield config.StorePlace(f"memory://{prefix}", "test", LocalTier(tmp_path / "state", 10_000_000), {})
    memory = fsspec.filesystem("memory")
    if memory.exists(f"/{prefix}"):
        memory.rm(f"/{prefix}", recursive=True)


def offloaded(place: config.StorePlace, path: Path) -> BlobStore:
    """A store with what a database named, open."""
    store, _ = BlobStore.create(place.url, tier=place.tier)
    with SQLiteDatabase(path) as database:
        store.registry.register(database.url, host="opencode")
        assert offload(database, store, opencode_profile(path).columns, scope=Scope()).complete
    return store


def test_offload_and_restore(place: config.StorePlace, tmp_path: Path) -> None:
    """Rows come back byte for byte, with and without a tier."""
    path = tmp_path / "a.db"
    make_opencode(path, sessions=2, parts=6, size=30_000)
    original = dump(path)

    with offloaded(place, path) as store:
        named = refs(path)
        assert all(Resolver(place.url).read(ref) == store.read(ref.digest) for ref in named)
        with SQLiteDatabase(path) as database:
            assert restore(database, store, opencode_profile(path).columns, scope=Scope()).complete

    assert named
    assert original == dump(path)


def test_the_tier_lets_go_only_after_a_full_read(place: config.StorePlace, tmp_path: Path) -> None:
    """A place whose objects have changed under the catalog proves by being read; a damaged object proves nothing."""
    path = tmp_path / "a.db"
    make_opencode(path, sessions=2, parts=16, size=120_000)
    with offloaded(place, path) as store:
        held = store.catalog.totals().held
        key = object_key(refs(path)[0].digest)
        memory = fsspec.filesystem("memory")
        at = f"/{place.url.removeprefix('memory://')}/{key}"
        data = bytearray(memory.cat(at))
        data[len(data) // 2] ^= 1
        memory.pipe(at, bytes(data))

    done = evict_pass(place, Limits(max_size=1_000_000, max_age_s=3600))

    with BlobStore.open(place.url, tier=place.tier) as store:
        assert held > 1_000_000
        assert done.report.complete
        assert 900_000 >= store.catalog.totals().held
        # The tier still has the good one, or the copy in quarantine is told.
        assert all(store.read(ref.digest) for ref in refs(path) if ref.digest not in key.replace("/", ""))


def test_prune(place: config.StorePlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two marks and a grace apart an unreferenced blob goes; named ones stay."""
    path = tmp_path / "a.db"
    make_opencode(path, sessions=1, parts=30, size=30_000)
    with offloaded(place, path) as store:
        stray = store.put([b"nothing names this" * 20])
    first = prune_pass(place, force=True)
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 15 * DAY_S)
    monkeypatch.setattr("ocblob.store.blobstore.begin_epoch", lambda _backend: time.time())

    second = prune_pass(place, force=True)

    assert first.report is not None
    assert second.report is not None
    assert (1, 1) == (first.report.condemned, second.report.deleted)
    with BlobStore.open(place.url, tier=place.tier) as store:
        assert not store.contains(stray.digest)
        assert all(store.read(ref.digest) for ref in refs(path))


def test_validate_says_what_it_does_not_promise(place: config.StorePlace) -> None:
    """The place is sound, and what it cannot do is said."""
    with BlobStore.create(place.url, tier=place.tier)[0] as store:
        (report,) = validate(store)

    assert report.sound
    assert [] == store.backend.children("probe/")
