"""Marks that machines publish for each other: which blobs the databases of one machine named at one time.

    one line of JSON     database id, when the mark was begun, how many digests
    32 bytes each        the digests, ordered
    32 bytes             BLAKE3 of all before

A machine cannot read another one's files. It may take a blob away by a published mark all the same, if that is
younger than the blob's whole grace: what was put or named anew after it does not lie in the trash.
"""

import json
import os
import tempfile
from dataclasses import dataclass
from typing import BinaryIO, Final

from ocblob.backends.base import Backend
from ocblob.digest import Hasher
from ocblob.errors import DeletionRefusedError, ObjectNotFoundError
from ocblob.marks import Marks

PREFIX: Final = "marks/"
_DIGEST_BYTES: Final = 32
_READ_DIGESTS: Final = 32_768
_HEADER_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class PublishedMark:
    """What a machine said of one of its databases."""

    taken_at: float
    """By the earlier of two clocks, the machine's and the store's; seconds since the epoch."""
    digests: int


def publish(backend: Backend, database_id: str, marks: Marks, *, taken_at: float) -> None:
    """Put the mark of one database where other machines find it. Memory does not grow with it."""
    with tempfile.TemporaryFile(prefix="ocblob-mark-") as file:
        hasher = Hasher()
        body = 0
        with tempfile.TemporaryFile(prefix="ocblob-mark-") as digests:
            for digest in marks.digests():
                body += digests.write(digest)
            header = {"database": database_id, "taken_at": int(taken_at), "digests": body // _DIGEST_BYTES}
            _append(file, json.dumps(header).encode() + b"\n", hasher)
            digests.seek(0)
            while chunk := digests.read(_READ_DIGESTS * _DIGEST_BYTES):
                _append(file, chunk, hasher)
        file.write(hasher.digest())
        size = file.seek(0, os.SEEK_END)
        file.seek(0)
        backend.put(f"{PREFIX}{database_id}", file, size=size)


def read_published(backend: Backend, database_id: str, marks: Marks) -> PublishedMark | None:
    """Add what a machine published of a database to the marks; None if it has not published anything yet.

    Raises `DeletionRefusedError` if it is not whole.
    """
    key = f"{PREFIX}{database_id}"
    anew = "`ocblob prune` on its machine writes it anew"
    broken = DeletionRefusedError(f"{backend.url}: {key} is damaged", hint=anew)
    try:
        modified = backend.stat(key).modified
        file = backend.open(key)
    except ObjectNotFoundError:
        return None
    with file:
        line = _line(file)
        hasher = Hasher(line)
        try:
            header = json.loads(line)
            taken_at, count = float(header["taken_at"]), int(header["digests"])
        except (ValueError, KeyError, TypeError) as error:
            raise broken from error
        left = count * _DIGEST_BYTES
        while left:
            chunk = _exactly(file, min(left, _READ_DIGESTS * _DIGEST_BYTES))
            if not chunk or len(chunk) % _DIGEST_BYTES:
                raise broken
            hasher.update(chunk)
            marks.add_digests(chunk[at : at + _DIGEST_BYTES] for at in range(0, len(chunk), _DIGEST_BYTES))
            left -= len(chunk)
        if _exactly(file, _DIGEST_BYTES + 1) != hasher.digest():
            raise broken
    return PublishedMark(min(taken_at, modified), count)


def _append(file: BinaryIO, data: bytes, hasher: Hasher) -> None:
    file.write(data)
    hasher.update(data)


def _line(file: BinaryIO) -> bytes:
    line = b""
    while len(line) < _HEADER_BYTES_MAX and (byte := file.read(1)):
        line += byte
        if byte == b"\n":
            break
    return line


def _exactly(file: BinaryIO, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := file.read(size - len(data))):
        data += more
    return data
