"""Files as people attach them: PNG screenshots, JPEG photos and scanned PDFs, drawn with Pillow.

A few files are drawn per kind and size; a comment of its own makes each copy of one a distinct, valid file.
The same seed gives the same bytes, as long as Pillow stays the same.
"""

from __future__ import annotations

import io
import random
import struct
import time
import zlib
from dataclasses import dataclass
from functools import cache, lru_cache

from PIL import Image, ImageChops, ImageDraw, ImageFont, ImageOps

SIZES_BYTES = (20_000, 40_000, 80_000, 150_000, 300_000, 600_000, 1_200_000, 2_800_000)
"""About how large a small attachment is, one entry per step."""
STEP_WEIGHTS = (20, 22, 20, 15, 10, 7, 4, 2)
"""How often each step is drawn, in percent: most attachments are small."""
DRAWN_PER_STEP = 2
SCAN_PIXELS = (1654, 2339)  # A4 at 200 dpi
PDF_DATE = time.gmtime(1_764_547_200)

MIME_TYPES = {"png": "image/png", "jpg": "image/jpeg", "pdf": "application/pdf"}


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file as a user or a tool attaches it."""

    kind: str
    """A key of `MIME_TYPES`."""
    name: str
    data: bytes

    @property
    def mime(self) -> str:
        """The declared type."""
        return MIME_TYPES[self.kind]


def small_attachment(seed: int, kind: str, step: int, number: int) -> Attachment:
    """Return a file of about `SIZES_BYTES[step]`; another `number` gives other bytes."""
    drawn = _drawn(seed, kind, step, number % DRAWN_PER_STEP)
    return Attachment(kind, f"{kind}-{number}.{kind}", _with_comment(kind, drawn, f"copy {number}"))


def large_pdf(seed: int, size: int, number: int) -> Attachment:
    """Return a scanned PDF within 2 % of `size` bytes; no two of them share a page."""
    rng = random.Random(f"{seed}/large/{number}")
    page_size = len(_jpeg(_photo(rng, *SCAN_PIXELS, sharp=True), quality=90))
    full, rest = divmod(size, page_size)
    heights = [SCAN_PIXELS[1]] * full + [max(8, SCAN_PIXELS[1] * rest // page_size)]
    pages = [_photo(rng, SCAN_PIXELS[0], height, sharp=True) for height in heights]
    return Attachment("pdf", f"scan-{number}.pdf", _with_comment("pdf", _pdf(pages, quality=90), f"copy {number}"))


@cache
def _drawn(seed: int, kind: str, step: int, variant: int) -> bytes:
    rng = random.Random(f"{seed}/{kind}/{step}/{variant}")
    size = SIZES_BYTES[step]
    if kind == "png":
        return _screenshot(rng, size)
    if kind == "jpg":
        width = int((size / 0.27) ** 0.5 * 1.15)  # 0.27 bytes a pixel at this quality
        return _jpeg(_photo(rng, width, int(width / 1.33), sharp=False), quality=85)
    pages = 1 + step // 2
    width = int((size / pages / 0.27) ** 0.5 * 0.84)
    return _pdf([_photo(rng, width, int(width * 1.41), sharp=False) for _ in range(pages)], quality=85)


@lru_cache(maxsize=4)
def _noise(width: int, height: int) -> Image.Image:
    return Image.frombytes("RGB", (width, height), random.Random(width * height).randbytes(width * height * 3))


def _photo(rng: random.Random, width: int, height: int, *, sharp: bool) -> Image.Image:
    """Draw a coloured gradient under noise: as hard to compress as a photo of that quality."""
    if sharp:  # one noise image serves all pages, shifted: drawing it is the slow part
        noise = _noise(*SCAN_PIXELS)
        noise = ImageChops.offset(noise, rng.randrange(width), rng.randrange(height)).crop((0, 0, width, height))
    else:
        coarse = (max(1, width // 2), max(1, height // 2))
        noise = Image.frombytes("RGB", coarse, rng.randbytes(coarse[0] * coarse[1] * 3))
        noise = noise.resize((width, height), Image.Resampling.BICUBIC)
    return Image.blend(_gradient(rng, width, height), noise, 0.5 if sharp else 0.3)


def _gradient(rng: random.Random, width: int, height: int) -> Image.Image:
    dark = (rng.randrange(90), rng.randrange(90), rng.randrange(90))
    light = (rng.randrange(160, 256), rng.randrange(160, 256), rng.randrange(160, 256))
    return ImageOps.colorize(Image.linear_gradient("L").resize((width, height)), dark, light)


def _screenshot(rng: random.Random, size: int) -> bytes:
    """Draw an editor window: lines of coloured text, and a picture that brings it to about `size`."""
    width, height = (1920, 1080) if size > 200_000 else (640, 400)
    image = _gradient(rng, width, height)
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(13)
    for line in range(height // 18):
        text = " ".join(f"{rng.getrandbits(rng.randrange(8, 40)):x}" for _ in range(rng.randrange(0, width // 120)))
        draw.text((12 + 24 * rng.randrange(4), 4 + line * 18), text, fill=rng.randrange(1 << 24), font=font)
    side = int((max(0, size - width * height // 18) / 2.4) ** 0.5)
    if side:
        picture = _photo(rng, min(side, width), min(side, height), sharp=False)
        image.paste(picture, (width - picture.width, height - picture.height))
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


def _jpeg(image: Image.Image, *, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _pdf(pages: list[Image.Image], *, quality: int) -> bytes:
    out = io.BytesIO()
    pages[0].save(
        out,
        "PDF",
        save_all=True,
        append_images=pages[1:],
        quality=quality,
        resolution=200,
        creationDate=PDF_DATE,
        modDate=PDF_DATE,
    )
    return out.getvalue()


def _with_comment(kind: str, data: bytes, comment: str) -> bytes:
    """Return the same file with a comment in the place that its format has for one."""
    text = comment.encode("ascii")
    if kind == "png":
        body = b"tEXtComment\0" + text
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))
        return data[:-12] + chunk + data[-12:]  # IEND is the last 12 bytes
    if kind == "jpg":
        return data[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + data[2:]
    return data.rstrip(b"\n") + b"\n% " + text + b"\n"
