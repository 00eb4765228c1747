"""One whole pass over a database by the configuration: offload, retain, evict, prune, vacuum, warn."""

import contextlib
import time
from pathlib import Path

from ocblob import config
from ocblob.databases.disk import sizes
from ocblob.errors import DatabaseError
from ocblob.maintaining.lock import sole_maintainer
from ocblob.maintaining.report import MaintainReport, Step, StepName
from ocblob.maintaining.steps import Orders, run_steps
from ocblob.size_warnings import is_due, look

__all__ = ["MaintainReport", "Orders", "Step", "StepName", "maintain", "state_of"]


def state_of() -> Path:
    """Where passes keep locks and times on this machine."""
    return config.state_directory() / "maintain"


def maintain(orders: Orders) -> MaintainReport:
    """One pass; never two at once over one database.

    Raises `UsageError` for limits that cannot be meant, `DatabaseLockedError` if another one is running, and
    `DatabaseError` if the database cannot even be measured; what goes wrong in a step is in the report.
    """
    begun = time.monotonic()
    if orders.settings.limits.given:
        orders.settings.limits.check()
    address = orders.address
    before = sizes(address)
    with contextlib.nullcontext() if orders.dry_run else sole_maintainer(orders.state, address):
        report = MaintainReport(address.name, before, before, run_steps(orders))
    with contextlib.suppress(DatabaseError):
        report.after = sizes(address)
        if (warning := look(address, found=report.after)) is not None:
            report.too_large = True
            if not orders.scheduled or is_due(address, warning):
                report.warning = warning.text
    report.elapsed_s = time.monotonic() - begun
    return report
