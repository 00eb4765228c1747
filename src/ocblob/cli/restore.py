"""`ocblob restore`."""

from collections import Counter

import click

from ocblob import config
from ocblob.cli.main import EXIT_INCOMPLETE
from ocblob.cli.options import (
    dry_run_option,
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
)
from ocblob.passes import RestorePass, restore_pass
from ocblob.units import format_size


@click.command()
@session_option
@table_option
@shard_option
@click.option(
    "--force", is_flag=True, help="Also cells of 100 MB and more while another process has the database open."
)
@prompts_option
@dry_run_option
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    sessions: tuple[str, ...],
    tables: tuple[str, ...],
    shard: tuple[int, int] | None,
    force: bool,
    prompts: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Put payloads back into their rows, byte for byte.

    A ref whose blob cannot be had stays as it is, and the exit code is 3.
    """
    place = config.database_place(db)
    with progress_bar("restore", quiet=quiet or as_json) as progress:
        done = restore_pass(
            place,
            store_place,
            tables=tables,
            scope=scope_of(sessions, shard=shard),
            dry_run=dry_run,
            force=force,
            prompts=prompts,
            progress=progress,
            say=sayer(quiet=quiet),
        )
    report, prompts_report = done.report, done.prompts
    if as_json:
        print_json(
            report,
            prompts=prompts_report,
            complete=done.complete,
            warnings=done.warnings,
            too_large=done.too_large,
        )
    elif not quiet:
        click.echo(f"{'would restore' if dry_run else 'restore'}  {place.shown}")
        click.echo(
            f"  put back  {report.refs_restored:,} attachments into {report.cells_restored:,} cells,"
            f" {format_size(report.size)}"
        )
        if prompts_report is not None:
            click.echo(
                f"  prompts   {prompts_report.refs_restored:,} attachments into {prompts_report.lines:,} lines,"
                f" {format_size(prompts_report.size)}"
            )
        for reason, count in sorted((Counter(report.unresolved) + Counter(_unresolved(done))).items()):
            click.echo(f"  {reason:<9} {count:,} refs stay as they are")
        click.echo(f"  time      {report.elapsed_s:.2f} s")
    print_warnings(done.warnings)
    if not done.complete:
        print_problems(report.problems, max(len(report.problems), report.failed), verbose=verbose)
        if prompts_report is not None:
            print_problems(prompts_report.problems, len(prompts_report.problems), verbose=verbose)
        ctx.exit(EXIT_INCOMPLETE)


def _unresolved(done: RestorePass) -> dict[str, int]:
    return {} if done.prompts is None else done.prompts.unresolved
