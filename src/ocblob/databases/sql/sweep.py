"""Everything that a database on a server says, in pieces: every text, blob and document of every table of the schema.

A sweep sees one state of the database, and that state is durable before the first piece comes. All of it comes here
to be searched: a server takes ten times longer to look for a few words in a value than to send it.
"""

import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ocblob.databases.base import PIECE_BYTES, overlapping
from ocblob.databases.sql.server import ConnectionLostError, Server
from ocblob.databases.sql.tables import kind_of
from ocblob.errors import DatabaseError, DatabaseLockedError, DatabaseUnsupportedError

SWEEP_TRIES: Final = 3
"""A connection that is lost takes its state with it; another one is read from the beginning."""
PAUSE_S: Final = 2.0
JOIN_BYTES: Final = 256 * 1024
"""Small cells are looked at together, this many bytes at a time: they stay in the processor's cache."""
COLUMNS_MAX: Final = 16
"""Columns of one statement: each may bring a cell of up to `PIECE_BYTES`."""
SEPARATOR: Final = bytes(8)
"""Between cells of a piece: nothing reads on from one into the next."""
_WORDLESS: Final = (
    sa.types.Integer,
    sa.types.Numeric,
    sa.types.Boolean,
    sa.types.Date,
    sa.types.Time,
    sa.types.DateTime,
    sa.types.Interval,
    sa.types.Uuid,
)
"""Types whose values hold no words."""
_HEX_RUN: Final = re.compile(rb"[0-9a-f]{80,}")
"""Bytes inside of an array or a row are written out so."""


def sweep(server: Server, needles: Sequence[bytes], *, larger_than: int) -> Iterator[bytes]:
    """See `Database.sweep`."""
    for left in reversed(range(SWEEP_TRIES)):
        try:
            with server.snapshot() as connection:
                if why := server.dialect.sees_all(connection):
                    raise DatabaseUnsupportedError(f"{server.address}: {why}")
                # Only now: what was committed after this is not in the snapshot.
                _settle(server)
                yield from _Snapshot(server, connection, needles, larger_than).pieces()
                if made_anew := server.dialect.made_anew(connection):
                    raise DatabaseLockedError(
                        f"{server.address}: table {made_anew[0]} was made anew meanwhile: what was in it was not shown",
                        hint="run it again",
                    )
        except ConnectionLostError as error:
            if not left:
                raise DatabaseLockedError(f"no state of the database could be read to its end: {error}") from error
            time.sleep(PAUSE_S)
        else:
            return


def _settle(server: Server) -> None:
    with server.reading() as connection:
        try:
            server.dialect.settle(connection)
        except DatabaseUnsupportedError as error:
            raise DatabaseUnsupportedError(f"{server.address}: {error}", hint=error.hint) from error


@dataclass(frozen=True, slots=True)
class _Large:
    """A cell that is too large to come with its row, and its row's place."""

    column: sa.Column[Any]
    place: tuple[object, ...]
    size: int


class _Snapshot:
    """One reading of the whole schema."""

    def __init__(self, server: Server, connection: sa.Connection, needles: Sequence[bytes], larger_than: int) -> None:
        self._server = server
        self._dialect = server.dialect
        self._db = connection
        self._needles = needles
        self._larger_than = larger_than

    def pieces(self) -> Iterator[bytes]:
        """All pieces with a needle in them."""
        for table in self._tables():
            try:
                with self._server.translated():
                    for piece in self._of_table(table):
                        if any(needle in piece for needle in self._needles):
                            yield piece
            except ConnectionLostError:
                raise
            except DatabaseError as error:
                raise DatabaseError(f"table {table.name} cannot be read: {error}", hint=error.hint) from error

    def _tables(self) -> list[sa.Table]:
        """Every table, ours too; what is in a view is in one of them."""
        with self._server.translated(), self._dialect.catalog(self._db):
            names = sa.inspect(self._db).get_table_names()
            return [sa.Table(name, sa.MetaData(), autoload_with=self._db, resolve_fks=False) for name in sorted(names)]

    def _of_table(self, table: sa.Table) -> Iterator[bytes]:
        worded = [column for column in table.columns if not isinstance(column.type, _WORDLESS)]
        for start in range(0, len(worded), COLUMNS_MAX):
            yield from self._read(table, worded[start : start + COLUMNS_MAX])

    def _read(self, table: sa.Table, columns: Sequence[sa.Column[Any]]) -> Iterator[bytes]:
        """Cells of up to `PIECE_BYTES` come with their rows, several in a piece; larger ones one by one."""
        held: list[bytes] = []
        large: list[_Large] = []
        size = 0
        for place, cells in self._rows(table, columns):
            for column, (octets, value) in zip(columns, cells, strict=True):
                if value is not None:
                    found = self._plain(value, text=kind_of(column) != "blob")
                    held.append(found)
                    size += len(found)
                elif octets is not None:
                    large.append(_Large(column, place, octets))
            if size >= JOIN_BYTES:
                yield from _with_hex(SEPARATOR.join(held), columns)
                held, size = [], 0
        yield from _with_hex(SEPARATOR.join(held), columns)
        for cell in large:  # now that no statement is under way on this connection
            for piece in overlapping(self._parts(table, cell)):
                yield from _with_hex(piece, [cell.column])

    def _plain(self, value: Any, *, text: bool) -> bytes:
        return value.encode() if isinstance(value, str) else self._dialect.decoded(bytes(value), text=text)

    def _rows(
        self, table: sa.Table, columns: Sequence[sa.Column[Any]]
    ) -> Iterator[tuple[tuple[object, ...], list[tuple[int | None, Any]]]]:
        """The places of rows, and for each column how large its cell is if it is wanted, and what came of it."""
        place = self._dialect.row_place(table)
        selected: list[sa.ColumnElement[Any]] = []
        wanted: list[sa.ColumnElement[bool]] = []
        for column in columns:
            text = self._dialect.written(column)
            octets = self._dialect.octets(text)
            # A row that nothing finds again is read as it is: one such cell is in memory then.
            whole = octets <= PIECE_BYTES if place else octets >= 0
            more = octets > self._larger_than
            selected += [sa.case((more, octets)), sa.case((sa.and_(more, whole), self._dialect.whole(text)))]
            wanted.append(more)
        statement = sa.select(*place, *selected).select_from(table).where(sa.or_(*wanted))
        for row in self._dialect.rows(self._db, statement):
            cells = row[len(place) :]
            found = [
                (None if octets is None else int(octets), value)
                for octets, value in zip(cells[::2], cells[1::2], strict=True)
            ]
            yield tuple(row[: len(place)]), found

    def _parts(self, table: sa.Table, cell: _Large) -> Iterator[bytes]:
        where = self._dialect.row_at(table, cell.place)
        if not cell.place:
            raise DatabaseError(f"a cell of {cell.size:,} bytes did not come")
        text = kind_of(cell.column) != "blob"
        size = 0
        for part in self._dialect.stream(self._db, self._dialect.written(cell.column), where, text=text):
            size += len(part)
            for at in range(0, len(part), PIECE_BYTES):
                yield part[at : at + PIECE_BYTES]
        if size < cell.size:
            raise DatabaseError(f"{size:,} bytes came of a cell of {cell.size:,}")


def _with_hex(piece: bytes, columns: Sequence[sa.Column[Any]]) -> Iterator[bytes]:
    """The piece; and the bytes that it may write out, as those of an array of blobs are."""
    yield piece
    if all(kind_of(column) != "other" for column in columns):
        return
    for run in _HEX_RUN.findall(piece):
        for odd in (0, 1):
            yield bytes.fromhex(run[odd : odd + (len(run) - odd) // 2 * 2].decode())
