"""What a database takes on disk, what a vacuum would do about it, and what one did, whatever keeps the database."""

import math
from dataclasses import dataclass
from typing import Final, Literal

from ocblob.databases.addresses import Address

Method = Literal["auto", "gentle", "swap", "in-place"]
"""`gentle` is `auto` for a pass that nobody waits for: what a live host would notice is left to a quiet moment."""
Chosen = Literal["swap", "in-place", "checkpoint", "none", "full", "plain", "optimize", "rebuild", "reorganize"]
"""What a plan comes to; `checkpoint` where only the WAL has to give room back, or may for now.

On servers it is what the server calls it: PostgreSQL's VACUUM FULL and plain VACUUM, MySQL's OPTIMIZE TABLE, SQL
Server's REBUILD and REORGANIZE of a table's indexes.
"""
KEEPS_OUT: Final = frozenset({"in-place", "full", "rebuild"})
"""Ways that others have to wait for."""

WORTH_BYTES: Final = 64 * 10**6
"""What a vacuum that nobody asked for gives back at least."""
WORTH_SHARE: Final = 0.25
"""And how much of the file that is."""


@dataclass(frozen=True, slots=True)
class FileSizes:
    """What a database takes on disk, and how much of it is alive. Bytes."""

    file: int
    """Of a server: its tables with their indexes."""
    wal: int
    page_size: int
    """Of a server 1: its pages are nothing that anybody has to know of."""
    pages: int
    free_pages: int
    """Of a server an estimate."""
    journal_mode: str
    """Of a server what kind it is."""

    @property
    def total(self) -> int:
        """File and WAL."""
        return self.file + self.wal

    @property
    def free(self) -> int:
        """In pages that hold nothing."""
        return self.free_pages * self.page_size

    @property
    def live(self) -> int:
        """In pages that hold something."""
        return (self.pages - self.free_pages) * self.page_size

    @property
    def whole(self) -> int:
        """The file once its WAL is in it; it is larger now if a vacuum could not shrink it yet."""
        return max(self.file, self.pages * self.page_size)

    @property
    def worth_vacuum(self) -> bool:
        """Whether so much of it is free that a pass should give it back by itself."""
        free = self.whole - self.live
        return free > WORTH_BYTES and free > WORTH_SHARE * self.whole


@dataclass(frozen=True, slots=True)
class VacuumPlan:
    """What a vacuum would do."""

    address: Address
    before: FileSizes
    in_use: bool
    """Another process has the database open; of a server, is connected to it."""
    method: Chosen
    room_needed: int
    """Bytes on the database's disk, or the server's, for a while."""
    blocks_s: float
    """How long writers would wait, at the worst."""
    put_off: str = ""
    """Why more than this is left to a quiet moment."""
    patience_s: float = math.inf
    """After how long in place it is given up for a host that waits."""
    tables: tuple[str, ...] = ()
    """Of a server those that are vacuumed, one after the other."""


@dataclass(frozen=True, slots=True)
class VacuumReport:
    """What a vacuum did."""

    method: Chosen
    before: FileSizes
    after: FileSizes
    elapsed_s: float
    note: str = ""
    """What is left to do, and why."""
    put_off: bool = False
    """What is left is left by choice, to a moment when no host would wait."""
    room_needed: int = 0
    """What the plan asked for, for a while."""

    @property
    def freed(self) -> int:
        """Bytes given back, file and WAL; negative if it took some."""
        return self.before.total - self.after.total

    @property
    def complete(self) -> bool:
        """Whether all is back that could be."""
        return not self.note
