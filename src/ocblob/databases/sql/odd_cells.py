"""Values that a typed column of a mirror cannot hold: kept in a table of ours, in the same transactions as their rows.

Such a cell is NULL in its own table. SQLite holds anything in any column: a text in one of integers, a text that is
no UTF-8; what is read from a mirror has it in its place again.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

import sqlalchemy as sa

from ocblob.databases.session_rows import SMALL_BYTES, Content, Value
from ocblob.databases.sql.dialects import SqlDialect
from ocblob.databases.sql.session_values import kind_name, pieces, small
from ocblob.digest import digest_of

ODD_CELL: Final = "ocblob_odd_cell"
GROUP_ROWS: Final = 200
"""Rows that one statement asks about."""
_METADATA: Final = sa.MetaData()
TABLE: Final = sa.Table(
    ODD_CELL,
    _METADATA,
    sa.Column("table_name", sa.Unicode(128), primary_key=True),
    sa.Column("row_digest", sa.Unicode(64), primary_key=True),
    sa.Column("column_name", sa.Unicode(128), primary_key=True),
    sa.Column("kind", sa.Unicode(8)),
    sa.Column("content", sa.LargeBinary),
)
"""`row_digest` is `row_name` of the row; numbers are kept as they are written, reals in hexadecimal."""


@dataclass(frozen=True, slots=True)
class OddCell:
    """One that is going in."""

    column: str
    value: Value


def row_name(key: Sequence[object]) -> str:
    """What a row goes by here, however long its key is."""
    parts = []
    for value in key:
        data = value.encode() if isinstance(value, str) else value if isinstance(value, bytes) else repr(value).encode()
        parts.append(b"%s %d\n%s" % (type(value).__name__.encode(), len(data), data))
    return digest_of(b"".join(parts))


def odd_values(
    connection: sa.Connection, dialect: SqlDialect, table: str, names: Iterable[str]
) -> Mapping[tuple[str, str], Value]:
    """The odd cells of these rows, by row and column. Large ones are read when they are asked for."""
    octets = dialect.octets(TABLE.c.content)
    found = dict[tuple[str, str], Value]()
    for group in _groups(names):
        rows = connection.execute(
            sa.select(
                TABLE.c.row_digest,
                TABLE.c.column_name,
                TABLE.c.kind,
                octets,
                sa.case((octets <= SMALL_BYTES, TABLE.c.content)),
            ).where(TABLE.c.table_name == table, TABLE.c.row_digest.in_(group))
        ).all()
        for row, column, kind, size, data in rows:
            if data is not None:
                found[row, column] = _value(kind, bytes(data))
            else:
                found[row, column] = Content(kind, size, partial(_stream, connection, dialect, table, row, column))
    return found


def has_any(connection: sa.Connection, table: str = "") -> bool:
    """Whether a table has odd cells at all, or any: most have none."""
    found = sa.select(sa.literal(1)).select_from(TABLE).limit(1)
    return connection.execute(found.where(TABLE.c.table_name == table) if table else found).first() is not None


def put(  # noqa: PLR0913, PLR0917
    connection: sa.Connection, dialect: SqlDialect, table: str, row: str, cell: OddCell, most: int
) -> None:
    """One odd cell in; a content of more than `most` bytes goes in pieces."""
    value = cell.value
    large = isinstance(value, Content) and value.size > most
    connection.execute(
        sa.insert(TABLE),
        {
            "table_name": table,
            "row_digest": row,
            "column_name": cell.column,
            "kind": kind_name(value),
            "content": b"" if large else _bytes(value),
        },
    )
    if large and isinstance(value, Content):
        place = _place(table, row, cell.column)
        dialect.put_large(connection, TABLE.c.content, place, value.chunks(), text=False)


def remove(connection: sa.Connection, table: str, names: Iterable[str]) -> None:
    """All odd cells of these rows."""
    for group in _groups(names):
        connection.execute(sa.delete(TABLE).where(TABLE.c.table_name == table, TABLE.c.row_digest.in_(group)))


def _groups(names: Iterable[str]) -> Iterator[list[str]]:
    rest = iter(names)
    while group := list(islice(rest, GROUP_ROWS)):
        yield group


def _place(table: str, row: str, column: str) -> sa.ColumnElement[bool]:
    return sa.and_(TABLE.c.table_name == table, TABLE.c.row_digest == row, TABLE.c.column_name == column)


def _stream(connection: sa.Connection, dialect: SqlDialect, table: str, row: str, column: str) -> Iterator[bytes]:
    return pieces(dialect.stream(connection, TABLE.c.content, _place(table, row, column), text=False))


def _bytes(value: Value) -> bytes:
    if isinstance(value, Content):
        return b"".join(value.chunks())
    return (value.hex() if isinstance(value, float) else str(value)).encode()


def _value(kind: Any, data: bytes) -> Value:
    if kind == "integer":
        return int(data)
    return float.fromhex(data.decode()) if kind == "real" else small(kind, data)
