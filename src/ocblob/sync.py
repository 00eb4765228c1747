"""Fill a store's copies: every live object, as it lies there, verified on its way.

It may be stopped at any moment and run again: what a copy has already, in the very version that it acknowledged, is
passed over.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Final

from ocblob.backends.base import Backend, ObjectStat
from ocblob.errors import BackendError, BlobCorruptError, BlobError, ObjectNotFoundError, StoreError
from ocblob.pass_report import Problems
from ocblob.store import BlobStore
from ocblob.store.copies import Copy, refill
from ocblob.store.layout import DATABASES, OBJECTS, PINS, digest_of_key, object_key

WORKERS: Final = 8
NOTED_BLOBS: Final = 200
"""Entered into the catalog at a time; a crash before costs their HEAD requests."""


@dataclass(slots=True)
class SyncReport(Problems):
    """What a sync did. Sizes in bytes at rest."""

    copies: int = 0
    objects: int = 0
    """Live objects of the store, for each copy."""
    present: int = 0
    copied: int = 0
    copied_size: int = 0
    failed: int = 0
    """Objects that could not be copied; the next sync tries again."""

    @property
    def complete(self) -> bool:
        """Whether every copy holds every live blob."""
        return not self.failed


def sync(store: BlobStore, *, progress: Callable[[int], None] = lambda _: None) -> SyncReport:
    """Bring every declared copy up to date. Memory: one frame a worker."""
    begun = time.monotonic()
    report = SyncReport()
    for copy, place in store.copies():
        report.copies += 1
        try:
            store.vouch(place)
            _sync_one(store, copy, place, report, progress)
        except BackendError as error:
            report.failed += 1
            report.tell(f"copy {place.url}: {error}")
    report.elapsed_s = time.monotonic() - begun
    return report


def _sync_one(
    store: BlobStore, copy: Copy, place: Backend, report: SyncReport, progress: Callable[[int], None]
) -> None:
    _copy_records(store, place)
    done: list[tuple[str, int, str]] = []
    running: dict[Future[tuple[str, int, str] | None], str] = {}

    def collect(*, all_of_them: bool) -> None:
        while running and (all_of_them or len(running) >= 2 * WORKERS):
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in finished:
                digest = running.pop(future)
                try:
                    result = future.result()
                except (BackendError, BlobError, StoreError) as error:
                    report.failed += 1
                    report.tell(f"blob {digest} to {place.url}: {error}")
                    continue
                if result is None:
                    report.present += 1
                else:
                    report.copied += 1
                    report.copied_size += result[1]
                    done.append(result)
                    progress(result[1])

    with ThreadPoolExecutor(WORKERS) as pool:
        for stat in _live(store):
            digest = digest_of_key(stat.key)
            report.objects += 1
            running[pool.submit(_copy_object, store, copy, place, digest)] = digest
            collect(all_of_them=False)
            if len(done) >= NOTED_BLOBS:
                _note(store, copy, done)
        collect(all_of_them=True)
    _note(store, copy, done)


def _live(store: BlobStore) -> Iterator[ObjectStat]:
    return (stat for stat in store.backend.scan(OBJECTS) if digest_of_key(stat.key))


def _copy_object(store: BlobStore, copy: Copy, place: Backend, digest: str) -> tuple[str, int, str] | None:
    """Copy one object; None if the copy has it in the version that was acknowledged."""
    key = object_key(digest)
    with contextlib.suppress(ObjectNotFoundError):
        stat = place.stat(key)
        if stat.version and (stat.stored_size, stat.version) == store.catalog.copy_version(digest, copy.id):
            return None
    try:
        return (digest, *refill(store, place, digest))
    except BlobCorruptError:
        # The copy may have a good one, which then comes to the store: the reader sees to that.
        store.reader.verify(digest)
        raise
    except ObjectNotFoundError:
        return None  # pruned meanwhile


def _note(store: BlobStore, copy: Copy, done: list[tuple[str, int, str]]) -> None:
    if done:
        with store.catalog.transaction():
            store.catalog.set_copies(copy.id, done)
        done.clear()


def _copy_records(store: BlobStore, place: Backend) -> None:
    """The registry and the pins too: who opens the copy as a store must be able to prune it."""
    for prefix in (DATABASES, PINS):
        for stat in store.backend.scan(prefix):
            with contextlib.suppress(ObjectNotFoundError), store.backend.open(stat.key) as file:
                place.put(stat.key, file, size=stat.stored_size)
