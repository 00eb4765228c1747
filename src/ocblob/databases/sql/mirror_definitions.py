"""What the tables of a mirror are made from: each one's definition, kept beside it as JSON, as its source told it."""

import json
from typing import Any, Final

import sqlalchemy as sa

from ocblob.databases.session_rows import Affinity, ColumnDefinition, TableDefinition
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.session_tables import foreign_keys
from ocblob.databases.sql.session_values import nature
from ocblob.databases.sql.tables import Tables

MIRROR_TABLE: Final = "ocblob_table"
_METADATA: Final = sa.MetaData()
TABLE: Final = sa.Table(
    MIRROR_TABLE,
    _METADATA,
    sa.Column("table_name", sa.Unicode(128), primary_key=True),
    sa.Column("definition", sa.UnicodeText()),
)


def definition_of(server: Server, tables: Tables, connection: sa.Connection, table: str) -> TableDefinition:
    """The definition that is kept, or else what the server tells. Raises `DatabaseUnsupportedError` for no table."""
    found = tables[table]
    kept = kept_definitions(connection).get(table) if MIRROR_TABLE in tables.all_names() else None
    if kept is not None:
        return kept
    with server.catalog() as inspector:
        indexes = inspector.get_indexes(found.table.name)
    looked_up = {str(name) for index in indexes for name in index["column_names"] if name}
    for key in foreign_keys(server):
        if key.table == found.table.name:
            looked_up.update(key.columns)
    places = {column.name: number for number, column in enumerate(found.key, 1)}
    columns = tuple(
        ColumnDefinition(column.name, _affinity(column), places.get(column.name, 0), column.name in looked_up)
        for column in found.columns
    )
    return TableDefinition(found.table.name, columns)


def kept_definitions(connection: sa.Connection) -> dict[str, TableDefinition]:
    """Of every mirrored table, by its name."""
    return {str(name): parsed(text) for name, text in connection.execute(sa.select(TABLE))}


def written(definition: TableDefinition) -> str:
    """As JSON."""
    columns = [[each.name, each.affinity, each.key, each.indexed] for each in definition.columns]
    return json.dumps({"table": definition.table, "columns": columns, "sql": definition.sql})


def parsed(text: str) -> TableDefinition:
    """What `written` gave."""
    found = json.loads(text)
    columns = tuple(ColumnDefinition(*column) for column in found["columns"])
    return TableDefinition(found["table"], columns, tuple(found["sql"]))


def widened(kept: TableDefinition, new: TableDefinition) -> TableDefinition:
    """With the columns of both. Statements that make fewer columns than there are, are nobody's any more."""
    before, now = ({column.name for column in each.columns} for each in (kept, new))
    if now >= before:
        added = tuple(column for column in new.columns if column.name not in before)
        ordered = tuple(column.name for column in kept.columns) + tuple(column.name for column in added)
        by_name = {column.name: column for column in new.columns}
        return TableDefinition(kept.table, tuple(by_name[name] for name in ordered), new.sql or kept.sql)
    if before >= now:
        return kept
    added = tuple(column for column in new.columns if column.name not in before)
    return TableDefinition(kept.table, kept.columns + added)


def _affinity(column: sa.Column[Any]) -> Affinity:
    kind = nature(column)
    return "text" if kind == "written" else kind
