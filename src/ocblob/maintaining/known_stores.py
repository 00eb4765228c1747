"""Which stores passes have found here: a pass never makes one anew in the place of a store that was there.

Its drive may not be mounted. What went into a new store would be out of sight as soon as it is.
"""

import contextlib
import hashlib
from pathlib import Path

from ocblob import config
from ocblob.backends import local_path
from ocblob.errors import StoreNotFoundError
from ocblob.filesystem import PRIVATE_FILE_MODE


def was_here(place: config.StorePlace, state: Path) -> bool:
    """Whether an earlier pass has found a store there."""
    return _note(place, state).exists()


def remember(place: config.StorePlace, state: Path) -> None:
    """Note that a store is there. Without the note a later pass makes one, as the first one does."""
    with contextlib.suppress(OSError):
        _note(place, state).touch(mode=PRIVATE_FILE_MODE)


def gone(error: StoreNotFoundError) -> StoreNotFoundError:
    """The error for a store that was there."""
    return StoreNotFoundError(
        f"{error}, where an earlier pass has found one", hint="mount its drive; `ocblob offload` makes a new one"
    )


def _note(place: config.StorePlace, state: Path) -> Path:
    path = local_path(place.url)
    url = place.url if path is None else str(path.absolute())
    return state / f"store-{hashlib.sha256(url.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}"
