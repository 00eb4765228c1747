"""The seam between a store and a place for bytes."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """One object as the backend lists it."""

    key: str
    stored_size: int
    """Bytes at rest, after compression."""
    modified: float
    """When it was written, seconds since the epoch."""


class Backend(Protocol):
    """Flat keys, whole-object writes, streamed reads. Raises only `BackendError`."""

    @property
    def url(self) -> str:
        """Where it is, without secrets: for messages."""

    def put(self, key: str, data: BinaryIO, *, size: int) -> None:
        """Store `size` bytes. The object appears whole and durable, or not at all."""

    def put_new(self, key: str, data: BinaryIO, *, size: int) -> bool:
        """As `put`, but False and no change if there is such an object already."""

    def adopt(self, key: str, path: Path) -> None:
        """Make an fsynced local file the object `key`; the file is gone afterwards. Durable after `sync`."""

    def sync(self, keys: Iterable[str]) -> None:
        """Make the names of adopted, moved and deleted objects durable."""

    def open(self, key: str) -> BinaryIO:
        """A forward reader of the object's bytes; a seekable one where the place allows it.

        Raises `ObjectNotFoundError` only if the object is not there, never when nobody can say so.
        """

    def stat(self, key: str) -> ObjectStat:
        """Size and time of one object. Raises as `open` does."""

    def move(self, key: str, to: str) -> None:
        """Give an object another name. Durable after `sync` of both."""

    def delete(self, key: str) -> None:
        """Remove an object; one that is not there is no error. Durable after `sync`."""

    def scan(self, prefix: str) -> Iterator[ObjectStat]:
        """Every object below `prefix` (which ends in a slash), one page in memory at a time, in no order."""
