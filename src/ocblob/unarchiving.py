"""Sessions out of an archive file: a database, a store and the verb composed."""

import os
import shutil
import time
from collections.abc import Callable, Container, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from ocblob import config
from ocblob.cells import SessionTree
from ocblob.databases.addresses import Address
from ocblob.databases.disk import host_waits
from ocblob.databases.session_rows import Row
from ocblob.errors import ArchiveError, StoreNotFoundError
from ocblob.marks import Marks
from ocblob.passes import Opened, opened, register, session_tree
from ocblob.sessions.extraction import ExtractedBlobs, extract
from ocblob.sessions.reader import Archive
from ocblob.sessions.restocking import Named, Restocked, look, restock
from ocblob.sessions.salvage import Salvaged, salvage
from ocblob.sessions.sources import Header
from ocblob.sessions.spans import refs_of
from ocblob.sessions.unarchive import UnarchiveReport, apply_unarchive
from ocblob.sessions.unarchive_plan import Choice, Fate, SessionPlan, chosen, plan_unarchive
from ocblob.space import Say
from ocblob.stores import create_store, open_store

SALVAGE_PREFIX: Final = ".ocblob-salvage-"
LEFTOVER_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class UnarchivePass:
    """What an unarchive did, or would do, with its surroundings."""

    archive: str
    plans: tuple[SessionPlan, ...]
    """In the archive's order."""
    report: UnarchiveReport
    blobs: Restocked
    store: str
    """Where the blobs of refs are; empty if no row that goes in has one."""
    store_created: bool
    salvaged: Salvaged
    """What of a damaged archive is whole; nothing if that was not asked for."""

    @property
    def complete(self) -> bool:
        """Whether every session is back, and every blob that its refs name can be had."""
        return self.report.complete and not self.blobs.unresolved and not self.salvaged.lost


@dataclass(frozen=True, slots=True)
class Found:
    """A readable archive."""

    archive: Archive
    headers: list[Header]
    salvaged: Salvaged
    damaged: Path | None = None
    """The file that the archive was salvaged from."""

    def extract(self, wanted: Container[bytes] | None, directory: Path | None) -> ExtractedBlobs:
        """The blobs. One that whole sessions need may stand in a session that is not whole."""
        if self.damaged is None:
            return self.archive.extract(wanted, directory)
        return extract(self.damaged, wanted, directory, damaged=True)


@contextmanager
def found_in(path: Path, *, salvaging: bool) -> Iterator[Found]:
    """What an archive holds; with `salvaging` what is whole in it, in a copy beside it. Raises `ArchiveError`."""
    if not salvaging:
        archive = Archive(path)
        try:
            headers = list(archive.headers())
        except ArchiveError as error:
            error.hint = "--salvage takes the sessions in it that are whole" if path.is_file() else ""
            raise
        yield Found(archive, headers, Salvaged())
        return
    directory = path.parent if os.access(path.parent, os.W_OK) else None
    if directory is not None:
        _remove_leftovers(directory)
    with TemporaryDirectory(prefix=SALVAGE_PREFIX, dir=directory) as name:
        copy = Path(name) / "whole.json"
        salvaged = salvage(path, copy)
        if not salvaged.sessions:
            raise ArchiveError(f"{path}: no session in it is whole: {'; '.join(salvaged.problems[:1])}")
        archive = Archive(copy)
        yield Found(archive, list(archive.headers()), salvaged, path)


def _remove_leftovers(directory: Path) -> None:
    """What killed salvages left; a younger one may be at work."""
    for leftover in directory.glob(f"{SALVAGE_PREFIX}*"):
        with suppress(OSError):
            if time.time() - leftover.stat().st_mtime > LEFTOVER_S:
                shutil.rmtree(leftover, ignore_errors=True)


def unarchive_pass(  # noqa: PLR0913
    place: config.Place,
    store_place: config.StorePlace,
    path: Path,
    *,
    sessions: tuple[str, ...],
    replace: bool,
    force: bool,
    salvaging: bool = False,
    dry_run: bool,
    say: Say,
    progress: Callable[[int], Callable[[int], None]] = lambda _: lambda _: None,
) -> UnarchivePass:
    """Put sessions back; none named means all. `progress` is told the bytes to come, and gives what is told of each.

    A store is opened, or made, only if rows have refs. A dry run changes neither.
    """
    begun = time.monotonic()
    address = config.database_address(place)
    with ExitStack() as stack:
        found = stack.enter_context(found_in(path, salvaging=salvaging))
        archive, headers = found.archive, found.headers
        wanted = chosen(headers, sessions)
        used = not dry_run and host_waits(address)
        at = stack.enter_context(opened(place, write=not dry_run))
        tree = _tree(at, headers, wanted)
        for warning in at.database.warnings:
            say(f"warning: {warning}")
        directory = beside(address)
        going, looked_at = (stack.enter_context(closing(Marks())) for _ in range(2))
        named = frozenset(wanted)
        only = stack.enter_context(archive.needed(named)) if sessions else None
        blobs = stack.enter_context(found.extract(only, directory))
        told = progress(2 * sum(totals.size for session, totals in headers if session.id in named))
        plans = plan_unarchive(
            at.database,
            tree,
            archive,
            headers,
            sessions=wanted,
            blobs=blobs,
            choice=Choice(replace=replace, large_cells=force or not used),
            needed=lambda row: note_refs(going, row),
            looked_at=lambda row: note_refs(looked_at, row),
            directory=directory,
            progress=told,
        )
        for child, missing in _without_parents(at, tree, headers, plans):
            say(
                f"warning: session {child} was begun by {missing}, which is not in the database:"
                f" OpenCode does not list it; --session {missing} brings both"
            )
        refs = Named(going, looked_at, blobs)
        if dry_run:
            return UnarchivePass(
                str(path), plans, as_planned(plans), _look(store_place, refs), "", False, found.salvaged
            )
        stocked, url, created = _stock(store_place, at, refs, say)
        report = apply_unarchive(
            at.database,
            tree,
            archive,
            headers,
            plans,
            blobs=blobs,
            directory=directory,
            # A server takes a large cell in parts, and nobody here knows its disk.
            room=at.database.room if address.path is not None else None,
            announce=say,
            progress=told,
        )
        report.elapsed_s = time.monotonic() - begun
        report.longest_transaction_s = at.database.longest_transaction_s
    return UnarchivePass(str(path), plans, report, stocked, url, created, found.salvaged)


def beside(address: Address) -> Path | None:
    """Where large contents wait: on a file's own disk, which has to have room for them anyway; None for a server."""
    if address.path is None:
        return None
    parent = address.path.resolve().parent
    return parent if os.access(parent, os.W_OK) else None


def _without_parents(
    at: Opened, tree: SessionTree, headers: list[Header], plans: tuple[SessionPlan, ...]
) -> Iterator[tuple[str, str]]:
    """Sessions that come back where their parents, which the archive has, are not; with these."""
    back = {plan.session for plan in plans if plan.fate is not Fate.REFUSED}
    archived = {session.id: session.parent for session, _ in headers}
    with at.database.snapshot() as snapshot:
        for child in sorted(back):
            parent = archived[child]
            if parent in archived and parent not in back and not snapshot.exists(tree, parent):
                yield child, parent


def note_refs(refs: Marks, row: Row) -> None:
    """The refs in a row are among these from now on."""
    for ref in refs_of(row):
        refs.add(ref)


def _stock(store_place: config.StorePlace, at: Opened, refs: Named, say: Say) -> tuple[Restocked, str, bool]:
    """The blobs that refs name go into the store, which knows of the database from then on."""
    if not (refs.any_going or refs.any_held):
        return Restocked(), "", False
    try:
        store, created = create_store(store_place, wished=refs.any_held)
    except StoreNotFoundError:
        return look(None, refs), "", False
    with store:
        if created:
            say(f"created a blob store at {store.url}")
        register(store, at, ())
        return restock(store, refs), store.url, created


def _look(store_place: config.StorePlace, refs: Named) -> Restocked:
    """The same for a dry run: nothing is put."""
    try:
        store = open_store(store_place, read_only=True)
    except StoreNotFoundError:
        return look(None, refs)
    with store:
        return look(store, refs)


def _tree(at: Opened, headers: list[Header], wanted: tuple[str, ...]) -> SessionTree:
    """Where the sessions go. Raises `DatabaseUnsupportedError` or `ArchiveError` if they cannot go there."""
    tree = session_tree(at)
    names = set(wanted)
    for session, _ in headers:
        if session.id in names and session.host != at.profile.name:
            raise ArchiveError(f"session {session.id} is one of {session.host}, the database is {at.profile.name}'s")
    return tree


def as_planned(plans: tuple[SessionPlan, ...]) -> UnarchiveReport:
    """What a dry run reports."""
    report = UnarchiveReport()
    for plan in plans:
        if plan.fate is Fate.REFUSED:
            report.fail(plan.session, plan.why)
        else:
            report.fates[plan.session] = plan.fate
            report.rows += plan.rows
            report.size += plan.size
    return report
