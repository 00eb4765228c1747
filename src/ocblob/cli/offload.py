"""`ocblob offload`."""

import click

from ocblob import config
from ocblob.cli.main import EXIT_INCOMPLETE
from ocblob.cli.options import (
    AgeType,
    SizeType,
    asker,
    create_option,
    dry_run_option,
    previews_option,
    print_json,
    print_problems,
    print_warnings,
    progress_bar,
    prompts_option,
    sayer,
    scope_of,
    session_option,
    shard_option,
    standard_options,
    table_option,
    vacuum_option,
)
from ocblob.errors import UsageError
from ocblob.fleet import Fleet, FleetReport
from ocblob.offload import MIN_CHARS, Offload, offload
from ocblob.passes import OffloadPass, offload_pass
from ocblob.plugins.options import check_same_store
from ocblob.space import VacuumWhen
from ocblob.units import format_size


@click.command()
@click.option(
    "--min-size", "min_chars", type=SizeType(), default=MIN_CHARS, metavar="SIZE",
    help="Leave payloads below this many characters of base64.  [default: 8KiB]",
)  # fmt: skip
@click.option("--min-age", type=AgeType(), metavar="AGE", help="Leave rows that changed more recently.")
@click.option(
    "--keep-newest",
    type=click.IntRange(min=0, max=10**9),
    default=0,
    metavar="N",
    help="Leave the N sessions that were active last.",
)
@session_option
@table_option
@shard_option
@click.option(
    "--dask",
    "scheduler",
    metavar="ADDRESS",
    help="Let the workers of a Dask cluster do it: tcp://host:port, or a scheduler file. Servers' databases only.",
)
@click.option(
    "--part-size",
    "part_bytes",
    type=SizeType(),
    metavar="SIZE",
    help="With --dask: cells of one task.  [default: 64MB, growing to 1GB]",
)
@click.option("--send-password", is_flag=True, help="With --dask: give the database's password to the workers too.")
@click.option("--include-v2", is_flag=True, help="Also cells of V2 sessions, where OpenCode cannot resolve refs yet.")
@prompts_option
@previews_option
@create_option
@vacuum_option
@click.option("--no-plugin", is_flag=True, help="Go on although OpenCode has no plugin to resolve refs.")
@click.option("--yes", is_flag=True, help="Do not ask, whoever owns the database.")
@dry_run_option
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    min_chars: int,
    min_age: float | None,
    keep_newest: int,
    sessions: tuple[str, ...],
    tables: tuple[str, ...],
    shard: tuple[int, int] | None,
    scheduler: str | None,
    part_bytes: int | None,
    send_password: bool,
    include_v2: bool,
    prompts: bool,
    previews: bool | None,
    create: bool,
    vacuum: VacuumWhen | None,
    no_plugin: bool,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Move base64 payloads out of rows into the blob store.

    Every blob is durable in the store before the row that held it changes. May be interrupted at any moment and
    run again; `ocblob restore` puts everything back, byte for byte.
    """
    place = config.database_place(db)
    offload_by = _fleet(scheduler, place, store_place, part_bytes, shard, send_password=send_password, dry_run=dry_run)
    if not (no_plugin or dry_run):
        _offer_plugin(place, store_place, quiet=quiet)
    with progress_bar("offload", quiet=quiet or as_json) as progress:
        done = offload_pass(
            place,
            store_place,
            tables=tables,
            scope=scope_of(sessions, min_age_s=min_age, keep_newest=keep_newest, shard=shard),
            min_chars=min_chars,
            include_v2=include_v2,
            prompts=prompts,
            previews=previews,
            create=create,
            need_plugin=not no_plugin,
            dry_run=dry_run,
            vacuum=vacuum or "never",
            progress=progress,
            say=sayer(quiet=quiet),
            ask=asker(yes=yes),
            offload_by=offload_by,
        )
    if as_json:
        print_json(done)
    elif not quiet:
        _print(place, done, dry_run=dry_run)
    print_warnings(done.warnings)
    if not done.complete:
        print_problems(done.report.problems, done.report.troubles(), verbose=verbose)
        if done.report.changed:
            click.echo(
                f"  {done.report.changed} cells changed while they were read; the next pass takes them",
                err=True,
            )
        if done.prompts is not None:
            print_problems(done.prompts.problems, len(done.prompts.problems), verbose=verbose)
        if done.vacuum_skipped:
            click.echo(f"  not vacuumed: {done.vacuum_skipped}", err=True)
        ctx.exit(EXIT_INCOMPLETE)


def _fleet(
    scheduler: str | None,
    place: config.Place,
    store_place: config.StorePlace,
    part_bytes: int | None,
    shard: tuple[int, int] | None,
    *,
    send_password: bool,
    dry_run: bool,
) -> Offload:
    """The workers of a cluster, or this process where there is none."""
    if scheduler is None:
        if part_bytes is not None or send_password:
            raise UsageError(f"{'--send-password' if send_password else '--part-size'} needs --dask")
        return offload
    if dry_run or shard:
        raise UsageError(f"--dask and {'--dry-run' if dry_run else '--shard'} exclude each other")
    if part_bytes == 0:
        raise UsageError("--part-size is 0")
    address = config.database_address(place)
    return Fleet(scheduler, address, store_place, part_bytes, send_password=send_password)


def _offer_plugin(place: config.Place, store_place: config.StorePlace, *, quiet: bool) -> None:
    """Install the plugin where it is missing, if a terminal says yes; who is not asked is stopped by the pass.

    Raises `UsageError` if a running OpenCode does not have it yet, or looks into another store: it would show
    placeholders.
    """
    if config.plugin_installed():
        check_same_store(place, store_place)
        return
    if not config.is_hosts_own(config.database_address(place)):
        return
    if not asker(yes=False)("OpenCode needs a plugin to give the model what moves out; install it?"):
        return
    from ocblob.cli.plugin import install_for_offload  # noqa: PLC0415 - only who has no plugin needs it

    install_for_offload(place, store_place, say=sayer(quiet=quiet))


def _print(place: config.Place, done: OffloadPass, *, dry_run: bool) -> None:
    report = done.report
    click.echo(f"{'would offload' if dry_run else 'offload'}  {place.shown}")
    click.echo(
        f"  moved     {report.payloads:,} payloads out of {report.cells_swapped:,} cells:"
        f" {format_size(report.payload_chars)} of base64"
    )
    if not dry_run:
        click.echo(
            f"  stored    {report.blobs_new:,} new blobs, {format_size(report.stored_size_new)} at rest in {done.store}"
        )
    if report.refs:
        click.echo(f"  before    {report.refs:,} refs were there already")
    stays = {reason: count for reason, count in report.inline.items() if reason != "small"}
    if stays:
        click.echo("  inline    " + ", ".join(f"{count:,} {reason}" for reason, count in sorted(stays.items())))
    if (prompts := done.prompts) is not None:
        click.echo(
            f"  prompts   {prompts.payloads:,} payloads out of {prompts.lines:,} lines:"
            f" {format_size(prompts.payload_chars)} of base64"
        )
    click.echo(f"  database  {format_size(done.before.total)} -> {format_size(done.after.total)}" + _space(done))
    if isinstance(report, FleetReport):
        failed = f", {report.parts_failed:,} failed" if report.parts_failed else ""
        click.echo(f"  fleet     {report.parts:,} parts by {report.workers:,} workers{failed}")
    click.echo(
        f"  time      {report.elapsed_s:.2f} s, longest write transaction {report.longest_transaction_s * 1000:.0f} ms"
    )


def _space(done: OffloadPass) -> str:
    if done.vacuum is not None:
        return f" (vacuumed, {done.vacuum.method})"
    return f" ({format_size(done.after.free)} free inside; `ocblob vacuum` gives it back)" if done.after.free else ""
