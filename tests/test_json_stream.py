"""A JSON object is told from anything else, whatever pieces it comes in."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocblob.json_stream import JsonObject

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def is_object(text: bytes, piece: int) -> bool:
    """What is said of a text that comes in pieces of this size."""
    check = JsonObject()
    for start in range(0, len(text), piece):
        check.feed(text[start : start + piece])
    return check.close()


def _no_constant(name: str) -> None:
    raise ValueError(name)


def parsed(text: bytes) -> bool:
    """What the standard library says."""
    try:
        return isinstance(json.loads(text.decode("latin-1"), parse_constant=_no_constant), dict)
    except ValueError:
        return False


@given(
    st.dictionaries(st.text(), JSON, min_size=1), st.integers(1, 50), st.integers(0, 10_000),
    st.sampled_from([b"", b'"', b",", b":", b"{", b"}", b"[", b"]", b"\\", b"0", b"-", b"e", b" ", b"\n", b"\xff"]),
)  # fmt: skip
def test_it_agrees_with_a_parser(value: dict[str, object], piece: int, at: int, change: bytes) -> None:
    """Of a text, and of one with a character changed, it says what the parser says."""
    text = json.dumps(value, ensure_ascii=at % 2 == 0, indent=at % 3 or None).encode("utf-8", "surrogatepass")
    at %= len(text)
    changed = text[:at] + change + text[at + 1 :]

    assert is_object(text, piece)
    assert parsed(changed) == is_object(changed, piece)


@pytest.mark.parametrize("piece", [1, 2, 1000])
@pytest.mark.parametrize(
    "text",
    [b"", b" ", b"1",
     b'"x"', b"[]", b"{", b"{}}", b"{} x", b'{"a"}', b'{"a":}', b'{"a":1,}', b'{"a":[1,]}', b'{"a":tru}',
     b'{"a":01}', b'{"a":NaN}', b'{"a":"\\q"}', b'{"a":"\\u12"}', b'{"a":"\n"}', b'{"a":1 2}', b"{]", b'{"a":[}]',
     b'{"a":' + b"1" * 5000],
)  # fmt: skip
def test_what_is_none_is_refused(text: bytes, piece: int) -> None:
    """Broken text, other values, and what follows an object."""
    assert not is_object(text, piece)


def test_a_deep_object_is_one() -> None:
    """However many brackets are open."""
    deep = 100_000

    assert is_object(b'{"a":' * deep + b"{}" + b"}" * deep, 4096)
