"""MySQL and MariaDB, through PyMySQL: no row has a version, so a row's content is compared by its hash."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ocblob.databases.session_rows import Affinity
from ocblob.databases.sql.dialects.base import ContentHash, Limit, Trouble
from ocblob.databases.sql.dialects.keepalive import keep_alive
from ocblob.errors import DatabaseUnsupportedError

PIECE_BYTES: Final = 4 * 1024 * 1024
"""The server reads a large value from its beginning for each piece."""
CONNECT_TIMEOUT_S: Final = 10
KEY_CHARS: Final = 255
"""An index takes 3,072 bytes in all."""
_TEXT_CHARSETS: Final = frozenset({"utf8mb4", "utf8mb3", "utf8", "ascii", "binary"})
_TROUBLES: Final = {
    1205: Trouble.LOCKED,
    3572: Trouble.LOCKED,
    1213: Trouble.AGAIN,
    1020: Trouble.AGAIN,
    1021: Trouble.FULL,
    1114: Trouble.FULL,
    1044: Trouble.DENIED,
    1045: Trouble.DENIED,
    1142: Trouble.DENIED,
    1143: Trouble.DENIED,
    1290: Trouble.DENIED,
    1792: Trouble.DENIED,
    1153: Trouble.TOO_LARGE,
    1301: Trouble.TOO_LARGE,
    1216: Trouble.DANGLING,
    1452: Trouble.DANGLING,
    1048: Trouble.ROW,
    1062: Trouble.ROW,
    1264: Trouble.ROW,
    1366: Trouble.ROW,
    1406: Trouble.ROW,
    1451: Trouble.ROW,
    3819: Trouble.ROW,
    4025: Trouble.ROW,
    2003: Trouble.LOST,
    2006: Trouble.LOST,
    2013: Trouble.LOST,
    2055: Trouble.LOST,
    1053: Trouble.LOST,
    1152: Trouble.LOST,
    1927: Trouble.LOST,
}


class MySqlDialect:
    """See `SqlDialect`."""

    extra: Final = "mysql"
    driver: Final = "pymysql"
    snapshot_isolation: Final = "REPEATABLE READ"
    large_bytes: Final = 4 * 1024 * 1024

    def engine_options(self) -> Mapping[str, Any]:
        """See `SqlDialect`."""
        import pymysql  # noqa: F401, PLC0415 - told apart from SQLAlchemy's own errors

        arguments = {
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": CONNECT_TIMEOUT_S,
            "program_name": "ocblob",
            # Strict, so that no value is cut or changed to fit; set before SQLAlchemy looks how text is quoted.
            "sql_mode": "TRADITIONAL,NO_AUTO_VALUE_ON_ZERO,NO_BACKSLASH_ESCAPES",
        }
        return {"connect_args": arguments}

    def connected(self, driver: Any) -> None:
        """See `SqlDialect`. The driver has no names for these: it would wait for two hours, or for ever."""
        driver._read_timeout = None  # noqa: SLF001 - it was for the server's greeting
        keep_alive(driver._sock)  # noqa: SLF001

    def catalog(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """See `SqlDialect`."""
        del connection
        return nullcontext()

    def settings(self, connection: sa.Connection, *, lock_wait_s: float) -> Sequence[str]:
        """See `SqlDialect`."""
        del connection
        wait_s = round(lock_wait_s)
        return [f"SET SESSION innodb_lock_wait_timeout = {wait_s}, SESSION lock_wait_timeout = {wait_s}"]

    def check(self, connection: sa.Connection) -> list[str]:
        """See `SqlDialect`."""
        flush, binlog = connection.exec_driver_sql(
            "SELECT @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite"
        ).one()
        warnings = []
        if int(flush) != 1:
            warnings.append(f"innodb_flush_log_at_trx_commit is {flush}: a power cut can lose what was committed")
        if str(binlog).lower() in {"0", "off"}:
            warnings.append("innodb_doublewrite is off: a power cut can damage pages")
        return warnings

    def limit(self, connection: sa.Connection) -> Limit:
        """See `SqlDialect`: a value that is joined from others is no larger than a packet either."""
        most = int(connection.exec_driver_sql("SELECT @@max_allowed_packet").scalar_one())
        return Limit(
            most, f"max_allowed_packet is {most:,} bytes", "raise it on the server: SET GLOBAL max_allowed_packet = ..."
        )

    def trouble(self, error: sa.exc.DBAPIError) -> Trouble:
        """See `SqlDialect`."""
        arguments = getattr(error.orig, "args", ())
        code = arguments[0] if arguments and isinstance(arguments[0], int) else 0
        return _TROUBLES.get(code, Trouble.OTHER)

    def check_text(self, column: sa.Column[Any]) -> str:
        """See `SqlDialect`."""
        charset = getattr(column.type, "charset", None) or (getattr(column.type, "collation", None) or "").split("_")[0]
        if charset and charset not in _TEXT_CHARSETS:
            return f"its character set is {charset}; text would not stay what it is, byte for byte"
        return ""

    def check_table(self, table: sa.Table) -> str:
        """See `SqlDialect`."""
        engine = str(table.kwargs.get("mysql_engine") or table.kwargs.get("mariadb_engine") or "")
        return "" if engine in {"", "InnoDB"} else f"its engine is {engine}, and only InnoDB has transactions"

    def check_key(self, column: sa.Column[Any]) -> str:
        """See `SqlDialect`."""
        del column
        return ""

    def is_text(self, column: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
        """See `SqlDialect`: most collations take `a` for `A`, and `a ` for `a`."""
        return sa.and_(column == text, sa.cast(column, sa.BINARY) == text.encode())

    def octets(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """See `SqlDialect`: the server reads the value for it, we do not."""
        return sa.func.octet_length(column, type_=sa.BigInteger)

    def content(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        """See `SqlDialect`."""
        return sa.cast(column, sa.BINARY) if not isinstance(column.type, sa.types._Binary) else column  # noqa: SLF001

    def decoded(self, raw: bytes, *, text: bool) -> bytes:
        """See `SqlDialect`."""
        del text
        return bytes(raw)

    def encoded(self, data: bytes, *, text: bool) -> str | bytes:
        """See `SqlDialect`."""
        return data.decode("utf-8") if text else data

    def stream(
        self, connection: sa.Connection, column: sa.Column[Any], where: sa.ColumnElement[bool], *, text: bool
    ) -> Iterator[bytes]:
        """See `SqlDialect`. A statement a piece, in one state of the database: our driver holds a row whole."""
        del text
        at = 1
        while True:
            piece = connection.execute(
                sa.select(sa.func.substring(self.content(column), at, PIECE_BYTES)).where(where)
            ).scalar()
            if piece is None or not len(piece):
                return
            yield bytes(piece)
            at += len(piece)
            if len(piece) < PIECE_BYTES:
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
        """See `SqlDialect`: the pieces are joined in a variable of the connection's."""
        connection.exec_driver_sql("SET @ocblob_value = CAST('' AS BINARY)")
        try:
            for chunk in chunks:
                connection.exec_driver_sql("SET @ocblob_value = CONCAT(@ocblob_value, %s)", (chunk,))
            value = "CONVERT(@ocblob_value USING utf8mb4)" if text else "@ocblob_value"
            return connection.execute(
                sa.update(column.table).where(where).values({column: sa.literal_column(value)})
            ).rowcount
        finally:
            connection.exec_driver_sql("SET @ocblob_value = NULL")

    def version(self, table: sa.Table) -> sa.ColumnElement[Any] | None:
        """See `SqlDialect`."""
        del table

    def unchanged(self, column: sa.Column[Any], version: object, *, text: bool) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        del text
        return sa.func.sha2(self.content(column), 256) == version

    def content_version(self, data: ContentHash, *, text: bool) -> object:
        """See `SqlDialect`: of a SHA-256."""
        del text
        return data.hexdigest()

    def after(self, key: Sequence[sa.Column[Any]], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        if len(key) == 1:
            return key[0] > values[0]
        return sa.tuple_(*key) > sa.tuple_(*values, types=[column.type for column in key])

    def containing(self, column: sa.ColumnElement[Any], needles: Sequence[bytes]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        return sa.or_(*(sa.func.locate(needle, sa.cast(column, sa.BINARY)) > 0 for needle in needles))

    def type_of(self, affinity: Affinity, *, key: bool) -> sa.types.TypeEngine[Any]:
        """See `SqlDialect`."""
        if affinity == "text":
            return _text(key=key)
        return {
            "integer": sa.BigInteger(),
            "numeric": sa.BigInteger(),
            "real": mysql.DOUBLE(asdecimal=False),
            "blob": mysql.LONGBLOB(),
        }[affinity]

    def made(self, connection: sa.Connection, table: sa.Table) -> Sequence[str]:
        """See `SqlDialect`."""
        del connection, table
        return []

    def sizes(self, connection: sa.Connection) -> Mapping[str, tuple[int, int]]:
        """See `SqlDialect`."""
        rows = connection.exec_driver_sql(
            "SELECT table_name, data_length + index_length + data_free, data_free FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type = 'BASE TABLE'"
        )
        return {str(name): (int(size or 0), int(free or 0)) for name, size, free in rows}

    def reclaim(self, table: sa.Table, *, blocking: bool) -> Sequence[str]:
        """See `SqlDialect`: InnoDB makes the table anew, beside those who use it."""
        del blocking
        return [f"OPTIMIZE TABLE {mysql.dialect().identifier_preparer.format_table(table)}"]


def _text(*, key: bool) -> sa.types.TypeEngine[Any]:
    """Compared by its bytes: two texts that differ in a blank at the end, too, are two."""
    if key:
        return mysql.VARCHAR(KEY_CHARS, charset="utf8mb4", collation="utf8mb4_bin")
    return mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin")


def check_packet(size: int, most: int) -> None:
    """Raise `DatabaseUnsupportedError` if the server takes no value of this size."""
    if size > most:
        raise DatabaseUnsupportedError(f"max_allowed_packet is {most:,} bytes, and a value has {size:,}")
