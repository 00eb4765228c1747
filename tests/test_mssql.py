"""The contracts of databases, sessions and mirrors over what stands for SQL Server (see `tsql`)."""

from collections.abc import Iterator

import pytest

import tsql
from database_contracts import DatabaseContract
from mirror_contracts import MirrorRowsContract, OwnMirrorContract
from ocblob.databases.addresses import server_address
from ocblob.databases.sql.database import SqlDatabase
from server_place import ServerPlace
from session_contracts import SessionRowsContract
from tsql_reflection import driver, host_tables

__all__ = ["driver"]


@pytest.fixture
def target(driver: tsql.Driver) -> Iterator[SqlDatabase]:
    """An empty database."""
    assert [] == driver.sent
    with SqlDatabase(server_address(tsql.URL)) as database:
        yield database


class TestMirror(MirrorRowsContract, OwnMirrorContract):
    """Rows of a mirror."""

    # What answers takes one writer at a time, and no deadlock is to be had of it.
    test_two_mirrors_at_once_put_whole_rows = None  # type: ignore[assignment]


@pytest.fixture
def database(target: SqlDatabase) -> SqlDatabase:
    """A host's database without rows."""
    host_tables(target)
    return target


class TestSessions(SessionRowsContract):
    """Rows of a host."""


@pytest.fixture
def place(driver: tsql.Driver) -> Iterator[ServerPlace]:
    """Empty tables."""
    assert [] == driver.sent
    place = ServerPlace(tsql.URL)
    place.clear()
    yield place
    place.close()


class TestCells(DatabaseContract):
    """Cells."""
