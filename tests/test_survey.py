from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from ocblob import BlobStore
from ocblob.backends.memory import MemoryBackend
from ocblob.marks import Marks
from ocblob.store.catalog import State
from ocblob.store.layout import generation_time, new_generation, object_key, trash_key
from ocblob.store.survey import LISTED_ROWS, STUCK_S, Survey
from samples import object_path
from stores import Clock, listed, put_many, reconcile, remote_store

GENERATION = new_generation(1_767_571_200)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store with five blobs."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        put_many(store, 5)
        yield store


def digests(store: BlobStore) -> list[str]:
    """What the catalog knows, ordered."""
    return [row.digest for row in store.catalog.blobs()]


def set_state(store: BlobStore, digest: str, new: State) -> None:
    """Put a live blob into a state."""
    with store.catalog.transaction():
        assert store.catalog.change_state(digest, State.LIVE, new, generation=GENERATION)


def state(store: BlobStore, digest: str) -> State | None:
    """A blob's state."""
    row = store.catalog.get(digest)
    return None if row is None else row.state


def test_lists_what_is_there(store: BlobStore) -> None:
    """Live objects are listed in the order of digests with their sizes, and from behind any of them on."""
    with Survey(store.catalog) as survey:
        survey.take(store.backend)
        found = list(survey.objects())

        assert list(store.objects()) == found
        assert found[3:] == list(survey.objects(after=found[2][0]))
        assert (sum(size for _digest, size in found), 0) == survey.totals()


def test_lists_more_than_a_page(tmp_path: Path) -> None:
    """A store of more objects than a page holds is listed whole."""
    backend = MemoryBackend()
    with remote_store(backend, tmp_path / "host") as store:
        (digest,) = put_many(store, 1)
        data, stat = backend._objects[object_key(digest)]
        names = [f"{number:064x}" for number in range(LISTED_ROWS + 10)]
        backend._objects |= {object_key(name): (data, replace(stat, key=object_key(name))) for name in names}
        with Survey(store.catalog) as survey:
            survey.take(backend)

            assert [*names, digest] == [name for name, _size in survey.objects()]


def test_vouches_for_what_catalog_and_listing_agree_on(store: BlobStore) -> None:
    """A live blob of the size that a ref says; not another size, state, object size, or an unknown one."""
    good, condemned, short, gone, forgotten = digests(store)
    set_state(store, condemned, State.CONDEMNED)
    root = Path(store.url)
    object_path(root, short).write_bytes(object_path(root, short).read_bytes()[:-1])
    object_path(root, gone).unlink()
    with store.catalog.transaction():
        store.catalog.remove(forgotten)

    with Survey(store.catalog) as survey:
        survey.take(store.backend)

        assert [True, False, False, False, False] == [
            survey.vouches(digest, 3000) for digest in (good, condemned, short, gone, forgotten)
        ]
        assert not survey.vouches(good, 3001)
        assert not survey.vouches("ab" * 32, 3000)


def test_unknown_objects_are_entered(store: BlobStore) -> None:
    """An object that the catalog does not know is live from then on, of no known size."""
    digest, *_ = digests(store)
    with store.catalog.transaction():
        store.catalog.remove(digest)

    reconcile(store)

    row = store.catalog.get(digest)
    assert row is not None
    (_, stored_size), *_ = store.objects()
    assert (State.LIVE, 0, stored_size, stored_size) == (row.state, row.size, row.stored_size, row.held)


def test_a_blob_that_lies_in_the_trash_only_is_condemned(store: BlobStore) -> None:
    """Wherever the catalog believed it, a blob whose only object is in the trash is condemned."""
    known, unknown, claimed, *_ = digests(store)
    for item in listed(store, [known, unknown, claimed]):
        store.backend.move(item.key, trash_key(GENERATION, item.digest))
    with store.catalog.transaction():
        store.catalog.remove(unknown)
        store.catalog.set_claims([claimed], writer="somebody", until=2**40)

    reconcile(store)

    assert [State.CONDEMNED, State.CONDEMNED, State.LIVE] == [
        state(store, digest) for digest in (known, unknown, claimed)
    ]


@pytest.mark.parametrize("old", [State.CONDEMNED, State.DELETING])
def test_what_a_dead_deleter_had_not_moved_is_live_again(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch, old: State
) -> None:
    """A blob that a deleter began with, and whose object lies where it was, is live once the deleter is surely dead."""
    clock = Clock(monkeypatch)
    digest, *_ = digests(store)
    set_state(store, digest, old)
    reconcile(store)
    soon = state(store, digest)
    clock.wait(seconds=STUCK_S + 2)

    reconcile(store)

    assert (old, State.LIVE) == (soon, state(store, digest))


def test_what_a_dead_deleter_had_removed_is_forgotten(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that was being deleted and has no object left goes out of the catalog, unless somebody claims it."""
    clock = Clock(monkeypatch)
    gone, claimed, *_ = digests(store)
    for item in listed(store, [gone, claimed]):
        store.backend.delete(item.key)
        set_state(store, item.digest, State.DELETING)
    with store.catalog.transaction():
        store.catalog.set_claims([claimed], writer="somebody", until=2**40)
    reconcile(store)
    soon = state(store, gone)
    clock.wait(seconds=STUCK_S + 2)

    reconcile(store)

    assert (State.DELETING, None, State.DELETING) == (soon, state(store, gone), state(store, claimed))


def test_a_local_store_keeps_rows_without_objects(store: BlobStore) -> None:
    """A blob whose object is gone stays in a local store's catalog: a copy may have it, and check must tell."""
    digest, *_ = digests(store)
    object_path(Path(store.url), digest).unlink()

    reconcile(store)

    assert State.LIVE is state(store, digest)


def test_a_remote_stores_catalog_forgets_what_is_gone(tmp_path: Path) -> None:
    """A host's memory of what another host pruned goes, unless its own tier has it or somebody claims it."""
    with remote_store(MemoryBackend(), tmp_path / "host") as store:
        gone, held, claimed = put_many(store, 3)
        for digest in (gone, held, claimed):
            store.backend.delete(object_key(digest))
        with store.catalog.transaction():
            store.catalog.set_held([(gone, 0), (claimed, 0)])
            store.catalog.set_claims([claimed], writer="somebody", until=2**40)

        reconcile(store)

        assert [None, State.LIVE, State.LIVE] == [state(store, digest) for digest in (gone, held, claimed)]


def test_choices_are_read_in_order_and_batches(store: BlobStore) -> None:
    """What a plan chose comes back as it was ordered, in batches; a new choice replaces the old one."""
    with Survey(store.catalog) as survey:
        survey.take(store.backend)
        select = "SELECT digest, 'k' AS key, stored_size, version FROM temp.live ORDER BY digest DESC"
        survey.choose("try", f"{select} LIMIT 1")
        count, size = survey.choose("try", select)
        batches = list(survey.chosen("try", batch=2))

        assert (5, survey.totals()[0]) == (count, size)
        assert [2, 2, 1] == [len(batch) for batch in batches]
        assert digests(store)[::-1] == [item.digest for batch in batches for item in batch]
        assert [] == list(survey.chosen("other", batch=2))


def test_marks_are_attached_for_a_while(store: BlobStore) -> None:
    """Marks stand beside the listings inside the block, and others may be attached after it."""
    digest, *_ = digests(store)
    with closing(Marks()) as marks, Survey(store.catalog) as survey:
        marks.add_digests([bytes.fromhex(digest)])
        for _again in range(2):
            with survey.attached(marks.path):
                assert [(1,)] == survey.db.execute("SELECT count(*) FROM marks.mark").fetchall()


@pytest.mark.parametrize("name", ["20260101-000000", "", "0069a2c300-1234567", "0069A2C300-12345678", "x" * 19])
def test_foreign_generations_have_no_time(name: str) -> None:
    """A name in the trash that is not one of ours is never judged by its age."""
    assert generation_time(name) is None


def test_generations_tell_when_they_began() -> None:
    """A generation's name says the second in which it was begun, and sorts by it."""
    names = [new_generation(at) for at in (1_000_000, 1_767_571_200.9, 2_000_000_000)]

    assert [1_000_000, 1_767_571_200, 2_000_000_000] == [generation_time(name) for name in names]
    assert sorted(names) == names
