"""Databases of an OpenCode on a server, made of one in SQLite: the same tables and rows, no keys but primary ones."""

import itertools
from pathlib import Path
from typing import Any

import apsw
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from ocblob.databases.addresses import server_address
from samples import opened

KEY_CHARS = 255
BATCH_ROWS = 200


def serve(path: Path, url: str) -> str:
    """Copy every table of a SQLite file into an empty database on a server; returns its URL."""
    engine = engine_of(url)
    try:
        with opened(path) as db, engine.begin() as server:
            for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table' ORDER BY name").fetchall():
                _copy(db, str(name), server)
    finally:
        engine.dispose()
    return url


def _copy(db: apsw.Connection, name: str, server: sa.Connection) -> None:
    info = db.execute("SELECT name, type, pk FROM pragma_table_info(?)", (name,)).fetchall()
    names = [str(column) for column, _kind, _key in info]
    columns = [
        sa.Column(
            str(column), _type(str(kind), key=bool(key)), primary_key=bool(key), nullable=not key, autoincrement=False
        )
        for column, kind, key in info
    ]
    table = sa.Table(name, sa.MetaData(), *columns)
    table.create(server)
    found = db.execute(f'SELECT * FROM "{name}"')
    while rows := list(itertools.islice(found, BATCH_ROWS)):
        server.execute(sa.insert(table), [dict(zip(names, row, strict=True)) for row in rows])


def dump(url: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a server's database, ordered."""
    engine = engine_of(url)
    try:
        with engine.connect() as server:
            tables = sa.MetaData()
            tables.reflect(server)
            return {
                name: sorted((tuple(row) for row in server.execute(sa.select(table))), key=repr)
                for name, table in tables.tables.items()
            }
    finally:
        engine.dispose()


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Run statements, each committed by itself; the rows of the last one."""
    engine = engine_of(url)
    try:
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as server:
            for statement in statements:
                found = server.exec_driver_sql(statement)
            return [tuple(row) for row in found] if found.returns_rows else []
    finally:
        engine.dispose()


def engine_of(url: str) -> sa.Engine:
    """A plain engine of SQLAlchemy's own, with nothing of ours but the meaning of the URL."""
    return sa.create_engine(server_address(url).url, poolclass=sa.pool.NullPool, hide_parameters=True)


def _type(kind: str, *, key: bool) -> sa.types.TypeEngine[Any]:
    """Texts are compared by their bytes."""
    if kind.upper() == "TEXT":
        if key:
            return sa.String(KEY_CHARS).with_variant(
                mysql.VARCHAR(KEY_CHARS, charset="utf8mb4", collation="utf8mb4_bin"), "mysql"
            )
        return sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql")
    if kind.upper() == "REAL":
        return sa.Double()
    return sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql") if kind.upper() == "BLOB" else sa.BigInteger()
