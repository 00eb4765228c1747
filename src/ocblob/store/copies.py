"""Other places that hold the same blobs: declared in the store, opened when they are needed.

A copy is laid out as a store with the same id, so it can itself be opened if the first one is lost.
"""

import contextlib
import io
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ocblob.backends import local_path
from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.digest import digest_of
from ocblob.errors import (
    ObjectNotFoundError,
    StoreError,
    StoreFormatError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from ocblob.store.founding import make_directory, prepare
from ocblob.store.layout import (
    COPIES,
    COPY_OF_KEY,
    PROBE,
    STAGING,
    STORE_KEY,
    StoreIdentity,
    create_identity,
    get_json,
    object_key,
    put_json,
    read_identity,
)
from ocblob.store.tier import staged_object
from ocblob.urls import refuse_secrets

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
    """Make `place` a copy of the store and enter it.

    Raises `StoreError` if it is the store itself or holds another one, `UsageError` if the URL has a secret in it.
    """
    refuse_secrets(url)
    local = local_path(url)
    url = url if local is None else os.path.realpath(local)
    if place.url == backend.url or is_same_place(backend, place):
        raise StoreError(f"{place.url} is the store itself; a copy is another place")
    with contextlib.suppress(StoreNotFoundError):
        found = read_identity(place)
        if found.id != identity.id:
            raise StoreError(f"{place.url} holds another store ({found.short_id}...)", hint="name an empty place")
    if isinstance(place, LocalBackend) and not place.path(STORE_KEY).exists():
        prepare(place)
    create_identity(place, identity)
    put_json(place, COPY_OF_KEY, {"id": identity.id, "of": backend.url})
    copy = Copy(digest_of(url.encode("utf-8", "surrogateescape"))[:16], url, int(time.time()))
    put_json(backend, f"{COPIES}{copy.id}.json", asdict(copy))
    return copy


def vouch(backend: Backend, identity: StoreIdentity, place: Backend, *, probe: bool) -> None:
    """Raise `StoreUnavailableError` unless a declared copy is there, is this store's, and is not the store itself.

    A drive that is not mounted leaves an empty directory, in which nothing is missing.
    """
    try:
        found = read_identity(place)
    except StoreNotFoundError as error:
        raise StoreUnavailableError(f"the copy {place.url} is not there: is it mounted?") from error
    if found.id != identity.id:
        raise StoreUnavailableError(f"the copy {place.url} holds another store ({found.short_id}...) now")
    if is_same_place(backend, place, probe=probe):
        raise StoreUnavailableError(f"the copy {place.url} is the store itself by another name")


def is_same_place(backend: Backend, place: Backend, *, probe: bool = True) -> bool:
    """Whether what is put into one shows in the other, whatever they are called. Two remote places take a probe."""
    if isinstance(backend, LocalBackend) and isinstance(place, LocalBackend):
        with contextlib.suppress(OSError):
            return backend.path(STORE_KEY).samefile(place.path(STORE_KEY))
        return os.path.realpath(backend.root) == os.path.realpath(place.root)
    if not probe or isinstance(backend, LocalBackend) or isinstance(place, LocalBackend):
        return False
    key = f"{PROBE}{os.urandom(8).hex()}"
    backend.put(key, io.BytesIO(b"here?"), size=5)
    try:
        place.stat(key)
    except ObjectNotFoundError:
        return False
    finally:
        backend.delete(key)
    return True
