"""`ocblob put`."""

import mimetypes
from collections.abc import Iterator
from functools import partial
from typing import BinaryIO, NamedTuple

import click

from ocblob import config
from ocblob.cli.options import create_option, previews_option, print_json, sayer, standard_options
from ocblob.databases.opening import open_database
from ocblob.errors import UsageError
from ocblob.hosts.detect import host_of
from ocblob.placeholders.preview import previews_for
from ocblob.ref import Ref
from ocblob.rewrite import preview_text, reference_text
from ocblob.scan import is_header
from ocblob.stores import create_store

READ_BYTES = 1 << 20


@click.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option("--mime", metavar="TYPE", help="The media type; by default guessed from the file's name.")
@previews_option
@create_option
@standard_options
def command(
    file: BinaryIO,
    store_place: config.StorePlace,
    *,
    mime: str | None,
    previews: bool | None,
    create: bool,
    db: str | None,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Put a file (or stdin) into the store; print its ref as a data URL.

    With --db (or OCBLOB_DB) the database that will hold the ref is registered; without it the blob is pinned, so
    that no prune takes it.
    """
    del verbose
    db = config.named_database(db)
    kind = mime or mimetypes.guess_type(getattr(file, "name", ""))[0] or "application/octet-stream"
    if not is_header(f"{kind};base64"):
        raise UsageError(f"--mime {kind!r} cannot stand in a data URL")
    if reference_text(kind, Ref("0" * 64, 0)) is None:
        raise UsageError(f"--mime {kind}: no placeholder exists for this image type, so no ref can stand for it")
    wanted = previews_for(previews)
    database = _named(db) if db else None
    store, created = create_store(store_place, wished=create)
    with store:
        if created:
            sayer(quiet=quiet)(f"created a blob store at {store.url}")
        if database:
            store.registry.register(database.url, host=database.host, files=database.files)
        stored = store.put(_pieces(file))
        if not database:
            store.registry.pin(stored.digest, why="put")
        elif config.named_database(None) == db:
            sayer(quiet=quiet)(
                f"not pinned: {database.url} (OCBLOB_DB) is to hold the ref; without one, prune takes it"
            )
        ref = Ref(stored.digest, stored.size, (("store", store.short_id),))
        text = preview_text(kind, ref, wanted, partial(store.read, stored.digest)) if wanted else None
        url = f"data:{kind};base64,{(text or reference_text(kind, ref) or b'').decode('ascii')}"
        if as_json:
            print_json({"digest": ref.digest, "size": ref.size, "mime": kind, "new": stored.new, "url": url})
        else:
            click.echo(url)


class _Named(NamedTuple):
    """A database as the registry knows it."""

    url: str
    host: str
    files: list[str]


def _named(db: str) -> _Named:
    """The database that will hold the ref; it must be one that can be opened."""
    address = config.database_address(config.database_place(db))
    with open_database(address, read_only=True) as database:
        return _Named(database.url, host_of(database.tables()), config.prompt_files_of(address))


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while data := file.read(READ_BYTES):
        yield data
