"""What a server's database takes on disk, as far as the server tells: the tables of the schema that the URL means.

Bytes are those of tables and their indexes; how many of these are free is estimated.
"""

import contextlib
from typing import Final

from ocblob.databases.addresses import Address
from ocblob.databases.sql.server import Server
from ocblob.databases.vacuum import FileSizes

Activity = tuple[int, int, int]
_ACTIVITY: Final = {
    "postgresql": (
        "SELECT coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint, count(*), 0"
        " FROM pg_stat_user_tables WHERE schemaname = current_schema()"
    ),
    "mysql": (
        "SELECT COALESCE(MAX(UNIX_TIMESTAMP(update_time)), 0), COUNT(*), COUNT(update_time)"
        " FROM information_schema.tables WHERE table_schema = DATABASE()"
    ),
    "mssql": (
        "SELECT COALESCE(SUM(p.modification_counter), 0), COUNT(*), COALESCE(SUM(p.rows), 0) FROM sys.stats s"
        " JOIN sys.tables t ON t.object_id = s.object_id"
        " CROSS APPLY sys.dm_db_stats_properties(s.object_id, s.stats_id) p WHERE t.schema_id = SCHEMA_ID()"
    ),
}
"""Counters that the server keeps anyway; no row is read."""


def sizes(address: Address) -> FileSizes:
    """Measure. Raises `DatabaseError`."""
    with contextlib.closing(Server(address, read_only=True)) as server:
        return sizes_of(server)


def sizes_of(server: Server) -> FileSizes:
    """The same of a server that is open."""
    tables = tables_of(server).values()
    size, free = (sum(column) for column in zip(*tables, strict=True)) if tables else (0, 0)
    kind = server.address.name.partition("://")[0]
    return FileSizes(size, 0, 1, size, min(free, size), kind)


def tables_of(server: Server) -> dict[str, tuple[int, int]]:
    """Bytes of each table, and how many of these are free."""
    with server.reading() as connection:
        return dict(server.dialect.sizes(connection))


def activity(address: Address) -> Activity:
    """What differs after anybody has written, within a second or so. Raises `DatabaseError`."""
    with contextlib.closing(Server(address, read_only=True)) as server, server.reading() as connection:
        one, two, three = connection.exec_driver_sql(_ACTIVITY[server.engine.dialect.name]).one()
        return int(one), int(two), int(three)
