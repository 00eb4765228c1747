"""What there is of every session, found in one walk over each owned table that reads no payload."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import SMALL_BYTES, SessionFacts
from ocblob.databases.sqlite.connection import quote
from ocblob.databases.sqlite.session_snapshot import SQLiteSnapshot, snapshot
from ocblob.databases.sqlite.session_tables import decoded


@dataclass(slots=True)
class _Total:
    rows: int = 0
    size: int = 0
    used_ms: int | None = None
    shared: bool = False


def survey(path: Path, tree: SessionTree) -> Iterator[SessionFacts]:
    """See `SessionDatabase`. Memory: a few numbers for each session."""
    totals: dict[bytes, _Total] = {}
    with snapshot(path) as state:
        for owned in tree.owned:
            state.tables.check_columns(owned)
            _add_table(state, owned, totals, shares=owned.table in tree.shared_tables)
        shared = " OR ".join(f"octet_length({quote(column)})>0" for column in tree.shared) or "0"
        session, title = quote(tree.sessions.session), quote(tree.title)
        found = state.select(
            f"SELECT CAST({session} AS BLOB), CAST({quote(tree.parent)} AS BLOB),"
            f" iif(octet_length({title})<={SMALL_BYTES}, CAST({title} AS BLOB), NULL), {_time(tree.created)},"
            f" coalesce({shared}, 0) FROM {quote(tree.sessions.table)} WHERE typeof({session}) IN ('text', 'integer')"
        )
    for name, parent, shown, created, is_shared in found:
        total = totals.get(name, _Total())
        yield SessionFacts(
            id=decoded(name),
            parent=decoded(parent),
            title=(shown or b"").decode("utf-8", "replace"),
            created_ms=created,
            used_ms=total.used_ms,
            size=total.size,
            rows=total.rows,
            shared=bool(is_shared) or total.shared,
        )


def _add_table(state: SQLiteSnapshot, owned: OwnedTable, totals: dict[bytes, _Total], *, shares: bool) -> None:
    table = state.tables[owned.table]
    used = _time(owned.updated) if owned.updated else "NULL"
    # Measured first and then grouped: to group the rows themselves SQLite reads them in the order of an index, all over
    # the file, or sorts them, whole cells with them.
    sql = (
        f"WITH measured AS MATERIALIZED (SELECT {quote(owned.session)} AS session, {table.content_size} AS size,"
        f" {used} AS used FROM {table.sql})"
        " SELECT CAST(session AS BLOB), count(*), sum(size), max(used) FROM measured GROUP BY session"
    )
    for session, rows, size, when in state.stream(sql):
        total = totals.setdefault(session, _Total())
        total.rows += rows
        total.size += size
        total.shared = total.shared or shares
        total.used_ms = max((time for time in (total.used_ms, when) if time is not None), default=None)


def _time(column: str) -> str:
    return f"iif(typeof({quote(column)})='integer', {quote(column)}, NULL)"
