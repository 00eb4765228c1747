"""Prune as a step of a pass that runs often: it reads everything registered, so once a day is enough."""

import contextlib
import hashlib
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from ocblob import config
from ocblob.databases.addresses import Address
from ocblob.deletions import PrunePass, anything_due, prune_pass
from ocblob.errors import StoreNotFoundError
from ocblob.filesystem import PRIVATE_FILE_MODE
from ocblob.prune import GRACE_S
from ocblob.space import Say
from ocblob.stores import open_store

EVERY_S: Final = 86400


def prune_if_due(  # noqa: PLR0913
    place: config.StorePlace, state: Path, *, named: Sequence[Address], freed: bool, dry_run: bool, say: Say
) -> PrunePass | str:
    """Prune if there is a store with anything registered, and it is time; else why not.

    It is time a day after the last one, when the grace of something in the trash is over, or when rows have just
    gone (`freed`). Raises what `prune_pass` raises.
    """
    try:
        with open_store(place, read_only=True) as store:
            registered = next(iter(store.registry.databases()), None)
            due = freed or anything_due(store, GRACE_S)
            stamp = state / f"pruned-{hashlib.sha256(store.id.encode()).hexdigest()[:16]}"
    except StoreNotFoundError:
        return "there is no store"
    if registered is None:
        return "no database is registered with the store"
    if not due and 0 <= time.time() - _time_of(stamp) < EVERY_S:
        return "it ran within the last day"
    done = prune_pass(place, expected=freed, named=named, dry_run=dry_run, say=say)
    if not dry_run:
        # Without it the next pass prunes again.
        with contextlib.suppress(OSError):
            stamp.touch(mode=PRIVATE_FILE_MODE)
    return done


def _time_of(stamp: Path) -> float:
    try:
        return stamp.stat().st_mtime
    except OSError:
        return 0.0
