"""Proof that somebody else's connection reaches the same database: a lock that only we have asked for.

It is held by a connection of ours for as long as that lasts, needs no table and no right to write, and no other
server, copy or standby shows it.
"""

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa

from ocblob.databases.addresses import Address
from ocblob.databases.sql.server import Server
from ocblob.errors import DatabaseError, DatabaseUnsupportedError

_POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class _Lock:
    take: str
    """Gives 1 if the lock is ours now."""
    seen: str
    """Gives 1 if anybody holds it."""


_LOCKS: Final[Mapping[str, _Lock]] = {
    "postgresql": _Lock(
        "SELECT CAST(pg_try_advisory_lock(:high, :low) AS integer)",
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND CAST(classid AS bigint) = :high"
        " AND CAST(objid AS bigint) = :low AND objsubid = 2"
        " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())",
    ),
    "mysql": _Lock("SELECT GET_LOCK(:name, 0)", "SELECT IS_USED_LOCK(:name) IS NOT NULL"),
    "mssql": _Lock(
        "SET NOCOUNT ON; DECLARE @taken int; EXEC @taken = sp_getapplock @Resource = :name, @LockMode = 'Exclusive',"
        " @LockOwner = 'Session', @LockTimeout = 0; SELECT CASE WHEN @taken >= 0 THEN 1 ELSE 0 END",
        "SELECT CASE WHEN APPLOCK_TEST('public', :name, 'Exclusive', 'Session') = 0 THEN 1 ELSE 0 END",
    ),
}
"""By SQLAlchemy's name of the kind of server."""


class HeldToken:
    """A token of one database, held until it is closed. For one thread."""

    def __init__(self, address: Address) -> None:
        self.token = os.urandom(7).hex()
        self._server = Server(address, read_only=True)
        self._connection: sa.Connection | None = None

    def hold(self) -> None:
        """Take the lock; to be called again and again: it is taken again if the connection that had it is gone.

        Raises `DatabaseError` if there is none to be had now.
        """
        with contextlib.suppress(DatabaseError), self._server.translated():
            if self._connection is not None:
                self._connection.exec_driver_sql("SELECT 1")
                return
        self._drop()
        try:
            with self._server.translated():
                plain = self._server.engine.connect()
                self._connection = plain.execution_options(isolation_level="AUTOCOMMIT")
                if not _answer(self._connection, _lock(self._server).take, self.token):
                    raise DatabaseUnsupportedError(f"{self._server.address} gives no lock to this user")
        except DatabaseError:
            self._drop()
            raise

    @property
    def schema(self) -> str | None:
        """What the URL means by a table's name alone; known once it is held."""
        return self._server.engine.dialect.default_schema_name

    def close(self) -> None:
        """Give it up."""
        self._drop()
        self._server.close()

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.invalidate()
            self._connection.close()
            self._connection = None


def sees(address: Address, token: str, *, patience_s: float) -> bool:
    """Whether the database at an address is the one that a token is held in, for so long if not at once.

    The server may have been started again, and the holder not have noticed yet.
    """
    server = Server(address, read_only=True)
    deadline = time.monotonic() + patience_s

    def look() -> bool:
        with server.reading() as connection:
            return _answer(connection, _lock(server).seen, token)

    try:
        while not (found := server.retried(look)) and time.monotonic() < deadline:
            time.sleep(_POLL_S)
        return found
    finally:
        server.close()


def is_same(one: Address, other: Address) -> bool:
    """Whether two URLs mean one schema of one database, however they name it."""
    with contextlib.closing(HeldToken(one)) as held, contextlib.closing(Server(other, read_only=True)) as server:
        held.hold()
        with server.reading() as connection:
            # MySQL's locks are the whole server's.
            return held.schema == server.engine.dialect.default_schema_name and _answer(
                connection, _lock(server).seen, held.token
            )


def _lock(server: Server) -> _Lock:
    return _LOCKS[server.engine.dialect.name]


def _answer(connection: sa.Connection, sql: str, token: str) -> bool:
    """What a statement gives that is about a token, whichever way it names it."""
    number = int(token, 16)
    named = {"name": f"ocblob-{token}", "high": number >> 28, "low": number & (1 << 28) - 1}
    statement = sa.text(sql)
    return bool(connection.execute(statement, {name: named[name] for name in statement.compile().params}).scalar())
