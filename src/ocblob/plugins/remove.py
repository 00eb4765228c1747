"""Remove the plugin; what it gives back on the fly is restored first, unless the user says otherwise."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from ocblob import config
from ocblob.cells import Column, Scope
from ocblob.databases.base import Database
from ocblob.errors import DatabaseError, HostError, UsageError
from ocblob.hosts.opencode import Site
from ocblob.hosts.opencode.installation import Installed, installed, remove
from ocblob.hosts.opencode.server import DEFAULT_URL
from ocblob.passes import RestorePass, restore_pass
from ocblob.plugins.options import database_of, store_of
from ocblob.plugins.refs import count_prompt_refs, find_refs_of
from ocblob.space import Say

Progress = Callable[[Database, tuple[Column, ...], int, Scope], Callable[[int], None]]


@dataclass(slots=True)
class RemoveReport:
    """What a removal did."""

    kind: str
    was_installed: bool
    refs: int
    """That were in the database and in its prompts before; not looked for where nobody asks."""
    restored: RestorePass | None = None
    removed: list[Path] = field(default_factory=list)
    """Files that were changed or went."""

    @property
    def complete(self) -> bool:
        """Whether the plugin is gone: a restore that left refs stops it."""
        return self.restored is None or self.restored.complete


def remove_plugin(  # noqa: PLR0913
    site: Site,
    *,
    restore: bool,
    keep_refs: bool,
    dry_run: bool,
    progress: Progress,
    say: Say,
    ask: Callable[[str], bool],
) -> RemoveReport:
    """Take the plugin away, and leave everything else as it was.

    Raises `UsageError` if refs are in the database and nobody says what is to become of them: nothing is changed then.
    """
    found = installed(site)
    other = _users(site)
    report = RemoveReport(site.kind, bool(found) or site.script.exists() or site.note.exists(), 0)
    # Where the user's own plugin stays, refs are resolved as before.
    if found and not other and not keep_refs:
        if not dry_run:
            _check_other_databases(found[-1])
        report.refs = _refs(found[-1])
        if report.refs and not dry_run and (restore or _restores(report.refs, ask)):
            report.restored = _restore(found[-1], progress=progress, say=say)
            if not report.restored.complete:
                return report
    report.removed = remove(site, keep=config.plugin_site().packages if other else (), dry_run=dry_run)
    if found and not dry_run and site.kind == "project":
        _forget(site)
    return report


def _users(site: Site) -> list[Installed]:
    """The plugin that stays for all projects when one project's goes."""
    return [] if site.kind == "user" else installed(config.plugin_site())


def _check_other_databases(entry: Installed) -> None:
    """Raise `UsageError` if another database that the host opens here holds refs: the plugin serves them all."""
    with _telling():
        own = config.database_path(database_of(entry.options)).resolve()
        others = [path for path in config.host_databases() if path.resolve() != own]
        refs = {path: find_refs_of(config.Place(str(path), "found")).total for path in others}
    for path, count in refs.items():
        if count:
            raise UsageError(
                f"{count} attachments are outside of {path}, which OpenCode opens as well; nothing was removed",
                hint=f"ocblob restore --db {path}, or say --keep-refs",
            )


def _refs(entry: Installed) -> int:
    with _telling():
        place = database_of(entry.options)
        if not config.database_path(place).is_file():
            return 0
        return find_refs_of(place).total + count_prompt_refs(place)


@contextlib.contextmanager
def _telling() -> Iterator[None]:
    """What stops us from looking for refs is told, with the way on."""
    try:
        yield
    except (DatabaseError, UsageError) as error:
        raise UsageError(
            f"whether refs are left cannot be told: {error}", hint="--keep-refs removes it all the same"
        ) from error


def _restores(refs: int, ask: Callable[[str], bool]) -> bool:
    if ask(f"{refs} attachments are outside of the database; put them back first?"):
        return True
    if ask("Remove the plugin all the same? OpenCode then shows placeholders in place of them"):
        return False
    raise UsageError(
        f"{refs} attachments are outside of the database, and without the plugin OpenCode shows placeholders;"
        " nothing was removed",
        hint="say --restore or --keep-refs",
    )


def _restore(entry: Installed, *, progress: Progress, say: Say) -> RestorePass:
    place = database_of(entry.options)
    return restore_pass(
        place,
        store_of(entry.options),
        tables=(),
        scope=lambda _: Scope(),
        dry_run=False,
        force=False,
        prompts=config.is_hosts_own(config.database_address(place)),
        progress=progress,
        say=say,
    )


def _forget(site: Site) -> None:
    """Let a running host app notice, if it is there and idle."""
    project = site.directory.parent
    try:
        running = config.host_server(DEFAULT_URL)
        if config.is_users_server(running) and not running.is_busy(project):
            running.reload(project)
    except HostError:
        return
