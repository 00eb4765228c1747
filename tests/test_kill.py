import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from disks import memory_directory
from ocblob import BlobStore
from ocblob.cells import Scope
from ocblob.check import check
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.offload import offload
from ocblob.restore import restore
from processes import environment, finish, spawn
from samples import dump, integrity, make_opencode, opencode_profile, refs, unresolved

pytestmark = pytest.mark.many

KILLS = 25
TOO_LATE = 0.9
"""A kill that comes too late does not count: other work had made the first run longer."""
SEED = 20260105

KILLER = """
import json, sys
from pathlib import Path
from kills import killed_at_lines
from test_kill import Scene, trouble

scene, wrong = Scene(Path(sys.argv[1]), sys.argv[2]), []

def look(line):
    wrong.extend(f"line {line}: {what}" for what in trouble(scene))

parts, step = tuple(sys.argv[3].split(",")), int(sys.argv[4])
kills, finished = killed_at_lines(scene.fresh, scene.work, look, parts, step=step)
print(json.dumps({"kills": kills, "finished": finished, "wrong": wrong}))
"""


class Scene:
    """A database and a store in a directory, ready for a verb, as often as one likes."""

    def __init__(self, root: Path, verb: str) -> None:
        self.verb = verb
        self.path = root / "work" / "opencode.db"
        self.store = root / "work" / "store"
        self._ready = root / "ready"
        self.original = dump(root / "original.db")

    def fresh(self) -> None:
        """Put everything as it was before the verb."""
        shutil.rmtree(self.path.parent, ignore_errors=True)
        shutil.copytree(self._ready, self.path.parent)

    def work(self) -> None:
        """Run the verb in this process."""
        run(self.verb, self.path, self.store)


def run(verb: str, path: Path, root: Path) -> None:
    """One whole pass, as the command line makes it; it must be complete."""
    columns = opencode_profile(path).columns
    with BlobStore.create(root)[0] as store, SQLiteDatabase(path) as database:
        store.registry.register(database.url, host="opencode")
        if verb == "offload":
            assert offload(database, store, columns, scope=Scope()).complete
        else:
            assert restore(database, store, columns, scope=Scope()).complete


def trouble(scene: Scene) -> list[str]:
    """What is wrong after a kill, now or after the next passes."""
    found = []
    if integrity(scene.path) != "ok":
        found.append(str(integrity(scene.path)))
    named = refs(scene.path)
    if lost := unresolved(scene.path, scene.store):
        found.append(f"{len(lost)} of {len(named)} refs do not resolve")
    if named and scene.verb == "offload":
        with BlobStore.open(scene.store) as store:
            if str(scene.path) not in [entry.url for entry in store.registry.databases()]:
                found.append("refs in a database that is not registered")
    run("offload", scene.path, scene.store)
    with BlobStore.open(scene.store) as store:
        found += check(store, []).problems
    run("restore", scene.path, scene.store)
    if dump(scene.path) != scene.original:
        found.append("the restored rows are not the ones of the beginning")
    return found


def scene(root: Path, verb: str, *, sessions: int, parts: int, size: int) -> Scene:
    """Make one."""
    make_opencode(root / "original.db", sessions=sessions, parts=parts, size=size)
    (root / "ready").mkdir()
    shutil.copy(root / "original.db", root / "ready" / "opencode.db")
    if verb == "restore":
        run("offload", root / "ready" / "opencode.db", root / "ready" / "store")
    made = Scene(root, verb)
    made.fresh()
    return made


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory for what is killed."""
    with memory_directory() as path:
        yield path


@pytest.mark.parametrize("verb", ["offload", "restore"])
def test_killed_at_any_moment_nothing_is_lost(memory: Path, verb: str) -> None:
    """SIGKILL at moments spread over a run of the command: every ref resolves, and the next pass cures the rest."""
    at = scene(memory, verb, sessions=4, parts=12, size=40_000)
    rng = random.Random(SEED)
    command = [sys.executable, "-m", "ocblob", verb, "--db", str(at.path), "--store", str(at.store), "--quiet"]
    command += ["--no-plugin"] if verb == "offload" else []

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, env=environment())

    begun = time.monotonic()
    assert 0 == start().wait()
    elapsed = time.monotonic() - begun
    assert [] == trouble(at)
    wrong, killed, wanted = [], 0, KILLS if verb == "offload" else KILLS // 2
    for number in range(4 * wanted):
        if killed == wanted:
            break
        at.fresh()
        delay = rng.uniform(0.4, 1.0) * elapsed
        process = start()
        time.sleep(delay)
        process.kill()
        if process.wait() == -signal.SIGKILL:
            killed += 1
        else:
            elapsed *= TOO_LATE
        wrong += [f"kill {number} after {delay:.3f} s: {what}" for what in trouble(at)]

    assert [] == wrong
    assert wanted == killed


@pytest.mark.parametrize(
    ("verb", "files", "step"),
    [
        ("offload", "store/writer.py,store/catalog.py,store/claims.py,backends/local.py,filesystem.py", 17),
        ("offload", "batches.py,swapping.py,layout.py,registry.py,blobstore.py", 19),
        ("restore", "ocblob/restore.py,swapping.py,reader.py", 13),
    ],
    ids=["offload: the store", "offload: the rows", "restore"],
)
def test_killed_at_any_line_nothing_is_lost(memory: Path, verb: str, files: str, step: int) -> None:
    """SIGKILL at lines all through the writing of blobs and rows, in whatever thread: nothing is lost."""
    scene(memory, verb, sessions=1, parts=2, size=9000)

    report = json.loads(finish(spawn(KILLER, str(memory), verb, files, str(step))))

    assert [] == report["wrong"]
    assert 0 == report["finished"]
    assert 20 < report["kills"]
