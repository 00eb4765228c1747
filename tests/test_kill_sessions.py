"""SIGKILL while sessions are archived, deleted and put back: each one is whole in the database or in an archive."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from crash_sessions import Rows, blobs_trouble, next_trouble, sessions_and_store, whole_sessions, whole_somewhere
from disks import memory_directory
from processes import finish, spawn

pytestmark = pytest.mark.many

KILLS = int(os.environ.get("OCBLOB_TEST_KILLS", "60"))

KILLER = """
import json, os, random, signal, sys, tempfile, time
from pathlib import Path
from crash_sessions import retain, retain_and_back, retain_in_pieces
from test_kill_sessions import Ready

tempfile.tempdir = sys.argv[1]  # what is killed leaves temporary files
at = Ready(Path(sys.argv[1]))
kills, rng = int(sys.argv[2]), random.Random(20261128)
works = [retain, retain_in_pieces, retain_and_back]

def start(work):
    child = os.fork()
    if child == 0:
        try:
            work(at.root)
            os._exit(0)
        finally:
            os._exit(1)
    return child

def elapsed(work):
    at.fresh()
    begun = time.monotonic()
    assert os.waitstatus_to_exitcode(os.waitpid(start(work), 0)[1]) == 0
    return time.monotonic() - begun

longest = {work: max(elapsed(work) for _ in range(3)) for work in works}
wrong, killed, number = [], 0, 0
while killed < kills and number < 4 * kills:
    work = works[number % len(works)]
    number += 1
    at.fresh()
    delay = rng.uniform(0, longest[work])
    child = start(work)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status == -signal.SIGKILL:
        killed += 1
    elif status:
        wrong.append(f"{work.__name__} failed with {status}")
    else:
        longest[work] *= 0.95  # too late: other work had made the first runs longer
    wrong += [f"{work.__name__} killed after {delay:.4f} s: {what}" for what in at.trouble()]
print(json.dumps({"kills": killed, "wrong": wrong}))
"""

LINES = """
import json, sys, tempfile
from pathlib import Path
import crash_sessions
from kills import killed_at_lines
from test_kill_sessions import Ready

tempfile.tempdir = sys.argv[1]  # what is killed leaves temporary files
at, wrong = Ready(Path(sys.argv[1])), []

def look(line):
    wrong.extend(f"line {line}: {what}" for what in at.trouble())

work, parts, step = getattr(crash_sessions, sys.argv[2]), tuple(sys.argv[3].split(",")), int(sys.argv[4])
kills, finished = killed_at_lines(at.fresh, lambda: work(at.root), look, parts, step=step)
print(json.dumps({"kills": kills, "finished": finished, "wrong": wrong}))
"""


class Ready:
    """Sessions and a store in a directory, as often as one likes."""

    def __init__(self, root: Path) -> None:
        self.root = root / "work"
        self._ready = root / "ready"
        if not self._ready.exists():
            # The store is registered by its path: it is made where the work is.
            self.root.mkdir()
            sessions_and_store(self.root)
            shutil.copytree(self.root, self._ready)
        self.fresh()
        self.original: Rows = whole_sessions(self.root)

    def fresh(self) -> None:
        """Put everything as it was before."""
        shutil.rmtree(self.root, ignore_errors=True)
        shutil.copytree(self._ready, self.root)

    def trouble(self) -> list[str]:
        """What is wrong after a kill, now or after the next passes."""
        found = whole_somewhere(self.root, self.original) + blobs_trouble(self.root)
        return found + next_trouble(self.root, self.original)


@pytest.fixture
def memory() -> Iterator[Path]:
    """A directory for what is killed."""
    with memory_directory() as path:
        yield path


def test_killed_at_any_moment_each_session_is_whole_somewhere(memory: Path) -> None:
    """Kills at random moments of archive, retention and vacuum, of large trees too, and of the way back.

    OCBLOB_TEST_KILLS says how many.
    """
    report = json.loads(finish(spawn(KILLER, str(memory), str(KILLS)), timeout_s=600))

    assert [] == report["wrong"]
    assert KILLS == report["kills"]


@pytest.mark.parametrize(
    ("work", "files", "step"),
    [
        ("retain", "sessions/sealing.py,sessions/archive.py,sessions/archiver.py,sessions/retain.py,filesystem.py", 29),
        ("retain_in_pieces", "session_delete.py,session_pieces.py,session_writing.py", 37),
        ("retain_and_back", "sessions/unarchive.py,session_insert.py,sessions/restocking.py", 17),
    ],
    ids=["archive", "delete in pieces", "unarchive"],
)
def test_killed_at_any_line_each_session_is_whole_somewhere(memory: Path, work: str, files: str, step: int) -> None:
    """SIGKILL at lines all through sealing, deleting and putting back: nothing is lost."""
    report = json.loads(finish(spawn(LINES, str(memory), work, files, str(step))))

    assert [] == report["wrong"]
    assert 0 == report["finished"]
    assert 15 < report["kills"]
