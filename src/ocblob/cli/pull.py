"""`ocblob pull`."""

from contextlib import ExitStack

import click

from ocblob import config
from ocblob.cli import returned
from ocblob.cli.main import EXIT_USAGE, complain
from ocblob.cli.options import (
    byte_bar,
    dry_run_option,
    print_json,
    print_problems,
    print_table,
    sayer,
    standard_options,
)
from ocblob.cli.retention_options import day, shortened
from ocblob.errors import UsageError
from ocblob.pulling import PullPass, pull_pass
from ocblob.units import format_size

_FOUND = ("session", "title", "created", "last used", "size")


@click.command()
@click.option("--session", "sessions", multiple=True, metavar="ID", help="This session; may be repeated.")
@click.option("--query", metavar="TEXT", help="The session with this in its title or in the text of its messages.")
@click.option(
    "--from",
    "mirror",
    metavar="PATH_OR_URL",
    help="The mirror (env OCBLOB_MIRROR; default: `mirror` of the configuration).",
)
@click.option("--replace", is_flag=True, help="Sessions that are there and differ give way to those of the mirror.")
@click.option(
    "--force",
    is_flag=True,
    help="Also rows that were changed in the mirror, and cells of 100 MB and more while another process has the"
    " database open.",
)
@dry_run_option
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    sessions: tuple[str, ...],
    query: str | None,
    mirror: str | None,
    replace: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Bring sessions back from the mirror, with their children, byte for byte.

    Of --query the one session that it finds; if there are several, they are listed (exit 2). What is there and equal
    stays; a session that is there and differs is left as it is, unless --replace. The mirror stays as it is.
    """
    if bool(sessions) == bool(query):
        raise UsageError("say which session, by --session ID or by --query TEXT")
    place = config.database_place(db)
    with ExitStack() as bars:
        done = pull_pass(
            place,
            store_place,
            _mirror(mirror),
            sessions=sessions,
            query=query or "",
            replace=replace,
            force=force,
            dry_run=dry_run,
            say=sayer(quiet=quiet),
            progress=lambda total: bars.enter_context(byte_bar("pull", total, quiet=quiet or as_json)),
        )
    report = done.report
    if as_json:
        more = {"mirror": done.mirror, "matches": done.matches, "complete": done.complete and not done.several}
        print_json(returned.told(done.plans, report, done.blobs), **more, dry_run=dry_run)
    elif done.several:
        _list(done)
    elif not quiet:
        _print(place, done, dry_run=dry_run)
    if done.several:
        complain(
            f"{len(done.matches):,} sessions have {query!r} in them, and nothing was pulled",
            f"`ocblob pull --session {done.matches[0].id}` brings one of them back",
        )
        ctx.exit(EXIT_USAGE)
    if not done.complete:
        print_problems(report.problems, max(len(report.problems), report.failed), verbose=verbose)
        print_problems(done.blobs.problems, sum(done.blobs.unresolved.values()), verbose=verbose)
    returned.end(ctx, done.plans, report, complete=done.complete, dry_run=dry_run)


def _mirror(option: str | None) -> config.Place:
    """Where to pull from. Raises `UsageError` if nobody says so."""
    if option is not None:
        if not option.strip():
            raise UsageError("--from is empty")
        return config.Place(option, "--from")
    settings = config.settings(strict=False)
    if settings.mirror_place is None:
        raise next(
            iter(settings.problems),
            UsageError("no mirror is known", hint="--from URL names one, or `mirror` in the configuration"),
        )
    return settings.mirror_place


def _list(done: PullPass) -> None:
    rows = (
        (each.id, shortened(each.title), day(each.created_ms), day(each.used_ms), format_size(each.size))
        for each in done.matches
    )
    print_table(_FOUND, rows, numbers={"size"})


def _print(place: config.Place, done: PullPass, *, dry_run: bool) -> None:
    report = done.report
    click.echo(f"{'would pull' if dry_run else 'pull'}  {done.mirror} -> {place.shown}")
    if dry_run:
        returned.print_planned(done.plans)
    returned.print_fates(report)
    click.echo(f"  {'rows':<13} {report.rows:,}, {format_size(report.size)}")
    returned.print_unresolved(done.blobs)
    if not dry_run:
        returned.print_effort(report, noun="mirror")
