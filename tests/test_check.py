import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from ocblob import BlobStore, find_refs
from ocblob.backends.memory import MemoryBackend
from ocblob.check import CheckReport, Share, check, contents, rebuild_catalog
from ocblob.codec import FRAME_BYTES
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.digest import digest_of
from ocblob.store.catalog import BlobRow, State
from ocblob.store.layout import new_generation, object_key
from ocblob.sync import sync
from samples import BODY, data_url, flip, make_database, object_path, objects, opened, payload, tree, unresolved
from stores import damage, listed, offloaded, put_many, remote_store

NAMED = [payload(20_000, number) for number in range(3)]
EVERYTHING = Share(1, 1)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store with three blobs that a database names, and three that nothing does."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        offloaded(tmp_path / "app.db", store, NAMED)
        put_many(store, 3)
        yield store


@pytest.fixture
def copied(store: BlobStore, tmp_path: Path) -> BlobStore:
    """The same with a full copy."""
    store.add_copy(str(tmp_path / "copy"))
    assert sync(store).complete
    return store


def root(store: BlobStore) -> Path:
    """Where the store is."""
    return Path(store.url)


def checked(
    store: BlobStore, *, read_data: Share | None = None, repair: bool = False, restart: bool = False
) -> CheckReport:
    """A check against the database as well."""
    with ExitStack() as stack:
        path = root(store).parent / "app.db"
        databases = [(stack.enter_context(SQLiteDatabase(path, read_only=True)), (BODY,))] if path.exists() else []
        return check(store, list(databases), read_data=read_data, repair=repair, restart=restart)


def rows(store: BlobStore) -> list[tuple[object, ...]]:
    """The catalog, but for times."""
    return [(row.digest, row.size, row.stored_size, row.held, row.state) for row in store.catalog.blobs()]


def row_of(store: BlobStore, digest: str) -> BlobRow:
    """One blob's row."""
    row = store.catalog.get(digest)
    assert row is not None
    return row


def named() -> str:
    """One of the blobs that the database names."""
    return digest_of(NAMED[0])


def test_a_sound_store(store: BlobStore) -> None:
    """Everything is counted, and nothing is wrong."""
    size = sum(path.stat().st_size for path in (root(store) / "objects").rglob("*") if path.is_file())

    report = checked(store, read_data=EVERYTHING)

    assert (6, 6, size) == (report.objects, report.catalogued, report.stored_size)
    assert (1, 3, 3, 6) == (report.databases, report.refs, report.blobs_named, report.objects_read)
    assert (0, 0, 0, 0, 0, 0, 0) == (
        report.missing_objects, report.unknown_objects, report.wrong_sizes, report.unresolved, report.corrupt,
        report.broken, report.repaired,
    )  # fmt: skip
    assert (True, []) == (report.sound, report.problems)


def test_a_quick_check_reads_no_object(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where listing and catalog agree, no object is opened."""

    def header(_store: BlobStore, digest: str) -> object:
        raise AssertionError(digest)

    monkeypatch.setattr(BlobStore, "header", header)

    assert checked(store).sound


def test_a_quick_check_changes_nothing(store: BlobStore) -> None:
    """It can be run on a store that is opened read-only."""
    store.close()
    before = tree(root(store))
    with BlobStore.open(root(store), read_only=True) as again:
        assert checked(again).sound

    assert before == tree(root(store))


def test_a_missing_object_is_told(store: BlobStore) -> None:
    """A live blob without an object is broken, and its refs are unresolved."""
    object_path(root(store), named()).unlink()

    report = checked(store)

    assert (1, 1, 1, False) == (report.missing_objects, report.broken, report.unresolved, report.sound)
    assert any(named() in problem for problem in report.problems)


def test_a_missing_object_is_taken_off_by_a_repair(store: BlobStore) -> None:
    """Without a copy the catalog is put right; the ref stays unresolved, and that is told."""
    object_path(root(store), named()).unlink()

    report = checked(store, repair=True)

    assert (1, 1, 0, 1, False) == (
        report.missing_objects, report.repaired, report.broken, report.unresolved, report.sound,
    )  # fmt: skip
    assert store.catalog.get(named()) is None
    assert not checked(store).sound


def test_a_missing_object_comes_back_from_a_copy(copied: BlobStore) -> None:
    """An object that this host believes to hold, and that only a copy has, is brought back by a repair."""
    object_path(root(copied), named()).unlink()

    report = checked(copied, repair=True)

    assert (1, True) == (report.repaired, report.sound)
    assert NAMED[0] == copied.read(named())
    assert named() in objects(root(copied))


def test_an_evicted_blob_is_no_damage(copied: BlobStore) -> None:
    """A blob that is only in a copy is counted apart, resolves, and is left there by a repair."""
    object_path(root(copied), named()).unlink()
    with copied.catalog.transaction():
        copied.catalog.set_held([(named(), 0)])

    report = checked(copied, repair=True)

    assert (1, 0, 0, True) == (report.elsewhere, report.missing_objects, report.repaired, report.sound)
    assert named() not in objects(root(copied))


def test_an_unknown_object_is_no_harm(store: BlobStore) -> None:
    """What a stopped pass left is told, is no damage, and is entered by a repair."""
    before = rows(store)
    with store.catalog.transaction():
        store.catalog.remove(named())

    found, repaired = checked(store), checked(store, repair=True)

    assert (1, True, 0) == (found.unknown_objects, found.sound, found.repaired)
    assert (1, True) == (repaired.repaired, repaired.sound)
    assert before == rows(store)


def test_a_wrong_size_is_told(store: BlobStore) -> None:
    """A size at rest that the catalog does not know is broken until a repair enters it."""
    before = rows(store)
    with store.catalog.transaction():
        store.catalog.put(named(), size=20_000, stored_size=5, held=5)

    found, repaired = checked(store), checked(store, repair=True)

    assert (1, 1, False) == (found.wrong_sizes, found.broken, found.sound)
    assert (1, 0, 1, True) == (repaired.wrong_sizes, repaired.broken, repaired.repaired, repaired.sound)
    assert before == rows(store)


def test_a_truncated_object_is_told(store: BlobStore) -> None:
    """An object that was cut short is found by its size alone, and no repair takes it for good."""
    path = object_path(root(store), named())
    path.write_bytes(path.read_bytes()[:-30])

    found, repaired = checked(store), checked(store, repair=True)

    assert (1, False) == (found.wrong_sizes, found.sound)
    assert not repaired.sound


def test_a_ref_of_another_size_is_unresolved(store: BlobStore, tmp_path: Path) -> None:
    """A ref that says another size than its blob has does not count as resolved."""
    path = tmp_path / "app.db"
    with opened(path) as db:
        ((body,),) = db.execute("SELECT body FROM doc WHERE id=1").fetchall()
        (ref,) = find_refs(str(body))
        forged = data_url(f"ocblob/1 {ref.digest} {ref.size + 1} store={store.short_id}\n".encode(), "text/plain")
        db.execute("UPDATE doc SET body=? WHERE id=1", (json.dumps({"url": forged}),))

    report = checked(store)

    assert (3, 1, False) == (report.refs, report.unresolved, report.sound)


def test_parts_add_up(store: BlobStore) -> None:
    """Every object is in exactly one of the parts."""
    read = [checked(store, read_data=Share(number, 5)).objects_read for number in range(1, 6)]

    assert 6 == sum(read)
    assert "2/5" == str(Share(2, 5))


LARGE = payload(2 * FRAME_BYTES + 1000, "large")
REGIONS = {
    "magic": 1, "length": 5, "name": 12, "version": 16, "digest": 30, "nonce": 52, "size": 70, "header check": 77,
    "first frame": 300, "second frame": FRAME_BYTES + 9000, "third frame": 2 * FRAME_BYTES + 500,
    "seek table": -30, "its end": -3,
}  # fmt: skip


@pytest.mark.parametrize("region", REGIONS)
@pytest.mark.parametrize("where", ["store", "copy"])
def test_a_flipped_bit_is_found_and_put_right(tmp_path: Path, region: str, where: str) -> None:
    """Wherever in an object and in which place, reading all finds it, and a repair takes the other place's object."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        digest = store.put([LARGE]).digest
        store.add_copy(str(tmp_path / "copy"))
        sync(store)
        bad = object_path(tmp_path / where, digest)
        good = bad.read_bytes()
        flip(bad, REGIONS[region])

        found = check(store, [], read_data=EVERYTHING, repair=True)
        again = check(store, [], read_data=EVERYTHING)

        assert (0, 1, True) == (found.corrupt, found.repaired, found.sound)
        assert (2, 0, True) == (again.objects_read, again.corrupt, again.sound)
        assert good == bad.read_bytes()
        assert 1 == len(list((tmp_path / where / "quarantine").iterdir()))


@pytest.mark.parametrize("where", ["store", "copy"])
def test_damage_without_a_repair_is_quarantined(copied: BlobStore, tmp_path: Path, where: str) -> None:
    """Without a repair the bad object is moved away and told; the blob still reads from the other place."""
    flip(object_path(tmp_path / where, named()), 500)

    report = checked(copied, read_data=EVERYTHING)

    assert (1, 0, False) == (report.corrupt, report.repaired, report.sound)
    assert named() not in objects(tmp_path / where)
    assert 1 == len(list((tmp_path / where / "quarantine").iterdir()))
    assert NAMED[0] == copied.read(named())


def test_damage_without_a_copy_is_told(store: BlobStore) -> None:
    """Nothing can put it right: corrupt, in quarantine, and its refs unresolved."""
    flip(object_path(root(store), named()), 500)

    report = checked(store, read_data=EVERYTHING, repair=True)

    assert (1, 0, 1, False) == (report.corrupt, report.repaired, report.unresolved, report.sound)
    assert State.CORRUPT is row_of(store, named()).state
    assert [named()] == unresolved(root(store).parent / "app.db", root(store))


def test_the_trash_is_read_too(store: BlobStore) -> None:
    """A condemned blob is worth as much as a live one while its grace lasts."""
    digest = objects(root(store))[0]
    moved = store.trash().condemn(listed(store, [digest]), generation=new_generation(time.time()))
    flip(root(store) / moved[0].key, 500)

    report = checked(store, read_data=EVERYTHING)

    assert (1, False) == (report.corrupt, report.sound)
    assert digest in report.problems[0]


class Stop(BaseException):
    """The process ends here."""


def stopping(after: int) -> Callable[[int], None]:
    """Progress that ends the process."""
    seen: list[int] = []

    def progress(size: int) -> None:
        seen.append(size)
        if len(seen) == after:
            raise Stop

    return progress


def test_a_stopped_check_goes_on(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that reads all goes on where an earlier one was stopped, each kind of part for itself."""
    monkeypatch.setattr(contents, "NOTED_OBJECTS", 2)
    digests = objects(root(store))
    with pytest.raises(Stop):
        check(store, [], read_data=EVERYTHING, progress=stopping(5))
    other = checked(store, read_data=Share(1, 2))

    resumed = checked(store, read_data=EVERYTHING)
    whole = checked(store, read_data=EVERYTHING)

    assert (digests[3], 2) == (resumed.resumed_after, resumed.objects_read)
    assert ("", 6) == (whole.resumed_after, whole.objects_read)
    assert "" == other.resumed_after


def test_a_stopped_check_may_begin_anew(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked to, a check forgets that another one was stopped."""
    monkeypatch.setattr(contents, "NOTED_OBJECTS", 2)
    with pytest.raises(Stop):
        check(store, [], read_data=EVERYTHING, progress=stopping(5))

    report = checked(store, read_data=EVERYTHING, restart=True)

    assert ("", 6) == (report.resumed_after, report.objects_read)


def test_a_rebuild_from_the_objects_alone(store: BlobStore) -> None:
    """A new catalog says the same as the old one did, the trash included."""
    digest = objects(root(store))[0]
    store.trash().condemn(listed(store, [digest]), generation=new_generation(time.time()))
    before = rows(store)

    report = rebuild_catalog(store)

    # A condemned blob's header is not read: its size is not known, but that it is condemned is.
    after = rows(store)
    assert [row[0] for row in before] == [row[0] for row in after]
    assert [row[2:] for row in before] == [row[2:] for row in after]
    assert (5, 5, True) == (report.objects, report.catalogued, report.sound)
    assert checked(store, read_data=EVERYTHING).sound


def test_a_rebuild_of_a_remote_stores_catalog(tmp_path: Path) -> None:
    """There too, and the tier is counted anew by its files."""
    with remote_store(MemoryBackend(), tmp_path / "host") as store:
        one, two = put_many(store, 2, size=20_000)
        object_path(store.local.root, one).unlink()

        report = rebuild_catalog(store)

        held = {row.digest: row.held for row in store.catalog.blobs()}
        assert {one: 0, two: object_path(store.local.root, two).stat().st_size} == held
        assert (2, True) == (report.catalogued, report.sound)
        assert check(store, [], read_data=EVERYTHING).sound


def test_a_remote_store_is_read(tmp_path: Path) -> None:
    """Reading all reads the remote objects, not the tier's files."""
    backend = MemoryBackend()
    with remote_store(backend, tmp_path / "host") as store:
        one, _two = put_many(store, 2, size=20_000)
        damage(backend, object_key(one), at=500)

        report = check(store, [], read_data=EVERYTHING)

        assert (1, False) == (report.corrupt, report.sound)
        assert 1 == len(backend.children("quarantine/"))


def test_objects_of_another_host_are_no_news(tmp_path: Path) -> None:
    """On a remote store other hosts put blobs: unknown ones are counted and not complained of."""
    backend = MemoryBackend()
    with remote_store(backend, tmp_path / "one") as one, remote_store(backend, tmp_path / "two") as two:
        put_many(one, 3)

        report = check(two, [])

        assert (3, [], True) == (report.unknown_objects, report.problems, report.sound)


def test_a_database_without_refs(store: BlobStore, tmp_path: Path) -> None:
    """No refs are nothing wrong."""
    path = make_database(tmp_path / "empty.db", ["nothing"])
    with SQLiteDatabase(path, read_only=True) as database:
        report = check(store, [(database, (BODY,))])

    assert (0, 0, True) == (report.refs, report.blobs_named, report.sound)


def test_a_quarantined_object_is_told_until_it_is_repaired(copied: BlobStore) -> None:
    """What one check has moved away, the next one still tells, and a repair in a run of its own brings it back."""
    flip(object_path(root(copied), named()), 200)
    first = checked(copied, read_data=EVERYTHING)

    again = checked(copied)
    repaired = checked(copied, repair=True)
    after = checked(copied)

    assert (1, False) == (first.corrupt, first.sound)
    assert (1, False) == (again.corrupt, again.sound)
    assert (1, 0, True) == (repaired.repaired, repaired.corrupt, repaired.sound)
    assert (0, True) == (after.corrupt, after.sound)
    assert named() in objects(root(copied))


def test_a_copys_quarantined_object_is_filled_in_again(copied: BlobStore, tmp_path: Path) -> None:
    """A damaged object of the copy comes back too, in a later run."""
    flip(object_path(tmp_path / "copy", named()), 200)
    checked(copied, read_data=EVERYTHING)

    repaired = checked(copied, read_data=EVERYTHING, repair=True)

    assert (1, True) == (repaired.repaired, repaired.sound)
    assert named() in objects(tmp_path / "copy")


def test_a_lost_local_object_is_not_called_evicted(copied: BlobStore) -> None:
    """What the store should hold and does not is missing, though a copy has it."""
    object_path(root(copied), named()).unlink()

    report = checked(copied)

    assert (1, 0, False) == (report.missing_objects, report.elsewhere, report.sound)


def test_stray_files_in_a_tier_are_no_trouble(tmp_path: Path) -> None:
    """A file that is no object is passed over when a tier is counted."""
    with remote_store(MemoryBackend(), tmp_path / "state") as store:
        put_many(store, 2)
        stray = store.local.path("objects/zz/stray")
        stray.parent.mkdir(parents=True)
        stray.write_bytes(b"x")

        assert check(store, [], repair=True).sound
        assert stray.exists()
