"""What a fleet did, as one pass would report it."""

from dataclasses import dataclass

from ocblob.fleet.parts import Part
from ocblob.offload import OffloadReport


@dataclass(slots=True)
class FleetReport(OffloadReport):
    """A pass that was done in parts. What a worker did before it died is not counted again: see `cells_gone`."""

    workers: int = 0
    """The most that were there at a time."""
    parts: int = 0
    parts_failed: int = 0
    """What is left of them is as it was; the next pass takes it."""
    cells_gone: int = 0
    """Candidates that were none any more when their part was done: by a worker that died since, or by anybody else."""
    worker_s: float = 0.0
    """Seconds that workers spent, all of them together."""

    @property
    def complete(self) -> bool:
        """Whether every payload that should have moved has."""
        return not (self.failed or self.changed or self.parts_failed)

    def troubles(self) -> int:
        """Cells, and parts."""
        return self.failed + self.parts_failed

    def include(self, part: Part, done: OffloadReport) -> None:
        """Add a part."""
        self.parts += 1
        self.cells_gone += max(part.cells - done.cells, 0)
        for name in ("cells", "cells_swapped", "payloads", "payload_chars", "size", "refs", "changed", "failed"):
            setattr(self, name, getattr(self, name) + getattr(done, name))
        self.blobs_new += done.blobs_new
        self.stored_size_new += done.stored_size_new
        for reason, count in done.inline.items():
            self.inline[reason] = self.inline.get(reason, 0) + count
        self.longest_transaction_s = max(self.longest_transaction_s, done.longest_transaction_s)
        self.worker_s += done.elapsed_s
        for problem in done.problems:
            self.tell(problem)

    def fail_part(self, part: Part, why: str) -> None:
        """Count a part that nobody could do."""
        self.parts += 1
        self.parts_failed += 1
        self.tell(f"{part}, {part.cells:,} cells: {why}")
