"""What an unarchive would do: each archived session beside the one in the database, and a decision."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from ocblob.cells import SessionTree
from ocblob.databases.base import HOST_PATIENCE_S, LARGE_CELL_BYTES
from ocblob.databases.session_rows import Row, SessionDatabase
from ocblob.errors import ArchiveError, BackendError, BlobError, DatabaseUnsupportedError, UsageError
from ocblob.rows import SessionHasher
from ocblob.sessions.comparing import Comparison, Finding
from ocblob.sessions.fitting import Fits
from ocblob.sessions.reader import ArchivedSession, ArchivedTable, ArchivedTotals, BlobSource
from ocblob.sessions.recent import RecentSnapshot
from ocblob.sessions.sources import Header, SessionSource
from ocblob.sessions.trees import descendants

INSERT_BYTES_PER_S: Final = 50e6
"""That go in in a second, on the slow side; other writers wait meanwhile if it is one transaction."""
NAMED_MAX: Final = 5
"""Sessions that an error names."""


class Fate(StrEnum):
    """What becomes of an archived session."""

    INSERT = "insert"
    """The database has nothing of it."""
    COMPLETE = "complete"
    """Some of its rows are there; the others go in."""
    THERE = "already there"
    REPLACE = "replace"
    """What the database has of it goes, the archived rows go in."""
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Choice:
    """What may be done for a session to be back."""

    replace: bool = False
    """What the database has of it may go."""
    keep: bool = False
    """Rows that are there stay as they are, whatever the archive says; only missing ones go in."""
    large_cells: bool = True
    """Cells of 100 MB and more may go in, and a replacement may take longer than a host waits."""


@dataclass(frozen=True, slots=True)
class SessionPlan:
    """What is to be done with one session."""

    session: str
    title: str
    fate: Fate
    why: str
    """Of a refusal."""
    rows: int
    """That go in."""
    size: int
    """Bytes of their contents."""
    missing: bytes
    """One byte for each archived row, in the archive's order: 1 if it goes in."""
    largest: int
    """Bytes of the largest content that goes in."""
    largest_name: str
    digest: str
    """What the session will be; empty if that is not what was archived, since tables have lost columns."""


def chosen(headers: Iterable[Header], sessions: Iterable[str]) -> tuple[str, ...]:
    """The ids of these sessions and of those of their descendants that are archived with them; of all, for none.

    Raises `UsageError` for one that the archive does not hold, `ArchiveError` for one that it holds twice.
    """
    held: dict[str, str] = {}
    for session, _ in headers:
        if session.id in held:
            raise ArchiveError(f"session {session.id} is in the archive twice; ocblob writes each one once")
        held[session.id] = session.parent
    named = tuple(dict.fromkeys(sessions))
    if unknown := [session for session in named if session not in held]:
        first = ", ".join(list(held)[:NAMED_MAX])
        more = f" and {len(held) - NAMED_MAX:,} more" if len(held) > NAMED_MAX else ""
        raise UsageError(
            f"the archive holds no session {', '.join(unknown)}; it holds {first or 'none'}{more}",
            hint="--list shows all of them",
        )
    wanted = descendants(named, held) if named else held.keys()
    return tuple(session for session in held if session in wanted)


def plan_unarchive(  # noqa: PLR0913
    database: SessionDatabase,
    tree: SessionTree,
    source: SessionSource,
    headers: Iterable[Header],
    *,
    sessions: tuple[str, ...],
    blobs: BlobSource,
    choice: Choice,
    needed: Callable[[Row], None] = lambda _: None,
    looked_at: Callable[[Row], None] = lambda _: None,
    directory: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[SessionPlan, ...]:
    """Decide for each of these sessions, in the source's order.

    `looked_at` is told of every row, `needed` of each one that may go in.
    Rows are read with their payloads, and must be what was archived. Memory: see `Comparison`.
    """
    totals = {session.id: each for session, each in headers}
    plans = []
    with RecentSnapshot(database) as recent:
        fits = Fits(lambda table: recent.still().shape(table))
        wanted = dict.fromkeys(sessions).keys()  # a source may go by their order
        for session, rows in source.sessions(wanted, blobs=blobs, directory=directory) if wanted else ():
            try:
                comparison = Comparison(
                    recent.now(), tree, session.id, fits=fits, whole=choice.replace, needed=needed, noun=source.noun
                )
                digest = ArchivedDigest()
                for table, row in rows:
                    digest.row(table, row)
                    looked_at(row)
                    comparison.row(table, row)
                plans.append(_plan(session, totals[session.id], digest, comparison.finish(), choice))
            except (BlobError, BackendError, DatabaseUnsupportedError) as error:
                plans.append(_refusal(session, str(error)))
            progress(totals[session.id].size)
    return tuple(plans)


class ArchivedDigest:
    """`rows.session_digest` of archived rows, as they come by; rows of the context do not count."""

    def __init__(self) -> None:
        self._hasher = SessionHasher()
        self._table: ArchivedTable | None = None

    def row(self, table: ArchivedTable, row: Row) -> None:
        """Reads its contents, in pieces."""
        if table.context:
            return
        if table is not self._table:
            self._table = table
            self._hasher.table(table.table, table.columns)
        self._hasher.row(row)

    def hexdigest(self) -> str:
        """64 hex digits."""
        return self._hasher.hexdigest()


def _plan(
    session: ArchivedSession, totals: ArchivedTotals, digest: ArchivedDigest, found: Finding, choice: Choice
) -> SessionPlan:
    if totals.digest not in {"", digest.hexdigest()}:
        return _refusal(session, "its rows in the archive are not those that were archived: the file is damaged")
    fate, why = _decide(found, choice)
    if fate is Fate.REFUSED:
        return _refusal(session, why)
    missing = b"\1" * len(found.missing) if fate is Fate.REPLACE else bytes(found.missing)
    size, largest = (0, 0) if fate is Fate.THERE else (found.size, found.largest)
    return SessionPlan(
        session.id,
        session.title,
        fate,
        "",
        sum(missing),
        size,
        missing,
        largest,
        found.largest_name,
        digest.hexdigest() if found.whole else "",
    )


def _decide(found: Finding, choice: Choice) -> tuple[Fate, str]:
    conflict = ""
    if found.differing:
        conflict = f"{found.differing} is there and differs from the row of the {found.noun}"
    elif found.extra:
        conflict = found.extra
    if conflict and not choice.keep and not choice.replace:
        return Fate.REFUSED, f"{conflict}; --replace puts the one of the {found.noun} in its place"
    replaced = bool(conflict) and not choice.keep
    if not replaced and not found.rows_missing:
        return Fate.THERE, ""
    if found.obstacle:
        return Fate.REFUSED, found.obstacle
    if found.largest >= LARGE_CELL_BYTES and not choice.large_cells:
        return Fate.REFUSED, (
            f"{found.largest_name} has {found.largest / 1e6:.0f} MB, and the host would wait for it;"
            " --force does it all the same"
        )
    wait_s = found.size / INSERT_BYTES_PER_S if replaced else 0.0
    if wait_s > HOST_PATIENCE_S and not choice.large_cells:
        return Fate.REFUSED, (
            f"to replace its {found.size / 1e6:.0f} MB would block the host for about {wait_s:.0f} s;"
            " --force does it all the same"
        )
    return (Fate.REPLACE if replaced else Fate.COMPLETE if found.begun else Fate.INSERT), ""


def _refusal(session: ArchivedSession, why: str) -> SessionPlan:
    return SessionPlan(session.id, session.title, Fate.REFUSED, why, 0, 0, b"", 0, "", "")
