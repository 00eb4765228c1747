"""The statements that read rows of one table, in their order, a page of bounded bytes at a time.

Rows of a mirror lie by the rowid that they had, and those that had none come last, by their keys.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any, Final

import sqlalchemy as sa

from ocblob.databases.sql.dialects import SqlDialect
from ocblob.databases.sql.session_values import selected, small_size_of
from ocblob.databases.sql.tables import SqlTable

FIRST_ROWS: Final = 20
"""So many rows are read at once without a look at their sizes."""
PAGE_ROWS: Final = 1000
PAGE_BYTES: Final = 2 * 1024 * 1024
"""Rows, and bytes of what comes with them, that are held at a time."""
_OWNER: Final = "ocblob_owner"
_COUNT: Final = "ocblob_count"


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows that lie together: those with a rowid, or those without."""

    condition: sa.ColumnElement[bool]
    order: tuple[sa.Column[Any], ...]

    def after(self, dialect: SqlDialect) -> sa.ColumnElement[bool]:
        """Whether a row comes after a place. The first column is also compared alone: an index serves that."""
        at = [sa.bindparam(f"ocblob_at_{number}", type_=column.type) for number, column in enumerate(self.order)]
        later = dialect.after(self.order, at)
        return later if len(at) == 1 else sa.and_(self.order[0] >= at[0], later)


class Pages:
    """One table's statements, each made once. A row as it is selected begins with its place: its rowid and its key."""

    def __init__(self, dialect: SqlDialect, table: SqlTable, selected_columns: Sequence[sa.ColumnElement[Any]]) -> None:
        self._dialect = dialect
        self._table = table
        self._place = (*(() if table.rowid is None else (table.rowid,)), *table.key)
        self._columns = (*(column.label(None) for column in self._place), *selected_columns)
        self._made = dict[tuple[object, ...], sa.Select[Any]]()
        if table.rowid is None:
            self._stretches: tuple[Stretch, ...] = (Stretch(sa.true(), table.key),)
        else:
            placed = Stretch(table.rowid.is_not(None), (table.rowid, *table.key))
            self._stretches = (placed, Stretch(table.rowid.is_(None), table.key))

    def all(self, connection: sa.Connection, column: str, value: object) -> Iterator[Sequence[Any]]:
        """The rows whose column has this value, in their order, in pages."""
        count = FIRST_ROWS
        first = self._all(connection, self._statement(column), {_OWNER: value, _COUNT: count})
        yield _exact(first, value)
        if len(first) < count:
            return
        last: Sequence[Any] | None = first[-1]
        for number in range(self._stretch_of(first[-1]), len(self._stretches)):
            while True:
                place = {_OWNER: value, **self._bindings(number, last)}
                begun = last is not None
                count = self._fitting(connection, column, number, place, begun=begun)
                page = self._all(connection, self._statement(column, number, begun=begun), {**place, _COUNT: count})
                yield _exact(page, value)
                if len(page) < count:
                    break
                last = page[-1]
            last = None

    def one(self, connection: sa.Connection, key: Sequence[object]) -> Sequence[Any] | None:
        """The row with this key."""
        made = self._made.get(("key",))
        if made is None:
            conditions = [
                column == sa.bindparam(f"ocblob_key_{number}", type_=column.type)
                for number, column in enumerate(self._table.key)
            ]
            made = self._made["key",] = sa.select(*self._columns, sa.literal(1)).where(*conditions)
        return connection.execute(made, {f"ocblob_key_{number}": value for number, value in enumerate(key)}).first()

    def _stretch_of(self, row: Sequence[Any]) -> int:
        return 0 if len(self._stretches) == 1 or row[0] is not None else 1

    def _bindings(self, stretch: int, row: Sequence[Any] | None) -> dict[str, object]:
        if row is None:
            return {}
        order = self._stretches[stretch].order
        values = row[len(self._place) - len(order) : len(self._place)]
        return {f"ocblob_at_{number}": value for number, value in enumerate(values)}

    def _fitting(
        self, connection: sa.Connection, column: str, stretch: int, place: dict[str, object], *, begun: bool
    ) -> int:
        """How many of the next rows are a page; one at least."""
        statement = self._sizes(column, stretch, begun=begun)
        total = 0
        sizes = connection.execute(statement, {**place, _COUNT: PAGE_ROWS}).scalars().all()
        for number, size in enumerate(sizes):
            total += int(size)
            if total > PAGE_BYTES:
                return max(1, number)
        # One more than there are: a page that is not full is the last one.
        return len(sizes) if len(sizes) == PAGE_ROWS else len(sizes) + 1

    def _statement(self, column: str, stretch: int | None = None, *, begun: bool = False) -> sa.Select[Any]:
        made = self._made.get((column, stretch, begun))
        if made is None:
            made = self._limited(
                sa.select(*self._columns, self._table[column].label(None)), column, stretch, begun=begun
            )
            self._made[column, stretch, begun] = made
        return made

    def _sizes(self, column: str, stretch: int, *, begun: bool) -> sa.Select[Any]:
        made = self._made.get((column, stretch, begun, "sizes"))
        if made is None:
            sizes = [small_size_of(self._dialect, each) for each in self._table.columns]
            made = self._limited(sa.select(reduce(add, sizes)), column, stretch, begun=begun)
            self._made[column, stretch, begun, "sizes"] = made
        return made

    def _limited(self, statement: sa.Select[Any], column: str, stretch: int | None, *, begun: bool) -> sa.Select[Any]:
        owner = self._table[column]
        statement = statement.where(owner == sa.bindparam(_OWNER, type_=owner.type)).limit(
            sa.bindparam(_COUNT, type_=sa.Integer)
        )
        if stretch is None:
            rowid = self._table.rowid
            last = () if rowid is None else (sa.case((rowid.is_(None), 1), else_=0),)
            return statement.order_by(*last, *self._place)
        found = self._stretches[stretch]
        statement = statement.where(found.condition).order_by(*found.order)
        return statement.where(found.after(self._dialect)) if begun else statement

    def _all(self, connection: sa.Connection, statement: sa.Select[Any], bindings: dict[str, object]) -> Sequence[Any]:
        return connection.execute(statement, bindings).all()


def _exact(page: Sequence[Any], value: object) -> Sequence[Any]:
    """A collation may take others for equal; the column that was asked for comes last."""
    return [row for row in page if row[-1] == value]


def row_pages(dialect: SqlDialect, table: SqlTable) -> Pages:
    """Of whole rows: what is selected of every column of the host's."""
    made: Pages | None = table.statements.get("rows")
    if made is None:
        columns = [cell.label(None) for column in table.columns for cell in selected(dialect, column)]
        made = table.statements["rows"] = Pages(dialect, table, columns)
    return made


def mark_pages(dialect: SqlDialect, table: SqlTable, digest: sa.Column[Any]) -> Pages:
    """Of what a mirror's rows were when they were put."""
    made: Pages | None = table.statements.get("marks")
    if made is None:
        made = table.statements["marks"] = Pages(dialect, table, [digest])
    return made
