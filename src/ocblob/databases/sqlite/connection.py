"""Opening a SQLite file beside its host, and saying clearly what is refused."""

import contextlib
import os
import stat
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import apsw

from ocblob.errors import DatabaseError, DatabaseFullError, DatabaseLockedError, DatabaseUnsupportedError
from ocblob.filesystem import fsync_file, network_filesystem

BUSY_TIMEOUT_MS: Final = 5000
Bindings = tuple[Any, ...] | Mapping[str, Any]


def connect(path: Path, *, read_only: bool) -> apsw.Connection:
    """A connection with the settings that every one of ours has."""
    with translated(path):
        connection = apsw.Connection(str(path), flags=_flags(path, read_only=read_only))
        connection.set_busy_timeout(BUSY_TIMEOUT_MS)
        connection.execute("PRAGMA foreign_keys=ON; PRAGMA secure_delete=OFF").fetchall()
        if read_only:
            connection.execute("PRAGMA query_only=ON").fetchall()
    return connection


def _flags(path: Path, *, read_only: bool) -> int:
    """How to open a file so that looking at it leaves nothing behind.

    A read-only connection makes the -wal and -shm files that it needs and cannot remove them; one that may
    write removes them, but also moves a WAL that is there into the file when it closes.
    """
    writable = os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)
    wal = path.with_name(path.name + "-wal")
    if read_only and not (writable and not (wal.exists() and wal.stat().st_size)):
        return apsw.SQLITE_OPEN_READONLY
    return apsw.SQLITE_OPEN_READWRITE


class Reading:
    """A connection for looking things up, shared by threads one query at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._db = connect(path, read_only=True)

    def rows(self, sql: str, bindings: Bindings = ()) -> list[tuple[Any, ...]]:
        """All rows of a small answer."""
        with self._lock, translated(self.path):
            return list(self._db.execute(sql, bindings))

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._db.close()


def check_file(path: Path, *, read_only: bool) -> list[str]:
    """Refuse what is no file that can be worked on; return warnings about what may go wrong.

    Never opens the file: closing any descriptor of it would drop every lock that SQLite holds on it in this
    process, and a host that closes then removes the WAL under our hands.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        raise DatabaseError(f"no database at {path}", hint="name one with --db or OCBLOB_DB") from None
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise DatabaseUnsupportedError(f"{path} is not a file")
    if not read_only and not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        raise DatabaseUnsupportedError(f"{path} cannot be written: the file or its directory is read-only")
    if kind := network_filesystem(path):
        return [f"{path} is on a network file system ({kind}); SQLite's locks are not reliable there"]
    return []


def check_encoding(reading: Reading) -> None:
    """Refuse text that is not UTF-8: its bytes are not what the host sees."""
    ((encoding,),) = reading.rows("PRAGMA encoding")
    if encoding != "UTF-8":
        raise DatabaseUnsupportedError(f"{reading.path} is a {encoding} database; ocblob handles UTF-8 only")


@contextlib.contextmanager
def translated(path: Path) -> Iterator[None]:
    """SQLite's errors as ours."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise DatabaseLockedError(
            f"{path} is locked by another process: {error}", hint="try again, or stop what holds it"
        ) from error
    except apsw.NotADBError as error:
        raise DatabaseUnsupportedError(f"{path} is not a SQLite database, or is encrypted: {error}") from error
    except apsw.CorruptError as error:
        raise DatabaseError(f"{path} is damaged: {error}", hint="sqlite3's .recover may help") from error
    except apsw.FullError as error:
        raise DatabaseFullError(f"{path}: the disk is full; nothing was changed by the last transaction") from error
    except apsw.Error as error:
        raise DatabaseError(f"{path}: {error}") from error


def make_wal_durable(path: Path) -> None:
    """The bytes of committed transactions are in the WAL, or in the file already."""
    wal = path.with_name(path.name + "-wal")
    try:
        # No lock of SQLite's lies on this file, so closing it here drops none.
        fsync_file(wal)
    except FileNotFoundError:
        return
    except OSError as error:
        raise DatabaseError(f"{wal}: {error.strerror}") from error


def quote(name: str) -> str:
    """An identifier for SQL."""
    return '"' + name.replace('"', '""') + '"'
