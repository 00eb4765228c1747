"""What every pass over rows reports: what went wrong, row by row, and how long it took."""

from dataclasses import dataclass, field
from typing import Final

PROBLEMS_MAX: Final = 100
"""Rows reported in words; the others are counted."""


@dataclass(slots=True)
class Problems:
    """What is wrong, in words: the first ones only, so that memory stays bounded."""

    problems: list[str] = field(default_factory=list)
    elapsed_s: float = 0.0

    def tell(self, text: str) -> None:
        """Report one."""
        if len(self.problems) < PROBLEMS_MAX:
            self.problems.append(text)


@dataclass(slots=True)
class PassReport(Problems):
    """A pass that changes rows."""

    changed: int = 0
    """Cells that somebody changed while we looked; the next pass takes them."""
    failed: int = 0
    """Cells that could not be dealt with; they are as they were."""
    longest_transaction_s: float = 0.0

    def fail(self, where: str, error: Exception | str) -> None:
        """Count a cell and say why."""
        self.failed += 1
        self.tell(f"{where}: {error}")
