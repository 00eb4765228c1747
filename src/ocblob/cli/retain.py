"""`ocblob retain`."""

import click

from ocblob import config
from ocblob.cli.main import EXIT_INCOMPLETE, EXIT_LOCKED, complain
from ocblob.cli.options import (
    byte_bar,
    dry_run_option,
    print_json,
    print_problems,
    print_table,
    print_warnings,
    sayer,
    standard_options,
)
from ocblob.cli.retention_options import (
    Retention,
    day,
    eviction_words,
    limits_words,
    missed_words,
    protected_words,
    retention_options,
    shortened,
)
from ocblob.retention import RetainPass, retain_pass
from ocblob.sessions.plan import RetainPlan, Totals
from ocblob.units import format_size

_HEAD = ("session", "title", "created", "last used", "sessions", "rows", "frees", "because of")
_NUMBERS = frozenset({"sessions", "rows", "frees"})


@click.command()
@retention_options
@dry_run_option
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    retention: Retention,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Drop the oldest sessions while a limit is exceeded, into an archive or a mirror that is verified first.

    A session goes with all its children, and never while it is shared, kept, or active. Limits that are not given come
    from the configuration. `ocblob unarchive` and `ocblob pull` put sessions back, byte for byte.
    """
    place = config.database_place(db)
    done = retain_pass(
        place,
        store_place,
        retention.settings,
        keep=retention.keep,
        allow_unresolved=retention.allow_unresolved,
        vacuum=retention.vacuum_when,
        dry_run=dry_run,
        hear=lambda tree, where: click.echo(eviction_words(tree, where), err=True),
        say=sayer(quiet=quiet),
        bar=lambda size: byte_bar("archive", size, quiet=quiet or as_json),
    )
    if as_json:
        print_json(done)
    elif not quiet:
        _print(place, retention, done)
    print_warnings(done.warnings)
    for words in missed_words(done.plan):
        click.echo(f"warning: {words}", err=True)
    report = done.report
    if report is not None:
        print_problems(report.problems, len(report.problems), verbose=verbose)
    if done.vacuum_skipped:
        click.echo(f"  not vacuumed: {done.vacuum_skipped}", err=True)
    if report is not None and report.locked:
        complain(
            report.locked, "run it again; what went is gone, and is where it was to be" if report.evicted.trees else ""
        )
        ctx.exit(EXIT_LOCKED)
    if not done.complete:
        ctx.exit(EXIT_INCOMPLETE)


def _print(place: config.Place, retention: Retention, done: RetainPass) -> None:
    plan, report = done.plan, done.report
    click.echo(f"{'retain' if report is not None else 'would retain'}  {place.shown}")
    click.echo(f"  limits    {limits_words(retention.settings)}")
    if report is None:
        _print_evictions(plan)
        click.echo(f"  would go  {_totals(plan.leaving)}")
        click.echo(f"  remains   {_totals(plan.after)}")
    else:
        click.echo(f"  evicted   {_totals(report.evicted)}")
        if report.archive:
            click.echo(
                f"  archive   {report.archive}, {format_size(report.archive_size)}: {report.archived:,} sessions"
            )
            if not report.evicted.trees:
                click.echo("            nothing of it went, and it stays")
        if report.mirror:
            click.echo(f"  mirror    {report.mirror}: holds {report.mirrored:,} of what was to go")
        click.echo(f"  remains   {_totals(report.remains)}")
    if protected := protected_words(plan):
        click.echo(f"  protected {protected}")
    if report is None:
        return
    vacuumed = done.vacuum is not None and not done.vacuum.put_off
    space = f" (vacuumed, {done.vacuum.method})" if done.vacuum is not None and vacuumed else ""
    if not vacuumed and done.after.free:
        space = f" ({format_size(done.after.free)} free inside; `ocblob vacuum` gives it back)"
    click.echo(f"  database  {format_size(done.before.total)} -> {format_size(done.after.total)}{space}")
    longest = report.longest_transaction_s * 1000
    click.echo(f"  time      {report.elapsed_s:.2f} s, longest write transaction {longest:.0f} ms")


def _print_evictions(plan: RetainPlan) -> None:
    rows = (
        (
            each.tree.root,
            shortened(each.tree.title),
            day(each.tree.created_ms),
            day(each.tree.used_ms),
            f"{len(each.tree.sessions):,}",
            f"{each.tree.rows:,}",
            format_size(each.tree.size),
            f"--{each.limit}",
        )
        for each in plan.evictions
    )
    if plan.evictions:
        print_table(_HEAD, rows, numbers=_NUMBERS)


def _totals(totals: Totals) -> str:
    trees = f"{totals.trees:,} session{'s' * (totals.trees != 1)}"
    children = totals.sessions - totals.trees
    below = f" with {children:,} child{'ren' * (children != 1)}" if children else ""
    return f"{trees}{below}, {totals.rows:,} rows, {format_size(totals.size)}"
