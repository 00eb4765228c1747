"""`ocblob unarchive`: what it prints, its exit codes, the store that refs need."""

import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from archived import write_archive
from command_line import Cli, cli_in
from ocblob import BlobStore
from ocblob.databases.sqlite import SQLiteDatabase
from processes import Neighbour, as_nobody
from samples import dump, opencode_profile, opened, refs, unresolved
from talks import Talk, make_talks, many, rows, sessions

TALKS = (*many(2, size=20_000), Talk("ses_kid", 5, parent="ses_1", size=20_000))


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """A command line with homes of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database."""
    return make_talks(tmp_path / "app" / "opencode.db", TALKS)


def archived(path: Path, file: Path, *, store: Path | None = None) -> Path:
    """An archive of every session; self-contained if a store is named."""
    tree = opencode_profile(path).tree
    assert tree is not None
    with SQLiteDatabase(path, read_only=True) as database:
        if store is None:
            return write_archive(file, database, tree, sessions(path))
        with BlobStore.open(store) as blobs:
            return write_archive(file, database, tree, sessions(path), fetch=blobs.read)


def delete(path: Path) -> None:
    """Every session out of a database."""
    tree = opencode_profile(path).tree
    assert tree is not None
    with SQLiteDatabase(path) as database:
        database.delete_sessions(tree, sessions(path), unchanged=lambda _: True)


@pytest.fixture
def file(path: Path, tmp_path: Path) -> Path:
    """An archive of all of it."""
    return archived(path, tmp_path / "all.json")


def test_list_needs_no_database(cli: Cli, file: Path) -> None:
    """A line for each session, with its times, rows, size and parent."""
    done = cli.run("unarchive", file, "--list", "--db", "/nowhere/at/all.db")

    lines = done.out.decode().splitlines()
    assert 0 == done.code
    assert ["session", "title", "created", "last", "used", "rows", "size", "parent"] == lines[0].split()
    assert ["ses_0", "ses_1", "ses_kid"] == [line.split()[0] for line in lines[1:]]
    assert lines[3].endswith("ses_1")


def test_list_as_json(cli: Cli, file: Path) -> None:
    """One object with everything that is known of each session."""
    listed = cli.run("unarchive", file, "--list", "--json").json["sessions"]

    assert [("ses_0", "", 8), ("ses_1", "", 8), ("ses_kid", "ses_1", 8)] == [
        (each["id"], each["parent"], each["rows"]) for each in listed
    ]


def test_sessions_come_back(cli: Cli, path: Path, file: Path) -> None:
    """Everything is as it was, and the report says how much that is."""
    before = rows(path)
    delete(path)

    done = cli.run("unarchive", file, "--db", path)

    assert (0, before) == (done.code, rows(path))
    assert "put back      3 sessions" in done.out.decode()
    assert "every row was read back" in done.out.decode()
    assert [] == [found.name for found in path.parent.iterdir() if found.name.startswith(".")]


def test_again_says_that_they_are_there(cli: Cli, path: Path, file: Path) -> None:
    """Nothing to do is no error."""
    done = cli.run("unarchive", file, "--db", path, "--json")

    assert (0, 3, 0) == (done.code, done.json["already_there"], done.json["rows"])


def test_a_dry_run_changes_nothing(cli: Cli, path: Path, file: Path) -> None:
    """It tells of each session what would become of it."""
    delete(path)
    before = dump(path)

    done = cli.run("unarchive", file, "--db", path, "--dry-run", "--session", "ses_1")

    assert (0, before) == (done.code, dump(path))
    lines = done.out.decode().splitlines()
    assert [("ses_1", "insert"), ("ses_kid", "insert")] == [(line.split()[0], line.split()[-1]) for line in lines[2:4]]


@pytest.fixture
def open_directory() -> Iterator[Path]:
    """A directory that every user can reach: pytest's own are its user's alone."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX permissions")
def test_a_read_only_database_can_only_be_looked_at(
    open_directory: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """A dry run works without leave to write anything beside it; without --dry-run it is said at once."""
    cli = cli_in(open_directory, monkeypatch, capsysbinary)
    path = make_talks(open_directory / "app" / "opencode.db", TALKS)
    file = archived(path, open_directory / "all.json")
    with opened(path) as db:
        db.execute("PRAGMA journal_mode=delete").fetchall()
    path.chmod(0o444)
    path.parent.chmod(0o555)
    file.chmod(0o444)

    with as_nobody():
        looked = cli.run("unarchive", file, "--db", path, "--dry-run")
        refused = cli.run("unarchive", file, "--db", path)

    assert (0, 1) == (looked.code, refused.code), looked.err
    assert "there already 3 sessions" in looked.out.decode()
    assert "cannot be written" in refused.err


def test_an_unknown_session(cli: Cli, path: Path, file: Path) -> None:
    """A usage error that says what there is."""
    done = cli.run("unarchive", file, "--db", path, "--session", "ses_9")

    assert 2 == done.code
    assert "the archive holds no session ses_9; it holds ses_0, ses_1, ses_kid" in done.err


def test_one_that_differs_is_incomplete(cli: Cli, path: Path, file: Path) -> None:
    """Exit 3 with the others done; exit 1 if it was the only one that was asked for; --replace does it."""
    before = rows(path)
    with opened(path) as db:
        db.execute("UPDATE session SET title='new' WHERE id='ses_0'")

    several = cli.run("unarchive", file, "--db", path)
    alone = cli.run("unarchive", file, "--db", path, "--session", "ses_0")
    replaced = cli.run("unarchive", file, "--db", path, "--session", "ses_0", "--replace")

    assert (3, 1, 0) == (several.code, alone.code, replaced.code)
    assert "session ses_0 is there and differs from the row of the archive" in several.err
    assert before == rows(path)


def test_no_archive(cli: Cli, path: Path, tmp_path: Path) -> None:
    """A file that is not there, or no archive, is an error that names it."""
    other = tmp_path / "other.json"
    other.write_text('{"a": 1}\n', encoding="utf-8")

    missing = cli.run("unarchive", tmp_path / "missing.json", "--db", path)
    foreign = cli.run("unarchive", other, "--db", path)

    assert (1, 1) == (missing.code, foreign.code)
    assert "missing.json" in missing.err
    assert f"{other}, line 1" in foreign.err


def test_a_damaged_archive_gives_what_is_whole(cli: Cli, path: Path, file: Path) -> None:
    """Without --salvage nothing is taken, and it is named; with it the other sessions are back, with exit 3."""
    before = rows(path)
    delete(path)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    killed = file.parent / ".ocblob-salvage-killed"
    killed.mkdir()
    os.utime(killed, (1, 1))

    refused = cli.run("unarchive", file, "--db", path)
    listed = cli.run("unarchive", file, "--list", "--salvage", "--json")
    done = cli.run("unarchive", file, "--db", path, "--salvage")

    assert (1, 3, 3) == (refused.code, listed.code, done.code)
    assert "hint: --salvage" in refused.err
    assert ["ses_0", "ses_kid"] == sessions(path) == [each["id"] for each in listed.json["sessions"]]
    assert before["project"] == rows(path)["project"]
    assert "damaged       1 piece of the archive" in done.out.decode()
    assert ["all.json"] == [
        other.name for other in file.parent.iterdir() if "all" in other.name or "salvage" in other.name
    ]


def test_a_list_heeds_what_it_is_told(cli: Cli, file: Path) -> None:
    """--session shows that one and its children; what changes something has no place beside --list."""
    one = cli.run("unarchive", file, "--list", "--json", "--session", "ses_1")
    unknown = cli.run("unarchive", file, "--list", "--session", "ses_typo")
    useless = [cli.run("unarchive", file, "--list", option).code for option in ("--replace", "--force", "--dry-run")]

    assert ["ses_1", "ses_kid"] == [each["id"] for each in one.json["sessions"]]
    assert (2, [2, 2, 2]) == (unknown.code, useless)


def test_a_damaged_session_still_has_attachments_of_others(cli: Cli, path: Path, tmp_path: Path) -> None:
    """An attachment is in an archive once: where that session is damaged elsewhere, the others get it all the same."""
    with opened(path) as db:
        first = "(SELECT data FROM part WHERE id='prt_ses_0_1')"
        db.execute(f"UPDATE part SET data={first} WHERE id='prt_ses_1_1'").fetchall()
    before = rows(path)
    file = tmp_path / "all.json"
    assert 0 == cli.run("archive", file, "--db", path).code
    delete(path)
    file.write_bytes(file.read_bytes().replace(b"the talk ses_0", b"the tale ses_0"))

    done = cli.run("unarchive", file, "--db", path, "--salvage")

    assert 3 == done.code
    assert ["ses_1", "ses_kid"] == sessions(path)
    assert {row for row in before["part"] if "ses_0" not in str(row)} == set(rows(path)["part"])


def test_a_database_of_no_known_host(cli: Cli, file: Path, tmp_path: Path) -> None:
    """Sessions go only where it is known what one is."""
    other = tmp_path / "other.db"
    with opened(other) as db:
        db.execute("CREATE TABLE doc (id INTEGER PRIMARY KEY, body TEXT)")

    assert 2 == cli.run("unarchive", file, "--db", other).code


def test_a_held_lock_exits_11(cli: Cli, path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says to run it again."""
    delete(path)
    monkeypatch.setattr("ocblob.databases.sqlite.connection.BUSY_TIMEOUT_MS", 50)
    with Neighbour(path) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")
        done = cli.run("unarchive", file, "--db", path)
        neighbour.execute("COMMIT")

    assert 11 == done.code
    assert "run it again" in done.err
    assert 0 == cli.run("unarchive", file, "--db", path).code


def test_large_cells_beside_a_live_host_need_force(
    cli: Cli, path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While another process has the database open its sessions with such cells stay out; with --force they go in."""
    before = rows(path)
    delete(path)
    monkeypatch.setattr("ocblob.sessions.unarchive_plan.LARGE_CELL_BYTES", 1000)
    with Neighbour(path) as neighbour:
        neighbour.execute("SELECT count(*) FROM session")
        left = cli.run("unarchive", file, "--db", path)
        forced = cli.run("unarchive", file, "--db", path, "--force")

    assert (3, 0) == (left.code, forced.code)
    assert "--force does it all the same" in left.err
    assert before == rows(path)


def offloaded(cli: Cli, path: Path) -> None:
    """Every payload out of the rows."""
    assert 0 == cli.run("offload", "--db", path, "--no-plugin", "--min-size", "1kB").code
    assert refs(path)


def test_blobs_of_refs_come_into_a_store_that_lost_them(cli: Cli, path: Path, tmp_path: Path) -> None:
    """Refs stay refs; what they name is in the store, which is made, and knows the database."""
    offloaded(cli, path)
    file = archived(path, tmp_path / "all.json", store=cli.store)
    before = rows(path)
    delete(path)
    cli.store.rename(tmp_path / "lost")

    done = cli.run("unarchive", file, "--db", path)

    assert 0 == done.code, done.err
    assert "created a blob store" in done.err
    assert before == rows(path)
    assert [] == unresolved(path, cli.store)
    with BlobStore.open(cli.store) as store:
        assert [str(path.resolve())] == [entry.url for entry in store.registry.databases()]


def test_a_lost_store_is_filled_again_for_rows_that_are_there(cli: Cli, path: Path, tmp_path: Path) -> None:
    """No row goes in, and the blobs that rows name come out of the archive all the same; once is enough."""
    offloaded(cli, path)
    file = archived(path, tmp_path / "all.json", store=cli.store)
    cli.store.rename(tmp_path / "lost")

    filled = cli.run("unarchive", file, "--db", path, "--json")
    again = cli.run("unarchive", file, "--db", path, "--json")

    assert (0, 3, 3) == (filled.code, filled.json["already_there"], filled.json["blobs"]["new"])
    assert (0, 0) == (again.code, again.json["blobs"]["put"])
    assert [] == unresolved(path, cli.store)


def test_refs_without_their_blobs_are_counted(cli: Cli, path: Path, tmp_path: Path) -> None:
    """The rows come back all the same, and the exit code is 3."""
    offloaded(cli, path)
    file = archived(path, tmp_path / "all.json")
    before = rows(path)
    delete(path)

    held = cli.run("unarchive", file, "--db", path)
    delete(path)
    cli.store.rename(tmp_path / "lost")
    dry = cli.run("unarchive", file, "--db", path, "--dry-run", "--json")
    lost = cli.run("unarchive", file, "--db", path, "--json")

    assert (0, 3, 3) == (held.code, dry.code, lost.code)
    assert before == rows(path)
    assert {"missing": 3} == lost.json["blobs"]["unresolved"] == dry.json["blobs"]["unresolved"]
    assert not cli.store.exists()


def test_a_child_without_its_parent_is_told(cli: Cli, path: Path, file: Path) -> None:
    """OpenCode lists a sub-agent's session below its parent only; with the parent nothing is told."""
    delete(path)

    alone = cli.run("unarchive", file, "--db", path, "--session", "ses_kid")
    both = cli.run("unarchive", file, "--db", path, "--session", "ses_1")

    assert (0, 0) == (alone.code, both.code)
    assert "warning: session ses_kid was begun by ses_1, which is not in the database" in alone.err
    assert "warning" not in both.err
