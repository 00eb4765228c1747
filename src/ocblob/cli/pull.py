"""`ocblob pull`."""

import click

from ocblob import config
from ocblob.cli import returned
from ocblob.cli.main import EXIT_USAGE, complain
from ocblob.cli.options import mirror_place, print_json, print_table
from ocblob.cli.retention_options import day, shortened
from ocblob.errors import UsageError
from ocblob.pulling import PullPass, pull_pass
from ocblob.units import format_size

_FOUND = ("session", "title", "created", "last used", "size")


@click.command()
@click.option("--query", metavar="TEXT", help="The session with this in its title or in the text of its messages.")
@click.option(
    "--from",
    "mirror",
    metavar="PATH_OR_URL",
    help="The mirror (env OCBLOB_MIRROR; default: `mirror` of the configuration).",
)
@returned.coming_options(
    replace="Sessions that are there and differ give way to those of the mirror.",
    force="Also rows that were changed in the mirror, and cells of 100 MB and more while another process has the"
    " database open.",
)
@click.pass_context
def command(ctx: click.Context, *, query: str | None, mirror: str | None, coming: returned.Coming) -> None:
    """Bring sessions back from the mirror, with their children, byte for byte.

    Of --query the one session that it finds; if there are several, they are listed (exit 2). What is there and equal
    stays; a session that is there and differs is left as it is, unless --replace. The mirror stays as it is.
    """
    if bool(coming.sessions) == bool(query):
        raise UsageError("say which session, by --session ID or by --query TEXT")
    place = coming.place
    with coming.bar("pull") as progress:
        done = pull_pass(
            place,
            coming.store_place,
            mirror_place("--from", mirror),
            sessions=coming.sessions,
            query=query or "",
            replace=coming.replace,
            force=coming.force,
            dry_run=coming.dry_run,
            say=coming.say,
            progress=progress,
        )
    if coming.as_json:
        more = {"mirror": done.mirror, "matches": done.matches, "complete": done.complete and not done.several}
        print_json(returned.told(done.plans, done.report, done.blobs), **more, dry_run=coming.dry_run)
    elif done.several:
        _list(done)
    elif not coming.quiet:
        _print(place, done, dry_run=coming.dry_run)
    if done.several:
        complain(
            f"{len(done.matches):,} sessions have {query!r} in them, and nothing was pulled",
            f"`ocblob pull --session {done.matches[0].id}` brings one of them back",
        )
        ctx.exit(EXIT_USAGE)
    if not done.complete:
        coming.print_problems(done.report, done.blobs)
    returned.end(ctx, done.plans, done.report, complete=done.complete, dry_run=coming.dry_run)


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
