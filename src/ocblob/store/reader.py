"""Reading blobs: always verified, from wherever the store still holds them.

What comes out as success hashes to the digest. "Missing" is only said when every place has answered that it
has no such object; no answer is `StoreUnavailableError`.
"""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import BinaryIO, Protocol, TypeVar

from ocblob import codec
from ocblob.backends.base import Backend
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
from ocblob.store.layout import OBJECTS, QUARANTINE, TRASH, get_json, object_key, tombstone_key, trash_key
from ocblob.store.stream import BlobStream
from ocblob.store.tier import Tier

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Found:
    """One copy of a blob, opened."""

    backend: Backend
    key: str
    file: BinaryIO


class Care(Protocol):
    """What a store does about what its reader finds; a store that is not ours to change does nothing."""

    def corrupt(self, digest: str) -> None:
        """Called before the store's own corrupt object is moved away."""

    def in_trash(self, digest: str, key: str) -> None:
        """A condemned blob was read."""

    def heal(self, digest: str, source: Found) -> None:
        """The store's own object was bad, and `source` has a good one."""


class Reader:
    """Gives out the blobs of one store. Needs no catalog and nothing writable."""

    def __init__(
        self,
        backend: Backend,
        *,
        tier: Tier | None = None,
        copies: Callable[[], Sequence[Backend]] = tuple,
        vouch: Callable[[Backend], None] = lambda _: None,
        care: Care | None = None,
    ) -> None:
        self._backend = backend
        self._vouch = vouch
        """Raises if a copy is not what was declared."""
        self._tier = tier
        self._copies_of_store = copies
        """Asked only when the store itself has nothing good."""
        self._care = care

    def chunks(self, digest: str) -> Iterator[bytes]:
        """The blob in pieces of up to 1 MiB; an end without an error means that all of it was true.

        Raises `BlobMissingError`, `BlobExpiredError`, `BlobCorruptError` or `BackendError`. A copy that turns out
        bad before anything was handed out is quarantined and the next one is read.
        """

        def begun(found: Found) -> tuple[Found, Iterator[bytes], bytes]:
            pieces = codec.decode(found.file, digest=digest)
            return found, pieces, next(pieces, b"")

        found, pieces, first = self._first_good(digest, begun)
        with found.file:
            if first:
                yield first
            try:
                yield from pieces
            except BlobCorruptError:
                self._quarantine(digest, found)
                raise
            except OSError as error:
                raise _unavailable(found, error) from error

    def read(self, digest: str) -> bytes:
        """The whole blob; a bad copy is quarantined and the next one is read. Raises as `chunks` does."""

        def whole(found: Found) -> bytes:
            chunks = list(codec.decode(found.file, digest=digest))
            found.file.close()
            return chunks[0] if len(chunks) == 1 else b"".join(chunks)

        return self._first_good(digest, whole)

    def open(self, digest: str) -> BlobStream:
        """A seekable stream of the blob. Raises as `chunks` does, damage at the latest at the stream's end."""
        return self._first_good(
            digest, lambda found: BlobStream(found.file, digest, partial(self._quarantine, digest, found))
        )

    def verify(self, digest: str) -> int:
        """Read the whole blob and forget it; return its size. Raises as `chunks` does."""
        return sum(len(chunk) for chunk in self.chunks(digest))

    def verify_own(self, digest: str, key: str) -> tuple[int, str]:
        """Read the store's own object and forget it; return the blob's size and the object's version.

        Raises `BlobCorruptError`, after moving it to quarantine, `ObjectNotFoundError` or `StoreUnavailableError`.
        """
        found = Found(self._backend, key, self._backend.open(key))
        with found.file:
            try:
                size = sum(len(chunk) for chunk in codec.decode(found.file, digest=digest))
            except BlobCorruptError:
                self._quarantine(digest, found)
                raise
            except OSError as error:
                raise _unavailable(found, error) from error
            return size, self._backend.version(found.file)

    def find(self, digest: str) -> str | None:
        """The key of the store's own object, live or in the trash; None if neither is there."""
        for key in self._own_keys(digest):
            with contextlib.suppress(ObjectNotFoundError):
                return self._backend.stat(key).key
        return None

    def generations(self) -> list[str]:
        """The trash's generations, newest first."""
        return self._backend.children(TRASH)[::-1]

    def _first_good(self, digest: str, use: Callable[[Found], T]) -> T:
        """What `use` makes of the first copy that it finds nothing wrong with."""
        damage: BlobCorruptError | None = None
        trouble: StoreUnavailableError | None = None
        own_is_bad = False
        for found in self._copies(digest):
            try:
                result = use(found)
            except BlobCorruptError as error:
                self._quarantine(digest, found)
                found.file.close()
                damage = error
                own_is_bad |= found.backend is self._backend
            except (OSError, StoreUnavailableError) as error:
                # A bad sector, a connection that broke: another place may have the blob.
                found.file.close()
                trouble = error if isinstance(error, StoreUnavailableError) else _unavailable(found, error)
            except BaseException:
                found.file.close()
                raise
            else:
                self._after(digest, found, own_is_bad=own_is_bad)
                return result
        raise trouble or damage or self._absent(digest)

    def _after(self, digest: str, found: Found, *, own_is_bad: bool) -> None:
        if self._care is None:
            return
        # The blob was read; that nothing can be put right now must not spoil it.
        with contextlib.suppress(BackendError, StoreError, BlobError, OSError):
            if own_is_bad and found.backend is not self._backend:
                self._care.heal(digest, found)
        if found.backend is self._backend:
            self._revive(digest, found.key)

    def _revive(self, digest: str, key: str) -> None:
        """Somebody reads the store's own object; one in the trash comes back."""
        if self._care is not None and key.startswith(TRASH):
            with contextlib.suppress(BackendError, StoreError, BlobError, OSError):
                self._care.in_trash(digest, key)

    def _copies(self, digest: str) -> Iterator[Found]:
        """Every copy that there is, opened; the caller closes it.

        A place that does not answer is passed over while another one may have the blob, and told at the end.
        """
        if self._tier is not None:
            with contextlib.suppress(StoreUnavailableError):
                yield from self._opened(self._tier.directory, object_key(digest))
        trouble: BackendError | None = None
        try:
            for key in self._own_keys(digest):
                yield from self._own(digest, key)
        except StoreUnavailableError as error:
            trouble = error
        try:
            for backend in self._copies_of_store():
                try:
                    self._vouch(backend)
                    yield from self._opened(backend, object_key(digest))
                except StoreUnavailableError as error:
                    trouble = trouble or error
        except BackendError as error:
            trouble = trouble or error
        if trouble is not None:
            raise trouble

    def _own(self, digest: str, key: str) -> Iterator[Found]:
        """The store's own object; through the tier if it keeps this one."""
        for found in self._opened(self._backend, key):
            if self._tier is None or not self._tier.keeps(_size(found.file)):
                yield found
                continue
            with found.file, self._tier.flight(digest):
                kept = next(self._opened(self._tier.directory, object_key(digest)), None)
                if kept is None:
                    # What is wrong shows when it is read where it is, below.
                    with contextlib.suppress(BlobCorruptError, StoreUnavailableError):
                        self._tier.fill(digest, found.file)
                    kept = next(self._opened(self._tier.directory, object_key(digest)), None)
            if kept is not None:
                self._revive(digest, key)
                yield kept
            else:
                yield from self._opened(self._backend, key)

    @staticmethod
    def _opened(backend: Backend, key: str) -> Iterator[Found]:
        with contextlib.suppress(ObjectNotFoundError):
            yield Found(backend, key, backend.open(key))

    def _absent(self, digest: str) -> BlobError:
        """Why no copy is there."""
        try:
            tombstone = get_json(self._backend, tombstone_key(digest))
        except ObjectNotFoundError:
            for name in self._backend.children(QUARANTINE):
                if name.startswith(f"{digest}."):
                    where = f"{self._backend.url}: {QUARANTINE}{name}"
                    return BlobMissingError(f"blob {digest} is gone; a damaged copy is in {where}", digest=digest)
            return BlobMissingError(f"blob {digest} is not in the store {self._backend.url}", digest=digest)
        policy, when = tombstone.get("policy", "policy"), tombstone.get("when", "an unknown day")
        return BlobExpiredError(f"blob {digest} was dropped by {policy} on {when}", digest=digest, tombstone=tombstone)

    def _own_keys(self, digest: str) -> Iterator[str]:
        """Where the object may be. The live place twice: a blob may be revived while we look through the trash."""
        yield object_key(digest)
        for generation in self.generations():
            yield trash_key(generation, digest)
        yield object_key(digest)

    def _quarantine(self, digest: str, found: Found) -> None:
        """Move a corrupt object away, if it is still the very one that was read."""
        if self._tier is not None and found.backend is self._tier.directory:
            self._tier.drop(digest)
            return
        if self._care is None:
            return
        with contextlib.suppress(BackendError, OSError):
            version = found.backend.version(found.file)
            if found.backend.stat(found.key).version != version:
                return
            # State first; but a damaged catalog must not hide that the object is damaged.
            with contextlib.suppress(StoreError):
                if found.backend is self._backend and found.key.startswith(OBJECTS):
                    self._care.corrupt(digest)
            target = f"{QUARANTINE}{digest}.{time.time_ns():x}"
            if found.backend.move(found.key, target, version=version):
                found.backend.sync([found.key, target])


def _size(file: BinaryIO) -> int:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return size


def _unavailable(found: Found, error: OSError) -> StoreUnavailableError:
    return StoreUnavailableError(f"{found.backend.url}: {found.key}: {error.strerror or error}")
