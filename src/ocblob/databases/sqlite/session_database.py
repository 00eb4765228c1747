"""The rows of sessions in one SQLite file: looked at, deleted, put back, and mirrored to it.

Each of these works on a connection of its own.
"""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from ocblob.cells import SearchedColumn, SessionTree
from ocblob.databases.mirror_rows import MirroredSession, RowMark
from ocblob.databases.session_rows import DeleteResult, Row, SessionFacts, Snapshot, TableDefinition
from ocblob.databases.sqlite.mirror_tables import prepare
from ocblob.databases.sqlite.mirror_writing import SQLiteMirrorWriter, mirror_writer
from ocblob.databases.sqlite.schema import Schema
from ocblob.databases.sqlite.session_delete import delete_sessions
from ocblob.databases.sqlite.session_insert import SQLiteInserter, delete_and_insert, inserter
from ocblob.databases.sqlite.session_search import search
from ocblob.databases.sqlite.session_snapshot import SQLiteSnapshot, snapshot
from ocblob.databases.sqlite.session_survey import survey
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.databases.sqlite.swapping import Swapper


class SQLiteSessions:
    """See `SessionDatabase` and `MirrorDatabase`: what `SQLiteDatabase` does of them."""

    path: Path
    _schema: Schema

    @property
    def _writer(self) -> Swapper:
        """Raises `DatabaseUnsupportedError` if the file is open for reading only."""
        raise NotImplementedError

    def check_tree(self, tree: SessionTree) -> None:
        """See `SessionDatabase`."""
        with self.snapshot() as state:
            state.tables.check_tree(tree)

    def survey(self, tree: SessionTree) -> Iterator[SessionFacts]:
        """See `SessionDatabase`."""
        return survey(self.path, tree)

    def snapshot(self) -> contextlib.AbstractContextManager[SQLiteSnapshot]:
        """See `SessionDatabase`."""
        return snapshot(self.path)

    def search(self, columns: Sequence[SearchedColumn], words: str) -> set[str]:
        """See `SessionDatabase`."""
        return search(self.path, columns, words)

    def delete_sessions(
        self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Callable[[Snapshot], bool]
    ) -> DeleteResult:
        """See `SessionDatabase`."""
        with self._session_writer() as writer:
            return delete_sessions(writer, tree, sessions, unchanged=unchanged)

    @contextlib.contextmanager
    def inserter(self, *, dangling: bool = False) -> Iterator[SQLiteInserter]:
        """See `SessionDatabase`."""
        with self._session_writer() as writer, inserter(writer, dangling=dangling) as rows:
            yield rows

    def delete_and_insert(
        self,
        tree: SessionTree,
        session: str,
        rows: Iterable[tuple[str, Sequence[str], Row]],
        *,
        dangling: bool = False,
    ) -> None:
        """See `SessionDatabase`."""
        with self._session_writer() as writer:
            delete_and_insert(writer, tree, session, rows, dangling=dangling)

    @property
    def keeps_records(self) -> bool:
        """See `MirrorDatabase`: a host's file gets no tables of ours."""
        return False

    def prepare(self, definitions: Sequence[TableDefinition]) -> list[str]:
        """See `MirrorDatabase`."""
        with self._session_writer() as writer:
            made = prepare(writer, definitions)
        self._schema.forget()
        return made

    def records(self, session: str | None = None) -> Iterator[MirroredSession]:
        """See `MirrorDatabase`."""
        del session
        return iter(())

    def marks(self, tree: SessionTree, table: str, session: str) -> Iterator[RowMark]:
        """See `MirrorDatabase`."""
        del tree, table, session
        return iter(())

    @contextlib.contextmanager
    def mirror_writer(self) -> Iterator[SQLiteMirrorWriter]:
        """See `MirrorDatabase`."""
        with self._session_writer() as writer, mirror_writer(writer) as rows:
            yield rows

    @contextlib.contextmanager
    def _session_writer(self) -> Iterator[SessionWriter]:
        """A connection of its own, whose longest transaction counts."""
        swapper = self._writer
        with SessionWriter(self.path) as writer:
            try:
                yield writer
            finally:
                swapper.longest_transaction_s = max(swapper.longest_transaction_s, writer.longest_transaction_s)
