"""The seam between a store and a place for bytes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class ObjectStat:
    """One object as the backend lists it."""

    key: str
    stored_size: int
    """Bytes at rest, after compression."""
    modified: float
    """When it was written, seconds since the epoch."""
    version: str = ""
    """Another one after every put under this key; empty if the place cannot tell."""
    readable: bool = True
    """False for an object in a class of storage that must be restored before it can be read."""


class Backend(Protocol):
    """Flat keys, whole-object writes, streamed reads. Thread-safe. Raises only `BackendError`.

    Where a `version` is given and the place knows versions, a call touches only that version of the object.
    """

    @property
    def url(self) -> str:
        """Where it is, without secrets: for messages."""

    @property
    def limits(self) -> Sequence[str]:
        """What it does not promise that others do, in words for people; as far as that is known by now."""

    def put(self, key: str, data: BinaryIO, *, size: int) -> str:
        """Store `size` bytes. The object appears whole and durable, or not at all. Returns its version."""

    def put_new(self, key: str, data: BinaryIO, *, size: int) -> str | None:
        """As `put`, but None and no change if there is such an object already."""

    def open(self, key: str) -> BinaryIO:
        """A seekable reader of the object's bytes; reading forward is cheap, every seek may be a request.

        Raises `ObjectNotFoundError` only if the object is not there, never when nobody can say so.
        """

    def version(self, file: BinaryIO) -> str:
        """The version of the object that `open` gave."""

    def stat(self, key: str) -> ObjectStat:
        """Size, time and version of one object. Raises as `open` does."""

    def move(self, key: str, to: str, *, version: str = "") -> bool:
        """Give an object another name; durable after `sync` of both. False and no change if it is another version.

        A crash may leave both names, never none.
        """

    def delete(self, key: str, *, version: str = "") -> bool:
        """Remove an object; one that is not there is no error. False and no change if it is another version.

        Durable after `sync`.
        """

    def sync(self, keys: Iterable[str]) -> None:
        """Make the new names of moved and deleted objects durable."""

    def scan(self, prefix: str) -> Iterator[ObjectStat]:
        """Every object below `prefix` (which ends in a slash), one page in memory at a time, in no order."""

    def children(self, prefix: str) -> list[str]:
        """The names right below `prefix`, up to the next slash, ordered; for prefixes that hold few."""
