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
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, Self

from ocblob import codec
from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.base64stream import NotCanonicalError
from ocblob.errors import (
    BlobCorruptError,
    BlobMissingError,
    CellError,
    ObjectNotFoundError,
    OcblobError,
    StageError,
    StoreUnavailableError,
)
from ocblob.filesystem import create_private, fsync_file, make_private_directory
from ocblob.store.catalog import Catalog
from ocblob.store.claims import Claims
from ocblob.store.layout import object_key
from ocblob.store.reader import Reader

STAGERS: Final = 2
"""Threads that decode, compress, write and verify. About 6 MiB of memory each."""
SYNCERS: Final = 8
"""Threads that wait for fsync: file systems serve several at once for the price of one."""
STALE_STAGING_S: Final = 24 * 3600


@dataclass(frozen=True, slots=True)
class Wanted:
    """A blob that rows are about to name, and where to get its bytes if the store has none."""

    digest: str
    size: int
    chunks: Callable[[], Iterator[bytes]]
    """Called in another thread, at most once. May raise `CellError` or `NotCanonicalError`."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one blob."""

    digest: str
    size: int
    stored_size: int
    new: bool
    """False for a dedupe hit: the store had it, and it was read and found true."""
    name: str = field(default="", repr=False)
    """The staged file, below the writer's directory."""
    durable: Future[None] | None = field(default=None, repr=False, compare=False)
    """The staged file's fsync, under way."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What a batch put, all of it durable, and what it could not."""

    stored: dict[str, Stored]
    failed: dict[str, OcblobError]
    """Blobs that are not in the store; a row that needs one of them must stay as it is."""


@dataclass(slots=True)
class _Job:
    """One blob on its way, maybe for several batches."""

    future: Future[Stored]
    adopted: bool = False
    """Whether the staged file has its final name."""


class Writer:
    """One writer of one store; batches are begun and finished in the same order.

    Close it: that ends its claims and removes its staging directory.
    """

    def __init__(self, backend: Backend, catalog: Catalog, reader: Reader, staging: Path) -> None:
        self._backend = backend
        self._catalog = catalog
        self._reader = reader
        self._claims = Claims(catalog)
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
            if claimed.verified and claimed.row is not None:
                known[digest] = Stored(digest, claimed.row.size, claimed.row.stored_size, new=False)
            elif job := self._inflight.get(digest):
                jobs[digest] = job
                shared.add(digest)
            else:
                jobs[digest] = _Job(self._pool.submit(self._ensure, by_digest[digest]))
                self._inflight[digest] = jobs[digest]
        return Batch(self, known, jobs, shared)

    def put(self, chunks: Iterable[bytes]) -> Stored:
        """Put one blob whose digest is not known yet. Durable when it returns."""
        staged = self._stage(chunks)
        self._claims.claim([staged.digest])
        key = self._reader.find(staged.digest)
        stored = (self._verified(staged.digest, key) if key else None) or staged
        receipt = Batch(self, {}, {staged.digest: _Job(_done(stored))}, set()).finish()
        self.confirm(receipt.stored)
        return receipt.stored[staged.digest]

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

    def _ensure(self, wanted: Wanted) -> Stored:
        """In a pool thread: find the blob in the store and verify it, or stage it."""
        if (key := self._reader.find(wanted.digest)) and (hit := self._verified(wanted.digest, key)):
            return hit
        try:
            staged = self._stage(wanted.chunks())
        except NotCanonicalError as error:
            raise CellError(f"the payload of blob {wanted.digest} changed while it was read") from error
        if staged.digest != wanted.digest:
            raise CellError(f"the payload of blob {wanted.digest} changed while it was read")
        return staged

    def _verified(self, digest: str, key: str) -> Stored | None:
        """What the store has, as durable as a fresh put; None if it has nothing good."""
        try:
            size = self._reader.verify(digest)
            live = object_key(digest)
            if key != live:
                self._backend.move(key, live)
                self._backend.sync([key, live])
            if isinstance(self._backend, LocalBackend):
                # It may be another writer's, renamed a moment ago and not durable yet.
                self._backend.sync_object(live)
            return Stored(digest, size, self._backend.stat(live).stored_size, new=False)
        except (BlobCorruptError, BlobMissingError, ObjectNotFoundError):
            return None

    def _stage(self, chunks: Iterable[bytes]) -> Stored:
        """Write one object, read it back and compare, while its fsync is under way."""
        path = self._staging / os.urandom(8).hex()
        try:
            with create_private(path) as file:
                header, stored_size = codec.encode(chunks, file)
            durable = self._syncers.submit(_fsync, path)
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
        return Stored(header.digest, header.size, stored_size, new=True, name=path.name, durable=durable)

    def publish(self, stored: dict[str, Stored], jobs: dict[str, _Job]) -> None:
        """Rename, fsync the directories, enter into the catalog.

        Raises `ClaimLostError` if a claim has ended meanwhile: a deleter may then be at work on the blob.
        """
        keys = [object_key(digest) for digest in stored]
        try:
            self._claims.check_standing(stored)
            for (digest, item), key in zip(stored.items(), keys, strict=True):
                if item.name and not jobs[digest].adopted:
                    self._backend.adopt(key, self._staging / item.name)
                    jobs[digest].adopted = True
            self._backend.sync(keys)
            with self._catalog.transaction():
                self._claims.check_standing(stored)
                for item in stored.values():
                    self._catalog.put(item.digest, size=item.size, stored_size=item.stored_size)
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
        failed: dict[str, OcblobError] = {}
        for digest, job in self._jobs.items():
            try:
                done = job.future.result()
                if done.durable is not None:
                    done.durable.result()
                stored[digest] = replace(done, new=False) if digest in self._shared else done
            except (CellError, StageError, BlobCorruptError) as error:
                self._writer.forget(digest, job)
                failed[digest] = error
            except BaseException:
                self._writer.forget(digest, job)
                raise
        if stored:
            self._writer.publish(stored, self._jobs)
        return Receipt(self._known | stored, failed)


def _fsync(path: Path) -> None:
    try:
        fsync_file(path)
    except OSError as error:
        raise StoreUnavailableError(f"{path}: {error.strerror}; the batch is given up, no row was changed") from error


def _done(stored: Stored) -> Future[Stored]:
    future: Future[Stored] = Future()
    future.set_result(stored)
    return future


def _remove_stale(staging: Path) -> None:
    """Remove what writers left that died long ago."""
    with contextlib.suppress(OSError):
        for directory in staging.iterdir():
            with contextlib.suppress(OSError):
                if directory.stat().st_mtime < time.time() - STALE_STAGING_S:
                    shutil.rmtree(directory, ignore_errors=True)
