"""A SQLite file as a target of a mirror."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from mirror_contracts import MirrorRowsContract
from ocblob.databases.sqlite import SQLiteDatabase
from samples import opened


@pytest.fixture
def target(tmp_path: Path) -> Iterator[SQLiteDatabase]:
    """A file without tables."""
    path = tmp_path / "new.db"
    with opened(path) as db:
        db.execute("PRAGMA journal_mode=wal").fetchall()
    with SQLiteDatabase(path) as database:
        yield database


class TestSQLiteMirror(MirrorRowsContract):
    """A file in WAL mode, with tables that nobody else has made."""
