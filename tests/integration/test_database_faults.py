"""What can go wrong between us and a server: it is told in words, with its exit code, and no payload is ever lost.

Each test ends with `restore`: it gives back every cell byte for byte only if all payloads are inline or resolvable.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from conftest import running_mariadb, running_postgresql
from mariadb import MariaDB
from postgresql import PostgreSQL
from proxy import Fault, Proxy
from served import dump, engine_of, execute, serve
from server_process import ADMINISTRATOR, PASSWORD, READER, ServerProcess

from command_line import Cli, Done, cli_in
from disks import small_disk
from ocblob.databases.addresses import server_address
from ocblob.databases.sql import server as connections
from ocblob.databases.sql.dialects import mysql as mysql_dialect
from ocblob.databases.sql.dialects import postgresql as postgresql_dialect
from processes import environment
from samples import cell, make_opencode, payload
from talks import rows

SIZE = 60_000
"""Bytes of an attachment, of which there are two copies in base64."""
PARTS = 16
MID_PASS = 700_000
"""Bytes that go to the server, or come from it, before something happens: less than half of the cells."""
DOWN_S = 0.3
NOW_MS = 1_700_000_000_000
TIMEOUT_S = 20.0

SWAP = {"postgresql": b"SET data=$", "mariadb": b"SET data='"}
"""How the statement begins that gives a cell its new content."""
DISK_BYTES = 250_000_000
HOMES = ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME")

Dump = dict[str, list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Host:
    """A database of an OpenCode on a server, and the command line."""

    server: ServerProcess
    database: str
    cli: Cli
    before: Dump

    @property
    def url(self) -> str:
        """Straight to the server, as the owner of the database."""
        return self.server.url(self.database)

    def run(self, *arguments: str, url: str = "", code: int = 0) -> Done:
        """Run a command on the database."""
        done = self.cli.run(*arguments, "--db", url or self.url)
        assert code == done.code, (done.out, done.err)
        assert PASSWORD not in done.err + done.out.decode()
        return done

    def is_inline(self) -> bool:
        """Whether everything is as it was before the first pass."""
        return self.before == dump(self.url)

    def comes_back(self) -> None:
        """Everything can be restored, byte for byte."""
        self.run("restore")
        assert self.is_inline()


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with an environment of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What every host is a copy of."""
    return make_opencode(
        tmp_path_factory.mktemp("faults") / "a.db", sessions=2, parts=PARTS // 2, size=SIZE, now_ms=NOW_MS
    )


def host_on(server: ServerProcess, sample: Path, cli: Cli) -> Host:
    """A host of the test's own on a server."""
    database = server.fresh_database()
    serve(sample, server.url(database))
    return Host(server, database, cli, dump(server.url(database)))


@pytest.fixture
def host(server: ServerProcess, sample: Path, cli: Cli) -> Host:
    """A database on a shared server."""
    return host_on(server, sample, cli)


@pytest.fixture
def own_host(own_server: ServerProcess, sample: Path, cli: Cli) -> Host:
    """A database on a server that the test may kill."""
    return host_on(own_server, sample, cli)


@pytest.fixture
def proxy(host: Host) -> Iterator[Proxy]:
    """Between us and the shared server."""
    with Proxy(host.server.port) as proxy:
        yield proxy


# Connections


CUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "reading a cell": ("offload", {"way": "down", "after": MID_PASS}),
    "reading, again and again": ("offload", {"way": "down", "after": MID_PASS, "times": 3}),
    "writing a row": ("restore", {"way": "up", "after": MID_PASS}),
    "asking to commit": ("offload", {"way": "up", "word": b"COMMIT", "following": b"UPDATE part"}),
    "a commit that came through": (
        "offload",
        {"way": "up", "word": b"COMMIT", "following": b"UPDATE part", "answered": True},
    ),
    "a commit of a restore that came through": (
        "restore",
        {"way": "up", "word": b"COMMIT", "following": b"UPDATE part", "answered": True},
    ),
}


@pytest.mark.parametrize("name", CUTS)
def test_a_cut_connection_is_made_again(host: Host, proxy: Proxy, name: str) -> None:
    """The pass goes on where it was; nothing is counted as changed by somebody else, and nothing is done twice."""
    verb, fault = CUTS[name]
    if verb == "restore":
        host.run("offload")
    happens = proxy.cut(**fault)
    done = host.run(verb, "--json", url=host.server.url(host.database, port=proxy.port)).json
    assert happens.happened.is_set()
    swapped = done["cells_restored"] if verb == "restore" else done["report"]["cells_swapped"]
    assert 2 * PARTS == swapped
    if verb == "offload":
        host.comes_back()
    assert host.is_inline()


@pytest.mark.parametrize("verb", ["offload", "restore"])
def test_a_server_that_is_killed_and_starts_again_is_waited_for(own_host: Host, verb: str) -> None:
    """The pass goes on, on other connections; what was committed before the kill is there."""
    host = own_host
    if verb == "restore":
        host.run("offload")
    with Proxy(host.server.port) as proxy:
        fault = proxy.cut(way="down" if verb == "offload" else "up", after=MID_PASS)
        with when(fault, lambda: restart(host.server)):
            host.run(verb, url=host.server.url(host.database, port=proxy.port))
    if verb == "offload":
        host.comes_back()
    assert host.is_inline()


def test_a_server_that_stays_away_ends_the_pass(own_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in words; when the server is there again, the next run does what is left."""
    monkeypatch.setattr(connections, "RECONNECT_S", 0.5)
    host = own_host
    host.run("offload")
    with Proxy(host.server.port) as proxy:
        fault = proxy.cut(way="up", after=MID_PASS)
        with when(fault, host.server.kill):
            done = host.run("restore", url=host.server.url(host.database, port=proxy.port), code=1)
    assert "Error: " in done.err
    host.server.start()
    host.comes_back()


def test_a_machine_that_is_gone_is_noticed_soon(server: ServerProcess) -> None:
    """TCP asks for it, on every connection; the defaults are two hours, or for ever."""
    address = server_address(server.fresh_url())
    connected = connections.Server(address, read_only=True)
    try:
        with connected.reading() as connection:
            driver: Any = connection.connection.dbapi_connection
            number = driver.fileno() if hasattr(driver, "fileno") else driver._sock.fileno()
            with socket.socket(fileno=os.dup(number)) as ours:
                idle = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
                unanswered_ms = ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
                assert (15, 30_000) == (idle, unanswered_ms)
                assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            timeout = getattr(driver, "_sock", ours).gettimeout()
            assert timeout is None  # for an answer that takes its time
    finally:
        connected.close()


def test_a_server_that_stands_still_is_not_waited_for_at_the_beginning(
    own_host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It accepts connections, and says nothing on them."""
    for dialect in (postgresql_dialect, mysql_dialect):
        monkeypatch.setattr(dialect, "CONNECT_TIMEOUT_S", 2)
    own_host.server.pause()
    begun = time.monotonic()
    try:
        own_host.run("offload", code=1)
    finally:
        own_host.server.resume()
    assert time.monotonic() - begun < TIMEOUT_S
    assert own_host.is_inline()


TLS = {"postgresql": "?sslmode=require", "mariadb": "?ssl_verify_cert=true"}
UNREACHABLE: dict[str, Callable[[ServerProcess, str], str]] = {
    "nobody listens": lambda server, database: server.url(database, port=1),
    "a wrong password": lambda server, database: server.url(database, password="wr0ng-s3cret"),
    "no such user": lambda server, database: server.url(database, user="stranger"),
    "no such database": lambda server, _: server.url("nowhere"),
    "no such host": lambda server, database: server.url(database).replace("127.0.0.1", "nowhere.invalid"),
    "TLS that it has not": lambda server, database: server.url(database) + TLS[server.kind],
}


@pytest.mark.parametrize("name", UNREACHABLE)
def test_a_server_that_lets_nobody_in_is_told_at_once(server: ServerProcess, cli: Cli, name: str) -> None:
    """Why, in its own words, without the password, and before a store is made."""
    begun = time.monotonic()
    done = cli.run("offload", "--db", UNREACHABLE[name](server, server.fresh_database()))
    assert 1 == done.code
    assert done.err.startswith("Error: ")
    assert not any(secret in done.err for secret in (PASSWORD, "wr0ng"))
    assert not cli.store.exists()
    assert time.monotonic() - begun < TIMEOUT_S


# Sessions


DELETING: dict[str, dict[str, Any]] = {
    "asking to commit": {"way": "up", "word": b"COMMIT", "following": b"DELETE FROM part"},
    "a commit that came through": {"way": "up", "word": b"COMMIT", "following": b"DELETE FROM part", "answered": True},
}


@pytest.mark.parametrize("name", DELETING)
def test_a_session_that_goes_by_a_cut_connection_is_whole_in_its_archive(host: Host, proxy: Proxy, name: str) -> None:
    """It is deleted once, and comes back with all its rows."""
    archives = host.cli.root / "archives"
    happens = proxy.cut(**DELETING[name])
    url = host.server.url(host.database, port=proxy.port)
    host.run("retain", "--max-sessions", "1", "--archive", str(archives), url=url)
    assert happens.happened.is_set()
    assert [("ses_0",)] == execute(host.url, "SELECT id FROM session")
    (archive,) = archives.iterdir()
    host.run("unarchive", str(archive))
    assert host.is_inline()


def test_an_archive_is_of_one_state_or_is_not_made(host: Host, proxy: Proxy) -> None:
    """A connection that is cut takes its state of the database with it: nothing goes, nothing is left behind."""
    archives = host.cli.root / "archives"
    proxy.cut(after=MID_PASS)
    url = host.server.url(host.database, port=proxy.port)
    limits = ("retain", "--max-sessions", "1", "--archive", str(archives))
    assert "Error: " in host.run(*limits, url=url, code=1).err
    assert host.is_inline()
    assert not any(archives.rglob("*"))
    host.run(*limits, url=url)
    host.run("unarchive", *map(str, archives.iterdir()))
    assert host.is_inline()


MIRROR: dict[str, dict[str, Any]] = {
    "sending rows": {"way": "up", "after": 8_000},
    "asking to commit": {"way": "up", "word": b"COMMIT", "following": b"prt_1_3"},
    "a commit that came through": {"way": "up", "word": b"COMMIT", "following": b"prt_1_3", "answered": True},
}


@pytest.mark.parametrize("name", MIRROR)
def test_a_mirror_by_a_cut_connection_is_made_whole_by_the_next_run(
    server: ServerProcess, sample: Path, cli: Cli, tmp_path: Path, name: str
) -> None:
    """Whether the first one goes on or ends in words: all rows are there in the end, and come back as they were."""
    source = Path(shutil.copy(sample, tmp_path / "source.db"))
    database = server.fresh_database()
    with Proxy(server.port) as proxy:
        happens = proxy.cut(**MIRROR[name])
        done = cli.run("mirror", "--db", source, "--to", server.url(database, port=proxy.port))
        assert happens.happened.is_set(), done.err
        assert done.code in {0, 1}, done.err
    again = cli.run("mirror", "--db", source, "--to", server.url(database), "--verify")
    assert 0 == again.code, again.err
    back = tmp_path / "back.db"
    done = cli.run("mirror", "--from", server.url(database), "--to", back)
    assert 0 == done.code, done.err
    assert rows(source) == rows(back)


# Others


def test_two_passes_at_once_do_everything_once(host: Host, proxy: Proxy) -> None:
    """One is held back before it writes its first rows, until the other has done all: it finds them changed."""
    homes = {"OCBLOB_STORE": str(host.cli.store), **{name: os.environ[name] for name in HOMES}}
    held = proxy.hold(way="up", word=SWAP[host.server.kind])
    slow = subprocess.Popen(
        [sys.executable, "-m", "ocblob", "offload", "--json", "--db", host.server.url(host.database, port=proxy.port)],
        env=environment(homes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert held.happened.wait(TIMEOUT_S)
    quick = host.run("offload", "--json").json["report"]
    assert (2 * PARTS, 0) == (quick["cells_swapped"], quick["changed"])
    proxy.heal()
    out, err = slow.communicate(timeout=TIMEOUT_S)
    assert 0 == slow.returncode, (out, err)
    late = json.loads(out)["report"]
    assert (0, 2 * PARTS) == (late["cells_swapped"], late["refs"])
    assert 0 == host.run("offload", "--json").json["report"]["cells"]
    host.comes_back()


def test_a_deadlock_is_done_again(host: Host) -> None:
    """Whoever else locks rows in another order gets his way, and the pass its own."""
    first, *_between, last = [key for (key,) in execute(host.url, "SELECT id FROM part ORDER BY id")]
    table = sa.table("part", sa.column("id"), sa.column("time_updated"))
    engine = engine_of(host.server.url(host.database, user=ADMINISTRATOR))
    held, met = threading.Event(), threading.Event()

    def cross() -> None:
        with engine.connect() as other, other.begin():
            weigh(other)
            touch = sa.update(table).values(time_updated=table.c.time_updated)
            other.execute(touch.where(table.c.id == last))
            held.set()
            wait_until(lambda: is_locked(host, first))
            other.execute(touch.where(table.c.id == first))
            met.set()

    thread = threading.Thread(target=cross)
    thread.start()
    try:
        assert held.wait(TIMEOUT_S)
        host.run("offload")
    finally:
        thread.join(TIMEOUT_S)
        engine.dispose()
    assert met.is_set()
    assert 0 == host.run("offload", "--dry-run", "--json").json["report"]["payloads"]
    host.comes_back()


def test_a_row_that_somebody_keeps_locked_is_not_waited_for_forever(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit code 11; what was done stays, and the next run does the rest."""
    monkeypatch.setattr(connections, "LOCK_WAIT_S", 1.0)
    engine = engine_of(host.url)
    with engine.connect() as other, other.begin():
        other.exec_driver_sql("SELECT id FROM part WHERE id = 'prt_1_3' FOR UPDATE").fetchall()
        done = host.run("offload", code=11)
        assert "lock" in done.err.lower()
    engine.dispose()
    host.run("offload")
    host.comes_back()


def test_other_tables_of_a_database_are_left_alone(host: Host) -> None:
    """A database of somebody's own, with cells that are named."""
    execute(
        host.url,
        "CREATE TABLE letters (number integer NOT NULL PRIMARY KEY, body text, place varchar(20))",
        "DROP TABLE part",
        "DROP TABLE event",
    )
    before = dump(host.url)
    host.run("offload", code=2)
    assert before == dump(host.url)
    execute(host.url, f"INSERT INTO letters VALUES (1, '{cell(payload(30_000))}', 'Bern')")
    before = dump(host.url)
    host.run("offload", "--table", "letters:body")
    assert before != dump(host.url)
    host.run("restore")
    assert before == dump(host.url)


# Rights


def test_who_may_only_read_can_look_at_everything(host: Host) -> None:
    """`status`, `check` and a dry run work; `offload` says what is missing before it stores anything."""
    url = host.server.url(host.database, user=READER)
    host.run("offload", "--dry-run", url=url)
    assert not host.cli.store.exists()
    done = host.run("offload", url=url, code=1)
    assert "cells of part:data cannot be changed" in done.err
    assert not host.cli.store.exists()
    assert host.is_inline()
    host.run("offload")
    for verb in ("status", "check"):
        host.run(verb, url=url)
    host.comes_back()


# Limits


def test_a_value_that_no_packet_holds_stays_in_the_store(sample: Path, cli: Cli) -> None:
    """It can be moved out of the server, and not back: that is told with both figures, and all else comes back."""
    large, most = 5_000_000, 1024 * 1024
    with running_mariadb(durable=False) as server:
        host = host_on(server, sample, cli)
        data = cell(payload(large), filename="large.pdf")
        execute(
            host.url,
            "INSERT INTO part (id, message_id, session_id, time_created, time_updated, data)"
            f" VALUES ('prt_large', 'msg_1', 'ses_1', 1, 1, '{data}')",
        )
        host = dataclasses.replace(host, before=dump(host.url))
        server.execute(f"SET GLOBAL max_allowed_packet = {most}")
        host.run("offload")
        done = host.run("restore", "-v", code=3)
        assert f"max_allowed_packet is {most:,} bytes" in done.err
        assert f"needs {len(data):,}" in done.err
        server.execute(f"SET GLOBAL max_allowed_packet = {64 * most}")
        host.comes_back()


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_a_postgresql_database_in_another_encoding_is_refused(
    postgresql: PostgreSQL, sample: Path, cli: Cli, encoding: str
) -> None:
    """Before anything is read from it."""
    database = postgresql.fresh_database()
    postgresql.execute(
        f"DROP DATABASE {database}", f"CREATE DATABASE {database} OWNER ocblob TEMPLATE template0 ENCODING '{encoding}'"
    )
    postgresql.execute("ALTER SCHEMA public OWNER TO ocblob", database=database)
    serve(sample, postgresql.url(database) + "?client_encoding=utf8")
    done = cli.run("offload", "--db", postgresql.url(database))
    assert (1, True) == (done.code, f"the database has the encoding {encoding}" in done.err)
    assert not cli.store.exists()


def test_a_mysql_table_in_another_encoding_is_refused(mariadb: MariaDB, sample: Path, cli: Cli) -> None:
    """Before anything is read from it."""
    host = host_on(mariadb, sample, cli)
    mariadb.execute("ALTER TABLE part MODIFY data LONGTEXT CHARACTER SET latin1", database=host.database)
    done = host.run("offload", code=1)
    assert "its character set is latin1" in done.err
    assert not cli.store.exists()


@pytest.mark.parametrize("kind", ["postgresql", "mariadb"])
def test_a_full_disk_of_the_server_loses_nothing(sample: Path, cli: Cli, kind: str) -> None:
    """The restore ends in words; with room again, the next one does the rest."""
    running = running_postgresql if kind == "postgresql" else running_mariadb
    with (
        tempfile.TemporaryDirectory(prefix="ocblob-disk-") as root,
        small_disk(Path(root) / "disk", DISK_BYTES) as disk,
    ):
        Path(root).chmod(0o755)
        with running(durable=False, root=disk) as server:
            host = host_on(server, sample, cli)
            host.run("offload")
            filler = disk / "filler"
            fill(filler, leave=200_000)
            assert "Error: " in host.run("restore", code=1).err
            filler.unlink()
            server.kill()  # it may have ended by itself
            server.start()
            host.comes_back()


# Helpers


@contextlib.contextmanager
def when(fault: Fault, do: Callable[[], object]) -> Iterator[None]:
    """Do something at the moment that a fault happens, which it must before the block ends."""
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            assert fault.happened.wait(TIMEOUT_S), "the fault did not happen"
            do()
        except BaseException as error:  # noqa: BLE001 - told by the test's own thread
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        thread.join(2 * TIMEOUT_S)
    if errors:
        raise errors[0]


def restart(server: ServerProcess) -> None:
    """As if its machine had lost its power for a moment."""
    server.kill()
    time.sleep(DOWN_S)
    server.start()


def fill(path: Path, *, leave: int) -> None:
    """Take the room of a small disk, but for so many bytes."""
    free = shutil.disk_usage(path.parent).free
    with path.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, free - leave)


def weigh(other: sa.Connection) -> None:
    """Whoever has changed more, or looks for deadlocks later, is not the one that a server undoes."""
    if other.dialect.name == "postgresql":
        other.exec_driver_sql("SET deadlock_timeout = '1min'")
    else:
        other.exec_driver_sql("UPDATE event SET seq = seq + 1000")
        other.exec_driver_sql("UPDATE event SET seq = seq - 1000")


def is_locked(host: Host, key: str) -> bool:
    """Whether somebody has changed a row and not committed."""
    engine = engine_of(host.url)
    try:
        with engine.connect() as looking, looking.begin():
            found = looking.exec_driver_sql(f"SELECT id FROM part WHERE id = '{key}' FOR UPDATE SKIP LOCKED")
            return not found.fetchall()
    finally:
        engine.dispose()


def wait_until(true: Callable[[], bool]) -> None:
    """Ask again and again."""
    deadline = time.monotonic() + TIMEOUT_S
    while not true():
        assert time.monotonic() < deadline
