"""PostgreSQL, through psycopg: row versions by `xmin`, large values through a temporary table of pieces."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from ocblob.databases.session_rows import Affinity
from ocblob.databases.sql.dialects import keepalive
from ocblob.databases.sql.dialects.base import ContentHash, Limit, Trouble
from ocblob.databases.sql.dialects.plain import PlainStatements
from ocblob.errors import DatabaseUnsupportedError

if TYPE_CHECKING:
    import psycopg

PIECE_BYTES: Final = 256 * 1024
CONNECT_TIMEOUT_S: Final = 10
VALUE_BYTES_MAX: Final = 2**30 - 64
"""1 GiB, less what a value has in front."""
_VERSION_MIN: Final = 120_000
"""PostgreSQL 12, as `server_version_num` says it."""
_TROUBLES: Final = {
    "40001": Trouble.AGAIN,
    "40P01": Trouble.AGAIN,
    "55P03": Trouble.LOCKED,
    "42501": Trouble.DENIED,
    "25006": Trouble.DENIED,
    "23503": Trouble.DANGLING,
    "53100": Trouble.FULL,
    "53200": Trouble.TOO_LARGE,
    "54000": Trouble.TOO_LARGE,
}
_CLASSES: Final = {"08": Trouble.LOST, "57": Trouble.LOST, "22": Trouble.ROW, "23": Trouble.ROW, "44": Trouble.ROW}
"""By the first two characters of an SQLSTATE. 57: the server is shut down, or starts."""

_SIZES: Final = """
    SELECT name, size, (heap_free + toast_free)::bigint FROM (
        SELECT
            c.relname AS name,
            pg_total_relation_size(c.oid) AS size,
            pg_relation_size(c.oid) * coalesce(s.n_dead_tup, 0)
                / greatest(coalesce(s.n_dead_tup, 0) + coalesce(s.n_live_tup, 0), 1) AS heap_free,
            coalesce(greatest(pg_relation_size(t.oid) - ceil(
                CASE
                    WHEN l.n_live_tup + l.n_dead_tup > 0 AND 2 * (l.n_live_tup + l.n_dead_tup) >= t.reltuples
                        THEN l.n_live_tup
                    WHEN t.reltuples >= 0 THEN t.reltuples
                END / 4.0) * current_setting('block_size')::int, 0), 0) AS toast_free
        FROM pg_class c
        LEFT JOIN pg_stat_all_tables s ON s.relid = c.oid
        LEFT JOIN pg_class t ON t.oid = c.reltoastrelid
        LEFT JOIN pg_stat_all_tables l ON l.relid = t.oid
        WHERE c.relkind IN ('r', 'm') AND c.relnamespace = quote_ident(current_schema())::regnamespace
    ) measured
"""
"""Counts of rows that were lost, by a server that was killed, are told by the last vacuum's, or free nothing."""


_REFUSALS: Final = ("authentication failed", "no password supplied", "no pg_hba.conf entry", "does not exist")
"""Where no connection was made, nobody gives an SQLSTATE; these will be no different in a moment."""


class PostgreSqlDialect(PlainStatements):
    """See `SqlDialect`."""

    extra: Final = "postgres"
    driver: Final = "psycopg"
    snapshot_isolation: Final = "REPEATABLE READ"
    snapshot_begin: Final = "SELECT 1"
    begin: Final = ""
    writers_unseen: Final = True
    delete_triggers: Final = (
        "SELECT c.relname, t.tgname FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        # Bit 3 of its type: it runs on DELETE.
        " WHERE NOT t.tgisinternal AND t.tgtype & 8 <> 0"
        " AND c.relnamespace = quote_ident(current_schema())::regnamespace"
    )
    keys_off: Final = ("SET LOCAL session_replication_role = replica", "SET LOCAL session_replication_role = origin")
    long_indexed: Final = True
    large_bytes: Final = 4 * 1024 * 1024

    def completed(self, url: sa.URL) -> sa.URL:
        """See `SqlDialect`."""
        return url

    def engine_options(self) -> Mapping[str, Any]:
        """Values come in binary: a `bytea` as text has twice the bytes."""
        import psycopg  # noqa: PLC0415 - loaded when it is used
        from psycopg.adapt import AdaptersMap  # noqa: PLC0415
        from psycopg.types.string import TextBinaryLoader  # noqa: PLC0415

        class BinaryCursor(psycopg.Cursor[Any]):
            def __init__(self, connection: "psycopg.Connection[Any]", **more: Any) -> None:
                super().__init__(connection, **more)
                self.format = psycopg.pq.Format.BINARY

        adapters = AdaptersMap(psycopg.adapters)
        # Types that an extension or a user made: an enumeration and `citext` come as text then, not as bytes.
        adapters.register_loader(0, TextBinaryLoader)
        arguments = {
            "context": adapters,
            "cursor_factory": BinaryCursor,
            "connect_timeout": CONNECT_TIMEOUT_S,
            "application_name": "ocblob",
            "client_encoding": "utf8",  # in a database of none, texts would come as bytes
            **keepalive.PSYCOPG,
        }
        return {"connect_args": arguments}

    def connected(self, driver: Any) -> None:
        """See `SqlDialect`."""

    @contextlib.contextmanager
    def catalog(self, connection: sa.Connection) -> Iterator[None]:
        """See `SqlDialect`: SQLAlchemy reads PostgreSQL's own types as text."""
        import psycopg  # noqa: PLC0415 - loaded when it is used

        driver = connection.connection.dbapi_connection
        assert isinstance(driver, psycopg.Connection)  # noqa: S101 - `Server` lets in no other driver
        factory, driver.cursor_factory = driver.cursor_factory, psycopg.Cursor
        try:
            yield
        finally:
            driver.cursor_factory = factory

    def settings(self, connection: sa.Connection, *, lock_wait_s: float) -> Sequence[str]:
        """See `SqlDialect`. A commit that was answered must not be lost; a stricter setting stays."""
        durable = connection.exec_driver_sql("SELECT current_setting('synchronous_commit')").scalar_one()
        wait_ms = round(lock_wait_s * 1000)
        settings = [f"SET lock_timeout = {wait_ms}", "SET statement_timeout = 0", *keepalive.POSTGRESQL]
        return [*settings, "SET synchronous_commit = on"] if durable == "off" else settings

    def check(self, connection: sa.Connection) -> list[str]:
        """See `SqlDialect`."""
        version, encoding, fsync, recovery = connection.exec_driver_sql(
            "SELECT current_setting('server_version_num')::int, current_setting('server_encoding'),"
            " current_setting('fsync'), pg_is_in_recovery()"
        ).one()
        if version < _VERSION_MIN:
            raise DatabaseUnsupportedError(f"PostgreSQL {version // 10_000} is too old: 12 at least")
        if encoding != "UTF8":
            raise DatabaseUnsupportedError(
                f"the database has the encoding {encoding}: text would not stay what it is, byte for byte",
                hint="CREATE DATABASE ... ENCODING 'UTF8'",
            )
        warnings = ["the server runs with fsync=off: a power cut can lose what was committed"] if fsync == "off" else []
        return [*warnings, "the server is a standby: it can only be read"] if recovery else warnings

    def limit(self, connection: sa.Connection) -> Limit:
        """See `SqlDialect`."""
        del connection
        return Limit(VALUE_BYTES_MAX, f"PostgreSQL takes {VALUE_BYTES_MAX:,} bytes in a value", "")

    def trouble(self, error: sa.exc.DBAPIError) -> Trouble:
        """See `SqlDialect`."""
        state = getattr(error.orig, "sqlstate", None)
        if state is None:
            if not isinstance(error, sa.exc.OperationalError):
                return Trouble.OTHER
            refused = any(words in str(error.orig) for words in _REFUSALS)
            return Trouble.DENIED if refused else Trouble.LOST
        if state == "57014":  # a statement was cancelled, by hand
            return Trouble.OTHER
        return _TROUBLES.get(state) or _CLASSES.get(state[:2], Trouble.OTHER)

    def check_text(self, column: sa.Column[Any]) -> str:
        """See `SqlDialect`."""
        if isinstance(column.type, sa.types.CHAR | postgresql.CIDR):
            return "it pads its text with blanks"
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
        """See `SqlDialect`: a collation that is not deterministic takes others for equal, and so does `citext`."""
        return sa.and_(column == text, sa.cast(column, sa.Text).collate("C") == text)

    def octets(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """See `SqlDialect`: it is in the row, or in the pointer to where the value is."""
        return sa.func.octet_length(column, type_=sa.BigInteger)

    def content(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        """See `SqlDialect`."""
        if isinstance(column.type, sa.types._Binary):  # noqa: SLF001 - no public base
            return column
        return sa.func.convert_to(column, "UTF8", type_=sa.LargeBinary)

    def decoded(self, raw: bytes, *, text: bool) -> bytes:
        """See `SqlDialect`."""
        del text
        return bytes(raw)

    def encoded(self, data: bytes, *, text: bool) -> str | bytes:
        """See `SqlDialect`: no text of PostgreSQL's holds a zero byte."""
        if not text:
            return data
        if b"\0" in data:
            raise ValueError("a text of PostgreSQL's holds no zero byte")
        return data.decode("utf-8")

    def whole(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """See `SqlDialect`: as it is; `rows` hands a `varchar` out as the bytes that came, and a cast to it is free."""
        if isinstance(column.type, sa.types._Binary):  # noqa: SLF001 - no public base
            return column
        return sa.cast(column, sa.VARCHAR)

    def rows(self, connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Sequence[Any]]:
        """See `SqlDialect`: through the driver, since a cursor of the server's asks for each row."""
        from psycopg.types.string import ByteaBinaryLoader  # noqa: PLC0415 - loaded when it is used

        compiled = statement.compile(dialect=connection.dialect, compile_kwargs={"render_postcompile": True})
        with _driver(connection, compiled.string) as cursor:
            # Neither the server nor Python makes it another text: all of it is read, decoded and encoded for that.
            cursor.adapters.register_loader("varchar", ByteaBinaryLoader)
            yield from cursor.stream(compiled.string, compiled.params)

    def stream(
        self,
        connection: sa.Connection,
        column: sa.ColumnElement[Any],
        where: sa.ColumnElement[bool],
        *,
        text: bool,
        seen: ContentHash | None = None,
    ) -> Iterator[bytes]:
        """See `SqlDialect`.

        One statement, so that the server puts the value together once: `substring` of a text in UTF-8 begins at the
        text's beginning each time.
        """
        del text
        content: sa.ColumnElement[Any] = self.content(column)
        if content is column:
            # Joined with nothing it is put together here; or each piece would be cut from what is stored, compressed.
            content = column.concat(sa.literal(b"", sa.LargeBinary))
        cell = sa.select(content.label("content")).where(where).offset(0).subquery("cell")
        start = sa.func.generate_series(1, sa.func.octet_length(cell.c.content), PIECE_BYTES).table_valued("at")
        start = start.render_derived()
        pieces = sa.select(sa.func.substr(cell.c.content, start.c.at, PIECE_BYTES)).select_from(
            cell.join(start, sa.true())
        )
        for (piece,) in self.rows(connection, pieces):
            if seen is not None:
                seen.update(piece)
            yield piece

    def changed(
        self, connection: sa.Connection, statement: sa.Update, parameters: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        """See `SqlDialect`: in a pipeline, one after the other without waiting for answers."""
        compiled = statement.compile(dialect=connection.dialect)
        with _driver(connection, compiled.string) as cursor:
            cursor.executemany(compiled.string, parameters, returning=True)
            counts = [cursor.rowcount]
            while cursor.nextset():
                counts.append(cursor.rowcount)
            return counts

    def put_rows(self, connection: sa.Connection, statement: sa.Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """See `SqlDialect`: by `COPY`, which takes half of the time, and every value as it is written."""
        quote = connection.dialect.identifier_preparer
        names = list(rows[0])
        columns = ", ".join(quote.quote(name) for name in names)
        copy = f"COPY {quote.format_table(statement.table)} ({columns}) FROM STDIN"
        with _driver(connection, copy) as cursor, cursor.copy(copy) as into:
            for row in rows:
                into.write_row([row[name] for name in names])

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
        connection.exec_driver_sql(
            "CREATE TEMPORARY TABLE IF NOT EXISTS ocblob_piece (n integer, piece bytea) ON COMMIT DROP"
        )
        # Kept apart from its row, it is sorted by without being moved; base64 would not be compressed anyway.
        connection.exec_driver_sql("ALTER TABLE ocblob_piece ALTER piece SET STORAGE EXTERNAL")
        # Pieces of the one before, which may have ended with what its chunks raised.
        connection.exec_driver_sql("TRUNCATE ocblob_piece")
        pieces = sa.table("ocblob_piece", sa.column("n", sa.Integer), sa.column("piece", sa.LargeBinary))
        for number, chunk in enumerate(chunks):
            connection.execute(sa.insert(pieces), {"n": number, "piece": chunk})
        joined: sa.ColumnElement[Any] = sa.func.coalesce(
            sa.func.string_agg(pieces.c.piece, postgresql.aggregate_order_by(sa.literal(b""), pieces.c.n)), b""
        )
        value = sa.func.convert_from(joined, "UTF8") if text else joined
        return connection.execute(
            sa.update(column.table).where(where).values({column: sa.select(value).scalar_subquery()})
        ).rowcount

    def version(self, table: sa.Table) -> sa.ColumnElement[Any] | None:
        """The transaction that wrote the row as it is now: no later one has its number."""
        del table
        return sa.cast(sa.cast(sa.literal_column("xmin"), sa.Text), sa.BigInteger)

    def unchanged(self, column: sa.Column[Any], version: object, *, text: bool) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        del text
        found = self.version(_table_of(column))
        assert found is not None  # noqa: S101 - it is never None here
        unchanged: sa.ColumnElement[bool] = found == version
        return unchanged

    def content_version(self, data: ContentHash, *, text: bool) -> object:
        """See `SqlDialect`: nobody asks."""
        raise NotImplementedError

    def among(self, column: sa.Column[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`: an array is one value, and the statement the same for any number of them."""
        kinds = (sa.types.String, sa.types.Integer)
        if not isinstance(column.type, kinds) or isinstance(column.type, sa.types.Enum):
            return column.in_(values)
        kind = sa.Text() if isinstance(column.type, sa.types.String) else column.type
        return column == sa.any_(sa.literal(list(values), postgresql.ARRAY(kind)))

    def after(self, key: Sequence[sa.Column[Any]], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        one: sa.ColumnElement[bool] = key[0] > values[0]
        return one if len(key) == 1 else sa.tuple_(*key) > sa.tuple_(*values, types=[column.type for column in key])

    def written(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """See `SqlDialect`."""
        return column if isinstance(column.type, sa.types._Binary) else sa.cast(column, sa.Text)  # noqa: SLF001 - as above

    def row_place(self, table: sa.Table) -> Sequence[sa.ColumnElement[Any]]:
        """See `SqlDialect`: a table may have parts, each with places of its own."""
        del table
        part: sa.ColumnElement[Any] = sa.cast(sa.literal_column("tableoid"), sa.BigInteger)
        return part, sa.cast(sa.literal_column("ctid"), sa.Text)

    def row_at(self, table: sa.Table, place: Sequence[object]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        part, _ = self.row_place(table)
        return sa.and_(part == place[0], sa.literal_column("ctid") == sa.cast(sa.literal(place[1]), _Tid()))

    def settle(self, connection: sa.Connection) -> None:
        """See `SqlDialect`: the log is flushed up to our own commit, which comes after all that was seen."""
        if connection.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one():
            raise DatabaseUnsupportedError(
                "the server is a standby: what its primary has beyond that cannot be seen", hint="name the primary"
            )
        # In one statement, so that it is one transaction; no standby is waited for.
        connection.exec_driver_sql(
            "SELECT set_config('synchronous_commit', 'local', true), pg_logical_emit_message(true, 'ocblob', '')"
        )

    def sees_all(self, connection: sa.Connection) -> str:
        """See `SqlDialect`: a policy that hides rows is an error from now on."""
        connection.exec_driver_sql("SET LOCAL row_security = off")
        return ""

    def made_anew(self, connection: sa.Connection) -> Sequence[str]:
        """See `SqlDialect`: by an `ALTER TABLE` or a `TRUNCATE`, or another one has its name now.

        The catalog is of the state, and the functions of now.
        """
        found = connection.exec_driver_sql(
            "SELECT relname FROM pg_class WHERE relnamespace = quote_ident(current_schema())::regnamespace"
            " AND relkind = 'r' AND (relfilenode <> pg_relation_filenode(oid)"
            " OR to_regclass(quote_ident(relname))::oid IS DISTINCT FROM oid) ORDER BY relname"
        )
        return [str(name) for (name,) in found]

    def type_of(self, connection: sa.Connection, affinity: Affinity, *, key: bool) -> sa.types.TypeEngine[Any]:
        """See `SqlDialect`."""
        del connection, key
        text = sa.Text(collation="C")
        types: dict[Affinity, sa.types.TypeEngine[Any]] = {
            "text": text,
            "integer": sa.BigInteger(),
            "numeric": sa.BigInteger(),
            "real": sa.Double(),
            "blob": sa.LargeBinary(),
        }
        return types[affinity]

    def made(self, connection: sa.Connection, table: sa.Table) -> Sequence[str]:
        """A value that is not compressed can be read in parts; payloads are gone from it, and refs are short."""
        quote = connection.dialect.identifier_preparer
        texts = [column for column in table.columns if isinstance(column.type, sa.Text | sa.LargeBinary)]
        name = quote.format_table(table)
        return [f"ALTER TABLE {name} ALTER COLUMN {quote.format_column(text)} SET STORAGE EXTERNAL" for text in texts]

    def sizes(self, connection: sa.Connection) -> Mapping[str, tuple[int, int]]:
        """Of the schema that comes first. What is free is estimated; large values fill four to a page and no less."""
        rows = connection.exec_driver_sql(_SIZES)
        return {str(name): (int(size), int(free)) for name, size, free in rows}

    def reclaim(self, table: sa.Table, *, blocking: bool) -> Sequence[str]:
        """See `SqlDialect`. A plain vacuum makes room for rows to come, and cuts off what is free at the end."""
        dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy has no types for it
        name = dialect.identifier_preparer.format_table(table)
        return [f"VACUUM {'(FULL, ANALYZE)' if blocking else '(ANALYZE)'} {name}"]


@contextlib.contextmanager
def _driver(connection: sa.Connection, statement: str) -> Iterator["psycopg.Cursor[Any]"]:
    """A cursor of the driver's own, for what SQLAlchemy has no words for; errors are what they would be there."""
    import psycopg  # noqa: PLC0415 - loaded when it is used

    driver = connection.connection.dbapi_connection
    assert isinstance(driver, psycopg.Connection)  # noqa: S101 - `Server` lets in no other driver
    try:
        with driver.cursor() as cursor:
            yield cursor
    except psycopg.Error as error:
        lost = bool(driver.closed)
        if lost:
            connection.invalidate(error)
        raise sa.exc.DBAPIError.instance(
            statement, None, error, psycopg.Error, hide_parameters=True, connection_invalidated=lost
        ) from error


def _table_of(column: sa.Column[Any]) -> sa.Table:
    table = column.table
    assert isinstance(table, sa.Table)  # noqa: S101 - it was reflected
    return table


class _Tid(sa.types.UserDefinedType[str]):
    """Where a row is in its table."""

    cache_ok = True

    def get_col_spec(self, **_options: Any) -> str:
        """As SQL names it."""
        return "tid"
