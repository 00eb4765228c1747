"""Install the plugin, and tell a running host app."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from ocblob import config
from ocblob.backends import local_path
from ocblob.databases.sqlite.vacuum import in_use
from ocblob.errors import BackendError, DatabaseError, HostError, StoreError, UsageError
from ocblob.hosts.opencode import Server, Site
from ocblob.hosts.opencode.configuration import entries
from ocblob.hosts.opencode.installation import InstallPlan, apply_install, installed, plan_install
from ocblob.hosts.opencode.server import DEFAULT_URL
from ocblob.plugins import script, version_of
from ocblob.plugins.options import NEW, Choices, entry_options
from ocblob.space import Say
from ocblob.stores import create_store

Told = Literal["loaded", "restart", "next start", "unreachable"]
"""What the host app knows: it runs with the plugin, must be restarted, is not running, or could not be asked."""


@dataclass(slots=True)
class InstallReport:
    """What an installation did, or would do."""

    kind: str
    file: Path
    """The configuration with the entry."""
    script: Path
    version: str
    changed: bool
    stand_ins: list[Path]
    """Directories in which a stand-in keeps OpenCode from waiting for npm."""
    told: Told = "next start"
    notes: list[str] = field(default_factory=list)
    """What else there is to know."""


def install(  # noqa: PLR0913
    site: Site,
    database: config.Place,
    store: config.StorePlace,
    choices: Choices,
    *,
    command: tuple[str, ...],
    server: str | None = None,
    dry_run: bool = False,
    say: Say = lambda _: None,
) -> InstallReport:
    """Write the plugin and its entry, or bring both up to date. A second time it changes nothing.

    Raises `UsageError` for a configuration that cannot be edited; it is then as it was.
    """
    found = installed(site)
    existing = found[-1].options if found else {}
    options = entry_options(existing, database, store, choices, command=command, dry_run=dry_run, say=say)
    plan = plan_install(site, script(), options, new=NEW)
    report = InstallReport(
        site.kind,
        plan.file,
        site.script,
        version_of(plan.script),
        plan.changes,
        [*plan.stubs, *plan.has_stubs],
        notes=[*_waits(plan), *_twice(site)],
    )
    if not dry_run:
        apply_install(plan)
        if "store" in options and local_path(store.url) is not None:
            _make_store(store, say)
        report.told, words = tell(site, plan, server, config.database_path(database))
        report.notes += words
    return report


def _make_store(store: config.StorePlace, say: Say) -> None:
    """The plugin never does: a store that is not there may be on a drive that is not mounted."""
    try:
        opened, created = create_store(store)
        opened.close()
        if created:
            say(f"created a blob store at {opened.url}")
    except (BackendError, StoreError) as error:
        say(f"warning: the store cannot be had now, and attachments stay in the database until it can: {error}")


def tell(site: Site, plan: InstallPlan, server: str | None, database: Path) -> tuple[Told, list[str]]:
    """Let the running host app load the plugin, as far as it can be asked to; with what to say about it."""
    try:
        running = config.host_server(server or DEFAULT_URL)
        if config.is_users_server(running):
            return _ask(running, site, plan)
        if server:
            return "unreachable", [f"{server} runs with another configuration than {site.directory}"]
    except HostError as error:
        # Nobody said that a server is there.
        if server:
            return "unreachable", [f"{error}{f'; {error.hint}' if error.hint else ''}"]
    return ("restart" if _is_open(database) else "next start"), []


def _ask(running: Server, site: Site, plan: InstallPlan) -> tuple[Told, list[str]]:
    project = site.directory.parent if site.kind == "project" else None
    options = entries(plan.after, plan.file.parent)[-1].options
    # The user's configuration, and a script that was loaded once, are read once in a process.
    stale = plan.replaces_script and running.has_loaded(site.script, None, project)
    if not stale and running.has_loaded(site.script, options, project):
        return "loaded", []
    if stale or project is None:
        return "restart", []
    if running.is_busy(project):
        return "restart", [f"a turn is running at {running.url}; run this again when it is over, or restart OpenCode"]
    running.reload(project)
    return ("loaded" if running.has_loaded(site.script, options, project) else "restart"), []


def _is_open(database: Path) -> bool:
    try:
        return database.is_file() and in_use(database)
    except DatabaseError:
        return False


def _waits(plan: InstallPlan) -> list[str]:
    return [
        f"OpenCode installs npm packages into {directory} at its next start, because something there wants them;"
        " offline every start waits for that, more than a minute"
        for directory in plan.waits
    ]


def _twice(site: Site) -> list[str]:
    notes = [f"{path} is loaded as well, without options; remove it" for path in config.stray_plugins()]
    if site.kind == "project":
        try:
            others = installed(config.plugin_site())
        except UsageError:
            others = []
        notes += [
            f"{entry.file} loads the plugin too, so it runs twice in this project; `ocblob plugin remove` takes"
            " that one away"
            for entry in others
        ]
    return notes
