"""MP4 and QuickTime: the marker in a `free` box behind a film of one picture that lasts a second.

Everything before that box is the same in every file, so no offset in it ever changes.
"""

from binascii import a2b_base64
from functools import cache
from typing import Final

_WIDTH: Final = 144
_HEIGHT: Final = 80
_DURATION: Final = (1000).to_bytes(4, "big")
"""In units of 1/1000 s, which is the timescale too."""

# The picture of png.py as one H.264 key frame. Made once with
#   ffmpeg -i words.png -pix_fmt yuv420p -c:v libx264 -preset placebo -profile:v main -qp 42
#       -bsf:v filter_units=remove_types=6 words.h264
# and cut at its start codes into the two parameter sets and the frame.
_SEQUENCE: Final = bytes.fromhex("674d400bb9422125d080000003008000000301078a14c230")
_PARAMETERS: Final = bytes.fromhex("68e8438104b2")
_FRAME: Final = a2b_base64("""
    ZYiBAA//AZF0f+c6TyYEOE9kpTbdAfCG0+g1u6akWyqAxONNgkK3d2Dq8x4L7JLF6f0tRs9bM2IJEs0xqfgpAYizJUQZY6iXfsaSTzCX
    UFzOLylFUhTlmclkF3M4PqEp5auWe6aeTnVYVoF2e+cAgmQezSe/jOd0pRwFXHogeEIgHn4AAEYexLz034CY9jxPgQCZZR9WcgvPIHnf
    rj+A0zHO3AoAW04+NZ6ylE8AGh1c4h4OaSny1ggEgAuaCJxxr70bvmNg+vIOFCIpoQOz/xiQOsy2M8HS3xU5VOY4OboCiQXOBCgfO7Uc
    oI5jeyGJAMKmRJL7RsTQZJnMuMTwPfI3THOSTZeN6aTS1rmKEHQ1qUATB8uxz6PgoI7tQRLGqACltxQhml0Wp2FRCURqLD4J7p+OM8KX
    qqwBG6XQcIFIBqsUXmM6Cda4HCikEAhTJQgcOiVYEzGFbAVPs3JO3DgwfapmP3HTi3csXR2jx1C1XZ9PqQbSiVxi6fcN41BtjJr43Cmo
    Bd8uJ6xdMayOoow11VtVz+3+uH/BFiQWnkwMxfWJYn9jik/ucEGTSq0qbsbWL0LO8fJTCAkAQvCDdFOoUqQPlqaflnzNmPgkZpKkz3hu
    V7kuhyUYinulx7N2tYCoZrYd40jz46B35VNiaHpSHBCMjI5nvKyyHPFya/Yrivx8H7Maj5CEtuHc6wFEuOVu/A5djw==
""")
_MATRIX: Final = b"\0\1\0\0" + bytes(12) + b"\0\1\0\0" + bytes(12) + b"\x40\0\0\0"
"""As it is: neither turned nor scaled."""


def build_mp4(marker: bytes) -> bytes:
    """An MP4 that carries `marker`."""
    return _film(quicktime=False) + _free(marker)


def build_quicktime(marker: bytes) -> bytes:
    """A QuickTime film that carries `marker`."""
    return _film(quicktime=True) + _free(marker)


def _free(marker: bytes) -> bytes:
    # The film's size is made a multiple of 3, so a pad of one byte behind the 8 of the header is right.
    return (9 + len(marker)).to_bytes(4, "big") + b"free " + marker


@cache
def _film(*, quicktime: bool) -> bytes:
    """All boxes before `free`; their size is a multiple of 3."""
    if quicktime:
        kind = _box(b"ftyp", b"qt  ", bytes(4), b"qt  ")
    else:
        kind = _box(b"ftyp", b"isom", _u32(0x200), b"isomiso2avc1mp41")
    sample = _u32(len(_FRAME)) + _FRAME
    offset = len(kind) + len(_moov(0, quicktime=quicktime)) + 8
    pad = bytes(-(offset + len(sample)) % 3)  # nothing points to what follows the sample
    return kind + _moov(offset, quicktime=quicktime) + _box(b"mdat", sample, pad)


def _moov(offset: int, *, quicktime: bool) -> bytes:
    """The film's description; `offset` is where its one sample starts in the file."""
    # QuickTime says what class a handler has where MP4 has zeros, and wants one more for the data.
    media = _handler(b"mhlr" if quicktime else bytes(4), b"vide")
    data = _handler(b"dhlr", b"url ") if quicktime else b""
    references = _full(b"dref", 0, _u32(1), _full(b"url ", 1))  # flag 1: the data is in this file
    minf = (_full(b"vmhd", 1, bytes(8)), data, _box(b"dinf", references), _sample_table(offset))
    times = bytes(8)  # created and modified: never, so that equal markers give equal files
    mdhd = _full(b"mdhd", 0, times, _u32(1000), _DURATION, b"\x55\xc4\0\0")  # language "und"
    size = _u32(_WIDTH << 16) + _u32(_HEIGHT << 16)
    tkhd = _full(b"tkhd", 7, times, _u32(1), bytes(4), _DURATION, bytes(16), _MATRIX, size)
    mvhd = _full(
        b"mvhd",
        0,
        times,
        _u32(1000),
        _DURATION,
        _u32(0x10000) + b"\x01\0",  # rate and volume: 1.0
        bytes(10),
        _MATRIX,
        bytes(24),
        _u32(2),  # the next track's number
    )
    mdia = _box(b"mdia", mdhd, media, _box(b"minf", *minf))
    return _box(b"moov", mvhd, _box(b"trak", tkhd, mdia))


def _sample_table(offset: int) -> bytes:
    """One chunk with one sample, described as H.264."""
    config = _box(
        b"avcC",
        b"\x01" + _SEQUENCE[1:4] + b"\xff\xe1",  # sizes of 4 bytes, one sequence parameter set
        len(_SEQUENCE).to_bytes(2, "big") + _SEQUENCE,
        b"\x01" + len(_PARAMETERS).to_bytes(2, "big") + _PARAMETERS,
    )
    description = _box(
        b"avc1",
        bytes(6) + b"\0\x01",  # the first data reference
        bytes(16),
        _WIDTH.to_bytes(2, "big") + _HEIGHT.to_bytes(2, "big"),
        _u32(72 << 16) * 2,  # dots per inch
        bytes(4) + b"\0\x01",  # one frame in a sample
        bytes(32),  # the compressor's name
        b"\0\x18\xff\xff",  # 24 bits a pixel, no colour table
        config,
    )
    return _box(
        b"stbl",
        _full(b"stsd", 0, _u32(1), description),
        _full(b"stts", 0, _u32(1), _u32(1), _DURATION),
        _full(b"stsc", 0, _u32(1), _u32(1) * 3),
        _full(b"stsz", 0, _u32(len(_FRAME) + 4), _u32(1)),
        _full(b"stco", 0, _u32(1), _u32(offset)),
    )


def _handler(component: bytes, kind: bytes) -> bytes:
    return _full(b"hdlr", 0, component, kind, bytes(12), b"\0")


def _full(name: bytes, flags: int, *parts: bytes) -> bytes:
    """A box that starts with a version, always 0, and flags."""
    return _box(name, _u32(flags), *parts)


def _box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return _u32(8 + len(content)) + name + content


def _u32(number: int) -> bytes:
    return number.to_bytes(4, "big")
