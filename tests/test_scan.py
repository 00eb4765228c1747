import base64
import json
import random
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocblob.digest import digest_of
from ocblob.placeholders import CARRIERS, accepts
from ocblob.ref import Ref, parse_base64
from ocblob.rewrite import reference_text
from ocblob.scan import InlineSpan, PayloadSpan, Reason, RefSpan, Span, find_refs, scan, scan_text

NOISE = random.Random(11).randbytes(3000)
DATA = NOISE[:30]
TEXT = base64.b64encode(DATA)
REF = Ref("9c" * 32, 77, (("store", "3f2a9c01"),))
LINE = b"ocblob/1 " + b"9c" * 32 + b" 77\n"
REF_TEXT = reference_text("image/png", REF) or b""
URL = b"data:image/png;base64," + TEXT
LONG = b"data:image/png;base64," + base64.b64encode(NOISE)
PNG_REF = b"data:image/png;base64," + REF_TEXT

# What a cell may be made of; glued at random these come close to every rule of the scanner.
FRAGMENTS = st.sampled_from(
    [
        b'"data:', b"data:", b'"', b'\\"', b"\\", b"\\/", b"\\u0041", b",", b":", b"[", b"]", b"{", b"}", b" ", b"\n",
        b"\0", b"=", b"image/png", b"text/plain;charset=utf-8", b";base64,", b";BASE64,", b";base64", b"\xff",
        b"\xc3\xa4", TEXT, TEXT[:7], TEXT[:8], b"QQ==", b"QR==", b"QUE=", b"QUFB", b"QUF_", REF_TEXT, REF_TEXT[:-4],
        b'"data:;base64,', b'"data:image/png;base64,', URL, PNG_REF, b'"' + URL + b'"', b':"' + URL + b'"',
        b'["' + PNG_REF + b'"', b'"data:' + b"x" * 1017 + b";base64,", b'"data:' + b"x" * 1018 + b";base64,",
    ]
)  # fmt: skip
CELLS = st.lists(FRAGMENTS, max_size=12).map(b"".join)
CUTS = st.one_of(st.just([1] * 10_000), st.lists(st.integers(0, 400), max_size=25))

_STRING = re.compile(rb'(?<=[:,\[{ \t\r\n])"data:([^"\\,\x00-\x1f]*;base64),([^"]*)("?)', re.IGNORECASE)


def by_the_rules(cell: bytes, min_chars: int) -> Iterator[tuple[int, int, str, object]]:
    """DESIGN's rules once more, the simplest way: one regular expression over the whole cell."""
    at = 0
    while match := _STRING.search(cell, at):
        # The scheme is lower case; a header of over 1 KiB is none.
        if not cell.startswith(b'"data:', match.start()) or len(match[1]) > 1024:
            at = match.start() + 1
            continue
        at = match.end()
        header = match[1].decode("utf-8", "surrogateescape")
        yield (*match.span(2), header, what_is(header, match[2], match[3], min_chars))


def what_is(header: str, text: bytes, quote: bytes, min_chars: int) -> object:
    """A ref, the digest and the size of a payload, or why it stays."""
    if not quote:
        return Reason.UNTERMINATED
    if ref := parse_base64(text, accepts=partial(accepts, header)):
        return ref
    if len(text) < max(min_chars, 1):
        return Reason.SMALL
    if b"\\" in text:
        return Reason.ESCAPED
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return Reason.NOT_CANONICAL
    return (digest_of(data), len(data)) if base64.b64encode(data) == text else Reason.NOT_CANONICAL


def found(cell: bytes, sizes: list[int], min_chars: int = 1) -> list[tuple[int, int, str, object]]:
    """What the scanner says of a cell in pieces of these sizes, in the same form."""
    return [(span.start, span.end, span.header, meaning(span)) for span in scan(cut(cell, sizes), min_chars=min_chars)]


def meaning(span: Span) -> object:
    """What a span is, as `what_is` says it."""
    match span:
        case RefSpan():
            return span.ref
        case PayloadSpan():
            return span.digest, span.size
        case InlineSpan():
            return span.reason
    raise AssertionError(span)


def cut(cell: bytes, sizes: list[int]) -> Iterator[bytes]:
    """The cell in pieces: of these sizes, and one of what is left."""
    at = 0
    for size in sizes:
        if at >= len(cell):
            return
        yield cell[at : at + size]
        at += size
    if at < len(cell):
        yield cell[at:]


def reasons(cell: bytes, min_chars: int = 1) -> list[object]:
    """What the spans of a cell are, a payload by its size."""
    return [meaning[1] if isinstance(meaning, tuple) else meaning for *_, meaning in found(cell, [], min_chars)]


# The rules


@pytest.mark.many
@settings(deadline=None, max_examples=800)
@given(cell=CELLS, sizes=CUTS, min_chars=st.sampled_from([1, 8, 40, 500]))
@example(cell=b'["' + URL, sizes=[5, 20], min_chars=1)
@example(cell=b'["data:;base64,QUF\\/"]', sizes=[1] * 50, min_chars=1)
@example(cell=b'["data:;base64,QUFBQUF\n\\"]', sizes=[20], min_chars=1)
@example(cell=b'["data:,"data:;base64,QUFB"]', sizes=[8], min_chars=1)
@example(cell=b'["' + URL + b'"data:;base64,QUFB"', sizes=[len(URL) + 3], min_chars=1)
def test_any_bytes_in_any_pieces_by_the_rules(cell: bytes, sizes: list[int], min_chars: int) -> None:
    """Whatever a cell holds and wherever it is cut, the spans are those of the rules on the whole cell."""
    expected = list(by_the_rules(cell, min_chars))
    assert expected == found(cell, [], min_chars)
    assert expected == found(cell, sizes, min_chars)
    assert expected == found(cell, [1] * len(cell), min_chars)


@settings(deadline=None, max_examples=300)
@given(cell=CELLS, sizes=CUTS)
def test_without_hashing_nothing_else_changes(cell: bytes, sizes: list[int]) -> None:
    """A scan that does not decode finds the same strings and the same refs, in any pieces."""
    expected = [(start, end, header) for start, end, header, _ in by_the_rules(cell, 1)]
    spans = list(scan(cut(cell, sizes), hashing=False))
    assert expected == [(span.start, span.end, span.header) for span in spans]
    refs = [ref for *_, ref in by_the_rules(cell, 1) if isinstance(ref, Ref)]
    assert refs == [span.ref for span in spans if isinstance(span, RefSpan)]
    assert {""} >= {span.digest for span in spans if isinstance(span, PayloadSpan)}


@pytest.mark.parametrize("before", [b":", b",", b"[", b"{", b" ", b"\t", b"\r", b"\n"])
def test_opening_quote_follows_json_structure(before: bytes) -> None:
    """After a colon, a comma, a bracket, a brace or JSON white space, a quote opens a string that counts."""
    assert [30] == reasons(before + b'"' + URL + b'"')


@pytest.mark.parametrize(
    "before", [b"", b"\\", b"a", b'"', b"]", b"}", b"\0", b"\x0b", b"\x0c", b"\xa0", b"0", b"'", b"("]
)
def test_no_other_quote_opens_a_string(before: bytes) -> None:
    """At the very start of a cell, after an escape or anything else, a data URL is text: it stays and is no span."""
    assert [] == reasons(before + b'"' + URL + b'"')


@pytest.mark.parametrize(
    "header",
    [
        b";base64", b"image/png;base64", b"IMAGE/PNG;BASE64", b"text/plain;charset=utf-8;base64",
        b"image/png;name=a b.png;base64", b"image/svg+xml;utf8;base64", b"text/\xc3\xa4;base64", b"text/\xff;base64",
        b"/;;==;base64", b";base64;base64",
        b"x" * 1017 + b";base64", b"data:image/png;base64",
    ],
)  # fmt: skip
def test_any_header_counts_up_to_a_kibibyte(header: bytes) -> None:
    """Whatever stands before `;base64,` is the header: no type, parameters, any bytes but quotes and escapes."""
    (span,) = scan([b'["data:' + header + b"," + TEXT + b'"]'])
    assert isinstance(span, PayloadSpan)
    assert header == span.header.encode("utf-8", "surrogateescape")
    assert digest_of(DATA) == span.digest


@pytest.mark.parametrize(
    "header",
    [
        b"", b"image/png", b"image/png;charset=utf-8", b"base64", b"image/pngbase64", b"image/png; base64",
        b"image/png;base64 ", b"image/png;base64;x=y", b"image/png;base6", b"text/plain;x=a,b;base64",
        b'text/plain;x=\\"a\\";base64', b"image\\/png;base64", b"text/plain\n;base64", b"text/plain;\0;base64",
        b'text/plain";base64', b"x" * 1018 + b";base64", b"x" * 5000 + b";base64",
    ],
)  # fmt: skip
def test_other_headers_are_no_data_url(header: bytes) -> None:
    """Without `;base64` right before the first comma, with an escape, a quote or a control character: no span."""
    assert [] == reasons(b'["data:' + header + b"," + TEXT + b'"]')


@pytest.mark.parametrize("scheme", [b"DATA:", b"Data:", b" data:", b"data :", b"data", b"xdata:", b"http:"])
def test_other_schemes_are_left_alone(scheme: bytes) -> None:
    """Only `data:` in lower case, right at the string's start, is looked at."""
    assert [] == reasons(b'["' + scheme + b"image/png;base64," + TEXT + b'"]')


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", Reason.SMALL),
        (TEXT[:-1], Reason.NOT_CANONICAL),
        (TEXT + b"=", Reason.NOT_CANONICAL),
        (TEXT + b"====", Reason.NOT_CANONICAL),
        (TEXT + b"QQ", Reason.NOT_CANONICAL),
        (TEXT + b"QR==", Reason.NOT_CANONICAL),
        (TEXT + b"QUF=", Reason.NOT_CANONICAL),
        (TEXT + b"QQ==QQ==", Reason.NOT_CANONICAL),
        (TEXT + b"QU_-", Reason.NOT_CANONICAL),
        (TEXT + b"QU%3D", Reason.NOT_CANONICAL),
        (TEXT + b" ", Reason.NOT_CANONICAL),
        (TEXT + b"\n", Reason.NOT_CANONICAL),
        (TEXT[:20] + b"\r\n" + TEXT[20:], Reason.NOT_CANONICAL),
        (TEXT + b"\0", Reason.NOT_CANONICAL),
        (TEXT + b"\xff\xfe", Reason.NOT_CANONICAL),
        (TEXT + b"\xc3\xa4", Reason.NOT_CANONICAL),
        (b"QQ==" + TEXT, Reason.NOT_CANONICAL),
        (TEXT[:20] + b"\\/" + TEXT[20:], Reason.ESCAPED),
        (TEXT[:20] + b"\\u0041" + TEXT[20:], Reason.ESCAPED),
        (TEXT[:20] + b"\\n" + TEXT[20:], Reason.ESCAPED),
        (TEXT + b"\\ud83d\\ude00", Reason.ESCAPED),
        (TEXT + b"\\", Reason.ESCAPED),
        (b"\n" + TEXT + b"\\/", Reason.ESCAPED),
    ],
)
def test_reasons_why_text_stays(payload: bytes, reason: Reason) -> None:
    """Text that encoding its bytes would not give back stays, and the reason says why, in pieces of any size."""
    cell = b'{"url":"data:image/png;base64,' + payload + b'","more":"' + URL + b'"}'
    expected = [reason, (digest_of(DATA), len(DATA))]
    for size in (1, 2, 3, 5, 7, 64, 1000):
        assert expected == [meaning for *_, meaning in found(cell, [size] * len(cell))]


def test_payload_below_the_minimum_is_small() -> None:
    """The minimum counts characters of base64, and the first that is large enough moves."""
    for chars, expected in ((36, Reason.SMALL), (40, 30), (44, 33)):
        text = base64.b64encode(NOISE[: chars // 4 * 3])
        assert [expected] == reasons(b'["data:;base64,' + text + b'"]', min_chars=40)
    assert [Reason.SMALL] == reasons(b'["data:;base64,' + TEXT[:-1] + b'"]', min_chars=40)


def test_ref_is_a_ref_below_any_minimum() -> None:
    """A ref is found whatever the minimal size of payloads is."""
    assert [REF] == reasons(b'["' + PNG_REF + b'"]', min_chars=10**9)


@pytest.mark.parametrize(
    "placeholder",
    [
        b"ocblob/1 " + b"9C" * 32 + b" 77\n",
        b"ocblob/1 " + b"9c" * 32 + b" 77",
        b"ocblob/1 " + b"9c" * 32 + b" 77 and more\n",
        b"ocblob/1 " + b"9c" * 31 + b" 77\n",
        b"ocblob/2 " + b"9c" * 32 + b" 77\n",
        b"x" + b"ocblob/1 " + b"9c" * 32 + b" 77\n",
        (b"ocblob/1 " + b"9c" * 32 + b" 77\n") * 2,
        b"ocblob/1 " + b"9c" * 32 + b" 77\n" + bytes(8192),
    ],
)
def test_lookalikes_are_payloads(placeholder: bytes) -> None:
    """What looks like a ref and does not parse strictly is a payload as any other."""
    assert [len(placeholder)] == reasons(b'["data:text/plain;base64,' + base64.b64encode(placeholder) + b'"]')


@pytest.mark.parametrize(
    ("mime", "placeholder"),
    [
        ("image/png", LINE),
        ("application/pdf", LINE),
        ("image/png", b"\xff\xd8\xff" + LINE),
        ("image/heic", base64.b64decode(REF_TEXT)),
        ("text/plain", base64.b64decode(REF_TEXT)),
        ("text/plain", b"log: " + LINE),
        ("text/plain", b"a log\n" + LINE),
        ("text/plain", LINE + b"and more\n"),
        ("text/plain", LINE + b"\n"),
    ],
)
def test_marker_in_a_file_of_another_kind_is_no_ref(mime: str, placeholder: bytes) -> None:
    """A user's own file that holds a marker line, or a placeholder under another type, is not resolved to a blob."""
    text = base64.b64encode(placeholder)
    assert [len(placeholder)] == reasons(b'["data:' + mime.encode() + b";base64," + text + b'"]')


@pytest.mark.parametrize("end", [0, 1, 10, 39, 40])
def test_cell_that_ends_in_the_payload(end: int) -> None:
    """A payload without a closing quote is unterminated, however much of it is there, a ref too."""
    assert [Reason.UNTERMINATED] == reasons(b'["data:image/png;base64,' + TEXT[:end])
    assert [Reason.UNTERMINATED] == reasons(b'["' + PNG_REF[: len(PNG_REF) - 40 + end])


@pytest.mark.parametrize("end", range(len(b'["data:image/png;base64')))
def test_cell_that_ends_in_the_header_has_no_span(end: int) -> None:
    """A cell cut anywhere before the comma has no payload."""
    assert [] == reasons(b'["data:image/png;base64,'[:end])


def test_spans_tell_where_the_base64_stands() -> None:
    """A span is the base64 alone, from behind the comma to before the quote, with the header as it stands."""
    cell = b'{"a": "x", "url": "' + URL + b'", "b": ["data:;base64,QUFB"]}'
    first, second = scan([cell], min_chars=8)
    assert TEXT == cell[first.start : first.end]
    assert ("image/png;base64", "image/png") == (first.header, first.mime)
    assert b"QUFB" == cell[second.start : second.end]
    assert (";base64", "text/plain") == (second.header, second.mime)
    assert InlineSpan(second.start, second.end, ";base64", Reason.SMALL) == second


@pytest.mark.parametrize("border", [255, 4096, 262_144])
@pytest.mark.parametrize("near", range(-30, 8))
def test_seams_of_pieces_anywhere_near_a_payload(border: int, near: int) -> None:
    """A piece may end at any byte of the opening, the header, the first group or the closing quote."""
    cell = b"[" + b" " * (border + near) + b'"' + URL + b'","' + PNG_REF + b'"]'
    spans = found(cell, [border] * 10)
    start = border + near + 2 + len(b"data:image/png;base64,")
    assert (start, start + len(TEXT), "image/png;base64", (digest_of(DATA), len(DATA))) == spans[0]
    assert [REF] == [meaning for *_, meaning in spans[1:]]


def test_thousands_of_payloads_in_one_cell() -> None:
    """Every payload of a large cell is found, in its order, with its own digest."""
    datas = [b"%05d" % number * 3 for number in range(5000)]
    cell = b"[" + b",".join(b'"data:;base64,%b"' % base64.b64encode(data) for data in datas) + b"]"
    spans = list(scan(cut(cell, [65_536] * 100)))
    assert [digest_of(data) for data in datas] == [span.digest for span in spans if isinstance(span, PayloadSpan)]


# JSON from outside


@st.composite
def documents(draw: st.DrawFn) -> Any:
    """A JSON document with data URLs at any place: values, keys, in arrays, nested."""
    urls = st.builds(
        lambda mime, data: f"data:{mime};base64,{base64.b64encode(data).decode()}",
        st.sampled_from(["", "image/png", "application/pdf;name=x", "text/plain;charset=utf-8"]),
        st.binary(max_size=60),
    )
    talk = st.builds(
        "{}{}{}".format,
        st.text(max_size=8),
        st.sampled_from(
            [f'"{URL.decode()}"', f': "{URL.decode()}"', URL.decode(), f'\\"{URL.decode()}', '"data:;base64,']
        ),
        st.text(max_size=8),
    ).filter(lambda text: not text.startswith("data:"))
    leaves = st.one_of(
        urls, talk, st.text(max_size=10), st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False)
    )
    keys = st.one_of(urls, talk, st.text(max_size=5))
    tree = st.recursive(
        leaves,
        lambda inner: st.one_of(st.lists(inner, max_size=5), st.dictionaries(keys, inner, max_size=5)),
        max_leaves=25,
    )
    return draw(st.one_of(st.lists(tree, max_size=5), st.dictionaries(keys, tree, max_size=5)))


def strings(value: Any) -> Iterator[str]:
    """Every string of a document, keys too, in the order in which they are written."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        for item in value:
            yield from strings(item)
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from strings(item)


@pytest.mark.many
@settings(deadline=None, max_examples=150)
@given(
    document=documents(),
    style=st.fixed_dictionaries(
        {
            "indent": st.sampled_from([None, 0, 2, "\t"]),
            "separators": st.sampled_from([None, (",", ":"), (" , ", " : ")]),
            "ensure_ascii": st.booleans(),
        }
    ),
    sizes=CUTS,
)
def test_json_has_a_span_for_each_string_that_is_a_data_url(
    document: Any, style: dict[str, Any], sizes: list[int]
) -> None:
    """In valid JSON, however it is written, exactly the strings that are data URLs as a whole are found."""
    cell = json.dumps(document, **style).encode()
    expected = [text for text in strings(document) if re.fullmatch(r'data:[^",\\]*;base64,[A-Za-z0-9+/]*=*', text)]
    spans = list(scan(cut(cell, sizes)))
    assert expected == [f"data:{span.header},{cell[span.start : span.end].decode()}" for span in spans]
    sizes_found = [span.size if isinstance(span, PayloadSpan) else 0 for span in spans]
    assert [len(base64.b64decode(text.partition(",")[2])) for text in expected] == sizes_found


@settings(deadline=None, max_examples=300)
@given(before=st.text(max_size=20), behind=st.text(max_size=20), levels=st.integers(1, 3), sizes=CUTS)
@example(before=': "', behind='"', levels=1, sizes=[])
@example(before="", behind="", levels=2, sizes=[])
@example(before="[", behind="]", levels=3, sizes=[])
def test_text_about_data_urls_is_never_touched(before: str, behind: str, levels: int, sizes: list[int]) -> None:
    """A data URL that is quoted inside a string, or stands in JSON inside JSON, is text and no span."""
    text = f'{before}"{URL.decode()}"{behind}'
    for _ in range(levels):
        text = json.dumps({"text": text, "list": [text]})
    assert [] == found(text.encode(), sizes)


# Whole texts


def test_bare_data_url_is_taken_whole() -> None:
    """A text that is one data URL has one span, in its own offsets; a ref in it is found from str and bytes."""
    (span,) = scan_text(URL)
    assert TEXT == URL[span.start : span.end]
    assert [REF] == find_refs(PNG_REF)
    assert [REF] == find_refs(PNG_REF.decode())


@pytest.mark.parametrize("behind", [b'"', b'"]', b" ", b'","' + PNG_REF, b"\n"])
def test_bare_data_url_with_anything_behind_is_none(behind: bytes) -> None:
    """A text that begins as a data URL and goes on is no ref."""
    assert [] == find_refs(PNG_REF + behind)


def test_refs_of_a_cell_in_their_order() -> None:
    """`find_refs` gives every ref of a cell, a repeated one again, and nothing else."""
    other = Ref("01" * 32, 5)
    text = reference_text("application/pdf", other) or b""
    cell = (
        b'{"a":"'
        + PNG_REF
        + b'","b":["'
        + URL
        + b'","data:application/pdf;base64,'
        + text
        + b'"],"c":"'
        + PNG_REF
        + b'"}'
    )
    assert [REF, other, REF] == find_refs(cell)
    assert [REF, other, REF] == find_refs(cell.decode())
    assert [] == find_refs(json.dumps({"text": cell.decode()}))
    assert [] == find_refs("")
    assert [REF] == find_refs('{"\ud800":"' + PNG_REF.decode() + '"}')


@pytest.mark.parametrize("kind", [*CARRIERS, "text/plain"])
@pytest.mark.parametrize("step", [1, 7, 100, 10**6])
def test_a_bare_ref_is_found_where_it_may_stand(kind: str, step: int) -> None:
    """A ref that is a whole JSON string and no data URL is found in pieces of any size, but only when asked for."""
    ref = Ref("ab" * 32, 5)
    bare = (reference_text(kind, ref) or b"").decode()
    url = f"data:{kind};base64,{bare}"
    cell = json.dumps({"a": bare, "files": [{"data": bare, "uri": url}, url, bare], "b": f"no {bare}"}).encode()
    pieces = [cell[at : at + step] for at in range(0, len(cell), step)]

    found = [span for span in scan(pieces, hashing=False, bare_refs=True) if isinstance(span, RefSpan)]

    assert [ref] * 5 == [span.ref for span in found]
    assert [bare.encode()] * 5 == [cell[span.start : span.end] for span in found]
    assert {kind} == {span.mime for span in found}
    assert 2 == sum(isinstance(span, RefSpan) for span in scan(pieces, hashing=False))


@pytest.mark.parametrize(
    "text",
    [
        '{"a": "x%s"}',
        '{"a": "%sAAAA"}',
        '{"a": "\\"%s\\""}',
        '{"a": "%s',
        "%s",
        '"%s"',
        '{"a": "AAAA%s"}',
        '{"%s',
    ],
)
def test_what_is_no_whole_string_is_no_bare_ref(text: str) -> None:
    """A ref's base64 within a longer text, behind an escaped quote or without an end is left alone."""
    bare = (reference_text("image/png", Ref("ab" * 32, 5)) or b"").decode()
    cell = (text % bare).encode()

    for step in (1, 10**6):
        pieces = [cell[at : at + step] for at in range(0, len(cell), step)]
        assert [] == [span for span in scan(pieces, hashing=False, bare_refs=True) if isinstance(span, RefSpan)]
