"""`ocblob store`: what is known of a store, its registry, its copies."""

from dataclasses import asdict
from datetime import UTC, datetime

import click

from ocblob import config
from ocblob.cli.main import EXIT_INCOMPLETE
from ocblob.cli.options import byte_bar, print_json, print_problems, sayer, standard_options
from ocblob.errors import UsageError
from ocblob.inspection import store_info, validate
from ocblob.stores import open_store
from ocblob.sync import sync
from ocblob.units import format_size
from ocblob.urls import shown_url


@click.group()
def command() -> None:
    """Look after a blob store: figures, registry, copies."""


@command.command("info")
@standard_options
def info(store_place: config.StorePlace, *, db: str | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """Show what a store holds and where."""
    del db, quiet, verbose
    with open_store(store_place, read_only=True) as store:
        found = store_info(store)
    if as_json:
        print_json(found)
        return
    click.echo(f"store       {found.url}")
    click.echo(f"  id        {found.id}")
    known = ", as far as this machine knows" if found.remote else ""
    at_rest = f"{format_size(found.stored_size)} at rest"
    click.echo(f"  blobs     {found.blobs:,}, {format_size(found.size)}, {at_rest}{known}")
    tier = f" of at most {format_size(found.cache_size)}" if found.remote else ""
    click.echo(f"  here      {format_size(found.held)}{tier}")
    click.echo(f"  trash     {format_size(found.trash)}; {found.quarantined:,} objects in quarantine")
    click.echo(f"  expired   {found.expired:,} blobs")
    click.echo(f"  registry  {found.databases:,} database(s), {found.pins:,} pin(s)")
    for url in found.copies:
        click.echo(f"  copy      {url}")


@command.command("validate")
@standard_options
@click.pass_context
def validate_command(
    ctx: click.Context, store_place: config.StorePlace, *, db: str | None, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Try out whether the store and its copies do what is relied on."""
    del db, quiet
    with open_store(store_place) as store:
        reports = validate(store)
    if as_json:
        print_json({"places": [{**asdict(report), "sound": report.sound} for report in reports]})
    else:
        for report in reports:
            click.echo(f"{report.url}: {'sound' if report.sound else 'NOT sound'}")
            lines = [*(f"  ok    {name}" for name in report.passed if verbose)]
            lines += [f"  note  {note}" for note in report.notes] + [f"  FAIL  {failure}" for failure in report.failed]
            for line in lines:
                click.echo(line)
    if not all(report.sound for report in reports):
        ctx.exit(EXIT_INCOMPLETE)


@command.command("databases")
@standard_options
def databases(store_place: config.StorePlace, *, db: str | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """List what `prune` reads before it judges."""
    del db, quiet, verbose
    with open_store(store_place, read_only=True) as store:
        entries = sorted(store.registry.databases(), key=lambda entry: entry.registered_at)
    if as_json:
        print_json({"databases": entries})
        return
    for entry in entries:
        where = f"  on {entry.machine_name or entry.machine}" if entry.machine else ""
        click.echo(f"{entry.id}  {_day(entry.registered_at)}  {entry.host:<8}  {entry.url}{where}")


@command.command("forget-db")
@click.argument("database", metavar="ID_PATH_OR_URL")
@standard_options
def forget_db(
    store_place: config.StorePlace, *, database: str, db: str | None, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Take a database off the list: what only its rows name is unreferenced from then on."""
    del db, verbose
    with open_store(store_place) as store:
        names = {database, config.database_address(config.Place(database, "argument")).name}
        found = [entry for entry in store.registry.databases() if names & {entry.id, entry.url}]
        if len(found) != 1:
            known = "is not registered" if not found else "is registered from several machines"
            raise UsageError(f"{shown_url(database)} {known}", hint="`ocblob store databases` lists ids")
        if store.registry.is_here(found[0]):
            _refuse_mirror(found[0].url)
        store.registry.forget(found[0].id)
    if as_json:
        print_json({"forgotten": found[0]})
    else:
        sayer(quiet=quiet)(f"forgot {found[0].url}; `ocblob prune` no longer reads it")


def _refuse_mirror(url: str) -> None:
    """Raise `UsageError` for the mirror that is configured: sessions may be nowhere else, and need their blobs."""
    mirror = config.settings(strict=False).mirror_place
    if mirror is not None and config.database_address(mirror).name == url:
        raise UsageError(
            f"{url} is the mirror that {mirror.source} names, and the next pass would register it again",
            hint="take it out there first, if it is given up: what only its rows name is then unreferenced",
        )


@command.command("pins")
@standard_options
def pins(store_place: config.StorePlace, *, db: str | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """List blobs that are kept for their own sake."""
    del db, quiet, verbose
    with open_store(store_place, read_only=True) as store:
        found = list(store.registry.pins())
    if as_json:
        print_json({"pins": found})
        return
    for pin in found:
        click.echo(f"{pin.digest}  {_day(pin.pinned_at)}  {pin.why}")


@command.command("unpin")
@click.argument("digests", metavar="DIGEST...", nargs=-1, required=True)
@standard_options
@click.pass_context
def unpin(
    ctx: click.Context,
    store_place: config.StorePlace,
    *,
    digests: tuple[str, ...],
    db: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Keep blobs no longer for their own sake; the next `prune` judges them by refs alone."""
    del db, verbose
    with open_store(store_place) as store:
        done = {digest: store.registry.unpin(digest) for digest in digests}
    if as_json:
        print_json({"unpinned": done})
    for digest, was_pinned in done.items():
        if not was_pinned:
            click.echo(f"{digest} was not pinned", err=True)
        elif not as_json:
            sayer(quiet=quiet)(f"unpinned {digest}")
    if not all(done.values()):
        ctx.exit(EXIT_INCOMPLETE)


@command.command("add-copy")
@click.argument("url", metavar="PATH_OR_URL")
@standard_options
def add_copy(
    store_place: config.StorePlace, *, url: str, db: str | None, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Declare another place that shall hold every blob too; `store sync` fills it."""
    del db, verbose
    with open_store(store_place) as store:
        copy = store.add_copy(url)
    if as_json:
        print_json({"copy": copy})
    else:
        sayer(quiet=quiet)(f"{copy.url} is a copy of the store now; `ocblob store sync` fills it")


@command.command("promote")
@standard_options
def promote(store_place: config.StorePlace, *, db: str | None, as_json: bool, quiet: bool, verbose: bool) -> None:
    """Make a copy a store of its own, after the store that it was a copy of is lost for good."""
    del db, verbose
    with open_store(store_place) as store:
        was_copy = store.promote()
    if as_json:
        print_json({"promoted": was_copy})
    else:
        words = "is a store of its own now" if was_copy else "is no copy; nothing to do"
        sayer(quiet=quiet)(f"{shown_url(store_place.url)} {words}")


@command.command("sync")
@standard_options
@click.pass_context
def sync_command(
    ctx: click.Context, store_place: config.StorePlace, *, db: str | None, as_json: bool, quiet: bool, verbose: bool
) -> None:
    """Bring every copy up to date; may be stopped and run again."""
    del db
    with open_store(store_place) as store:
        total = store.catalog.totals().stored_size
        with byte_bar("sync", total, quiet=quiet or as_json) as progress:
            report = sync(store, progress=progress)
    if not report.copies:
        raise UsageError("the store has no copies", hint="ocblob store add-copy URL")
    if as_json:
        print_json(report)
    elif not quiet:
        click.echo(
            f"sync  {report.copied:,} of {report.objects:,} objects copied, {format_size(report.copied_size)};"
            f" {report.present:,} were there, in {report.elapsed_s:.2f} s"
        )
    if not report.complete:
        print_problems(report.problems, report.failed, verbose=verbose)
        ctx.exit(EXIT_INCOMPLETE)


def _day(when: int) -> str:
    return datetime.fromtimestamp(when, tz=UTC).strftime("%Y-%m-%d")
