"""Sessions out of an archive, back into their database, byte for byte.

`plan_unarchive` compares and decides, `apply_unarchive` puts in. Rows that are there and equal are never touched, so
an interrupted run is completed by the next one. What is wrong with one session stops no other.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import SessionDatabase
from ocblob.errors import DatabaseLockedError
from ocblob.sessions.putting import Putter
from ocblob.sessions.reader import Archive, BlobSource
from ocblob.sessions.unarchive_plan import Choice, Fate, Header, SessionPlan, chosen, plan_unarchive
from ocblob.sessions.unarchive_report import UnarchiveReport

__all__ = ["UnarchiveReport", "apply_unarchive", "put_back"]


def apply_unarchive(  # noqa: PLR0913
    database: SessionDatabase,
    tree: SessionTree,
    archive: Archive,
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
    try:
        with Putter(database, tree, report, announce=announce, room=room, keep=keep) as putter:
            for session, rows in archive.sessions(going.keys(), blobs=blobs, directory=directory) if going else ():
                putter.put(going[session.id], rows)
                progress(going[session.id].size)
        # Where a rowid was not free, rows lie in another order, and all is well.
        unsure, report.unsure = report.unsure, {}
        again = plan_unarchive(
            database, tree, archive, headers, sessions=tuple(unsure), blobs=blobs, choice=Choice(), directory=directory
        )
        for plan in again:
            if plan.fate is Fate.THERE:
                report.back(going[plan.session])
            else:
                report.fail(plan.session, unsure[plan.session])
    except DatabaseLockedError as error:
        report.locked = str(error)
        report.tell(str(error))
    report.elapsed_s = time.monotonic() - begun
    return report


def put_back(
    database: SessionDatabase, tree: SessionTree, path: Path, sessions: Sequence[str], *, directory: Path | None = None
) -> UnarchiveReport:
    """Put the rows of sessions back that are missing, and leave whatever is there, new or changed, as it is.

    For sessions that somebody began to work in while they were deleted piece by piece. Their blobs are not looked
    at: what the rows' refs name was in a store before, and what was is registered.
    """
    archive, wanted = Archive(path), frozenset(sessions)
    headers = [header for header in archive.headers() if header[0].id in wanted]
    chosen(headers, sessions)
    with archive.needed(wanted) as needed, archive.extract(needed, directory) as blobs:
        plans = plan_unarchive(
            database,
            tree,
            archive,
            headers,
            sessions=tuple(session.id for session, _ in headers),
            blobs=blobs,
            choice=Choice(keep=True),
            directory=directory,
        )
        return apply_unarchive(database, tree, archive, headers, plans, blobs=blobs, directory=directory, keep=True)
