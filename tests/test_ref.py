import base64
import json
import re

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocblob.placeholders import ALIASES, CARRIERS, MARKER_BYTES_MAX, build
from ocblob.ref import (
    MARKER,
    MARKER_BASE64,
    REF_CHARS_MAX,
    Ref,
    marker_line,
    parse_base64,
    parse_placeholder,
)
from ocblob.rewrite import reference_text

DIGEST = "9c" * 32
SIZE_MAX = 2**53 - 1
"""No attachment is larger; what claims more is no ref, and never reaches a counter of 64 bits."""
NAMES = sorted([*CARRIERS, *ALIASES, "text/plain", "application/zip", ""])

DIGESTS = st.binary(min_size=32, max_size=32).map(bytes.hex)
KEYS = st.from_regex(r"[a-z][a-z0-9_-]{0,7}", fullmatch=True).filter(lambda key: "--" not in key)
VALUES = st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=12).filter(
    lambda value: "--" not in value
)
PAIRS = st.lists(st.tuples(KEYS, VALUES), max_size=3).map(tuple)
REFS = st.builds(Ref, DIGESTS, st.integers(0, SIZE_MAX), PAIRS)


def text_of(line: bytes, *, before: bytes = b"", behind: bytes = b"") -> bytes:
    """The base64 text of a placeholder of a type without a carrier."""
    return base64.b64encode(before + line + behind)


@settings(deadline=None, max_examples=200)
@given(ref=REFS, mime=st.sampled_from(NAMES))
@example(ref=Ref(DIGEST, 0), mime="image/png")
@example(ref=Ref(DIGEST, SIZE_MAX, (("store", "3f2a9c01"),)), mime="application/pdf")
def test_round_trip_in_every_carrier(ref: Ref, mime: str) -> None:
    """A ref with any further pairs comes back from the placeholder of every type, strictly and as base64."""
    text = reference_text(mime, ref)
    assert text is not None
    assert ref == parse_base64(text)
    assert ref == parse_placeholder(base64.b64decode(text))


@settings(deadline=None)
@given(ref=REFS, mime=st.sampled_from(NAMES))
def test_every_ref_contains_the_constant_text(ref: Ref, mime: str) -> None:
    """`instr()` and grep find every ref by one text, and a carrier without a preview stays below 2 KiB."""
    text = reference_text(mime, ref)
    assert text is not None
    assert base64.b64encode(b"ocblob/1 ") == MARKER_BASE64
    assert 1 == text.count(b"b2NibG9iLzEg")
    assert len(base64.b64decode(text)) < 2048


def test_marker_line_is_the_documented_one() -> None:
    """The marker reads `ocblob/1 <digest> <size> store=<8 hex>` and a line end."""
    ref = Ref(DIGEST, 1234, (("store", "3f2a9c01"), ("new", "x=y")))
    assert f"ocblob/1 {DIGEST} 1234 store=3f2a9c01 new=x=y\n".encode() == marker_line(ref)
    assert "3f2a9c01" == ref.store
    assert "" == Ref(DIGEST, 1).store


def test_longest_usual_marker_fits_every_carrier() -> None:
    """A ref of the largest size with its store's name leaves room for further pairs in every type."""
    assert len(marker_line(Ref(DIGEST, SIZE_MAX, (("store", "f" * 8),)))) <= MARKER_BYTES_MAX - 100


@pytest.mark.parametrize("at", [0, 3, 6, 300, 303])
def test_marker_at_a_multiple_of_3_is_a_ref(at: int) -> None:
    """Whatever stands before it and behind it, one marker line at a multiple of 3 is a ref."""
    line = marker_line(Ref(DIGEST, 5))
    assert Ref(DIGEST, 5) == parse_placeholder(b"\xff" * at + line + b"behind\n")


@pytest.mark.parametrize("at", [1, 2, 4, 5, 301, 302])
def test_marker_elsewhere_is_none(at: int) -> None:
    """A marker that base64 would not show in its constant text is not a ref."""
    assert parse_placeholder(b" " * at + marker_line(Ref(DIGEST, 5))) is None


@pytest.mark.parametrize(
    "line",
    [
        f"ocblob/1 {DIGEST} 5",
        f"ocblob/1 {DIGEST} 5\r\n",
        f"ocblob/1 {DIGEST} 5 \n",
        f"ocblob/1 {DIGEST} 5 store\n",
        f"ocblob/1 {DIGEST} 5  store=1\n",
        f"ocblob/1 {DIGEST} 5 =1\n",
        f"ocblob/1 {DIGEST} 5 Store=1\n",
        f"ocblob/1 {DIGEST} 5 store=\t\n",
        f"ocblob/1 {DIGEST} 5 store=\u00e4\n",
        f"ocblob/1 {DIGEST} 05\n",
        f"ocblob/1 {DIGEST} +5\n",
        f"ocblob/1 {DIGEST} -5\n",
        f"ocblob/1 {DIGEST} 5.0\n",
        f"ocblob/1 {DIGEST} 0x5\n",
        f"ocblob/1 {DIGEST} five\n",
        f"ocblob/1 {DIGEST} \u0665\n",
        f"ocblob/1 {DIGEST} 99999999999999999999\n",
        f"ocblob/1 {DIGEST} {2**63}\n",
        f"ocblob/1 {DIGEST} {2**64 - 1}\n",
        f"ocblob/1 {DIGEST}\n",
        f"ocblob/1 {DIGEST} \n",
        f"ocblob/1 {DIGEST}  5\n",
        f"ocblob/1  {DIGEST} 5\n",
        f"ocblob/1 {DIGEST.upper()} 5\n",
        f"ocblob/1 {DIGEST[:-1]} 5\n",
        f"ocblob/1 {DIGEST}0 5\n",
        f"ocblob/1 {DIGEST[:-1]}g 5\n",
        f"ocblob/2 {DIGEST} 5\n",
        f"ocblob/1.0 {DIGEST} 5\n",
        f"Ocblob/1 {DIGEST} 5\n",
        f"ocblob/1\t{DIGEST} 5\n",
        "ocblob/1 \n",
        "ocblob/1 ",
        "",
    ],
)
def test_no_other_line_is_a_ref(line: str) -> None:
    """A ref has one valid form; what differs from it by a byte is left alone."""
    assert parse_placeholder(line.encode()) is None
    assert parse_base64(text_of(line.encode())) is None
    assert parse_base64(text_of(b"   " + line.encode() + b"   ")) is None


@settings(deadline=None, max_examples=300)
@given(ref=REFS, at=st.integers(0, 300), char=st.integers(0, 255))
def test_a_changed_byte_is_no_ref_or_another_one(ref: Ref, at: int, char: int) -> None:
    """One changed byte of the line never gives the ref that was there, and what parses prints as it stands."""
    line = bytearray(marker_line(ref))
    at %= len(line)
    if line[at] != char:
        line[at] = char
        found = parse_placeholder(bytes(line))
        assert ref != found
        assert found is None or bytes(line).startswith(marker_line(found))


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=60), digest=DIGESTS)
def test_no_bytes_crash_the_parser(data: bytes, digest: str) -> None:
    """What follows a marker may be anything: it is a ref that prints as it stands, or it is none."""
    for placeholder in (data, MARKER + data, MARKER + digest.encode() + b" " + data):
        ref = parse_placeholder(placeholder)
        assert ref is None or placeholder.startswith(marker_line(ref))


def test_two_markers_are_no_ref() -> None:
    """A placeholder that names two blobs, or says `ocblob/1 ` once more anywhere, is left alone."""
    line = marker_line(Ref(DIGEST, 5))
    assert parse_placeholder(line + line) is None
    assert parse_placeholder(line + b"xx" + MARKER) is None
    assert parse_placeholder(MARKER + line) is None
    assert parse_placeholder(b"x" + MARKER + line) is None


@pytest.mark.parametrize("mime", ["image/png", "text/plain"])
def test_base64_must_be_canonical(mime: str) -> None:
    """A ref's text with loose bits, missing or wrong padding, white space or escapes is not a ref."""
    ref = next(Ref(DIGEST, size) for size in (1, 10, 100) if text_is_padded(mime, Ref(DIGEST, size)))
    text = reference_text(mime, ref)
    assert text is not None
    bare = text.rstrip(b"=")
    loose = bare[:-1] + bytes([bare[-1] + 1]) + text[len(bare) :]
    assert base64.b64decode(text) == base64.b64decode(loose)
    for other in (
        loose,
        bare,
        text + b"=",
        text + b"====",
        text + b"\n",
        b" " + text,
        b"\\" + text[1:],
    ):
        assert parse_base64(other) is None


def text_is_padded(mime: str, ref: Ref) -> bool:
    """Whether the ref's text ends with padding."""
    text = reference_text(mime, ref)
    return text is not None and text.endswith(b"=")


def test_largest_placeholder_is_a_ref_and_a_larger_one_is_not() -> None:
    """A placeholder with a preview may have 8 KiB; a longer text is not looked at."""
    line = marker_line(Ref(DIGEST, 5))
    assert Ref(DIGEST, 5) == parse_base64(text_of(line, behind=bytes(8192 - len(line))))
    assert parse_base64(text_of(line, behind=bytes(8194 - len(line)))) is None
    assert 10924 == REF_CHARS_MAX


@pytest.mark.parametrize(("digest", "size"), [(DIGEST.upper(), 5), (DIGEST[:-1], 5), ("", 5), (DIGEST, -1)])
def test_refuses_to_make_what_would_not_parse(digest: str, size: int) -> None:
    """A `Ref` with a digest or a size that no marker can say does not come to be."""
    with pytest.raises(ValueError, match="not a ref"):
        Ref(digest, size)


def test_refs_are_values() -> None:
    """Refs of the same parts are equal and hash alike, so that they can be counted."""
    assert 1 == len({Ref(DIGEST, 5, (("store", "1"),)), Ref(DIGEST, 5, (("store", "1"),))})
    assert Ref(DIGEST, 5) != Ref(DIGEST, 6)


def test_ref_needs_no_escapes_in_json() -> None:
    """A ref's data URL stands in JSON as it is: a standard encoder changes no byte of it."""
    text = reference_text("image/png", Ref(DIGEST, 5))
    assert text is not None
    url = "data:image/png;base64," + text.decode()
    assert f'"{url}"' == json.dumps(url)
    assert re.fullmatch(r"[A-Za-z0-9+/]+={0,2}", text.decode())


def test_image_without_a_carrier_has_no_ref() -> None:
    """An image type that no placeholder exists for has no ref, so it stays inline."""
    assert reference_text("image/heic", Ref(DIGEST, 5)) is None
    assert build("image/heic", marker_line(Ref(DIGEST, 5))) is None
