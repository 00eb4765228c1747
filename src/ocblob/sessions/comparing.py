"""One session of an archive beside the same one in a database, row by row: what is there, equal or not, or missing.

Rows are found by their primary key and compared value by value, types too. Rows of a table without a key are
counted by their digests. Memory: one row without its large contents, and one byte for each row.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import Content, Row, Snapshot, Value
from ocblob.digest import Hasher
from ocblob.sessions.elements import ArchivedTable
from ocblob.sessions.fitting import Fit, Fits, row_digest

Needed = Callable[[Row], None]
"""Told of every row that would go in."""


@dataclass(slots=True)
class Finding:
    """What a comparison found."""

    noun: str = "archive"
    """What messages call the place that the rows come from."""
    missing: bytearray = field(default_factory=bytearray)
    """One byte for each archived row of the owned tables, in the archive's order: 1 if it has to go in."""
    equal: int = 0
    """Rows that are there and the same."""
    differing: str = ""
    """The first row that is there and not the same, in words."""
    extra: str = ""
    """The first table with rows that the archive does not have, in words."""
    whole: bool = True
    """Whether every archived column is still there."""
    obstacle: str = ""
    """Why a missing row cannot go in, in words."""
    largest: int = 0
    """Bytes of the largest content that would go in."""
    largest_name: str = ""
    size: int = 0
    """Bytes of content of the rows that would go in."""

    @property
    def rows_missing(self) -> int:
        """How many rows would go in."""
        return sum(self.missing)

    @property
    def begun(self) -> bool:
        """Whether the database has anything of this session."""
        return bool(self.equal or self.differing or self.extra)


class Comparison:
    """Fed with a session's rows in the archive's order. With `whole` every one of them may have to go in."""

    def __init__(  # noqa: PLR0913
        self,
        snapshot: Snapshot,
        tree: SessionTree,
        session: str,
        *,
        fits: Fits,
        whole: bool,
        needed: Needed = lambda _: None,
        noun: str = "archive",
    ) -> None:
        self.finding = Finding(noun)
        self._snapshot = snapshot
        self._owned = {owned.table: owned for owned in tree.owned}
        self._context = context_tables(tree)
        self._session = session
        self._whole = whole
        self._needed = needed
        self._fits = fits
        self._here = {owned.table: _count(snapshot, owned, session) for owned in tree.owned}
        self._keyless: dict[str, Counter[bytes]] = {}

    def row(self, table: ArchivedTable, row: Row) -> None:
        """One archived row; its contents are read before the next one comes."""
        lies = self._fits.of(table) if table.table in (self._context if table.context else self._owned) else None
        if table.context:
            if lies is not None and lies.key and self._snapshot.find(table.table, lies.key_of(row)) is None:
                self._miss(lies, row)
            return
        if lies is None:
            self.finding.missing.append(True)
            self._oppose(f"there is no table {table.table} any more, and the {self.finding.noun} has rows of it")
            return
        if not self._is_of_session(table, row):
            # Who forged an archive might write into other sessions by it.
            self._oppose(f"{lies.name(row)} is of another session")
        self.finding.whole = self.finding.whole and lies.whole
        there, same = self._look(lies, row)
        self._here[table.table] -= same
        self.finding.equal += same
        self.finding.missing.append(not there)
        if there and not same and not self.finding.differing:
            self.finding.differing = lies.name(row)
        if not there or self._whole:
            self._miss(lies, row)

    def finish(self) -> Finding:
        """Every row has been told."""
        for table, left in self._here.items():
            # A differing row is one that is there all the same; it is told by its own name.
            if left > 0 and not self.finding.differing:
                rows = f"{left:,} row{'s' * (left > 1)}"
                self.finding.extra = f"table {table} has {rows} that the {self.finding.noun} does not have"
                break
        return self.finding

    def _is_of_session(self, table: ArchivedTable, row: Row) -> bool:
        """By the column that says so, as leniently as a database may compare."""
        column = self._owned[table.table].session
        value = row.values[table.columns.index(column)] if column in table.columns else None
        data = b"".join(value.chunks()) if isinstance(value, Content) else str(value).encode()
        return _loose(data) == _loose(self._session.encode("utf-8", "surrogateescape"))

    def _look(self, lies: Fit, row: Row) -> tuple[bool, bool]:
        """Whether a row is there, and whether it is the same."""
        fitted = lies.fitted(row)
        if lies.key:
            here = self._snapshot.find(lies.table, lies.key_of(row))
            return here is not None, here is not None and same_row(lies.reduced(here), fitted)
        if lies.table not in self._keyless:
            rows = self._snapshot.rows(self._owned[lies.table], self._session)
            self._keyless[lies.table] = Counter(row_digest(lies.reduced(row)) for row in rows)
        digest = row_digest(fitted)
        there = self._keyless[lies.table][digest] > 0
        self._keyless[lies.table][digest] -= there
        return there, there

    def _miss(self, lies: Fit, row: Row) -> None:
        self._oppose(lies.obstacle(row, self.finding.noun))
        for value in row.values:
            if isinstance(value, Content):
                self.finding.size += value.size
                if value.size > self.finding.largest:
                    self.finding.largest, self.finding.largest_name = value.size, lies.name(row)
        self._needed(row)

    def _oppose(self, words: str) -> None:
        self.finding.obstacle = self.finding.obstacle or words


def context_tables(tree: SessionTree) -> frozenset[str]:
    """Tables with rows that sessions refer to: nothing else goes in with them, whatever an archive says."""
    return frozenset(table for _, table, _ in tree.context)


def _loose(data: bytes) -> bytes:
    return data.lower().rstrip()


def same_row(one: Row, other: Row) -> bool:
    """Whether two rows have the same values, types included; where they lie does not count."""
    return all(map(_same, one.values, other.values))


def _same(one: Value, other: Value) -> bool:
    if isinstance(one, Content) and isinstance(other, Content):
        return (one.kind, one.size) == (other.kind, other.size) and _digest(one) == _digest(other)
    return type(one) is type(other) and repr(one) == repr(other)


def _digest(content: Content) -> bytes:
    hasher = Hasher()
    for chunk in content.chunks():
        hasher.update(chunk)
    return hasher.digest()


def _count(snapshot: Snapshot, owned: OwnedTable, session: str) -> int:
    return sum(1 for _ in snapshot.rows(owned, session))
