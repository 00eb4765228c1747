"""The host profile: which cells hold payloads, and how rows belong to sessions."""

from dataclasses import dataclass

from ocblob.cells import Column, SearchedColumn, SessionTable, SessionTree


@dataclass(frozen=True, slots=True)
class HostProfile:
    """What is known of one kind of database."""

    name: str
    columns: tuple[Column, ...]
    """Offloaded and restored."""
    counted: tuple[Column, ...] = ()
    """Counted and restored, but offloaded only when asked: no hook of the host resolves refs there."""
    session_table: SessionTable | None = None
    tree: SessionTree | None = None
    """What belongs to a session; None if this host has none."""
    searched: tuple[SearchedColumn, ...] = ()
    """Where titles and the words of messages stand."""
    unknown: str = ""
    """Why the schema is not one that is known; then nothing is written."""
