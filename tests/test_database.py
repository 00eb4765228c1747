"""The contract of databases on SQLite."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import pytest

from database_contracts import DatabaseContract, Place
from ocblob.databases.addresses import Address, file_address
from samples import opened

SCHEMA = """
    CREATE TABLE talk (id TEXT PRIMARY KEY, time_updated INTEGER);
    CREATE TABLE doc (id TEXT PRIMARY KEY, session_id TEXT, time_updated INTEGER, body TEXT, raw BLOB);
"""


class FilePlace:
    """See `Place`: a file, and another connection to it."""

    text = key = "TEXT"
    blob = "BLOB"
    keys_apart: tuple[str, ...] = ("a", "A", "a ", " a", "á", "a\u0301", "ﬁ", "fi", "ß", "ss", "😀", "")

    def __init__(self, path: Path, connection: apsw.Connection) -> None:
        self.address: Address = file_address(path)
        self._db = connection

    def run(self, statement: str, **values: object) -> list[tuple[Any, ...]]:
        """See `Place`."""
        return list(self._db.execute(statement, values or None))

    def put(self, key: str, body: bytes | None, raw: bytes | None = None, session: str = "", updated: int = 0) -> None:
        """See `Place`."""
        self.run(
            "INSERT INTO doc VALUES (:key, :session, :updated, CAST(:body AS TEXT), :raw)",
            key=key,
            session=session,
            updated=updated,
            body=body,
            raw=raw,
        )

    def look(self, key: str) -> tuple[bytes | None, bytes | None] | None:
        """See `Place`."""
        found = self.run("SELECT CAST(body AS BLOB), raw FROM doc WHERE id=:key", key=key)
        return found[0] if found else None

    def change(self, key: str, body: bytes | None) -> None:
        """See `Place`."""
        self.run("UPDATE doc SET body=CAST(:body AS TEXT) WHERE id=:key", key=key, body=body)

    def holds(self, text: bytes) -> bool:
        """See `Place`: any bytes."""
        del text
        return True

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[None]:
        """See `Place`: the whole file is locked."""
        self.run("BEGIN IMMEDIATE")
        self.change(key, b"theirs")
        try:
            yield
        finally:
            self.run("ROLLBACK")

    def make_impatient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """See `Place`."""
        monkeypatch.setattr("ocblob.databases.sqlite.connection.BUSY_TIMEOUT_MS", 500)


class TestSQLite(DatabaseContract):
    """In WAL mode, as hosts have it."""

    @pytest.fixture
    def place(self, tmp_path: Path) -> Iterator[Place]:
        """A file with empty tables."""
        path = tmp_path / "app.db"
        with opened(path) as db:
            db.set_busy_timeout(5000)
            db.execute("PRAGMA journal_mode=wal").fetchall()
            db.execute(SCHEMA).fetchall()
            yield FilePlace(path, db)
