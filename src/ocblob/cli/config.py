"""`ocblob config`: the settings that hold, and where each comes from."""

import json
from typing import Any

import click

from ocblob import config
from ocblob.cli.main import EXIT_USAGE, complain
from ocblob.cli.options import print_json, print_warnings, printable, unread_options


@click.group()
def command() -> None:
    """Show the settings that hold, and where each comes from."""


@command.command("show")
@unread_options
@click.pass_context
def show_command(
    ctx: click.Context,
    *,
    db: str | None,
    store: str | None,
    cache_size: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Show every setting, its value, and where that comes from.

    An option wins over the environment, that over config.toml, that over the plugin's options and over `session` in
    OpenCode's configuration. Opens no database and no store. Exits with 2 if anything cannot be meant, and says which
    line of which file.
    """
    del verbose
    found = config.effective(db, store, cache_size)
    problems = [{"message": str(error), "hint": error.hint} for error in found.problems]
    if as_json:
        settings = {one.key: {"value": one.value, "source": one.source} for one in found.settings}
        print_json({"file": found.file, "is_there": found.is_there, "settings": settings, "problems": problems})
    elif not quiet:
        _print(found)
    print_warnings(found.warnings)
    for error in found.problems:
        complain(printable(str(error)), error.hint)
    if found.problems:
        ctx.exit(EXIT_USAGE)


def _print(found: config.Effective) -> None:
    click.echo(f"config file  {found.file}{'' if found.is_there else '  (not there)'}")
    rows = [(one.key, printable(_shown(one.value)), one.source) for one in found.settings]
    widths = [min(max(len(row[column]) for row in rows), 60) for column in (0, 1)]
    for key, value, source in rows:
        click.echo(f"  {key:<{widths[0]}}  {value:<{widths[1]}}  {source}")


def _shown(value: Any) -> str:
    """As in a file, but for quotation marks around a single text."""
    if value is None:
        return "-"
    return value if isinstance(value, str) else json.dumps(value)
