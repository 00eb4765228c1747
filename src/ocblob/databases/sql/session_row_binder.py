"""A row as it is bound for its table: every value exactly, or named as what does not go in.

In a mirror what a column cannot hold becomes an odd cell; elsewhere it is no row of that table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ocblob.databases.session_rows import Content, Row, Value
from ocblob.databases.sql.odd_cells import OddCell, row_name
from ocblob.databases.sql.server import RowRefusedError, Server
from ocblob.databases.sql.session_keys import bound_key, key_value, stands_in
from ocblob.databases.sql.session_tables import shape_of
from ocblob.databases.sql.session_values import Nature, UnfitError, fitted, held, nature, unfit
from ocblob.databases.sql.tables import DIGEST, ROWID, SqlTable, Tables
from ocblob.errors import DatabaseError

INLINE_BYTES: Final = 1024 * 1024
"""A content up to this size is bound; a larger one is sent in pieces."""
PACKETS: Final = 4
"""What is sent at once is so many times smaller than what the server takes: quoted, it has up to twice its bytes."""
KEY_SHOWN_BYTES: Final = 60


@dataclass(frozen=True, slots=True)
class BoundRow:
    """A row that is ready."""

    table: SqlTable
    columns: Sequence[str]
    row: Row
    """As it was given."""
    key: tuple[Any, ...]
    """What it is found by, as it is bound; empty if not all of it was given."""
    values: Mapping[str, object]
    """What is bound."""
    large: tuple[tuple[str, Content], ...]
    """What is sent in pieces afterwards."""
    odd: tuple[OddCell, ...]
    where: str
    """The database, for messages."""

    @property
    def label(self) -> str:
        """Its name in messages."""
        return label_of(self.table, self.columns, self.row, self.where)

    @property
    def name(self) -> str:
        """What its odd cells go by."""
        return row_name(self.key)


class RowBinder:
    """Binds rows for one database."""

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables
        self._known = dict[tuple[str, tuple[str, ...]], _Columns]()

    @property
    def inline_bytes(self) -> int:
        """A content of more is sent in pieces."""
        return min(INLINE_BYTES, self._server.limit.bytes // PACKETS)

    def bound(self, table: str, columns: Sequence[str], row: Row, *, digest: str = "") -> BoundRow:
        """Reads contents, but for large ones. Raises `DatabaseError` for what does not go in."""
        known = self._columns(table, tuple(columns))
        where = str(self._server.address)
        values, large, odd = dict[str, object](), list[tuple[str, Content]](), list[OddCell]()
        for column, kind, value in zip(known.columns, known.natures, row.values, strict=True):
            try:
                if isinstance(value, Content) and value.size > self._most(kind):
                    self._check_large(known, column, kind, value)
                    large.append((column.name, value))
                    values[column.name] = None if known.is_mirror else _EMPTY[value.kind]
                elif known.is_mirror and column.name in known.key:
                    values[column.name] = key_value(self._server.dialect, known.table, kind, value)
                    if stands_in(values[column.name]):
                        odd.append(OddCell(column.name, value))
                else:
                    values[column.name] = fitted(self._server.dialect, kind, value)
            except UnfitError as error:
                if not known.is_mirror or column.name in known.key:
                    label = label_of(known.table, columns, row, where)
                    raise RowRefusedError(f"{label}: column {column.name} {error}") from error
                values[column.name] = None
                odd.append(OddCell(column.name, value))
            except ValueError as error:
                label = label_of(known.table, columns, row, where)
                raise RowRefusedError(f"{label}: column {column.name}: {error}") from error
        key = tuple(values.get(name) for name in known.key)
        if known.is_mirror:
            values |= {ROWID: row.rowid, DIGEST: digest or None}
            if None in key:
                raise RowRefusedError(f"{label_of(known.table, columns, row, where)}: it has not all of its key")
        return BoundRow(known.table, columns, row, key, values, tuple(large), tuple(odd), where)

    def key(self, table: str, key: Sequence[Value]) -> tuple[Any, ...] | None:
        """A key as it is bound; None if no row can have it."""
        return bound_key(self._server.dialect, self._tables[table], key)

    def _columns(self, table: str, columns: tuple[str, ...]) -> "_Columns":
        found = self._known.get((table, columns))
        if found is None:
            known = self._tables[table]
            there = {column.name: column for column in known.columns}
            if missing := [name for name in columns if name not in there]:
                raise DatabaseError(f"{table} in {self._server.address} has no column {', '.join(missing)}")
            natures = tuple(nature(there[name]) for name in columns)
            found = _Columns(known, tuple(there[name] for name in columns), natures, shape_of(known).key)
            self._known[table, columns] = found
        return found

    def _most(self, kind: Nature) -> int:
        # What is neither text nor blob to the server cannot be sent in pieces.
        return self._server.limit.bytes // PACKETS if kind == "written" else self.inline_bytes

    def _check_large(self, known: "_Columns", column: sa.Column[Any], kind: Nature, value: Content) -> None:
        if value.size > self._server.limit.bytes:
            raise ValueError(f"{value.size:,} bytes are too many: {self._server.limit.words}")
        if column.name in known.key:
            raise ValueError(f"{value.size:,} bytes are too many for a key")
        if kind != value.kind:
            raise unfit(kind, value)


@dataclass(frozen=True, slots=True)
class _Columns:
    """The columns that rows of a table come with."""

    table: SqlTable
    columns: tuple[sa.Column[Any], ...]
    natures: tuple[Nature, ...]
    key: tuple[str, ...]

    @property
    def is_mirror(self) -> bool:
        return self.table.digest is not None and self.table.rowid is not None


_EMPTY: Final = {"text": "", "blob": b""}


def label_of(table: SqlTable, columns: Sequence[str], row: Row, where: str) -> str:
    """A row for messages: by its key, or where it lay."""
    given = dict(zip(columns, row.values, strict=True))
    key = [shown(given.get(column.name)) for column in table.key]
    return f"{table.table.name} {' '.join(key) or row.rowid} in {where}"


def shown(value: Value) -> str:
    """A value for messages."""
    if not isinstance(value, Content):
        return str(value)
    return held(value).decode("utf-8", "replace") if value.size <= KEY_SHOWN_BYTES else "(long)"
