"""The seam between the SQL databases and one kind of server. Everything that they do not share is behind it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Literal, Protocol

import sqlalchemy as sa

from ocblob.databases.session_rows import Affinity

SELF_CHANGING: Final = "ocblob_self_changing"
"""In the `info` of a column of `SqlDialect.self_changing`."""


def staying(table: sa.FromClause) -> dict[sa.ColumnElement[Any], sa.ColumnElement[Any]]:
    """What an `UPDATE` has to say besides, so that it changes nothing but what it is for."""
    return {column: column for column in table.columns if column.info.get(SELF_CHANGING)}


class Trouble(Enum):
    """What a driver's error comes to."""

    LOST = "lost"
    """The connection is gone; another one may do it."""
    AGAIN = "again"
    """A deadlock, or two transactions that could not both be: it was undone, and may be done again."""
    LOCKED = "locked"
    """Somebody holds a lock for longer than we wait."""
    FULL = "full"
    """The disk has no room."""
    DENIED = "denied"
    """This user may not."""
    TOO_LARGE = "too large"
    """The server takes no value, or no packet, of this size."""
    DANGLING = "dangling"
    """A row refers to one that is not there."""
    ROW = "row"
    """One row's own trouble: a constraint, a value that the column does not hold."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Limit:
    """What one value may have."""

    bytes: int
    words: str
    """What sets it, as the beginning of a sentence."""
    hint: str


class SqlDialect(Protocol):
    """One kind of server. Holds nothing: it may be asked about any connection."""

    @property
    def driver(self) -> str:
        """What its URL names behind a plus sign."""

    @property
    def extra(self) -> str:
        """The optional dependency that brings its driver: `pip install 'ocblob[extra]'`."""

    @property
    def snapshot_isolation(self) -> Literal["REPEATABLE READ", "SERIALIZABLE"]:
        """What shows one state of the database to a transaction that reads."""

    @property
    def snapshot_begin(self) -> str:
        """The statement by which a transaction takes its state at once, and not with its first look at a table."""

    @property
    def begin(self) -> str:
        """The statement that begins a transaction to write in, where a savepoint alone would begin none; or empty."""

    @property
    def writers_unseen(self) -> bool:
        """Whether a serializable transaction does not see who writes beside it without being serializable."""

    @property
    def delete_triggers(self) -> str:
        """Selects table and name of every trigger that runs when rows are deleted."""

    @property
    def keys_off(self) -> tuple[str, str] | None:
        """Statements by which a transaction puts in rows that refer to none, and ends that; None: it cannot."""

    @property
    def long_indexed(self) -> bool:
        """Whether a column of texts of any length may have an index."""

    @property
    def large_bytes(self) -> int:
        """A value of more than this is neither sent nor fetched in one piece."""

    def completed(self, url: sa.URL) -> sa.URL:
        """The URL with what its driver cannot do without. Raises `ImportError` if the driver cannot be loaded."""

    def engine_options(self) -> Mapping[str, Any]:
        """Keyword arguments of `create_engine`."""

    def connected(self, driver: Any) -> None:
        """The driver has made a connection, and nothing was asked of it yet."""

    def catalog(self, connection: sa.Connection) -> AbstractContextManager[None]:
        """While it is open SQLAlchemy may look at the tables through this connection."""

    def settings(self, connection: sa.Connection, *, lock_wait_s: float) -> Sequence[str]:
        """Statements for each new connection."""

    def check(self, connection: sa.Connection) -> list[str]:
        """Raise `DatabaseUnsupportedError` for a server or an encoding that cannot do; what to warn of."""

    def limit(self, connection: sa.Connection) -> Limit:
        """What one value may have, on this connection."""

    def trouble(self, error: sa.exc.DBAPIError) -> Trouble:
        """What an error comes to."""

    def check_text(self, column: sa.Column[Any]) -> str:
        """Why text of this column cannot be kept byte for byte; empty if it can."""

    def check_table(self, table: sa.Table) -> str:
        """Why rows of this table cannot be swapped or deleted safely; empty if they can."""

    def check_key(self, column: sa.Column[Any]) -> str:
        """Why a row cannot be found again by this column of its key, though its type is a common one; or empty."""

    def self_changing(self, connection: sa.Connection, table: str) -> Sequence[str]:
        """Columns that any `UPDATE` of a row changes, but for one that says what they are to be."""

    def is_text(self, column: sa.ColumnElement[Any], text: str) -> sa.ColumnElement[bool]:
        """Whether a text is this one, byte for byte, whatever else its collation takes for equal; by an index too."""

    def octets(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[int]:
        """Bytes of a text in UTF-8, or of a blob, without reading it where the server can."""

    def content(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[bytes]:
        """A text or a blob as the driver's `bytes`; `decoded` makes UTF-8 of those of a text."""

    def decoded(self, raw: bytes, *, text: bool) -> bytes:
        """What `content` gave, of a text in UTF-8."""

    def encoded(self, data: bytes, *, text: bool) -> str | bytes:
        """The value to bind for these bytes. Raises `ValueError` if a text of the server's cannot hold them."""

    def whole(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """A text or a blob as `rows` brings it fastest; `decoded` makes UTF-8 of that of a text."""

    def rows(self, connection: sa.Connection, statement: sa.Select[Any]) -> Iterator[Sequence[Any]]:
        """Rows as they come in, without a question for each; texts may come as `bytes`. Memory: a row or two."""

    def stream(
        self,
        connection: sa.Connection,
        column: sa.ColumnElement[Any],
        where: sa.ColumnElement[bool],
        *,
        text: bool,
        seen: "ContentHash | None" = None,
    ) -> Iterator[bytes]:
        """The content of one large cell in pieces, read once on the server. Memory: a piece or two of ours.

        `seen` is fed with the bytes as the server has them.
        """

    def changed(
        self, connection: sa.Connection, statement: sa.Update, parameters: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        """Run a statement for each of these; how many rows each has changed."""

    def put_rows(self, connection: sa.Connection, statement: sa.Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert these, which all have the columns of the statement; an error leaves it open which of them are in."""

    def put_large(
        self,
        connection: sa.Connection,
        column: sa.Column[Any],
        where: sa.ColumnElement[bool],
        chunks: Iterator[bytes],
        *,
        text: bool,
    ) -> int:
        """Give the one cell for which `where` holds a large content, sent in pieces; how many rows were changed.

        Inside the transaction of the connection. What `chunks` raises comes through, with the cell as it was.
        """

    def version(self, table: sa.Table) -> sa.ColumnElement[Any] | None:
        """What changes with every write of a row; None if the server keeps no such thing."""

    def unchanged(self, column: sa.Column[Any], version: object, *, text: bool) -> sa.ColumnElement[bool]:
        """Whether the row is still of this version: of `version()`, or else the `content_version` of what was read."""

    def content_version(self, data: "ContentHash", *, text: bool) -> object:
        """The version of a content that was read, where `version()` is None."""

    def among(self, column: sa.Column[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """Whether a column has one of many values."""

    def after(self, key: Sequence[sa.Column[Any]], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """Whether a row's key comes after these values."""

    def written(self, column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
        """A value of any type as a text or a blob: what is neither, as the server writes it out."""

    def row_place(self, table: sa.Table) -> Sequence[sa.ColumnElement[Any]]:
        """What finds a row again in one state of the database, whether it has a key or not; empty if nothing does."""

    def row_at(self, table: sa.Table, place: Sequence[object]) -> sa.ColumnElement[bool]:
        """Whether a row is at the place that `row_place` gave."""

    def settle(self, connection: sa.Connection) -> None:
        """What anybody could see by now survives a power cut when this returns.

        Raises `DatabaseUnsupportedError` if that cannot be known, or if others may have seen more than this server.
        """

    def sees_all(self, connection: sa.Connection) -> str:
        """Why this user may not see every row of every table without being told; empty if it does.

        Inside of the transaction that reads them.
        """

    def made_anew(self, connection: sa.Connection) -> Sequence[str]:
        """Tables that this transaction has seen nothing of, whatever is in them: they were rewritten since it began."""

    def type_of(self, connection: sa.Connection, affinity: Affinity, *, key: bool) -> sa.types.TypeEngine[Any]:
        """The type of a mirrored column; a key can be looked up by. Text is kept exactly, and compared by its bytes."""

    def made(self, connection: sa.Connection, table: sa.Table) -> Sequence[str]:
        """Statements for a mirrored table that was just made, as for how it keeps its texts."""

    def sizes(self, connection: sa.Connection) -> Mapping[str, tuple[int, int]]:
        """Bytes on disk of every table, and how many of these hold nothing any more, as far as the server knows."""

    def reclaim(self, table: sa.Table, *, blocking: bool) -> Sequence[str]:
        """Statements, outside of a transaction, that give space back; `blocking` ones keep everybody else out."""


class ContentHash(Protocol):
    """A hash of a content, fed while it was read."""

    def update(self, data: bytes, /) -> None:
        """More of it."""

    def hexdigest(self) -> str:
        """Lower-case hex digits."""
