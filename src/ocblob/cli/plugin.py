"""`ocblob plugin`: install, remove and look at the plugin that gives OpenCode its attachments back."""

import sys
from pathlib import Path
from typing import Any

import click

from ocblob import config
from ocblob.cli.main import EXIT_INCOMPLETE
from ocblob.cli.options import (
    asker,
    dry_run_option,
    print_json,
    print_problems,
    progress_bar,
    sayer,
    standard_options,
)
from ocblob.errors import UsageError
from ocblob.plugins.install import InstallReport, Told, install
from ocblob.plugins.options import Choices
from ocblob.plugins.remove import RemoveReport, remove_plugin
from ocblob.plugins.status import PluginStatus, plugin_status
from ocblob.space import Say

_TOLD: dict[Told, str] = {
    "loaded": "the running OpenCode has loaded it",
    "restart": "restart OpenCode: it reads its configuration when it starts",
    "next start": "OpenCode loads it at its next start",
    "unreachable": "restart OpenCode: it could not be asked to load it",
}
_RETAINED = "The oldest go while it is exceeded, into an archive first, at most once an hour when OpenCode rests."

_project_option = click.option(
    "--project",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="The configuration of this project.",
)


@click.group()
def command() -> None:
    """Install, remove or check the plugin that gives OpenCode its attachments back."""


@command.command("install")
@_project_option
@click.option("--ingest/--no-ingest", default=None, help="Whether new attachments move out before they are stored.")
@click.option("--rescan/--no-rescan", default=None, help="Whether a pass runs when a session comes to rest.")
@click.option(
    "--max-size-mb", type=click.IntRange(min=1), metavar="MB", help=f"What all sessions may hold. {_RETAINED}"
)
@click.option("--max-age-days", type=click.IntRange(min=1), metavar="DAYS", help="How old a session may be; as above.")
@click.option("--max-sessions", type=click.IntRange(min=1), metavar="N", help="How many there may be; as above.")
@click.option(
    "--server", metavar="URL", help="A running OpenCode to tell.  [default: http://127.0.0.1:4096, if one is]"
)
@dry_run_option
@standard_options
@click.pass_context
def install_command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    project: Path | None,
    ingest: bool | None,
    rescan: bool | None,
    max_size_mb: int | None,
    max_age_days: int | None,
    max_sessions: int | None,
    server: str | None,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Let OpenCode give refs back to the model, and move new attachments out by itself.

    Writes one script and one entry in OpenCode's configuration; every other byte there stays as it is. Options that
    were changed by hand stay, unless they are given here.
    """
    del verbose
    report = install(
        config.plugin_site(project),
        config.plugin_database(db),
        store_place,
        Choices(ingest, rescan, max_size_mb, max_age_days, max_sessions),
        command=own_command(),
        server=server,
        dry_run=dry_run,
        say=sayer(quiet=quiet),
    )
    if as_json:
        print_json(report)
    elif not quiet:
        _print_install(report, dry_run=dry_run)
    for note in report.notes:
        click.echo(f"Warning: {note}", err=True)
    if report.told == "unreachable":
        ctx.exit(EXIT_INCOMPLETE)


@command.command("remove")
@_project_option
@click.option("--restore", is_flag=True, help="Put attachments back into the database first.")
@click.option("--keep-refs", is_flag=True, help="Remove it although OpenCode then shows placeholders.")
@dry_run_option
@standard_options
@click.pass_context
def remove_command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    project: Path | None,
    restore: bool,
    keep_refs: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Take the plugin out of OpenCode again; all else in its configuration stays, byte for byte.

    Database and store are those that the plugin was installed with.
    """
    del db, store_place
    if restore and keep_refs:
        raise UsageError("--restore and --keep-refs exclude each other")
    with progress_bar("restore", quiet=quiet or as_json) as progress:
        report = remove_plugin(
            config.plugin_site(project),
            restore=restore,
            keep_refs=keep_refs,
            dry_run=dry_run,
            progress=progress,
            say=sayer(quiet=quiet),
            ask=asker(yes=False),
        )
    if as_json:
        print_json(report)
    elif not quiet:
        _print_remove(report, dry_run=dry_run)
    if report.restored is not None and not report.complete:
        problems = report.restored.report.problems
        print_problems(problems, len(problems), verbose=verbose)
        click.echo("  the plugin stays, because refs are left; --keep-refs removes it all the same", err=True)
        ctx.exit(EXIT_INCOMPLETE)


@command.command("status")
@_project_option
@standard_options
@click.pass_context
def status_command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    project: Path | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Show where the plugin is installed, and try whether it would work. Exits with 3 if it would not.

    Looks at the user's configuration, and at a project's only if it is named: what stands there is run.
    """
    sites = [config.plugin_site(), *([config.plugin_site(project)] if project else [])]
    found = plugin_status(sites, config.plugin_database(db), store_place)
    if as_json:
        print_json(found)
    elif not quiet:
        _print_status(found, verbose=verbose)
    for problem in found.problems:
        click.echo(f"Warning: {problem}", err=True)
    if not found.sound:
        ctx.exit(EXIT_INCOMPLETE)


def install_for_offload(place: config.Place, store_place: config.StorePlace, *, say: Say) -> None:
    """Install the plugin for all projects, in words only.

    Raises `UsageError` if OpenCode must be restarted before it has the plugin.
    """
    report = install(config.plugin_site(), place, store_place, Choices(), command=own_command(), say=say)
    say(f"installed the plugin; its entry is in {report.file}")
    for note in report.notes:
        say(f"warning: {note}")
    if report.told not in {"loaded", "next start"}:
        raise UsageError(
            "OpenCode is running without the plugin and would show placeholders; nothing was moved",
            hint="restart OpenCode, then run `ocblob offload` again",
        )


def own_command() -> tuple[str, ...]:
    """How to run this ocblob from anywhere. -P: a project's own files must not stand in for modules."""
    return (sys.executable, "-P", "-m", "ocblob")


def _print_install(report: InstallReport, *, dry_run: bool) -> None:
    """What an installation did."""
    done = ("would install" if dry_run else "installed") if report.changed else "already installed"
    click.echo(f"{done}  plugin {report.version} for {'this project' if report.kind == 'project' else 'all projects'}")
    click.echo(f"  script    {report.script}")
    click.echo(f"  entry in  {report.file}")
    if not dry_run:
        click.echo(f"  {_TOLD[report.told]}")


def _print_remove(report: RemoveReport, *, dry_run: bool) -> None:
    if report.restored is not None:
        click.echo(f"restored  {report.restored.report.refs_restored:,} attachments")
    if report.complete:
        done = "would remove" if dry_run else "removed"
        click.echo(done if report.was_installed else "the plugin was not installed")
    for path in report.removed:
        click.echo(f"  {path}")
    if report.removed and not dry_run:
        click.echo("  an OpenCode that is running goes on with the plugin until it is restarted")


def _print_status(found: PluginStatus, *, verbose: bool) -> None:
    for one in found.installations:
        state = "this version's" if one.current else "another one" if one.version else "not there"
        lines: list[tuple[str, Any]] = [
            ("entry in", one.file),
            ("script", f"{one.script} ({state})"),
            ("command", f"{' '.join(one.command)} ({one.command_version or 'does not run'})"),
            ("store", one.store),
            ("database", one.db),
        ]
        click.echo(f"plugin {one.version or '?'}  for {'this project' if one.kind == 'project' else 'all projects'}")
        for name, value in lines:
            click.echo(f"  {name:<9} {value}")
        others = {k: v for k, v in one.options.items() if k not in {"command", "store", "objects", "db"}}
        if verbose:
            click.echo(f"  {'options':<9} {others}")
    for directory, state in found.packages.items():
        click.echo(f"packages  {state:<9} {directory}")
    resolved = {None: "", True: "; one of the newest session resolves", False: "; one DOES NOT RESOLVE"}
    click.echo(f"refs      {found.refs:,} in the database, {found.v2_refs:,} of V2 sessions{resolved[found.resolves]}")
