"""What a transaction leaves behind that had no answer, or was undone; and what is refused before there is one."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ocblob.cells import Column
from ocblob.databases.base import Cell, Edit, EditResult, Outcome
from ocblob.databases.sql.dialects import DIALECTS, Limit
from ocblob.databases.sql.server import ConnectionLostError
from ocblob.databases.sql.session_insert import _unbound
from ocblob.databases.sql.session_values import fitted, small
from ocblob.databases.sql.swapping import Swapper


class Server:
    """Stands for one that may be asked again at once."""

    limit = Limit(1 << 30, "", "")
    large_bytes = 1 << 20
    keys_off = ("off", "on")

    @property
    def dialect(self) -> "Server":
        """Its own."""
        return self

    def retried(self, work: Callable[[], Any]) -> Any:
        """Until there is an answer."""
        while True:
            with contextlib.suppress(ConnectionLostError):
                return work()


def test_a_commit_without_an_answer_is_remembered_for_all_of_its_edits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Transactions that come after it and take fewer edits look whether the others were swapped by it."""
    swapper = Swapper(Server(), None)  # type: ignore[arg-type]
    seen: list[tuple[int, bool]] = []

    def transaction(waiting: Sequence[Any], *, apart: bool) -> list[EditResult]:
        del apart
        seen.append((len(waiting), swapper._unsure))
        if len(seen) == 1:
            raise ConnectionLostError("no answer")
        return [EditResult(waiting[0].edit, Outcome.SWAPPED)]

    monkeypatch.setattr(swapper, "_transaction", transaction)
    monkeypatch.setattr(swapper, "_value", lambda _edit: b"new")
    edits = [Edit(Cell(Column("t", "c"), (key,), 3), 3, lambda: iter(()), lambda _: True, 1) for key in range(3)]

    assert edits == [result.edit for result in swapper.swap(edits)]
    assert [(3, False), (3, True), (2, True), (1, True)] == seen


class Connection:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def exec_driver_sql(self, statement: str) -> None:
        """Take it."""
        self.said.append(statement)


@pytest.mark.parametrize("refused", [False, True])
def test_foreign_keys_are_looked_at_again_whatever_became_of_the_rows(*, refused: bool) -> None:
    """The setting is the connection's, and somebody else gets that."""
    connection = Connection()
    with contextlib.suppress(ValueError), _unbound(Server(), connection, off=True):  # type: ignore[arg-type]
        if refused:
            raise ValueError

    assert ["off", "on"] == connection.said


def test_what_is_no_text_is_not_changed_to_fit_a_type_of_the_servers() -> None:
    """A time or a document is given as a text; one that is none is refused."""
    with pytest.raises(ValueError, match="can't decode"):
        fitted(DIALECTS["postgresql"], "written", small("text", b'{"a": "\xff"}'))
