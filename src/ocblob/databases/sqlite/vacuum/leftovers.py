"""What a vacuum that was killed leaves, and how it is put in order.

A swap takes the database out of WAL mode for as long as it makes the new file, which has its name before that. So a
new file beside a database out of WAL mode, while nobody has that open, is a swap that was cut short.
"""

import contextlib
from pathlib import Path
from typing import Final

from ocblob.databases.sqlite.connection import check_file, connect, translated
from ocblob.databases.sqlite.vacuum.measuring import locked
from ocblob.databases.vacuum import FileSizes
from ocblob.errors import DatabaseLockedError

TEMPORARY: Final = ".ocblob-vacuum-"


def leftovers(path: Path) -> list[Path]:
    """New files beside a database, as far as can be seen; another vacuum may be at work on them."""
    resolved = path.resolve()
    beginning = resolved.name + TEMPORARY
    try:
        return sorted(entry for entry in resolved.parent.iterdir() if entry.name.startswith(beginning))
    except OSError:
        return []


def is_cut_short(path: Path, found: FileSizes) -> bool:
    """Whether a swap of this database was killed while it was out of WAL mode."""
    return found.journal_mode == "delete" and bool(leftovers(path))


def mend(path: Path) -> bool:
    """Put back what a killed vacuum left: WAL mode, and no new file. False if there was nothing that could be done.

    Where a host has the database open, its mode stays as it is.
    """
    resolved = path.resolve()
    if not leftovers(resolved):
        return False
    check_file(resolved, read_only=False)
    try:
        with locked(resolved, timeout_ms=0) as db:
            if db.execute("PRAGMA journal_mode").get == "delete":
                # First: without leftovers nobody would know that it was in WAL mode.
                db.execute("PRAGMA journal_mode=WAL").fetchall()
            remove_leftovers(resolved)
    except DatabaseLockedError:
        return _mend_beside(resolved)
    return True


def _mend_beside(path: Path) -> bool:
    """A vacuum at work keeps every reader out: whoever can read, in WAL mode, sees leftovers only."""
    with contextlib.closing(connect(path, read_only=False)) as db:
        db.set_busy_timeout(0)
        try:
            with translated(path):
                db.execute("BEGIN; SELECT 1 FROM sqlite_schema").fetchall()
                mode = db.execute("PRAGMA journal_mode").get
        except DatabaseLockedError:
            return False
        if mode != "wal":
            return False
        remove_leftovers(path)
    return True


def remove_leftovers(path: Path) -> None:
    """Remove new files; only for who keeps every other vacuum out meanwhile. One that cannot go is in nobody's way."""
    for leftover in leftovers(path):
        with contextlib.suppress(OSError):
            leftover.unlink()
