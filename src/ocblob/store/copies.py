"""Other places that hold the same blobs: declared in the store, opened when they are needed.

A copy is laid out as a store with the same id, so it can itself be opened if the first one is lost.
"""

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ocblob.backends import local_path
from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.digest import digest_of
from ocblob.errors import ObjectNotFoundError, StoreError, StoreFormatError, StoreNotFoundError
from ocblob.store.founding import make_directory
from ocblob.store.layout import (
    COPIES,
    STAGING,
    StoreIdentity,
    create_identity,
    get_json,
    object_key,
    put_json,
    read_identity,
)
from ocblob.store.tier import staged_object

if TYPE_CHECKING:
    from ocblob.store.blobstore import BlobStore


@dataclass(frozen=True, slots=True)
class Copy:
    """Another place of a store's blobs."""

    id: str
    url: str
    """With its options, never with a secret."""
    added_at: int


def copies_of(backend: Backend) -> Iterator[Copy]:
    """Every declared copy."""
    for stat in backend.scan(COPIES):
        with contextlib.suppress(ObjectNotFoundError):
            match get_json(backend, stat.key):
                case {"id": str(key), "url": str(url), "added_at": int(when)}:
                    yield Copy(key, url, when)
                case value:
                    raise StoreFormatError(f"{backend.url}: {stat.key} does not describe a copy: {value}")


def refill(store: "BlobStore", place: Backend, digest: str) -> tuple[int, str]:
    """Put the store's object, verified, into one of its copies; returns stored size and version there.

    Raises `BlobCorruptError`, `ObjectNotFoundError` or `StoreUnavailableError`.
    """
    key, staging = object_key(digest), store.local.path(STAGING.rstrip("/"))
    make_directory(staging)
    with staged_object(store.backend, key, staging, digest=digest) as (path, stored_size), path.open("rb") as file:
        return stored_size, place.put(key, file, size=stored_size)


def declare_copy(backend: Backend, identity: StoreIdentity, url: str, place: Backend) -> Copy:
    """Make `place` a copy of the store and enter it. Raises `StoreError` if it holds another store."""
    local = local_path(url)
    url = url if local is None else str(local.absolute())
    if place.url == backend.url or (local is not None and _same_directory(local, backend)):
        raise StoreError(f"{place.url} is the store itself; a copy is another place")
    with contextlib.suppress(StoreNotFoundError):
        found = read_identity(place)
        if found.id != identity.id:
            raise StoreError(f"{place.url} holds another store ({found.short_id}...)", hint="name an empty place")
    create_identity(place, identity)
    copy = Copy(digest_of(url.encode("utf-8", "surrogateescape"))[:16], url, int(time.time()))
    put_json(backend, f"{COPIES}{copy.id}.json", asdict(copy))
    return copy


def _same_directory(path: Path, backend: Backend) -> bool:
    """Whether a path leads to a local store's own directory, by whatever spelling."""
    return isinstance(backend, LocalBackend) and os.path.realpath(path) == os.path.realpath(backend.root)
