"""`ocblob cat`."""

import sys
from pathlib import Path

import click

from ocblob import config
from ocblob.cli.files import write_whole
from ocblob.cli.options import print_json, standard_options
from ocblob.digest import is_digest
from ocblob.errors import UsageError
from ocblob.scan import find_refs
from ocblob.stores import open_store


@click.command()
@click.argument("blob", metavar="DIGEST_OR_URL")
@click.option("-o", "--output", type=click.Path(dir_okay=False, path_type=Path), help="A file instead of stdout.")
@click.option("--force", is_flag=True, help="Write over a file that is there.")
@standard_options
def command(
    blob: str,
    db: str | None,
    store_place: config.StorePlace,
    *,
    output: Path | None,
    force: bool,
    as_json: bool,
    quiet: bool,
    verbose: bool,
) -> None:
    """Write the bytes of a blob, verified, to stdout or a file.

    A file appears only when all of it is verified; on stdout, wait for the exit code.
    """
    del db, quiet, verbose
    if as_json and output is None:
        raise UsageError("--json goes with --output: stdout is where the bytes go")
    digest = _digest(blob)
    with open_store(store_place) as store:
        if output is not None:
            size = write_whole(output, store.chunks(digest), force=force)
            if as_json:
                print_json({"digest": digest, "size": size, "file": str(output)})
            return
        stdout = sys.stdout.buffer
        for chunk in store.chunks(digest):
            stdout.write(chunk)


def _digest(blob: str) -> str:
    if is_digest(blob):
        return blob
    refs = find_refs(blob)
    if len(refs) != 1:
        raise UsageError("expected a digest (64 hex digits) or a ref's data URL")
    return refs[0].digest
