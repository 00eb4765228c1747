"""Disk space of a server's tables given back: table by table, each only for as long as its lock can be had.

What came back is measured, never reckoned. Nothing is read or changed but how rows lie on disk.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from ocblob.databases.addresses import Address
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.sizes import sizes_of, tables_of
from ocblob.databases.vacuum import Chosen, FileSizes, Method, VacuumPlan, VacuumReport
from ocblob.errors import DatabaseError, DatabaseLockedError, DatabaseUnsupportedError
from ocblob.units import format_size

FREE_BYTES_MIN: Final = 1024 * 1024
"""A table in which less is free is left alone: estimates are no better than that."""
REWRITE_BYTES_PER_S: Final = 100e6
"""Live bytes that a server rewrites in a second, on the slow side."""


@dataclass(frozen=True, slots=True)
class _Ways:
    """How one kind of server gives space back."""

    whole: Chosen
    gentle: Chosen
    blocks: bool
    """Whether `whole` keeps readers and writers of a table out while it is made anew."""
    refresh: str = ""
    """What brings the figures of a table up to date."""


_WAYS: Final = {
    "postgresql": _Ways("full", "plain", blocks=True),
    "mysql": _Ways("optimize", "optimize", blocks=False, refresh="ANALYZE NO_WRITE_TO_BINLOG TABLE"),
    "mssql": _Ways("rebuild", "reorganize", blocks=True),
}


def plan_vacuum(address: Address, *, method: Method = "auto") -> VacuumPlan:
    """Choose the way: `gentle` keeps nobody out, `in-place` takes every table, whatever is free in it."""
    if method == "swap":
        raise DatabaseUnsupportedError(f"{address}: a swap is for files; a server vacuums in place")
    with contextlib.closing(Server(address, read_only=False)) as server:
        before = sizes_of(server)
        ways = _WAYS[server.engine.dialect.name]
        found = tables_of(server)
        others = _others(server)
    # What InnoDB has not purged yet counts as free some seconds late; and there nobody has to wait.
    every = method == "in-place" or (method == "auto" and not ways.blocks)
    wanted = {name: sizes for name, sizes in found.items() if every or sizes[1] >= FREE_BYTES_MIN}
    chosen: Chosen = "none" if not wanted else ways.gentle if method == "gentle" else ways.whole
    rewrites = chosen == ways.whole and chosen != "none"
    # Of one table after the other the old and the new one are there at once.
    room = max((size - free for size, free in wanted.values()), default=0) if rewrites else 0
    blocks = room / REWRITE_BYTES_PER_S if rewrites and ways.blocks else 0.0
    return VacuumPlan(address, before, others, chosen, room, blocks, tables=tuple(wanted))


def apply_vacuum(plan: VacuumPlan) -> VacuumReport:
    """Do it. A table whose lock is not to be had in time is left and told.

    Raises `DatabaseLockedError` if that is every one.
    """
    begun = time.monotonic()
    notes: list[str] = []
    locked: DatabaseLockedError | None = None
    with contextlib.closing(Server(plan.address, read_only=False)) as server:
        before = _measured_anew(server, plan)
        for name in plan.tables:
            try:
                notes += [f"{name}: {words}" for words in _vacuum(server, name, plan.method)]
            except DatabaseLockedError as error:
                locked = error
                notes.append(f"{name} is left: {error}")
        if locked is not None and len(notes) == len(plan.tables):
            raise locked
        after = sizes_of(server)
    elapsed = time.monotonic() - begun
    left, put_off = _left(plan, after.free)
    words = "; ".join((*notes, *left))
    return VacuumReport(plan.method, before, after, elapsed, words, put_off and not notes, plan.room_needed)


def _measured_anew(server: Server, plan: VacuumPlan) -> FileSizes:
    """By figures of now, where they lag."""
    if refresh := _WAYS[server.engine.dialect.name].refresh:
        quote = server.engine.dialect.identifier_preparer.quote
        with server.reading() as connection:
            for name in plan.tables:
                connection.exec_driver_sql(f"{refresh} {quote(name)}").close()
        return sizes_of(server)
    return plan.before


def _left(plan: VacuumPlan, free: int) -> tuple[list[str], bool]:
    """What to say of what is still free, and whether that is by choice."""
    if plan.method == "none" or free < max(FREE_BYTES_MIN, plan.before.free // 2):
        return [], False
    if plan.method in {"plain", "reorganize"}:
        gives_back = "`ocblob vacuum` gives them back, and keeps everybody out of one table after the other meanwhile"
        return [f"{format_size(free)} free inside are for rows to come; {gives_back}"], True
    why = "an older transaction may see what was there, or the tables are another user's"
    return [f"{format_size(free)} are free inside still: {why}"], False


def _vacuum(server: Server, name: str, method: Chosen) -> list[str]:
    """One table; what the server says against it."""
    table = sa.Table(name, sa.MetaData())
    with server.reading() as connection, _warnings(connection) as said:
        for statement in server.dialect.reclaim(table, blocking=method in {"full", "rebuild", "optimize"}):
            result = connection.exec_driver_sql(statement)
            # MySQL answers in rows, errors too.
            said.extend(str(row[3]) for row in (result if result.returns_rows else ()) if str(row[2]) == "error")
    if any("Lock wait timeout" in words for words in said):
        raise DatabaseLockedError(f"{server.address}: {said[0]}")
    return said


@contextlib.contextmanager
def _warnings(connection: sa.Connection) -> Iterator[list[str]]:
    """What PostgreSQL says beside its answers: it skips a table of another user's with no more than a warning."""
    said: list[str] = []
    driver: Any = connection.connection.driver_connection
    if not hasattr(driver, "add_notice_handler"):
        yield said
        return

    def hear(notice: Any) -> None:
        if notice.severity_nonlocalized == "WARNING":
            said.append(str(notice.message_primary))

    driver.add_notice_handler(hear)
    try:
        yield said
    finally:
        driver.remove_notice_handler(hear)


def _others(server: Server) -> bool:
    """Whether anybody else is connected, as far as we may see; only PostgreSQL tells who would wait for us."""
    if server.engine.dialect.name != "postgresql":
        return False
    with contextlib.suppress(DatabaseError), server.reading() as connection:
        return bool(
            connection.exec_driver_sql(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
            ).scalar_one()
        )
    return False
