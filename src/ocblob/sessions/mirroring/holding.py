"""Whether a target holds a session just as a source has it: by the rows of both, read now, whatever records say."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Row, Snapshot
from ocblob.digest import Hasher
from ocblob.errors import DatabaseError
from ocblob.rows import RowSum
from ocblob.sessions.mirroring.context import context_of
from ocblob.sessions.mirroring.looking import rows_there
from ocblob.sessions.mirroring.lying import Lie
from ocblob.sessions.mirroring.scratch import Scratch
from ocblob.sessions.mirroring.transforming import Transform


@dataclass(slots=True)
class Sum:
    """Of rows of one table."""

    rows: RowSum = field(default_factory=RowSum)
    order: Hasher = field(default_factory=Hasher)
    """Of the same rows, as they lie one behind the other."""

    def add(self, digest: str) -> None:
        """The next row, by its `row_digest`."""
        self.rows.add(digest)
        self.order.update(bytes.fromhex(digest))


Sums = Mapping[str, Sum]
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
    sums, payloads = dict[str, Sum](), 0
    with Scratch(directory) as scratch:
        for owned in tree.owned:
            for row in source.rows(owned, session):
                if owned.table not in lies:
                    raise DatabaseError(f"there is no table {owned.table} in it")
                lie = lies[owned.table]
                moved = transform(owned.table, lie.columns, row, scratch)
                payloads += len(moved.wanted)
                fitted = lie.fitted(moved.row)
                sums.setdefault(owned.table, Sum()).add(lie.digest(fitted))
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
    sums = dict[str, Sum]()
    for owned, lie, row in rows_there(target, tree, lies, session):
        sums.setdefault(owned.table, Sum()).add(lie.digest(row))
        looked_at(row)
    return sums


def difference(sent: Sums, held: Sums, *, ordered: bool) -> str:
    """Why what is held is not what would be sent; empty if it is. With `ordered` rows must lie in the same order."""
    for table in (*sent, *held):
        here, there = (sums.get(table, Sum()) for sums in (sent, held))
        if here.rows.rows != there.rows.rows:
            return f"it has {there.rows.rows:,} rows of {table}, and the database {here.rows.rows:,}"
        if here.rows.hexdigest() != there.rows.hexdigest():
            return f"its rows of {table} are not those of the database"
        if ordered and here.order.digest() != there.order.digest():
            return f"its rows of {table} lie in another order than those of the database"
    return ""


def lacking_context(
    source: Snapshot, target: Snapshot, tree: SessionTree, lies: Mapping[str, Lie], session: str
) -> str:
    """What a session refers to and a target does not have; empty if there is nothing. Whether it is there counts."""
    for table, row in context_of(tree, session, source):
        if table not in lies:
            return f"it has no table {table}, to which the session refers"
        try:
            fitted = lies[table].fitted(row)
        except DatabaseError as error:
            return str(error)
        if target.find(table, lies[table].key_of(fitted)) is None:
            return f"it has no {lies[table].name(fitted)}, to which the session refers"
    return ""


def too_much(target: Snapshot, tree: SessionTree, lies: Mapping[str, Lie], session: str) -> str:
    """What a target has of a session and the source has no place for, so that it could not come back as it is.

    `tree` is the target's own. Empty if there is nothing; reads rows only of tables that are not the same in both.
    """
    for owned in tree.owned:
        lie, columns = lies.get(owned.table), target.shape(owned.table).columns
        others = [place for place in range(len(columns)) if lie is None or place not in lie.there]
        for row in target.rows(owned, session) if others else ():
            if lie is None:
                return f"it has rows of {owned.table}, for which the database has no table"
            if (place := next((place for place in others if row.values[place] is not None), None)) is not None:
                name = lie.name(lie.reduced(row))
                return f"{name} has a value for {columns[place]} in it, for which the database has no column"
    return ""


def total(sums: Sums) -> str:
    """The digest of a session, as its record has it."""
    return sum((each.rows for each in sums.values()), RowSum()).hexdigest()
