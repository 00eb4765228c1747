"""Sessions on real servers: their rows, a deletion beside somebody who writes, and a server that is killed."""

from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from mirror_contracts import MirrorRowsContract
from ocblob.databases.addresses import server_address
from ocblob.databases.sql.database import SqlDatabase
from session_contracts import COLUMNS, SessionRowsContract

TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
ID = sa.String(80).with_variant(mysql.VARCHAR(80, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
PARENTS = {
    ("session", "project_id"): "project.id",
    ("message", "session_id"): "session.id",
    ("part", "message_id"): "message.id",
    ("session_share", "session_id"): "session.id",
    ("event", "aggregate_id"): "event_sequence.aggregate_id",
}
OPTIONAL = {"name", "parent_id", "share_url", "url"}


def host_tables() -> sa.MetaData:
    """The tables of the contract as a host would make them on a server."""
    metadata = sa.MetaData()
    for table, names in COLUMNS.items():
        sa.Table(table, metadata, *(_column(table, name, key=name == names[0]) for name in names))
    return metadata


def _column(table: str, name: str, *, key: bool) -> sa.Column[object]:
    refers = [sa.ForeignKey(PARENTS[table, name], ondelete="CASCADE")] if (table, name) in PARENTS else []
    if name == "cost":
        return sa.Column(name, sa.Double(), nullable=False, server_default=sa.text("0"))
    if name.startswith("time_") or name == "seq":
        return sa.Column(name, sa.BigInteger(), nullable=False)
    kind = ID if key or name.endswith("_id") else TEXT
    return sa.Column(name, kind, *refers, primary_key=key, nullable=name in OPTIONAL, index=name == "session_id")


@pytest.fixture
def database(server_url: str) -> Iterator[SqlDatabase]:
    """A host's database on a server, without rows."""
    with SqlDatabase(server_address(server_url)) as database:
        host_tables().create_all(database.server.engine)
        yield database


class TestSqlSessions(SessionRowsContract):
    """PostgreSQL, MariaDB, and the servers that the environment names."""


@pytest.fixture
def target(server_url: str) -> Iterator[SqlDatabase]:
    """An empty database on a server."""
    with SqlDatabase(server_address(server_url)) as database:
        yield database


class TestSqlMirror(MirrorRowsContract):
    """The same servers."""
