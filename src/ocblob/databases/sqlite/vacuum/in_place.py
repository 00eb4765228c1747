"""SQLite's own VACUUM, and checkpoints, beside other processes."""

import contextlib
import time
from pathlib import Path
from typing import Final, Literal

import apsw

from ocblob.databases.sqlite.connection import BUSY_TIMEOUT_MS, connect, translated

CHECKPOINT_TIMEOUT_MS: Final = 100
CHECKPOINT_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Between tries of a checkpoint that readers hold up: most of them are done in a moment."""
_PROGRESS_STEPS: Final = 200
"""Of SQLite's machine, a few of them a row."""


GIVEN_UP: Final = "VACUUM took too long beside a host and was given up: it is left to a quiet moment"


def vacuum_in_place(path: Path, *, rebuild: bool, patience_s: float) -> str:
    """Checkpoint, with `rebuild` VACUUM before that; what is left to do, and why.

    A VACUUM that would make others wait for longer than `patience_s` is given up, and nothing is changed by it.
    """
    given_up = ""
    with contextlib.closing(connect(path, read_only=False)) as db, translated(path):
        checkpoint(db, "PASSIVE")
        if rebuild:
            # Room was checked here; the system's temporary directory may be memory.
            directory = str(path.parent).replace("'", "''")
            db.execute(f"PRAGMA temp_store_directory='{directory}'")
            if db.execute("PRAGMA journal_mode").get == "wal":
                # No fsync under the lock: a power cut may undo the VACUUM, and the checkpoint makes it durable.
                db.execute("PRAGMA synchronous=NORMAL")
            given_up = "" if _rebuilt(db, patience_s) else GIVEN_UP
        for pause in (*CHECKPOINT_PAUSES_S, 0.0):
            # A passive one first, which locks nobody out while it writes: the other has little left to do.
            if checkpoint(db, "PASSIVE") and checkpoint(db, "TRUNCATE"):
                return given_up
            time.sleep(pause)
    return given_up or "another process is reading: the file and its WAL shrink at the next checkpoint"


def _rebuilt(db: apsw.Connection, patience_s: float) -> bool:
    # Half of the time goes into the copy back, which nothing can stop.
    begun, most = 0.0, patience_s / 2

    def is_late() -> bool:
        nonlocal begun
        begun = begun or time.monotonic()  # of the work: to wait for the lock keeps nobody out
        return time.monotonic() - begun > most

    db.set_progress_handler(is_late, _PROGRESS_STEPS)
    try:
        db.execute("VACUUM")
    except apsw.InterruptError:
        return False
    finally:
        db.set_progress_handler(None)
    return True


def checkpoint(db: apsw.Connection, mode: Literal["PASSIVE", "TRUNCATE"]) -> bool:
    """Move all of the WAL into the file; False if a reader or writer kept us from finishing."""
    # A checkpoint that waits for a reader holds the write lock meanwhile: the host would wait with it.
    db.set_busy_timeout(CHECKPOINT_TIMEOUT_MS)
    try:
        ((busy, frames, moved),) = db.execute(f"PRAGMA wal_checkpoint({mode})")
    except apsw.BusyError:
        return False
    finally:
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
    return not busy and frames == moved
