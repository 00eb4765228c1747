"""GIF: the marker in a comment extension before the pixels.

A sub-block of a comment holds at most 255 bytes, and the marker must stand in one: this bounds all markers.
"""

from binascii import a2b_base64
from typing import Final

# The picture of png.py as a file without a marker. Made once with `gifsicle -O3 --no-interlace`, and the
# version set to 89a, which a comment needs.
_PICTURE: Final = a2b_base64("""
    R0lGODlhkABQAPAAAP///wAAACwAAAAAkABQAAAC/4SPqcvtD6OctNqLs968+w+G4kiW5omm6sq27gvH8kzX9o3nZxA4PPmbBWHDRRF0
    fCVZy0OT81xFUdFpxkrtlXhcraHbRYC5inEZLNaGnWRA0sz+tuVwJJpdd4+9+Hm/GLRGp8Y3CEh4mAfEV1X4EOgIeShHqVeZNogZJ8Xo
    qCkBeZa5GWppqil4qiqy1+nj+dfWKGpa2lr6uRrSmkvLwKvbW0tYeUucMDny5rp5OUy77Fx8jGsUySx9dZ2bPA29rWtLDZvdHaytqNeU
    auiXF/2s+g6ehlUBXA/Lrn7XLizubJ6vPjoKGjyIMKHChQwbOnwIMaLEiRQrWrxhL9vFGP8Zz2100bHjxy3krElcsywVPH/IZJXMty+d
    DJTXVNLjl/IYBHyxcAAMp5MUuEQvW/66OXNcuaDejMrzs1MfUo5KgS5tR3Ng1KNaqTaFB/bW1QnrphKpujKexmZstwrtevbrzWqznIJi
    ljZpU5ZwcdbsRxaqX59V+dptGXOPhcT7Rjp+DDmy5MmUK1u+jDmzZshWGj8qulnYGZEeQ/c93YB0ZnukVT9MJ5AfV2s2R42EDViS1KO1
    ZX8M+83cWFTuQC8E7rT3v6HFNyKfvbxrtbUQn5s8PPwt9onW97a1mtxsxO5qv+ctT308YMM8DbNX7Bi3TfmC58k0jT+//v38+/sO/w9g
    gAIOSGCBBh64UAEAOw==
""")
_VERSION: Final = b"GIF89a"
_HEAD_BYTES: Final = 13
"""The version and the screen: its flags are the byte at 10, and the global colours follow."""
_COLOURS: Final = 0x80
"""The flag that says that there are global colours; the lowest three bits say how many."""
_COMMENT: Final = b"\x21\xfe"


def build(marker: bytes) -> bytes:
    """A GIF that carries `marker` in one sub-block."""
    return carry(_PICTURE, marker)


def carry(picture: bytes, marker: bytes) -> bytes:
    """The GIF `picture` with `marker` in it; its version becomes the one that has comments."""
    flags = picture[10]
    at = _HEAD_BYTES + (3 * 2 ** ((flags & 7) + 1) if flags & _COLOURS else 0)
    text = b" " * (-(at + 3) % 3) + marker  # behind the sub-block's size
    comment = b"".join((_COMMENT, bytes((len(text),)), text, b"\0"))
    return b"".join((_VERSION, picture[len(_VERSION) : at], comment, picture[at:]))
