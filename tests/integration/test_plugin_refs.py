"""The plugin and Python agree on what a ref is: both judge the same corpus."""

import base64
import io
import random
from collections.abc import Iterator
from pathlib import Path

from PIL import Image
from plugin_process import TRANSFORM, Runtime

from ocblob import find_refs
from ocblob.placeholders import ALIASES, CARRIERS, build, carry
from ocblob.ref import MARKER_BASE64, PLACEHOLDER_BYTES_MAX, SIZE_MAX, Ref, marker_line

DIGEST = "9c" * 32
LINE = marker_line(Ref(DIGEST, 1234, (("store", "3f2a9c01"),)))
OTHERS = ("text/plain", "application/octet-stream", "image/heic", "image/", "x/y", "")
TYPES = (*CARRIERS, *ALIASES, *OTHERS)
PICTURES = {"image/gif": "GIF", "image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP"}
MUTATIONS = 3000


def test_the_same_refs_as_python(tmp_path: Path, runtime: Runtime) -> None:
    """Each URL of the corpus is a ref of the same digest and size for both, or for neither."""
    urls = sorted(set(corpus()))
    expected = [verdict(url) for url in urls]
    given = [[url] for url in urls]

    case = runtime.one(tmp_path, {"steps": [["ask", "parseRef", given]]})

    found = [None if ref is None else (ref["digest"], ref["size"]) for ref in case["done"][0]["gave"]]
    assert [] == [
        (url[:300], python, javascript)
        for url, python, javascript in zip(urls, expected, found, strict=True)
        if python != javascript
    ]
    assert 500 < sum(ref is not None for ref in expected) < len(urls) - 5000


def verdict(url: str) -> tuple[str, int] | None:
    """What Python makes of a whole URL."""
    refs = find_refs(url)
    return (refs[0].digest, refs[0].size) if refs else None


def corpus() -> Iterator[str]:
    """Refs, and what is nearly one."""
    yield from refs_of_every_type()
    yield from refs_with_previews()
    yield from changed_lines()
    yield from changed_base64()
    yield from odd_lines()
    yield from odd_places()
    yield from odd_headers()
    yield from mutations()


def url_of(placeholder: bytes, mime: str = "text/plain") -> str:
    """The data URL of a placeholder."""
    return f"data:{mime};base64,{base64.b64encode(placeholder).decode('ascii')}"


def placeholder_of(mime: str, line: bytes = LINE) -> bytes:
    """A placeholder, also of an image type that has none."""
    return build(mime, line) or line


def refs_of_every_type() -> Iterator[str]:
    """Each placeholder under the name of each type, and with the largest and smallest sizes."""
    for mime in TYPES:
        for declared in TYPES:
            yield url_of(placeholder_of(mime), declared)
        for ref in (Ref(DIGEST, 0), Ref(DIGEST, SIZE_MAX), Ref(DIGEST, 7, (("b", ""), ("a-b_9", "x=y~")))):
            yield url_of(placeholder_of(mime, marker_line(ref)), mime)


def refs_with_previews() -> Iterator[str]:
    """Placeholders that are pictures."""
    picture = Image.effect_noise((40, 30), 50)
    for mime, kind in PICTURES.items():
        file = io.BytesIO()
        picture.save(file, kind)
        placeholder = carry(mime, file.getvalue(), LINE)
        assert placeholder is not None
        yield url_of(placeholder, mime)


def changed_lines() -> Iterator[str]:
    """Every byte of the line flipped, dropped and doubled, in a bare line, a text and a binary carrier."""
    for mime in ("text/plain", "image/svg+xml", "image/png", "application/pdf"):
        whole = placeholder_of(mime)
        begin = whole.index(LINE)
        for at in range(max(begin - 4, 0), begin + len(LINE)):
            for changed in (*(bytes([whole[at] ^ 1 << bit]) for bit in range(8)), b"", whole[at : at + 1] * 2):
                yield url_of(whole[:at] + changed + whole[at + 1 :], mime)


def changed_base64() -> Iterator[str]:
    """Every character replaced, dropped and doubled; other alphabets, padding, line breaks, trailing bits."""
    for line in (LINE, marker_line(Ref(DIGEST, 123)), marker_line(Ref(DIGEST, 12))):
        url = url_of(line)
        for at in range(url.index(",") + 1, len(url)):
            for changed in ("", url[at] * 2, *'AB/+-_= \n\u00e9\\"'):
                yield url[:at] + changed + url[at + 1 :]
        for end in range(1, 12):
            yield url[:-end]
        yield from (url + more for more in ("=", "==", "====", "A", "AAAA", "\n", "\x00", "#x", '"'))


def odd_lines() -> Iterator[str]:
    """Lines with something that does not belong in them."""
    for number in (2**53 - 1, 2**53, 2**53 + 1, 10**15, 10**16 - 1, 10**16, 10**17, 2**63, 2**64):
        yield url_of(f"ocblob/1 {DIGEST} {number}\n".encode())
    for size in ("", "00", "01", "+1", "-1", "1.0", "1e3", "0x1", " 1", "1 ", "\u0661"):
        yield url_of(f"ocblob/1 {DIGEST} {size}\n".encode())
    for more in (
        " a",
        " =x",
        " A=x",
        " a=x ",
        "  a=x",
        " a=\u00e9",
        " a=\x7f",
        " a=x\r",
        "\ta=x",
        " 1=x",
        " a=x b=y",
        " a==",
    ):
        yield url_of(f"ocblob/1 {DIGEST} 5{more}\n".encode())
    for digest in (DIGEST.upper(), DIGEST[:-1], DIGEST + "0", "g" * 64, ""):
        yield url_of(f"ocblob/1 {digest} 5\n".encode())
    for line in (LINE[:-1], LINE + b"\n", LINE + LINE, LINE + b"x", LINE.replace(b"/1", b"/2"), b"\xef\xbb\xbf" + LINE):
        yield url_of(line)


def odd_places() -> Iterator[str]:
    """Other alignments, two markers, and placeholders around the largest size."""
    head, tail = b"%PDF-1.4\n%", b"more\n"
    for gap in range(7):
        yield url_of(head + b"x" * gap + LINE + tail, "application/pdf")
        yield url_of(head + b"xx" + LINE + b"x" * gap + LINE, "application/pdf")
        yield url_of(head + b"xx" + LINE + b"x" * gap + b"ocblob/1 ", "application/pdf")
        yield url_of(head + b"x" * gap + b"ocblob/1 " + LINE, "application/pdf")
    # What grep finds, at an offset of the base64 that is none of a byte, beside a marker that is out of line.
    yield url_of(head + b"xx" + base64.b64decode(b"A" + MARKER_BASE64 + b"AAA") + b"x" + LINE, "application/pdf")
    for size in range(PLACEHOLDER_BYTES_MAX - 4, PLACEHOLDER_BYTES_MAX + 5):
        start = head + b"xx" + LINE
        yield url_of(start + b"x" * (size - len(start)), "application/pdf")


def odd_headers() -> Iterator[str]:
    """Blanks of all kinds, letters that fold, lengths around the largest, other schemes."""
    text = base64.b64encode(LINE).decode("ascii")
    png = base64.b64encode(placeholder_of("image/png")).decode("ascii")
    blanks = (" ", "\t", "\x0b", "\x85", "\xa0", "\u1680", "\u2003", "\u2028", "\u3000", "\ufeff", "\u200b", "\x1c")
    for blank in blanks:
        for header in (f"{blank}image/png", f"image/png{blank}", f"image/{blank}png", blank, f"{blank}{blank}x/y"):
            yield f"data:{header};base64,{text}"
            yield f"data:{header};base64,{png}"
    for header in (
        "image/PNG;base64", "IMAGE/PNG;BASE64", "image/png;Base64", "image/png;base64;x", "image/png;x=y;base64",
        "image/png; base64", "image/png;base64 ", "image/png,x;base64", 'image/png;n="a,b";base64', "image/png",
        "image/png;ba\u017fe64", "\u0130mage/png;base64", "image/p\u212ag;base64", "\ud800image/png;base64",
        "image/png;x=\\;base64", "image/png;x=\x7f;base64", "image/png;x=\u00e9;base64", "base64", ";base64", "",
        "image/png;base64;base64", ";;base64", "image/x-PNG;base64", "image/png\x00;base64",
    ):  # fmt: skip
        yield f"data:{header},{png}"
        yield f"data:{header},{text}"
    for length in range(1020, 1030):
        for letter in ("x", "\u00e9", "\U0001f600"):
            yield f"data:{letter * (length // len(letter.encode()))};base64,{text}"
            yield f"data:{'x' * (length - 7 - len(letter.encode()))}{letter};base64,{text}"
    for scheme in ("", "data:", "Data:", " data:", "data:data:", "data: ", '"data:', "file:"):
        yield f"{scheme}text/plain;base64,{text}"


def mutations() -> Iterator[str]:
    """Cuts, copies and noise, from one seed."""
    chance = random.Random("mutations")
    urls = [*refs_of_every_type()]
    for _ in range(MUTATIONS):
        url = chance.choice(urls)
        for _ in range(chance.randint(1, 3)):
            at, end = sorted(chance.choices(range(len(url) + 1), k=2))
            piece = chance.choice(("", url[at:end] * 2, chance.choice(urls)[:40], chr(chance.randrange(32, 0x2100))))
            narrow = min(end, at + chance.choice((0, 1, 4, 400)))
            url = url[:at] + piece + url[narrow:]
        yield url


def test_what_is_no_text_is_no_ref(tmp_path: Path, runtime: Runtime) -> None:
    """A part whose URL is anything else is left as it is."""
    values = [None, 5, True, "", "data:", "data:,", [], {}, ["data:"], {"url": "data:"}]
    messages = [{"parts": [{"type": "file", "mime": "image/png", "url": value}]} for value in values]

    case = runtime.one(tmp_path, {"steps": [["hook", TRANSFORM, {}, {"messages": messages}]]})

    assert [{"gave": {"messages": messages}}] == case["done"]
    assert [] == case["logs"]
