import json
import os
import stat
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pytest

from ocblob import BlobStore, Resolver
from ocblob.backends.base import Backend
from ocblob.check import check, rebuild_catalog
from ocblob.digest import digest_of
from ocblob.errors import (
    BlobMissingError,
    ObjectNotFoundError,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
    StoreUnavailableError,
    UsageError,
)
from ocblob.store import layout
from ocblob.store.catalog import BlobRow
from processes import Neighbour, as_nobody, finish, spawn
from samples import flip, object_path, objects, payload, tree

SMALL = payload(3000)
LARGE = payload(5_000_000, "large")

CREATOR = """
import sys
from ocblob import BlobStore
print("ready", flush=True)
sys.stdin.readline()
with BlobStore.create(sys.argv[1])[0] as store:
    store.put([sys.argv[2].encode()])
    print(store.id)
"""

KILLED_CREATOR = """
import os, signal, sys
from ocblob import BlobStore
from ocblob.backends import local
from ocblob.store import layout

seen = 0
def trace(frame, event, _argument):
    global seen
    if frame.f_code.co_filename not in (local.__file__, layout.__file__):
        return trace if "ocblob" in frame.f_code.co_filename else None
    seen += event == "line"
    if seen == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
    return trace

sys.settrace(trace)
BlobStore.create(sys.argv[1])[0].close()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Where a store may be made."""
    return tmp_path / "store"


def rows(store: BlobStore) -> list[tuple[object, ...]]:
    """What a catalog says of its blobs, but for times."""
    return [(row.digest, row.size, row.stored_size, row.state, row.generation) for row in store.catalog.blobs()]


def row_of(store: BlobStore, digest: str) -> BlobRow:
    """What a catalog says of one blob."""
    row = store.catalog.get(digest)
    assert row is not None
    return row


def test_a_new_store_has_the_layout(root: Path) -> None:
    """A new store has its identity, 256 object directories and a staging directory; a second open finds it."""
    store, created = BlobStore.create(root)
    store.close()
    again, created_again = BlobStore.create(root)
    again.close()

    assert (True, False) == (created, created_again)
    assert store.id == again.id
    assert ["objects", "staging", "store.json"] == sorted(path.name for path in root.iterdir())
    assert [f"{byte:02x}" for byte in range(256)] == sorted(path.name for path in (root / "objects").iterdir())
    assert {"format": 1, "hash": "blake3-256", "id": store.id} == json.loads((root / "store.json").read_bytes())
    assert (32, store.id[:8]) == (len(store.id), store.short_id)


def test_everything_in_a_store_is_private(root: Path) -> None:
    """Whatever the umask, directories are 0700 and files 0600, the catalog and its companions too."""
    before = os.umask(0)
    try:
        with BlobStore.create(root)[0] as store, store.writer() as writer:
            store.registry.register("/srv/app.db", host="generic")
            store.registry.pin(writer.put([SMALL]).digest, why="test")
            flip(object_path(root, store.put([LARGE]).digest), 90)
            with pytest.raises(Exception, match="object"):
                store.read(digest_of(LARGE))
            modes = {str(path.relative_to(root)): path.stat().st_mode for path in root.rglob("*")}
    finally:
        os.umask(before)

    assert {"catalog.sqlite", "catalog.sqlite-wal", "quarantine", "databases", "pins"} <= modes.keys()
    assert {} == {
        name: oct(mode)
        for name, mode in modes.items()
        if stat.S_IMODE(mode) != (0o700 if stat.S_ISDIR(mode) else 0o600)
    }


@pytest.mark.parametrize("verb", [BlobStore.open, Resolver])
def test_open_finds_no_store(root: Path, verb: Callable[[Path], object]) -> None:
    """Opening what is not there is its own error, and makes nothing."""
    with pytest.raises(StoreNotFoundError, match="no blob store") as caught:
        verb(root)

    assert "create" in caught.value.hint
    assert not root.exists()


def test_an_empty_directory_may_become_a_store(root: Path) -> None:
    """A directory that the user made keeps its mode and becomes a store."""
    root.mkdir(mode=0o755)

    with BlobStore.create(root)[0] as store:
        store.put([SMALL])

    assert 0o755 == stat.S_IMODE(root.stat().st_mode)
    assert [digest_of(SMALL)] == objects(root)


def test_a_foreign_directory_is_refused(root: Path) -> None:
    """A directory with other things in it is not made a store, and is left as it is."""
    (root / "photos").mkdir(parents=True)
    (root / "notes.txt").write_text("mine")
    before = tree(root)

    with pytest.raises(StoreError, match="not empty") as caught:
        BlobStore.create(root)

    assert "--store" in caught.value.hint
    assert before == tree(root)


def test_a_file_is_refused(root: Path) -> None:
    """A store cannot be where a file is."""
    root.write_text("mine")

    with pytest.raises((StoreError, StoreUnavailableError)):
        BlobStore.create(root)

    assert "mine" == root.read_text()


@pytest.mark.parametrize("line", range(2, 60, 9))
def test_a_creator_that_is_killed_is_no_obstacle(root: Path, line: int) -> None:
    """Whenever a creator is killed, the next one makes the store, and it works."""
    creator = spawn(KILLED_CREATOR, str(root), str(line))
    creator.communicate()

    with BlobStore.create(root)[0] as store:
        store.put([SMALL])

    assert [digest_of(SMALL)] == objects(root)
    with BlobStore.open(root) as store:
        assert SMALL == store.read(digest_of(SMALL))


def test_half_a_store_is_completed(root: Path) -> None:
    """What a creator that was killed left is no store yet; the next one completes it."""
    for name in ("objects/00", "objects/01", "staging"):
        (root / name).mkdir(parents=True)
    (root / ".store.json.99.abcd").write_bytes(b"{")

    with pytest.raises(StoreNotFoundError):
        BlobStore.open(root)
    store, created = BlobStore.create(root)
    with store:
        store.put([SMALL])

    assert created
    assert 256 == len(list((root / "objects").iterdir()))


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(b'{"format": 2, "id": "00", "hash": "blake3-256"}', id="a later format"),
        pytest.param(b'{"format": 1, "id": "00", "hash": "sha256"}', id="another hash"),
        pytest.param(b'{"id": "00"}', id="no format"),
        pytest.param(b"[]", id="no object"),
        pytest.param(b"{", id="no JSON"),
        pytest.param(b"", id="empty"),
    ],
)
@pytest.mark.parametrize("verb", [BlobStore.open, BlobStore.create, Resolver])
def test_a_store_of_unknown_format_is_refused(root: Path, identity: bytes, verb: Callable[[Path], object]) -> None:
    """A store that this version does not know is not opened, not written to, and not made anew."""
    root.mkdir()
    (root / "store.json").write_bytes(identity)
    before = tree(root)

    with pytest.raises(StoreFormatError):
        verb(root)

    assert before == tree(root)


def test_a_store_that_cannot_be_looked_at_is_not_absent(root: Path) -> None:
    """If nobody can say whether a store is there, that is what the error says, and none is made."""
    root.symlink_to(root)

    for verb in (BlobStore.open, BlobStore.create):
        with pytest.raises(StoreUnavailableError):
            verb(root)


def test_creators_that_race_agree(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another process creates the store at the same moment, both go on with the same identity."""
    ids: list[str] = []
    real = layout.create_identity

    def create_identity(backend: Backend) -> layout.StoreIdentity:
        monkeypatch.setattr(layout, "create_identity", real)
        with BlobStore.create(root)[0] as other:
            ids.append(other.id)
            other.put([SMALL])
        return real(backend)

    monkeypatch.setattr(layout, "create_identity", create_identity)
    with BlobStore.create(root)[0] as store:
        ids.append(store.id)
        store.put([LARGE])

    assert 1 == len(set(ids))
    with BlobStore.open(root) as store:
        assert (ids[0], 2) == (store.id, store.catalog.totals().blobs)


def test_processes_that_race_agree(root: Path) -> None:
    """Processes that create a store and put into it all at once end with one store that holds everything."""
    creators = [spawn(CREATOR, str(root), str(number), stdin=-1) for number in range(5)]
    for creator in creators:
        assert creator.stdout is not None
        creator.stdout.readline()
    for creator in creators:
        assert creator.stdin is not None
        creator.stdin.write("go\n")
        creator.stdin.flush()

    ids = {finish(creator) for creator in creators}

    assert 1 == len(ids)
    with BlobStore.open(root) as store:
        assert sorted(digest_of(str(number).encode()) for number in range(5)) == objects(root)
        assert 5 == store.catalog.totals().blobs


@pytest.mark.parametrize("data", [b"", b"x", SMALL, payload(1 << 20), payload((1 << 20) + 1), LARGE], ids=len)
def test_gives_back_what_was_put(root: Path, data: bytes) -> None:
    """A blob of any size reads as its bytes, whole and in pieces."""
    with BlobStore.create(root)[0] as store:
        stored = store.put([data[:1000], data[1000:]])

        assert (digest_of(data), len(data), True) == (stored.digest, stored.size, stored.new)
        assert data == store.read(stored.digest)
        assert data == b"".join(store.chunks(stored.digest))
        with store.open_blob(stored.digest) as stream:
            assert data == stream.read()


def test_a_known_blob_is_stored_once(root: Path) -> None:
    """A second put of the same bytes writes no object and says so."""
    with BlobStore.create(root)[0] as store:
        first = store.put([SMALL])
        before = tree(root / "objects")
        second = store.put([SMALL])

        assert (True, False) == (first.new, second.new)
        assert (first.digest, first.size, first.stored_size) == (second.digest, second.size, second.stored_size)
        assert before == tree(root / "objects")
        assert 1 == store.catalog.totals().blobs


def test_says_what_it_holds(root: Path) -> None:
    """Objects, their sizes and the catalog's totals agree with the files."""
    blobs = [payload(size, size) for size in (10, 2000, 70_000)]
    with BlobStore.create(root)[0] as store:
        for blob in blobs:
            store.put([blob])
        found = dict(store.objects())
        totals = store.catalog.totals()

        assert sorted(digest_of(blob) for blob in blobs) == sorted(found) == list(found)
        assert {digest: object_path(root, digest).stat().st_size for digest in found} == found
        assert (3, 72_010, sum(found.values())) == (totals.blobs, totals.size, totals.stored_size)
        assert {digest: found[digest] for digest in found} == {digest: store.stored_size(digest) for digest in found}
        assert sorted(map(len, blobs)) == sorted(store.header(digest).size for digest in found)
        assert all(store.contains(digest) for digest in found)


def test_an_unknown_blob_is_missing(root: Path) -> None:
    """What was never put is missing by every way of asking."""
    absent = digest_of(b"absent")
    with BlobStore.create(root)[0] as store:
        assert not store.contains(absent)
        for ask in (store.read, store.open_blob, store.header):
            with pytest.raises(BlobMissingError) as caught:
                ask(absent)
            assert absent == caught.value.digest
        with pytest.raises(ObjectNotFoundError):
            store.stored_size(absent)


def test_files_that_are_no_objects_are_passed_over(root: Path) -> None:
    """A stray file among the objects is not listed."""
    with BlobStore.create(root)[0] as store:
        store.put([SMALL])
        (root / "objects" / "00" / "README").write_text("what is this")
        (root / "objects" / "00" / ".half.1.ab").write_text("what is this")

        assert [digest_of(SMALL)] == [digest for digest, _ in store.objects()]


def test_threads_may_share_a_store(root: Path) -> None:
    """Threads that put and read overlapping blobs all get their bytes, and each blob is stored once."""
    blobs = [payload(20_000, number % 10) for number in range(40)]
    with BlobStore.create(root)[0] as store, ThreadPoolExecutor(6) as pool:
        digests = list(pool.map(lambda blob: store.put([blob]).digest, blobs))
        read = list(pool.map(store.read, digests))

        assert blobs == read
        assert 10 == store.catalog.totals().blobs == len(objects(root))


def test_a_deleted_catalog_is_made_again_from_the_objects(root: Path) -> None:
    """A catalog that is gone is rebuilt equal, and nothing needed it for reading."""
    with BlobStore.create(root)[0] as store:
        for number in range(30):
            store.put([payload(number * 1000, number)])
        before = rows(store)
    for path in root.glob("catalog.sqlite*"):
        path.unlink()

    with BlobStore.open(root) as store:
        assert payload(7000, 7) == store.read(digest_of(payload(7000, 7)))
        report = rebuild_catalog(store)

        assert before == rows(store)
        assert (30, 30, True) == (report.objects, report.catalogued, report.sound)
        assert check(store, []).sound


def test_objects_that_a_lost_catalog_does_not_know_are_entered_by_a_repair(root: Path) -> None:
    """Objects that a new, empty catalog does not know are found, and entered by a repair."""
    with BlobStore.create(root)[0] as store:
        for number in range(3):
            store.put([payload(1000, number)])
        before = rows(store)
    for path in root.glob("catalog.sqlite*"):
        path.unlink()

    with BlobStore.open(root) as store:
        found = check(store, [])
        repaired = check(store, [], repair=True)

        assert (3, True) == (found.unknown_objects, found.sound)
        assert (3, True) == (repaired.repaired, repaired.sound)
        assert before == rows(store)


def test_the_old_catalog_is_kept_by_a_rebuild(root: Path) -> None:
    """A rebuild puts the old catalog aside; it can still be read."""
    with BlobStore.create(root)[0] as store:
        store.put([SMALL])
        rebuild_catalog(store)
        ((old,)) = root.glob("catalog.sqlite.*.old")

    connection = apsw.Connection(str(old), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        assert digest_of(SMALL).upper() == connection.execute("SELECT hex(digest) FROM blob").get
    finally:
        connection.close()


def test_a_rebuild_reports_objects_that_are_none(root: Path) -> None:
    """An object whose header is damaged is reported and not entered; the others are."""
    with BlobStore.create(root)[0] as store:
        bad, good = store.put([SMALL]).digest, store.put([LARGE]).digest
        flip(object_path(root, bad), 70)

        report = rebuild_catalog(store)

        assert [good] == [row.digest for row in store.catalog.blobs()]
        assert (2, 1, 1, False) == (report.objects, report.catalogued, report.corrupt, report.sound)


def test_the_catalog_of_another_store_is_refused(root: Path, tmp_path: Path) -> None:
    """A catalog that was copied from elsewhere is not believed; the error says how to get a new one."""
    other = tmp_path / "other"
    with BlobStore.create(other)[0] as store:
        store.put([LARGE])
    with BlobStore.create(root)[0] as store:
        store.put([SMALL])
    for path in root.glob("catalog.sqlite*"):
        path.unlink()
    (root / "catalog.sqlite").write_bytes((other / "catalog.sqlite").read_bytes())

    with BlobStore.open(root) as store:
        with pytest.raises(StoreFormatError, match="another store") as caught:
            store.put([payload(10)])
        assert SMALL == store.read(digest_of(SMALL))
        rebuild_catalog(store)
        store.put([payload(10)])

        assert "--rebuild-catalog" in caught.value.hint
        assert 2 == store.catalog.totals().blobs


@pytest.mark.parametrize(
    "damage", [b"this is no database" * 1000, b"SQLite format 3\0" + bytes(range(256)) * 64], ids=len
)
def test_a_damaged_catalog_is_no_obstacle_to_reading(root: Path, damage: bytes) -> None:
    """With a catalog of garbage blobs still read; putting says what is wrong, and a rebuild cures it."""
    with BlobStore.create(root)[0] as store:
        digest = store.put([SMALL]).digest
    for path in root.glob("catalog.sqlite*"):
        path.unlink()
    (root / "catalog.sqlite").write_bytes(damage)

    with BlobStore.open(root) as store:
        assert SMALL == store.read(digest)
        with pytest.raises(StoreFormatError, match="damaged") as caught:
            store.put([LARGE])
        rebuild_catalog(store)
        store.put([LARGE])

        assert "--rebuild-catalog" in caught.value.hint
        assert 2 == store.catalog.totals().blobs


def test_a_store_of_somebody_else_can_be_read(open_root: Path) -> None:
    """Reading needs nothing writable, and leaves nothing behind; putting says that it may not."""
    with BlobStore.create(open_root)[0] as store:
        for blob in (SMALL, LARGE):
            store.put([blob])
    readable(open_root)
    before = tree(open_root)
    digest = digest_of(SMALL)

    with as_nobody(), BlobStore.open(open_root) as store:
        data = store.read(digest)
        with store.open_blob(digest_of(LARGE)) as stream:
            stream.seek(4_000_000)
            part = stream.read(100)
        with pytest.raises(StoreUnavailableError, match="write"):
            store.put([b"new"])

    assert (SMALL, LARGE[4_000_000:4_000_100]) == (data, part)
    assert before == tree(open_root)


def test_a_readable_store_without_a_catalog_can_be_read(open_root: Path) -> None:
    """Reading does not miss a catalog that is not there."""
    with BlobStore.create(open_root)[0] as store:
        digest = store.put([SMALL]).digest
    for path in open_root.glob("catalog.sqlite*"):
        path.unlink()
    readable(open_root)

    with as_nobody(), BlobStore.open(open_root) as store:
        assert SMALL == store.read(digest)

    assert not (open_root / "catalog.sqlite").exists()


def test_last_use_is_kept_by_the_hour(root: Path) -> None:
    """A read notes when it was, unless the note that is there is younger than an hour."""
    with BlobStore.create(root)[0] as store:
        digest = store.put([SMALL]).digest
        put_at = row_of(store, digest).used_at
        store.read(digest)
    with BlobStore.open(root) as store:
        used_soon = row_of(store, digest).used_at
        with store.catalog.transaction():
            store.catalog._db.execute("UPDATE blob SET used_at=used_at-3000")
        store.read(digest)
    with BlobStore.open(root) as store:
        used_within_the_hour = row_of(store, digest).used_at
        with store.catalog.transaction():
            store.catalog._db.execute("UPDATE blob SET used_at=used_at-3000")
        store.open_blob(digest).close()
    with BlobStore.open(root) as store:
        used_later = row_of(store, digest).used_at

    assert put_at == used_soon
    assert put_at - 3000 == used_within_the_hour
    assert put_at <= used_later


def test_many_reads_note_their_uses_before_the_store_is_closed(root: Path) -> None:
    """A host that never closes its store still has its uses noted, some hundred at a time."""
    with BlobStore.create(root)[0] as store, store.writer() as writer:
        digests = [writer.put([bytes([number // 256, number % 256])]).digest for number in range(300)]
        with store.catalog.transaction():
            store.catalog._db.execute("UPDATE blob SET used_at=1")
        for digest in digests:
            store.read(digest)

        assert 256 <= sum(row.used_at > 1 for row in store.catalog.blobs())


def test_reading_goes_on_when_uses_cannot_be_noted(root: Path) -> None:
    """A catalog that another process holds does not hold up a reader, and its close neither."""
    with BlobStore.create(root)[0] as store:
        digest = store.put([SMALL]).digest
    seen: list[bytes] = []

    def read() -> None:
        with BlobStore.open(root) as store:
            seen.append(store.read(digest))

    reader = threading.Thread(target=read)
    with Neighbour(root / "catalog.sqlite") as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")
        reader.start()
        reader.join(10)
        waits = reader.is_alive()
        neighbour.execute("ROLLBACK")
    reader.join()

    assert [SMALL] == seen
    assert not waits


def test_a_file_url_is_a_path(root: Path) -> None:
    """A store may be named by a file URL; any other scheme is refused in words."""
    with BlobStore.create(f"file://{root}")[0] as store:
        store.put([SMALL])

    assert [digest_of(SMALL)] == objects(root)
    with pytest.raises(UsageError):
        BlobStore.open("gopher://example.org/blobs")


def test_a_relative_store_stays_where_it_was(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that was opened by a relative path is the same one after a change of directory."""
    monkeypatch.chdir(root.parent)
    with BlobStore.create("store")[0] as store:
        monkeypatch.chdir("/")
        store.put([SMALL])

    assert [digest_of(SMALL)] == objects(root)


def readable(root: Path) -> None:
    """Let everybody read a directory, and nobody write it."""
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


@pytest.fixture
def open_root() -> Iterator[Path]:
    """Where a store may be made that everybody can reach; pytest's own directories are private."""
    with tempfile.TemporaryDirectory() as parent:
        Path(parent).chmod(0o755)
        root = Path(parent) / "store"
        yield root
        for path in (root, *root.rglob("*")):
            path.chmod(0o700)
