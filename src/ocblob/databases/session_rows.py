"""The seam between `sessions/` and a database: whole rows of sessions, read at one state, deleted, put back.

A row is a tuple of values. Large texts and blobs are never held: a `Content` gives its bytes in pieces.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, Protocol

from ocblob.cells import OwnedTable, SearchedColumn, SessionTree

SMALL_BYTES: Final = 64 * 1024
"""A text or blob up to this size comes with its row; a larger one is read when it is asked for."""
SEARCHED_BYTES: Final = 1024 * 1024
"""Words are looked for in cells of up to this size: nobody has written more by hand."""
CONTENT_READ_BYTES: Final = 256 * 1024
"""And comes in pieces of up to this size."""


@dataclass(frozen=True, slots=True)
class Content:
    """A text or a blob of a row, byte for byte: a text need not be valid UTF-8."""

    kind: Literal["text", "blob"]
    size: int
    """Bytes."""
    chunks: Callable[[], Iterator[bytes]]
    """The bytes, in pieces of up to `CONTENT_READ_BYTES`; may be asked for again while its source is open."""


Value = int | float | Content | None


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a table."""

    rowid: int | None
    """Where it lies; it goes back there if nobody else does. None where rows have no such place."""
    values: tuple[Value, ...]
    """In the order of the table's columns."""

    @property
    def content_size(self) -> int:
        """Bytes of its texts and blobs."""
        return sum(value.size for value in self.values if isinstance(value, Content))


@dataclass(frozen=True, slots=True)
class TableShape:
    """A table as it is now."""

    table: str
    columns: tuple[str, ...]
    """All that can be written, in their order."""
    key: tuple[str, ...]
    """The columns of the primary key; empty if there is none."""
    required: frozenset[str]
    """Columns that must have a value and have no default."""


Affinity = Literal["text", "integer", "real", "numeric", "blob"]
"""What a column would rather hold, as SQLite names it; in a cell there may be anything all the same."""


@dataclass(frozen=True, slots=True)
class ColumnDefinition:
    """A column as it can be made again elsewhere."""

    name: str
    affinity: Affinity
    key: int = 0
    """Its place in the primary key, from 1 on; 0 if it is not in it."""
    indexed: bool = False
    """Whether it is looked up by: it is in an index, or refers to another table."""


@dataclass(frozen=True, slots=True)
class TableDefinition:
    """A table as it can be made again in another database."""

    table: str
    columns: tuple[ColumnDefinition, ...]
    """In the order of `TableShape.columns`."""
    sql: tuple[str, ...] = ()
    """SQLite's own statements that made the table and its indexes; empty if nobody knows them any more."""


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """What is known of one session without reading its content."""

    id: str
    parent: str
    """Empty for none."""
    title: str
    created_ms: int | None
    """None if the database holds no number there."""
    used_ms: int | None
    """The latest time of any of its rows; None if none of them has one."""
    size: int
    """Bytes of content of all its rows in every owned table."""
    rows: int
    shared: bool


class Snapshot(Protocol):
    """Rows of one state of a database. Raises only `DatabaseError`."""

    def shape(self, table: str) -> TableShape:
        """Raises `DatabaseUnsupportedError` if there is no such table."""

    def definition(self, table: str) -> TableDefinition:
        """How to make such a table elsewhere. Raises `DatabaseUnsupportedError` if there is none."""

    def rows(self, table: OwnedTable, session: str) -> Iterator[Row]:
        """A session's rows in the order they lie in. Contents of a row are read before the next row is asked for."""

    def context_rows(self, table: str, column: str, value: str) -> Iterator[Row]:
        """The rows of a table that is not owned whose column has this value."""

    def find(self, table: str, key: Sequence[Value]) -> Row | None:
        """The row with this primary key, in the order of `TableShape.key`."""

    def exists(self, tree: SessionTree, session: str) -> bool:
        """Whether there is such a session."""

    def children(self, tree: SessionTree, sessions: Sequence[str]) -> set[str]:
        """The sessions whose parent is one of these."""


class Deleted(Enum):
    """What became of a tree of sessions."""

    DELETED = "deleted"
    CHANGED = "changed"
    """It is not what was looked at, or somebody works in it; nothing of it was taken away."""
    HALF = "half"
    """Somebody began to work in it while it was being deleted piece by piece; what went must be put back."""


@dataclass(frozen=True, slots=True)
class DeleteResult:
    """What a deletion did."""

    outcome: Deleted
    rows: int
    """Rows that are gone, in every table."""


class Inserter(Protocol):
    """Puts rows in, in short transactions that it ends by itself, and the last one when it is done."""

    def add(self, table: str, columns: Sequence[str], row: Row) -> None:
        """One row, with its rowid if that is free; raises `DatabaseError` that names what stands against it.

        Columns that are not named get their defaults. A parent row comes before those that refer to it. Rows may be
        held for a while: one that is refused is then named by the `add` of a later one, or at the end of the block.
        """


class SessionDatabase(Protocol):
    """A database with sessions."""

    def check_tree(self, tree: SessionTree) -> None:
        """Raise `DatabaseUnsupportedError` if it cannot be said whose the rows of some table are.

        That is a table which refers to an owned one, and has no column that names the session.
        """

    def survey(self, tree: SessionTree) -> Iterator[SessionFacts]:
        """Every session; reads no content. Rows of sessions that are not there are nobody's and not told."""

    def search(self, columns: Sequence[SearchedColumn], words: str) -> set[str]:
        """The sessions with these words in one of these columns, in cells of up to `SEARCHED_BYTES`.

        Upper and lower case are the same, beyond ASCII only where the database knows. A cell with an odd value (a
        blob, invalid text) may be left out. Nothing is fetched but the ids.
        """

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """One state of the database for as long as it is open, for one thread."""

    def delete_sessions(
        self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Callable[[Snapshot], bool]
    ) -> DeleteResult:
        """Delete every row of these sessions, in every owned table, with foreign keys on, in short transactions.

        `unchanged` is asked about the state that is deleted: inside the transaction, or, for what takes too long to
        look at under the lock, just before it, and then only an equal state is deleted. A session that is referred
        to by one that stays (a parent of it) is no obstacle: that is the caller's business. Raises
        `DatabaseLockedError` with nothing deleted, or with some transactions done and told by a later call. A power
        cut may bring back what went last: `flush` ends that.
        """

    def flush(self) -> None:
        """What was deleted stays so after a power cut when this returns. Holds no lock meanwhile."""

    def inserter(self, *, dangling: bool = False) -> AbstractContextManager[Inserter]:
        """Rows go in until the end of the block; all are durable then.

        A row that refers to one that is not there is refused by `DanglingRowError`; with `dangling` it goes in.
        """

    def delete_and_insert(
        self,
        tree: SessionTree,
        session: str,
        rows: Iterable[tuple[str, Sequence[str], Row]],
        *,
        dangling: bool = False,
    ) -> None:
        """A session's rows out, and these in, in one transaction. Announce it: a host waits as long as it takes.

        For `dangling` see `inserter`.
        """
