import errno
import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import zstandard

from disks import remount, small_disk
from ocblob import BlobStore, codec
from ocblob.base64stream import NotCanonicalError
from ocblob.check import check
from ocblob.databases.base import Edit, EditResult
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.digest import digest_of
from ocblob.errors import BackendError, CellError, OcblobError, StageError, StoreUnavailableError
from ocblob.offload import OffloadReport, offload
from ocblob.store.catalog import Catalog, State
from ocblob.store.layout import trash_key
from ocblob.store.reader import Reader
from ocblob.store.writer import Wanted
from processes import finish, spawn
from samples import (
    BODY,
    EVERYTHING,
    bodies,
    cell,
    flip,
    make_database,
    object_path,
    objects,
    payload,
    refs,
    unresolved,
)

DATA = payload(50_000)
DIGEST = digest_of(DATA)
BLOBS = [payload(40_000 + number, number) for number in range(6)]
FULL_DISK_BYTES = 1 << 20
REAL_COMPRESSOR = zstandard.ZstdCompressor

PUTTER = """
import sys
from ocblob import BlobStore
from ocblob.digest import digest_of
from ocblob.store.writer import Wanted
from samples import payload

def wanted(number):
    data = payload(3000 + number, number)
    return Wanted(digest_of(data), len(data), lambda: iter([data]))

first = int(sys.argv[2])
with BlobStore.create(sys.argv[1])[0] as store, store.writer() as writer:
    for start in range(first, first + 60, 10):
        receipt = writer.begin([wanted(number) for number in range(start, start + 10)]).finish()
        writer.confirm(receipt.stored)
        assert not receipt.failed
print("done")
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """An empty store."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        yield store


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database whose rows hold a blob each, and one of them a second time."""
    return make_database(tmp_path / "app.db", [cell(blob) for blob in (*BLOBS, BLOBS[0])])


def root(store: BlobStore) -> Path:
    """The store's directory."""
    return Path(store.url)


def staged(store: BlobStore) -> list[Path]:
    """The files in staging."""
    return [path for path in (root(store) / "staging").rglob("*") if path.is_file()]


def wanted(data: bytes = DATA) -> Wanted:
    """A blob, and where to get it."""
    return Wanted(digest_of(data), len(data), lambda: iter([data[:10], data[10:]]))


def move_out(path: Path, store: BlobStore) -> OffloadReport:
    """Offload everything."""
    with SQLiteDatabase(path) as database:
        return offload(database, store, (BODY,), scope=EVERYTHING)


def test_a_batch_is_durable_when_it_is_finished(store: BlobStore) -> None:
    """After a batch its objects have their names, the catalog knows them, and nothing is staged."""
    with store.writer() as writer:
        receipt = writer.begin([wanted(blob) for blob in BLOBS]).finish()
        writer.confirm(receipt.stored)

        assert {} == receipt.failed
        assert {digest_of(blob): (len(blob), True) for blob in BLOBS} == {
            digest: (item.size, item.new) for digest, item in receipt.stored.items()
        }
        assert [] == staged(store)
    assert sorted(map(digest_of, BLOBS)) == objects(root(store)) == [row.digest for row in store.catalog.blobs()]
    assert [] == list((root(store) / "staging").iterdir())


def test_an_empty_batch_is_finished_at_once(store: BlobStore) -> None:
    """A batch of no blobs gives an empty receipt."""
    with store.writer() as writer:
        receipt = writer.begin([]).finish()

    assert ({}, {}) == (receipt.stored, receipt.failed)


def test_batches_that_overlap_store_each_blob_once(store: BlobStore) -> None:
    """A blob that two batches under way want is staged once and counted as new once."""
    with store.writer() as writer:
        one = writer.begin([wanted(blob) for blob in BLOBS[:4]])
        two = writer.begin([wanted(blob) for blob in BLOBS[2:]])
        receipts = [one.finish(), two.finish()]

        assert [4, 2] == [sum(item.new for item in receipt.stored.values()) for receipt in receipts]
        assert [4, 4] == [len(receipt.stored) for receipt in receipts]
    assert sorted(map(digest_of, BLOBS)) == objects(root(store))


@contextmanager
def counted_verifications(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The digests of objects that are read to be verified."""
    seen: list[str] = []
    real = Reader.verify_own

    def verify(reader: Reader, digest: str, key: str) -> tuple[int, str]:
        seen.append(digest)
        return real(reader, digest, key)

    with monkeypatch.context() as patch:
        patch.setattr(Reader, "verify_own", verify)
        yield seen


def test_a_known_blob_is_verified_once_in_a_pass(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first hit of each writer reads the stored object, its later ones rely on that."""
    store.put([DATA])
    with counted_verifications(monkeypatch) as seen:
        for _writer in range(2):
            with store.writer() as writer:
                for _batch in range(3):
                    assert not writer.begin([wanted()]).finish().stored[DIGEST].new

    assert [DIGEST, DIGEST] == seen


def test_a_verified_hit_asks_for_no_bytes(store: BlobStore) -> None:
    """For a blob that the store has, the row is not read again."""
    store.put([DATA])

    def chunks() -> Iterator[bytes]:
        raise AssertionError("asked for")
        yield b""

    with store.writer() as writer:
        receipt = writer.begin([Wanted(DIGEST, len(DATA), chunks)]).finish()

    assert (False, len(DATA)) == (receipt.stored[DIGEST].new, receipt.stored[DIGEST].size)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "magic": lambda data: b"\0" + data[1:],
    "our magic": lambda data: data[:8] + b"X" + data[9:],
    "version": lambda data: data[:16] + bytes([data[16] ^ 4]) + data[17:],
    "size": lambda data: data[:76] + bytes([data[76] ^ 1]) + data[77:],
    "header checksum": lambda data: data[:84] + bytes([data[84] ^ 1]) + data[85:],
    "content": lambda data: data[:5000] + b"!" + data[5001:],
    "table": lambda data: data[:-1] + b"\0",
    "cut": lambda data: data[:-100],
    "grown": lambda data: data + b"x",
    "zeroes": lambda data: bytes(len(data)),
    "empty": lambda _: b"",
    "plain": lambda _: DATA,
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_hit_replaces_a_corrupt_object(store: BlobStore, damage: Callable[[bytes], bytes]) -> None:
    """The stored object of a known blob is made good from the row; the bad one lies in quarantine, as it was."""
    store.put([DATA])
    path = object_path(root(store), DIGEST)
    bad = damage(path.read_bytes())
    path.write_bytes(bad)

    with store.writer() as writer:
        receipt = writer.begin([wanted()]).finish()
        writer.confirm(receipt.stored)

    assert {} == receipt.failed
    assert DATA == store.read(DIGEST)
    assert [bad] == [file.read_bytes() for file in (root(store) / "quarantine").iterdir()]
    assert check(store, []).sound


def test_a_hit_replaces_a_missing_object(store: BlobStore) -> None:
    """A blob that the catalog knows and the store has lost is put again."""
    store.put([DATA])
    object_path(root(store), DIGEST).unlink()

    stored = store.put([DATA])

    assert stored.new
    assert DATA == store.read(DIGEST)


def test_a_hit_replaces_a_corrupt_object_in_the_trash(store: BlobStore) -> None:
    """A condemned blob whose object has gone bad is put afresh."""
    store.put([DATA])
    trashed = root(store) / trash_key("20260101-000000", DIGEST)
    trashed.parent.mkdir(parents=True)
    object_path(root(store), DIGEST).rename(trashed)
    flip(trashed, 3000)

    assert store.put([DATA]).new
    assert DATA == store.read(DIGEST)


def test_an_object_that_the_catalog_does_not_know_is_used(store: BlobStore) -> None:
    """What a crash left between the rename and the catalog is verified and entered, not written again."""
    store.put([DATA])
    with store.catalog.transaction():
        store.catalog.remove(DIGEST)
    before = object_path(root(store), DIGEST).stat()

    stored = store.put([DATA])

    row = store.catalog.get(DIGEST)
    assert row is not None
    assert not stored.new
    assert (State.LIVE, len(DATA), before.st_size) == (row.state, row.size, row.stored_size)
    assert before.st_ino == object_path(root(store), DIGEST).stat().st_ino


def test_a_blob_that_was_corrupt_is_live_again(store: BlobStore) -> None:
    """Once a reader has put the bad object aside, a put brings the blob back in the catalog too."""
    store.put([DATA])
    flip(object_path(root(store), DIGEST), 3000)
    with pytest.raises(OcblobError):
        store.read(DIGEST)
    row_before = store.catalog.get(DIGEST)

    assert store.put([DATA]).new
    row = store.catalog.get(DIGEST)
    assert row_before is not None
    assert row is not None
    assert (State.CORRUPT, State.LIVE) == (row_before.state, row.state)


class FlippingCompressor:
    """A codec with a bug: one bit of every frame is wrong before it is compressed."""

    def __init__(self, **settings: object) -> None:
        self._real = REAL_COMPRESSOR(level=3, write_checksum=True, write_content_size=True)
        assert settings

    def compress(self, data: bytes) -> bytes:
        """A valid frame of other bytes."""
        return self._real.compress(bytes(data[:-1]) + bytes([data[-1] ^ 1]))


class CuttingCompressor(FlippingCompressor):
    """A codec that loses the end of its output."""

    def compress(self, data: bytes) -> bytes:
        """A frame that is cut off."""
        return self._real.compress(data)[:-3]


@pytest.mark.parametrize("broken", [FlippingCompressor, CuttingCompressor])
def test_what_does_not_read_back_is_not_published(
    store: BlobStore, database: Path, monkeypatch: pytest.MonkeyPatch, broken: type[FlippingCompressor]
) -> None:
    """If the staged file does not decode to what went in, the put fails and the rows stay inline."""
    before = bodies(database)
    monkeypatch.setattr(zstandard, "ZstdCompressor", broken)

    with pytest.raises(StageError, match="read back"):
        store.put([DATA])
    report = move_out(database, store)

    assert before == bodies(database)
    assert (0, 7, False) == (report.cells_swapped, report.failed, report.complete)
    assert "read back" in report.problems[0]
    assert ([], []) == (objects(root(store)), staged(store))


@pytest.mark.parametrize(
    ("chunks", "expected"),
    [
        pytest.param(lambda: iter([DATA[:-1] + b"!"]), CellError, id="other bytes"),
        pytest.param(lambda: iter([DATA[:-1]]), CellError, id="fewer bytes"),
        pytest.param(lambda: iter([]), CellError, id="no bytes"),
    ],
)
def test_bytes_that_are_not_the_blobs_are_not_stored(
    store: BlobStore, chunks: Callable[[], Iterator[bytes]], expected: type[OcblobError]
) -> None:
    """If a source gives other bytes than it was wanted for, that blob fails and the others are put."""
    with store.writer() as writer:
        receipt = writer.begin([Wanted(DIGEST, len(DATA), chunks), wanted(BLOBS[0])]).finish()

    assert {DIGEST: expected} == {digest: type(error) for digest, error in receipt.failed.items()}
    assert [digest_of(BLOBS[0])] == list(receipt.stored) == objects(root(store))


@pytest.mark.parametrize("error", [CellError("the row is gone"), NotCanonicalError("bad text")])
def test_a_source_that_fails_costs_only_its_blob(store: BlobStore, error: Exception) -> None:
    """A row that cannot be read any more is in the receipt, the other blobs are durable, a next try succeeds."""

    def chunks() -> Iterator[bytes]:
        yield DATA[:1000]
        raise error

    with store.writer() as writer:
        receipt = writer.begin([Wanted(DIGEST, len(DATA), chunks), wanted(BLOBS[0])]).finish()
        left = staged(store)
        again = writer.begin([wanted()]).finish()

    assert [DIGEST] == list(receipt.failed)
    assert isinstance(receipt.failed[DIGEST], CellError)
    assert [] == left
    assert again.stored[DIGEST].new


def test_a_put_whose_source_breaks_leaves_nothing(store: BlobStore) -> None:
    """An error of the source goes through, and no part of the blob stays."""

    def chunks() -> Iterator[bytes]:
        yield DATA
        raise KeyError("broken")

    with pytest.raises(KeyError):
        store.put(chunks())

    assert ([], []) == (objects(root(store)), staged(store))


@contextmanager
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, str]]]:
    """What happens to files, the catalog and rows, in its order, with paths."""
    events: list[tuple[str, str]] = []
    fsync, replace, transaction, swap = os.fsync, os.replace, Catalog.transaction, SQLiteDatabase.swap

    def recorded_fsync(fd: int) -> None:
        kind = "fsync directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "fsync file"
        path = str(Path(f"/dev/fd/{fd}").resolve())
        fsync(fd)
        events.append((kind, path))

    def recorded_replace(source: str | Path, target: str | Path) -> None:
        events.append(("rename from", str(source)))
        replace(source, target)
        events.append(("rename to", str(target)))

    @contextmanager
    def recorded_transaction(catalog: Catalog) -> Iterator[None]:
        with transaction(catalog):
            yield
        events.append(("catalog", ""))

    def recorded_swap(database: SQLiteDatabase, edits: list[Edit], *, stamp: object) -> list[EditResult]:
        events.append(("rows", ""))
        return swap(database, edits, stamp=stamp)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", recorded_fsync)
        patch.setattr(os, "replace", recorded_replace)
        patch.setattr(Catalog, "transaction", recorded_transaction)
        patch.setattr(SQLiteDatabase, "swap", recorded_swap)
        yield events


def test_rows_change_only_after_everything_is_durable(
    store: BlobStore, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each blob: its file is synced, renamed, its directory synced, the catalog committed, then the rows swapped."""
    with recorded(monkeypatch) as events:
        report = move_out(database, store)

    assert (7, 6) == (report.cells_swapped, report.blobs_new)
    rows = events.index(("rows", ""))
    catalog = max(at for at, event in enumerate(events[:rows]) if event == ("catalog", ""))
    for digest in objects(root(store)):
        path = str(object_path(root(store), digest))
        renamed = events.index(("rename to", path))
        (_, source) = events[renamed - 1] if events[renamed - 1][0] == "rename from" else ("", "")
        assert "staging" in source
        assert events.index(("fsync file", source)) < renamed
        synced = events.index(("fsync directory", str(Path(path).parent)), renamed)
        assert renamed < synced < catalog < rows


def test_each_directory_is_synced_once_in_a_batch(
    store: BlobStore, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many objects of a batch go into a directory, it is synced once."""
    with recorded(monkeypatch) as events:
        move_out(database, store)

    synced = [path for kind, path in events if kind == "fsync directory" and "/objects/" in path]
    assert sorted({str(object_path(root(store), digest).parent) for digest in objects(root(store))}) == sorted(synced)


def test_a_hit_is_as_durable_as_a_fresh_put(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that another writer may have renamed a moment ago is synced, and its directory, before it counts."""
    store.put([DATA])
    path = object_path(root(store), DIGEST)
    with store.writer() as writer, recorded(monkeypatch) as events:
        writer.begin([wanted()]).finish()

    catalog = max(at for at, event in enumerate(events) if event == ("catalog", ""))
    assert events.index(("fsync file", str(path))) < catalog
    assert events.index(("fsync directory", str(path.parent))) < catalog


@pytest.mark.parametrize("fails", ["staged file", "directory"])
def test_a_failed_fsync_aborts_the_batch(
    store: BlobStore, database: Path, monkeypatch: pytest.MonkeyPatch, fails: str
) -> None:
    """If one fsync fails no row of the batch names a blob, and that file is never synced a second time."""
    before = bodies(database)
    real = os.fsync
    failed: list[str] = []
    synced: list[str] = []

    def fsync(fd: int) -> None:
        path = str(Path(f"/dev/fd/{fd}").resolve())
        synced.append(path)
        part = "/staging/" if fails == "staged file" else "/objects/"
        if part in path and not failed:
            failed.append(path)
            raise OSError(errno.EIO, "Input/output error")
        real(fd)

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(BackendError, match="Input/output error"):
        move_out(database, store)

    assert before == bodies(database)
    assert 1 == synced.count(failed[0])
    assert [] == staged(store)


def test_a_pass_after_a_failed_fsync_starts_afresh(
    store: BlobStore, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the disk works again the next pass moves everything."""

    def fsync(_fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(BackendError):
            move_out(database, store)

    report = move_out(database, store)

    assert (7, True) == (report.cells_swapped, report.complete)
    assert [] == unresolved(database, root(store))


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system with room for a megabyte."""
    with small_disk(tmp_path / "small", FULL_DISK_BYTES) as path:
        yield path


def test_a_full_disk_leaves_all_rows(full_disk: Path, tmp_path: Path) -> None:
    """When the store's disk is full the pass ends with that error and every row is whole; with room it goes on."""
    path = make_database(tmp_path / "app.db", [cell(payload(300_000, number)) for number in range(8)])
    with BlobStore.create(full_disk / "store")[0] as store:
        before = bodies(path)

        with pytest.raises(StoreUnavailableError, match=re.escape(os.strerror(errno.ENOSPC))):
            move_out(path, store)

        assert before == bodies(path)
        assert [] == staged(store)
        remount(full_disk, "size=9000000")
        assert 8 == move_out(path, store).cells_swapped
        assert [] == unresolved(path, root(store))


def test_no_room_to_stage_leaves_all_rows(store: BlobStore, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the file system while a file is staged is the store's, and no row changes."""
    before = bodies(database)

    def encode(*_arguments: object) -> object:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(codec, "encode", encode)

    with pytest.raises(StoreUnavailableError, match=re.escape(os.strerror(errno.ENOSPC))):
        move_out(database, store)

    assert before == bodies(database)


def test_a_rename_that_fails_leaves_all_rows(store: BlobStore, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If an object cannot get its name no row of the batch changes."""
    before = bodies(database)
    real = os.replace

    def replace(source: str | Path, target: str | Path) -> None:
        if "/objects/" in str(target):
            raise PermissionError(errno.EACCES, "Permission denied")
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)

    with pytest.raises(BackendError, match="Permission denied"):
        move_out(database, store)

    assert before == bodies(database)
    assert [] == objects(root(store))


def test_a_catalog_that_fails_leaves_all_rows(
    store: BlobStore, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the catalog cannot commit no row changes; the objects are there, and the next pass uses them."""
    before = bodies(database)

    def put(_catalog: Catalog, digest: str, **_sizes: int) -> None:
        raise StoreUnavailableError(f"no room for {digest}")

    with monkeypatch.context() as patch:
        patch.setattr(Catalog, "put", put)
        with pytest.raises(StoreUnavailableError, match="no room"):
            move_out(database, store)

    assert before == bodies(database)
    assert 6 == len(objects(root(store)))
    report = move_out(database, store)
    assert (7, 0) == (report.cells_swapped, report.blobs_new)


def test_writers_in_several_processes_share_a_store(tmp_path: Path) -> None:
    """Processes that put overlapping blobs at once all succeed, and each blob is there once."""
    path = tmp_path / "store"
    BlobStore.create(path)[0].close()
    putters = [spawn(PUTTER, str(path), str(first)) for first in (0, 20, 40)]

    assert ["done"] * 3 == [finish(putter).strip() for putter in putters]

    expected = sorted(digest_of(payload(3000 + number, number)) for number in range(100))
    assert expected == objects(path)
    with BlobStore.open(path) as store:
        assert [payload(3000, 0), payload(3099, 99)] == [store.read(digest_of(payload(3000 + n, n))) for n in (0, 99)]
        assert check(store, []).sound
        assert [] == list((path / "staging").iterdir())


def test_what_dead_writers_left_is_removed_after_a_day(store: BlobStore) -> None:
    """A staging directory of a writer that was killed goes after a day; a younger one may be at work and stays."""
    old, young = root(store) / "staging" / "1-dead", root(store) / "staging" / "2-busy"
    for path in (old, young):
        path.mkdir()
        (path / "half").write_bytes(b"half")
    os.utime(old, (time.time() - 90_000,) * 2)

    with store.writer():
        pass

    assert [young] == list((root(store) / "staging").iterdir())


def test_a_closed_writer_leaves_no_claims(store: BlobStore) -> None:
    """After a pass nothing keeps a deleter away."""
    with store.writer() as writer:
        writer.begin([wanted()]).finish()
        claimed = store.catalog.claimed_until(DIGEST)

    assert claimed > time.time()
    assert 0 == store.catalog.claimed_until(DIGEST)


def test_an_abandoned_batch_is_no_harm(store: BlobStore) -> None:
    """A batch that is begun and never finished leaves neither object nor file."""
    with store.writer() as writer:
        writer.begin([wanted(blob) for blob in BLOBS])

    assert ([], []) == (objects(root(store)), staged(store))


def test_offload_counts_blobs_once(store: BlobStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows of many batches that hold the same blob make one object, and the report says one."""
    monkeypatch.setattr("ocblob.batches.BATCH_CELLS", 2)
    path = make_database(tmp_path / "app.db", [cell(BLOBS[number % 2]) for number in range(11)])

    report = move_out(path, store)

    assert (11, 11, 2) == (report.cells_swapped, report.payloads, report.blobs_new)
    assert [digest_of(BLOBS[number % 2]) for number in range(11)] == [ref.digest for ref in refs(path)]
