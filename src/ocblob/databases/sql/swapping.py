"""Giving cells their new content: each only if its row is still of the version that was read, in short transactions.

Contents are made before a row is locked. Nothing but the condition of the `UPDATE` keeps two writers apart.
"""

import codecs
import hashlib
import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ocblob.cells import Column
from ocblob.databases.base import Edit, EditResult, Outcome
from ocblob.databases.sql.dialects.base import staying
from ocblob.databases.sql.listing import by_key
from ocblob.databases.sql.server import ConnectionLostError, RowRefusedError, Server, ValueTooLargeError
from ocblob.databases.sql.tables import SqlTable, Tables, kind_of
from ocblob.errors import CellError, DanglingRowError, DatabaseError, DatabaseUnsupportedError, OcblobError

GROUP_EDITS: Final = 256
GROUP_BYTES: Final = 4 * 1024 * 1024
"""New content that waits for its transaction in memory."""
TRANSACTION_S: Final = 0.25
"""A transaction takes no further edit after this long: its rows are locked meanwhile."""
PIECE_BYTES: Final = 1024 * 1024
"""A large content is sent in pieces of this size."""
PACKETS: Final = 4
"""What is sent at once is so many times smaller than what the server takes: quoted, it has up to twice its bytes."""

SENT_AT_ONCE: Final = 32
"""So many statements go to the server before its first answer is waited for, where its driver can."""
_CONTENT, _VERSION = "ocblob_content", "ocblob_version"

_CELLS_OWN_TROUBLE = (RowRefusedError, DanglingRowError, ValueTooLargeError)


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An edit with its content as it is bound."""

    edit: Edit
    value: str | bytes | None
    """None: it is sent in pieces."""


class Swapper:
    """Swaps cells of one database."""

    def __init__(self, server: Server, tables: Tables) -> None:
        self._server = server
        self._tables = tables
        self._dialect = server.dialect
        self._unsure = False
        """Whether a commit of these edits may have come through without an answer: what is there may be ours."""
        self._updates: dict[Column, tuple[SqlTable, sa.Update]] = {}
        """Made once for each column, for the table as it was found."""

    def check(self, column: Column) -> None:
        """Raise `DatabaseUnsupportedError` if this user may not change such cells. None is."""
        table = self._tables[column.table]
        cell = table[column.column]
        statement = (
            sa.update(table.table).where(sa.false()).values({cell: cell, **staying(table.table), **_unmarked(table)})
        )

        try:
            self._server.try_out(statement)
        except DatabaseUnsupportedError as error:
            raise DatabaseUnsupportedError(f"cells of {column} cannot be changed: {error}") from error

    def swap(self, edits: Sequence[Edit]) -> list[EditResult]:
        """See `Database`."""
        results: list[EditResult] = []
        while len(results) < len(edits):
            results += self._swap_some(edits[len(results) :])
        return results

    def _swap_some(self, edits: Sequence[Edit]) -> list[EditResult]:
        """As many edits as one group takes, one at least, in their order."""
        most = min(self._dialect.large_bytes, self._server.limit.bytes // PACKETS)
        results: dict[int, EditResult] = {}
        waiting: dict[int, _Prepared] = {}
        size = 0
        for number, edit in enumerate(edits):
            large = edit.size > most
            if waiting and (large or size + edit.size > GROUP_BYTES or len(waiting) >= GROUP_EDITS):
                break
            try:
                waiting[number] = _Prepared(edit, None if large else self._value(edit))
            except OcblobError as error:
                results[number] = EditResult(edit, None, error)
            size += edit.size
            if large:
                break
        numbers = list(waiting)
        self._unsure = False
        while numbers:
            done = self._committed([waiting[number] for number in numbers])
            results |= zip(numbers, done, strict=False)
            numbers = numbers[len(done) :]
        return [results[number] for number in range(len(results))]

    def _value(self, edit: Edit) -> str | bytes:
        """A content that is held in memory."""
        data = b"".join(edit.chunks())
        if len(data) != edit.size:
            raise CellError(f"{edit.cell}: {len(data)} bytes came instead of {edit.size}")
        try:
            return self._dialect.encoded(data, text=self._is_text(edit))
        except ValueError as error:
            raise CellError(f"{edit.cell}: {error}") from error

    def _is_text(self, edit: Edit) -> bool:
        column = edit.cell.column
        return kind_of(self._tables[column.table][column.column]) == "text"

    def _committed(self, waiting: Sequence[_Prepared]) -> list[EditResult]:
        """One transaction, done again if it has to be; one edit's trouble is no other's."""

        def work(*, apart: bool) -> list[EditResult]:
            try:
                return self._transaction(waiting, apart=apart)
            except ConnectionLostError:
                self._unsure = True
                raise

        try:
            return self._server.retried(lambda: work(apart=False))
        except _CELLS_OWN_TROUBLE as error:
            if len(waiting) == 1:
                return [EditResult(waiting[0].edit, None, _named(waiting[0].edit, error))]
            return self._server.retried(lambda: work(apart=True))

    def _transaction(self, waiting: Sequence[_Prepared], *, apart: bool) -> list[EditResult]:
        """As many of these as one short transaction takes, one at least; each in a savepoint if they are `apart`."""
        results: list[EditResult] = []
        with self._server.transaction() as connection:
            begun = time.monotonic()
            while len(results) < len(waiting) and (not results or time.monotonic() - begun < TRANSACTION_S):
                one = waiting[len(results)]
                if apart or one.value is None:
                    results.append(self._apart(connection, one))
                else:
                    results += self._swapped(connection, _alike(waiting[len(results) :]))
            if self._unsure:
                results = [self._looked_at_again(connection, result) for result in results]
        return results

    def _apart(self, connection: sa.Connection, one: _Prepared) -> EditResult:
        """Swap one in a savepoint: what goes wrong with it leaves the transaction as it was."""
        try:
            with self._server.translated(), connection.begin_nested():
                return self._swapped(connection, [one])[0] if one.value is not None else self._sent(connection, one)
        except _CELLS_OWN_TROUBLE as error:
            return EditResult(one.edit, None, _named(one.edit, error))
        except OcblobError as error:
            if isinstance(error, DatabaseError) and not isinstance(error, CellError):
                raise
            return EditResult(one.edit, None, error)

    def _swapped(self, connection: sa.Connection, some: Sequence[_Prepared]) -> list[EditResult]:
        """Swap cells of one column."""
        statement = self._update(some[0].edit.cell.column)
        changed = self._dialect.changed(connection, statement, [_parameters(one) for one in some])
        return [_result(one.edit, count) for one, count in zip(some, changed, strict=True)]

    def _update(self, name: Column) -> sa.Update:
        """Gives a cell of a column its new content, if it is unchanged; its values are those of `_parameters`."""
        table = self._tables[name.table]
        known = self._updates.get(name)
        if known is None or known[0] is not table:
            column = table[name.column]
            row = by_key(table, tuple(sa.bindparam(_key(at), type_=part.type) for at, part in enumerate(table.key)))
            text = kind_of(column) == "text"
            unchanged = self._dialect.unchanged(column, sa.bindparam(_VERSION), text=text)
            content = {column: sa.bindparam(_CONTENT, type_=column.type)}
            values = {**staying(table.table), **content, **_unmarked(table)}
            known = table, sa.update(table.table).where(row, unchanged).values(values)
            self._updates[name] = known
        return known[1]

    def _sent(self, connection: sa.Connection, one: _Prepared) -> EditResult:
        """Swap a cell whose new content is sent in pieces."""
        edit, limit = one.edit, self._server.limit
        if edit.size > limit.bytes:
            raise CellError(f"{limit.words}, and {edit.cell} needs {edit.size:,}", hint=limit.hint)
        table, column = self._place(edit)
        row, text = by_key(table, edit.cell.key), self._is_text(edit)
        where = sa.and_(row, self._dialect.unchanged(column, _version(edit), text=text))
        pieces = _pieces(_checked(edit, text=text), min(PIECE_BYTES, limit.bytes // PACKETS))
        changed = self._dialect.put_large(connection, column, where, pieces, text=text)
        if changed:
            size = connection.execute(sa.select(self._dialect.octets(column)).where(row)).scalar()
            if size != edit.size:
                raise CellError(f"{edit.cell}: the server has {size} bytes of {edit.size}; it stays as it was")
            if unmarked := _unmarked(table):
                connection.execute(sa.update(table.table).where(row).values(unmarked))
        return _result(edit, changed)

    def _looked_at_again(self, connection: sa.Connection, result: EditResult) -> EditResult:
        """A cell that is not what was read, but what it was to be, was swapped by the commit that nobody answered."""
        edit = result.edit
        if result.outcome is not Outcome.CHANGED:
            return result
        table, column = self._place(edit)
        there, wanted = hashlib.sha256(), hashlib.sha256()
        where = by_key(table, edit.cell.key)
        for piece in self._dialect.stream(connection, column, where, text=self._is_text(edit)):
            there.update(piece)
        for chunk in edit.chunks():
            wanted.update(chunk)
        return EditResult(edit, Outcome.SWAPPED) if there.digest() == wanted.digest() else result

    def _place(self, edit: Edit) -> tuple[SqlTable, sa.Column[Any]]:
        table = self._tables[edit.cell.column.table]
        return table, table[edit.cell.column.column]


def _alike(waiting: Sequence[_Prepared]) -> list[_Prepared]:
    """The first ones, as far as they are of one column and held in memory; so many as are sent at once."""
    column = waiting[0].edit.cell.column
    first = waiting[:SENT_AT_ONCE]
    return list(itertools.takewhile(lambda one: one.value is not None and one.edit.cell.column == column, first))


def _key(at: int) -> str:
    return f"ocblob_key_{at}"


def _parameters(one: _Prepared) -> dict[str, Any]:
    key = one.edit.cell.key
    if not isinstance(key, tuple):
        raise CellError(f"{one.edit.cell}: not a key")
    return {_CONTENT: one.value, _VERSION: _version(one.edit)} | {_key(at): part for at, part in enumerate(key)}


def _version(edit: Edit) -> object:
    if edit.version is None:
        raise ValueError(f"{edit.cell}: an edit that does not say what it was made from")
    return edit.version


def _result(edit: Edit, changed: int) -> EditResult:
    return EditResult(edit, Outcome.SWAPPED if changed else Outcome.CHANGED)


def _unmarked(table: SqlTable) -> dict[Any, Any]:
    """A row of a mirror that is changed here is not what was put any more."""
    return {} if table.digest is None else {table.digest: sa.null()}


def _named(edit: Edit, error: OcblobError) -> CellError:
    return CellError(f"{edit.cell}: {error}", hint=error.hint)


def _checked(edit: Edit, *, text: bool) -> Iterator[bytes]:
    """The new content. Raises `CellError` if it is of another size, or of a text if it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")() if text else None
    size = 0
    try:
        for chunk in edit.chunks():
            size += len(chunk)
            if decoder is not None:
                decoder.decode(chunk)
            yield chunk
        if decoder is not None:
            decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        raise CellError(f"{edit.cell}: a text that is not UTF-8 cannot be put into this column") from error
    if size != edit.size:
        raise CellError(f"{edit.cell}: {size} bytes came instead of {edit.size}")


def _pieces(chunks: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of this size."""
    held = bytearray()
    for chunk in chunks:
        held += chunk
        while len(held) >= size:
            yield bytes(held[:size])
            del held[:size]
    if held:
        yield bytes(held)
