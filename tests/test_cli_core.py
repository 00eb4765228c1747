import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from command_line import Cli, cli_in
from ocblob.digest import digest_of
from processes import Neighbour, start_ocblob
from samples import (
    DOC_SCHEMA,
    bodies,
    cell,
    data_url,
    dump,
    flip,
    make_database,
    make_opencode,
    object_path,
    objects,
    opened,
    payload,
    query,
    refs,
    tree,
)

DATA = payload(30_000)
DIGEST = digest_of(DATA)
MISSING = digest_of(b"missing")
DAY_S = 86_400


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with an environment of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    """A copy of an OpenCode database: three sessions, the newest active now, each other a day before the next."""
    now_ms = int(time.time() * 1000)
    return make_opencode(tmp_path / "copy" / "app.db", sessions=3, parts=2, size=30_000, now_ms=now_ms)


@pytest.fixture
def moved(cli: Cli, db: Path) -> Path:
    """The same, offloaded."""
    assert 0 == cli.run("offload", "--db", db).code
    return db


@pytest.fixture
def generic(tmp_path: Path) -> Path:
    """A database of no known host, alone in its directory."""
    (tmp_path / "generic").mkdir()
    return make_database(tmp_path / "generic" / "doc.db", [cell(payload(30_000, number)) for number in range(3)])


def everything(root: Path) -> dict[str, tuple[int, str]]:
    """All files of databases and store."""
    return {name: entry for name, entry in tree(root).items() if name.startswith(("copy", "store", "generic"))}


# Exit codes


USAGE: dict[str, list[str]] = {
    "no command": ["frobnicate"],
    "an unknown option": ["offload", "--frobnicate"],
    "no database found": ["offload"],
    "no database found for status": ["status"],
    "a size that is none": ["offload", "--db", "{db}", "--min-size", "large"],
    "an age that is none": ["offload", "--db", "{db}", "--min-age", "old"],
    "a negative number": ["offload", "--db", "{db}", "--keep-newest", "-1"],
    "a table without a column": ["offload", "--db", "{db}", "--table", "part"],
    "a database of no known host": ["offload", "--db", "{generic}"],
    "a database elsewhere": ["offload", "--db", "oracle://u@h/d"],
    "a store elsewhere": ["offload", "--db", "{db}", "--store", "gopher://h/d"],
    "no digest": ["cat", "hello"],
    "a data URL that is no ref": ["cat", "data:text/plain;base64,aGVsbG8="],
    "bytes and JSON on one stdout": ["cat", DIGEST, "--json"],
    "no share": ["check", "--read-data=9/7"],
    "half a share": ["check", "--read-data=0/7"],
    "an image type without a placeholder": ["put", "--mime", "image/heic", "-"],
    "a file that is not there": ["put", "{root}/none"],
    "an attachment that is not there": ["extract", "part:prt_9_9#0", "--db", "{db}", "-o", "{root}/out"],
    "a file that is there": ["extract", "part:prt_0_0#0", "--db", "{db}", "-o", "{db}"],
    "nowhere to extract to": ["extract", "part:prt_0_0#0", "--db", "{db}"],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE)
def test_what_cannot_be_meant_exits_2(cli: Cli, db: Path, generic: Path, arguments: list[str]) -> None:
    """A usage error is told in words on stderr, prints nothing on stdout and changes nothing."""
    before = everything(cli.root)

    done = cli.run(*(word.format(db=db, generic=generic, root=cli.root) for word in arguments))

    assert (2, "--json" in arguments) == (done.code, done.out != b"")
    assert "rror: " in done.err
    assert before == everything(cli.root)


def test_a_url_without_its_option_is_quoted_without_its_password(cli: Cli) -> None:
    """Who forgets `--db` is told so, in words and in JSON."""
    done = cli.run("status", "postgresql://me:s3cret@h/d", "--json")

    assert (2, True) == (done.code, "(postgresql://me@h/d)" in done.err)
    assert "s3cret" not in done.err + done.out.decode()


def test_a_usage_error_says_what_to_do(cli: Cli, generic: Path) -> None:
    """Errors with a remedy add one line with it."""
    assert "hint: name one with --db or OCBLOB_DB\n" in cli.run("status").err
    assert "hint: name the cells with --table table:column\n" in cli.run("status", "--db", generic).err


@pytest.mark.parametrize(
    ("arguments", "code", "kind"),
    [
        (["status"], 2, "UsageError"),
        (["status", "--db", "none.db"], 1, "DatabaseError"),
        (["check"], 10, "StoreNotFoundError"),
        (["offload", "--min-size", "large"], 2, "UsageError"),
        (["frobnicate"], 2, "UsageError"),
    ],
)
def test_an_error_is_one_json_object_too(cli: Cli, arguments: list[str], code: int, kind: str) -> None:
    """With --json an error is told on stdout as well: its kind, its words and the exit code."""
    done = cli.run(*arguments, "--json")

    assert (code, kind, code) == (done.code, done.json["error"]["kind"], done.json["error"]["exit"])
    assert done.json["error"]["message"] in done.err


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (OSError(28, "No space left on device", "/x"), 1, "/x: No space left on device"),
        (KeyboardInterrupt(), 130, "interrupted; what was done stays, and the next run goes on from there"),
        (MemoryError(), 1, "out of memory; nothing of the last step was kept"),
    ],
)
def test_what_the_system_refuses_is_one_json_object_too(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int, words: str
) -> None:
    """A full disk, Ctrl-C, no memory: a script that reads the object finds out."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("click.Group.main", fail)
    monkeypatch.setattr(sys.modules["ocblob.cli.main"], "_drop_stdout", lambda: None)
    done = cli.run("status", "--json")

    assert (code, words, code) == (done.code, done.json["error"]["message"], done.json["error"]["exit"])


FAILURES: dict[str, tuple[list[str], str]] = {
    "no file": (["offload", "--db", "{root}/none.db"], "no database at"),
    "no file for status": (["status", "--db", "{root}/none.db"], "no database at"),
    "no file for vacuum": (["vacuum", "--db", "{root}/none.db"], "no database at"),
    "a directory": (["offload", "--db", "{root}"], "not a file"),
    "no database": (["offload", "--db", "{root}/text"], "not a SQLite database"),
    "no such table": (["offload", "--db", "{db}", "--table", "parts:data"], "no table parts"),
    "no such column": (["offload", "--db", "{db}", "--table", "part:datum"], "no column datum"),
    "no sessions": (["offload", "--db", "{generic}", "--table", "doc:body", "--session", "s"], "no session"),
    "a directory as store": (["offload", "--db", "{db}", "--store", "{root}"], "not empty"),
}


@pytest.mark.parametrize(("arguments", "words"), FAILURES.values(), ids=FAILURES)
def test_what_cannot_be_done_exits_1(cli: Cli, db: Path, generic: Path, arguments: list[str], words: str) -> None:
    """What is refused is told in words, prints nothing on stdout, changes nothing and makes no store."""
    (cli.root / "text").write_text("no database\n" * 100)
    before = everything(cli.root)

    done = cli.run(*(word.format(db=db, generic=generic, root=cli.root) for word in arguments))

    assert (1, b"") == (done.code, done.out)
    assert words in done.err
    assert before == everything(cli.root)
    assert not cli.store.exists()


@pytest.mark.parametrize("verb", ["offload", "restore"])
def test_an_unknown_schema_is_read_only(cli: Cli, moved: Path, verb: str) -> None:
    """A database that looks like the host's with other columns is shown, and not written."""
    with opened(moved) as connection:
        connection.execute("ALTER TABLE part RENAME COLUMN message_id TO message").fetchall()
    before = dump(moved)

    refused = cli.run(verb, "--db", moved)
    shown = cli.run("status", "--db", moved, "--json")

    assert (1, before) == (refused.code, dump(moved))
    assert "message_id" in refused.err
    assert 0 == shown.code
    assert "message_id" in shown.json["unknown_schema"]


def test_blobs_that_cannot_be_had_exit_1(cli: Cli, moved: Path) -> None:
    """A blob that is missing, corrupt or expired is an error, and no file is made of it."""
    missing, corrupt, expired = (ref.digest for ref in refs(moved)[:3])
    for digest in (missing, expired):
        object_path(cli.store, digest).unlink()
    flip(object_path(cli.store, corrupt), 5000)
    (cli.store / "tombstones").mkdir()
    (cli.store / "tombstones" / f"{expired}.json").write_text('{"policy": "age", "when": "2026-11-01"}')
    out = cli.root / "out"

    for digest, words in ((missing, "not in the store"), (corrupt, "object"), (expired, "2026-11-01")):
        done = cli.run("cat", digest, "--output", out)
        assert (1, b"") == (done.code, done.out)
        assert words in done.err
    assert [] == [path.name for path in cli.root.iterdir() if "out" in path.name]


@pytest.mark.parametrize(
    "arguments",
    [
        ["restore", "--db", "{db}"],
        ["cat", DIGEST],
        ["check"],
        ["extract", "part:prt_0_0#0", "--db", "{db}", "-o", "{root}/out"],
    ],
    ids=lambda arguments: arguments[0],
)
def test_no_store_exits_10(cli: Cli, moved: Path, arguments: list[str]) -> None:
    """Verbs that need a store say that there is none, and make none."""
    cli.store.rename(cli.root / "elsewhere")
    before = dump(moved)

    done = cli.run(*(word.format(db=moved, root=cli.root) for word in arguments))

    assert (10, b"") == (done.code, done.out)
    assert f"no blob store at {cli.store}" in done.err
    assert "hint: " in done.err
    assert (before, False) == (dump(moved), cli.store.exists())


@pytest.mark.parametrize("verb", ["offload", "restore"])
def test_a_locked_database_exits_11(cli: Cli, moved: Path, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If another process keeps the write lock the command says so, and every row is whole."""
    monkeypatch.setattr("ocblob.databases.sqlite.connection.BUSY_TIMEOUT_MS", 50)
    if verb == "offload":
        assert 0 == cli.run("restore", "--db", moved).code
    before = dump(moved)
    with Neighbour(moved) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")

        done = cli.run(verb, "--db", moved)

        neighbour.execute("ROLLBACK")
    assert 11 == done.code
    assert "locked by another process" in done.err
    assert before == dump(moved)


def test_a_swap_beside_a_host_exits_11(cli: Cli, moved: Path) -> None:
    """Vacuum by swap needs the database for itself, and says what else there is."""
    with Neighbour(moved) as neighbour:
        neighbour.execute("SELECT count(*) FROM part")

        done = cli.run("vacuum", "--db", moved, "--swap")

    assert 11 == done.code
    assert "hint: " in done.err


def test_rows_that_fail_exit_3(cli: Cli, generic: Path) -> None:
    """If a row cannot be written the others are, the report names it, and the command says that it is incomplete."""
    with opened(generic) as connection:
        connection.execute(
            "CREATE TRIGGER t BEFORE UPDATE ON doc WHEN old.id=2 BEGIN SELECT RAISE(ABORT, 'keep out'); END"
        )

    done = cli.run("offload", "--db", generic, "--table", "doc:body", "--json")

    assert 3 == done.code
    assert (2, 1) == (done.json["report"]["cells_swapped"], done.json["report"]["failed"])
    assert "doc:body 2" in done.err
    assert "keep out" in done.err


def test_refs_that_stay_exit_3(cli: Cli, moved: Path) -> None:
    """A ref whose blob cannot be had stays, is counted with its reason, and stops nothing."""
    missing, corrupt, expired, *rest = sorted({ref.digest for ref in refs(moved)})
    for digest in (missing, expired):
        object_path(cli.store, digest).unlink()
    flip(object_path(cli.store, corrupt), 5000)
    (cli.store / "tombstones").mkdir()
    (cli.store / "tombstones" / f"{expired}.json").write_text('{"policy": "age", "when": "2026-11-01"}')

    done = cli.run("restore", "--db", moved, "--json")

    assert 3 == done.code
    # Each blob stands in a part and in its event; what was found corrupt for the one is put aside for the other.
    assert {"expired": 2, "corrupt": 2, "missing": 2} == done.json["unresolved"]
    assert 2 * len(rest) == done.json["refs_restored"]
    assert {missing, corrupt, expired} == {ref.digest for ref in refs(moved)}
    assert "part:data prt_" in done.err


@pytest.mark.usefixtures("moved")
def test_an_unsound_store_exits_3(cli: Cli) -> None:
    """Check tells of missing objects and unresolved refs; a repair sets the catalog right, a put brings the blob."""
    assert 0 == cli.run("check").code
    data = payload(30_000, (0, 0))
    object_path(cli.store, digest_of(data)).unlink()

    found = cli.run("check", "--json")
    repaired = cli.run("check", "--repair", "--json")
    again = cli.run("check", "--json")

    assert [3, 3, 3] == [found.code, repaired.code, again.code]
    assert (1, 1, False) == (found.json["missing_objects"], found.json["unresolved"], found.json["sound"])
    assert digest_of(data) in found.err
    assert (1, 0, 1) == (repaired.json["repaired"], again.json["missing_objects"], again.json["unresolved"])
    assert 0 == cli.run("put", "-", stdin=data).code
    assert 0 == cli.run("check").code


def test_damage_is_found_by_reading(cli: Cli, moved: Path) -> None:
    """Only a check that reads the data finds a flipped bit inside an object; parts of the store add up to all."""
    damaged = refs(moved)[0].digest
    flip(object_path(cli.store, damaged), 5000)

    unread = cli.run("check", "--json")
    parts = [cli.run("check", f"--read-data={number}/4", "--json") for number in (1, 2, 3, 4)]

    assert 0 == unread.code
    assert (6, 1) == tuple(sum(done.json[name] for done in parts) for name in ("objects_read", "corrupt"))
    assert 3 in {done.code for done in parts}
    assert ["quarantine"] == [path.parent.name for path in cli.store.rglob(f"{damaged}.*")]


def test_a_database_that_went_away_exits_3(cli: Cli, moved: Path) -> None:
    """A registered database that cannot be read is no sound state, and check says which one."""
    moved.rename(moved.with_name("gone.db"))

    done = cli.run("check", "--json")

    assert (3, False) == (done.code, done.json["sound"])
    assert str(moved) in done.err


def test_a_generic_database_can_be_checked(cli: Cli, generic: Path) -> None:
    """What was offloaded with --table is checked without it."""
    assert 0 == cli.run("offload", "--db", generic, "--table", "doc:body").code

    done = cli.run("check", "--json")

    assert (0, 3, 1) == (done.code, done.json["refs"], done.json["databases"])


def test_a_large_database_exits_4_when_asked(cli: Cli, db: Path) -> None:
    """Over 100 MB status warns; only with --check the exit code says so too."""
    small = cli.run("status", "--db", db, "--check")
    with opened(db) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").fetchall()
        connection.execute("CREATE TABLE ballast AS SELECT zeroblob(101000000) AS b")

    asked, unasked = cli.run("status", "--db", db, "--check"), cli.run("status", "--db", db, "--json")

    assert (0, 4, 0) == (small.code, asked.code, unasked.code)
    assert "Warning: " not in small.err
    for done in (asked, unasked):
        assert "Warning: OpenCode database is 10" in done.err
        assert "MB (over 100 MB)" in done.err
    assert unasked.json["too_large"]


def test_an_interrupt_exits_130(cli: Cli, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends with its own code and a word about what that means."""

    def interrupt(*_arguments: object, **_more: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ocblob.offload.plan_offload", interrupt)

    done = cli.run("offload", "--db", db)

    assert (130, b"") == (done.code, done.out)
    assert "interrupted" in done.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_real_interrupt_ends_cleanly(cli: Cli, number: signal.Signals) -> None:
    """A signal in the midst of a pass: exit 130, no traceback, every row whole, and a next pass completes."""
    path = make_opencode(cli.root / "copy" / "app.db", sessions=5, parts=50, size=300_000)
    before = dump(path)
    # A test run in the background of a shell ignores the signal, and its children would inherit that.
    ignored = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = start_ocblob("offload", "--db", str(path), "--store", str(cli.store))
    signal.signal(signal.SIGINT, ignored)
    while not any(cli.store.glob("objects/*/*")):
        assert process.poll() is None
        time.sleep(0.002)
    process.send_signal(number)
    _, err = process.communicate(timeout=60)

    assert 130 == process.returncode
    assert b"Traceback" not in err
    assert 0 == cli.run("offload", "--db", path).code
    assert 500 == len(refs(path))
    assert 0 == cli.run("restore", "--db", path).code
    assert before == dump(path)


def test_an_error_that_nobody_reads_is_no_traceback(cli: Cli) -> None:
    """The other end of the pipe has closed before the one JSON object: the exit code is the error's all the same."""
    with start_ocblob("status", "--db", str(cli.root / "missing.db"), "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()

    assert 1 == process.returncode
    assert b"missing.db" in err
    assert b"Traceback" not in err


def test_a_reader_that_has_seen_enough_is_no_traceback(cli: Cli) -> None:
    """When the other end of a pipe closes, the command ends quietly."""
    data = payload(8_000_000)
    assert 0 == cli.run("put", "-", stdin=data).code
    process = start_ocblob("cat", digest_of(data), "--store", str(cli.store))
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(10)
    process.stdout.close()
    err = process.stderr.read()
    process.wait(60)
    process.stderr.close()
    if process.stdin is not None:
        process.stdin.close()

    assert b"" == err
    assert 1 == process.returncode


@pytest.mark.parametrize("verb", ["cat", "extract"])
def test_a_file_that_cannot_be_written_is_an_error_in_words(cli: Cli, moved: Path, verb: str) -> None:
    """A target directory that is not there is an ordinary error, not a traceback."""
    out = cli.root / "none" / "out"
    what = [refs(moved)[0].digest] if verb == "cat" else ["part:prt_0_0#0", "--db", moved]

    done = cli.run(verb, *what, "-o", out)

    assert (1, b"") == (done.code, done.out)
    assert str(out.parent) in done.err


# JSON, quiet, dry


COMMANDS: dict[str, list[str]] = {
    "status": ["status", "--db", "{db}"],
    "offload": ["offload", "--db", "{db}"],
    "offload a dry run": ["offload", "--db", "{db}", "--dry-run"],
    "offload and vacuum": ["offload", "--db", "{db}", "--vacuum"],
    "restore": ["restore", "--db", "{db}"],
    "restore a dry run": ["restore", "--db", "{db}", "--dry-run"],
    "put": ["put", "{file}"],
    "cat": ["cat", "{digest}", "-o", "{root}/out"],
    "ls": ["ls", "--db", "{db}"],
    "extract": ["extract", "part:prt_0_0#0", "--db", "{db}", "-o", "{root}/out"],
    "check": ["check"],
    "check and read": ["check", "--read-data"],
    "check and rebuild": ["check", "--rebuild-catalog"],
    "vacuum": ["vacuum", "--db", "{db}"],
    "vacuum in place": ["vacuum", "--db", "{db}", "--in-place"],
    "vacuum a dry run": ["vacuum", "--db", "{db}", "--dry-run"],
}


@pytest.fixture
def words(cli: Cli, moved: Path) -> Callable[[list[str]], list[str]]:
    """Fills in what a command line needs: an offloaded database with something inline, a file, a digest."""
    with opened(moved) as connection:
        data = cell(payload(30_000, "new"))
        connection.execute("INSERT INTO part VALUES ('prt_new', 'msg_0', 'ses_0', 0, 0, ?)", (data,))
    (cli.root / "file.pdf").write_bytes(DATA)
    names = {"db": moved, "root": cli.root, "file": cli.root / "file.pdf", "digest": refs(moved)[0].digest}
    return lambda line: [word.format(**names) for word in line]


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_json_is_one_object_and_nothing_else(
    cli: Cli, words: Callable[[list[str]], list[str]], line: list[str]
) -> None:
    """With --json every command prints exactly one JSON object on stdout, and exits as without it."""
    done = cli.run(*words(line), "--json")

    assert 0 == done.code
    assert done.json
    assert done.out.endswith(b"}\n")


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_quiet_prints_data_only(cli: Cli, words: Callable[[list[str]], list[str]], line: list[str]) -> None:
    """With -q a command that succeeds says nothing; what it is asked to print is still printed."""
    done = cli.run(*words(line), "-q")

    assert (0, "") == (done.code, done.err)
    assert (line[0] in {"put", "ls"}) == (done.out != b"")


@pytest.mark.parametrize("line", COMMANDS.values(), ids=COMMANDS)
def test_words_go_to_stderr_and_progress_nowhere(
    cli: Cli, words: Callable[[list[str]], list[str]], line: list[str]
) -> None:
    """Where no terminal is, no progress is shown: no control characters anywhere."""
    done = cli.run(*words(line), "-v")

    assert 0 == done.code
    assert set() == {byte for byte in done.out + done.err.encode() if byte < 32} - {10}


@pytest.mark.parametrize(
    "line",
    [
        ["offload", "--db", "{db}", "--dry-run"],
        ["offload", "--db", "{db}", "--dry-run", "--vacuum", "--include-v2"],
        ["restore", "--db", "{db}", "--dry-run"],
        ["vacuum", "--db", "{db}", "--dry-run"],
        ["vacuum", "--db", "{db}", "--dry-run", "--in-place"],
        ["status", "--db", "{db}"],
        ["ls", "--db", "{db}"],
    ],
    ids=" ".join,
)
def test_a_dry_run_changes_nothing(cli: Cli, words: Callable[[list[str]], list[str]], line: list[str]) -> None:
    """No byte, name or mode of database and store changes, and the exit code is 0."""
    query(Path(words(["{db}"])[0]), "DELETE FROM event WHERE id='evt_0_0'")
    before = everything(cli.root)

    done = cli.run(*words(line))

    assert 0 == done.code
    assert before == everything(cli.root)


def test_a_dry_run_makes_no_store(cli: Cli, db: Path) -> None:
    """An offload that only looks needs no store and no plugin, and tells what would move."""
    before = everything(cli.root)

    done = cli.run("offload", "--db", db, "--dry-run", "--json")

    assert (0, 12) == (done.code, done.json["report"]["payloads"])
    assert before == everything(cli.root)


def test_a_dry_run_tells_what_the_run_does(cli: Cli, db: Path) -> None:
    """The figures of a dry run are those of the run that follows, in both directions."""
    names = ("cells", "cells_swapped", "payloads", "payload_chars", "size", "inline")
    would, did = (cli.run("offload", "--db", db, "--json", *more).json["report"] for more in (["--dry-run"], []))
    would_restore, restored = (cli.run("restore", "--db", db, "--json", *more).json for more in (["--dry-run"], []))

    assert {name: would[name] for name in names} == {name: did[name] for name in names}
    for name in ("cells", "cells_restored", "refs_restored", "size", "unresolved"):
        assert would_restore[name] == restored[name]


def test_a_dry_restore_leaves_a_damaged_object_where_it_is(cli: Cli, moved: Path) -> None:
    """Looking whether a blob could be restored changes nothing, even if it is corrupt."""
    flip(object_path(cli.store, refs(moved)[0].digest), 5000)
    before = everything(cli.root)

    done = cli.run("restore", "--db", moved, "--dry-run", "--json")

    assert 3 == done.code
    assert {"corrupt": 2} == done.json["unresolved"]
    assert before == everything(cli.root)


# Where things are


@pytest.fixture
def own(cli: Cli) -> Path:
    """OpenCode's own database, where it would open it."""
    return make_opencode(cli.root / "data" / "opencode" / "opencode.db")


def test_opencodes_own_database_is_found(cli: Cli, own: Path) -> None:
    """Without a name, the database is the one that OpenCode opens."""
    assert str(own) == cli.run("status", "--json").json["database"]


def test_opencodes_own_database_needs_the_plugin(cli: Cli, own: Path) -> None:
    """Without the plugin an offload stops before anything is done, and says how to get it."""
    before = dump(own)
    link = cli.root / "link.db"
    link.symlink_to(own)

    for arguments in ([], ["--db", str(own)], ["--db", str(link)]):
        done = cli.run("offload", *arguments)

        assert (2, b"") == (done.code, done.out)
        assert "hint: ocblob plugin install\n" in done.err
        assert "--no-plugin" in done.err
    assert (before, False) == (dump(own), cli.store.exists())


def test_no_plugin_goes_on(cli: Cli, own: Path) -> None:
    """Told so, the offload goes on without the plugin."""
    assert 0 == cli.run("offload", "--no-plugin").code
    assert 12 == len(refs(own))


@pytest.mark.parametrize("place", ["plugin/ocblob.js", "plugins/ocblob.js", "opencode.json", "opencode.jsonc"])
def test_the_plugin_is_seen_where_opencode_loads_it(cli: Cli, own: Path, place: str) -> None:
    """With the plugin in a plugin directory or named in the configuration, the offload goes on."""
    path = cli.root / "config" / "opencode" / place
    path.parent.mkdir(parents=True)
    script = cli.root / "ocblob.js"
    script.touch()
    path.write_text(json.dumps({"plugin": [script.as_uri()]}))

    assert 0 == cli.run("offload").code
    assert 12 == len(refs(own))


def test_a_copy_elsewhere_needs_no_plugin(cli: Cli, own: Path) -> None:
    """A copy that OpenCode does not open is offloaded without more ado."""
    copy = cli.root / "copy.db"
    copy.write_bytes(own.read_bytes())

    assert 0 == cli.run("offload", "--db", copy).code
    assert [] == refs(own)


def test_the_environment_names_database_and_store(cli: Cli, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """OCBLOB_DB and OCBLOB_STORE are taken when no option is there; an option wins."""
    monkeypatch.setenv("OCBLOB_DB", str(db))
    monkeypatch.setenv("OCBLOB_STORE", str(cli.root / "store"))
    other = make_opencode(cli.root / "other.db", sessions=1, parts=1)

    named = cli.run("offload", "--json").json
    chosen = cli.run("offload", "--db", other, "--store", cli.root / "other-store", "--json").json

    assert (12, str(cli.root / "store")) == (named["report"]["payloads"], named["store"])
    assert (2, str(cli.root / "other-store")) == (chosen["report"]["payloads"], chosen["store"])


def test_the_default_store_is_in_the_data_directory(cli: Cli, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any name the store is the user's own, and its making is told."""
    monkeypatch.delenv("OCBLOB_STORE")

    done = cli.run("offload", "--db", db)

    assert 0 == done.code
    assert f"created a blob store at {cli.root / 'data' / 'ocblob' / 'store'}" in done.err
    assert 6 == len(objects(cli.root / "data" / "ocblob" / "store"))


def test_a_sqlite_url_names_a_file(cli: Cli, db: Path) -> None:
    """A database may be named as a URL."""
    assert 0 == cli.run("offload", "--db", f"sqlite:///{db}").code
    assert 12 == len(refs(db))


# Rows to store and back


def test_offload_and_restore_are_inverse(cli: Cli, db: Path) -> None:
    """All rows come back byte for byte, and both commands tell what they did."""
    before = dump(db)

    out = cli.run("offload", "--db", db)
    moved = dump(db)
    back = cli.run("restore", "--db", db)

    assert (0, 0) == (out.code, back.code)
    assert before != moved
    assert before == dump(db)
    assert b"12 payloads out of 12 cells" in out.out
    assert b"6 new blobs" in out.out
    assert b"12 attachments into 12 cells" in back.out


SCOPES: dict[str, tuple[list[str], int]] = {
    "all": ([], 12),
    "a session": (["--session", "ses_1"], 4),
    "two sessions": (["--session", "ses_1", "--session", "ses_2"], 8),
    "a session that is not there": (["--session", "ses_x"], 0),
    "all but the newest": (["--keep-newest", "1"], 8),
    "all but the newest two": (["--keep-newest", "2"], 4),
    "the old": (["--min-age", "36h"], 4),
    "older than a week": (["--min-age", "7d"], 0),
    "the large": (["--min-size", "40001"], 0),
    "one column": (["--table", "part:data"], 6),
    "one column twice": (["--table", "part:data", "--table", "part:data"], 6),
    "one column of a session": (["--table", "event:data", "--session", "ses_0"], 2),
}


@pytest.mark.parametrize(("arguments", "expected"), SCOPES.values(), ids=SCOPES)
def test_offload_takes_what_it_is_told_to(cli: Cli, db: Path, arguments: list[str], expected: int) -> None:
    """Sessions, ages, sizes and tables choose the rows; no other row changes; the same again finds nothing."""
    before = dump(db)

    done = cli.run("offload", "--db", db, *arguments, "--json")
    again = cli.run("offload", "--db", db, *arguments, "--json")

    assert expected == len(refs(db)) == done.json["report"]["payloads"] == done.json["report"]["cells_swapped"]
    assert (0, 0) == (again.code, again.json["report"]["payloads"])
    assert 0 == cli.run("restore", "--db", db).code
    assert before == dump(db)


def test_v2_cells_move_only_when_asked(cli: Cli, db: Path) -> None:
    """V2 tables are counted, left by an ordinary offload, moved by --include-v2, and always restored."""
    with opened(db) as connection:
        data = cell(payload(30_000, "v2"))
        connection.execute("INSERT INTO session_message VALUES ('m', 'ses_0', 'user', 0, 0, 0, ?)", (data,))
        connection.execute("INSERT INTO session_input VALUES ('i', 'ses_0', ?, 0)", (data,))
    before = dump(db)

    ordinary = cli.run("offload", "--db", db, "--json").json["report"]["payloads"]
    asked = cli.run("offload", "--db", db, "--include-v2", "--json").json["report"]["payloads"]
    status = cli.run("status", "--db", db)
    restored = cli.run("restore", "--db", db, "--json").json["refs_restored"]

    assert (12, 2, 14) == (ordinary, asked, restored)
    assert "2 refs are in tables of V2 sessions" in status.err
    assert before == dump(db)


def test_a_generic_database_names_its_cells(cli: Cli, generic: Path) -> None:
    """With --table any database can be offloaded and restored."""
    before = dump(generic)

    assert 0 == cli.run("offload", "--db", generic, "--table", "doc:body").code
    assert 3 == len(refs(generic))
    assert 0 == cli.run("restore", "--db", generic, "--table", "doc:body").code
    assert before == dump(generic)


def test_offload_can_give_the_space_back(cli: Cli, db: Path) -> None:
    """With --vacuum the file is small afterwards, and one file."""
    before = db.stat().st_size

    done = cli.run("offload", "--db", db, "--vacuum", "--json").json

    assert ("swap", "") == (done["vacuum"]["method"], done["vacuum_skipped"])
    assert before // 4 > db.stat().st_size == done["after"]["file"]
    assert ["app.db"] == [path.name for path in db.parent.iterdir()]


def test_a_vacuum_that_a_host_would_not_survive_is_left_out(
    cli: Cli, db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a live host a long vacuum is refused; an offload that asked for one is done and says so with 3."""
    monkeypatch.setattr("ocblob.databases.sqlite.vacuum.planning.IN_PLACE_BYTES_PER_S", 1000)
    with Neighbour(db) as neighbour:
        neighbour.execute("SELECT count(*) FROM part")
        done = cli.run("offload", "--db", db, "--vacuum", "--json")
        alone = cli.run("vacuum", "--db", db)
        forced = cli.run("vacuum", "--db", db, "--force")

    assert (3, 12, None) == (done.code, done.json["report"]["payloads"], done.json["vacuum"])
    assert "block it for about" in done.json["vacuum_skipped"]
    assert (11, 0) == (alone.code, forced.code)
    assert "hint: " in alone.err


def test_a_vacuum_that_a_reader_holds_up_exits_3(cli: Cli, moved: Path) -> None:
    """If the file could not shrink yet, vacuum says so, counts honestly, and exits 3; so does an offload with it."""
    with Neighbour(moved) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM part")
        done = cli.run("vacuum", "--db", moved, "--json")
    other = make_opencode(cli.root / "other.db")
    with Neighbour(other) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM part")
        with_offload = cli.run("offload", "--db", other, "--vacuum", "--json")

    assert (3, 3) == (done.code, with_offload.code)
    assert "reading" in done.json["note"]
    assert "reading" in with_offload.json["vacuum_skipped"]
    assert done.json["after"]["file"] == done.json["before"]["file"]


def test_large_cells_beside_a_host_need_force(cli: Cli, moved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cell that a live host would have to wait for stays a ref unless forced; alone with it, it is announced."""
    monkeypatch.setattr("ocblob.restore.LARGE_CELL_BYTES", 60_000)
    monkeypatch.setattr("ocblob.restore.ANNOUNCED_CELL_BYTES", 60_000)
    with opened(moved) as connection:
        data = cell(payload(60_000, "large"))
        connection.execute("INSERT INTO part VALUES ('prt_large', 'msg_0', 'ses_0', 0, 0, ?)", (data,))
    assert 0 == cli.run("offload", "--db", moved).code
    with Neighbour(moved) as neighbour:
        neighbour.execute("SELECT count(*) FROM part")
        beside = cli.run("restore", "--db", moved, "--json")
        left = len(refs(moved))
        forced = cli.run("restore", "--db", moved, "--force", "--json")

    assert (3, 12, 1, 1) == (beside.code, beside.json["refs_restored"], beside.json["failed"], left)
    assert "part:data prt_large" in beside.err
    assert "--force" in beside.err
    assert (0, 1) == (forced.code, forced.json["refs_restored"])
    assert "MB of memory" in forced.err
    assert [(data,)] == query(moved, "SELECT data FROM part WHERE id='prt_large'")


# Blobs


def test_put_prints_a_ref_that_cat_reads(cli: Cli) -> None:
    """What put prints is a data URL of the file's type; cat takes it, or the digest alone."""
    path = cli.root / "paper.pdf"
    path.write_bytes(DATA)

    put = cli.run("put", path)
    url = put.out.decode().strip()

    assert 0 == put.code
    assert url.startswith("data:application/pdf;base64,JVBERi0")
    assert DATA == cli.run("cat", url).out == cli.run("cat", DIGEST).out
    assert 0 == cli.run("cat", url, "-o", cli.root / "copy.pdf").code
    assert DATA == (cli.root / "copy.pdf").read_bytes()


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_put_reads_stdin(cli: Cli, arguments: list[str]) -> None:
    """Without a file, or with a dash, bytes come from stdin; their type is told by --mime."""
    done = cli.run("put", *arguments, "--mime", "image/png", "--json", stdin=DATA)

    assert (DIGEST, len(DATA), "image/png", True) == tuple(done.json[n] for n in ("digest", "size", "mime", "new"))
    assert done.json["url"].startswith("data:image/png;base64,iVBOR")
    assert not cli.run("put", "--json", stdin=DATA).json["new"]
    assert "application/octet-stream" == cli.run("put", "--json", stdin=DATA).json["mime"]


def test_bytes_go_through_real_pipes(cli: Cli) -> None:
    """In processes of their own: a stream of megabytes in by stdin, and out by stdout."""
    data = payload(5_000_000)
    put = start_ocblob("put", "--store", str(cli.store))
    url, err = put.communicate(data, timeout=60)
    cat = start_ocblob("cat", url.decode().strip(), "--store", str(cli.store))
    out, _ = cat.communicate(timeout=60)

    assert (0, 0) == (put.returncode, cat.returncode)
    assert b"created a blob store" in err
    assert data == out


def test_a_put_is_pinned_or_registered(cli: Cli, db: Path, generic: Path) -> None:
    """A blob that no database names is pinned; with --db that database, of whatever host, is registered instead."""
    for arguments in ([], ["--db", str(db)], ["--db", str(generic)]):
        assert 0 == cli.run("put", *arguments, "-", stdin=DATA).code
        pins = [path.stem for path in (cli.store / "pins").glob("*")]
        assert [DIGEST] == pins

    urls = {json.loads(path.read_text())["url"] for path in (cli.store / "databases").glob("*")}
    assert {str(db), str(generic)} == urls


def test_what_was_put_can_be_restored_into_a_row(cli: Cli, db: Path) -> None:
    """A ref from put, written into a row by somebody, is restored like any other."""
    url = cli.run("put", "--db", db, "--mime", "application/pdf", stdin=DATA).out.decode().strip()
    row = json.dumps({"type": "file", "url": url})
    with opened(db) as connection:
        connection.execute("INSERT INTO part VALUES ('prt_put', 'msg_0', 'ses_0', 0, 0, ?)", (row,))

    done = cli.run("restore", "--db", db, "--json")

    assert (0, 1) == (done.code, done.json["refs_restored"])
    expected = json.dumps({"type": "file", "url": data_url(DATA)})
    assert [(expected,)] == query(db, "SELECT data FROM part WHERE id='prt_put'")


# Attachments


@pytest.mark.parametrize("state", ["inline", "refs"])
def test_ls_shows_what_extract_takes_out(cli: Cli, db: Path, state: str) -> None:
    """Every attachment has an address; extract gives its bytes whether they are in the row or in the store."""
    if state == "refs":
        assert 0 == cli.run("offload", "--db", db).code

    listed = cli.run("ls", "--db", db, "--json").json["attachments"]

    assert 12 == len(listed) == len({item["address"] for item in listed})
    assert {(30_000, "application/pdf", state == "inline")} == {
        (item["size"], item["mime"], item["inline"]) for item in listed
    }
    assert {f"{session}-{part}.pdf" for session in range(3) for part in range(2)} == {item["name"] for item in listed}
    for number, item in enumerate(listed):
        out = cli.root / f"out-{number}"
        assert 0 == cli.run("extract", item["address"], "--db", db, "-o", out).code
        session, part = map(int, item["name"].removesuffix(".pdf").split("-"))
        assert payload(30_000, (session, part)) == out.read_bytes()
        assert f"ses_{session}" == item["session"]


def test_ls_chooses(cli: Cli, db: Path) -> None:
    """Sessions, types, sizes, states and a limit choose what is listed; the largest come first."""
    with opened(db) as connection:
        for name, size, mime in (("big", 90_000, "image/png"), ("small", 10, "image/gif")):
            data = cell(payload(size, name), mime)
            connection.execute(f"INSERT INTO part VALUES ('prt_{name}', 'msg_0', 'ses_0', 0, 0, ?)", (data,))
    assert 0 == cli.run("offload", "--db", db, "--session", "ses_1").code

    def count(*arguments: str) -> int:
        return len(cli.run("ls", "--db", db, "--json", *arguments).json["attachments"])

    assert [14, 6, 4, 10, 2, 1, 13, 2] == [
        count(),
        count("--session", "ses_0"),
        count("--refs"),
        count("--inline"),
        count("--mime", "image/"),
        count("--mime", "image/png"),
        count("--min-size", "1kB"),
        count("-n", "2"),
    ]
    sizes = [item["size"] for item in cli.run("ls", "--db", db, "--json").json["attachments"]]
    assert sorted(sizes, reverse=True) == sizes
    assert 14 == len(cli.run("ls", "--db", db).out.splitlines())


def test_extract_names_one_thing(cli: Cli, db: Path) -> None:
    """A row's key is enough if it has one attachment; with two the address must say which one."""
    two = json.dumps({"urls": [data_url(payload(9000, 1)), data_url(payload(9000, 2))]})
    with opened(db) as connection:
        connection.execute("INSERT INTO part VALUES ('prt_two', 'msg_0', 'ses_0', 0, 0, ?)", (two,))
    out = cli.root / "out"

    assert 0 == cli.run("extract", "prt_0_1", "--db", db, "-o", out).code
    assert payload(30_000, (0, 1)) == out.read_bytes()
    ambiguous = cli.run("extract", "prt_two", "--db", db, "-o", cli.root / "none")
    assert (2, False) == (ambiguous.code, (cli.root / "none").exists())
    assert "hint: name one: prt_two#0" in ambiguous.err
    assert 0 == cli.run("extract", "prt_two#1", "--db", db, "-o", out, "--force").code
    assert payload(9000, 2) == out.read_bytes()


# What a first look shows


def test_status_counts_what_is_where(cli: Cli, db: Path) -> None:
    """Inline base64 becomes refs, dedup and the store are counted, and tables have rows and bytes."""
    before = cli.run("status", "--db", db, "--json").json
    assert 0 == cli.run("offload", "--db", db).code
    after = cli.run("status", "--db", db, "--json").json
    shown = cli.run("status", "--db", db).out.decode()

    assert ([6, 6, 0, 0], [0, 0, 0, 0]) == (
        [column["inline"] for column in before["columns"]],
        [column["refs"] for column in before["columns"]],
    )
    assert ([0, 0, 0, 0], [6, 6, 0, 0]) == (
        [column["inline"] for column in after["columns"]],
        [column["refs"] for column in after["columns"]],
    )
    assert ("", 0) == (before["store"], before["store_blobs"])
    assert (str(cli.store), 6, 180_000) == (after["store"], after["store_blobs"], after["store_size"])
    assert 180_000 == after["dedup_saved"]
    assert "6 blobs" in shown


def test_help_tells_the_exit_codes(cli: Cli) -> None:
    """The help lists every command and what the exit codes mean; each command has a help of its own."""
    shown = cli.run("--help").out.decode()

    for name in ("status", "offload", "restore", "put", "cat", "ls", "extract", "check", "vacuum"):
        assert f"  {name} " in shown
        assert cli.run(name, "--help").out.startswith(f"Usage: ocblob {name} ".encode())
    for code in ("0 done", "1 error", "2 usage", "3 finished but incomplete", "10 no store", "11 locked"):
        assert code in " ".join(shown.split())


def test_the_module_runs(cli: Cli) -> None:
    """`python -m ocblob` is the command line."""
    process = start_ocblob("--version")
    out, err = process.communicate(timeout=60)

    assert (0, b"") == (process.returncode, err)
    assert out.startswith(b"ocblob, version ")
    assert out == cli.run("--version").out


@pytest.fixture(autouse=True)
def no_store_is_made_by_accident(tmp_path: Path) -> Iterator[None]:
    """Nothing here may touch the homes of who runs the tests."""
    yield
    assert not (tmp_path / "home").exists()


def test_two_commands_in_a_pipe(cli: Cli, db: Path) -> None:
    """`ocblob cat | ocblob put` between two stores moves a blob under the same name."""
    assert 0 == cli.run("offload", "--db", db).code
    digest = refs(db)[0].digest
    cat = start_ocblob("cat", digest, "--store", str(cli.store))
    put = subprocess.run(
        [sys.executable, "-m", "ocblob", "put", "--json", "--store", str(cli.root / "other")],
        stdin=cat.stdout,
        capture_output=True,
        check=True,
    )
    cat.communicate(timeout=60)

    assert digest == json.loads(put.stdout)["digest"]
    assert [digest] == objects(cli.root / "other")


def test_a_database_without_refs_restores_at_once(cli: Cli, db: Path) -> None:
    """Restoring what was never offloaded changes nothing and is no error."""
    assert 0 == cli.run("put", stdin=DATA).code
    before = dump(db)

    done = cli.run("restore", "--db", db, "--json")

    assert (0, 0, before) == (done.code, done.json["refs_restored"], dump(db))


def test_a_ref_of_another_store_is_named(cli: Cli, moved: Path) -> None:
    """With the wrong store every ref stays, and the words tell to which store the refs belong."""
    assert 0 == cli.run("put", "--store", cli.root / "other", stdin=DATA).code
    identity = json.loads((cli.store / "store.json").read_text())["id"]
    before = dump(moved)

    done = cli.run("restore", "--db", moved, "--store", cli.root / "other", "--json")

    assert (3, {"missing": 12}, before) == (done.code, done.json["unresolved"], dump(moved))
    assert f"store {identity[:8]}" in done.err


def test_odd_rows_stay_and_are_counted(cli: Cli, tmp_path: Path) -> None:
    """What cannot be moved exactly stays inline with its reason; the pass is complete all the same."""
    text = cell(payload(9000))
    rows = [
        text[:-20] + "\\/" + text[-19:],
        text[:-9] + text[-8:],
        text[:-2],
        cell(payload(9000), "image/heic"),
        cell(payload(10)),
        text + "}",
        "just words with data:image/png;base64,AAAA inside",
    ]
    path = make_database(tmp_path / "odd.db", rows, schema=DOC_SCHEMA)

    done = cli.run("offload", "--db", path, "--table", "doc:body", "--min-size", "1", "--json")

    assert (0, 0, rows) == (done.code, done.json["report"]["cells_swapped"], bodies(path))
    assert {"escaped", "not-canonical", "unterminated", "no-carrier", "small", "broken-json"} == set(
        done.json["report"]["inline"]
    )
