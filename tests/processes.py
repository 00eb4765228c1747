"""Second processes: a neighbour that holds the database with another SQLite, and children that may be killed."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import ocblob

NOBODY = 65534
TIMEOUT_S = 60.0
PYTHONPATH = os.pathsep.join((str(Path(ocblob.__file__).parents[1]), str(Path(__file__).parent)))

NEIGHBOUR = """
import json, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=float(sys.argv[2]))
print("ready", flush=True)
for line in sys.stdin:
    sql, values = json.loads(line)
    try:
        print(json.dumps({"rows": db.execute(sql, values).fetchall()}), flush=True)
    except sqlite3.Error as error:
        print(json.dumps({"error": str(error)}), flush=True)
"""


class NeighbourError(Exception):
    """SQLite refused what the neighbour was asked to do."""


class Neighbour:
    """Another process with the database open, by the standard library's own SQLite."""

    def __init__(self, path: Path, *, patience_s: float = 5.0) -> None:
        self._process = spawn(NEIGHBOUR, str(path), str(patience_s), stdin=subprocess.PIPE)
        assert self._read() == "ready"

    def execute(self, sql: str, *values: object) -> list[list[Any]]:
        """Run one statement over there. Raises `NeighbourError`."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([sql, values]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._read())
        if "error" in answer:
            raise NeighbourError(answer["error"])
        return list(answer["rows"])

    def kill(self) -> None:
        """End it without a chance to close anything."""
        self._process.kill()
        self._process.wait(TIMEOUT_S)

    def close(self) -> None:
        """Let it end."""
        self._process.communicate(timeout=TIMEOUT_S)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self.close()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def spawn(code: str, *arguments: str, stdin: int = subprocess.DEVNULL) -> subprocess.Popen[str]:
    """Start a Python that can import ocblob and these helpers; its stdout is a pipe."""
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.Popen(command, env=environment(), stdin=stdin, stdout=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str], *, timeout_s: float = TIMEOUT_S) -> str:
    """Wait for a child that must end well; what it printed."""
    out, _ = process.communicate(timeout=timeout_s)
    assert 0 == process.returncode
    return out


def peak_bytes() -> int:
    """The most memory that this process has held; not on Windows.

    On Linux `ru_maxrss` does not tell: a child begins with that of the process that started it.
    """
    if sys.platform == "linux":
        (line,) = (line for line in Path("/proc/self/status").read_text("ascii").splitlines() if "VmHWM:" in line)
        return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def environment(more: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, without settings of ours, for a child that can import ocblob."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OCBLOB", "OPENCODE"))}
    return {**kept, "PYTHONPATH": PYTHONPATH, "PYTHONUNBUFFERED": "1", **(more or {})}


def start_ocblob(*arguments: str, more: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start the command line in a process of its own, all its streams as pipes."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "ocblob", *arguments]
    return subprocess.Popen(command, env=environment(more), stdin=pipe, stdout=pipe, stderr=pipe)


@contextlib.contextmanager
def as_nobody() -> Iterator[None]:
    """Without root's power to read and write everything; import what is needed before."""
    if os.geteuid() != 0:
        yield
        return
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
