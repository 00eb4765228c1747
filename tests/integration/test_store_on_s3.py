"""Whole passes over a store on a real S3 server."""

import io
import json
import os
import random
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from seaweedfs import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, SeaweedFS

from ocblob import BlobStore, LocalTier, Resolver
from ocblob.cells import Scope
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.errors import BackendError, BlobExpiredError, StoreUnavailableError
from ocblob.offload import offload
from ocblob.restore import restore
from ocblob.store.layout import object_key
from processes import environment
from samples import dump, make_opencode, opencode_profile, refs

DAY_S = 86400
WRITERS = 4


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Boto3's own variables; nothing of ocblob's holds a secret."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)


def url_of(server: SeaweedFS, *, timeout: float = 20) -> str:
    """A place of a test's own."""
    prefix = f"store-{os.urandom(6).hex()}"
    return f"s3://{BUCKET}/{prefix}?endpoint_url={server.endpoint}&path_style=true&timeout={timeout}"


def run(home: Path, *arguments: str, code: int = 0) -> str:
    """The command line on a machine whose state is below `home`; what it printed."""
    more = {"XDG_STATE_HOME": str(home / "state"), "HOME": str(home), "XDG_CONFIG_HOME": str(home / "config")}
    aws = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-m", "ocblob", *arguments],
        env=environment({**more, **aws}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert code == done.returncode, done.stdout + done.stderr
    return done.stdout


def test_two_machines_share_one_store(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    """What one machine offloads another one dedupes against, reads and restores, each with a catalog of its own."""
    url = url_of(seaweedfs)
    original = make_opencode(tmp_path / "a.db", sessions=2, parts=8, size=50_000)
    (tmp_path / "b.db").write_bytes((tmp_path / "a.db").read_bytes())

    first = json.loads(run(tmp_path / "one", "offload", "--db", str(tmp_path / "a.db"), "--store", url, "--json"))
    second = json.loads(run(tmp_path / "two", "offload", "--db", str(tmp_path / "b.db"), "--store", url, "--json"))
    run(tmp_path / "two", "restore", "--db", str(tmp_path / "a.db"), "--store", url)
    run(tmp_path / "one", "restore", "--db", str(tmp_path / "b.db"), "--store", url)

    assert first["report"]["blobs_new"] > 0
    assert 0 == second["report"]["blobs_new"]
    assert dump(original) == dump(tmp_path / "a.db") == dump(tmp_path / "b.db")


def test_known_blobs_cost_one_head_and_new_ones_one_put(
    seaweedfs: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once the bucket is probed, a pass asks one HEAD for a known digest and one PUT for a new one, and no more."""
    import botocore.client

    calls: list[str] = []
    real = botocore.client.BaseClient._make_api_call

    def counted(self: object, name: str, parameters: object) -> object:
        calls.append(name)
        return real(self, name, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", counted)
    url, path = url_of(seaweedfs), tmp_path / "a.db"
    make_opencode(path, sessions=2, parts=8, size=50_000)
    columns = opencode_profile(path).columns
    tier = LocalTier(tmp_path / "state")
    with BlobStore.create(url, tier=tier)[0] as store:
        store.put([b"probes the bucket"])
        counts = []
        for _pass in range(2):
            calls.clear()
            with SQLiteDatabase(path) as database:
                report = offload(database, store, columns, scope=Scope())
                assert report.complete
                counts.append((report.payloads, report.blobs_new, calls.count("PutObject"), calls.count("HeadObject")))
            with SQLiteDatabase(path) as database:
                assert restore(database, store, columns, scope=Scope()).complete
    (payloads, new, puts, heads), (again, newer, no_puts, known) = counts

    assert payloads == again > new > 10
    assert (new, 0) == (puts, heads)
    assert (0, 0, new) == (newer, no_puts, known)


def test_evicts_to_a_proven_store(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    """A tier over its limit ends below 90 % of it, and every ref still resolves from S3."""
    url, path, home = url_of(seaweedfs), tmp_path / "a.db", tmp_path / "home"
    make_opencode(path, sessions=4, parts=16, size=120_000)
    run(home, "offload", "--db", str(path), "--store", url, "--cache-size", "100MB")
    before = json.loads(run(home, "store", "info", "--store", url, "--json"))

    run(home, "evict", "--store", url, "--max-size", "1MB")

    after = json.loads(run(home, "store", "info", "--store", url, "--json"))
    assert before["held"] > 1_000_000
    assert 900_000 >= after["held"]
    resolver = Resolver(url)
    for ref in refs(path):
        assert resolver.read(ref)


def test_a_flipped_byte_is_repaired_from_the_second_copy(seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    """A damaged object in S3 is found by a read, quarantined there, and put right from the copy."""
    url, path, home = url_of(seaweedfs), tmp_path / "a.db", tmp_path / "home"
    make_opencode(path, sessions=1, parts=6, size=50_000)
    run(home, "offload", "--db", str(path), "--store", url, "--cache-size", "0")
    run(home, "store", "add-copy", str(tmp_path / "copy"), "--store", url)
    run(home, "store", "sync", "--store", url)
    digest = refs(path)[0].digest
    with BlobStore.open(url) as store:
        with store.backend.open(object_key(digest)) as file:
            data = bytearray(file.read())
        data[len(data) // 2] ^= 1
        store.backend.put(object_key(digest), io.BytesIO(data), size=len(data))

    blob = run(home, "extract", digest, "-o", str(tmp_path / "out"), "--db", str(path), "--store", url)

    assert "" == blob
    with BlobStore.open(url) as store:
        assert 1 == len(store.backend.children("quarantine/"))
        assert store.reader.verify_own(digest, object_key(digest))
    run(home, "check", "--store", url, "--db", str(path), "--read-data")


def test_prune_and_expire_on_s3(seaweedfs: SeaweedFS, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blobs of deleted rows go after two marks; expired ones raise the typed error with their tombstone."""
    from ocblob import config
    from ocblob.deletions import evict_pass, prune_pass
    from ocblob.evict import Limits

    url, path = url_of(seaweedfs), tmp_path / "a.db"
    make_opencode(path, sessions=1, parts=30, size=50_000)
    place = config.StorePlace(url, "test", LocalTier(tmp_path / "state", 0), {})
    with BlobStore.create(url, tier=place.tier)[0] as store, SQLiteDatabase(path) as database:
        store.registry.register(database.url, host="opencode")
        assert offload(database, store, opencode_profile(path).columns, scope=Scope()).complete
        stray = store.put([b"nothing names this one" * 10])
    named = {ref.digest for ref in refs(path)}

    assert 1 == prune_pass(place, force=True).report.condemned  # type: ignore[union-attr]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 20 * DAY_S)
    # The server's clock still says today, so nothing is due: the earlier clock counts.
    assert 0 == prune_pass(place, force=True).report.deleted  # type: ignore[union-attr]
    monkeypatch.setattr("ocblob.store.blobstore.begin_epoch", lambda _backend: real() + 20 * DAY_S)
    assert 1 == prune_pass(place, force=True).report.deleted  # type: ignore[union-attr]
    done = evict_pass(place, Limits(max_size=1_000_000), expire=True)

    resolver = Resolver(url)
    left = list(BlobStore.open(url).objects())
    assert stray.digest not in {digest for digest, _ in left}
    assert 900_000 >= sum(size for _, size in left)
    assert done.report.expired == len(named) - len(left) > 0
    for digest in named - {digest for digest, _ in left}:
        with pytest.raises(BlobExpiredError) as caught:
            resolver.read(digest)
        assert digest == caught.value.tombstone["digest"]
        assert "evict --expire --max-size 1.0 MB" == caught.value.tombstone["policy"]


def test_every_acknowledged_blob_survives_a_killed_server(own_seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    """SeaweedFS is killed under four writers, again and again: what a put acknowledged reads back afterwards."""
    server, acknowledged, lock = own_seaweedfs, dict[str, bytes](), threading.Lock()
    url = url_of(server, timeout=5)
    BlobStore.create(url, tier=LocalTier(tmp_path / "first"))[0].close()
    stop = time.monotonic() + 15

    def write(number: int) -> int:
        rng, failures = random.Random(number), 0
        with BlobStore.open(url, tier=LocalTier(tmp_path / f"tier{number}", 0)) as store:
            while time.monotonic() < stop:
                data = rng.randbytes(rng.randrange(1000, 300_000))
                try:
                    stored = store.put([data])
                except (BackendError, StoreUnavailableError):
                    failures += 1
                    time.sleep(0.2)
                    continue
                with lock:
                    acknowledged[stored.digest] = data
        return failures

    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, number) for number in range(WRITERS)]
        for _kill in range(2):
            time.sleep(3)
            server.kill()
            time.sleep(0.5)
            server.start()
        failures = sum(writer.result() for writer in writers)

    with BlobStore.open(url) as store:
        lost = [digest for digest, data in acknowledged.items() if store.read(digest) != data]
    assert [] == lost
    assert len(acknowledged) > 50
    assert failures > 0


def test_a_server_that_is_gone_is_told_as_unavailable(own_seaweedfs: SeaweedFS, tmp_path: Path) -> None:
    """Nothing is called missing because nobody answers; the rows stay as they are and the exit code is 3."""
    url, path, home = url_of(own_seaweedfs, timeout=2), tmp_path / "a.db", tmp_path / "home"
    make_opencode(path, sessions=1, parts=4, size=50_000)
    run(home, "offload", "--db", str(path), "--store", url, "--cache-size", "0")
    offloaded = dump(path)
    with Resolver(url) as resolver:
        own_seaweedfs.kill()

        with pytest.raises(StoreUnavailableError):
            resolver.read(refs(path)[0])
    run(home, "restore", "--db", str(path), "--store", url, code=1)
    assert offloaded == dump(path)
