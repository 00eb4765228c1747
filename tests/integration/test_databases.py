"""The contract of databases on real servers, and on those that the environment names."""

import contextlib
import os
from collections.abc import Iterator

import pytest
from named_servers import NAMED, database_on

from database_contracts import DatabaseContract
from server_place import ServerPlace

KINDS = ["postgresql", "mariadb", *(kind for kind in NAMED if os.environ.get(NAMED[kind]))]


@pytest.fixture(scope="module", params=KINDS)
def server_url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A database for all tests here, on each kind of server."""
    named = NAMED.get(request.param)
    with contextlib.ExitStack() as stack:
        if named:
            yield stack.enter_context(database_on(os.environ[named]))
        else:
            yield request.getfixturevalue(request.param).fresh_url()


@pytest.fixture(scope="module")
def everywhere(server_url: str) -> Iterator[ServerPlace]:
    """The same place for all tests."""
    place = ServerPlace(server_url)
    yield place
    place.close()


class TestServers(DatabaseContract):
    """PostgreSQL, MariaDB, and what else there is."""

    @pytest.fixture
    def place(self, everywhere: ServerPlace) -> ServerPlace:
        """Empty tables."""
        everywhere.clear()
        return everywhere
