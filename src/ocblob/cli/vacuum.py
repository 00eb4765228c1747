"""`ocblob vacuum`."""

import click

from ocblob import config
from ocblob.cli.main import EXIT_INCOMPLETE
from ocblob.cli.options import dry_run_option, print_json, print_warnings, sayer, standard_options
from ocblob.databases.addresses import Address
from ocblob.databases.vacuum import FileSizes, Method, VacuumReport
from ocblob.errors import UsageError
from ocblob.size_warnings import look, told
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
    """Give free space back to the disk, and say honestly how much came back.

    On a server: PostgreSQL's VACUUM FULL, for which everybody else waits a table at a time; OPTIMIZE TABLE of MySQL and
    MariaDB, which lets them work; of every table in which anything is free, with --in-place of every one.
    """
    del verbose, store_place
    if in_place and swap:
        raise UsageError("--in-place and --swap exclude each other")
    method: Method = "in-place" if in_place else "swap" if swap else "auto"
    place = config.database_place(db)
    address = config.database_address(place)
    report = vacuum_pass(address, method=method, force=force, dry_run=dry_run, say=sayer(quiet=quiet))
    warning = look(address, found=report.after)
    if as_json:
        print_json(report, warnings=told(warning), too_large=warning is not None)
    elif not quiet:
        click.echo(f"{'would vacuum' if dry_run else 'vacuum'}  {place.shown} ({report.method})")
        click.echo(f"  before  {_sizes(report.before, address)}")
        if dry_run:
            click.echo(f"  needs   {format_size(report.room_needed)} of room for a while")
        else:
            click.echo(f"  after   {_sizes(report.after, address)}")
            click.echo(f"  {_came_back(report)} in {report.elapsed_s:.2f} s")
    print_warnings(told(warning))
    if not report.complete:
        click.echo(f"  {report.note}", err=True)
        ctx.exit(EXIT_INCOMPLETE)


def _sizes(found: FileSizes, address: Address) -> str:
    if address.path is None:
        return f"tables {format_size(found.file)}, free inside about {format_size(found.free)}"
    return (
        f"file {format_size(found.file)}, WAL {format_size(found.wal)},"
        f" live {format_size(found.live)}, free inside {format_size(found.free)}"
    )


def _came_back(report: VacuumReport) -> str:
    if report.freed < 0:
        return f"took    {format_size(-report.freed)} more than before, gave nothing back"
    return f"freed   {format_size(report.freed)}"
