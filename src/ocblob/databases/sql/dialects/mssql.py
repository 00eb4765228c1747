"""SQL Server, through pyodbc. Nothing of this was run against a server: its statements are compiled and parsed."""

import codecs
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mssql

from ocblob.databases.session_rows import Affinity
from ocblob.databases.sql.dialects.base import ContentHash, Limit, Trouble
from ocblob.errors import DatabaseUnsupportedError

PIECE_BYTES: Final = 1024 * 1024
"""Of the server's own; an even number, so that none ends within a character of UTF-16."""
SENT_BYTES: Final = 4 * 1024 * 1024
"""The server writes the whole value again for each piece that it is sent."""
KEY_CHARS: Final = 255
KEY_BYTES: Final = 850
"""An index takes 1,700 bytes in all."""
# A type of no length is one of `max`.
VALUE_BYTES_MAX: Final = 2**31 - 1
_VERSION_MIN: Final = 13
"""SQL Server 2016: `HASHBYTES` of any length."""
_UTF8_VERSION: Final = 15
"""SQL Server 2019: text in UTF-8."""
_DIALECT: Final[sa.Dialect] = mssql.dialect()  # type: ignore[no-untyped-call]
_WIDE_COLLATION: Final = "Latin1_General_100_BIN2"
_UTF8_COLLATION: Final = "Latin1_General_100_BIN2_UTF8"
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
    snapshot_begin: Final = "SELECT 1"
    writers_unseen: Final = False
    delete_triggers: Final = (
        "SELECT OBJECT_NAME(t.parent_id), t.name FROM sys.triggers t"
        " JOIN sys.trigger_events e ON e.object_id = t.object_id WHERE e.type_desc = 'DELETE' AND t.parent_id <> 0"
    )
    keys_off: Final = None
    large_bytes: Final = 4 * 1024 * 1024

    def engine_options(self) -> Mapping[str, Any]:
        """See `SqlDialect`."""
        import pyodbc  # noqa: F401, PLC0415 - told apart from SQLAlchemy's own errors

        return {}

    def connected(self, driver: Any) -> None:
        """See `SqlDialect`: Microsoft's driver asks every 30 seconds by itself."""

    def catalog(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """See `SqlDialect`."""
        del connection
        return nullcontext()

    def settings(self, connection: sa.Connection, *, lock_wait_s: float) -> Sequence[str]:
        """See `SqlDialect`. One row's error undoes its statement, not the transaction."""
        del connection
        return [f"SET LOCK_TIMEOUT {round(lock_wait_s * 1000)}", "SET XACT_ABORT OFF"]

    def check(self, connection: sa.Connection) -> list[str]:
        """See `SqlDialect`."""
        version = int(
            connection.exec_driver_sql("SELECT CAST(SERVERPROPERTY('ProductMajorVersion') AS int)").scalar_one()
        )
        if version < _VERSION_MIN:
            raise DatabaseUnsupportedError(f"SQL Server {version} is too old: 2016 at least")
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
        return length // 2 if _is_wide(column) else length

    def content(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        """See `SqlDialect`: a text in UTF-16, whatever it is kept in."""
        if isinstance(column.type, sa.types._Binary):  # noqa: SLF001 - no public base
            return sa.cast(column, sa.VARBINARY())
        wide = column if _is_wide(column) else sa.cast(column, sa.NVARCHAR())
        return sa.cast(wide, sa.VARBINARY())

    def decoded(self, raw: bytes, *, text: bool) -> bytes:
        """See `SqlDialect`."""
        return bytes(raw).decode("utf-16-le", "surrogatepass").encode("utf-8", "surrogatepass") if text else bytes(raw)

    def encoded(self, data: bytes, *, text: bool) -> str | bytes:
        """See `SqlDialect`."""
        return data.decode("utf-8") if text else data

    def whole(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """See `SqlDialect`."""
        return self.content(column)

    def rows(self, connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Sequence[Any]]:
        """See `SqlDialect`."""
        with connection.execution_options(stream_results=True, max_row_buffer=1).execute(statement) as found:
            yield from found

    def stream(
        self,
        connection: sa.Connection,
        column: sa.ColumnElement[Any],
        where: sa.ColumnElement[bool],
        *,
        text: bool,
        seen: ContentHash | None = None,
    ) -> Iterator[bytes]:
        """See `SqlDialect`."""
        at = 1
        while True:
            piece = connection.execute(
                sa.select(sa.func.substring(self.content(column), at, PIECE_BYTES)).where(where)
            ).scalar()
            if not piece:
                return
            if seen is not None:
                seen.update(bytes(piece))
            yield self.decoded(piece, text=text)
            at += len(piece)
            if len(piece) < PIECE_BYTES:
                return

    def changed(
        self, connection: sa.Connection, statement: sa.Update, parameters: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        """See `SqlDialect`."""
        return [connection.execute(statement, one).rowcount for one in parameters]

    def put_rows(self, connection: sa.Connection, statement: sa.Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """See `SqlDialect`."""
        connection.execute(statement, rows)

    def put_large(
        self,
        connection: sa.Connection,
        column: sa.Column[Any],
        where: sa.ColumnElement[bool],
        chunks: Iterator[bytes],
        *,
        text: bool,
    ) -> int:
        """See `SqlDialect`: the value grows in a temporary table of the connection's."""
        kind = sa.NVARCHAR(collation=_WIDE_COLLATION) if text else sa.VARBINARY()
        held = sa.Table("#ocblob_value", sa.MetaData(), sa.Column("value", kind, nullable=False))
        connection.execute(sa.schema.DropTable(held, if_exists=True))
        connection.execute(sa.schema.CreateTable(held))
        connection.execute(sa.insert(held), {"value": "" if text else b""})
        for piece in _sent(chunks, text=text):
            connection.execute(sa.update(held).values(value=held.c.value + sa.literal(piece, kind)))
        value = sa.select(held.c.value).scalar_subquery()
        changed = connection.execute(sa.update(column.table).where(where).values({column: value})).rowcount
        connection.execute(sa.schema.DropTable(held))
        return changed

    def version(self, table: sa.Table) -> sa.ColumnElement[Any] | None:
        """See `SqlDialect`."""
        del table
        return None

    def unchanged(self, column: sa.Column[Any], version: object, *, text: bool) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        del text
        return sa.func.hashbytes("SHA2_256", self.content(column)) == version

    def content_version(self, data: ContentHash, *, text: bool) -> object:
        """See `SqlDialect`: of a SHA-256 of the server's own bytes."""
        del text
        return bytes.fromhex(data.hexdigest())

    def after(self, key: Sequence[sa.Column[Any]], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """T-SQL compares no tuples."""
        return sa.or_(
            *(
                sa.and_(*(column == value for column, value in zip(key[:number], values, strict=False)), last > after)
                for number, (last, after) in enumerate(zip(key, values, strict=True))
            )
        )

    def written(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """See `SqlDialect`."""
        known = isinstance(column.type, sa.types.String | sa.types._Binary)  # noqa: SLF001 - VARBINARY has no public base
        return column if known else sa.cast(column, mssql.NVARCHAR())

    def row_place(self, table: sa.Table) -> Sequence[sa.ColumnElement[Any]]:
        """See `SqlDialect`."""
        return tuple(table.primary_key.columns)

    def row_at(self, table: sa.Table, place: Sequence[object]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        return sa.and_(*(column == value for column, value in zip(self.row_place(table), place, strict=True)))

    def settle(self, connection: sa.Connection) -> None:
        """See `SqlDialect`: commits of delayed durability too."""
        connection.exec_driver_sql("EXEC sys.sp_flush_log")

    def sees_all(self, connection: sa.Connection) -> str:
        """See `SqlDialect`: what a user may not read is not listed for it."""
        granted = connection.exec_driver_sql("SELECT HAS_PERMS_BY_NAME(NULL, 'DATABASE', 'SELECT')").scalar()
        return "" if granted == 1 else "this user was not given SELECT on all of the database: it may hide tables"

    def type_of(self, connection: sa.Connection, affinity: Affinity, *, key: bool) -> sa.types.TypeEngine[Any]:
        """See `SqlDialect`."""
        if affinity == "text":
            return _text(connection.dialect.server_version_info or (), key=key)
        if affinity == "blob":
            return sa.VARBINARY(KEY_BYTES if key else None)
        return sa.Float(53) if affinity == "real" else sa.BigInteger()

    def made(self, connection: sa.Connection, table: sa.Table) -> Sequence[str]:
        """See `SqlDialect`."""
        del connection, table
        return []

    def sizes(self, connection: sa.Connection) -> Mapping[str, tuple[int, int]]:
        """See `SqlDialect`."""
        rows = connection.exec_driver_sql(
            "SELECT t.name, SUM(a.total_pages) * 8192, SUM(a.total_pages - a.used_pages) * 8192"
            " FROM sys.tables t JOIN sys.partitions p ON p.object_id = t.object_id"
            " JOIN sys.allocation_units a ON a.container_id ="
            " CASE WHEN a.type = 2 THEN p.partition_id ELSE p.hobt_id END"
            " WHERE t.schema_id = SCHEMA_ID() GROUP BY t.name"
        )
        return {str(name): (int(size), int(free)) for name, size, free in rows}

    def reclaim(self, table: sa.Table, *, blocking: bool) -> Sequence[str]:
        """See `SqlDialect`. The pages come free within the database's files; nothing shrinks these."""
        name = _DIALECT.identifier_preparer.format_table(table)
        return [f"ALTER INDEX ALL ON {name} {'REBUILD' if blocking else 'REORGANIZE WITH (LOB_COMPACTION = ON)'}"]


def _text(version: tuple[Any, ...], *, key: bool) -> sa.types.TypeEngine[Any]:
    """Compared by its code points. In UTF-8 base64 takes half of the room, but half a surrogate pair has no place."""
    if version >= (_UTF8_VERSION,):
        return sa.VARCHAR(KEY_BYTES if key else None, collation=_UTF8_COLLATION)
    return sa.NVARCHAR(KEY_CHARS if key else None, collation=_WIDE_COLLATION)


def _sent(chunks: Iterator[bytes], *, text: bool) -> Iterator[str | bytes]:
    """The pieces of a value as they are sent: large ones, and none of a text ends within a character."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    held: list[bytes] = []
    size = 0
    for chunk in chunks:
        held.append(chunk)
        size += len(chunk)
        if size >= SENT_BYTES:
            data = b"".join(held)
            yield decoder.decode(data) if text else data
            held, size = [], 0
    last = b"".join(held)
    yield decoder.decode(last, final=True) if text else last


def _is_wide(column: sa.ColumnElement[Any]) -> bool:
    return isinstance(column.type, sa.types.Unicode | sa.types.UnicodeText | sa.types.NVARCHAR)
