"""What a retention lets go, in one new archive file first; and back out of it, if something comes between."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import SessionDatabase, SessionFacts
from ocblob.sessions.archive import ArchivePlan, ArchiveReport, apply_archive
from ocblob.sessions.lacking import Lacking, refs_words
from ocblob.sessions.sealing import ArchivePlace
from ocblob.sessions.seals import Sealed
from ocblob.sessions.unarchive import put_back

Bar = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""For a number of bytes, what is told of them as they are done."""


@dataclass(frozen=True, slots=True)
class Archiver:
    """Seals sessions in one new archive file."""

    database: SessionDatabase
    tree: SessionTree
    host: str
    place: ArchivePlace
    lacking: Lacking
    """The store that refs are of, and what may be missing from it."""
    refs: bool
    facts: Mapping[str, SessionFacts]
    bar: Bar
    done: list[ArchiveReport] = field(default_factory=list)
    """What was written."""

    def look(self, sessions: Sequence[str]) -> dict[str, str]:
        """See `Look`."""
        return self.lacking.look(self.database, self.tree, sessions)

    def seal(self, sessions: Sequence[str]) -> Sealed:
        """See `Seal`."""
        plan = ArchivePlan(tuple(self.facts[session] for session in sessions))
        with self.bar(plan.size) as progress:
            done = apply_archive(
                self.database,
                self.tree,
                plan,
                self.place,
                self.lacking.store,
                host=self.host,
                refs=self.refs,
                progress=progress,
            )
        self.done.append(done)
        left = {session.id: why for session in done.sessions if (why := self.lacking.why(session.unresolved))}
        return Sealed(done.digests, left, done.path, done.size)

    @property
    def lacks(self) -> str:
        """What sessions that may go name and the archive does not hold, in words; expired ones are nobody's loss."""
        missing: Counter[str] = Counter()
        for session in self.done[-1].sessions if self.done else ():
            if not self.lacking.why(session.unresolved):
                missing.update({reason: count for reason, count in session.unresolved.items() if reason != "expired"})
        if not missing:
            return ""
        return (
            f"{self.done[-1].path} has {refs_words(missing)}; a store that holds one does not know of the archive, and"
            f" may prune it: {self.done[-1].problems[0]}"
        )

    def put_back(self, sessions: Sequence[str]) -> str:
        """See `PutBack`."""
        path = Path(self.done[-1].path)
        report = put_back(self.database, self.tree, path, sessions, directory=self.place.directory)
        return "" if report.complete else report.locked or "; ".join(report.problems)
