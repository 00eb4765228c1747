"""What a retention lets go, in one new archive file first; and back out of it, if something comes between."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import SessionDatabase, SessionFacts
from ocblob.sessions.archive import ArchivePlan, ArchiveReport, apply_archive
from ocblob.sessions.element_writer import SealedSession
from ocblob.sessions.retain import Sealed
from ocblob.sessions.sealing import ArchivePlace
from ocblob.sessions.unarchive import put_back
from ocblob.store import BlobStore

Bar = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""For a number of bytes, what is told of them as they are done."""


@dataclass(frozen=True, slots=True)
class Archiver:
    """Seals sessions in one new archive file."""

    database: SessionDatabase
    tree: SessionTree
    host: str
    place: ArchivePlace
    store: BlobStore | None
    refs: bool
    allowed: frozenset[str]
    """Reasons for which a ref may go without its blob."""
    facts: Mapping[str, SessionFacts]
    bar: Bar
    done: list[ArchiveReport] = field(default_factory=list)
    """What was written."""

    def seal(self, sessions: Sequence[str]) -> Sealed:
        """See `Seal`."""
        plan = ArchivePlan(tuple(self.facts[session] for session in sessions))
        with self.bar(plan.size) as progress:
            done = apply_archive(
                self.database,
                self.tree,
                plan,
                self.place,
                self.store,
                host=self.host,
                refs=self.refs,
                progress=progress,
            )
        self.done.append(done)
        left = {session.id: why for session in done.sessions if (why := self._why_not(session))}
        return Sealed(done.digests, left, done.path, done.size)

    def put_back(self, sessions: Sequence[str]) -> str:
        """See `PutBack`."""
        path = Path(self.done[-1].path)
        report = put_back(self.database, self.tree, path, sessions, directory=self.place.directory)
        return "" if report.complete else report.locked or "; ".join(report.problems)

    def _why_not(self, session: SealedSession) -> str:
        """Why an archived session must not go: its archive lacks a blob that may be had another time."""
        lacking = {reason: count for reason, count in session.unresolved.items() if reason not in self.allowed}
        if not lacking:
            return ""
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(lacking.items()))
        refs = "ref" if sum(lacking.values()) == 1 else "refs"
        return f"{refs} without a blob ({reasons})"
