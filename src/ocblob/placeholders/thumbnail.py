"""Thumbnails of PNG, JPEG, GIF and WebP, made with Pillow, which is needed to import this.

A thumbnail is a small valid file of the type that was declared, upright, with nothing but pixels in it. What the
decoder would take is judged before anything is decoded, and whatever goes wrong in it only means: no thumbnail.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

# Named here because Pillow would load all its forty plugins to find the one for WebP.
from PIL import GifImagePlugin, Image, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

from ocblob.placeholders import jpeg

DECODED_BYTES_MAX: Final = 80 * 1024 * 1024
"""What decoding a picture may take: 20 million pixels of a PNG, 4 of a WebP, any baseline JPEG."""
SIDES: Final = (128, 112, 96, 80, 64)
"""How long the longer side of a thumbnail may be, in pixels."""
SIDE_MIN: Final = 64
"""Shorter sides are padded: some providers reject smaller pictures."""
SCANS_MAX: Final = 100
"""A progressive JPEG has about ten scans. Each costs time for every pixel, however few bytes it takes."""
_FINER: Final = 2
"""A picture is reduced to no less than this many times its thumbnail before it is resampled."""
_BAND_PIXELS: Final = 1 << 20
_OPAQUE: Final = 255
_SEEN: Final = 128
"""Pixels of a GIF are seen or not: from this alpha on they are."""

_TRANSPARENT: Final = frozenset({"LA", "La", "PA", "RGBA", "RGBa"})
_GREY: Final = frozenset({"1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I;16N", "I"})
_ONE_BYTE: Final = frozenset({"1", "L", "P"})
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture of each EXIF orientation upright."""


class _Type(NamedTuple):
    """How pictures of one type are read and written."""

    format: str
    """Pillow's name."""
    decoded_bytes: Callable[[Image.Image, bytes], int]
    """What decoding takes, at most."""
    encode: Callable[[Image.Image, int], bytes]
    steps: tuple[int, ...]
    """What `encode` is given: qualities or numbers of colours, the best first."""


def thumbnail(mime: str, data: bytes, *, room: int) -> bytes | None:
    """A thumbnail of at most `room` bytes of a picture of the canonical type `mime`, or None.

    The same bytes give the same thumbnail. Memory: `DECODED_BYTES_MAX`, and for a WebP a copy of `data`.
    """
    kind = _TYPES.get(mime)
    if kind is None:
        return None
    with warnings.catch_warnings():
        # A decoder warns of odd files, and of large ones, which are judged here.
        warnings.simplefilter("ignore")
        try:
            small = _read(kind, data)
            return None if small is None else _fitted(kind, small, room)
        except Exception:  # noqa: BLE001 - a decoder that is fed anything may raise anything
            return None


def _read(kind: _Type, data: bytes) -> Image.Image | None:
    """The picture upright, a few times the size of a thumbnail, in RGB, RGBA or L; None if it would take too much."""
    with Image.open(io.BytesIO(data), formats=(kind.format,)) as picture:
        width, height = (_FINER * side for side in _scaled(picture.size, SIDES[0]))
        if kind.decoded_bytes(picture, data) > DECODED_BYTES_MAX:
            return None
        picture.draft(None, (width, height))
        picture.load()
        small = _reduced(picture, (max(1, picture.width // width), max(1, picture.height // height)))
        turn = _TURNS.get(_orientation(picture))
    if small.mode == "RGBA" and small.getchannel("A").getextrema() == (_OPAQUE, _OPAQUE):
        small = small.convert("RGB")
    if turn is not None:
        small = small.transpose(turn)
    return small


def _scaled(size: tuple[int, int], side: int) -> tuple[int, int]:
    """The size of a picture whose longer side shall be `side`; never enlarged."""
    scale = min(1, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _orientation(picture: Image.Image) -> int:
    orientation = 1
    with contextlib.suppress(Exception):  # a picture whose EXIF is broken is still one
        orientation = picture.getexif().get(_ORIENTATION, 1)
    return orientation


def _reduced(picture: Image.Image, factors: tuple[int, int]) -> Image.Image:
    """A new picture: this one made smaller by whole factors, in RGB, RGBA or L, without comments and profiles.

    It is done in bands, so that nothing but the picture itself is ever there in its full size.
    """
    width, height = (-(-side // factor) for side, factor in zip(picture.size, factors, strict=True))
    small = Image.new(_target_mode(picture), (width, height))
    rows = max(1, _BAND_PIXELS // (picture.width * factors[1]))
    for top in range(0, height, rows):
        bottom = min((top + rows) * factors[1], picture.height)
        band = picture.crop((0, top * factors[1], picture.width, bottom))
        small.paste(_converted(band, small.mode).reduce(factors), (0, top))
    return small


def _target_mode(picture: Image.Image) -> str:
    if picture.mode in _TRANSPARENT or "transparency" in picture.info:
        return "RGBA"
    return "L" if picture.mode in _GREY else "RGB"


def _converted(band: Image.Image, mode: str) -> Image.Image:
    if band.mode.startswith("I"):  # 16 bits, which Pillow would cut off instead of scaling
        band = band.convert("I").point(lambda level: level / 256).convert("L")
    return band if band.mode == mode else band.convert(mode)


def _fitted(kind: _Type, small: Image.Image, room: int) -> bytes | None:
    """The best file that fits: quality goes first, then size."""
    for side in _sides(small.size):
        picture = _padded(small.resize(_scaled(small.size, side), Image.Resampling.LANCZOS))
        best = kind.encode(picture, kind.steps[-1])
        if len(best) > room:
            continue
        fits, too_large = len(kind.steps) - 1, -1
        while fits - too_large > 1:
            middle = (fits + too_large) // 2
            file = kind.encode(picture, kind.steps[middle])
            if len(file) <= room:
                fits, best = middle, file
            else:
                too_large = middle
        return best
    return None


def _sides(size: tuple[int, int]) -> Iterator[int]:
    longest = max(size)
    if longest < SIDES[0]:
        yield longest
    yield from (side for side in SIDES if side <= longest)


def _padded(picture: Image.Image) -> Image.Image:
    """In the middle of white, or of nothing if it is transparent, if a side is too short."""
    width, height = (max(side, SIDE_MIN) for side in picture.size)
    if (width, height) == picture.size:
        return picture
    around = Image.new(picture.mode, (width, height), (255, 255, 255, 0) if picture.mode == "RGBA" else "white")
    around.paste(picture, ((width - picture.width) // 2, (height - picture.height) // 2))
    return around


def _plain_bytes(picture: Image.Image, _data: bytes) -> int:
    return picture.width * picture.height * (1 if picture.mode in _ONE_BYTE else 4)


def _jpeg_bytes(picture: Image.Image, data: bytes) -> int:
    """Nearly none, since the decoder itself reduces, but for the coefficients that it must hold."""
    held = jpeg.held_bytes(data)
    if held and data.count(jpeg.SCAN) > SCANS_MAX:
        return DECODED_BYTES_MAX + 1
    return picture.width * picture.height // 64 * 4 + held


def _webp_bytes(picture: Image.Image, _data: bytes) -> int:
    """Measured: the decoder holds two canvases and a frame, Pillow two copies."""
    return picture.width * picture.height * 20


def _png(picture: Image.Image, colours: int) -> bytes:
    return _saved(_quantized(picture, colours) if colours else picture, "PNG")


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    return _saved(picture.convert("RGB") if picture.mode == "RGBA" else picture, "JPEG", quality=quality, optimize=True)


def _webp(picture: Image.Image, quality: int) -> bytes:
    return _saved(picture, "WEBP", quality=quality, alpha_quality=quality, method=4)


def _gif(picture: Image.Image, colours: int) -> bytes:
    if picture.mode != "RGBA":
        return _saved(_quantized(picture, colours), "GIF")
    hole = picture.getchannel("A").point(lambda alpha: 0 if alpha >= _SEEN else 255)
    image = _quantized(picture.convert("RGB"), colours - 1)
    palette = image.getpalette() or []
    image.putpalette(palette + [0] * (3 * colours - len(palette)))
    image.paste(colours - 1, mask=hole)
    return _saved(image, "GIF", transparency=colours - 1)


def _quantized(picture: Image.Image, colours: int) -> Image.Image:
    # Ten times faster than a median cut, and with few bytes to spend nearer to the original.
    return picture.quantize(colours, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)


def _saved(picture: Image.Image, name: str, **options: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, name, **options)
    return file.getvalue()


_COLOURS: Final = (256, 128, 64, 32, 16, 8)
_TYPES: Final = {
    "image/gif": _Type(GifImagePlugin.GifImageFile.format, _plain_bytes, _gif, _COLOURS),
    "image/jpeg": _Type(JpegImagePlugin.JpegImageFile.format, _jpeg_bytes, _jpeg, (80, 65, 50, 35, 20)),
    "image/png": _Type(PngImagePlugin.PngImageFile.format, _plain_bytes, _png, (0, *_COLOURS)),
    "image/webp": _Type(WebPImagePlugin.WebPImageFile.format, _webp_bytes, _webp, (80, 60, 40, 20, 5)),
}
