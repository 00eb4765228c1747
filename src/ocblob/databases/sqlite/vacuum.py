"""Giving a SQLite file's free pages back to the disk, and saying honestly how much came back.

Two ways: `swap` writes a new file and renames it over the old one, ten times cheaper, but only while nobody
else has the database open; `in_place` is SQLite's own VACUUM, beside other processes.
"""

import contextlib
import glob
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import apsw

from ocblob.databases.sqlite.connection import BUSY_TIMEOUT_MS, check_file, connect, translated
from ocblob.errors import DatabaseError, DatabaseLockedError, DatabaseUnsupportedError
from ocblob.filesystem import PRIVATE_FILE_MODE, copy_mode_and_owner, fsync_directory, fsync_file

Method = Literal["auto", "swap", "in-place"]
Chosen = Literal["swap", "in-place", "checkpoint", "none"]
"""What a plan comes to; `checkpoint` where an earlier vacuum could not shrink the file."""

SWAP_SUPPORTED: Final = sys.platform != "win32"
"""Windows lets nobody rename over a file that is open."""
IN_PLACE_BYTES_PER_S: Final = 400e6
"""Live bytes that VACUUM in place rewrites in a second, on the slow side; writers wait meanwhile."""
HOST_PATIENCE_S: Final = 3.0
"""A host that waits longer for the lock may give up (OpenCode: 5 s)."""
CHECKPOINT_TIMEOUT_MS: Final = 100
_TEMPORARY: Final = ".ocblob-vacuum-"
_HEADER_BYTES: Final = 100


@dataclass(frozen=True, slots=True)
class FileSizes:
    """What a database takes on disk, and how much of it is alive. Bytes."""

    file: int
    wal: int
    page_size: int
    pages: int
    free_pages: int
    journal_mode: str

    @property
    def total(self) -> int:
        """File and WAL."""
        return self.file + self.wal

    @property
    def free(self) -> int:
        """In pages that hold nothing."""
        return self.free_pages * self.page_size

    @property
    def live(self) -> int:
        """In pages that hold something."""
        return (self.pages - self.free_pages) * self.page_size


@dataclass(frozen=True, slots=True)
class VacuumPlan:
    """What a vacuum would do."""

    path: Path
    before: FileSizes
    in_use: bool
    """Another process has the database open."""
    method: Chosen
    room_needed: int
    """Bytes on the database's disk, for a while."""
    blocks_s: float
    """How long writers would wait, at the worst."""


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """What a vacuum did."""

    method: Chosen
    before: FileSizes
    after: FileSizes
    elapsed_s: float
    note: str = ""
    """What is left to do, and why."""

    @property
    def freed(self) -> int:
        """Bytes given back, file and WAL; negative if it took some."""
        return self.before.total - self.after.total

    @property
    def complete(self) -> bool:
        """Whether all is back that could be."""
        return not self.note


def sizes(path: Path) -> FileSizes:
    """Measure a database without touching its content."""
    check_file(path, read_only=True)
    resolved = path.resolve()
    with contextlib.closing(connect(resolved, read_only=True)) as db, translated(resolved):
        page_size, pages, free = (
            int(str(db.execute(f"PRAGMA {name}").get)) for name in ("page_size", "page_count", "freelist_count")
        )
        mode = str(db.execute("PRAGMA journal_mode").get)
    return FileSizes(resolved.stat().st_size, _size(_wal(resolved)), page_size, pages, free, mode)


def in_use(path: Path) -> bool:
    """Whether any process, this one too, has the database open. It looks by taking the lock for a moment."""
    check_file(path, read_only=False)
    resolved = path.resolve()
    try:
        with _locked(resolved, timeout_ms=0):
            return False
    except DatabaseLockedError:
        return True


def plan_vacuum(path: Path, *, method: Method = "auto") -> VacuumPlan:
    """Choose the way and check that there is room. Raises `DatabaseUnsupportedError` or `DatabaseLockedError`."""
    check_file(path, read_only=False)
    resolved = path.resolve()
    before = sizes(resolved)
    used = in_use(resolved)
    chosen = _choose(resolved, before, method, used=used)
    # In place the live bytes go through a temporary file and the WAL.
    room = {"swap": 1, "in-place": 2, "checkpoint": 0, "none": 0}[chosen] * before.live
    available = shutil.disk_usage(resolved.parent).free
    if room > available:
        raise DatabaseError(
            f"{resolved}: vacuum needs {room / 1e6:.0f} MB of room for a while, the disk has {available / 1e6:.0f} MB"
        )
    blocks = before.live / IN_PLACE_BYTES_PER_S if chosen == "in-place" else 0.0
    return VacuumPlan(resolved, before, used, chosen, room, blocks)


def _choose(path: Path, before: FileSizes, method: Method, *, used: bool) -> Chosen:
    if method == "in-place":
        return "in-place"
    if method == "swap":
        _check_swap(path, before)
        if used:
            raise DatabaseLockedError(
                f"{path} is open in another process", hint="stop it, or vacuum with --in-place beside it"
            )
        return "swap"
    if not before.free_pages:
        return "checkpoint" if before.wal or before.file > before.pages * before.page_size else "none"
    if used:
        return "in-place"
    try:
        _check_swap(path, before)
    except DatabaseUnsupportedError:
        return "in-place"
    return "swap"


def apply_vacuum(plan: VacuumPlan) -> VacuumReport:
    """Do it. Raises `DatabaseLockedError` if somebody came between; nothing is changed then."""
    begun = time.monotonic()
    note = ""
    if plan.method == "swap":
        _swap(plan.path)
    elif plan.method != "none":
        note = _in_place(plan.path, rebuild=plan.method == "in-place")
    return VacuumReport(plan.method, plan.before, sizes(plan.path), time.monotonic() - begun, note)


def checkpoint(db: apsw.Connection, mode: Literal["PASSIVE", "TRUNCATE"]) -> bool:
    """Move the WAL into the file; False if a reader or writer kept us from finishing."""
    # A checkpoint that waits for a reader holds the write lock meanwhile: the host would wait with it.
    db.set_busy_timeout(CHECKPOINT_TIMEOUT_MS)
    try:
        ((busy, _frames, _moved),) = db.execute(f"PRAGMA wal_checkpoint({mode})")
    except apsw.BusyError:
        return False
    finally:
        db.set_busy_timeout(BUSY_TIMEOUT_MS)
    return not busy


def _in_place(path: Path, *, rebuild: bool) -> str:
    with contextlib.closing(connect(path, read_only=False)) as db, translated(path):
        checkpoint(db, "PASSIVE")
        if rebuild:
            # Room was checked here; the system's temporary directory may be memory.
            directory = str(path.parent).replace("'", "''")
            db.execute(f"PRAGMA temp_store_directory='{directory}'")
            db.execute("VACUUM")
        if not checkpoint(db, "TRUNCATE"):
            return "another process is reading: the file and its WAL shrink at the next checkpoint"
    return ""


def _swap(path: Path) -> None:
    new = path.with_name(f"{path.name}{_TEMPORARY}{os.urandom(4).hex()}")
    old_fd = -1
    done = "nothing was changed"
    try:
        with _locked(path, timeout_ms=1000) as db:
            _remove_leftovers(path)
            if not checkpoint(db, "TRUNCATE"):
                raise DatabaseLockedError(f"{path}: the WAL could not be checkpointed")
            if db.execute("PRAGMA journal_mode=DELETE").get != "delete":
                raise DatabaseLockedError(f"{path}: could not leave WAL mode")
            try:
                # A connection with an exclusive lock keeps its journal, and removes it by name when it closes:
                # after the rename that would be somebody else's. The last transaction is over: it goes now.
                db.execute("PRAGMA journal_mode=MEMORY")
                _journal(path).unlink(missing_ok=True)
                # Of a vacuum that was killed out of WAL mode.
                _shm(path).unlink(missing_ok=True)
                # An old WAL beside a new file would be applied to it, and destroy it.
                if _wal(path).exists():
                    raise DatabaseLockedError(f"{_wal(path)} is still there")
                # SQLite fills an empty file that is there; one it makes itself would be readable by others.
                os.close(os.open(new, os.O_CREAT | os.O_EXCL | os.O_WRONLY, PRIVATE_FILE_MODE))
                db.execute("VACUUM INTO ?", (str(new),))
                _finish_copy(path, new)
                # Opened before the rename and closed after the lock is given up: closing any descriptor of a
                # file drops all of a process's locks on it.
                old_fd = os.open(path, os.O_RDWR)
                _check_links(path)
                new.replace(path)
                done = "the new file is in its place, but may not survive a power cut"
            except BaseException:
                db.execute("PRAGMA journal_mode=WAL")
                raise
            fsync_directory(path.parent)
            # Whoever opened the old file just before must not go on writing where nobody will look.
            os.pwrite(old_fd, bytes(_HEADER_BYTES), 0)
    except OSError as error:
        raise DatabaseError(f"{path}: vacuum failed, {done}: {error.strerror}") from error
    finally:
        if old_fd >= 0:
            os.close(old_fd)
        for leftover in (new, _wal(new), _shm(new), _journal(new)):
            leftover.unlink(missing_ok=True)


def _finish_copy(path: Path, new: Path) -> None:
    with contextlib.closing(connect(new, read_only=False)) as copy:
        copy.execute("PRAGMA journal_mode=WAL")
    copy_mode_and_owner(path, new)
    fsync_file(new)


@contextlib.contextmanager
def _locked(path: Path, *, timeout_ms: int) -> Iterator[apsw.Connection]:
    """A connection that keeps every other one out. Raises `DatabaseLockedError` if one is there."""
    with contextlib.closing(connect(path, read_only=False)) as db, translated(path):
        db.set_busy_timeout(timeout_ms)
        if _size(_wal(path)):
            # Closing must not checkpoint: to look whether somebody is there must not cost a whole WAL.
            db.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        db.execute("PRAGMA locking_mode=EXCLUSIVE; BEGIN EXCLUSIVE; COMMIT").fetchall()
        yield db


def _check_swap(path: Path, before: FileSizes) -> None:
    if before.journal_mode != "wal":
        # Elsewhere an idle host holds no lock: nobody can say whether it has the file open.
        raise DatabaseUnsupportedError(
            f"{path} is not in WAL mode; a swap could leave a host behind", hint="use --in-place"
        )
    if not SWAP_SUPPORTED:
        raise DatabaseUnsupportedError("vacuum by swap needs a POSIX system", hint="use --in-place")
    _check_links(path)


def _check_links(path: Path) -> None:
    if path.stat().st_nlink > 1:
        raise DatabaseUnsupportedError(
            f"{path} has another hard link, which a swap would leave behind", hint="use --in-place"
        )


def _remove_leftovers(path: Path) -> None:
    """What a killed vacuum left; only under the lock, another one may be at work."""
    for leftover in path.parent.glob(f"{glob.escape(path.name)}{_TEMPORARY}*"):
        leftover.unlink(missing_ok=True)


def _wal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _shm(path: Path) -> Path:
    return path.with_name(path.name + "-shm")


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-journal")


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
