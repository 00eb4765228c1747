"""How rows of a source lie in the tables of a target: columns match by name, and what has no place must be empty."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from ocblob.databases.session_rows import Content, Row, TableShape, Value
from ocblob.errors import DatabaseError, DatabaseUnsupportedError
from ocblob.rows import row_digest

NAME_BYTES = 200
"""Of a key, as messages show it."""


@dataclass(frozen=True, slots=True)
class Lie:
    """A table of the source in the table of that name."""

    table: str
    columns: tuple[str, ...]
    """Of the source."""
    key: tuple[str, ...]
    """Of the target: what it finds a row by."""
    common: tuple[str, ...]
    """Columns that both have."""
    places: tuple[int, ...]
    """Where they stand in a row of the source."""
    there: tuple[int, ...]
    """Where they stand in a row of the target."""
    unmet: tuple[str, ...]
    """Columns that must have a value in the target, have no default, and that the source does not have."""

    def fitted(self, row: Row) -> Row:
        """A row of the source as it is put. Raises `DatabaseError` if a value of it has no place."""
        if self.common == self.columns and not self.unmet:
            return row
        if self.unmet:
            raise DatabaseError(f"{self._name(row)} has no value for {', '.join(self.unmet)}, which the target needs")
        for column, value in zip(self.columns, row.values, strict=True):
            if value is not None and column not in self.common:
                raise DatabaseError(f"{self._name(row)} has a value for {column}, which the target has no column for")
        return Row(row.rowid, tuple(row.values[place] for place in self.places))

    def reduced(self, row: Row) -> Row:
        """A row of the target with what the source knows of."""
        return Row(row.rowid, tuple(row.values[place] for place in self.there))

    def key_of(self, fitted: Row) -> tuple[Value, ...]:
        """What a row is found by, in the target's order."""
        return tuple(fitted.values[self.common.index(name)] for name in self.key)

    def digest(self, fitted: Row) -> str:
        """Of a fitted or reduced row."""
        return row_digest(self.table, self.common, fitted)

    def value(self, column: str, fitted: Row) -> Value:
        """One value of a fitted or reduced row; None if there is no such column."""
        return fitted.values[self.common.index(column)] if column in self.common else None

    def name(self, fitted: Row) -> str:
        """A fitted row in words: `part prt_1`."""
        return f"{self.table} {' '.join(map(_shown, self.key_of(fitted)))}"

    def _name(self, row: Row) -> str:
        return f"{self.table} {' '.join(_shown(row.values[self.columns.index(name)]) for name in self.key)}"


class Lies:
    """How the tables of a source lie in those of a target, looked up once each."""

    def __init__(self, source: Mapping[str, TableShape], target: Mapping[str, TableShape]) -> None:
        self._source = source
        self._target = target
        self._known: dict[tuple[str, tuple[str, ...] | None], Lie] = {}

    def of(self, had: Mapping[str, tuple[str, ...]] | None = None) -> dict[str, Lie]:
        """Of every table that both have; columns that a session's rows did not have yet are left out.

        Raises `DatabaseUnsupportedError` if rows of a table cannot be told apart by what both have.
        """
        return {
            table: self._lie(table, had.get(table) if had is not None else None)
            for table in self._source
            if table in self._target
        }

    def _lie(self, table: str, had: tuple[str, ...] | None) -> Lie:
        if (table, had) not in self._known:
            self._known[table, had] = _lie(self._source[table], self._target[table], had)
        return self._known[table, had]


def _lie(source: TableShape, target: TableShape, had: Collection[str] | None) -> Lie:
    common = tuple(column for column in source.columns if column in target.columns and (had is None or column in had))
    if not target.key or not set(target.key) <= set(common):
        raise DatabaseUnsupportedError(f"rows of table {source.table} have no primary key to be found by")
    return Lie(
        source.table,
        source.columns,
        target.key,
        common,
        tuple(source.columns.index(column) for column in common),
        tuple(target.columns.index(column) for column in common),
        tuple(sorted(target.required - set(common))),
    )


def key_digest(table: str, key: Sequence[Value]) -> bytes:
    """16 bytes that tell a key from others of its table."""
    digest = row_digest(table, [str(place) for place in range(len(key))], Row(None, tuple(key)))
    return bytes.fromhex(digest)[:16]


def _shown(value: Value) -> str:
    if not isinstance(value, Content):
        return str(value)
    text = next(value.chunks(), b"")[:NAME_BYTES].decode("utf-8", "replace")
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
