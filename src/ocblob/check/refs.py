"""What rows name against what a store gives out."""

import contextlib

from ocblob.cells import Column
from ocblob.check.report import CheckReport
from ocblob.databases.base import Database
from ocblob.errors import BlobError, StoreFormatError
from ocblob.marks import Marks, refs_in
from ocblob.store import BlobStore
from ocblob.store.nurse import heal_from_copies
from ocblob.store.survey import Survey


def check_refs(  # noqa: PLR0913
    store: BlobStore,
    survey: Survey,
    database: Database,
    columns: tuple[Column, ...],
    report: CheckReport,
    *,
    repair: bool,
) -> None:
    """Every ref of these columns, each blob once."""
    with contextlib.closing(Marks()) as marks:
        for _cell, ref in refs_in(database, columns):
            report.refs += 1
            marks.add(ref)
        for mark in marks:
            report.blobs_named += 1
            if survey.vouches(mark.digest, mark.size):
                continue
            try:
                size = _size_of(store, mark.digest, repair=repair)
            except (BlobError, StoreFormatError) as error:
                report.unresolved += 1
                report.tell(f"{database.url}: {mark.refs} refs: {error}")
                continue
            if size != mark.size:
                report.unresolved += 1
                report.tell(f"{database.url}: a ref says {mark.size} bytes, blob {mark.digest} has {size}")


def _size_of(store: BlobStore, digest: str, *, repair: bool) -> int:
    try:
        return store.header(digest).size
    except BlobError:
        if not (repair and heal_from_copies(store, digest)):
            raise
        return store.header(digest).size
