"""A database of sessions that is a dictionary: rows of any values, without SQLite between them and what is tested."""

import contextlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ocblob.cells import OwnedTable, SearchedColumn, SessionTree
from ocblob.databases.session_rows import (
    DeleteResult,
    Inserter,
    Row,
    SessionFacts,
    Snapshot,
    TableDefinition,
    TableShape,
    Value,
)
from ocblob.errors import DatabaseUnsupportedError
from session_contracts import content, plain, row

TREE = SessionTree(
    sessions=OwnedTable("session", "id"),
    parent="parent_id",
    created="created",
    title="title",
    shared=(),
    shared_tables=(),
    owned=(OwnedTable("session", "id"), OwnedTable("message", "session_id"), OwnedTable("part", "session_id")),
    context=(("project_id", "project", "id"),),
)
SHAPES = {
    "project": ("id", "icon"),
    "session": ("id", "parent_id", "project_id", "title"),
    "message": ("id", "session_id", "time_created", "data"),
    "part": ("id", "session_id", "message_id", "data"),
}
Rows = Mapping[str, Sequence[Row]]


@dataclass(frozen=True)
class MemorySessions:
    """See `SessionDatabase`: only for reading."""

    rows: Rows

    def survey(self, tree: SessionTree) -> Iterator[SessionFacts]:
        """Sizes are not told."""
        del tree
        for each in self.rows["session"]:
            ident, parent, _, title = map(text_of, each.values)
            yield SessionFacts(ident, parent, title, 1, 2, 0, 0, shared=False)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[Snapshot]:
        """It never changes."""
        yield MemorySnapshot(self.rows)

    def flush(self) -> None:
        """Nothing waits."""

    def check_tree(self, tree: SessionTree) -> None:
        """All is known."""

    def search(self, columns: Sequence[SearchedColumn], words: str) -> set[str]:
        """Not here."""
        raise NotImplementedError

    def delete_sessions(self, *_arguments: object, **_more: object) -> DeleteResult:
        """Not here."""
        raise NotImplementedError

    def inserter(self, *, dangling: bool = False) -> contextlib.AbstractContextManager[Inserter]:
        """Not here."""
        raise NotImplementedError

    def delete_and_insert(
        self,
        tree: SessionTree,
        session: str,
        rows: Iterable[tuple[str, Sequence[str], Row]],
        *,
        dangling: bool = False,
    ) -> None:
        """Not here."""
        raise NotImplementedError


@dataclass(frozen=True)
class MemorySnapshot:
    """See `Snapshot`."""

    tables: Rows

    def shape(self, table: str) -> TableShape:
        """See `Snapshot`."""
        if table not in SHAPES:
            raise DatabaseUnsupportedError(f"no table {table}")
        return TableShape(table, SHAPES[table], ("id",), frozenset())

    def definition(self, table: str) -> TableDefinition:
        """Not here."""
        raise NotImplementedError

    def rows(self, table: OwnedTable, session: str) -> Iterator[Row]:
        """See `Snapshot`."""
        return self.context_rows(table.table, table.session, session)

    def context_rows(self, table: str, column: str, value: str) -> Iterator[Row]:
        """See `Snapshot`."""
        at = SHAPES[table].index(column)
        return (each for each in self.tables.get(table, ()) if text_of(each.values[at]) == value)

    def find(self, table: str, key: Sequence[Value]) -> Row | None:
        """See `Snapshot`."""
        return next((each for each in self.tables[table] if plain(each.values[0]) == plain(key[0])), None)

    def exists(self, tree: SessionTree, session: str) -> bool:
        """See `Snapshot`."""
        return any(self.rows(tree.sessions, session))

    def children(self, tree: SessionTree, sessions: Sequence[str]) -> set[str]:
        """See `Snapshot`."""
        del tree
        return {text_of(each.values[0]) for each in self.tables["session"] if text_of(each.values[1]) in sessions}


def text_of(value: Value) -> str:
    """A text, or nothing."""
    data = plain(value)
    return data[1].decode() if isinstance(data, tuple) else ""


def sessions_with(*parts: Value, icon: Value = None, count: int = 1) -> MemorySessions:
    """Sessions ses_0, ses_1 ... with one message each, in which each has these parts."""
    names = [f"ses_{number}" for number in range(count)]
    return MemorySessions(
        {
            "project": [row("prj", icon, rowid=7)],
            "session": [row(name, None, "prj", f"talk {name}", rowid=number) for number, name in enumerate(names)],
            "message": [row(f"msg_{name}", name, 5, '{"role":"user"}', rowid=3) for name in names],
            "part": [
                row(f"prt_{name}_{number:03}", name, f"msg_{name}", part, rowid=number)
                for name in names
                for number, part in enumerate(parts)
            ],
        }
    )


__all__ = ["TREE", "MemorySessions", "content", "plain", "row", "sessions_with", "text_of"]
