"""`BlobStore`: one store, opened. It owns where things are; reading, writing and deleting have files of their own."""

import contextlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.codec import ObjectHeader
from ocblob.errors import (
    BackendError,
    DatabaseUnsupportedError,
    DeletionRefusedError,
    ObjectNotFoundError,
    StoreError,
    StoreNotFoundError,
    StoreUnavailableError,
)
from ocblob.filesystem import remove_empty_directories
from ocblob.store import layout
from ocblob.store.catalog import NOTE_TIMEOUT_MS, Catalog, set_aside
from ocblob.store.copies import Copy, copies_of, declare_copy, vouch
from ocblob.store.epoch import NO_EPOCH, begin_epoch, read_epoch
from ocblob.store.founding import make_directory, prepare
from ocblob.store.nurse import Nurse
from ocblob.store.places import LocalTier, Options, machine_of, place_of
from ocblob.store.reader import Reader
from ocblob.store.registry import Registry
from ocblob.store.shelf import LocalShelf, RemoteShelf, Shelf, Stored
from ocblob.store.stream import BlobStream
from ocblob.store.tier import Tier
from ocblob.store.tiers import trim
from ocblob.store.trash import Trash
from ocblob.store.uses import Uses
from ocblob.store.writer import Hooks, Writer

FORGETTERS: Final = 8
_TRIM_SHARE: Final = 20


class BlobStore:
    """Content-addressed blobs in one place. Thread-safe; a process opens a store once and keeps it.

    Reading needs no catalog and nothing writable. Last use is noted when that is possible.
    """

    def __init__(
        self,
        backend: Backend,
        identity: layout.StoreIdentity,
        *,
        writable: bool,
        tier: LocalTier | None = None,
        options: Options | None = None,
    ) -> None:
        self.backend = backend
        self._identity = identity
        self._options = options or {}
        self._tier_options = tier
        self.remote = not isinstance(backend, LocalBackend)
        self._local, self._no_tier = (
            (backend, "") if isinstance(backend, LocalBackend) else _tier_directory(identity, tier)
        )
        """Where catalog and staging are: the store itself if that is local; None for a remote one, and why."""
        self._writable = writable and self._local is not None
        self._lock = threading.Lock()
        self._catalog: Catalog | None = None
        self._copies: tuple[tuple[Copy, Backend], ...] | None = None
        self._vouched: set[str] = set()
        self._silent: set[str] = set()
        """Copies that did not answer."""
        self._uses = Uses(lambda: self.catalog) if self._writable else None
        self._filled = 0
        self.tier: Tier | None = None
        if self.remote and tier is not None and self._local is not None:
            self.tier = Tier(self._local, capacity=tier.cache_bytes, filled=self._tier_filled)
        care = Nurse(self) if self._writable else None
        self._past_tier = Reader(backend, copies=self._copied_to, vouch=self.vouch, care=care)
        """For headers: they are not worth fetching whole objects."""
        self.reader = (
            Reader(backend, tier=self.tier, copies=self._copied_to, vouch=self.vouch, care=care)
            if self._writable
            else self._past_tier
        )
        machine = machine_of(tier) if self.remote and tier is not None and self._local is not None else None
        self.registry = Registry(backend, machine=machine)

    @classmethod
    def open(
        cls,
        url: str | os.PathLike[str],
        *,
        read_only: bool = False,
        tier: LocalTier | None = None,
        options: Options | None = None,
    ) -> "BlobStore":
        """Open a store that is there; read-only, nothing in it changes, not even where a bad object lies.

        A remote store keeps its catalog and hot blobs in `tier`; without one it can only be read. `options` are
        the backends', by the scheme of their URLs. Raises `StoreNotFoundError`, `StoreFormatError` or `BackendError`.
        """
        backend = place_of(os.fspath(url), options, tier)
        identity = layout.read_identity(backend)
        writable = not read_only
        if isinstance(backend, LocalBackend):
            writable = writable and os.access(backend.root, os.W_OK)
        return cls(backend, identity, writable=writable, tier=tier, options=options)

    @classmethod
    def create(
        cls,
        url: str | os.PathLike[str],
        *,
        tier: LocalTier | None = None,
        options: Options | None = None,
    ) -> tuple["BlobStore", bool]:
        """Open a store, or make it; the flag says that it is new. A directory with other things is refused."""
        backend = place_of(os.fspath(url), options, tier)
        with contextlib.suppress(StoreNotFoundError):
            return cls.open(url, tier=tier, options=options), False
        if isinstance(backend, LocalBackend):
            prepare(backend)
        # store.json comes last: half a store is no store, and the next try completes it.
        identity = layout.create_identity(backend)
        return cls(backend, identity, writable=True, tier=tier, options=options), True

    @property
    def url(self) -> str:
        """Where it is."""
        return self.backend.url

    @property
    def id(self) -> str:
        """32 hex digits that name this store and no other."""
        return self._identity.id

    @property
    def short_id(self) -> str:
        """The first 8 of them, as refs show them."""
        return self._identity.short_id

    @property
    def writable(self) -> bool:
        """Whether this process may change anything."""
        return self._writable

    @property
    def local(self) -> LocalBackend:
        """The directory with catalog and staging. Raises `StoreUnavailableError` if there is none."""
        if self._local is None:
            raise StoreUnavailableError(f"{self.url} can only be read: {self._no_tier}")
        return self._local

    @property
    def catalog(self) -> Catalog:
        """The catalog, opened on first use. Raises `StoreUnavailableError` if the store cannot be written."""
        with self._lock:
            if self._catalog is None:
                path = self.local.path(layout.CATALOG_FILE)
                # A remote store's catalog is this machine's own note: making one changes nothing in the store.
                if self.remote:
                    make_directory(path.parent)
                self._catalog = Catalog(path, store_id=self.id, read_only=not (self._writable or self.remote))
            return self._catalog

    def writer(self) -> Writer:
        """Begin to put blobs; use it as a context manager."""
        staging = self.local.path(layout.STAGING.rstrip("/"))
        if not self._writable:
            raise StoreUnavailableError(f"{self.url}: no permission to write")
        catalog = self.catalog
        shelf: Shelf = (
            RemoteShelf(self.backend, self.reader, self.tier, room=self.tier.capacity - catalog.totals().held)
            if self.tier is not None
            else LocalShelf(self.local, self.reader)
        )
        hooks = Hooks(epoch=self._epoch, published=self._tombstones_to_bury())
        return Writer(shelf, catalog, staging, hooks=hooks)

    def put(self, chunks: Iterable[bytes]) -> Stored:
        """Put one blob; durable when it returns. For many, keep a `writer`."""
        with self.writer() as writer:
            return writer.put(chunks)

    def chunks(self, digest: str) -> Iterator[bytes]:
        """A blob in pieces of up to 1 MiB; verified if the iterator ends without an error."""
        yield from self.reader.chunks(digest)
        self._used(digest)

    def read(self, digest: str) -> bytes:
        """A whole blob, verified. Memory: the blob, twice while it is joined."""
        data = self.reader.read(digest)
        self._used(digest)
        return data

    def open_blob(self, digest: str) -> "io.BufferedReader[BlobStream]":
        """A seekable stream; verified by digest when it is read from beginning to end."""
        stream = io.BufferedReader(self.reader.open(digest), buffer_size=64 * 1024)
        self._used(digest)
        return stream

    def contains(self, digest: str) -> bool:
        """Whether the store's own object is there now, unread."""
        return self.reader.find(digest) is not None

    def objects(self) -> Iterator[tuple[str, int]]:
        """Digest and stored size of every live object, ordered; a 256th of them in memory at a time."""
        for byte in range(256):
            listed = self.backend.scan(f"{layout.OBJECTS}{byte:02x}/")
            yield from sorted(
                (layout.digest_of_key(stat.key), stat.stored_size) for stat in listed if layout.digest_of_key(stat.key)
            )

    def header(self, digest: str) -> ObjectHeader:
        """What an object says of itself; its content is not read. Raises as reading does."""
        with self._past_tier.open(digest) as stream:
            return stream.header

    def new_catalog(self) -> Catalog:
        """Put an empty catalog in the place of the old one, which is kept under another name.

        Raises `StoreLockedError` if another process works with the old one: its claims would hold no longer.
        """
        with self._lock:
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None
            set_aside(self.local.path(layout.CATALOG_FILE))
        return self.catalog

    def stored_size(self, digest: str) -> int:
        """Bytes at rest of one object. Raises `ObjectNotFoundError`."""
        if key := self.reader.find(digest):
            return self.backend.stat(key).stored_size
        raise ObjectNotFoundError(f"{self.url}: no object for {digest}")

    def trash(self) -> Trash:
        """The deleter."""
        return Trash(self.backend, self.catalog)

    def begin_deletions(self) -> float:
        """Tell every host that something may go away from now on; returns the time to judge a grace by."""
        return begin_epoch(self.backend) if self.remote else time.time()

    def copies(self) -> tuple[tuple[Copy, Backend], ...]:
        """The other places of its blobs, opened."""
        if self._copies is None:
            self._copies = tuple((copy, self._place(copy.url)) for copy in copies_of(self.backend))
        return self._copies

    def add_copy(self, url: str) -> Copy:
        """Declare another place. Raises as `declare_copy` does."""
        copy = declare_copy(self.backend, self._identity, url, self._place(url))
        self._copies = None
        return copy

    def vouch(self, place: Backend) -> None:
        """Raise `StoreUnavailableError` unless a declared copy is there and is one; looked at once."""
        if place.url not in self._vouched:
            vouch(self.backend, self._identity, place, probe=self._writable)
            self._vouched.add(place.url)

    def refuse_copy(self) -> None:
        """Raise `DeletionRefusedError` in a copy: what it holds may be the last that another store relies on."""
        with contextlib.suppress(ObjectNotFoundError):
            of = layout.get_json(self.backend, layout.COPY_OF_KEY).get("of")
            raise DeletionRefusedError(
                f"nothing was deleted: {self.url} is a copy of the store {of}, which judges for both",
                hint="if that one is lost for good: ocblob store promote",
            )

    def promote(self) -> bool:
        """Make a copy a store of its own; False if it was one."""
        with contextlib.suppress(ObjectNotFoundError):
            self.backend.stat(layout.COPY_OF_KEY)
            self.backend.delete(layout.COPY_OF_KEY)
            self.backend.sync([layout.COPY_OF_KEY])
            return True
        return False

    def _copied_to(self) -> list[Backend]:
        return [place for _copy, place in self.copies()]

    def _place(self, url: str) -> Backend:
        return place_of(url, self._options, self._tier_options)

    def forget_elsewhere(self, digests: Sequence[str]) -> None:
        """Remove blobs that are gone from the copies and the tier too; inside a transaction of the catalog.

        A place that does not answer keeps what it has, and is not asked again: that costs room and nothing else.
        """
        for place in self._copied_to():
            if place.url not in self._silent and digests:
                self._forget_in(place, digests)
        for digest in digests:
            if self.tier is not None:
                self.tier.drop(digest)
        self.catalog.drop_copies(digests)

    def _forget_in(self, place: Backend, digests: Sequence[str]) -> None:
        try:
            self.vouch(place)
            place.delete(layout.object_key(digests[0]))
            with ThreadPoolExecutor(FORGETTERS) as pool:
                list(pool.map(lambda digest: place.delete(layout.object_key(digest)), digests[1:]))
        except BackendError:
            self._silent.add(place.url)

    def tidy_trash(self) -> None:
        """Remove directories that deletions left empty, where there are directories."""
        if isinstance(self.backend, LocalBackend):
            remove_empty_directories(self.backend.path(layout.TRASH.rstrip("/")))

    def close(self) -> None:
        """Note last uses and give the catalog free."""
        if self._uses is not None:
            self._uses.flush()
        with self._lock:
            if self._catalog is not None:
                self._catalog.close()
                self._catalog = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _tombstones_to_bury(self) -> Callable[[Iterable[Stored]], None]:
        """An object that is there again has no tombstone; in a store where nothing expired that costs nothing."""
        if next(self.backend.scan(layout.TOMBSTONES), None) is None:
            return lambda _: None

        def bury(stored: Iterable[Stored]) -> None:
            for item in stored:
                # A hit on a shared store may be on an object that another host is about to expire: only a put of
                # our own is sure to stay, for it has another version than the one that host has seen.
                if item.new or not self.remote:
                    self.backend.delete(layout.tombstone_key(item.digest))

        return bury

    def _epoch(self) -> str:
        return read_epoch(self.backend) if self.remote else NO_EPOCH

    def _used(self, digest: str) -> None:
        if self._uses is not None:
            self._uses.note(digest)

    def _tier_filled(self, digest: str, stored_size: int) -> None:
        with contextlib.suppress(BackendError, StoreError, DatabaseUnsupportedError):
            catalog = self.catalog
            with catalog.transaction(timeout_ms=NOTE_TIMEOUT_MS):
                catalog.set_held([(digest, stored_size)])
            with self._lock:
                self._filled += stored_size
                due = self.tier is not None and self._filled > self.tier.capacity // _TRIM_SHARE
                self._filled = 0 if due else self._filled
            if due:
                trim(self)


def _tier_directory(identity: layout.StoreIdentity, tier: LocalTier | None) -> tuple[LocalBackend | None, str]:
    """The directory of a remote store's tier, or why there is none: reading does without."""
    if tier is None:
        return None, "it has no local tier here"
    try:
        machine_of(tier)
    except StoreUnavailableError as error:
        return None, str(error)
    return LocalBackend(tier.directory / identity.id), ""
