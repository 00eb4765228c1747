import io
import os
import random
import shutil
import struct
import subprocess
import textwrap
import zlib
from pathlib import Path
from typing import BinaryIO, cast

import pytest
import zstandard
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocblob import codec
from ocblob.codec import FRAME_BYTES, HEADER_BYTES, ObjectHeader
from ocblob.digest import digest_of
from ocblob.errors import BlobCorruptError, StoreFormatError
from processes import finish, spawn

NOISE = random.Random(7).randbytes(3 * FRAME_BYTES)
WORDS = b"".join(b"%d bottles of beer on the wall, take one down\n" % count for count in range(40_000))
ZEROS = bytes(2 * FRAME_BYTES)
BORDERS = sorted(
    {0, 1, 2, 3, 100, 65_536, FRAME_BYTES * 2 + 12_345}
    | {FRAME_BYTES * frames + more for frames in (1, 2) for more in (-1, 0, 1)}
)
DAMAGE = (BlobCorruptError, StoreFormatError)
TABLE_FOOTER_BYTES = 9
SKIPPABLE = 0x184D2A5E


def encoded(data: bytes, *, pieces: int = 1 << 30) -> tuple[bytes, ObjectHeader]:
    """An object and its header, from bytes that come in pieces."""
    sink = io.BytesIO()
    chunks = (data[at : at + pieces] for at in range(0, len(data), pieces))
    header, stored_size = codec.encode(chunks, sink)
    assert stored_size == len(sink.getvalue())
    return sink.getvalue(), header


def decoded(raw: bytes, digest: str) -> bytes:
    """The blob in an object."""
    return b"".join(codec.decode(io.BytesIO(raw), digest=digest))


def changed(raw: bytes, at: int, new: bytes) -> bytes:
    """The same object with other bytes in one place."""
    return raw[:at] + new + raw[at + len(new) :]


def with_header(raw: bytes, header: ObjectHeader) -> bytes:
    """The same object with another header, whose checksum is right."""
    return changed(raw, 0, codec.pack_header(header))


def made_of(frames: list[bytes], header: ObjectHeader, *, plain: list[int]) -> bytes:
    """An object of these zstd frames, with a table that says they hold `plain` bytes each."""
    entries = [(HEADER_BYTES, 0), *zip((len(frame) for frame in frames), plain, strict=True)]
    table = b"".join(struct.pack("<II", *entry) for entry in entries)
    table += struct.pack("<IBI", len(entries), 0, 0x8F92EAB1)
    return b"".join((codec.pack_header(header), *frames, struct.pack("<II", SKIPPABLE, len(table)), table))


class Dribble(io.RawIOBase):
    """A source that gives a few bytes at a time, as pipes and sockets do."""

    def __init__(self, data: bytes, count: int) -> None:
        super().__init__()
        self._source = io.BytesIO(data)
        self._count = count

    def read(self, size: int = -1) -> bytes:
        """At most `count` bytes."""
        return self._source.read(min(size, self._count) if size >= 0 else self._count)


# Round trips


@pytest.mark.parametrize("size", BORDERS)
@pytest.mark.parametrize("content", [NOISE, WORDS + ZEROS], ids=["noise", "words"])
def test_round_trip_at_frame_borders(content: bytes, size: int) -> None:
    """A blob of a size around the border of a frame comes back whole, under its digest and its size."""
    data = content[:size]
    raw, header = encoded(data)
    assert (digest_of(data), size) == (header.digest, header.size)
    assert data == decoded(raw, header.digest)
    assert header == codec.parse_header(raw, digest=header.digest)


@settings(deadline=None, max_examples=40)
@given(
    size=st.integers(0, FRAME_BYTES * 2 + 5),
    pieces=st.sampled_from([4096, 65_536, FRAME_BYTES - 1, FRAME_BYTES, FRAME_BYTES + 1, 1 << 30]),
)
@example(size=FRAME_BYTES * 2, pieces=FRAME_BYTES // 2)
def test_pieces_make_no_difference(size: int, pieces: int) -> None:
    """However the bytes come in, the frames are the same; only the nonce makes two objects differ."""
    data = NOISE[:size]
    raw, header = encoded(data, pieces=pieces)
    again, other = encoded(data)
    assert header.nonce != other.nonce
    assert again[HEADER_BYTES:] == raw[HEADER_BYTES:]
    assert data == decoded(raw, header.digest)


@pytest.mark.parametrize("count", [1, 7, 1000, 300_000])
def test_decodes_from_a_source_that_dribbles(count: int) -> None:
    """A source may give fewer bytes than were asked for, at any place."""
    data = NOISE[:5000] if count < 1000 else NOISE[: FRAME_BYTES + 10]
    raw, header = encoded(data)
    source = cast(BinaryIO, Dribble(raw, count))
    assert data == b"".join(codec.decode(source, digest=header.digest))


def test_pieces_out_are_frames() -> None:
    """Decoding yields one frame at a time, and nothing at all for an empty blob."""
    data = NOISE[: 2 * FRAME_BYTES + 1]
    raw, header = encoded(data)
    sizes = [len(piece) for piece in codec.decode(io.BytesIO(raw), digest=header.digest)]
    assert [FRAME_BYTES, FRAME_BYTES, 1] == sizes
    raw, header = encoded(b"")
    assert [] == list(codec.decode(io.BytesIO(raw), digest=header.digest))


def test_noise_grows_by_little() -> None:
    """What does not compress is kept as it is: the object is larger by a header, a table and some bytes a frame."""
    raw, _header = encoded(NOISE)
    assert len(raw) < len(NOISE) + 300


@pytest.mark.parametrize("size", BORDERS)
def test_any_zstd_tool_recovers_the_blob(size: int, tmp_path: Path) -> None:
    """`zstd -d` alone gives the blob back: a store outlives ocblob."""
    tool = shutil.which("zstd")
    if tool is None and not os.environ.get("CI"):
        pytest.skip("no zstd on this machine")
    assert tool is not None
    data = (WORDS + NOISE)[-size:] if size else b""
    raw, _header = encoded(data)
    path = tmp_path / "object"
    path.write_bytes(raw)
    with path.open("rb") as file:
        done = subprocess.run([tool, "-d", "-q", "-c"], stdin=file, capture_output=True, check=True)
    assert data == done.stdout


def test_zstandard_reads_across_the_frames() -> None:
    """The zstd library's own stream reader gives the blob back too."""
    data = NOISE[: FRAME_BYTES + 77]
    raw, _header = encoded(data)
    with zstandard.ZstdDecompressor().stream_reader(raw, read_across_frames=True) as reader:
        assert data == reader.read()


# Damage


@pytest.mark.parametrize("size", [0, 100])
def test_every_change_of_a_small_object_is_found(size: int) -> None:
    """Any other value of any byte of an object that holds incompressible bytes is found."""
    raw, header = encoded(NOISE[:size])
    for at in range(len(raw)):
        for value in set(range(256)) - {raw[at]}:
            with pytest.raises(DAMAGE):
                decoded(changed(raw, at, bytes([value])), header.digest)


@pytest.mark.parametrize(
    "content",
    [b"1", WORDS[:1200], bytes(3000), NOISE[:256] + b"abc" * 50],
    ids=["one", "words", "zeros", "mixed"],
)
def test_every_change_of_a_compressed_object_is_found(content: bytes) -> None:
    """Each flipped bit is found, also where zstd would read the very same bytes from the changed ones."""
    raw, header = encoded(content)
    for at in range(len(raw)):
        for value in {raw[at] ^ (1 << bit) for bit in range(8)} | {0, 255, (raw[at] + 1) % 256} - {raw[at]}:
            with pytest.raises(DAMAGE):
                decoded(changed(raw, at, bytes([value])), header.digest)


def test_sampled_changes_of_many_frames_are_found() -> None:
    """In an object of three frames a flipped bit is found wherever it is: inside frames and at all their borders."""
    data = NOISE[: 2 * FRAME_BYTES + 5000]
    raw, header = encoded(data)
    table = codec.read_seek_table(io.BytesIO(raw), header)
    borders = {offset + near for offset in table.offsets for near in range(-6, 12)}
    samples = {random.Random(3).randrange(len(raw)) for _ in range(40)}
    for at in sorted((borders | samples | set(range(len(raw) - 60, len(raw)))) & set(range(len(raw)))):
        with pytest.raises(DAMAGE):
            decoded(changed(raw, at, bytes([raw[at] ^ 0x10])), header.digest)


@pytest.mark.parametrize("size", [0, 100, 5000])
def test_every_truncation_is_found(size: int) -> None:
    """An object cut at any byte is corrupt, not shorter."""
    raw, header = encoded(NOISE[:size])
    for end in range(0, len(raw), 1 if size < 5000 else 37):
        with pytest.raises(BlobCorruptError):
            decoded(raw[:end], header.digest)


def test_truncation_at_frame_borders_is_found() -> None:
    """Whole frames that are missing at the end are missed, before the last piece is handed out."""
    data = NOISE[: 2 * FRAME_BYTES + 10]
    raw, header = encoded(data)
    table = codec.read_seek_table(io.BytesIO(raw), header)
    for end in (offset + near for offset in table.offsets for near in (-1, 0, 1)):
        got: list[bytes] = []
        with pytest.raises(BlobCorruptError):
            got.extend(codec.decode(io.BytesIO(raw[:end]), digest=header.digest))
        assert sum(map(len, got)) < len(data)


@pytest.mark.parametrize("tail", [b"\0", b"more", bytes(5000)])
@pytest.mark.parametrize("size", [0, 100, FRAME_BYTES])
def test_what_follows_the_table_is_found(tail: bytes, size: int) -> None:
    """An object with anything behind its seek table is corrupt."""
    raw, header = encoded(NOISE[:size])
    with pytest.raises(BlobCorruptError):
        decoded(raw + tail, header.digest)


@pytest.mark.parametrize("inserted", [b"\0", b"\x5e\x2a\x4d\x18\0\0\0\0", NOISE[:10]])
def test_what_is_inserted_before_the_table_is_found(inserted: bytes) -> None:
    """Even a skippable frame that every zstd tool passes over may not stand between the frames and the table."""
    raw, header = encoded(NOISE[:1000])
    table = codec.read_seek_table(io.BytesIO(raw), header)
    end = table.offsets[-1]
    with pytest.raises(BlobCorruptError):
        decoded(raw[:end] + inserted + raw[end:], header.digest)
    with pytest.raises(BlobCorruptError):
        decoded(raw[:HEADER_BYTES] + inserted + raw[HEADER_BYTES:], header.digest)


def test_last_piece_comes_only_when_all_is_true() -> None:
    """The last bytes of a blob whose frames are sound but not its own are never handed out."""
    data = NOISE[: FRAME_BYTES + 100]
    raw, header = encoded(data)
    forged = with_header(raw, ObjectHeader(digest_of(b"other"), header.size, header.nonce))
    pieces = codec.decode(io.BytesIO(forged), digest=digest_of(b"other"))
    assert data[:FRAME_BYTES] == next(pieces)
    with pytest.raises(BlobCorruptError, match="hashes to"):
        next(pieces)


def test_another_blobs_object_is_refused() -> None:
    """A sound object under another digest's name is corrupt, and the message names both."""
    raw, header = encoded(b"mine")
    wanted = digest_of(b"theirs")
    with pytest.raises(BlobCorruptError, match=header.digest) as caught:
        decoded(raw, wanted)
    assert wanted == caught.value.digest


def test_swapped_frames_are_found() -> None:
    """Two sound frames in the wrong order do not pass for the blob."""
    data = NOISE[: 2 * FRAME_BYTES]
    raw, header = encoded(data)
    first, second, end = codec.read_seek_table(io.BytesIO(raw), header).offsets
    with pytest.raises(BlobCorruptError):
        decoded(raw[:first] + raw[second:end] + raw[first:second] + raw[end:], header.digest)


def test_later_format_version_is_no_damage() -> None:
    """An object that a later ocblob wrote is told apart from a broken one, so nobody quarantines it."""
    raw, header = encoded(b"bytes")
    later = changed(raw, 16, struct.pack("<Q", 2))[: HEADER_BYTES - 4]
    later += struct.pack("<I", zlib.crc32(later))
    with pytest.raises(StoreFormatError, match="version 2"):
        decoded(later + raw[HEADER_BYTES:], header.digest)
    with pytest.raises(BlobCorruptError):
        decoded(changed(raw, 16, struct.pack("<Q", 2)), header.digest)


@settings(deadline=None, max_examples=200)
@given(noise=st.binary(max_size=300), head=st.sampled_from([0, 8, 16, HEADER_BYTES]))
def test_no_bytes_crash_the_decoder(noise: bytes, head: int) -> None:
    """Whatever lies in an object's place, what comes is one of the errors that are documented."""
    raw, header = encoded(b"something")
    with pytest.raises(DAMAGE):
        decoded(raw[:head] + noise, header.digest)


# Forged sizes


def forged_header(size: int) -> ObjectHeader:
    """The header of a blob that claims this size."""
    return ObjectHeader(digest_of(b"forged"), size, bytes(16))


def frame_of(content: bytes, *, checksum: bool = True, content_size: bool = True) -> bytes:
    """One zstd frame made by the real compressor."""
    compressor = zstandard.ZstdCompressor(write_checksum=checksum, write_content_size=content_size)
    return compressor.compress(content)


@pytest.mark.parametrize("size", [0, 1, 99, 101, FRAME_BYTES, 2**40, 2**64 - 1])
def test_forged_size_is_found(size: int) -> None:
    """A header that claims another size than its frames hold is corrupt, though its own checksum is right."""
    raw, header = encoded(NOISE[:100])
    with pytest.raises(BlobCorruptError):
        decoded(with_header(raw, ObjectHeader(header.digest, size, header.nonce)), header.digest)


@pytest.mark.parametrize(
    "frame",
    [
        frame_of(bytes(FRAME_BYTES + 1)),
        frame_of(b"x" * 10, checksum=False),
        frame_of(b"x" * 10, content_size=False),
        frame_of(b""),
        frame_of(b"x" * 9),
        b"\x5e\x2a\x4d\x18\x04\0\0\0abcd",
        b"no frame",
    ],
    ids=["too large", "no checksum", "no size", "empty", "short", "skippable", "garbage"],
)
def test_foreign_frames_are_refused(frame: bytes) -> None:
    """A frame that `encode` would not have written is corrupt, though zstd reads it."""
    raw = made_of([frame], forged_header(10), plain=[10])
    with pytest.raises(BlobCorruptError):
        decoded(raw, digest_of(b"forged"))


@pytest.mark.parametrize("frame", [frame_of(bytes(64 << 20)), frame_of(bytes(FRAME_BYTES)) + b"rest"])
def test_single_frame_is_bounded(frame: bytes) -> None:
    """One frame that claims more than a frame holds, or has bytes behind it, is refused or cut, never inflated."""
    try:
        data = codec.decode_frame(frame, digest=digest_of(b"forged"))
    except BlobCorruptError:
        data = b""
    assert len(data) <= FRAME_BYTES


BOMB = """
import sys
from ocblob import codec
from ocblob.errors import BlobCorruptError
from processes import peak_bytes

digest, *paths = sys.argv[1:]
before = peak_bytes()
for path in paths:
    with open(path, "rb", buffering=0) as file:
        try:
            for piece in codec.decode(file, digest=digest):
                pass
        except BlobCorruptError:
            print("refused")
        try:
            file.seek(0)
            header = codec.parse_header(file.read(codec.HEADER_BYTES))
            table = codec.read_seek_table(file, header)
            codec.read_frame(file, table, 0, digest=digest)
        except BlobCorruptError:
            print("refused")
print(peak_bytes() - before)
"""


def bombs() -> dict[str, bytes]:
    """Small objects that claim, each in its own way, far more than they hold."""
    million = frame_of(bytes(FRAME_BYTES))
    blocks = million[9:]  # behind the magic, the descriptor and a size of four bytes
    huge = frame_of(bytes(100 << 20))
    believed = b"\x28\xb5\x2f\xfd\xe4" + struct.pack("<Q", 1 << 36) + blocks
    windowed = b"\x28\xb5\x2f\xfd\x04\xb0" + blocks
    endless = million[:9] + b"\xf8\xff\xff" * 1000
    return {
        "one frame of 100 MiB": made_of([huge], forged_header(100 << 20), plain=[100 << 20]),
        "the same, said to be one": made_of([huge], forged_header(FRAME_BYTES), plain=[FRAME_BYTES]),
        "a frame that claims 64 GiB": made_of([believed], forged_header(FRAME_BYTES), plain=[FRAME_BYTES]),
        "a header that claims them too": made_of([believed], forged_header(1 << 36), plain=[0]),
        "a window of 4 GiB": made_of([windowed], forged_header(FRAME_BYTES), plain=[FRAME_BYTES]),
        "a hundred frames for one": made_of([million] * 100, forged_header(FRAME_BYTES), plain=[FRAME_BYTES] * 100),
        "one frame for a million": made_of([million], forged_header(1 << 40), plain=[FRAME_BYTES]),
        "a block without an end": made_of([endless], forged_header(FRAME_BYTES), plain=[FRAME_BYTES]),
    }


def test_bombs_take_no_memory(tmp_path: Path) -> None:
    """Objects that claim gigabytes are refused, in a process whose memory grows by no more than some frames."""
    paths = []
    for number, raw in enumerate(bombs().values()):
        paths.append(tmp_path / str(number))
        paths[-1].write_bytes(raw)
    *refused, grown = finish(spawn(BOMB, digest_of(b"forged"), *map(str, paths))).split()
    assert 2 * len(paths) == len(refused)
    assert int(grown) < 32 << 20


@pytest.mark.parametrize("name", bombs())
def test_bombs_are_refused(name: str) -> None:
    """Each of these objects is corrupt, at its first frame or behind it."""
    with pytest.raises(BlobCorruptError):
        decoded(bombs()[name], digest_of(b"forged"))


def test_encoding_and_decoding_take_bounded_memory(tmp_path: Path) -> None:
    """A blob of 200 MB goes in and out through a few frames of memory."""
    script = f"""
        from ocblob import codec
        from processes import peak_bytes
        block = bytes(range(256)) * 4096
        before = peak_bytes()
        with open({str(tmp_path / "object")!r}, "w+b") as file:
            header, _ = codec.encode((block for _ in range(200)), file)
            file.seek(0)
            size = sum(len(piece) for piece in codec.decode(file, digest=header.digest))
        print(size, peak_bytes() - before)
    """
    size, grown = map(int, finish(spawn(textwrap.dedent(script))).split())
    assert 200 << 20 == size
    assert grown < 32 << 20


# The seek table


@pytest.mark.parametrize("size", BORDERS)
def test_frames_by_the_table_are_the_whole(size: int) -> None:
    """The frames that the seek table points at, one by one and in any order, are the blob."""
    data = NOISE[:size]
    raw, header = encoded(data)
    source = io.BytesIO(raw)
    table = codec.read_seek_table(source, header)
    assert -(-size // FRAME_BYTES) == len(table.offsets) - 1
    for index in reversed(range(len(table.offsets) - 1)):
        expected = data[index * FRAME_BYTES : (index + 1) * FRAME_BYTES]
        assert expected == codec.read_frame(source, table, index, digest=header.digest)


def test_table_is_of_the_seekable_format() -> None:
    """The last skippable frame is what the zstd seekable format prescribes, so other tools can seek too."""
    raw, _header = encoded(WORDS[: FRAME_BYTES + 10])
    count, flags, magic = struct.unpack("<IBI", raw[-9:])
    assert (4, 0, 0x8F92EAB1) == (count, flags, magic)
    start = len(raw) - 9 - 8 * count - 8
    assert (SKIPPABLE, 8 * count + 9) == struct.unpack_from("<II", raw, start)
    entries = list(struct.iter_unpack("<II", raw[start + 8 : -9]))
    assert start == sum(packed for packed, _ in entries)
    assert [0, FRAME_BYTES, 10, 0] == [plain for _, plain in entries]


@settings(deadline=None, max_examples=150)
@given(at=st.integers(0, 32), value=st.integers(0, 255))
def test_broken_table_is_found_or_harmless(at: int, value: int) -> None:
    """By a changed table a frame is refused, or is still exactly what stands there; it never gives other bytes."""
    data = NOISE[: FRAME_BYTES + 50]
    raw, header = encoded(data)
    forged = io.BytesIO(changed(raw, len(raw) - 33 + at, bytes([value])))
    try:
        table = codec.read_seek_table(forged, header)
        frames = [codec.read_frame(forged, table, index, digest=header.digest) for index in range(2)]
    except BlobCorruptError:
        frames = [data]
    assert data == b"".join(frames)


@pytest.mark.parametrize("raw", [b"", b"x", bytes(HEADER_BYTES), bytes(HEADER_BYTES + 9), bytes(10_000)])
def test_object_without_a_table_is_corrupt(raw: bytes) -> None:
    """What has no table at its end is corrupt, however short it is."""
    with pytest.raises(BlobCorruptError, match="seek table"):
        codec.read_seek_table(io.BytesIO(raw), forged_header(0))


def test_forged_table_takes_no_memory(tmp_path: Path) -> None:
    """A table that claims millions of frames in a sparse file is refused before it is read."""
    count = 16_000_000
    path = tmp_path / "object"
    with path.open("wb") as file:
        file.write(codec.pack_header(forged_header(5)))
        file.seek(HEADER_BYTES + 8 + 8 * count)
        file.write(struct.pack("<IBI", count, 0, 0x8F92EAB1))
    script = f"""
        from ocblob import codec
        from ocblob.errors import BlobCorruptError
        from ocblob.store.stream import BlobStream
        from processes import peak_bytes
        digest = {digest_of(b"forged")!r}
        before = peak_bytes()
        try:
            with open({str(path)!r}, "rb") as file:
                BlobStream(file, digest, lambda: None)
        except BlobCorruptError:
            print(peak_bytes() - before)
    """
    assert int(finish(spawn(textwrap.dedent(script)))) < 32 << 20


# Headers


@settings(deadline=None)
@given(data=st.binary(max_size=50), size=st.integers(0, 2**64 - 1), nonce=st.binary(min_size=16, max_size=16))
def test_header_round_trip(data: bytes, size: int, nonce: bytes) -> None:
    """A header of any size and nonce reads back, with and without the digest that is expected."""
    header = ObjectHeader(digest_of(data), size, nonce)
    raw = codec.pack_header(header)
    assert HEADER_BYTES == len(raw)
    assert header == codec.parse_header(raw)
    assert header == codec.parse_header(raw + b"more", digest=header.digest)
    with pytest.raises(BlobCorruptError, match="says that it is"):
        codec.parse_header(raw, digest="9c" * 32)
    with pytest.raises(BlobCorruptError, match="cut off"):
        codec.parse_header(raw[:-1], digest=header.digest)
