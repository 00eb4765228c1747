"""Bound rows into their tables, inside a transaction: many of a kind in one statement, large contents in pieces."""

import codecs
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby, islice
from typing import Any, Final

import sqlalchemy as sa

from ocblob.databases.session_rows import Content
from ocblob.databases.sql import odd_cells
from ocblob.databases.sql.odd_cells import ODD_CELL, OddCell
from ocblob.databases.sql.server import RowRefusedError, Server
from ocblob.databases.sql.session_row_binder import BoundRow, RowBinder
from ocblob.databases.sql.session_values import UnfitError, nature
from ocblob.databases.sql.tables import SqlTable, Tables

KEYS_GROUP: Final = 200
"""Keys in one statement."""


class RowWriter:
    """Works on a connection that is in a transaction."""

    def __init__(self, server: Server, tables: Tables, binder: RowBinder) -> None:
        self._server = server
        self._tables = tables
        self._binder = binder

    def insert(self, connection: sa.Connection, rows: Iterable[BoundRow]) -> None:
        """All of these, in their order. An error leaves it open which of them are in: undo the transaction."""
        with self._server.translated():
            for _, group in groupby(rows, _kind):
                alike = list(group)
                statement = sa.insert(alike[0].table.table).values(_placeholders(alike[0]))
                self._server.dialect.put_rows(connection, statement, [row.values for row in alike])
                for row in alike:
                    self._finish(connection, row)

    def remove(self, connection: sa.Connection, table: SqlTable, keys: Iterable[tuple[Any, ...]]) -> None:
        """The rows with these keys go, with their odd cells."""
        rest, name = iter(keys), table.table.name
        with self._server.translated():
            odd = ODD_CELL in self._tables.all_names() and odd_cells.has_any(connection, name)
            while group := list(islice(rest, KEYS_GROUP)):
                connection.execute(sa.delete(table.table).where(_one_of(table, group)))
                if odd:
                    odd_cells.remove(connection, name, map(odd_cells.row_name, group))

    def check_owners(self, connection: sa.Connection, rows: Sequence[BoundRow], column: str) -> None:
        """Raise `RowRefusedError` if rows of one table would take the places of rows with another value in a column."""
        by_owner = dict[object, list[BoundRow]]()
        for row in rows:
            by_owner.setdefault(row.values.get(column), []).append(row)
        table = rows[0].table
        for owner, theirs in by_owner.items():
            others = sa.or_(table[column] != owner, table[column].is_(None))
            for start in range(0, len(theirs) if owner is not None else 0, KEYS_GROUP):
                group = theirs[start : start + KEYS_GROUP]
                places = _one_of(table, [row.key for row in group])
                with self._server.translated():
                    taken = connection.execute(sa.select(sa.literal(1)).where(places, others).limit(1)).first()
                if taken is not None:
                    row = group[0]
                    name = row.label if len(group) == 1 else f"{row.label} or a row after it"
                    raise RowRefusedError(f"{name} is a row of another session")

    def _finish(self, connection: sa.Connection, row: BoundRow) -> None:
        """What did not go with the statement: large contents, and odd cells."""
        odd = list(row.odd)
        for name, content in row.large:
            column, place = row.table[name], _one_of(row.table, [row.key])
            text = content.kind == "text"
            try:
                if not self._server.dialect.put_large(
                    connection, column, place, self._checked(row, content), text=text
                ):
                    raise RowRefusedError(f"{row.label}: it is not found where it was put")
            except UnfitError as error:
                if row.table.digest is None:
                    raise RowRefusedError(f"{row.label}: column {name} {error}") from error
                odd.append(OddCell(name, content))
        for cell in odd:
            most = self._binder.inline_bytes
            odd_cells.put(connection, self._server.dialect, row.table.table.name, row.name, cell, most)

    def _checked(self, row: BoundRow, content: Content) -> Iterator[bytes]:
        """The pieces of a content, of the size that it is said to have; of a text only what is one to the server."""
        decoder = codecs.getincrementaldecoder("utf-8")() if content.kind == "text" else None
        written = 0
        for chunk in content.chunks():
            written += len(chunk)
            if decoder is not None:
                self._check_text(decoder, chunk, final=False)
            yield chunk
        if decoder is not None:
            self._check_text(decoder, b"", final=True)
        if written != content.size:
            raise RowRefusedError(f"{row.label}: {written} bytes came instead of {content.size}")

    def _check_text(self, decoder: codecs.IncrementalDecoder, chunk: bytes, *, final: bool) -> None:
        try:
            text = decoder.decode(chunk, final)
            if "\0" in text:
                self._server.dialect.encoded(b"\0", text=True)
        except ValueError as error:
            raise UnfitError(f"holds no such text: {error}") from error


def _kind(row: BoundRow) -> tuple[object, ...]:
    """Rows of one kind go in together; one with more to it goes alone."""
    alone = id(row) if row.large else 0
    return row.table.table.name, tuple(row.values), alone


def _placeholders(row: BoundRow) -> dict[str, sa.BindParameter[Any]]:
    """What stands for each value: a text of which the server makes its own type stays one until it is there."""
    written = sa.UnicodeText()
    return {
        name: sa.bindparam(name, type_=written if nature(row.table[name]) == "written" else row.table[name].type)
        for name in row.values
    }


def _one_of(table: SqlTable, keys: Sequence[tuple[Any, ...]]) -> sa.ColumnElement[bool]:
    if len(table.key) == 1:
        return table.key[0].in_([key[0] for key in keys])
    return sa.or_(*(sa.and_(*(column == value for column, value in zip(table.key, key, strict=True))) for key in keys))
