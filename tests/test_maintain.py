import errno
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from command_line import Cli, Done, cli_in
from ocblob import BlobStore
from ocblob.databases.addresses import file_address
from ocblob.errors import DatabaseError, DatabaseFullError
from ocblob.maintaining.lock import sole_maintainer
from ocblob.prune import GRACE_S
from processes import Neighbour
from samples import cell, make_database, payload, query, refs
from talks import Talk, make_talks, sessions

OLD = (
    Talk("ses_a", 100, size=60_000),
    Talk("ses_a1", 99, parent="ses_a"),
    Talk("ses_b", 50),
    Talk("ses_c", 1, size=60_000),
)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with homes of its own."""
    return cli_in(tmp_path, monkeypatch, capfdbinary)


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Old sessions and a young one, not OpenCode's own database."""
    return make_talks(tmp_path / "copy.db", OLD)


def steps(done: Done) -> dict[str, dict[str, Any]]:
    """The steps of a pass by name."""
    return {step["name"]: step for step in done.json["steps"]}


def configure(cli: Cli, text: str) -> None:
    """Write the config file."""
    path = cli.root / "config" / "ocblob" / "config.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_one_pass_does_what_is_configured(cli: Cli, database: Path) -> None:
    """Attachments go to the store, old sessions go, blobs are looked at, in this order; a summary says it."""
    configure(cli, 'maxSessions = 1\narchive = false\nvacuum = "always"\nevictMaxAgeDays = 1\n')
    done = cli.run("maintain", "--db", database, "--json")
    assert (0, []) == (done.code, [step["name"] for step in done.json["steps"] if step["error"]])
    assert ["offload", "retain", "evict", "prune", "vacuum"] == list(steps(done))
    assert ["ses_c"] == sessions(database)
    assert 3 == done.err.count("warning: evicted session") + 1
    assert "nothing to do" in cli.run("maintain", "--db", database, "--no-archive").out.decode()


def test_the_summary_is_one_line(cli: Cli, database: Path) -> None:
    """What was done, the size now, the time; and nothing at all when it is to be quiet."""
    out = cli.run("maintain", "--db", database, "--max-sessions", "2", "--no-archive").out.decode()
    assert 1 == out.count("\n")
    assert out.startswith("maintain: offloaded 4 payloads (")
    assert ", evicted 1 session (" in out
    assert "; database " in out
    done = cli.run("maintain", "--db", database, "--max-sessions", "1", "--no-archive", "--quiet")
    assert b"" == done.out
    assert "warning: evicted session ses_b" in done.err


def test_a_store_that_was_there_is_not_made_anew(cli: Cli, database: Path) -> None:
    """Its drive is not mounted: a new one in its place would take what nobody finds again, and say that all is well."""
    cli.run("maintain", "--db", database)
    cli.store.rename(cli.root / "elsewhere")
    done = cli.run("maintain", "--db", database, "--max-sessions", "2", "--scheduled")

    assert 1 == done.code
    assert "no blob store at" in done.err
    assert "where an earlier pass has found one" in done.err
    assert "hint: mount its drive; `ocblob offload` makes a new one" in done.err
    assert not cli.store.exists()
    (cli.root / "elsewhere").rename(cli.store)
    assert 0 == cli.run("maintain", "--db", database, "--max-sessions", "2").code


def test_what_goes_is_in_an_archive(cli: Cli, database: Path) -> None:
    """By default sessions are sealed first, in the user's data; the summary names the file."""
    done = cli.run("maintain", "--db", database, "--max-sessions", "1")
    (archive,) = (cli.root / "data" / "ocblob" / "archives").iterdir()
    assert (0, ["ses_c"]) == (done.code, sessions(database))
    assert f"into {archive}" in done.out.decode()
    assert b"ses_a1" in cli.run("unarchive", archive, "--list").out


def test_no_archive_no_deletion(cli: Cli, database: Path) -> None:
    """Where the archive cannot be written every session stays, it is an error, and the other steps go on."""
    (cli.root / "file").touch()
    place = cli.root / "file" / "archives"
    done = cli.run("maintain", "--db", database, "--max-sessions", "1", "--archive", place, "--json")
    assert 1 == done.code
    assert "Error: retain: " in done.err
    assert 4 == len(sessions(database))
    assert 4 == steps(done)["offload"]["done"]["report"]["payloads"]
    assert steps(done)["prune"]["done"] is not None


def test_a_full_disk_in_one_step(cli: Cli, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the system says is told as the step's error, and the others go on."""

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/archives/new")

    monkeypatch.setattr("ocblob.maintaining.steps.retain_pass", full)
    done = cli.run("maintain", "--db", database, "--max-sessions", "1", "--json")
    assert 1 == done.code
    assert "Error: retain: /archives/new: No space left on device" in done.err
    assert steps(done)["prune"]["done"] is not None


def test_without_a_limit_no_session_goes(cli: Cli, database: Path) -> None:
    """Nothing configured: attachments move out, everything else stays."""
    done = cli.run("maintain", "--db", database, "--json")
    assert ["offload", "prune"] == list(steps(done))
    assert 4 == len(sessions(database))
    assert refs(database)


def test_a_dry_run_changes_nothing(cli: Cli, database: Path) -> None:
    """It tells of each step, takes no lock and waits for none."""
    before = database.read_bytes()
    with sole_maintainer(cli.root / "state" / "ocblob" / "maintain", file_address(database)):
        done = cli.run("maintain", "--db", database, "--max-sessions", "1", "--no-archive", "--dry-run")
    assert 0 == done.code
    assert "would have offloaded 4 payloads" in done.out.decode()
    assert "evicted 2 sessions" in done.out.decode()
    assert before == database.read_bytes()
    assert not cli.store.exists()


def test_a_second_pass_does_not_begin(cli: Cli, database: Path) -> None:
    """It is told who is at work, and exits with 11; nothing is done twice at once."""
    with sole_maintainer(cli.root / "state" / "ocblob" / "maintain", file_address(database)):
        done = cli.run("maintain", "--db", database, "--json")
    assert 11 == done.code
    assert f"another maintain of this database is running (process {os.getpid()} since" in done.err
    assert not cli.store.exists()
    assert 0 == cli.run("maintain", "--db", database).code


def test_opencodes_own_database_without_the_plugin(cli: Cli) -> None:
    """Attachments stay where OpenCode finds them, and it is said; the other steps run. --no-plugin moves them."""
    own = make_talks(cli.root / "data" / "opencode" / "opencode.db", OLD)
    done = cli.run("maintain", "--max-sessions", "2", "--no-archive")
    assert 0 == done.code
    assert "offload skipped: this is OpenCode's own database" in done.err
    assert [] == refs(own)
    assert 2 == len(sessions(own))
    assert "offload" not in cli.run("maintain", "--scheduled").err
    assert 0 == cli.run("maintain", "--no-plugin").code
    assert 2 <= len(refs(own))


def test_a_step_that_fails_stops_no_other(cli: Cli, database: Path) -> None:
    """An id that is not there keeps all sessions; attachments have moved, blobs are looked at, exit 1."""
    done = cli.run("maintain", "--db", database, "--max-sessions", "1", "--no-archive", "--keep", "ses_x", "--json")
    assert 1 == done.code
    assert "Error: retain: --keep ses_x: there is no such session" in done.err
    assert 4 == len(sessions(database))
    found = steps(done)
    assert 4 == found["offload"]["done"]["report"]["payloads"]
    assert found["prune"]["done"] is not None


def test_a_list_of_kept_sessions_may_be_out_of_date_at_night(cli: Cli, database: Path) -> None:
    """In a scheduled pass an id that is gone keeps nothing, and stops nothing."""
    words = ("--max-sessions", "1", "--no-archive", "--keep", "ses_x", "--keep", "ses_b")
    assert 3 == cli.run("maintain", "--db", database, "--scheduled", *words).code
    assert ["ses_b", "ses_c"] == sessions(database)


def test_a_damaged_database_loses_nothing_more(cli: Cli, database: Path) -> None:
    """After an error of the database itself nothing is taken away, out of it or out of the store."""
    cli.run("maintain", "--db", database)
    stored = sorted(path.name for path in (cli.store / "objects").rglob("*") if path.is_file())
    query(database, "PRAGMA wal_checkpoint(TRUNCATE)")
    with database.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * (database.stat().st_size - 4096))
    done = cli.run("maintain", "--db", database, "--max-sessions", "1", "--no-archive", "--vacuum", "--json")
    assert 1 == done.code
    assert stored == sorted(path.name for path in (cli.store / "objects").rglob("*") if path.is_file())
    if "steps" in done.json:
        assert all(step["done"] is None for step in done.json["steps"])


def test_nothing_is_taken_away_after_an_error_of_the_database(
    cli: Cli, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What could not be read may name more than is known: sessions, blobs and free pages stay as they are."""

    def broken(*_arguments: object, **_options: object) -> None:
        raise DatabaseError("it is damaged")

    monkeypatch.setattr("ocblob.maintaining.steps.offload_pass", broken)
    configure(cli, 'maxSessions = 1\nvacuum = "always"\nevictMaxAgeDays = 1\n')
    BlobStore.create(cli.store)[0].close()

    done = cli.run("maintain", "--db", database, "--json")

    left_out = {name for name, step in steps(done).items() if "as it should" in step["skipped"]}
    assert (1, {"retain", "evict", "prune", "vacuum"}) == (done.code, left_out)
    assert ["ses_a", "ses_a1", "ses_b", "ses_c"] == sessions(database)


def test_a_disk_too_full_to_offload_keeps_nothing_from_making_room(
    cli: Cli, database: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The transaction was undone, so the rows can be trusted: the oldest sessions go all the same."""

    def full(*_arguments: object, **_options: object) -> None:
        raise DatabaseFullError("the disk is full")

    monkeypatch.setattr("ocblob.maintaining.steps.offload_pass", full)
    configure(cli, "maxSessions = 1\n")

    done = cli.run("maintain", "--db", database, "--json")

    assert 1 == done.code
    assert steps(done)["retain"]["done"]["report"]["results"]
    assert 1 == len(sessions(database))


def test_no_database_is_an_error_that_names_it(cli: Cli) -> None:
    """Nothing is made where nothing is."""
    done = cli.run("maintain", "--db", cli.root / "absent.db")
    assert 1 == done.code
    assert "absent.db" in done.err
    assert not (cli.root / "absent.db").exists()


def test_a_held_write_lock_is_told_and_loses_nothing(cli: Cli, database: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host in a long transaction: exit 11 after a while, every row as it was, and the next pass does it all."""
    monkeypatch.setattr("ocblob.databases.sqlite.connection.BUSY_TIMEOUT_MS", 100)
    with Neighbour(database) as host:
        host.execute("BEGIN IMMEDIATE")
        done = cli.run("maintain", "--db", database, "--max-sessions", "1", "--no-archive")
        assert 11 == done.code
        host.execute("ROLLBACK")
    assert 4 == len(sessions(database))
    assert 0 == cli.run("maintain", "--db", database, "--max-sessions", "1", "--no-archive").code
    assert ["ses_c"] == sessions(database)


def test_a_store_that_must_not_be_made(cli: Cli, database: Path) -> None:
    """Its drive may not be mounted: attachments stay, and it is an error that is told."""
    done = cli.run("maintain", "--db", database, "--no-create")
    assert 1 == done.code
    assert "Error: offload: " in done.err
    assert [] == refs(database)


def test_prune_runs_once_a_day_unless_something_is_due(cli: Cli, database: Path) -> None:
    """It reads everything registered: not again today, unless rows went, or a grace is over."""

    def pruned(*words: str) -> bool:
        return steps(cli.run("maintain", "--db", database, "--json", *words))["prune"]["done"] is not None

    assert pruned()
    assert not pruned()
    assert pruned("--max-sessions", "2", "--no-archive")
    assert not pruned()
    (stamp,) = (cli.root / "state" / "ocblob" / "maintain").glob("pruned-*")
    os.utime(stamp, times=(time.time() - 90_000,) * 2)
    assert pruned()
    assert not pruned()
    (generation,) = (cli.store / "trash").iterdir()
    generation.rename(generation.with_name(f"{int(time.time() - GRACE_S - 60):010x}-{generation.name[-8:]}"))
    due = steps(cli.run("maintain", "--db", database, "--json"))["prune"]
    assert "ran within the last day" not in due["skipped"]


def test_prune_needs_a_store_with_something_registered(cli: Cli, database: Path) -> None:
    """Without a store, or with a new one, there is nothing to take away, and nothing to complain of."""
    configure(cli, "offload = false\n")
    done = cli.run("maintain", "--db", database, "--json")
    assert (0, "there is no store") == (done.code, steps(done)["prune"]["skipped"])
    BlobStore.create(cli.store)[0].close()
    done = cli.run("maintain", "--db", database, "--json")
    assert (0, "no database is registered with the store") == (done.code, steps(done)["prune"]["skipped"])


def test_steps_can_be_turned_off(cli: Cli, database: Path) -> None:
    """By the configuration; nothing is left then but the look at the size."""
    configure(cli, 'offload = false\nprune = false\nvacuum = "never"\n')
    done = cli.run("maintain", "--db", database, "--json")
    assert (0, []) == (done.code, done.json["steps"])


def test_a_database_of_no_known_host_is_offloaded_as_before(cli: Cli) -> None:
    """The cells that were named by hand are those of every pass; before that it is told what is missing."""
    path = make_database(cli.root / "other.db", [cell(payload(20_000, 1))])
    assert 1 == cli.run("maintain", "--db", path).code
    assert 0 == cli.run("offload", "--db", path, "--table", "doc:body").code
    query(path, "INSERT INTO doc (body) VALUES (?)", cell(payload(20_000, 2)))
    assert 0 == cli.run("maintain", "--db", path).code
    assert 2 == len(refs(path))


def test_a_large_database_is_warned_of(cli: Cli, database: Path) -> None:
    """By every pass; once a day by a scheduled one. Only --check makes an exit code of it."""
    configure(cli, "warnMB = [0.01]\n")
    first = cli.run("maintain", "--db", database, "--scheduled", "--quiet")
    second = cli.run("maintain", "--db", database, "--scheduled", "--quiet", "--check")
    assert (0, 4) == (first.code, second.code)
    assert "Warning: OpenCode database is" in first.err
    assert "" == second.err
    assert "Warning: OpenCode database is" in cli.run("maintain", "--db", database).err


def test_what_cannot_be_meant_is_refused_before_anything_is_done(cli: Cli, database: Path) -> None:
    """A limit of zero in a file, or an option: exit 2, and not a row has moved."""
    assert 2 == cli.run("maintain", "--db", database, "--max-sessions", "0").code
    configure(cli, "maxSizeMB = 0\n")
    assert 2 == cli.run("maintain", "--db", database).code
    assert [] == refs(database)
    assert json.loads(cli.run("maintain", "--db", database, "--json").out)["error"]["exit"] == 2
