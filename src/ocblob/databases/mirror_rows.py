"""The seam between `sessions/mirroring` and a database that takes sessions in: rows put by their key, and a record.

A record of a session says what was mirrored of it, and when. It is committed with the last of its rows, or after
them, never before.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Row, TableDefinition, Value


@dataclass(frozen=True, slots=True)
class MirroredSession:
    """What was mirrored of one session."""

    session: str
    digest: str
    """Of its rows as they were put: `rows.RowSum`."""
    rows: int
    source_rows: int
    """The rows, bytes and time that the source's survey told; equal ones are not looked at again."""
    source_size: int
    source_used_ms: int | None
    origin: str
    """Which database it came from: a machine and a name."""
    mirrored_at_ms: int
    columns: Mapping[str, tuple[str, ...]]
    """The columns that each of its tables had; a column that came later has no value of its own in these rows."""


@dataclass(frozen=True, slots=True)
class RowMark:
    """A row that is there."""

    key: tuple[Value, ...]
    """Its primary key, in the order of `TableShape.key`; contents of it are small."""
    rowid: int | None
    digest: str
    """Of the row as it was put: `rows.row_digest`."""


class MirrorWriter(Protocol):
    """Puts rows, in transactions that it ends by itself; what came before a record is committed with it or before."""

    def put(self, table: str, columns: Sequence[str], row: Row, digest: str, *, owner: str = "") -> None:
        """One row in the place of the one with its key, if there is one.

        Where records are kept, a row that says something else in the column `owner` is of another session, and stays:
        it may be nowhere else.
        Raises `DatabaseError` that names what stands against it; rows before it may have been committed.
        """

    def remove(self, table: str, key: Sequence[Value]) -> None:
        """The row with this key goes, if it is there."""

    def record(self, session: MirroredSession) -> None:
        """Committed with the rows that came before it, or after them; and durable at the end of the block."""


class MirrorDatabase(Protocol):
    """A database that sessions may be mirrored to. It is a `SessionDatabase` too."""

    @property
    def keeps_records(self) -> bool:
        """Whether it notes what was mirrored. A SQLite file that a host uses gets no tables of ours."""

    def prepare(self, definitions: Sequence[TableDefinition]) -> list[str]:
        """Make the tables that are not there, and the columns that one does not have; what was made, in words.

        Raises `DatabaseUnsupportedError` for a table of one of these names that is not a mirror's or a host's own,
        with nothing changed.
        """

    def records(self, session: str | None = None) -> Iterator[MirroredSession]:
        """What is recorded of one session, or of every one; nothing where no records are kept."""

    def marks(self, tree: SessionTree, table: str, session: str) -> Iterator[RowMark]:
        """The rows that are there of a session in one of its tables, in their order, by what was kept of them.

        Reads no large content. Where no records are kept there are no marks either: who needs them reads the rows.
        """

    def mirror_writer(self) -> AbstractContextManager[MirrorWriter]:
        """For one thread. What was not recorded when an error ends the block may be there or not."""
