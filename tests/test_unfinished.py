"""Trees that a killed retention has left in pieces, and the retention after it."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from crash_sessions import archives, digests, digests_of, place, rows_of, store_place
from ocblob import unfinished
from ocblob.config import Settings
from ocblob.databases.sqlite import SQLiteDatabase, session_delete, session_pieces
from ocblob.errors import DatabaseError
from ocblob.filesystem import write_durable
from ocblob.retention import RetainPass, retain_pass
from ocblob.sessions.plan import plan_retain
from ocblob.sessions.seals import Sealed
from ocblob.sessions.trees import forest
from ocblob.sessions.unarchive import UnarchiveReport
from ocblob.unfinished import Notes
from processes import finish, spawn
from samples import make_opencode, opencode_profile, query
from test_kill_sessions import Ready

LIMIT_BYTES = 150_000
"""Less than the session has, more than is left of it after some pieces; below what is allowed to people."""


KILLED_AT_LINES = """
import json, sys
from pathlib import Path
import crash_sessions
from kills import killed_at_lines
from ocblob import unfinished
from test_kill_sessions import Ready
from test_unfinished import pieces, retain

at, wrong, begun = Ready(Path(sys.argv[1])), [], []
unfinished.WHOLE_ROWS_MAX = 2

def look(line):
    begun.append(bool(pieces(at)))
    retain(at.root)
    wrong.extend(f"line {line}: {session} is in pieces" for session in pieces(at))
    wrong.extend(f"line {line}: {what}" for what in at.trouble())

parts = ("session_pieces.py", "unfinished.py", "sessions/retain.py")
killed_at_lines(at.fresh, lambda: crash_sessions.retain_in_pieces(at.root), look, parts, step=37)
print(json.dumps({"begun": sum(begun), "wrong": wrong}))
"""


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A database with one session, which is a large one: a transaction takes four rows."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr(session_delete, "WHOLE_ROWS_MAX", 2)
    monkeypatch.setattr(unfinished, "WHOLE_ROWS_MAX", 2)
    monkeypatch.setattr(session_pieces, "PIECE_ROWS", 4)
    monkeypatch.setattr("ocblob.databases.sqlite.session_writing.TRANSACTION_S", 0.0)
    make_opencode(tmp_path / "opencode.db", sessions=1, parts=12, size=6000, now_ms=1_780_000_000_000)
    (tmp_path / "archives").mkdir()
    return tmp_path


def retain(root: Path, *, size: int = 1_000_000, **options: Any) -> tuple[RetainPass, list[str]]:
    """One retention, and what it says."""
    words: list[str] = []
    settings = replace(Settings(), max_size=size, keep_active_s=0.0, archive=root / "archives")
    done = retain_pass(place(root), store_place(root), settings, say=words.append, **options)
    return done, [text for text in words if "killed" in text]


def pieces(at: Ready) -> list[str]:
    """Sessions of a database that are not whole."""
    wanted = digests_of(at.original)
    return [session for session, digest in digests(at.root / "opencode.db").items() if wanted[session] != digest]


def notes(root: Path) -> list[Path]:
    """Those that are there."""
    return list((root / "state" / "ocblob" / "retain").glob("*"))


def denied(*_arguments: object) -> None:
    """What may not be looked into."""
    raise PermissionError(13, "Permission denied")


def killed(root: Path, monkeypatch: pytest.MonkeyPatch, *, after: int = 3) -> None:
    """A retention that ends without a word after some transactions of the session."""
    original = session_pieces.PieceDeletion._delete_some
    calls: list[int] = []

    def delete_some(self: session_pieces.PieceDeletion, *pieces: Any) -> object:
        assert 1 == len(notes(root)), "noted before anything goes"
        calls.append(1)
        if len(calls) > after:
            raise Killed
        return original(self, *pieces)

    with monkeypatch.context() as patch:
        patch.setattr(session_pieces.PieceDeletion, "_delete_some", delete_some)
        _small_limit(patch)
        with pytest.raises(Killed):
            retain(root)


def _small_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr("ocblob.sessions.limits.SIZE_MIN_BYTES", 1)
    patch.setattr("ocblob.retention.plan_retain", _with_limit)


def _with_limit(facts: Any, limits: Any, **more: Any) -> Any:
    return plan_retain(facts, replace(limits, max_size=LIMIT_BYTES), **more)


def test_what_a_killed_retention_left_comes_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is left is below the limit, so that no plan would take it: the next retention puts all of it back first."""
    before = rows_of(root / "opencode.db")
    killed(root, monkeypatch)
    left = rows_of(root / "opencode.db")

    done, words = retain(root)

    assert left != before == rows_of(root / "opencode.db")
    assert (True, ()) == (done.complete, done.plan.evictions)
    assert 1 == len(words)
    assert "rows of it are back from" in words[0]
    assert ([], []) == (notes(root), retain(root)[1])


@pytest.mark.many
def test_killed_at_any_line_no_session_stays_in_pieces(root: Path) -> None:
    """Whatever a SIGKILL leaves, one more retention whose limits hold makes every session whole, or it is gone."""
    (root / "scenes").mkdir()
    report = json.loads(finish(spawn(KILLED_AT_LINES, str(root / "scenes"))))

    assert [] == report["wrong"]
    assert report["begun"]


def test_a_dry_run_puts_nothing_back(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It leaves pieces and note to the run that is meant."""
    killed(root, monkeypatch)
    left = rows_of(root / "opencode.db")

    retain(root, dry_run=True)

    assert left == rows_of(root / "opencode.db")
    assert 1 == len(notes(root))


def test_an_archive_that_is_gone_is_told_until_it_is_there(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The note stays, and the retention does its work."""
    before = rows_of(root / "opencode.db")
    killed(root, monkeypatch)
    (archive,) = archives(root)
    away = archive.rename(root / "away")

    done, words = retain(root)
    away.rename(archive)
    later, _ = retain(root)

    assert (True, True) == (done.complete, later.complete)
    assert "its rows are not back" in words[0]
    assert f"bring {archive} back" in words[0]
    assert [] == notes(root)
    assert before == rows_of(root / "opencode.db")


def test_a_session_that_is_gone_stays_gone(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own user deleted what was left of it, or all of it had gone when the process ended."""
    killed(root, monkeypatch)
    with SQLiteDatabase(root / "opencode.db") as database:
        tree = opencode_profile(root / "opencode.db").tree
        assert tree is not None
        database.delete_sessions(tree, ("ses_0",), unchanged=lambda _: True)

    assert [] == retain(root)[1]
    assert ([], []) == (query(root / "opencode.db", "SELECT id FROM session"), notes(root))


@pytest.mark.parametrize("flushes", [True, False])
def test_a_note_ends_when_its_tree_has_gone_durably(
    root: Path, monkeypatch: pytest.MonkeyPatch, *, flushes: bool
) -> None:
    """A power cut may bring rows back that were not flushed: then it stays, and costs the next retention a look."""
    _small_limit(monkeypatch)
    original = SQLiteDatabase.flush

    def flush(self: SQLiteDatabase) -> None:
        if not flushes:
            raise DatabaseError("the disk is broken")
        original(self)

    monkeypatch.setattr(SQLiteDatabase, "flush", flush)

    done, _ = retain(root)

    assert done.report is not None
    assert 1 == done.report.evicted.trees
    assert flushes == (not notes(root))


@pytest.mark.parametrize("how", ["small", "no archive", "no directory", "another user's"])
def test_what_needs_no_note_or_gets_none_goes_all_the_same(
    root: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    """One transaction leaves no pieces; without an archive nothing could come back; a full disk stops nothing."""
    _small_limit(monkeypatch)
    if how == "small":
        monkeypatch.setattr(unfinished, "WHOLE_ROWS_MAX", 2000)
    elif how == "no directory":
        (root / "state").write_text("a file")
    elif how == "another user's":
        monkeypatch.setattr(Path, "glob", denied)
        monkeypatch.setattr(unfinished, "make_private_directory", denied)
    settings = replace(
        Settings(), max_size=1_000_000, keep_active_s=0.0, archive=root / "archives", archive_wanted=how != "no archive"
    )
    written: list[Path] = []

    def write_noted(path: Path, data: bytes) -> None:
        write_durable(path, data)
        written.append(path)

    monkeypatch.setattr(unfinished, "write_durable", write_noted)

    done = retain_pass(place(root), store_place(root), settings)

    assert done.report is not None
    assert (1, []) == (done.report.evicted.trees, written)


@pytest.fixture
def noted(tmp_path: Path) -> Iterator[tuple[Notes, SQLiteDatabase]]:
    """A database of one session, which a pull was bringing from a mirror when it was killed."""
    with SQLiteDatabase(make_opencode(tmp_path / "opencode.db", sessions=1, parts=1, size=100, now_ms=1)) as database:
        notes = Notes(tmp_path / "notes", "here")
        notes.begin_pull("there", ["ses_0"], database)
        yield notes, database


def test_notes_of_another_database_are_nobodys_business(noted: tuple[Notes, SQLiteDatabase]) -> None:
    """Its sessions may have the same ids, and are whole."""
    notes, _ = noted

    found = [each.in_pieces() for each in (notes, replace(notes, database="elsewhere"))]

    assert [{"ses_0"}, frozenset()] == found


@pytest.mark.parametrize(("name", "count"), [("here", 2), ("postgresql://host/db", 0)])
def test_what_goes_from_a_server_needs_no_note(
    noted: tuple[Notes, SQLiteDatabase], monkeypatch: pytest.MonkeyPatch, name: str, count: int
) -> None:
    """It goes in one transaction, however large it is."""
    notes, database = noted
    monkeypatch.setattr(unfinished, "WHOLE_ROWS_MAX", 0)
    tree = opencode_profile(database.path).tree
    assert tree is not None
    (whole,) = forest(database.survey(tree))
    named = replace(notes, database=name)

    end = named.begin(whole, Sealed({}, mirror="there"), database)
    found = len(named.pending())
    end()

    assert (count, max(count - 1, 0)) == (found, len(named.pending()))


@pytest.mark.parametrize(
    ("mirror", "session", "left"), [("there", "ses_0", 0), ("elsewhere", "ses_0", 1), ("there", "ses_1", 1)]
)
def test_a_pull_ends_the_notes_of_those_before_it(
    noted: tuple[Notes, SQLiteDatabase], mirror: str, session: str, left: int
) -> None:
    """Of the same sessions out of the same mirror."""
    notes, database = noted

    notes.begin_pull(mirror, [session], database)()

    assert left == len(notes.pending())


@pytest.mark.parametrize("why", ["a row of it is refused", ""])
def test_a_note_stays_while_rows_are_missing(noted: tuple[Notes, SQLiteDatabase], why: str) -> None:
    """It is told, and the next retention tries again."""
    notes, database = noted
    tree = opencode_profile(database.path).tree
    assert tree is not None
    report, words = UnarchiveReport(), list[str]()
    if why:
        report.fail("ses_0", why)

    notes.finish(database, tree, lambda _name, _sessions: report, words.append)

    assert bool(why) == bool(notes.pending())
    assert bool(why) == any(why in said for said in words)
