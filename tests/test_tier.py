import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO

import pytest

from ocblob import BlobStore
from ocblob.backends.memory import MemoryBackend
from ocblob.check import check
from ocblob.errors import BlobCorruptError, BlobMissingError, StoreUnavailableError
from ocblob.store.layout import object_key
from ocblob.store.tier import SHARE_OF_ONE
from ocblob.store.tiers import LOW_WATER, trim
from processes import as_nobody
from samples import flip, object_path, objects, payload
from stores import damage, put_many, remote_store, set_used

SIZE = 20_000


class Counting(MemoryBackend):
    """Says which objects were opened, and lets a test hold them up."""

    def __init__(self) -> None:
        super().__init__()
        self.opened: list[str] = []
        self.patience_s = 0.0

    def open(self, key: str) -> BinaryIO:
        """As ever, noted."""
        if key.startswith("objects/"):
            self.opened.append(key)
            time.sleep(self.patience_s)
        return super().open(key)


@pytest.fixture
def backend(tmp_path: Path) -> Counting:
    """A remote store's bytes, with ten blobs that another host put."""
    backend = Counting()
    with remote_store(backend, tmp_path / "writer", cache_bytes=0) as store:
        put_many(store, 10, size=SIZE)
    backend.opened.clear()
    return backend


@pytest.fixture
def store(backend: Counting, tmp_path: Path) -> Iterator[BlobStore]:
    """The store on a host whose tier has room for all, and is empty."""
    with remote_store(backend, tmp_path / "host") as store:
        yield store


def blobs(store: BlobStore) -> list[str]:
    """What the remote store holds."""
    return [digest for digest, _size in store.objects()]


def kept(store: BlobStore) -> list[str]:
    """What lies in the tier."""
    return objects(store.local.root)


def file_of(store: BlobStore, digest: str) -> Path:
    """A blob's file in the tier."""
    return object_path(store.local.root, digest)


def test_a_blob_is_fetched_once(store: BlobStore, backend: Counting) -> None:
    """The first read brings a blob into the tier, later ones ask the remote store for nothing."""
    digest = blobs(store)[0]

    read = {store.read(digest) for _time in range(3)}

    assert ([1], [object_key(digest)], [digest]) == ([len(read)], backend.opened, kept(store))
    with store.open_blob(digest) as stream:
        assert read == {stream.read()}
    assert 1 == len(backend.opened)


def test_threads_fetch_a_blob_once(store: BlobStore, backend: Counting) -> None:
    """Readers of one digest at the same time wait for one fetch; others are not held up by it."""
    digest = blobs(store)[0]
    backend.patience_s = 0.2
    barrier = threading.Barrier(8)

    def read(_number: int) -> bytes:
        barrier.wait()
        return store.read(digest)

    with ThreadPoolExecutor(8) as pool:
        assert 1 == len(set(pool.map(read, range(8))))
    # Everybody opens the object to learn its size; bytes are fetched by the first one.
    assert [digest] == kept(store)
    assert store.tier is not None
    assert {} == store.tier._flights


def test_what_is_put_is_kept(tmp_path: Path) -> None:
    """A put leaves a copy in the tier, and the catalog knows its bytes."""
    backend = Counting()
    with remote_store(backend, tmp_path / "host") as store:
        (digest,) = put_many(store, 1, size=SIZE)

        assert ([digest], []) == (kept(store), backend.opened)
        assert payload(SIZE, (0, 0)) == store.read(digest)
        assert [] == backend.opened
        assert file_of(store, digest).stat().st_size == store.catalog.totals().held


def test_a_fetched_blob_is_counted(tmp_path: Path) -> None:
    """What a read brings into the tier is in the catalog's account, if the catalog knows the blob."""
    with remote_store(MemoryBackend(), tmp_path / "host") as store:
        (digest,) = put_many(store, 1, size=SIZE)
        with store.catalog.transaction():
            store.catalog.clear_held()
        file_of(store, digest).unlink()
        store.read(digest)

        assert file_of(store, digest).stat().st_size == store.catalog.totals().held


def test_a_damaged_file_is_fetched_again(store: BlobStore, backend: Counting) -> None:
    """A file of the tier that went bad is dropped, never told of, and replaced from the remote store."""
    digest = blobs(store)[0]
    data = store.read(digest)
    for offset in (3, 60, 500, -5):
        flip(file_of(store, digest), offset)
        assert data == store.read(digest)

    assert 5 == len(backend.opened)
    assert data == store.read(digest)
    assert [] == list((store.local.root / "quarantine").glob("*"))


@pytest.mark.parametrize("way", ["unlinked", "truncated", "emptied"])
def test_a_lost_file_is_fetched_again(store: BlobStore, way: str) -> None:
    """The tier may vanish at any time; reading does not notice."""
    digest = blobs(store)[0]
    data = store.read(digest)
    path = file_of(store, digest)
    if way == "unlinked":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:100] if way == "truncated" else b"")

    assert (data, [digest]) == (store.read(digest), kept(store))


def test_a_damaged_object_never_comes_in(store: BlobStore, backend: Counting) -> None:
    """What is fetched is verified on its way: a bad object is an error, and leaves nothing in the tier."""
    digest = blobs(store)[0]
    damage(backend, object_key(digest), at=500)

    with pytest.raises(BlobCorruptError):
        store.read(digest)

    assert [] == kept(store)
    assert [] == list((store.local.root / "staging").glob("*"))
    with pytest.raises(BlobMissingError, match="damaged copy"):
        store.read(digest)


def test_without_a_cache_everything_is_read_through(backend: Counting, tmp_path: Path) -> None:
    """A cache of nothing keeps nothing, and reads and puts work all the same."""
    with remote_store(backend, tmp_path / "host", cache_bytes=0) as store:
        digest = blobs(store)[0]
        read = {store.read(digest) for _time in range(3)}
        store.put([payload(SIZE, "new")])

        assert (1, []) == (len(read), kept(store))
        assert 0 == store.catalog.totals().held


def test_a_large_blob_is_read_through(backend: Counting, tmp_path: Path) -> None:
    """A blob larger than its share of the tier is not kept, put or read."""
    with remote_store(backend, tmp_path / "host", cache_bytes=SHARE_OF_ONE * SIZE) as store:
        (large,) = put_many(store, 1, size=SIZE + 1, seed="large")
        (small,) = put_many(store, 1, size=SIZE - 1000, seed="small")

        assert payload(SIZE + 1, ("large", 0)) == store.read(large)
        assert [small] == kept(store)


def test_the_tier_stays_below_its_capacity(tmp_path: Path) -> None:
    """Putting more than fits keeps no more than fits; reading more brings the tier down again."""
    backend = MemoryBackend()
    capacity = 5 * SIZE
    with remote_store(backend, tmp_path / "host", cache_bytes=capacity) as store:
        digests = put_many(store, 10, size=SIZE)
        put = sum(file_of(store, digest).stat().st_size for digest in kept(store))
        for digest in digests:
            store.read(digest)
        read = sum(file_of(store, digest).stat().st_size for digest in kept(store))

        assert capacity // 2 < put <= capacity
        assert read == store.catalog.totals().held
        assert read <= capacity + capacity // 20 + SIZE


def test_trimming_proves_first_and_goes_by_last_use(tmp_path: Path) -> None:
    """A tier over its capacity lets go of what the remote store holds now, the oldest first, and of nothing else."""
    backend = MemoryBackend()
    with remote_store(backend, tmp_path / "host", cache_bytes=10**8) as store:
        digests = put_many(store, 10, size=SIZE)
        set_used(store, {digest: 1000 + number for number, digest in enumerate(digests)})
        backend.delete(object_key(digests[0]))
        assert store.tier is not None
        store.tier.capacity = 5 * SIZE
        trim(store)

        left = kept(store)
        assert digests[0] in left
        assert sorted([digests[0], *digests[10 - len(left) + 1 :]]) == left
        assert store.catalog.totals().held <= 5 * SIZE * LOW_WATER
        trim(store)
        assert left == kept(store)


def test_a_tier_that_cannot_be_written_is_no_obstacle(backend: Counting, tmp_path: Path) -> None:
    """Where the tier's directory is not writable blobs are read from the remote store, every time."""
    directory = tmp_path / "host"
    with remote_store(backend, directory) as store:
        digest = blobs(store)[0]
        assert store.tier is not None
        store.tier.directory.root.mkdir(parents=True, exist_ok=True)
        (store.tier.directory.root / "objects").write_text("no directory")
        (store.tier.directory.root / "staging").write_text("no directory")

        assert 1 == len({store.read(digest) for _time in range(2)})
        assert 2 <= len(backend.opened)


def test_a_store_without_a_tier_can_be_read(backend: Counting) -> None:
    """A host with nothing of its own reads; to put it needs a directory, and says so."""
    from ocblob.store import layout

    store = BlobStore(backend, layout.read_identity(backend), writable=True)
    with store:
        assert SIZE == len(store.read(blobs(store)[0]))
        with pytest.raises(StoreUnavailableError, match="can only be read"):
            store.put([b"new"])


def test_a_store_read_only_keeps_nothing(backend: Counting, tmp_path: Path) -> None:
    """Opened read-only, reading leaves no file in the tier."""
    with remote_store(backend, tmp_path / "host", writable=False) as store:
        store.read(blobs(store)[0])

    assert [] == [path for path in tmp_path.glob("host/*/objects/*/*") if path.is_file()]


def test_a_file_that_nobody_may_write_is_read(backend: Counting, tmp_path: Path) -> None:
    """Another user with the same remote store needs no right in anybody's tier."""
    tmp_path.chmod(0o755)
    with as_nobody(), remote_store(backend, tmp_path / "host", writable=False) as store:
        digest = blobs(store)[0]

        assert SIZE == len(store.read(digest))


def test_a_repair_counts_the_tier_anew(tmp_path: Path) -> None:
    """Files that came or went unseen are counted by a repair."""
    with remote_store(MemoryBackend(), tmp_path / "host") as store:
        one, two, three = put_many(store, 3, size=SIZE)
        file_of(store, one).unlink()
        with store.catalog.transaction():
            store.catalog.set_held([(two, 0)])

        check(store, [], repair=True)

        held = {row.digest: row.held for row in store.catalog.blobs()}
        size = file_of(store, two).stat().st_size
        assert {one: 0, two: size, three: size} == held


def test_a_remote_store_that_is_down_gives_what_the_tier_has(store: BlobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hot blobs read while the remote store does not answer; others are unavailable, never missing."""
    hot, cold, *_ = blobs(store)
    data = store.read(hot)

    def down(*_arguments: object, **_named: object) -> BinaryIO:
        raise StoreUnavailableError("503")

    for name in ("open", "stat", "children", "scan"):
        monkeypatch.setattr(store.backend, name, down)

    assert data == store.read(hot)
    with pytest.raises(StoreUnavailableError, match="503"):
        store.read(cold)
