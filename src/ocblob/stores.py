"""Opening the store that the settings mean."""

import contextlib
from collections.abc import Iterator

from ocblob.config import StorePlace
from ocblob.errors import BackendError, StoreNotFoundError
from ocblob.space import Say
from ocblob.store import BlobStore


def open_store(place: StorePlace, *, read_only: bool = False) -> BlobStore:
    """Open it. Raises as `BlobStore.open` does."""
    return BlobStore.open(place.url, read_only=read_only, tier=place.tier, options=place.options)


def create_store(place: StorePlace, *, wished: bool = True) -> tuple[BlobStore, bool]:
    """Open it, or make it if that is wished; the flag says that it is new."""
    if not wished:
        return open_store(place), False
    return BlobStore.create(place.url, tier=place.tier, options=place.options)


@contextlib.contextmanager
def store_at_hand(
    place: StorePlace, say: Say, *, needed: bool, read_only: bool = False
) -> Iterator[tuple[BlobStore | None, bool]]:
    """The store if it is there and answers, and whether there is none at all. Raises only if it is `needed`."""
    with contextlib.ExitStack() as stack:
        store, absent = None, False
        try:
            store = stack.enter_context(open_store(place, read_only=read_only))
        except StoreNotFoundError:
            if needed:
                raise
            absent = True
        except BackendError as error:
            if needed:
                raise
            say(f"warning: the store cannot be read: {error}")
        yield store, absent
