"""`ocblob mirror`."""

import click

from ocblob import config
from ocblob.cli.main import EXIT_INCOMPLETE, EXIT_LOCKED, complain
from ocblob.cli.options import (
    byte_bar,
    dry_run_option,
    mirror_place,
    print_json,
    print_problems,
    sayer,
    session_option,
    standard_options,
)
from ocblob.errors import UsageError
from ocblob.mirroring import MirrorPass, mirror_pass
from ocblob.sessions.mirroring import MirrorFate
from ocblob.units import format_size


@click.command()
@click.option(
    "--to", metavar="URL_OR_PATH", help="The mirror (env OCBLOB_MIRROR; default: the key mirror of the configuration)."
)
@click.option("--from", "source", metavar="PATH_OR_URL", help="What is mirrored, in place of --db.")
@session_option
@click.option("--verify", is_flag=True, help="Look at sessions that are as they were too, and read every row there.")
@click.option("--offload/--no-offload", default=True, help="Whether payloads go into the store.  [default: they do]")
@click.option("--force", is_flag=True, help="What the source has takes the place of whatever is there.")
@dry_run_option
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    to: str | None,
    source: str | None,
    sessions: tuple[str, ...],
    verify: bool,
    offload: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Keep sessions in another database, on a server or in a file, up to date and byte for byte.

    Payloads go into the blob store on the way to a server, and come back from it on the way to a file. Sessions that
    are gone here stay there. A session that somebody went on with there is left, and the exit code is 3.
    """
    if source is not None and db is not None:
        raise UsageError("--from and --db both name the source")
    place = config.database_place(source if source is not None else db)
    target = mirror_place("--to", to)
    done = mirror_pass(
        place,
        target,
        store_place,
        sessions=sessions,
        offload=offload,
        verify=verify,
        force=force,
        dry_run=dry_run,
        say=sayer(quiet=quiet),
        bar=lambda size: byte_bar("mirror", size, quiet=quiet or as_json),
    )
    if as_json:
        print_json(done)
    elif not quiet:
        _print(done)
    report = done.report
    if report is None:
        return
    print_problems(report.problems, len(report.problems), verbose=verbose)
    if report.conflicts:
        click.echo("hint: --force puts what is here in the place of what is there", err=True)
    if report.locked:
        complain(report.locked, "run it again; what was mirrored stays")
        ctx.exit(EXIT_LOCKED)
    if not done.complete:
        ctx.exit(EXIT_INCOMPLETE)


def _print(done: MirrorPass) -> None:
    plan, report = done.plan, done.report
    click.echo(f"{'mirror' if report is not None else 'would mirror'}  {done.source} -> {done.target}")
    looked = f"{plan.sessions:,} session{'s' * (plan.sessions != 1)}"
    click.echo(
        f"  to look at {looked}, {plan.rows:,} rows, {format_size(plan.size)}; {plan.skipped:,} are as they were"
    )
    if report is None:
        return
    for made in report.made:
        click.echo(f"  target    {made}")
    click.echo(
        f"  sessions  {report.mirrored:,} mirrored, {report.count(MirrorFate.SAME):,} the same,"
        f" {report.count(MirrorFate.AHEAD):,} newer there, {report.conflicts:,} conflicts, {report.failed:,} failed"
    )
    removed = f", {report.rows_removed:,} removed" if report.rows_removed else ""
    click.echo(
        f"  rows      {report.rows_put:,} put, {format_size(report.size_put)}{removed}; {report.rows_same:,} the same"
    )
    if report.payload_chars:
        click.echo(
            f"  payloads  {format_size(report.payload_chars)} of base64 as refs;"
            f" {report.blobs_new:,} new blobs, {format_size(report.stored_size_new)} in {done.store}"
        )
    click.echo(f"  time      {report.elapsed_s:.2f} s")
