"""Tables of sessions made in a new SQLite file.

A file that has tables already is its host's: nothing is made in it, and no table of ours in any.
"""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import apsw

from ocblob.databases.session_rows import TableDefinition
from ocblob.databases.sqlite.connection import connect, translated
from ocblob.databases.sqlite.session_definitions import statements
from ocblob.databases.sqlite.session_tables import Tables
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.errors import DatabaseError, DatabaseUnsupportedError
from ocblob.filesystem import create_private, fsync_directory

_ALLOWED: Final = frozenset(
    {
        apsw.SQLITE_CREATE_TABLE,
        apsw.SQLITE_CREATE_INDEX,
        apsw.SQLITE_REINDEX,
        apsw.SQLITE_FUNCTION,
        apsw.SQLITE_READ,
        apsw.SQLITE_SELECT,
    }
)
_ON_SCHEMA: Final = frozenset({apsw.SQLITE_INSERT, apsw.SQLITE_UPDATE})
_SCHEMA_TABLES: Final = frozenset({"sqlite_master", "sqlite_schema", "sqlite_sequence"})


def create_file(path: Path) -> None:
    """A new database without tables, in WAL mode, for its owner alone. Does nothing where there is one."""
    try:
        create_private(path).close()
    except FileExistsError:
        return
    except OSError as error:
        raise DatabaseError(f"{path}: {error.strerror}") from error
    with contextlib.closing(connect(path, read_only=False)) as db, translated(path):
        db.execute("PRAGMA journal_mode=wal").fetchall()
    try:
        fsync_directory(path.parent)
    except OSError as error:
        raise DatabaseError(f"{path.parent}: {error.strerror}") from error


def prepare(writer: SessionWriter, definitions: Sequence[TableDefinition]) -> list[str]:
    """See `MirrorDatabase`: all tables in a file that has none, or nothing."""
    if writer.rows("SELECT 1 FROM sqlite_schema LIMIT 1"):
        return []
    with writer.transaction():
        if writer.rows("SELECT 1 FROM sqlite_schema LIMIT 1"):
            return []
        for each in definitions:
            with _only_tables(writer.db):
                for sql in each.sql or statements(each):
                    writer.rows(sql)
            _check(writer, each)
    writer.make_durable()
    return [f"table {each.table} made" for each in definitions]


@contextlib.contextmanager
def _only_tables(db: apsw.Connection) -> Iterator[None]:
    """Statements make tables and indexes in the file, and do nothing else: whoever may write to a mirror gives them."""

    def allows(action: int, first: str | None, _second: str | None, database: str | None, _by: str | None) -> int:
        if database not in {None, "main"}:
            return apsw.SQLITE_DENY
        if action in _ALLOWED or (action in _ON_SCHEMA and first in _SCHEMA_TABLES):
            return apsw.SQLITE_OK
        return apsw.SQLITE_DENY

    db.authorizer = allows
    try:
        yield
    finally:
        db.authorizer = None


def _check(writer: SessionWriter, made: TableDefinition) -> None:
    shape = Tables(writer.path, writer.db)[made.table].shape
    if shape.columns != tuple(column.name for column in made.columns):
        raise DatabaseUnsupportedError(f"table {made.table} was not made as its definition says; nothing was made")
