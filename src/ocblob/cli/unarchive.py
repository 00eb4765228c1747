"""`ocblob unarchive`."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from ocblob import config
from ocblob.cli import returned
from ocblob.cli.main import EXIT_DONE, EXIT_INCOMPLETE
from ocblob.cli.options import print_json, print_problems, print_table
from ocblob.cli.retention_options import day, shortened
from ocblob.errors import UsageError
from ocblob.sessions.sources import Header
from ocblob.sessions.unarchive_plan import chosen
from ocblob.unarchiving import UnarchivePass, found_in, unarchive_pass
from ocblob.units import format_size

_LISTED = ("session", "title", "created", "last used", "rows", "size", "parent")
_NUMBERS = {"rows", "size"}


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--list", "listed", is_flag=True, help="Show the sessions of the archive; no database is needed.")
@click.option(
    "--salvage",
    is_flag=True,
    help="Of a damaged archive the sessions that are whole; a copy of them takes room beside it.",
)
@returned.coming_options(
    replace="Sessions that are there and differ give way to the archived ones.",
    force="Also cells of 100 MB and more while another process has the database open.",
)
@click.pass_context
def command(ctx: click.Context, *, file: Path, listed: bool, salvage: bool, coming: returned.Coming) -> None:
    """Put sessions of an archive back into the database, byte for byte.

    With --session only this one, and those of its children that the archive holds. What is there and equal stays;
    a session that is there and differs is left as it is, unless --replace. The archive stays as it is.
    """
    if listed:
        if coming.replace or coming.force or coming.dry_run:
            raise UsageError("--list only shows what is in the archive; --replace, --force and --dry-run are of no use")
        with found_in(file, salvaging=salvage) as found:
            wanted = set(chosen(found.headers, coming.sessions))
            _list([header for header in found.headers if header[0].id in wanted], as_json=coming.as_json)
        print_problems(found.salvaged.problems, found.salvaged.lost, verbose=coming.verbose)
        ctx.exit(EXIT_INCOMPLETE if found.salvaged.lost else EXIT_DONE)
    place = coming.place
    with coming.bar("unarchive") as progress:
        done = unarchive_pass(
            place,
            coming.store_place,
            file,
            sessions=coming.sessions,
            replace=coming.replace,
            force=coming.force,
            salvaging=salvage,
            dry_run=coming.dry_run,
            say=coming.say,
            progress=progress,
        )
    if coming.as_json:
        print_json(_told(done), dry_run=coming.dry_run)
    elif not coming.quiet:
        _print(place, done, dry_run=coming.dry_run)
    if not done.complete:
        print_problems(done.salvaged.problems, done.salvaged.lost, verbose=coming.verbose)
        coming.print_problems(done.report, done.blobs)
    returned.end(ctx, done.plans, done.report, complete=done.complete, dry_run=coming.dry_run)


def _list(headers: list[Header], *, as_json: bool) -> None:
    if as_json:
        print_json({"sessions": [asdict(session) | asdict(totals) for session, totals in headers]})
        return
    rows = (
        (
            session.id,
            shortened(session.title),
            day(session.created_ms),
            day(session.used_ms),
            f"{totals.rows:,}",
            format_size(totals.size),
            session.parent,
        )
        for session, totals in headers
    )
    print_table(_LISTED, rows, numbers=_NUMBERS)


def _print(place: config.Place, done: UnarchivePass, *, dry_run: bool) -> None:
    report = done.report
    click.echo(f"{'would unarchive' if dry_run else 'unarchive'}  {done.archive} -> {place.shown}")
    if dry_run:
        returned.print_planned(done.plans)
    returned.print_fates(report)
    if done.salvaged.lost:
        click.echo(f"  {'damaged':<13} {done.salvaged.lost:,} piece{'s' * (done.salvaged.lost != 1)} of the archive")
    click.echo(f"  {'rows':<13} {report.rows:,}, {format_size(report.size)}")
    if done.blobs.put:
        click.echo(
            f"  {'blobs':<13} {done.blobs.put:,} for refs, {done.blobs.new:,} of them new in the store,"
            f" {format_size(done.blobs.size)}"
        )
    returned.print_unresolved(done.blobs)
    if not dry_run:
        returned.print_effort(report, noun="archive")


def _told(done: UnarchivePass) -> dict[str, Any]:
    """What --json prints."""
    return returned.told(done.plans, done.report, done.blobs) | {
        "archive": done.archive,
        "store": done.store,
        "store_created": done.store_created,
        "damaged": done.salvaged.lost,
        "problems": [*done.report.problems, *done.salvaged.problems],
        "complete": done.complete,
    }
