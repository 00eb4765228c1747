"""Database servers that cannot be started here: the environment names one, and a test gets a database of its own."""

import contextlib
import secrets
from collections.abc import Iterator

import sqlalchemy as sa

from ocblob.databases.addresses import server_address

NAMED = {"mysql": "OCBLOB_TEST_MYSQL_URL", "mssql": "OCBLOB_TEST_MSSQL_URL"}
"""Each URL names any database, and a user who may make others: `mysql+pymysql://root:...@host/mysql`,
`mssql+pyodbc://sa:...@host/master?driver=ODBC+Driver+18+for+SQL+Server`.
"""


@contextlib.contextmanager
def database_on(url: str) -> Iterator[str]:
    """The URL of an empty database that is dropped at the end."""
    place = sa.make_url(server_address(url).url)
    name = f"ocblob_test_{secrets.token_hex(6)}"
    engine = sa.create_engine(place, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield place.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            if connection.dialect.name == "mssql":
                # It drops none that somebody is connected with, if only by a pool.
                connection.exec_driver_sql(f"ALTER DATABASE {name} SET SINGLE_USER WITH ROLLBACK IMMEDIATE")
            connection.exec_driver_sql(f"DROP DATABASE {name}")
