"""From T-SQL, as far as our statements need it, to SQLite: sqlglot translates, and what the two differ in is here."""

import hashlib
import re
import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import sqlglot
from sqlglot import exp


class Made(Protocol):
    """What was made in a database."""

    tables: dict[str, exp.Create]
    views: list[str]
    added: dict[str, list[exp.ColumnDef]]

    def columns(self, table: str) -> list[exp.ColumnDef]:
        """The columns of a table as they were made."""


def parsed(sql: str) -> exp.Expr:
    """A statement as sqlglot understands T-SQL. It knows no empty bytes."""
    plain = re.sub(r"\b0x(?![0-9a-f])", "CAST('' AS VARBINARY(1))", sql)
    return sqlglot.parse_one(plain, read="tsql")


KNOWN: Final[dict[str, str]] = {}
"""Statements that were translated: sqlglot takes longer than what answers."""


def translated(driver: Made, sql: str) -> str:  # noqa: PLR0911 - one for each kind of statement
    """For SQLite."""
    if sql in KNOWN:
        return KNOWN[sql]
    if found := re.fullmatch(r"SAVE TRANSACTION (\w+)", sql):
        return f"SAVEPOINT {found[1]}"
    if found := re.fullmatch(r"ROLLBACK TRANSACTION (\w+)", sql):
        return f"ROLLBACK TO {found[1]}"
    tree = parsed(sql.replace("[#", "[temporary_"))
    if isinstance(tree, exp.Create) and tree.kind == "VIEW":
        driver.views.append(tree.this.name)
        return tree.sql("sqlite")
    if isinstance(tree, exp.Create):
        return _made(driver, tree)
    if isinstance(tree, exp.Alter):
        added = list(tree.find_all(exp.ColumnDef))
        driver.added.setdefault(tree.this.name, []).extend(added)
        return f'ALTER TABLE "{tree.this.name}" ADD "{added[0].name}"'
    if isinstance(tree, exp.Drop):
        driver.tables.pop(next(tree.find_all(exp.Table)).name, None)
        return tree.sql("sqlite")
    made = KNOWN[sql] = tree.transform(lambda node: _node(driver, node)).sql("sqlite")
    return made


def _node(driver: Made, node: exp.Expr) -> exp.Expr:
    """A node for SQLite; what is below one that is replaced is not looked at by sqlglot."""
    name, of = "", [node.this]
    match node:
        case exp.Anonymous() if node.name.upper() == "DATALENGTH":
            name, of = "tsql_datalength", node.expressions
            _check_datalength(driver, node.expressions[0])
        case exp.SHA2():
            name = "tsql_sha256"
        case exp.Add():
            name, of = "tsql_add", [node.this, node.expression]
        case exp.Collate():
            inner: exp.Expr = node.this.transform(lambda each: _node(driver, each))
            return inner
        case exp.Cast() if node.to.is_type("varbinary", "binary"):
            name = "tsql_binary"
        case exp.Cast() if node.to.is_type("nvarchar", "varchar", "text"):
            name = "tsql_text"
    if not name:
        return node
    return exp.Anonymous(this=name, expressions=[each.transform(lambda one: _node(driver, one)) for each in of])


def kind(column: exp.ColumnDef) -> str:
    """Its type as it was written."""
    return column.kind.sql("tsql") if column.kind is not None else ""


def _check_datalength(driver: Made, of: exp.Expr) -> None:
    """A text in UTF-16 is twice as long as its bytes in UTF-8, or nearly."""
    table = of.table if isinstance(of, exp.Column) else ""
    wide = table in driver.tables and any(
        column.name == of.name and kind(column).startswith("NVARCHAR") for column in driver.columns(table)
    )
    assert not wide, f"{of.sql()} is in UTF-16"


def _made(driver: Made, tree: exp.Create) -> str:
    name = tree.this.this.name
    driver.tables[name] = tree
    columns = []
    for column in driver.columns(name):
        kinds = {type(constraint.kind) for constraint in column.constraints}
        null = "" if exp.NotNullColumnConstraint not in kinds or allows_null(column) else " NOT NULL"
        default = next(
            (c.kind.this for c in column.constraints if isinstance(c.kind, exp.DefaultColumnConstraint)), None
        )
        columns.append(f'"{column.name}"{null}' + (f" DEFAULT {default.sql('sqlite')}" if default is not None else ""))
    if named := key(tree):
        columns.append(f"PRIMARY KEY ({', '.join(named)})")
    columns += [
        f"FOREIGN KEY ({', '.join(own)}) REFERENCES {parent} ({', '.join(theirs)}) ON DELETE CASCADE"
        for own, parent, theirs in foreign_keys(tree)
    ]
    columns += [found.sql("sqlite") for found in tree.find_all(exp.CheckColumnConstraint)]
    return f'CREATE TABLE "{name}" ({", ".join(columns)})'


def allows_null(column: exp.ColumnDef) -> bool:
    """Whether it is said to."""
    return any(
        isinstance(each.kind, exp.NotNullColumnConstraint) and each.kind.args.get("allow_null")
        for each in column.constraints
    )


def key(tree: exp.Create) -> list[str]:
    """The columns of a table's key."""
    columns = tree.find_all(exp.ColumnDef)
    alone = [each.name for each in columns if each.find(exp.PrimaryKeyColumnConstraint)]
    return alone + [str(column.name) for found in tree.find_all(exp.PrimaryKey) for column in found.expressions]


def foreign_keys(tree: exp.Create) -> list[tuple[list[str], str, list[str]]]:
    """Columns, the table that they refer to, and its columns."""
    return [
        (
            [column.name for column in found.expressions],
            found.args["reference"].this.this.name,
            [column.name for column in found.args["reference"].this.expressions],
        )
        for found in tree.find_all(exp.ForeignKey)
    ]


def check_index(driver: Made, tree: exp.Expr) -> None:
    """An index takes no column of any length."""
    named = {column.name for column in tree.find_all(exp.Column)}
    for column in driver.columns(tree.this.args["table"].name):
        if column.name in named and "MAX" in kind(column).upper():
            words = f"Column '{column.name}' is of a type that is invalid for use as a key column in an index."
            raise sqlite3.OperationalError(f"{words} (1919)")


def _bytes(value: Any) -> bytes | None:
    return value.encode("utf-16-le", "surrogatepass") if isinstance(value, str) else value


def _text(value: Any) -> str | None:
    return (
        value.decode("utf-16-le", "surrogatepass")
        if isinstance(value, bytes)
        else None
        if value is None
        else str(value)
    )


def _datalength(value: Any) -> int | None:
    return None if value is None else len(value.encode() if isinstance(value, str) else bytes(value))


FUNCTIONS: Final[Sequence[tuple[str, int, Callable[..., Any]]]] = (
    ("tsql_datalength", 1, _datalength),
    ("tsql_binary", 1, _bytes),
    ("tsql_text", 1, _text),
    ("tsql_add", 2, lambda one, other: None if one is None or other is None else one + other),
    ("tsql_sha256", 1, lambda data: None if data is None else hashlib.sha256(data).digest()),
)
