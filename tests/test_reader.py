import io
import json
import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocblob import BlobStore, codec
from ocblob.backends.local import LocalBackend
from ocblob.codec import FRAME_BYTES, HEADER_BYTES, ObjectHeader
from ocblob.digest import digest_of
from ocblob.errors import BlobCorruptError, BlobExpiredError, BlobMissingError, StoreUnavailableError
from ocblob.store.catalog import State
from ocblob.store.layout import new_generation, object_key, trash_key
from ocblob.store.reader import Reader
from samples import flip, object_path, objects, payload, tree

DATA = payload(2 * FRAME_BYTES + 1000)
DIGEST = digest_of(DATA)
LAST_FRAME = -1000
OLDER, NEWER = new_generation(1_767_571_200), new_generation(1_770_000_000)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """A store with one blob of several frames."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        store.put([DATA])
        yield store


def root(store: BlobStore) -> Path:
    """The store's directory."""
    return Path(store.url)


def live(store: BlobStore) -> Path:
    """The blob's object."""
    return object_path(root(store), DIGEST)


def trash(store: BlobStore, generation: str = NEWER) -> Path:
    """Where the blob's object lies in the trash."""
    path = root(store) / trash_key(generation, DIGEST)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def write_tombstone(store: BlobStore) -> dict[str, object]:
    """Leave a tombstone for the blob."""
    tombstone: dict[str, object] = {"size": len(DATA), "mime": "application/pdf", "when": "2026-11-01", "policy": "age"}
    path = root(store) / "tombstones" / f"{DIGEST}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(tombstone))
    return tombstone


def quarantined(store: BlobStore) -> list[str]:
    """The digests of the files in quarantine."""
    return [path.name.partition(".")[0] for path in (root(store) / "quarantine").glob("*")]


def state(store: BlobStore) -> State:
    """The blob's state in the catalog."""
    row = store.catalog.get(DIGEST)
    assert row is not None
    return row.state


def read_stream(store: BlobStore) -> bytes:
    """The blob through its seekable stream, in odd pieces."""
    with store.open_blob(DIGEST) as stream:
        return b"".join(iter(lambda: stream.read(333_333), b""))


WAYS: list[Callable[[BlobStore], object]] = [
    lambda store: store.read(DIGEST),
    lambda store: list(store.chunks(DIGEST)),
    read_stream,
]
WAY_NAMES = ["read", "chunks", "open_blob"]


@pytest.mark.parametrize("read", [lambda store: store.read(DIGEST), read_stream], ids=["read", "open_blob"])
def test_reads_from_the_trash(store: BlobStore, read: Callable[[BlobStore], bytes]) -> None:
    """A condemned blob is given out from whichever generation of the trash holds it, and is live again."""
    trash(store, NEWER)
    live(store).rename(trash(store, OLDER))

    assert DATA == read(store)
    assert store.contains(DIGEST)
    assert (True, False) == (live(store).is_file(), trash(store, OLDER).exists())
    assert State.LIVE is state(store)


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
def test_says_missing_when_it_is_nowhere(store: BlobStore, way: Callable[[BlobStore], object]) -> None:
    """A blob without object, trash or tombstone is missing."""
    trash(store)
    live(store).unlink()

    with pytest.raises(BlobMissingError) as caught:
        way(store)

    assert DIGEST == caught.value.digest


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
def test_says_expired_when_there_is_a_tombstone(store: BlobStore, way: Callable[[BlobStore], object]) -> None:
    """A blob whose last copy was dropped by policy comes as its own error, with the tombstone in it."""
    live(store).unlink()
    tombstone = write_tombstone(store)

    with pytest.raises(BlobExpiredError, match="2026-11-01") as caught:
        way(store)

    assert tombstone == caught.value.tombstone
    assert DIGEST == caught.value.digest


@pytest.mark.parametrize("place", ["live", "trash"])
def test_an_object_wins_over_a_tombstone(store: BlobStore, place: str) -> None:
    """As long as an object is there, a tombstone says nothing."""
    write_tombstone(store)
    if place == "trash":
        live(store).rename(trash(store))

    assert DATA == store.read(DIGEST)


def test_a_blob_that_is_revived_under_a_read_is_found(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """A blob that moves from the trash to its place between two looks is not called missing."""
    live(store).rename(trash(store))
    real = LocalBackend.open

    def open_and_revive(backend: LocalBackend, key: str) -> object:
        if key == object_key(DIGEST) and trash(store).exists():
            try:
                return real(backend, key)
            finally:
                trash(store).rename(live(store))
        return real(backend, key)

    monkeypatch.setattr(LocalBackend, "open", open_and_revive)

    assert DATA == store.read(DIGEST)


@pytest.mark.parametrize("loop", ["object", "objects", "trash", "tombstones"])
def test_never_says_missing_when_it_cannot_look(store: BlobStore, loop: str) -> None:
    """If any place that may hold the blob cannot be looked at, the answer is that nobody can say."""
    live(store).unlink()
    at = {
        "object": live(store),
        "objects": live(store).parent,
        "trash": root(store) / "trash",
        "tombstones": root(store) / "tombstones",
    }[loop]
    if loop == "objects":
        at.rmdir()
    at.symlink_to(at)

    with pytest.raises(StoreUnavailableError):
        store.read(DIGEST)


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
@pytest.mark.parametrize("offset", [10, 40, HEADER_BYTES + 20, FRAME_BYTES, LAST_FRAME])
def test_a_corrupt_object_goes_to_quarantine(store: BlobStore, way: Callable[[BlobStore], object], offset: int) -> None:
    """Damage anywhere is an error, and the object is moved away as it was; the next reader is told where it lies."""
    flip(live(store), offset)
    damaged = live(store).read_bytes()

    with pytest.raises(BlobCorruptError) as caught:
        way(store)

    assert DIGEST == caught.value.digest
    assert not live(store).exists()
    assert [DIGEST] == quarantined(store)
    assert [damaged] == [path.read_bytes() for path in (root(store) / "quarantine").iterdir()]
    assert State.CORRUPT is state(store)
    with pytest.raises(BlobMissingError, match=f"quarantine/{DIGEST}"):
        way(store)


def test_a_corrupt_object_in_the_trash_goes_to_quarantine(store: BlobStore) -> None:
    """A bad object in the trash is moved away as well."""
    live(store).rename(trash(store))
    flip(trash(store), LAST_FRAME)

    with pytest.raises(BlobCorruptError):
        store.read(DIGEST)

    assert [DIGEST] == quarantined(store)
    assert not trash(store).exists()


def test_the_next_copy_is_tried(store: BlobStore) -> None:
    """If the live object is bad and the trash has a good one, the blob is read, and the bad one is put aside."""
    trash(store).write_bytes(live(store).read_bytes())
    flip(live(store), LAST_FRAME)

    assert DATA == store.read(DIGEST)
    assert [DIGEST] == quarantined(store)


def test_nothing_comes_out_as_success_before_it_is_verified(store: BlobStore) -> None:
    """The pieces before the damage may be seen, the iterator never ends well, and the last piece is held back."""
    flip(live(store), LAST_FRAME)
    seen = bytearray()

    def consume() -> None:
        for chunk in store.chunks(DIGEST):
            seen.extend(chunk)

    with pytest.raises(BlobCorruptError):
        consume()

    assert bytes(seen) == DATA[: len(seen)]
    assert len(seen) < len(DATA)


def test_quarantine_takes_only_the_file_that_was_read(store: BlobStore) -> None:
    """A good object that replaced the bad one while that was read stays where it is."""
    good = live(store).read_bytes()
    flip(live(store), LAST_FRAME)
    chunks = store.chunks(DIGEST)
    next(chunks)
    fresh = root(store) / "fresh"
    fresh.write_bytes(good)
    fresh.replace(live(store))

    with pytest.raises(BlobCorruptError):
        list(chunks)

    assert [] == quarantined(store)
    assert DATA == store.read(DIGEST)


def test_a_reader_of_somebody_elses_store_moves_nothing(store: BlobStore) -> None:
    """Without leave to change the store, damage is an error and everything stays."""
    flip(live(store), LAST_FRAME)
    before = tree(root(store) / "objects")

    with pytest.raises(BlobCorruptError):
        list(Reader(LocalBackend(root(store))).chunks(DIGEST))

    assert before == tree(root(store) / "objects")
    assert [] == quarantined(store)


def test_damage_is_damage_even_without_a_catalog(store: BlobStore) -> None:
    """A reader that finds a bad object says so, although the catalog that should note it is garbage."""
    store.close()
    for path in root(store).glob("catalog.sqlite*"):
        path.unlink()
    (root(store) / "catalog.sqlite").write_bytes(b"garbage " * 1000)
    flip(live(store), LAST_FRAME)

    with BlobStore.open(root(store)) as again, pytest.raises(BlobCorruptError):
        again.read(DIGEST)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda _: b"", id="empty"),
        pytest.param(lambda data: data[:50], id="cut in the header"),
        pytest.param(lambda data: data[:HEADER_BYTES], id="cut after the header"),
        pytest.param(lambda data: data[: FRAME_BYTES // 2], id="cut in a frame"),
        pytest.param(lambda data: data[:-1], id="cut by a byte"),
        pytest.param(lambda data: data + b"\0", id="grown by a byte"),
        pytest.param(lambda data: data + data, id="twice"),
        pytest.param(lambda data: bytes(len(data)), id="zeroes"),
        pytest.param(lambda data: data[:-500] + bytes(500), id="a lost last sector"),
        pytest.param(lambda _: DATA, id="the blob itself"),
    ],
)
@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
def test_objects_that_a_power_cut_leaves_are_corrupt(
    store: BlobStore, way: Callable[[BlobStore], object], damage: Callable[[bytes], bytes]
) -> None:
    """A cut, grown, zeroed or foreign object is found corrupt and put aside."""
    live(store).write_bytes(damage(live(store).read_bytes()))

    with pytest.raises(BlobCorruptError):
        way(store)

    assert [DIGEST] == quarantined(store)


@pytest.mark.parametrize("way", WAYS, ids=WAY_NAMES)
def test_another_blobs_bytes_under_this_name_are_corrupt(store: BlobStore, way: Callable[[BlobStore], object]) -> None:
    """A well-formed object of other bytes, with a header that lies, is found by the digest."""
    packed = io.BytesIO()
    header, _ = codec.encode([DATA[:-1] + b"?"], packed)
    data = bytearray(packed.getvalue())
    data[:HEADER_BYTES] = codec.pack_header(ObjectHeader(DIGEST, header.size, header.nonce))
    live(store).write_bytes(data)

    with pytest.raises(BlobCorruptError):
        way(store)

    assert [DIGEST] == quarantined(store)


def test_an_object_under_another_name_is_corrupt(store: BlobStore) -> None:
    """An intact object that lies where another blob belongs is not given out for it."""
    other = digest_of(b"other")
    path = object_path(root(store), other)
    path.write_bytes(live(store).read_bytes())

    with pytest.raises(BlobCorruptError):
        store.read(other)

    assert [DIGEST] == objects(root(store))


def test_a_stream_reads_any_part(store: BlobStore) -> None:
    """A stream is a file: any position and length give the same bytes as the blob has there."""
    rng = random.Random(5)
    with store.open_blob(DIGEST) as stream:
        assert (True, True, 0) == (stream.readable(), stream.seekable(), stream.tell())
        for _ in range(40):
            at, length = rng.randrange(len(DATA) + 100), rng.choice([0, 1, 100, 70_000, FRAME_BYTES + 5])
            assert at == stream.seek(at)
            assert DATA[at : at + length] == stream.read(length)
        assert len(DATA) - 10 == stream.seek(-10, os.SEEK_END)
        assert DATA[-10:] == stream.read()
        assert FRAME_BYTES == stream.seek(FRAME_BYTES - len(DATA), os.SEEK_CUR)
        assert DATA[FRAME_BYTES : FRAME_BYTES + 3] == stream.read(3)
        assert b"" == (stream.seek(len(DATA) + 5), stream.read(5))[1]
        with pytest.raises(ValueError, match="negative"):
            stream.seek(-1)


def test_a_stream_finds_damage_where_it_reads(store: BlobStore) -> None:
    """A part that is whole can be read; the damaged part cannot, and the object is put aside."""
    flip(live(store), HEADER_BYTES + FRAME_BYTES + 5000)
    with store.open_blob(DIGEST) as stream:
        assert DATA[:FRAME_BYTES] == stream.read(FRAME_BYTES)
        stream.seek(2 * FRAME_BYTES)
        assert DATA[2 * FRAME_BYTES :] == stream.read()
        stream.seek(FRAME_BYTES)
        with pytest.raises(BlobCorruptError):
            stream.read(10)

    assert [DIGEST] == quarantined(store)


def test_a_stream_of_an_empty_blob_ends_at_once(store: BlobStore) -> None:
    """A blob of no bytes reads as nothing."""
    digest = store.put([]).digest

    with store.open_blob(digest) as stream:
        assert (b"", 0) == (stream.read(), stream.seek(0, os.SEEK_END))


def test_reading_leaves_no_file_open(store: BlobStore) -> None:
    """Whole reads, parts, errors and dropped iterators all give their files free."""
    before = len(list(Path("/dev/fd").iterdir()))
    store.read(DIGEST)
    store.open_blob(DIGEST).close()
    chunks = store.chunks(DIGEST)
    next(chunks)
    del chunks
    flip(live(store), 40)
    for way in WAYS:
        with pytest.raises((BlobCorruptError, BlobMissingError)):
            way(store)
    store.close()

    assert before >= len(list(Path("/dev/fd").iterdir()))
