"""One database on a server, as the verbs see it.

What is written here is who does what; reading, swapping, sweeping, sessions and the mirror have files of their own.
"""

import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Final, Self

from ocblob.cells import Column, Scope, SearchedColumn, SessionTable, SessionTree
from ocblob.databases.addresses import Address
from ocblob.databases.base import Cell, Cells, Edit, EditResult
from ocblob.databases.mirror_rows import MirroredSession, MirrorWriter, RowMark
from ocblob.databases.session_rows import DeleteResult, Inserter, Row, SessionFacts, Snapshot, TableDefinition
from ocblob.databases.sql.listing import Listing
from ocblob.databases.sql.reading import SqlReading
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.swapping import Swapper
from ocblob.databases.sql.tables import Tables

STAMP: Final = 0
"""Every row has a version of its own here."""


class SqlDatabase:
    """See `HostDatabase`. `warnings` says what may go wrong with a server like this one."""

    reads_beside_writes: Final = True
    """No reader makes a writer wait, where rows have versions."""
    keeps_records: Final = True
    """See `MirrorDatabase`."""

    def __init__(self, address: Address, *, read_only: bool = False) -> None:
        self.server = Server(address, read_only=read_only)
        try:
            with self.server.reading() as connection:
                self.warnings: Sequence[str] = self.server.dialect.check(connection)
        except BaseException:
            self.server.close()
            raise
        self.known = Tables(self.server)
        self._listing = Listing(self.server, self.known)
        self._reading = SqlReading(self.server, self.known)
        self._swapper = Swapper(self.server, self.known)

    @property
    def address(self) -> Address:
        """See `HostDatabase`."""
        return self.server.address

    @property
    def url(self) -> str:
        """The URL without its password."""
        return self.address.name

    def close(self) -> None:
        """See `Database`."""
        self._reading.close()
        self.server.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    # Cells

    def tables(self) -> dict[str, frozenset[str]]:
        """See `Database`: of the schema that comes first."""
        return dict(self.known.names())

    def check_column(self, column: Column) -> None:
        """See `Database`. Who has opened it to write is told here if this user may not."""
        self.known.check_column(column)
        if not self.server.read_only:
            self._swapper.check(column)

    def check_scope(self, column: Column, scope: Scope) -> None:
        """See `Database`."""
        self._listing.check_scope(column, scope)

    def candidates(self, column: Column, *, larger_than: int, scope: Scope) -> Iterator[Cell]:
        """See `Database`."""
        pages = self._listing.pages(column, larger_than=larger_than, scope=scope)
        return self._reading.ahead(pages, shard=scope.shard)

    def measure(self, column: Column, *, larger_than: int, scope: Scope) -> tuple[int, int]:
        """See `Database`."""
        return self._listing.measure(column, larger_than=larger_than, scope=scope)

    def cells(self) -> AbstractContextManager[Cells]:
        """See `Database`."""
        return self._reading.cells()

    def label(self, cell: Cell) -> str:
        """See `Database`."""
        key, _session = self.row_names(cell)
        return f"{cell.column} {key}"

    def row_names(self, cell: Cell) -> tuple[str, str]:
        """See `Database`."""
        return self._listing.row_names(cell)

    def find(self, column: Column, key: str) -> Cell | None:
        """See `Database`."""
        return self._listing.find(column, key)

    def find_again(self, cell: Cell) -> bool:
        """See `Database`."""
        return self._listing.find_again(cell)

    def session_times(self, sessions: SessionTable) -> dict[str, int]:
        """See `Database`."""
        return self._listing.session_times(sessions)

    def table_sizes(self) -> dict[str, tuple[int, int]]:
        """See `Database`."""
        return self._listing.table_sizes()

    @property
    def longest_transaction_s(self) -> float:
        """See `Database`."""
        return self.server.longest_transaction_s

    def room(self) -> int:
        """See `Database`: nobody here can know it."""
        return sys.maxsize

    def stamp(self) -> object:
        """See `Database`."""
        return STAMP

    def swap(self, edits: Sequence[Edit], *, stamp: object) -> list[EditResult]:
        """See `Database`."""
        del stamp
        try:
            return self._swapper.swap(edits)
        finally:
            self._reading.forget(edit.cell for edit in edits)

    def flush(self) -> None:
        """See `Database`: a commit is durable when the server has answered, or it has been warned of."""

    def sweep(self, needles: Sequence[bytes], *, larger_than: int = 0) -> Iterator[bytes]:
        """See `Database`."""
        from ocblob.databases.sql.sweep import sweep  # noqa: PLC0415

        return sweep(self.server, needles, larger_than=larger_than)

    # Sessions

    def check_tree(self, tree: SessionTree) -> None:
        """See `SessionDatabase`."""
        from ocblob.databases.sql.session_tables import check_tree  # noqa: PLC0415

        check_tree(self.server, self.known, tree)

    def survey(self, tree: SessionTree) -> Iterator[SessionFacts]:
        """See `SessionDatabase`."""
        from ocblob.databases.sql.session_survey import survey  # noqa: PLC0415

        return survey(self.server, self.known, tree)

    def search(self, columns: Sequence[SearchedColumn], words: str) -> set[str]:
        """See `SessionDatabase`."""
        from ocblob.databases.sql.session_search import search  # noqa: PLC0415

        return search(self.server, self.known, columns, words)

    def snapshot(self) -> AbstractContextManager[Snapshot]:
        """See `SessionDatabase`."""
        from ocblob.databases.sql.session_snapshot import snapshot  # noqa: PLC0415

        return snapshot(self.server, self.known)

    def delete_sessions(
        self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Callable[[Snapshot], bool]
    ) -> DeleteResult:
        """See `SessionDatabase`."""
        from ocblob.databases.sql.session_delete import delete_sessions  # noqa: PLC0415

        return delete_sessions(self.server, self.known, tree, sessions, unchanged=unchanged)

    def inserter(self, *, dangling: bool = False) -> AbstractContextManager[Inserter]:
        """See `SessionDatabase`."""
        from ocblob.databases.sql.session_insert import inserter  # noqa: PLC0415

        return inserter(self.server, self.known, dangling=dangling)

    def delete_and_insert(
        self,
        tree: SessionTree,
        session: str,
        rows: Iterable[tuple[str, Sequence[str], Row]],
        *,
        dangling: bool = False,
    ) -> None:
        """See `SessionDatabase`."""
        from ocblob.databases.sql.session_insert import delete_and_insert  # noqa: PLC0415

        delete_and_insert(self.server, self.known, tree, session, rows, dangling=dangling)

    # The mirror

    def prepare(self, definitions: Sequence[TableDefinition]) -> list[str]:
        """See `MirrorDatabase`."""
        from ocblob.databases.sql.mirror_tables import prepare  # noqa: PLC0415

        return prepare(self.server, self.known, definitions)

    def records(self, session: str | None = None) -> Iterator[MirroredSession]:
        """See `MirrorDatabase`."""
        from ocblob.databases.sql.mirror_records import records  # noqa: PLC0415

        return records(self.server, self.known, session)

    def marks(self, tree: SessionTree, table: str, session: str) -> Iterator[RowMark]:
        """See `MirrorDatabase`."""
        from ocblob.databases.sql.mirror_records import marks  # noqa: PLC0415

        return marks(self.server, self.known, tree, table, session)

    def mirror_writer(self) -> AbstractContextManager[MirrorWriter]:
        """See `MirrorDatabase`."""
        from ocblob.databases.sql.mirror_writing import mirror_writer  # noqa: PLC0415

        return mirror_writer(self.server, self.known)
