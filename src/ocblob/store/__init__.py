"""Content-addressed blobs: dedup, verification and states over one backend, with a catalog.

A blob is immutable: storing a digest that is already stored writes nothing.
"""

from ocblob.store.blobstore import BlobStore
from ocblob.store.places import LocalTier

__all__ = ["BlobStore", "LocalTier"]
