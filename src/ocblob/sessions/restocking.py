"""Blobs that refs in archived rows name: out of the archive into the store, before any row names them.

Of rows that are in the database already, blobs that the store has lost come back too.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain

from ocblob.errors import BackendError, BlobError
from ocblob.marks import Mark, Marks
from ocblob.pass_report import Problems
from ocblob.sessions.reader import ExtractedBlobs
from ocblob.store import BlobStore
from ocblob.unresolved import reason_of


@dataclass(slots=True)
class Restocked(Problems):
    """What the store holds of the blobs that refs name."""

    put: int = 0
    """Blobs that the archive holds; they are in the store now, or would be."""
    new: int = 0
    """Of these, those that the store did not hold."""
    size: int = 0
    """Bytes of the new ones."""
    unresolved: dict[str, int] = field(default_factory=dict)
    """Blobs that neither can give, by reason: missing, expired, corrupt, unavailable, foreign."""


@dataclass(frozen=True, slots=True)
class Named:
    """The refs of archived rows."""

    going: Marks
    """Of rows that go in."""
    all: Marks
    """Of every row that was looked at."""
    blobs: ExtractedBlobs
    """What the archive holds."""

    @property
    def any_going(self) -> bool:
        """Whether a row that goes in names a blob."""
        return next(iter(self.going), None) is not None

    @property
    def any_held(self) -> bool:
        """Whether the archive holds a blob that any row names."""
        return any(mark.digest in self.blobs for mark in self.all)

    def lost(self, store: BlobStore | None) -> Iterator[Mark]:
        """Held blobs that only rows name which are there already, and that the store does not have."""
        for mark in self.all:
            there = bytes.fromhex(mark.digest) not in self.going
            if there and mark.digest in self.blobs and (store is None or not store.contains(mark.digest)):
                yield mark


def restock(store: BlobStore, named: Named) -> Restocked:
    """Put what the archive holds, look for the rest. Each put is verified and durable.

    Raises `BackendError` or `StoreError` if the store does not take a blob.
    """
    report = Restocked()
    with store.writer() as writer:
        for mark in chain(named.going, named.lost(store)):
            if mark.digest not in named.blobs:
                _look(store, mark, report)
                continue
            stored = writer.put(named.blobs.chunks(mark.digest))
            report.put += 1
            report.new += stored.new
            report.size += stored.size if stored.new else 0
    return report


def look(store: BlobStore | None, named: Named) -> Restocked:
    """The same without a put; None is a store that is not there."""
    report = Restocked()
    for mark in chain(named.going, named.lost(store)):
        if mark.digest in named.blobs:
            new = store is None or not store.contains(mark.digest)
            report.put += 1
            report.new += new
            report.size += named.blobs.size(mark.digest) if new else 0
        elif store is None:
            _count(report, "missing", f"blob {mark.digest} is not in the archive, and there is no store")
        else:
            _look(store, mark, report)
    return report


def _look(store: BlobStore, mark: Mark, report: Restocked) -> None:
    try:
        size = store.header(mark.digest).size
    except (BlobError, BackendError) as error:
        _count(report, reason_of(error), str(error))
    else:
        if mark.size not in {0, size}:
            _count(report, "foreign", f"a ref says {mark.size} bytes, blob {mark.digest} has {size}")


def _count(report: Restocked, reason: str, words: str) -> None:
    report.unresolved[reason] = report.unresolved.get(reason, 0) + 1
    report.tell(words)
