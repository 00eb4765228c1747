"""What sessions were, and what holds them, before they go: in an archive, in a mirror, in both, or nowhere."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import SessionDatabase
from ocblob.rows import session_digest


@dataclass(frozen=True, slots=True)
class Sealed:
    """Sessions as they were at one state of a database."""

    digests: Mapping[str, str]
    """What each one was, as `session_digest` says it."""
    left: Mapping[str, str] = field(default_factory=dict)
    """Sessions that are not sealed, and why."""
    archive: str = ""
    """The file that holds them, verified; empty if there is none."""
    archive_size: int = 0
    """Bytes of it."""
    mirror: str = ""
    """The database that holds them; empty if there is none."""

    @property
    def where(self) -> str:
        """What holds them, in words; empty if nothing does."""
        return " and ".join(filter(None, (self.archive, self.mirror)))

    def cure(self, sessions: Sequence[str]) -> str:
        """The command that puts sessions back."""
        verb = f"unarchive {self.archive}" if self.archive else f"pull --from {self.mirror}"
        return f"`ocblob {verb} {' '.join(f'--session {session}' for session in sessions)}` puts them back"


Seal = Callable[[Sequence[str]], Sealed]
"""Seals sessions, in this order; what it raises means that nothing was."""


def witness(database: SessionDatabase, tree: SessionTree, sessions: Iterable[str]) -> Sealed:
    """What sessions are, kept nowhere: for who wants no archive."""
    with database.snapshot() as snapshot:
        return Sealed({session: session_digest(snapshot, tree, session) for session in sessions})


def sealed_by_both(mirror: Seal, archive: Seal) -> Seal:
    """What one holds and the other holds too, at one state of the database: all else stays.

    The mirror comes first: no archive is written for one that cannot be reached.
    """

    def seal(sessions: Sequence[str]) -> Sealed:
        there, kept = mirror(sessions), archive(sessions)
        same = {session: digest for session, digest in kept.digests.items() if there.digests.get(session) == digest}
        return Sealed(same, {**there.left, **kept.left}, kept.archive, kept.archive_size, there.mirror)

    return seal
