"""Claims keep a deleter away from blobs that a writer is about to name in a row.

A writer claims before it relies on a blob and confirms just before it swaps the row. A deleter moves a blob
live -> condemned -> deleting, each step a compare-and-swap that a standing claim refuses. A claim ends by
time, so that no dead writer keeps a blob for ever; a writer that slept past it finds out when it confirms.
Claims are one host's; what other hosts take away shows by the store's epoch.
"""

import os
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Final

from ocblob.errors import ClaimLostError
from ocblob.store.catalog import BlobRow, Catalog, State
from ocblob.store.epoch import NO_EPOCH

LEASE_S: Final = 3600


@dataclass(frozen=True, slots=True)
class Claimed:
    """What the catalog knew when the claim was made."""

    row: BlobRow | None
    verified: bool
    """This writer has put or verified the blob already."""


class Claims:
    """The claims of one writer."""

    def __init__(
        self, catalog: Catalog, *, lease_s: int = LEASE_S, epoch: Callable[[], str] = lambda: NO_EPOCH
    ) -> None:
        self._catalog = catalog
        self._lease_s = lease_s
        self._read_epoch = epoch
        self._epoch = epoch()
        self.writer = f"{os.getpid()}-{os.urandom(6).hex()}"

    def claim(self, digests: Collection[str]) -> dict[str, Claimed]:
        """Claim in one transaction; a condemned blob is live again.

        One that is being deleted is live again too, to be put afresh: a deleter only ever removes what lies in the
        trash, and forgets the blob only if it finds it as it left it.
        """
        with self._catalog.transaction():
            return self._enter({digest: self._catalog.get(digest) for digest in digests})

    def _enter(self, rows: dict[str, BlobRow | None]) -> dict[str, Claimed]:
        claimed = {}
        for digest, row in rows.items():
            verified = self._catalog.is_verified(digest, writer=self.writer)
            live = row is not None and row.state is State.LIVE
            claimed[digest] = Claimed(row, verified and live)
            if row is not None and row.state in {State.CONDEMNED, State.DELETING}:
                self._catalog.change_state(digest, row.state, State.LIVE)
        self._catalog.set_claims(rows, writer=self.writer, until=int(time.time()) + self._lease_s)
        return claimed

    def check_standing(self, digests: Collection[str]) -> None:
        """Raise `ClaimLostError` unless every claim still stands: as long as it does, no deleter begins."""
        now = time.time()
        for digest in digests:
            if self._catalog.claimed_until(digest, writer=self.writer) <= now:
                raise ClaimLostError(f"the claim on blob {digest} has ended before its row was written")

    def confirm(self, digests: Collection[str]) -> None:
        """Raise `ClaimLostError` unless every blob is live, every claim stands, and nobody has taken anything away."""
        epoch = self._read_epoch()
        if epoch != self._epoch:
            self._catalog.void_verified(writer=self.writer)
            self._epoch = epoch
            raise ClaimLostError("another host has begun to remove blobs from the store; the batch is done again")
        for digest in digests:
            row = self._catalog.get(digest)
            if row is None or row.state is not State.LIVE:
                raise ClaimLostError(f"blob {digest} was taken away before its row was written")
        self.check_standing(digests)

    def release(self) -> None:
        """Drop this writer's claims, and what dead writers left."""
        self._catalog.drop_claims(writer=self.writer, ended_before=int(time.time()))
