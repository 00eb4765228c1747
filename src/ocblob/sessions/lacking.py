"""Blobs that sessions name and nobody can give now: whether a session may go all the same.

A blob that may be had another time is waited for.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import SessionDatabase
from ocblob.errors import BackendError, BlobError
from ocblob.ref import Ref
from ocblob.sessions.inlining import NO_STORE
from ocblob.sessions.spans import refs_of
from ocblob.store import BlobStore
from ocblob.unresolved import reason_of


@dataclass(frozen=True, slots=True)
class Lacking:
    """What one store lacks."""

    store: BlobStore | None
    allowed: frozenset[str]
    """Reasons for which a ref may go without its blob."""

    def look(self, database: SessionDatabase, tree: SessionTree, sessions: Sequence[str]) -> dict[str, str]:
        """See `Look`: by what the store has of the blobs that refs name; none of them is read."""
        listed = _Listed(self.store)
        found: dict[str, str] = {}
        with database.snapshot() as snapshot:
            for session in sessions:
                refs = (ref for owned in tree.owned for row in snapshot.rows(owned, session) for ref in refs_of(row))
                if why := self.why(Counter(reason for ref in refs if (reason := listed.trouble(ref)))):
                    found[session] = why
        return found

    def why(self, unresolved: Mapping[str, int]) -> str:
        """Why a session with so many refs without blobs, by reason, must not go; empty if it may."""
        lacking = {reason: count for reason, count in unresolved.items() if reason not in self.allowed}
        return refs_words(lacking) if lacking else ""


def refs_words(reasons: Mapping[str, int]) -> str:
    """`refs without a blob (1 corrupt, 1 missing)`."""
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
