import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pytest

from ocblob import BlobStore
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.digest import digest_of
from ocblob.errors import ClaimLostError
from ocblob.offload import offload
from ocblob.store.catalog import State
from ocblob.store.claims import Claims
from ocblob.store.layout import new_generation
from ocblob.store.trash import Item
from ocblob.store.writer import Batch, Receipt, Wanted, Writer
from samples import BODY, EVERYTHING, bodies, cell, make_database, object_path, payload, unresolved

DATA = payload(20_000)
DIGEST = digest_of(DATA)
GENERATION = new_generation(1_767_571_200)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store with one blob that nobody claims."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        store.put([DATA])
        yield store


def state(store: BlobStore) -> State | None:
    """The blob's state in the catalog."""
    row = store.catalog.get(DIGEST)
    return None if row is None else row.state


def set_state(store: BlobStore, new: State | None) -> None:
    """Put the blob into a state, or forget it."""
    with store.catalog.transaction():
        if new is None:
            store.catalog.remove(DIGEST)
        else:
            store.catalog.change_state(DIGEST, State.LIVE, new, generation=GENERATION)


def expire_claims(store: BlobStore) -> None:
    """Let an hour pass."""
    with store.catalog.transaction():
        store.catalog._db.execute("UPDATE claim SET until=1")


def root(store: BlobStore) -> Path:
    """The store's directory."""
    return Path(store.url)


def listed(store: BlobStore) -> Item:
    """The blob as a deleter lists it."""
    key = store.reader.find(DIGEST)
    assert key is not None
    stat = store.backend.stat(key)
    return Item(DIGEST, stat.stored_size, stat.version, key)


def to_trash(store: BlobStore) -> list[Item]:
    """Condemn the blob, as a prune does it."""
    return store.trash().condemn([listed(store)], generation=GENERATION)


def delete(store: BlobStore) -> None:
    """Condemn and delete the blob without any grace."""
    condemned = to_trash(store)
    assert condemned == store.trash().delete(condemned)


def wanted() -> Wanted:
    """The blob, and where to get it."""
    return Wanted(DIGEST, len(DATA), lambda: iter([DATA]))


@pytest.mark.parametrize(
    ("old", "expected"),
    [
        (State.LIVE, State.LIVE),
        (State.CONDEMNED, State.LIVE),
        (State.DELETING, State.LIVE),
        (State.CORRUPT, State.CORRUPT),
        (None, None),
    ],
)
def test_a_claim_brings_blobs_back_from_a_deleter(store: BlobStore, old: State | None, expected: State | None) -> None:
    """Claiming makes a condemned or half deleted blob live again, to be looked at anew; any other stays as it is."""
    set_state(store, old)

    claimed = Claims(store.catalog).claim([DIGEST])

    assert expected == state(store)
    assert not claimed[DIGEST].verified
    assert time.time() < store.catalog.claimed_until(DIGEST)


def test_a_standing_claim_is_confirmed(store: BlobStore) -> None:
    """A live blob with a claim of this writer's own passes; nothing is raised for no blobs at all."""
    writer = Claims(store.catalog)
    writer.claim([DIGEST])

    writer.confirm([DIGEST])
    writer.confirm([])

    assert State.LIVE is state(store)


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(expire_claims, id="the claim has ended"),
        pytest.param(lambda store: set_state(store, State.CONDEMNED), id="condemned"),
        pytest.param(lambda store: set_state(store, State.DELETING), id="deleting"),
        pytest.param(lambda store: set_state(store, State.CORRUPT), id="corrupt"),
        pytest.param(lambda store: set_state(store, None), id="forgotten"),
        pytest.param(lambda store: store.catalog.drop_claims(writer=".", ended_before=2**40), id="dropped"),
    ],
)
def test_a_lost_claim_is_not_confirmed(store: BlobStore, loss: Callable[[BlobStore], None]) -> None:
    """Whatever took the blob or the claim away, the writer learns of it before the row is written."""
    writer = Claims(store.catalog)
    writer.claim([DIGEST])
    loss(store)

    with pytest.raises(ClaimLostError, match=DIGEST):
        writer.confirm([DIGEST])


def test_another_writers_claim_is_not_ours(store: BlobStore) -> None:
    """A claim counts for the writer that made it."""
    Claims(store.catalog).claim([DIGEST])

    with pytest.raises(ClaimLostError):
        Claims(store.catalog).confirm([DIGEST])


def test_a_released_claim_lets_deleters_go_on(store: BlobStore) -> None:
    """Releasing ends this writer's claims and no other's."""
    one, other = Claims(store.catalog), Claims(store.catalog)
    one.claim([DIGEST])
    other.claim([DIGEST])
    one.release()
    refused = not to_trash(store)
    other.release()

    assert refused
    assert [DIGEST] == [item.digest for item in to_trash(store)]


def test_a_put_takes_a_blob_out_of_the_trash(store: BlobStore) -> None:
    """A condemned blob that is put again is live, its object back in its place, without a second copy."""
    to_trash(store)

    stored = store.put([DATA])

    assert not stored.new
    assert State.LIVE is state(store)
    assert object_path(root(store), DIGEST).is_file()
    assert [] == [path for path in (root(store) / "trash").rglob("*") if path.is_file()]
    assert DATA == store.read(DIGEST)


@pytest.mark.parametrize("removed", ["before", "after"])
def test_a_put_during_a_deletion_starts_afresh(store: BlobStore, monkeypatch: pytest.MonkeyPatch, removed: str) -> None:
    """A blob that is put while a deleter is at its object stays, whoever is first there."""
    condemned = to_trash(store)
    trash = store.trash()
    real = trash._removed
    puts: list[bool] = []

    def remove(item: Item, key: str) -> bool:
        if removed == "before":
            assert real(item, key)
        puts.append(store.put([DATA]).new)
        return removed == "before" or real(item, key)

    monkeypatch.setattr(trash, "_removed", remove)
    gone = trash.delete(condemned)

    assert ([removed == "before"], []) == (puts, gone)
    assert State.LIVE is state(store)
    assert DATA == store.read(DIGEST)


def test_a_writer_that_slept_does_not_undo_a_deletion(store: BlobStore) -> None:
    """A batch whose claim ended while its blob went to a deleter fails, and never makes the blob live again."""
    with store.writer() as writer:
        batch = writer.begin([wanted()])
        writer.settle()
        expire_claims(store)
        set_state(store, State.CONDEMNED)

        with pytest.raises(ClaimLostError):
            confirmed(writer, batch)

        assert State.CONDEMNED is state(store)


def test_a_batch_that_lost_its_claim_can_be_done_again(store: BlobStore) -> None:
    """After a deletion the same writer puts the blob afresh, although it had verified it before."""
    with store.writer() as writer:
        confirmed(writer, writer.begin([wanted()]))
        expire_claims(store)
        delete(store)
        with pytest.raises(ClaimLostError):
            writer.confirm([DIGEST])

        receipt = confirmed(writer, writer.begin([wanted()]))

        assert receipt.stored[DIGEST].new
        assert DATA == store.read(DIGEST)


def confirmed(writer: Writer, batch: Batch) -> Receipt:
    """Finish a batch and confirm it, as it is done before a row is written."""
    receipt = batch.finish()
    writer.confirm(receipt.stored)
    return receipt


def test_offload_does_a_batch_again_when_a_claim_was_lost(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that a deleter took just before the swap is put again before the row names it."""
    path = make_database(tmp_path / "app.db", [cell(DATA), cell(payload(9000, 1))])
    real = Writer.confirm
    lost: list[Collection[str]] = []

    def confirm(writer: Writer, digests: Collection[str]) -> None:
        if not lost:
            lost.append(digests)
            expire_claims(store)
            delete(store)
        real(writer, digests)

    monkeypatch.setattr(Writer, "confirm", confirm)
    with SQLiteDatabase(path) as database:
        report = offload(database, store, (BODY,), scope=EVERYTHING)

    assert (2, 2, True) == (report.cells_swapped, report.payloads, report.complete)
    assert DATA == store.read(DIGEST)
    assert [] == unresolved(path, root(store))


def test_offload_gives_up_when_claims_are_lost_again_and_again(
    store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no try holds its claims the pass ends with an error, and no row has changed."""
    path = make_database(tmp_path / "app.db", [cell(DATA), cell(payload(9000, 1))])
    before = bodies(path)
    real = Writer.confirm

    def confirm(writer: Writer, digests: Collection[str]) -> None:
        expire_claims(store)
        real(writer, digests)

    monkeypatch.setattr(Writer, "confirm", confirm)
    with SQLiteDatabase(path) as database, pytest.raises(ClaimLostError):
        offload(database, store, (BODY,), scope=EVERYTHING)

    assert before == bodies(path)


def test_an_error_in_a_claim_leaves_no_claim(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Claims are made in one transaction: all of them or none."""
    other = digest_of(b"other")

    def set_claims(digests: object, *, writer: str, until: int) -> None:
        store.catalog._db.execute("INSERT INTO claim VALUES (?,?,?,0)", (bytes.fromhex(DIGEST), writer, until))
        raise KeyError(digests)

    with monkeypatch.context() as patch:
        patch.setattr(store.catalog, "set_claims", set_claims)
        with contextlib.suppress(KeyError):
            Claims(store.catalog).claim([DIGEST, other])

    assert (0, 0) == (store.catalog.claimed_until(DIGEST), store.catalog.claimed_until(other))
