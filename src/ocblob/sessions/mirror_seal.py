"""What a retention lets go, in a mirror first; and back out of it, if something comes between.

A session is sealed only if the mirror's rows, read now, are those of the database, read now, and the store gives every
blob that they name. What records say proves nothing.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ocblob.cells import SessionTree
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import Row, Snapshot
from ocblob.errors import BackendError, BlobError, DatabaseError, DatabaseLockedError
from ocblob.ref import Ref
from ocblob.rows import session_digest
from ocblob.sessions.inlining import NO_STORE
from ocblob.sessions.lacking import Lacking, refs_words
from ocblob.sessions.mirror_source import MirrorSource, StoreBlobs, put_back_out_of
from ocblob.sessions.mirroring import MirrorReport, RehydratedSnapshot, Transformer
from ocblob.sessions.mirroring.apply import shapes_of
from ocblob.sessions.mirroring.holding import (
    Sums,
    difference,
    held_sums,
    lacking_context,
    sent_sums,
    too_much,
    total,
)
from ocblob.sessions.mirroring.lying import Lie, Lies
from ocblob.sessions.mirroring.transforming import BY, Transform, kept
from ocblob.sessions.seals import Sealed
from ocblob.sessions.spans import refs_of
from ocblob.unresolved import Unresolved

_MIRRORS_REF: Final = "it has a ref that only a mirror makes"
"""It would come back as a payload, which it is not here."""

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
    _known: dict[str, bool] = field(default_factory=dict)
    """Whether the store knows of a database."""

    def look(self, sessions: Sequence[str]) -> dict[str, str]:
        """See `Look`."""
        return self.lacking.look(self.database, self.tree, sessions)

    def seal(self, sessions: Sequence[str]) -> Sealed:
        """See `Seal`. Raises what mirroring raises, and `DatabaseLockedError` if somebody holds the mirror."""
        digests, left = self._sealed(sessions, trusting=True)
        if again := [session for session in sessions if session in left]:
            # No survey has told that it had changed, or the mirror was changed, or the store has lost a blob.
            held = {session: digest for session, digest in digests.items() if session not in left}
            more, left = self._sealed(again, trusting=False)
            digests = held | more
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
        self._known.clear()
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
        with source.database.snapshot() as there:
            shapes = shapes_of(there, source.database, self.tree)
        with self.database.snapshot() as here:
            digest = session_digest(here, self.tree, session)
            try:
                lies = Lies(shapes_of(here, self.database, self.tree), shapes).of()
                sent, payloads = self._sent(source, here, lies, session)
            except DatabaseLockedError:
                raise
            except (DatabaseError, BlobError, BackendError) as error:
                return digest, str(error)
        keeps, refs = source.database.keeps_records, _Refs(self._trouble)
        with source.database.snapshot() as there:
            found = held_sums(there, self.tree, lies, session, looked_at=refs.look)
            why = difference(sent, found, ordered=keeps) or too_much(there, source.tree, lies, session)
            with self.database.snapshot() as here:
                why = why or lacking_context(here, there, self.tree, lies, session)
        why = why or (_record_says(source, session, found) if keeps else "")
        if not why and refs.made:
            # They stand for payloads that are here: there is no reason to let these go.
            why = f"its payloads are {refs_words(refs.made)}"
        elif not why and refs.stood_for != payloads and not self.database.keeps_records:
            why = _MIRRORS_REF
        elif not why and refs.any and not self._is_known(source.database.url):
            why = "the store has not learned of the mirror, so that a prune would take the blobs of its refs"
        return digest, why or self.lacking.why(refs.named)

    def _sent(self, source: MirrorSource, here: Snapshot, lies: Mapping[str, Lie], session: str) -> tuple[Sums, int]:
        """See `sent_sums`. Raises `DatabaseError`, `BlobError` or `BackendError` if it cannot be sent as it is."""
        store = self.lacking.store
        state: Snapshot = here
        transform: Transform = kept
        if not source.database.keeps_records:
            if not self.database.keeps_records and _stands_for_payloads(here, self.tree, session):
                raise DatabaseError(_MIRRORS_REF)
            state = RehydratedSnapshot(here, source.payloads, StoreBlobs(store))
        elif store is not None:
            transform = Transformer(source.payloads, store=store.short_id)
        return sent_sums(state, self.tree, lies, session, transform=transform, directory=self.directory)

    def _is_known(self, mirror: str) -> bool:
        """Whether a prune would look into the mirror."""
        store = self.lacking.store
        if store is not None and mirror not in self._known:
            entries = store.registry.databases()
            self._known[mirror] = any(each.url == mirror and store.registry.is_here(each) for each in entries)
        return store is None or self._known[mirror]

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


@dataclass(slots=True)
class _Refs:
    """Those in the rows that a mirror has of one session."""

    trouble: Callable[[Ref], str]
    """Why a blob cannot be had; empty if it can."""
    any: bool = False
    stood_for: int = 0
    """How many a mirror has made of payloads."""
    made: Counter[str] = field(default_factory=Counter)
    """Of these, how many have no blob, by reason."""
    named: Counter[str] = field(default_factory=Counter)
    """The same of those that were refs before."""

    def look(self, row: Row) -> None:
        """At one row."""
        for ref in refs_of(row):
            self.any = True
            self.stood_for += ref.by == BY
            if trouble := self.trouble(ref):
                (self.made if ref.by == BY else self.named)[trouble] += 1


def _record_says(source: MirrorSource, session: str, found: Sums) -> str:
    """Why its record would keep a session from coming back; empty if it would not."""
    record = source.record(session)
    if record is None:
        return "it has no record of it"
    return "" if record.digest == total(found) else "its record is about other rows"


def _stands_for_payloads(here: Snapshot, tree: SessionTree, session: str) -> bool:
    """Whether a session that no mirror has sent has refs that say so: a mirror in a file would get payloads."""
    return any(ref.by == BY for owned in tree.owned for row in here.rows(owned, session) for ref in refs_of(row))
