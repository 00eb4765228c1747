"""WebP: the marker in a chunk of our own, which the extended format allows behind the pixels."""

from binascii import a2b_base64
from typing import Final

# The picture of png.py in the simple format. Made once with Pillow: lossless=True, quality=100, method=6.
_PICTURE: Final = a2b_base64("""
    UklGRrAAAABXRUJQVlA4TKQAAAAvj8ATAA8w//M///MfeICjSJJja6DdFVd5wh3oqz/hNtRVCtot6Pe+nKfdiP5PQL3r6d/0Qz6Qs600
    57SmgW1QIb0qwAhNyEF+SC+LUkSLYUB2KKAIAakxfliL1qkIA9Ya88aq8tE2TnWeVc05LgIKdFUCt5kOut0e9S1u0QmnqVbnuPcUda7S
    7XArp4FwTjcBNAEAdSN8163idk5bac5Wt/hMAQ==
""")
_EXTENDED: Final = b"VP8X\x0a\0\0\0" + bytes(4) + (143).to_bytes(3, "little") + (79).to_bytes(3, "little")
"""No feature flags; width and height less one."""
_BODY: Final = b"WEBP" + _EXTENDED + _PICTURE[12:] + b"OCBL"
_PAD: Final = b" " * (-(8 + len(_BODY) + 4) % 3)
"""Behind RIFF and its size, this body and the chunk's size."""


def build(marker: bytes) -> bytes:
    """A lossless WebP that carries `marker`."""
    size = len(_PAD) + len(marker)
    even = b"\0" * (size % 2)  # a chunk is padded to even; its size does not count the pad
    riff_size = len(_BODY) + 4 + size + len(even)
    return b"".join((b"RIFF", riff_size.to_bytes(4, "little"), _BODY, size.to_bytes(4, "little"), _PAD, marker, even))
