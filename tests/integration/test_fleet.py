"""A real PostgreSQL, a real S3 store, and the workers of a real Dask cluster, which may be killed like the server."""

import asyncio
import contextlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from dask_cluster import await_idle, await_staff, kill_a_worker, running_cluster
from postgresql import PostgreSQL
from seaweedfs import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, SeaweedFS
from server_process import PASSWORD, ServerProcess

import ocblob
from ocblob import config, find_refs
from ocblob.cells import Column, Scope
from ocblob.databases.addresses import Address, server_address
from ocblob.databases.opening import open_database
from ocblob.databases.sql.tokens import HeldToken, sees
from ocblob.errors import FleetError, OcblobError, UsageError
from ocblob.fleet import Fleet, FleetReport
from ocblob.fleet import cluster as fleet_cluster
from ocblob.fleet.task import Job, greet
from ocblob.offload import MIN_CHARS, offload
from ocblob.restore import restore
from ocblob.stores import create_store
from processes import environment
from samples import cell, payload

BODY = Column("doc", "body")
ROWS = 60
PART_BYTES = 250_000
SMALL_PART_BYTES = 60_000
KILLS = 20
STOP_SECONDS = 30
VERSION = ocblob.__version__


@pytest.fixture(scope="module")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What client and workers have in their environment: homes, credentials of the store, the database's password."""
    root = tmp_path_factory.mktemp("fleet")
    wanted = {
        **{f"XDG_{kind}_HOME": str(root / kind.lower()) for kind in ("DATA", "CONFIG", "STATE", "CACHE")},
        "HOME": str(root),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "PGPASSWORD": PASSWORD,
    }
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith(("OCBLOB_DB", "OCBLOB_S", "OCBLOB_C"))]:
            patch.delenv(name)
        for name, value in wanted.items():
            patch.setenv(name, value)
        yield wanted


@pytest.fixture(scope="module")
def shared_cluster(homes: dict[str, str]) -> Iterator[Any]:
    """Workers for several tests."""
    with running_cluster(homes) as cluster:
        yield cluster


@pytest.fixture
def cluster(shared_cluster: Any) -> Any:
    """All workers are there, whatever an earlier test has killed."""
    await_staff(shared_cluster)
    return shared_cluster


@dataclass(frozen=True)
class Site:
    """One database of documents, beside it what they were, and a store."""

    url: str
    store: config.StorePlace

    @property
    def address(self) -> Address:
        """Of the database."""
        return server_address(self.url)

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """What a statement gives, to a neighbour of ours."""
        with psycopg.connect(self.url, autocommit=True, connect_timeout=5) as connection:
            cursor = connection.execute(statement.encode())
            return cursor.fetchall() if cursor.description else []

    def fill(self, rows: int = ROWS, size: int = 20_000) -> None:
        """Documents with one attachment each; every tenth has the one of another."""
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute("CREATE TABLE doc (id text PRIMARY KEY, body text)")
            with connection.cursor().copy("COPY doc FROM STDIN") as copy:
                for number in range(rows):
                    copy.write_row((f"d{number:05}", cell(payload(size, number - number % 10 % 9 % 2), n=number)))
            connection.execute("CREATE TABLE kept AS SELECT * FROM doc")

    def inline(self) -> int:
        """How many documents are as they were."""
        return int(self.sql("SELECT count(*) FROM doc JOIN kept USING (id) WHERE doc.body = kept.body")[0][0])

    def digests(self) -> set[str]:
        """What the other ones name."""
        rows = self.sql("SELECT doc.body FROM doc JOIN kept USING (id) WHERE doc.body <> kept.body")
        return {ref.digest for (body,) in rows for ref in find_refs(body)}

    def put_back(self) -> FleetReport | Any:
        """Restore all that moved."""
        store, _ = create_store(self.store)
        with open_database(self.address) as database, store:
            return restore(database, store, (BODY,), scope=Scope())

    def offload(self, fleet: Fleet | None = None, progress: Callable[[int], None] = lambda _: None) -> Any:
        """A pass: of a fleet, or a plain one."""
        store, _ = create_store(self.store)
        run = fleet or offload
        with open_database(self.address) as database, store:
            return run(database, store, (BODY,), scope=Scope(), min_chars=MIN_CHARS, progress=progress, previews=False)

    def fleet(self, cluster: Any, **more: Any) -> Fleet:
        """The workers of a cluster."""
        return Fleet(cluster.scheduler_address, self.address, self.store, PART_BYTES, **more)


def store_on(server: SeaweedFS) -> config.StorePlace:
    """A store of a test's own."""
    prefix = f"fleet-{os.urandom(6).hex()}"
    return config.store_place(f"s3://{BUCKET}/{prefix}?endpoint_url={server.endpoint}&path_style=true")


@pytest.fixture
def site(homes: dict[str, str], postgresql: PostgreSQL, seaweedfs: SeaweedFS) -> Site:
    """A database on the shared server."""
    del homes
    site = Site(postgresql.fresh_url(), store_on(seaweedfs))
    site.fill()
    return site


def test_a_fleet_does_what_one_pass_does(
    site: Site, postgresql: PostgreSQL, seaweedfs: SeaweedFS, cluster: Any
) -> None:
    """All is moved exactly once by two workers of two threads, the summary is a plain pass's, and all comes back."""
    plain = Site(postgresql.fresh_url(), store_on(seaweedfs))
    plain.fill()
    seen: list[int] = []
    expected, found = plain.offload(), site.offload(site.fleet(cluster), seen.append)

    assert isinstance(found, FleetReport)
    assert found.complete
    same = ("cells", "cells_swapped", "payloads", "payload_chars", "size", "refs", "inline", "failed", "changed")
    assert {name: getattr(expected, name) for name in same} == {name: getattr(found, name) for name in same}
    assert (ROWS, 0, 0) == (found.payloads, found.parts_failed, found.cells_gone)
    # Of a blob that two parts have at the same time both may be the first to put it, and one of them does.
    assert expected.blobs_new == found.blobs_new
    assert (2, len(seen)) == (found.workers, found.parts)
    assert found.parts > 4
    assert 0 == site.inline()
    assert 0 == site.offload(site.fleet(cluster)).parts

    assert site.put_back().complete
    assert ROWS == site.inline()


def test_a_killed_worker_loses_nothing(site: Site, cluster: Any) -> None:
    """Its parts are done by the others: the pass is complete, and says what it found done already."""
    killed: list[int] = []

    def kill(_: int) -> None:
        if not killed:
            killed.append(kill_a_worker(cluster, random.Random(7)))

    report = site.offload(site.fleet(cluster), kill)

    assert killed
    assert report.complete
    assert ROWS == report.payloads + report.cells_gone
    assert 0 == site.inline()
    assert site.put_back().complete
    assert ROWS == site.inline()


def test_twenty_kills(homes: dict[str, str], own_postgresql: PostgreSQL, seaweedfs: SeaweedFS, cluster: Any) -> None:
    """Whatever dies in fleets' passes, worker or server: each payload is inline or in the store, and all comes back."""
    del homes
    site = Site(own_postgresql.fresh_url(), store_on(seaweedfs))
    site.fill()
    dice, kills, passes, safe = random.Random(7), 0, 0, set[str]()
    store, _ = create_store(site.store)
    with store:
        while kills < KILLS:
            site.sql("UPDATE doc SET body = kept.body FROM kept WHERE kept.id = doc.id AND doc.body <> kept.body")
            with passing(site, cluster) as (alive, moving):
                while passes % 2 and alive() and not moving():  # every other pass has begun with its parts
                    time.sleep(0.02)
                while kills < KILLS and alive():
                    time.sleep(dice.uniform(0.02, 0.2))
                    if kills % 2:
                        own_postgresql.kill()
                        own_postgresql.start()
                    else:
                        kill_a_worker(cluster, dice)
                    kills += 1
                    named = site.digests() - safe
                    assert set() == {digest for digest in named if not store.contains(digest)}
                    safe |= named
            passes += 1

    assert safe
    await_staff(cluster)
    report = site.offload(site.fleet(cluster))
    assert report.complete
    assert 0 == site.inline()
    assert site.put_back().complete
    assert ROWS == site.inline()


@contextlib.contextmanager
def passing(site: Site, cluster: Any) -> Iterator[tuple[Callable[[], bool], Callable[[], bool]]]:
    """A pass under way, which may end as it likes; whether it still is, and whether a part is done."""
    moved = threading.Event()

    def run() -> None:
        # A server that is killed while the client lists the rows ends the pass; what was done stays.
        with contextlib.suppress(OcblobError):
            site.offload(replace(site.fleet(cluster), part_bytes=SMALL_PART_BYTES), lambda _: moved.set())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield thread.is_alive, moved.is_set
    finally:
        thread.join()


def command(site: Site, cluster: Any, *more: str) -> list[str]:
    """The command line of a pass."""
    arguments = ["offload", "--db", site.url, "--table", "doc:body", "--store", site.store.url]
    return [sys.executable, "-m", "ocblob", *arguments, "--dask", cluster.scheduler_address, *more]


def test_the_command_line(site: Site, cluster: Any, homes: dict[str, str]) -> None:
    """The same JSON as of a plain pass, with what the fleet did in its report; words name parts and workers."""
    more = ("--part-size", "250kB")
    done = subprocess.run(
        command(site, cluster, *more, "--json"), env=environment(homes), capture_output=True, check=False, timeout=60
    )
    assert 0 == done.returncode, done.stderr
    report = json.loads(done.stdout)["report"]
    assert (ROWS, 0) == (report["payloads"], report["parts_failed"])
    assert 2 == report["workers"]
    assert report["complete"]

    again = subprocess.run(
        command(site, cluster, *more), env=environment(homes), capture_output=True, check=False, timeout=60
    )
    assert "0 parts by " in again.stdout.decode()
    assert PASSWORD not in (done.stdout + done.stderr + again.stdout + again.stderr).decode()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["int", "kill"])
def test_a_client_that_ends_ends_the_parts(
    site: Site, cluster: Any, homes: dict[str, str], number: signal.Signals, code: int
) -> None:
    """Ctrl-C, exit code 130, or a kill: the workers stop; what was done stays, and the next pass takes the rest."""
    pass_under_way = subprocess.Popen(
        command(site, cluster, "--part-size", "100kB"),
        env=environment(homes),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + STOP_SECONDS
    while site.inline() == ROWS and time.monotonic() < deadline:
        time.sleep(0.05)
    pass_under_way.send_signal(number)
    pass_under_way.communicate(timeout=STOP_SECONDS)

    assert code == pass_under_way.returncode
    await_idle(cluster, deadline=deadline)
    left = site.inline()  # each thread may still be at the cells that it had begun with
    assert 0 < left < ROWS
    report = site.offload()
    assert report.complete
    assert 0 < report.payloads <= left
    assert 0 == site.inline()


def job_of(site: Site, token: str, store_token: str, **more: Any) -> Job:
    """What the workers are told."""
    store, _ = create_store(site.store)
    with store:
        fleet = Fleet("tcp://127.0.0.1:1", site.address, site.store, **more)
        return fleet._job(store, store_token, token, min_chars=MIN_CHARS, previews=False)


def test_the_password_stays_here(site: Site) -> None:
    """A job has none unless somebody says so, and then it is in nothing that is shown or logged."""
    plain, sent = job_of(site, "1", "x"), job_of(site, "1", "x", send_password=True)

    assert PASSWORD not in str({name: getattr(plain, name) for name in Job.__slots__})
    assert PASSWORD in sent.url
    assert PASSWORD not in repr(sent)


def test_workers_without_a_password(site: Site, homes: dict[str, str]) -> None:
    """They say so before anything is done; with --send-password, or one of their own, they can."""
    with running_cluster({**homes, "PGPASSWORD": ""}, workers=1) as cluster:
        with pytest.raises(FleetError, match=r"cannot take part.*password"):
            site.offload(site.fleet(cluster))
        assert ROWS == site.inline()
        report = site.offload(site.fleet(cluster, send_password=True))
    assert (ROWS, True) == (report.payloads, report.complete)


def test_workers_of_another_version(site: Site, cluster: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker with another ocblob is named, and nothing is done."""
    monkeypatch.setattr(ocblob, "__version__", "99.1")

    with pytest.raises(FleetError, match=rf"has ocblob {VERSION}, and this is 99\.1"):
        site.offload(site.fleet(cluster))
    assert ROWS == site.inline()


def test_nobody_there(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No scheduler, no worker, no address: words, and nothing is done."""
    monkeypatch.setattr(fleet_cluster, "CONNECT_S", 1)
    monkeypatch.setattr(fleet_cluster, "WORKERS_S", 1)
    fleet = Fleet("tcp://127.0.0.1:1", site.address, site.store)

    with pytest.raises(FleetError, match="no Dask scheduler answers"):
        site.offload(fleet)
    with pytest.raises(UsageError, match="neither the address of a scheduler nor a scheduler file"):
        site.offload(replace(fleet, scheduler="localhost"))
    (tmp_path / "other.json").write_text("{}", encoding="utf-8")
    for scheduler, words in (
        ("tcp://127.0.0.1", "missing port"),
        ("http://127.0.0.1:1", "unknown address scheme"),
        ("tls://127.0.0.1:1", "no certificates"),
        (str(tmp_path / "other.json"), "not a file that a scheduler has written"),
    ):
        with pytest.raises(UsageError, match=words):
            site.offload(replace(fleet, scheduler=scheduler))
    with running_cluster({}, workers=0) as empty:
        # By the file, as a scheduler that runs somewhere writes it.
        file = tmp_path / "scheduler.json"
        file.write_text(json.dumps({"address": empty.scheduler_address}), encoding="utf-8")
        with pytest.raises(FleetError, match="has no workers"):
            site.offload(replace(fleet, scheduler=str(file)))
    assert ROWS == site.inline()


def test_a_scheduler_that_dies(site: Site, homes: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass ends with an error in words; what was done stays, and the next one takes the rest."""
    monkeypatch.setattr(fleet_cluster, "CONNECT_S", 2)
    cluster = running_cluster(homes, workers=1)
    running = cluster.__enter__()

    def close(_: int) -> None:
        running.close()

    with pytest.raises(FleetError):
        site.offload(site.fleet(running), close)
    report = site.offload()
    assert report.complete
    assert 0 == site.inline()


def greeting(job: Job) -> str:
    """What a worker would answer."""
    return asyncio.run(greet(job))


def test_other_places_are_refused(
    site: Site, postgresql: PostgreSQL, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A database or a store that is another one where the worker is: told before a row is touched."""
    monkeypatch.setattr("ocblob.fleet.task.TOKEN_PATIENCE_S", 0)
    other = postgresql.fresh_url()
    store, _ = create_store(site.store)
    with store, contextlib.closing(HeldToken(site.address)) as held:
        held.hold()
        store.backend.put("probe/fleet-test", io.BytesIO(b"here?"), size=5)
        job = job_of(site, held.token, "probe/fleet-test")

        assert "" == greeting(job)
        assert "is another database" in greeting(replace(job, url=other.replace(f":{PASSWORD}", "")))
        assert "is another place" in greeting(replace(job, store_token="probe/fleet-none"))
        assert "is another place" in greeting(replace(job, store=str(tmp_path / "nothing")))
        assert "was begun by 0.0" in greeting(replace(job, version="0.0"))
        store.backend.delete("probe/fleet-test")


def test_a_token_is_seen_in_its_database(server: ServerProcess) -> None:
    """By whoever is in the same database of the same server, for as long as it is held."""
    here, there = server_address(server.fresh_url()), server_address(server.fresh_url())
    with contextlib.closing(HeldToken(here)) as held:
        held.hold()
        held.hold()
        assert sees(here, held.token, patience_s=0)
        assert not sees(here, "0000000000001f", patience_s=0)
        assert server.kind == "mariadb" or not sees(there, held.token, patience_s=0)
    assert not sees(here, held.token, patience_s=0)


def test_a_token_outlives_its_server(own_postgresql: PostgreSQL) -> None:
    """A server that was killed and started again shows it as soon as its holder has looked."""
    address = server_address(own_postgresql.fresh_url())
    with contextlib.closing(HeldToken(address)) as held:
        held.hold()
        own_postgresql.kill()
        own_postgresql.start()
        assert not sees(address, held.token, patience_s=0)
        held.hold()
        assert sees(address, held.token, patience_s=0)
