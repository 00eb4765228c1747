"""Reading blobs: always verified, from wherever the store still holds them.

What comes out as success hashes to the digest. "Missing" is only said when every place has answered that it
has no such object; no answer is `StoreUnavailableError`.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import BinaryIO

from ocblob import codec
from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.errors import (
    BackendError,
    BlobCorruptError,
    BlobError,
    BlobExpiredError,
    BlobMissingError,
    ObjectNotFoundError,
    StoreError,
    StoreUnavailableError,
)
from ocblob.store.layout import OBJECTS, QUARANTINE, TOMBSTONES, TRASH, get_json, object_key, trash_key
from ocblob.store.stream import BlobStream


class Reader:
    """Gives out the blobs of one backend. Needs no catalog and nothing writable."""

    def __init__(self, backend: Backend, *, on_corrupt: Callable[[str], None] | None = None) -> None:
        self._backend = backend
        self._on_corrupt = on_corrupt
        """Called before a corrupt object is moved; None if this store is not ours to change."""

    def chunks(self, digest: str) -> Iterator[bytes]:
        """The blob in pieces of up to 1 MiB; an end without an error means that all of it was true.

        Raises `BlobMissingError`, `BlobExpiredError`, `BlobCorruptError` or `BackendError`. A copy that turns out
        bad before anything was handed out is quarantined and the next one is read.
        """
        damage: BlobCorruptError | None = None
        for key, file in self._copies(digest):
            handed_out = False
            with file:
                try:
                    for chunk in codec.decode(file, digest=digest):
                        handed_out = True
                        yield chunk
                except BlobCorruptError as error:
                    self._quarantine(digest, key, file)
                    if handed_out:
                        raise
                    damage = error
                except OSError as error:
                    raise StoreUnavailableError(f"{self._backend.url}: {key}: {error.strerror}") from error
                else:
                    return
        raise damage or self._absent(digest)

    def read(self, digest: str) -> bytes:
        """The whole blob; a bad copy is quarantined and the next one is read. Raises as `chunks` does."""
        damage: BlobCorruptError | None = None
        for key, file in self._copies(digest):
            with file:
                try:
                    chunks = list(codec.decode(file, digest=digest))
                except BlobCorruptError as error:
                    self._quarantine(digest, key, file)
                    damage = error
                except OSError as error:
                    raise StoreUnavailableError(f"{self._backend.url}: {key}: {error.strerror}") from error
                else:
                    return chunks[0] if len(chunks) == 1 else b"".join(chunks)
        raise damage or self._absent(digest)

    def open(self, digest: str) -> BlobStream:
        """A seekable stream of the blob. Raises as `chunks` does, damage at the latest at the stream's end."""
        damage: BlobCorruptError | None = None
        for key, file in self._copies(digest):
            try:
                return BlobStream(file, digest, partial(self._quarantine, digest, key, file))
            except BlobCorruptError as error:
                self._quarantine(digest, key, file)
                file.close()
                damage = error
            except BaseException:
                file.close()
                raise
        raise damage or self._absent(digest)

    def verify(self, digest: str) -> int:
        """Read the whole blob and forget it; return its size. Raises as `chunks` does."""
        return sum(len(chunk) for chunk in self.chunks(digest))

    def find(self, digest: str) -> str | None:
        """The key of the blob's object, live or in the trash; None if neither is there."""
        for key in self._places(digest):
            with contextlib.suppress(ObjectNotFoundError):
                return self._backend.stat(key).key
        return None

    def _copies(self, digest: str) -> Iterator[tuple[str, BinaryIO]]:
        """Every copy that there is, opened; the caller closes it."""
        for key in self._places(digest):
            with contextlib.suppress(ObjectNotFoundError):
                yield key, self._backend.open(key)

    def _absent(self, digest: str) -> BlobError:
        """Why no copy is there."""
        try:
            tombstone = get_json(self._backend, f"{TOMBSTONES}{digest}.json")
        except ObjectNotFoundError:
            for stat in self._backend.scan(QUARANTINE):
                if stat.key.startswith(f"{QUARANTINE}{digest}."):
                    where = f"{self._backend.url}: {stat.key}"
                    return BlobMissingError(f"blob {digest} is gone; a damaged copy is in {where}", digest=digest)
            return BlobMissingError(f"blob {digest} is not in the store {self._backend.url}", digest=digest)
        policy, when = tombstone.get("policy", "policy"), tombstone.get("when", "an unknown day")
        return BlobExpiredError(f"blob {digest} was dropped by {policy} on {when}", digest=digest, tombstone=tombstone)

    def _places(self, digest: str) -> Iterator[str]:
        """Where the object may be. The live place twice: a blob may be revived while we look through the trash."""
        yield object_key(digest)
        for generation in self.generations():
            yield trash_key(generation, digest)
        yield object_key(digest)

    def generations(self) -> list[str]:
        """The trash's generations, newest first."""
        if isinstance(self._backend, LocalBackend):
            try:
                names = [entry.name for entry in self._backend.path(TRASH.rstrip("/")).iterdir()]
            except FileNotFoundError:
                return []
            except OSError as error:
                raise StoreUnavailableError(f"{self._backend.url}: {TRASH}: {error.strerror}") from error
            return sorted(names, reverse=True)
        return sorted({stat.key.split("/")[1] for stat in self._backend.scan(TRASH)}, reverse=True)

    def _quarantine(self, digest: str, key: str, file: BinaryIO) -> None:
        """Move a corrupt object away, if it is still the very file that was read."""
        if self._on_corrupt is None:
            return
        with contextlib.suppress(BackendError, OSError):
            if isinstance(self._backend, LocalBackend) and not os.path.samestat(
                os.fstat(file.fileno()), self._backend.path(key).stat()
            ):
                return
            # State first; but a damaged catalog must not hide that the object is damaged.
            with contextlib.suppress(StoreError):
                if key.startswith(OBJECTS):
                    self._on_corrupt(digest)
            target = f"{QUARANTINE}{digest}.{time.time_ns():x}"
            self._backend.move(key, target)
            self._backend.sync([key, target])
