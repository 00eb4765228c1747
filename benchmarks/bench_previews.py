"""How many real pictures get a preview, how large it is, and how long it takes.

    bench_previews.py DIRECTORY [--missing] [--contact-sheet FILE]

Every PNG, JPEG, GIF and WebP below DIRECTORY whose base64 an offload would take is one picture of the corpus;
packages with photos and screenshots, unpacked there, are a good one. Screenshots that are drawn here are added.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pybase64
from PIL import Image

from attachments import small_attachment
from ocblob.base64stream import encoded_size
from ocblob.digest import digest_of
from ocblob.offload import MIN_CHARS
from ocblob.placeholders import accepts
from ocblob.placeholders.preview import Previews
from ocblob.ref import Ref, parse_base64
from ocblob.rewrite import preview_text

SUFFIXES = {
    ".gif": "image/gif",
    ".jpeg": "image/jpeg",
    ".jpg": "image/jpeg",
    ".png": "image/png",
    ".webp": "image/webp",
}
SHEET_COLUMNS = 12
SHEET_CELL = 136
"""Pixels."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of the corpus."""

    name: str
    mime: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Result:
    """What became of one picture."""

    picture: Picture
    preview: bytes | None
    """The placeholder that shows it."""
    seconds: float


def corpus(directory: Path) -> Iterator[Picture]:
    """Yield the pictures below a directory that an offload would take, each bytes once."""
    seen = set[str]()
    for path in sorted(directory.rglob("*")):
        mime = SUFFIXES.get(path.suffix.lower())
        if mime is None or not path.is_file() or encoded_size(path.stat().st_size) < MIN_CHARS:
            continue
        data = path.read_bytes()
        digest = digest_of(data)
        # A file whose name lies is none of its type.
        if digest not in seen and accepts(mime, data):
            seen.add(digest)
            yield Picture(str(path.relative_to(directory)), mime, data)


def drawn() -> Iterator[Picture]:
    """Yield screenshots and photos that are drawn here."""
    for kind in ("png", "jpg"):
        for step in range(8):
            attachment = small_attachment(1, kind, step, 0)
            yield Picture(f"drawn {attachment.name} {step}", attachment.mime, attachment.data)


def preview(picture: Picture) -> Result:
    """Make one preview as a pass would, and measure it."""
    ref = Ref(digest_of(picture.data), len(picture.data), (("store", "3f2a9c01"),))
    started = time.perf_counter()
    text = preview_text(picture.mime, ref, Previews(), partial(bytes, picture.data))
    seconds = time.perf_counter() - started
    if text is None:
        return Result(picture, None, seconds)
    if parse_base64(text, accepts=partial(accepts, picture.mime)) != ref:
        message = f"{picture.name}: the placeholder is no ref"
        raise AssertionError(message)
    return Result(picture, pybase64.b64decode(text), seconds)


def line(name: str, results: list[Result]) -> str:
    """Return the figures of some pictures as one row of a table."""
    made = [one.preview for one in results if one.preview is not None]
    sizes = [len(file) for file in made] or [0]
    sides = [max(Image.open(io.BytesIO(file)).size) for file in made] or [0]
    milliseconds = sorted(1000 * one.seconds for one in results)
    megabytes = sum(len(one.picture.data) for one in results) / 1e6
    return (
        f"| {name} | {len(results)} | {megabytes:.1f} | {len(made) / len(results):.1%} |"
        f" {statistics.median(sizes):.0f} / {max(sizes)} | {statistics.median(sides):.0f} |"
        f" {statistics.median(milliseconds):.1f} / {milliseconds[-1]:.0f} | {sum(milliseconds) / megabytes:.0f} |"
    )


def contact_sheet(results: list[Result]) -> Image.Image:
    """Return all previews side by side."""
    made = [one.preview for one in results if one.preview is not None]
    rows = -(-len(made) // SHEET_COLUMNS)
    sheet = Image.new("RGB", (SHEET_COLUMNS * SHEET_CELL, rows * SHEET_CELL), "#888")
    for number, file in enumerate(made):
        with Image.open(io.BytesIO(file)) as image:
            shown = image.convert("RGBA")
        sheet.paste(shown, (number % SHEET_COLUMNS * SHEET_CELL, number // SHEET_COLUMNS * SHEET_CELL), shown)
    return sheet


def main(argv: list[str] | None = None) -> int:
    """Print the table, and why some pictures have none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--contact-sheet", type=Path, metavar="FILE", help="write all previews as one picture")
    parser.add_argument("--missing", action="store_true", help="name the pictures that have none")
    arguments = parser.parse_args(argv)
    next(map(preview, drawn()))  # loads Pillow
    by_type: dict[str, list[Result]] = {mime: [] for mime in sorted(set(SUFFIXES.values()))}
    for picture in corpus(arguments.directory):
        by_type[picture.mime].append(preview(picture))
    real = [one for results in by_type.values() for one in results]
    print("| pictures | n | MB | with a preview | bytes, median / max | side | ms, median / max | ms per MB |")
    print("|---|---|---|---|---|---|---|---|")
    for mime, results in by_type.items():
        if results:
            print(line(mime, results))
    if real:
        print(line("all real", real))
    print(line("drawn", [preview(picture) for picture in drawn()]))
    for one in real:
        if arguments.missing and one.preview is None:
            print(f"none: {one.picture.name}, {len(one.picture.data)} bytes")
    if arguments.contact_sheet:
        contact_sheet(real).save(arguments.contact_sheet)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
