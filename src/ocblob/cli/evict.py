"""`ocblob evict`."""

import click

from ocblob import config
from ocblob.cli.main import EXIT_INCOMPLETE
from ocblob.cli.options import AgeType, SizeType, asker, dry_run_option, print_json, sayer, standard_options
from ocblob.deletions import EvictPass, evict_pass
from ocblob.errors import UsageError
from ocblob.evict import Limits
from ocblob.prune import GRACE_S
from ocblob.units import format_size


@click.command()
@click.option("--max-size", type=SizeType(), metavar="SIZE", help="What the local tier may hold, at rest.")
@click.option("--max-age", "max_age_s", type=AgeType(), metavar="AGE", help="How long ago a blob may have been used.")
@click.option(
    "--expire",
    is_flag=True,
    help="Also last copies of blobs that rows name: their refs then say that they expired, for ever.",
)
@click.option(
    "--grace", "grace_s", type=AgeType(), default=float(GRACE_S), metavar="AGE",
    help="As in `ocblob prune`: how long an unreferenced blob has lain in the trash at least; 14d by default.",
)  # fmt: skip
@click.option("--yes", is_flag=True, help="Expire without a question.")
@dry_run_option
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    store_place: config.StorePlace,
    *,
    db: str | None,
    max_size: int | None,
    max_age_s: float | None,
    expire: bool,
    grace_s: float,
    yes: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Bring the local tier below its limits, least recently used first, down to 90 %.

    What goes is unreferenced, or proven to be held by the remote store or a copy. Last copies stay, and the exit
    code is 3, unless --expire drops those too.
    """
    del verbose
    question = "--expire drops the last copies of files that sessions name: go on?"
    if expire and not dry_run and not asker(yes=yes)(question):
        raise UsageError("--expire loses files for good", hint="say --yes")
    done = evict_pass(
        store_place,
        Limits(max_size, max_age_s),
        grace_s=grace_s,
        expire=expire,
        named=config.named_servers(db),
        dry_run=dry_run,
        say=sayer(quiet=quiet),
    )
    if as_json:
        print_json(done)
    elif not quiet:
        _print(store_place, done, dry_run=dry_run)
    if done.prune_skipped:
        click.echo(f"warning: {done.prune_skipped}", err=True)
    if not done.report.complete:
        click.echo(
            f"{format_size(done.report.last_copies_size)} in {done.report.last_copies:,} blobs are last copies: no"
            " other place is proven to hold them, so they stay",
            err=True,
        )
        click.echo("hint: ocblob store add-copy URL, then ocblob store sync; or --expire", err=True)
        ctx.exit(EXIT_INCOMPLETE)


def _print(store_place: config.StorePlace, done: EvictPass, *, dry_run: bool) -> None:
    report, plan = done.report, done.report.plan
    click.echo(f"{'would evict' if dry_run else 'evict'}  {store_place.url}")
    if plan is not None:
        click.echo(f"  holds     {format_size(plan.held)}; {format_size(plan.over)} over, {plan.old:,} blobs too old")
    click.echo(f"  pruned    {format_size(report.pruned_size)} that nothing names")
    would = "would go: " if dry_run else ""
    click.echo(f"  evicted   {would}{report.evicted:,} local copies, {format_size(report.evicted_size)}")
    click.echo(f"  expired   {would}{report.expired:,} blobs, {format_size(report.expired_size)}")
