"""Putting blobs, one batch at a time.

The order is the promise: stage, read back and compare, fsync, rename, fsync the directories, catalog. Only
then may a row name the blob. A crash anywhere before leaves files that nothing names; each step may be
repeated.
"""

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Self

from ocblob import codec
from ocblob.base64stream import NotCanonicalError
from ocblob.errors import BlobCorruptError, CellError, ClaimLostError, OcblobError, StageError, StoreUnavailableError
from ocblob.filesystem import create_private, make_private_directory
from ocblob.store.catalog import BlobRow, Catalog
from ocblob.store.claims import Claims
from ocblob.store.epoch import NO_EPOCH
from ocblob.store.shelf import Shelf, Stored

STAGERS: Final = 2
"""Threads that decode, compress, write and verify. About 6 MiB of memory each."""
SYNCERS: Final = 8
"""Threads that wait for fsync or for a remote store: both serve several at once for the price of one."""
STALE_STAGING_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob that rows are about to name, and where to get its bytes if the store has none."""

    digest: str
    size: int
    chunks: Callable[[], Iterator[bytes]]
    """Called in another thread, at most once. May raise `CellError` or `NotCanonicalError`."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a batch put, all of it durable, and what it could not."""

    stored: dict[str, Stored]
    failed: dict[str, OcblobError]
    """Blobs that are not in the store; a row that needs one of them must stay as it is."""

    @property
    def new(self) -> list[Stored]:
        """What was not in the store before."""
        return [stored for stored in self.stored.values() if stored.new]


@dataclass(slots=True)
class _Staged:
    """A blob that is in the store, or in a staged file that is on its way there."""

    stored: Stored
    path: Path | None = None
    """The staged file, until it is published."""
    sent: Future[Stored] | None = None
    """What is there once it is durable."""

    def settled(self) -> Stored:
        """Wait until it is durable."""
        return self.stored if self.sent is None else self.sent.result()


@dataclass(slots=True)
class _Job:
    """One blob on its way, maybe for several batches."""

    future: Future[_Staged]


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a store has to say to its writer."""

    epoch: Callable[[], str] = lambda: NO_EPOCH
    """Read once a batch, just before its rows are swapped."""
    published: Callable[[Iterable[Stored]], None] = lambda _: None
    """Told of blobs when they are durable."""


class Writer:
    """One writer of one store; batches are begun and finished in the same order.

    Close it: that ends its claims and removes its staging directory.
    """

    def __init__(self, shelf: Shelf, catalog: Catalog, staging: Path, *, hooks: "Hooks | None" = None) -> None:
        self._shelf = shelf
        self._catalog = catalog
        self._hooks = hooks or Hooks()
        self._claims = Claims(catalog, epoch=self._hooks.epoch)
        self._staging = staging / self._claims.writer
        self._pool = ThreadPoolExecutor(STAGERS, thread_name_prefix="ocblob-stage")
        self._syncers = ThreadPoolExecutor(SYNCERS, thread_name_prefix="ocblob-fsync")
        self._inflight: dict[str, _Job] = {}
        _remove_stale(staging)
        try:
            make_private_directory(self._staging)
        except OSError as error:
            raise StoreUnavailableError(f"{self._staging}: {error.strerror}") from error

    def begin(self, wanted: Iterable[Wanted]) -> "Batch":
        """Claim the blobs and start staging those that the store does not have. Returns at once."""
        by_digest = {want.digest: want for want in wanted}
        jobs: dict[str, _Job] = {}
        known: dict[str, Stored] = {}
        shared: set[str] = set()
        for digest, claimed in self._claims.claim(by_digest).items():
            if claimed.verified and (row := claimed.row) is not None:
                known[digest] = Stored(digest, row.size, row.stored_size, new=False, held=row.held, version=row.version)
            elif job := self._inflight.get(digest):
                jobs[digest] = job
                shared.add(digest)
            else:
                jobs[digest] = _Job(self._pool.submit(self._ensure, by_digest[digest], claimed.row))
                self._inflight[digest] = jobs[digest]
        return Batch(self, known, jobs, shared)

    def put(self, chunks: Iterable[bytes]) -> Stored:
        """Put one blob whose digest is not known yet. Durable when it returns."""
        staged = self._stage(chunks)
        digest = staged.stored.digest
        row = self._claims.claim([digest])[digest].row
        if hit := self._shelf.find(digest, row):
            staged = _Staged(hit)
        elif staged.sent is None:
            staged = self._sent(staged)
        for last in (False, True):
            receipt = Batch(self, {}, {digest: _Job(_done(staged))}, set()).finish()
            try:
                self.confirm(receipt.stored)
                break
            except ClaimLostError:
                # Taken away while it was put: what is in the store now is looked at afresh, or the caller told.
                row = self._claims.claim([digest])[digest].row
                hit = self._shelf.find(digest, row)
                if last or hit is None:
                    raise
                staged = _Staged(hit)
        return receipt.stored[digest]

    def confirm(self, digests: Collection[str]) -> None:
        """Just before rows are swapped: raise `ClaimLostError` unless all these blobs are still safe."""
        self._claims.confirm(digests)

    def settle(self) -> None:
        """Begin no further staging, and wait for what is under way: nobody is read after this."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def close(self) -> None:
        """End the claims and remove what was staged."""
        self.settle()
        self._syncers.shutdown(wait=True, cancel_futures=True)
        shutil.rmtree(self._staging, ignore_errors=True)
        self._claims.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _ensure(self, wanted: Wanted, row: BlobRow | None) -> _Staged:
        """In a pool thread: find the blob in the store and verify it, or stage it."""
        if hit := self._shelf.find(wanted.digest, row):
            return _Staged(hit)
        try:
            staged = self._stage(wanted.chunks())
        except NotCanonicalError as error:
            raise CellError(f"the payload of blob {wanted.digest} changed while it was read") from error
        if staged.stored.digest != wanted.digest:
            raise CellError(f"the payload of blob {wanted.digest} changed while it was read")
        return staged if staged.sent is not None else self._sent(staged)

    def _sent(self, staged: _Staged) -> _Staged:
        """On its way to where it is durable."""
        assert staged.path is not None  # noqa: S101 - who stages has a file
        return replace(staged, sent=self._syncers.submit(self._shelf.send, staged.stored, staged.path))

    def _stage(self, chunks: Iterable[bytes]) -> _Staged:
        """Write one object, read it back and compare."""
        path = self._staging / os.urandom(8).hex()
        sent = None
        try:
            with create_private(path) as file:
                header, stored_size = codec.encode(chunks, file)
            held = self._shelf.held(stored_size)
            stored = Stored(header.digest, header.size, stored_size, new=True, held=held)
            if self._shelf.sends_unverified:
                sent = self._syncers.submit(self._shelf.send, stored, path)
            # A bug in any codec must not cost a user's bytes: what lies there is what counts.
            with path.open("rb", buffering=0) as back:
                size = sum(len(chunk) for chunk in codec.decode(back, digest=header.digest))
            if size != header.size:
                raise StageError(f"blob {header.digest} reads back as {size} bytes, not {header.size}")
        except BlobCorruptError as error:
            path.unlink(missing_ok=True)
            raise StageError(f"blob {error.digest} does not read back as it was written: {error}") from error
        except OSError as error:
            path.unlink(missing_ok=True)
            raise StoreUnavailableError(f"{self._staging}: {error.strerror}") from error
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return _Staged(stored, path, sent)

    def publish(self, stored: dict[str, Stored], staged: dict[str, _Staged], jobs: dict[str, _Job]) -> None:
        """Names, directories, catalog.

        Raises `ClaimLostError` if a claim has ended meanwhile: a deleter may then be at work on the blob.
        """
        try:
            self._claims.check_standing(stored)
            files = {digest: item.path for digest, item in staged.items() if item.path is not None}
            self._shelf.publish(files, stored)
            for digest in files:
                # Several batches may share it.
                staged[digest].path = None
            # Hits too: one that was found in the trash may have its tombstone already.
            self._hooks.published(stored.values())
            with self._catalog.transaction():
                self._claims.check_standing(stored)
                for item in stored.values():
                    self._catalog.put(
                        item.digest,
                        size=item.size,
                        stored_size=item.stored_size,
                        held=item.held,
                        version=item.version,
                    )
                self._catalog.set_verified(stored, writer=self._claims.writer)
        finally:
            for digest in stored:
                self.forget(digest, jobs[digest])

    def forget(self, digest: str, job: _Job) -> None:
        """A job is over: whoever wants the blob next asks the store."""
        if self._inflight.get(digest) is job:
            del self._inflight[digest]


class Batch:
    """The blobs of some rows, on their way into the store."""

    def __init__(self, writer: Writer, known: dict[str, Stored], jobs: dict[str, _Job], shared: set[str]) -> None:
        self._writer = writer
        self._known = known
        self._jobs = jobs
        self._shared = shared
        """Jobs of an earlier batch: it is finished first, and counts them."""

    def finish(self) -> Receipt:
        """Wait until every blob is durable and in the catalog.

        One blob's trouble is in the receipt. Raises `BackendError` if the store itself fails, `ClaimLostError`
        if a claim has ended; nothing of the batch may then be relied on.
        """
        stored: dict[str, Stored] = {}
        staged: dict[str, _Staged] = {}
        failed: dict[str, OcblobError] = {}
        for digest, job in self._jobs.items():
            try:
                staged[digest] = job.future.result()
                done = staged[digest].settled()
                stored[digest] = replace(done, new=False) if digest in self._shared else done
            except (CellError, StageError, BlobCorruptError) as error:
                self._writer.forget(digest, job)
                failed[digest] = error
            except BaseException:
                self._writer.forget(digest, job)
                raise
        if stored:
            self._writer.publish(stored, staged, self._jobs)
        return Receipt(self._known | stored, failed)


def _done(staged: _Staged) -> Future[_Staged]:
    future: Future[_Staged] = Future()
    future.set_result(staged)
    return future


def _remove_stale(staging: Path) -> None:
    """Remove what writers left that died long ago."""
    with contextlib.suppress(OSError):
        for directory in staging.iterdir():
            with contextlib.suppress(OSError):
                if directory.stat().st_mtime < time.time() - STALE_STAGING_S:
                    if directory.is_dir():
                        shutil.rmtree(directory, ignore_errors=True)
                    else:
                        directory.unlink()
