"""The local tier of a remote store: objects of hot blobs, verified on their way in.

What lies here is never the only witness of a blob: it is read with every check, and may vanish at any time.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, Final, cast

from ocblob import codec
from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.errors import BackendError, StoreUnavailableError
from ocblob.filesystem import create_private, make_private_directory
from ocblob.store.layout import OBJECTS, STAGING, digest_of_key, object_key

SHARE_OF_ONE: Final = 4
"""A blob larger than this part of the tier is read through, not kept."""


class Tier:
    """Hot objects in one directory. Thread-safe; several processes may share it."""

    def __init__(self, directory: LocalBackend, *, capacity: int, filled: Callable[[str, int], None]) -> None:
        self.directory = directory
        self.capacity = capacity
        """Bytes; 0 keeps nothing."""
        self._filled = filled
        self._lock = threading.Lock()
        self._flights: dict[str, tuple[threading.Lock, int]] = {}
        """Each lock with the number of threads that hold it or wait for it."""

    @property
    def staging(self) -> Path:
        """Where files are before they are objects."""
        return self.directory.path(STAGING.rstrip("/"))

    def keeps(self, stored_size: int) -> bool:
        """Whether an object of this size is kept at all."""
        return 0 < stored_size <= self.capacity // SHARE_OF_ONE

    @contextlib.contextmanager
    def flight(self, digest: str) -> Iterator[None]:
        """One fetch of a digest at a time in this process."""
        with self._lock:
            lock, waiting = self._flights.get(digest, (threading.Lock(), 0))
            self._flights[digest] = (lock, waiting + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                _, waiting = self._flights.pop(digest)
                if waiting > 1:
                    self._flights[digest] = (lock, waiting - 1)

    def fill(self, digest: str, source: BinaryIO) -> None:
        """Keep an object that is read from `source`, if all of it is true.

        Raises `BlobCorruptError` if it is not, `StoreUnavailableError` if nothing can be written here.
        """
        path = self.staging / f"fetch-{os.urandom(8).hex()}"
        try:
            make_private_directory(self.staging)
            stored_size = _verified_copy(source, path, digest=digest)
            # No fsync: after a power cut a damaged file is found by its checks and fetched again.
            self.directory.adopt(object_key(digest), path)
        except OSError as error:
            raise StoreUnavailableError(f"{self.staging}: {error.strerror}") from error
        finally:
            _unlink(path)
        self._filled(digest, stored_size)

    def drop(self, digest: str) -> None:
        """Let go of an object; one that is not there, or is held open where that matters, is no error."""
        with contextlib.suppress(BackendError):
            self.directory.delete(object_key(digest))

    def objects(self) -> Iterator[tuple[str, int]]:
        """Digest and bytes of what is kept, in no order."""
        for stat in self.directory.scan(OBJECTS):
            if digest := digest_of_key(stat.key):
                yield digest, stat.stored_size


def _verified_copy(source: BinaryIO, path: Path, *, digest: str) -> int:
    """Write an object's bytes into a new file while they are checked; returns how many they are."""
    with create_private(path) as file:
        for _chunk in codec.decode(cast("BinaryIO", _Tee(source, file)), digest=digest):
            pass
        return file.tell()


class _Tee:
    """Reads from one file and writes what it read to another."""

    def __init__(self, source: BinaryIO, sink: BinaryIO) -> None:
        self._source = source
        self._sink = sink

    def read(self, size: int) -> bytes:
        """As the source does."""
        data = self._source.read(size)
        self._sink.write(data)
        return data


@contextlib.contextmanager
def staged_object(backend: Backend, key: str, staging: Path, *, digest: str) -> Iterator[tuple[Path, int]]:
    """An object as a verified file in `staging`, with its size; the file goes unless it was given another name.

    Raises as reading does, and `StoreUnavailableError` if nothing can be written.
    """
    path = staging / f"copy-{os.urandom(8).hex()}"
    try:
        with backend.open(key) as source:
            stored_size = _verified_copy(source, path, digest=digest)
        yield path, stored_size
    except OSError as error:
        raise StoreUnavailableError(f"{staging}: {error.strerror}") from error
    finally:
        _unlink(path)


def _unlink(path: Path) -> None:
    """What could not be made, on a read-only file system for one, cannot be removed either."""
    with contextlib.suppress(OSError):
        path.unlink()
