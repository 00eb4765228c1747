"""A vacuum, done as planned, and what came of it."""

import time
from dataclasses import dataclass

from ocblob.databases.sqlite.vacuum.in_place import GIVEN_UP, vacuum_in_place
from ocblob.databases.sqlite.vacuum.leftovers import mend
from ocblob.databases.sqlite.vacuum.measuring import FileSizes, sizes
from ocblob.databases.sqlite.vacuum.planning import Chosen, VacuumPlan
from ocblob.databases.sqlite.vacuum.swap import swap

LARGER = "file and WAL are larger than before: another process wrote meanwhile"


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


def apply_vacuum(plan: VacuumPlan) -> VacuumReport:
    """Do it. Raises `DatabaseLockedError` if somebody came between; nothing is changed then."""
    begun = time.monotonic()
    note = ""
    mend(plan.path)
    if plan.method == "swap":
        swap(plan.path)
    elif plan.method != "none":
        note = vacuum_in_place(plan.path, rebuild=plan.method == "in-place", patience_s=plan.patience_s)
    after = sizes(plan.path)
    if plan.method != "none" and after.total > plan.before.total and not note:
        note = LARGER
    notes = "; ".join(text for text in (plan.put_off, note) if text)
    put_off = bool(plan.put_off) or note == GIVEN_UP
    return VacuumReport(plan.method, plan.before, after, time.monotonic() - begun, notes, put_off, plan.room_needed)
