import base64
import json
import random
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocblob.digest import digest_of
from ocblob.json_text import is_json
from ocblob.placeholders import CARRIERS
from ocblob.ref import Ref, parse_base64
from ocblob.rewrite import (
    KEPT_BYTES_MAX,
    OffloadPlan,
    Replacement,
    reference_text,
    splice,
    spliced_size,
)
from ocblob.scan import PayloadSpan, Reason, RefSpan, scan
from odd_cells import CELLS, PIECE_BYTES, STORE, TALK, OddCell, Reader, documents, part, planned, url

NOISE = random.Random(5).randbytes(9000)


def put_back(cell: bytes, content: bytes, plan: OffloadPlan) -> bytes:
    """The new content with every ref to a moved payload replaced by that payload's text from the old cell."""
    texts = {span.digest: cell[span.start : span.end] for span in plan.payloads}
    back, at = list[bytes](), 0
    for span in scan([content], hashing=False):
        if isinstance(span, RefSpan) and span.ref.digest in texts:
            back += [content[at : span.start], texts[span.ref.digest]]
            at = span.end
    return b"".join([*back, content[at:]])


@pytest.mark.parametrize("odd", CELLS, ids=lambda odd: odd.name)
def test_plan_of_every_odd_cell(odd: OddCell) -> None:
    """Of each odd cell exactly what is expected moves, and the others stay for the expected reasons."""
    plan = planned(odd.data)
    assert odd.moves == len(plan.payloads)
    assert Counter(odd.stays) == plan.inline
    assert odd.refs == plan.refs
    assert (odd.moves > 0) == (plan.content != b"")


@pytest.mark.parametrize("odd", [odd for odd in CELLS if odd.moves], ids=lambda odd: odd.name)
def test_new_content_of_every_odd_cell(odd: OddCell) -> None:
    """The new content is smaller, is JSON if the old one was, gives the old one back, and has nothing left to move."""
    plan = planned(odd.data)
    assert len(plan.content) < len(odd.data)
    assert odd.data == put_back(odd.data, plan.content, plan)
    again = planned(plan.content)
    assert ((), odd.moves + odd.refs) == (again.payloads, again.refs)
    assert set(again.inline) == set(odd.stays)


@pytest.mark.parametrize("odd", [odd for odd in CELLS if len(odd.data) < 500_000], ids=lambda odd: odd.name)
def test_plan_is_the_same_in_any_pieces(odd: OddCell) -> None:
    """How a cell is read makes no difference to its plan, so plans can be compared."""
    assert planned(odd.data) == planned(odd.data, piece=4099)


def test_refs_stand_in_the_payloads_own_header() -> None:
    """Only the base64 is replaced: every other byte stays, and the ref names the bytes, their size and the store."""
    header = b"IMAGE/Png;name=a b.png;BASE64"
    cell = b'{ "url" :\t"' + url(1, header) + b'" , "rest":"\xff" }'
    plan = planned(cell)
    data = base64.b64decode(url(1).partition(b",")[2])
    ref = Ref(digest_of(data), len(data), (("store", STORE),))
    text = reference_text("image/png", ref)
    assert text is not None
    assert b'{ "url" :\t"data:' + header + b"," + text + b'" , "rest":"\xff" }' == plan.content
    (span,) = plan.payloads
    assert (ref.digest, ref.size) == (span.digest, span.size)


@pytest.mark.parametrize("mime", sorted(CARRIERS))
def test_placeholder_is_of_the_declared_type(mime: str) -> None:
    """A ref's placeholder is a file of the type that the header declares."""
    plan = planned(part(url(1, mime.encode() + b";base64")))
    (span,) = (span for span in scan([plan.content]) if isinstance(span, RefSpan))
    assert plan.content[span.start : span.end] == reference_text(mime, span.ref)
    assert mime == span.mime


def test_payload_that_would_not_get_smaller_stays() -> None:
    """Whatever the minimum, a payload moves only if its ref is shorter."""
    for chars in range(300, 480, 4):
        plan = planned(part(url(1, chars=chars)), min_chars=1)
        (text,) = {reference_text("image/png", Ref("0" * 64, chars // 4 * 3, (("store", STORE),)))}
        assert text is not None
        if chars > len(text):
            assert len(plan.content) == len(part(url(1, chars=chars))) - chars + len(text)
        else:
            assert {Reason.SMALL: 1} == plan.inline


def test_text_too_large_to_hold_stays_with_its_reason() -> None:
    """A cell whose text around its payloads is over the limit is left alone, whatever its payloads are."""
    words = TALK * (KEPT_BYTES_MAX // len(TALK) + 1)
    cell = b'["' + words + b'","' + url(1) + b'","' + url(2) + b'"]'
    plan = planned(cell)
    assert ((), b"") == (plan.payloads, plan.content)
    assert {Reason.KEPT_TEXT: 2} == plan.inline
    assert 2 == len(planned(cell.replace(words, words[: KEPT_BYTES_MAX - 10_000])).payloads)


def test_refused_cell_counts_its_payloads() -> None:
    """What stays because the cell is broken is counted like any other."""
    cell = b'["' + url(1) + b'"'

    assert {Reason.BROKEN_JSON: 1} == planned(cell).inline


@settings(deadline=None, max_examples=80)
@given(at=st.integers(0, 13_000), byte=st.integers(0, 255))
@example(at=30, byte=ord("A"))
def test_cells_that_differ_have_plans_that_differ(at: int, byte: int) -> None:
    """A change of any byte, in what stays or in what goes, makes another plan: nothing that moved goes unseen."""
    cell = b'{"a":"%b","url":"%b","b":[1,2]}' % (b"x" * 3000, url(1))
    at %= len(cell)
    other = cell[:at] + bytes([byte]) + cell[at + 1 :]
    assert (other == cell) == (planned(other) == planned(cell))


# Any JSON


@pytest.mark.many
@settings(deadline=None, max_examples=150)
@given(cell=documents(), min_chars=st.sampled_from([1, 400, 800]), piece=st.sampled_from([1, 17, 1000, PIECE_BYTES]))
def test_any_document_comes_back(cell: bytes, min_chars: int, piece: int) -> None:
    """For any JSON and any placement of payloads: the new content is JSON, and putting back gives the very bytes."""
    plan = planned(cell, min_chars, piece)
    if not plan.payloads:
        assert b"" == plan.content
        return
    assert json.loads(plan.content) != json.loads(cell)
    assert cell == put_back(cell, plan.content, plan)
    assert () == planned(plan.content, min_chars).payloads


# The parts


@settings(deadline=None)
@given(data=st.binary(max_size=60), cuts=st.lists(st.integers(0, 60), max_size=6), new=st.binary(max_size=9))
def test_splice_replaces_exactly_the_spans(data: bytes, cuts: list[int], new: bytes) -> None:
    """New bytes stand in the spans' places, all else is untouched, and the size is known beforehand."""
    at = sorted({min(cut, len(data)) for cut in cuts})
    spans = list(zip(at[::2], at[1::2], strict=False))
    replacements = [Replacement(start, end, len(new), lambda: (new[:2], new[2:])) for start, end in spans]
    expected = b""
    begin = 0
    for start, end in spans:
        expected += data[begin:start] + new
        begin = end
    expected += data[begin:]
    assert expected == b"".join(splice(Reader(data, piece=7), replacements))
    assert len(expected) == spliced_size(len(data), replacements)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"{}", True),
        (b' {"a":[1,-2.5e3,true,false,null,"x\\u0000\\ud800"]}\r\n', True),
        (b'"x"', True),
        (b'["\xff\xfe"]', True),
        (b"[" * 3000 + b"]" * 3000, True),
        (b'{"a":' * 3000 + b"1" + b"}" * 3000, True),
        (b'["' + b"x" * 1_100_000 + b'"]', True),
        (b'["' + b'\\\\\\"[{' * 200_000 + b'"]', True),
        (b'[ "' + b"x" * 1_100_000 + b'" , {"a":"b","c":[1,2.5e-3,null,true]} ]\n', True),
        (b"", False),
        (b" ", False),
        (b"{", False),
        (b"[1,]", False),
        (b"{a:1}", False),
        (b"['a']", False),
        (b"[NaN]", False),
        (b"[-Infinity]", False),
        (b"[1] [2]", False),
        (b"[1]\0", False),
        (b'["a\nb"]', False),
        (b'["\\x"]', False),
        (b"\xef\xbb\xbf[]", False),
        (b"[" * 3000 + b"]" * 2999, False),
        (b"[" * 3000 + b"]" * 3001, False),
        (b"[" * 3000 + b"}" * 3000, False),
        (b'["' + b"x" * 1_100_000 + b'"', False),
        (b'["' + b"x" * 1_100_000 + b'"]]', False),
        (b'["' + b"x" * 1_100_000 + b'"}', False),
        (b'["' + b"x" * 1_100_000 + b"]", False),
        (b'["' + b"x" * 1_100_000 + b'"] x', False),
        (b'x ["' + b"x" * 1_100_000 + b'"]', False),
        (b'["' + b"x" * 1_100_000 + b'"words]', False),
        (b'["' + b"x" * 1_100_000 + b'""y"]', False),
    ],
    ids=range(33),
)
def test_what_is_json(content: bytes, expected: bool) -> None:  # noqa: FBT001
    """JSON of any depth and size is told from what a host could not parse."""
    assert expected == is_json(content)


@settings(deadline=None)
@given(document=st.recursive(st.text(max_size=5), st.lists, max_leaves=8), size=st.sampled_from([0, 1_100_000]))
def test_any_dump_is_json(document: Any, size: int) -> None:
    """What Python's encoder writes is JSON, small or large; the same without its last byte is not."""
    content = json.dumps([document, "x" * size]).encode()
    assert is_json(content)
    assert not is_json(content[:-1])


def test_reference_text_is_a_ref() -> None:
    """The text that stands in a row parses as the ref it was made of, further pairs included."""
    ref = Ref("9c" * 32, 5, (("store", STORE), ("preview", "1")))
    text = reference_text("application/pdf", ref)
    assert text is not None
    assert ref == parse_base64(text)
    assert reference_text("image/heic", ref) is None


def test_plans_are_values() -> None:
    """Plans compare by what they hold, down to the digest of each payload."""
    plan = planned(part(url(1)))
    (span,) = plan.payloads
    other = replace(plan, payloads=(PayloadSpan(span.start, span.end, span.header, "0" * 64, span.size),))
    assert plan == planned(part(url(1)))
    assert plan != other
