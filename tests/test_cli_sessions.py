"""Retention from the command line, and as a pass in a process of its own."""

import contextlib
import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from command_line import Cli, Done, cli_in
from ocblob import config
from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Deleted, DeleteResult
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.databases.sqlite.session_pieces import PieceDeletion
from ocblob.digest import digest_of
from ocblob.errors import ArchiveError
from ocblob.retention import RetainPass, retain_pass
from ocblob.sessions.retain import Fate
from ocblob.sessions.verification import verify
from processes import Neighbour, as_nobody, spawn
from samples import flip, object_path, opened, payload, query
from stores import place
from talks import Talk, live_bytes, make_talks, many, on_disk, rows, sessions, sound

SIZE = 30_000
OLD = (
    Talk("ses_a", 100, size=SIZE),
    Talk("ses_a1", 99, parent="ses_a", size=SIZE),
    Talk("ses_b", 90, size=SIZE),
    Talk("ses_c", 80, size=SIZE),
    Talk("ses_new", 1, size=SIZE),
)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """A command line with homes of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with three old trees, one of them a family, and a session that is active."""
    return make_talks(tmp_path / "copy" / "opencode.db", OLD)


@pytest.fixture
def archives(cli: Cli) -> Path:
    """Where archives go by default."""
    return cli.root / "data" / "ocblob" / "archives"


def the_archive(directory: Path) -> Path:
    """The one archive in a directory."""
    (found,) = directory.iterdir()
    return found


def retain(cli: Cli, path: Path, *arguments: str | Path) -> Done:
    """`ocblob retain` on a database."""
    return cli.run("retain", "--db", path, *arguments)


def test_what_goes_is_in_an_archive_and_comes_back(cli: Cli, path: Path, archives: Path) -> None:
    """The oldest trees go, each with a line of warning, into one new archive; unarchive gives back what was there."""
    before = rows(path)
    done = retain(cli, path, "--max-sessions", "2")
    archive = the_archive(archives)

    assert 0 == done.code, done.err
    assert ["ses_c", "ses_new"] == sessions(path)
    assert sound(path)
    assert {"ses_a", "ses_a1", "ses_b"} == verify(archive).keys()
    lines = [line for line in done.err.splitlines() if line.startswith("warning: evicted session")]
    assert ["ses_a", "ses_b"] == [line.split()[3] for line in lines]
    assert '"the talk ses_a" (created ' in lines[0]
    assert ", 2 sessions, " in lines[0]
    assert lines[0].endswith(f" into {archive}")
    assert b"evicted   2 sessions with 1 child" in done.out

    assert 0 == cli.run("unarchive", archive, "--db", path).code
    assert before == rows(path)


def test_a_dry_run_shows_the_plan_and_changes_nothing(cli: Cli, path: Path, archives: Path) -> None:
    """Each tree stands in a table with its times, sessions, rows, what it frees and why; nothing is made."""
    before = rows(path)
    done = retain(cli, path, "--max-sessions", "3", "--max-age", "95d", "--dry-run")
    limits, head, first, *more = done.out.decode().splitlines()[1:]

    assert 0 == done.code
    assert "  limits    max-age 95d (--max-age), max-sessions 3 (--max-sessions)" == limits
    assert "session title created last used sessions rows frees because of" == " ".join(head.split())
    assert ["ses_a", "the", "talk", "ses_a"] == first.split()[:4]
    assert "--max-age" == first.split()[-1]
    assert "  would go  1 session with 1 child, 16 rows, 162 kB" == more[0]
    assert before == rows(path)
    assert not archives.exists()
    assert "evicted" not in done.err


def test_a_quiet_run_tells_only_what_goes(cli: Cli, path: Path) -> None:
    """With -q nothing is on stdout; every eviction is a warning all the same."""
    done = retain(cli, path, "--max-sessions", "3", "-q")

    assert b"" == done.out
    assert 1 == done.err.count("warning: evicted session")


def test_one_object_tells_plan_and_outcome(cli: Cli, path: Path, archives: Path) -> None:
    """With --json: what was planned, what became of each tree, the archive."""
    done = retain(cli, path, "--max-sessions", "2", "--json").json

    assert [["ses_a", "ses_a1"], ["ses_b"]] == [each["tree"]["sessions"] for each in done["plan"]["evictions"]]
    assert ["max-sessions", "max-sessions"] == [each["limit"] for each in done["plan"]["evictions"]]
    assert ["evicted", "evicted"] == [each["fate"] for each in done["report"]["results"]]
    assert str(the_archive(archives)) == done["report"]["archive"]
    assert done["complete"]


def test_nothing_to_evict_writes_nothing(cli: Cli, path: Path, archives: Path) -> None:
    """When the limits hold no archive is begun, and no store is registered with."""
    before = rows(path)
    done = retain(cli, path, "--max-sessions", "4")

    assert 0 == done.code
    assert before == rows(path)
    assert not archives.exists()


def test_limits_that_cannot_be_reached_are_told(cli: Cli, path: Path) -> None:
    """What is protected stays, with its reason, and the exit code is 3; a dry run says so beforehand."""
    for done in (retain(cli, path, "--max-sessions", "1", "--keep", "ses_a1", arg) for arg in ("--dry-run", "-v")):
        assert 3 == done.code
        assert (
            "warning: --max-sessions 1 is not reached: 2 remain; what may never go: 1 kept (162 kB), 1 active"
            in done.err
        )
    assert ["ses_a", "ses_a1", "ses_new"] == sessions(path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), "name a limit"),
        (("--max-size", "0"), "a maximum size of 0 bytes"),
        (("--max-age", "0d"), "a maximum age of 0 s"),
        (("--max-sessions", "0"), "a maximum of 0 sessions"),
        (("--max-sessions", "-1"), "a maximum of -1 sessions"),
        (("--max-sessions", "1", "--keep-active", "101w", "--max-age", "30m"), "a maximum age of 1800 s"),
        (("--max-sessions", "1", "--keep", "ses_typo"), "--keep ses_typo: there is no such session"),
        (("--max-sessions", "1", "--keep", ""), "a session to keep has an empty id"),
        (("--max-sessions", "1", "--no-archive", "--archive", "x.json"), "exclude each other"),
        (("--max-sessions", "1", "--no-archive", "--refs"), "--refs is about the archive"),
        (("--max-sessions", "1", "--no-archive", "--allow-unresolved"), "--allow-unresolved is about the archive"),
        (("--max-sessions", "1", "--archive", ""), "--archive is empty"),
        (("--max-sessions", "1", "--archive", "somewhere/x.zip"), "an archive is called something.json"),
        (("--max-sessions", "1", "--archive", "nowhere/x.json"), "is no directory"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(cli: Cli, path: Path, arguments: tuple[str, ...], words: str) -> None:
    """Limits of nothing, an id that was mistyped, options that would be ignored: exit 2, and everything is there."""
    before = rows(path)
    done = retain(cli, path, *arguments)

    assert (2, True) == (done.code, words in done.err), done.err
    assert before == rows(path)


def test_limits_come_from_the_config_file(cli: Cli, path: Path, archives: Path) -> None:
    """Limits and kept sessions of the file hold; an id that is not there is a warning, as the file serves many."""
    file = cli.root / "config.toml"
    file.write_text('maxSessions = 3\nkeep = ["ses_a1", "ses_other"]\n')
    done = retain(cli, path, "--config", file)

    assert 0 == done.code, done.err
    assert ["ses_a", "ses_a1", "ses_c", "ses_new"] == sessions(path)
    assert "warning: sessions to keep that are not there: ses_other" in done.err
    assert {"ses_b"} == verify(the_archive(archives)).keys()


def test_a_configured_directory_is_made(cli: Cli, path: Path) -> None:
    """An archive directory that is not there yet is made, whether a file or an option names it."""
    file = cli.root / "config.toml"
    file.write_text('maxSessions = 3\narchive = "kept/my.archives"\n')

    assert 0 == retain(cli, path, "--config", file).code
    assert {"ses_a", "ses_a1"} == verify(the_archive(cli.root / "kept" / "my.archives")).keys()
    assert 0 == retain(cli, path, "--max-sessions", "2", "--archive", cli.root / "more").code
    assert {"ses_b"} == verify(the_archive(cli.root / "more")).keys()


def no_directory(root: Path) -> Path:
    """A directory below a file."""
    (root / "file").write_text("")
    return root / "file" / "below"


def a_file(root: Path) -> Path:
    """An archive that is there already."""
    (root / "old.json").write_text("[]")
    return root / "old.json"


@pytest.mark.parametrize(("make", "code"), [(no_directory, 1), (a_file, 2)])
def test_an_archive_that_cannot_be_written_loses_nothing(
    cli: Cli, path: Path, make: Callable[[Path], Path], code: int
) -> None:
    """An error before anything is deleted, and an archive is never written over."""
    before, named = rows(path), make(cli.root)
    done = retain(cli, path, "--max-sessions", "1", "--archive", named)

    assert code == done.code
    assert str(named) in done.err
    assert before == rows(path)
    assert not named.exists() or named.read_text() == "[]"


def test_a_read_only_archive_directory_loses_nothing() -> None:
    """Nobody may write there: an error that names it, before anything is deleted."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        path = make_talks(root / "copy" / "opencode.db", OLD)
        (root / "archives").mkdir(mode=0o555)
        for file in (root, *(root / "copy").rglob("*"), root / "copy"):
            file.chmod(0o777)
        before = rows(path)
        with as_nobody(), pytest.raises(ArchiveError, match="no archive was written: Permission denied") as caught:
            run_pass(path, root, 1, sealed=lambda: None)

        assert str(root / "archives") in str(caught.value)
        assert before == rows(path)


def test_room_is_looked_at_before_anything_is_written(
    cli: Cli, path: Path, archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An archive that cannot fit on its disk is not begun."""
    before = rows(path)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=2000))
    done = retain(cli, path, "--max-sessions", "1")

    assert 1 == done.code
    assert f"{archives}: 2.0 kB of room, too little for " in done.err
    assert before == rows(path)
    assert [] == list(archives.iterdir())


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("ALTER TABLE event RENAME COLUMN seq TO number", "this version does not know: table event has no column seq"),
        ("CREATE TABLE note (id TEXT, message TEXT REFERENCES message(id))", "table note"),
        ("DROP TABLE part", "no database of a known host"),
    ],
)
def test_a_schema_that_is_not_known_is_left_alone(cli: Cli, path: Path, archives: Path, sql: str, words: str) -> None:
    """Whose rows are whose cannot be told for sure: exit 1, nothing is touched, not even by a dry run."""
    with opened(path) as db:
        db.execute(sql).fetchall()
    before = rows(path)
    for arguments in ((), ("--dry-run",)):
        done = retain(cli, path, "--max-sessions", "1", *arguments)
        assert (1, True) == (done.code, words in done.err), done.err
    assert before == rows(path)
    assert not archives.exists()


def test_a_held_write_lock_is_exit_11(cli: Cli, path: Path, archives: Path) -> None:
    """Somebody holds the database for longer than we wait: nothing went, no archive is begun, and that is told."""
    before = rows(path)
    with Neighbour(path) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")
        done = retain(cli, path, "--max-sessions", "2")
        neighbour.execute("ROLLBACK")

    assert 11 == done.code
    assert f"Error: {path} is locked by another process" in done.err
    assert before == rows(path)
    assert [] == list(archives.iterdir())


def offloaded(cli: Cli, path: Path) -> None:
    """All attachments are in the store."""
    assert 0 == cli.run("offload", "--db", path, "--no-plugin").code


@pytest.mark.skipif(os.name == "nt", reason="there a process is ended without being told")
def test_who_is_told_to_end_leaves_no_session_in_pieces(
    cli: Cli, path: Path, archives: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM while a large session is being deleted piece by piece: what went comes back before the end, exit 130."""
    numbers = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n WHERE i<3000)"
    todo = "INSERT INTO todo SELECT 'ses_a','x','completed','low',i,1,1 FROM n"
    with opened(path) as db:
        db.execute(f"{numbers} {todo}").fetchall()
    before, real = rows(path), PieceDeletion._delete_some

    def told_to_end(deletion: PieceDeletion, *pieces: Any) -> Any:
        found = real(deletion, *pieces)
        os.kill(os.getpid(), signal.SIGTERM)
        return found

    monkeypatch.setattr(PieceDeletion, "_delete_some", told_to_end)
    done = retain(cli, path, "--max-sessions", "3")

    assert 130 == done.code
    assert "interrupted" in done.err
    assert before == rows(path)
    assert "ses_a" in verify(the_archive(archives))


def test_a_session_whose_blob_is_missing_stays(cli: Cli, path: Path, archives: Path) -> None:
    """A ref without its blob cannot be archived: that tree stays and is told, exit 3, the others go."""
    offloaded(cli, path)
    object_path(cli.store, digest_of(payload(SIZE, "ses_a1"))).unlink()
    done = retain(cli, path, "--max-sessions", "2")

    assert 3 == done.code
    assert "ses_a stays (unsealed): ses_a1: refs without a blob (2 missing)" in done.err
    assert ["ses_a", "ses_a1", "ses_c", "ses_new"] == sessions(path)
    assert {"ses_b"} == verify(the_archive(archives)).keys()
    assert 0 == retain(cli, path, "--max-sessions", "2", "--allow-unresolved").code
    assert ["ses_c", "ses_new"] == sessions(path)


def test_a_session_whose_blob_is_damaged_stays(cli: Cli, path: Path, archives: Path) -> None:
    """That is found when it is archived: the archive stays, and says so; the next run knows it beforehand."""
    offloaded(cli, path)
    flip(object_path(cli.store, digest_of(payload(SIZE, "ses_a1"))), 5000)
    done = retain(cli, path, "--max-sessions", "3")
    archive = the_archive(archives)

    assert 3 == done.code
    assert "ses_a stays (unsealed): ses_a1: refs without a blob (2 corrupt)" in done.err
    assert b"nothing of it went, and it stays" in done.out
    assert {"ses_a", "ses_a1"} == verify(archive).keys()
    assert 3 == retain(cli, path, "--max-sessions", "3").code
    assert archive == the_archive(archives)


def test_without_their_store_sessions_with_refs_stay(cli: Cli, path: Path) -> None:
    """No store, no blobs: what has refs stays unless that is allowed; refs that shall stay need a store at all."""
    offloaded(cli, path)
    cli.store.rename(cli.root / "unplugged")

    assert 3 == retain(cli, path, "--max-sessions", "3").code
    assert 10 == retain(cli, path, "--max-sessions", "3", "--refs").code
    assert 5 == len(sessions(path))
    done = retain(cli, path, "--max-sessions", "3", "--allow-unresolved")

    assert 0 == done.code
    assert "has refs without a blob (4 unavailable); a store that holds one" in done.err
    assert "there is no store to read it from" in done.err
    assert ["ses_b", "ses_c", "ses_new"] == sessions(path)
    assert not cli.store.exists()


@pytest.mark.skipif(os.name == "nt", reason="a link to itself is what cannot be read")
def test_a_store_that_does_not_answer_stops_only_what_needs_it(cli: Cli, path: Path) -> None:
    """Blobs may be there another time: what has refs stays, even if missing ones are allowed; the others go."""
    assert 0 == cli.run("offload", "--db", path, "--no-plugin", "--session", "ses_a").code
    (cli.store / "store.json").unlink()
    (cli.store / "store.json").symlink_to("store.json")
    done = retain(cli, path, "--max-sessions", "2", "--allow-unresolved")

    assert 3 == done.code
    assert "warning: the store cannot be read" in done.err
    assert "ses_a stays (unsealed): ses_a: refs without a blob (2 unavailable)" in done.err
    assert ["ses_a", "ses_a1", "ses_c", "ses_new"] == sessions(path)


def test_expired_blobs_do_not_count(cli: Cli, tmp_path: Path, archives: Path) -> None:
    """What went by policy never comes back: its sessions go like others."""
    path = make_talks(tmp_path / "copy" / "opencode.db", many(4, size=600_000))
    offloaded(cli, path)
    assert 0 == cli.run("evict", "--expire", "--yes", "--max-size", "1MB").code
    assert 3 == cli.run("restore", "--db", path, "--dry-run").code

    assert 0 == retain(cli, path, "--max-sessions", "1").code
    assert {"ses_0", "ses_1", "ses_2"} == verify(the_archive(archives)).keys()


def test_an_archive_holds_what_the_store_held(cli: Cli, path: Path, archives: Path) -> None:
    """The archive of an offloaded session needs no store: it comes back with all its blobs."""
    offloaded(cli, path)
    before = rows(path)
    assert 0 == retain(cli, path, "--max-sessions", "1").code
    shutil.rmtree(cli.store)

    assert 0 == cli.run("unarchive", the_archive(archives), "--db", path).code
    assert before == rows(path)
    digest = digest_of(payload(SIZE, "ses_b"))
    assert payload(SIZE, "ses_b") == cli.run("cat", digest).out


def test_a_store_learns_of_the_database(cli: Cli, path: Path) -> None:
    """Prune reads a database whose sessions went: what only they named is then nobody's. No store is made for it."""
    assert 0 == retain(cli, path, "--max-sessions", "3").code
    assert not cli.store.exists()
    assert 0 == cli.run("put", "--create", "--mime", "text/plain", stdin=b"x").code
    assert 0 == retain(cli, path, "--max-sessions", "2").code
    databases = cli.run("store", "databases", "--json").json

    assert str(path.resolve()) in str(databases)


def test_a_title_cannot_write_to_the_terminal(cli: Cli, path: Path) -> None:
    """Whatever a title holds, lines and tables stay lines and tables."""
    with opened(path) as db:
        db.execute("UPDATE session SET title=? WHERE id='ses_a'", ("\x1b[2J\n" + "x" * 500,)).fetchall()
    shown = retain(cli, path, "--max-sessions", "3", "--dry-run").out.decode()
    told = retain(cli, path, "--max-sessions", "3").err

    assert "\x1b" not in shown + told
    assert "\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}xxx" in shown
    assert all(len(line) < 300 for line in told.splitlines())


def test_space_comes_back_when_asked(cli: Cli, tmp_path: Path) -> None:
    """After `--vacuum` the file is at most 1.1 times its live bytes."""
    path = make_talks(tmp_path / "copy" / "opencode.db", many(12, size=300_000))
    large = on_disk(path)
    done = retain(cli, path, "--max-sessions", "3", "--vacuum")

    assert 0 == done.code
    assert on_disk(path) <= 1.1 * live_bytes(path)
    assert on_disk(path) < large / 3
    assert b"vacuumed" in done.out


@pytest.fixture
def little_is_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is free is worth a vacuum from 100 kB on."""
    monkeypatch.setattr("ocblob.databases.vacuum.WORTH_BYTES", 100_000)


@pytest.mark.usefixtures("little_is_much")
def test_space_that_is_worth_it_comes_back_by_itself(cli: Cli, tmp_path: Path) -> None:
    """Deleting frees disk without a word about it; `--vacuum=never` is such a word."""
    path = make_talks(tmp_path / "copy" / "opencode.db", many(12, size=300_000))
    large = on_disk(path)
    kept = retain(cli, path, "--max-sessions", "8", "--vacuum=never")
    assert (0, large) == (kept.code, path.stat().st_size)
    assert b"free inside" in kept.out

    done = retain(cli, path, "--max-sessions", "3")

    assert 0 == done.code
    assert on_disk(path) < large / 3
    assert b"vacuumed" in done.out


@pytest.mark.usefixtures("little_is_much")
def test_a_host_that_would_wait_keeps_the_space_for_now(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asked for a vacuum, so that there is none now is told, and is no failure."""
    monkeypatch.setattr("ocblob.databases.sqlite.vacuum.planning.IN_PLACE_BYTES_PER_S", 1.0)
    path = make_talks(tmp_path / "copy" / "opencode.db", many(12, size=300_000))
    with Neighbour(path) as host:
        host.execute("SELECT count(*) FROM session")
        done = retain(cli, path, "--max-sessions", "3")

    assert 0 == done.code
    assert "not vacuumed" in done.err
    assert b"`ocblob vacuum` gives it back" in done.out


def run_pass(path: Path, root: Path, limit: int, *, sealed: Callable[[], None], **more: Any) -> RetainPass:
    """A retention into `root/archives`; `sealed` is called when its archive is written, before anything is deleted."""

    @contextlib.contextmanager
    def bar(_: int) -> Iterator[Callable[[int], None]]:
        yield lambda _: None
        sealed()

    settings = config.Settings(max_sessions=limit, archive=root / "archives")
    return retain_pass(config.Place(str(path), "test"), place(root / "store"), settings, bar=bar, **more)


def test_what_is_written_between_archive_and_deletion_stays(cli: Cli, path: Path) -> None:
    """A second process goes on with one session: it stays as it is now, the archive has what it was; the others go."""

    def go_on() -> None:
        with Neighbour(path) as neighbour:
            neighbour.execute("UPDATE part SET data='{\"new\":1}' WHERE id='prt_ses_b_2'")

    done = run_pass(path, cli.root, 1, sealed=go_on)

    assert done.report is not None
    assert {"ses_a": Fate.EVICTED, "ses_b": Fate.CHANGED, "ses_c": Fate.EVICTED} == {
        result.root: result.fate for result in done.report.results
    }
    assert not done.complete
    assert ["ses_b", "ses_new"] == sessions(path)
    assert [('{"new":1}',)] == query(path, "SELECT data FROM part WHERE id='prt_ses_b_2'")
    assert {"ses_a", "ses_a1", "ses_b", "ses_c"} == verify(the_archive(cli.root / "archives")).keys()


def test_rows_that_went_come_back_out_of_the_archive(cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody begins to work in a session of which some rows are gone: they are back, and what is new stays."""
    before = rows(path)
    real = SQLiteDatabase.delete_sessions

    def halved(self: SQLiteDatabase, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
        if "ses_b" not in sessions or not isinstance(unchanged, partial):  # that only asks
            return real(self, tree, sessions, unchanged=unchanged)
        with Neighbour(path) as neighbour:
            neighbour.execute("DELETE FROM event WHERE aggregate_id='ses_b'")
            neighbour.execute("DELETE FROM part WHERE session_id='ses_b'")
            neighbour.execute("UPDATE session SET title='new' WHERE id='ses_b'")
        return DeleteResult(Deleted.HALF, 3)

    monkeypatch.setattr(SQLiteDatabase, "delete_sessions", halved)
    done = run_pass(path, cli.root, 2, sealed=lambda: None)
    after = rows(path)

    assert done.report is not None
    assert {"ses_a": Fate.EVICTED, "ses_b": Fate.PUT_BACK} == {each.root: each.fate for each in done.report.results}
    assert not done.complete
    assert [("new",)] == query(path, "SELECT title FROM session WHERE id='ses_b'")
    for table in ("event", "part", "message", "todo"):
        assert {row for row in before[table] if "ses_b" in str(row)} <= set(after[table])


KILLED = """
import os, signal, sys
from pathlib import Path
from test_cli_sessions import run_pass
run_pass(Path(sys.argv[1]), Path(sys.argv[2]), 1, sealed=lambda: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGKILL")
def test_a_kill_between_archive_and_deletion_leaves_both(cli: Cli, path: Path) -> None:
    """Each session is whole in the database and whole in the archive; the next run finishes."""
    before = rows(path)
    with spawn(KILLED, str(path), str(cli.root)) as process:
        process.wait(60)

    assert -9 == process.returncode
    assert before == rows(path)
    assert {"ses_a", "ses_a1", "ses_b", "ses_c"} == verify(the_archive(cli.root / "archives")).keys()
    assert run_pass(path, cli.root, 1, sealed=lambda: None).complete
    assert ["ses_new"] == sessions(path)


def test_a_host_goes_on_writing_beside(cli: Cli, tmp_path: Path) -> None:
    """Between two evictions another process writes to a session that stays: nothing of it is refused or lost."""
    path = make_talks(tmp_path / "copy" / "opencode.db", [*many(30), Talk("ses_live", 0)])
    written: list[int] = []
    with Neighbour(path, patience_s=0.5) as neighbour:

        def hear(_tree: object, _archive: str) -> None:
            written.append(len(written))
            neighbour.execute("UPDATE session SET title=? WHERE id='ses_live'", f"line {written[-1]}")

        done = run_pass(path, cli.root, 1, sealed=lambda: None, hear=hear)

    assert done.report is not None
    assert 30 == len(written)
    assert [("line 29",)] == query(path, "SELECT title FROM session WHERE id='ses_live'")
    assert 0 < done.report.longest_transaction_s < done.report.elapsed_s
    assert done.complete
