"""A vacuum, done as planned, and what came of it."""

import time

from ocblob.databases.sqlite.vacuum.in_place import GIVEN_UP, vacuum_in_place
from ocblob.databases.sqlite.vacuum.leftovers import mend
from ocblob.databases.sqlite.vacuum.measuring import sizes
from ocblob.databases.sqlite.vacuum.swap import swap
from ocblob.databases.vacuum import VacuumPlan, VacuumReport

LARGER = "file and WAL are larger than before: another process wrote meanwhile"


def apply_vacuum(plan: VacuumPlan) -> VacuumReport:
    """Do it. Raises `DatabaseLockedError` if somebody came between; nothing is changed then."""
    path = plan.address.path
    assert path is not None  # noqa: S101 - `plan_vacuum` makes none without
    begun = time.monotonic()
    note = ""
    mend(path)
    if plan.method == "swap":
        swap(path)
    elif plan.method != "none":
        note = vacuum_in_place(path, rebuild=plan.method == "in-place", patience_s=plan.patience_s)
    after = sizes(path)
    if plan.method != "none" and after.total > plan.before.total and not note:
        note = LARGER
    notes = "; ".join(text for text in (plan.put_off, note) if text)
    put_off = bool(plan.put_off) or note == GIVEN_UP
    return VacuumReport(plan.method, plan.before, after, time.monotonic() - begun, notes, put_off, plan.room_needed)
