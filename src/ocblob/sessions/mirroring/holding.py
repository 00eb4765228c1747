"""Whether a target holds a session just as a source has it: by the rows of both, read now, whatever records say."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Row, Snapshot
from ocblob.errors import DatabaseError
from ocblob.rows import RowSum
from ocblob.sessions.mirroring.looking import rows_there
from ocblob.sessions.mirroring.lying import Lies
from ocblob.sessions.mirroring.scratch import Scratch
from ocblob.sessions.mirroring.transforming import Transform


@dataclass(frozen=True, slots=True)
class Held:
    """One session, compared."""

    digest: str
    """Of what the target has, as a record has it."""
    why_not: str = ""
    """Why it is not held, in words."""


def held(  # noqa: PLR0913
    source: Snapshot,
    target: Snapshot,
    tree: SessionTree,
    lies: Lies,
    session: str,
    *,
    transform: Transform,
    directory: Path | None,
    looked_at: Callable[[Row], None],
) -> Held:
    """Read a session in both. `looked_at` is told of every row that the target has.

    Memory: one row without its large contents, which wait in `directory`.
    """
    tables = lies.of()
    sent, found, total = dict[str, RowSum](), dict[str, RowSum](), RowSum()
    try:
        with Scratch(directory) as scratch:
            for owned in tree.owned:
                for row in source.rows(owned, session):
                    if owned.table not in tables:
                        raise DatabaseError(f"there is no table {owned.table} in it")
                    lie = tables[owned.table]
                    fitted = lie.fitted(transform(owned.table, lie.columns, row, scratch).row)
                    sent.setdefault(owned.table, RowSum()).add(lie.digest(fitted))
                    scratch.rewind(0)
    except DatabaseError as error:
        return Held("", str(error))
    for owned, lie, row in rows_there(target, tree, tables, session):
        digest = lie.digest(row)
        found.setdefault(owned.table, RowSum()).add(digest)
        total.add(digest)
        looked_at(row)
    for table in (*sent, *found):
        here, there = (sums.get(table, RowSum()) for sums in (sent, found))
        if here.rows != there.rows:
            return Held("", f"it has {there.rows:,} rows of {table}, and the database {here.rows:,}")
        if here.hexdigest() != there.hexdigest():
            return Held("", f"its rows of {table} are not those of the database")
    return Held(total.hexdigest())
