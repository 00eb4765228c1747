"""Where cells are and which of them a pass is about: values that databases and host profiles share."""

from dataclasses import dataclass
from json import dumps


@dataclass(frozen=True, slots=True)
class Column:
    """A column whose cells may hold payloads or refs."""

    table: str
    column: str
    session: str = ""
    """The column with the id of the session that a row belongs to; empty if rows have none."""
    updated: str = ""
    """The column with the time of a row's last change, epoch milliseconds; empty if rows have none."""
    bare_refs: bool = False
    """Whether a ref may stand there without `data:` and its header, as base64 that is a whole JSON string."""

    def __str__(self) -> str:
        return f"{self.table}:{self.column}"


@dataclass(frozen=True, slots=True)
class SearchedColumn:
    """A column with words that people look for."""

    table: str
    column: str
    session: str
    """The column with the id of the session that a row belongs to."""
    json: bool = False
    """Whether the words stand in JSON strings."""
    mark: str = ""
    """Text that must be in a cell too, so that its words count."""

    def needle(self, words: str) -> str:
        """The words as they stand there."""
        return dumps(words, ensure_ascii=False)[1:-1] if self.json else words


@dataclass(frozen=True, slots=True)
class SessionTable:
    """Where a host keeps its sessions."""

    table: str
    id: str
    updated: str
    """The column with the time of a session's last activity, epoch milliseconds."""


@dataclass(frozen=True, slots=True)
class KeyRange:
    """A part of a table's rows: those whose keys come after one, up to and with another. Keys as in `Cell.key`."""

    after: object = None
    """None: from the first row on."""
    upto: object = None
    """None: to the last row."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Which rows a pass is about; all of them by default."""

    sessions: tuple[str, ...] = ()
    """Only these; empty means all."""
    updated_before_ms: int | None = None
    """Only rows last changed before this; a row without a time of its own has its session's."""
    keep_newest: int = 0
    """Not the sessions that were active last, this many."""
    session_table: SessionTable | None = None
    keys: KeyRange | None = None
    """Only rows with these keys."""
    shard: tuple[int, int] | None = None
    """(i, n): of n equal parts of the rows only the i-th, from 1 on. Every row is in one of them, always the same."""

    @property
    def whole(self) -> bool:
        """Whether it is every row."""
        limits = (self.sessions, self.updated_before_ms, self.keep_newest, self.keys, self.shard)
        return not any(limits)


@dataclass(frozen=True, slots=True)
class OwnedTable:
    """A table whose rows belong to sessions, each to one."""

    table: str
    session: str
    """The column with the session's id; of the table of sessions, its own id."""
    updated: str = ""
    """The column with the time of a row's last change, epoch milliseconds; empty if rows have none."""


@dataclass(frozen=True, slots=True)
class SessionTree:
    """Where a host keeps its sessions, how they hang together, and every table with rows of theirs."""

    sessions: OwnedTable
    parent: str
    """The column with the id of the session that a session was begun by; null or empty for none."""
    created: str
    """The column with the time a session began, epoch milliseconds."""
    title: str
    shared: tuple[str, ...]
    """Columns of a session that hold something only while it is shared."""
    shared_tables: tuple[str, ...]
    """Owned tables with a row of a session only while it is shared."""
    owned: tuple[OwnedTable, ...]
    """Every table with rows of a session, that of sessions too; a table comes after those that it refers to."""
    context: tuple[tuple[str, str, str], ...] = ()
    """Rows that a session refers to and does not own, as (column of the session, table, column): its project."""
