"""Cells as they should not be, and some as they should: what a database may really hold.

Each is a value with what is expected of it: how many payloads move out at the default minimal size, why the others
stay, and how many refs it holds that nothing resolves.
"""

import base64
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal

from hypothesis import strategies as st

from ocblob.digest import digest_of
from ocblob.ref import Ref
from ocblob.rewrite import OffloadPlan, plan_offload, reference_text
from ocblob.scan import Reason

MIN_CHARS: Final = 8 * 1024
STORE: Final = "3f2a9c01"
"""The store that planned refs name."""
PIECE_BYTES: Final = 256 * 1024
"""A cell is read in pieces of this size; what lies across a border is of interest."""
SqlType = Literal["text", "blob", "null", "integer", "real"]

SMALL, NOT_CANONICAL, ESCAPED = Reason.SMALL, Reason.NOT_CANONICAL, Reason.ESCAPED
UNTERMINATED, BROKEN, NO_CARRIER = Reason.UNTERMINATED, Reason.BROKEN_JSON, Reason.NO_CARRIER


@dataclass(frozen=True, slots=True)
class OddCell:
    """One cell's content and what an offload makes of it."""

    name: str
    data: bytes
    """As text or blob; the number in decimal for the other types, nothing for null."""
    moves: int
    """Payloads that go to the store."""
    stays: tuple[Reason, ...] = ()
    """Why others do not, in their order."""
    type: SqlType = "text"
    refs: int = 0
    """Refs that are there before; none of them can be resolved."""
    foreign: int = 0
    """Of these, refs that name a blob of the store and lie about its size."""

    @property
    def is_candidate(self) -> bool:
        """Whether a pass looks into it."""
        return self.type in {"text", "blob"} and len(self.data) > MIN_CHARS


def text_of(seed: int, chars: int = MIN_CHARS + 400) -> bytes:
    """Base64 text of this many characters, without padding; another for each seed."""
    return base64.b64encode(random.Random(seed).randbytes(chars // 4 * 3 + 3))[:chars]


def url(seed: int, header: bytes = b"image/png;base64", chars: int = MIN_CHARS + 400) -> bytes:
    """A data URL of its own for each seed."""
    return b"data:" + header + b"," + text_of(seed, chars)


def part(value: bytes) -> bytes:
    """JSON as a host writes it around one string."""
    return b'{"type":"file","mime":"image/png","url":"' + value + b'","filename":"a.png"}'


def ref_url(digest: str, size: int, mime: str = "image/png") -> bytes:
    """The data URL of a well-formed ref."""
    text = reference_text(mime, Ref(digest, size, (("store", "00000000"),)))
    assert text is not None
    return b"data:" + mime.encode() + b";base64," + text


def marked(placeholder: bytes) -> bytes:
    """The data URL of a plain file with these bytes."""
    return b"data:text/plain;base64," + base64.b64encode(placeholder)


UNKNOWN: Final = "9c" * 32
"""No bytes that any test stores hash to it."""
LINE: Final = f"ocblob/1 {UNKNOWN} 77 store=00000000\n".encode()
KNOWN: Final = base64.b64decode(text_of(1))
"""The bytes of a payload that moves out of the first cell."""
TALK: Final = b"The quick brown fox says data: and base64, and jumps. "


def _types() -> Iterator[OddCell]:
    """What the declared type has to say."""
    yield OddCell("plain png", part(url(1)), 1)
    carried = (
        b"application/pdf",
        b"application/x-pdf",
        b"audio/wav",
        b"image/gif",
        b"image/jpeg",
        b"image/jpg",
        b"image/webp",
        b"image/svg+xml",
        b"video/mp4",
        b"video/quicktime",
        b"text/plain",
        b"application/json",
        b"application/zip",
        b"application/x-never-heard-of",
        b"audio/mpeg",
        b"IMAGE/PNG",
        b"no type",
    )
    for seed, mime in enumerate(carried, start=100):
        yield OddCell(f"type {mime.decode()}", part(url(seed, mime + b";base64")), 1)
    for seed, mime in enumerate((b"image/heic", b"image/avif", b"image/tiff", b"image/x-unknown"), start=120):
        yield OddCell(f"image without a carrier {mime.decode()}", part(url(seed, mime + b";base64")), 0, (NO_CARRIER,))
    yield OddCell("no media type", part(url(130, b";base64")), 1)
    yield OddCell("upper-case base64", part(url(131, b"image/png;BASE64")), 1)
    yield OddCell("mixed-case base64 and type", part(url(132, b"Image/Png;Base64")), 1)
    yield OddCell("extra parameters", part(url(133, b"text/plain;charset=utf-8;name=a b.txt;base64")), 1)
    yield OddCell("base64 twice", part(url(134, b"image/png;base64;base64")), 1)
    yield OddCell("parameter behind base64", part(url(135, b"image/png;base64;x=y")), 0)
    yield OddCell("blank before base64", part(url(136, b"image/png; base64")), 0)
    yield OddCell("no semicolon", part(url(137, b"base64")), 0)
    yield OddCell("not base64", part(b"data:text/plain," + b"x" * 9000), 0)
    yield OddCell("quoted comma in the header", part(url(138, b'text/plain;name=\\"a,b\\";base64')), 0)
    yield OddCell("bare comma in the header", part(url(139, b"text/plain;name=a,b;base64")), 0)
    yield OddCell("escaped slash in the header", part(url(140, b"image\\/png;base64")), 0)
    yield OddCell("header of 1 KiB", part(url(141, b"text/plain;x=" + b"y" * 1004 + b";base64")), 1)
    yield OddCell("header of 1 KiB and a byte", part(url(142, b"text/plain;x=" + b"y" * 1005 + b";base64")), 0)
    yield OddCell("header of 300 KiB", part(url(143, b"text/plain;x=" + b"y" * 300_000 + b";base64")), 0)
    yield OddCell("upper-case scheme", part(b"DATA" + url(144)[4:]), 0)
    yield OddCell("blank before the scheme", part(b" " + url(145)), 0)


def _payloads() -> Iterator[OddCell]:
    """What the payload itself may be."""
    text = text_of(200)
    head = b"data:image/png;base64,"
    yield OddCell("empty payload", part(head) + b" " * 9000, 0, (SMALL,))
    yield OddCell("8 KiB less one group", part(url(201, chars=MIN_CHARS - 4)), 0, (SMALL,))
    yield OddCell("8 KiB less one character", part(url(202, chars=MIN_CHARS - 1)), 0, (SMALL,))
    yield OddCell("exactly 8 KiB", part(url(203, chars=MIN_CHARS)), 1)
    yield OddCell("8 KiB and one character", part(url(204, chars=MIN_CHARS + 1)), 0, (NOT_CANONICAL,))
    yield OddCell("one padding", part(head + text + b"QUE="), 1)
    yield OddCell("two paddings", part(head + text + b"QQ=="), 1)
    for name, tail in {
        "missing padding": b"QQ",
        "one padding of two": b"QQ=",
        "padding too much": b"QUFB====",
        "padding in the middle": b"QQ==QUFB",
        "loose bits of one byte": b"QR==",
        "loose bits of two bytes": b"QUF=",
        "URL-safe alphabet": b"-_-_",
        "a blank in it": b"QU B",
        "percent signs": b"QU%2F",
        "raw line breaks": b"QUFB\r\nQUFB\r\n",
        "NUL in the payload": b"QU\0B",
        "invalid UTF-8 in the payload": b"QU\xffB",
        "a fragment": b"#page=2",
        "words behind": b" and more words",
        "a star": b"****",
    }.items():
        yield OddCell(name, part(head + text + tail), 0, (NOT_CANONICAL,))
    for name, tail in {
        "escaped slashes": b"QU\\/B",
        "escaped line breaks": b"QUFB\\r\\nQUFB",
        "escaped letters": b"\\u0051UFB",
        "escaped padding": b"QQ\\u003d\\u003d",
        "escaped quote": b'QUFB\\"QUFB',
        "escaped surrogates": b"\\ud83d\\ude00",
    }.items():
        yield OddCell(name, part(head + text + tail), 0, (ESCAPED,))
    yield OddCell("raw line break and an escape", part(head + b"\n" + text + b"\\/"), 0, (ESCAPED,))
    yield OddCell("all zeros", part(head + b"A" * 12_000), 1)
    yield OddCell("payload that is JSON with a payload", part(head + base64.b64encode(part(url(205)))), 1)
    yield OddCell("payload that is base64", part(head + base64.b64encode(text)), 1)
    yield OddCell("two frames", part(head + base64.b64encode(bytes(range(256)) * 6000)), 1)


def _places() -> Iterator[OddCell]:
    """Where in a cell a data URL may stand."""
    yield OddCell("object key", b'{"' + url(300) + b'":1}', 1)
    yield OddCell("key and value", b'{"' + url(301) + b'":"' + url(302) + b'"}', 2)
    yield OddCell("equal keys", b'{"a":"' + url(303) + b'","a":"' + url(304) + b'"}', 2)
    yield OddCell("very start of the cell", b'"' + url(305) + b'"', 0)
    yield OddCell("blank before it", b' "' + url(306) + b'"', 1)
    yield OddCell("line break before and behind", b'\r\n"' + url(307) + b'"\r\n', 1)
    yield OddCell("bare data URL", url(308), 0)
    yield OddCell("white space everywhere", b' { "a" :\t"' + url(309) + b'" ,\n"b":\r[ "' + url(310) + b'" ] } ', 2)
    yield OddCell("in a longer string", part(b"see " + url(311)), 0)
    yield OddCell("in markdown", part(b"![shot](" + url(312) + b")"), 0)
    yield OddCell("in escaped JSON", json.dumps({"output": part(url(313)).decode()}).encode(), 0)
    nested = json.dumps({"output": json.dumps({"output": part(url(314)).decode()})})
    yield OddCell("in JSON escaped twice", nested.encode(), 0)
    yield OddCell("quoted behind a colon in a string", part(b'look: \\"' + url(315) + b'\\"'), 0)
    yield OddCell("behind an escaped backslash", b'["a\\\\","' + url(316) + b'"]', 1)
    yield OddCell("behind a string that ends in a colon", b'["a:","' + url(317) + b'"]', 1)
    yield OddCell("duplicates", b'["' + b'","'.join([url(318)] * 3) + b'"]', 3)
    yield OddCell("the first cell's payload again", b'{"part":' + part(url(1)) + b"}", 1)
    stays = b",".join(
        b'"' + value + b'"'
        for value in (url(319), url(320, b"image/heic;base64"), url(321)[:-1], url(322), url(323, chars=40), b"data:,")
    )
    yield OddCell("some move and some stay", b"[" + stays + b"]", 2, (NO_CARRIER, NOT_CANONICAL, SMALL))
    yield OddCell("100 levels of arrays", b"[" * 100 + b'"' + url(324) + b'"' + b"]" * 100, 1)
    yield OddCell("5000 levels of arrays", b"[" * 5000 + b'"' + url(325) + b'"' + b"]" * 5000, 1)
    yield OddCell("3000 levels of objects", b'{"a":' * 3000 + b'"' + url(326) + b'"' + b"}" * 3000, 1)
    # Made of a few, or the corpus would be slow.
    many = [url(330 + number % 7, chars=MIN_CHARS) for number in range(2000)]
    yield OddCell("thousands of payloads", b'["' + b'","'.join(many) + b'"]', 2000)
    opening = len(b'"data:image/png;base64,')
    for name, start in {
        "opening quote ends the piece": PIECE_BYTES - 1,
        "scheme across the border": PIECE_BYTES - 3,
        "comma ends the piece": PIECE_BYTES - opening,
        "payload begins the piece": PIECE_BYTES - opening + 1,
        "first group across the border": PIECE_BYTES - opening - 2,
        "opening quote begins the piece": PIECE_BYTES,
        "payload ends the piece": PIECE_BYTES - opening - MIN_CHARS,
        "closing quote ends it": PIECE_BYTES - opening - MIN_CHARS - 1,
    }.items():
        seed = 340 + start % 10
        yield OddCell(name, b"[" + b" " * (start - 1) + b'"' + url(seed, chars=MIN_CHARS) + b'"]', 1)


def _broken() -> Iterator[OddCell]:
    """What is no JSON."""
    good = part(url(400))
    comma = good.index(b",", 40)
    yield OddCell("cut in the header", good[: comma - 4] + b" " * 9000, 0)
    yield OddCell("cut behind the header", b" " * 9000 + good[: comma + 1], 0, (UNTERMINATED,))
    yield OddCell("cut in the payload", good[:-2000], 0, (UNTERMINATED,))
    quote = good.index(b'"', comma)
    yield OddCell("cut before the closing quote", good[:quote], 0, (UNTERMINATED,))
    yield OddCell("cut behind the closing quote", good[: quote + 1], 0, (BROKEN,))
    yield OddCell("cut behind the payload", good[:-4], 0, (BROKEN,))
    yield OddCell("last brace missing", good[:-1], 0, (BROKEN,))
    yield OddCell("second payload cut", b'["' + url(401) + b'","' + url(402), 0, (UNTERMINATED, BROKEN))
    yield OddCell("words behind the payload", b'["' + url(403) + b'"words]', 0, (BROKEN,))
    yield OddCell("two documents", good + b"\n" + part(url(404)), 0, (BROKEN, BROKEN))
    yield OddCell("garbage behind", good + b"garbage", 0, (BROKEN,))
    yield OddCell("trailing comma", b'["' + url(405) + b'",]', 0, (BROKEN,))
    yield OddCell("wrong bracket", b'["' + url(406) + b'"}', 0, (BROKEN,))
    yield OddCell("comment", b"/* x */ " + good, 0, (BROKEN,))
    yield OddCell("not a number", b'{"a":NaN,"url":"' + url(407) + b'"}', 0, (BROKEN,))
    yield OddCell("single quotes", good.replace(b'"', b"'"), 0)
    yield OddCell("YAML", b'url: "' + url(408) + b'"\n', 0, (BROKEN,))
    yield OddCell("event stream", b"data: " + good + b"\n\n", 0, (BROKEN,))
    yield OddCell("byte order mark", b"\xef\xbb\xbf" + good, 0, (BROKEN,))
    yield OddCell("NUL in a string beside", b'{"a":"x\0y","url":"' + url(409) + b'"}', 0, (BROKEN,))
    yield OddCell("raw tab in a string beside", b'{"a":"x\ty","url":"' + url(410) + b'"}', 0, (BROKEN,))
    yield OddCell("NUL behind", good + b"\0", 0, (BROKEN,))
    yield OddCell("NUL in the header", part(url(411, b"image/\0;base64")), 0)
    yield OddCell("bad escape beside", b'{"a":"\\x","url":"' + url(412) + b'"}', 0, (BROKEN,))
    yield OddCell("5000 levels and cut", b"[" * 5000 + b'"' + url(413) + b'"' + b"]" * 4990, 0, (BROKEN,))
    large = b'["' + TALK * 24_000 + b'",'
    yield OddCell("a megabyte and cut", large + b'"' + url(414) + b'"', 0, (BROKEN,))
    yield OddCell("a megabyte and broken in the middle", large + b'"' + url(415) + b'"words]', 0, (BROKEN,))
    yield OddCell("a megabyte and the wrong bracket", large + b'{"a":"' + url(416) + b'"]]', 0, (BROKEN,))


def _surroundings() -> Iterator[OddCell]:
    """What may stand beside a payload that moves all the same."""
    yield OddCell("invalid UTF-8 beside", b'{"a":"\xff\xfe\xc3","url":"' + url(500) + b'"}', 1)
    yield OddCell("invalid UTF-8 in the header", part(url(501, b"text/\xff\xfe;base64")), 1)
    yield OddCell("invalid UTF-8 in an image's header", part(url(502, b"image/\xff;base64")), 0, (NO_CARRIER,))
    yield OddCell("surrogates as bytes beside", b'{"a":"\xed\xa0\x80","url":"' + url(503) + b'"}', 1)
    yield OddCell("overlong bytes beside", b'{"a":"\xc0\xaf","url":"' + url(504) + b'"}', 1)
    yield OddCell("lone surrogate escapes beside", b'{"\\ud800":"\\udfff","url":"' + url(505) + b'"}', 1)
    yield OddCell("surrogate escape in the header", part(url(506, b"text/\\ud800;base64")), 0)
    yield OddCell("escaped NUL beside", b'{"a":"\\u0000","url":"' + url(507) + b'"}', 1)
    yield OddCell("emoji beside", '{"a":"\U0001f600\u2028","url":"'.encode() + url(508) + b'"}', 1)
    yield OddCell("numbers beside", b"[-0.0,1E400,1e-999," + b"9" * 5000 + b',"' + url(509) + b'"]', 1)
    yield OddCell("a megabyte beside", b'["' + TALK * 24_000 + b'","' + url(510) + b'"]', 1)
    yield OddCell("half a megabyte of escapes beside", b'["' + b'\\"\\\\' * 130_000 + b'","' + url(511) + b'"]', 1)
    yield OddCell("a megabyte of quotes beside", b'["","' + url(512) + b'"' + b',""' * 350_000 + b"]", 1)


def _without() -> Iterator[OddCell]:
    """Cells with nothing to move."""
    for name, data in {
        "empty": b"",
        "a quote": b'"',
        "two quotes": b'""',
        "an opening": b'"data:',
        "an opening in a list": b'["data:',
        "a blank": b" ",
        "null": b"null",
        "an empty list": b"[]",
        "9000 quotes": b'"' * 9000,
        "9000 openings": b'["data:' * 9000,
        "9000 commas": b"," * 9000,
        "a megabyte of words": b'["' + TALK * 20_000 + b'"]',
        "a megabyte of base64": b'{"signature":"' + text_of(600, 1_000_000) + b'"}',
        "a megabyte of brackets": b"[" * 1_000_000,
        "a megabyte of backslashes": b"\\" * 1_000_000,
        "raw base64 without a scheme": b'{"structured":{"content":"' + text_of(601) + b'"}}',
    }.items():
        yield OddCell(name, data, 0)
    yield OddCell("null cell", b"", 0, type="null")
    yield OddCell("integer cell", b"42", 0, type="integer")
    yield OddCell("real cell", b"1.5", 0, type="real")
    yield OddCell("blob cell with JSON", part(url(602)), 1, type="blob")
    yield OddCell("blob cell with what is no text", random.Random(603).randbytes(20_000), 0, type="blob")
    yield OddCell("blob cell with NULs", bytes(20_000), 0, type="blob")
    yield OddCell("empty blob cell", b"", 0, type="blob")


def _refs() -> Iterator[OddCell]:
    """Refs, forged ones, and what only looks like one."""
    yield OddCell("a ref", part(ref_url(UNKNOWN, 77)), 0, refs=1)
    yield OddCell("a ref in a PDF", part(ref_url(UNKNOWN, 0, "application/pdf")), 0, refs=1)
    yield OddCell("a bare ref", part(marked(LINE)), 0, refs=1)
    yield OddCell("a ref in a blob cell", part(ref_url(UNKNOWN, 77)), 0, type="blob", refs=1)
    yield OddCell(
        "a ref of the largest size", part(marked(b"ocblob/1 " + UNKNOWN.encode() + b" %d\n" % (2**53 - 1))), 0, refs=1
    )
    yield OddCell("a ref with a wrong size", part(ref_url(digest_of(KNOWN), len(KNOWN) - 1)), 0, refs=1, foreign=1)
    yield OddCell("a ref and a payload", b'["' + ref_url(UNKNOWN, 77) + b'","' + url(700) + b'"]', 1, refs=1)
    many = b'","'.join(ref_url(f"{number:064x}", number) for number in range(200))
    yield OddCell("two hundred refs and a payload", b'["' + many + b'","' + url(701) + b'"]', 1, refs=200)
    yield OddCell("a ref, unterminated", b" " * 9000 + part(ref_url(UNKNOWN, 77))[:-24], 0, (UNTERMINATED,))
    for name, line in {
        "two markers": LINE + b"  " + LINE,
        "a second marker without a line": LINE + b"ocblob/1 ",
        "a marker at a wrong offset": b"x" + LINE,
        "an upper-case digest": LINE.replace(b"9c", b"9C"),
        "a short digest": LINE.replace(b"9c9c ", b"9c9 "),
        "garbage in the marker line": LINE[:-1] + b" garbage\n",
        "a marker without a line end": LINE[:-1],
        "a size too large": (LINE.replace(b" 77 ", b" 99999999999999999999 ")),
        "a size of 2^63": LINE.replace(b" 77 ", b" 9223372036854775808 "),
        "another version": LINE.replace(b"ocblob/1", b"ocblob/2"),
        "a marker and CR": LINE[:-1] + b"\r\n",
        "a leading zero": LINE.replace(b" 77 ", b" 077 "),
    }.items():
        yield OddCell(f"lookalike: {name}", b" " * 9000 + part(marked(line)), 0, (SMALL,))
    for mime, line in ((b"image/png", LINE), (b"text/plain", b"a log\n" + LINE), (b"text/plain", LINE + b"more\n")):
        value = b"data:" + mime + b";base64," + base64.b64encode(line)
        name = f"lookalike: a marker in a file of its own, {len(line)} bytes of {mime.decode()}"
        yield OddCell(name, b" " * 9000 + part(value), 0, (SMALL,))
    yield OddCell("lookalike: a marker in a large file", part(marked(LINE + bytes(9000))), 1)
    padded = marked(LINE + b" " * (-(len(LINE) + 2) % 3))
    assert padded.endswith((b"A==", b"g=="))
    loose = padded[:-3] + bytes([padded[-3] + 1]) + b"=="
    yield OddCell("lookalike: loose bits", part(loose) + b" " * 9000, 0, (SMALL,))
    yield OddCell("a marker in plain text", json.dumps({"text": LINE.decode() * 200}).encode(), 0)
    yield OddCell("a ref's text without a data URL", part(base64.b64encode(LINE * 120)), 0)


CELLS: Final = (
    *_types(),
    *_payloads(),
    *_places(),
    *_broken(),
    *_surroundings(),
    *_without(),
    *_refs(),
)


class Reader:
    """A cell in memory, read in pieces."""

    version: Final = None

    def __init__(self, data: bytes, *, piece: int = PIECE_BYTES) -> None:
        self._data = data
        self._piece = piece
        self.size = len(data)

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end`."""
        for at in range(start, end, self._piece):
            yield self._data[at : min(at + self._piece, end)]


def planned(cell: bytes, min_chars: int = MIN_CHARS, piece: int = PIECE_BYTES) -> OffloadPlan:
    """What an offload would do to one cell."""
    return plan_offload(Reader(cell, piece=piece), min_chars=min_chars, store=STORE)


@st.composite
def documents(draw: st.DrawFn) -> bytes:
    """A JSON document with payloads that move, ones that stay, and refs, at any place, written in any style."""
    sizes = st.sampled_from([3, 30, 299, 300, 301, 600, 2000])
    mimes = st.sampled_from(["", "image/png", "image/heic", "application/pdf", "text/plain;x=y", "audio/wav"])
    payloads = st.builds(
        lambda mime, seed, size: (
            f"data:{mime};base64," + base64.b64encode(random.Random(seed).randbytes(size)).decode()
        ),
        mimes,
        st.integers(0, 5),
        sizes,
    )
    refs = st.builds(lambda number: ref_url(f"{number:064x}", number).decode(), st.integers(1, 9))
    broken = payloads.map(lambda text: text[:-1])
    leaves = st.one_of(payloads, payloads, refs, broken, st.text(max_size=8), st.none(), st.booleans(), st.integers())
    keys = st.one_of(payloads, st.text(max_size=5))
    tree = st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(keys, inner, max_size=4)),
        max_leaves=15,
    )
    document: Any = draw(st.one_of(st.lists(tree, max_size=4), st.dictionaries(keys, tree, max_size=4)))
    styles: list[dict[str, Any]] = [{}, {"indent": 1}, {"separators": (",", ":")}, {"ensure_ascii": False}]
    style = draw(st.sampled_from(styles))
    return json.dumps(document, **style).encode("utf-8", "surrogatepass")
