"""What a server does that has no quicker way of its own: one statement after the other, in SQL as everywhere."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa


class PlainStatements:
    """A part of `SqlDialect`, for those of the servers that it is right for."""

    def self_changing(self, connection: sa.Connection, table: str) -> Sequence[str]:
        """See `SqlDialect`."""
        del connection, table
        return ()

    def made_anew(self, connection: sa.Connection) -> Sequence[str]:
        """See `SqlDialect`: reading one is an error, or keeps it from being rewritten."""
        del connection
        return ()

    def changed(
        self, connection: sa.Connection, statement: sa.Update, parameters: Sequence[Mapping[str, Any]]
    ) -> list[int]:
        """See `SqlDialect`."""
        return [connection.execute(statement, one).rowcount for one in parameters]

    def put_rows(self, connection: sa.Connection, statement: sa.Insert, rows: Sequence[Mapping[str, Any]]) -> None:
        """See `SqlDialect`."""
        connection.execute(statement, rows)

    def among(self, column: sa.Column[Any], values: Sequence[Any]) -> sa.ColumnElement[bool]:
        """See `SqlDialect`."""
        return column.in_(values)
