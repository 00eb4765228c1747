"""A mirror on a real server as the primary, and the file as its cache: what goes, what stays, what comes back."""

import json
from pathlib import Path
from typing import Any

import pytest
from served import execute
from server_process import PASSWORD

from command_line import Cli, Done, cli_in
from mirrors import make_odd
from ocblob.digest import digest_of
from ocblob.ref import Ref
from ocblob.rewrite import reference_text
from samples import object_path, opened, payload, query
from talks import Talk, make_talks, rows, sessions

SIZE = 60_000
"""Of the attachment of `ses_a`, which goes into the store on the way."""
TALKS = (
    Talk("ses_a", 100, size=SIZE),
    Talk("ses_a1", 99, parent="ses_a"),
    Talk("ses_b", 50),
    Talk("ses_v2", 1, v2=True),
)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """A command line with homes of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def path(cli: Cli) -> Path:
    """A family with attachments, one more session, and one of the V2 API."""
    return make_talks(cli.root / "app" / "opencode.db", TALKS)


def retain(cli: Cli, path: Path, url: str, *more: str) -> tuple[int, str]:
    """All that may go goes."""
    done = cli.run("retain", "--max-age", "12h", "--keep-active", "0d", "--mirror", url, *more, "--db", path)
    return done.code, done.err


def mirror(cli: Cli, path: Path, url: str) -> dict[str, Any]:
    """All sessions are there."""
    done = cli.run("mirror", "--to", url, "--db", path, "--json")
    assert 0 == done.code, done
    report: dict[str, Any] = done.json["report"]
    return report


def pull(cli: Cli, path: Path, url: str, *more: str) -> Done:
    """These sessions come back."""
    return cli.run("pull", *more, "--from", url, "--db", path, "--json")


def test_everything_goes_and_comes_back(cli: Cli, server_url: str) -> None:
    """Byte for byte, with rowids and odd cells, payloads inline again; the mirror then has nothing to do."""
    path = make_odd(cli.root / "app" / "opencode.db", size=SIZE)
    with opened(path) as db:
        db.execute("UPDATE session SET share_url=NULL").fetchall()
        db.execute("DELETE FROM session_share").fetchall()
    before, ids = rows(path), sessions(path)

    code, words = retain(cli, path, server_url, "--allow-unresolved")
    gone = sessions(path)
    back = pull(cli, path, server_url, *(word for session in ids for word in ("--session", session)))
    after = mirror(cli, path, server_url)

    assert (0, []) == (code, gone), words
    assert PASSWORD not in words
    # Some of the odd cells are refs that nobody has a blob for.
    assert (3, 0, 5) == (back.code, back.json["failed"], back.json["insert"]), back
    assert before == rows(path)
    assert (0, 5) == (after["rows_put"], after["skipped"])


def test_words_are_found_on_the_server(cli: Cli, path: Path, server_url: str) -> None:
    """As in a file: titles and messages, nothing is a wildcard; and letters beyond ASCII by the server's own rules."""
    retain(cli, path, server_url)

    def found(words: str) -> list[str]:
        done = pull(cli, path, server_url, "--query", words, "--dry-run")
        return [match["id"] for match in done.json["matches"]] if "matches" in done.json else []

    assert ["ses_b"] == found("THE talk ses_b")
    assert ["ses_a"] == found("talk ses_a1")
    assert "ses_v2" in found("hm")
    assert {"ses_a", "ses_b"} == set(found("Ähm…"))
    assert [[], [], []] == [found("t_e talk"), found("%"), found("nobody said this")]


def test_a_payload_that_only_the_row_has_stays(cli: Cli, path: Path, postgresql_url: str) -> None:
    """A blob of a payload that is gone from the store is put again, from the row that is still here."""
    mirror(cli, path, postgresql_url)
    blob = object_path(cli.store, digest_of(payload(SIZE, "ses_a")))
    blob.unlink()

    code, words = retain(cli, path, postgresql_url)

    assert (0, []) == (code, sessions(path)), words
    assert blob.exists()


def test_a_payload_that_no_store_takes_stays(
    cli: Cli, path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even --allow-unresolved lets a payload go that is here and nowhere else."""
    mirror(cli, path, postgresql_url)
    object_path(cli.store, digest_of(payload(SIZE, "ses_a"))).unlink()
    monkeypatch.setattr("ocblob.mirror_sealing.mirror_pass", _Idle)

    code, words = retain(cli, path, postgresql_url, "--allow-unresolved")

    assert (3, ["ses_a", "ses_a1"]) == (code, sessions(path))
    assert "the mirror does not hold it: its payloads are refs without a blob (2 missing)" in words


class _Idle:
    """A mirror that does nothing and tells nothing."""

    report = None

    def __init__(self, *_arguments: object, **_options: object) -> None:
        pass


@pytest.mark.parametrize(
    ("statement", "words"),
    [
        ("UPDATE part SET data='{}' WHERE id='prt_ses_b_2'", "its rows of part are not those of the database"),
        ("DELETE FROM todo WHERE session_id='ses_b'", "it has 0 rows of todo, and the database 1"),
        ("DELETE FROM ocblob_session WHERE session='ses_b'", "it has no record of it"),
        ("UPDATE ocblob_session SET digest='00' WHERE session='ses_b'", "its record is about other rows"),
        (
            "UPDATE part SET ocblob_rowid=-ocblob_rowid WHERE session_id='ses_b'",
            "its rows of part lie in another order than those of the database",
        ),
    ],
)
def test_rows_and_records_are_looked_at_now(
    cli: Cli, path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, statement: str, words: str
) -> None:
    """Whoever writes into the mirror between its last look and ours keeps the session here."""
    mirror(cli, path, postgresql_url)
    execute(postgresql_url, statement)
    monkeypatch.setattr("ocblob.mirror_sealing.mirror_pass", _Idle)

    code, told = retain(cli, path, postgresql_url)

    assert (3, ["ses_b"]) == (code, sessions(path))
    assert f"ses_b: the mirror does not hold it: {words}" in told


def test_a_project_that_went_from_the_mirror_is_there_again(
    cli: Cli, path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it a session would come back into no other database."""
    mirror(cli, path, postgresql_url)
    execute(postgresql_url, "DELETE FROM project")
    with monkeypatch.context() as patch:
        patch.setattr("ocblob.mirror_sealing.mirror_pass", _Idle)
        refused = retain(cli, path, postgresql_url)
    left = len(sessions(path))
    done = retain(cli, path, postgresql_url)

    assert (3, 4, 0, []) == (refused[0], left, done[0], sessions(path))
    assert "the mirror does not hold it: it has no project prj, to which the session refers" in refused[1]


def test_what_somebody_wrote_there_is_mended_before_anything_goes(cli: Cli, path: Path, postgresql_url: str) -> None:
    """The record says that nothing has changed; the rows do not, and are put again."""
    mirror(cli, path, postgresql_url)
    execute(postgresql_url, "UPDATE part SET data='{}' WHERE id='prt_ses_b_2'")
    before = rows(path)

    code, words = retain(cli, path, postgresql_url)
    pull(cli, path, postgresql_url, *(word for talk in TALKS for word in ("--session", talk.id)))

    assert 0 == code, words
    assert before == rows(path)


def test_rows_that_were_changed_in_the_mirror_are_refused(cli: Cli, path: Path, postgresql_url: str) -> None:
    """They are not what was mirrored; --force takes them as they are."""
    retain(cli, path, postgresql_url)
    execute(postgresql_url, "UPDATE session SET title='changed' WHERE id='ses_b'")

    refused = pull(cli, path, postgresql_url, "--session", "ses_b")
    left = sessions(path)
    forced = pull(cli, path, postgresql_url, "--session", "ses_b", "--force")

    assert (1, [], 0) == (refused.code, left, forced.code)
    assert "are not those that were mirrored" in refused.err
    assert [("changed",)] == query(path, "SELECT title FROM session")


def test_a_lost_blob_stops_one_session(cli: Cli, path: Path, postgresql_url: str) -> None:
    """Nobody gets a placeholder for a payload; the others come back."""
    retain(cli, path, postgresql_url)
    object_path(cli.store, digest_of(payload(SIZE, "ses_a"))).unlink()

    done = pull(cli, path, postgresql_url, "--session", "ses_a", "--session", "ses_b")

    assert (3, ["ses_a1", "ses_b"]) == (done.code, sessions(path))
    assert digest_of(payload(SIZE, "ses_a")) in json.dumps(done.json["problems"])


def test_a_ref_that_only_a_mirror_makes_stays(cli: Cli, path: Path, postgresql_url: str) -> None:
    """Somebody attached what he had saved from a mirror: it would come back as another thing than it is."""
    ref = Ref(digest_of(payload(SIZE, "ses_a")), SIZE, (("by", "mirror"),))
    text = reference_text("application/pdf", ref)
    assert text is not None
    with opened(path) as db:
        data = f'{{"type":"file","url":"data:application/pdf;base64,{text.decode()}"}}'
        db.execute("UPDATE part SET data=? WHERE id='prt_ses_b_1'", (data,)).fetchall()
    mirror(cli, path, postgresql_url)

    code, words = retain(cli, path, postgresql_url)

    assert (3, ["ses_b"]) == (code, sessions(path))
    assert "it has a ref that only a mirror makes" in words


def test_a_database_is_no_mirror_of_itself(cli: Cli, path: Path, server_url: str) -> None:
    """By whatever name: what it holds would be proven by itself, and be gone. Another database beside it is one."""
    mirror(cli, path, server_url)
    other = server_url.replace("127.0.0.1", "localhost")
    assert other != server_url

    done = cli.run("retain", "--max-age", "12h", "--keep-active", "0d", "--mirror", other, "--db", server_url)
    back = pull(cli, path, server_url, "--session", "ses_a", "--dry-run")

    assert 2 == done.code, done
    assert "cannot be a mirror of itself" in done.err
    assert 0 == back.code
