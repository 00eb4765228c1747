"""Sessions out of an archive, back into their database, byte for byte.

`plan_unarchive` compares and decides, `apply_unarchive` puts in. Rows that are there and equal are never touched, so
an interrupted run is completed by the next one. What is wrong with one session stops no other.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import SessionDatabase
from ocblob.errors import DanglingRowError, DatabaseLockedError
from ocblob.sessions.putting import Manner, Putter
from ocblob.sessions.reader import Archive, BlobSource
from ocblob.sessions.sources import Header, SessionSource
from ocblob.sessions.unarchive_plan import Choice, Fate, SessionPlan, chosen, plan_unarchive
from ocblob.sessions.unarchive_report import UnarchiveReport

__all__ = ["UnarchiveReport", "apply_unarchive", "put_back"]


def apply_unarchive(  # noqa: PLR0913
    database: SessionDatabase,
    tree: SessionTree,
    source: SessionSource,
    headers: Sequence[Header],
    plans: Sequence[SessionPlan],
    *,
    blobs: BlobSource,
    directory: Path | None = None,
    room: Callable[[], int] | None = None,
    keep: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    progress: Callable[[int], None] = lambda _: None,
) -> UnarchiveReport:
    """Do what was planned; what is reported as back is durable and was read back.

    Blobs that refs in rows name must be in a store by now. `room` tells the bytes that the database may grow by.
    """
    begun = time.monotonic()
    report = UnarchiveReport()
    for plan in plans:
        if plan.fate is Fate.REFUSED:
            report.fail(plan.session, plan.why)
        elif plan.fate is Fate.THERE:
            report.fates[plan.session] = plan.fate
    going = {plan.session: plan for plan in plans if plan.fate not in {Fate.REFUSED, Fate.THERE}}
    putter = partial(Putter, database, tree, report, announce=announce, room=room, keep=keep)
    rounds = _Rounds(database, tree, source, headers, blobs, directory, report, going)
    try:
        # What is put back was there a moment ago, whatever it refers to.
        rounds.put(putter(manner=Manner.DANGLING if keep else Manner.GROUPED), going, progress)
        rounds.put(putter(manner=Manner.ALONE), rounds.judge())
        dangling = rounds.judge(last=True)
        for session, error in rounds.refused.items():
            announce(f"warning: {session}: {error}; it goes in as it was")
        rounds.put(putter(manner=Manner.DANGLING), dangling)
        rounds.judge(last=True)
    except DatabaseLockedError as error:
        report.locked = str(error)
        report.tell(str(error))
    report.elapsed_s = time.monotonic() - begun
    return report


@dataclass(slots=True)
class _Rounds:
    """Sessions go in; those that do not read back are looked at again, row by row, and may go in in another manner."""

    database: SessionDatabase
    tree: SessionTree
    source: SessionSource
    headers: Sequence[Header]
    blobs: BlobSource
    directory: Path | None
    report: UnarchiveReport
    going: Mapping[str, SessionPlan]
    refused: dict[str, DanglingRowError] = field(default_factory=dict)
    """Sessions with rows that refer to rows which are nowhere, the archive neither."""

    def put(
        self, putter: Putter, going: Mapping[str, SessionPlan], progress: Callable[[int], None] = lambda _: None
    ) -> None:
        """Put these in."""
        with putter:
            for session, rows in (
                self.source.sessions(going.keys(), blobs=self.blobs, directory=self.directory) if going else ()
            ):
                putter.put(going[session.id], rows)
                progress(going[session.id].size)

    def judge(self, *, last: bool = False) -> dict[str, SessionPlan]:
        """What is still missing of those that did not read back. `last`: only where rows refer to missing ones."""
        unsure, self.report.unsure = self.report.unsure, {}
        left = {}
        for plan in plan_unarchive(
            self.database,
            self.tree,
            self.source,
            self.headers,
            sessions=tuple(unsure),
            blobs=self.blobs,
            choice=Choice(),
            directory=self.directory,
        ):
            error = unsure[plan.session]
            dangling = isinstance(error, DanglingRowError) and plan.session not in self.refused
            first = self.going[plan.session]
            again = dangling and first.fate is Fate.REPLACE  # what was to be replaced is as it was
            if plan.fate is Fate.THERE:
                # Where a rowid was not free, rows lie in another order, and all is well.
                self.report.back(first)
            elif (plan.fate is Fate.REFUSED and not again) or (last and not dangling):
                self.report.fail(plan.session, error or f"it does not read back as the {self.source.noun} has it")
            else:
                kept = replace(first, missing=plan.missing) if first.fate is not Fate.REPLACE else plan
                left[plan.session] = first if again else kept
                if last and isinstance(error, DanglingRowError):
                    self.refused[plan.session] = error
        return left


def put_back(
    database: SessionDatabase, tree: SessionTree, path: Path, sessions: Sequence[str], *, directory: Path | None = None
) -> UnarchiveReport:
    """As `put_back_from`, out of an archive."""
    archive, wanted = Archive(path), frozenset(sessions)
    headers = [header for header in archive.headers() if header[0].id in wanted]
    with archive.needed(wanted) as needed, archive.extract(needed, directory) as blobs:
        return put_back_from(archive, database, tree, headers, sessions, blobs=blobs, directory=directory)


def put_back_from(  # noqa: PLR0913
    source: SessionSource,
    database: SessionDatabase,
    tree: SessionTree,
    headers: Sequence[Header],
    sessions: Sequence[str],
    *,
    blobs: BlobSource,
    directory: Path | None = None,
) -> UnarchiveReport:
    """Put the rows of sessions back that are missing, and leave whatever is there, new or changed, as it is.

    For sessions that somebody began to work in while they were deleted piece by piece. Their blobs are not looked
    at: what the rows' refs name was in a store before, and what was is registered.
    """
    chosen(headers, sessions)
    plans = plan_unarchive(
        database,
        tree,
        source,
        headers,
        sessions=tuple(session.id for session, _ in headers),
        blobs=blobs,
        choice=Choice(keep=True),
        directory=directory,
    )
    return apply_unarchive(database, tree, source, headers, plans, blobs=blobs, directory=directory, keep=True)
