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
_HEAD: Final = _PICTURE[:19] + b"\x21\xfe"
"""The header, two colours and the code of the comment."""
_PAD: Final = b"  "
"""Behind the sub-block's size: the marker starts at 24."""
_PIXELS: Final = b"\0" + _PICTURE[19:]
"""The end of the comment and the image."""


def build(marker: bytes) -> bytes:
    """A GIF that carries `marker` in one sub-block."""
    return b"".join((_HEAD, bytes((len(_PAD) + len(marker),)), _PAD, marker, _PIXELS))
