"""WebP: the marker in a chunk of our own, which the extended format allows behind the pixels."""

from binascii import a2b_base64
from typing import Final

# The picture of png.py in the simple format. Made once with Pillow: lossless=True, quality=100, method=6.
_PICTURE: Final = a2b_base64("""
    UklGRrAAAABXRUJQVlA4TKQAAAAvj8ATAA8w//M///MfeICjSJJja6DdFVd5wh3oqz/hNtRVCtot6Pe+nKfdiP5PQL3r6d/0Qz6Qs600
    57SmgW1QIb0qwAhNyEF+SC+LUkSLYUB2KKAIAakxfliL1qkIA9Ya88aq8tE2TnWeVc05LgIKdFUCt5kOut0e9S1u0QmnqVbnuPcUda7S
    7XArp4FwTjcBNAEAdSN8163idk5bac5Wt/hMAQ==
""")
_RIFF_BYTES: Final = 12
"""`RIFF`, the size of what follows, `WEBP`."""
_EXTENDED: Final = b"VP8X"
_LOSSLESS: Final = b"VP8L"
_ALPHA: Final = 0x10
_OURS: Final = b"OCBL"


def build(marker: bytes) -> bytes:
    """A lossless WebP that carries `marker`."""
    return carry(_PICTURE, marker)


def carry(picture: bytes, marker: bytes) -> bytes:
    """The WebP `picture` with `marker` in it; one of the simple format becomes an extended one."""
    head = b"" if picture.startswith(_EXTENDED, _RIFF_BYTES) else _extended(picture)
    body = b"".join((b"WEBP", head, picture[_RIFF_BYTES:], _OURS))
    pad = b" " * (-(8 + len(body) + 4) % 3)  # behind RIFF and its size, this body and the chunk's size
    size = len(pad) + len(marker)
    even = b"\0" * (size % 2)  # a chunk is padded to even; its size does not count the pad
    riff_size = len(body) + 4 + size + len(even)
    return b"".join((b"RIFF", riff_size.to_bytes(4, "little"), body, size.to_bytes(4, "little"), pad, marker, even))


def _extended(picture: bytes) -> bytes:
    """The chunk that begins the extended format, for a picture whose only chunk is `VP8L` or `VP8 `."""
    data = picture[_RIFF_BYTES + 8 :]
    if picture.startswith(_LOSSLESS, _RIFF_BYTES):
        bits = int.from_bytes(data[1:5], "little")  # behind a signature
        width, height, flags = bits & 0x3FFF, bits >> 14 & 0x3FFF, bits >> 28 & 1 and _ALPHA
    else:
        # Behind the frame's tag and a start code; the two highest bits of each are a scale.
        width, height = ((int.from_bytes(data[at : at + 2], "little") & 0x3FFF) - 1 for at in (6, 8))
        flags = 0
    # Flags, three reserved bytes, width and height less one.
    content = bytes((flags, 0, 0, 0)) + width.to_bytes(3, "little") + height.to_bytes(3, "little")
    return _EXTENDED + len(content).to_bytes(4, "little") + content
