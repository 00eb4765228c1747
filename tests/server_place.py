"""A place for the contract of databases on a server: its tables, and a client that is plain SQLAlchemy."""

import contextlib
from collections.abc import Iterator
from typing import Any, Final

import pytest
import sqlalchemy as sa

from ocblob.databases.addresses import server_address

TEXTS: Final = {"postgresql": "TEXT", "mysql": "LONGTEXT", "mssql": "NVARCHAR(MAX)"}
BLOBS: Final = {"postgresql": "BYTEA", "mysql": "LONGBLOB", "mssql": "VARBINARY(MAX)"}
KEYS: Final = {"postgresql": "VARCHAR(200)", "mysql": "VARCHAR(200)", "mssql": "NVARCHAR(200)"}
ALIKE: Final = ("a", "A", " a", "á", "a\u0301", "ﬁ", "fi", "ß", "ss", "😀", "")


class ServerPlace:
    """See `database_contracts.Place`."""

    def __init__(self, url: str) -> None:
        self.address = server_address(url)
        self._engine = sa.create_engine(self.address.url, hide_parameters=True)
        self.kind = self._engine.dialect.name
        self.text, self.blob, self.key = TEXTS[self.kind], BLOBS[self.kind], KEYS[self.kind]
        self.keys_apart: tuple[str, ...] = (*ALIKE, "a ")
        if self.kind == "mssql":
            # Two texts that differ in blanks at their end are one key to SQL Server, whatever the collation.
            self.key, self.keys_apart = f"{self.key} COLLATE Latin1_General_100_BIN2", ALIKE
        if self.kind == "mysql":
            with self._engine.connect() as connection:
                mariadb = getattr(connection.dialect, "is_mariadb", False)
            self.key += f" CHARACTER SET utf8mb4 COLLATE {'utf8mb4_nopad_bin' if mariadb else 'utf8mb4_0900_bin'}"
            self.text += " CHARACTER SET utf8mb4"

    def close(self) -> None:
        """Close its connections."""
        self._engine.dispose()

    def clear(self) -> None:
        """Empty tables."""
        for table in ("odd", "doc", "talk"):
            self.run(f"DROP TABLE IF EXISTS {table}")
        self.run(f"CREATE TABLE talk (id {self.key} NOT NULL PRIMARY KEY, time_updated BIGINT)")
        self.run(
            f"CREATE TABLE doc (id {self.key} NOT NULL PRIMARY KEY, session_id {self.key}, time_updated BIGINT,"
            f" body {self.text}, raw {self.blob})"
        )

    def run(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """See `Place`."""
        with self._engine.begin() as connection:
            found = connection.execute(sa.text(statement), values)
            return [tuple(row) for row in found] if found.returns_rows else []

    def put(self, key: str, body: bytes | None, raw: bytes | None = None, session: str = "", updated: int = 0) -> None:
        """See `Place`."""
        self.run(
            f"INSERT INTO doc VALUES (:key, :session, :updated, :body, CAST(:raw AS {self._binary}))",
            key=key,
            session=session,
            updated=updated,
            body=None if body is None else body.decode(),
            raw=raw,
        )

    def look(self, key: str) -> tuple[bytes | None, bytes | None] | None:
        """See `Place`."""
        for body, raw in self.run("SELECT body, raw FROM doc WHERE id=:key", key=key):
            return None if body is None else body.encode(), None if raw is None else bytes(raw)
        return None

    def change(self, key: str, body: bytes | None) -> None:
        """See `Place`."""
        self.run("UPDATE doc SET body=:body WHERE id=:key", key=key, body=None if body is None else body.decode())

    def holds(self, text: bytes) -> bool:
        """See `Place`: what is UTF-8, and on PostgreSQL has no zero byte."""
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
        return self.kind != "postgresql" or b"\0" not in text

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[None]:
        """See `Place`."""
        with self._engine.connect() as connection, connection.begin() as transaction:
            connection.execute(sa.text("UPDATE doc SET body='theirs' WHERE id=:key"), {"key": key})
            try:
                yield
            finally:
                transaction.rollback()

    def make_impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """See `Place`."""
        monkeypatch.setattr("ocblob.databases.sql.server.LOCK_WAIT_S", 1.0)

    @property
    def _binary(self) -> str:
        return "BINARY" if self.kind == "mysql" else self.blob
