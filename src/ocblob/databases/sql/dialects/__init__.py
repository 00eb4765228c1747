"""What the servers do each in their own way."""

from typing import Final

from ocblob.databases.sql.dialects.base import Limit, SqlDialect, Trouble
from ocblob.databases.sql.dialects.mssql import MsSqlDialect
from ocblob.databases.sql.dialects.mysql import MySqlDialect
from ocblob.databases.sql.dialects.postgresql import PostgreSqlDialect

__all__ = ["DIALECTS", "Limit", "SqlDialect", "Trouble"]

DIALECTS: Final[dict[str, SqlDialect]] = {
    "postgresql": PostgreSqlDialect(),
    "mysql": MySqlDialect(),
    "mssql": MsSqlDialect(),
}
"""By the name that SQLAlchemy gives them; MariaDB goes by MySQL's."""
