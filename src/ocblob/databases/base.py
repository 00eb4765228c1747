"""The seam between the verbs and a database: candidates, chunked reads, swap if unchanged."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from ocblob.cells import Column, Scope, SessionTable

HOST_PATIENCE_S: Final = 3.0
"""A host that waits longer for the lock may give up (OpenCode: 5 s)."""
LARGE_CELL_BYTES: Final = 100 * 1000 * 1000
"""To put a cell of this size in holds the write lock for longer than a live host should wait."""
ANNOUNCED_CELL_BYTES: Final = 32 * 1000 * 1000
"""And one of this size takes memory that is worth a word before."""
SNAPSHOT_S: Final = 0.25
"""After this long of reading a new state is taken, so that the host's WAL can be reset."""
READ_BYTES = 256 * 1024
"""A cell is read in pieces of this size."""
PIECE_BYTES: Final = 1024 * 1024
"""A piece of a sweep is hardly larger."""
OVERLAP_BYTES: Final = 1024
"""Pieces of one text have this much in common: more than a ref's marker takes, however it is encoded."""


def overlapping(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in about the same pieces, each with the last `OVERLAP_BYTES` before it in front."""
    before = b""
    for chunk in chunks:
        piece = before + chunk
        yield piece
        before = piece[-OVERLAP_BYTES:]


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell, by where it is."""

    column: Column
    key: object
    """What the database finds the row by."""
    size: int
    """Bytes, when it was listed."""

    def __str__(self) -> str:
        return f"{self.column} row {self.key}"


class CellReader(Protocol):
    """One cell's bytes; valid until the next one is opened from the same `Cells`."""

    @property
    def size(self) -> int:
        """Bytes, now."""

    @property
    def version(self) -> object:
        """What tells this content of the row from every other; None where the stamp of a database tells it."""

    def read(self, start: int, end: int) -> Iterator[bytes]:
        """The bytes from `start` to `end`, in pieces of up to `READ_BYTES`. Raises `CellError`."""


class Cells(Protocol):
    """Reads cells one after the other; for one thread."""

    def open(self, cell: Cell) -> CellReader:
        """Raises `CellError` if the row is gone or its cell is neither text nor blob any more."""

    def release(self) -> None:
        """End the read: nothing in the database is held until the next `open`."""


@dataclass(frozen=True, slots=True)
class Edit:
    """A cell's new content, and how to tell that the old one is still what it was made from."""

    cell: Cell
    size: int
    """Bytes of the new content."""
    chunks: Callable[[], Iterator[bytes]]
    """The new content. What it raises undoes this edit alone."""
    unchanged: Callable[[CellReader], bool]
    """Asked inside the transaction, and only if somebody wrote since the stamp."""
    version: object = None
    """The `CellReader.version` that the new content was made from."""


class Outcome(Enum):
    """What became of an edit."""

    SWAPPED = "swapped"
    CHANGED = "changed"
    """The cell is not what was read, or gone; it stays as it is."""


@dataclass(frozen=True, slots=True)
class EditResult:
    """One edit's outcome; an error means that the cell is as it was."""

    edit: Edit
    outcome: Outcome | None
    error: Exception | None = None


class Database(Protocol):
    """Rows. Raises only `DatabaseError`.

    `stamp` and `swap` may be called in one thread while another reads; no two threads do the same thing.
    """

    @property
    def url(self) -> str:
        """How messages and the registry name it, without a password."""

    def tables(self) -> dict[str, frozenset[str]]:
        """The columns of every table."""

    def check_column(self, column: Column) -> None:
        """Raise `DatabaseUnsupportedError` unless cells of this column can be read and swapped."""

    def check_scope(self, column: Column, scope: Scope) -> None:
        """Raise `DatabaseUnsupportedError` if the rows have nothing that this scope could be judged by."""

    def candidates(self, column: Column, *, larger_than: int, scope: Scope) -> Iterator[Cell]:
        """Cells of more than this many bytes, in the order of their keys, a page of rows in memory at a time."""

    def measure(self, column: Column, *, larger_than: int, scope: Scope) -> tuple[int, int]:
        """How many candidates there are, and their bytes; without reading them."""

    def cells(self) -> AbstractContextManager[Cells]:
        """A reader of cells, for one thread."""

    def label(self, cell: Cell) -> str:
        """The row's own key for messages, as `part:data id=prt_1`."""

    def row_names(self, cell: Cell) -> tuple[str, str]:
        """The row's key as text, and the session it belongs to; empty if it has none."""

    def find(self, column: Column, key: str) -> Cell | None:
        """The cell of the row with this key, as `row_names` gives it."""

    def session_times(self, sessions: SessionTable) -> dict[str, int]:
        """When each session was active last, epoch milliseconds."""

    def table_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and bytes of content of every table; no cell is read."""

    def find_again(self, cell: Cell) -> bool:
        """Whether the row is still there and its cell may still hold something."""

    @property
    def reads_beside_writes(self) -> bool:
        """Whether reading goes on while `swap` writes; if not, nothing may be open for reading meanwhile."""

    @property
    def longest_transaction_s(self) -> float:
        """How long the longest of our write transactions has taken, begin to commit."""

    def room(self) -> int:
        """Bytes that the database may still grow by, as far as that can be known."""

    def stamp(self) -> object:
        """A value that differs after anybody else has written. Take it before reading what will be swapped."""

    def swap(self, edits: Sequence[Edit], *, stamp: object) -> list[EditResult]:
        """Give cells their new content, each only if unchanged, in short transactions.

        Raises `DatabaseLockedError` if somebody holds the lock for longer than we wait; edits already
        committed stay.
        """

    def flush(self) -> None:
        """What was committed survives a power cut when this returns. Holds no lock meanwhile."""

    def sweep(self, needles: Sequence[bytes], *, larger_than: int = 0) -> Iterator[bytes]:
        """Every text and blob of every column of every table, as far as one of the needles is in it.

        It comes in pieces of up to about `PIECE_BYTES`: parts of a cell with `OVERLAP_BYTES` in common, or
        several cells with NUL bytes between them. Some bytes may come twice. Cells of up to `larger_than` bytes
        may be left out. All pieces are of one state of the database, and that state survives a power cut.
        A sweep that ends without an error has seen everything. Raises `DatabaseLockedError` if there was no one
        state to be had, and `DatabaseError` for whatever cannot be read. Memory: two pieces; where the
        database cannot read a cell in parts, one such cell.
        """

    def close(self) -> None:
        """Give the database free."""
