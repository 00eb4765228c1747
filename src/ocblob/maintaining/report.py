"""What a maintenance pass did: one entry a step, whatever became of it."""

from dataclasses import dataclass, field
from typing import Any, Literal

from ocblob.databases.vacuum import FileSizes
from ocblob.errors import DatabaseError, DatabaseFullError, DatabaseLockedError, OcblobError, StoreLockedError

StepName = Literal["offload", "mirror", "retain", "evict", "prune", "vacuum"]


@dataclass(frozen=True, slots=True)
class Step:
    """One step: done, left out, or failed."""

    name: StepName
    done: Any = None
    """The report of the verb; None if it did not come to that."""
    skipped: str = ""
    """Why it was left out; a step that is not configured is left out without a word."""
    error: OcblobError | None = None
    """Why it failed. Later steps went on where that was safe."""
    complete: bool = True
    """Whether all was done that there was to do."""
    locked: str = ""
    """Who holds what for longer than we wait, if that ended it early."""

    @property
    def busy(self) -> bool:
        """Whether somebody else was in the way, so that it may well work later."""
        return bool(self.locked) or isinstance(self.error, DatabaseLockedError | StoreLockedError)

    @property
    def failed(self) -> bool:
        """Whether it failed for another reason."""
        return self.error is not None and not self.busy

    @property
    def broken(self) -> bool:
        """Whether the database itself cannot be trusted now: nothing may be taken away after that."""
        if self.name == "mirror":  # it is the other one that fails, or every other step will meet the same
            return False
        full = isinstance(self.error, DatabaseFullError)  # what follows may be just what gives it room
        return isinstance(self.error, DatabaseError) and not self.busy and not full


@dataclass(slots=True)
class MaintainReport:
    """A pass as a whole."""

    database: str
    before: FileSizes
    after: FileSizes
    steps: list[Step] = field(default_factory=list)
    warning: str = ""
    """That the database is too large; empty if a scheduled pass has said it today."""
    too_large: bool = False
    """Whether it is over a threshold, said or not."""
    elapsed_s: float = 0.0

    def step(self, name: StepName) -> Step | None:
        """The step of this name; None if it is not configured."""
        return next((step for step in self.steps if step.name == name), None)

    @property
    def failed(self) -> bool:
        """Whether a step failed."""
        return any(step.failed for step in self.steps)

    @property
    def busy(self) -> bool:
        """Whether somebody was in the way of a step."""
        return any(step.busy for step in self.steps)

    @property
    def complete(self) -> bool:
        """Whether each step did all there was to do."""
        return all(step.complete and step.error is None and not step.locked for step in self.steps)
