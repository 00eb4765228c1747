"""SQL Server, through pyodbc. Nothing of this was run against a server: its statements are compiled and parsed."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mssql

from ocblob.databases.session_rows import Affinity
from ocblob.databases.sql.dialects.base import ContentHash, Limit, Trouble
from ocblob.errors import DatabaseUnsupportedError

PIECE_CHARS: Final = 512 * 1024
KEY_CHARS: Final = 255
VALUE_BYTES_MAX: Final = 2**31 - 1
_VERSION_MIN: Final = 14
"""SQL Server 2017: `STRING_AGG`, and `HASHBYTES` of any length."""
_TROUBLES: Final = {
    1205: Trouble.AGAIN,
    3960: Trouble.AGAIN,
    1222: Trouble.LOCKED,
    1105: Trouble.FULL,
    9002: Trouble.FULL,
    229: Trouble.DENIED,
    3906: Trouble.DENIED,
    547: Trouble.DANGLING,
    515: Trouble.ROW,
    2601: Trouble.ROW,
    2627: Trouble.ROW,
    2628: Trouble.ROW,
    8152: Trouble.ROW,
    7102: Trouble.TOO_LARGE,
    7119: Trouble.TOO_LARGE,
}


class MsSqlDialect:
    """See `SqlDialect`."""

    extra: Final = "mssql"
    driver: Final = "pyodbc"
    snapshot_isolation: Final = "SERIALIZABLE"
    large_bytes: Final = 4 * 1024 * 1024

    def engine_options(self) -> Mapping[str, Any]:
        """See `SqlDialect`."""
        import pyodbc  # noqa: F401, PLC0415 - told apart from SQLAlchemy's own errors

        return {"fast_executemany": False}

    def catalog(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """See `SqlDialect`."""
        del connection
        return nullcontext()

    def settings(self, connection: sa.Connection, *, lock_wait_s: float) -> Sequence[str]:
        """See `SqlDialect`. An error inside of a transaction ends it."""
        del connection
        return [f"SET LOCK_TIMEOUT {round(lock_wait_s * 1000)}", "SET XACT_ABORT ON"]

    def check(self, connection: sa.Connection) -> list[str]:
        """See `SqlDialect`."""
        version = int(
            connection.exec_driver_sql("SELECT CAST(SERVERPROPERTY('ProductMajorVersion') AS int)").scalar_one()
        )
        if version < _VERSION_MIN:
            raise DatabaseUnsupportedError(f"SQL Server {version} is too old: 2017 at least")
        delayed = connection.exec_driver_sql(
            "SELECT delayed_durability_desc FROM sys.databases WHERE database_id = DB_ID()"
        ).scalar()
        return [] if delayed == "DISABLED" else [f"delayed durability is {delayed}: a power cut can lose commits"]

    def limit(self, connection: sa.Connection) -> Limit:
        """See `SqlDialect`."""
        del connection
        return Limit(VALUE_BYTES_MAX, f"SQL Server takes {VALUE_BYTES_MAX:,} bytes in a value", "")

    def trouble(self, error: sa.exc.DBAPIError) -> Trouble:
        """See `SqlDialect`."""
        arguments = [str(part) for part in getattr(error.orig, "args", ())]
        if arguments and arguments[0].startswith("08"):
            return Trouble.LOST
        words = " ".join(arguments)
        return next((trouble for code, trouble in _TROUBLES.items() if f"({code})" in words), Trouble.OTHER)

    def check_text(self, column: sa.Column[Any]) -> str:
        """See `SqlDialect`."""
        if isinstance(column.type, sa.types.CHAR | sa.types.NCHAR):
            return "it pads its text with blanks"
        collation = getattr(column.type, "collation", None) or ""
        if not _is_wide(column) and not collation.upper().endswith("_UTF8"):
            return f"its collation is {collation}: text of that is not Unicode"
        return ""

    def check_table(self, table: sa.Table) -> str:
        """See `SqlDialect`."""
        del table
        return ""

    def check_key(self, column: sa.Column[Any]) -> str:
        """See `SqlDialect`."""
        del column
        return ""

    def is_text(self, column: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        other = sa.cast(sa.literal(text, column.type), column.type)
        return sa.and_(column == text, self.content(column) == self.content(other))

    def octets(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """See `SqlDialect`: of a text in UTF-16, as if it were ASCII."""
        length = sa.cast(sa.func.datalength(column), sa.BigInteger)
        return length / 2 if _is_wide(column) else length

    def content(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        """See `SqlDialect`."""
        return sa.cast(column, mssql.VARBINARY("max"))

    def decoded(self, raw: bytes, *, text: bool) -> bytes:
        """See `SqlDialect`."""
        return bytes(raw).decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass") if text else bytes(raw)

    def encoded(self, data: bytes, *, text: bool) -> str | bytes:
        """See `SqlDialect`."""
        return data.decode("utf-8") if text else data

    def stream(
        self, connection: sa.Connection, column: sa.Column[Any], where: sa.ColumnElement[bool], *, text: bool
    ) -> Iterator[bytes]:
        """See `SqlDialect`."""
        at, size = 1, 2 * PIECE_CHARS
        while True:
            piece = connection.execute(
                sa.select(sa.func.substring(self.content(column), at, size)).where(where)
            ).scalar()
            if not piece:
                return
            yield self.decoded(piece, text=text)
            at += len(piece)
            if len(piece) < size:
                return

    def put_large(
        self,
        connection: sa.Connection,
        column: sa.Column[Any],
        where: sa.ColumnElement[bool],
        chunks: Iterator[bytes],
        *,
        text: bool,
    ) -> int:
        """See `SqlDialect`: the pieces wait in a temporary table and are joined by the server."""
        raise NotImplementedError

    def version(self, table: sa.Table) -> sa.ColumnElement[Any] | None:
        """See `SqlDialect`."""
        del table

    def unchanged(self, column: sa.Column[Any], version: object, *, text: bool) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        del text
        return sa.func.hashbytes("SHA2_256", self.content(column)) == sa.literal(bytes.fromhex(str(version)))

    def content_version(self, data: ContentHash, *, text: bool) -> object:
        """See `SqlDialect`: of a SHA-256 of the server's own bytes."""
        del text
        return data.hexdigest()

    def after(self, key: Sequence[sa.Column[Any]], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """T-SQL compares no tuples."""
        found: sa.ColumnElement[bool] = sa.false()
        for number in reversed(range(len(key))):
            first, value = key[number], values[number]
            found = sa.or_(first > value, sa.and_(first == value, found))
        return found

    def containing(self, column: sa.ColumnElement[Any], needles: Sequence[bytes]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        raise NotImplementedError

    def type_of(self, affinity: Affinity, *, key: bool) -> sa.types.TypeEngine[Any]:
        """See `SqlDialect`."""
        raise NotImplementedError

    def made(self, connection: sa.Connection, table: sa.Table) -> Sequence[str]:
        """See `SqlDialect`."""
        del connection, table
        return []

    def sizes(self, connection: sa.Connection) -> Mapping[str, tuple[int, int]]:
        """See `SqlDialect`."""
        raise NotImplementedError

    def reclaim(self, table: sa.Table, *, blocking: bool) -> Sequence[str]:
        """See `SqlDialect`."""
        raise NotImplementedError


def _is_wide(column: sa.ColumnElement[Any]) -> bool:
    return isinstance(column.type, sa.types.Unicode | sa.types.UnicodeText | sa.types.NVARCHAR)
