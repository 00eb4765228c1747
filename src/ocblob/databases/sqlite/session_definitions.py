"""A table as it can be made again elsewhere, and how one is made of which nobody knows SQLite's own words any more."""

from collections.abc import Collection, Iterator, Sequence
from typing import Final

from ocblob.databases.session_rows import Affinity, ColumnDefinition, TableDefinition
from ocblob.databases.sqlite.connection import quote
from ocblob.databases.sqlite.session_tables import Table

_TYPES: Final[dict[Affinity, str]] = {
    "text": "TEXT",
    "integer": "INTEGER",
    "real": "REAL",
    "numeric": "NUMERIC",
    "blob": "BLOB",
}
_AFFINITIES: Final[dict[str, Affinity]] = {name: affinity for affinity, name in _TYPES.items()}


def definition(table: Table, sql: Sequence[str], indexed: Collection[str]) -> TableDefinition:
    """See `Snapshot`."""
    shape = table.shape
    columns = tuple(
        ColumnDefinition(
            column,
            _AFFINITIES[affinity],
            shape.key.index(column) + 1 if column in shape.key else 0,
            indexed=column in indexed,
        )
        for column, affinity in zip(shape.columns, table.affinities, strict=True)
    )
    return TableDefinition(shape.table, columns, tuple(sql))


def statements(made: TableDefinition) -> Iterator[str]:
    """What makes a table and its indexes."""
    columns = [f"{quote(column.name)} {_TYPES[column.affinity]}" for column in made.columns]
    key = sorted((column for column in made.columns if column.key), key=lambda column: column.key)
    if key:
        columns.append(f"PRIMARY KEY ({', '.join(quote(column.name) for column in key)})")
    yield f"CREATE TABLE {quote(made.table)} ({', '.join(columns)})"
    for column in made.columns:
        if column.indexed and not column.key:
            name = quote(f"{made.table}_{column.name}_idx")
            yield f"CREATE INDEX {name} ON {quote(made.table)} ({quote(column.name)})"
