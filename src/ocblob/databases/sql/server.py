"""Connections to one server, and what they fail by.

What is lost is done again on another connection, as long as it may be; what else goes wrong is told in our words.
"""

import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from ocblob.databases.addresses import Address
from ocblob.databases.sql.dialects import DIALECTS, Limit, SqlDialect, Trouble
from ocblob.errors import (
    CellError,
    DanglingRowError,
    DatabaseError,
    DatabaseFullError,
    DatabaseLockedError,
    DatabaseUnsupportedError,
    UsageError,
)
from ocblob.urls import is_secret

LOCK_WAIT_S: Final = 5.0
"""We wait for a lock of somebody else's for so long."""
RECONNECT_S: Final = 30.0
"""A server that went away is waited for: it may be starting again."""
AGAIN_TRIES: Final = 10
"""A transaction that the server has undone for the sake of another one is tried so often."""
POOL_SIZE: Final = 8
_PAUSE_S: Final = (0.05, 2.0)

_Result = TypeVar("_Result")


class Server:
    """One database of a server; for any number of threads. Connections are opened when they are needed."""

    def __init__(self, address: Address, *, read_only: bool) -> None:
        self.address = address
        self.read_only = read_only
        url = _url(address)
        self.dialect: SqlDialect = DIALECTS[url.get_backend_name()]
        options = (option for name, found in url.normalized_query.items() if is_secret(name) for option in found)
        self._secrets = [secret for secret in (str(url.password or ""), *options) if secret]
        if url.get_driver_name() != self.dialect.driver:
            raise UsageError(
                f"{address}: the driver {url.get_driver_name()} is not known here",
                hint=f"begin the URL with {url.get_backend_name()}:// or {url.get_backend_name()}+{self.dialect.driver}://",
            )
        try:
            self.engine = sa.create_engine(
                self.dialect.completed(url),
                pool_size=POOL_SIZE,
                max_overflow=POOL_SIZE,
                hide_parameters=True,
                **self.dialect.engine_options(),
            )
        except ModuleNotFoundError as error:
            raise UsageError(
                f"{address}: the driver {error.name or self.dialect.driver} is not installed",
                hint=f"pip install 'ocblob[{self.dialect.extra}]'",
            ) from error
        except ImportError as error:
            raise UsageError(f"{address}: the driver {self.dialect.driver} cannot be loaded: {error}") from error
        except (sa.exc.ArgumentError, sa.exc.NoSuchModuleError, TypeError, ValueError) as error:
            raise UsageError(f"{address}: {self._words(error)}") from error
        self.limit = Limit(0, "the server was not asked", "")
        """What one value may have; known once there is a connection."""
        self.longest_transaction_s = 0.0
        self._timing = threading.Lock()
        sa.event.listen(self.engine, "do_connect", self._connected)
        sa.event.listen(self.engine, "connect", lambda driver, _record: self.dialect.connected(driver))
        sa.event.listen(self.engine, "engine_connect", self._prepare)

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def _connected(self, dialect: sa.Dialect, _record: object, words: Sequence[Any], options: Mapping[str, Any]) -> Any:
        """A connection of the driver's. What is no error of its own is about what stands behind `?` in the URL."""
        try:
            return dialect.connect(*words, **options)
        except (TypeError, ValueError, OSError) as error:
            raise UsageError(f"{self.address}: the driver does not take its options: {self._words(error)}") from error

    def _prepare(self, connection: sa.Connection) -> None:
        if connection.info.get("ocblob"):
            return
        for statement in self.dialect.settings(connection, lock_wait_s=LOCK_WAIT_S):
            connection.exec_driver_sql(statement)
        self.limit = self.dialect.limit(connection)
        connection.commit()
        connection.info["ocblob"] = True

    @contextlib.contextmanager
    def reading(self) -> Iterator[sa.Connection]:
        """A connection whose every statement sees what is committed then."""
        with self.translated(), self.engine.connect() as connection:
            yield connection.execution_options(isolation_level="AUTOCOMMIT")

    @contextlib.contextmanager
    def catalog(self) -> Iterator[sa.Inspector]:
        """What looks at the tables."""
        with self.reading() as connection, self.dialect.catalog(connection):
            yield sa.inspect(connection)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[sa.Connection]:
        """A connection that sees one state of the database, and never waits for a writer where the server can."""
        with self.translated(), self.engine.connect() as plain:
            connection = plain.execution_options(isolation_level=self.dialect.snapshot_isolation)
            with connection.begin():
                connection.exec_driver_sql(self.dialect.snapshot_begin).close()
                yield connection

    @contextlib.contextmanager
    def transaction(self, *, serializable: bool = False) -> Iterator[sa.Connection]:
        """All of the block or nothing. Not retried by itself: see `retried`."""
        if self.read_only:
            raise DatabaseUnsupportedError(f"{self.address} is open for reading only")
        isolation = "SERIALIZABLE" if serializable else "READ COMMITTED"
        with self.translated(), self.engine.connect() as plain:
            connection = plain.execution_options(isolation_level=isolation)
            begun = time.monotonic()
            try:
                with connection.begin():
                    if self.dialect.begin:
                        connection.exec_driver_sql(self.dialect.begin).close()
                    yield connection
            finally:
                taken = time.monotonic() - begun
                with self._timing:
                    self.longest_transaction_s = max(self.longest_transaction_s, taken)

    def retried(self, work: Callable[[], _Result]) -> _Result:
        """What `work` returns; done again when the connection was lost or the server undid it for another one.

        So it must be one that may be repeated after a commit of which nobody knows whether it came through.
        """
        deadline, tries = None, 0
        while True:
            try:
                return work()
            except (ConnectionLostError, TransactionUndoneError) as error:
                tries += 1
                if isinstance(error, TransactionUndoneError):
                    if tries >= AGAIN_TRIES:
                        raise DatabaseLockedError(str(error)) from error
                else:
                    deadline = deadline or time.monotonic() + RECONNECT_S
                    if time.monotonic() > deadline:
                        raise
                first, most = _PAUSE_S
                time.sleep(min(first * 2**tries, most) * random.uniform(0.5, 1.0))  # noqa: S311 - a pause is no secret

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """A driver's errors in our words."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            raise self._told(error) from error
        except sa.exc.SQLAlchemyError as error:
            raise DatabaseError(f"{self.address}: {self._words(error)}") from error

    def try_out(self, statement: sa.Executable) -> None:
        """Execute what is about no row, to find out whether this user may. Raises what stands against it."""

        def execute() -> None:
            with self.transaction() as connection:
                connection.execute(statement)

        self.retried(execute)

    def _words(self, error: Exception) -> str:
        """The driver's own words, a line of them; it may quote the URL."""
        words = _words(error)
        for secret in self._secrets:
            words = words.replace(secret, "...")
        return words

    def _told(self, error: sa.exc.DBAPIError) -> DatabaseError:
        words = f"{self.address}: {self._words(error)}"
        trouble = Trouble.LOST if error.connection_invalidated else self.dialect.trouble(error)
        return _ERRORS.get(trouble, DatabaseError)(words)


class ConnectionLostError(DatabaseError):
    """The connection is gone, or none could be had; whether a commit under way came through is not known."""


class TransactionUndoneError(DatabaseError):
    """The server has undone a transaction for the sake of another one."""


class RowRefusedError(DatabaseError):
    """A row is refused for what is in it; its statement was undone."""


class ValueTooLargeError(CellError, RowRefusedError):
    """The server takes no value of this size; its statement was undone."""


_ERRORS: Final[dict[Trouble, type[DatabaseError]]] = {
    Trouble.LOST: ConnectionLostError,
    Trouble.AGAIN: TransactionUndoneError,
    Trouble.LOCKED: DatabaseLockedError,
    Trouble.FULL: DatabaseFullError,
    Trouble.DENIED: DatabaseUnsupportedError,
    Trouble.TOO_LARGE: ValueTooLargeError,
    Trouble.DANGLING: DanglingRowError,
    Trouble.ROW: RowRefusedError,
}


def _url(address: Address) -> URL:
    try:
        return make_url(address.url)
    except (sa.exc.ArgumentError, ValueError) as error:
        raise UsageError(f"{address}: this is no URL of a database") from error


def _words(error: Exception) -> str:
    """The driver's own words, a line of them."""
    origin = getattr(error, "orig", None) or error
    parts = [str(part) for part in getattr(origin, "args", ()) if isinstance(part, str)] or [str(origin)]
    return " ".join(parts[-1].split()) or type(origin).__name__
