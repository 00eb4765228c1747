"""What the values of a row are to a server's columns: how they are read, and what is bound for them, exactly."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final, Literal

import sqlalchemy as sa

from ocblob.databases.session_rows import CONTENT_READ_BYTES, SMALL_BYTES, Content, Value
from ocblob.databases.sql.dialects import SqlDialect
from ocblob.databases.sql.tables import kind_of

Nature = Literal["text", "blob", "integer", "real", "written"]
"""What a column holds. `written`: something else; its text as the server writes it stands for it."""
_LEAST_NORMAL: Final = 2.2250738585072014e-308


def nature(column: sa.Column[Any]) -> Nature:
    """What a column holds."""
    kind = kind_of(column)
    if kind != "other":
        return kind
    if isinstance(column.type, sa.types.Integer | sa.types.Boolean):
        return "integer"
    return "real" if isinstance(column.type, sa.types.Float) else "written"


def readable(column: sa.Column[Any]) -> sa.ColumnElement[Any]:
    """A column as a text, a blob or a number."""
    match nature(column):
        case "written":
            return sa.cast(column, sa.UnicodeText())
        case "real":
            return sa.type_coerce(column, sa.Double())
    return column


def size_of(dialect: SqlDialect, column: sa.Column[Any]) -> sa.ColumnElement[int]:
    """Bytes of a value; of a number, as it is written."""
    written = column if nature(column) in {"text", "blob"} else sa.cast(column, sa.UnicodeText())
    return sa.func.coalesce(dialect.octets(written), 0)


def small_size_of(dialect: SqlDialect, column: sa.Column[Any]) -> sa.ColumnElement[int]:
    """Bytes of a value that comes with its row; 0 for one that does not."""
    if nature(column) in {"integer", "real"}:
        return sa.literal_column("8", sa.BigInteger)
    octets = dialect.octets(readable(column))
    return sa.case((octets <= SMALL_BYTES, octets), else_=0)


def selected(dialect: SqlDialect, column: sa.Column[Any]) -> tuple[sa.ColumnElement[Any], ...]:
    """What is selected for a value: a number, or a size and, if that is small, the content."""
    value = readable(column)
    if nature(column) in {"integer", "real"}:
        return (value,)
    octets = dialect.octets(value)
    return octets, sa.case((octets <= SMALL_BYTES, dialect.content(value)))


def among(dialect: SqlDialect, column: sa.ColumnElement[Any], texts: Sequence[str]) -> sa.ColumnElement[bool]:
    """Whether a column is one of these texts, byte for byte, whatever its collation takes for equal."""
    return sa.or_(sa.false(), *(dialect.is_text(column, text) for text in texts))


def small(kind: Literal["text", "blob"], data: bytes) -> Content:
    """A content that is here."""
    return Content(kind, len(data), partial(iter, (data,)))


def pieces(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """The same bytes in pieces of up to `CONTENT_READ_BYTES`."""
    for chunk in chunks:
        for start in range(0, len(chunk), CONTENT_READ_BYTES):
            yield chunk[start : start + CONTENT_READ_BYTES]


def kind_name(value: Value) -> str:
    """The type of a value, as SQLite calls it."""
    if isinstance(value, Content):
        return value.kind
    return {int: "integer", float: "real"}.get(type(value), "null")


def held(content: Content) -> bytes:
    """All of a content. Raises `ValueError` if it is not as long as it was said to be."""
    data = b"".join(content.chunks())
    if len(data) != content.size:
        raise ValueError(f"{len(data)} bytes came instead of {content.size}")
    return data


def is_plain(number: float) -> bool:
    """Whether every server gives a number back bit for bit: no infinity, no tiny one, no zero with a sign."""
    if number == 0:
        return math.copysign(1, number) > 0
    return math.isfinite(number) and abs(number) >= _LEAST_NORMAL


class UnfitError(ValueError):
    """A column does not hold this value."""


def fitted(dialect: SqlDialect, kind: Nature, value: Value) -> Any:
    """A value as it is bound for a column. Raises `UnfitError` if the column does not hold it, exactly."""
    if value is None:
        return None
    match kind, value:
        case "text" | "blob", Content() if value.kind == kind:
            data = held(value)
            try:
                return dialect.encoded(data, text=kind == "text")
            except ValueError as error:
                raise UnfitError(f"holds no such text: {error}") from error
        case "written", Content() if value.kind == "text":
            return held(value).decode()
        case "written", int() | float():
            return str(value)
        case "integer", int():
            return value
        case "real", float() if is_plain(value):
            return value
    raise unfit(kind, value)


def unfit(kind: Nature, value: Value) -> UnfitError:
    """What is said of a value that a column of this nature does not hold."""
    return UnfitError(f"holds no such {kind_name(value)}: it is one of {'another type' if kind == 'written' else kind}")
