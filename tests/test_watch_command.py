import contextlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ocblob import BlobStore
from processes import TIMEOUT_S, Neighbour, environment
from samples import refs
from talks import Talk, make_talks, sessions

QUICK = ("--every", "1s")


class Watcher:
    """`ocblob watch` in a process of its own, and what it has said."""

    def __init__(self, root: Path, *words: str) -> None:
        homes = {f"XDG_{kind}_HOME": str(root / kind.lower()) for kind in ("DATA", "CONFIG", "STATE")}
        command = [sys.executable, "-m", "ocblob", "watch", *words, "--store", str(root / "store"), "--no-archive"]
        self._process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment({"HOME": str(root), **homes}),
        )
        self.said: list[str] = []
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        self.said += iter(self._keep, "")

    def _keep(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def waits_for(self, text: str, count: int = 1) -> None:
        """Until it has said this so many times."""
        deadline = time.monotonic() + TIMEOUT_S
        while sum(text in line for line in list(self.said)) < count:
            assert time.monotonic() < deadline, self.said
            assert self._process.poll() is None, self.said
            time.sleep(0.02)

    def count(self, text: str) -> int:
        """How often it has said this."""
        return sum(text in line for line in list(self.said))

    def end(self, number: int = signal.SIGTERM) -> int:
        """Its exit code after a signal."""
        self._process.send_signal(number)
        code = self._process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        return code

    def close(self) -> None:
        """Whatever happened, it is not left behind."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        assert self._process.stdout is not None
        self._process.stdout.close()


@contextlib.contextmanager
def watching(root: Path, *words: str) -> Iterator[Watcher]:
    """A watcher that is ended in any case."""
    watcher = Watcher(root, *words)
    try:
        yield watcher
    finally:
        watcher.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """Two sessions, not OpenCode's own database."""
    return make_talks(tmp_path / "copy.db", [Talk("ses_a", 50, size=20_000), Talk("ses_b", 1, size=20_000)])


def test_a_pass_at_once_and_another_after_a_change(tmp_path: Path, database: Path) -> None:
    """What a host writes while it runs moves out too; nothing is done while nothing changes; SIGTERM ends it with 0."""
    with watching(tmp_path, "--db", str(database), *QUICK) as watcher:
        watcher.waits_for("maintain: offloaded 4 payloads")
        first = watcher.count("maintain:")
        with Neighbour(database) as host:
            host.execute("UPDATE part SET data = replace(data, 'ocblob', 'ocblob') || ' ' WHERE id = 'prt_ses_a_2'")
            watcher.waits_for("maintain:", first + 1)
            passes = watcher.count("maintain:")
            # Long enough for a pass that our own writes would cause.
            time.sleep(3)
            assert passes == watcher.count("maintain:")
        assert 0 == watcher.end()
    assert "watching" in watcher.said[0]
    assert "ended by SIGTERM" in watcher.said[-1]
    assert 4 == len(refs(database))


def test_a_database_behind_a_link_wakes_it_too(tmp_path: Path, database: Path) -> None:
    """What is written goes into the WAL beside the file, not beside the link."""
    link = tmp_path / "links" / "linked.db"
    link.parent.mkdir()
    link.symlink_to(database)
    with Neighbour(database) as host, watching(tmp_path, "--db", str(link), *QUICK) as watcher:
        host.execute("PRAGMA wal_autocheckpoint = 0")
        watcher.waits_for("maintain: offloaded 4 payloads")
        passes = watcher.count("maintain:")
        host.execute("UPDATE part SET data = replace(data, 'ocblob', 'ocblob') || ' ' WHERE id = 'prt_ses_a_2'")
        watcher.waits_for("maintain:", passes + 1)
        assert 0 == watcher.end()


def test_ctrl_c_ends_it_too(tmp_path: Path, database: Path) -> None:
    """With the exit code of a command that was interrupted."""
    with watching(tmp_path, "--db", str(database), *QUICK) as watcher:
        watcher.waits_for("maintain:")
        assert 130 == watcher.end(signal.SIGINT)


def test_a_database_that_comes_later_is_waited_for(tmp_path: Path) -> None:
    """It is told once that there is none; when one is there, a pass runs."""
    path = tmp_path / "later.db"
    with watching(tmp_path, "--db", str(path), *QUICK) as watcher:
        watcher.waits_for("is not there; waiting for it")
        time.sleep(2)
        assert [1, 0] == [watcher.count("waiting for it"), watcher.count("Error")]
        make_talks(path, [Talk("ses_a", 50)])
        watcher.waits_for("maintain:")
        assert 0 == watcher.end()


def test_an_error_does_not_end_the_loop(tmp_path: Path, database: Path) -> None:
    """A configuration that cannot be meant is told; when it is mended, the next pass goes by it."""
    config = tmp_path / "config" / "ocblob" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("maxSessions = 9\n")
    with watching(tmp_path, "--db", str(database), *QUICK) as watcher:
        watcher.waits_for("maintain:")
        config.write_text("maxSessions = 0\n")
        watcher.waits_for("maxSessions is 0")
        assert 2 == len(sessions(database))
        config.write_text("maxSessions = 1\n")
        watcher.waits_for("evicted session ses_a")
        assert 0 == watcher.end()
    assert ["ses_b"] == sessions(database)


def test_options_are_checked_before_it_begins(tmp_path: Path, database: Path) -> None:
    """A tick of nothing, an unknown option: usage errors, at once."""
    for words in (("--every", "0s"), ("--every", "2d"), ("--every", "1s", "--max-cookies", "3")):
        with watching(tmp_path, "--db", str(database), *words) as watcher:
            assert 2 == watcher._process.wait(TIMEOUT_S)


def test_one_archive_file_cannot_serve_all_passes(tmp_path: Path, database: Path) -> None:
    """The second pass would find it there and drop nothing, for ever: told before the first one begins."""
    done = subprocess.run(
        [sys.executable, "-m", "ocblob", "watch", "--db", str(database), "--archive", str(tmp_path / "x.json")],
        env=environment({"HOME": str(tmp_path)}),
        capture_output=True,
        check=False,
        timeout=TIMEOUT_S,
    )

    assert (2, True) == (done.returncode, b"each pass writes an archive of its own" in done.stderr)


def test_a_pass_that_is_ended_midway_leaves_what_it_did(tmp_path: Path) -> None:
    """SIGTERM in the middle of a large pass: exit 0 soon, every row whole, and the next pass does the rest."""
    many = [Talk(f"ses_{number}", 50, size=300_000) for number in range(150)]
    path = make_talks(tmp_path / "large.db", many)
    BlobStore.create(tmp_path / "store")[0].close()
    with watching(tmp_path, "--db", str(path), "--every", "1m") as watcher:
        deadline = time.monotonic() + TIMEOUT_S
        while not any((tmp_path / "store" / "objects").glob("*/*")) and time.monotonic() < deadline:
            time.sleep(0.01)
        assert 0 == watcher.end()
    done = subprocess.run(
        [sys.executable, "-m", "ocblob", "maintain", "--db", str(path), "--store", str(tmp_path / "store")],
        env=environment({"HOME": str(tmp_path)}),
        check=True,
        capture_output=True,
    )
    assert b"maintain:" in done.stdout
    assert 300 == len(refs(path))
