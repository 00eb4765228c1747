"""What a database takes on disk, and giving that back: by its address, whatever keeps it.

A file may have a host that waits for us, or what a killed vacuum left beside it. A server has neither: readers and
writers there go on, but for what a plan says.
"""

from ocblob.databases.addresses import Address
from ocblob.databases.opening import extra_of
from ocblob.databases.sqlite import vacuum as files
from ocblob.databases.vacuum import FileSizes, Method, VacuumPlan, VacuumReport


def sizes(address: Address) -> FileSizes:
    """Measure a database without touching its content. Raises `DatabaseError`."""
    if address.path is not None:
        return files.sizes(address.path)
    with extra_of(address):
        from ocblob.databases.sql.sizes import sizes as of_server  # noqa: PLC0415

    return of_server(address)


def plan_vacuum(address: Address, *, method: Method = "auto") -> VacuumPlan:
    """Choose the way. Raises `DatabaseUnsupportedError`, or `DatabaseLockedError` if somebody is in the way."""
    if address.path is not None:
        return files.plan_vacuum(address.path, method=method)
    with extra_of(address):
        from ocblob.databases.sql.reclaim import plan_vacuum as of_server  # noqa: PLC0415

    return of_server(address, method=method)


def apply_vacuum(plan: VacuumPlan) -> VacuumReport:
    """Do it. Raises `DatabaseLockedError` if somebody came between; nothing is changed then."""
    if plan.address.path is not None:
        return files.apply_vacuum(plan)
    with extra_of(plan.address):
        from ocblob.databases.sql.reclaim import apply_vacuum as of_server  # noqa: PLC0415

    return of_server(plan)


def host_waits(address: Address) -> bool:
    """Whether somebody has the file open, who would wait for as long as we write. Nobody waits so at a server."""
    return address.path is not None and address.path.is_file() and files.in_use(address.path)


def activity(address: Address) -> tuple[int, int, int]:
    """What differs after anybody has written to a server's database, from counters that it keeps anyway.

    Raises `DatabaseError` if it does not answer.
    """
    with extra_of(address):
        from ocblob.databases.sql.sizes import activity as of_server  # noqa: PLC0415

    return of_server(address)


def mend(address: Address) -> None:
    """Put in order what a killed vacuum left beside a file."""
    if address.path is not None:
        files.mend(address.path)
