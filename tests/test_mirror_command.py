"""The command line of mirror: what it prints, its exit codes, and a target that is not only ours."""

from pathlib import Path

import pytest

from command_line import Cli, cli_in
from ocblob.databases.session_rows import ColumnDefinition, TableDefinition
from ocblob.databases.sqlite import SQLiteDatabase, create_file
from ocblob.errors import DatabaseError
from processes import Neighbour
from samples import query
from talks import make_talks, many, rows, sessions
from test_mirror import write_more


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """Its homes are empty."""
    return cli_in(tmp_path, monkeypatch, capfdbinary)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Three sessions."""
    return make_talks(tmp_path / "opencode.db", many(3))


def test_words_and_numbers(cli: Cli, source: Path, tmp_path: Path) -> None:
    """People read what was mirrored; a program reads the same as JSON, with keys that are documented."""
    done = cli.run("mirror", "--db", source, "--to", tmp_path / "b.db")
    assert 0 == done.code
    assert b"3 mirrored, 0 the same, 0 newer there, 0 conflicts, 0 failed" in done.out

    found = cli.run("mirror", "--from", source, "--to", tmp_path / "b.db", "--verify", "--json").json
    assert {"source", "target", "plan", "report", "store", "store_created", "complete"} == found.keys()
    assert {"sessions": 3, "rows": 24, "size": found["plan"]["size"], "skipped": 0} == found["plan"]
    assert {"ses_0": "same", "ses_1": "same", "ses_2": "same"} == found["report"]["fates"]
    documented = (Path(__file__).parents[1] / "docs" / "databases.md").read_text(encoding="utf-8")
    assert [] == [key for key in found["report"] if f"`{key}`" not in documented]


def test_the_mirror_of_the_configuration(
    cli: Cli, source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without --to it is the one that the environment or the config file names, and without one there is none."""
    assert 2 == cli.run("mirror", "--db", source).code
    monkeypatch.setenv("OCBLOB_MIRROR", str(tmp_path / "b.db"))
    assert 0 == cli.run("mirror", "--db", source).code
    assert sessions(source) == sessions(tmp_path / "b.db")


def test_a_conflict_is_told_and_left(cli: Cli, source: Path, tmp_path: Path) -> None:
    """Somebody went on in both: exit 3, with a hint at --force, which puts it as it is here."""
    target = tmp_path / "b.db"
    cli.run("mirror", "--db", source, "--to", target)
    write_more(source, "ses_0", "here")
    write_more(target, "ses_0", "there")
    left = cli.run("mirror", "--db", source, "--to", target)

    assert 3 == left.code
    assert "ses_0: " in left.err
    assert "hint: --force" in left.err
    assert 0 == cli.run("mirror", "--db", source, "--to", target, "--force").code
    assert rows(source)["part"] == rows(target)["part"]


def test_two_names_of_a_source_are_one_too_many(cli: Cli, source: Path, tmp_path: Path) -> None:
    """--from stands in the place of --db."""
    assert 2 == cli.run("mirror", "--db", source, "--from", source, "--to", tmp_path / "b.db").code


def test_a_host_works_in_the_target_meanwhile(cli: Cli, source: Path, tmp_path: Path) -> None:
    """Another process that has the target open keeps its rows, and sees those that came."""
    target = make_talks(tmp_path / "b.db", [])
    with Neighbour(target) as neighbour:
        neighbour.execute("UPDATE project SET worktree='/mine'")
        assert 0 == cli.run("mirror", "--db", source, "--to", target).code
        assert [[3]] == neighbour.execute("SELECT count(*) FROM session")
        neighbour.execute("UPDATE session SET title='mine' WHERE id='ses_0'")
    assert [("/mine",)] == query(target, "SELECT worktree FROM project")


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE part (id TEXT PRIMARY KEY); DROP TABLE session",
        "CREATE TRIGGER t AFTER INSERT ON session BEGIN DELETE FROM session; END",
        "ATTACH 'other.db' AS other",
        "CREATE TABLE part (id TEXT PRIMARY KEY, other TEXT)",
        "COMMIT",
    ],
)
def test_a_mirror_that_was_tampered_with_makes_tables_only(tmp_path: Path, sql: str) -> None:
    """Statements that came from a server do nothing but make the tables that they say they make."""
    create_file(tmp_path / "b.db")
    session = TableDefinition("session", (ColumnDefinition("id", "text", key=1),))
    part = TableDefinition("part", (ColumnDefinition("id", "text", key=1),), (sql,))
    with SQLiteDatabase(tmp_path / "b.db") as database:
        with pytest.raises(DatabaseError):
            database.prepare([session, part])
        assert {} == database.tables()
    assert not (tmp_path / "other.db").exists()


def test_tables_of_which_nobody_knows_the_words(tmp_path: Path) -> None:
    """They are made with keys, types and indexes as far as these are known, once."""
    create_file(tmp_path / "b.db")
    columns = (
        ColumnDefinition("a", "text", key=2, indexed=True),
        ColumnDefinition("b", "integer", key=1, indexed=True),
        ColumnDefinition("c", "blob"),
    )
    made = TableDefinition("some", (*columns, ColumnDefinition("d", "real", indexed=True)))
    with SQLiteDatabase(tmp_path / "b.db") as database:
        assert ["table some made"] == database.prepare([made])
        assert [] == database.prepare([made])
        with database.snapshot() as state:
            assert made.columns == state.definition("some").columns
