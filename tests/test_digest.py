import pytest
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st

from ocblob.digest import DIGEST_HEX_CHARS, HASH_NAME, Hasher, check_digest, digest_of, is_digest
from ocblob.errors import UsageError

EMPTY = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
"""BLAKE3 of no bytes, as its specification's test vectors have it."""
THREE = "e1be4d7a8ab5560aa4199eea339849ba8e293d55ca0a81006726d184519e647f"
"""Of bytes 0, 1, 2, from the same vectors."""


def test_is_blake3_of_the_test_vectors() -> None:
    """Digests are those that the hash's authors publish, so other tools can check a store."""
    assert EMPTY == digest_of(b"")
    assert THREE == digest_of(bytes(range(3)))
    assert "blake3-256" == HASH_NAME


@settings(deadline=None)
@given(data=st.binary(max_size=5000), at=st.integers(0, 5000))
def test_pieces_hash_as_the_whole(data: bytes, at: int) -> None:
    """A hasher fed in pieces gives the digest of the whole, for bytes of any type."""
    hasher = Hasher()
    hasher.update(data[:at])
    hasher.update(memoryview(data)[at:])
    assert digest_of(data) == hasher.hexdigest()
    assert digest_of(bytearray(data)) == digest_of(memoryview(data))
    assert blake3(data).hexdigest() == digest_of(data)


@settings(deadline=None)
@given(data=st.binary(max_size=64))
def test_every_digest_is_one(data: bytes) -> None:
    """What is made here passes the check, and comes back unchanged from it."""
    digest = digest_of(data)
    assert DIGEST_HEX_CHARS == len(digest)
    assert is_digest(digest)
    assert digest == check_digest(digest)


@pytest.mark.parametrize(
    "text",
    [
        "", EMPTY[:-1], EMPTY + "0", EMPTY.upper(), EMPTY[:-1] + "g", EMPTY + "\n", "\n" + EMPTY[1:], " " + EMPTY[1:],
        "0x" + EMPTY[2:], EMPTY[:32] + "/" + EMPTY[33:], "../" + EMPTY[3:], EMPTY[:-1] + "\u0663", "\uff41" + EMPTY[1:],
        EMPTY[:-1] + "\0",
    ],
)  # fmt: skip
def test_refuses_every_other_form(text: str) -> None:
    """Upper case, other lengths, line ends, paths and foreign digits are no digest and never reach a path."""
    assert not is_digest(text)
    with pytest.raises(UsageError, match="not a digest"):
        check_digest(text)


def test_error_does_not_repeat_a_long_text() -> None:
    """A whole attachment given by mistake is not printed back."""
    with pytest.raises(UsageError) as caught:
        check_digest("x" * 100_000)
    assert len(str(caught.value)) < 200
