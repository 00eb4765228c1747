"""A driver for SQL Server without a server: it takes T-SQL as pyodbc does, keeps what it was sent, and answers.

What answers is SQLite, to which sqlglot has translated; functions, types and errors are SQL Server's as far as our
statements need them. It proves that the code runs and what it sends; what a server makes of that it does not prove.
"""

import itertools
import re
import sqlite3
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Final

from sqlglot import exp

from tsql_translation import FUNCTIONS, check_index, parsed, translated

URL: Final = "mssql://user@server/db?driver=ODBC+Driver+18+for+SQL+Server"
SCHEMA: Final = "dbo"
ANSWERS: Final[Sequence[tuple[str, list[tuple[Any, ...]]]]] = (
    (r"SERVERPROPERTY\('ProductVersion'\)", [("15.0.4300.1",)]),
    (r"SERVERPROPERTY\('ProductMajorVersion'\)", [(15, 3)]),
    (r"delayed_durability_desc", [("DISABLED",)]),
    (r"schema_name\(\)", [(SCHEMA,)]),
    (r"sys\.system_views", [("dm_exec_sessions",)]),
    (r"transaction_isolation_level", [("READ COMMITTED",)]),
    (r"fn_listextendedproperty|test max support", [(1,)]),
    (r"HAS_PERMS_BY_NAME", [(1, 1, 1, 0, 0)]),
    (r"sp_getapplock", [(1,)]),
    (r"APPLOCK_TEST", [(1,)]),
    (r"sys\.triggers|sys\.objects", []),
    (r"sys\.allocation_units", [("part", 8 * 1024 * 1024, 4 * 1024 * 1024)]),
    (r"dm_db_stats_properties", [(1, 2, 3)]),
)
"""What is asked about the server, by a word of it."""
NO_ROWS: Final = re.compile(
    r"SET |EXEC sys\.sp_flush_log|ALTER INDEX |ALTER TABLE \w+ REBUILD|IF @@TRANCOUNT|CREATE INDEX "
)
MARKS_MAX: Final = 2100


@dataclass(frozen=True, slots=True)
class Sent:
    """One statement as it went to the driver, with the types of what was bound."""

    sql: str
    types: tuple[str, ...]


class Error(Exception):
    """As pyodbc's."""


class DatabaseError(Error):
    """As pyodbc's."""


class ProgrammingError(DatabaseError):
    """As pyodbc's."""


class IntegrityError(DatabaseError):
    """As pyodbc's."""


class Driver(ModuleType):
    """Stands for the module `pyodbc`, and holds the one database that every connection leads to."""

    apilevel, threadsafety, paramstyle, version = "2.0", 1, "qmark", "5.2.0"
    Error, DatabaseError, ProgrammingError, IntegrityError = Error, DatabaseError, ProgrammingError, IntegrityError
    OperationalError = InterfaceError = DataError = InternalError = NotSupportedError = DatabaseError
    Cursor: type["Cursor"]
    Binary = bytes
    BinaryNull = object()
    STRING, BINARY, NUMBER, DATETIME, ROWID = str, bytearray, float, datetime, int

    def __init__(self, path: Path) -> None:
        super().__init__("pyodbc")
        self.path = path
        self.sent: list[Sent] = []
        self.tables: dict[str, exp.Create] = {}
        self.views: list[str] = []
        self.added: dict[str, list[exp.ColumnDef]] = {}

    def __getattr__(self, name: str) -> str:
        if name.startswith("SQL_"):
            return name
        raise AttributeError(name)

    def connect(self, *_arguments: object, **_options: object) -> "Connection":
        """A connection."""
        return Connection(self)

    def drivers(self) -> list[str]:
        """What unixODBC knows."""
        return ["SQLite3", "ODBC Driver 17 for SQL Server", "ODBC Driver 18 for SQL Server", "FreeTDS"]

    def columns(self, table: str) -> list[exp.ColumnDef]:
        """The columns of a table as it was made."""
        return [*self.tables[table].this.find_all(exp.ColumnDef), *self.added.get(table, ())]


class Connection:
    """As pyodbc's: one statement with rows at a time, a transaction by the first statement unless it commits itself."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.autocommit = False
        self.cursors = weakref.WeakSet[Cursor]()
        self.db = sqlite3.connect(driver.path, isolation_level=None, check_same_thread=False, timeout=0.2)
        self.db.executescript("PRAGMA journal_mode = wal; PRAGMA foreign_keys = on; PRAGMA case_sensitive_like = on")
        for name, count, function in FUNCTIONS:
            self.db.create_function(name, count, function, deterministic=True)

    def cursor(self) -> "Cursor":
        """A cursor."""
        made = Cursor(self)
        self.cursors.add(made)
        return made

    def commit(self) -> None:
        """Commit."""
        if self.db.in_transaction:
            self.db.execute("COMMIT")

    def rollback(self) -> None:
        """Undo."""
        if self.db.in_transaction:
            self.db.execute("ROLLBACK")

    def close(self) -> None:
        """Close."""
        self.db.close()

    def add_output_converter(self, *_arguments: object) -> None:
        """Nothing is converted here."""


class Cursor:
    """As pyodbc's."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.description: list[tuple[Any, ...]] | None = None
        self.rowcount = -1
        self._rows: Iterator[tuple[Any, ...]] = iter(())
        self._sizes: Sequence[tuple[Any, ...] | None] = ()
        self.open = False

    def setinputsizes(self, sizes: Sequence[Any]) -> None:
        """How the next statement's values are bound."""
        self._sizes = sizes

    def execute(self, sql: str, *parameters: Any) -> "Cursor":
        """Run a statement."""
        values = parameters[0] if parameters and isinstance(parameters[0], list | tuple) else parameters
        driver = self.connection.driver
        driver.sent.append(Sent(sql, tuple(map(_type, values, itertools.chain(self._sizes, itertools.repeat(None))))))
        if any(other.open for other in self.connection.cursors if other is not self):
            raise ProgrammingError(
                "HY000", "[HY000] Connection is busy with results for another hstmt (0) (SQLExecDirectW)"
            )
        self.description, self.rowcount, self.open = None, -1, False
        answer = next((rows for words, rows in ANSWERS if re.search(words, sql)), None)
        if answer is not None:
            self._answer(answer, max(map(len, answer), default=2))
        elif sql.startswith("CREATE INDEX"):
            check_index(driver, parsed(sql))
        elif not NO_ROWS.match(sql):
            self._run(sql, [None if value is driver.BinaryNull else value for value in values])
        return self

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run it for each."""
        sizes = self._sizes
        for row in rows:
            self._sizes = sizes
            self.execute(sql, row)

    def fetchone(self) -> tuple[Any, ...] | None:
        """A row."""
        row = next(self._rows, None)
        self.open = row is not None
        return row

    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        """Rows."""
        found = list(itertools.islice(self._rows, size))
        self.open = len(found) == size
        return found

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rest."""
        self.open = False
        return list(self._rows)

    def nextset(self) -> bool:
        """There is one answer to each statement."""
        return False

    def close(self) -> None:
        """Forget the rest."""
        self.open = False

    def _answer(self, rows: Sequence[tuple[Any, ...]], width: int) -> None:
        self.description = [(f"c{at}", None, None, None, None, None, None) for at in range(width)]
        self._rows, self.open = iter(rows), bool(rows)

    def _run(self, sql: str, values: Sequence[Any]) -> None:
        db = self.connection.db
        if not self.connection.autocommit and not db.in_transaction:
            db.execute("BEGIN")
        try:
            found = db.execute(translated(self.connection.driver, sql), values)
        except sqlite3.IntegrityError as error:
            kinds = {"FOREIGN KEY": 547, "CHECK": 547, "NOT NULL": 515, "UNIQUE": 2627}
            code = next(code for words, code in kinds.items() if words in str(error))
            ended = "[23000] [SQL Server]The statement has been terminated. (3621)"
            raise IntegrityError("23000", f"[23000] [SQL Server]{error} ({code}) (SQLExecDirectW); {ended}") from error
        except sqlite3.OperationalError as error:
            code = 1222 if "locked" in str(error) else 102
            raise ProgrammingError("42000", f"[42000] [SQL Server]{error}: {sql} ({code}) (SQLExecDirectW)") from error
        if found.description:
            self._answer(found.fetchall(), len(found.description))
            self.description = [tuple(each) for each in found.description]
        else:
            self.rowcount = found.rowcount


def _type(value: object, size: tuple[Any, ...] | None) -> str:
    name = type(value).__name__ if value is not Driver.BinaryNull else "BinaryNull"
    if isinstance(value, int) and not -(2**31) <= value < 2**31:
        name = "bigint"
    # SQLAlchemy gives Python's types too, which pyodbc ignores.
    return (
        name
        if not size or not isinstance(size[0], str)
        else f"{name} as {size[0]}{'(max)' if size[1:] == (0, 0) else ''}"
    )


Driver.Cursor = Cursor
