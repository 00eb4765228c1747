"""`ocblob extract`."""

import contextlib
from pathlib import Path

import click

from ocblob import config
from ocblob.attachments import extract
from ocblob.cli.files import write_whole
from ocblob.cli.options import print_json, sayer, standard_options, table_option
from ocblob.passes import opened
from ocblob.stores import open_store
from ocblob.units import format_size


@click.command()
@click.argument("attachment", metavar="ADDRESS")
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file to write.",
)
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@table_option
@standard_options
def command(
    attachment: str,
    db: str | None,
    store_place: config.StorePlace,
    *,
    output: Path,
    force: bool,
    tables: tuple[str, ...],
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Take one attachment out to a file. ADDRESS is as `ocblob ls` shows it, a row's key, or a digest."""
    del verbose
    place = config.database_place(db)
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(opened(place, tables=tables))
        chunks = extract(at.database, lambda: stack.enter_context(open_store(store_place)), at.all_columns, attachment)
        size = write_whole(output, chunks, force=force)
    if as_json:
        print_json({"file": str(output), "size": size})
    else:
        sayer(quiet=quiet)(f"{output}: {format_size(size)}")
