"""Keys of rows as they are bound. In a mirror a text stands in for what its key column cannot hold, or not index.

The value itself is an odd cell of the row then, as every other that a column cannot hold.
"""

from collections.abc import Sequence
from typing import Any, Final

from ocblob.databases.session_rows import Content, Value
from ocblob.databases.sql.dialects import SqlDialect
from ocblob.databases.sql.session_values import Nature, UnfitError, fitted, held, kind_name, nature
from ocblob.databases.sql.tables import OURS, SqlTable
from ocblob.digest import digest_of

KEY_CHARS: Final = 255
KEY_BYTES: Final = 850
"""A longer text is not indexed: MySQL takes 3,072 bytes for all columns of a key, in which a character has four, and
SQL Server 900.
"""


def bound_key(dialect: SqlDialect, table: SqlTable, key: Sequence[Value]) -> tuple[Any, ...] | None:
    """What a row is found by; None if no row of the table can have this key."""
    try:
        return tuple(
            key_value(dialect, table, nature(column), value) for column, value in zip(table.key, key, strict=True)
        )
    except ValueError:
        return None


def key_value(dialect: SqlDialect, table: SqlTable, kind: Nature, value: Value) -> Any:
    """One column of a key. Raises `UnfitError` if it can neither be held nor stood in for."""
    if value is None:
        raise UnfitError("is null: no row is found by that")
    stands_in = table.digest is not None and kind == "text"
    try:
        bound = fitted(dialect, kind, value)
    except UnfitError:
        if not stands_in:
            raise
        return _stand_in(value)
    if not stands_in:
        return bound
    # SQL Server takes a text with blanks at its end for the one without.
    fits = len(bound) <= KEY_CHARS and len(bound.encode()) <= KEY_BYTES and not bound.endswith(" ")
    return bound if fits else _stand_in(value)


def stands_in(bound: object) -> bool:
    """Whether what is bound is not the value itself."""
    return isinstance(bound, str) and bound.startswith(_MARK)


_MARK: Final = f"{OURS}key "


def _stand_in(value: Value) -> str:
    data = held(value) if isinstance(value, Content) else repr(value).encode()
    return f"{_MARK}{kind_name(value)} {digest_of(data)}"
