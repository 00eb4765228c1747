"""What OpenCode's tables mean. Detected by looking at the tables, never by a version."""

from collections.abc import Mapping
from typing import Final

from ocblob.cells import Column, OwnedTable, SearchedColumn, SessionTable, SessionTree
from ocblob.hosts.base import HostProfile

NAME: Final = "opencode"

_PART: Final = Column("part", "data", session="session_id", updated="time_updated")
_EVENT: Final = Column("event", "data", session="aggregate_id")
# OpenCode 2 takes a user's files over without the headers of their data URLs.
_V2_MESSAGE: Final = Column("session_message", "data", session="session_id", updated="time_updated", bare_refs=True)
_V2_INPUT: Final = Column("session_input", "prompt", session="session_id", updated="time_created", bare_refs=True)
_SESSIONS: Final = SessionTable("session", id="id", updated="time_updated")

_OWNED: Final = (
    OwnedTable("session", "id", "time_updated"),
    OwnedTable("message", "session_id", "time_updated"),
    OwnedTable("part", "session_id", "time_updated"),
    OwnedTable("todo", "session_id", "time_updated"),
    OwnedTable("session_message", "session_id", "time_updated"),
    OwnedTable("session_input", "session_id", "time_created"),
    OwnedTable("session_context_epoch", "session_id"),
    OwnedTable("session_share", "session_id"),
    OwnedTable("event_sequence", "aggregate_id"),
    OwnedTable("event", "aggregate_id"),
)
_SESSION_COLUMN: Final = "session_id"
"""A table that has one belongs to sessions, whether this version knows it or not."""

_SEARCHED: Final = (
    SearchedColumn("session", "title", "id"),
    SearchedColumn("part", "data", "session_id", json=True, mark='"type":"text"'),
    SearchedColumn("session_input", "prompt", "session_id", json=True),
    SearchedColumn("session_message", "data", "session_id", json=True),
)

_SIGNATURE: Final = frozenset({"part", "message", "session"})
_NEEDED: Final[Mapping[str, frozenset[str]]] = {
    "part": frozenset({"id", "message_id", "session_id", "time_updated", "data"}),
    "message": frozenset({"id", "session_id", "data"}),
    "session": frozenset({"id", "parent_id", "time_created", "time_updated"}),
    "event": frozenset({"id", "aggregate_id", "seq", "type", "data"}),
    "session_message": frozenset({"id", "session_id", "time_updated", "data"}),
    "session_input": frozenset({"id", "session_id", "time_created", "prompt"}),
}
"""The columns that we rely on; a schema may gain others."""


def detect(tables: Mapping[str, frozenset[str]]) -> HostProfile | None:
    """The profile of a database with these tables and columns; None if it is not OpenCode's."""
    if not tables.keys() >= _SIGNATURE:
        return None
    unknown = "; ".join(
        f"table {name} has no column {', '.join(sorted(missing))}"
        for name, needed in _NEEDED.items()
        if name in tables and (missing := needed - tables[name])
    )
    return HostProfile(
        NAME,
        columns=tuple(column for column in (_PART, _EVENT) if column.table in tables),
        counted=tuple(column for column in (_V2_MESSAGE, _V2_INPUT) if column.table in tables),
        session_table=_SESSIONS,
        tree=_tree(tables),
        searched=tuple(each for each in _SEARCHED if each.column in tables.get(each.table, ())),
        unknown=unknown,
    )


def _tree(tables: Mapping[str, frozenset[str]]) -> SessionTree:
    known = tuple(owned for owned in _OWNED if owned.table in tables)
    named = {owned.table for owned in known}
    others = (
        OwnedTable(table, _SESSION_COLUMN, "time_updated" if "time_updated" in columns else "")
        for table, columns in sorted(tables.items())
        if table not in named and _SESSION_COLUMN in columns
    )
    return SessionTree(
        sessions=_OWNED[0],
        parent="parent_id",
        created="time_created",
        title="title",
        shared=("share_url",) if "share_url" in tables["session"] else (),
        shared_tables=("session_share",) if "session_share" in tables else (),
        owned=(*known, *others),
        context=(("project_id", "project", "id"),) if "project" in tables else (),
    )
