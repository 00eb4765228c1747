"""What an unarchive did, session by session."""

from dataclasses import dataclass, field

from ocblob.pass_report import Problems
from ocblob.sessions.unarchive_plan import Fate, SessionPlan


@dataclass(slots=True)
class UnarchiveReport(Problems):
    """What an unarchive did."""

    fates: dict[str, Fate] = field(default_factory=dict)
    """Of each session, when it was done with; the plan's, for a dry run."""
    rows: int = 0
    """That went in."""
    size: int = 0
    """Bytes of their contents."""
    unsure: dict[str, Exception | None] = field(default_factory=dict)
    """Sessions that did not read back as they were archived, and the first refusal; they are compared again by row."""
    failed: int = 0
    """Sessions that were refused, or that the database did not take as they were."""
    locked: str = ""
    """Why it ended early: who holds the database, for longer than we wait."""
    longest_transaction_s: float = 0.0

    def count(self, fate: Fate) -> int:
        """How many sessions had this fate."""
        return sum(each is fate for each in self.fates.values())

    @property
    def complete(self) -> bool:
        """Whether every session is back."""
        return not self.failed and not self.locked

    def back(self, plan: SessionPlan) -> None:
        """A session is back."""
        self.fates[plan.session] = plan.fate
        self.rows += plan.rows
        self.size += plan.size

    def fail(self, session: str, why: Exception | str) -> None:
        """A session is not back."""
        self.failed += 1
        self.fates[session] = Fate.REFUSED
        self.tell(f"{session}: {why}")
