"""`retain --mirror`: what goes is in the mirror, provably, at that moment; what cannot be proven stays."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from command_line import Cli, cli_in
from mirrors import mirror
from ocblob import mirror_sealing, unfinished
from ocblob.databases.session_rows import Deleted, DeleteResult
from ocblob.databases.sqlite import SQLiteDatabase, session_delete, session_pieces
from ocblob.digest import digest_of
from ocblob.sessions.limits import RetainLimits
from ocblob.sessions.mirroring import MirrorReport
from ocblob.sessions.plan import plan_retain
from ocblob.sessions.seals import Sealed, sealed_by_both
from samples import object_path, opencode_profile, opened, payload, query
from talks import Talk, make_talks, rows, sessions, sound
from test_traps import archives

SIZE = 30_000
TALKS = (Talk("ses_a", 100), Talk("ses_a1", 99, parent="ses_a"), Talk("ses_b", 50), Talk("ses_c", 40))
ALL = ["ses_a", "ses_a1", "ses_b", "ses_c"]
TWO = ("retain", "--max-sessions", "1")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """A command line with homes of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def path(cli: Cli) -> Path:
    """A database of a family and two more."""
    talks = [Talk(talk.id, talk.created_days, parent=talk.parent, size=SIZE) for talk in TALKS]
    return make_talks(cli.root / "app" / "opencode.db", talks)


@pytest.fixture
def there(cli: Cli) -> Path:
    """Where the mirror is."""
    return cli.root / "mirror.db"


def change(path: Path, *statements: str) -> None:
    """Somebody writes."""
    with opened(path) as db:
        for statement in statements:
            db.execute(statement).fetchall()


def archived(cli: Cli) -> list[Path]:
    """Archives in the default place."""
    return archives(cli.root / "data")


def test_what_goes_is_in_the_mirror_alone(cli: Cli, path: Path, there: Path) -> None:
    """No archive is made unless one is named; the report and the words say where it is, and it comes back."""
    before = rows(path)

    done = cli.run(*TWO, "--mirror", there, "--db", path, "--json")
    left = sessions(path)
    back = cli.run("pull", "--session", "ses_a", "--session", "ses_b", "--from", there, "--db", path)

    report = done.json["report"]
    assert (0, ["ses_c"], []) == (done.code, left, archived(cli))
    assert (str(there), 3, "") == (report["mirror"], report["mirrored"], report["archive"])
    assert 'evicted session ses_b "the talk ses_b"' in done.err
    assert f"into {there}\n" in done.err
    assert (0, before) == (back.code, rows(path))
    assert sound(path)


def test_with_an_archive_both_hold_it(cli: Cli, path: Path, there: Path) -> None:
    """Whoever names an archive gets it beside the mirror."""
    (cli.root / "kept").mkdir()

    done = cli.run(*TWO, "--mirror", there, "--archive", cli.root / "kept", "--db", path)

    (archive,) = archives(cli.root / "kept")
    assert (0, ["ses_c"]) == (done.code, sessions(path))
    assert f"into {archive} and {there}" in done.err


@pytest.mark.parametrize(
    ("there", "kept", "goes", "left"),
    [
        ({"a": "1"}, {"a": "1"}, {"a": "1"}, {}),
        ({"a": "1"}, {"a": "2"}, {}, {}),
        ({}, {"a": "1"}, {}, {}),
    ],
)
def test_both_must_hold_the_same(
    there: dict[str, str], kept: dict[str, str], goes: dict[str, str], left: dict[str, str]
) -> None:
    """A session that changed between mirror and archive is sealed in neither."""
    seal = sealed_by_both(lambda _: Sealed(there, mirror="m"), lambda _: Sealed(kept, archive="f"))

    found = seal(["a"])

    assert (goes, left, "f", "m") == (found.digests, found.left, found.archive, found.mirror)
    assert "f and m" == found.where


def test_what_one_of_both_does_not_hold_stays() -> None:
    """Each one's reasons count."""
    seal = sealed_by_both(
        lambda _: Sealed({"a": "1", "b": "1"}, {"a": "not there"}),
        lambda _: Sealed({"a": "1", "b": "1"}, {"b": "no blob"}),
    )

    assert {"a": "not there", "b": "no blob"} == seal(["a", "b"]).left


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE part SET data='{}' WHERE id='prt_ses_b_1'",
        "UPDATE part SET data=CAST(data AS BLOB) WHERE id='prt_ses_b_2'",
        "DELETE FROM event WHERE aggregate_id='ses_b'",
        "DELETE FROM todo WHERE session_id='ses_b'",
        "INSERT INTO todo SELECT session_id, 'x', status, priority, 9, 1, 1 FROM todo WHERE session_id='ses_b'",
    ],
)
def test_rows_are_compared_now(
    cli: Cli, path: Path, there: Path, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    """Whatever the mirror's own report says: a row that differs, lacks or is too many keeps its session here."""
    mirror(path, there, cli.store)
    change(there, statement)
    monkeypatch.setattr(mirror_sealing, "mirror_pass", _said_to_be_done)

    done = cli.run(*TWO, "--mirror", there, "--db", path)

    assert (3, ["ses_b", "ses_c"]) == (done.code, sessions(path))
    assert "ses_b stays (unsealed): ses_b: the mirror does not hold it: " in done.err


class _said_to_be_done:  # noqa: N801 - it stands in for a function
    """A mirror that does nothing and tells nothing."""

    def __init__(self, *_arguments: object, **_options: object) -> None:
        self.report = MirrorReport()


def test_a_change_that_no_survey_tells_is_mirrored(cli: Cli, path: Path, there: Path) -> None:
    """Content of the same size and time: the rows that are to go are read whatever the numbers say."""
    mirror(path, there, cli.store)
    change(path, "UPDATE session SET title='the walk ses_b', time_updated=time_updated+1 WHERE id='ses_b'")
    change(there, "UPDATE session SET time_updated=time_updated+1 WHERE id='ses_b'")
    change(path, "UPDATE session SET time_updated=time_updated+1 WHERE id='ses_b'")

    done = cli.run(*TWO, "--mirror", there, "--db", path)

    assert (0, ["ses_c"]) == (done.code, sessions(path))
    assert [("the walk ses_b",)] == query(there, "SELECT title FROM session WHERE id='ses_b'")


def test_newer_work_in_the_mirror_keeps_it_here(cli: Cli, path: Path, there: Path) -> None:
    """Somebody went on with it on another machine: nothing is written over, and nothing goes."""
    mirror(path, there, cli.store)
    change(there, "UPDATE session SET title='went on', time_updated=time_updated+9 WHERE id='ses_b'")
    change(path, "UPDATE part SET data='{}', time_updated=time_updated+9 WHERE id='prt_ses_b_2'")

    done = cli.run(*TWO, "--mirror", there, "--db", path)

    assert (3, ["ses_b", "ses_c"]) == (done.code, sessions(path))
    assert [("went on",)] == query(there, "SELECT title FROM session WHERE id='ses_b'")


def test_a_ref_without_its_blob_stays(cli: Cli, path: Path, there: Path) -> None:
    """The mirror's row would name what nobody has. Who knows that it is gone for good says so."""
    cli.run("offload", "--no-plugin", "--db", path)
    object_path(cli.store, digest_of(payload(SIZE, "ses_b"))).unlink()

    done = cli.run(*TWO, "--mirror", there, "--db", path)
    left = sessions(path)
    allowed = cli.run(*TWO, "--mirror", there, "--allow-unresolved", "--db", path)

    assert (3, ["ses_b", "ses_c"]) == (done.code, left)
    assert "2 missing" in done.err
    assert (0, ["ses_c"]) == (allowed.code, sessions(path))


def test_a_damaged_blob_is_found_by_reading_it(cli: Cli, path: Path, there: Path) -> None:
    """That something of the right name is there proves nothing."""
    cli.run("offload", "--no-plugin", "--db", path)
    blob = object_path(cli.store, digest_of(payload(SIZE, "ses_b")))
    data = bytearray(blob.read_bytes())
    data[-200] ^= 1
    blob.write_bytes(data)

    done = cli.run(*TWO, "--mirror", there, "--db", path)

    assert (3, ["ses_b", "ses_c"]) == (done.code, sessions(path))
    assert "corrupt" in done.err


@pytest.mark.parametrize("with_archive", [False, True])
def test_a_mirror_that_cannot_be_had_evicts_nothing(cli: Cli, path: Path, *, with_archive: bool) -> None:
    """It is told, and not even an archive is written."""
    (cli.root / "kept").mkdir()
    before = rows(path)
    more = ("--archive", str(cli.root / "kept")) if with_archive else ()

    file = cli.run(*TWO, "--mirror", cli.root / "nowhere" / "mirror.db", *more, "--db", path)
    server = cli.run(*TWO, "--mirror", "postgresql://me:secret@127.0.0.1:1/db", *more, "--db", path)
    itself = cli.run(*TWO, "--mirror", path, *more, "--db", path)

    assert (1, 1, 2) == (file.code, server.code, itself.code)
    assert "127.0.0.1" in server.err
    assert "secret" not in server.err
    assert before == rows(path)
    assert [] == archives(cli.root / "kept")


def test_a_session_that_goes_on_after_the_seal_stays(
    cli: Cli, path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is deleted is what the mirror has, to the last row."""
    original = SQLiteDatabase.delete_sessions

    def delete(self: SQLiteDatabase, tree: Any, names: Sequence[str], **more: Any) -> DeleteResult:
        if "ses_b" in names and there.exists() and more["unchanged"] is not None:
            change(path, "UPDATE part SET data='{\"new\":1}' WHERE id='prt_ses_b_2'")
        return original(self, tree, names, **more)

    monkeypatch.setattr(SQLiteDatabase, "delete_sessions", delete)

    done = cli.run(*TWO, "--mirror", there, "--db", path)

    assert (3, ["ses_b", "ses_c"]) == (done.code, sessions(path))
    assert "ses_b stays (changed)" in done.err


# ---- in pieces ---------------------------------------------------------------------------------------------------


class Killed(BaseException):
    """The process ends here."""


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction takes four rows."""
    monkeypatch.setattr(session_delete, "WHOLE_ROWS_MAX", 2)
    monkeypatch.setattr(unfinished, "WHOLE_ROWS_MAX", 2)
    monkeypatch.setattr(session_pieces, "PIECE_ROWS", 4)
    monkeypatch.setattr("ocblob.databases.sqlite.session_writing.TRANSACTION_S", 0.0)


def killed(cli: Cli, path: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retention that ends without a word after some transactions of ses_b."""
    original: Callable[..., object] = session_pieces.PieceDeletion._delete_some
    calls: list[int] = []

    def delete_some(self: session_pieces.PieceDeletion, *pieces: Any) -> object:
        calls.append(1)
        if len(calls) > 1:
            raise Killed
        return original(self, *pieces)

    with monkeypatch.context() as patch:
        patch.setattr(session_pieces.PieceDeletion, "_delete_some", delete_some)
        with pytest.raises(Killed):
            cli.run("retain", "--max-age", "45d", "--keep", "ses_a", "--mirror", there, "--db", path)


def notes(cli: Cli) -> list[Path]:
    """Those that are there."""
    return list((cli.root / "state" / "ocblob" / "retain").glob("*"))


@pytest.mark.usefixtures("in_pieces")
def test_what_a_killed_retention_left_comes_back(
    cli: Cli, path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Out of the mirror that its note names, whether the next one has a mirror or not."""
    before = rows(path)
    killed(cli, path, there, monkeypatch)
    left, (note,) = rows(path), notes(cli)

    done = cli.run("retain", "--max-age", "1000d", "--db", path)

    assert left != before == rows(path)
    assert 0 == done.code
    assert f"rows of it are back from {there}" in done.err
    assert [] == notes(cli)
    assert not note.exists()


@pytest.mark.usefixtures("in_pieces")
def test_a_mirror_that_is_away_is_told_until_it_is_there(
    cli: Cli, path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The note stays, without a password."""
    before = rows(path)
    killed(cli, path, there, monkeypatch)
    away = there.rename(cli.root / "away.db")

    done = cli.run("retain", "--max-age", "1000d", "--db", path)
    (note,) = notes(cli)
    said = json.loads(note.read_bytes())
    away.rename(there)
    cli.run("retain", "--max-age", "1000d", "--db", path)

    assert f"bring {there} back" in done.err
    assert ("", str(there)) == (said["archive"], said["mirror"])
    assert (before, []) == (rows(path), notes(cli))


@pytest.mark.usefixtures("in_pieces")
def test_what_only_a_mirror_has_goes_in_pieces_with_a_note_or_not_at_all(
    cli: Cli, path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who goes on with what a kill has left, and mirrors it, would take the rest from the mirror too."""

    def full(_path: Path, _data: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(unfinished, "write_durable", full)
    before = rows(path)

    done = cli.run(*TWO, "--mirror", there, "--db", path, "--json")

    assert (3, before, 0) == (done.code, rows(path), done.json["report"]["archived"])
    assert "ses_b stays (failed): " in done.err
    assert "takes no note of what is about to be in pieces: No space left on device" in done.err


@pytest.mark.usefixtures("in_pieces")
def test_somebody_who_comes_between_gets_it_back(
    cli: Cli, path: Path, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows that went while he began to work are there again at once, and his own beside them."""
    original: Callable[..., object] = session_pieces.PieceDeletion._delete_some
    calls: list[int] = []

    def delete_some(self: session_pieces.PieceDeletion, *pieces: Any) -> object:
        calls.append(1)
        if len(calls) == 2:
            change(path, "UPDATE session SET title='went on' WHERE id='ses_b'")
        return original(self, *pieces)

    monkeypatch.setattr(session_pieces.PieceDeletion, "_delete_some", delete_some)
    before = query(path, "SELECT id, data FROM part WHERE session_id='ses_b' ORDER BY id")

    done = cli.run("retain", "--max-age", "45d", "--keep", "ses_a", "--mirror", there, "--db", path)

    assert 3 == done.code
    assert "they are back" in done.err
    assert before == query(path, "SELECT id, data FROM part WHERE session_id='ses_b' ORDER BY id")
    assert [("went on",)] == query(path, "SELECT title FROM session WHERE id='ses_b'")
    assert Deleted.HALF.value not in done.err


@pytest.mark.parametrize("verb", ["retain", "maintain"])
def test_a_mirror_of_no_known_kind_is_told_at_once(cli: Cli, path: Path, verb: str) -> None:
    """Exit 2, although no session would go yet."""
    done = cli.run(verb, "--max-sessions", "1000", "--mirror", "postgre://me:s3cret@h/d", "--db", path)

    assert (2, True) == (done.code, "postgre://me@h/d: no such kind of database" in done.err)


# ---- a whole pass ------------------------------------------------------------------------------------------------


def test_maintain_mirrors_before_it_retains(cli: Cli, path: Path, there: Path) -> None:
    """All sessions go to the mirror, the oldest out of the database."""
    cli.monkeypatch.setenv("OCBLOB_MIRROR", str(there))

    done = cli.run("maintain", "--no-plugin", "--max-sessions", "1", "--db", path, "--json")

    steps = [step["name"] for step in done.json["steps"]]
    assert (0, ["ses_c"], ALL) == (done.code, sessions(path), sessions(there))
    assert ["offload", "mirror", "retain"] == steps[:3]
    # Numbers, as `mirror` itself tells them: no list of every session that there is.
    assert len(ALL) == done.json["steps"][1]["done"]["plan"]["sessions"]
    assert [] == archived(cli)


def test_maintain_without_its_mirror_evicts_nothing(cli: Cli, path: Path) -> None:
    """The step fails, the sessions stay, and the other steps are done."""
    cli.monkeypatch.setenv("OCBLOB_MIRROR", str(cli.root / "nowhere" / "mirror.db"))

    done = cli.run("maintain", "--no-plugin", "--max-sessions", "1", "--db", path, "--json")

    steps = {step["name"]: step for step in done.json["steps"]}
    assert (1, ALL) == (done.code, sessions(path))
    assert "the mirror does not take what would go" == steps["retain"]["skipped"]
    assert steps["prune"]["skipped"] != "the database could not be read or written as it should"


def test_a_store_that_was_there_is_not_made_anew_for_a_mirror(cli: Cli, path: Path) -> None:
    """Its drive is not mounted: what a server's mirror is about to name would be out of sight."""
    cli.run("maintain", "--no-plugin", "--db", path)
    cli.store.rename(cli.root / "unmounted")
    cli.monkeypatch.setenv("OCBLOB_MIRROR", "postgresql://me@127.0.0.1:1/db")

    done = cli.run("maintain", "--no-plugin", "--db", path, "--json")

    (step,) = (step for step in done.json["steps"] if step["name"] == "mirror")
    assert "where an earlier pass has found one" in str(step["error"])
    assert not cli.store.exists()


def test_what_was_pulled_is_in_use(path: Path) -> None:
    """For as long as what was used is kept, with its whole tree."""
    tree = opencode_profile(path).tree
    assert tree is not None
    with SQLiteDatabase(path, read_only=True) as database:
        facts = list(database.survey(tree))
    now_ms = 1_900_000_000_000
    limits = RetainLimits(max_age_s=86_400.0, keep_active_s=86_400.0)

    left = [
        plan_retain(facts, limits, now_ms=now_ms, pulled={"ses_a1": now_ms - hours * 3_600_000}).after.sessions
        for hours in (23, 25)
    ]

    assert [2, 0] == left
