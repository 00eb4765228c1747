import base64
import contextlib
import inspect
import io
import json
import os
import random
import shutil
import stat
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import ocblob
from ocblob import BlobStore, Ref, Resolver, codec, find_refs
from ocblob.digest import digest_of
from ocblob.errors import (
    BackendError,
    BlobCorruptError,
    BlobExpiredError,
    BlobMissingError,
    OcblobError,
    StoreNotFoundError,
    StoreUnavailableError,
    UsageError,
)
from odd_cells import CELLS, MIN_CHARS, OddCell, documents, part, planned, ref_url, url
from processes import as_nobody
from samples import flip, object_path, payload, tree

FRAME = codec.FRAME_BYTES
SMALL = b"a small attachment"
MEDIUM = payload(20_000)
LARGE = payload(2 * FRAME + 5000, "large")
EMPTY = b""
BLOBS = {"empty": EMPTY, "small": SMALL, "medium": MEDIUM, "large": LARGE}
UNKNOWN = "9c" * 32


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with all blobs, for tests that only read."""
    root = tmp_path_factory.mktemp("shared") / "store"
    with BlobStore.create(root)[0] as store:
        for data in BLOBS.values():
            store.put([data])
    return root


@pytest.fixture
def root(shared: Path, tmp_path: Path) -> Path:
    """A copy of that store, to damage; without the directories that hold nothing."""
    for path in shared.rglob("*"):
        if path.is_file():
            target = tmp_path / "store" / path.relative_to(shared)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
    return tmp_path / "store"


@pytest.fixture
def resolver(shared: Path) -> Iterator[Resolver]:
    """A resolver of the shared store."""
    with Resolver(shared) as found:
        yield found


def ref_of(data: bytes) -> Ref:
    """A ref as a row would hold it."""
    return Ref(digest_of(data), len(data), (("store", "00000000"),))


def url_of(data: bytes, mime: str = "image/png") -> str:
    """A ref's data URL."""
    return ref_url(digest_of(data), len(data), mime).decode()


def full(data: bytes, mime: str = "image/png") -> str:
    """The data URL that a ref stands for."""
    return f"data:{mime};base64,{base64.b64encode(data).decode()}"


# Reading


@pytest.mark.parametrize("data", BLOBS.values(), ids=BLOBS)
def test_reads_by_every_name(resolver: Resolver, data: bytes) -> None:
    """A ref, its digest and its data URL, of any type of carrier, all give the same verified bytes."""
    assert data == resolver.read(ref_of(data))
    assert data == resolver.read(digest_of(data))
    for mime in ("image/png", "application/pdf", "text/plain", "video/mp4"):
        assert data == resolver.read(url_of(data, mime))


@pytest.mark.parametrize("data", BLOBS.values(), ids=BLOBS)
def test_opens_by_every_name(resolver: Resolver, data: bytes) -> None:
    """A stream reads as the bytes do, by whatever name it is opened."""
    for name in (ref_of(data), digest_of(data), url_of(data)):
        with resolver.open(name) as stream:
            assert data == stream.read()
            assert b"" == stream.read()


def test_takes_an_opened_store_or_a_path(shared: Path) -> None:
    """A resolver is made from a store, a path or its text, and gives the same bytes."""
    with BlobStore.open(shared) as store:
        assert SMALL == Resolver(store).read(digest_of(SMALL))
    for place in (shared, str(shared), f"file://{shared}"):
        with Resolver(place) as resolver:
            assert SMALL == resolver.read(digest_of(SMALL))


@pytest.mark.parametrize(
    "name",
    [
        "", "x", UNKNOWN.upper(), UNKNOWN[:-1], "../" + UNKNOWN[3:], "data:", "data:,x", full(SMALL), full(MEDIUM),
        url_of(SMALL) + " ", f"[{url_of(SMALL)!r}]", url_of(SMALL).replace("data:", "DATA:"), url_of(SMALL)[:-1],
    ],
)  # fmt: skip
@pytest.mark.parametrize("verb", ["read", "open"])
def test_refuses_what_names_no_blob(resolver: Resolver, name: str, verb: str) -> None:
    """What is neither a digest nor a ref's data URL is a usage error, before any file is looked for."""
    with pytest.raises(UsageError):
        getattr(resolver, verb)(name)


def test_missing_store_is_said_at_once(tmp_path: Path) -> None:
    """There is no store, and none is made."""
    with pytest.raises(StoreNotFoundError):
        Resolver(tmp_path / "none")
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("place", ["", "s3//x", "http://example.invalid/store"])
def test_odd_places_are_typed_errors(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place where no store can be is an error of ours, never a foreign one."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OcblobError):
        Resolver(place)


def test_contract_of_the_public_names() -> None:
    """The public names and the parameters of the resolver are those that are documented."""
    assert ["BlobStore", "LocalTier", "Ref", "Resolver", "__version__", "find_refs"] == ocblob.__all__
    assert sorted(ocblob.__all__) == ocblob.__all__
    assert ["self", "cell", "missing"] == list(inspect.signature(Resolver.rehydrate).parameters)
    assert "raise" == inspect.signature(Resolver.rehydrate).parameters["missing"].default
    for name in ocblob.__all__:
        assert getattr(ocblob, name) is not None
    with pytest.raises(AttributeError, match="nothing"):
        _ = ocblob.nothing


# Rehydrating


def test_rehydrates_str_and_bytes(resolver: Resolver) -> None:
    """Every ref of a cell becomes its payload; text gives text, bytes give bytes."""
    cell = json.dumps({"a": url_of(SMALL), "b": [url_of(LARGE, "application/pdf"), url_of(SMALL)], "c": full(MEDIUM)})
    expected = json.dumps({"a": full(SMALL), "b": [full(LARGE, "application/pdf"), full(SMALL)], "c": full(MEDIUM)})
    assert expected == resolver.rehydrate(cell)
    assert expected.encode() == resolver.rehydrate(cell.encode())


@pytest.mark.parametrize("data", BLOBS.values(), ids=BLOBS)
def test_rehydrates_a_bare_data_url(resolver: Resolver, data: bytes) -> None:
    """One data URL alone, as a host holds it, is a text too."""
    assert full(data) == resolver.rehydrate(url_of(data))
    assert full(data).encode() == resolver.rehydrate(url_of(data).encode())


@pytest.mark.parametrize("odd", [odd for odd in CELLS if not odd.refs], ids=lambda odd: odd.name)
def test_leaves_every_odd_cell_without_refs(resolver: Resolver, odd: OddCell) -> None:
    """A cell in which nothing is a ref comes back as it is, whatever it holds."""
    assert odd.data == resolver.rehydrate(odd.data)


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlobStore]:
    """A store that every example puts its blobs in."""
    with BlobStore.create(tmp_path_factory.mktemp("growing") / "store")[0] as store:
        yield store


@settings(deadline=None, max_examples=30)
@given(cell=documents())
def test_gives_back_any_offloaded_document(growing: BlobStore, cell: bytes) -> None:
    """For any JSON: what an offload took out, the resolver puts back, byte for byte, in bytes and in text."""
    plan = planned(cell, 1)
    content = plan.content or cell
    for span in plan.payloads:
        growing.put([base64.b64decode(cell[span.start : span.end])])
    resolver = Resolver(growing)
    assert cell == resolver.rehydrate(content, missing="keep")
    text = content.decode("utf-8", "surrogatepass")
    assert cell == resolver.rehydrate(text, missing="keep").encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("text", ["", "data:", "\ud800", '{"\udfff":"x\0"}', "no JSON at all", '"'])
def test_text_without_refs_comes_back(resolver: Resolver, text: str) -> None:
    """Text of any kind, lone surrogates too, is its own rehydration."""
    assert text == resolver.rehydrate(text)
    assert text.encode("utf-8", "surrogatepass") == resolver.rehydrate(text.encode("utf-8", "surrogatepass"))


def test_missing_blob_raises_or_keeps(resolver: Resolver) -> None:
    """A ref whose blob is not there raises by default; asked to keep, it stays and the others are resolved."""
    lost = ref_url(UNKNOWN, 7).decode()
    cell = json.dumps([url_of(SMALL), lost, url_of(MEDIUM)])
    with pytest.raises(BlobMissingError) as caught:
        resolver.rehydrate(cell)
    assert UNKNOWN == caught.value.digest
    assert json.dumps([full(SMALL), lost, full(MEDIUM)]) == resolver.rehydrate(cell, missing="keep")
    assert lost == resolver.rehydrate(lost, "keep")


def test_other_words_for_missing_are_refused(resolver: Resolver) -> None:
    """Only "raise" and "keep" are known; a typing error does not pass for either."""
    wrong: Any = "ignore"
    with pytest.raises(UsageError, match="ignore"):
        resolver.rehydrate("", missing=wrong)


def test_lookalikes_are_never_resolved(resolver: Resolver) -> None:
    """A ref with another size than its blob is not resolved to it: it raises, or stays."""
    lie = ref_url(digest_of(SMALL), len(SMALL) + 1).decode()
    with pytest.raises(BlobCorruptError, match="says"):
        resolver.read(lie)
    with pytest.raises(BlobCorruptError):
        resolver.rehydrate(lie)
    assert lie == resolver.rehydrate(lie, missing="keep")
    assert SMALL == resolver.read(digest_of(SMALL))


def test_find_refs_names_what_a_cell_needs(resolver: Resolver) -> None:
    """A host can ask beforehand which blobs a cell needs, and reads each of them by its ref."""
    cell = json.dumps({"a": url_of(SMALL), "b": [url_of(LARGE)]})
    assert [SMALL, LARGE] == [resolver.read(ref) for ref in find_refs(cell)]


# Streams


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 3 * FRAME)),
        st.tuples(st.just("read"), st.just(-1)),
        st.tuples(st.just("read1"), st.integers(1, 5000)),
        st.tuples(st.just("readline"), st.integers(-1, 3000)),
        st.tuples(st.just("readinto"), st.integers(0, 100_000)),
        st.tuples(st.just("seek"), st.integers(0, len(LARGE) + 100)),
        st.tuples(st.just("near"), st.tuples(st.sampled_from([0, 1, 2]), st.integers(-20, 20))),
        st.tuples(st.just("end"), st.integers(-len(LARGE), 50)),
        st.tuples(st.just("tell"), st.just(0)),
    ),
    max_size=12,
)


def act(stream: Any, operation: str, argument: Any) -> object:
    """One operation on a stream, and what it gives."""
    match operation:
        case "read1":
            return bytes(stream.read(argument)) if isinstance(stream, io.BytesIO) else gather(stream, argument)
        case "readinto":
            buffer = bytearray(argument)
            count = stream.readinto(buffer)
            return count, bytes(buffer)
        case "near":
            frames, more = argument
            return stream.seek(max(0, frames * FRAME + more))
        case "end":
            return stream.seek(argument, os.SEEK_END)
        case "tell":
            return stream.tell()
    return getattr(stream, operation)(argument)


def gather(stream: Any, count: int) -> bytes:
    """As many bytes as `read1` gives in several calls."""
    data = b""
    while len(data) < count and (more := stream.read1(count - len(data))):
        data += more
    return data


@settings(deadline=None, max_examples=80)
@given(operations=OPERATIONS)
def test_stream_is_a_file(shared: Path, operations: list[tuple[str, Any]]) -> None:
    """Any reading and seeking gives what the same does on the bytes in memory, over the borders of frames too."""
    with Resolver(shared) as resolver, resolver.open(digest_of(LARGE)) as stream:
        model = io.BytesIO(LARGE)
        for operation, argument in operations:
            assert act(model, operation, argument) == act(stream, operation, argument)
            assert model.tell() == stream.tell()


@pytest.mark.parametrize("data", BLOBS.values(), ids=BLOBS)
def test_stream_says_what_it_can(resolver: Resolver, data: bytes) -> None:
    """A stream can be read and seeked in, not written; closed, it refuses as files do."""
    stream = resolver.open(digest_of(data))
    assert (True, True, False) == (stream.readable(), stream.seekable(), stream.writable())
    with pytest.raises(io.UnsupportedOperation):
        stream.write(b"x")
    for whence, offset in ((0, -1), (1, -1), (9, 0)):
        with pytest.raises((ValueError, OSError)):
            stream.seek(offset, whence)
    stream.close()
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        stream.read()


def test_streams_of_one_blob_do_not_disturb_each_other(resolver: Resolver) -> None:
    """Each stream has a position of its own."""
    with resolver.open(digest_of(LARGE)) as one, resolver.open(digest_of(LARGE)) as other:
        one.seek(FRAME - 5)
        assert LARGE[:100] == other.read(100)
        assert LARGE[FRAME - 5 : FRAME + 5] == one.read(10)
        assert LARGE[100:200] == other.read(100)


def test_stream_outlives_the_resolver(shared: Path) -> None:
    """A stream that is open when the resolver is closed reads on."""
    with Resolver(shared) as resolver:
        stream = resolver.open(digest_of(LARGE))
    with stream:
        assert LARGE == stream.read()


def forge(root: Path, data: bytes, other: bytes) -> None:
    """Put a sound object of other bytes under a blob's name, header and all."""
    sink = io.BytesIO()
    header, _ = codec.encode([other], sink)
    false = codec.pack_header(codec.ObjectHeader(digest_of(data), header.size, header.nonce))
    object_path(root, digest_of(data)).write_bytes(false + sink.getvalue()[codec.HEADER_BYTES :])


@pytest.mark.parametrize("size", [0, 1000, FRAME, 2 * FRAME + 77])
@pytest.mark.parametrize("piece", [1 << 16, -1])
def test_stream_is_verified_at_its_end(root: Path, size: int, piece: int) -> None:
    """Frames that are sound, but of other bytes, are found before the stream has ended as success; and stay found."""
    forge(root, SMALL, payload(size, "forged"))
    with Resolver(root) as resolver, contextlib.ExitStack() as stack:

        def read_all() -> bytes:
            stream = stack.enter_context(resolver.open(digest_of(SMALL)))
            return b"".join(iter(lambda: stream.read(piece), b""))

        with pytest.raises(BlobCorruptError):
            read_all()
    assert not object_path(root, digest_of(SMALL)).exists()


def test_stream_does_not_give_after_its_damage_was_found(root: Path) -> None:
    """Once a stream has raised, it raises again wherever it is read: no false byte comes out by trying once more."""
    forge(root, SMALL, payload(FRAME + 500, "forged"))
    with Resolver(root) as resolver, resolver.open(digest_of(SMALL)) as stream:
        assert FRAME == len(stream.read(FRAME))
        for offset in (FRAME, FRAME + 10, 0):
            with pytest.raises(BlobCorruptError):
                stream.read(500)
            stream.seek(offset)


def test_part_of_a_stream_is_checked_by_its_frames(root: Path) -> None:
    """A damaged frame is found when it is read, and the others read as they are."""
    path = object_path(root, digest_of(LARGE))
    flip(path, codec.HEADER_BYTES + FRAME + 1000)
    with Resolver(root) as resolver, resolver.open(digest_of(LARGE)) as stream:
        stream.seek(2 * FRAME)
        assert LARGE[2 * FRAME :] == stream.read()
        stream.seek(FRAME + 3)
        with pytest.raises(BlobCorruptError):
            stream.read(10)


# Damage, absence, no permission


@pytest.mark.parametrize("at", ["header", "frame", "table", "cut", "empty"])
@pytest.mark.parametrize("verb", ["read", "rehydrate", "open"])
def test_corrupt_object_is_an_error_and_goes_to_quarantine(root: Path, at: str, verb: str) -> None:
    """A corrupt object is never given out: it raises its own error, is moved aside whole, and is missing then."""
    path = object_path(root, digest_of(MEDIUM))
    raw = path.read_bytes()
    places = {"header": 20, "frame": 5000, "table": len(raw) - 20}
    if at in places:
        flip(path, places[at])
    else:
        path.write_bytes(raw[: len(raw) - 5] if at == "cut" else b"")
    damaged = path.read_bytes()

    def attempt(resolver: Resolver) -> None:
        if verb == "open":
            with resolver.open(url_of(MEDIUM)) as stream:
                stream.read()
        else:
            getattr(resolver, verb)(url_of(MEDIUM))

    with Resolver(root) as resolver:
        with pytest.raises(BlobCorruptError) as caught:
            attempt(resolver)
        assert digest_of(MEDIUM) == caught.value.digest
        assert [damaged] == [moved.read_bytes() for moved in (root / "quarantine").iterdir()]
        with pytest.raises(BlobMissingError):
            attempt(resolver)
        assert url_of(MEDIUM) == resolver.rehydrate(url_of(MEDIUM), missing="keep")
        assert SMALL == resolver.read(digest_of(SMALL))


def test_blob_that_is_put_again_after_damage_is_back(root: Path) -> None:
    """After a put the same resolver reads the blob, and the damaged copy is still kept."""
    flip(object_path(root, digest_of(MEDIUM)), 300)
    with Resolver(root) as resolver:
        with pytest.raises(BlobCorruptError):
            resolver.read(digest_of(MEDIUM))
        with BlobStore.open(root) as store:
            store.put([MEDIUM])
        assert MEDIUM == resolver.read(digest_of(MEDIUM))
    assert 1 == len(list((root / "quarantine").iterdir()))


def test_damaged_catalog_does_not_hide_what_is_wrong(root: Path) -> None:
    """Reading needs no catalog: with a broken one blobs are read, and a corrupt one is still said to be corrupt."""
    for path in root.glob("catalog.sqlite*"):
        path.unlink()
    (root / "catalog.sqlite").write_bytes(b"no database" * 1000)
    flip(object_path(root, digest_of(MEDIUM)), 300)
    with Resolver(root) as resolver:
        assert SMALL == resolver.read(digest_of(SMALL))
        with pytest.raises(BlobCorruptError):
            resolver.read(digest_of(MEDIUM))


@pytest.mark.parametrize("verb", ["read", "open"])
def test_missing_and_expired_are_told_apart(root: Path, verb: str) -> None:
    """A blob that never was is missing; one with a tombstone has expired, and the error brings the tombstone."""
    tombstone = {"size": 18, "mime": "image/png", "when": "2025-11-22", "policy": "evict --expire"}
    (root / "tombstones").mkdir()
    (root / "tombstones" / f"{digest_of(SMALL)}.json").write_text(json.dumps(tombstone), encoding="utf-8")
    with Resolver(root) as resolver:
        assert SMALL == resolver.read(digest_of(SMALL))
        object_path(root, digest_of(SMALL)).unlink()
        with pytest.raises(BlobExpiredError, match="2025-11-22") as expired:
            getattr(resolver, verb)(digest_of(SMALL))
        assert tombstone == expired.value.tombstone
        with pytest.raises(BlobMissingError, match=UNKNOWN):
            getattr(resolver, verb)(UNKNOWN)
        assert url_of(SMALL) == resolver.rehydrate(url_of(SMALL), missing="keep")


@pytest.mark.parametrize("verb", ["read", "open", "rehydrate"])
def test_no_permission_is_never_missing(verb: str) -> None:
    """When nobody may look, the error is that the store cannot say, not that the blob is gone."""
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        root = Path(place) / "store"
        with BlobStore.create(root)[0] as store:
            store.put([SMALL])
        make_readable(root)
        object_path(root, digest_of(SMALL)).chmod(0)
        with as_nobody(), Resolver(root) as resolver, pytest.raises(StoreUnavailableError):
            getattr(resolver, verb)(url_of(SMALL))


def test_broken_disk_is_a_typed_error(shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error of the device that does not go away comes as one of ours; one that does is read over."""
    real = codec.decode_frame
    calls: list[int] = []

    def fail(frame: bytes | memoryview, *, digest: str) -> bytes:
        calls.append(1)
        if len(calls) >= 2:
            raise OSError(5, "input/output error")
        return real(frame, digest=digest)

    monkeypatch.setattr(codec, "decode_frame", fail)
    with Resolver(shared) as resolver:
        with pytest.raises(BackendError, match="input/output"):
            resolver.read(digest_of(LARGE))
        calls.clear()
        with resolver.open(digest_of(LARGE)) as stream, pytest.raises(BackendError, match="input/output"):
            stream.read()
    assert object_path(shared, digest_of(LARGE)).exists()


def make_readable(root: Path) -> None:
    """Everybody may read it, nobody may write it."""
    for path in (root, *root.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def make_writable(root: Path) -> None:
    """So that it can be removed."""
    for path in (root, *root.rglob("*")):
        path.chmod(path.stat().st_mode | stat.S_IWUSR)


def test_read_only_store_is_enough() -> None:
    """With nothing writable all reading works, a corrupt object is said and left where it is, and no file changes.

    Permission bits do not bind root: its tests give up root's powers for the moment.
    """
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o755)
        root = Path(place) / "store"
        with BlobStore.create(root)[0] as store:
            for data in (SMALL, MEDIUM, LARGE):
                store.put([data])
        flip(object_path(root, digest_of(MEDIUM)), 300)
        make_readable(root)
        before = tree(root)
        with as_nobody():
            assert not os.access(root, os.W_OK)
            with Resolver(root) as resolver:
                assert SMALL == resolver.read(digest_of(SMALL))
                assert full(LARGE) == resolver.rehydrate(url_of(LARGE))
                with resolver.open(digest_of(LARGE)) as stream:
                    assert len(LARGE) - 5 == stream.seek(-5, os.SEEK_END)
                    assert LARGE[-5:] == stream.read()
                for _again in range(2):
                    with pytest.raises(BlobCorruptError):
                        resolver.read(digest_of(MEDIUM))
        assert before == tree(root)
        make_writable(root)


def test_writes_nothing_but_last_uses(root: Path) -> None:
    """In a store that is its own, reading changes no file but the catalog."""
    before = tree(root)
    with Resolver(root) as resolver:
        for data in BLOBS.values():
            resolver.read(digest_of(data))
            resolver.rehydrate(url_of(data))
    after = tree(root)
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} <= {
        "catalog.sqlite",
        "catalog.sqlite-wal",
        "catalog.sqlite-shm",
    }


def test_never_opens_the_hosts_database(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A resolver reads the store alone: neither SQLite nor Python opens a database that is registered there."""
    database = tmp_path / "opencode.db"
    database.write_bytes(b"must not be opened")
    with BlobStore.open(root) as store:
        store.registry.register(str(database), host="opencode")
    connected: list[str] = []
    files: list[str] = []
    real_connection, real_io, real_os = apsw.Connection, io.open, os.open

    def connect(filename: str, **more: Any) -> apsw.Connection:
        connected.append(filename)
        return real_connection(filename, **more)

    def open_io(file: Any, *arguments: Any, **more: Any) -> Any:
        files.append(str(file))
        return real_io(file, *arguments, **more)

    def open_os(path: Any, flags: int, mode: int = 0o777) -> int:
        files.append(str(path))
        return real_os(path, flags, mode)

    monkeypatch.setattr(apsw, "Connection", connect)
    monkeypatch.setattr(io, "open", open_io)
    monkeypatch.setattr(os, "open", open_os)
    with Resolver(root) as reader:
        assert full(SMALL) == reader.rehydrate(url_of(SMALL))
        assert SMALL == reader.read(digest_of(SMALL))
        with reader.open(digest_of(LARGE)) as stream:
            assert LARGE == stream.read()
    assert str(object_path(root, digest_of(LARGE))) in files
    assert {str(root / "catalog.sqlite")} >= set(connected)
    assert [] == [name for name in files if str(database) in name]


# Threads


def test_sixteen_threads_share_a_resolver(root: Path) -> None:
    """Sixteen threads that read, stream, seek and rehydrate at once all get true bytes, and damage is found once."""
    blobs = [payload(size, "thread") for size in (0, 10, 5000, 100_000, FRAME + 1, 2 * FRAME)]
    with BlobStore.open(root) as store:
        for data in blobs:
            store.put([data])
    flip(object_path(root, digest_of(MEDIUM)), 300)
    corrupt: list[type[BaseException]] = []

    def hammer(seed: int) -> int:
        noise = random.Random(seed)
        done = 0
        for _ in range(40):
            data = noise.choice(blobs)
            match noise.randrange(4):
                case 0:
                    done += data == reader.read(ref_of(data))
                case 1:
                    done += full(data) == reader.rehydrate(url_of(data))
                case 2:
                    at = noise.randrange(len(data) + 1)
                    with reader.open(digest_of(data)) as stream:
                        stream.seek(at)
                        done += data[at : at + 5000] == stream.read(5000)
                case _:
                    try:
                        reader.read(digest_of(MEDIUM))
                    except (BlobCorruptError, BlobMissingError) as error:
                        corrupt.append(type(error))
                        done += 1
        return done

    with Resolver(root) as reader, ThreadPoolExecutor(16) as pool:
        assert [40] * 16 == list(pool.map(hammer, range(16)))
    assert {BlobCorruptError, BlobMissingError} == set(corrupt)
    assert 1 == len(list((root / "quarantine").iterdir()))


def test_threads_that_ask_for_one_blob(resolver: Resolver) -> None:
    """Sixteen threads that want the same large blob at the same moment all get it."""
    barrier = threading.Barrier(16)

    def read(_number: int) -> bool:
        barrier.wait()
        return LARGE == resolver.read(digest_of(LARGE))

    with ThreadPoolExecutor(16) as pool:
        assert [True] * 16 == list(pool.map(read, range(16)))


# What a host does


@pytest.mark.parametrize("missing", ["raise", "keep"])
def test_blob_of_an_offloaded_cell_comes_back(resolver: Resolver, missing: Literal["raise", "keep"]) -> None:
    """The ref of a real offload is what the resolver reads."""
    cell = part(b"data:image/png;base64," + base64.b64encode(MEDIUM))
    plan = planned(cell, MIN_CHARS)
    assert 1 == len(plan.payloads)
    assert cell == resolver.rehydrate(plan.content, missing)
    assert part(url(1)) == resolver.rehydrate(part(url(1)), missing)
    assert [digest_of(MEDIUM)] == [ref.digest for ref in find_refs(plan.content)]
