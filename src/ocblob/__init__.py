"""ocblob: attachments out of a bloated agent database, into a content-addressed store, and back on demand."""

from typing import TYPE_CHECKING

__all__ = ["BlobStore", "LocalTier", "Ref", "Resolver", "__version__", "find_refs"]
__version__ = "0.1.0"

if TYPE_CHECKING:
    from ocblob.ref import Ref
    from ocblob.resolver import Resolver
    from ocblob.scan import find_refs
    from ocblob.store import BlobStore, LocalTier

_HOMES = {
    "BlobStore": "ocblob.store",
    "LocalTier": "ocblob.store.places",
    "Ref": "ocblob.ref",
    "Resolver": "ocblob.resolver",
    "find_refs": "ocblob.scan",
}


def __getattr__(name: str) -> object:
    """Import what is asked for, when it is asked for: a host's start pays for nothing else."""
    if name not in _HOMES:
        raise AttributeError(f"module 'ocblob' has no attribute {name!r}")
    import importlib  # noqa: PLC0415

    value: object = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value
