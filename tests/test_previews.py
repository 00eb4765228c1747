"""Thumbnails in refs: of every picture that can be had, of nothing else, and never at the price of anything."""

import importlib
import io
import json
import random
import subprocess
import sys
import zlib
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import av
import pybase64
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageFile, ImageStat

from command_line import Cli, cli_in
from ocblob import BlobStore, Resolver, rewrite
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.digest import digest_of
from ocblob.errors import CellError, UsageError
from ocblob.offload import offload
from ocblob.placeholders import CARRIER_BYTES_MAX, MARKER_BYTES_MAX, accepts, build, carry, jpeg, preview
from ocblob.placeholders.preview import PREVIEW_BYTES_MAX, TYPES, Previews, previews_for
from ocblob.placeholders.thumbnail import DECODED_BYTES_MAX, thumbnail
from ocblob.ref import MARKER, PLACEHOLDER_BYTES_MAX, Ref, marker_line, parse_base64, parse_placeholder
from ocblob.restore import restore
from ocblob.rewrite import OffloadPlan, plan_offload, preview_text, reference_text, still_fits
from ocblob.scan import RefSpan, scan
from odd_cells import STORE, Reader, part
from pictures import FORMATS, NEEDLE, Sample, drawn, file_of, png, samples, see_through, turned, with_everything
from processes import environment
from samples import (
    BODY,
    EVERYTHING,
    bodies,
    cell,
    data_url,
    dump,
    make_database,
    make_opencode,
    opencode_profile,
    opened,
)

ROOM: Final = 8000
SAMPLES: Final = tuple(samples())
MIMES: Final = sorted(TYPES)
CODECS: Final = {"image/gif": "gif", "image/jpeg": "mjpeg", "image/png": "png", "image/webp": "webp"}
ALIKE: Final = 14
"""Out of 255, on average: what a thumbnail may differ from its picture by."""


def name_of(sample: Sample) -> str:
    """For a test's name."""
    return f"{sample.mime.partition('/')[2]} {sample.name}"


def loaded(mime: str, data: bytes) -> Image.Image:
    """A file read by Pillow to its end, which must be one of its type, and by ffmpeg."""
    with Image.open(io.BytesIO(data), formats=[FORMATS[mime]]) as checked:
        checked.verify()
    image = Image.open(io.BytesIO(data), formats=[FORMATS[mime]])
    image.load()
    with av.open(io.BytesIO(data), mode="r") as film:
        (stream,) = film.streams.video
        frames = list(film.decode(stream))
        assert CODECS[mime] == stream.codec_context.name
    assert [image.size] == [(frame.width, frame.height) for frame in frames]
    return image


def seen(image: Image.Image, size: tuple[int, int]) -> Image.Image:
    """A picture as it looks on grey, in a size."""
    shown = image.convert("RGBA").resize(size)
    ground = Image.new("RGBA", size, (128, 128, 128, 255))
    return Image.alpha_composite(ground, shown).convert("RGB")


def difference(image: Image.Image, other: Image.Image) -> float:
    """How far two pictures of one size are apart, on average, out of 255."""
    return sum(ImageStat.Stat(ImageChops.difference(image, other)).mean) / 3


def noisy(size: tuple[int, int], seed: int = 1) -> Image.Image:
    """As hard to compress as it gets."""
    return Image.frombytes("RGB", size, random.Random(seed).randbytes(size[0] * size[1] * 3))


def ref_of(data: bytes) -> Ref:
    """What stands for these bytes in a store."""
    return Ref(digest_of(data), len(data), (("store", STORE),))


def placeholder(mime: str, data: bytes) -> bytes | None:
    """The placeholder that shows these bytes."""
    text = preview_text(mime, ref_of(data), Previews(), partial(bytes, data))
    return None if text is None else pybase64.b64decode(text, validate=True)


def large(sample: Sample) -> bytes:
    """The same picture in a file that is large enough for any preview: what follows a picture is no part of it."""
    return sample.data + bytes(4 * PLACEHOLDER_BYTES_MAX)


# Thumbnails


@pytest.mark.parametrize("sample", SAMPLES, ids=name_of)
def test_every_mode_of_every_type_has_a_thumbnail(sample: Sample) -> None:
    """It is a valid file of the same type, upright, of the right size, looks like the picture, and has its holes."""
    data = thumbnail(sample.mime, sample.data, room=ROOM)
    assert data is not None
    image = loaded(sample.mime, data)
    width, height = sample.shown.size
    assert (128, round(128 * height / width)) == image.size
    assert difference(seen(sample.shown, image.size), seen(image, image.size)) < ALIKE
    transparent = "A" in sample.shown.mode and sample.mime != "image/jpeg"
    assert transparent == (image.convert("RGBA").getchannel("A").getextrema()[0] == 0)


@pytest.mark.parametrize("sample", SAMPLES, ids=name_of)
def test_a_thumbnail_is_always_the_same(sample: Sample) -> None:
    """The same bytes give the same thumbnail, so the same attachment has the same ref wherever it stands."""
    assert thumbnail(sample.mime, sample.data, room=3000) == thumbnail(sample.mime, sample.data, room=3000)


@pytest.mark.parametrize("mime", MIMES)
@pytest.mark.parametrize("image", [drawn(), see_through(), noisy((300, 200))], ids=["drawn", "with a hole", "noise"])
def test_it_fits_whatever_the_room(mime: str, image: Image.Image) -> None:
    """From 8 KiB down it is never larger than asked, and the more room there is the larger is the picture."""
    source = image.convert("RGB") if mime == "image/jpeg" else image
    data = file_of(source, FORMATS[mime])
    sides = []
    for room in (PLACEHOLDER_BYTES_MAX, 4000, 2000, 1000, 600, 300, 50):
        made = thumbnail(mime, data, room=room)
        assert made is None or len(made) <= room
        sides.append(0 if made is None else max(loaded(mime, made).size))
    assert sorted(sides, reverse=True) == sides
    assert 128 == sides[0]
    assert 0 == sides[-1]


@pytest.mark.parametrize("mime", MIMES)
@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((20, 20), (64, 64)),
        ((100, 30), (100, 64)),
        ((64, 64), (64, 64)),
        ((100, 100), (100, 100)),
        ((129, 128), (128, 127)),
        ((1000, 500), (128, 64)),
        ((3000, 8), (128, 64)),
        ((1, 2000), (64, 128)),
        ((1, 1), (64, 64)),
    ],
)
def test_sizes(mime: str, size: tuple[int, int], expected: tuple[int, int]) -> None:
    """No side is over 128 pixels or below 64; what is too small is padded, not enlarged."""
    data = thumbnail(mime, file_of(Image.new("RGB", size, (10, 20, 120)), FORMATS[mime]), room=ROOM)
    assert data is not None
    image = loaded(mime, data).convert("RGB")
    assert expected == image.size
    blue = image.getchannel("B").histogram()
    scale = min(1, 128 / max(size))
    expected_pixels = max(1, size[0] * scale) * max(1, size[1] * scale)
    assert sum(blue[:180]) == pytest.approx(expected_pixels, rel=0.1, abs=16)


@pytest.mark.parametrize("mime", ["image/jpeg", "image/png", "image/webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(mime: str, orientation: int) -> None:
    """However a camera was held, the thumbnail is upright."""
    image = drawn((320, 200))
    data = thumbnail(mime, turned(image, orientation, FORMATS[mime]), room=ROOM)
    assert data is not None
    made = loaded(mime, data)
    assert (128, 80) == made.size
    assert difference(seen(image, made.size), seen(made, made.size)) < ALIKE


@pytest.mark.parametrize("mime", MIMES)
def test_nothing_but_pixels_is_carried_over(mime: str) -> None:
    """No comment, EXIF, XMP or colour profile: what a user attached in private does not stand in a row twice."""
    source = with_everything(FORMATS[mime])
    assert NEEDLE in source
    data = thumbnail(mime, source, room=ROOM)
    assert data is not None
    assert NEEDLE not in data
    assert set() == {"exif", "icc_profile", "xmp", "comment"} & loaded(mime, data).info.keys()


def test_broken_exif_is_no_reason() -> None:
    """A picture whose EXIF cannot be read has a thumbnail all the same."""
    data = file_of(drawn(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    assert thumbnail("image/jpeg", data, room=ROOM) is not None


# What gives none


@pytest.mark.parametrize("mime", MIMES)
def test_a_lying_picture_has_none(mime: str) -> None:
    """Only a file of the very type that was declared is read, by the one decoder for it."""
    others = [sample for sample in SAMPLES if sample.mime != mime]
    assert {None} == {thumbnail(mime, sample.data, room=ROOM) for sample in others}
    for name in ("BMP", "TIFF", "PPM", "ICO", "TGA", "PDF"):
        assert thumbnail(mime, file_of(drawn(), name), room=ROOM) is None
    assert thumbnail(mime, b"", room=ROOM) is None
    assert thumbnail(mime, random.Random(1).randbytes(20_000), room=ROOM) is None


def test_other_types_have_none() -> None:
    """SVG keeps the plain placeholder, and what is no picture has no picture."""
    for mime in ("image/svg+xml", "image/bmp", "application/pdf", "text/plain"):
        assert thumbnail(mime, SAMPLES[0].data, room=ROOM) is None


SMALL: Final = [
    Sample("small", mime, file_of(drawn((48, 40)), FORMATS[mime]), drawn((48, 40))) for mime in MIMES
]  # fmt: skip


@pytest.mark.parametrize("sample", SMALL, ids=name_of)
def test_a_cut_picture_has_none_or_a_whole_one(sample: Sample) -> None:
    """Cut anywhere, a file raises nothing; one that lacks pixels has none."""
    for end in range(0, len(sample.data), 10):
        made = thumbnail(sample.mime, sample.data[:end], room=ROOM)
        if end < len(sample.data) // 2:
            assert made is None
        if made is not None:
            loaded(sample.mime, made)


@pytest.mark.parametrize("sample", SMALL, ids=name_of)
def test_a_damaged_picture_raises_nothing(sample: Sample) -> None:
    """Whatever bytes are changed, there is none, or a whole one."""
    made = 0
    for seed in range(150):
        rng = random.Random(seed)
        data = bytearray(sample.data)
        for _ in range(rng.randrange(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if (found := thumbnail(sample.mime, bytes(data), room=ROOM)) is not None:
            made += 1
            loaded(sample.mime, found)
    assert made < 150


@pytest.mark.parametrize("error", [MemoryError, RecursionError, OverflowError, zlib.error, SystemError])
def test_any_error_of_a_decoder_means_none(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder may raise what it likes."""

    def fail(_self: object) -> None:
        raise error("as decoders do")

    monkeypatch.setattr(ImageFile.ImageFile, "load", fail)
    assert thumbnail("image/png", SAMPLES[0].data, room=ROOM) is None


def test_truncated_pictures_are_told_as_the_host_likes() -> None:
    """Pillow's switches, which belong to the whole process, stay as they are."""
    before = (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)
    assert thumbnail("image/png", SAMPLES[0].data, room=ROOM) is not None
    assert before == (ImageFile.LOAD_TRUNCATED_IMAGES, Image.MAX_IMAGE_PIXELS)


@cache
def bombs() -> dict[str, tuple[str, bytes]]:
    """Small files that say that they are large."""
    deflate = zlib.compressobj(9)
    rows = b"".join(deflate.compress(bytes(1 << 20)) for _ in range(250)) + deflate.flush()
    webp = bytearray(file_of(Image.new("RGB", (16, 16)), "WEBP", save_all=True, append_images=[drawn((16, 16))]))
    webp[24:30] = (16_000 - 1).to_bytes(3, "little") * 2
    gif = bytearray(file_of(drawn((16, 16)), "GIF"))
    gif[6:10] = b"\xff\xff\xff\xff"
    scans = bytearray(file_of(drawn((64, 64)), "JPEG", progressive=True))
    frame = scans.index(b"\xff\xc2")
    scans[frame + 5 : frame + 9] = (9_000).to_bytes(2, "big") * 2
    return {
        "a PNG of 9 million pixels a side": ("image/png", png((9_000_000, 9_000_000), 2, rows)),
        "a PNG of 9000 pixels a side": ("image/png", png((9000, 9000), 2, rows)),
        "a PNG with alpha that is just too large": ("image/png", png((4700, 4700), 6, rows)),
        "a WebP": ("image/webp", bytes(webp)),
        "a GIF": ("image/gif", bytes(gif)),
        "a progressive JPEG": ("image/jpeg", bytes(scans)),
    }


WATCHED: Final = """
import sys
from pathlib import Path
from ocblob.placeholders.thumbnail import thumbnail
from processes import peak_bytes
before = peak_bytes()
for path in map(Path, sys.argv[1:]):
    mime = "image/" + path.suffix[1:]
    made = thumbnail(mime, path.read_bytes(), room=8000)
    print(made is not None, peak_bytes() - before)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no resource module")
def test_bombs_take_no_memory_and_large_pictures_what_was_said(tmp_path: Path) -> None:
    """A picture that would take too much is not decoded at all; the largest that is takes no more than the limit."""
    paths = []
    for number, (mime, data) in enumerate(bombs().values()):
        paths.append(tmp_path / f"{number}.{mime.partition('/')[2]}")
        paths[-1].write_bytes(data)
    blank = zlib.compress(bytes(4500 * (1 + 3 * 4500)), 1)
    huge = tmp_path / "huge.png"
    huge.write_bytes(png((4500, 4500), 2, blank))
    photo = tmp_path / "photo.jpeg"
    photo.write_bytes(file_of(drawn((4000, 3000)), "JPEG", quality=50))

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", WATCHED, *map(str, [*paths, photo, huge])],
        env=environment(), capture_output=True, text=True, check=True,
    )  # fmt: skip

    results = [line.split() for line in done.stdout.splitlines()]
    assert [*["False"] * len(paths), "True", "True"] == [made for made, _ in results]
    used = [int(taken) for _, taken in results]
    assert max(used[: len(paths)]) < 20_000_000
    assert used[-2] < 30_000_000
    assert used[-1] < DECODED_BYTES_MAX + 25_000_000


def test_a_jpeg_of_too_many_scans_has_none() -> None:
    """Each scan costs time for the whole picture, in a few bytes."""
    data = file_of(drawn(), "JPEG", progressive=True)
    assert thumbnail("image/jpeg", data, room=ROOM) is not None
    assert thumbnail("image/jpeg", data + jpeg.SCAN * 100, room=ROOM) is None
    film = file_of(drawn(), "JPEG") + jpeg.SCAN * 100  # cameras put a film behind a picture
    assert thumbnail("image/jpeg", film, room=ROOM) is not None


@pytest.mark.parametrize(
    ("mode", "options", "expected"),
    [
        ("RGB", {}, 0),
        ("L", {}, 0),
        ("RGB", {"progressive": True, "subsampling": 0}, 128 * 96 * 3 * 2),
        ("RGB", {"progressive": True, "subsampling": 2}, 128 * 96 * 3),
        ("L", {"progressive": True}, 128 * 96 * 2),
        ("CMYK", {"progressive": True, "subsampling": 0}, 128 * 96 * 4 * 2),
    ],
)
def test_what_a_jpeg_decoder_must_hold(mode: str, options: dict[str, Any], expected: int) -> None:
    """One scan: nothing. Several: two bytes for each sample of every colour, in whole blocks."""
    assert expected == jpeg.held_bytes(file_of(drawn((121, 90)).convert(mode), "JPEG", **options))


def test_a_jpeg_that_hides_what_it_takes_has_none() -> None:
    """If the segments before the first scan cannot be followed, nothing is decoded."""
    data = file_of(drawn(), "JPEG")
    odd = data[:20] + b"\0" + data[20:]
    with pytest.raises(ValueError, match="no marker at 20"):
        jpeg.held_bytes(odd)
    assert thumbnail("image/jpeg", odd, room=ROOM) is None


# Placeholders


@pytest.mark.parametrize("sample", SAMPLES, ids=name_of)
def test_a_placeholder_with_a_preview_is_a_ref(sample: Sample) -> None:
    """It is a valid file of its type of at most 8 KiB, reads as the ref it was made of, and shows the picture."""
    data = large(sample)
    made = placeholder(sample.mime, data)
    assert made is not None
    assert len(made) <= PLACEHOLDER_BYTES_MAX
    assert ref_of(data) == parse_base64(pybase64.b64encode(made), accepts=partial(accepts, sample.mime))
    image = loaded(sample.mime, made)
    assert difference(seen(sample.shown, image.size), seen(image, image.size)) < ALIKE


@pytest.mark.parametrize("sample", SAMPLES, ids=name_of)
def test_any_picture_carries_any_marker(sample: Sample) -> None:
    """Whatever the lengths are, the marker stands once, whole, at a multiple of 3, in a file that is still valid."""
    picture = thumbnail(sample.mime, sample.data, room=2000)
    assert picture is not None
    for length in (80, 81, 82, 83, MARKER_BYTES_MAX - 1, MARKER_BYTES_MAX):
        marker = (MARKER + b"9c" * 32 + b" 1 n=").ljust(length - 1, b"x") + b"\n"
        made = carry(sample.mime, picture, marker)
        assert made is not None
        assert 1 == made.count(MARKER)
        assert 0 == made.index(marker) % 3
        assert len(made) <= len(picture) + length + CARRIER_BYTES_MAX
        shown, carried = (loaded(sample.mime, data).convert("RGBA").tobytes() for data in (picture, made))
        assert shown == carried


@pytest.mark.parametrize("mime", MIMES)
def test_the_built_in_picture_is_one_of_many(mime: str) -> None:
    """What is built for a type can be carried like any other picture; one that has a marker in it cannot."""
    marker = marker_line(ref_of(b"x"))
    plain = build(mime, marker)
    assert plain is not None
    assert carry(mime, plain, marker) is None
    assert carry(mime, SMALL[MIMES.index(mime)].data, marker) is not None
    assert carry("image/svg+xml", b"<svg/>", marker) is None
    with pytest.raises(ValueError, match="not a marker"):
        carry(mime, SMALL[0].data, b"two\nlines\n")


def test_a_jpeg_without_a_jfif_header_carries_a_marker_too() -> None:
    """The comment then comes first, and the marker at a multiple of 3 all the same."""
    marker = marker_line(ref_of(b"x"))
    picture = file_of(drawn().convert("CMYK"), "JPEG")
    bare = picture if picture[3] != 0xE0 else picture[:2] + picture[20:]
    made = carry("image/jpeg", bare, marker)
    assert made is not None
    assert bare[:2] + b"\xff\xfe" == made[:4]
    assert 6 == made.index(marker)
    assert loaded("image/jpeg", bare).tobytes() == loaded("image/jpeg", made).tobytes()


def test_an_extended_webp_stays_what_it_is() -> None:
    """A picture with alpha keeps its flag; a lossless one gets the flag that its own header implies."""
    marker = marker_line(ref_of(b"x"))
    for options in ({}, {"lossless": True}):
        for image in (drawn(), see_through()):
            made = carry("image/webp", file_of(image, "WEBP", **options), marker)
            assert made is not None
            assert b"VP8X" == made[12:16]
            assert (image.mode == "RGBA") == bool(made[20] & 0x10)
            assert image.size == tuple(int.from_bytes(made[at : at + 3], "little") + 1 for at in (24, 27))


@pytest.mark.parametrize("mime", MIMES)
def test_a_preview_is_used_only_where_it_is_worth_it(mime: str) -> None:
    """A ref with a preview takes at most a quarter of its payload; below that there is the plain one."""
    for size in (1200, 3000, 6200, 9000, 20_000, 200_000):
        data = SMALL[MIMES.index(mime)].data.ljust(size, b"\0")
        text = preview_text(mime, ref_of(data), Previews(), partial(bytes, data))
        assert text is None or len(text) * 4 <= len(pybase64.b64encode(data))
        assert text is None or size > 1200
    assert text is not None


# The pictures of one pass


class Counted:
    """A blob that counts how often it is read."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.reads = 0

    def read(self) -> bytes:
        """The bytes."""
        self.reads += 1
        return self.data


def test_a_picture_is_decoded_once_a_pass() -> None:
    """Part and event hold the same bytes: the second time nothing is read, whether there is a thumbnail or not."""
    previews = Previews()
    for data in (SAMPLES[0].data, b"\x89PNG and no more"):
        blob = Counted(data)
        made = [
            previews.thumbnail("image/png", digest_of(data), len(data), room=ROOM, read=blob.read) for _ in range(3)
        ]
        assert 1 == len(set(made))
        assert 1 == blob.reads


def test_nothing_is_read_for_what_gives_no_preview() -> None:
    """Other types, files over the limit and places that are too small cost nothing."""
    blob = Counted(SAMPLES[0].data)
    read = partial(Previews().thumbnail, digest="9c" * 32, read=blob.read)
    assert read("image/svg+xml", size=9000, room=ROOM) is None
    assert read("image/png", size=PREVIEW_BYTES_MAX + 1, room=ROOM) is None
    assert read("image/png", size=9000, room=100) is None
    assert 0 == blob.reads
    assert read("image/png", size=PREVIEW_BYTES_MAX, room=ROOM) is not None


def test_thumbnails_kept_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once there is no room, a picture is decoded again wherever it stands, and looks the same."""
    monkeypatch.setattr(preview, "KEPT_BYTES_MAX", 5000)
    previews = Previews()
    blobs = {str(number): Counted(sample.data) for number, sample in enumerate(SAMPLES) if sample.mime == "image/png"}
    rounds = [
        [previews.thumbnail("image/png", name, 9000, room=ROOM, read=blob.read) for name, blob in blobs.items()]
        for _ in range(2)
    ]
    assert rounds[0] == rounds[1]
    assert {1, 2} == {blob.reads for blob in blobs.values()}
    assert previews._kept_bytes <= 5000


def test_previews_are_made_unless_they_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody says: if Pillow is there. No: never. Yes: or an error with what to do."""
    assert previews_for(None) is not None
    assert previews_for(wish=True) is not None
    assert previews_for(wish=False) is None
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    assert previews_for(None) is None
    with pytest.raises(UsageError, match="need Pillow") as caught:
        previews_for(wish=True)
    assert "ocblob[preview]" in caught.value.hint


# In a cell


def planned(content: bytes, previews: Previews | None = None) -> OffloadPlan:
    """What an offload with previews would do to one cell."""
    return plan_offload(Reader(content), min_chars=8192, store=STORE, previews=previews or Previews())


def picture_cell(*kinds: str) -> bytes:
    """A cell with a large picture of each kind, text around them."""
    urls = [data_url(file_of(noisy((160, 120), number), FORMATS[kind]), kind) for number, kind in enumerate(kinds)]
    return json.dumps({"before": "é", "list": urls, "after": [1, None]}).encode()


CELL: Final = picture_cell("image/png", "image/webp", "image/png", "image/gif")


def test_a_plan_puts_previews_where_pictures_were() -> None:
    """Each picture leaves a ref that shows it, other payloads leave the plain one, the rest stays as it is."""
    data = random.Random(3).randbytes(20_000)
    content = CELL[:-1] + b',"more":"' + data_url(data).encode() + b'"}'
    plan = planned(content)
    expected = content
    for span in plan.payloads:
        payload = content[span.start : span.end]
        blob = pybase64.b64decode(payload)
        ref = ref_of(blob)
        shown = preview_text(span.mime, ref, Previews(), partial(bytes, blob))
        assert (shown is None) == (span.mime == "application/pdf")
        expected = expected.replace(payload, shown or reference_text(span.mime, ref) or b"")
    assert 5 == len(plan.payloads)
    assert expected == plan.content
    refs = [span for span in scan([plan.content]) if isinstance(span, RefSpan)]
    assert plan.ref_chars == tuple(span.end - span.start for span in refs)


def test_without_previews_a_plan_is_plain() -> None:
    """None wished, none made."""
    plan = plan_offload(Reader(CELL), min_chars=8192, store=STORE)
    assert {len(reference_text(span.mime, ref_of(b"x" * 9000)) or b"") for span in plan.payloads} >= set(plan.ref_chars)


def test_pictures_that_cannot_be_shown_move_all_the_same() -> None:
    """A broken picture, a lying one and a bomb leave the plain ref: a preview is never a condition."""
    broken = file_of(noisy((90, 80)), "PNG")[:-9000]
    wrong = file_of(noisy((160, 120)), "WEBP")
    for data in (broken, wrong, bombs()["a PNG of 9000 pixels a side"][1]):
        plan = planned(part(data_url(data, "image/png").encode()))
        text = reference_text("image/png", ref_of(data))
        assert text is not None
        assert part(b"data:image/png;base64," + text) == plan.content


def test_previews_never_keep_a_cell_from_moving(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where new content with all previews would be too much to hold, the last refs are plain."""
    alone = planned(CELL)
    monkeypatch.setattr(rewrite, "KEPT_BYTES_MAX", len(alone.content) - 1)
    plan = planned(CELL)
    assert alone.payloads == plan.payloads
    assert alone.ref_chars[:3] == plan.ref_chars[:3]
    assert plan.ref_chars[3] < alone.ref_chars[3]
    assert len(plan.content) < len(alone.content)


@pytest.mark.parametrize("new", [b"AAB", b"A!A"], ids=["other bytes", "no base64"])
def test_a_payload_that_changes_meanwhile_is_a_cells_trouble(new: bytes) -> None:
    """What is read for a preview must be what was hashed."""

    class Changing(Reader):
        """The first look at a cell sees something else."""

        looks = 0

        def read(self, start: int, end: int) -> Any:
            self.looks += 1
            content = CELL if self.looks == 1 else CELL.replace(b"AAA", new)
            return Reader(content).read(start, end)

    with pytest.raises(CellError, match="changed while it was read"):
        plan_offload(Changing(CELL), min_chars=8192, store=STORE, previews=Previews())


PLAN: Final = planned(CELL)
PLACES: Final = st.one_of(st.integers(0, 80), st.integers(len(CELL) - 80, len(CELL) - 1), st.integers(0, len(CELL) - 1))


@settings(deadline=None, max_examples=150)
@given(at=PLACES, byte=st.integers(0, 255), piece=st.sampled_from([17, 1000, 300_000]))
def test_a_changed_cell_no_longer_fits(at: int, byte: int, piece: int) -> None:
    """A change of any one byte, in text or payload, is seen, however the cell is read."""
    other = CELL[:at] + bytes([byte]) + CELL[at + 1 :]
    assert (other == CELL) == still_fits(PLAN, Reader(other, piece=piece))


@settings(deadline=None, max_examples=60)
@given(at=PLACES, gone=st.integers(0, 9), new=st.binary(max_size=9))
def test_a_longer_or_shorter_cell_no_longer_fits(at: int, gone: int, new: bytes) -> None:
    """Something put in, taken out or exchanged anywhere is seen."""
    other = CELL[:at] + new + CELL[at + gone :]
    assert (other == CELL) == still_fits(PLAN, Reader(other, piece=1000))


def test_nothing_is_made_under_the_lock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a cell still fits is told without building a placeholder or looking at a picture."""
    for name in ("build", "carry", "preview_text", "reference_text", "scan", "is_json"):
        monkeypatch.setattr(rewrite, name, lambda *_, name=name: pytest.fail(name))
    assert still_fits(PLAN, Reader(CELL))


# In a database


@pytest.fixture
def pictures_db(tmp_path: Path) -> Path:
    """A database whose parts and events hold pictures of every kind, a broken one, and a paper."""
    path = make_opencode(tmp_path / "app.db", sessions=1, parts=1)
    files = [(sample.mime, large(sample)) for sample in SAMPLES]
    files += [("image/png", file_of(noisy((90, 80)), "PNG")[:-9000]), ("application/pdf", bytes(40_000))]
    with opened(path) as db, db:
        for number, (mime, data) in enumerate(files):
            body = cell(data, mime)
            db.execute("INSERT INTO part VALUES (?,'msg_0','ses_0',0,0,?)", (f"prt_p{number}", body))
            event = (f"evt_p{number}", "ses_0", number, "message.part.updated.1", f'{{"part":{body}}}')
            db.execute("INSERT INTO event VALUES (?,?,?,?,?)", event)
    return path


def moved(path: Path, store: Path, **options: Any) -> list[bytes]:
    """Offload everything; the placeholders that stand in the parts."""
    with SQLiteDatabase(path) as database, BlobStore.create(store)[0] as blobs:
        columns = opencode_profile(path).columns
        report = offload(database, blobs, columns, scope=EVERYTHING, **options)
        assert report.complete
    with opened(path) as db:
        rows = [json.loads(str(data)) for (data,) in db.execute("SELECT data FROM part ORDER BY id")]
        events = [json.loads(str(data))["part"] for (data,) in db.execute("SELECT data FROM event ORDER BY id")]
    assert [row["url"] for row in rows] == [event["url"] for event in events]
    return [pybase64.b64decode(row["url"].partition(",")[2]) for row in rows]


def test_a_database_goes_there_and_back(pictures_db: Path, tmp_path: Path) -> None:
    """Pictures of every kind leave refs that show them, the same in part and event, and come back byte for byte."""
    before = dump(pictures_db)
    made = moved(pictures_db, tmp_path / "store")
    refs = [parse_placeholder(data) for data in made]
    assert None not in refs
    plain = [
        any(data == build(mime, marker_line(ref)) for mime in MIMES)
        for data, ref in zip(made, refs, strict=True)
        if ref
    ]
    assert 1 == sum(plain)  # the broken one
    with SQLiteDatabase(pictures_db) as database, BlobStore.open(tmp_path / "store") as blobs:
        report = restore(database, blobs, opencode_profile(pictures_db).columns, scope=EVERYTHING)
        assert report.complete
    assert before == dump(pictures_db)


def test_no_previews_means_the_plain_ones(pictures_db: Path, tmp_path: Path) -> None:
    """A pass that shall make none leaves the refs of a machine without Pillow."""
    for data in moved(pictures_db, tmp_path / "store", previews=False):
        ref = parse_placeholder(data)
        assert ref is not None
        assert data in {build(mime, marker_line(ref)) for mime in (*MIMES, "application/pdf")}


def test_a_second_look_finds_the_same_cells(tmp_path: Path) -> None:
    """When somebody else writes meanwhile, cells with previews are recognised and swapped all the same."""
    path = make_database(tmp_path / "app.db", [CELL.decode(), "small", CELL.decode()])
    beside = [b""]

    def meddle(_: int) -> None:
        if not beside.pop():
            with opened(path) as db:
                db.execute("UPDATE doc SET body='other' WHERE id=2")
        beside.append(b"done")

    with SQLiteDatabase(path) as database, BlobStore.create(tmp_path / "store")[0] as blobs:
        report = offload(database, blobs, (BODY,), scope=EVERYTHING, progress=meddle)
    assert (2, 0) == (report.cells_swapped, report.changed)
    first, other, last = bodies(path)
    assert ("other", first) == (other, last)
    with Resolver(tmp_path / "store") as resolver:
        assert CELL.decode() == resolver.rehydrate(str(first))


WITHOUT: Final = """
import sys
sys.modules["PIL"] = None
from pathlib import Path
from ocblob import BlobStore
from ocblob.cells import Column, Scope
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.offload import offload
with SQLiteDatabase(Path(sys.argv[1])) as database, BlobStore.create(sys.argv[2])[0] as store:
    assert offload(database, store, (Column("doc", "body"),), scope=Scope()).complete
assert not [name for name in sys.modules if name.startswith("PIL.")]
"""


def test_without_pillow_all_goes_on(tmp_path: Path) -> None:
    """On a machine without it, pictures leave the plain refs, and nothing is said."""
    path = make_database(tmp_path / "app.db", [CELL.decode()])
    command = [sys.executable, "-W", "error", "-c", WITHOUT, str(path), str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("", "") == (done.stdout, done.stderr)
    plan = plan_offload(Reader(CELL), min_chars=8192, store="0" * 8)
    (content,) = bodies(path)
    assert len(plan.content) == len(str(content).encode())


def test_a_broken_pillow_is_like_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """If it is there and cannot be loaded, pictures leave the plain refs."""
    monkeypatch.setattr(preview, "_thumbnails", preview._thumbnails.__wrapped__)
    monkeypatch.setitem(sys.modules, "ocblob.placeholders.thumbnail", None)
    monkeypatch.delattr("ocblob.placeholders.thumbnail")
    assert placeholder("image/png", large(SAMPLES[0])) is None


# The command


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with homes of its own."""
    return cli_in(tmp_path, monkeypatch, capfdbinary)


def test_put_shows_the_picture(cli: Cli) -> None:
    """A picture's ref shows it, unless it shall not; what is no picture inside is put all the same."""
    path = cli.root / "a.png"
    path.write_bytes(data := file_of(noisy((200, 160)), "PNG"))
    shown = cli.run("put", path, "--json").json["url"]
    plain = cli.run("put", "--no-previews", path, "--json").json["url"]
    asked = cli.run("put", "--previews", "--mime", "image/png", stdin=data).out.decode().strip()
    broken = cli.run("put", "--mime", "image/png", stdin=data[:-50_000])

    assert shown == asked
    assert len(plain) < 700 < len(shown)
    assert (128, 102) == loaded("image/png", pybase64.b64decode(shown.partition(",")[2])).size
    assert data == cli.run("cat", shown).out
    assert 0 == broken.code
    assert len(broken.out) < 700
