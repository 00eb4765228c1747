"""`ocblob status`."""

import contextlib
from pathlib import Path

import click

from ocblob import config
from ocblob.cells import Scope
from ocblob.cli.main import EXIT_SIZE_WARNING
from ocblob.cli.options import print_json, print_warnings, progress_bar, standard_options, table_option
from ocblob.errors import StoreNotFoundError
from ocblob.marks import REF_CELL_BYTES_MIN
from ocblob.offload import MIN_CHARS
from ocblob.passes import opened
from ocblob.status import Status, status
from ocblob.stores import open_store
from ocblob.units import format_size


@click.command()
@table_option
@click.option("--check", "check_size", is_flag=True, help="Exit with 4 if the database is over a warning threshold.")
@standard_options
@click.pass_context
def command(
    ctx: click.Context,
    db: str | None,
    store_place: config.StorePlace,
    *,
    tables: tuple[str, ...],
    check_size: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Show where the bytes are: tables, base64 inline, refs, store, space to give back."""
    place = config.database_place(db)
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(opened(place, tables=tables))
        store = None
        with contextlib.suppress(StoreNotFoundError):
            store = stack.enter_context(open_store(store_place))
        progress = stack.enter_context(progress_bar("status", quiet=quiet or as_json))
        report_progress = progress(at.database, at.all_columns, REF_CELL_BYTES_MIN, Scope())
        found = status(at.database, at.profile, store, min_chars=MIN_CHARS, progress=report_progress)
    if as_json:
        print_json(found)
    elif not quiet:
        _print(found, on_server=at.database.address.path is None, verbose=verbose)
    # Limits that cannot be meant stop only what takes sessions away; nobody looks there as often as here.
    print_warnings([*map(str, config.settings(strict=False).problems), *found.warnings])
    if check_size and found.too_large:
        ctx.exit(EXIT_SIZE_WARNING)


def _print(found: Status, *, on_server: bool, verbose: bool) -> None:
    sizes = found.sizes
    click.echo(f"database  {found.database} ({found.host})")
    if not on_server:
        parts = f"file      {format_size(sizes.file)}, WAL {format_size(sizes.wal)}; free inside"
    else:
        parts = f"tables    {format_size(sizes.file)}; free inside about"
    click.echo(f"  {parts} {format_size(sizes.free)}")
    if found.unknown_schema:
        click.echo(f"  schema    not known, read only: {found.unknown_schema}")
    tables = sorted(found.tables.items(), key=lambda item: -item[1].size)
    for name, table in tables if verbose else tables[:5]:
        click.echo(f"  {name:<20} {table.rows:>9,} rows  {format_size(table.size):>9}")
    click.echo("attachments")
    for column in found.columns:
        if not (column.offloaded or column.inline or column.refs or verbose):
            continue
        note = "" if column.offloaded else "  (V2: not offloaded unless asked)"
        click.echo(
            f"  {column.column:<20} {column.inline:>6,} inline, {format_size(column.inline_chars)} of base64;"
            f" {column.refs:,} refs to {format_size(column.refs_size)}{note}"
        )
    for file in found.prompts:
        click.echo(
            f"  {Path(file.path).name:<20} {file.inline:>6,} inline, {format_size(file.inline_chars)} of base64;"
            f" {file.refs:,} refs to {format_size(file.refs_size)}"
        )
    if not found.store:
        click.echo("store     none yet")
        return
    click.echo(f"store     {found.store}")
    click.echo(
        f"  {found.store_blobs:,} blobs, {format_size(found.store_size)},"
        f" {format_size(found.store_stored_size)} at rest;"
        f" dedup saves {format_size(found.dedup_saved)} for this database"
    )
