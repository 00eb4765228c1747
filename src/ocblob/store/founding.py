"""The directories of a new local store."""

from pathlib import Path

from ocblob.backends.local import LocalBackend
from ocblob.errors import StoreError, StoreUnavailableError
from ocblob.filesystem import PRIVATE_DIRECTORY_MODE, fsync_directory, make_private_directory
from ocblob.store import layout


def make_directory(path: Path) -> None:
    """A private directory, parents included. Raises `StoreUnavailableError`."""
    try:
        make_private_directory(path)
    except OSError as error:
        raise StoreUnavailableError(f"{path}: {error.strerror}") from error


def prepare(backend: LocalBackend) -> None:
    """Make what a new local store needs. Raises `StoreError` where other things are."""
    root = backend.root
    try:
        if root.exists() and (not root.is_dir() or _foreign(root)):
            raise StoreError(f"{root} is there, is no blob store, and is not empty", hint="name another --store")
        objects = backend.path(layout.OBJECTS.rstrip("/"))
        make_private_directory(objects)
        make_private_directory(backend.path(layout.STAGING.rstrip("/")))
        for byte in range(256):
            (objects / f"{byte:02x}").mkdir(mode=PRIVATE_DIRECTORY_MODE, exist_ok=True)
        fsync_directory(objects)
    except OSError as error:
        raise StoreUnavailableError(f"{root}: {error.strerror}") from error


def _foreign(root: Path) -> list[str]:
    """What lies in a directory that a half-made store would not have there."""
    ours, half_written = {"objects", "staging", layout.CATALOG_FILE}, (".store.json.", "store.json.new-")
    names = (entry.name for entry in root.iterdir())
    return [name for name in names if name not in ours and not name.startswith(half_written)]
