import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ocblob import BlobStore
from ocblob.backends.memory import MemoryBackend
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.digest import digest_of
from ocblob.errors import BlobMissingError, ClaimLostError
from ocblob.offload import offload
from ocblob.store.layout import new_generation, object_key
from ocblob.store.reader import Reader
from ocblob.store.writer import Wanted, Writer
from samples import BODY, EVERYTHING, bodies, cell, make_database, objects, payload, refs
from stores import damage, keys, listed, put_many, remote_store

DATA = payload(20_000)
DIGEST = digest_of(DATA)


@pytest.fixture
def backend() -> MemoryBackend:
    """What the hosts share."""
    return MemoryBackend()


@pytest.fixture
def one(backend: MemoryBackend, tmp_path: Path) -> Iterator[BlobStore]:
    """The store on one host."""
    with remote_store(backend, tmp_path / "one") as store:
        yield store


@pytest.fixture
def two(backend: MemoryBackend, tmp_path: Path) -> Iterator[BlobStore]:
    """The store on another host, with a catalog and a tier of its own."""
    with remote_store(backend, tmp_path / "two") as store:
        yield store


def wanted() -> Wanted:
    """The blob, and where to get it."""
    return Wanted(DIGEST, len(DATA), lambda: iter([DATA]))


def delete_from(store: BlobStore, digest: str) -> None:
    """What a prune of this host does at the very end of a grace."""
    store.begin_deletions()
    with store.catalog.transaction():
        if store.catalog.get(digest) is None:
            store.catalog.put(digest, size=len(DATA), stored_size=1)
    moved = store.trash().condemn(listed(store, [digest]), generation=new_generation(1_700_000_000))
    store.trash().delete(moved)
    assert not store.contains(digest)


def test_hosts_see_each_others_blobs(one: BlobStore, two: BlobStore) -> None:
    """What one host put another one reads."""
    digests = put_many(one, 5)

    assert [payload(3000, (0, number)) for number in range(5)] == [two.read(digest) for digest in digests]


def test_a_blob_is_stored_once(one: BlobStore, two: BlobStore, backend: MemoryBackend) -> None:
    """A blob that another host has put already is found, verified, and counted as known."""
    first, second = one.put([DATA]), two.put([DATA])
    puts = backend.stat(object_key(DIGEST)).version

    assert (True, puts) == (first.new, first.version)
    assert second.version == puts
    assert [object_key(DIGEST)] == keys(backend, "objects/")


def test_a_blob_that_is_there_is_verified_in_full(one: BlobStore, two: BlobStore, backend: MemoryBackend) -> None:
    """A put that finds somebody's object does not believe it: a bad one goes to quarantine, and is put afresh."""
    one.put([DATA])
    damage(backend, object_key(DIGEST), at=700)

    two.put([DATA])

    assert DATA == Reader(backend).read(DIGEST)
    assert 1 == len(backend.children("quarantine/"))


def test_a_known_blob_costs_one_question(
    one: BlobStore, backend: MemoryBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that this host has seen there is asked for by its version, not read again."""
    one.put([DATA])
    opened: list[str] = []
    real = backend.open

    def open_(key: str) -> object:
        opened.append(key)
        return real(key)

    monkeypatch.setattr(backend, "open", open_)
    with one.writer() as writer:
        stored = writer.begin([wanted()]).finish().stored[DIGEST]

    assert not stored.new
    assert object_key(DIGEST) not in opened


def test_a_deletion_elsewhere_voids_a_batch(one: BlobStore, two: BlobStore) -> None:
    """A writer that relied on a blob learns before its row is swapped that another host has begun to delete."""
    one.put([DATA])
    with one.writer() as writer:
        receipt = writer.begin([wanted()]).finish()
        delete_from(two, DIGEST)

        with pytest.raises(ClaimLostError, match="another host"):
            writer.confirm(receipt.stored)
        again = writer.begin([wanted()]).finish()
        writer.confirm(again.stored)

    assert again.stored[DIGEST].new
    assert DATA == Reader(one.backend).read(DIGEST)


def test_an_epoch_is_noticed_once(one: BlobStore, two: BlobStore) -> None:
    """After a batch was done again the same epoch does not void the next one."""
    with one.writer() as writer:
        receipt = writer.begin([wanted()]).finish()
        two.begin_deletions()
        with pytest.raises(ClaimLostError):
            writer.confirm(receipt.stored)
        writer.confirm(writer.begin([wanted()]).finish().stored)
        writer.confirm([DIGEST])


def test_an_epoch_before_the_writer_began_is_none_of_its_business(one: BlobStore, two: BlobStore) -> None:
    """Only deletions that begin while a writer is at work void what it believes."""
    two.begin_deletions()
    with one.writer() as writer:
        writer.confirm(writer.begin([wanted()]).finish().stored)


def hit_by(two: BlobStore, delete: Callable[[BlobStore, str], None], digest: str) -> Callable[..., None]:
    """A confirmation just before which the other host deletes; the first time only."""
    real = Writer.confirm
    done: list[bool] = []

    def confirm(writer: Writer, digests: list[str]) -> None:
        if not done:
            done.append(True)
            delete(two, digest)
        real(writer, digests)

    return confirm


def test_an_offload_does_its_batch_again(
    one: BlobStore, two: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that the other host deletes just before the swap is put again before the row names it."""
    one.put([DATA])
    path = make_database(tmp_path / "app.db", [cell(DATA), cell(payload(9000, 1))])
    monkeypatch.setattr(Writer, "confirm", hit_by(two, delete_from, DIGEST))

    with SQLiteDatabase(path) as database:
        report = offload(database, one, (BODY,), scope=EVERYTHING)

    assert (2, True) == (report.cells_swapped, report.complete)
    assert 2 == len(refs(path))
    assert {digest_of(DATA), digest_of(payload(9000, 1))} == {ref.digest for ref in refs(path)}
    for ref in refs(path):
        assert ref.size == Reader(one.backend).verify(ref.digest)


def test_deletions_that_never_end_change_no_row(
    one: BlobStore, two: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If each try is hit by a new round of deletions the pass ends with an error, its rows as they were."""
    path = make_database(tmp_path / "app.db", [cell(DATA)])
    before = bodies(path)
    real = Writer.confirm

    def confirm(writer: Writer, digests: list[str]) -> None:
        two.begin_deletions()
        real(writer, digests)

    monkeypatch.setattr(Writer, "confirm", confirm)
    with SQLiteDatabase(path) as database, pytest.raises(ClaimLostError):
        offload(database, one, (BODY,), scope=EVERYTHING)

    assert before == bodies(path)


def test_a_blob_that_another_host_deleted_is_put_again(one: BlobStore, two: BlobStore) -> None:
    """A host whose catalog still knows the blob does not believe it."""
    one.put([DATA])
    delete_from(two, DIGEST)

    assert one.put([DATA]).new
    assert DATA == Reader(one.backend).read(DIGEST)


def test_a_tier_may_outlive_the_store(one: BlobStore, two: BlobStore) -> None:
    """A hot blob reads from its host's tier after another host deleted it; elsewhere it is missing."""
    one.put([DATA])
    delete_from(two, DIGEST)

    assert DATA == one.read(DIGEST)
    with pytest.raises(BlobMissingError):
        two.read(DIGEST)


def test_a_condemned_blob_is_revived_by_any_host(one: BlobStore, two: BlobStore, backend: MemoryBackend) -> None:
    """What one host set aside another one's read brings back."""
    digest = one.put([DATA]).digest
    one.trash().condemn(listed(one, [digest]), generation=new_generation(1_700_000_000))

    assert DATA == two.read(digest)
    assert ([object_key(digest)], []) == (keys(backend, "objects/"), keys(backend, "trash/"))


def test_the_grace_goes_by_the_earlier_clock(one: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host whose clock is ahead does not think that a grace is over."""
    real = MemoryBackend.stat
    monkeypatch.setattr(MemoryBackend, "stat", lambda self, key: replace(real(self, key), modified=1000.0))

    assert 1000.0 == one.begin_deletions() < time.time()


def test_each_host_keeps_its_own_tier(one: BlobStore, two: BlobStore) -> None:
    """What one host put lies in its tier and in no other's, until that one reads it."""
    one.put([DATA])
    before = objects(two.local.root)
    two.read(DIGEST)

    assert ([DIGEST], [], [DIGEST]) == (objects(one.local.root), before, objects(two.local.root))


def test_hosts_that_put_at_once_agree(one: BlobStore, two: BlobStore, backend: MemoryBackend) -> None:
    """Both put the same blob in batches that overlap: one object, both rely on it."""
    with one.writer() as first, two.writer() as second:
        batches = [first.begin([wanted()]), second.begin([wanted()])]
        stored = [batch.finish().stored[DIGEST] for batch in batches]
        first.confirm([DIGEST])
        second.confirm([DIGEST])

    assert 1 == len({item.version for item in stored})
    assert [object_key(DIGEST)] == keys(backend, "objects/")
    assert DATA == Reader(backend).read(DIGEST)
