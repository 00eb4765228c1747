"""`ocblob check`."""

import contextlib
import re
from collections.abc import Callable
from dataclasses import asdict

import click

from ocblob import config
from ocblob.cells import Column
from ocblob.check import CheckReport, Share, check, rebuild_catalog
from ocblob.cli.main import EXIT_INCOMPLETE
from ocblob.cli.options import byte_bar, print_json, print_problems, sayer, standard_options
from ocblob.databases.base import Database
from ocblob.errors import DatabaseError, UsageError
from ocblob.passes import opened, registered_tables
from ocblob.store import BlobStore
from ocblob.stores import open_store
from ocblob.units import format_size

_SHARE = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


def _share(ctx: click.Context, param: click.Parameter, value: str | None) -> Share | None:
    del ctx, param
    if value is None:
        return None
    match = _SHARE.fullmatch(value)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--read-data={value}: expected n/t, as 1/7: the first seventh of the store")
    return Share(int(match[1]), int(match[2]))


@click.command()
@click.option(
    "--read-data", "share", is_flag=False, flag_value="1/1", callback=_share, metavar="[N/T]",
    help="Read and verify every object, or the N-th of T parts.",
)  # fmt: skip
@click.option("--restart", is_flag=True, help="With --read-data: from the beginning, not where it was stopped.")
@click.option("--repair", is_flag=True, help="Put the catalog right, and damaged or missing objects from a copy.")
@click.option("--rebuild-catalog", "rebuild", is_flag=True, help="Make a new catalog from the objects alone.")
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    store_place: config.StorePlace,
    *,
    db: str | None,
    share: Share | None,
    restart: bool,
    repair: bool,
    rebuild: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Check that every ref resolves, and that catalog and objects agree.

    Without --db and OCBLOB_DB every database that is registered with the store is checked. Nothing changes, but
    that --read-data moves an object that turns out damaged into quarantine. A --read-data that was stopped goes on
    where it was.
    """
    say = sayer(quiet=quiet)
    if rebuild:
        if repair or share is not None or restart:
            raise UsageError("--rebuild-catalog goes alone", hint="then check again")
        _rebuild(ctx, store_place, as_json=as_json, quiet=quiet, verbose=verbose)
        return
    db = config.named_database(db)
    unreadable: list[str] = []
    read_only = not (repair or share is not None)
    with open_store(store_place, read_only=read_only) as store, contextlib.ExitStack() as stack:
        databases = _databases(store, db, stack, unreadable, say)
        total = store.catalog.totals().stored_size if share is not None else 0
        progress = stack.enter_context(byte_bar("check", total, quiet=quiet or as_json or share is None))
        report = check(store, databases, read_data=share, repair=repair, restart=restart, progress=progress)
    sound = report.sound and not unreadable
    for problem in unreadable:
        say(f"warning: not checked: {problem}")
    if as_json:
        print_json({**asdict(report), "sound": sound, "unreadable": unreadable})
    elif not quiet:
        _print(store_place, report, sound=sound)
    if not sound:
        print_problems(report.problems, len(report.problems), verbose=verbose)
        ctx.exit(EXIT_INCOMPLETE)


def _rebuild(ctx: click.Context, store_place: config.StorePlace, *, as_json: bool, quiet: bool, verbose: bool) -> None:
    with open_store(store_place) as store:
        report = rebuild_catalog(store)
    if as_json:
        print_json(report)
    elif not quiet:
        size = format_size(report.stored_size)
        click.echo(f"catalog rebuilt: {report.catalogued:,} of {report.objects:,} objects, {size} at rest")
    if not report.sound:
        print_problems(report.problems, report.corrupt, verbose=verbose)
        ctx.exit(EXIT_INCOMPLETE)


def _databases(
    store: BlobStore,
    db: str | None,
    stack: contextlib.ExitStack,
    unreadable: list[str],
    say: Callable[[str], None],
) -> list[tuple[Database, tuple[Column, ...]]]:
    """The database that was named, or every registered one that is here and can be read."""
    entries = list(store.registry.databases())
    for entry in entries:
        if not db and not store.registry.is_here(entry):
            say(f"not checked here: {entry.url} is on {entry.machine_name or entry.machine}")
    found: list[tuple[Database, tuple[Column, ...]]] = []
    for url in [db] if db else [entry.url for entry in entries if store.registry.is_here(entry)]:
        place = config.Place(url, "registered")
        try:
            named = registered_tables(store, config.database_address(place))
            at = stack.enter_context(opened(place, also=named))
        except (DatabaseError, UsageError) as error:
            if db:
                raise
            unreadable.append(str(error))
            continue
        found.append((at.database, at.all_columns))
    return found


def _print(store_place: config.StorePlace, report: CheckReport, *, sound: bool) -> None:
    click.echo(f"check  {store_place.url}")
    click.echo(
        f"  objects   {report.objects:,}, {format_size(report.stored_size)} at rest;"
        f" {report.catalogued:,} in the catalog"
    )
    if report.objects_read:
        since = f" (going on after {report.resumed_after[:12]}...)" if report.resumed_after else ""
        click.echo(f"  read      {report.objects_read:,} objects{since}, {report.corrupt:,} corrupt")
    if report.elsewhere:
        click.echo(f"  evicted   {report.elsewhere:,} blobs are in a copy only")
    click.echo(
        f"  refs      {report.refs:,} in {report.databases} database(s), to {report.blobs_named:,} blobs;"
        f" {report.unresolved:,} unresolved"
    )
    if report.repaired:
        click.echo(f"  repaired  {report.repaired:,}")
    click.echo(f"  {'sound' if sound else 'NOT sound'}, in {report.elapsed_s:.2f} s")
