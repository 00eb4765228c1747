import json
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocblob import BlobStore, Resolver
from ocblob.check import check
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.offload import OffloadReport, offload
from ocblob.restore import restore
from processes import finish, spawn
from samples import BODY, EVERYTHING, bodies, cell, dump, integrity, make_database, payload, query, refs, unresolved

pytestmark = pytest.mark.alone  # who holds a lock for how long is told by the clock
ROWS = 120
HOST_S = 3.0
LOCK_BAR_S = 0.5
"""OpenCode waits 5 s for a lock, frozen, then loses the prompt; a tenth of it is ours at most."""

HOST = """
import json, random, sqlite3, sys, time
from samples import cell, payload

db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=5)
rng, refused, longest, number = random.Random(sys.argv[3]), [], 0.0, 0
until = time.monotonic() + float(sys.argv[4])

def write(sql, *values):
    db.execute("BEGIN IMMEDIATE")
    db.execute(sql, values)
    ((key,),) = db.execute("SELECT max(id) FROM doc").fetchall()
    db.execute("COMMIT")
    return key

print("ready", flush=True)
with open(sys.argv[2], "w") as log:
    while time.monotonic() < until:
        number += 1
        key, kind = rng.randint(1, 160), rng.random()
        body = cell(payload(rng.randint(7000, 40000), (sys.argv[3], number)), n=number)
        begun = time.monotonic()
        try:
            if kind < 0.2:
                key = write("INSERT INTO doc (body) VALUES (?)", body)
            elif kind < 0.3:
                body = None
                write("DELETE FROM doc WHERE id=?", key)
            else:
                db.execute("BEGIN IMMEDIATE")
                rows = db.execute("SELECT body FROM doc WHERE id=?", (key,)).fetchall()
                if kind < 0.6 and rows:
                    body = rows[0][0][:-1] + f',"n{number}":{number}}}'
                changed = db.execute("UPDATE doc SET body=? WHERE id=?", (body, key)).rowcount
                db.execute("COMMIT")
                if not changed:
                    continue
        except sqlite3.Error as error:
            refused.append(str(error))
            break
        longest = max(longest, time.monotonic() - begun)
        log.write(json.dumps([key, body]) + "\\n")
        time.sleep(rng.uniform(0, 0.01))
print(json.dumps({"writes": number, "refused": refused, "longest": longest}))
"""

OFFLOADER = """
import json, sys
from pathlib import Path
from ocblob import BlobStore
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.offload import offload
from ocblob.restore import restore
from samples import BODY, EVERYTHING

print("ready", flush=True)
sys.stdin.readline()
reports = []
with BlobStore.open(sys.argv[2]) as store:
    for _ in range(int(sys.argv[4])):
        with SQLiteDatabase(Path(sys.argv[1])) as database:
            verb = {"offload": offload, "restore": restore}[sys.argv[3]]
            report = verb(database, store, (BODY,), scope=EVERYTHING)
            swapped = report.cells_swapped if sys.argv[3] == "offload" else report.cells_restored
            reports.append([swapped, report.failed, report.longest_transaction_s])
print(json.dumps(reports))
"""


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """An empty store."""
    with BlobStore.create(tmp_path / "store")[0] as store:
        yield store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of many rows; some of them hold the same payload."""
    return make_database(tmp_path / "app.db", [cell(payload(20_000, number % 90), n=0) for number in range(ROWS)])


def move_out(path: Path, store: BlobStore) -> OffloadReport:
    """One pass."""
    with SQLiteDatabase(path) as database:
        return offload(database, store, (BODY,), scope=EVERYTHING)


def put_back(path: Path, store: BlobStore) -> None:
    """Restore everything, which must succeed."""
    with SQLiteDatabase(path) as database:
        assert restore(database, store, (BODY,), scope=EVERYTHING).complete


def started(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
    """Wait for a child's first word."""
    assert process.stdout is not None
    assert "ready" == process.stdout.readline().strip()
    return process


def last_written(log: Path, original: list[object]) -> dict[int, str]:
    """What each row must hold: what the host wrote last, or what was there before."""
    rows = {key: str(body) for key, body in enumerate(original, start=1)}
    for line in log.read_text().splitlines():
        key, body = json.loads(line)
        if body is None:
            rows.pop(key, None)
        else:
            rows[key] = body
    return rows


@pytest.mark.parametrize("journal", ["wal", "delete"])
def test_no_update_of_a_live_host_is_lost(path: Path, store: BlobStore, tmp_path: Path, journal: str) -> None:
    """Beside a host that writes all the time, passes go on; each row ends as written last, and no lock is felt."""
    query(path, f"PRAGMA journal_mode={journal}")
    original = bodies(path)
    log = tmp_path / "log"
    host = started(spawn(HOST, str(path), str(log), "one", str(HOST_S)))
    reports = []
    while host.poll() is None:
        reports.append(move_out(path, store))
    said = json.loads(finish(host))
    reports.append(move_out(path, store))

    assert [] == said["refused"]
    assert 100 < said["writes"]
    assert LOCK_BAR_S > max(report.longest_transaction_s for report in reports)
    assert [] == [problem for report in reports for problem in report.problems]
    assert reports[-1].complete
    assert sum(report.cells_swapped for report in reports) > ROWS
    with Resolver(path.parent / "store") as resolver:
        expected = {key: resolver.rehydrate(body) for key, body in last_written(log, original).items()}
        assert "ok" == integrity(path)
        assert len(refs(path)) == len(expected) == len(bodies(path))
        put_back(path, store)
    assert expected == {key: body for key, body in query(path, "SELECT id, body FROM doc")}  # noqa: C416 - mypy
    assert check(store, []).sound


def test_no_update_of_two_hosts_is_lost_beside_passes_to_and_fro(path: Path, store: BlobStore, tmp_path: Path) -> None:
    """Two hosts that write other rows and the same rows, offloads and restores at once: every row resolves."""
    hosts = [started(spawn(HOST, str(path), str(tmp_path / name), name, "2")) for name in ("one", "two")]
    back = started(spawn(OFFLOADER, str(path), store.url, "restore", "4", stdin=subprocess.PIPE))
    assert back.stdin is not None
    back.stdin.write("go\n")
    back.stdin.flush()
    while any(host.poll() is None for host in hosts):
        assert 0 == move_out(path, store).failed
    said = [json.loads(finish(host)) for host in hosts]
    finish(back)

    assert [[], []] == [host["refused"] for host in said]
    assert "ok" == integrity(path)
    assert [] == unresolved(path, path.parent / "store")
    put_back(path, store)
    assert [] == refs(path)
    assert all(json.loads(str(body))["url"].startswith("data:application/pdf;base64,") for body in bodies(path))


def run_together(path: Path, store: BlobStore, *verbs: str, times: int) -> list[list[list[float]]]:
    """Run verbs in processes of their own, all at once; what each of their passes reports."""
    children = [
        started(spawn(OFFLOADER, str(path), store.url, verb, str(times), stdin=subprocess.PIPE)) for verb in verbs
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    return [json.loads(finish(child)) for child in children]


def test_two_offloads_at_once_share_the_work(path: Path, store: BlobStore) -> None:
    """Each row is swapped by one of them, each blob is stored once, and all comes back."""
    before = dump(path)

    first, second = run_together(path, store, "offload", "offload", times=1)

    assert ROWS == first[0][0] + second[0][0]
    assert (0, 0) == (first[0][1], second[0][1])
    assert 90 == len(list(store.objects())) == store.catalog.totals().blobs
    assert ROWS == len(refs(path))
    assert [] == unresolved(path, path.parent / "store")
    put_back(path, store)
    assert before == dump(path)


def test_an_offload_beside_a_restore_ends_well(path: Path, store: BlobStore) -> None:
    """Whatever each row is at the end, it is whole; a last restore gives back what was there at first."""
    before = dump(path)

    passes = run_together(path, store, "offload", "restore", "offload", times=5)

    assert {0} == {failed for reports in passes for _, failed, _ in reports}
    assert LOCK_BAR_S > max(longest for reports in passes for _, _, longest in reports)
    assert "ok" == integrity(path)
    assert [] == unresolved(path, path.parent / "store")
    put_back(path, store)
    assert before == dump(path)
    assert check(store, []).sound


def test_resolvers_read_on_beside_a_pass(path: Path, store: BlobStore) -> None:
    """A resolver in another thread gives the right bytes at every moment of passes to and fro."""
    move_out(path, store)
    named = {ref.digest: ref for ref in refs(path)}
    wrong: list[str] = []
    done = threading.Event()

    def read() -> None:
        with Resolver(path.parent / "store") as resolver:
            while not done.is_set():
                wrong.extend(digest for digest, ref in named.items() if len(resolver.read(ref)) != ref.size)

    thread = threading.Thread(target=read)
    thread.start()
    try:
        for _ in range(2):
            put_back(path, store)
            move_out(path, store)
    finally:
        done.set()
        thread.join()

    assert [] == wrong
    assert 90 == len(named)
