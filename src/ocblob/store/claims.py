"""Claims keep a deleter away from blobs that a writer is about to name in a row.

A writer claims before it relies on a blob and confirms just before it swaps the row. A deleter moves a blob
live -> condemned -> deleting, each step a compare-and-swap that a standing claim refuses. A claim ends by
time, so that no dead writer keeps a blob for ever; a writer that slept past it finds out when it confirms.
"""

import os
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from ocblob.errors import ClaimLostError, StoreUnavailableError
from ocblob.store.catalog import BlobRow, Catalog, State

LEASE_S: Final = 3600
DELETING_WAIT_S: Final = 60.0
_POLL_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the catalog knew when the claim was made."""

    row: BlobRow | None
    verified: bool
    """This writer has put or verified the blob already."""


class Claims:
    """The claims of one writer."""

    def __init__(self, catalog: Catalog, *, lease_s: int = LEASE_S) -> None:
        self._catalog = catalog
        self._lease_s = lease_s
        self.writer = f"{os.getpid()}-{os.urandom(6).hex()}"

    def claim(self, digests: Collection[str]) -> dict[str, Claimed]:
        """Claim in one transaction; a condemned blob is live again.

        Waits while a deleter is at work on one of them. Raises `StoreUnavailableError` if it does not end.
        """
        deadline = time.monotonic() + DELETING_WAIT_S
        while True:
            with self._catalog.transaction():
                rows = {digest: self._catalog.get(digest) for digest in digests}
                deleting = [digest for digest, row in rows.items() if row and row.state is State.DELETING]
                if not deleting:
                    return self._enter(rows)
            if time.monotonic() > deadline:
                raise StoreUnavailableError(
                    f"{len(deleting)} blobs are being deleted for over {DELETING_WAIT_S:.0f} s",
                    hint="if no other ocblob runs: ocblob check --rebuild-catalog",
                )
            time.sleep(_POLL_S)

    def _enter(self, rows: dict[str, BlobRow | None]) -> dict[str, Claimed]:
        claimed = {}
        for digest, row in rows.items():
            verified = self._catalog.is_verified(digest, writer=self.writer)
            live = row is not None and row.state is State.LIVE
            claimed[digest] = Claimed(row, verified and live)
            if row is not None and row.state is State.CONDEMNED:
                self._catalog.change_state(digest, State.CONDEMNED, State.LIVE, generation=row.generation)
        self._catalog.set_claims(rows, writer=self.writer, until=int(time.time()) + self._lease_s)
        return claimed

    def check_standing(self, digests: Collection[str]) -> None:
        """Raise `ClaimLostError` unless every claim still stands: as long as it does, no deleter begins."""
        now = time.time()
        for digest in digests:
            if self._catalog.claimed_until(digest, writer=self.writer) <= now:
                raise ClaimLostError(f"the claim on blob {digest} has ended before its row was written")

    def confirm(self, digests: Collection[str]) -> None:
        """Raise `ClaimLostError` unless every blob is live and every claim still stands."""
        for digest in digests:
            row = self._catalog.get(digest)
            if row is None or row.state is not State.LIVE:
                raise ClaimLostError(f"blob {digest} was taken away before its row was written")
        self.check_standing(digests)

    def release(self) -> None:
        """Drop this writer's claims, and what dead writers left."""
        self._catalog.drop_claims(writer=self.writer, ended_before=int(time.time()))


def condemn(catalog: Catalog, digest: str, *, generation: str) -> bool:
    """Set an unreferenced blob aside; False if a writer claims it or it is not live any more."""
    with catalog.transaction():
        if catalog.claimed_until(digest) > time.time():
            return False
        return catalog.change_state(digest, State.LIVE, State.CONDEMNED, generation=generation)


def begin_delete(catalog: Catalog, digest: str) -> bool:
    """The last step before a condemned blob is unlinked; False if it was claimed or revived meanwhile."""
    with catalog.transaction():
        if catalog.claimed_until(digest) > time.time():
            return False
        return catalog.change_state(digest, State.CONDEMNED, State.DELETING)


def finish_delete(catalog: Catalog, digest: str) -> None:
    """Forget a blob whose object is gone, durably."""
    with catalog.transaction():
        row = catalog.get(digest)
        if row is not None and row.state is State.DELETING:
            catalog.remove(digest)
