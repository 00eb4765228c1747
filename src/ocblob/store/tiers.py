"""Which places hold a store's blobs, and letting go of local copies that another place holds."""

import contextlib
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from ocblob.backends.base import Backend
from ocblob.errors import BackendError, StoreFormatError
from ocblob.store.catalog import Catalog
from ocblob.store.keepers import Keeper, Proof, prove
from ocblob.store.layout import object_key
from ocblob.store.nurse import Nurse
from ocblob.store.reader import Reader
from ocblob.store.survey import Survey

if TYPE_CHECKING:
    from ocblob.store.blobstore import BlobStore

PROVERS: Final = 8
TRIM_BATCH: Final = 16
"""Small: the last batch goes as a whole."""
LOW_WATER: Final = 0.9
"""A tier that is over its limit is brought down to this part of it."""


def keepers_of(store: "BlobStore") -> list[Keeper]:
    """The places that may hold a blob when the local tier lets go of it: a remote store itself, else its copies."""
    if store.remote:
        return [_keeper("", store.backend, Reader(store.backend, care=Nurse(store) if store.writable else None))]
    keepers = []
    for copy, place in store.copies():
        # One that is not there proves nothing.
        with contextlib.suppress(BackendError, StoreFormatError):
            store.vouch(place)
            keepers.append(_keeper(copy.id, place, Reader(place)))
    return keepers


def release(store: "BlobStore", digests: Sequence[str], keepers: Sequence[Keeper]) -> list[str]:
    """Drop the local copies of blobs that a keeper is proven to hold now; returns whose copies went."""
    catalog, now = store.catalog, time.time()
    free = [digest for digest in digests if catalog.claimed_until(digest) <= now]
    with ThreadPoolExecutor(PROVERS) as pool:
        proofs = dict(zip(free, pool.map(lambda digest: prove(catalog, keepers, digest), free), strict=True))
    # The catalog first: it must not know a local copy that a power cut has taken.
    with catalog.transaction():
        chosen = [digest for digest, proof in proofs.items() if _free(catalog, digest, proof, now)]
        catalog.set_held((digest, 0) for digest in chosen)
    with catalog.transaction():
        # Inside a transaction: who puts a blob anew claims it, or has entered it again, and its file stays.
        chosen = [
            digest for digest in chosen if _free(catalog, digest, proofs[digest], now) and not _held(catalog, digest)
        ]
        for digest in chosen:
            # One that is held open where that matters stays; a survey counts it again.
            with contextlib.suppress(BackendError):
                store.local.delete(object_key(digest))
    return chosen


def _free(catalog: Catalog, digest: str, proof: Proof | None, now: float) -> bool:
    return proof is not None and proof.stands(catalog, digest) and catalog.claimed_until(digest) <= now


def _held(catalog: Catalog, digest: str) -> int:
    row = catalog.get(digest)
    return 0 if row is None else row.held


def trim(store: "BlobStore") -> None:
    """Bring a remote store's tier down to its capacity, least recently used first."""
    if store.tier is None:
        return
    over = store.catalog.totals().held - store.tier.capacity
    if over <= 0:
        return
    over += int(store.tier.capacity * (1 - LOW_WATER))
    keepers = keepers_of(store)
    with Survey(store.catalog) as survey:
        for batch in survey.least_recently_used(batch=TRIM_BATCH, durable=False):
            dropped = set(release(store, [item.digest for item in batch], keepers))
            over -= sum(item.stored_size for item in batch if item.digest in dropped)
            if over <= 0:
                return


def _keeper(name: str, backend: Backend, reader: Reader) -> Keeper:
    return Keeper(name, backend, lambda digest: reader.verify_own(digest, object_key(digest)))
