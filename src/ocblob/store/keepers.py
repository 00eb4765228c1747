"""Proof that another place holds a blob, before the copy on the local tier goes.

A proof is made now: the object is there, can be read, and is the very one that was acknowledged or read in full
before; else it is read in full. What is not proven is a last copy.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ocblob.backends.base import Backend
from ocblob.errors import BackendError, BlobCorruptError, StoreFormatError
from ocblob.store.catalog import Catalog
from ocblob.store.layout import object_key

Verify = Callable[[str], tuple[int, str]]
"""Reads an object in full by its digest; returns its size and version."""


@dataclass(frozen=True, slots=True)
class Keeper:
    """A place that may hold blobs when the local tier does not."""

    id: str
    """As the catalog knows it; empty for the remote store itself."""
    backend: Backend
    verify: Verify


@dataclass(frozen=True, slots=True)
class Proof:
    """What a proof rests on; it stands as long as the catalog still knows the same."""

    keeper: Keeper
    known: tuple[int, str] | None

    def stands(self, catalog: Catalog, digest: str) -> bool:
        """Asked inside the transaction that lets the local copy go: a prune may have taken the keeper's copy."""
        return _known(catalog, self.keeper, digest) == self.known


def prove(catalog: Catalog, keepers: Sequence[Keeper], digest: str) -> Proof | None:
    """Which keeper holds the blob now; None if none does. A place that does not answer proves nothing."""
    for keeper in keepers:
        if _holds(catalog, keeper, digest):
            return Proof(keeper, _known(catalog, keeper, digest))
    return None


def known_elsewhere(catalog: Catalog, keepers: Sequence[Keeper], digest: str) -> bool:
    """Whether a keeper held the blob when it was last heard of. Proves nothing."""
    return any((known := _known(catalog, keeper, digest)) and (keeper.id or known[1]) for keeper in keepers)


def _holds(catalog: Catalog, keeper: Keeper, digest: str) -> bool:
    try:
        stat = keeper.backend.stat(object_key(digest))
        if not stat.readable:
            return False
        if stat.version and (stat.stored_size, stat.version) == _known(catalog, keeper, digest):
            return True
        _size, version = keeper.verify(digest)
    except (BackendError, BlobCorruptError, StoreFormatError):
        return False
    if keeper.id:
        with catalog.transaction():
            catalog.set_copies(keeper.id, [(digest, stat.stored_size, version)])
    return True


def _known(catalog: Catalog, keeper: Keeper, digest: str) -> tuple[int, str] | None:
    if keeper.id:
        return catalog.copy_version(digest, keeper.id)
    row = catalog.get(digest)
    return None if row is None else (row.stored_size, row.version)
