"""A retention as a whole: the database and the store that it needs, the archive, the space given back."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial

from ocblob import config
from ocblob.archiving import check_room
from ocblob.cells import SessionTree
from ocblob.databases.addresses import Address
from ocblob.databases.disk import sizes
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import SessionFacts
from ocblob.databases.vacuum import FileSizes, VacuumReport
from ocblob.errors import BackendError, DatabaseUnsupportedError, UnknownHostError, UsageError
from ocblob.filesystem import is_other_users
from ocblob.mirror_sealing import NamedMirror, mirror_seal
from ocblob.passes import Opened, opened, register, session_tree
from ocblob.pulled import pulled
from ocblob.sessions.archiver import Archiver, Bar
from ocblob.sessions.lacking import Lacking
from ocblob.sessions.mirror_seal import MirrorSeal
from ocblob.sessions.plan import RetainPlan, plan_retain
from ocblob.sessions.retain import RetainReport, Told, apply_retain
from ocblob.sessions.sealing import ArchivePlace, archive_place, make_directory
from ocblob.sessions.seals import Seal, sealed_by_both, witness
from ocblob.size_warnings import Measured, SizeWarning, look
from ocblob.space import Say, VacuumWhen, vacuum_after
from ocblob.store import BlobStore
from ocblob.stores import create_store, store_at_hand
from ocblob.unfinished import Notes


@dataclass(frozen=True, slots=True)
class RetainPass(Measured):
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
    vacuum: VacuumWhen | None = None,
    dry_run: bool = False,
    hear: Told = lambda _tree, _archive: None,
    say: Say = lambda _: None,
    bar: Bar = lambda _: contextlib.nullcontext(lambda _: None),
) -> RetainPass:
    """Drop the oldest sessions by the limits of the settings, into a mirror or an archive first if one is wanted.

    Without a word on `vacuum` the space is given back if it is worth it and no host has to wait for it.
    `keep` are sessions that must be there: an id that was mistyped would give away what was meant to stay. Raises
    `UsageError` for such a one and for limits that cannot be meant, and whatever stands against the archive before
    anything is deleted. Nothing to evict writes nothing.
    """
    settings.limits.check()
    address = config.database_address(place)
    way = _Way(place, address, store_place, settings, allow_unresolved, hear, say, bar)
    if not dry_run:
        way.put_back_killed()
    with _sessions(place, write=False) as (database, tree, at):
        before, host = sizes(address), at.profile.name
        facts = {each.id: each for each in database.survey(tree)}
        now_ms = int(time.time() * 1000)
        plan = plan_retain(facts.values(), settings.limits, now_ms=now_ms, pulled=pulled(address))
    _check_keep(plan, keep, say)
    archive = archive_to(settings, address.stem, make=bool(plan.evictions) and not dry_run)
    if dry_run:
        return RetainPass(plan, None, before, before, None, "", look(address, host=host, found=before))
    if plan.evictions:
        report = way.evict(plan, facts, archive)
    else:
        report = RetainReport(planned=plan.leaving, before=plan.before)
    # Who holds the database holds it against a vacuum too.
    when = "never" if report.locked else vacuum or "auto"
    space = vacuum_after(address, when, say=say, method="gentle" if vacuum is None else "auto")
    if vacuum is None and space.skipped:
        say(f"not vacuumed: {space.skipped}")
        space = replace(space, skipped="")
    after = sizes(address)
    large = look(address, host=host, found=after)
    return RetainPass(plan, report, before, after, space.report, space.skipped, large)


@dataclass(frozen=True, slots=True)
class _Way:
    """How sessions go out of one database."""

    place: config.Place
    address: Address
    """Of the place."""
    store_place: config.StorePlace
    settings: config.Settings
    allow_unresolved: bool
    hear: Told
    say: Say
    bar: Bar

    @property
    def notes(self) -> Notes:
        """Of what may be in pieces."""
        return Notes.of(self.address)

    def put_back_killed(self) -> None:
        """What killed retentions and pulls have left in pieces is whole again, where that can be had."""
        if self.notes.pending():
            with _sessions(self.place, write=True) as (database, tree, at):
                mirrored = NamedMirror(at, tree, self.settings, self.store_place, self.say)
                self.notes.finish(database, tree, mirrored, self.say)

    def evict(self, plan: RetainPlan, facts: Mapping[str, SessionFacts], archive: ArchivePlace | None) -> RetainReport:
        """Do what was planned. Raises whatever stands against the mirror or the archive, before anything is deleted."""
        with _sessions(self.place, write=True) as (database, tree, at):
            for warning in database.warnings:
                self.say(f"warning: {warning}")
            with _store(self.store_place, self.settings, at, self.say) as (store, absent):
                lacking = Lacking(store, _allowed(unresolved=self.allow_unresolved, absent=absent))
                mirror = self._mirror(at, tree, lacking)
                archiver = None
                if archive is not None:
                    self._check_archive(archive, plan)
                    refs = self.settings.archive_refs
                    archiver = Archiver(database, tree, at.profile.name, archive, lacking, refs, facts, self.bar)
                # What an archive holds too comes back from there: nobody has to be reached for it.
                holder = archiver or mirror
                report = apply_retain(
                    database,
                    tree,
                    plan,
                    seal=_seal(mirror, archiver) or partial(witness, database, tree),
                    put_back=holder.put_back if holder is not None else None,
                    look=holder.look if holder is not None else None,
                    told=self.hear,
                    note=partial(self.notes.begin, database=database),
                )
                if archiver is not None and archiver.lacks:
                    self.say(f"warning: {archiver.lacks}")
            report.longest_transaction_s = database.longest_transaction_s
        return report

    def _mirror(self, at: Opened, tree: SessionTree, lacking: Lacking) -> MirrorSeal | None:
        if (there := self.settings.mirror_place) is None:
            return None
        return mirror_seal(self.place, there, self.store_place, at=at, tree=tree, lacking=lacking, say=self.say)

    def _check_archive(self, archive: ArchivePlace, plan: RetainPlan) -> None:
        if self.address.path is not None and is_other_users(self.address.path):
            self.say(f"warning: {self.address.name} belongs to another user, who cannot read the archive")
        check_room(archive, plan.leaving.size, self.say)


def _seal(mirror: MirrorSeal | None, archiver: Archiver | None) -> Seal | None:
    """By what is wanted; None if nothing is."""
    if mirror is not None and archiver is not None:
        return sealed_by_both(mirror.seal, archiver.seal)
    holder = mirror or archiver
    return holder.seal if holder is not None else None


@contextlib.contextmanager
def _sessions(place: config.Place, *, write: bool) -> Iterator[tuple[HostDatabase, SessionTree, Opened]]:
    """A database whose sessions are known. Raises `DatabaseUnsupportedError` for one that is not wholly understood."""
    with contextlib.ExitStack() as stack:
        try:
            at = stack.enter_context(opened(place, write=write))
        except UnknownHostError as error:
            # There is no option that would tell whose its rows are.
            raise DatabaseUnsupportedError(f"{place.shown}: {error}; nothing was changed") from error
        yield at.database, session_tree(at), at


@contextlib.contextmanager
def _store(
    place: config.StorePlace, settings: config.Settings, at: Opened, say: Say
) -> Iterator[tuple[BlobStore | None, bool]]:
    """The store if it is there and answers, and whether there is none at all; what a mirror needs is made.

    It learns of the database: prune looks into it then, and refs of what went are nobody's.
    """
    mirrors = settings.mirror_place is not None and config.database_address(settings.mirror_place).path is None
    needed = mirrors or (settings.archives and settings.archive_refs)
    if mirrors:
        store, created = create_store(place)
        with store:
            if created:
                say(f"created a blob store at {store.url}")
    with store_at_hand(place, say, needed=needed) as (found, absent):
        if found is not None:
            try:
                register(found, at, ())
            except BackendError as error:
                # A store on a read-only medium still gives what an archive needs.
                if needed:
                    raise
                say(f"warning: the store does not learn of this database: {error}")
        yield found, absent


def _allowed(*, unresolved: bool, absent: bool) -> frozenset[str]:
    """Why a ref may go without its blob. A blob that may be had another time is waited for."""
    reasons = {"expired"}
    if unresolved:
        reasons |= {"missing", "foreign"} | ({"unavailable"} if absent else set())
    return frozenset(reasons)


def _check_keep(plan: RetainPlan, keep: tuple[str, ...], say: Say) -> None:
    if lost := sorted(set(keep) & set(plan.unknown_keep)):
        raise UsageError(f"--keep {lost[0]}: there is no such session; nothing was changed")
    if plan.unknown_keep:
        say(f"warning: sessions to keep that are not there: {', '.join(plan.unknown_keep)}")


def archive_to(settings: config.Settings, stem: str, *, make: bool) -> ArchivePlace | None:
    """Where an archive of a database with this stem goes; None if none is wanted. A directory that is missing is made.

    Raises `UsageError` for a file that is there, or `ArchiveError` for a directory that cannot be.
    """
    if not settings.archives:
        return None
    wished = settings.archive or config.archive_directory()
    # The command line may name a file; by a suffix that is none of ours nobody means a directory there.
    may_be_file = wished.suffix and settings.source("archive") == "--archive"
    if settings.archive is not None and (may_be_file or wished.exists()) and not wished.is_dir():
        return archive_place(wished, stem=stem)
    if make:
        make_directory(wished)
    return ArchivePlace(wished, "", stem)
