"""Verbs composed: a database and a store opened, a verb run, the space given back."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ocblob import config
from ocblob.cells import Column, Scope, SessionTree
from ocblob.databases.addresses import Address
from ocblob.databases.base import Database
from ocblob.databases.disk import host_waits, mend, sizes
from ocblob.databases.opening import HostDatabase, open_database
from ocblob.databases.vacuum import FileSizes, VacuumReport
from ocblob.errors import BackendError, DatabaseUnsupportedError, UsageError
from ocblob.filesystem import is_other_users
from ocblob.hosts.base import HostProfile
from ocblob.hosts.detect import profile_of
from ocblob.offload import Offload, OffloadReport, offload, plan_offloads
from ocblob.prompts import PromptOffloadReport, PromptRestoreReport, offload_prompts, restore_prompts
from ocblob.restore import RestoreReport, restore
from ocblob.size_warnings import Measured, SizeWarning, look
from ocblob.space import Say, VacuumWhen, vacuum_after
from ocblob.store import BlobStore
from ocblob.store.registry import RegisteredDatabase
from ocblob.stores import create_store, open_store
from ocblob.urls import shown_url


@dataclass(frozen=True, slots=True)
class Opened:
    """A database and what its host means by it."""

    database: HostDatabase
    profile: HostProfile

    @property
    def all_columns(self) -> tuple[Column, ...]:
        """Every column that may hold refs."""
        return (*self.profile.columns, *self.profile.counted)


@dataclass(frozen=True, slots=True)
class OffloadPass(Measured):
    """What an offload did, with its surroundings."""

    report: OffloadReport
    before: FileSizes
    after: FileSizes
    store: str
    store_created: bool
    vacuum: VacuumReport | None
    vacuum_skipped: str
    """Why a vacuum that was asked for did not happen."""
    prompts: PromptOffloadReport | None
    """The host's prompt files, if they were asked for."""
    size_warning: SizeWarning | None
    """Of the database as it is now."""

    @property
    def complete(self) -> bool:
        """Whether all was done that was asked for."""
        prompts = self.prompts is None or self.prompts.complete
        return self.report.complete and prompts and not self.vacuum_skipped


@dataclass(frozen=True, slots=True)
class RestorePass(Measured):
    """What a restore did, with its surroundings."""

    report: RestoreReport
    prompts: PromptRestoreReport | None
    """The host's prompt files, if they were asked for."""
    size_warning: SizeWarning | None
    """Of the database as it is now."""

    @property
    def complete(self) -> bool:
        """Whether no ref is left."""
        return self.report.complete and (self.prompts is None or self.prompts.complete)


@contextlib.contextmanager
def opened(
    place: config.Place, *, tables: tuple[str, ...] = (), also: tuple[str, ...] = (), write: bool = False
) -> Iterator[Opened]:
    """Open a database, refuse what cannot be done, and close it at the end.

    `tables` are the only cells that count; `also` are cells beside those that the host profile names.
    """
    address = config.database_address(place)
    if write:
        mend(address)
    with open_database(address, read_only=not write) as database:
        profile = profile_of(database.tables(), tables, also)
        if write and profile.unknown:
            raise DatabaseUnsupportedError(
                f"{database.url} has a schema of {profile.name} that this version does not know: {profile.unknown}",
                hint="name the cells with --table table:column if you know what they hold",
            )
        for column in (*profile.columns, *profile.counted):
            database.check_column(column)
        yield Opened(database, profile)


def session_tree(at: Opened) -> SessionTree:
    """What belongs to a session. Raises `DatabaseUnsupportedError` where that is not wholly known."""
    profile = at.profile
    if profile.unknown or profile.tree is None:
        why = profile.unknown or "it has no sessions"
        raise DatabaseUnsupportedError(
            f"{at.database.url} has a schema of {profile.name} that this version does not know: {why};"
            " nothing was changed"
        )
    at.database.check_tree(profile.tree)
    return profile.tree


def check_plugin(place: config.Place, profile: HostProfile) -> None:
    """Raise `UsageError` if the host itself opens this database and would show placeholders only."""
    if profile.name != "opencode" or config.plugin_installed():
        return
    if not config.is_hosts_own(config.database_address(place)):
        return
    raise UsageError(
        "this is OpenCode's own database, and without the plugin OpenCode shows the model placeholders instead of"
        " the attachments that moved out; --no-plugin goes on all the same",
        hint="ocblob plugin install",
    )


def check_owner(address: Address, ask: Callable[[str], bool]) -> None:
    """Ask before blobs are kept where a file's owner cannot read them; raise `UsageError` at a no."""
    if address.path is None or not is_other_users(address.path):
        return
    if not ask(f"{address.path} belongs to another user, who could not read the blobs that you store: go on?"):
        raise UsageError(f"{address.path} belongs to another user", hint="run ocblob as that user, or say --yes")


def check_prompts(address: Address) -> None:
    """Raise `UsageError` unless the host itself opens this database: only then its prompt files are known."""
    if not config.is_hosts_own(address):
        raise UsageError(f"--prompt-history is about the files beside OpenCode's own database, which {address} is not")


def register(store: BlobStore, at: Opened, tables: tuple[str, ...]) -> None:
    """Enter a database, and the files of its host that may name blobs: a prompt that is brought back holds refs.

    Raises `BackendError` if the store cannot be written.
    """
    files = config.prompt_files_of(at.database.address)
    store.registry.register(at.database.url, host=at.profile.name, tables=tables, files=files)


def offload_pass(  # noqa: PLR0913
    place: config.Place,
    store_place: config.StorePlace,
    *,
    tables: tuple[str, ...],
    scope: Callable[[HostProfile], Scope],
    min_chars: int,
    include_v2: bool,
    prompts: bool,
    previews: bool | None,
    create: bool,
    need_plugin: bool,
    dry_run: bool,
    vacuum: VacuumWhen,
    progress: Callable[[Database, tuple[Column, ...], int, Scope], Callable[[int], None]],
    say: Say,
    ask: Callable[[str], bool],
    offload_by: Offload = offload,
) -> OffloadPass:
    """One whole pass over a database, done here or by whom it is given to."""
    address = config.database_address(place)
    if prompts:
        check_prompts(address)
    with opened(place, tables=tables, write=not dry_run) as at:
        if need_plugin and not dry_run:
            check_plugin(place, at.profile)
        if not dry_run:
            check_owner(address, ask)
        for warning in at.database.warnings:
            say(f"warning: {warning}")
        before = sizes(address)
        columns = at.all_columns if include_v2 else at.profile.columns
        chosen = scope(at.profile)
        for column in columns:
            at.database.check_scope(column, chosen)
        report_progress = progress(at.database, columns, min_chars, chosen)
        if dry_run:
            report = plan_offloads(at.database, columns, scope=chosen, min_chars=min_chars, progress=report_progress)
            looked = _offload_prompts(None, min_chars) if prompts else None
            large = look(address, host=at.profile.name, found=before, inline_chars=report.payload_chars)
            return OffloadPass(report, before, before, shown_url(store_place.url), False, None, "", looked, large)
        store, created = create_store(store_place, wished=create)
        with store:
            if created:
                say(f"created a blob store at {store.url}")
            register(store, at, tables)
            report = offload_by(
                at.database,
                store,
                columns,
                scope=chosen,
                min_chars=min_chars,
                progress=report_progress,
                previews=previews,
            )
            moved = _offload_prompts(store, min_chars) if prompts else None
    space = vacuum_after(address, vacuum, say=say)
    after = sizes(address)
    whole = report.complete and not tables and chosen.whole
    # Who has taken everything knows that nothing is left to offload.
    large = look(address, host=at.profile.name, found=after, inline_chars=0 if whole else None)
    return OffloadPass(report, before, after, store.url, created, space.report, space.skipped, moved, large)


def _offload_prompts(store: BlobStore | None, min_chars: int) -> PromptOffloadReport:
    return offload_prompts(config.prompt_history_files(), store, min_chars=min_chars)


def registered(store: BlobStore, address: Address) -> Iterator[RegisteredDatabase]:
    """What a store knows of this database; of several machines each may have one of this path."""
    return (entry for entry in store.registry.databases() if entry.url == address.name)


def registered_tables(store: BlobStore, address: Address) -> tuple[str, ...]:
    """The cells that were named when this database was offloaded, as `table:column`."""
    return next((entry.tables for entry in registered(store, address)), ())


def restore_pass(  # noqa: PLR0913
    place: config.Place,
    store_place: config.StorePlace,
    *,
    tables: tuple[str, ...],
    scope: Callable[[HostProfile], Scope],
    dry_run: bool,
    force: bool,
    prompts: bool,
    progress: Callable[[Database, tuple[Column, ...], int, Scope], Callable[[int], None]],
    say: Say,
) -> RestorePass:
    """Put payloads back."""
    address = config.database_address(place)
    if prompts:
        check_prompts(address)
    with open_store(store_place, read_only=dry_run) as store:
        used = not dry_run and host_waits(address)
        with opened(place, tables=tables, also=registered_tables(store, address), write=not dry_run) as at:
            if not dry_run:
                # Restoring from a backup that is mounted read-only must not fail for this.
                try:
                    register(store, at, tables)
                except BackendError as error:
                    say(f"warning: not registered with the store: {error}")
            chosen = scope(at.profile)
            report = restore(
                at.database,
                store,
                at.all_columns,
                scope=chosen,
                dry_run=dry_run,
                large_cells=force or not used,
                # A server takes a large cell in parts.
                announce=say if address.path is not None else lambda _: None,
                progress=progress(at.database, at.all_columns, 0, chosen),
            )
        back = restore_prompts(config.prompt_history_files(), store, dry_run=dry_run) if prompts else None
        if back is not None and back.files_replaced and used:
            say(
                "warning: another process has the database open; an OpenCode that had read its prompts before may"
                " write refs into these files again: restore once more when it has ended"
            )
    return RestorePass(report, back, look(address, host=at.profile.name))
