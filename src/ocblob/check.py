"""Does everything hold: catalog, objects, refs and sizes; with `read_data` every byte of every object.

What is wrong is counted and reported in words; nothing is changed unless a repair is asked for.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from ocblob.cells import Column
from ocblob.databases.base import Database
from ocblob.errors import BlobCorruptError, BlobError, StoreFormatError
from ocblob.marks import Marks, refs_in
from ocblob.pass_report import Problems
from ocblob.store import BlobStore
from ocblob.store.catalog import BlobRow, State


@dataclass(frozen=True, slots=True)
class Share:
    """Part `number` of `of` equal parts of the store, by digest; 1 of 1 is all of it."""

    number: int
    of: int

    def holds(self, digest: str) -> bool:
        """Whether a blob belongs to this part."""
        return int(digest[:8], 16) % self.of == self.number - 1


@dataclass(slots=True)
class CheckReport(Problems):
    """What was found. Sizes in bytes."""

    objects: int = 0
    stored_size: int = 0
    catalogued: int = 0
    missing_objects: int = 0
    """Live in the catalog, but no object is there."""
    unknown_objects: int = 0
    """There, but not in the catalog: a pass was stopped before its last step. The next put takes it; no harm."""
    wrong_sizes: int = 0
    refs: int = 0
    blobs_named: int = 0
    unresolved: int = 0
    """Blobs that rows name and that the store does not give out."""
    objects_read: int = 0
    corrupt: int = 0
    repaired: int = 0
    """Places where the catalog was put right, orphans entered included."""
    broken: int = 0
    """Missing objects and wrong sizes that are as they were."""
    databases: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, or all of it was repaired."""
        return not (self.broken or self.unresolved or self.corrupt)


def check(
    store: BlobStore,
    databases: list[tuple[Database, tuple[Column, ...]]],
    *,
    read_data: Share | None = None,
    repair: bool = False,
    progress: Callable[[int], None] = lambda _: None,
) -> CheckReport:
    """Check a store against itself and against the rows of databases. Memory does not grow with either."""
    begun = time.monotonic()
    report = CheckReport(databases=len(databases))
    _check_objects(store, report, repair=repair)
    if read_data is not None:
        _read_objects(store, read_data, report, progress)
    for database, columns in databases:
        _check_refs(store, database, columns, report)
    report.elapsed_s = time.monotonic() - begun
    return report


def rebuild_catalog(store: BlobStore) -> CheckReport:
    """Make a new catalog from the objects alone; the old one is kept beside it.

    Each object's header is read, not its content. Last uses start anew.
    """
    begun = time.monotonic()
    report = CheckReport()
    catalog = store.new_catalog()
    for batch in _batches(store.objects()):
        rows = []
        for digest, stored_size in batch:
            report.objects += 1
            report.stored_size += stored_size
            try:
                rows.append((digest, store.header(digest).size, stored_size))
            except (BlobCorruptError, StoreFormatError) as error:
                report.corrupt += 1
                report.tell(str(error))
        with catalog.transaction():
            for digest, size, stored_size in rows:
                catalog.put(digest, size=size, stored_size=stored_size)
        report.catalogued += len(rows)
    report.elapsed_s = time.monotonic() - begun
    return report


def _check_objects(store: BlobStore, report: CheckReport, *, repair: bool) -> None:
    for row, found in _merge(store.catalog.blobs(), store.objects()):
        if found is not None:
            report.objects += 1
            report.stored_size += found[1]
        if row is not None:
            report.catalogued += 1
        if row is None and found is not None:
            report.unknown_objects += 1
            report.tell(f"object {found[0]} is not in the catalog")
            if repair:
                report.repaired += _enter(store, *found)
        elif row is not None and found is None:
            _check_absent(store, row, report, repair=repair)
        elif row is not None and found is not None and row.stored_size != found[1]:
            report.wrong_sizes += 1
            report.tell(f"object {found[0]} has {found[1]} bytes, the catalog says {row.stored_size}")
            entered = _enter(store, *found) if repair else 0
            report.repaired += entered
            report.broken += 1 - entered


def _check_absent(store: BlobStore, row: BlobRow, report: CheckReport, *, repair: bool) -> None:
    if row.state is not State.LIVE or store.contains(row.digest):
        return  # in the trash or in quarantine, as the catalog says; or put just now
    report.missing_objects += 1
    report.tell(f"blob {row.digest} is in the catalog, but its object is gone")
    if not repair:
        report.broken += 1
        return
    with store.catalog.transaction():
        store.catalog.remove(row.digest)
    report.repaired += 1


def _enter(store: BlobStore, digest: str, stored_size: int) -> int:
    try:
        header = store.header(digest)
    except (BlobError, StoreFormatError):
        return 0
    with store.catalog.transaction():
        store.catalog.put(digest, size=header.size, stored_size=stored_size)
    return 1


def _read_objects(store: BlobStore, share: Share, report: CheckReport, progress: Callable[[int], None]) -> None:
    for digest, stored_size in store.objects():
        if not share.holds(digest):
            continue
        report.objects_read += 1
        try:
            store.reader.verify(digest)
        except BlobCorruptError as error:
            report.corrupt += 1
            report.tell(f"{error}; it is in quarantine now")
        except BlobError:
            pass  # pruned meanwhile
        progress(stored_size)


def _check_refs(store: BlobStore, database: Database, columns: tuple[Column, ...], report: CheckReport) -> None:
    marks = Marks()
    with contextlib.closing(marks):
        for _cell, ref in refs_in(database, columns):
            report.refs += 1
            marks.add(ref)
        for mark in marks:
            report.blobs_named += 1
            try:
                size = store.header(mark.digest).size
            except (BlobError, StoreFormatError) as error:
                report.unresolved += 1
                report.tell(f"{database.url}: {mark.refs} refs: {error}")
                continue
            if size != mark.size:
                report.unresolved += 1
                report.tell(f"{database.url}: a ref says {mark.size} bytes, blob {mark.digest} has {size}")


def _merge(
    rows: Iterator[BlobRow], objects: Iterator[tuple[str, int]]
) -> Iterator[tuple[BlobRow | None, tuple[str, int] | None]]:
    """Both in the order of digests, side by side."""
    row, found = next(rows, None), next(objects, None)
    while row is not None or found is not None:
        if found is None or (row is not None and row.digest < found[0]):
            yield row, None
            row = next(rows, None)
        elif row is None or found[0] < row.digest:
            yield None, found
            found = next(objects, None)
        else:
            yield row, found
            row, found = next(rows, None), next(objects, None)


def _batches(objects: Iterator[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    batch: list[tuple[str, int]] = []
    for item in objects:
        batch.append(item)
        if len(batch) >= 1000:  # noqa: PLR2004 - one durable commit each
            yield batch
            batch = []
    if batch:
        yield batch
