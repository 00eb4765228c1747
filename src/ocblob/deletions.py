"""Passes that take blobs away: everything registered is marked first, and any doubt ends them."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ocblob import config
from ocblob.databases.addresses import Address, is_server
from ocblob.databases.opening import HostDatabase, open_database
from ocblob.errors import DatabaseError, DeletionRefusedError, UsageError
from ocblob.evict import EvictReport, Limits, apply_evict, plan_evict
from ocblob.marks import Marks, mark, mark_file
from ocblob.prune import GRACE_S, PrunePlan, PruneReport, apply_prune, check_grace, plan_prune
from ocblob.published import publish, read_published
from ocblob.replacing import kept_beside
from ocblob.space import Say
from ocblob.store import BlobStore
from ocblob.store.layout import generation_time
from ocblob.store.registry import RegisteredDatabase
from ocblob.store.survey import Survey
from ocblob.stores import open_store
from ocblob.units import format_size


@dataclass(frozen=True, slots=True)
class PrunePass:
    """What a prune did, or would do."""

    plan: PrunePlan
    report: PruneReport | None
    """None for a dry run."""
    databases: int
    refs: int
    """Occurrences of refs that the marks found; some are counted twice."""
    marks_elapsed_s: float
    list_elapsed_s: float


@dataclass(frozen=True, slots=True)
class EvictPass:
    """What an eviction did, or would do."""

    report: EvictReport
    prune_skipped: str
    """Why unreferenced blobs were not looked for, if some may have been due."""


@dataclass(frozen=True, slots=True)
class Marked:
    """What everything registered names."""

    databases: int
    refs: int
    judged_at: float
    """Since then nothing that is named anew can lie in the trash unseen; seconds since the epoch."""
    elapsed_s: float


def prune_pass(  # noqa: PLR0913
    place: config.StorePlace,
    *,
    grace_s: float = GRACE_S,
    force: bool = False,
    expected: bool = False,
    named: Sequence[Address] = (),
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> PrunePass:
    """Set unreferenced blobs aside, and delete those whose grace is over.

    `named` are databases on servers whose passwords the command knows.

    Raises `DeletionRefusedError` if a registered database cannot be read, if none is registered, or, without `force`,
    if more than a tenth of the bytes would go. With `expected`, since sessions have just gone by our own hand, much
    may be set aside, from where it comes back; to delete much is still refused.
    """
    check_grace(grace_s)
    with contextlib.ExitStack() as stack:
        store = stack.enter_context(open_store(place, read_only=dry_run))
        store.refuse_copy()
        survey, now, listed_s = stack.enter_context(_surveyed(store, dry_run=dry_run))
        with contextlib.closing(Marks()) as marks:
            marked = mark_everything(store, marks, now=now, grace_s=grace_s, named=named, dry_run=dry_run, say=say)
            plan = plan_prune(survey, marks.path, now=marked.judged_at, grace_s=grace_s)
        much = plan.deletes_much if expected else plan.large
        if much and not force and not dry_run:
            raise DeletionRefusedError(
                f"{plan.condemned} blobs ({format_size(plan.condemned_size)}) would be set aside and {plan.deleted}"
                f" ({format_size(plan.deleted_size)}) deleted: more than a tenth of the store; nothing was changed",
                hint="look at `ocblob prune --dry-run`, then say --force",
            )
        report = None if dry_run else apply_prune(store, survey, plan)
        return PrunePass(plan, report, marked.databases, marked.refs, marked.elapsed_s, listed_s)


def evict_pass(  # noqa: PLR0913
    place: config.StorePlace,
    limits: Limits,
    *,
    grace_s: float = GRACE_S,
    expire: bool = False,
    named: Sequence[Address] = (),
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> EvictPass:
    """Bring the local tier below its limits. Raises `UsageError` for limits that cannot be meant."""
    limits.check()
    check_grace(grace_s)
    pruned, skipped = 0, ""
    with open_store(place, read_only=dry_run) as store:
        if expire:
            store.refuse_copy()
        if anything_due(store, grace_s):
            try:
                pruned = _prune_due(store, grace_s=grace_s, named=named, dry_run=dry_run, say=say)
            except (DeletionRefusedError, DatabaseError) as error:
                skipped = f"unreferenced blobs are not deleted: {error}"
        durable = expire and store.remote
        if durable and not dry_run:
            store.begin_deletions()
        with Survey(store.catalog) as survey:
            if durable and not dry_run:
                # What other hosts have put or taken away is judged as it is now.
                survey.take(store.backend)
                survey.reconcile(remote=True)
            plan = plan_evict(survey, limits, now=time.time(), durable=durable)
            if dry_run:
                # What a prune would free first need not be evicted.
                plan = replace(plan, target=plan.target + min(pruned, plan.over))
            report = apply_evict(
                store, survey, plan, pruned_size=pruned, expire=expire, policy=_policy(limits), dry_run=dry_run
            )
    return EvictPass(report, skipped)


def mark_everything(  # noqa: PLR0913
    store: BlobStore,
    marks: Marks,
    *,
    now: float,
    grace_s: float,
    named: Sequence[Address] = (),
    dry_run: bool,
    say: Say,
) -> Marked:
    """Every digest that a registered database, a prompt-history file or a pin names.

    Raises `DeletionRefusedError` if one of them cannot be read now: what it names cannot be known.
    """
    begun = time.monotonic()
    entries = list(store.registry.databases())
    if not entries:
        raise DeletionRefusedError(
            f"no database is registered with {store.url}, so nothing is known to be unreferenced",
            hint="`ocblob offload` and `ocblob restore` register theirs",
        )
    marks.add_digests(bytes.fromhex(pin.digest) for pin in store.registry.pins())
    refs, judged_at = 0, now
    # Its own databases first: another machine that waits for our marks gets them, whatever happens then.
    for entry in sorted(entries, key=lambda entry: not store.registry.is_here(entry)):
        if store.registry.is_here(entry):
            refs += _mark_here(store, entry, marks, now=now, named=named, dry_run=dry_run)
        else:
            judged_at = min(judged_at, _mark_elsewhere(store, entry, marks, now=now, grace_s=grace_s))
    elapsed = time.monotonic() - begun
    if elapsed > 1:
        say(f"marked {refs} refs in {len(entries)} database(s) in {elapsed:.1f} s")
    return Marked(len(entries), refs, judged_at, elapsed)


def _mark_here(  # noqa: PLR0913
    store: BlobStore,
    entry: RegisteredDatabase,
    marks: Marks,
    *,
    now: float,
    named: Sequence[Address],
    dry_run: bool,
) -> int:
    try:
        address = next((own for own in named if own.name == entry.url), None)
        if address is None:
            address = config.database_address(config.Place(entry.url, "registered"))
        with open_database(address, read_only=True) as database:
            if not entry.machine or dry_run:
                return _mark_whole(entry, database, marks)
            with contextlib.closing(Marks()) as own:
                refs = _mark_whole(entry, database, own)
                publish(store.backend, entry.id, own, taken_at=now)
                marks.add_digests(own.digests())
                return refs
    except (DatabaseError, UsageError) as error:
        raise _refusal(entry, f"{error}{f' ({error.hint})' if error.hint else ''}", here=True) from error


def _mark_whole(entry: RegisteredDatabase, database: HostDatabase, marks: Marks) -> int:
    """A database and its host's files: a prompt that goes over meanwhile, either way, is found on one of its sides."""
    return _mark_files(entry, marks) + mark(marks, database) + _mark_files(entry, marks)


def _mark_files(entry: RegisteredDatabase, marks: Marks) -> int:
    """The host's prompt files: those that were there when it was registered, and those of today's environment."""
    files = {Path(name) for name in entry.files}
    if entry.host == "opencode":
        files.update(config.prompt_history_files())
    # A line that came while its file was replaced may stand only beside it yet.
    aside = {kept for path in files for kept in kept_beside(path.resolve())}
    return sum(mark_file(marks, path) for path in sorted(files | aside))


def _mark_elsewhere(store: BlobStore, entry: RegisteredDatabase, marks: Marks, *, now: float, grace_s: float) -> float:
    """When the machine of a database has last said what it names."""
    found = read_published(store.backend, entry.id, marks)
    if found is None or now - found.taken_at > grace_s:
        said = "has not said yet" if found is None else "has not said for too long"
        raise _refusal(entry, f"it is on {entry.machine_name or entry.machine}, which {said} what it names", here=False)
    return found.taken_at


def _refusal(entry: RegisteredDatabase, why: str, *, here: bool) -> DeletionRefusedError:
    cure = "bring the file back" if here else "run `ocblob prune` there"
    if is_server(entry.url):
        cure = "start the server, or give its password (OCBLOB_DB, or `databases` in config.toml)"
    return DeletionRefusedError(
        f"nothing was deleted: the registered database {entry.url} cannot be read: {why}",
        hint=f"{cure}, or `ocblob store forget-db {entry.id}` if it is gone for good",
    )


@contextlib.contextmanager
def _surveyed(store: BlobStore, *, dry_run: bool) -> Iterator[tuple[Survey, float, float]]:
    now = time.time() if dry_run else store.begin_deletions()
    begun = time.monotonic()
    with Survey(store.catalog) as survey:
        survey.take(store.backend)
        if not dry_run:
            survey.reconcile(remote=store.remote)
        yield survey, now, time.monotonic() - begun


def anything_due(store: BlobStore, grace_s: float) -> bool:
    """Whether the grace of something in the trash is over."""
    times = (generation_time(generation) for generation in store.reader.generations())
    return any(begun is not None and begun <= time.time() - grace_s for begun in times)


def _prune_due(store: BlobStore, *, grace_s: float, named: Sequence[Address], dry_run: bool, say: Say) -> int:
    store.refuse_copy()
    with _surveyed(store, dry_run=dry_run) as (survey, now, _), contextlib.closing(Marks()) as marks:
        marked = mark_everything(store, marks, now=now, grace_s=grace_s, named=named, dry_run=dry_run, say=say)
        plan = plan_prune(survey, marks.path, now=marked.judged_at, grace_s=grace_s)
        if dry_run:
            return plan.deleted_size
        return apply_prune(store, survey, plan, condemn=False).deleted_size


def _policy(limits: Limits) -> str:
    words = []
    if limits.max_size is not None:
        words.append(f"--max-size {format_size(limits.max_size)}")
    if limits.max_age_s is not None:
        words.append(f"--max-age {limits.max_age_s / 86400:.3g}d")
    return f"evict --expire {' '.join(words)}"
