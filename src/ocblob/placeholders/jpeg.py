"""JPEG: the marker in a COM segment right after the JFIF header."""

from binascii import a2b_base64
from typing import Final

# The picture of png.py as a file without a marker. Made once with Pillow: grey, quality=7, optimize=True.
_PICTURE: Final = a2b_base64("""
    /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAHJPVmRWR3JkXWSBeXKIq/+6q52dq//6/8//////////////////////////////////////
    ////////////////wAALCABQAJABAREA/8QAGAABAQEBAQAAAAAAAAAAAAAAAAIBAwT/xAAwEAACAgIBAgQDBgcAAAAAAAABAgARAxIh
    MVEiQWGBE6GxBCMyM5HRQkNSYnGCwf/aAAgBAQAAPwD0xERERERERERETGYKpZjQExMivepupyX7Qu7W3h4rj9fKVnyaJwaY9JaZFe9T
    dTGzY1YqzUR6GUzBVLMaAmJkV71N1OaZgMStkbk35evpOj5FStjVzQwLFQeR1ktmxqxVmoj0MosAwUnk9JiZFe9TdTkv2hd2tvDxXH6+
    U7xEjKxVeDQ827e3nfScVbbOn3m/X+Gq4l7DHldnNBqr2HM3IGfARrTHyv1lLlDsAnI8z27Tk2Q7HbJ8M/063Xv85mPhMTn8K7Wf8zoH
    XI6lRtrfPSr+tzPsygYgwHJ6/qZGL+R/tGL+R/tMUnGoVsuhHlrde8o4gGxY25Hi/eW/5+L3+kzYY8rs5oNVew5nVSSoLCj2ubERERER
    EREREREROK5iyg6cn8Ivr3/xXrLOUagp4i3QdLrrCudgrrqT05u+83G+6Bqq5Ay2ikL4mulvt6ylc7BXXUnpzd95Pxf4tfu/6r/5168R
    9n/IX3+pnWedGyfFyEY7JqxsOOJ2d9aAFseg7zFc7BXXUnpzd95cREROGPGw+FY/DtfvC42VENWyX4e9+soBndWZddb87u40ZfChpT0/
    t/e/lMyYRquq2Fvw31v1+cYsYDbHHoR08VwvxMahFTYDzsD5S8KlcSqwoj95c5EMjsyrttXnVVDIw1a92W/S7+lQAzurMuut+d3c6xER
    ERETCwDBSeT0myfiLvpfi7SomKwZQymwZsRERERIyMdlRTRa+e1ekkFkdVZttr8qqpi/EyKHV9QfKgfnMdm3xHTxc+G/+ygWR1Vm22vy
    qqh/z8Xv9JWRjsqKaLXz2r0kgsjqrNttflVVIwjI2JQp0A86Bvn5VO2N90DVVyoiIiIkum1EGmHQ9piodgztsR04qu8n4bDhMmq+Qq4b
    F+HRtdbri+spUOwZ22I6cVXeS+NmcMMlV046S3TaiDTDoe0xUOwZ22I6cVXeQuLIqhVy0B/aJ1VQqhVFATYiIiIiIiIiIiIiJ//Z
""")
_START: Final = b"\xff\xd8"
_JFIF: Final = b"\xff\xe0"
_COMMENT: Final = b"\xff\xfe"
SCAN: Final = b"\xff\xda"
"""What begins a scan. Elsewhere it stands only in thumbnails, and in what cameras put behind a picture."""
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset({0xC2, 0xC6, 0xCA, 0xCE})
_COEFFICIENT_BYTES: Final = 2


def build(marker: bytes) -> bytes:
    """A baseline JPEG that carries `marker`."""
    return carry(_PICTURE, marker)


def carry(picture: bytes, marker: bytes) -> bytes:
    """The JPEG `picture` with `marker` in it: behind its JFIF header, which must come first, if it has one."""
    at = len(_START)
    if picture.startswith(_JFIF, at):
        at += len(_JFIF) + int.from_bytes(picture[at + 2 : at + 4], "big")
    text = b" " * (-(at + 4) % 3) + marker  # JFIF's 18 bytes put the marker at 24
    size = len(text) + 2  # a segment's size counts itself
    return b"".join((picture[:at], _COMMENT, size.to_bytes(2, "big"), text, picture[at:]))


def held_bytes(picture: bytes) -> int:
    """What a decoder must hold beside the pixels: nothing if they come in one scan, else all coefficients.

    Raises ValueError or IndexError if that cannot be told from what stands before the first scan.
    """
    at, held, parts, several = len(_START), 0, 0, False
    while picture[at] == 0xFF:  # noqa: PLR2004 - what every marker begins with
        code = picture[at + 1]
        if code == SCAN[1]:
            return held if several or picture[at + 4] < parts else 0
        if code in _FRAMES:
            held, parts, several = _coefficient_bytes(picture, at + 4), picture[at + 9], code in _PROGRESSIVE
        at += 2 + int.from_bytes(picture[at + 2 : at + 4], "big")
    raise ValueError(f"no marker at {at}")


def _coefficient_bytes(picture: bytes, at: int) -> int:
    """Of a frame whose header is at `at`: a sample depth, height, width, and for each colour how it is sampled."""
    height, width = (int.from_bytes(picture[at + begin : at + begin + 2], "big") for begin in (1, 3))
    sampled = picture[at + 7 : at + 6 + 3 * picture[at + 5] : 3]
    across, down = ([value >> 4 for value in sampled], [value & 15 for value in sampled])
    blocks = -(-width // (8 * max(across))) * -(-height // (8 * max(down)))
    return blocks * 64 * _COEFFICIENT_BYTES * sum(a * d for a, d in zip(across, down, strict=True))
