"""One row into a table: type for type, byte for byte, with its rowid if that is free, or not at all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import apsw

from ocblob.cells import Column
from ocblob.databases.session_rows import Content, Row, Value
from ocblob.databases.sqlite.connection import quote, translated
from ocblob.databases.sqlite.schema import Schema
from ocblob.databases.sqlite.session_snapshot import held, placeholder
from ocblob.databases.sqlite.session_tables import Table, Tables
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.databases.sqlite.swapping import BOUND_BYTES_MAX
from ocblob.errors import DanglingRowError, DatabaseError

KEY_SHOWN_BYTES: Final = 60
_ROWS_OWN_TROUBLE = (apsw.ConstraintError, apsw.TooBigError, apsw.SQLError, apsw.MismatchError)


class RowError(DatabaseError):
    """One row cannot be put in; the rest of the transaction stands."""


class DanglingError(RowError, DanglingRowError):
    """Of these, one that refers to a row that is not there."""


@dataclass(slots=True)
class _Run:
    """The last row of a table: where it lay and where it lies now."""

    wanted: int
    placed: int


@dataclass(frozen=True, slots=True)
class _Statement:
    """How rows of one kind go in: the same columns, types and manner."""

    sql: str
    doubtful: tuple[int, ...]
    """Columns in which SQLite would rather have another type; the statement answers with the types it stored."""


class RowWriter:
    """Works inside a transaction of the writer's."""

    def __init__(self, writer: SessionWriter) -> None:
        self._writer = writer
        self._tables = Tables(writer.path, writer.db)
        self._schema = Schema(writer)
        self._runs: dict[str, _Run] = {}
        self._statements: dict[tuple[object, ...], _Statement] = {}

    def check(self, table: str, columns: Sequence[str]) -> None:
        """Raise `DatabaseError` if there is no such table or column; best before a transaction."""
        there = self._tables[table].shape.columns
        missing = [column for column in columns if column not in there]
        if missing:
            raise DatabaseError(f"{table} in {self._writer.path} has no column {', '.join(missing)}")

    def put(self, table: str, columns: Sequence[str], row: Row) -> None:
        """Raises `RowError` with the transaction as it was before this row."""
        found = self._tables[table]
        streamed = frozenset(
            number
            for number, value in enumerate(row.values)
            if isinstance(value, Content)
            and value.size > BOUND_BYTES_MAX
            and found.in_pieces
            and self._schema.is_streamable(Column(table, columns[number]))
        )
        with translated(self._writer.path):
            try:
                try:
                    self._insert(found, columns, row, streamed)
                except (apsw.ConstraintError, apsw.SQLError):
                    # A zeroed cell may break a CHECK.
                    if not streamed or not self._writer.db.in_transaction:
                        raise
                    self._insert(found, columns, row, frozenset())
            except _ROWS_OWN_TROUBLE as error:
                if not self._writer.db.in_transaction:
                    raise
                if "FOREIGN KEY" not in str(error):
                    raise RowError(self._says(found, columns, row, str(error))) from error
                missing = self._missing_parent(found, columns, row) or str(error)
                raise DanglingError(self._says(found, columns, row, missing)) from error

    def _insert(self, table: Table, columns: Sequence[str], row: Row, streamed: frozenset[int]) -> None:
        keeps_rowid = self._keeps_rowid(table, row)
        statement = self._statement(table, columns, tuple(map(_type, row.values)), streamed, keeps_rowid=keeps_rowid)
        values = [
            value.size if number in streamed and isinstance(value, Content) else self._held(table, columns, row, value)
            for number, value in enumerate(row.values)
        ]
        if keeps_rowid:
            values.append(row.rowid)
        if not (streamed or statement.doubtful):
            self._writer.db.execute(statement.sql, values)  # all or nothing by itself
        else:
            self._writer.rows("SAVEPOINT row")
            try:
                ((_, *kinds),) = list(self._writer.db.execute(statement.sql, values))
                for number, kind in zip(statement.doubtful, kinds, strict=True):
                    if kind != (wanted := _type(row.values[number])):
                        reason = f"column {columns[number]} holds no {wanted}, only {kind}"
                        raise RowError(self._says(table, columns, row, reason))
                self._fill(table, columns, row, streamed)
            except BaseException:
                if self._writer.db.in_transaction:
                    self._writer.rows("ROLLBACK TO row")
                    self._writer.rows("RELEASE row")
                raise
            self._writer.rows("RELEASE row")
        if table.rowid and row.rowid is not None:
            self._runs[table.shape.table] = _Run(row.rowid, self._writer.db.last_insert_rowid())

    def _statement(
        self,
        table: Table,
        columns: Sequence[str],
        kinds: tuple[str, ...],
        streamed: frozenset[int],
        *,
        keeps_rowid: bool,
    ) -> _Statement:
        # Made once: there may be a million rows.
        key = (table.sql, tuple(columns), kinds, streamed, keeps_rowid)
        made = self._statements.get(key)
        if made is None:
            affinities = dict(zip(table.shape.columns, table.affinities, strict=True))
            doubtful = tuple(
                number
                for number, (name, kind) in enumerate(zip(columns, kinds, strict=True))
                if not _natural(affinities[name], kind)
            )
            places = [_place("zeroblob(?)" if number in streamed else "?", kind) for number, kind in enumerate(kinds)]
            names = [quote(name) for name in columns]
            if keeps_rowid:
                names.append(table.rowid)
                places.append("?")
            # OR ABORT: a constraint's own ON CONFLICT clause might replace a row that is there.
            sql = f"INSERT OR ABORT INTO {table.sql} ({', '.join(names)}) VALUES ({', '.join(places)})"
            if doubtful or streamed:
                sql += " RETURNING 1" + "".join(f", typeof({names[number]})" for number in doubtful)
            made = self._statements[key] = _Statement(sql, doubtful)
        return made

    def _keeps_rowid(self, table: Table, row: Row) -> bool:
        """Whether a row goes back to where it lay: not if another lies there, nor if it would come before the last one.

        The rows of a session lie in an order. When one of them has had to go to the end, those after it go there too.
        """
        if not table.rowid or table.alias or row.rowid is None:
            return False
        run = self._runs.get(table.shape.table)
        # A rowid that is not higher than the last one is where the next session's rows begin.
        if run is not None and run.wanted < row.rowid <= run.placed:
            return False
        return not self._writer.rows(f"SELECT 1 FROM {table.sql} WHERE {table.rowid}=?", (row.rowid,))

    def _fill(self, table: Table, columns: Sequence[str], row: Row, streamed: frozenset[int]) -> None:
        rowid = self._writer.db.last_insert_rowid()
        for number in sorted(streamed):
            name, value, written = columns[number], row.values[number], 0
            if not isinstance(value, Content):
                continue
            with self._writer.db.blob_open("main", table.shape.table, name, rowid, True) as blob:
                for chunk in value.chunks():
                    if written + len(chunk) <= value.size:
                        blob.write(chunk)
                    written += len(chunk)
            if written != value.size:
                raise RowError(
                    self._says(table, columns, row, f"{written} bytes came for {name} instead of {value.size}")
                )

    def _missing_parent(self, table: Table, columns: Sequence[str], row: Row) -> str:
        """Which row it refers to that is not there; SQLite does not say."""
        given = dict(zip(columns, row.values, strict=True))
        for key in self._tables.foreign_keys():
            named = [given.get(column) for column in key.columns]
            if key.table.lower() != table.shape.table.lower() or None in named:
                continue
            condition = " AND ".join(
                f"{quote(column)}={placeholder(value)}" for column, value in zip(key.parent_columns, named, strict=True)
            )
            if not self._writer.rows(f"SELECT 1 FROM {quote(key.parent)} WHERE {condition}", tuple(map(held, named))):
                return f"there is no {key.parent} {' '.join(map(_shown, named))}, to which its {key.columns[0]} refers"
        return ""

    def _held(self, table: Table, columns: Sequence[str], row: Row, value: Value) -> int | float | bytes | None:
        data = held(value)
        if isinstance(value, Content) and isinstance(data, bytes) and len(data) != value.size:
            raise RowError(self._says(table, columns, row, f"{len(data)} bytes came instead of {value.size}"))
        return data

    def _says(self, table: Table, columns: Sequence[str], row: Row, reason: str) -> str:
        return f"{_label(table, columns, row)} in {self._writer.path}: {reason}"


def _label(table: Table, columns: Sequence[str], row: Row) -> str:
    """A row for messages: by its key, or where it lies."""
    given = dict(zip(columns, row.values, strict=True))
    key = [_shown(given.get(name)) for name in table.shape.key]
    return f"{table.shape.table} {' '.join(key) or row.rowid}"


def _shown(value: Value) -> str:
    data = held(value) if not isinstance(value, Content) or value.size <= KEY_SHOWN_BYTES else b"(long)"
    return data.decode("utf-8", "replace") if isinstance(data, bytes) else str(data)


def _type(value: Value) -> str:
    if isinstance(value, Content):
        return value.kind
    return {int: "integer", float: "real"}.get(type(value), "null")


def _natural(affinity: str, kind: str) -> bool:
    """Whether a column of this affinity is sure to keep a value of this type."""
    if affinity == "BLOB" or kind in {"null", "blob"}:
        return True
    return kind == {"TEXT": "text", "REAL": "real"}.get(affinity, "integer")


def _place(place: str, kind: str) -> str:
    # Text is bound as bytes: it need not be valid UTF-8.
    return f"CAST({place} AS TEXT)" if kind == "text" else place
