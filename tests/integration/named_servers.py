"""Database servers that cannot be started here: the environment names one, and a test gets a database of its own."""

import contextlib
import secrets
from collections.abc import Iterator

import sqlalchemy as sa

NAMED = {"mysql": "OCBLOB_TEST_MYSQL_URL", "mssql": "OCBLOB_TEST_MSSQL_URL"}
"""Each URL names any database, and a user who may make others: `mysql+pymysql://root:...@host/mysql`."""


@contextlib.contextmanager
def database_on(url: str) -> Iterator[str]:
    """The URL of an empty database that is dropped at the end."""
    place = sa.make_url(url)
    name = f"ocblob_test_{secrets.token_hex(6)}"
    engine = sa.create_engine(place, isolation_level="AUTOCOMMIT", poolclass=sa.pool.NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield place.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
