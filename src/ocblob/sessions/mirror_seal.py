"""What a retention lets go, in a mirror first; and back out of it, if something comes between.

A session is sealed only if the mirror's rows, read now, are those of the database, read now, and the store gives every
blob that they name. What records say proves nothing.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import Row, Snapshot, TableShape
from ocblob.errors import DatabaseError, DatabaseLockedError
from ocblob.ref import Ref
from ocblob.rows import session_digest
from ocblob.sessions.inlining import NO_STORE
from ocblob.sessions.lacking import Lacking, refs_words
from ocblob.sessions.mirror_source import MirrorSource, StoreBlobs, put_back_out_of
from ocblob.sessions.mirroring import MirrorReport, RehydratedSnapshot, Transformer
from ocblob.sessions.mirroring.apply import tables_of
from ocblob.sessions.mirroring.holding import Sums, difference, held_sums, lacking_context, sent_sums, total
from ocblob.sessions.mirroring.lying import Lies
from ocblob.sessions.mirroring.transforming import BY, kept
from ocblob.sessions.seals import Sealed
from ocblob.sessions.spans import refs_of
from ocblob.unresolved import Unresolved

Mirror = Callable[[Sequence[str], bool], MirrorReport]
"""Brings these sessions up to date in the mirror; the flag says that nothing that is noted there is trusted."""
Open = Callable[[], AbstractContextManager[MirrorSource]]
"""Opens the mirror as it is now."""


@dataclass(frozen=True, slots=True)
class MirrorSeal:
    """Seals sessions in one mirror."""

    database: HostDatabase
    tree: SessionTree
    name: str
    """How messages call the mirror."""
    mirror: Mirror
    open: Open
    lacking: Lacking
    """The store that blobs are in, and what of those that the database itself only names may be missing."""
    directory: Path | None
    """What is too large for memory waits there."""
    _troubles: dict[str, str] = field(default_factory=dict)
    """Of each blob that was read, why it cannot be had; empty if it can."""
    _corrupt: set[str] = field(default_factory=set)

    def look(self, sessions: Sequence[str]) -> dict[str, str]:
        """See `Look`."""
        return self.lacking.look(self.database, self.tree, sessions)

    def seal(self, sessions: Sequence[str]) -> Sealed:
        """See `Seal`. Raises what mirroring raises, and `DatabaseLockedError` if somebody holds the mirror."""
        digests, left = self._sealed(sessions, trusting=True)
        if again := [session for session in sessions if session in left]:
            # No survey has told that it had changed, or the mirror was changed, or the store has lost a blob.
            more, left_again = self._sealed(again, trusting=False)
            digests, left = digests | more, left_again
        return Sealed(digests, left, mirror=self.name)

    def put_back(self, sessions: Sequence[str]) -> str:
        """See `PutBack`."""
        with self.open() as source:
            report = put_back_out_of(
                source, self.database, self.tree, sessions, store=self.lacking.store, directory=self.directory
            )
        return "" if report.complete else report.locked or "; ".join(report.problems)

    def _sealed(self, sessions: Sequence[str], *, trusting: bool) -> tuple[dict[str, str], dict[str, str]]:
        """What sessions are, and why some of them are not in the mirror."""
        with self.database.snapshot() as here:
            there = [session for session in sessions if here.exists(self.tree, session)]
        report = self.mirror(there, not trusting)
        if report.locked:
            raise DatabaseLockedError(report.locked)
        if not trusting:
            self._troubles.clear()
        digests, left = dict[str, str](), dict[str, str]()
        told = dict(problem.split(": ", 1) for problem in report.problems if ": " in problem)
        with self.open() as source:
            for session in there:
                digests[session], why = self._look_at(source, session)
                if why:
                    left[session] = f"the mirror does not hold it: {told.get(session, why)}"
        return digests, left

    def _look_at(self, source: MirrorSource, session: str) -> tuple[str, str]:
        """The digest of a session here, and why it is not held there; empty if it is."""
        keeps, store = source.database.keeps_records, self.lacking.store
        transform = Transformer(source.payloads, store=store.short_id) if keeps and store is not None else kept
        with source.database.snapshot() as there:
            shapes = _shapes(there, source.database, self.tree)
        with self.database.snapshot() as here:
            lies = Lies(_shapes(here, self.database, self.tree), shapes).of()
            state = here if keeps else RehydratedSnapshot(here, source.payloads, StoreBlobs(store))
            digest = session_digest(here, self.tree, session)
            try:
                sent, payloads = sent_sums(
                    state, self.tree, lies, session, transform=transform, directory=self.directory
                )
            except DatabaseLockedError:
                raise
            except DatabaseError as error:
                return digest, str(error)
        made, named, stood_for = Counter[str](), Counter[str](), 0

        def look(row: Row) -> None:
            nonlocal stood_for
            for ref in refs_of(row):
                stood_for += ref.by == BY
                if trouble := self._trouble(ref):
                    (made if ref.by == BY else named)[trouble] += 1

        with source.database.snapshot() as there:
            found = held_sums(there, self.tree, lies, session, looked_at=look)
            with self.database.snapshot() as here:
                context = lacking_context(here, there, self.tree, lies, session)
        # In a host's file a row may lie elsewhere: its own place was taken.
        why = difference(sent, found, ordered=keeps) or context or _record_says(source, session, found)
        if not why and made:
            # They stand for payloads that are here: there is no reason to let these go.
            why = f"its payloads are {refs_words(made)}"
        elif not why and stood_for != payloads and not self.database.keeps_records:
            # It would come back as a payload, which it is not here.
            why = "it has a ref that only a mirror makes"
        return digest, why or self.lacking.why(named)

    def _trouble(self, ref: Ref) -> str:
        """Why a blob cannot be had, asked by reading it, once; empty if it can."""
        if ref.digest not in self._troubles:
            trouble = NO_STORE if self.lacking.store is None else Unresolved(self.lacking.store).why(ref)
            reason = "" if trouble is None else trouble[0]
            if reason == "corrupt":
                self._corrupt.add(ref.digest)
            elif reason == "missing" and ref.digest in self._corrupt:
                reason = "corrupt"  # it is in quarantine since it was read
            self._troubles[ref.digest] = reason
        return self._troubles[ref.digest]


def _shapes(snapshot: Snapshot, database: HostDatabase, tree: SessionTree) -> dict[str, TableShape]:
    there = database.tables()
    return {table: snapshot.shape(table) for table in tables_of(tree) if table in there}


def _record_says(source: MirrorSource, session: str, found: Sums) -> str:
    """Why its record would keep a session from coming back; empty if it would not."""
    if not source.database.keeps_records:
        return ""
    record = source.records.get(session)
    if record is None:
        return "it has no record of it"
    return "" if record.digest == total(found) else "its record is about other rows"
