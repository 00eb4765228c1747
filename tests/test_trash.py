import contextlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocblob import BlobStore
from ocblob.backends.local import LocalBackend
from ocblob.backends.memory import MemoryBackend
from ocblob.errors import BlobExpiredError, BlobMissingError, ObjectNotFoundError, StoreUnavailableError
from ocblob.store import layout
from ocblob.store.catalog import State
from ocblob.store.claims import Claims
from ocblob.store.layout import get_json, new_generation, object_key, tombstone_key, trash_key
from ocblob.store.reader import Reader
from ocblob.store.survey import STUCK_S
from ocblob.store.trash import Item, Trash
from samples import payload
from stores import Clock, keys, listed, put_many, reconcile, remote_store

GENERATION = new_generation(1_767_571_200)
LATER = new_generation(1_767_571_300)
POLICY = "evict --expire --max-age 90d"


@pytest.fixture(params=["local", "remote"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    """A store with three blobs that nobody claims."""
    opened = (
        BlobStore.create(tmp_path / "store")[0]
        if request.param == "local"
        else remote_store(MemoryBackend(), tmp_path / "host", cache_bytes=0)
    )
    with opened:
        put_many(opened, 3)
        yield opened


def digests_of(store: BlobStore) -> list[str]:
    """Every blob that the catalog knows."""
    return [row.digest for row in store.catalog.blobs()]


def states(store: BlobStore) -> list[State]:
    """Their states, in the same order."""
    return [row.state for row in store.catalog.blobs()]


def everything(store: BlobStore) -> list[Item]:
    """All blobs, listed."""
    return listed(store, digests_of(store))


def condemned(store: BlobStore) -> list[Item]:
    """All blobs, in the trash."""
    return store.trash().condemn(everything(store), generation=GENERATION)


def mime(_item: Item) -> str:
    """What a tombstone says of the type."""
    return "image/png"


def blobs() -> list[bytes]:
    """What the store's three blobs hold."""
    return [payload(3000, (0, number)) for number in range(3)]


def assert_all_live(store: BlobStore) -> None:
    """Everything is where it was, reads, and a survey has nothing to say."""
    reconcile(store)
    digests = digests_of(store)
    assert [State.LIVE] * 3 == states(store)
    assert sorted(map(object_key, digests)) == keys(store.backend, layout.OBJECTS)
    assert sorted(blobs()) == sorted(map(store.read, digests))


def test_condemned_blobs_lie_in_the_trash_and_still_read(store: BlobStore) -> None:
    """Condemning moves objects, notes the generation, counts them by size, and keeps them readable."""
    before = everything(store)
    moved = store.trash().condemn(before, generation=GENERATION)
    totals = store.catalog.totals()

    assert [(item.digest, item.stored_size) for item in before] == [(item.digest, item.stored_size) for item in moved]
    assert [trash_key(GENERATION, item.digest) for item in before] == [item.key for item in moved]
    assert [item.version for item in moved] == [store.backend.stat(item.key).version for item in moved]
    assert [] == keys(store.backend, layout.OBJECTS)
    assert [(State.CONDEMNED, GENERATION)] * 3 == [(row.state, row.generation) for row in store.catalog.blobs()]
    assert (0, sum(item.stored_size for item in before)) == (totals.blobs, totals.condemned)
    assert [3000] * 3 == [store.reader.verify(item.digest) for item in before]


def test_revived_blobs_are_where_they_were(store: BlobStore) -> None:
    """Reviving undoes condemning, and says how many came back."""
    moved = condemned(store)

    assert 3 == store.trash().revive(moved)
    assert [] == keys(store.backend, layout.TRASH)
    assert_all_live(store)


def test_reviving_again_changes_nothing(store: BlobStore) -> None:
    """A blob that is live already stays as it is, and is not counted."""
    moved = condemned(store)
    store.trash().revive(moved)

    assert 0 == store.trash().revive(moved)
    assert_all_live(store)


def test_a_blob_under_deletion_is_not_revived(store: BlobStore) -> None:
    """What a deleter has begun to remove is not moved under its hands; a put starts afresh."""
    moved = condemned(store)
    with store.catalog.transaction():
        assert store.catalog.change_state(moved[0].digest, State.CONDEMNED, State.DELETING)

    assert 2 == store.trash().revive(moved)
    assert moved[0].key == store.reader.find(moved[0].digest)


def test_deleted_blobs_are_gone(store: BlobStore) -> None:
    """Deleting removes objects and rows, tells who holds something else of them, and returns what is gone."""
    moved = condemned(store)
    told: list[str] = []

    gone = store.trash().delete(moved, also=told.extend)

    assert moved == gone
    assert sorted(item.digest for item in moved) == sorted(told)
    assert ([], []) == (digests_of(store), keys(store.backend, layout.TRASH))
    for item in moved:
        with pytest.raises(BlobMissingError):
            store.read(item.digest)


def test_only_what_is_condemned_is_deleted(store: BlobStore) -> None:
    """A live blob is not deleted, whatever the deleter believes."""
    assert [] == store.trash().delete(everything(store))
    assert_all_live(store)


def test_expired_blobs_leave_a_tombstone(store: BlobStore) -> None:
    """Expiring removes last copies; reading them says when and why, and what it was."""
    items = everything(store)

    gone = store.trash().expire(items, generation=GENERATION, policy=POLICY, mime=mime)

    assert [(item.digest, item.stored_size) for item in items] == [(item.digest, item.stored_size) for item in gone]
    assert ([], []) == (digests_of(store), [*keys(store.backend, "objects/"), *keys(store.backend, "trash/")])
    for item in items:
        with pytest.raises(BlobExpiredError, match=POLICY) as caught:
            store.read(item.digest)
        tombstone = caught.value.tombstone
        assert (item.digest, 3000, "image/png", POLICY) == tuple(
            tombstone[name] for name in ("digest", "size", "mime", "policy")
        )


@pytest.mark.parametrize("step", ["condemn", "delete", "expire"])
def test_a_standing_claim_refuses_every_step(store: BlobStore, step: str) -> None:
    """A blob that a writer is about to name stays as it is; the others go on."""
    items = everything(store) if step != "delete" else condemned(store)
    with store.catalog.transaction():
        store.catalog.set_claims([items[1].digest], writer="somebody", until=2**40)
    trash = store.trash()

    if step == "condemn":
        done = trash.condemn(items, generation=GENERATION)
    elif step == "delete":
        done = trash.delete(items)
    else:
        done = trash.expire(items, generation=GENERATION, policy=POLICY, mime=mime)

    assert [items[0].digest, items[2].digest] == [item.digest for item in done]
    assert 3000 == store.reader.verify(items[1].digest)
    with pytest.raises(ObjectNotFoundError):
        store.backend.stat(tombstone_key(items[1].digest))


def test_a_claim_that_has_ended_refuses_nothing(store: BlobStore) -> None:
    """No dead writer keeps a blob for ever."""
    items = everything(store)
    with store.catalog.transaction():
        store.catalog.set_claims([item.digest for item in items], writer="dead", until=1)

    assert 3 == len(store.trash().condemn(items, generation=GENERATION))


def test_a_put_between_listing_and_condemning_is_not_hit(store: BlobStore) -> None:
    """A deleter moves only the very object that it listed: one that was put again meanwhile stays and is live."""
    items = everything(store)
    target = items[0]
    path = object_key(target.digest)
    with store.backend.open(path) as file:
        data = file.read()
    with io.BytesIO(data) as file:
        store.backend.put(path, file, size=len(data))

    moved = store.trash().condemn(items, generation=GENERATION)

    assert [item.digest for item in items[1:]] == [item.digest for item in moved]
    assert path == store.reader.find(target.digest)
    assert State.LIVE is state_of(store, target.digest)


def test_a_put_between_listing_and_deleting_is_not_hit(store: BlobStore) -> None:
    """A blob that was brought back and condemned again by somebody else is not removed by an old list."""
    old = condemned(store)
    store.trash().revive(old)
    again = store.trash().condemn(everything(store), generation=LATER)

    store.trash().delete(old)

    assert sorted(item.key for item in again) == keys(store.backend, layout.TRASH)
    assert [3000] * 3 == [store.reader.verify(item.digest) for item in again]


def test_a_put_removes_the_tombstone(store: BlobStore) -> None:
    """A blob that is put again after it expired reads again, and nothing says any more that it is gone."""
    items = everything(store)
    store.trash().expire(items, generation=GENERATION, policy=POLICY, mime=mime)
    for blob in blobs():
        assert store.put([blob]).new

    assert [] == keys(store.backend, layout.TOMBSTONES)
    assert sorted(blobs()) == sorted(map(store.read, digests_of(store)))


def test_an_object_wins_over_a_tombstone(store: BlobStore) -> None:
    """A tombstone beside an object, as a crash may leave it, hides nothing."""
    (digest, *_) = digests_of(store)
    layout.put_json(store.backend, tombstone_key(digest), {"digest": digest, "policy": POLICY})

    assert store.read(digest) in blobs()


def test_the_tombstone_is_durable_first(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """No object is touched before each of its batch has its tombstone."""
    seen: list[int] = []
    real = Trash._moved

    def moved(trash: Trash, item: Item, target: str) -> str | None:
        seen.append(len(keys(trash._backend, layout.TOMBSTONES)))
        return real(trash, item, target)

    monkeypatch.setattr(Trash, "_moved", moved)
    store.trash().expire(everything(store), generation=GENERATION, policy=POLICY, mime=mime)

    assert [3, 3, 3] == seen


def test_a_blob_that_is_put_again_while_it_expires_has_no_tombstone(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put in the middle of an expiry wins: the blob is there, and no tombstone stands beside it."""
    real = Trash._removed
    digest = store.put([blobs()[1]]).digest

    def removed(trash: Trash, item: Item, key: str) -> bool:
        done = real(trash, item, key)
        if item.digest == digest:
            store.put([blobs()[1]])
        return done

    monkeypatch.setattr(Trash, "_removed", removed)
    gone = store.trash().expire(everything(store), generation=GENERATION, policy=POLICY, mime=mime)

    assert 2 == len(gone)
    assert blobs()[1] == store.read(digest)
    assert [tombstone_key(item.digest) for item in sorted(gone, key=lambda item: item.digest)] == keys(
        store.backend, layout.TOMBSTONES
    )


def read_only(store: BlobStore, digest: str) -> bytes:
    """A blob, by a reader that changes nothing."""
    return Reader(store.backend).read(digest)


def expired(store: BlobStore, digest: str) -> bool:
    """Whether a reader says that the blob expired."""
    try:
        Reader(store.backend).verify(digest)
    except BlobExpiredError:
        return True
    return False


def state_of(store: BlobStore, digest: str) -> State | None:
    """One blob's state."""
    row = store.catalog.get(digest)
    return None if row is None else row.state


class Crash(BaseException):
    """The process ends here."""


def crashes(monkeypatch: pytest.MonkeyPatch, backend: object, name: str, *, number: int) -> None:
    """From its n-th call on, one of the backend's methods raises."""
    real = getattr(backend, name)
    calls = 0

    def call(*arguments: object, **named: object) -> object:
        nonlocal calls
        calls += 1
        if calls >= number:
            raise Crash
        return real(*arguments, **named)

    monkeypatch.setattr(backend, name, call)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("name", ["move", "stat", "sync"])
def test_condemning_may_be_repeated_after_a_crash(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """Wherever it ends, every blob still reads, and the next round finishes the work."""
    clock = Clock(monkeypatch)
    items = everything(store)
    with monkeypatch.context() as patch:
        crashes(patch, store.backend, name, number=number if name != "sync" else 1)
        with pytest.raises(Crash):
            store.trash().condemn(items, generation=GENERATION)
    assert sorted(blobs()) == sorted(read_only(store, item.digest) for item in items)

    clock.wait(seconds=STUCK_S + 2)
    reconcile(store)
    store.trash().condemn([item for item in everything(store) if item.key.startswith("objects/")], generation=LATER)

    assert [] == keys(store.backend, layout.OBJECTS)
    assert 3 == len(keys(store.backend, layout.TRASH))
    assert [State.CONDEMNED] * 3 == states(store)
    assert 3 == store.trash().revive(everything(store))
    assert_all_live(store)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("name", ["move", "sync"])
def test_reviving_may_be_repeated_after_a_crash(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """Wherever it ends, every blob still reads, and the next revival finishes the work."""
    items = condemned(store)
    with monkeypatch.context() as patch:
        crashes(patch, store.backend, name, number=number if name != "sync" else 1)
        with pytest.raises(Crash):
            store.trash().revive(items)
    assert sorted(blobs()) == sorted(read_only(store, item.digest) for item in items)

    reconcile(store)
    store.trash().revive([item for item in everything(store) if item.key.startswith("trash/")])

    assert_all_live(store)


@pytest.mark.parametrize("number", [1, 2, 3])
@pytest.mark.parametrize("name", ["delete", "sync"])
def test_deleting_may_be_repeated_after_a_crash(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """What a dead deleter left is taken up by a later look, but not before it is surely dead."""
    clock = Clock(monkeypatch)
    items = condemned(store)
    with monkeypatch.context() as patch:
        crashes(patch, store.backend, name, number=number if name != "sync" else 1)
        with pytest.raises(Crash):
            store.trash().delete(items)

    reconcile(store)
    soon = states(store)
    clock.wait(seconds=STUCK_S + 2)
    reconcile(store)
    left = everything(store)
    gone = store.trash().delete(left)

    # A remote store's catalog forgets at once what is not there.
    assert {State.DELETING} >= set(soon)
    assert left == gone
    assert ([], []) == (digests_of(store), keys(store.backend, layout.TRASH))


@pytest.mark.parametrize("number", [1, 2, 3, 4, 6])
@pytest.mark.parametrize("name", ["put", "move", "delete", "sync"])
def test_expiring_may_be_repeated_after_a_crash(
    store: BlobStore, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    """Wherever it ends, a blob that does not read says that it expired, and one that lies in the trash comes back."""
    clock = Clock(monkeypatch)
    items = everything(store)
    with monkeypatch.context() as patch, contextlib.suppress(Crash):
        crashes(patch, store.backend, name, number=number)
        store.trash().expire(items, generation=GENERATION, policy=POLICY, mime=mime)

    assert {True} == {expired(store, item.digest) or read_only(store, item.digest) in blobs() for item in items}

    clock.wait(seconds=STUCK_S + 2)
    reconcile(store)
    for blob in blobs():
        store.put([blob])
    # On a shared store another host might be about to expire what was hit; an object wins over its tombstone.
    assert store.remote or [] == keys(store.backend, layout.TOMBSTONES)
    assert_all_live(store)


def test_a_deleter_that_is_at_work_is_left_alone(store: BlobStore) -> None:
    """A look at the store does not touch what another process is deleting just now."""
    items = condemned(store)
    with store.catalog.transaction():
        for item in items:
            store.catalog.change_state(item.digest, State.CONDEMNED, State.DELETING)

    reconcile(store)

    assert [State.DELETING] * 3 == states(store)


def test_a_reader_brings_a_condemned_blob_back(store: BlobStore) -> None:
    """Who reads a blob out of the trash needs it: it is live again, and its object where it was."""
    items = condemned(store)
    assert sorted(blobs()) == sorted(store.read(item.digest) for item in items)

    assert [] == keys(store.backend, layout.TRASH)
    assert_all_live(store)


def test_a_place_that_fails_ends_the_round(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the place is told; nothing is lost, and the next round goes on."""
    items = everything(store)

    def unavailable(*_arguments: object, **_named: object) -> bool:
        raise StoreUnavailableError("503")

    with monkeypatch.context() as patch:
        patch.setattr(store.backend, "move", unavailable)
        with pytest.raises(StoreUnavailableError, match="503"):
            store.trash().condemn(items, generation=GENERATION)
    reconcile(store)

    assert sorted(blobs()) == sorted(read_only(store, item.digest) for item in items)


def test_a_claim_of_this_process_counts_too(store: BlobStore) -> None:
    """A writer's claim is refused to the deleter of the same process as to any other."""
    claims = Claims(store.catalog)
    claims.claim(digests_of(store))

    refused = store.trash().condemn(everything(store), generation=GENERATION)
    claims.release()

    assert [] == refused
    assert 3 == len(store.trash().condemn(everything(store), generation=GENERATION))


def test_no_blobs_are_no_work(store: BlobStore) -> None:
    """Every step takes an empty list."""
    trash = store.trash()

    assert ([], 0, [], []) == (
        trash.condemn([], generation=GENERATION),
        trash.revive([]),
        trash.delete([]),
        trash.expire([], generation=GENERATION, policy=POLICY, mime=mime),
    )


def test_emptied_generations_are_tidied(tmp_path: Path) -> None:
    """Directories that a deletion left empty go; those that hold something stay."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        put_many(store, 3)
        one, *others = condemned(store)
        store.trash().delete(others)
        store.tidy_trash()

        assert isinstance(store.backend, LocalBackend)
        assert [GENERATION] == store.backend.children(layout.TRASH)
        store.trash().delete([one])
        store.tidy_trash()
        assert [] == store.backend.children(layout.TRASH)


def test_get_json_of_a_tombstone(store: BlobStore) -> None:
    """A tombstone is a small JSON object under the blob's digest."""
    items = everything(store)[:1]
    store.trash().expire(items, generation=GENERATION, policy=POLICY, mime=mime)

    found = get_json(store.backend, tombstone_key(items[0].digest))

    assert {"digest", "size", "mime", "when", "policy"} == found.keys()


def test_a_blob_that_was_condemned_anew_is_not_deleted_by_an_older_round(store: BlobStore) -> None:
    """A round that listed it in one generation leaves it alone in another, copies and catalog too."""
    first = store.trash().condemn(everything(store), generation=GENERATION)
    store.trash().revive(first)
    again = store.trash().condemn(everything(store), generation=LATER)
    told: list[str] = []

    gone = store.trash().delete(first, also=told.extend)

    assert ([], []) == (gone, told)
    assert sorted(item.key for item in again) == keys(store.backend, layout.TRASH)
    assert {True} == {store.catalog.get(item.digest) is not None for item in again}
