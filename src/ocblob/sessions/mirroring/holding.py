"""Whether a target holds a session just as a source has it: by the rows of both, read now, whatever records say."""

from collections.abc import Callable, Mapping
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Row, Snapshot
from ocblob.errors import DatabaseError
from ocblob.rows import RowSum
from ocblob.sessions.mirroring.looking import rows_there
from ocblob.sessions.mirroring.lying import Lie
from ocblob.sessions.mirroring.scratch import Scratch
from ocblob.sessions.mirroring.transforming import Transform

Sums = Mapping[str, RowSum]
"""Of the rows of one session, by table."""


def sent_sums(  # noqa: PLR0913
    source: Snapshot,
    tree: SessionTree,
    lies: Mapping[str, Lie],
    session: str,
    *,
    transform: Transform,
    directory: Path | None,
) -> tuple[Sums, int]:
    """What a target would get of a session now, and how many payloads would be refs there.

    Raises `DatabaseError` for rows that have no place there. Memory: one row without its large contents, which wait
    in `directory`.
    """
    sums, payloads = dict[str, RowSum](), 0
    with Scratch(directory) as scratch:
        for owned in tree.owned:
            for row in source.rows(owned, session):
                if owned.table not in lies:
                    raise DatabaseError(f"there is no table {owned.table} in it")
                lie = lies[owned.table]
                moved = transform(owned.table, lie.columns, row, scratch)
                payloads += len(moved.wanted)
                fitted = lie.fitted(moved.row)
                sums.setdefault(owned.table, RowSum()).add(lie.digest(fitted))
                scratch.rewind(0)
    return sums, payloads


def held_sums(
    target: Snapshot,
    tree: SessionTree,
    lies: Mapping[str, Lie],
    session: str,
    *,
    looked_at: Callable[[Row], None],
) -> Sums:
    """What a target has of a session. `looked_at` is told of every row."""
    sums = dict[str, RowSum]()
    for owned, lie, row in rows_there(target, tree, lies, session):
        sums.setdefault(owned.table, RowSum()).add(lie.digest(row))
        looked_at(row)
    return sums


def difference(sent: Sums, held: Sums) -> str:
    """Why what is held is not what would be sent; empty if it is."""
    for table in (*sent, *held):
        here, there = (sums.get(table, RowSum()) for sums in (sent, held))
        if here.rows != there.rows:
            return f"it has {there.rows:,} rows of {table}, and the database {here.rows:,}"
        if here.hexdigest() != there.hexdigest():
            return f"its rows of {table} are not those of the database"
    return ""


def total(sums: Sums) -> str:
    """The digest of a session, as its record has it."""
    return sum(sums.values(), RowSum()).hexdigest()
