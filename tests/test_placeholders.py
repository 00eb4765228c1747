import base64
import io
import struct
import wave
import zlib
from xml.etree import ElementTree as ET

import av
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfReader

from ocblob.digest import digest_of
from ocblob.placeholders import ALIASES, CARRIERS, MARKER_BYTES_MAX, build, media_type

NEEDLE = b"b2NibG9iLzEg"
WORDS = ["attachment", "moved to", "ocblob"]
PICTURES = {"image/gif": "GIF", "image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
FILMS = {"video/mp4": b"isom", "video/quicktime": b"qt  "}
NAMES = sorted([*CARRIERS, *ALIASES])
FIRST = {
    "application/pdf": "76e13ed4d2cad66e",
    "audio/wav": "29b4b5ae012ca7f1",
    "image/gif": "fffbf18690367dd7",
    "image/jpeg": "d3ec93ce39d9c23f",
    "image/png": "fd06c1587eee8592",
    "image/svg+xml": "0faf51c45dea8d3b",
    "image/webp": "f87f2541934a60b0",
    "video/mp4": "3dbe4375db86a6ba",
    "video/quicktime": "4fb8a093e00cb3e2",
}
"""Beginnings of the digests of what the first version made with a marker of 120 bytes."""


def a_marker(length: int = 120) -> bytes:
    """A marker line of exactly `length` bytes."""
    start = b"ocblob/1 " + b"9c" * 32 + b" 1 n="
    return start + b"x" * (length - len(start) - 1) + b"\n"


def a_file(mime: str, length: int = 120) -> bytes:
    """The file of a type that has a carrier."""
    data = build(mime, a_marker(length))
    assert data is not None
    return data


def check_reads(mime: str, data: bytes) -> None:
    """A real reader of the canonical type takes the file without a complaint."""
    if mime in PICTURES:
        with Image.open(io.BytesIO(data)) as picture:
            picture.verify()
        with Image.open(io.BytesIO(data)) as picture:
            picture.load()
            assert PICTURES[mime] == picture.format
            assert min(picture.size) >= 64
    elif mime in FILMS:
        assert ["ftyp", "moov", "mdat", "free"] == [kind for kind, _ in boxes(data)]
        assert 1 == len(film_frames(data))
    elif mime == "application/pdf":
        assert 1 == len(PdfReader(io.BytesIO(data), strict=True).pages)
    elif mime == "audio/wav":
        with wave.open(io.BytesIO(data)) as sound:
            assert (1, 1, 8000, 800) == sound.getparams()[:4]
    else:
        assert "{http://www.w3.org/2000/svg}svg" == ET.fromstring(data).tag


def boxes(data: bytes) -> list[tuple[str, bytes]]:
    """The boxes of an MP4, which must fill it exactly."""
    found = []
    at = 0
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        assert 8 <= size <= len(data) - at
        found.append((kind.decode("ascii"), data[at + 8 : at + size]))
        at += size
    return found


def riff_chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """The chunks of a RIFF file, which must fill it exactly, each padded to an even size."""
    assert b"RIFF" == data[:4]
    assert len(data) - 8 == int.from_bytes(data[4:8], "little")
    found = []
    at = 12
    while at < len(data):
        kind, size = struct.unpack_from("<4sI", data, at)
        assert size <= len(data) - at - 8
        found.append((kind, data[at + 8 : at + 8 + size]))
        at += 8 + size + size % 2
    assert len(data) == at
    return found


def film_frames(data: bytes) -> list[Image.Image]:
    """Every picture of a film, decoded, in shades of grey."""
    with av.open(io.BytesIO(data), mode="r") as film:
        planes = [frame.reformat(format="gray").planes[0] for frame in film.decode(video=0)]
        return [
            Image.frombytes("L", (plane.width, plane.height), bytes(plane), "raw", "L", plane.line_size)
            for plane in planes
        ]


def picture_of(mime: str) -> Image.Image:
    """What is seen, in shades of grey."""
    data = a_file(mime)
    picture = film_frames(data)[0] if mime in FILMS else Image.open(io.BytesIO(data))
    return picture.convert("L")


@pytest.mark.parametrize("mime", NAMES)
def test_real_readers_accept_every_carrier(mime: str) -> None:
    """Under its own name and every alias, a carrier gives a file that a real reader takes."""
    check_reads(media_type(mime), a_file(mime))


@pytest.mark.parametrize("mime", NAMES)
@settings(deadline=None, max_examples=60)
@given(length=st.integers(80, MARKER_BYTES_MAX))
@example(length=MARKER_BYTES_MAX)
@example(length=MARKER_BYTES_MAX - 1)
@example(length=MARKER_BYTES_MAX - 2)
def test_marker_stands_once_at_a_multiple_of_3(mime: str, length: int) -> None:
    """Whatever the marker's length, it stands whole and once where base64 shows it, in a valid small file."""
    marker = a_marker(length)
    data = a_file(mime, length)
    assert length == len(marker)
    assert 0 == data.index(marker) % 3
    assert 1 == data.count(b"ocblob/1 ")
    assert 1 == base64.b64encode(data).count(NEEDLE)
    assert len(data) < 2048
    check_reads(media_type(mime), data)


@pytest.mark.parametrize("mime", NAMES)
def test_an_alias_gives_the_bytes_of_its_type(mime: str) -> None:
    """The same type and marker give the same bytes, by any name and at any time."""
    assert a_file(ALIASES.get(mime, mime)) == a_file(mime)
    assert a_file(mime) == a_file(mime)


def test_placeholders_stay_what_they_were() -> None:
    """Every type's plain placeholder is byte for byte the one that stands in rows already."""
    assert FIRST == {mime: digest_of(a_file(mime))[:16] for mime in CARRIERS}


def test_aliases_name_carriers() -> None:
    """Every alias leads to a carrier in one step, and no carrier is hidden by an alias."""
    assert set(ALIASES.values()) <= set(CARRIERS)
    assert set() == set(ALIASES) & set(CARRIERS)


@pytest.mark.parametrize("mime", ["image/gif", "image/webp"])
def test_lossless_pictures_are_those_of_the_png(mime: str) -> None:
    """GIF and WebP show exactly the pixels of the PNG."""
    assert picture_of("image/png").tobytes() == picture_of(mime).tobytes()


@pytest.mark.parametrize("mime", ["image/jpeg", *FILMS])
def test_lossy_pictures_say_the_same_words(mime: str) -> None:
    """JPEG and the films are black and white in the same dots as the PNG."""
    seen = picture_of(mime).point(lambda level: 255 if level > 127 else 0)
    wanted = picture_of("image/png")
    wrong = sum(a != b for a, b in zip(wanted.tobytes(), seen.tobytes(), strict=True))
    assert wanted.size == seen.size
    assert wrong < wanted.width * wanted.height // 200


def test_png_chunks_are_right() -> None:
    """The marker is the text of a comment before the pixels, and every checksum is right."""
    data = a_file("image/png")
    kinds = []
    at = 8
    while at < len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + size]
        assert zlib.crc32(body) == int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        kinds.append(body[:4])
        at += 12 + size
    assert [b"IHDR", b"tEXt", b"IDAT", b"IEND"] == kinds
    with Image.open(io.BytesIO(data)) as picture:
        assert a_marker() == picture.info["Comment"].encode("ascii").lstrip()


@pytest.mark.parametrize("mime", ["image/gif", "image/jpeg"])
def test_comments_read_as_the_marker(mime: str) -> None:
    """The longest marker comes back as the picture's comment."""
    with Image.open(io.BytesIO(a_file(mime, MARKER_BYTES_MAX))) as picture:
        assert a_marker(MARKER_BYTES_MAX) == picture.info["comment"].lstrip()


@pytest.mark.parametrize("length", [118, 119, 120, 121])
def test_riff_sizes_are_right(length: int) -> None:
    """The chunks of WebP and WAV fill the file, in the order that the formats ask for."""
    picture = riff_chunks(a_file("image/webp", length))
    assert [b"VP8X", b"VP8L", b"OCBL"] == [kind for kind, _ in picture]
    assert a_marker(length) == picture[-1][1].lstrip()
    sound = riff_chunks(a_file("audio/wav", length))
    assert [b"fmt ", b"data", b"LIST"] == [kind for kind, _ in sound]
    assert b"\x80" * 800 == sound[1][1]
    comment = struct.pack("<8sI", b"INFOICMT", length + 1) + a_marker(length) + b"\0"
    assert comment == sound[2][1][: len(comment)]


@pytest.mark.parametrize("mime", FILMS)
def test_films_are_of_their_brand_and_last_a_second(mime: str) -> None:
    """A film is one H.264 picture of one second, and its first box says MP4 or QuickTime."""
    data = a_file(mime)
    assert FILMS[mime] == data[8:12]
    with av.open(io.BytesIO(data), mode="r") as film:
        assert 1_000_000 == film.duration
        assert "h264" == film.streams.video[0].codec_context.name


def test_pdf_says_that_the_attachment_was_moved_out() -> None:
    """The page's text tells a reader what happened and what to run; the marker is a comment in front."""
    data = a_file("application/pdf")
    page = PdfReader(io.BytesIO(data), strict=True).pages[0]
    expected = ["This attachment was moved out by ocblob.", "Run: ocblob restore"]
    assert expected == page.extract_text().splitlines()
    assert b"%" + a_marker() == data.splitlines(keepends=True)[2]


@pytest.mark.parametrize("length", [80, 99, 120, MARKER_BYTES_MAX])
def test_pdf_table_points_at_the_objects(length: int) -> None:
    """The cross-reference table gives where each object starts, and the trailer where the table does."""
    data = a_file("application/pdf", length)
    start = int(data.split()[-2])
    lines = data[start:].splitlines(keepends=True)
    assert b"xref\n" == lines[0]
    for number, line in enumerate(lines[3:8], start=1):
        assert 20 == len(line)
        assert data.startswith(b"%d 0 obj\n" % number, int(line[:10]))


def test_svg_is_a_picture_with_words() -> None:
    """The SVG has the size of the other pictures and the same words."""
    root = ET.fromstring(a_file("image/svg+xml"))
    assert ("144", "80") == (root.get("width"), root.get("height"))
    assert WORDS == [item.text for item in root.iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.parametrize(
    "mime",
    ["", " ", ";charset=utf-8", "text/plain", "application/zip", "audio/mp4", "video/x-m4v", "no type"],
)
def test_other_types_are_the_bare_marker(mime: str) -> None:
    """A type without a carrier, and none at all, hold the marker line and nothing else."""
    assert a_marker() == build(mime, a_marker())


@pytest.mark.parametrize("mime", ["image/heic", "image/avif", "image/tiff", "image/apng", "IMAGE/BMP;x=y"])
def test_images_without_a_carrier_have_no_placeholder(mime: str) -> None:
    """A bare line is no valid image, so such an image stays where it is."""
    assert build(mime, a_marker()) is None


@pytest.mark.parametrize(
    ("mime", "expected"),
    [
        ("image/PNG; charset=x", "image/png"),
        ("Image/Jpg;name=a.png", "image/jpeg"),
        (" application/PDF ;v=1;w=2", "application/pdf"),
        ("AUDIO/X-WAV", "audio/wav"),
        ("image/svg+xml;utf8", "image/svg+xml"),
        ("", "text/plain"),
        (";base64", "text/plain"),
        ("Text/HTML", "text/html"),
    ],
)
def test_case_and_parameters_do_not_matter(mime: str, expected: str) -> None:
    """The declared type is found in any case, between blanks and before parameters."""
    assert expected == media_type(mime)
    assert build(expected, a_marker()) == build(mime, a_marker())


@pytest.mark.parametrize(
    "marker",
    [
        b"",
        b"ocblob/1 no line end",
        b"ocblob/1 two\nlines\n",
        b"ocblob/1 carriage\rreturn\n",
        b"ocblob/1 \xc3\xa4\n",
        b"ocblob/1 zero \0\n",
        b"ocblob/1 ends a comment -->\n",
        a_marker(MARKER_BYTES_MAX + 1),
    ],
)
@pytest.mark.parametrize("mime", ["image/png", "text/plain", "image/heic"])
def test_refuses_a_marker_that_some_type_cannot_carry(mime: str, marker: bytes) -> None:
    """What would break one carrier is refused for all types, so a ref never depends on its type."""
    with pytest.raises(ValueError, match="not a marker"):
        build(mime, marker)
