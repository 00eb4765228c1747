"""`ocblob archive`, on the command line."""

import json
from pathlib import Path

import pytest

from command_line import Cli, cli_in
from ocblob.sessions.verification import verify
from samples import object_path, objects, refs, tree
from talks import Talk, make_talks

TALKS = [Talk("ses_a", 30, size=9000), Talk("ses_b", 20, 10, parent="ses_a", size=9000), Talk("ses_c", 5, size=9000)]


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line, with homes of its own."""
    return cli_in(tmp_path, monkeypatch, capfdbinary)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of three sessions."""
    return make_talks(tmp_path / "db" / "talks.db", TALKS)


def test_sessions_are_archived_and_told(cli: Cli, path: Path, tmp_path: Path) -> None:
    """The file, sessions, rows, sizes and blobs are printed, in words and as one object."""
    words = cli.run("archive", tmp_path / "a.json", "--db", path)
    told = cli.run("archive", tmp_path / "b.json.zst", "--db", path, "--json").json

    assert 0 == words.code
    assert f"archive  {tmp_path / 'a.json'}" in words.out.decode()
    assert "read back and verified" in words.out.decode()
    assert ["ses_a", "ses_b", "ses_c"] == told["sessions"]
    assert (str(tmp_path / "b.json.zst"), 3, {}, True) == (
        told["archive"], told["blobs"], told["unresolved"], told["complete"],
    )  # fmt: skip
    assert told["digests"] == verify(tmp_path / "a.json") == verify(tmp_path / "b.json.zst")


def test_the_default_place_is_the_directory_of_archives(cli: Cli, path: Path) -> None:
    """It is made, only its owner can enter it, and each run makes another file in it."""
    first, second = (cli.run("archive", "--db", path, "--json").json["archive"] for _ in range(2))

    assert first != second
    assert Path(first).parent == Path(second).parent
    assert "archives" == Path(first).parent.name
    assert Path(first).name.startswith("talks-")
    assert Path(first).name.endswith(".json.zst")
    assert 0o700 == Path(first).parent.stat().st_mode & 0o777


def test_a_dry_run_writes_nothing(cli: Cli, path: Path, tmp_path: Path) -> None:
    """It tells how many sessions, rows and bytes it would be, and makes no directory either."""
    before = tree(tmp_path / "db")

    done = cli.run("archive", "--db", path, "--dry-run")
    told = cli.run("archive", "--db", path, "--dry-run", "--json").json

    assert "would archive" in done.out.decode()
    assert "3, " in done.out.decode()
    assert (True, None, 3) == (told["dry_run"], told["archive"], len(told["sessions"]))
    assert told["content_size"] > 3 * 9000
    assert not Path(told["place"]).exists()
    assert before == tree(tmp_path / "db")


def test_sessions_are_chosen(cli: Cli, path: Path, tmp_path: Path) -> None:
    """By id, with their descendants, and by the latest use of their tree."""
    by_id = cli.run("archive", tmp_path, "--db", path, "--json", "--session", "ses_a").json
    by_age = cli.run("archive", tmp_path, "--db", path, "--json", "--min-age", "7d").json

    assert ["ses_a", "ses_b"] == by_id["sessions"] == by_age["sessions"]


def test_nothing_to_archive_is_said_and_done(cli: Cli, path: Path, tmp_path: Path) -> None:
    """No session of that age: exit 0, no file."""
    done = cli.run("archive", tmp_path / "a.json", "--db", path, "--min-age", "90d")

    assert (0, "no sessions to archive; nothing was written\n") == (done.code, done.out.decode())
    assert not (tmp_path / "a.json").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["a.json", "--session", "nope"], 1, "there is no session nope"),
        (["a.txt"], 2, "a.txt: an archive is called"),
        (["there.json"], 2, "there.json is there already"),
        (["a.json", "--min-age", "old"], 2, "is no age"),
        (["a.json", "--refs"], 10, "no blob store at"),
    ],
)
def test_what_cannot_be_done_has_its_exit_code(
    cli: Cli, path: Path, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    """One clear sentence names what was found, and nothing is left behind."""
    (tmp_path / "there.json").write_text("mine")
    before = tree(tmp_path)
    first, *others = arguments

    done = cli.run("archive", tmp_path / first, *others, "--db", path)

    assert code == done.code
    assert words in done.err
    assert before == tree(tmp_path)


def test_refs_without_blobs_end_with_3(cli: Cli, path: Path, tmp_path: Path) -> None:
    """The archive is there and whole but for what the store does not have, which is told row by row."""
    cli.run("offload", "--db", path, "--min-size", "1kB")
    lost = refs(path)[0].digest
    object_path(cli.store, lost).unlink()

    done = cli.run("archive", tmp_path / "a.json", "--db", path)
    told = cli.run("archive", tmp_path / "b.json", "--db", path, "--json", "-q")

    assert (3, 3) == (done.code, told.code)
    assert "missing   2 refs without their attachments" in done.out.decode()
    assert "part:prt_ses_a_1: " in done.err
    assert {"missing": 2} == told.json["unresolved"]
    assert 3 == len(verify(tmp_path / "a.json"))


def test_an_archive_changes_nothing_but_itself(cli: Cli, path: Path, tmp_path: Path) -> None:
    """Blobs come out of the store, and database and store are byte for byte what they were; nothing is registered."""
    cli.run("offload", "--db", path, "--min-size", "1kB")
    before = tree(tmp_path / "db"), tree(cli.store)

    done = cli.run("archive", tmp_path / "a.json", "--db", path, "--json")

    assert (0, 3) == (done.code, done.json["blobs"])
    assert before == (tree(tmp_path / "db"), tree(cli.store))


def test_refs_stay_and_their_blobs_are_pinned(cli: Cli, path: Path, tmp_path: Path) -> None:
    """With --refs the file has no attachment in it, and the store tells which archive keeps them."""
    cli.run("offload", "--db", path, "--min-size", "1kB")

    done = cli.run("archive", tmp_path / "a.json", "--db", path, "--refs")

    pins = cli.run("store", "pins", "--json").json
    assert 0 == done.code
    assert "base64," not in json.dumps(
        [each["ocblob"]["attachments"] for each in json.loads((tmp_path / "a.json").read_bytes())]
    )
    assert len(objects(cli.store)) == str(pins).count("archive a.json")


def test_a_database_of_no_host_is_refused(cli: Cli, tmp_path: Path) -> None:
    """There are no sessions in it that anybody knows of."""
    from samples import make_database

    done = cli.run("archive", tmp_path / "a.json", "--db", make_database(tmp_path / "x.db", ["x"]))

    assert done.code in {1, 2}
    assert not (tmp_path / "a.json").exists()
