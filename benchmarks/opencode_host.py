"""What the real OpenCode does with one session of attachments, each thing in a process of its own.

A scene has two hosts that share a project: `inline`, whose database is as OpenCode writes it, and `offloaded`, with the
same database after `ocblob offload --vacuum`, and the plugin. A trial begins with a fresh copy of the host's database
and a new OpenCode, and prints its figures as JSON. This process stays far smaller than any OpenCode: nothing here
holds an answer, an export or a request.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import apsw

from attachments import large_pdf
from measure import MAXRSS_UNIT_BYTES
from terminal import Terminal

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))
from conftest import OPENCODE_VERSION, installed_binary
from opencode import OpenCode, Server
from plugin import ocblob, use_plugin

from counting_model import CountingModel
from ocblob.hosts.opencode.stub import put_stub

INLINE, OFFLOADED = SIDES = ("inline", "offloaded")
BARE = "bare"
"""The offloaded database in a host without the plugin, for what the plugin costs at the start."""

SHOWN = "Quintessentially"
"""The model's last answer: where it is drawn, the whole session is."""
MODEL = ("--model", "mock/m")  # a generated session names another one
REPEATS = 5
COMMAND_TIMEOUT_SECONDS = 600.0
CHUNK_BYTES = 1 << 20

LARGEST_SESSION = "SELECT session_id FROM part GROUP BY session_id ORDER BY sum(octet_length(data)) DESC LIMIT 1"
NPM_SETTINGS = ("NPM_CONFIG_REGISTRY", "NPM_CONFIG_FETCH_RETRIES")


@dataclass(frozen=True, slots=True)
class Figures:
    """One trial."""

    wall_s: float
    cpu_s: float
    """User and system time of OpenCode from its start to its end, which a busy machine hardly changes."""
    peak_rss: int
    """Bytes; the largest process of OpenCode."""
    grown: int
    """Bytes that the database and its WAL have more on disk, as OpenCode left them."""
    requests: list[tuple[int, str]]
    """Size and digest of each request to the model."""


@dataclass(frozen=True, slots=True)
class Scene:
    """A directory with both hosts, and their databases to be copied for each trial."""

    root: Path

    def snapshot(self, side: str) -> Path:
        """The database that a trial begins with."""
        return self.root / f"{OFFLOADED if side == BARE else side}.db"

    @property
    def _notes(self) -> Path:
        return self.root / "scene.json"

    @property
    def made(self) -> bool:
        """Whether it is complete."""
        return self._notes.exists()

    @property
    def session(self) -> str:
        """The session that trials work with."""
        return str(json.loads(self._notes.read_text())["session"])

    @property
    def store_size(self) -> int:
        """Bytes of all blobs at rest."""
        objects = (self.root / OFFLOADED / "blobs" / "objects").rglob("*")
        return sum(path.stat().st_size for path in objects if path.is_file())

    def finish(self, session: str) -> None:
        """Note that all is there."""
        self._notes.write_text(json.dumps({"session": session}))

    def host(self, side: str, binary: Path, model: CountingModel) -> OpenCode:
        """The host of one side, configured for this model. npm has nothing to install."""
        root = self.root / side
        host = OpenCode(binary, root, model, workspace=self.root / "work")
        host.environment["TERM"] = "xterm-256color"
        host.database.parent.mkdir(parents=True, exist_ok=True)
        put_stub(host.config)
        if side == OFFLOADED:
            use_plugin(host)
        return host


def make_scene(scene: Scene, binary: Path, *, pdfs: int, pdf_bytes: int, generated: Path | None) -> None:
    """Write a session, or take the largest one of a generated database; then a last turn, and the offload."""
    with CountingModel(SHOWN) as model:
        host = scene.host(INLINE, binary, model)
        if generated:
            shutil.copyfile(generated, host.database)
            session = _adopt(host)
        else:
            files = [large_pdf(1, pdf_bytes, number) for number in range(pdfs)]
            for file in files:
                (host.project / file.name).write_bytes(file.data)
            attach = [word for file in files for word in ("-f", str(host.project / file.name))]
            session = _turn(host, "Look at these.", *attach)
        _turn(host, "What is in them?", "--session", session)
        _settle(host.database)
        host.database.replace(scene.snapshot(INLINE))
        offloaded = scene.host(OFFLOADED, binary, model)
        shutil.copyfile(scene.snapshot(INLINE), offloaded.database)
        ocblob(offloaded, "offload", "--no-plugin", "--vacuum")
        _settle(offloaded.database)
        offloaded.database.replace(scene.snapshot(OFFLOADED))
    scene.finish(session)


def _adopt(host: OpenCode) -> str:
    """Move all sessions of a generated database into the host's project; return the largest."""
    connection = apsw.Connection(str(host.database))
    connection.execute("UPDATE session SET directory = ?", (str(host.project),)).fetchall()
    connection.execute("UPDATE project SET worktree = ? WHERE id <> 'global'", (str(host.project),)).fetchall()
    session = str(connection.execute(LARGEST_SESSION).get)
    connection.close()
    return session


def _turn(host: OpenCode, text: str, *more: str) -> str:
    """One turn of however large files; return its session."""
    words = ("run", "--format", "json", *MODEL, text, *more)
    output = host.command(*words, timeout_seconds=COMMAND_TIMEOUT_SECONDS)
    return str(json.loads(output.splitlines()[0])["sessionID"])


def _settle(database: Path) -> None:
    """Leave one file, without a WAL."""
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


# ---- what is measured; each returns seconds -------------------------------------------------------------------------


def listening(host: OpenCode, _session: str) -> float:
    """From the start until requests are taken."""
    begun = time.perf_counter()
    with host.serve():
        return time.perf_counter() - begun


def first_answer(host: OpenCode, _session: str) -> float:
    """From the start until the list of sessions is there; a project's plugins are loaded for it."""
    begun = time.perf_counter()
    with host.serve() as server:
        fetch(server, "GET", "/session")
        return time.perf_counter() - begun


def messages(host: OpenCode, session: str) -> float:
    """The first look at the session after a start."""
    with host.serve() as server:
        return fetch(server, "GET", f"/session/{session}/message")


def messages_again(host: OpenCode, session: str) -> float:
    """The middle of some later looks."""
    with host.serve() as server:
        fetch(server, "GET", f"/session/{session}/message")
        return statistics.median(fetch(server, "GET", f"/session/{session}/message") for _ in range(REPEATS))


def fork(host: OpenCode, session: str) -> float:
    """A copy of the session with all its messages."""
    with host.serve() as server:
        return fetch(server, "POST", f"/session/{session}/fork")


def prompt(host: OpenCode, session: str) -> float:
    """The second turn in a server that runs."""
    body = {"parts": [{"type": "text", "text": "And now?"}], "model": {"providerID": "mock", "modelID": "m"}}
    with host.serve() as server:
        fetch(server, "POST", f"/session/{session}/message", body)
        return fetch(server, "POST", f"/session/{session}/message", body)


def export(host: OpenCode, session: str) -> float:
    """The session as JSON in a file."""
    return command(host, "export", session)


def run_continue(host: OpenCode, session: str) -> float:
    """A whole turn from the command line."""
    return command(host, "run", *MODEL, "And now?", "--session", session)


def tui(host: OpenCode, session: str) -> float:
    """From the start until the terminal shows the session's last answer."""
    terminal = Terminal()
    try:
        begun = time.perf_counter()
        with host.start(["--session", session], terminal=terminal.slave) as (process, _, _):
            terminal.wait_for(SHOWN, process, timeout_seconds=COMMAND_TIMEOUT_SECONDS)
            return time.perf_counter() - begun
    finally:
        terminal.close()


OPERATIONS: dict[str, Callable[[OpenCode, str], float]] = {
    "get": messages,
    "get-again": messages_again,
    "export": export,
    "fork": fork,
    "run": run_continue,
    "prompt": prompt,
    "tui": tui,
    "listening": listening,
    "list": first_answer,
}


def command(host: OpenCode, *arguments: str) -> float:
    """Run a command to its end without reading what it prints."""
    begun = time.perf_counter()
    with host.start(arguments) as (process, _, words):
        code = process.wait(COMMAND_TIMEOUT_SECONDS)
        wall_s = time.perf_counter() - begun
        if code != 0:
            raise ValueError(f"opencode {arguments[0]} gave {code}: {words.read_text(errors='replace')[-1000:]}")
        return wall_s


def fetch(server: Server, method: str, path: str, body: object = None) -> float:
    """Send one request and read its answer to the end, keeping none of it."""
    connection = HTTPConnection(urlsplit(server.url).netloc, timeout=COMMAND_TIMEOUT_SECONDS)
    begun = time.perf_counter()
    data = None if method == "GET" else json.dumps(body or {}).encode()
    connection.request(method, path, data, {"Content-Type": "application/json"})
    with connection.getresponse() as response:
        if response.status != 200:
            raise ValueError(f"{method} {path} gave {response.status}: {response.read(1000)!r}")
        while response.read(CHUNK_BYTES):
            pass
    wall_s = time.perf_counter() - begun
    connection.close()
    return wall_s


# ---- one trial ------------------------------------------------------------------------------------------------------


def trial(scene: Scene, binary: Path, operation: str, side: str, *, offline: bool) -> Figures:
    """Do one thing on a fresh copy. `offline`: npm has its own settings, as on a machine without a network."""
    with CountingModel("done") as model:
        host = scene.host(side, binary, model)
        for name in NPM_SETTINGS if offline else ():
            host.environment.pop(name)
        with fresh_database(scene.snapshot(side), host.database) as before:
            wall_s = OPERATIONS[operation](host, scene.session)
            grown = on_disk(host.database) - before
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return Figures(
            wall_s=wall_s,
            cpu_s=used.ru_utime + used.ru_stime,
            peak_rss=used.ru_maxrss * MAXRSS_UNIT_BYTES,
            grown=grown,
            requests=[(body.size, body.digest) for body in model.bodies],
        )


@contextmanager
def fresh_database(snapshot: Path, database: Path) -> Iterator[int]:
    """A copy that is on disk already; yields its size."""
    shutil.copyfile(snapshot, database)
    os.sync()
    try:
        yield database.stat().st_size
    finally:
        for suffix in ("", "-wal", "-shm"):
            database.with_name(database.name + suffix).unlink(missing_ok=True)


def on_disk(database: Path) -> int:
    """Bytes of a database and its WAL."""
    total = database.stat().st_size
    with suppress(FileNotFoundError):
        total += database.with_name(f"{database.name}-wal").stat().st_size
    return total


def find_binary() -> Path:
    """The OpenCode that the integration tests use; ends with words if there is none."""
    named = os.environ.get("OCBLOB_TEST_OPENCODE")
    binary = Path(named) if named else installed_binary()
    if binary is None or not binary.exists():
        how = "set OCBLOB_TEST_OPENCODE to a binary, or run tests/integration once with OCBLOB_TEST_INSTALL=1"
        sys.exit(f"no OpenCode {OPENCODE_VERSION} here: {how}")
    return binary


def main() -> None:
    """Make a scene, or do one trial in it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scene", type=Path)
    parser.add_argument("operation", choices=["make", *OPERATIONS])
    parser.add_argument("side", choices=[*SIDES, BARE], nargs="?")
    parser.add_argument("--offline", action="store_true")
    parser.add_argument("--pdfs", type=int, default=5)
    parser.add_argument("--pdf-bytes", type=int, default=39_000_000)
    parser.add_argument("--generated", type=Path)
    options = parser.parse_args()
    scene, binary = Scene(options.scene.resolve()), find_binary()
    if options.operation == "make":
        scene.root.mkdir(parents=True, exist_ok=True)
        if not scene.made:
            make_scene(scene, binary, pdfs=options.pdfs, pdf_bytes=options.pdf_bytes, generated=options.generated)
        sizes = {side: scene.snapshot(side).stat().st_size for side in SIDES}
        print(
            json.dumps({"version": OPENCODE_VERSION, "binary": str(binary), "sizes": sizes, "store": scene.store_size})
        )
        return
    figures = trial(scene, binary, options.operation, options.side, offline=options.offline)
    print(json.dumps(asdict(figures)))


if __name__ == "__main__":
    main()
