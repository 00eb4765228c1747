"""Pictures of every type and mode, as files, and what a thumbnail of each has to show."""

import io
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from PIL import Image, ImageDraw

SIZE: Final = (240, 150)
ADAM7: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Where each pass of an interlaced PNG starts, and its steps."""
FORMATS: Final = {"image/gif": "GIF", "image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
NEEDLE: Final = b"a word that is no pixel"
TURNS: Final = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How an upright picture is stored with each EXIF orientation."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One file."""

    name: str
    mime: str
    data: bytes
    shown: Image.Image
    """What is to be seen, upright, in RGB or RGBA."""


def drawn(size: tuple[int, int] = SIZE) -> Image.Image:
    """A picture that looks different from every side: no colour twice in its corners, a disc, shades."""
    width, height = size
    image = Image.new("RGB", size, (200, 40, 40))
    draw = ImageDraw.Draw(image)
    draw.rectangle((width // 2, 0, width, height // 2), fill=(40, 200, 40))
    draw.rectangle((0, height // 2, width // 2, height), fill=(40, 40, 200))
    draw.rectangle((width // 2, height // 2, width, height), fill=(230, 230, 60))
    draw.ellipse((width // 4, height // 4, width // 2, height // 2), fill=(250, 250, 250))
    shades = Image.linear_gradient("L").resize(size)
    return Image.blend(image, shades.convert("RGB"), 0.2)


def see_through(size: tuple[int, int] = SIZE) -> Image.Image:
    """The same with a hole in the middle."""
    image = drawn(size)
    alpha = Image.new("L", size, 255)
    ImageDraw.Draw(alpha).rectangle((size[0] // 3, size[1] // 3, size[0] * 2 // 3, size[1] * 2 // 3), fill=0)
    image.putalpha(alpha)
    return image


def file_of(image: Image.Image, name: str, **options: Any) -> bytes:
    """A picture as a file."""
    out = io.BytesIO()
    image.save(out, name, **options)
    return out.getvalue()


def png(size: tuple[int, int], colour: int, rows: Iterator[bytes] | bytes, *, depth: int = 8, passes: int = 0) -> bytes:
    """A PNG, put together by hand; `rows` are filtered already, or the compressed stream itself."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, passes)
    pixels = rows if isinstance(rows, bytes) else zlib.compress(b"".join(rows))
    chunks = [(b"IHDR", header), (b"IDAT", pixels), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def interlaced(image: Image.Image) -> bytes:
    """An RGB picture as a PNG in seven passes."""
    width, height = image.size
    data = image.tobytes()

    def rows() -> Iterator[bytes]:
        for left, top, across, down in ADAM7:
            for y in range(top, height, down):
                yield b"\0" + b"".join(data[(y * width + x) * 3 :][:3] for x in range(left, width, across))

    return png(image.size, 2, rows(), passes=1)


def sixteen_bits(image: Image.Image) -> bytes:
    """An RGB or grey picture as a PNG with 16 bits for each colour."""
    data = image.tobytes()
    line = len(data) // image.height
    rows = (
        b"\0" + bytes(level for level in data[y * line : (y + 1) * line] for _ in range(2)) for y in range(image.height)
    )
    return png(image.size, 2 if image.mode == "RGB" else 0, rows, depth=16)


def turned(image: Image.Image, orientation: int, name: str = "JPEG") -> bytes:
    """A picture that is stored turned and says so in its EXIF."""
    turn = TURNS[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    return file_of(image if turn is None else image.transpose(turn), name, exif=exif.tobytes(), quality=95)


def with_everything(name: str) -> bytes:
    """A picture with a comment, EXIF, XMP and a colour profile that all hold `NEEDLE`."""
    exif = Image.Exif()
    exif[0x010E] = NEEDLE.decode()
    options: dict[str, Any] = {"exif": exif.tobytes(), "icc_profile": NEEDLE * 9, "xmp": NEEDLE, "comment": NEEDLE}
    if name == "GIF":
        options = {"comment": NEEDLE}
    return file_of(drawn(), name, **options)


def samples() -> Iterator[Sample]:
    """Every type in every mode that it has."""
    yield from _pngs()
    yield from _jpegs()
    yield from _gifs()
    yield from _webps()


def _pngs() -> Iterator[Sample]:
    image, clear = drawn(), see_through()
    palette = image.quantize(60)
    hole = palette.copy()
    hole.putpalette([*(palette.getpalette() or [])[:180], 0, 0, 0])
    hole.paste(60, mask=clear.getchannel("A").point(lambda alpha: 255 - alpha))
    key = image.copy()
    key.paste((1, 2, 3), mask=clear.getchannel("A").point(lambda alpha: 255 - alpha))
    two = image.convert("1")
    for name, source, shown, options in (
        ("two colours", two, two, {}),
        ("grey", image.convert("L"), image.convert("L"), {}),
        ("grey and alpha", clear.convert("LA"), clear.convert("LA"), {}),
        ("palette", palette, image, {}),
        ("palette of two", image.quantize(2), image.quantize(2), {}),
        ("palette with a hole", hole, clear, {"transparency": 60}),
        ("palette of alphas", clear.quantize(60), clear, {}),
        ("colours", image, image, {}),
        ("colours with a hole", key, clear, {"transparency": (1, 2, 3)}),
        ("colours and alpha", clear, clear, {}),
        ("an alpha that is full", image.convert("RGBA"), image, {}),
        ("moving", image, image, {"save_all": True, "append_images": [image.rotate(180)]}),
    ):
        mode = "RGBA" if "A" in shown.mode else "RGB"
        yield Sample(name, "image/png", file_of(source, "PNG", **options), shown.convert(mode))
    yield Sample("interlaced", "image/png", interlaced(image), image)
    yield Sample("16 bits a colour", "image/png", sixteen_bits(image), image)
    yield Sample("16 bits of grey", "image/png", sixteen_bits(image.convert("L")), image.convert("L").convert("RGB"))


def _jpegs() -> Iterator[Sample]:
    image = drawn()
    for name, source, options in (
        ("grey", image.convert("L"), {}),
        ("colours", image, {}),
        ("as they come", image, {"subsampling": 0}),
        ("progressive", image, {"progressive": True}),
        ("progressive grey", image.convert("L"), {"progressive": True}),
        ("for print", image.convert("CMYK"), {}),
        ("of many pieces", image, {"restart_marker_rows": 1}),
    ):
        yield Sample(name, "image/jpeg", file_of(source, "JPEG", quality=90, **options), source.convert("RGB"))
    for orientation in TURNS:
        yield Sample(f"turned {orientation}", "image/jpeg", turned(image, orientation), image)
    data = file_of(image, "MPO", save_all=True, append_images=[image.rotate(180)], quality=90)
    yield Sample("two in one", "image/jpeg", data, image)


def _gifs() -> Iterator[Sample]:
    image, clear = drawn(), see_through()
    frames = [image.rotate(180), clear.rotate(90)]
    for name, source, options in (
        ("colours", image, {}),
        ("not interlaced", image, {"interlace": 0}),
        ("grey", image.convert("L"), {}),
        ("with a hole", clear, {}),
        ("moving", image, {"save_all": True, "append_images": frames, "loop": 0}),
        ("moving with a hole", clear, {"save_all": True, "append_images": frames, "disposal": 2}),
    ):
        shown = source.convert("RGBA" if source.mode == "RGBA" else "RGB")
        yield Sample(name, "image/gif", file_of(source, "GIF", **options), shown)


def _webps() -> Iterator[Sample]:
    image, clear = drawn(), see_through()
    for name, source, options in (
        ("lossy", image, {}),
        ("lossless", image, {"lossless": True}),
        ("lossy with a hole", clear, {}),
        ("lossless with a hole", clear, {"lossless": True}),
        ("moving", image, {"save_all": True, "append_images": [image.rotate(180)]}),
    ):
        yield Sample(name, "image/webp", file_of(source, "WEBP", **options), source)
    yield Sample("turned 6", "image/webp", turned(image, 6, "WEBP"), image)
