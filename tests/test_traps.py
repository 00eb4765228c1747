"""The traps that other cleaners of OpenCode's database fell into: each test would fail on what they do."""

import subprocess
import time
from pathlib import Path

import pytest

from archived import elements
from command_line import Cli, cli_in
from ocblob.units import format_size
from processes import Neighbour, spawn
from samples import opened, query
from talks import Talk, insert, live_bytes, make_talks, many, on_disk, orphans, rows, sessions, sound

LARGE = 60_000
"""Bytes of an attachment, of which a session holds two copies in base64."""

WRITER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=20)
print("ready", flush=True)
for number in range(int(sys.argv[2])):
    db.execute("BEGIN IMMEDIATE")
    db.execute("UPDATE event_sequence SET seq=seq+1 WHERE aggregate_id='ses_0'")
    db.execute("INSERT INTO event SELECT 'evt_more' || seq, 'ses_0', seq, 'x', '{}' FROM event_sequence"
               " WHERE aggregate_id='ses_0'")
    db.execute("COMMIT")
"""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with an environment of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's database is, alone in its directory."""
    return tmp_path / "copy" / "opencode.db"


def archives(directory: Path) -> list[Path]:
    """The archives in a directory and below."""
    return sorted(file for file in directory.rglob("*") if file.name.endswith((".json", ".json.zst")))


def archived(directory: Path) -> list[str]:
    """The sessions in all archives of a directory."""
    return sorted(element["ocblob"]["session"] for file in archives(directory) for element in elements(file))


# Which sessions go


def test_age_takes_no_session_that_is_active(cli: Cli, path: Path) -> None:
    """Trap: age by `time_created` deletes a session that has been in use since: its tree's last use protects it."""
    active = [Talk("ses_long", 100, used_days=0.5), Talk("ses_root", 100), Talk("ses_agent", 90, 1, parent="ses_root")]
    make_talks(path, [*active, Talk("ses_old", 100)])

    done = cli.run("retain", "--db", path, "--max-age", "30d")

    assert ["ses_agent", "ses_long", "ses_root"] == sessions(path), done.err


def test_a_clock_that_was_wrong_makes_no_session_old(cli: Cli, path: Path) -> None:
    """Trap: age by a time as it stands: a session of the year 1970 that is used, or one of tomorrow, is active."""
    make_talks(path, [Talk("ses_1970", 20_000, used_days=0), Talk("ses_future", 100, used_days=-400)])

    cli.run("retain", "--db", path, "--max-age", "1d")

    assert ["ses_1970", "ses_future"] == sessions(path)


def test_no_row_of_any_table_is_left_behind(cli: Cli, path: Path) -> None:
    """Trap: foreign keys off leave orphans: every table goes along, those that this version does not know too."""
    make_talks(path, [*many(3), Talk("ses_v2", 101, v2=True, parent="ses_0")])
    with opened(path) as db:
        db.execute("CREATE TABLE session_mood (session_id TEXT PRIMARY KEY, mood TEXT)").fetchall()
        for session in sessions(path):
            insert(db, "session_mood", session_id=session, mood="fair")
    before = rows(path)

    done = cli.run("retain", "--db", path, "--max-sessions", "1")

    assert ["ses_2"] == sessions(path), done.err
    assert sound(path)
    assert 1 == len(rows(path)["session_mood"])
    # What is no session's stays.
    assert [before[table] for table in ("project", "migration")] == [rows(path)[t] for t in ("project", "migration")]


def test_events_go_with_their_session(cli: Cli, path: Path) -> None:
    """Trap: orphan events: they are most of a database, and no foreign key leads from them to the session."""
    make_talks(path, many(4))

    cli.run("retain", "--db", path, "--max-sessions", "2")

    assert [("ses_2",), ("ses_3",)] == query(path, "SELECT DISTINCT aggregate_id FROM event ORDER BY 1")
    assert [("ses_2",), ("ses_3",)] == query(path, "SELECT aggregate_id FROM event_sequence ORDER BY 1")
    assert [] == orphans(path)


def test_events_of_nobody_are_not_ours(cli: Cli, path: Path) -> None:
    """Trap: rows taken for orphans: an aggregate that is no session may be one that we do not know; it stays."""
    make_talks(path, many(2))
    with opened(path) as db:
        insert(db, "event_sequence", aggregate_id="wrk_1", seq=0)
        insert(db, "event", id="evt_w", aggregate_id="wrk_1", seq=0, type="workspace.created.1", data="{}")

    cli.run("retain", "--db", path, "--max-sessions", "1")

    assert [("evt_ses_1",), ("evt_w",)] == query(path, "SELECT id FROM event ORDER BY id")


def test_rows_of_v2_sessions_are_no_orphans(cli: Cli, path: Path) -> None:
    """Trap: a session without rows in `message` is taken for an empty one: V2 rows are its content, and go with it."""
    make_talks(path, [Talk("ses_new", 8, v2=True), Talk("ses_old", 100, v2=True)])
    before = rows(path)

    cli.run("retain", "--db", path, "--max-sessions", "1")

    assert ["ses_new"] == sessions(path)
    assert 1 == len(rows(path)["session_message"])
    (archive,) = archives(cli.root / "data")
    assert 0 == cli.run("unarchive", archive, "--db", path).code
    assert before == rows(path)


def test_children_stay_with_their_parents(cli: Cli, path: Path) -> None:
    """Trap: a sub-agent's session is old by itself: it goes with its root or not at all, and counts with it."""
    tree = [Talk("ses_root", 20, used_days=20), Talk("ses_child", 300, parent="ses_root"),
            Talk("ses_grandchild", 299, parent="ses_child")]  # fmt: skip
    make_talks(path, [*tree, Talk("ses_other", 50)])

    cli.run("retain", "--db", path, "--max-sessions", "1")

    assert ["ses_child", "ses_grandchild", "ses_root"] == sessions(path)
    assert sound(path)


# Limits


ABSURD = ("0", "-1", "", "9e99", "none")
NO_LIMITS = [
    *((limit, value) for limit in ("--max-size", "--max-age", "--max-sessions") for value in ABSURD),
    *(("--max-size", value) for value in ("0MB", "0.0001", "-5MB", "9999999999999TB")),
    *(("--max-age", value) for value in ("0d", "30", "-30d", "9999999999999w")),
    *(("--max-sessions", value) for value in ("1.5", "1MB", "99999999999999999999")),
]


@pytest.mark.parametrize(("limit", "value"), NO_LIMITS)
def test_a_limit_of_nothing_deletes_nothing(cli: Cli, path: Path, limit: str, value: str) -> None:
    """Trap: a cap of 0 deletes everything: it, and what can be no limit, is refused as usage."""
    make_talks(path, many(2))
    before = rows(path)

    done = cli.run("retain", "--db", path, f"{limit}={value}")

    assert 2 == done.code, done
    assert limit in done.err
    assert before == rows(path)
    assert [] == archives(cli.root)


def test_no_limit_at_all_is_a_question(cli: Cli, path: Path) -> None:
    """Trap: no cap means a cap of nothing: without any limit the command says what is missing."""
    make_talks(path, many(2))

    done = cli.run("retain", "--db", path)

    assert 2 == done.code
    assert "--max-size" in done.err
    assert 2 == len(sessions(path))


@pytest.mark.parametrize("key", ["maxSizeMB", "maxAgeDays", "maxSessions"])
@pytest.mark.parametrize("value", ["0", "-1", '"many"', "true", "1e300"])
def test_a_limit_of_nothing_in_the_config_deletes_nothing(cli: Cli, path: Path, key: str, value: str) -> None:
    """Trap: a cap of 0 by the config file: refused too, with the file, the key and the line."""
    make_talks(path, many(2))
    config = cli.root / "config" / "ocblob" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"# limits\n{key} = {value}\n")

    done = cli.run("retain", "--db", path)

    assert 2 == done.code, done
    assert [] == [word for word in (str(config), key, "2") if word not in done.err]
    assert 2 == len(sessions(path))


def test_free_pages_and_the_wal_are_no_sessions_fault(cli: Cli, path: Path) -> None:
    """Trap: the whole file counts: a database of little content in a large file with a large WAL loses nothing."""
    make_talks(path, [*many(4, size=LARGE), Talk("ses_huge", 200, size=3_000_000)])
    with opened(path) as db:
        db.execute("PRAGMA foreign_keys=ON; PRAGMA wal_autocheckpoint=0").fetchall()
        db.execute("DELETE FROM session WHERE id='ses_huge'; DELETE FROM event_sequence WHERE aggregate_id='ses_huge'")
    with Neighbour(path) as other:  # the WAL stays while somebody is there
        other.execute("UPDATE session SET title=title || 'x'")
        assert on_disk(path) > 4_000_000
        before = rows(path)

        done = cli.run("retain", "--db", path, "--max-size", "1MB")

        assert 0 == done.code, done.err
        assert before == rows(path)


def test_what_a_plan_promises_is_what_is_freed(cli: Cli, path: Path) -> None:
    """Trap: the whole file is told as reclaimable: the plan's figures are those of the rows that would go."""
    make_talks(path, many(4, size=LARGE))
    size = path.stat().st_size

    planned = cli.run("retain", "--db", path, "--max-sessions", "3", "--dry-run", "--json").json

    assert 2 * LARGE < planned["plan"]["leaving"]["size"] < size // 3


# Archives


def test_two_archives_of_one_second_are_two(cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trap: a backup that is named by the second is written over by the next one: each run writes a file of its own."""
    make_talks(path, many(6))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    monkeypatch.setattr(time, "time_ns", lambda: int(now * 1e9))

    for left in (5, 4, 3):
        assert 0 == cli.run("retain", "--db", path, "--max-sessions", str(left)).code
    for _ in range(2):
        assert 0 == cli.run("archive", "--db", path, "--session", "ses_3").code

    assert 5 == len(archives(cli.root / "data"))
    assert ["ses_0", "ses_1", "ses_2", "ses_3", "ses_3"] == archived(cli.root / "data")


@pytest.mark.parametrize("name", ["mine.json", "mine.json.zst"])
def test_an_archive_is_never_written_over(cli: Cli, path: Path, name: str) -> None:
    """Trap: the same, by a name of the user's: a file that is there stops the command before anything is deleted."""
    make_talks(path, many(3))
    mine = cli.root / name
    mine.write_bytes(b"precious")

    done = cli.run("archive", mine, "--db", path)
    other = cli.run("retain", "--max-sessions", "1", "--archive", mine, "--db", path)

    assert [2, 2] == [done.code, other.code]
    assert str(mine) in done.err
    assert str(mine) in other.err
    assert b"precious" == mine.read_bytes()
    assert 3 == len(sessions(path))


def test_an_archive_holds_what_is_only_in_the_wal(cli: Cli, path: Path) -> None:
    """Trap: files of a live database are copied: rows that no checkpoint has moved yet are archived like others."""
    make_talks(path, many(2))
    with Neighbour(path) as other:
        other.execute("PRAGMA wal_autocheckpoint=0")
        other.execute("UPDATE session SET title='only in the WAL'")
        done = cli.run("archive", cli.root / "a.json", "--db", path)

    assert 0 == done.code, done.err
    assert ["only in the WAL"] * 2 == [element["info"]["title"] for element in elements(cli.root / "a.json")]


def test_an_archive_is_of_one_moment(cli: Cli, path: Path) -> None:
    """Trap: copying a live family of files tears it: a writer's transaction is in an archive whole or not at all."""
    make_talks(path, many(30, size=LARGE))
    writer = spawn(WRITER, str(path), "3000")
    assert writer.stdout is not None
    assert "ready" == writer.stdout.readline().strip()

    codes = [cli.run("archive", cli.root / f"{n}.json", "--db", path, "--session", "ses_0").code for n in range(3)]
    writer.kill()
    writer.communicate()

    assert [0, 0, 0] == codes

    seen = []
    for number in range(3):
        (element,) = elements(cli.root / f"{number}.json")
        tables = {table["table"]: table for table in element["ocblob"]["tables"]}
        sequence, events = tables["event_sequence"], tables["event"]
        ((*_, seq),) = [row[: 2 + sequence["columns"].index("seq")] for row in sequence["rows"]]
        assert seq == len(events["rows"])
        seen.append(seq)
    assert seen == sorted(seen)


def test_an_archive_opens_when_the_schema_has_a_column_more(cli: Cli, path: Path) -> None:
    """Trap: `SELECT *` into an archive table breaks at the next column: it gets its default, the others their bytes."""
    make_talks(path, many(3))
    before = rows(path)
    assert 0 == cli.run("retain", "--db", path, "--max-sessions", "1").code
    for table in ("session", "message", "part", "event", "todo"):
        with opened(path) as db:
            db.execute(f"ALTER TABLE {table} ADD COLUMN mood TEXT DEFAULT 'fair' NOT NULL").fetchall()
    (archive,) = archives(cli.root / "data")

    done = cli.run("unarchive", archive, "--db", path)

    assert 0 == done.code, done.err
    with_mood = rows(path)
    assert [("fair",)] == query(path, "SELECT DISTINCT mood FROM part")
    assert before["part"] == [row[:-2] for row in with_mood["part"]]
    assert before["session"] == [row[:-2] for row in with_mood["session"]]
    # And from there: the new column is archived with the rest.
    assert 0 == cli.run("retain", "--db", path, "--max-sessions", "1").code
    (newer,) = (file for file in archives(cli.root / "data") if file != archive)
    assert 0 == cli.run("unarchive", newer, "--db", path).code
    assert with_mood == rows(path)


def test_a_column_that_is_gone_is_never_dropped_in_silence(cli: Cli, path: Path) -> None:
    """Trap: the other way round: a value that has no column any more is named, and nothing is half put back."""
    make_talks(path, many(2))
    with opened(path) as db:
        db.execute("ALTER TABLE part ADD COLUMN mood TEXT DEFAULT 'glum'").fetchall()
    assert 0 == cli.run("retain", "--db", path, "--max-sessions", "1").code
    with opened(path) as db:
        db.execute("ALTER TABLE part DROP COLUMN mood").fetchall()
    between = rows(path)
    (archive,) = archives(cli.root / "data")

    done = cli.run("unarchive", archive, "--db", path)

    assert 0 != done.code
    assert "mood" in done.err
    assert between == rows(path)


# Space


def test_the_vacuum_comes_last(cli: Cli, path: Path) -> None:
    """Trap: VACUUM before the last rewrite: afterwards the file holds its live rows and no free page."""
    make_talks(path, many(10, size=LARGE))
    before = on_disk(path)

    done = cli.run("retain", "--db", path, "--max-sessions", "2", "--vacuum")

    assert 0 == done.code, done.err
    assert [(0,)] == query(path, "PRAGMA freelist_count")
    assert on_disk(path) <= 1.1 * live_bytes(path)
    assert on_disk(path) < before - 8 * 2 * LARGE


@pytest.mark.parametrize("verb", ["vacuum", "retain"])
def test_a_checkpoint_that_could_not_finish_is_told(cli: Cli, path: Path, verb: str) -> None:
    """Trap: a TRUNCATE checkpoint's busy row is ignored: beside a reader it is told, exit 3, and counted true."""
    make_talks(path, many(10, size=LARGE))
    if verb == "vacuum":
        assert 0 == cli.run("retain", "--db", path, "--max-sessions", "2").code
    with Neighbour(path) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM part")
        more = ("--max-sessions", "2", "--vacuum") if verb == "retain" else ()

        done = cli.run(verb, "--db", path, *more, "--json")

        assert 3 == done.code, done
        report = done.json if verb == "vacuum" else done.json["vacuum"]
        # Or it was left to a quiet moment, and nothing is claimed.
        assert report is None or on_disk(path) == report["after"]["file"] + report["after"]["wal"]
        other.execute("COMMIT")
    assert 0 == cli.run("vacuum", "--db", path).code
    assert on_disk(path) <= 1.1 * live_bytes(path)


def test_no_vacuum_ends_with_more_and_calls_it_saved(cli: Cli, path: Path) -> None:
    """Trap: VACUUM into a WAL as big as the database, and "Saved -76 MB": what took room says so, with exit 3."""
    make_talks(path, many(40, size=LARGE))
    assert 0 == cli.run("retain", "--db", path, "--max-sessions", "35").code
    with Neighbour(path) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM part")
        before = on_disk(path)

        done = cli.run("vacuum", "--db", path)

        took, words = on_disk(path) - before, done.out.decode()
        assert took > 0
        assert 3 == done.code
        assert f"took    {format_size(took)} more than before" in words
        assert "freed" not in words
        other.execute("COMMIT")
    assert 0 == cli.run("vacuum", "--db", path).code
    assert on_disk(path) <= 1.1 * live_bytes(path)


def test_no_pass_calls_it_freed_what_it_took(cli: Cli, path: Path) -> None:
    """Trap: the same at the end of a pass: its summary never has a negative number of bytes."""
    make_talks(path, many(40, size=LARGE))
    assert 0 == cli.run("retain", "--db", path, "--max-sessions", "35").code
    with Neighbour(path) as other:
        other.execute("BEGIN")
        other.execute("SELECT count(*) FROM part")

        done = cli.run("maintain", "--db", path, "--no-plugin", "--vacuum")

        assert 3 == done.code, done
        assert b" -" not in done.out
        assert b"freed" not in done.out
        other.execute("COMMIT")


# Who is there


def test_the_name_of_a_process_says_nothing(cli: Cli, path: Path, tmp_path: Path) -> None:
    """Trap: a process check by name: an `opencode` elsewhere does not matter, a `python` in this database does."""
    make_talks(path, many(6, size=LARGE))
    assert 0 == cli.run("retain", "--db", path, "--max-sessions", "2").code
    program = tmp_path / "opencode"
    program.symlink_to("/bin/sleep")
    namesake = subprocess.Popen([str(program), "60"])
    inode = path.stat().st_ino
    try:
        with Neighbour(path) as other:
            assert [[2]] == other.execute("SELECT count(*) FROM session")
            assert "swap" != cli.run("vacuum", "--db", path, "--json").json["method"]
            assert inode == path.stat().st_ino
            assert [[2]] == other.execute("SELECT count(*) FROM session")
            other.execute("CREATE TABLE filled (x)")
            other.execute("INSERT INTO filled VALUES (zeroblob(1000000))")
            other.execute("DROP TABLE filled")
        assert "swap" == cli.run("vacuum", "--db", path, "--json").json["method"]
    finally:
        namesake.kill()
        namesake.wait()
