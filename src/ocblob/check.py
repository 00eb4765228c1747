"""Does everything hold: catalog, objects, refs and sizes; with `read_data` every byte of every object.

What is wrong is counted and reported in words; nothing is changed unless a repair is asked for, but that a damaged
object goes to quarantine when it is read.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from ocblob.backends.base import Backend
from ocblob.cells import Column
from ocblob.databases.base import Database
from ocblob.errors import BackendError, BlobCorruptError, BlobError, ObjectNotFoundError, StoreFormatError
from ocblob.marks import Marks, refs_in
from ocblob.pass_report import Problems
from ocblob.store import BlobStore
from ocblob.store.catalog import BlobRow, State
from ocblob.store.copies import refill
from ocblob.store.layout import OBJECTS, TRASH, digest_of_key, generation_time, object_key
from ocblob.store.nurse import heal_from_copies
from ocblob.store.reader import Reader
from ocblob.store.survey import Survey

NOTED_OBJECTS: Final = 200
"""A check that is stopped goes on from here the next time."""
_BATCH_ROWS: Final = 1000
_NOTE: Final = "check --read-data"


@dataclass(frozen=True, slots=True)
class Share:
    """Part `number` of `of` equal parts of the store, by digest; 1 of 1 is all of it."""

    number: int
    of: int

    def holds(self, digest: str) -> bool:
        """Whether a blob belongs to this part."""
        return int(digest[:8], 16) % self.of == self.number - 1

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


@dataclass(slots=True)
class CheckReport(Problems):
    """What was found. Sizes in bytes."""

    objects: int = 0
    stored_size: int = 0
    catalogued: int = 0
    missing_objects: int = 0
    """Live in the catalog, but no object is there."""
    elsewhere: int = 0
    """Live, and only in a copy: evicted from here."""
    unknown_objects: int = 0
    """There, but not in the catalog: a pass was stopped before its last step, or another host put it. No harm."""
    wrong_sizes: int = 0
    refs: int = 0
    blobs_named: int = 0
    unresolved: int = 0
    """Blobs that rows name and that the store does not give out."""
    objects_read: int = 0
    resumed_after: str = ""
    """The digest up to which an earlier check had read, before it was stopped."""
    corrupt: int = 0
    repaired: int = 0
    """Things put right: the catalog, or objects from a copy."""
    broken: int = 0
    """Missing objects and wrong sizes that are as they were."""
    databases: int = 0

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong, or all of it was repaired."""
        return not (self.broken or self.unresolved or self.corrupt)


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
            _recount_tier(store)
        _Objects(store, report, repair=repair).compare(survey)
        if read_data is not None:
            _Contents(store, report, read_data, repair=repair, progress=progress).read(survey, restart=restart)
        for database, columns in databases:
            _check_refs(store, survey, database, columns, report, repair=repair)
    report.elapsed_s = time.monotonic() - begun
    return report


def rebuild_catalog(store: BlobStore) -> CheckReport:
    """Make a new catalog from the objects alone; the old one is kept beside it.

    Each object's header is read, not its content. Last uses start anew.
    """
    begun = time.monotonic()
    report = CheckReport()
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
    _recount_tier(store)
    report.elapsed_s = time.monotonic() - begun
    return report


class _Objects:
    """The catalog and the objects that were listed, side by side."""

    def __init__(self, store: BlobStore, report: CheckReport, *, repair: bool) -> None:
        self._store = store
        self._report = report
        self._repair = repair

    def compare(self, survey: Survey) -> None:
        """Both in the order of digests."""
        report = self._report
        for row, found in _merge(self._store.catalog.blobs(), survey.objects()):
            report.objects += found is not None
            report.stored_size += 0 if found is None else found[1]
            report.catalogued += row is not None
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
        if row.state is not State.LIVE or store.contains(row.digest):
            return  # in the trash or in quarantine, as the catalog says; or put just now
        if any(store.catalog.copy_version(row.digest, copy.id) for copy, _place in store.copies()):
            report.elsewhere += 1
            if row.held and self._repair:
                report.repaired += heal_from_copies(store, row.digest)
            return
        if store.remote and not row.held:
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


class _Contents:
    """Every byte of every object, of the store and of its copies."""

    def __init__(
        self,
        store: BlobStore,
        report: CheckReport,
        share: Share,
        *,
        repair: bool,
        progress: Callable[[int], None],
    ) -> None:
        self._store = store
        self._report = report
        self._share = share
        self._repair = repair
        self._progress = progress

    def read(self, survey: Survey, *, restart: bool) -> None:
        """Read all, from where an earlier check was stopped."""
        store, note = self._store, f"{_NOTE} {self._share}"
        after = "" if restart or not store.writable else store.catalog.note(note)
        self._report.resumed_after = after
        for number, (digest, stored_size) in enumerate(survey.objects(after=after)):
            if self._share.holds(digest):
                self._own(digest, object_key(digest))
                self._progress(stored_size)
            if number % NOTED_OBJECTS == NOTED_OBJECTS - 1 and store.writable:
                store.catalog.set_note(note, digest)
        for stat in store.backend.scan(TRASH):
            digest = digest_of_key(stat.key)
            if digest and generation_time(stat.key.split("/")[1]) is not None and self._share.holds(digest):
                self._own(digest, stat.key)
        for _copy, place in store.copies():
            self._copy(place)
        if store.writable:
            store.catalog.set_note(note, "")

    def _own(self, digest: str, key: str) -> None:
        try:
            self._store.reader.verify_own(digest, key)
        except BlobCorruptError as error:
            self._damaged(error, healed=self._repair and heal_from_copies(self._store, digest))
        except ObjectNotFoundError:
            return  # pruned meanwhile
        self._report.objects_read += 1

    def _copy(self, place: Backend) -> None:
        reader = Reader(place, care=_Quiet() if self._store.writable else None)
        for stat in place.scan(OBJECTS):
            digest = digest_of_key(stat.key)
            if not digest or not self._share.holds(digest):
                continue
            try:
                reader.verify_own(digest, stat.key)
            except BlobCorruptError as error:
                self._damaged(error, healed=self._repair and self._refill(place, digest))
            except ObjectNotFoundError:
                continue
            self._report.objects_read += 1
            self._progress(stat.stored_size)

    def _refill(self, place: Backend, digest: str) -> bool:
        try:
            refill(self._store, place, digest)
        except (BlobError, BackendError):
            return False
        return True

    def _damaged(self, error: BlobCorruptError, *, healed: bool) -> None:
        self._report.corrupt += not healed
        self._report.repaired += healed
        end = "put right from another copy" if healed else "it is in quarantine now" if self._store.writable else ""
        self._report.tell(f"{error}; {end}".removesuffix("; "))


class _Quiet:
    """See `Care`: a copy has no catalog of its own."""

    def corrupt(self, digest: str) -> None:
        """Nothing to note."""

    def in_trash(self, digest: str, key: str) -> None:
        """A copy has no trash."""

    def heal(self, digest: str, source: object) -> None:
        """The check does that, if it is asked to."""


def _recount_tier(store: BlobStore) -> None:
    """Bring the catalog's account of a remote store's tier in line with its files."""
    if store.tier is None or not store.writable:
        return
    catalog = store.catalog
    with catalog.transaction():
        catalog.clear_held()
    for batch in _batches(store.tier.objects()):
        with catalog.transaction():
            catalog.set_held(batch)


def _check_refs(  # noqa: PLR0913
    store: BlobStore,
    survey: Survey,
    database: Database,
    columns: tuple[Column, ...],
    report: CheckReport,
    *,
    repair: bool,
) -> None:
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
        if len(batch) >= _BATCH_ROWS:
            yield batch
            batch = []
    if batch:
        yield batch
