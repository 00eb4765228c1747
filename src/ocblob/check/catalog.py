"""The catalog against the objects that are there."""

import itertools
from collections.abc import Iterable, Iterator
from typing import Final

from ocblob.check.report import CheckReport, RebuildReport
from ocblob.errors import BlobCorruptError, BlobError, StoreFormatError
from ocblob.store import BlobStore
from ocblob.store.catalog import BlobRow, State
from ocblob.store.nurse import heal_from_copies
from ocblob.store.survey import Survey

_BATCH_ROWS: Final = 1000


def compare(store: BlobStore, survey: Survey, report: CheckReport, *, repair: bool) -> None:
    """Side by side, in the order of digests."""
    _Comparison(store, report, repair=repair).run(survey)


def rebuild(store: BlobStore, report: RebuildReport) -> None:
    """A new catalog from the objects alone, one header a blob."""
    catalog = store.new_catalog()
    with Survey(catalog) as survey:
        survey.take(store.backend)
        for batch in _batches(survey.objects()):
            rows = []
            for digest, stored_size in batch:
                report.objects += 1
                report.stored_size += stored_size
                try:
                    rows.append((digest, store.header(digest).size, stored_size))
                except (BlobCorruptError, StoreFormatError) as error:
                    # The header's reader has moved it to quarantine: the listing must not enter it below.
                    survey.drop(digest)
                    report.corrupt += 1
                    report.tell(str(error))
            with catalog.transaction():
                for digest, size, stored_size in rows:
                    catalog.put(digest, size=size, stored_size=stored_size, held=0 if store.remote else stored_size)
            report.catalogued += len(rows)
        survey.reconcile(remote=store.remote)
    recount_tier(store)


def recount_tier(store: BlobStore) -> None:
    """Bring the catalog's account of a remote store's tier in line with its files."""
    if store.tier is None or not store.writable:
        return
    catalog = store.catalog
    with catalog.transaction():
        catalog.clear_held()
    for batch in _batches(store.tier.objects()):
        with catalog.transaction():
            catalog.set_held(batch)


class _Comparison:
    """The catalog and the objects that were listed, side by side."""

    def __init__(self, store: BlobStore, report: CheckReport, *, repair: bool) -> None:
        self._store = store
        self._report = report
        self._repair = repair

    def run(self, survey: Survey) -> None:
        """Both in the order of digests."""
        report = self._report
        for row, found in _merge(self._store.catalog.blobs(), survey.objects()):
            report.objects += found is not None
            report.stored_size += 0 if found is None else found[1]
            report.catalogued += row is not None and row.state is State.LIVE
            if row is None and found is not None:
                report.unknown_objects += 1
                if not self._store.remote:
                    report.tell(f"object {found[0]} is not in the catalog")
                if self._repair:
                    report.repaired += self._enter(*found)
            elif row is not None and found is None:
                self._absent(row)
            elif row is not None and found is not None and row.stored_size != found[1]:
                report.wrong_sizes += 1
                report.tell(f"object {found[0]} has {found[1]} bytes, the catalog says {row.stored_size}")
                entered = self._enter(*found) if self._repair else 0
                report.repaired += entered
                report.broken += 1 - entered

    def _absent(self, row: BlobRow) -> None:
        store, report = self._store, self._report
        if row.state in {State.CONDEMNED, State.DELETING} or store.contains(row.digest):
            return  # in the trash, as the catalog says; or put just now
        copied = any(store.catalog.copy_version(row.digest, copy.id) for copy, _place in store.copies())
        if row.state is State.CORRUPT:
            self._quarantined(row.digest, copied=copied)
            return
        if copied and not row.held:
            report.elsewhere += 1
            return
        if store.remote and not copied and not row.held:
            # This host's memory of a blob that another host has pruned; whether a ref needs it is asked below.
            if self._repair:
                self._remove(row.digest)
            return
        report.missing_objects += 1
        report.tell(f"blob {row.digest} is in the catalog, but its object is gone")
        if not self._repair:
            report.broken += 1
            return
        if not heal_from_copies(store, row.digest):
            self._remove(row.digest)
        report.repaired += 1

    def _quarantined(self, digest: str, *, copied: bool) -> None:
        """What an earlier read has moved away. Without a copy only a ref can tell whether it is missed."""
        if self._repair and heal_from_copies(self._store, digest):
            self._report.repaired += 1
        elif copied:
            self._report.corrupt += 1
            self._report.tell(f"blob {digest} is in quarantine here, and a copy has it: --repair brings it back")

    def _remove(self, digest: str) -> None:
        with self._store.catalog.transaction():
            self._store.catalog.remove(digest)

    def _enter(self, digest: str, stored_size: int) -> int:
        try:
            header = self._store.header(digest)
        except (BlobError, StoreFormatError):
            return 0
        held = 0 if self._store.remote else stored_size
        with self._store.catalog.transaction():
            self._store.catalog.put(digest, size=header.size, stored_size=stored_size, held=held)
        return 1


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


def _batches(objects: Iterable[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    remaining = iter(objects)
    while batch := list(itertools.islice(remaining, _BATCH_ROWS)):
        yield batch
