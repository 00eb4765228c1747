"""Where a writer's objects become durable: files of our own, or a remote store that acknowledges them."""

import contextlib
import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.errors import (
    BackendError,
    BlobCorruptError,
    BlobMissingError,
    ObjectNotFoundError,
    StoreUnavailableError,
)
from ocblob.filesystem import fsync_file
from ocblob.store.catalog import BlobRow
from ocblob.store.layout import object_key
from ocblob.store.reader import Reader
from ocblob.store.tier import Tier

TRIES: Final = 3


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of one blob."""

    digest: str
    size: int
    stored_size: int
    new: bool
    """False for a dedupe hit: the store had it, and it was found true."""
    held: int = 0
    """Bytes on the local tier."""
    version: str = ""
    """The version that a remote store acknowledged, or gave when it was read."""


class Shelf(Protocol):
    """Finds objects and makes staged ones durable. Thread-safe, but for `publish`."""

    sends_unverified: bool
    """Whether a staged file may be sent while it is still being read back: then sending shows it to nobody."""

    def find(self, digest: str, row: BlobRow | None) -> Stored | None:
        """The object that is there, checked; None if there is nothing good."""

    def send(self, staged: Stored, path: Path) -> Stored:
        """Make a staged file's bytes durable; returns what is there then: maybe an object of somebody else's."""

    def publish(self, staged: dict[str, Path], stored: Mapping[str, Stored]) -> None:
        """Give sent files their names, durably. What is given its name is no staged file any more.

        `stored` are all blobs of the batch, with those that were there before.
        """

    def held(self, stored_size: int) -> int:
        """How many bytes of a fresh object the local tier will have; asked once for each."""


class LocalShelf:
    """Objects are files: fsync, rename, fsync of the directories."""

    sends_unverified = True

    def __init__(self, backend: LocalBackend, reader: Reader) -> None:
        self._backend = backend
        self._reader = reader

    def find(self, digest: str, row: BlobRow | None) -> Stored | None:
        """Read and verified in full; from the trash it comes back."""
        del row
        key = self._reader.find(digest)
        if key is None:
            return None
        try:
            size, _version = self._reader.verify_own(digest, key)
            live = object_key(digest)
            if key != live:
                self._backend.move(key, live)
                self._backend.sync([key, live])
            # It may be another writer's, renamed a moment ago and not durable yet.
            self._backend.sync_object(live)
            stored_size = self._backend.stat(live).stored_size
        except (BlobCorruptError, BlobMissingError, ObjectNotFoundError):
            return None
        return Stored(digest, size, stored_size, new=False, held=stored_size)

    def send(self, staged: Stored, path: Path) -> Stored:
        """Fsync. An error is never answered by a second try on the same file."""
        try:
            fsync_file(path)
        except OSError as error:
            raise StoreUnavailableError(
                f"{path}: {error.strerror}; the batch is given up, no row was changed"
            ) from error
        return staged

    def publish(self, staged: dict[str, Path], stored: Mapping[str, Stored]) -> None:
        """Rename all, then fsync each touched directory once."""
        for digest, path in staged.items():
            self._backend.adopt(object_key(digest), path)
        self._backend.sync(object_key(digest) for digest in stored)

    def held(self, stored_size: int) -> int:
        """All of it."""
        return stored_size


class RemoteShelf:
    """Objects are put where they are acknowledged; a copy may stay in the tier."""

    sends_unverified = False

    def __init__(self, backend: Backend, reader: Reader, tier: Tier, *, room: int) -> None:
        self._backend = backend
        self._reader = reader
        self._tier = tier
        self._lock = threading.Lock()
        self._room = room
        """Bytes that the tier may still take: what is claimed cannot be trimmed while this writer is at work."""

    def find(self, digest: str, row: BlobRow | None) -> Stored | None:
        """One HEAD for a blob that this host has seen there; one that it has not is put, which tells too."""
        if row is None:
            return None
        key = object_key(digest)
        try:
            stat = self._backend.stat(key)
            if not stat.version or (stat.version, stat.stored_size) != (row.version, row.stored_size):
                return replace(self._verified(digest, key), held=row.held)
        except (BlobCorruptError, ObjectNotFoundError):
            return None
        return Stored(digest, row.size, row.stored_size, new=False, held=row.held, version=row.version)

    def send(self, staged: Stored, path: Path) -> Stored:
        """Upload. Where an object is already there, it counts only if all of it is true."""
        key = object_key(staged.digest)
        for _try in range(TRIES):
            try:
                file = path.open("rb")
            except OSError as error:
                # Another writer takes the staging of one that has slept for a day.
                raise StoreUnavailableError(f"{path}: {error.strerror}; no row was changed") from error
            with file:
                version = self._backend.put_new(key, file, size=os.fstat(file.fileno()).st_size)
            if version is not None:
                return replace(staged, version=version)
            with contextlib.suppress(BlobCorruptError, ObjectNotFoundError):
                return replace(self._verified(staged.digest, key), held=staged.held)
        raise StoreUnavailableError(f"{self._backend.url}: {key} is there and is not, again and again")

    def publish(self, staged: dict[str, Path], stored: Mapping[str, Stored]) -> None:
        """Keep what the tier keeps; the staged files of the others go."""
        for digest, path in staged.items():
            # The object is durable where it counts; a tier that cannot be written loses nothing.
            with contextlib.suppress(BackendError, OSError):
                if stored[digest].held:
                    self._tier.directory.adopt(object_key(digest), path)
                else:
                    path.unlink()

    def held(self, stored_size: int) -> int:
        """What the tier keeps, as long as there is room."""
        with self._lock:
            if not self._tier.keeps(stored_size) or stored_size > self._room:
                return 0
            self._room -= stored_size
            return stored_size

    def _verified(self, digest: str, key: str) -> Stored:
        size, version = self._reader.verify_own(digest, key)
        stored_size = self._backend.stat(key).stored_size
        return Stored(digest, size, stored_size, new=False, version=version)
