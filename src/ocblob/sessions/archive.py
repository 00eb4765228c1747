"""Sessions of a database sealed in one new file. Nothing in the database or about it changes.

Each session is one state of the database; two sessions may be of two states.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import SessionDatabase, SessionFacts
from ocblob.errors import OcblobError
from ocblob.sessions.element_writer import ElementWriter, SealedSession
from ocblob.sessions.inlining import Inlining
from ocblob.sessions.lines import TextSink
from ocblob.sessions.sealing import ArchivePlace, seal
from ocblob.sessions.trees import descendants, forest
from ocblob.store import BlobStore


@dataclass(frozen=True, slots=True)
class ArchivePlan:
    """Which sessions an archive is about."""

    sessions: tuple[SessionFacts, ...]
    """A parent before its children."""

    @property
    def size(self) -> int:
        """Bytes of content of all their rows."""
        return sum(facts.size for facts in self.sessions)

    @property
    def rows(self) -> int:
        """Rows in every table."""
        return sum(facts.rows for facts in self.sessions)


@dataclass(frozen=True, slots=True)
class ArchiveReport:
    """What an archive holds."""

    path: str
    """The file, verified and durable; empty if there was nothing to write."""
    size: int = 0
    """Bytes of the file."""
    sessions: tuple[SealedSession, ...] = ()
    gone: tuple[str, ...] = ()
    """Sessions that were deleted before they were come to."""
    blobs: int = 0
    blobs_size: int = 0
    """Bytes of them, decoded."""
    problems: tuple[str, ...] = ()
    """Rows with such refs as `unresolved` counts; the first of them."""
    elapsed_s: float = 0.0

    @property
    def rows(self) -> int:
        """Rows in every table, without what sessions refer to."""
        return sum(session.rows for session in self.sessions)

    @property
    def unresolved(self) -> dict[str, int]:
        """Refs without their blobs, by reason."""
        reasons: Counter[str] = Counter()
        for session in self.sessions:
            reasons.update(session.unresolved)
        return dict(sorted(reasons.items()))

    @property
    def digests(self) -> dict[str, str]:
        """What each session was, as `rows.session_digest` says it."""
        return {session.id: session.digest for session in self.sessions}

    @property
    def complete(self) -> bool:
        """Whether every blob that rows name is in the archive, or in the store if refs were to stay."""
        return not self.unresolved


def plan_archive(
    facts: Iterable[SessionFacts],
    *,
    sessions: Collection[str] = (),
    used_before_ms: int | None = None,
) -> ArchivePlan:
    """The sessions with these ids, and their descendants; all of them if none is named.

    Of these, trees that were last used before a time. Raises `OcblobError` for an id that is not there.
    """
    known = {each.id: each for each in facts}
    if missing := sorted(set(sessions) - known.keys()):
        raise OcblobError(f"there is no session {', '.join(missing)}")
    trees = forest(known.values())
    if used_before_ms is not None:
        trees = [tree for tree in trees if tree.used_ms is not None and tree.used_ms < used_before_ms]
    parents = {each.id: each.parent for each in known.values()}
    wanted = descendants(sessions, parents) if sessions else known.keys()
    return ArchivePlan(tuple(known[each] for tree in trees for each in tree.sessions if each in wanted))


def apply_archive(  # noqa: PLR0913
    database: SessionDatabase,
    tree: SessionTree,
    plan: ArchivePlan,
    place: ArchivePlace,
    store: BlobStore | None,
    *,
    host: str,
    refs: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> ArchiveReport:
    """Write the archive; it is read back and durable when it returns. No session, no file.

    The rows of a session with refs that have no blob are in it all the same. Raises `ArchiveError`, `DatabaseError`,
    or what reading a blob raises that was there a moment before; no file is there then.
    """
    begun = time.monotonic()
    if not plan.sessions:
        return ArchiveReport("")
    run = _Run(database, tree, plan.sessions, host=host, refs=refs, directory=place.directory, progress=progress)
    with Inlining(store, refs=refs, archive=place.name or str(place.directory)) as inlining:
        path, size = seal(place, lambda sink: run.write(sink, inlining), progress=progress)
        return ArchiveReport(
            str(path),
            size,
            tuple(run.sealed),
            tuple(run.gone),
            inlining.blobs,
            inlining.size,
            tuple(inlining.problems),
            time.monotonic() - begun,
        )


@dataclass(slots=True)
class _Run:
    """One archive being written."""

    database: SessionDatabase
    tree: SessionTree
    sessions: Sequence[SessionFacts]
    host: str
    refs: bool
    directory: Path
    progress: Callable[[int], None]
    sealed: list[SealedSession] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)

    def write(self, sink: TextSink, inlining: Inlining) -> dict[str, str]:
        """The whole text; the digests of what is in it."""
        archived_ms = int(time.time() * 1000)
        sink.write(b"[\n")
        for facts in self.sessions:
            with self.database.snapshot() as snapshot:
                if not snapshot.exists(self.tree, facts.id):
                    self.gone.append(facts.id)
                    continue
                if self.sealed:
                    sink.write(b",\n")
                writer = ElementWriter(
                    sink,
                    snapshot,
                    self.tree,
                    inlining,
                    host=self.host,
                    refs=self.refs,
                    archived_ms=archived_ms,
                    directory=self.directory,
                )
                self.sealed.append(writer.write(facts))
                sink.write(b"\n")
            self.progress(facts.size)
        sink.write(b"]\n")
        return {each.id: each.digest for each in self.sealed}
