import io
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocblob import BlobStore
from ocblob.backends.base import ObjectStat
from ocblob.backends.local import LocalBackend
from ocblob.backends.memory import MemoryBackend
from ocblob.deletions import EvictPass, evict_pass, prune_pass
from ocblob.digest import digest_of
from ocblob.errors import BlobExpiredError, StoreUnavailableError, UsageError
from ocblob.evict import Limits
from ocblob.store.catalog import State
from ocblob.store.claims import Claims
from ocblob.store.keepers import Keeper, prove
from ocblob.store.layout import new_generation, object_key, tombstone_key
from ocblob.store.tiers import keepers_of, release
from ocblob.sync import sync
from samples import flip, object_path, objects, payload, tree
from stores import DAY_S, Clock, keys, listed, offloaded, place, put_many, remote_store, set_used, shared

SIZE = 300_000
"""Bytes of each blob; as many at rest and a few more."""
NOW = int(time.time())


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store with ten blobs of 0.3 MB; the first was used ten days ago, the last one day ago."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        digests = put_many(store, 10, size=SIZE)
        set_used(store, {digest: NOW - (10 - number) * DAY_S for number, digest in enumerate(digests)})
        yield store


@pytest.fixture
def copied(store: BlobStore, tmp_path: Path) -> BlobStore:
    """The same, with a copy that holds everything."""
    store.add_copy(str(tmp_path / "copy"))
    assert sync(store).complete
    return store


def by_use(store: BlobStore) -> list[str]:
    """All blobs, least recently used first."""
    return [row.digest for row in sorted(store.catalog.blobs(), key=lambda row: row.used_at)]


def evict(
    store: BlobStore,
    max_size: int | None = None,
    *,
    max_age_days: float | None = None,
    expire: bool = False,
    dry_run: bool = False,
) -> EvictPass:
    """One eviction, as the command runs it."""
    limits = Limits(max_size, None if max_age_days is None else max_age_days * DAY_S)
    return evict_pass(place(Path(store.url)), limits, expire=expire, dry_run=dry_run)


def held(store: BlobStore) -> int:
    """Bytes of all objects of a local store."""
    return sum(size for _digest, size in store.objects())


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (Limits(), "name a limit|nothing to do"),
        (Limits(max_size=0), "at least 1MB"),
        (Limits(max_size=-5), "at least 1MB"),
        (Limits(max_size=999_999), "at least 1MB"),
        (Limits(max_age_s=0), "at least one hour"),
        (Limits(max_age_s=3599), "at least one hour"),
        (Limits(max_size=10**9, max_age_s=-1), "at least one hour"),
    ],
)
@pytest.mark.parametrize("dry_run", [True, False])
def test_limits_that_cannot_be_meant_are_refused(
    copied: BlobStore, limits: Limits, words: str, *, dry_run: bool
) -> None:
    """A limit of nothing would evict everything: refused before anything is looked at."""
    before = tree(Path(copied.url) / "objects")
    with pytest.raises(UsageError, match=words):
        evict_pass(place(Path(copied.url)), limits, dry_run=dry_run)

    assert before == tree(Path(copied.url) / "objects")


def test_below_the_limit_nothing_goes(copied: BlobStore) -> None:
    """A store that keeps its limits stays as it is."""
    before = tree(Path(copied.url) / "objects")

    done = evict(copied, held(copied), max_age_days=11)

    assert (0, 0, True) == (done.report.evicted, done.report.last_copies, done.report.complete)
    assert before == tree(Path(copied.url) / "objects")


def test_size_is_brought_down_to_nine_tenths(copied: BlobStore) -> None:
    """Over its limit, a store goes down to 90 % of it and no further, least recently used first."""
    order, total = by_use(copied), held(copied)

    done = evict(copied, 2_000_000)

    left = held(copied)
    assert done.report.plan is not None
    assert (total, 1_800_000) == (done.report.plan.held, done.report.plan.target)
    assert 1_800_000 - SIZE - 5000 <= left <= 1_800_000
    assert (done.report.evicted_size, True) == (total - left, done.report.complete)
    assert sorted(order[done.report.evicted :]) == objects(Path(copied.url))
    assert left == copied.catalog.totals().held


def test_age_takes_what_was_not_used(copied: BlobStore) -> None:
    """Blobs whose last use is longer ago than the limit go, and no other."""
    order = by_use(copied)

    done = evict(copied, max_age_days=5.5)

    assert 5 == done.report.evicted
    assert sorted(order[5:]) == objects(Path(copied.url))


def test_both_limits_add_up(copied: BlobStore) -> None:
    """What is too old goes, and then what is too much."""
    done = evict(copied, 2_500_000, max_age_days=7.5)

    assert 3 == done.report.evicted
    assert held(copied) <= 2_250_000


def test_an_evicted_blob_still_reads(copied: BlobStore) -> None:
    """An eviction is reversible: reading gets the blob from the copy, verified."""
    done = evict(copied, max_age_days=1.5)

    assert 9 == done.report.evicted
    for number in range(10):
        data = payload(SIZE, (0, number))
        assert data == copied.read(digest_of(data))


def test_a_dry_run_changes_nothing(copied: BlobStore) -> None:
    """It tells what is over, and no file changes."""
    before = tree(Path(copied.url) / "objects")

    done = evict(copied, 2_000_000, max_age_days=5.5, dry_run=True)

    assert done.report.plan is not None
    assert (5, held(copied) - 1_800_000) == (done.report.plan.old, done.report.plan.over)
    assert before == tree(Path(copied.url) / "objects")


def test_last_copies_stay(store: BlobStore) -> None:
    """Without another place nothing goes; the report counts what is over the limits."""
    before = tree(Path(store.url) / "objects")

    done = evict(store, 2_000_000)

    assert (0, False) == (done.report.evicted, done.report.complete)
    assert done.report.last_copies_size >= held(store) - 1_800_000
    assert before == tree(Path(store.url) / "objects")


def copy_root(store: BlobStore) -> Path:
    """Where the copy is."""
    ((_copy, copy),) = store.copies()
    assert isinstance(copy, LocalBackend)
    return copy.root


def damage_copy(store: BlobStore, digest: str) -> None:
    """Rewrite the copy's object with a flipped bit: another version by now."""
    flip(object_path(copy_root(store), digest), 500)


def lose_copy(store: BlobStore, digest: str) -> None:
    """The copy's object is gone."""
    object_path(copy_root(store), digest).unlink()


def truncate_copy(store: BlobStore, digest: str) -> None:
    """The copy's object is half of what it was."""
    path = object_path(copy_root(store), digest)
    path.write_bytes(path.read_bytes()[: SIZE // 2])


def hide_copy(store: BlobStore, _digest: str) -> None:
    """The copy is not there: an unmounted disk."""
    copy_root(store).rename(copy_root(store).with_name("elsewhere"))


@pytest.mark.parametrize("trouble", [damage_copy, lose_copy, truncate_copy, hide_copy])
def test_what_the_copy_cannot_prove_stays(copied: BlobStore, trouble: Callable[[BlobStore, str], None]) -> None:
    """A copy that is bad, gone or away proves nothing: the local object is the last one and stays."""
    oldest = by_use(copied)[0]
    trouble(copied, oldest)

    done = evict(copied, max_age_days=9.5)

    assert (0, 1, False) == (done.report.evicted, done.report.last_copies, done.report.complete)
    assert object_path(Path(copied.url), oldest).is_file()
    assert payload(SIZE, (0, 0)) == copied.read(oldest)


def test_an_object_that_changed_is_proven_by_reading_it(copied: BlobStore) -> None:
    """A copy that was written anew is not the acknowledged one; read in full and true, it proves all the same."""
    oldest = by_use(copied)[0]
    path = object_path(copy_root(copied), oldest)
    path.write_bytes(path.read_bytes())

    assert 1 == evict(copied, max_age_days=9.5).report.evicted


def keeper(backend: MemoryBackend, seen: list[str]) -> Keeper:
    """A keeper whose full reads are counted; a read finds nothing wrong."""

    def verify(digest: str) -> tuple[int, str]:
        seen.append(digest)
        return SIZE, backend.stat(object_key(digest)).version

    return Keeper("k", backend, verify)


class Frozen(MemoryBackend):
    """A place whose objects are in a class of storage that must be restored before it can be read."""

    def stat(self, key: str) -> ObjectStat:
        """As it is, but not readable."""
        return replace(super().stat(key), readable=False)


class Versionless(MemoryBackend):
    """A place that tells no versions."""

    def stat(self, key: str) -> ObjectStat:
        """As it is, without a version."""
        return replace(super().stat(key), version="")


class Down(MemoryBackend):
    """A place that does not answer."""

    def stat(self, key: str) -> ObjectStat:
        """No answer."""
        raise StoreUnavailableError(f"{key}: 503")


@pytest.mark.parametrize(
    ("kind", "known", "proven", "reads"),
    [
        (MemoryBackend, "acknowledged", True, 0),
        (MemoryBackend, "another version", True, 1),
        (MemoryBackend, "another size", True, 1),
        (MemoryBackend, "nothing", True, 1),
        (Versionless, "acknowledged", True, 1),
        (Frozen, "acknowledged", False, 0),
        (Down, "acknowledged", False, 0),
    ],
)
def test_a_proof_is_the_acknowledged_version_or_a_full_read(
    store: BlobStore, kind: type[MemoryBackend], known: str, reads: int, *, proven: bool
) -> None:
    """An object counts if it is the very one that was acknowledged and can be read, or else if it reads true now."""
    digest, backend = by_use(store)[0], kind()
    seen: list[str] = []
    version = backend.put(object_key(digest), io.BytesIO(b"object"), size=6)
    entry = {
        "acknowledged": (digest, 6, version),
        "another version": (digest, 6, "v0"),
        "another size": (digest, 7, version),
    }.get(known)
    with store.catalog.transaction():
        store.catalog.set_copies("k", [entry] if entry else [])

    proof = prove(store.catalog, [keeper(backend, seen)], digest)

    assert (proven, reads) == (proof is not None, len(seen))
    assert proof is None or proof.stands(store.catalog, digest)


def test_a_proof_falls_when_the_copy_is_forgotten(copied: BlobStore) -> None:
    """A prune that takes the copy's object away between proof and eviction makes the proof void."""
    digest = by_use(copied)[0]
    proof = prove(copied.catalog, keepers_of(copied), digest)
    assert proof is not None
    with copied.catalog.transaction():
        copied.forget_elsewhere([digest])

    assert not proof.stands(copied.catalog, digest)


def test_a_claimed_blob_is_not_evicted(copied: BlobStore) -> None:
    """What a writer is about to name stays where it is."""
    oldest = by_use(copied)[0]
    claims = Claims(copied.catalog)
    claims.claim([oldest])

    refused = release(copied, [oldest], keepers_of(copied))
    claims.release()

    assert ([], [oldest]) == (refused, release(copied, [oldest], keepers_of(copied)))


def test_expiring_drops_the_oldest_last_copies(store: BlobStore) -> None:
    """With `expire` last copies go by last use, down to 90 %, each with a tombstone; reading says so."""
    order = by_use(store)

    done = evict(store, 2_000_000, expire=True)

    gone = order[: done.report.expired]
    assert done.report.expired == 10 - len(objects(Path(store.url)))
    assert sorted(order[done.report.expired :]) == objects(Path(store.url))
    assert (0, True) == (done.report.last_copies, done.report.complete)
    assert 1_800_000 - SIZE - 5000 <= held(store) <= 1_800_000
    assert sorted(map(tombstone_key, gone)) == keys(store.backend, "tombstones/")
    assert [] == keys(store.backend, "trash/")
    for digest in gone:
        with pytest.raises(BlobExpiredError, match=r"evict --expire --max-size 2") as caught:
            store.read(digest)
        assert (digest, SIZE) == (caught.value.tombstone["digest"], caught.value.tombstone["size"])


def test_expiring_evicts_first_what_is_proven(copied: BlobStore) -> None:
    """Nothing expires that a copy still holds."""
    lose_copy(copied, by_use(copied)[1])

    done = evict(copied, max_age_days=7.5, expire=True)

    assert (2, 1) == (done.report.evicted, done.report.expired)


def test_an_expired_blob_can_be_put_again(store: BlobStore) -> None:
    """Whoever has the bytes may put them: the blob reads again."""
    oldest = by_use(store)[0]
    evict(store, max_age_days=9.5, expire=True)

    assert store.put([payload(SIZE, (0, 0))]).new
    assert payload(SIZE, (0, 0)) == store.read(oldest)
    assert [] == keys(store.backend, "tombstones/")


def test_a_tombstone_tells_the_type(tmp_path: Path) -> None:
    """The media type that the first bytes show stands in the tombstone."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        heads = {b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg", b"%PDF-1.7": "application/pdf"}
        digests = {store.put([head, payload(SIZE, mime)]).digest: mime for head, mime in heads.items()}
        digests[store.put([payload(SIZE, "other")]).digest] = ""
        set_used(store, dict.fromkeys(digests, 1))

        assert 4 == evict(store, max_age_days=1, expire=True).report.expired
        for digest, mime in digests.items():
            with pytest.raises(BlobExpiredError) as caught:
                store.read(digest)
            assert mime == caught.value.tombstone["mime"]


def test_unreferenced_blobs_go_first(store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What prune may delete now is deleted before anything else, whether or not a limit needs it."""
    clock = Clock(monkeypatch)
    offloaded(tmp_path / "app.db", store, [payload(SIZE, (0, number)) for number in range(9)])
    prune_pass(place(Path(store.url)), force=True)
    clock.wait(days=15)

    done = evict(store, 2_900_000)

    assert ("", True) == (done.prune_skipped, SIZE < done.report.pruned_size < SIZE + 1000)
    assert 9 == len(objects(Path(store.url)))


def test_a_prune_that_is_refused_does_not_stop_an_eviction(copied: BlobStore) -> None:
    """If nobody can say what is unreferenced, the eviction goes on and says so."""
    (item,) = listed(copied, by_use(copied)[:1])
    copied.trash().condemn([item], generation=new_generation(1_700_000_000))

    done = evict(copied, max_age_days=7.5)

    assert "no database is registered" in done.prune_skipped
    assert 2 == done.report.evicted


def test_the_trash_counts_as_held(store: BlobStore) -> None:
    """Bytes in the trash are on the disk too: they count, and stay."""
    total = held(store)
    (item,) = listed(store, by_use(store)[-1:])
    store.trash().condemn([item], generation=new_generation(time.time()))

    done = evict(store, 10**9)

    assert done.report.plan is not None
    assert total == done.report.plan.held
    assert [State.CONDEMNED] == [row.state for row in store.catalog.blobs() if row.digest == item.digest]


# A remote store: its tier is what is evicted.


@pytest.fixture
def remote(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[BlobStore]:
    """A remote store whose tier holds ten blobs of 0.3 MB."""
    backend = MemoryBackend()
    shared(monkeypatch, backend)
    with remote_store(backend, tmp_path / "host", cache_bytes=10**8) as store:
        digests = put_many(store, 10, size=SIZE)
        set_used(store, {digest: NOW - (10 - number) * DAY_S for number, digest in enumerate(digests)})
        yield store


def evict_remote(store: BlobStore, tmp_path: Path, *, max_age_days: float, expire: bool = False) -> EvictPass:
    """One eviction on this host."""
    there = place(tmp_path / "unused", tmp_path / "host", cache_bytes=10**8)
    assert store.remote
    return evict_pass(there, Limits(None, max_age_days * DAY_S), expire=expire)


def test_a_tier_lets_go_of_what_the_remote_store_holds(remote: BlobStore, tmp_path: Path) -> None:
    """Files of the tier go once the remote store is proven to hold the blobs; they still read."""
    order = by_use(remote)

    done = evict_remote(remote, tmp_path, max_age_days=5.5)

    assert (5, True) == (done.report.evicted, done.report.complete)
    assert sorted(order[5:]) == objects(remote.local.root)
    assert 10 == len(keys(remote.backend, "objects/"))
    assert payload(SIZE, (0, 0)) == remote.read(order[0])


def test_a_tier_keeps_what_the_remote_store_lost(remote: BlobStore, tmp_path: Path) -> None:
    """If the remote store has lost an object, the tier's file is the last copy: it stays, and is told."""
    oldest = by_use(remote)[0]
    remote.backend.delete(object_key(oldest))

    done = evict_remote(remote, tmp_path, max_age_days=8.5)

    assert (1, 1, False) == (done.report.evicted, done.report.last_copies, done.report.complete)
    assert object_path(remote.local.root, oldest).is_file()


def test_expiring_on_a_remote_store_drops_its_objects(remote: BlobStore, tmp_path: Path) -> None:
    """There the remote objects themselves are judged and go, with tombstones in the store for every host."""
    order = by_use(remote)

    done = evict_remote(remote, tmp_path, max_age_days=8.5, expire=True)

    assert (0, 2) == (done.report.evicted, done.report.expired)
    assert sorted(map(object_key, order[2:])) == keys(remote.backend, "objects/")
    with remote_store(remote.backend, tmp_path / "other") as other, pytest.raises(BlobExpiredError):
        other.read(order[0])
    with pytest.raises(BlobExpiredError):
        remote.read(order[0])
    assert sorted(order[2:]) == objects(remote.local.root)
