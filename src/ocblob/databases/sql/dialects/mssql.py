"""SQL Server, through pyodbc. Nothing of this was run against a server: its statements are compiled and parsed."""

import codecs
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mssql

from ocblob.databases.session_rows import Affinity
from ocblob.databases.sql.dialects.base import ContentHash, Limit, Trouble
from ocblob.databases.sql.dialects.plain import PlainStatements
from ocblob.errors import DatabaseUnsupportedError, UsageError

PIECE_BYTES: Final = 4 * 1024 * 1024
"""The server looks at a large value from its beginning for each piece."""
CONNECT_TIMEOUT_S: Final = 10
SENT_BYTES: Final = 4 * 1024 * 1024
"""The server writes the whole value again for each piece that it is sent."""
KEY_BYTES: Final = 850
"""The index in whose order the rows lie takes 900 bytes in all."""
# A type of no length is one of `max`.
VALUE_BYTES_MAX: Final = 2**31 - 1
_VERSION_MIN: Final = 15
"""SQL Server 2019: text in UTF-8, and with it the bytes of a text in UTF-8."""
_AZURE: Final = frozenset({5, 8})
"""Editions that are never old, whatever number they give."""
_DIALECT: Final[sa.Dialect] = mssql.dialect()  # type: ignore[no-untyped-call]
_WIDE_COLLATION: Final = "Latin1_General_100_BIN2"
_UTF8_COLLATION: Final = "Latin1_General_100_BIN2_UTF8"
_ODBC: Final = re.compile(r"ODBC Driver (\d+) for SQL Server")
_CODE: Final = re.compile(r"\((\d+)\)(?= \(SQL|; \[|$)")
"""The server's number of an error, in the driver's words; what it quotes of a row may have numbers too."""
_CONFLICT: Final = 547
_TROUBLES: Final = {
    1205: Trouble.AGAIN,
    3960: Trouble.AGAIN,
    # No such savepoint, or no transaction: the server has undone all of it.
    628: Trouble.AGAIN,
    3903: Trouble.AGAIN,
    6401: Trouble.AGAIN,
    596: Trouble.LOST,
    6005: Trouble.LOST,
    10928: Trouble.LOST,
    10929: Trouble.LOST,
    40197: Trouble.LOST,
    40501: Trouble.LOST,
    40613: Trouble.LOST,
    1204: Trouble.LOCKED,
    1222: Trouble.LOCKED,
    1101: Trouble.FULL,
    1105: Trouble.FULL,
    9002: Trouble.FULL,
    40544: Trouble.FULL,
    229: Trouble.DENIED,
    230: Trouble.DENIED,
    262: Trouble.DENIED,
    297: Trouble.DENIED,
    300: Trouble.DENIED,
    916: Trouble.DENIED,
    3906: Trouble.DENIED,
    18456: Trouble.DENIED,
    241: Trouble.ROW,
    242: Trouble.ROW,
    245: Trouble.ROW,
    511: Trouble.ROW,
    515: Trouble.ROW,
    1946: Trouble.ROW,
    2601: Trouble.ROW,
    2627: Trouble.ROW,
    2628: Trouble.ROW,
    8114: Trouble.ROW,
    8115: Trouble.ROW,
    8152: Trouble.ROW,
    7102: Trouble.TOO_LARGE,
    7119: Trouble.TOO_LARGE,
}
_SEES_ALL: Final = (
    "SELECT HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'SELECT'),"
    " HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'VIEW DEFINITION'),"
    " HAS_PERMS_BY_NAME(DB_NAME(), 'DATABASE', 'UNMASK'),"
    " (SELECT COUNT(*) FROM sys.security_policies WHERE is_enabled = 1),"
    " (SELECT COUNT(*) FROM sys.masked_columns)"
)


class NarrowText(sa.VARCHAR):
    """Text in the code page of its collation, which may be UTF-8.

    What is bound for it goes as UTF-16, and is converted by the server for this collation. The driver would do it by
    the code page of the database, and put question marks where that has no such character. And a text in UTF-16
    beside a column in UTF-8 is compared by another order than the one that its rows lie in.
    """

    cache_ok = True

    def adapt(self, cls: type[Any], **kw: Any) -> Any:
        """Stays what it is, whatever the driver has for texts."""
        del cls
        return super().adapt(NarrowText, **kw)

    def get_dbapi_type(self, dbapi: Any) -> Any:
        """See `sqlalchemy.types.TypeEngine`: `nvarchar(max)`."""
        return dbapi.SQL_WVARCHAR, 0, 0

    def bind_expression(self, bindvalue: sa.BindParameter[Any]) -> sa.ColumnElement[Any]:
        """See `sqlalchemy.types.TypeEngine`."""
        wide = sa.collate(bindvalue, self.collation) if self.collation else bindvalue
        return sa.cast(wide, sa.VARCHAR())


class MsSqlDialect(PlainStatements):
    """See `SqlDialect`."""

    extra: Final = "mssql"
    driver: Final = "pyodbc"
    snapshot_isolation: Final = "SERIALIZABLE"
    snapshot_begin: Final = "SELECT 1"
    # The driver leaves it to the first statement that looks at a table. One that a savepoint begins is within that one,
    # and would be left open by its commit.
    begin: Final = "SELECT TOP 0 name FROM sys.objects"
    writers_unseen: Final = False
    delete_triggers: Final = (
        "SELECT OBJECT_NAME(t.parent_id), t.name FROM sys.triggers t"
        " JOIN sys.trigger_events e ON e.object_id = t.object_id WHERE e.type_desc = 'DELETE' AND t.parent_id <> 0"
    )
    keys_off: Final = None
    long_indexed: Final = False
    large_bytes: Final = 4 * 1024 * 1024

    def completed(self, url: sa.URL) -> sa.URL:
        """See `SqlDialect`: of Microsoft's ODBC drivers the latest, unless the URL names one, or a DSN."""
        import pyodbc  # noqa: PLC0415 - loaded when it is wanted

        if not (url.host and url.database) or {"driver", "odbc_connect"} & {name.lower() for name in url.query}:
            return url
        found = sorted((int(name[1]), name[0]) for each in pyodbc.drivers() if (name := _ODBC.fullmatch(each)))
        if not found:
            raise UsageError(
                "no ODBC driver for SQL Server is installed",
                hint="install Microsoft's (msodbcsql18), or name another one: ?driver=NAME",
            )
        return url.update_query_dict({"driver": found[-1][1]})

    def engine_options(self) -> Mapping[str, Any]:
        """See `SqlDialect`."""
        return {"connect_args": {"timeout": CONNECT_TIMEOUT_S}}

    def connected(self, driver: Any) -> None:
        """See `SqlDialect`: Microsoft's driver asks every 30 seconds by itself."""

    def catalog(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """See `SqlDialect`."""
        known = connection.dialect.ischema_names  # type: ignore[attr-defined]
        connection.dialect.ischema_names = {**known, "varchar": NarrowText}  # type: ignore[attr-defined]
        return nullcontext()

    def settings(self, connection: sa.Connection, *, lock_wait_s: float) -> Sequence[str]:
        """See `SqlDialect`. One row's error undoes its statement, not the transaction.

        Of a deadlock we are the victim, never the host; and a swap is told by how many rows were changed.
        """
        del connection
        wait = f"SET LOCK_TIMEOUT {round(lock_wait_s * 1000)}"
        return [wait, "SET DEADLOCK_PRIORITY LOW", "SET XACT_ABORT OFF", "SET NOCOUNT OFF"]

    def check(self, connection: sa.Connection) -> list[str]:
        """See `SqlDialect`."""
        version, edition = connection.exec_driver_sql(
            "SELECT CAST(SERVERPROPERTY('ProductMajorVersion') AS int), CAST(SERVERPROPERTY('EngineEdition') AS int)"
        ).one()
        if version < _VERSION_MIN and edition not in _AZURE:
            raise DatabaseUnsupportedError(f"SQL Server of version {version} is too old: 15 (2019) at least")
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
        state = arguments[0] if arguments else ""
        if state.startswith("08"):
            return Trouble.LOST
        if state == "40001":
            return Trouble.AGAIN
        codes = [int(code) for words in arguments[1:] for code in _CODE.findall(words)]
        if _CONFLICT in codes:
            # One number for a row that refers to none, one that is referred to, and one that is not as it must be.
            return Trouble.DANGLING if "FOREIGN KEY" in " ".join(arguments[1:]) else Trouble.ROW
        # The state of a time that is over: for a lock, if the server gives its number, or for a connection.
        other = Trouble.LOST if state == "HYT00" else Trouble.OTHER
        return next((_TROUBLES[code] for code in codes if code in _TROUBLES), other)

    def check_text(self, column: sa.Column[Any]) -> str:
        """See `SqlDialect`."""
        if _is_binary(column):
            return "it pads its bytes with zeros" if isinstance(column.type, sa.BINARY) else ""
        if isinstance(column.type, sa.types.CHAR | sa.types.NCHAR):
            return "it pads its text with blanks"
        if isinstance(column.type, sa.TEXT | mssql.NTEXT):
            return f"{column.type} is a type of old, which is not compared: NVARCHAR(MAX) is what it became"
        collation = getattr(column.type, "collation", None) or ""
        if not _is_wide(column) and not collation.upper().endswith("_UTF8"):
            return f"its collation is {collation}: text of that is not Unicode"
        return ""

    def check_table(self, table: sa.Table) -> str:
        """See `SqlDialect`."""
        del table
        return ""

    def check_key(self, column: sa.Column[Any]) -> str:
        """See `SqlDialect`. Only `DATE` is in Python what it is there: others are finer, or rounded otherwise."""
        timed = isinstance(column.type, sa.types.DateTime | sa.types.Time)
        return "a row is not found by a time that the driver rounds" if timed else ""

    def is_text(self, column: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        # In hexadecimal: a statement takes 2,100 parameters, and a tree may have many sessions.
        exactly = sa.literal_column(f"0x{text.encode('utf-16-le', 'surrogatepass').hex()}", sa.VARBINARY())
        return sa.and_(column == text, self.content(column) == exactly)

    def octets(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """See `SqlDialect`. A text that is not kept in UTF-8 is read for it."""
        if _is_binary(column) or _is_utf8(column):
            return sa.cast(sa.func.datalength(column), sa.BigInteger)
        utf8 = sa.cast(sa.collate(sa.cast(column, sa.NVARCHAR()), _UTF8_COLLATION), sa.VARCHAR())
        return sa.cast(sa.func.datalength(utf8), sa.BigInteger)

    def content(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        """See `SqlDialect`: a text in UTF-16, whatever it is kept in."""
        if _is_binary(column):
            return sa.cast(column, sa.VARBINARY())
        return sa.cast(sa.cast(column, sa.NVARCHAR()), sa.VARBINARY())

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
        # A piece may end within a character, and within one of two that make one.
        decoder = codecs.getincrementaldecoder("utf-16-le")("surrogatepass") if text else None
        at = 1
        while True:
            piece = connection.execute(
                sa.select(sa.func.substring(self.content(column), at, PIECE_BYTES)).where(where)
            ).scalar()
            raw = b"" if piece is None else bytes(piece)
            if seen is not None:
                seen.update(raw)
            at += len(raw)
            last = len(raw) < PIECE_BYTES
            found = raw if decoder is None else decoder.decode(raw, last).encode("utf-8", "surrogatepass")
            if found:
                yield found
            if last:
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
        kind = sa.VARBINARY(32)
        found = sa.func.hashbytes(sa.literal_column("'SHA2_256'"), self.content(column), type_=kind)
        return found == (version if isinstance(version, sa.BindParameter) else sa.literal(version, kind))

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
        known = isinstance(column.type, sa.types.String) or _is_binary(column)
        return column if known else sa.cast(column, sa.NVARCHAR())

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
        reads, knows, unmasked, policies, masks = connection.exec_driver_sql(_SEES_ALL).one()
        if not (reads and knows):
            return "tables, or rules that hide rows, may be hidden from a user without SELECT and VIEW DEFINITION on it"
        if policies:
            return "it has a security policy, which may hide rows"
        return "masked columns are shown to this user in part only" if masks and not unmasked else ""

    def type_of(self, connection: sa.Connection, affinity: Affinity, *, key: bool) -> sa.types.TypeEngine[Any]:
        """See `SqlDialect`."""
        del connection
        if affinity == "text":
            # Compared by its bytes, in half of the room that UTF-16 takes. Half a surrogate pair has no place in it.
            return NarrowText(KEY_BYTES if key else None, collation=_UTF8_COLLATION)
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
        # What is made anew are rows; large values in pages of their own are only moved together.
        together = f"ALTER INDEX ALL ON {name} REORGANIZE WITH (LOB_COMPACTION = ON)"
        return [f"ALTER TABLE {name} REBUILD", together] if blocking else [together]


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


def _is_binary(column: sa.ColumnElement[Any]) -> bool:
    return isinstance(column.type, sa.types._Binary)  # noqa: SLF001 - VARBINARY has no public base


def _is_wide(column: sa.ColumnElement[Any]) -> bool:
    return isinstance(column.type, sa.types.Unicode | sa.types.UnicodeText | sa.types.NVARCHAR)


def _is_utf8(column: sa.ColumnElement[Any]) -> bool:
    collation = getattr(column.type, "collation", None) or ""
    return not _is_wide(column) and collation.upper().endswith("_UTF8")
