"""Which blobs an archive holds while it is written, and what became of the refs in its rows.

Each blob is written once. Of a ref the store is asked, unless refs are to stay: then its blob is pinned there, once it
was read and found true.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from typing import Final, Self

from ocblob.marks import Marks
from ocblob.ref import Ref
from ocblob.store import BlobStore
from ocblob.unresolved import Unresolved

PROBLEMS_MAX: Final = 1000
"""Rows that are named; all are counted."""
NO_STORE: Final = ("unavailable", "there is no store to read it from")


class Inlining:
    """The blobs of one archive; use it as a context manager."""

    def __init__(self, store: BlobStore | None, *, refs: bool, archive: str) -> None:
        self._store = store
        self._refs = refs
        self._archive = archive
        self._unresolved = Unresolved(store) if store is not None else None
        self._troubles: dict[str, tuple[str, str]] = {}
        self._written = Marks()
        self._good = Marks()
        """Those that the store holds, read and found true."""
        self.blobs = 0
        """Blobs that are in the archive."""
        self.size = 0
        """Bytes of them, decoded."""
        self.problems: list[str] = []
        """Rows whose refs have no blob; the first of them."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        with contextlib.closing(self._good):
            self._written.close()

    @property
    def short_id(self) -> str:
        """What refs say of the store, for those that stand for a payload of this archive."""
        return self._store.short_id if self._store is not None else ""

    def holds(self, digest: str) -> bool:
        """Whether the archive has this blob already."""
        return bytes.fromhex(digest) in self._written

    def begin(self, digest: str, size: int) -> bool:
        """Whether this blob is to be written now; it counts as written then."""
        if self.holds(digest):
            return False
        self._written.add_digests((bytes.fromhex(digest),))
        self.blobs += 1
        self.size += size
        return True

    def fetches(self, ref: Ref) -> bool:
        """Whether a ref is to be written as the blob it names, now and from the store."""
        return not self._refs and not self.holds(ref.digest) and self.trouble(ref) is None

    def trouble(self, ref: Ref) -> tuple[str, str] | None:
        """Why neither the archive nor the store has the blob of a ref: a reason and words; None if one has it."""
        if self.holds(ref.digest) or bytes.fromhex(ref.digest) in self._good:
            return None
        if self._unresolved is None:
            return NO_STORE
        if ref.digest not in self._troubles:
            if (trouble := self._unresolved.why(ref)) is None:
                self._found(ref)
                return None
            self._troubles[ref.digest] = trouble
        return self._troubles[ref.digest]

    def chunks(self, digest: str) -> Iterator[bytes]:
        """A blob of the store. Raises `BlobError` or `BackendError`."""
        return self._store.chunks(digest) if self._store is not None else iter(())

    def _found(self, ref: Ref) -> None:
        if self._refs and self._store is not None:
            self._store.registry.pin(ref.digest, why=f"archive {self._archive}")
        self._good.add_digests((bytes.fromhex(ref.digest),))


class SessionRefs:
    """The refs of one session that have no blob."""

    def __init__(self, inlining: Inlining) -> None:
        self._inlining = inlining
        self.reasons: Counter[str] = Counter()
        """How many refs, by reason."""
        self._absent = set[bytes]()

    def look(self, ref: Ref, row: str) -> None:
        """Note a ref and where it stands."""
        if trouble := self._inlining.trouble(ref):
            reason, words = trouble
            self.reasons[reason] += 1
            if len(self._inlining.problems) < PROBLEMS_MAX:
                self._inlining.problems.append(f"{row}: {words}")
        if not self._inlining.holds(ref.digest):
            self._absent.add(bytes.fromhex(ref.digest))

    @property
    def absent(self) -> int:
        """Different blobs that rows name and the archive does not hold up to now."""
        return len(self._absent)
