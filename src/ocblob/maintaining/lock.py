"""One maintenance pass of a database at a time on this machine.

The system gives the lock up when its holder ends, however it ends, so one of a dead process is no obstacle. Who
holds it stands in a file beside it, for words only: it decides nothing.
"""

import contextlib
import hashlib
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

from ocblob.databases.addresses import Address
from ocblob.errors import DatabaseError, DatabaseLockedError
from ocblob.filesystem import PRIVATE_DIRECTORY_MODE, PRIVATE_FILE_MODE


@contextlib.contextmanager
def sole_maintainer(directory: Path, database: Address) -> Iterator[None]:
    """Keep every other maintenance pass of this database out. Raises `DatabaseLockedError` if one is running."""
    import filelock  # noqa: PLC0415 - 30 ms that only a pass is worth

    path = directory / f"{name_of(database)}.lock"
    holder = path.with_suffix(".holder")
    lock = filelock.FileLock(path, timeout=0, mode=PRIVATE_FILE_MODE)
    try:
        directory.mkdir(mode=PRIVATE_DIRECTORY_MODE, parents=True, exist_ok=True)
        lock.acquire()
    except filelock.Timeout:
        raise DatabaseLockedError(
            f"another maintain of this database is running{_said_by(holder)}: {database}",
            hint="it does what this one would do",
        ) from None
    except OSError as error:
        raise DatabaseError(f"{path}: no lock for maintain can be had: {error.strerror or error}") from error
    try:
        # A disk that is full costs the words, not the pass.
        with contextlib.suppress(OSError):
            holder.write_text(json.dumps({"pid": os.getpid(), "since": time.time()}), encoding="ascii")
        yield
    finally:
        lock.release()


def name_of(database: Address) -> str:
    """A file name for what belongs to one database, by whatever path it is named."""
    name = database.name if database.path is None else os.path.normcase(database.name)
    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def _said_by(holder: Path) -> str:
    """Who holds it, if that can be read: the note of a holder may be about to be written."""
    try:
        note = json.loads(holder.read_text(encoding="ascii"))
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(float(note["since"])))
        return f" (process {int(note['pid'])} since {since})"
    except (OSError, ValueError, TypeError, KeyError, OverflowError):
        return ""
