import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocblob import BlobStore, Resolver
from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.deletions import prune_pass
from ocblob.digest import digest_of
from ocblob.errors import (
    BlobCorruptError,
    BlobMissingError,
    DeletionRefusedError,
    StoreError,
    StoreFormatError,
    StoreUnavailableError,
    UsageError,
)
from ocblob.store.catalog import State
from ocblob.store.layout import object_key
from ocblob.store.nurse import heal_from_copies
from ocblob.store.tiers import keepers_of
from ocblob.sync import SyncReport, sync
from samples import flip, object_path, objects, payload, tree, unresolved
from stores import Clock, offloaded, place, put_many

DATA = payload(30_000, "data")
DIGEST = digest_of(DATA)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store with a copy that holds all its blobs."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        store.put([DATA])
        put_many(store, 3)
        store.add_copy(str(tmp_path / "copy"))
        assert sync(store).complete
        yield store


def root(store: BlobStore) -> Path:
    """Where the store is."""
    return Path(store.url)


def copy_root(store: BlobStore) -> Path:
    """Where its copy is."""
    return root(store).with_name("copy")


def sync_counts(report: SyncReport) -> tuple[int, int, int, int]:
    """Objects, present, copied, failed."""
    return report.objects, report.present, report.copied, report.failed


def test_a_copy_holds_the_same_objects(store: BlobStore) -> None:
    """Objects are copied as they lie there, byte for byte, and the catalog knows their versions."""
    assert objects(root(store)) == objects(copy_root(store))
    for digest in objects(root(store)):
        assert object_path(root(store), digest).read_bytes() == object_path(copy_root(store), digest).read_bytes()
    ((copy, _place),) = store.copies()
    assert [True] * 4 == [store.catalog.copy_version(digest, copy.id) is not None for digest in objects(root(store))]


def test_a_sync_copies_what_is_new(store: BlobStore) -> None:
    """A second sync copies nothing, one after a put the new blob only."""
    second = sync(store)
    put_many(store, 2, seed="new")
    third = sync(store)

    assert [(4, 4, 0, 0), (6, 4, 2, 0)] == [sync_counts(second), sync_counts(third)]
    assert objects(root(store)) == objects(copy_root(store))


def test_a_sync_copies_again_what_changed_there(store: BlobStore) -> None:
    """An object of the copy that is not the acknowledged one is put anew."""
    flip(object_path(copy_root(store), DIGEST), 400)

    assert (4, 3, 1, 0) == sync_counts(sync(store))
    assert object_path(root(store), DIGEST).read_bytes() == object_path(copy_root(store), DIGEST).read_bytes()


class Stop(BaseException):
    """The process ends here."""


def test_a_stopped_sync_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stops, the next one finishes; nothing half is ever in the copy."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        put_many(store, 30)
        store.add_copy(str(tmp_path / "copy"))
        ((_copy, place_),) = store.copies()
        real, puts = LocalBackend.put, []

        def put(backend: LocalBackend, key: str, data: io.BufferedReader, *, size: int) -> str:
            puts.append(key)
            if len(puts) > 10 and key.startswith("objects/"):
                raise Stop
            return real(backend, key, data, size=size)

        with monkeypatch.context() as patch:
            patch.setattr(LocalBackend, "put", put)
            with pytest.raises(Stop):
                sync(store)
        stopped = objects(tmp_path / "copy")
        report = sync(store)

        assert 0 < len(stopped) < 30
        assert (30, 0) == (report.objects, report.failed)
        assert objects(tmp_path / "store") == objects(tmp_path / "copy")
        assert place_.url == str(tmp_path / "copy")


def test_one_objects_failure_is_no_others(tmp_path: Path) -> None:
    """A damaged object that no copy has is counted and told; all others are copied."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        digests = put_many(store, 5)
        flip(object_path(tmp_path / "store", digests[2]), 500)
        store.add_copy(str(tmp_path / "copy"))

        report = sync(store)

        assert ((5, 0, 4, 1), False) == (sync_counts(report), report.complete)
        assert digests[2] in report.problems[0]
        assert sorted({*digests} - {digests[2]}) == objects(tmp_path / "copy")


def test_a_copy_that_is_down_does_not_stop_the_others(store: BlobStore, tmp_path: Path) -> None:
    """Each copy is brought up to date for itself."""
    store.add_copy(str(tmp_path / "other"))
    put_many(store, 1, seed="new")
    copy_root(store).rename(tmp_path / "gone")
    copy_root(store).write_text("a file now")

    with BlobStore.open(root(store)) as again:
        report = sync(again)

    assert not report.complete
    assert objects(root(store)) == objects(tmp_path / "other")


def another_store(path: Path) -> None:
    """A store of its own."""
    BlobStore.create(path)[0].close()


def other_things(path: Path) -> None:
    """A directory with somebody's files."""
    path.mkdir()
    (path / "thesis.txt").write_text("please keep")


@pytest.mark.parametrize(
    ("prepare", "words"), [(another_store, "holds another store"), (other_things, "is no blob store")]
)
def test_a_place_with_other_things_is_refused(
    store: BlobStore, tmp_path: Path, prepare: Callable[[Path], None], words: str
) -> None:
    """A copy is an empty place or a copy of this store already; what is refused stays as it was."""
    prepare(tmp_path / "other")
    before = tree(tmp_path / "other")

    with pytest.raises(StoreError, match=words):
        store.add_copy(str(tmp_path / "other"))

    assert before == tree(tmp_path / "other")
    assert 1 == len(store.copies())


@pytest.mark.parametrize("form", ["{path}", "file://{path}", "{path}/", "{path}/../store"])
def test_a_store_is_no_copy_of_itself(store: BlobStore, form: str) -> None:
    """By whatever spelling, a copy is another place."""
    with pytest.raises(StoreError, match="the store itself"):
        store.add_copy(form.format(path=root(store)))


def test_a_copy_is_declared_once(store: BlobStore, tmp_path: Path) -> None:
    """Adding the same place again changes nothing but its entry."""
    store.add_copy(str(tmp_path / "copy"))

    assert [str(tmp_path / "copy")] == [copy.url for copy, _place in store.copies()]
    assert (4, 4, 0, 0) == sync_counts(sync(store))


def test_a_damaged_entry_is_told(store: BlobStore) -> None:
    """An entry that does not describe a copy is an error that names it."""
    (entry,) = (root(store) / "copies").iterdir()
    entry.write_text(json.dumps({"id": 5}))
    with BlobStore.open(root(store)) as again, pytest.raises(StoreFormatError, match="does not describe a copy"):
        again.copies()


def lose(path: Path) -> None:
    """The object is gone."""
    path.unlink()


def damage(path: Path) -> None:
    """The object has a flipped bit."""
    flip(path, 500)


def truncate(path: Path) -> None:
    """The object is cut short."""
    path.write_bytes(path.read_bytes()[:200])


@pytest.mark.parametrize("trouble", [lose, damage, truncate])
@pytest.mark.parametrize(
    "read", [lambda store: store.read(DIGEST), lambda store: b"".join(store.chunks(DIGEST))], ids=["read", "chunks"]
)
def test_reading_falls_through_to_the_copy(
    store: BlobStore, trouble: Callable[[Path], None], read: Callable[[BlobStore], bytes]
) -> None:
    """A blob whose own object is missing or bad is read from the copy, verified; what was bad is in quarantine."""
    trouble(object_path(root(store), DIGEST))

    assert DATA == read(store)
    found = [path.name.partition(".")[0] for path in (root(store) / "quarantine").glob("*")]
    assert ([] if trouble is lose else [DIGEST]) == found


@pytest.mark.parametrize("trouble", [damage, truncate])
def test_a_bad_object_is_healed_by_reading(store: BlobStore, trouble: Callable[[Path], None]) -> None:
    """After the copy has given a good object it lies where the bad one was, and the blob is live."""
    good = object_path(root(store), DIGEST).read_bytes()
    trouble(object_path(root(store), DIGEST))

    assert DATA == store.read(DIGEST)
    assert good == object_path(root(store), DIGEST).read_bytes()
    row = store.catalog.get(DIGEST)
    assert row is not None
    assert (State.LIVE, len(DATA), len(good), len(good)) == (row.state, row.size, row.stored_size, row.held)


def test_a_store_that_does_not_answer_is_read_from_the_copy(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the store itself does not answer, the copy does."""
    store.copies()
    real = LocalBackend.open

    def open_(backend: LocalBackend, key: str) -> object:
        if backend is store.backend and key == object_key(DIGEST):
            raise StoreUnavailableError("EIO")
        return real(backend, key)

    monkeypatch.setattr(LocalBackend, "open", open_)

    assert DATA == store.read(DIGEST)


def test_no_answer_is_never_missing(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the copy has nothing either, a store that did not answer is what is told."""
    store.copies()
    object_path(copy_root(store), DIGEST).unlink()
    real = LocalBackend.open

    def open_(backend: LocalBackend, key: str) -> object:
        if backend is store.backend and key == object_key(DIGEST):
            raise StoreUnavailableError("EIO")
        return real(backend, key)

    monkeypatch.setattr(LocalBackend, "open", open_)

    with pytest.raises(StoreUnavailableError, match="EIO"):
        store.read(DIGEST)


def test_bad_everywhere_is_corrupt(store: BlobStore) -> None:
    """If every place has a damaged object that is the error, and nothing is given out."""
    damage(object_path(root(store), DIGEST))
    damage(object_path(copy_root(store), DIGEST))

    with pytest.raises(BlobCorruptError):
        store.read(DIGEST)


def test_a_resolver_reads_from_the_copy(store: BlobStore) -> None:
    """A host's resolver falls through as the store does."""
    lose(object_path(root(store), DIGEST))

    with Resolver(root(store)) as resolver:
        assert DATA == resolver.read(DIGEST)


def test_heals_only_from_a_good_copy(store: BlobStore) -> None:
    """A bad copy does not come in; without a good one nothing is healed."""
    lose(object_path(root(store), DIGEST))
    damage(object_path(copy_root(store), DIGEST))

    assert not heal_from_copies(store, DIGEST)
    assert not object_path(root(store), DIGEST).exists()
    assert [] == list((root(store) / "staging").glob("copy-*"))


def test_a_sync_heals_the_store(store: BlobStore, tmp_path: Path) -> None:
    """An object that turns out bad when it is to be copied is healed from a copy that has it."""
    store.add_copy(str(tmp_path / "other"))
    damage(object_path(root(store), DIGEST))

    report = sync(store)
    again = sync(store)

    assert (1, True) == (report.failed, again.complete)
    assert DATA == b"".join(store.chunks(DIGEST))
    assert objects(root(store)) == objects(tmp_path / "other")


def test_a_prune_removes_from_the_copy_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a prune deletes for good goes from the copies, when it goes from the store and not before."""
    clock = Clock(monkeypatch)
    named = [payload(20_000, number) for number in range(4)]
    with BlobStore.create(tmp_path / "store")[0] as store:
        offloaded(tmp_path / "app.db", store, named)
        orphan = store.put([payload(3000, "orphan")]).digest
        store.add_copy(str(tmp_path / "copy"))
        sync(store)
        prune_pass(place(tmp_path / "store"))
        waiting = object_path(tmp_path / "copy", orphan).is_file()
        clock.wait(days=15)

        prune_pass(place(tmp_path / "store"))

        assert waiting
        assert sorted(map(digest_of, named)) == objects(tmp_path / "copy")
        with pytest.raises(BlobMissingError):
            store.read(orphan)


def test_a_copy_is_a_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the store is lost its copy opens as one, with the same id, resolves every ref, and prunes by its registry."""
    clock = Clock(monkeypatch)
    with BlobStore.create(tmp_path / "store")[0] as store:
        offloaded(tmp_path / "app.db", store, [payload(20_000, number) for number in range(4)])
        orphan, pinned = put_many(store, 2, size=3000)
        store.registry.pin(pinned, why="put")
        store.add_copy(str(tmp_path / "copy"))
        sync(store)
        identity = store.id
    (tmp_path / "store").rename(tmp_path / "lost")

    with pytest.raises(DeletionRefusedError, match="is a copy of the store"):
        prune_pass(place(tmp_path / "copy"))
    with BlobStore.open(tmp_path / "copy") as copy:
        assert identity == copy.id
        assert [] == unresolved(tmp_path / "app.db", tmp_path / "copy")
        assert (True, False) == (copy.promote(), copy.promote())
    first = prune_pass(place(tmp_path / "copy"))
    clock.wait(days=15)
    second = prune_pass(place(tmp_path / "copy"))

    assert first.report is not None
    assert second.report is not None
    assert (1, 1) == (first.report.condemned, second.report.deleted)
    assert pinned in objects(tmp_path / "copy")
    assert orphan not in objects(tmp_path / "copy")
    assert [] == unresolved(tmp_path / "app.db", tmp_path / "copy")


def test_a_relative_copy_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy that was named by a relative path is found from any directory."""
    monkeypatch.chdir(tmp_path)
    with BlobStore.create(tmp_path / "store")[0] as store:
        put_many(store, 1)
        store.add_copy("copy")
        sync(store)
    monkeypatch.chdir("/")
    with BlobStore.open(tmp_path / "store") as store:
        places: list[Backend] = [found for _copy, found in store.copies()]

        assert [str(tmp_path / "copy")] == [found.url for found in places]


def test_a_copy_that_is_not_mounted_is_no_copy(store: BlobStore, tmp_path: Path) -> None:
    """An empty directory in the place of a copy is neither filled nor trusted, and nothing in it is called missing."""
    copied = copy_root(store)
    assert sync(store).complete
    with store.catalog.transaction():
        store.catalog.set_held([(DIGEST, 0)])
    object_path(root(store), DIGEST).unlink()
    copied.rename(tmp_path / "away")
    copied.mkdir()

    with BlobStore.open(root(store)) as again:
        report = sync(again)
        with pytest.raises(StoreUnavailableError, match="mounted"):
            again.read(DIGEST)

        assert (False, []) == (report.complete, keepers_of(again))
    assert [] == list(copied.iterdir())


def test_a_store_by_another_name_proves_nothing(store: BlobStore, tmp_path: Path) -> None:
    """A copy that has become a link to the store itself is no keeper: evicting would drop the only object."""
    copied = copy_root(store)
    copied.rename(tmp_path / "away")
    copied.symlink_to(root(store))

    with BlobStore.open(root(store)) as again:
        assert [] == keepers_of(again)


@pytest.mark.parametrize(
    "url", ["memory://user:hunter2@host/x", "memory://host/x?account_key=hunter2", "local:///somewhere"]
)
def test_urls_that_cannot_be_copies_are_refused(store: BlobStore, url: str) -> None:
    """A secret is not kept and not repeated; a directory is written as a path."""
    with pytest.raises(UsageError) as caught:
        store.add_copy(url)

    assert "hunter2" not in str(caught.value)
    assert 1 == len(store.copies())


def test_a_bad_sector_falls_through_to_the_copy(store: BlobStore) -> None:
    """An object that cannot be read is no reason not to read the copy."""
    assert sync(store).complete
    path = object_path(root(store), DIGEST)
    path.unlink()
    path.symlink_to("/proc/self/mem")

    assert DATA == store.read(DIGEST)
