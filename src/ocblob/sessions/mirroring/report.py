"""What a mirror did, session by session."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from ocblob.pass_report import Problems

_COUNTS: Final = (
    "rows_put",
    "rows_removed",
    "rows_same",
    "size_put",
    "payload_chars",
    "blobs_new",
    "stored_size_new",
)


class MirrorFate(StrEnum):
    """What became of a session that was looked at."""

    MIRRORED = "mirrored"
    """Rows went, or came, and all of it reads back as it was sent."""
    SAME = "same"
    """All its rows were there."""
    AHEAD = "ahead"
    """The target has all its rows and newer ones: somebody went on there. It was left."""
    CONFLICT = "conflict"
    """Somebody went on in both databases. It was left."""
    GONE = "gone"
    """It went from the source meanwhile."""
    FAILED = "failed"
    """It could not be put, or does not read back as it was sent; the next run looks at it again."""


@dataclass(slots=True)
class MirrorReport(Problems):
    """What a mirror did. Sizes in bytes."""

    fates: dict[str, MirrorFate] = field(default_factory=dict)
    """Of each session that was looked at."""
    skipped: int = 0
    """Sessions that were not looked at: nothing of what is recorded of them has changed."""
    made: list[str] = field(default_factory=list)
    """Tables and columns that the target got, in words."""
    rows_put: int = 0
    rows_removed: int = 0
    rows_same: int = 0
    """Rows that were there as they are."""
    size_put: int = 0
    """Contents of the rows that were put, as they were put."""
    payload_chars: int = 0
    """Base64 text of these rows that refs stand for."""
    blobs_new: int = 0
    stored_size_new: int = 0
    locked: str = ""
    """Why it ended early: who holds a database, for longer than we wait."""
    longest_transaction_s: float = 0.0

    def count(self, fate: MirrorFate) -> int:
        """How many sessions had this fate."""
        return sum(each is fate for each in self.fates.values())

    @property
    def mirrored(self) -> int:
        """Sessions of which something went."""
        return self.count(MirrorFate.MIRRORED)

    @property
    def conflicts(self) -> int:
        """Sessions that somebody went on with in both databases."""
        return self.count(MirrorFate.CONFLICT)

    @property
    def failed(self) -> int:
        """Sessions that are not in the target as they are in the source."""
        return self.count(MirrorFate.FAILED)

    @property
    def complete(self) -> bool:
        """Whether the target has everything that the source has."""
        return not (self.locked or self.failed or self.conflicts)

    def add(self, tally: "MirrorReport") -> None:
        """What became of some sessions."""
        self.fates |= tally.fates
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(tally, name))
        for problem in tally.problems:
            self.tell(problem)

    def leave(self, session: str, fate: MirrorFate, why: Exception | str) -> None:
        """A session was left, and why."""
        self.fates[session] = fate
        self.tell(f"{session}: {why}")
