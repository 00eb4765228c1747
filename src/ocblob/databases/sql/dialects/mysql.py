"""MySQL and MariaDB, through PyMySQL: no row has a version, so a row's content is compared by its hash."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from decimal import Decimal
from functools import cache
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ocblob.databases.session_rows import Affinity
from ocblob.databases.sql.dialects.base import ContentHash, Limit, Trouble, staying
from ocblob.databases.sql.dialects.keepalive import keep_alive
from ocblob.databases.sql.dialects.plain import PlainStatements
from ocblob.errors import DatabaseUnsupportedError, UsageError

PIECE_BYTES: Final = 1024 * 1024
"""The server reads a large value from its beginning for each piece."""
CONNECT_TIMEOUT_S: Final = 10
SETTLE_S: Final = 10.0
"""The log is written every second, whatever else is set."""
SETTLE_PAUSE_S: Final = 0.02
_VARIABLE: Final = "@ocblob_part_"
KEY_CHARS: Final = 255
KEY_BYTES: Final = 767
"""An index takes 3,072 bytes in all."""
_TEXT_CHARSETS: Final = frozenset({"utf8mb4", "utf8mb3", "utf8", "ascii", "binary"})
_TROUBLES: Final = {
    1205: Trouble.LOCKED,
    3572: Trouble.LOCKED,
    1213: Trouble.AGAIN,
    1020: Trouble.AGAIN,
    1305: Trouble.AGAIN,
    1021: Trouble.FULL,
    1114: Trouble.FULL,
    1044: Trouble.DENIED,
    1045: Trouble.DENIED,
    1227: Trouble.DENIED,
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
    1364: Trouble.ROW,
    1300: Trouble.ROW,
    1366: Trouble.ROW,
    1406: Trouble.ROW,
    1451: Trouble.ROW,
    3819: Trouble.ROW,
    4025: Trouble.ROW,
    1040: Trouble.LOST,
    1203: Trouble.LOST,
    2003: Trouble.LOST,
    2006: Trouble.LOST,
    2013: Trouble.LOST,
    2055: Trouble.LOST,
    1053: Trouble.LOST,
    1152: Trouble.LOST,
    1927: Trouble.LOST,
}

_SIZES: Final = (
    "SELECT t.table_name, {size}, t.data_length + t.index_length, t.data_free"
    " FROM information_schema.tables t {files} WHERE t.table_schema = DATABASE() AND t.table_type = 'BASE TABLE'"
)
_FILES: Final = "LEFT JOIN information_schema.{} f ON f.name = CONCAT(t.table_schema, '/', t.table_name)"


class WrittenUuid(sa.types.Uuid[str]):
    """A UUID of MariaDB's as the text that it is sent as: `rows` has it as bytes, of which SQLAlchemy makes none."""

    cache_ok = True

    def adapt(self, cls: type[Any], **kw: Any) -> Any:
        """Stays what it is, whatever the driver has for UUIDs."""
        del cls
        return super().adapt(WrittenUuid, **kw)

    def bind_processor(self, dialect: sa.Dialect) -> None:
        """See `sqlalchemy.types.TypeEngine`."""

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Callable[[Any], Any]:
        """See `sqlalchemy.types.TypeEngine`."""
        del dialect, coltype
        return lambda found: found.decode("ascii") if isinstance(found, bytes) else found


class MySqlDialect(PlainStatements):
    """See `SqlDialect`."""

    extra: Final = "mysql"
    driver: Final = "pymysql"
    snapshot_isolation: Final = "REPEATABLE READ"
    snapshot_begin: Final = "START TRANSACTION WITH CONSISTENT SNAPSHOT"
    begin: Final = ""
    writers_unseen: Final = False
    delete_triggers: Final = (
        "SELECT event_object_table, trigger_name FROM information_schema.triggers"
        " WHERE event_manipulation = 'DELETE' AND event_object_schema = DATABASE()"
    )
    keys_off: Final = ("SET SESSION foreign_key_checks = 0", "SET SESSION foreign_key_checks = 1")
    long_indexed: Final = True
    large_bytes: Final = 4 * 1024 * 1024

    def completed(self, url: sa.URL) -> sa.URL:
        """See `SqlDialect`."""
        return url

    def engine_options(self) -> Mapping[str, Any]:
        """See `SqlDialect`."""
        from pymysql.constants import FIELD_TYPE  # noqa: PLC0415 - loaded when it is used
        from pymysql.converters import conversions  # noqa: PLC0415

        arguments = {
            "conv": {**conversions, FIELD_TYPE.DECIMAL: _decimal, FIELD_TYPE.NEWDECIMAL: _decimal},
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
        known = connection.dialect.ischema_names  # type: ignore[attr-defined]
        connection.dialect.ischema_names = {**known, "uuid": WrittenUuid}  # type: ignore[attr-defined]
        return nullcontext()

    def settings(self, connection: sa.Connection, *, lock_wait_s: float) -> Sequence[str]:
        """See `SqlDialect`. In a zone with summer time two moments of a year are written alike."""
        del connection
        waits = (f"SESSION {name} = {round(lock_wait_s)}" for name in ("innodb_lock_wait_timeout", "lock_wait_timeout"))
        return [f"SET {', '.join(waits)}, SESSION time_zone = '+00:00'"]

    def check(self, connection: sa.Connection) -> list[str]:
        """See `SqlDialect`."""
        name, flush, doublewrite = connection.exec_driver_sql(
            "SELECT DATABASE(), @@innodb_flush_log_at_trx_commit, @@innodb_doublewrite"
        ).one()
        if name is None:
            raise UsageError("the URL names no database", hint="mysql://user@host/database")
        warnings = []
        if int(flush) != 1:
            warnings.append(f"innodb_flush_log_at_trx_commit is {flush}: a power cut can lose what was committed")
        if str(doublewrite).lower() in {"0", "off"}:
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
        charset = _charset(column)
        if charset and charset not in _TEXT_CHARSETS:
            return f"its character set is {charset}; text would not stay what it is, byte for byte"
        return "it pads what is put" if isinstance(column.type, sa.types.CHAR | sa.types.BINARY) else ""

    def check_table(self, table: sa.Table) -> str:
        """See `SqlDialect`."""
        engine = str(table.kwargs.get("mysql_engine") or table.kwargs.get("mariadb_engine") or "")
        return "" if engine in {"", "InnoDB"} else f"its engine is {engine}, and only InnoDB has transactions"

    def check_key(self, column: sa.Column[Any]) -> str:
        """See `SqlDialect`: SQLAlchemy takes what may have 838 hours for a time of the day."""
        return "a span of time" if isinstance(column.type, sa.types.Time) else ""

    def self_changing(self, connection: sa.Connection, table: str) -> Sequence[str]:
        """See `SqlDialect`: times of the last update. SQLAlchemy does not see all of them."""
        found = connection.exec_driver_sql(
            "SELECT column_name FROM information_schema.columns WHERE table_schema = DATABASE()"
            " AND table_name = %s AND extra LIKE '%%on update%%'",
            (table,),
        )
        return [str(name) for (name,) in found]

    def is_text(self, column: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
        """See `SqlDialect`: most collations take `a` for `A`, and `a ` for `a`."""
        return sa.and_(column == text, sa.cast(column, sa.BINARY) == text.encode())

    def octets(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """See `SqlDialect`: the server reads the value for it, we do not."""
        return sa.func.octet_length(column, type_=sa.BigInteger)

    def content(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        """See `SqlDialect`. `CAST` would give NULL for what is larger than a packet."""
        if isinstance(column.type, sa.types._Binary):  # noqa: SLF001 - no public base
            return column
        return sa.func.convert(column.op("USING")(sa.literal_column("binary")), type_=sa.LargeBinary)

    def decoded(self, raw: bytes, *, text: bool) -> bytes:
        """See `SqlDialect`."""
        del text
        return bytes(raw)

    def encoded(self, data: bytes, *, text: bool) -> str | bytes:
        """See `SqlDialect`."""
        return data.decode("utf-8") if text else data

    def whole(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """See `SqlDialect`: as it is, the server does not copy it; but it has no UTF-8 for some bytes of other sets."""
        return column if _charset(column).startswith("utf8") else self.content(column)

    def rows(self, connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Sequence[Any]]:
        """See `SqlDialect`. As bytes: MariaDB keeps halves of surrogate pairs, which Python takes for no UTF-8."""
        import pymysql  # noqa: PLC0415 - loaded when it is used

        driver = connection.connection.dbapi_connection
        assert isinstance(driver, pymysql.Connection)  # noqa: S101 - `Server` lets in no other driver
        driver.use_unicode = False
        connection.dialect._sscursor = _streaming_cursor()  # type: ignore[attr-defined]  # noqa: SLF001
        try:
            with connection.execution_options(stream_results=True, max_row_buffer=1).execute(statement) as found:
                yield from found
        finally:
            driver.use_unicode = True

    def stream(
        self,
        connection: sa.Connection,
        column: sa.ColumnElement[Any],
        where: sa.ColumnElement[bool],
        *,
        text: bool,
        seen: ContentHash | None = None,
    ) -> Iterator[bytes]:
        """See `SqlDialect`: read once into a variable of the connection's, and halved there until the pieces are small.

        Our driver holds a row whole, and the server copies the whole of a value for each part of it. `SET` would lock
        the row, and read it as it is now.
        """
        del text
        size = connection.execute(sa.select(sa.func.octet_length(self.content(column))).where(where)).scalar()
        connection.execute(sa.select(self.content(column)).where(where).suffix_with(f"INTO {_VARIABLE}0"))
        try:
            for piece in _halves(connection, 0, int(size or 0)):
                if seen is not None:
                    seen.update(piece)
                yield piece
        finally:
            if not connection.invalidated:
                connection.exec_driver_sql(f"SET {_VARIABLE}0 = NULL")

    def put_large(
        self,
        connection: sa.Connection,
        column: sa.Column[Any],
        where: sa.ColumnElement[bool],
        chunks: Iterator[bytes],
        *,
        text: bool,
    ) -> int:
        """See `SqlDialect`: the pieces wait in variables of the connection's, and are joined once.

        The bytes of a binary value are taken as they are, and looked at whether they are text of the column's set.
        """
        del text
        names: list[str] = []
        try:
            for chunk in chunks:
                names.append(f"@ocblob_{len(names)}")
                connection.exec_driver_sql(f"SET {names[-1]} = %s", (chunk,))
            value: sa.ColumnElement[Any] = sa.literal_column(f"CONCAT({', '.join(names)})" if names else "''")
            values = {**staying(column.table), column: value}
            return connection.execute(sa.update(column.table).where(where).values(values)).rowcount
        finally:
            if names and not connection.invalidated:
                connection.exec_driver_sql(f"SET {', '.join(f'{name} = NULL' for name in names)}")

    def version(self, table: sa.Table) -> None:
        """See `SqlDialect`."""
        del table

    def unchanged(self, column: sa.Column[Any], version: object, *, text: bool) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        del text
        found: sa.ColumnElement[bool] = sa.func.sha2(column, 256) == version
        return found

    def content_version(self, data: ContentHash, *, text: bool) -> object:
        """See `SqlDialect`: of a SHA-256."""
        del text
        return data.hexdigest()

    def after(self, key: Sequence[sa.Column[Any]], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`. No index is used for tuples; the first column alone bounds where one is read."""
        found: sa.ColumnElement[bool] = key[-1] > values[-1]
        for column, value in reversed(list(zip(key[:-1], values[:-1], strict=True))):
            found = sa.or_(column > value, sa.and_(column == value, found))
        return found if len(key) == 1 else sa.and_(key[0] >= values[0], found)

    def written(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """See `SqlDialect`. Text in UTF-32 is found by none of its bytes."""
        if isinstance(column.type, sa.types.String) and not isinstance(column.type, sa.types.Enum | mysql.SET):
            if _charset(column) != "utf32":
                return column
            return sa.func.convert(column.op("USING")(sa.literal_column("utf8mb4")), type_=sa.Text)
        return self.content(column)

    def row_place(self, table: sa.Table) -> Sequence[sa.ColumnElement[Any]]:
        """See `SqlDialect`. SQLAlchemy finds no word of an enumeration's, or a set's, in bytes."""
        words = sa.types.Enum | mysql.SET
        return tuple(self.content(part) if isinstance(part.type, words) else part for part in table.primary_key.columns)

    def row_at(self, table: sa.Table, place: Sequence[object]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        return sa.and_(*(column == value for column, value in zip(self.row_place(table), place, strict=True)))

    def settle(self, connection: sa.Connection) -> None:
        """See `SqlDialect`: a commit is seen a moment before its log is on disk, and the server says how far."""
        written: int | None = None
        deadline = time.monotonic() + SETTLE_S
        while time.monotonic() < deadline:
            status = dict(_pair(row) for row in connection.exec_driver_sql("SHOW GLOBAL STATUS LIKE 'Innodb%%lsn%%'"))
            now = status.get("innodb_lsn_current", status.get("innodb_redo_log_current_lsn"))
            flushed = status.get("innodb_lsn_flushed", status.get("innodb_redo_log_flushed_to_disk_lsn"))
            if now is None or flushed is None:
                break
            written = now if written is None else written
            if flushed >= written:
                return
            time.sleep(SETTLE_PAUSE_S)
        raise DatabaseUnsupportedError("the server does not say that what it shows is on disk")

    def sees_all(self, connection: sa.Connection) -> str:
        """See `SqlDialect`: a table that a user may do nothing with is not there for it."""
        engines = connection.exec_driver_sql(
            "SELECT table_name, engine FROM information_schema.tables"
            " WHERE table_schema = DATABASE() AND table_type IN ('BASE TABLE', 'SYSTEM VERSIONED')"
            " AND engine <> 'InnoDB'"
        ).all()
        if engines:
            return f"the engine of table {engines[0][0]} is {engines[0][1]}: it has no one state to read"
        # Who may read the tables of the server's own users is told of theirs too.
        user = "CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''')"
        own = f"privilege_type = 'SELECT' AND grantee = {user}"
        granted = connection.exec_driver_sql(
            f"SELECT 1 FROM information_schema.user_privileges WHERE {own} UNION ALL SELECT 1 FROM"
            f" information_schema.schema_privileges WHERE {own} AND DATABASE() LIKE table_schema ESCAPE '\\'"
        ).first()
        return "" if granted else "this user was not given SELECT on all of the database: it may hide tables"

    def type_of(self, connection: sa.Connection, affinity: Affinity, *, key: bool) -> sa.types.TypeEngine[Any]:
        """See `SqlDialect`."""
        if affinity == "text":
            return _text(connection, key=key)
        if affinity == "blob" and key:
            return mysql.VARBINARY(KEY_BYTES)
        types: dict[Affinity, sa.types.TypeEngine[Any]] = {
            "integer": sa.BigInteger(),
            "numeric": sa.BigInteger(),
            "real": mysql.DOUBLE(asdecimal=False),
            "blob": mysql.LONGBLOB(),
        }
        return types[affinity]

    def made(self, connection: sa.Connection, table: sa.Table) -> Sequence[str]:
        """See `SqlDialect`."""
        del connection, table
        return []

    def sizes(self, connection: sa.Connection) -> Mapping[str, tuple[int, int]]:
        """The files' own sizes if this user may see them, which takes the right PROCESS.

        Else by InnoDB's statistics, which may still count as rows what is free already: the lower of two guesses.
        """
        mariadb = getattr(connection.dialect, "is_mariadb", False)
        files = "innodb_sys_tablespaces" if mariadb else "innodb_tablespaces"
        if not mariadb:
            connection.exec_driver_sql("SET SESSION information_schema_stats_expiry = 0")
        try:
            rows = connection.exec_driver_sql(_SIZES.format(size="f.file_size", files=_FILES.format(files))).all()
        except sa.exc.OperationalError as error:
            if self.trouble(error) is not Trouble.DENIED:
                raise
            rows = connection.exec_driver_sql(_SIZES.format(size="NULL", files="")).all()
        return {
            str(name): (int(file or max(content or 0, free or 0)), int(free or 0)) for name, file, content, free in rows
        }

    def reclaim(self, table: sa.Table, *, blocking: bool) -> Sequence[str]:
        """See `SqlDialect`: InnoDB makes the table anew, beside those who use it."""
        del blocking
        return [f"OPTIMIZE TABLE {mysql.dialect().identifier_preparer.format_table(table)}"]


@cache
def _streaming_cursor() -> type[Any]:
    """The driver's own reads on when it is closed or dropped, and fails once more where the connection is gone."""
    import pymysql  # noqa: PLC0415 - loaded when it is used
    from pymysql.cursors import SSCursor  # noqa: PLC0415

    class Streaming(SSCursor):  # type: ignore[misc]  # the driver has no types
        def close(self) -> None:
            try:
                super().close()
            except (pymysql.Error, AttributeError, OSError):
                self._result.unbuffered_active = False
                self.connection = None

        __del__ = close

    return Streaming


def _text(connection: sa.Connection, *, key: bool) -> sa.types.TypeEngine[Any]:
    """Compared by its bytes: two texts that differ in a blank at the end, too, are two."""
    collation = "utf8mb4_nopad_bin" if getattr(connection.dialect, "is_mariadb", False) else "utf8mb4_0900_bin"
    if key:
        return mysql.VARCHAR(KEY_CHARS, charset="utf8mb4", collation=collation)
    return mysql.LONGTEXT(charset="utf8mb4", collation=collation)


def _halves(connection: sa.Connection, depth: int, size: int) -> Iterator[bytes]:
    """The value of the variable of this depth, `size` bytes, in pieces."""
    name, half = f"{_VARIABLE}{depth}", f"{_VARIABLE}{depth + 1}"
    if size <= PIECE_BYTES:
        piece = connection.exec_driver_sql(f"SELECT {name}").scalar()
        if size:
            yield bytes(piece or b"")
        return
    middle = size // 2
    connection.exec_driver_sql(f"SET {half} = LEFT({name}, {middle})")
    yield from _halves(connection, depth + 1, middle)
    connection.exec_driver_sql(f"SET {half} = SUBSTRING({name}, {middle + 1})")
    yield from _halves(connection, depth + 1, size - middle)
    connection.exec_driver_sql(f"SET {half} = NULL")


def _decimal(written: str | bytes) -> Decimal:
    """The driver's own makes none of bytes."""
    return Decimal(written if isinstance(written, str) else written.decode("ascii"))


def _pair(row: Sequence[Any]) -> tuple[str, int]:
    """A status variable; what is no number is none that is asked for."""
    return str(row[0]).lower(), int(row[1]) if str(row[1]).isdigit() else 0


def _charset(column: sa.ColumnElement[Any]) -> str:
    """What its texts are encoded in, as far as it is known: what a column does not say it has from its table."""
    if charset := getattr(column.type, "charset", None):
        return str(charset)
    if collation := getattr(column.type, "collation", None):
        return str(collation).partition("_")[0]
    table = getattr(column, "table", None)
    return str(table.kwargs.get("mysql_default charset") or "") if isinstance(table, sa.Table) else ""
