"""What a database takes on disk, how much of that is alive, and who has it open. Changes nothing."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import apsw

from ocblob.databases.sqlite.connection import check_file, connect, translated
from ocblob.databases.vacuum import FileSizes
from ocblob.errors import DatabaseLockedError


def sizes(path: Path) -> FileSizes:
    """Measure a database without touching its content."""
    check_file(path, read_only=True)
    resolved = path.resolve()
    with contextlib.closing(connect(resolved, read_only=True)) as db, translated(resolved):
        page_size, pages, free = (
            int(str(db.execute(f"PRAGMA {name}").get)) for name in ("page_size", "page_count", "freelist_count")
        )
        mode = str(db.execute("PRAGMA journal_mode").get)
    return FileSizes(resolved.stat().st_size, size_of(wal_of(resolved)), page_size, pages, free, mode)


def in_use(path: Path) -> bool:
    """Whether any process, this one too, has the database open. It looks by taking the lock for a moment."""
    check_file(path, read_only=False)
    resolved = path.resolve()
    try:
        with locked(resolved, timeout_ms=0):
            return False
    except DatabaseLockedError:
        return True


@contextlib.contextmanager
def locked(path: Path, *, timeout_ms: int) -> Iterator[apsw.Connection]:
    """A connection that keeps every other one out. Raises `DatabaseLockedError` if one is there."""
    with contextlib.closing(connect(path, read_only=False)) as db, translated(path):
        db.set_busy_timeout(timeout_ms)
        if size_of(wal_of(path)):
            # Closing must not checkpoint: to look whether somebody is there must not cost a whole WAL.
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        # Rolled back: a commit would write the first page of a file that has none yet.
        db.execute("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; ROLLBACK").fetchall()
        yield db


def wal_of(path: Path) -> Path:
    """SQLite's write-ahead log of a database."""
    return path.with_name(path.name + "-wal")


def shm_of(path: Path) -> Path:
    """SQLite's index of that log."""
    return path.with_name(path.name + "-shm")


def journal_of(path: Path) -> Path:
    """SQLite's rollback journal of a database."""
    return path.with_name(path.name + "-journal")


def size_of(path: Path) -> int:
    """Bytes; none for a file that is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
