"""Rows that sessions refer to and do not own, as their project: sent where the target lacks them, or has older ones."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ocblob.cells import SessionTree
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import Content, Row, Snapshot, Value
from ocblob.errors import DatabaseError
from ocblob.sessions.mirroring.feeding import Feeder
from ocblob.sessions.mirroring.lying import Lie, Lies, key_digest
from ocblob.sessions.mirroring.scratch import Scratch
from ocblob.sessions.mirroring.transforming import kept


class Context:
    """Sends each of these rows once. Memory: some 100 bytes for each."""

    def __init__(
        self, target: HostDatabase, tree: SessionTree, lies: Lies, *, force: bool, directory: Path | None
    ) -> None:
        self._target = target
        self._tree = tree
        self._lies = lies
        self._force = force
        self._directory = directory
        self._done: dict[tuple[str, bytes], str] = {}
        """Digests of rows that were looked at, by table and key."""
        self._sent: list[tuple[Lie, tuple[Value, ...], str]] = []

    def send(self, session: str, source: Snapshot, feeder: Feeder) -> None:
        """What one session refers to; before its own rows."""
        lies = self._lies.of()
        for table, row in context_of(self._tree, session, source):
            lie = lies.get(table)
            if lie is None:
                continue
            with Scratch(self._directory) as scratch:
                fitted = lie.fitted(kept(table, lie.columns, row, scratch).row)
                name, digest = (table, key_digest(table, lie.key_of(fitted))), lie.digest(fitted)
                if self._done.get(name) == digest:
                    continue
                goes = self._goes(lie, fitted, digest)
            self._done[name] = digest
            if goes:
                self._sent.append((lie, lie.key_of(fitted), digest))
                feeder.put(table, lie.common, kept(table, lie.common, lie.fitted(row), feeder.scratch), digest)

    def check(self, state: Snapshot) -> None:
        """Raise `DatabaseError` unless what was sent since the last look is there."""
        sent, self._sent = self._sent, []
        for lie, key, digest in sent:
            there = state.find(lie.table, key)
            if there is None or lie.digest(lie.reduced(there)) != digest:
                raise DatabaseError(f"a row of {lie.table} does not read back as it was sent")

    def forget(self) -> None:
        """What was sent may not be there."""
        self._done.clear()
        self._sent.clear()

    def _goes(self, lie: Lie, fitted: Row, digest: str) -> bool:
        with self._target.snapshot() as state:
            there = state.find(lie.table, lie.key_of(fitted))
            if there is None:
                return True
            reduced = lie.reduced(there)
            if lie.digest(reduced) == digest:
                return False
            if self._force or self._target.keeps_records:
                return True
            here, now = (lie.value(self._tree.sessions.updated, row) for row in (fitted, reduced))
            return isinstance(here, int) and isinstance(now, int) and here > now


def context_of(tree: SessionTree, session: str, source: Snapshot) -> Iterator[tuple[str, Row]]:
    """What one session refers to, with the tables."""
    columns = source.shape(tree.sessions.table).columns
    for column, table, named in tree.context:
        if column not in columns:
            continue
        for row in source.rows(tree.sessions, session):
            value = row.values[columns.index(column)]
            if isinstance(value, Content):
                text = b"".join(value.chunks()).decode("utf-8", "surrogateescape")
                yield from map(partial(_of, table), source.context_rows(table, named, text))


def _of(table: str, row: Row) -> tuple[str, Row]:
    return table, row
