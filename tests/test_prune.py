import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ocblob import BlobStore
from ocblob.backends.memory import MemoryBackend
from ocblob.deletions import PrunePass, prune_pass
from ocblob.digest import digest_of
from ocblob.errors import BlobMissingError, DeletionRefusedError, StoreNotFoundError, UsageError
from ocblob.prune import GRACE_S
from ocblob.store import layout
from ocblob.store.catalog import State
from ocblob.store.layout import new_generation, object_key, trash_key
from ocblob.store.reader import Reader
from ocblob.store.registry import Registry
from samples import bodies, flip, make_opencode, object_path, objects, opened, payload, tree, unresolved
from stores import DAY_S, Clock, forget_rows, keys, listed, offloaded, place, put_many, remote_store, shared

NAMED = [payload(20_000, ("named", number)) for number in range(4)]
ORPHAN = payload(7_000, "orphan")
ORPHAN_DIGEST = digest_of(ORPHAN)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Days go by as a test says."""
    return Clock(monkeypatch)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A store with four blobs that a database names, and a small one that nothing does."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        offloaded(tmp_path / "app.db", store, NAMED)
        store.put([ORPHAN])
    return tmp_path / "store"


def prune(root: Path, *, force: bool = False, dry_run: bool = False) -> PrunePass:
    """One prune, as the command runs it."""
    return prune_pass(place(root), force=force, dry_run=dry_run)


def done(passed: PrunePass) -> tuple[int, int, int]:
    """What a prune set aside, deleted and brought back."""
    assert passed.report is not None
    return passed.report.condemned, passed.report.deleted, passed.report.revived


def state(root: Path, digest: str = ORPHAN_DIGEST) -> State | None:
    """What the catalog says of a blob."""
    with BlobStore.open(root, read_only=True) as store:
        row = store.catalog.get(digest)
        return None if row is None else row.state


def assert_named_blobs_read(root: Path) -> None:
    """Whatever happened, every ref of the database resolves."""
    assert [] == unresolved(root.parent / "app.db", root)


def test_an_orphan_dies_only_at_a_second_mark_after_the_grace(root: Path, clock: Clock) -> None:
    """The first mark sets it aside, one within the grace lets it wait, one after the grace deletes it."""
    first = prune(root)
    clock.wait(days=13.9)
    second = prune(root)
    waiting = state(root)
    clock.wait(days=0.2)
    third = prune(root)

    assert [(1, 0, 0), (0, 0, 0), (0, 1, 0)] == [done(first), done(second), done(third)]
    assert (1, 1) == (second.plan.waiting, third.plan.deleted)
    assert (State.CONDEMNED, None) == (waiting, state(root))
    assert [] == keys(BlobStore.open(root).backend, layout.TRASH)
    assert_named_blobs_read(root)


def test_the_first_prune_deletes_nothing_however_old_a_blob_is(root: Path, clock: Clock) -> None:
    """A grace begins when a mark finds a blob unnamed, not when it was put."""
    clock.wait(days=400)

    assert (1, 0, 0) == done(prune(root))
    assert ORPHAN == BlobStore.open(root, read_only=True).read(ORPHAN_DIGEST)


def test_what_is_expected_may_be_set_aside_and_not_deleted(root: Path, clock: Clock) -> None:
    """When sessions have just gone, much is unnamed: it goes to the trash unasked, out of it only by force."""
    forget_rows(root.parent / "app.db")
    first = prune_pass(place(root), expected=True)
    clock.wait(days=15)

    with pytest.raises(DeletionRefusedError, match="more than a tenth"):
        prune_pass(place(root), expected=True)
    assert ((5, 0, 0), (0, 5, 0)) == (done(first), done(prune(root, force=True)))


def test_sizes_and_counts_are_told(root: Path) -> None:
    """The plan and the report say how many bytes at rest are live, in the trash, and would go."""
    size = object_path(root, ORPHAN_DIGEST).stat().st_size
    total = sum(path.stat().st_size for path in (root / "objects").rglob("*") if path.is_file())

    passed = prune(root)

    assert passed.report is not None
    assert (1, size, total, 0) == (
        passed.plan.condemned, passed.plan.condemned_size, passed.plan.live_size, passed.plan.trash_size,
    )  # fmt: skip
    assert (1, size) == (passed.report.condemned, passed.report.condemned_size)
    assert (1, True) == (passed.databases, passed.refs >= 4)


def test_a_dry_run_changes_nothing(root: Path, clock: Clock) -> None:
    """It says what would go, now and after the grace, and no file changes."""
    before = tree(root / "objects")
    now = prune(root, dry_run=True)
    unchanged = before == tree(root / "objects")
    prune(root)
    clock.wait(days=15)
    trash = tree(root / "trash")
    later = prune(root, dry_run=True)

    assert unchanged
    assert (None, 1, 0) == (now.report, now.plan.condemned, now.plan.deleted)
    assert (None, 0, 1) == (later.report, later.plan.condemned, later.plan.deleted)
    assert trash == tree(root / "trash")


def test_a_blob_that_is_named_again_comes_back(root: Path, tmp_path: Path, clock: Clock) -> None:
    """A database backup that is restored within the grace finds its blobs, even at its very end."""
    backup = tmp_path / "backup.db"
    shutil.copy(tmp_path / "app.db", backup)
    forget_rows(tmp_path / "app.db")
    assert (5, 0, 0) == done(prune(root, force=True))
    clock.wait(days=14.5)
    shutil.copy(backup, tmp_path / "app.db")

    assert (0, 1, 4) == done(prune(root, force=True))
    assert_named_blobs_read(root)
    assert 4 == len(unresolved(tmp_path / "app.db", root)) + 4


def test_a_read_within_the_grace_brings_a_blob_back(root: Path, clock: Clock) -> None:
    """Who reads a condemned blob starts its grace anew: the next prune only sets it aside again."""
    prune(root)
    clock.wait(days=15)
    with BlobStore.open(root) as store:
        assert ORPHAN == store.read(ORPHAN_DIGEST)

    assert (1, 0, 0) == done(prune(root))
    assert State.CONDEMNED is state(root)


def test_a_put_within_the_grace_brings_a_blob_back(root: Path, clock: Clock) -> None:
    """A blob that is put again is live, and judged anew."""
    prune(root)
    clock.wait(days=15)
    with BlobStore.open(root) as store:
        assert not store.put([ORPHAN]).new

    assert (1, 0, 0) == done(prune(root))


def test_a_claimed_blob_stays(root: Path) -> None:
    """What a writer is about to name is not set aside."""
    with BlobStore.open(root) as store:
        with store.catalog.transaction():
            store.catalog.set_claims([ORPHAN_DIGEST], writer="somebody", until=2**40)

        passed = prune(root)

    assert (1, 0) == (passed.plan.condemned, done(passed)[0])
    assert State.LIVE is state(root)


def test_a_claim_in_the_trash_keeps_a_blob(root: Path, clock: Clock) -> None:
    """What a writer claims while its grace ends is not deleted."""
    prune(root)
    clock.wait(days=15)
    with BlobStore.open(root) as store:
        with store.catalog.transaction():
            store.catalog.set_claims([ORPHAN_DIGEST], writer="somebody", until=2**40)
        passed = prune(root)

        assert (1, 0) == (passed.plan.deleted, done(passed)[1])
        assert ORPHAN == store.read(ORPHAN_DIGEST)


def test_pins_keep_blobs(root: Path) -> None:
    """A pinned blob is named; once it is unpinned it is not."""
    with BlobStore.open(root) as store:
        store.registry.pin(ORPHAN_DIGEST, why="put")
    pinned = done(prune(root))
    with BlobStore.open(root) as store:
        store.registry.unpin(ORPHAN_DIGEST)

    assert [(0, 0, 0), (1, 0, 0)] == [pinned, done(prune(root))]


def test_prompt_history_keeps_blobs(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What OpenCode's prompt history names stays, as long as an OpenCode database of this machine is registered."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state-home"))
    history = tmp_path / "state-home" / "opencode" / "prompt-history.jsonl"
    history.parent.mkdir(parents=True)
    history.write_text(json.dumps({"input": f"ocblob/1 {ORPHAN_DIGEST} 7000 store=00000000\n"}) + "\n")
    make_opencode(tmp_path / "opencode.db", sessions=1, parts=1)
    with BlobStore.open(root) as store:
        store.registry.register(str(tmp_path / "opencode.db"), host="opencode")
    named = done(prune(root))
    history.unlink()

    assert [(0, 0, 0), (1, 0, 0)] == [named, done(prune(root))]


def break_no_file(path: Path) -> None:
    """The database is gone."""
    path.unlink()


def break_garbage(path: Path) -> None:
    """The database is no database any more."""
    path.write_bytes(b"garbage" * 1000)


@pytest.mark.parametrize("breakage", [break_no_file, break_garbage])
def test_an_unreadable_database_refuses_everything(
    root: Path, tmp_path: Path, breakage: Callable[[Path], None], clock: Clock
) -> None:
    """If one registered database cannot be read nothing goes, forced or not, and the refusal names it and the way."""
    prune(root)
    clock.wait(days=15)
    breakage(tmp_path / "app.db")
    before = tree(root / "trash"), tree(root / "objects")

    for force in (False, True):
        with pytest.raises(DeletionRefusedError, match=r"app\.db") as caught:
            prune(root, force=force)
        assert "forget-db" in caught.value.hint
    assert before == (tree(root / "trash"), tree(root / "objects"))


def test_a_forgotten_database_no_longer_refuses(root: Path, tmp_path: Path) -> None:
    """A database that is gone for good can be taken off the list."""
    (tmp_path / "app.db").unlink()
    with BlobStore.open(root) as store:
        offloaded(tmp_path / "other.db", store, NAMED[:2])
        entries = {Path(entry.url).name: entry.id for entry in store.registry.databases()}
        store.registry.forget(entries["app.db"])

    assert (3, 0, 0) == done(prune(root, force=True))


def test_without_any_database_nothing_goes(root: Path) -> None:
    """In a store with which nothing is registered everything would be unnamed: refused, forced or not."""
    with BlobStore.open(root) as store:
        for entry in list(store.registry.databases()):
            store.registry.forget(entry.id)

    for force in (False, True):
        with pytest.raises(DeletionRefusedError, match="no database is registered"):
            prune(root, force=force)
    assert State.LIVE is state(root)


def test_more_than_a_tenth_needs_force(root: Path, tmp_path: Path) -> None:
    """Too much at once may be a mistake: refused with the figures, until it is forced."""
    forget_rows(tmp_path / "app.db")
    with pytest.raises(DeletionRefusedError, match=r"5 blobs .* more than a tenth") as caught:
        prune(root)
    unchanged = state(root)

    assert (State.LIVE, True) == (unchanged, "--force" in caught.value.hint)
    assert prune(root, dry_run=True).plan.large
    assert (5, 0, 0) == done(prune(root, force=True))


def test_deleting_more_than_a_tenth_needs_force_too(root: Path, tmp_path: Path, clock: Clock) -> None:
    """What was set aside by force is not deleted without it."""
    forget_rows(tmp_path / "app.db")
    prune(root, force=True)
    clock.wait(days=15)
    with pytest.raises(DeletionRefusedError, match=r"5 .* deleted"):
        prune(root)

    assert (0, 5, 0) == done(prune(root, force=True))


@pytest.mark.parametrize("grace_s", [0.0, -1.0, DAY_S - 1.0])
def test_a_grace_that_protects_nobody_is_refused(root: Path, grace_s: float) -> None:
    """A grace is one day at least."""
    with pytest.raises(UsageError, match="at least one day"):
        prune_pass(place(root), grace_s=grace_s)


def test_a_shorter_grace_may_be_asked_for(root: Path, clock: Clock) -> None:
    """The grace is judged when blobs are deleted."""
    prune(root)
    clock.wait(days=1.5)

    passed = prune_pass(place(root), grace_s=float(DAY_S))

    assert (0, 1, 0) == done(passed)


def test_no_store_is_an_error(tmp_path: Path) -> None:
    """There must be a store."""
    with pytest.raises(StoreNotFoundError):
        prune(tmp_path / "none")


def test_rows_that_are_not_durable_yet_count(root: Path, tmp_path: Path) -> None:
    """A ref in the WAL of an open database keeps its blob."""
    with opened(tmp_path / "app.db") as db:
        db.execute("PRAGMA wal_autocheckpoint=0").fetchall()
        db.execute("INSERT INTO doc (body) VALUES (?)", (f"ocblob/1 {ORPHAN_DIGEST} 7000\n",))

        assert (0, 0, 0) == done(prune(root))


def test_objects_that_the_catalog_does_not_know_are_judged_too(root: Path, clock: Clock) -> None:
    """What a pass left that was stopped before its last step is set aside if nothing names it."""
    with BlobStore.open(root) as store, store.catalog.transaction():
        for digest in (ORPHAN_DIGEST, digest_of(NAMED[0])):
            store.catalog.remove(digest)

    first = prune(root)
    clock.wait(days=15)

    assert [(1, 0, 0), (0, 1, 0)] == [done(first), done(prune(root))]
    assert State.LIVE is state(root, digest_of(NAMED[0]))
    assert_named_blobs_read(root)


def test_files_that_are_no_objects_are_left_alone(root: Path, clock: Clock) -> None:
    """Strangers among objects and in the trash are not ours to judge."""
    (root / "objects" / "00" / "README").write_text("hello")
    strangers = root / "trash" / "2026" / "ab"
    strangers.mkdir(parents=True)
    (strangers / ("cd" * 31)).write_text("hello")
    prune(root)
    clock.wait(days=15)

    assert (0, 1, 0) == done(prune(root))
    assert (root / "objects" / "00" / "README").is_file()
    assert (strangers / ("cd" * 31)).is_file()


def test_a_spare_in_the_trash_goes_if_the_live_object_is_true(root: Path, clock: Clock) -> None:
    """What a crash of a move left in both places is dropped from the trash after the grace, and the live one stays."""
    digest = digest_of(NAMED[0])
    spare = root / trash_key(new_generation(1_700_000_000), digest)
    spare.parent.mkdir(parents=True)
    shutil.copy(object_path(root, digest), spare)
    early = done(prune(root)), spare.is_file()
    clock.wait(days=15)

    prune(root)

    assert ((1, 0, 0), True) == early
    assert not spare.exists()
    assert_named_blobs_read(root)


def test_a_spare_replaces_a_damaged_live_object(root: Path, clock: Clock) -> None:
    """If the live object is bad its spare is not dropped, and reading finds it."""
    digest = digest_of(NAMED[0])
    spare = root / trash_key(new_generation(1_700_000_000), digest)
    spare.parent.mkdir(parents=True)
    shutil.copy(object_path(root, digest), spare)
    flip(object_path(root, digest), 500)
    clock.wait(days=15)

    prune(root)

    assert_named_blobs_read(root)


@pytest.mark.parametrize("marks", [True, False])
def test_what_is_named_comes_back_from_a_foreign_trash(root: Path, *, marks: bool) -> None:
    """Blobs that another host put into the trash are judged by our marks too."""
    digest = digest_of(NAMED[0]) if marks else ORPHAN_DIGEST
    trashed = root / trash_key(new_generation(1_700_000_000), digest)
    trashed.parent.mkdir(parents=True)
    object_path(root, digest).rename(trashed)

    passed = prune(root)

    assert int(marks) == passed.plan.revived
    assert_named_blobs_read(root)


def test_a_prune_leaves_tombstones(root: Path, clock: Clock) -> None:
    """An expiry may be under way for as long as its machine sleeps: its tombstones stay, and an object wins anyway."""
    digest = digest_of(NAMED[0])
    with BlobStore.open(root) as store:
        layout.put_json(store.backend, layout.tombstone_key(digest), {"digest": digest, "policy": "evict"})
        clock.wait(days=30)
        prune(root)

        assert [layout.tombstone_key(digest)] == keys(store.backend, layout.TOMBSTONES)
        assert NAMED[0] == store.read(digest)


# Several machines over one remote store.


class Host:
    """One machine: a tier of its own, maybe a database of its own."""

    def __init__(self, backend: MemoryBackend, directory: Path) -> None:
        self.backend = backend
        self.directory = directory
        self.place = place(directory / "unused", directory)

    def open(self) -> BlobStore:
        """The store, from here."""
        return remote_store(self.backend, self.directory)

    def offload(self, name: str, blobs: list[bytes]) -> Path:
        """A database of this machine."""
        self.directory.mkdir(exist_ok=True)
        with self.open() as store:
            return offloaded(self.directory / name, store, blobs)

    def prune(self, *, force: bool = False) -> PrunePass:
        """One prune from here."""
        return prune_pass(self.place, force=force)


@pytest.fixture
def hosts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> tuple[Host, Host]:
    """Two machines with a database each, and a blob that neither names."""
    backend = MemoryBackend()
    shared(monkeypatch, backend)
    one, two = Host(backend, tmp_path / "one"), Host(backend, tmp_path / "two")
    one.offload("one.db", NAMED[:2])
    two.offload("two.db", NAMED[2:])
    with one.open() as store:
        store.put([ORPHAN])
    return one, two


def test_a_machine_that_has_said_nothing_refuses_everything(hosts: tuple[Host, Host]) -> None:
    """What the database of another machine names cannot be known until a prune there says it."""
    one, _two = hosts

    with pytest.raises(DeletionRefusedError, match="has not said yet what it names") as caught:
        one.prune()
    assert "`ocblob prune` there" in caught.value.hint


def test_machines_prune_by_each_others_marks(hosts: tuple[Host, Host], clock: Clock) -> None:
    """Once both have said what they name, either deletes what neither does, and nothing else."""
    one, two = hosts
    with pytest.raises(DeletionRefusedError):
        one.prune()
    first = done(two.prune())
    clock.wait(days=10)
    second = done(one.prune())
    clock.wait(days=5)
    two.prune()
    third = done(one.prune())
    with one.open() as store:
        left = sorted(map(store.read, (digest_of(data) for data in NAMED)))

    assert (1, 0, 0) == first
    assert (0, 0, 0) == second
    assert (0, 1, 0) == third
    assert sorted(NAMED) == left
    with pytest.raises(BlobMissingError):
        Reader(one.backend).read(ORPHAN_DIGEST)


def test_marks_that_are_too_old_refuse(hosts: tuple[Host, Host], clock: Clock) -> None:
    """A machine that has not pruned for longer than the grace may name what nobody knows of."""
    one, two = hosts
    with pytest.raises(DeletionRefusedError):
        two.prune()
    clock.wait(seconds=GRACE_S + 60)

    with pytest.raises(DeletionRefusedError, match="has not said for too long"):
        one.prune()


def test_damaged_marks_refuse(hosts: tuple[Host, Host]) -> None:
    """Marks that are not whole are no marks."""
    one, two = hosts
    with pytest.raises(DeletionRefusedError):
        two.prune()
    (mark,) = keys(one.backend, "marks/")
    data, stat = one.backend._objects[mark]
    one.backend._objects[mark] = (data[:-1], stat)

    with pytest.raises(DeletionRefusedError, match="is damaged"):
        one.prune()


def test_a_blob_named_after_the_mark_is_safe(hosts: tuple[Host, Host], clock: Clock) -> None:
    """A deleter that goes by an older mark does not take what was named since: that was brought back when it was."""
    one, two = hosts
    with pytest.raises(DeletionRefusedError):
        one.prune()
    two.prune()
    clock.wait(days=13)
    two.prune()
    clock.wait(days=2)
    two.offload("new.db", [ORPHAN])

    with pytest.raises(DeletionRefusedError, match=r"new\.db"):
        one.prune()
    two.prune()
    one.prune()

    assert ORPHAN == Reader(one.backend).read(ORPHAN_DIGEST)
    assert [] == keys(one.backend, layout.TRASH)


def test_a_machine_forgets_what_another_one_deleted(hosts: tuple[Host, Host], clock: Clock) -> None:
    """Another host's catalog learns at its next prune that a blob is gone, and puts it afresh if it is needed."""
    one, two = hosts
    with two.open() as store:
        store.put([ORPHAN])
    with pytest.raises(DeletionRefusedError):
        one.prune()
    two.prune()
    clock.wait(days=14.5)
    with pytest.raises(DeletionRefusedError, match="for too long"):
        two.prune()
    deleted = done(one.prune())
    with two.open() as store:
        stale = store.catalog.get(ORPHAN_DIGEST)
        again = store.put([ORPHAN])

    assert (0, 1, 0) == deleted
    assert stale is not None
    assert again.new
    assert ORPHAN == Reader(one.backend).read(ORPHAN_DIGEST)


def test_what_another_machine_pruned_leaves_the_tier(hosts: tuple[Host, Host], clock: Clock) -> None:
    """A hot blob that another host deleted goes from this one's tier at its next prune; what is named stays."""
    one, two = hosts
    with two.open() as store:
        store.put([ORPHAN])
        before = objects(store.local.root)
    with pytest.raises(DeletionRefusedError):
        one.prune()
    two.prune()
    clock.wait(days=14.5)
    with pytest.raises(DeletionRefusedError):
        two.prune()
    one.prune()
    with one.open() as store:
        lost = store.backend.delete(object_key(digest_of(NAMED[2])))
    two.prune()

    with two.open() as store:
        after = objects(store.local.root)
        assert store.catalog.get(ORPHAN_DIGEST) is None
    assert lost
    assert ORPHAN_DIGEST in before
    # The last copy of a named blob, whatever became of the remote store's.
    assert sorted(map(digest_of, NAMED[2:])) == after


def test_a_path_on_another_machine_is_not_looked_for_here(tmp_path: Path) -> None:
    """Two machines may have databases of the same path: each is registered for itself."""
    backend = MemoryBackend()
    with remote_store(backend, tmp_path / "one") as one, remote_store(backend, tmp_path / "two") as two:
        first = one.registry.register("/srv/app.db", host="generic")
        second = two.registry.register("/srv/app.db", host="generic")

        assert first.id != second.id
        assert (True, False) == (one.registry.is_here(first), one.registry.is_here(second))
        assert not Registry(backend).is_here(first)


def test_many_blobs_go_in_batches(root: Path, clock: Clock) -> None:
    """More blobs than a batch holds are set aside and deleted all the same."""
    with BlobStore.open(root) as store:
        digests = put_many(store, 1100, size=200, seed="many")
        assert 1100 == len(listed(store, digests))

    first = done(prune(root, force=True))
    clock.wait(days=15)

    assert [(1101, 0, 0), (0, 1101, 0)] == [first, done(prune(root, force=True))]
    assert_named_blobs_read(root)
    assert 4 == len(bodies(root.parent / "app.db"))
    assert [object_key(digest_of(data)) for data in sorted(NAMED, key=digest_of)] == keys(
        BlobStore.open(root).backend, layout.OBJECTS
    )
