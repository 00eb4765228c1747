"""`ocblob archive`."""

from functools import partial
from pathlib import Path

import click

from ocblob import config
from ocblob.archiving import ArchivePass, archive_pass
from ocblob.cli.main import EXIT_INCOMPLETE
from ocblob.cli.options import (
    AgeType,
    byte_bar,
    dry_run_option,
    print_json,
    print_problems,
    printable,
    sayer,
    standard_options,
)
from ocblob.units import format_size


@click.command()
@click.argument("path", type=click.Path(path_type=Path), required=False)
@click.option(
    "--session", "sessions", multiple=True, metavar="ID",
    help="Only this session and its descendants; may be repeated.",
)  # fmt: skip
@click.option("--min-age", "min_age_s", type=AgeType(), metavar="AGE", help="Only trees that were last used before.")
@click.option("--refs", is_flag=True, help="Leave attachments that the store holds out, and pin them there.")
@dry_run_option
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    path: Path | None,
    store_place: config.StorePlace,
    *,
    db: str | None,
    sessions: tuple[str, ...],
    min_age_s: float | None,
    refs: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Seal sessions in a new file, with every row and every attachment; the database is only read.

    PATH ends in .json or .json.zst, or is a directory; without it the file goes into the directory of archives. A file
    that is there is never written over. `ocblob unarchive` puts the sessions back byte for byte.
    """
    done = archive_pass(
        config.database_place(db),
        store_place,
        path,
        sessions=sessions,
        min_age_s=min_age_s,
        refs=refs,
        dry_run=dry_run,
        say=sayer(quiet=quiet),
        bar=partial(byte_bar, "archive", quiet=quiet),
    )
    if as_json:
        print_json(_told(done))
    elif not quiet:
        _print(done)
    if not done.complete:
        if done.report is not None:
            total = sum(done.report.unresolved.values())
            print_problems(list(map(printable, done.report.problems)), total, verbose=verbose)
        ctx.exit(EXIT_INCOMPLETE)


def _told(done: ArchivePass) -> dict[str, object]:
    """One object, the same keys for a dry run as far as they are known."""
    plan, report = done.plan, done.report
    told: dict[str, object] = {
        "archive": report.path or None if report else None,
        "place": done.place,
        "dry_run": report is None,
        "sessions": [facts.id for facts in plan.sessions],
        "rows": plan.rows,
        "content_size": plan.size,
    }
    if report is None:
        return told
    return told | {
        "sessions": [session.id for session in report.sessions],
        "digests": report.digests,
        "gone": report.gone,
        "rows": report.rows,
        "size": report.size,
        "blobs": report.blobs,
        "blobs_size": report.blobs_size,
        "unresolved": report.unresolved,
        "problems": report.problems,
        "complete": report.complete,
        "elapsed_s": report.elapsed_s,
    }


def _print(done: ArchivePass) -> None:
    plan, report = done.plan, done.report
    if report is None:
        click.echo(f"would archive  {printable(done.place)}")
        click.echo(f"  sessions  {len(plan.sessions):,}, {plan.rows:,} rows, {format_size(plan.size)}")
        return
    if not report.path:
        click.echo("no sessions to archive; nothing was written")
        return
    click.echo(f"archive  {printable(report.path)}")
    click.echo(f"  sessions  {len(report.sessions):,}, {report.rows:,} rows, {format_size(plan.size)}")
    click.echo(f"  blobs     {report.blobs:,}, {format_size(report.blobs_size)}")
    click.echo(f"  file      {format_size(report.size)}, read back and verified")
    if report.gone:
        click.echo(f"  gone      {len(report.gone):,} sessions that were deleted meanwhile")
    for reason, count in report.unresolved.items():
        click.echo(f"  {reason:<9} {count:,} refs without their attachments")
    click.echo(f"  time      {report.elapsed_s:.2f} s")
