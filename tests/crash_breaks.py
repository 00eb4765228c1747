"""Steps taken out of the code itself. Each function runs in a recorded child, before its scene."""

import os
from pathlib import Path


def no_fsync_of_staged_files(_root: Path) -> None:
    """Whatever the code calls for a file in `staging/`, nothing happens."""
    _no_fsync_below("/staging/")


def no_fsync_of_object_directories(_root: Path) -> None:
    """Objects have their names, and the names are not durable."""
    _no_fsync_below("/objects/")


def no_flush(_root: Path) -> None:
    """A restore ends without making its rows durable."""
    from ocblob.databases.sqlite import SQLiteDatabase

    def flush(self: SQLiteDatabase) -> None:
        """Do nothing."""

    SQLiteDatabase.flush = flush  # type: ignore[method-assign]


def no_fsync_of_the_swap(_root: Path) -> None:
    """A vacuum spoils the old file before the new one's name is durable."""
    from ocblob.databases.sqlite.vacuum import swap

    swap.fsync_directory = str  # type: ignore[assignment,attr-defined]


def registered_last(_root: Path) -> None:
    """A database is registered when its rows name blobs already."""
    from ocblob.databases.sqlite import SQLiteDatabase
    from ocblob.store.registry import Registry

    register, close = Registry.register, SQLiteDatabase.close
    put_off: list[tuple[object, ...]] = []

    def remember(self: Registry, url: str, *, host: str) -> None:
        put_off.append((self, url, host))

    def close_and_register(self: SQLiteDatabase) -> None:
        close(self)
        for registry, url, host in put_off:
            register(registry, url, host=host)  # type: ignore[arg-type]

    Registry.register = remember  # type: ignore[method-assign,assignment]
    SQLiteDatabase.close = close_and_register  # type: ignore[method-assign]


def _no_fsync_below(part: str) -> None:
    real = os.fsync

    def fsync(fd: int) -> None:
        if part not in str(Path(f"/proc/self/fd/{fd}").readlink()):
            real(fd)

    os.fsync = fsync  # type: ignore[assignment]
