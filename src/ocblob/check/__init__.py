"""Does everything hold: catalog, objects, refs and sizes; with `read_data` every byte of every object.

What is wrong is counted and reported in words; nothing is changed unless a repair is asked for, but that a damaged
object goes to quarantine when it is read.
"""

import time
from collections.abc import Callable

from ocblob.cells import Column
from ocblob.check.catalog import compare, rebuild, recount_tier
from ocblob.check.contents import Contents
from ocblob.check.refs import check_refs
from ocblob.check.report import CheckReport, RebuildReport, Share
from ocblob.databases.base import Database
from ocblob.store import BlobStore
from ocblob.store.survey import Survey

__all__ = ["CheckReport", "RebuildReport", "Share", "check", "rebuild_catalog"]


def check(  # noqa: PLR0913
    store: BlobStore,
    databases: list[tuple[Database, tuple[Column, ...]]],
    *,
    read_data: Share | None = None,
    repair: bool = False,
    restart: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> CheckReport:
    """Check a store against itself and against the rows of databases. Memory does not grow with either.

    A `read_data` that was stopped goes on where it was, unless it is to `restart`.
    """
    begun = time.monotonic()
    report = CheckReport(databases=len(databases))
    with Survey(store.catalog) as survey:
        survey.take(store.backend)
        if repair:
            recount_tier(store)
        compare(store, survey, report, repair=repair)
        if read_data is not None:
            Contents(store, report, read_data, repair=repair, progress=progress).read(survey, restart=restart)
        for database, columns in databases:
            check_refs(store, survey, database, columns, report, repair=repair)
    report.elapsed_s = time.monotonic() - begun
    return report


def rebuild_catalog(store: BlobStore) -> RebuildReport:
    """Make a new catalog from the objects alone; the old one is kept beside it.

    Each object's header is read, not its content. Last uses start anew.
    """
    begun = time.monotonic()
    report = RebuildReport()
    rebuild(store, report)
    report.elapsed_s = time.monotonic() - begun
    return report
