import base64
import string

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ocblob import base64stream
from ocblob.base64stream import Base64Decoder, NotCanonicalError, encoded_size

ALPHABET = (string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/").encode()
TEXTS = st.lists(st.sampled_from([*ALPHABET, *b"==="]), max_size=40).map(bytes)


def cut(data: bytes, sizes: list[int]) -> list[bytes]:
    """The same bytes in pieces: of these sizes, and one of what is left."""
    pieces = []
    for size in sizes:
        pieces.append(data[:size])
        data = data[size:]
    return [*pieces, data]


def canonical(text: bytes) -> bytes | None:
    """What the text decodes to, if encoding that gives the text again."""
    try:
        data = base64.b64decode(text, validate=True)
    except ValueError:
        return None
    return data if base64.b64encode(data) == text else None


def decoded(pieces: list[bytes]) -> bytes | None:
    """What the stream makes of the pieces; None if it refuses them."""
    try:
        return b"".join(base64stream.decode(pieces))
    except NotCanonicalError:
        return None


@settings(deadline=None)
@given(data=st.binary(max_size=300), sizes=st.lists(st.integers(0, 50), max_size=30))
def test_round_trip_in_any_pieces(data: bytes, sizes: list[int]) -> None:
    """Bytes cut anywhere encode to the standard text, and the text cut anywhere decodes to the bytes."""
    text = base64.b64encode(data)
    assert text == b"".join(base64stream.encode(cut(data, sizes)))
    assert data == decoded(cut(text, sizes))


@settings(deadline=None, max_examples=300)
@given(text=TEXTS, sizes=st.lists(st.integers(0, 5), max_size=20))
@example(text=b"QQ==QQ==", sizes=[])
@example(text=b"QQ==QQ==", sizes=[4])
@example(text=b"QR==", sizes=[1, 1, 1])
@example(text=b"QUF=", sizes=[3])
@example(text=b"====", sizes=[])
@example(text=b"Q===", sizes=[])
@example(text=b"QUFB=", sizes=[4])
@example(text=b"=", sizes=[])
def test_decodes_exactly_the_canonical_texts(text: bytes, sizes: list[int]) -> None:
    """Text is decoded if and only if encoding its bytes gives it back, wherever it is cut."""
    assert canonical(text) == decoded(cut(text, sizes))


@settings(deadline=None)
@given(data=st.binary(min_size=1, max_size=90), at=st.integers(0, 119), char=st.integers(0, 255))
def test_one_wrong_character_is_another_text_or_refused(data: bytes, at: int, char: int) -> None:
    """A changed character never decodes to the bytes that were there before, whatever the character."""
    text = bytearray(base64.b64encode(data))
    at %= len(text)
    if text[at] != char:
        text[at] = char
        assert data != decoded([bytes(text)])


@pytest.mark.parametrize(
    "text",
    [
        b"QUF_", b"QU-B", b"QUFB\n", b"QU\nFB", b"QUFB ", b" QUFB", b"QUFB\r\nQUFB", b"QUF", b"QU", b"Q", b"QU=B",
        b"QUFB====", b"QQ=", b"QQ", b"=QUF", b"QUF\xc3", b"QUF\0", b"QUF\\", b"QUE=QUE=", b"QR==", b"QUJ=",
        b"QUFBQQ=\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 100])
def test_refuses_what_encoding_would_not_give(text: bytes, size: int) -> None:
    """Another alphabet, white space, missing or early padding and loose bits are refused in pieces of any size."""
    pieces = [text[at : at + size] for at in range(0, len(text), size)]
    with pytest.raises(NotCanonicalError):
        list(base64stream.decode(pieces))


def test_refuses_loose_bits_at_every_last_character() -> None:
    """Of the 64 characters that may stand before the padding, only those with zero trailing bits are taken."""
    taken = [char for char in ALPHABET if decoded([b"Q" + bytes([char]) + b"=="]) is not None]
    assert sorted(b"AQgw") == sorted(taken)
    taken = [char for char in ALPHABET if decoded([b"QQ" + bytes([char]) + b"="]) is not None]
    assert sorted(b"AEIMQUYcgkosw048") == sorted(taken)


def test_padding_ends_the_text_in_every_piece() -> None:
    """Nothing may follow the padding, in the same piece or in a later one, not even more padding."""
    for rest in (b"QUFB", b"=", b"====", b"Q"):
        assert decoded([b"QQ==" + rest]) is None
        assert decoded([b"QQ==", rest]) is None
        assert decoded([b"QQ=", b"=", *(bytes([char]) for char in rest)]) is None


def test_empty_text_is_no_bytes() -> None:
    """No text, and any number of empty pieces, decode and encode to nothing."""
    assert [] == list(base64stream.decode([]))
    assert [] == list(base64stream.decode([b"", b""]))
    assert [] == list(base64stream.encode([b"", b""]))


def test_decoder_gives_each_group_as_soon_as_it_is_whole() -> None:
    """At most three characters wait between pieces: the bytes so far never lag by a group."""
    text = base64.b64encode(bytes(range(60)))
    decoder = Base64Decoder()
    got = b""
    for at, char in enumerate(text, start=1):
        got += decoder.feed(memoryview(bytes([char])))
        assert bytes(range(at // 4 * 3)) == got
    decoder.close()


@pytest.mark.parametrize("carry", [0, 1, 2, 3])
@pytest.mark.parametrize("padding", [0, 1, 2])
def test_large_pieces_after_a_carry(carry: int, padding: int) -> None:
    """A megabyte behind up to three waiting characters decodes whole, with any padding."""
    data = bytes(range(256)) * 3072 + b"x" * (3 - padding)
    text = base64.b64encode(data)
    assert padding == text.count(b"=")
    assert data == decoded([text[:carry], text[carry:]])


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 5, 6, 299, 300, 301, 10**12])
def test_encoded_size_counts_the_padding(size: int) -> None:
    """The size of a text is told without making it: four characters for every three bytes begun."""
    expected = len(base64.b64encode(bytes(size))) if size < 1000 else 1_333_333_333_336
    assert expected == encoded_size(size)


def test_error_is_a_value_error() -> None:
    """Who knows nothing of this module may catch what it refuses as any decoder's error."""
    with pytest.raises(ValueError, match="multiple of 4"):
        list(base64stream.decode([b"QUFBQ"]))
