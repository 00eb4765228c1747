"""`ocblob ls`."""

import heapq
from dataclasses import asdict

import click

from ocblob import config
from ocblob.attachments import Attachment, attachments
from ocblob.cli.options import SizeType, print_json, printable, scope_of, session_option, standard_options, table_option
from ocblob.passes import opened
from ocblob.units import format_size


@click.command()
@session_option
@table_option
@click.option("--mime", metavar="TYPE", help="Only this media type; `image/` means every image.")
@click.option("--min-size", type=SizeType(), default=1, metavar="SIZE", help="Only attachments of at least this size.")
@click.option("--inline", "kind", flag_value="inline", help="Only those still in rows.")
@click.option("--refs", "kind", flag_value="refs", help="Only those that moved out.")
@click.option("-n", "--limit", type=click.IntRange(min=1), default=50, show_default=True, help="Show the largest N.")
@standard_options
def command(
    db: str | None,
    store_place: config.StorePlace,
    *,
    sessions: tuple[str, ...],
    tables: tuple[str, ...],
    mime: str | None,
    min_size: int,
    kind: str | None,
    limit: int,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """List attachments, the largest first; `ocblob extract ADDRESS` takes one out."""
    del quiet, verbose, store_place
    with opened(config.database_place(db), tables=tables) as at:
        scope = scope_of(sessions)(at.profile)
        found = attachments(at.database, at.all_columns, scope=scope, min_size=min_size)
        wanted = (item for item in found if _matches(item, mime, kind))
        largest = heapq.nlargest(limit, wanted, key=lambda item: item.size)
    if as_json:
        print_json({"attachments": [{**asdict(item), "inline": item.inline} for item in largest]})
        return
    for item in largest:
        where = "inline" if item.inline else item.digest[:12]
        columns = (
            f"{format_size(item.size):>9}",
            f"{where:<12}",
            f"{item.mime:<16}",
            item.address,
            item.session,
            item.name,
        )
        click.echo(printable("  ".join(columns)))


def _matches(item: Attachment, mime: str | None, kind: str | None) -> bool:
    if mime and not (item.mime == mime.lower() or (mime.endswith("/") and item.mime.startswith(mime.lower()))):
        return False
    return kind is None or item.inline == (kind == "inline")
