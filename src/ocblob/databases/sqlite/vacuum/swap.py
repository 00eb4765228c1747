"""A new file in the old one's place, while nobody else has the database open."""

import contextlib
import os
from pathlib import Path
from typing import Final

import apsw

from ocblob.databases.sqlite.connection import connect
from ocblob.databases.sqlite.vacuum.in_place import checkpoint
from ocblob.databases.sqlite.vacuum.leftovers import TEMPORARY, remove_leftovers
from ocblob.databases.sqlite.vacuum.measuring import journal_of, locked, shm_of, wal_of
from ocblob.databases.sqlite.vacuum.planning import check_links
from ocblob.errors import DatabaseError, DatabaseLockedError
from ocblob.filesystem import PRIVATE_FILE_MODE, copy_mode_and_owner, fsync_directory, fsync_file

_HEADER_BYTES: Final = 100


def swap(path: Path) -> None:
    """Do it; the steps and their order are in the design. Raises `DatabaseLockedError` if somebody is there."""
    new = path.with_name(f"{path.name}{TEMPORARY}{os.urandom(4).hex()}")
    old_fd = -1
    done = "nothing was changed"
    try:
        with locked(path, timeout_ms=1000) as db:
            remove_leftovers(path)
            try:
                # Its name is there before the database leaves WAL mode: by it the next pass sees what was cut
                # short. SQLite fills an empty file; one that it makes itself would be readable by others.
                os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE))
                fsync_directory(path.parent)
                _leave_wal_mode(path, db)
                db.execute("VACUUM INTO ?", (str(new),))
                _finish_copy(path, new)
                # Opened before the rename and closed after the lock is given up: closing any descriptor of a
                # file drops all of a process's locks on it.
                old_fd = os.open(path, os.O_RDWR)
                check_links(path)
                new.replace(path)
                done = "the new file is in its place, but may not survive a power cut"
            except BaseException:
                # Ctrl-C may come right behind the rename: a WAL of the old file would lie beside the new one then.
                if old_fd < 0 or os.path.samestat(os.fstat(old_fd), path.stat()):
                    db.execute("PRAGMA journal_mode=WAL")
                else:
                    _leave_old_file(path, old_fd)
                raise
            _leave_old_file(path, old_fd)
    except OSError as error:
        raise DatabaseError(f"{path}: vacuum failed, {done}: {error.strerror}") from error
    finally:
        if old_fd >= 0:
            os.close(old_fd)
        for leftover in (new, wal_of(new), shm_of(new), journal_of(new)):
            leftover.unlink(missing_ok=True)


def _leave_wal_mode(path: Path, db: apsw.Connection) -> None:
    """Everything into the one file, and none beside it that would be taken for the new one's."""
    if not checkpoint(db, "TRUNCATE"):
        raise DatabaseLockedError(f"{path}: the WAL could not be checkpointed")
    if db.execute("PRAGMA journal_mode=DELETE").get != "delete":
        raise DatabaseLockedError(f"{path}: could not leave WAL mode")
    # A connection with an exclusive lock keeps its journal, and removes it by name when it closes: after the
    # rename that would be somebody else's. The last transaction is over: it goes now.
    db.execute("PRAGMA journal_mode=MEMORY")
    journal_of(path).unlink(missing_ok=True)
    # Of a vacuum that was killed out of WAL mode.
    shm_of(path).unlink(missing_ok=True)
    # An old WAL beside a new file would be applied to it, and destroy it.
    if wal_of(path).exists():
        raise DatabaseLockedError(f"{wal_of(path)} is still there")


def _leave_old_file(path: Path, old_fd: int) -> None:
    """The new one is in its place: for good first."""
    fsync_directory(path.parent)
    # Whoever opened the old file just before must not go on writing where nobody will look.
    os.pwrite(old_fd, bytes(_HEADER_BYTES), 0)


def _finish_copy(path: Path, new: Path) -> None:
    with contextlib.closing(connect(new, read_only=False)) as copy:
        copy.execute("PRAGMA journal_mode=WAL")
    copy_mode_and_owner(path, new)
    fsync_file(new)
