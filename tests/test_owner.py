"""A database that belongs to somebody else is not offloaded into a store that its owner cannot read, unasked."""

from pathlib import Path

import pytest

from ocblob import passes
from ocblob.databases.addresses import file_address
from ocblob.errors import UsageError


def test_a_no_stops_before_anything_is_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked about another user's database, a no is a usage error that names the way out."""
    questions: list[str] = []
    monkeypatch.setattr(passes, "is_other_users", lambda _: True)

    def no(question: str) -> bool:
        questions.append(question)
        return False

    with pytest.raises(UsageError, match="belongs to another user") as caught:
        passes.check_owner(file_address(tmp_path / "app.db"), no)

    assert "--yes" in caught.value.hint
    assert [str(tmp_path / "app.db") in question for question in questions] == [True]


def test_ones_own_database_is_no_question(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is asked about a database of one's own."""
    monkeypatch.setattr(passes, "is_other_users", lambda _: False)

    passes.check_owner(file_address(tmp_path / "app.db"), lambda question: pytest.fail(f"asked: {question}"))
