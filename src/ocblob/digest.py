"""BLAKE3-256 digests: the names of blobs, 64 lower-case hex digits of the decoded, uncompressed bytes."""

import re
from typing import Final

from blake3 import blake3

from ocblob.errors import UsageError

DIGEST_HEX_CHARS: Final = 64
HASH_NAME: Final = "blake3-256"

Hasher = blake3
"""A hasher with `update(data)` and `hexdigest()`; it gives the interpreter free while it works."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether `text` is a digest in its one valid form."""
    return _DIGEST.fullmatch(text) is not None


def check_digest(text: str) -> str:
    """Return `text` if it is a digest.

    Raises `UsageError` otherwise, before it can become part of a path.
    """
    if not is_digest(text):
        raise UsageError(f"not a digest (64 lower-case hex digits): {text[:80]!r}")
    return text


def digest_of(data: bytes | bytearray | memoryview) -> str:
    """The digest of bytes that are in memory anyway."""
    return blake3(data).hexdigest()


def short_hash(data: bytes | bytearray | memoryview) -> bytes:
    """8 bytes of BLAKE3: enough to notice damage, not to name anything."""
    return blake3(data).digest(8)
