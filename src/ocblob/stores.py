"""Opening the store that the settings mean."""

from ocblob.config import StorePlace
from ocblob.store import BlobStore


def open_store(place: StorePlace, *, read_only: bool = False) -> BlobStore:
    """Open it. Raises as `BlobStore.open` does."""
    return BlobStore.open(place.url, read_only=read_only, tier=place.tier, options=place.options)


def create_store(place: StorePlace, *, wished: bool = True) -> tuple[BlobStore, bool]:
    """Open it, or make it if that is wished; the flag says that it is new."""
    if not wished:
        return open_store(place), False
    return BlobStore.create(place.url, tier=place.tier, options=place.options)
