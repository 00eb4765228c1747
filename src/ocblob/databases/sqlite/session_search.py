"""Words looked for in the sessions of a file. Cells that are too large for it are not read."""

from collections.abc import Sequence
from pathlib import Path

from ocblob.cells import SearchedColumn
from ocblob.databases.session_rows import SEARCHED_BYTES
from ocblob.databases.sqlite.connection import quote
from ocblob.databases.sqlite.session_snapshot import snapshot
from ocblob.databases.sqlite.session_tables import decoded


def search(path: Path, columns: Sequence[SearchedColumn], words: str) -> set[str]:
    """See `SessionDatabase`. Memory: the ids, and one cell."""
    found = set[str]()
    with snapshot(path) as state:
        for column in columns:
            cell, session = quote(column.column), quote(column.session)
            # The size first: SQLite reads no cell that it has thrown out by then.
            rows = state.stream(
                f"SELECT DISTINCT CAST({session} AS BLOB) FROM {quote(column.table)}"
                f" WHERE CASE WHEN octet_length({cell})<={SEARCHED_BYTES}"
                f" THEN {cell} LIKE ? ESCAPE '\\' AND {cell} LIKE ? ESCAPE '\\' END",
                (_pattern(column.needle(words)), _pattern(column.mark)),
            )
            found.update(decoded(name) for (name,) in rows)
    return found


def _pattern(text: str) -> str:
    escaped = "".join(f"\\{char}" if char in "\\%_" else char for char in text)
    return f"%{escaped}%"
