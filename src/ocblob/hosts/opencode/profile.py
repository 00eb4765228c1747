"""What OpenCode's tables mean. Detected by looking at the tables, never by a version."""

from collections.abc import Mapping
from typing import Final

from ocblob.cells import Column, SessionTable
from ocblob.hosts.base import HostProfile

NAME: Final = "opencode"

_PART: Final = Column("part", "data", session="session_id", updated="time_updated")
_EVENT: Final = Column("event", "data", session="aggregate_id")
# OpenCode 2 takes a user's files over without the headers of their data URLs.
_V2_MESSAGE: Final = Column("session_message", "data", session="session_id", updated="time_updated", bare_refs=True)
_V2_INPUT: Final = Column("session_input", "prompt", session="session_id", updated="time_created", bare_refs=True)
_SESSIONS: Final = SessionTable("session", id="id", updated="time_updated")

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
        unknown=unknown,
    )
