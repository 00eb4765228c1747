"""Disk space given back: by itself, or after a pass that has freed it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Literal

from ocblob.databases.addresses import Address
from ocblob.databases.base import HOST_PATIENCE_S
from ocblob.databases.disk import apply_vacuum, plan_vacuum, sizes
from ocblob.databases.vacuum import KEEPS_OUT, Method, VacuumPlan, VacuumReport
from ocblob.errors import DatabaseError, DatabaseLockedError

ANNOUNCED_BYTES: Final = 100 * 10**6
"""Room on disk that is worth a word before it is taken."""
VacuumWhen = Literal["never", "auto", "always"]
"""After a pass; `auto` only if it gives back over 64 MB and a quarter of the file."""
Say = Callable[[str], None]
"""Words for people, a line at a time."""


@dataclass(frozen=True, slots=True)
class VacuumAfter:
    """What became of a vacuum after a pass."""

    report: VacuumReport | None
    """None if there was none."""
    skipped: str
    """Why one that was asked for did not happen, or not as a whole."""


def vacuum_pass(address: Address, *, method: Method, force: bool, dry_run: bool, say: Say) -> VacuumReport:
    """Give the disk space back; refuses what a live host would not survive."""
    plan = plan_vacuum(address, method=method)
    if plan.in_use and plan.method in KEEPS_OUT:
        if plan.blocks_s > HOST_PATIENCE_S and not force:
            raise _blocking(plan)
        if not force:
            plan = replace(plan, patience_s=min(plan.patience_s, HOST_PATIENCE_S))
        what = "its writes wait" if address.path is not None else "whoever needs a table then waits"
        say(f"warning: another process has the database open; {what} for up to {max(plan.blocks_s, 0.1):.1f} s")
    if dry_run:
        room, put_off = plan.room_needed, bool(plan.put_off)
        return VacuumReport(plan.method, plan.before, plan.before, 0.0, plan.put_off, put_off, room)
    if plan.room_needed >= ANNOUNCED_BYTES:
        # Rounded up: it never takes more than it has said.
        say(f"vacuum ({plan.method}) needs {math.ceil(plan.room_needed / 1e6)} MB of room for a while")
    return apply_vacuum(plan)


def _blocking(plan: VacuumPlan) -> DatabaseLockedError:
    """Why nothing is done beside somebody who would wait for too long."""
    if plan.address.path is None:
        return DatabaseLockedError(
            f"others are connected to {plan.address}, and what they need of its largest table would wait for about"
            f" {plan.blocks_s:.0f} s",
            hint="at a quiet moment, or --force",
        )
    return DatabaseLockedError(
        f"{plan.address} is open in another process, and VACUUM in place would block it for about"
        f" {plan.blocks_s:.0f} s",
        hint="stop the host, or --force",
    )


def vacuum_after(address: Address, when: VacuumWhen, *, say: Say, method: Method = "auto") -> VacuumAfter:
    """The vacuum that ends a pass.

    What the pass did is done: its report must not be lost to a vacuum that cannot be had now, so nothing is raised.
    """
    if when == "never":
        return VacuumAfter(None, "")
    try:
        if when == "auto" and not sizes(address).worth_vacuum:
            return VacuumAfter(None, "")
        report = vacuum_pass(address, method=method, force=False, dry_run=False, say=say)
    except (DatabaseError, OSError) as error:
        return VacuumAfter(None, str(error))
    return VacuumAfter(report, report.note)
