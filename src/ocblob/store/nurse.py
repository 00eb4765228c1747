"""What a store does about what its reader finds: notes damage, brings condemned blobs back, heals from a copy."""

import contextlib
from typing import TYPE_CHECKING

from ocblob.backends.local import LocalBackend
from ocblob.errors import BlobCorruptError, ObjectNotFoundError, StoreUnavailableError
from ocblob.filesystem import fsync_file, make_private_directory
from ocblob.store.catalog import NOTE_TIMEOUT_MS, State
from ocblob.store.layout import STAGING, object_key
from ocblob.store.reader import Found
from ocblob.store.tier import staged_object

if TYPE_CHECKING:
    from ocblob.store.blobstore import BlobStore


class Nurse:
    """See `Care`."""

    def __init__(self, store: "BlobStore") -> None:
        self._store = store

    def corrupt(self, digest: str) -> None:
        """State first, then the object moves."""
        catalog = self._store.catalog
        with catalog.transaction(timeout_ms=NOTE_TIMEOUT_MS):
            catalog.change_state(digest, State.LIVE, State.CORRUPT)

    def in_trash(self, digest: str, key: str) -> None:
        """Who reads a condemned blob needs it: it is live again."""
        catalog, backend = self._store.catalog, self._store.backend
        version = backend.stat(key).version
        with catalog.transaction(timeout_ms=NOTE_TIMEOUT_MS):
            row = catalog.get(digest)
            if row is not None and row.state is State.CONDEMNED:
                catalog.change_state(digest, State.CONDEMNED, State.LIVE)
            elif row is not None and row.state is State.DELETING:
                return
        backend.move(key, object_key(digest), version=version)
        backend.sync([key, object_key(digest)])

    def heal(self, digest: str, source: Found) -> None:
        """Put the good object of another place where the bad one was."""
        heal(self._store, digest, source)


def heal(store: "BlobStore", digest: str, source: Found) -> None:
    """Copy an object from another place into the store, verified and durable. Raises as reading does."""
    staging = store.local.path(STAGING.rstrip("/"))
    make_private_directory(staging)
    key, version = object_key(digest), ""
    with staged_object(source.backend, source.key, staging, digest=digest) as (path, stored_size):
        if isinstance(store.backend, LocalBackend):
            fsync_file(path)
            store.backend.adopt(key, path)
            store.backend.sync([key])
        else:
            with path.open("rb") as file:
                version = store.backend.put(key, file, size=stored_size)
    row = store.catalog.get(digest)
    size = row.size if row is not None else store.header(digest).size
    with store.catalog.transaction():
        held = 0 if store.remote else stored_size
        store.catalog.put(digest, size=size, stored_size=stored_size, held=held, version=version)


def heal_from_copies(store: "BlobStore", digest: str) -> bool:
    """Bring a blob that the store lacks, or has only damaged, back from a copy; False if none has a good one."""
    for _copy, place in store.copies():
        with contextlib.suppress(BlobCorruptError, ObjectNotFoundError, StoreUnavailableError):
            with place.open(object_key(digest)) as file:
                heal(store, digest, Found(place, object_key(digest), file))
            return True
    return False
