"""The object format: how one blob lies at rest.

    skippable frame   magic, format version, size, digest, random nonce      (84 bytes)
    zstd frames       1 MiB of the blob each, independent, with content size and checksum
    skippable frame   a check of each zstd frame as it lies there: 8 bytes of its BLAKE3
    skippable frame   the seek table of the zstd seekable format

Any zstd tool that skips skippable frames gives the blob back: `zstd -d < object`. The invariant: what
`decode` hands out without an error is `size` bytes that hash to the digest in the header.
"""

import itertools
import os
import struct
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final

import zstandard

from ocblob.digest import Hasher, short_hash
from ocblob.errors import BlobCorruptError, StoreFormatError

FRAME_BYTES: Final = 1 << 20
LEVEL: Final = 3
VERSION: Final = 1
FRAME_PACKED_BYTES_MAX: Final = FRAME_BYTES + FRAME_BYTES // 128
"""More than the worst case of zstd for one frame."""
READ_BYTES: Final = FRAME_PACKED_BYTES_MAX + 1024
"""One read fetches a whole object of one frame."""

_SKIPPABLE: Final = 0x184D2A5E
"""The magic of the skippable frames; the seekable format prescribes this one for its table."""
_CHECKS: Final = 0x184D2A5D
"""Another one of them, so that no tool takes the checks for a table."""
CHECK_BYTES: Final = 8
_HEADER: Final = struct.Struct("<II8sQ32s16sQ")
"""Skippable magic, length of the rest, our magic, version, digest, nonce, size; a CRC-32 of these follows.

The header has this length and this CRC in every version: a flipped bit must not look like a later version."""
_CRC: Final = struct.Struct("<I")
_MAGIC: Final = b"ocblob\r\n"
_SKIPPABLE_HEADER: Final = struct.Struct("<II")
_TABLE_ENTRY: Final = struct.Struct("<II")
_TABLE_FOOTER: Final = struct.Struct("<IBI")
_SEEKABLE_MAGIC: Final = 0x8F92EAB1
_FRAME_HEADER_BYTES_MAX: Final = 18
_FRAME_CHECKSUM_BYTES: Final = 4
_BLOCK_RLE: Final = 1
HEADER_BYTES: Final = _HEADER.size + _CRC.size


@dataclass(frozen=True, slots=True)
class ObjectHeader:
    """What an object says of itself in its first bytes."""

    digest: str
    size: int
    """Bytes decoded."""
    nonce: bytes
    """Makes every put's bytes, and so a remote ETag, its own."""


@dataclass(frozen=True, slots=True)
class SeekTable:
    """Where the frames of an object begin, at rest; frame `i` holds bytes from `i * FRAME_BYTES`."""

    offsets: tuple[int, ...]
    """One more than there are frames: the last is the end of the last frame."""
    checks: tuple[bytes, ...]
    """Of each frame as it lies there: zstd knows several ways to write the same bytes, a check only one."""


def pack_header(header: ObjectHeader) -> bytes:
    """The first bytes of an object."""
    digest = bytes.fromhex(header.digest)
    data = _HEADER.pack(_SKIPPABLE, HEADER_BYTES - 8, _MAGIC, VERSION, digest, header.nonce, header.size)
    return data + _CRC.pack(zlib.crc32(data))


def parse_header(data: bytes, *, digest: str = "") -> ObjectHeader:
    """Read an object's first bytes.

    Raises `BlobCorruptError` if they are not an object's, or another blob's than `digest`, and
    `StoreFormatError` if a later version wrote them.
    """
    if len(data) < HEADER_BYTES:
        raise BlobCorruptError(f"object {digest} is cut off in its header", digest=digest)
    magic, rest, ours, version, found, nonce, size = _HEADER.unpack_from(data)
    if (magic, rest, ours) != (_SKIPPABLE, HEADER_BYTES - 8, _MAGIC):
        raise BlobCorruptError(f"object {digest} does not begin as an object", digest=digest)
    if _CRC.unpack_from(data, _HEADER.size) != (zlib.crc32(data[: _HEADER.size]),):
        raise BlobCorruptError(f"object {digest} has a damaged header", digest=digest)
    if version != VERSION:
        raise StoreFormatError(f"object {digest} has format version {version}; this ocblob reads version {VERSION}")
    if digest and found.hex() != digest:
        raise BlobCorruptError(f"object {digest} says that it is {found.hex()}", digest=digest)
    return ObjectHeader(found.hex(), size, nonce)


def encode(chunks: Iterable[bytes], sink: BinaryIO) -> tuple[ObjectHeader, int]:
    """Write one object; return its header and stored size.

    `sink` must be seekable: the header is filled in last. Memory: two frames and zstd's tables, about 5 MiB.
    """
    pack = frame_packer()
    hasher = Hasher()
    sink.write(bytes(HEADER_BYTES))
    frames: list[tuple[int, int]] = [(HEADER_BYTES, 0)]
    checks: list[bytes] = []
    for frame in _frames(chunks):
        hasher.update(frame)
        data = pack(frame)
        sink.write(data)
        frames.append((len(data), len(frame)))
        checks.append(short_hash(data))
    size = sum(plain for _, plain in frames)
    end = _pack_end(frames, checks)
    sink.write(end)
    header = ObjectHeader(hasher.hexdigest(), size, os.urandom(16))
    sink.seek(0)
    sink.write(pack_header(header))
    return header, sum(packed for packed, _ in frames[: len(checks) + 1]) + len(end)


def decode(source: BinaryIO, *, digest: str) -> Iterator[bytes]:
    """Yield the blob in pieces of up to 1 MiB, checked: the iterator ends without an error only if all is true.

    Every byte that has a say in the blob takes part in the check, header and seek table too. Raises
    `BlobCorruptError` at the first sign of damage, at the latest after the last piece: who must not act on bad
    bytes waits for the end.
    `source` is read forward only. Memory: about 4 MiB, whatever the object claims.
    """
    packed = _Input(source)
    header = parse_header(packed.take(HEADER_BYTES), digest=digest)
    hasher = Hasher()
    frames = [(HEADER_BYTES, 0)]
    checks = []
    left = header.size
    while left > 0:
        frame = packed.frame(digest)
        data = decode_frame(frame, digest=digest)
        if len(data) != min(left, FRAME_BYTES):
            raise BlobCorruptError(f"object {digest} has a frame of {len(data)} bytes", digest=digest)
        hasher.update(data)
        frames.append((len(frame), len(data)))
        checks.append(short_hash(frame))
        left -= len(data)
        if left:
            yield data
    if hasher.hexdigest() != digest:
        raise BlobCorruptError(f"object {digest} hashes to {hasher.hexdigest()}", digest=digest)
    end = _pack_end(frames, checks)
    if packed.take(len(end) + 1) != end:
        raise BlobCorruptError(f"object {digest} is not as it was written", digest=digest)
    if header.size:
        yield data


def decode_frame(frame: bytes | memoryview, *, digest: str) -> bytes:
    """One frame, decoded and checked by its own checksum.

    Raises `BlobCorruptError`, before memory is taken, if it claims more than a frame may hold.
    """
    try:
        declared = zstandard.get_frame_parameters(frame)
        if not declared.has_checksum or declared.content_size > FRAME_BYTES:
            raise BlobCorruptError(f"object {digest} has a frame of a foreign kind", digest=digest)
        return zstandard.ZstdDecompressor(max_window_size=FRAME_BYTES).decompress(frame)
    except zstandard.ZstdError as error:
        raise BlobCorruptError(f"object {digest} does not decompress: {error}", digest=digest) from error


def frame_packer() -> Callable[[bytes | bytearray], bytes]:
    """Packs up to `FRAME_BYTES` into one frame, as objects have them."""
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, write_content_size=True).compress


def unpacked_frames(source: BinaryIO, *, name: str) -> Iterator[bytes]:
    """The content of frames that lie one behind the other to the end, each checked. Raises `BlobCorruptError`."""
    packed = _Input(source)
    while not packed.at_end():
        yield decode_frame(packed.frame(name), digest=name)


def read_seek_table(source: BinaryIO, header: ObjectHeader) -> SeekTable:
    """Read checks and table at the end of an object, from a seekable source.

    Raises `BlobCorruptError` if they are not those that the header's size asks for, before memory is taken.
    """
    corrupt = BlobCorruptError(f"object {header.digest} has a broken seek table", digest=header.digest)
    count = -(-header.size // FRAME_BYTES)
    checks_length = _SKIPPABLE_HEADER.size + count * CHECK_BYTES
    table_length = _SKIPPABLE_HEADER.size + (count + 2) * _TABLE_ENTRY.size + _TABLE_FOOTER.size
    begin = source.seek(0, os.SEEK_END) - checks_length - table_length
    if begin < HEADER_BYTES:
        raise corrupt
    source.seek(begin)
    data = _exactly(source, checks_length + table_length)
    entries = data[checks_length + _SKIPPABLE_HEADER.size : -_TABLE_FOOTER.size]
    if len(data) != checks_length + table_length:
        raise corrupt
    frames = list(_TABLE_ENTRY.iter_unpack(entries))[:-1]
    checks = [data[at : at + CHECK_BYTES] for at in range(_SKIPPABLE_HEADER.size, checks_length, CHECK_BYTES)]
    if data != _pack_end(frames, checks) or frames[0] != (HEADER_BYTES, 0):
        raise corrupt
    if sum(packed for packed, _ in frames) != begin or sum(plain for _, plain in frames) != header.size:
        raise corrupt
    return SeekTable(tuple(itertools.accumulate(packed for packed, _ in frames)), tuple(checks))


def read_frame(source: BinaryIO, table: SeekTable, index: int, *, digest: str) -> bytes:
    """Frame `index` of an object, from a seekable source; checked by its own checks only."""
    begin, end = table.offsets[index], table.offsets[index + 1]
    if not 0 < end - begin <= FRAME_PACKED_BYTES_MAX:
        raise BlobCorruptError(f"object {digest} has a frame of {end - begin} bytes", digest=digest)
    if source.tell() != begin:
        source.seek(begin)
    frame = _exactly(source, end - begin)
    if short_hash(frame) != table.checks[index]:
        raise BlobCorruptError(f"object {digest} has a frame that is not as it was written", digest=digest)
    return decode_frame(frame, digest=digest)


def _exactly(source: BinaryIO, size: int) -> bytes:
    """`size` bytes, or fewer at the end: an unbuffered source may give less than it is asked for."""
    data = source.read(size)
    while len(data) < size and (more := source.read(size - len(data))):
        data += more
    return data


class _Input:
    """Compressed bytes, read forward, cut where frames end."""

    def __init__(self, source: BinaryIO) -> None:
        self._source = source
        self._buffer = b""
        self._at = 0

    def take(self, count: int) -> bytes:
        """Up to `count` bytes; fewer only at the end."""
        self._fill(count)
        data = self._buffer[self._at : self._at + count]
        self._at += len(data)
        return data

    def at_end(self) -> bool:
        """Whether nothing is left."""
        self._fill(1)
        return self._at == len(self._buffer)

    def frame(self, digest: str) -> memoryview:
        """The next whole zstd frame, found by its block headers (RFC 8878 section 3.1.1)."""
        self._fill(FRAME_PACKED_BYTES_MAX)
        frame = memoryview(self._buffer)[self._at :]
        try:
            at = zstandard.frame_header_size(frame[:_FRAME_HEADER_BYTES_MAX])
            last = False
            while not last:
                block = int.from_bytes(frame[at : at + 3], "little")
                last = bool(block & 1)
                at += 3 + (1 if (block >> 1) & 3 == _BLOCK_RLE else block >> 3)
                if at > len(frame):
                    raise BlobCorruptError(f"object {digest} is cut off", digest=digest)
        except zstandard.ZstdError as error:
            raise BlobCorruptError(f"object {digest} has no frame where one must be: {error}", digest=digest) from error
        at += _FRAME_CHECKSUM_BYTES
        self._at += at
        return frame[:at]

    def _fill(self, count: int) -> None:
        have = len(self._buffer) - self._at
        while have < count:
            data = self._source.read(max(count - have, READ_BYTES))
            if not data:
                return
            self._buffer = self._buffer[self._at :] + data if have else data
            self._at = 0
            have = len(self._buffer)


def _frames(chunks: Iterable[bytes]) -> Iterator[bytes | bytearray]:
    """The same bytes in pieces of exactly `FRAME_BYTES`, but for the last."""
    buffer = bytearray()
    for chunk in chunks:
        at = 0
        while len(buffer) + len(chunk) - at >= FRAME_BYTES:
            take = FRAME_BYTES - len(buffer)
            buffer += memoryview(chunk)[at : at + take]
            at += take
            yield buffer
            buffer = bytearray()
        buffer += memoryview(chunk)[at:] if at else chunk
    if buffer:
        yield buffer


def _pack_end(frames: list[tuple[int, int]], checks: list[bytes]) -> bytes:
    """What stands behind the frames: their checks, then the seek table, in which the checks are a frame too."""
    held = b"".join(checks)
    checked = _SKIPPABLE_HEADER.pack(_CHECKS, len(held)) + held
    return checked + _pack_table([*frames, (len(checked), 0)])


def _pack_table(frames: list[tuple[int, int]]) -> bytes:
    entries = b"".join(_TABLE_ENTRY.pack(packed, plain) for packed, plain in frames)
    footer = _TABLE_FOOTER.pack(len(frames), 0, _SEEKABLE_MAGIC)
    return _SKIPPABLE_HEADER.pack(_SKIPPABLE, len(entries) + len(footer)) + entries + footer
