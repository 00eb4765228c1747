"""`ocblob prune`."""

import click

from ocblob import config
from ocblob.cli.options import AgeType, dry_run_option, print_json, sayer, standard_options
from ocblob.deletions import PrunePass, prune_pass
from ocblob.prune import GRACE_S
from ocblob.units import format_size


@click.command()
@click.option(
    "--grace", "grace_s", type=AgeType(), default=float(GRACE_S), metavar="AGE",
    help="How long a blob lies in the trash at least; 14d by default, 1d at least.",
)  # fmt: skip
@click.option("--force", is_flag=True, help="Although more than a tenth of the store's bytes would go.")
@dry_run_option
@standard_options
def command(
    store_place: config.StorePlace,
    *,
    db: str | None,
    grace_s: float,
    force: bool,
    dry_run: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Set blobs aside that nothing names any more; delete those whose grace is over.

    Everything that is registered is read first (`ocblob store databases`). A blob that nothing names goes to the trash;
    it is deleted only when a later prune, at least the grace after, still finds nothing that names it.
    """
    del verbose
    named = config.named_servers(db)
    done = prune_pass(store_place, grace_s=grace_s, force=force, named=named, dry_run=dry_run, say=sayer(quiet=quiet))
    if as_json:
        print_json(done)
    elif not quiet:
        _print(store_place, done)


def _print(store_place: config.StorePlace, done: PrunePass) -> None:
    plan, report = done.plan, done.report
    shown = report or plan
    would = "would be " if report is None else ""
    click.echo(f"{'would prune' if report is None else 'prune'}  {store_place.url}")
    click.echo(f"  marked    {done.refs:,} refs in {done.databases:,} database(s), {done.marks_elapsed_s:.2f} s")
    click.echo(f"  {would}deleted for good {shown.deleted:,} blobs, {format_size(shown.deleted_size)}")
    click.echo(f"  {would}set aside {shown.condemned:,} blobs, {format_size(shown.condemned_size)}")
    click.echo(f"  {would}brought back {shown.revived:,} blobs that something names")
    click.echo(f"  waiting   {plan.waiting:,} blobs in their grace, {format_size(plan.waiting_size)}")
