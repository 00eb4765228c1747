"""`ocblob vacuum`."""

import click

from ocblob import config
from ocblob.cli.main import EXIT_INCOMPLETE
from ocblob.cli.options import dry_run_option, print_json, sayer, standard_options
from ocblob.databases.sqlite.vacuum import Method
from ocblob.errors import UsageError
from ocblob.space import vacuum_pass
from ocblob.units import format_size


@click.command()
@click.option("--in-place", is_flag=True, help="Beside other processes, ten times slower.")
@click.option(
    "--swap",
    is_flag=True,
    help="Only by a new file in the old one's place; nobody may have it open.",
)
@click.option("--force", is_flag=True, help="Although a live host would wait for long.")
@dry_run_option
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    in_place: bool,
    swap: bool,
    force: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Give free pages back to the disk, and say honestly how much came back."""
    del verbose, store_place
    if in_place and swap:
        raise UsageError("--in-place and --swap exclude each other")
    method: Method = "in-place" if in_place else "swap" if swap else "auto"
    place = config.database_place(db)
    report = vacuum_pass(
        config.database_path(place),
        method=method,
        force=force,
        dry_run=dry_run,
        say=sayer(quiet=quiet),
    )
    if as_json:
        print_json(report)
    elif not quiet:
        before, after = report.before, report.after
        click.echo(f"{'would vacuum' if dry_run else 'vacuum'}  {place.url} ({report.method})")
        click.echo(
            f"  before  file {format_size(before.file)}, WAL {format_size(before.wal)},"
            f" free inside {format_size(before.free)}"
        )
        if not dry_run:
            click.echo(f"  after   file {format_size(after.file)}, WAL {format_size(after.wal)}")
            click.echo(f"  freed   {format_size(report.freed)} in {report.elapsed_s:.2f} s")
    if not report.complete:
        click.echo(f"  {report.note}", err=True)
        ctx.exit(EXIT_INCOMPLETE)
