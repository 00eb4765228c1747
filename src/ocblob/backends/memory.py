"""Objects in a dict: what a test or a dry run needs, and the shortest statement of the contract."""

import io
import threading
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import BinaryIO

from ocblob.backends.base import ObjectStat
from ocblob.errors import BackendError, ObjectNotFoundError


class MemoryBackend:
    """Everything is gone with the process."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, ObjectStat]] = {}
        self._lock = threading.Lock()
        self._puts = 0

    @property
    def url(self) -> str:
        """A name that cannot be opened again."""
        return f"memory:{id(self):x}"

    @property
    def limits(self) -> tuple[str, ...]:
        """None."""
        return ()

    def put(self, key: str, data: BinaryIO, *, size: int) -> str:
        """Keep the bytes."""
        held = _whole(key, data, size)
        with self._lock:
            return self._keep(key, held)

    def put_new(self, key: str, data: BinaryIO, *, size: int) -> str | None:
        """Keep the bytes if there are none yet."""
        held = _whole(key, data, size)
        with self._lock:
            return None if key in self._objects else self._keep(key, held)

    def open(self, key: str) -> BinaryIO:
        """A reader of the bytes."""
        data, stat = self._get(key)
        return _Opened(data, stat.version)

    def version(self, file: BinaryIO) -> str:
        """As it was when the object was opened."""
        return file.version if isinstance(file, _Opened) else ""

    def stat(self, key: str) -> ObjectStat:
        """Size, time and version."""
        return self._get(key)[1]

    def move(self, key: str, to: str, *, version: str = "") -> bool:
        """Under another name, as the same version."""
        data, stat = self._get(key)
        with self._lock:
            if version not in {"", stat.version}:
                return False
            self._objects[to] = (data, replace(stat, key=to))
            del self._objects[key]
        return True

    def delete(self, key: str, *, version: str = "") -> bool:
        """Forget."""
        with self._lock:
            if version and key in self._objects and self._objects[key][1].version != version:
                return False
            self._objects.pop(key, None)
        return True

    def sync(self, keys: Iterable[str]) -> None:
        """Memory has nothing to make durable."""

    def scan(self, prefix: str) -> Iterator[ObjectStat]:
        """A snapshot of the names."""
        for key, (_data, stat) in list(self._objects.items()):
            if key.startswith(prefix):
                yield stat

    def children(self, prefix: str) -> list[str]:
        """By the names of all objects."""
        below = (stat.key.removeprefix(prefix) for stat in self.scan(prefix))
        return sorted({name.partition("/")[0] for name in below})

    def _keep(self, key: str, data: bytes) -> str:
        self._puts += 1
        stat = ObjectStat(key, len(data), time.time(), f"v{self._puts}")
        self._objects[key] = (data, stat)
        return stat.version

    def _get(self, key: str) -> tuple[bytes, ObjectStat]:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFoundError(f"{key}: no such object") from None


class _Opened(io.BytesIO):
    def __init__(self, data: bytes, version: str) -> None:
        super().__init__(data)
        self.version = version


def _whole(key: str, data: BinaryIO, size: int) -> bytes:
    held = data.read()
    if len(held) != size:
        raise BackendError(f"{key}: got {len(held)} bytes instead of {size}")
    return held
