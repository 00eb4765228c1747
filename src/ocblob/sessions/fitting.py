"""How rows of an archive lie in the tables as they are now: a schema gains columns, and may lose some."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ocblob.databases.session_rows import Content, Row, TableShape, Value
from ocblob.errors import DatabaseUnsupportedError
from ocblob.rows import SessionHasher
from ocblob.sessions.elements import ArchivedTable

NAME_BYTES = 200
"""Of a key, as messages show it."""


@dataclass(frozen=True, slots=True)
class Fit:
    """An archived table's columns in the table of the same name."""

    shape: TableShape
    archived: tuple[str, ...]
    """The columns of archived rows."""
    columns: tuple[str, ...]
    """Those that are still there; they are what is compared and what goes in."""
    places: tuple[int, ...]
    """Where they stand in an archived row."""
    now: tuple[int, ...]
    """Where they stand in a row of the database."""
    key: tuple[int, ...]
    """Where the primary key of the table stands in an archived row; empty if rows have no key to be found by."""
    unmet: tuple[str, ...]
    """Columns that must have a value, have no default, and are not archived: no row can go in."""

    @property
    def table(self) -> str:
        """The table's name."""
        return self.shape.table

    @property
    def whole(self) -> bool:
        """Whether all that is archived goes in."""
        return self.columns == self.archived

    def fitted(self, row: Row) -> Row:
        """An archived row as it goes in."""
        return row if self.whole else Row(row.rowid, tuple(row.values[place] for place in self.places))

    def reduced(self, row: Row) -> Row:
        """A row of the database with what an archived one has."""
        return Row(row.rowid, tuple(row.values[place] for place in self.now))

    def key_of(self, row: Row) -> tuple[Value, ...]:
        """What an archived row is found by."""
        return tuple(row.values[place] for place in self.key)

    def key_digest(self, row: Row) -> bytes:
        """16 bytes that tell the key of an archived row from others."""
        return row_digest(Row(None, self.key_of(row)))

    def obstacle(self, row: Row, noun: str) -> str:
        """Why an archived row, out of what is called so, cannot go in as it was; empty if it can."""
        kept = set(self.places)
        for place, column in enumerate(self.archived):
            if place not in kept and row.values[place] is not None:
                return f"table {self.table} has no column {column} any more, and {self.name(row)} has a value there"
        if self.unmet:
            return f"table {self.table} needs a value for {', '.join(self.unmet)}, which the {noun} does not know"
        return ""

    def name(self, row: Row) -> str:
        """An archived row in words: `part prt_1`."""
        if self.key:
            return f"{self.table} {' '.join(map(_shown, self.key_of(row)))}"
        return f"{self.table} row {row.rowid}" if row.rowid is not None else f"a row of {self.table}"


def fit(shape: TableShape, archived: Sequence[str]) -> Fit:
    """Match columns by their names."""
    at = {column: place for place, column in enumerate(archived)}
    common = [column for column in archived if column in shape.columns]
    found_by = all(column in at for column in shape.key)
    return Fit(
        shape,
        tuple(archived),
        tuple(common),
        tuple(at[column] for column in common),
        tuple(shape.columns.index(column) for column in common),
        tuple(at[column] for column in shape.key) if found_by else (),
        tuple(sorted(shape.required - at.keys())),
    )


class Fits:
    """The fits of an archive's tables, looked up once each."""

    def __init__(self, shape: Callable[[str], TableShape]) -> None:
        self._shape = shape
        self._known: dict[tuple[str, tuple[str, ...]], Fit | None] = {}

    def of(self, table: ArchivedTable) -> Fit | None:
        """How an archived table lies in the database; None if there is no table of that name."""
        known = (table.table, table.columns)
        if known not in self._known:
            try:
                self._known[known] = fit(self._shape(table.table), table.columns)
            except DatabaseUnsupportedError:
                self._known[known] = None
        return self._known[known]


def row_digest(row: Row) -> bytes:
    """16 bytes that tell rows of one table apart. Reads their contents."""
    hasher = SessionHasher()
    hasher.row(row)
    return bytes.fromhex(hasher.hexdigest())[:16]


def _shown(value: Value) -> str:
    if not isinstance(value, Content):
        return repr(value)
    text = next(value.chunks(), b"")[:NAME_BYTES].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
