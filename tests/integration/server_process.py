"""What database servers of the tests' own have in common: a directory, a port, a process, and an unprivileged user.

All of it is gone when the server is left: processes, files, shared memory.
"""

import abc
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import psutil
from ports import free_ports

UNPRIVILEGED = "nobody"
"""Who runs them where the tests are run by root, whom no database server obeys."""
ADMINISTRATOR = "administrator"
"""May do anything."""
OWNER = "ocblob"
"""Owns the databases that tests get: a plain user, who may do anything there and nothing elsewhere."""
READER = "reader"
"""May read every database that tests get, and change nothing."""
PASSWORD = "s3cret-of-the-tests"
START_SECONDS = 60.0
STOP_SECONDS = 30.0
POLL_SECONDS = 0.02


class ServerProcess(abc.ABC):
    """One server. It may be killed, and started again on the same directory and port."""

    kind: str
    """What its fixtures and its group are called."""
    scheme: str
    """How its URLs begin."""

    def __init__(self, *, durable: bool, settings: Mapping[str, str] | None = None, root: Path | None = None) -> None:
        """Whatever is committed survives a kill; only if `durable` it would a power cut. Files go below `root`."""
        self.durable = durable
        self.settings = dict(settings or {})
        self.port = free_ports(1)[0]
        # Not below pytest's own directories: those are closed to other users.
        self.root = Path(tempfile.mkdtemp(prefix=f"ocblob-{self.kind}-", dir=root))
        self._process: subprocess.Popen[bytes] | None = None
        self._databases = 0
        if os.geteuid() == 0:
            user = pwd.getpwnam(UNPRIVILEGED)
            os.chown(self.root, user.pw_uid, user.pw_gid)
        try:
            self._make()
        except BaseException:
            shutil.rmtree(self.root)
            raise

    @abc.abstractmethod
    def _make(self) -> None:
        """Make an empty data directory, with its users."""

    @abc.abstractmethod
    def _command(self) -> list[str]:
        """What runs the server in the foreground."""

    @abc.abstractmethod
    def execute(self, *statements: str, database: str = "") -> list[tuple[object, ...]]:
        """Run statements as the administrator, each committed by itself; the rows of the last one."""

    @abc.abstractmethod
    def create(self, database: str) -> None:
        """Make an empty database that `OWNER` owns and `READER` may read, tables to come included."""

    def url(self, database: str, *, user: str = OWNER, password: str = PASSWORD, port: int | None = None) -> str:
        """A database of it; `port` may be that of a proxy."""
        return f"{self.scheme}://{user}:{password}@127.0.0.1:{port or self.port}/{database}"

    def fresh_database(self) -> str:
        """The name of an empty database that nobody else knows."""
        self._databases += 1
        name = f"test_{self._databases}"
        self.create(name)
        return name

    def fresh_url(self) -> str:
        """The URL of an empty database that nobody else knows."""
        return self.url(self.fresh_database())

    def start(self) -> None:
        """Start, or start again, and wait until it answers."""
        with (self.root / "log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                cwd=self.root,
                env=environment(self.root),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                **unprivileged(),
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                raise AssertionError(f"{self.kind} does not start: {self.log()}")
            time.sleep(POLL_SECONDS)

    def kill(self) -> None:
        """End it and all processes of it as a power cut would: no flush, no goodbye."""
        if self._process is not None:
            self._process.send_signal(signal.SIGSTOP)  # or it might start another child, or tell one to end well
            children = self._children()
            self._process.kill()
            _signal(children, signal.SIGKILL)
            self._process.wait(STOP_SECONDS)
            _wait(children)  # until then they hold its shared memory
            self._process = None

    def stop(self) -> None:
        """End it in good order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_SECONDS)
            self._process = None

    def pause(self) -> None:
        """It is there, accepts connections, and answers nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        # The signal is on its way for a moment, in which the server may answer once more.
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)
        _signal(self._children(), signal.SIGSTOP)

    def resume(self) -> None:
        """Let it answer again."""
        assert self._process is not None
        _signal([*self._children(), psutil.Process(self._process.pid)], signal.SIGCONT)

    def log(self) -> str:
        """The end of what it had to say."""
        return (self.root / "log").read_text(encoding="utf-8", errors="replace")[-4000:]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            shutil.rmtree(self.root)
            raise
        return self

    def __exit__(self, *_error: object) -> None:
        try:
            self._end()
        finally:
            shutil.rmtree(self.root, ignore_errors=True)  # a child of it may still write its last file

    def _end(self) -> None:
        """End it in the quickest way that leaves no shared memory."""
        self.kill()

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except Exception:  # noqa: BLE001 - each driver has errors of its own
            return False
        return True

    def _children(self) -> list[psutil.Process]:
        """Those of the process that was started first; they may have process groups of their own."""
        assert self._process is not None
        try:
            return list(psutil.Process(self._process.pid).children(recursive=True))
        except psutil.NoSuchProcess:
            return []


def _signal(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)


def _wait(processes: list[psutil.Process]) -> None:
    """Until they are gone, or dead and not yet buried by whoever has inherited them."""
    deadline = time.monotonic() + STOP_SECONDS
    while any(_lives(process) for process in processes):
        assert time.monotonic() < deadline, f"still there: {processes}"
        time.sleep(POLL_SECONDS)


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def unprivileged() -> dict[str, Any]:
    """Arguments of `subprocess` that give up the rights of root."""
    if os.geteuid() != 0:
        return {}
    user = pwd.getpwnam(UNPRIVILEGED)
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


def environment(root: Path) -> dict[str, str]:
    """A server's temporary files are its own: it may not write to ours, and two that begin at once would meet there."""
    return {**os.environ, "TMPDIR": str(root)}


def run_unprivileged(command: list[str], root: Path) -> None:
    """Run a tool of the server's to its end."""
    done = subprocess.run(
        command,
        cwd=root,
        env=environment(root),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        **unprivileged(),
    )
    assert done.returncode == 0, f"{command[0]}: {done.stdout[-2000:]}{done.stderr[-2000:]}"


def find_binary(name: str, environment: str, directories: list[Path]) -> Path | None:
    """A server's binary: the environment names it (or its directory), or it is on PATH, or in one of these places."""
    named = os.environ.get(environment)
    if named:
        directories = [Path(named) if Path(named).is_dir() else Path(named).parent]
    elif found := shutil.which(name):
        return Path(found)
    return next((path / name for path in directories if (path / name).is_file()), None)
