"""Sessions out of a mirror, back into the database of a host: two databases, a store and the verb composed."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field

from ocblob import config
from ocblob.cells import SessionTree
from ocblob.databases.disk import host_waits
from ocblob.databases.session_rows import SessionFacts
from ocblob.errors import BackendError, DatabaseUnsupportedError, OcblobError, UnknownHostError, UsageError
from ocblob.marks import Marks
from ocblob.mirroring import is_one
from ocblob.passes import Opened, opened, register, session_tree
from ocblob.pulled import note_pulled
from ocblob.sessions.extraction import ExtractedBlobs
from ocblob.sessions.mirror_source import MirrorSource, StoreBlobs, root_of, tree_below
from ocblob.sessions.restocking import Named, Restocked, look
from ocblob.sessions.unarchive import UnarchiveReport, apply_unarchive
from ocblob.sessions.unarchive_plan import Choice, Fate, SessionPlan, plan_unarchive
from ocblob.space import Say
from ocblob.store import BlobStore
from ocblob.stores import store_at_hand
from ocblob.unarchiving import as_planned, beside, note_refs
from ocblob.unfinished import Notes


@dataclass(frozen=True, slots=True)
class PullPass:
    """What a pull did, or would do, with its surroundings."""

    mirror: str
    matches: tuple[SessionFacts, ...] = ()
    """What a query found, the latest first: if these are several, nothing was pulled."""
    plans: tuple[SessionPlan, ...] = ()
    report: UnarchiveReport = field(default_factory=UnarchiveReport)
    blobs: Restocked = field(default_factory=Restocked)
    """Of refs that stay refs."""

    @property
    def several(self) -> bool:
        """Whether the query did not say which session was meant."""
        return len(self.matches) > 1

    @property
    def complete(self) -> bool:
        """Whether every session is back, and every blob that its refs name can be had."""
        return self.report.complete and not self.blobs.unresolved


@contextmanager
def mirror_opened(place: config.Place, *, trusting: bool = False) -> Iterator[tuple[Opened, MirrorSource]]:
    """A mirror for reading, and its sessions; `trusting` takes rows that were changed there since they were mirrored.

    Raises `DatabaseUnsupportedError` if it has none that are known.
    """
    with ExitStack() as stack:
        try:
            at = stack.enter_context(opened(place))
        except UnknownHostError as error:
            raise DatabaseUnsupportedError(f"{place.shown} is no mirror: {error}") from error
        yield at, MirrorSource(at.database, session_tree(at), at.profile.name, at.all_columns, trusting)


def pull_pass(  # noqa: PLR0913
    place: config.Place,
    store_place: config.StorePlace,
    mirror_place: config.Place,
    *,
    sessions: tuple[str, ...] = (),
    query: str = "",
    replace: bool = False,
    force: bool = False,
    dry_run: bool = False,
    say: Say = lambda _: None,
    progress: Callable[[int], Callable[[int], None]] = lambda _: lambda _: None,
) -> PullPass:
    """Bring sessions back with all that were begun by them; of a query the one that it finds.

    `progress` is told the bytes to come, and gives what is told of each. Raises `UsageError` for a session that the
    mirror does not hold, `OcblobError` if a query finds nothing.
    """
    begun = time.monotonic()
    address, mirror_address = config.database_address(place), config.database_address(mirror_place)
    if is_one(address, mirror_address):
        raise UsageError(f"{address} is the database and its mirror at once ({mirror_place.source})")
    with ExitStack() as stack:
        there, source = stack.enter_context(mirror_opened(mirror_place, trusting=force))
        matches = _matches(there, source, query) if query else ()
        if len(matches) > 1:
            return PullPass(there.database.url, matches)
        facts = _wanted(source, there.database.url, sessions or tuple(match.id for match in matches))
        used = not dry_run and host_waits(address)
        at = stack.enter_context(opened(place, write=not dry_run))
        tree = _tree(at, source)
        for warning in at.database.warnings:
            say(f"warning: {warning}")
        store, _ = stack.enter_context(store_at_hand(store_place, say, needed=False, read_only=dry_run))
        going, looked_at = (stack.enter_context(closing(Marks())) for _ in range(2))
        held = stack.enter_context(ExtractedBlobs())
        headers, blobs, directory = source.headers(facts), StoreBlobs(store), beside(address)
        told = progress(2 * sum(each.size for each in facts))
        plans = plan_unarchive(
            at.database,
            tree,
            source,
            headers,
            sessions=tuple(each.id for each in facts),
            blobs=blobs,
            choice=Choice(replace=replace, large_cells=force or not used),
            needed=lambda row: note_refs(going, row),
            looked_at=lambda row: note_refs(looked_at, row),
            directory=directory,
            progress=told,
        )
        for child, missing in _without_parents(at, tree, source, facts, plans):
            say(
                f"warning: session {child} was begun by {missing}, which is not in the database:"
                f" OpenCode does not list it; --session {missing} brings both"
            )
        named = Named(going, looked_at, held)
        if dry_run:
            return PullPass(there.database.url, matches, plans, as_planned(plans), look(store, named))
        if store is not None:
            _register(store, at, say, needed=named.any_going)
        coming = [plan.session for plan in plans if plan.fate is not Fate.REFUSED]
        end = Notes.of(address).begin_pull(mirror_address.name, coming, at.database)
        report = apply_unarchive(
            at.database,
            tree,
            source,
            headers,
            plans,
            blobs=blobs,
            directory=directory,
            room=at.database.room,
            announce=say,
            progress=told,
        )
        if all(report.fates.get(session, Fate.REFUSED) is not Fate.REFUSED for session in coming):
            end()
        note_pulled(address, (session for session, fate in report.fates.items() if fate is not Fate.REFUSED))
        report.elapsed_s = time.monotonic() - begun
        report.longest_transaction_s = at.database.longest_transaction_s
        return PullPass(there.database.url, matches, plans, report, look(store, named))


def _matches(there: Opened, source: MirrorSource, query: str) -> tuple[SessionFacts, ...]:
    """The sessions whose titles or messages have these words, or those of a session that they began.

    Raises `OcblobError` if there is none.
    """
    found = there.database.search(there.profile.searched, query)
    with there.database.snapshot() as snapshot:
        roots = sorted({root_of(snapshot, source.tree, session) for session in found})
        facts = [source.facts(snapshot, root) for root in roots]
    known = [each for each in facts if each is not None]
    if not known:
        raise OcblobError(
            f"no session in {there.database.url} has {query!r} in its title or in the text of its messages",
            hint="part of a word is enough, and upper and lower case are the same",
        )
    return tuple(sorted(known, key=lambda each: (-(each.used_ms or 0), each.id)))


def _wanted(source: MirrorSource, name: str, sessions: Sequence[str]) -> list[SessionFacts]:
    """These sessions and their descendants. Raises `UsageError` for one that is not there."""
    with source.database.snapshot() as snapshot:
        if missing := [session for session in sessions if not snapshot.exists(source.tree, session)]:
            raise UsageError(f"{name} holds no session {', '.join(missing)}", hint="--query TEXT looks for one")
        ids = tree_below(snapshot, source.tree, sessions)
        facts = [source.facts(snapshot, session) for session in ids]
    return [each for each in facts if each is not None]


def _tree(at: Opened, source: MirrorSource) -> SessionTree:
    """Where the sessions go. Raises `DatabaseUnsupportedError` if they cannot go there."""
    tree = session_tree(at)
    if source.host != at.profile.name:
        raise DatabaseUnsupportedError(f"the mirror is one of {source.host}, the database is {at.profile.name}'s")
    return tree


def _without_parents(
    at: Opened, tree: SessionTree, source: MirrorSource, facts: Sequence[SessionFacts], plans: Sequence[SessionPlan]
) -> Iterator[tuple[str, str]]:
    """Sessions that come back where their parents, which the mirror has, are not; with these."""
    back = {plan.session for plan in plans if plan.fate is not Fate.REFUSED}
    with at.database.snapshot() as here, source.database.snapshot() as there:
        for each in facts:
            if each.id not in back or not each.parent or each.parent in back or here.exists(tree, each.parent):
                continue
            if there.exists(source.tree, each.parent):
                yield each.id, each.parent


def _register(store: BlobStore, at: Opened, say: Say, *, needed: bool) -> None:
    """The store learns of the database before rows in it name blobs."""
    try:
        register(store, at, ())
    except BackendError as error:
        if needed:
            raise
        say(f"warning: the store does not learn of this database: {error}")
