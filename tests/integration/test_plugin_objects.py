"""The plugin reads objects itself: it gives the right bytes, or none, and leaves the rest to `ocblob cat`."""

import hashlib
import io
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from plugin_process import TRANSFORM, Runtime

from ocblob import BlobStore
from ocblob.codec import HEADER_BYTES, encode
from ocblob.digest import digest_of
from ocblob.ref import Ref
from ocblob.rewrite import reference_text
from samples import data_url, flip, object_path, payload

MIB = 1 << 20
SIZES = (0, 1, MIB - 1, MIB, MIB + 1, 5 * MIB + 7)
SECTOR_BYTES = 512
SAMPLES = 40
ENTRY_POINT = [sys.executable, "-m", "ocblob"]


def text(size: int) -> bytes:
    """Bytes that zstd makes much smaller, in blocks of all kinds."""
    words = b" ".join(b"%d bottles of beer" % number for number in range(size // 16 + 1))
    return (words[: size // 2] + b"\0" * size)[:size]


def packed(data: bytes) -> bytes:
    """The object of a blob."""
    sink = io.BytesIO()
    encode([data], sink)
    return sink.getvalue()


def read(runtime: Runtime, root: Path, objects: list[tuple[bytes, bytes]]) -> list[str | None]:
    """Of each pair of a blob and an object: the SHA-256 of what the plugin takes it for, None if it trusts it not."""
    if not runtime.reads_objects:
        pytest.skip(f"this {runtime.name} has no zstd")
    asked = []
    for number, (data, content) in enumerate(objects):
        file = root / str(number)
        file.write_bytes(content)
        asked.append([str(file), {"digest": digest_of(data), "size": len(data)}])
    case = runtime.one(root / "run", {"steps": [["ask", "readVerdict", asked]]})
    return list(case["done"][0]["gave"])


def verdicts(runtime: Runtime, root: Path, data: bytes, objects: list[bytes]) -> list[str | None]:
    """The same, of several objects for one blob."""
    return read(runtime, root, [(data, content) for content in objects])


def test_an_object_as_it_was_written(tmp_path: Path, runtime: Runtime) -> None:
    """It gives the blob, whatever its size and however well it packs."""
    blobs = [make(size) for size in SIZES for make in (payload, text)]
    assert [sha256(data) for data in blobs] == read(runtime, tmp_path, [(data, packed(data)) for data in blobs])


@pytest.mark.parametrize("data", [payload(60), b"\0" * 5000, text(800)], ids=["raw", "rle", "packed"])
def test_no_flipped_bit_gives_other_bytes(tmp_path: Path, runtime: Runtime, data: bytes) -> None:
    """Each bit of a small object, flipped: zstd knows several ways to say the same, but never says anything else."""
    whole = packed(data)
    damaged = list(flips(whole, range(len(whole))))

    found = verdicts(runtime, tmp_path, data, damaged)

    assert {None, sha256(data)} == set(found)
    assert [None] * HEADER_BYTES * 8 == found[: HEADER_BYTES * 8]


def test_no_damage_to_a_large_object_gives_other_bytes(tmp_path: Path, runtime: Runtime) -> None:
    """Flipped bits, missing, zeroed and misplaced sectors, all over an object of several frames."""
    data = payload(MIB) + text(MIB) + payload(1000)
    whole = packed(data)
    step = len(whole) // SAMPLES
    damaged = list(flips(whole, range(0, len(whole), step * 7)))
    for at in range(0, len(whole) - SECTOR_BYTES, step):
        damaged.append(whole[:at] + bytes(SECTOR_BYTES) + whole[at + SECTOR_BYTES :])
        damaged.append(whole[:at] + whole[at + SECTOR_BYTES :])
        damaged.append(whole[:at] + whole[:SECTOR_BYTES] + whole[at + SECTOR_BYTES :])

    assert set(verdicts(runtime, tmp_path, data, damaged)) <= {None, sha256(data)}


def test_an_object_that_is_cut_off_gives_nothing(tmp_path: Path, runtime: Runtime) -> None:
    """Wherever it ends: before its last frame's end it gives nothing, behind that the blob is whole."""
    data = text(2000)
    whole = packed(data)
    ends = range(len(whole) + 1)

    found = verdicts(runtime, tmp_path, data, [whole[:end] for end in ends])

    (first,) = {found.index(value) for value in found if value is not None}
    assert [None] * first + [sha256(data)] * (len(whole) + 1 - first) == found
    assert len(whole) - 100 < first < len(whole)


def test_another_blobs_object_gives_nothing(tmp_path: Path, runtime: Runtime) -> None:
    """An object counts for its own digest and size only, and only in the version that this plugin knows."""
    data, other = payload(3000, "one"), payload(3000, "other")
    assert [None, None, None] == verdicts(runtime, tmp_path, data, [packed(other), packed(data[:-1]), b""])


def flips(whole: bytes, offsets: range) -> Iterator[bytes]:
    """Every bit of the bytes at these offsets, one at a time."""
    for at in offsets:
        for bit in range(8):
            yield whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1 :]


def sha256(data: bytes) -> str:
    """As the driver names bytes."""
    return hashlib.sha256(data).hexdigest()


# ---- through the hook, with the real command ---------------------------------------------------------------------


def ref_url(data: bytes, mime: str = "application/pdf") -> str:
    """The ref of a blob."""
    stands = reference_text(mime, Ref(digest_of(data), len(data)))
    return f"data:{mime};base64,{(stands or b'').decode('ascii')}"


def messages_of(urls: list[str]) -> dict[str, Any]:
    """What the host hands to the hook: every URL in a file part and in a tool's attachment."""
    files = [
        {"type": "file", "mime": "application/pdf", "url": url, "filename": f"{at}.pdf"} for at, url in enumerate(urls)
    ]
    state = {"status": "completed", "output": "read", "attachments": [{"type": "file", **file} for file in files]}
    parts = [{"type": "text", "text": "look"}, *files, {"type": "tool", "callID": "1", "state": state}]
    return {"messages": [{"info": {"role": "user"}, "parts": parts}]}


def test_every_blob_comes_back_whole(tmp_path: Path, runtime: Runtime) -> None:
    """In file parts and in a tool's attachments, read by the plugin or by `ocblob cat`, beside what is no ref."""
    store = tmp_path / "store"
    blobs = [b"", b"x", payload(MIB + 1), text(5 * MIB + 7)]
    inline = data_url(payload(500, "inline"))
    put(store, blobs)

    messages, logs = rehydrated(runtime, tmp_path, store, [*map(ref_url, blobs), inline])

    assert same(messages_of([*map(data_url, blobs), inline]), messages)
    assert [] == logs


def test_damaged_objects_are_found_and_read_elsewhere(tmp_path: Path, runtime: Runtime) -> None:
    """The command gives the right bytes from a copy, also if it found the damage when it had begun to answer."""
    store, copy = tmp_path / "store", tmp_path / "copy"
    blobs = [payload(size, seed) for size, seed in ((3 * MIB, "midway"), (3000, "at once"), (3000, "lost"))]
    put(store, blobs)
    shutil.copytree(store, copy)
    with BlobStore.open(str(store)) as opened:
        opened.add_copy(str(copy))
    midway, at_once, lost = (object_path(store, digest_of(data)) for data in blobs)
    flip(midway, 2 * MIB)
    flip(at_once, 2000)
    lost.unlink()

    messages, logs = rehydrated(runtime, tmp_path, store, [ref_url(data) for data in blobs])

    assert same(messages_of([data_url(data) for data in blobs]), messages)
    assert [] == logs
    assert object_path(copy, digest_of(blobs[1])).read_bytes() == at_once.read_bytes()
    assert 2 == sum(path.is_file() for path in (store / "quarantine").rglob("*"))


def test_what_is_lost_is_said_in_words(tmp_path: Path, runtime: Runtime) -> None:
    """A blob that is damaged or not there becomes text with its reason, once for each; the others are whole."""
    store = tmp_path / "store"
    data, damaged, missing = payload(2000, "good"), payload(2000, "damaged"), payload(2000, "missing")
    put(store, [data, damaged])
    flip(object_path(store, digest_of(damaged)), HEADER_BYTES + 1000)

    found, logs = rehydrated(runtime, tmp_path, store, [ref_url(damaged), ref_url(data), ref_url(missing)])

    (message,) = found["messages"]
    _, first, second, third, tool = message["parts"]
    assert ["text", "file", "text"] == [part["type"] for part in (first, second, third)]
    assert data_url(data) == second["url"]
    assert [data_url(data)] == [file["url"] for file in tool["state"]["attachments"]]
    for part, name in ((first, "0.pdf"), (third, "2.pdf")):
        assert part["synthetic"]
        assert part["text"].startswith(f'[The attachment "{name}" (application/pdf, 2000 bytes) is not available: ')
        assert part["text"] in tool["state"]["output"]
    assert digest_of(missing)[:12] in third["text"]
    assert ["warn", "warn"] == [log["level"] for log in logs]


def rehydrated(runtime: Runtime, root: Path, store: Path, urls: list[str]) -> tuple[Any, list[dict[str, str]]]:
    """What the hook makes of `messages_of` with the real command, and what it tells."""
    options = {"command": ENTRY_POINT, "store": str(store)}
    steps = [["hook", TRANSFORM, {}, messages_of(urls)]]
    case = runtime.one(root / "run", {"options": options, "steps": steps})
    return case["done"][0]["gave"], case["logs"]


def same(expected: Any, actual: Any) -> bool:
    """Whether two values are equal; pytest would take minutes to show how they differ."""
    return bool(expected == actual)


def put(store: Path, blobs: list[bytes]) -> None:
    """Put blobs into a new store."""
    opened, _ = BlobStore.create(str(store))
    with opened, opened.writer() as writer:
        for data in blobs:
            writer.put([data])
