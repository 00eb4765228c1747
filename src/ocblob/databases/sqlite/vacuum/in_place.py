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


def vacuum_in_place(path: Path, *, rebuild: bool) -> str:
    """Checkpoint, with `rebuild` VACUUM before that; what is left to do, and why."""
    with contextlib.closing(connect(path, read_only=False)) as db, translated(path):
        checkpoint(db, "PASSIVE")
        if rebuild:
            # Room was checked here; the system's temporary directory may be memory.
            directory = str(path.parent).replace("'", "''")
            db.execute(f"PRAGMA temp_store_directory='{directory}'")
            db.execute("VACUUM")
        for pause in (*CHECKPOINT_PAUSES_S, 0.0):
            # A passive one first, which locks nobody out while it writes: the other has little left to do.
            if checkpoint(db, "PASSIVE") and checkpoint(db, "TRUNCATE"):
                return ""
            time.sleep(pause)
    return "another process is reading: the file and its WAL shrink at the next checkpoint"


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
