"""A retention as a whole: the database and the store that it needs, the archive, the space given back."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ocblob import config
from ocblob.cells import SessionTree
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.databases.sqlite.vacuum import FileSizes, VacuumReport, sizes
from ocblob.errors import BackendError, DatabaseUnsupportedError, StoreNotFoundError, UsageError
from ocblob.passes import Opened, opened, register
from ocblob.sessions.archiver import Archiver, Bar
from ocblob.sessions.plan import RetainPlan, plan_retain
from ocblob.sessions.retain import RetainReport, Told, apply_retain, witness
from ocblob.sessions.sealing import ArchivePlace, archive_place, make_directory
from ocblob.size_warnings import SizeWarning, look, told
from ocblob.space import Say, VacuumWhen, vacuum_after
from ocblob.store import BlobStore
from ocblob.stores import open_store


@dataclass(frozen=True, slots=True)
class RetainPass:
    """What a retention did, or would do, with its surroundings."""

    plan: RetainPlan
    report: RetainReport | None
    """None for a dry run."""
    before: FileSizes
    after: FileSizes
    vacuum: VacuumReport | None
    vacuum_skipped: str
    """Why a vacuum that was asked for did not happen."""
    size_warning: SizeWarning | None
    """Of the database as it is now."""

    @property
    def warnings(self) -> list[str]:
        """What people should be told, whether they asked for words or not."""
        return told(self.size_warning)

    @property
    def too_large(self) -> bool:
        """Whether the database is over a threshold of size."""
        return self.size_warning is not None

    @property
    def complete(self) -> bool:
        """Whether all limits hold, and all was done that was asked for."""
        return self.plan.complete and (self.report is None or self.report.complete) and not self.vacuum_skipped


def retain_pass(  # noqa: PLR0913
    place: config.Place,
    store_place: config.StorePlace,
    settings: config.Settings,
    *,
    keep: tuple[str, ...] = (),
    allow_unresolved: bool = False,
    vacuum: VacuumWhen = "never",
    dry_run: bool = False,
    hear: Told = lambda _tree, _archive: None,
    say: Say = lambda _: None,
    bar: Bar = lambda _: contextlib.nullcontext(lambda _: None),
) -> RetainPass:
    """Drop the oldest sessions by the limits of the settings, into an archive first if one is wanted.

    `keep` are sessions that must be there: an id that was mistyped would give away what was meant to stay. Raises
    `UsageError` for such a one and for limits that cannot be meant, and whatever stands against the archive before
    anything is deleted. Nothing to evict writes nothing.
    """
    settings.limits.check()
    path = config.database_path(place)
    with _sessions(place, write=False) as (database, tree, at):
        before, host = sizes(path), at.profile.name
        facts = {each.id: each for each in database.survey(tree)}
        plan = plan_retain(facts.values(), settings.limits, now_ms=int(time.time() * 1000))
    _check_keep(plan, keep, say)
    archive = archive_to(settings, path, make=bool(plan.evictions) and not dry_run)
    if dry_run:
        return RetainPass(plan, None, before, before, None, "", look(path, host=host, found=before))
    report = RetainReport(planned=plan.leaving, before=plan.before)
    if plan.evictions:
        with _sessions(place, write=True) as (database, tree, at):
            with _store(store_place, at, say, needed=archive is not None and settings.archive_refs) as store:
                if archive is None:
                    report = apply_retain(
                        database, tree, plan, seal=partial(witness, database, tree), put_back=None, told=hear
                    )
                else:
                    archiver = Archiver(
                        database, tree, host, archive, store, settings.archive_refs, allow_unresolved, facts, bar
                    )
                    report = apply_retain(
                        database, tree, plan, seal=archiver.seal, put_back=archiver.put_back, told=hear
                    )
                    for problem in (problem for done in archiver.done for problem in done.problems):
                        report.tell(problem)
            report.longest_transaction_s = database.longest_transaction_s
    # Who holds the database holds it against a vacuum too.
    space = vacuum_after(path, "never" if report.locked else vacuum, say=say)
    after = sizes(path)
    large = look(path, host=host, found=after)
    return RetainPass(plan, report, before, after, space.report, space.skipped, large)


@contextlib.contextmanager
def _sessions(place: config.Place, *, write: bool) -> Iterator[tuple[SQLiteDatabase, SessionTree, Opened]]:
    """A database whose sessions are known. Raises `DatabaseUnsupportedError` for one that is not wholly understood."""
    with opened(place, write=write) as at:
        profile = at.profile
        if profile.unknown or profile.tree is None:
            why = profile.unknown or "it has no sessions"
            raise DatabaseUnsupportedError(
                f"{at.database.url} has a schema of {profile.name} that this version does not know: {why};"
                " nothing was changed"
            )
        at.database.check_tree(profile.tree)
        yield at.database, profile.tree, at


@contextlib.contextmanager
def _store(place: config.StorePlace, at: Opened, say: Say, *, needed: bool) -> Iterator[BlobStore | None]:
    """The store, if there is one. Prune looks into this database then: refs of what went are nobody's."""
    with contextlib.ExitStack() as stack:
        store = None
        try:
            store = stack.enter_context(open_store(place))
        except StoreNotFoundError:
            if needed:
                raise
        if store is not None:
            # A store on a read-only medium still gives what an archive needs.
            try:
                register(store, at, ())
            except BackendError as error:
                say(f"warning: not registered with the store: {error}")
        yield store


def _check_keep(plan: RetainPlan, keep: tuple[str, ...], say: Say) -> None:
    if lost := sorted(set(keep) & set(plan.unknown_keep)):
        raise UsageError(f"--keep {lost[0]}: there is no such session; nothing was changed")
    if plan.unknown_keep:
        say(f"warning: sessions to keep that are not there: {', '.join(plan.unknown_keep)}")


def archive_to(settings: config.Settings, path: Path, *, make: bool) -> ArchivePlace | None:
    """Where an archive of this database goes; None if none is wanted. A directory that is not there yet is made.

    Raises `UsageError` for a file that is there, or `ArchiveError` for a directory that cannot be.
    """
    if not settings.archive_wanted:
        return None
    wished = settings.archive or config.archive_directory()
    # What was named on the command line may be a file; by a suffix that is none of ours nobody means a directory.
    if settings.archive is not None and (wished.suffix or wished.exists()) and not wished.is_dir():
        return archive_place(wished, stem=path.stem)
    if make:
        make_directory(wished)
    return ArchivePlace(wished, "", path.stem)
