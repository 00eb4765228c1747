"""Every verb by the command line on databases of real servers: what it does, tells and exits with is as on a file."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from mariadb import MariaDB
from postgresql import PostgreSQL
from served import dump, engine_of, execute, serve
from server_process import OWNER, PASSWORD

from command_line import Cli, Done, cli_in
from ocblob import BlobStore
from ocblob.databases.addresses import server_address
from ocblob.databases.disk import activity
from ocblob.maintaining.lock import sole_maintainer
from samples import cell, payload
from talks import Talk, make_talks
from test_watch_command import watching

MIB = 1 << 20
TALKS = (
    *(Talk(f"ses_{number}", 100 - number, size=30_000) for number in range(3)),
    Talk("ses_2_child", 97, parent="ses_2", size=30_000),
    Talk("ses_new", 0.1, size=30_000),
)
REFUSED = "127.0.0.1:1"
"""Nobody listens there."""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with homes of its own."""
    return cli_in(tmp_path, monkeypatch, capfdbinary)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Sessions in a file."""
    return make_talks(tmp_path / "talks.db", TALKS)


@pytest.fixture
def url(file: Path, server_url: str) -> str:
    """The same sessions on a server."""
    return serve(file, server_url)


@pytest.fixture(autouse=True)
def quiet(cli: Cli) -> Iterator[None]:
    """No test leaves a password in any file that it has made."""
    yield
    config = cli.root / "config"
    kept = [path for path in cli.root.rglob("*") if path.is_file() and not path.is_relative_to(config)]
    assert [] == [path for path in kept if PASSWORD.encode() in path.read_bytes()]


def run(cli: Cli, *words: str | Path) -> Done:
    """A command that shows no password, whatever it does."""
    done = cli.run(*words)
    assert PASSWORD not in done.out.decode() + done.err
    return done


def keys(value: Any) -> Any:
    """The names in a JSON object, at every depth; of a list those of its first object."""
    if isinstance(value, dict):
        return {name: keys(item) for name, item in value.items() if name not in {"fates", "inline", "unresolved"}}
    return [keys(value[0])] if isinstance(value, list) and value and isinstance(value[0], dict) else None


def both(cli: Cli, file: Path, url: str, *words: str, code: int = 0) -> dict[str, Any]:
    """The JSON of one verb on the server; exit code and names are those of the file, which has a store of its own."""
    here = run(cli, *words, "--db", file, "--store", cli.root / "store-of-file", "--json")
    there = run(cli, *words, "--db", url, "--json")
    assert (code, code) == (here.code, there.code), (words, here.err, there.err)
    assert keys(here.json) == keys(there.json), words
    return there.json


def test_every_verb_tells_what_it_tells_of_a_file(cli: Cli, file: Path, url: str) -> None:
    """One after the other, each with the same exit code and the same names in its JSON; at the end all is as it was."""
    before = dump(url)
    archives = cli.root / "archives"
    archives.mkdir()
    assert 10 == both(cli, file, url, "status")["tables"]["part"]["rows"]
    assert 10 == both(cli, file, url, "offload", "--dry-run", "--no-plugin")["report"]["payloads"]
    assert 10 == both(cli, file, url, "offload", "--no-plugin")["report"]["payloads"]
    assert 0 == both(cli, file, url, "offload", "--no-plugin", "--session", "ses_1")["report"]["payloads"]
    assert 10 == len(both(cli, file, url, "ls", "--refs")["attachments"])
    assert 10 == both(cli, file, url, "check")["refs"]
    assert 1 == len(both(cli, file, url, "archive", str(archives), "--session", "ses_0")["sessions"])
    retained = both(cli, file, url, "retain", "--max-sessions", "2", "--archive", str(archives))["report"]
    assert 2 == retained["evicted"]["trees"]
    assert {"ses_2", "ses_2_child", "ses_new"} == {row[0] for row in execute(url, "SELECT id FROM session")}
    both(cli, file, url, "maintain", "--no-plugin", code=3)  # its prune would set too much aside
    both(cli, file, url, "vacuum")
    both(cli, file, url, "vacuum", "--dry-run")
    assert 2 == both(cli, file, url, "prune", "--force")["plan"]["condemned"]
    for archive in sorted(archives.glob(f"{server_address(url).stem}-*")):
        done = run(cli, "unarchive", archive, "--db", url)
        assert done.code == 0, done.err
    both(cli, file, url, "restore", "--dry-run")
    assert [] == both(cli, file, url, "restore")["problems"]
    assert before == dump(url)


def test_attachments_are_listed_taken_out_and_put(cli: Cli, url: str) -> None:
    """`ls`, `extract` and `put --db` find a row by its key as on a file; a put registers the database by its name."""
    (item, *_) = run(cli, "ls", "--db", url, "--session", "ses_1", "--json").json["attachments"]
    done = run(cli, "extract", item["address"], "--db", url, "-o", cli.root / "out")
    assert (0, item["size"]) == (done.code, (cli.root / "out").stat().st_size)
    assert 0 == run(cli, "put", cli.root / "out", "--db", url).code
    (entry,) = run(cli, "store", "databases", "--json").json["databases"]
    assert (server_address(url).name, "") == (entry["url"], entry["machine"])
    assert 0 == run(cli, "store", "forget-db", entry["url"]).code


def test_a_missing_store_a_missing_blob_and_a_size(cli: Cli, url: str) -> None:
    """Exit codes 10, 3 and 4, as on a file."""
    assert 10 == run(cli, "restore", "--db", url).code
    assert 10 == run(cli, "offload", "--db", url, "--no-create").code
    assert 0 == run(cli, "offload", "--db", url).code
    for path in (cli.store / "objects").rglob("*"):
        if path.is_file():
            path.unlink()
    left = run(cli, "restore", "--db", url, "--json")
    assert (3, {"missing": 10}) == (left.code, left.json["unresolved"])
    (cli.root / "config" / "ocblob").mkdir(parents=True)
    (cli.root / "config" / "ocblob" / "config.toml").write_text("warnMB = [0.001]\n")
    large = run(cli, "status", "--db", url, "--check")
    assert (4, True) == (large.code, "OpenCode database is " in large.err)
    shown = large.out.decode()
    assert [False] * 3 == [word in shown for word in ("  file ", "WAL", "disk")]
    assert 4 == run(cli, "maintain", "--db", url, "--check", "--scheduled").code


def test_who_holds_a_lock_is_not_waited_for_long(cli: Cli, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that somebody has changed and not committed: exit code 11, and nothing is lost."""
    monkeypatch.setattr("ocblob.databases.sql.server.LOCK_WAIT_S", 1.0)
    before = dump(url)
    with holding(url, "UPDATE part SET time_updated = 1 WHERE id = 'prt_ses_1_1'"):
        assert 11 == run(cli, "offload", "--db", url).code
        busy = run(cli, "vacuum", "--in-place", "--db", url, "--json")
        assert (3, True) == (busy.code, "part is left" in busy.err)
        second = run(cli, "retain", "--db", url, "--max-sessions", "1", "--no-archive")
        assert 11 == second.code
    assert 0 == run(cli, "offload", "--db", url).code
    assert 0 == run(cli, "restore", "--db", url).code
    kept = {row[0] for row in execute(url, "SELECT id FROM session")}
    assert {"ses_1", "ses_new"} <= kept
    after = dump(url)["part"]
    assert [row for row in before["part"] if row[2] in kept] == after


def test_two_maintains_do_not_run_at_once(cli: Cli, url: str) -> None:
    """The lock is the database's, however its URL is written; the state of a pass names no password."""
    with sole_maintainer(cli.root / "state" / "ocblob" / "maintain", server_address(url)):
        assert 11 == run(cli, "maintain", "--db", url).code


def test_space_comes_back(cli: Cli, url: str) -> None:
    """What moved out is given back by --vacuum, measured; and by a pass when it is worth it."""
    data = cell(payload(2 * MIB, "large"))
    engine = engine_of(url)
    with engine.begin() as server:
        server.execute(sa.text("UPDATE part SET data = :cell WHERE id LIKE :all"), {"cell": data, "all": "prt%1"})
    engine.dispose()
    done = run(cli, "offload", "--db", url, "--vacuum", "--json")
    assert (0, True) == (done.code, done.json["vacuum"]["method"] in {"full", "optimize"}), done.err
    vacuum = done.json["vacuum"]
    assert vacuum["freed"] == vacuum["before"]["total"] - vacuum["after"]["total"]
    assert vacuum["freed"] > 10 * MIB
    assert vacuum["after"]["total"] < 4 * MIB


def test_prune_needs_a_server_that_answers(cli: Cli, url: str) -> None:
    """Another machine may ask too: with the password of the config file; without one, or no server, all stays."""
    assert 0 == run(cli, "offload", "--db", url).code
    bare = run(cli, "prune")
    assert (1, True) == (bare.code, "give its password" in bare.err), bare.err
    toml = cli.root / "config" / "ocblob" / "config.toml"
    toml.parent.mkdir(parents=True)
    toml.write_text(f"databases = [{json.dumps(url)}]\n")
    toml.chmod(0o600)
    assert 10 <= run(cli, "prune", "--json").json["refs"]
    assert 0 == run(cli, "check").code
    gone = f"postgresql://u@{REFUSED}/d"
    with BlobStore.open(cli.store) as store:
        store.registry.register(gone, host="opencode")
    refused = run(cli, "prune")
    assert (1, True, True) == (refused.code, gone in refused.err, "start the server" in refused.err)
    assert 0 == run(cli, "store", "forget-db", gone).code
    assert 0 == run(cli, "prune").code


@pytest.mark.parametrize("scheme", ["postgresql", "mysql"])
def test_a_server_that_does_not_answer_is_an_error_at_once(cli: Cli, scheme: str) -> None:
    """No verb waits for one that was never there; the message names it without its password."""
    for words in (("status",), ("offload",), ("retain", "--max-sessions", "1"), ("maintain",), ("vacuum",)):
        begun = time.monotonic()
        done = run(cli, *words, "--db", f"{scheme}://u:{PASSWORD}@{REFUSED}/d")
        assert (1, True) == (done.code, f"{scheme}://u@{REFUSED}/d" in done.err), (words, done.err)
        assert time.monotonic() - begun < 25  # one that was lost is waited for 30 s


def test_an_unknown_kind_of_database_is_refused(cli: Cli) -> None:
    """With the kinds that are known; exit code 2."""
    done = run(cli, "status", "--db", f"oracle://u:{PASSWORD}@h/d")
    assert (2, True) == (done.code, "postgresql://, mysql://" in done.err)


@pytest.mark.parametrize(
    ("module", "url", "extra"),
    [
        ("psycopg", "postgresql://u@h/d", "postgres"),
        ("pymysql", "mariadb://u@h/d", "mysql"),
        ("sqlalchemy", "postgresql://u@h/d", "postgres"),
    ],
)
def test_a_missing_driver_says_how_to_get_it(cli: Cli, module: str, url: str, extra: str) -> None:
    """The extra's name, for who installed ocblob alone; exit code 2."""
    commands: list[list[str | Path]] = [
        ["status", "--db", url],
        ["retain", "--max-sessions", "1", "--no-archive", "--db", url],
        ["pull", "--session", "ses_0", "--from", url, "--db", make_talks(cli.root / "here.db", TALKS[:1])],
    ]
    # In processes of their own: a module that is taken away here would be another one for the tests that follow.
    code = f"import sys; sys.modules[{module!r}] = None; from ocblob.cli import main; main()"
    for words in commands:
        done = subprocess.run(
            [sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False
        )
        assert (2, True) == (done.returncode, f"pip install 'ocblob[{extra}]'" in done.stderr), done.stderr


@pytest.mark.parametrize("options", ["?connect_timeout=soon", "?ssl_ca=/nowhere/ca.pem", "?frobnicate=1"])
def test_options_that_the_driver_does_not_take(cli: Cli, options: str) -> None:
    """A usage error with the driver's words, whatever the driver throws."""
    done = run(cli, "status", "--db", f"mysql://u:{PASSWORD}@{REFUSED}/d{options}")
    assert (2, False) == (done.code, "Traceback" in done.err), done.err


def test_a_url_of_mysql_that_names_no_database(cli: Cli, mariadb: MariaDB) -> None:
    """There is no schema that could be meant."""
    done = run(cli, "status", "--db", mariadb.url(""))
    assert (2, True) == (done.code, "names no database" in done.err), done.err


def test_a_schema_with_capitals_and_quotes(cli: Cli, file: Path, postgresql: PostgreSQL) -> None:
    """The first of the search path is the one that is meant, however it is called."""
    database = postgresql.fresh_database()
    postgresql.execute(
        f'CREATE SCHEMA "Odd ""Schema" AUTHORIZATION {OWNER}',
        f"ALTER ROLE {OWNER} IN DATABASE {database} SET search_path TO 'Odd \"Schema', public",
        database=database,
    )
    url = serve(file, postgresql.url(database))
    assert 10 == run(cli, "status", "--db", url, "--json").json["tables"]["part"]["rows"]
    assert 10 == run(cli, "offload", "--db", url, "--json").json["report"]["payloads"]
    done = run(cli, "retain", "--db", url, "--max-sessions", "1", "--no-archive")
    assert (0, [("ses_new",)]) == (done.code, execute(url, "SELECT id FROM session")), done.err


def test_a_server_s_counters_tell_who_wrote(url: str) -> None:
    """What `watch` looks at moves with a write, and rests without."""
    address = server_address(url)
    time.sleep(1.1)  # MariaDB tells seconds
    execute(url, "UPDATE part SET time_updated = 0")
    before = settled(lambda: activity(address))
    assert before == activity(address)
    time.sleep(1.1)
    execute(url, "UPDATE session SET title = 'new' WHERE id = 'ses_1'")
    assert before != settled(lambda: activity(address))


def test_watch_waits_for_a_write(cli: Cli, url: str) -> None:
    """A pass at once; none while nobody writes, its own writes included; another one after a write."""
    with watching(cli.root, "--db", url, "--every", "1s") as watcher:
        watcher.waits_for("maintain: offloaded 10 payloads")
        passes = 0
        while passes != watcher.count("maintain:"):
            passes = watcher.count("maintain:")
            time.sleep(2.5)
        execute(url, "UPDATE part SET time_updated = 7")
        watcher.waits_for("maintain:", passes + 1)
        assert 0 == watcher.end()
    assert f"watching {server_address(url).name}" in watcher.said[0]
    assert 0 == watcher.count(PASSWORD)


def settled(look: Callable[[], Any]) -> Any:
    """What is seen twice, a while apart: PostgreSQL's counters come in within a second."""
    found = look()
    while True:
        time.sleep(0.6)
        last, found = found, look()
        if last == found:
            return found


class holding:  # noqa: N801 - reads as a statement
    """Somebody's transaction that has changed something, for as long as the block lasts."""

    def __init__(self, url: str, statement: str) -> None:
        self._engine = engine_of(url)
        self._connection = self._engine.connect()
        self._connection.begin()
        self._connection.exec_driver_sql(statement)

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_exception: object) -> None:
        self._connection.rollback()
        self._connection.close()
        self._engine.dispose()
