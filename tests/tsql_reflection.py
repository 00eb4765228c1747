"""What SQLAlchemy asks about tables, answered from the statements that made them; and tables to begin with."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.mssql.pyodbc import MSDialect_pyodbc
from sqlalchemy.engine import default
from sqlglot import exp

from ocblob.databases.sql.database import SqlDatabase
from session_contracts import COLUMNS
from tsql import Driver
from tsql_translation import allows_null, foreign_keys, kind
from tsql_translation import key as key_of


def reflecting(driver: Driver, patch: pytest.MonkeyPatch) -> None:
    """SQLAlchemy's own questions about tables are answered from what was made; they are not ours to prove."""

    def names(_self: Any, _connection: Any, _schema: str | None = None, **_options: Any) -> list[str]:
        return [name for name in driver.tables if not name.startswith("temporary_")]

    def columns(self: Any, _connection: Any, table: str, _schema: str | None = None, **_options: Any) -> list[Any]:
        return [
            {
                "name": column.name,
                "type": _column_type(self, column),
                "nullable": allows_null(column),
                "default": "d"
                if any(isinstance(c.kind, exp.DefaultColumnConstraint) for c in column.constraints)
                else None,
                "autoincrement": False,
            }
            for column in driver.columns(table)
        ]

    def key(_self: Any, _connection: Any, table: str, _schema: str | None = None, **_options: Any) -> Any:
        return {"constrained_columns": key_of(driver.tables[table]), "name": None}

    def foreign(_self: Any, _connection: Any, table: str, _schema: str | None = None, **_options: Any) -> list[Any]:
        return [
            {"name": None, "constrained_columns": own, "referred_schema": None, "referred_table": parent}
            | {"referred_columns": theirs, "options": {}}
            for own, parent, theirs in foreign_keys(driver.tables[table])
        ]

    def views(*_arguments: Any, **_options: Any) -> list[str]:
        return driver.views

    def none(*_arguments: Any, **_options: Any) -> list[Any]:
        return []

    answers = {"get_table_names": names, "get_view_names": views, "get_columns": columns, "get_pk_constraint": key}
    answers |= {"get_foreign_keys": foreign, "get_indexes": none, "get_unique_constraints": none}
    for name, answer in (answers | {"get_check_constraints": none}).items():
        patch.setattr(MSDialect_pyodbc, name, answer)
    for name in ("columns", "pk_constraint", "foreign_keys", "indexes", "unique_constraints", "check_constraints"):
        patch.setattr(MSDialect_pyodbc, f"get_multi_{name}", getattr(default.DefaultDialect, f"get_multi_{name}"))
    for name in ("table_comment", "table_options"):
        patch.setattr(MSDialect_pyodbc, f"get_multi_{name}", lambda *_arguments, **_options: {})
    patch.setattr(MSDialect_pyodbc, "has_table", lambda _self, _connection, table, *_, **__: table in driver.tables)


def _column_type(dialect: Any, column: exp.ColumnDef) -> sa.types.TypeEngine[Any]:
    found = re.fullmatch(r"(\w+)(?:\((\w+)\))?", kind(column).lower())
    assert found, column.kind
    made: type[Any] = dialect.ischema_names[found[1].replace("integer", "int")]
    if not issubclass(made, sa.types.String | sa.types._Binary):
        found_type: sa.types.TypeEngine[Any] = made()
        return found_type
    length = int(found[2]) if (found[2] or "max") != "max" else None
    collations = [c.kind.this.name for c in column.constraints if isinstance(c.kind, exp.CollateColumnConstraint)]
    if issubclass(made, sa.types.String):
        return made(length, collation=collations[0] if collations else "SQL_Latin1_General_CP1_CI_AS")
    return made(length)


@pytest.fixture
def driver(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Driver:
    """What SQLAlchemy takes for pyodbc."""
    driver = Driver(tmp_path / "server.db")
    monkeypatch.setitem(sys.modules, "pyodbc", driver)
    reflecting(driver, monkeypatch)
    return driver


def host_tables(database: SqlDatabase) -> None:
    """Tables of a host, with text in UTF-16 and in UTF-8."""
    utf8 = "COLLATE Latin1_General_100_CI_AS_SC_UTF8"
    with database.server.engine.begin() as connection:
        for table, names in COLUMNS.items():
            columns = [_column(table, name, key=name == names[0], utf8=utf8) for name in names]
            keys = [f"FOREIGN KEY ({own}) REFERENCES {to}" for (child, own), to in PARENTS.items() if child == table]
            columns += [f"PRIMARY KEY ({names[0]})", *keys]
            connection.exec_driver_sql(f"CREATE TABLE [{table}] ({', '.join(columns)})")
    database.known.forget()


PARENTS = {
    ("session", "project_id"): "project(id)",
    ("message", "session_id"): "session(id)",
    ("part", "message_id"): "message(id)",
    ("session_share", "session_id"): "session(id)",
    ("event", "aggregate_id"): "event_sequence(aggregate_id)",
}


def _column(table: str, name: str, *, key: bool, utf8: str) -> str:
    null = "NULL" if name in {"name", "parent_id", "share_url", "url"} else "NOT NULL"
    if name == "cost":
        return f"{name} FLOAT NOT NULL DEFAULT 0"
    if name.startswith("time_") or name == "seq":
        return f"{name} BIGINT NOT NULL"
    if key or name.endswith("_id"):
        return f"{name} NVARCHAR(80) COLLATE Latin1_General_100_CI_AS {null}"
    return f"{name} VARCHAR(MAX) {utf8} {null}" if table == "part" else f"{name} NVARCHAR(MAX) {null}"
