"""Making the tables of a mirror: ours, and those that are mirrored, with the columns that sources have gained.

Every step may be repeated: what is there is looked at first, and a table is known for a mirror's by its own columns.
So a crash at any point, or somebody who makes the same tables at the same time, is no obstacle.
"""

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

import sqlalchemy as sa

from ocblob.databases.session_rows import ColumnDefinition, TableDefinition
from ocblob.databases.sql import mirror_definitions, mirror_records, odd_cells
from ocblob.databases.sql.mirror_definitions import kept_definitions, widened, written
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.tables import DIGEST, OURS, ROWID, Tables
from ocblob.errors import DatabaseError, DatabaseLockedError, DatabaseUnsupportedError

FORMAT: Final = 1
MIRROR: Final = "ocblob_mirror"
TRIES: Final = 5
"""Whoever makes the same tables at the same time wins some of them."""
_PAUSE_S: Final = 0.2
_NAME_CHARS: Final = 60
INDEXED_CHARS: Final = 191
_METADATA: Final = sa.MetaData()
TABLE: Final = sa.Table(
    MIRROR,
    _METADATA,
    sa.Column("format", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("created_ms", sa.BigInteger),
)
_OURS: Final = {each.name: each for each in (TABLE, mirror_definitions.TABLE, mirror_records.TABLE, odd_cells.TABLE)}


@dataclass(frozen=True, slots=True)
class _Step:
    """One thing that is to be made."""

    words: str
    """Empty for what is not worth a word."""
    make: Callable[[sa.Connection], None]


def prepare(server: Server, tables: Tables, definitions: Sequence[TableDefinition]) -> list[str]:
    """See `MirrorDatabase`."""
    for definition in definitions:
        _check_definition(definition)
    said = list[str]()
    for number in range(TRIES):
        tables.forget()
        steps = _missing(server, tables, definitions)
        try:
            if steps:
                with server.transaction() as connection:
                    for step in steps:
                        step.make(connection)
            break
        except (DatabaseUnsupportedError, DatabaseLockedError):
            raise
        except DatabaseError:
            if number + 1 == TRIES:
                raise
            time.sleep(_PAUSE_S)
        finally:
            tables.forget()
            # What a server makes outside of transactions is there, although a later step failed.
            said += [step.words for step in steps if step.words and step.words not in said]
    _check_writable(server)
    return said


def _check_writable(server: Server) -> None:
    """Raise `DatabaseUnsupportedError` for a replica that has all of it: nothing was made, and no row could be put."""
    nothing = sa.update(TABLE).where(sa.false()).values({TABLE.c.created_ms: TABLE.c.created_ms})

    try:
        server.try_out(nothing)
    except DatabaseUnsupportedError as error:
        raise DatabaseUnsupportedError(
            f"the mirror cannot be written: {error}", hint="of a server and its replicas name the one that is written"
        ) from error


def _check_definition(definition: TableDefinition) -> None:
    table = definition.table
    if not any(column.key for column in definition.columns):
        raise DatabaseUnsupportedError(f"table {table} has no primary key: its rows cannot be mirrored one by one")
    if taken := [name for name in (table, *(c.name for c in definition.columns)) if name.lower().startswith(OURS)]:
        raise DatabaseUnsupportedError(f"{taken[0]} is a name of a mirror's own: {table} cannot be mirrored")


def _missing(server: Server, tables: Tables, definitions: Sequence[TableDefinition]) -> list[_Step]:
    """What is to be made, in its order. Raises `DatabaseUnsupportedError` for what is not a mirror's."""
    names = tables.all_names()
    for name, table in _OURS.items():
        if name in names and not {column.name for column in table.columns} <= set(names[name]):
            raise DatabaseUnsupportedError(f"table {name} in {server.address} is not one of a mirror")
    for definition in definitions:
        columns = names.get(definition.table)
        if columns is not None and not {ROWID, DIGEST} <= set(columns):
            raise DatabaseUnsupportedError(
                f"{server.address} has a table {definition.table} that is not a mirror's",
                hint="mirror to a database, or a schema, of its own; nothing was changed",
            )
    kept = dict[str, TableDefinition]()
    if MIRROR in names:
        with server.reading() as connection:
            _check_format(server, connection)
            kept = kept_definitions(connection) if mirror_definitions.MIRROR_TABLE in names else {}
    steps = [_Step("", partial(_make_own, server, table)) for name, table in _OURS.items() if name not in names]
    for definition in definitions:
        known = kept.get(definition.table)
        wanted = definition if known is None else widened(known, definition)
        if wanted != known:
            # Before its table: a table is never there without its definition.
            steps.append(_Step("", partial(_keep, wanted)))
        if definition.table not in names:
            steps.append(_Step(f"table {definition.table} made", partial(_make, server, wanted)))
            continue
        steps += [
            _Step(
                f"column {column.name} added to {definition.table}",
                partial(_add_column, server, definition.table, column),
            )
            for column in wanted.columns
            if column.name not in names[definition.table]
        ]
    return steps


def _check_format(server: Server, connection: sa.Connection) -> None:
    formats = connection.execute(sa.select(TABLE.c.format)).scalars().all()
    if unknown := [number for number in formats if number != FORMAT]:
        raise DatabaseUnsupportedError(
            f"the mirror in {server.address} has the format {unknown[0]}; this version knows {FORMAT}",
            hint="use the version of ocblob that made it, or a later one",
        )


def _make_own(server: Server, table: sa.Table, connection: sa.Connection) -> None:
    type_of = partial(server.dialect.type_of, connection)
    columns = [
        sa.Column(
            column.name,
            type_of(_affinity(column), key=column.primary_key),
            primary_key=column.primary_key,
            autoincrement=False,
        )
        for column in table.columns
    ]
    made = sa.Table(table.name, sa.MetaData(), *columns)
    _create(server, made, connection)
    if table is TABLE:
        connection.execute(sa.insert(TABLE), {"format": FORMAT, "created_ms": round(time.time() * 1000)})


def _affinity(column: sa.Column[Any]) -> Any:
    if isinstance(column.type, sa.BigInteger):
        return "integer"
    return "blob" if isinstance(column.type, sa.LargeBinary) else "text"


def _keep(definition: TableDefinition, connection: sa.Connection) -> None:
    table = mirror_definitions.TABLE
    connection.execute(sa.delete(table).where(table.c.table_name == definition.table))
    connection.execute(sa.insert(table), {"table_name": definition.table, "definition": written(definition)})


def _make(server: Server, definition: TableDefinition, connection: sa.Connection) -> None:
    columns = [_column(server, connection, column) for column in definition.columns]
    key = sorted((column for column in definition.columns if column.key), key=lambda column: column.key)
    rowid = sa.Column(ROWID, sa.BigInteger())
    made = sa.Table(
        definition.table,
        sa.MetaData(),
        *columns,
        rowid,
        sa.Column(DIGEST, server.dialect.type_of(connection, "text", key=False)),
        sa.PrimaryKeyConstraint(*(column.name for column in key)),
    )
    _create(server, made, connection)
    for column in definition.columns:
        # The rows of a session are read in the order of their rowids; the first column of the key has an index.
        if column.indexed and column.affinity == "text" and column.key != 1:
            _add_index(made, made.c[column.name], rowid, connection)


def _create(server: Server, table: sa.Table, connection: sa.Connection) -> None:
    connection.execute(sa.schema.CreateTable(table))
    for statement in server.dialect.made(connection, table):
        connection.exec_driver_sql(statement)


def _add_index(table: sa.Table, column: sa.Column[Any], rowid: sa.Column[Any], connection: sa.Connection) -> None:
    name = f"{OURS}{table.name}_{column.name}"
    if len(name) > _NAME_CHARS:
        name = OURS + hashlib.sha256(name.encode()).hexdigest()[:40]
    # MySQL looks up a long text by its beginning; the others know nothing of the keyword.
    index = sa.Index(name, column, rowid, mysql_length={column.name: INDEXED_CHARS})
    connection.execute(sa.schema.CreateIndex(index))


def _column(server: Server, connection: sa.Connection, column: ColumnDefinition) -> sa.Column[Any]:
    looked_up = bool(column.key) or (column.indexed and not server.dialect.long_indexed)
    kind = server.dialect.type_of(connection, column.affinity, key=looked_up)
    return sa.Column(column.name, kind, nullable=not column.key, autoincrement=False)


def _add_column(server: Server, table: str, column: ColumnDefinition, connection: sa.Connection) -> None:
    """A column that a source gained; a key of a table that is there gains none."""
    if column.key:
        raise DatabaseUnsupportedError(
            f"table {table} in {server.address} has another primary key than its source: {column.name} is new in it"
        )
    made = sa.Table(table, sa.MetaData(), _column(server, connection, column))
    quote = connection.dialect.identifier_preparer
    described = sa.schema.CreateColumn(made.c[column.name]).compile(dialect=connection.dialect)
    word = "ADD" if connection.dialect.name == "mssql" else "ADD COLUMN"
    connection.exec_driver_sql(f"ALTER TABLE {quote.format_table(made)} {word} {described}")
    for statement in server.dialect.made(connection, made):
        connection.exec_driver_sql(statement)
