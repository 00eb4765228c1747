"""`ocblob pull`: which sessions come back from a mirror, how they are found, and what stops one."""

from pathlib import Path

import pytest

from command_line import Cli, cli_in
from mirrors import mirror
from ocblob.cells import SearchedColumn
from ocblob.databases.session_rows import SEARCHED_BYTES
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.digest import digest_of
from ocblob.errors import BackendError
from ocblob.sessions.mirror_source import MirrorSource
from ocblob.sessions.unarchive import UnarchiveReport
from ocblob.store.registry import Registry
from samples import object_path, opencode_profile, opened, payload, query, refs
from talks import Talk, make_talks, rows, sessions, sound

TALKS = (
    Talk("ses_a", 100),
    Talk("ses_a1", 99, parent="ses_a"),
    Talk("ses_a2", 98, parent="ses_a1"),
    Talk("ses_b", 50),
    Talk("ses_v2", 20, v2=True),
)
SIZE = 30_000


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """A command line that knows a mirror."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    found = cli_in(tmp_path, monkeypatch, capsysbinary)
    monkeypatch.setenv("OCBLOB_MIRROR", str(tmp_path / "mirror.db"))
    return found


@pytest.fixture
def path(cli: Cli) -> Path:
    """A database that has a mirror of all its sessions."""
    talks = [Talk(talk.id, talk.created_days, parent=talk.parent, v2=talk.v2, size=SIZE) for talk in TALKS]
    path = make_talks(cli.root / "app" / "opencode.db", talks)
    assert mirror(path, cli.root / "mirror.db", cli.store).complete
    return path


def delete(path: Path, *ids: str) -> None:
    """Sessions out of a database, the context stays; all if none is named."""
    tree = opencode_profile(path).tree
    assert tree is not None
    with SQLiteDatabase(path) as database:
        database.delete_sessions(tree, ids or sessions(path), unchanged=lambda _: True)


def change(path: Path, statement: str) -> None:
    """Somebody writes."""
    with opened(path) as db:
        db.execute(statement).fetchall()


def test_a_session_comes_back_with_its_children(cli: Cli, path: Path) -> None:
    """With every row where it was, and nothing else; a second pull finds nothing to do."""
    before = rows(path)
    delete(path)

    done = cli.run("pull", "--session", "ses_a", "--db", path, "--json")
    back = sessions(path)
    again = cli.run("pull", "--session", "ses_a", "--db", path, "--json")
    for session in ("ses_b", "ses_v2"):
        cli.run("pull", "--session", session, "--db", path)

    assert (0, ["ses_a", "ses_a1", "ses_a2"]) == (done.code, back)
    assert (3, True) == (done.json["insert"], done.json["complete"])
    assert (0, 3, 0) == (again.code, again.json["already_there"], again.json["rows"])
    assert before == rows(path)
    assert sound(path)


def test_the_next_mirror_finds_nothing_to_do(cli: Cli, path: Path) -> None:
    """What came back is what went."""
    delete(path, "ses_b")
    cli.run("pull", "--session", "ses_b", "--db", path)

    report = mirror(path, cli.root / "mirror.db", cli.store)

    assert (0, 0, True) == (report.rows_put, report.rows_removed, report.complete)


def test_half_a_session_is_completed(cli: Cli, path: Path) -> None:
    """Rows that are missing go in, the others stay."""
    before = rows(path)
    change(path, "DELETE FROM part WHERE session_id='ses_a1'")

    done = cli.run("pull", "--session", "ses_a", "--db", path, "--json")

    assert (0, 1, 2) == (done.code, done.json["complete"] and 1, done.json["already_there"])
    assert before == rows(path)


class Killed(BaseException):
    """The process ends here."""


@pytest.mark.parametrize("cure", ["retain", "pull"])
def test_half_of_what_came_takes_nothing_from_the_mirror(
    cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch, cure: str
) -> None:
    """A pull was killed, and somebody may have gone on with it: not even --force sends that before it is whole."""
    delete(path, "ses_b")
    with monkeypatch.context() as patch:
        patch.setattr("ocblob.pulling.apply_unarchive", _some_of_it)
        with pytest.raises(Killed):
            cli.run("pull", "--session", "ses_b", "--db", path)
    if cure == "retain":
        change(path, "UPDATE session SET time_updated=time_updated+1")
    before = rows(cli.root / "mirror.db")
    done = cli.run("mirror", "--db", path, "--session", "ses_b", "--force")
    left = rows(cli.root / "mirror.db")

    cured = cli.run(
        *{"retain": ("retain", "--max-age", "999d"), "pull": ("pull", "--session", "ses_b")}[cure], "--db", path
    )
    again = cli.run("mirror", "--db", path, "--session", "ses_b")

    assert (3, before, 0, 0) == (done.code, left, cured.code, again.code), (done, cured, again)
    assert "rows may be missing" in done.err
    assert rows(path)["part"] == rows(cli.root / "mirror.db")["part"]


def _some_of_it(
    database: SQLiteDatabase, _tree: object, source: MirrorSource, *_more: object, **_options: object
) -> None:
    with database.inserter() as inserter:
        for _, found in source.sessions(["ses_b"]):
            for table, row in found:
                if table.table in {"session", "message"}:
                    inserter.add(table.table, table.columns, row)
    raise Killed


@pytest.mark.parametrize("refs", [True, False])
@pytest.mark.parametrize("writable", [True, False])
def test_the_store_knows_the_database_before_its_rows_name_blobs(
    cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch, *, refs: bool, writable: bool
) -> None:
    """Nobody else may name them; a store that cannot be told stops only what has refs."""
    cli.run("offload", "--no-plugin", "--db", path)
    there = cli.root / ("other.db" if refs else "mirror.db")
    if refs:
        mirror(path, there, cli.store)
    delete(path, "ses_b")
    known = list[str]()

    def register(_registry: Registry, url: str, **_more: object) -> None:
        if not writable:
            raise BackendError("it is read-only")
        known.append(f"{url} {'ses_b' in sessions(path)}")

    monkeypatch.setattr(Registry, "register", register)

    done = cli.run("pull", "--session", "ses_b", "--from", there, "--db", path)

    assert (int(refs and not writable), [f"{path} False"] * writable) == (done.code, known)
    assert (not done.code) == ("ses_b" in sessions(path))


def test_what_did_not_come_back_keeps_its_note(cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of it may be there."""
    delete(path, "ses_b")

    def apply(*_arguments: object, **_options: object) -> UnarchiveReport:
        report = UnarchiveReport()
        report.fail("ses_b", "the disk is full")
        return report

    monkeypatch.setattr("ocblob.pulling.apply_unarchive", apply)

    done = cli.run("pull", "--session", "ses_b", "--db", path)

    assert (1, 1) == (done.code, len(notes(cli)))


def notes(cli: Cli) -> list[Path]:
    """Of what may be in pieces."""
    return list((cli.root / "state" / "ocblob" / "retain").glob("*"))


def test_nothing_comes_that_cannot_be_noted(cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of it, after a kill, would be taken for all of it."""
    delete(path, "ses_b")
    monkeypatch.setattr("ocblob.unfinished.make_private_directory", _denied)

    done = cli.run("pull", "--session", "ses_b", "--db", path)

    assert (1, False) == (done.code, "ses_b" in sessions(path))
    assert "takes no note of what is about to be in pieces: Permission denied" in done.err


def _denied(_path: Path) -> None:
    raise PermissionError(13, "Permission denied")


def test_newer_work_is_never_written_over(cli: Cli, path: Path) -> None:
    """A session that went on here is left, and told; --replace takes the mirror's."""
    before = rows(path)
    change(path, "UPDATE session SET title='went on' WHERE id='ses_b'")

    refused = cli.run("pull", "--session", "ses_b", "--db", path)
    noted = notes(cli)
    title = query(path, "SELECT title FROM session WHERE id='ses_b'")
    replaced = cli.run("pull", "--session", "ses_b", "--db", path, "--replace")

    assert (1, [], [("went on",)], 0) == (refused.code, noted, title, replaced.code)
    assert "session ses_b is there and differs from the row of the mirror; --replace puts" in refused.err
    assert before == rows(path)


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_a_host_does_not_wait_for_large_cells(
    cli: Cli, path: Path, monkeypatch: pytest.MonkeyPatch, force: tuple[str, ...]
) -> None:
    """Unless somebody says so."""
    delete(path, "ses_b")
    monkeypatch.setattr("ocblob.pulling.host_waits", lambda _: True)
    monkeypatch.setattr("ocblob.sessions.unarchive_plan.LARGE_CELL_BYTES", 10_000)

    done = cli.run("pull", "--session", "ses_b", "--db", path, *force)

    assert (0 if force else 1, bool(force)) == (done.code, "ses_b" in sessions(path))
    assert force or "the host would wait for it; --force" in done.err


def test_an_unknown_session_is_named(cli: Cli, path: Path) -> None:
    """And nothing is changed, whatever else was asked for."""
    delete(path, "ses_b")

    done = cli.run("pull", "--session", "ses_b", "--session", "ses_x", "--db", path)

    assert 2 == done.code
    assert f"{cli.root / 'mirror.db'} holds no session ses_x" in done.err
    assert "ses_b" not in sessions(path)


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("the talk ses_b", "ses_b"),
        ("TALK SES_B", "ses_b"),
        ("talk ses_a2", "ses_a"),
        ("hm", "ses_v2"),
    ],
)
def test_one_match_is_pulled(cli: Cli, path: Path, words: str, found: str) -> None:
    """By its title or by the text of a message, in whatever case; of a child with the session that began it."""
    change(cli.root / "mirror.db", "UPDATE part SET data=replace(data, 'Ähm', 'Well')")
    delete(path)

    done = cli.run("pull", "--query", words, "--db", path)

    assert 0 == done.code, done.err
    assert [session.id for session in TALKS if session.id.startswith(found)] == sessions(path)


def test_several_matches_are_listed(cli: Cli, path: Path) -> None:
    """The latest first, with titles; nothing is pulled, and the hint says how one of them is."""
    delete(path)

    done = cli.run("pull", "--query", "Ähm…", "--db", path)
    told = cli.run("pull", "--query", "Ähm…", "--db", path, "--json")

    lines = done.out.decode().splitlines()
    assert (2, 2, []) == (done.code, told.code, sessions(path))
    assert ["ses_b", "ses_a"] == [line.split()[0] for line in lines[1:]]
    assert "the talk ses_a" in lines[2]
    assert "hint: `ocblob pull --session ses_b`" in done.err
    assert ["ses_b", "ses_a"] == [match["id"] for match in told.json["matches"]]


@pytest.mark.parametrize("words", ["nobody said this", "%", "t_e talk", "message.part"])
def test_no_match_is_an_error(cli: Cli, path: Path, words: str) -> None:
    """Nothing is a wildcard, and the names of events are no words of a message."""
    done = cli.run("pull", "--query", words, "--db", path)

    assert 1 == done.code
    assert "no session in" in done.err


def test_words_are_found_as_json_has_them(path: Path) -> None:
    """Quotation marks and line ends are escaped there; what is too large for a message is not read."""
    text = r'{"type":"text","text":"say \"so\"\n100 % _sure_"}'
    large = '{"type":"text","text":"whale' + "x" * SEARCHED_BYTES + '"}'
    with opened(path) as db:
        db.execute("UPDATE part SET data=? WHERE id='prt_ses_b_2'", (text,)).fetchall()
        db.execute("UPDATE part SET data=? WHERE id='prt_ses_a_2'", (large,)).fetchall()
    columns = (SearchedColumn("part", "data", "session_id", json=True, mark='"type":"text"'),)

    with SQLiteDatabase(path, read_only=True) as database:
        found = [database.search(columns, words) for words in ('"So"\n100 % _', "100 % asure", "whale", "application")]

    assert [{"ses_b"}, set(), set(), set()] == found


def test_what_came_back_is_active(cli: Cli, path: Path) -> None:
    """The next retention leaves it, as long as it leaves what was used; its rows say nothing of that."""
    cli.run("retain", "--max-sessions", "1", "--db", path)
    away = sessions(path)
    cli.run("pull", "--session", "ses_a", "--db", path)

    kept = cli.run("retain", "--max-age", "30d", "--db", path)
    left = sessions(path)
    cli.run("retain", "--max-age", "30d", "--keep-active", "0d", "--db", path)

    assert ["ses_v2"] == away
    assert ["ses_a", "ses_a1", "ses_a2", "ses_v2"] == left
    assert "1 active" in kept.err
    assert ["ses_v2"] == sessions(path)


def test_a_dry_run_changes_nothing(cli: Cli, path: Path) -> None:
    """It tells of each session what would become of it."""
    delete(path, "ses_a", "ses_a1", "ses_a2")
    before = rows(path)

    done = cli.run("pull", "--session", "ses_a", "--db", path, "--dry-run")

    assert (0, before) == (done.code, rows(path))
    assert 3 == done.out.decode().count("insert")
    assert not (cli.root / "state" / "ocblob" / "pulled").exists()


def test_a_child_alone_is_told(cli: Cli, path: Path) -> None:
    """OpenCode would not list it without the session that began it."""
    delete(path, "ses_a", "ses_a1", "ses_a2")

    done = cli.run("pull", "--session", "ses_a1", "--db", path)

    assert ["ses_a1", "ses_a2", "ses_b", "ses_v2"] == sessions(path)
    assert "warning: session ses_a1 was begun by ses_a, which is not in the database" in done.err


def test_a_ref_whose_blob_is_gone_is_counted(cli: Cli, path: Path) -> None:
    """Its row comes back as it was, and the command says that something is missing (exit 3)."""
    cli.run("offload", "--no-plugin", "--db", path)
    mirror(path, cli.root / "other.db", cli.store)
    before = rows(path)
    delete(path, "ses_b")
    object_path(cli.store, digest_of(payload(SIZE, "ses_b"))).unlink()

    done = cli.run("pull", "--session", "ses_b", "--db", path, "--from", cli.root / "other.db", "--json")

    assert (3, {"missing": 1}) == (done.code, done.json["blobs"]["unresolved"])
    assert before == rows(path)
    assert refs(path)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say which session"),
        (("--session", "ses_a", "--query", "x"), "say which session"),
        (("--query", ""), "say which session"),
        (("--session", "ses_a", "--from", " "), "--from is empty"),
        (("--session", "ses_a", "--from", "APP"), "is the database and its mirror at once"),
        (("--session", "ses_a", "--from", "LINK"), "is the database and its mirror at once"),
        (("--session", "ses_a", "--from", "oracle://me:secret@host/db"), "oracle://me@host/db: no such kind"),
    ],
)
def test_what_cannot_be_meant(cli: Cli, path: Path, words: tuple[str, ...], told: str) -> None:
    """Exit 2, and a secret is not repeated."""
    link = cli.root / "link.db"
    link.hardlink_to(path)
    done = cli.run("pull", *({"APP": path, "LINK": link}.get(word, word) for word in words), "--db", path)

    assert 2 == done.code
    assert told in done.err
    assert "secret" not in done.err


def test_without_a_mirror_there_is_nothing_to_pull(cli: Cli, path: Path) -> None:
    """The hint says where one is named. A database of something else is no mirror."""
    cli.monkeypatch.delenv("OCBLOB_MIRROR")
    other = cli.root / "other.db"
    with opened(other) as db:
        db.execute("CREATE TABLE notes (body TEXT)").fetchall()

    none = cli.run("pull", "--session", "ses_a", "--db", path)
    wrong = cli.run("pull", "--session", "ses_a", "--db", path, "--from", other)

    assert (2, 1) == (none.code, wrong.code)
    assert "hint: --from names one, or OCBLOB_MIRROR, or the key mirror of the config file" in none.err
    assert f"{other} is no mirror" in wrong.err
