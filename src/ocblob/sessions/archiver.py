"""What a retention lets go, in one new archive file first; and back out of it, if something comes between."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import SessionDatabase, SessionFacts
from ocblob.errors import BackendError, BlobError
from ocblob.ref import Ref
from ocblob.sessions.archive import ArchivePlan, ArchiveReport, apply_archive
from ocblob.sessions.inlining import NO_STORE
from ocblob.sessions.retain import Sealed
from ocblob.sessions.sealing import ArchivePlace
from ocblob.sessions.spans import refs_of
from ocblob.sessions.unarchive import put_back
from ocblob.store import BlobStore
from ocblob.unresolved import reason_of

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

    def look(self, sessions: Sequence[str]) -> dict[str, str]:
        """See `Look`: by what the store has of the blobs that refs name; none of them is read."""
        listed = _Listed(self.store)
        found: dict[str, str] = {}
        with self.database.snapshot() as snapshot:
            for session in sessions:
                refs = (
                    ref for owned in self.tree.owned for row in snapshot.rows(owned, session) for ref in refs_of(row)
                )
                if why := self._lacking(Counter(reason for ref in refs if (reason := listed.trouble(ref)))):
                    found[session] = why
        return found

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
        left = {session.id: why for session in done.sessions if (why := self._lacking(session.unresolved))}
        return Sealed(done.digests, left, done.path, done.size)

    @property
    def lacks(self) -> str:
        """What sessions that may go name and the archive does not hold, in words; expired ones are nobody's loss."""
        missing: Counter[str] = Counter()
        for session in self.done[-1].sessions if self.done else ():
            if not self._lacking(session.unresolved):
                missing.update({reason: count for reason, count in session.unresolved.items() if reason != "expired"})
        if not missing:
            return ""
        return (
            f"{self.done[-1].path} has {_refs_words(missing)}; a store that holds one does not know of the archive, and"
            f" may prune it: {self.done[-1].problems[0]}"
        )

    def put_back(self, sessions: Sequence[str]) -> str:
        """See `PutBack`."""
        path = Path(self.done[-1].path)
        report = put_back(self.database, self.tree, path, sessions, directory=self.place.directory)
        return "" if report.complete else report.locked or "; ".join(report.problems)

    def _lacking(self, unresolved: Mapping[str, int]) -> str:
        """Why a session must not go: an archive would lack a blob that may be had another time."""
        lacking = {reason: count for reason, count in unresolved.items() if reason not in self.allowed}
        return _refs_words(lacking) if lacking else ""


def _refs_words(reasons: Mapping[str, int]) -> str:
    counts = ", ".join(f"{count:,} {reason}" for reason, count in sorted(reasons.items()))
    return f"{'ref' if sum(reasons.values()) == 1 else 'refs'} without a blob ({counts})"


class _Listed:
    """What a store has, asked once for each blob."""

    def __init__(self, store: BlobStore | None) -> None:
        self._store = store
        self._sizes: dict[str, int | str] = {}
        """By digest; or the reason why it cannot be had."""

    def trouble(self, ref: Ref) -> str:
        """The reason, as an archive counts by; empty if it seems to be there."""
        if ref.digest not in self._sizes:
            self._sizes[ref.digest] = self._ask(ref.digest)
        found = self._sizes[ref.digest]
        if isinstance(found, str):
            return found
        return "" if found == ref.size else "foreign"

    def _ask(self, digest: str) -> int | str:
        if self._store is None:
            return NO_STORE[0]
        try:
            return self._store.header(digest).size
        except (BlobError, BackendError) as error:
            return reason_of(error)
