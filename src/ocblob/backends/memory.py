"""Objects in a dict: what a test or a dry run needs, and the shortest statement of the contract."""

import io
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from ocblob.backends.base import ObjectStat
from ocblob.errors import BackendError, ObjectNotFoundError


class MemoryBackend:
    """Everything is gone with the process."""

    def __init__(self) -> None:
        self._objects: dict[str, tuple[bytes, float]] = {}

    @property
    def url(self) -> str:
        """A name that cannot be opened again."""
        return f"memory:{id(self):x}"

    def put(self, key: str, data: BinaryIO, *, size: int) -> None:
        """Keep the bytes."""
        held = data.read()
        if len(held) != size:
            raise BackendError(f"{key}: got {len(held)} bytes instead of {size}")
        self._objects[key] = (held, time.time())

    def put_new(self, key: str, data: BinaryIO, *, size: int) -> bool:
        """Keep the bytes if there are none yet."""
        if key in self._objects:
            return False
        self.put(key, data, size=size)
        return True

    def adopt(self, key: str, path: Path) -> None:
        """Read the file and remove it."""
        with path.open("rb") as file:
            self.put(key, file, size=path.stat().st_size)
        path.unlink()

    def sync(self, keys: Iterable[str]) -> None:
        """Memory has nothing to make durable."""

    def open(self, key: str) -> BinaryIO:
        """A reader of the bytes."""
        return io.BytesIO(self._get(key)[0])

    def stat(self, key: str) -> ObjectStat:
        """Size and time."""
        data, modified = self._get(key)
        return ObjectStat(key, len(data), modified)

    def move(self, key: str, to: str) -> None:
        """Under another name."""
        self._objects[to] = self._get(key)
        del self._objects[key]

    def delete(self, key: str) -> None:
        """Forget."""
        self._objects.pop(key, None)

    def scan(self, prefix: str) -> Iterator[ObjectStat]:
        """A snapshot of the names."""
        for key, (data, modified) in list(self._objects.items()):
            if key.startswith(prefix):
                yield ObjectStat(key, len(data), modified)

    def _get(self, key: str) -> tuple[bytes, float]:
        try:
            return self._objects[key]
        except KeyError:
            raise ObjectNotFoundError(f"{key}: no such object") from None
