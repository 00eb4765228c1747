"""Opening the database at an address, whatever keeps it."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self

from ocblob.databases.addresses import Address
from ocblob.databases.base import Database
from ocblob.databases.mirror_rows import MirrorDatabase
from ocblob.databases.session_rows import SessionDatabase
from ocblob.errors import UsageError


class HostDatabase(Database, SessionDatabase, MirrorDatabase, Protocol):
    """All that the verbs ask of a database. A context manager that closes it."""

    @property
    def address(self) -> Address:
        """Where it is."""

    @property
    def warnings(self) -> Sequence[str]:
        """What may go wrong with one like this."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


def open_database(address: Address, *, read_only: bool = False) -> HostDatabase:
    """Open it. Raises `DatabaseError`, or `UsageError` if its driver is not installed."""
    if address.path is not None:
        return _sqlite(address.path, read_only=read_only)
    with extra_of(address):
        # SQLAlchemy takes 0.2 s that only a URL is worth.
        from ocblob.databases.sql.database import SqlDatabase  # noqa: PLC0415
    return SqlDatabase(address, read_only=read_only)


@contextlib.contextmanager
def extra_of(address: Address) -> Iterator[None]:
    """Around imports that a server's database needs: `UsageError` says what to install for them."""
    try:
        yield
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("ocblob"):
            raise
        raise UsageError(
            f"{address}: {error.name} is not installed", hint=f"pip install 'ocblob[{address.extra}]'"
        ) from error


def _sqlite(path: Path, *, read_only: bool) -> HostDatabase:
    from ocblob.databases.sqlite import SQLiteDatabase  # noqa: PLC0415

    return SQLiteDatabase(path, read_only=read_only)
