"""`BlobStore`: one store, opened. It owns where things are; reading and writing have files of their own."""

import contextlib
import io
import os
import threading
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, Self

from ocblob.backends import local_path
from ocblob.backends.local import LocalBackend
from ocblob.codec import ObjectHeader
from ocblob.errors import (
    BackendError,
    DatabaseUnsupportedError,
    ObjectNotFoundError,
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
    UsageError,
)
from ocblob.filesystem import PRIVATE_DIRECTORY_MODE, fsync_directory, make_private_directory
from ocblob.store import layout
from ocblob.store.catalog import NOTE_TIMEOUT_MS, Catalog, State
from ocblob.store.reader import Reader
from ocblob.store.registry import Registry
from ocblob.store.stream import BlobStream
from ocblob.store.writer import Stored, Writer

TOUCH_EVERY_S: Final = 60.0
TOUCH_BLOBS: Final = 256


class BlobStore:
    """Content-addressed blobs in one place. Thread-safe; a process opens a store once and keeps it.

    Reading needs no catalog and nothing writable. Last use is noted when that is possible.
    """

    def __init__(self, backend: LocalBackend, identity: layout.StoreIdentity, *, writable: bool) -> None:
        self._backend = backend
        self._identity = identity
        self._writable = writable
        self._lock = threading.Lock()
        self._catalog: Catalog | None = None
        self._used: dict[str, int] = {}
        self._used_since = time.monotonic()
        self.reader = Reader(backend, on_corrupt=self._mark_corrupt if writable else None)
        self.registry = Registry(backend)

    @classmethod
    def open(cls, url: str | os.PathLike[str], *, read_only: bool = False) -> "BlobStore":
        """Open a store that is there; read-only, nothing in it changes, not even where a bad object lies.

        Raises `StoreNotFoundError`, `StoreFormatError` or `BackendError`.
        """
        backend = _connect(os.fspath(url))
        identity = layout.read_identity(backend)
        return cls(backend, identity, writable=not read_only and os.access(backend.root, os.W_OK))

    @classmethod
    def create(cls, url: str | os.PathLike[str]) -> tuple["BlobStore", bool]:
        """Open a store, or make it; the flag says that it is new. A directory with other things is refused."""
        backend = _connect(os.fspath(url))
        with contextlib.suppress(StoreNotFoundError):
            return cls.open(url), False
        root = backend.root
        try:
            if root.exists() and (not root.is_dir() or _foreign(root)):
                raise StoreError(f"{root} is there, is no blob store, and is not empty", hint="name another --store")
            objects = backend.path(layout.OBJECTS.rstrip("/"))
            make_private_directory(objects)
            make_private_directory(backend.path(layout.STAGING.rstrip("/")))
            for byte in range(256):
                (objects / f"{byte:02x}").mkdir(mode=PRIVATE_DIRECTORY_MODE, exist_ok=True)
            fsync_directory(objects)
        except OSError as error:
            raise StoreUnavailableError(f"{root}: {error.strerror}") from error
        # store.json comes last: half a store is no store, and the next try completes it.
        return cls(backend, layout.create_identity(backend), writable=True), True

    @property
    def url(self) -> str:
        """Where it is."""
        return self._backend.url

    @property
    def id(self) -> str:
        """32 hex digits that name this store and no other."""
        return self._identity.id

    @property
    def short_id(self) -> str:
        """The first 8 of them, as refs show them."""
        return self._identity.short_id

    @property
    def catalog(self) -> Catalog:
        """The catalog, opened on first use. Raises `StoreUnavailableError` if the store cannot be written."""
        with self._lock:
            if self._catalog is None:
                path = self._backend.path(layout.CATALOG_FILE)
                self._catalog = Catalog(path, store_id=self.id, read_only=not self._writable)
            return self._catalog

    def writer(self) -> Writer:
        """Begin to put blobs; use it as a context manager."""
        if not self._writable:
            raise StoreUnavailableError(f"{self.url}: no permission to write")
        return Writer(self._backend, self.catalog, self.reader, self._backend.path(layout.STAGING.rstrip("/")))

    def put(self, chunks: Iterable[bytes]) -> Stored:
        """Put one blob; durable when it returns. For many, keep a `writer`."""
        with self.writer() as writer:
            return writer.put(chunks)

    def chunks(self, digest: str) -> Iterator[bytes]:
        """A blob in pieces of up to 1 MiB; verified if the iterator ends without an error."""
        yield from self.reader.chunks(digest)
        self._note_use(digest)

    def read(self, digest: str) -> bytes:
        """A whole blob, verified. Memory: the blob, twice while it is joined."""
        data = self.reader.read(digest)
        self._note_use(digest)
        return data

    def open_blob(self, digest: str) -> "io.BufferedReader[BlobStream]":
        """A seekable stream; verified by digest when it is read from beginning to end."""
        stream = io.BufferedReader(self.reader.open(digest), buffer_size=64 * 1024)
        self._note_use(digest)
        return stream

    def contains(self, digest: str) -> bool:
        """Whether an object is there now, unread."""
        return self.reader.find(digest) is not None

    def objects(self) -> Iterator[tuple[str, int]]:
        """Digest and stored size of every object, ordered; a 256th of them in memory at a time."""
        for byte in range(256):
            listed = self._backend.scan(f"{layout.OBJECTS}{byte:02x}/")
            yield from sorted(
                (layout.digest_of_key(stat.key), stat.stored_size) for stat in listed if layout.digest_of_key(stat.key)
            )

    def header(self, digest: str) -> ObjectHeader:
        """What an object says of itself; its content is not read. Raises as reading does."""
        with self.reader.open(digest) as stream:
            return stream.header

    def new_catalog(self) -> Catalog:
        """Put an empty catalog in the place of the old one, which is kept under another name."""
        path = self._backend.path(layout.CATALOG_FILE)
        with self._lock:
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None
            old = f"{path.name}.{time.time_ns():x}.old"
            for suffix in ("-wal", "", "-shm"):
                with contextlib.suppress(FileNotFoundError):
                    path.with_name(path.name + suffix).replace(path.with_name(old + suffix))
        return self.catalog

    def stored_size(self, digest: str) -> int:
        """Bytes at rest of one object. Raises `ObjectNotFoundError`."""
        if key := self.reader.find(digest):
            return self._backend.stat(key).stored_size
        raise ObjectNotFoundError(f"{self.url}: no object for {digest}")

    def close(self) -> None:
        """Note last uses and give the catalog free."""
        self._flush_uses()
        with self._lock:
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _note_use(self, digest: str) -> None:
        if not self._writable:
            return
        with self._lock:
            self._used[digest] = int(time.time())
            due = len(self._used) >= TOUCH_BLOBS or time.monotonic() - self._used_since > TOUCH_EVERY_S
        if due:
            self._flush_uses()

    def _flush_uses(self) -> None:
        with self._lock:
            used, self._used = self._used, {}
            self._used_since = time.monotonic()
        # Reading must work where nothing can be written.
        with contextlib.suppress(BackendError, StoreError, DatabaseUnsupportedError):
            if used and self._writable:
                self.catalog.touch(used)

    def _mark_corrupt(self, digest: str) -> None:
        catalog = self.catalog
        with catalog.transaction(timeout_ms=NOTE_TIMEOUT_MS):
            catalog.change_state(digest, State.LIVE, State.CORRUPT)


def _connect(url: str) -> LocalBackend:
    path = local_path(url)
    if path is None:
        raise UsageError(f"{url}: this version keeps stores in local directories only")
    return LocalBackend(path.absolute())


def _foreign(root: Path) -> list[str]:
    """What lies in a directory that a half-made store would not have there."""
    ours, half_written = {"objects", "staging", layout.CATALOG_FILE}, (".store.json.", "store.json.new-")
    names = (entry.name for entry in root.iterdir())
    return [name for name in names if name not in ours and not name.startswith(half_written)]
