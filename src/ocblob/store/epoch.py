"""The epoch: a token in a remote store that changes before anything is taken away there.

A writer that finds another epoch than before knows that what it believed to be there may be gone.
"""

import os
import time
from collections.abc import Callable
from typing import Final

from ocblob.backends.base import Backend
from ocblob.errors import ObjectNotFoundError
from ocblob.store.layout import EPOCH_KEY, get_json, put_json

NO_EPOCH: Final = ""
"""Nothing was ever taken away."""

Epoch = Callable[[], str]


def read_epoch(backend: Backend) -> str:
    """The epoch now; one small request."""
    try:
        return str(get_json(backend, EPOCH_KEY).get("epoch", NO_EPOCH))
    except ObjectNotFoundError:
        return NO_EPOCH


def begin_epoch(backend: Backend) -> float:
    """Begin a round of deletions; returns the time by the store's own clock, seconds since the epoch.

    A host whose clock is wrong must not think that a grace is over.
    """
    put_json(backend, EPOCH_KEY, {"epoch": os.urandom(8).hex(), "begun_at": int(time.time())})
    return min(time.time(), backend.stat(EPOCH_KEY).modified)
