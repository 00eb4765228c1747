"""The real OpenCode, one isolated host at a time, and looks at its database.

A host keeps everything below its own root, talks to loopback only, and leaves no process behind. Its
database is read from a copy, in a second process, and only while no host runs.
"""

import base64
import io
import json
import mimetypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mock_model import MockModel, ToolCall
from PIL import Image

RUN_TIMEOUT_SECONDS = 60.0
START_TIMEOUT_SECONDS = 30.0
STOP_TIMEOUT_SECONDS = 5.0
HTTP_TIMEOUT_SECONDS = 30.0
POLL_SECONDS = 0.02
OUTPUT_TAIL_CHARS = 4000

LISTENING = "server listening on "
PLACES = {
    "HOME": "home",
    "XDG_DATA_HOME": "data",
    "XDG_CONFIG_HOME": "config",
    "XDG_CACHE_HOME": "cache",
    "XDG_STATE_HOME": "state",
}
OFFLINE = {
    "OPENCODE_DISABLE_AUTOUPDATE": "1",
    "OPENCODE_DISABLE_MODELS_FETCH": "1",
    "OPENCODE_DISABLE_LSP_DOWNLOAD": "1",
    "OPENCODE_DISABLE_DEFAULT_PLUGINS": "1",
    "OPENCODE_DISABLE_SHARE": "1",
    "OPENCODE_DISABLE_PROJECT_CONFIG": "1",
    # Each start installs @opencode-ai/plugin into the config directory, in the background, and waits for it
    # when there is a plugin. A registry that refuses at once ends that in no time; npm's own two retries
    # (or NPM_CONFIG_OFFLINE) would make it a minute.
    "NPM_CONFIG_REGISTRY": "http://127.0.0.1:1",
    "NPM_CONFIG_FETCH_RETRIES": "0",
}


class HostError(Exception):
    """The host failed or took too long; the message holds what it printed."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one `opencode run` did."""

    session: str
    text: str
    """All text parts of the model's answer, one per line."""


class Server:
    """A running `opencode serve`. Raises `HostError` for any status but 2xx."""

    def __init__(self, url: str) -> None:
        self.url = url
        # Loopback must not go through a proxy that the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def request(self, method: str, path: str, body: object = None) -> Any:
        """Send one request, return the decoded JSON, or None for an empty answer."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        try:
            with self._opener.open(request, timeout=HTTP_TIMEOUT_SECONDS) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            text = error.read().decode(errors="replace")[:OUTPUT_TAIL_CHARS]
            raise HostError(f"{method} {path} gave {error.code}: {text}") from error
        except OSError as error:
            raise HostError(f"{method} {path} failed: {error}") from error
        return json.loads(answer) if answer else None

    def sessions(self) -> list[dict[str, Any]]:
        """The project's sessions, most recently updated first."""
        sessions: list[dict[str, Any]] = self.request("GET", "/session")
        return sessions

    def messages(self, session: str) -> list[dict[str, Any]]:
        """All messages of a session, oldest first, each as `{"info", "parts"}`."""
        messages: list[dict[str, Any]] = self.request("GET", f"/session/{session}/message")
        return messages

    def prompt(self, session: str, text: str, *, files: Sequence[Path] = ()) -> dict[str, Any]:
        """One turn through the API; the answer is the assistant's message as `{"info", "parts"}`.

        Files go in as data URLs, so the host stores no note of reading them, as it does for `run`.
        """
        attached = [
            {"type": "file", "mime": mime(file), "filename": file.name, "url": data_url(file)} for file in files
        ]
        body = {"parts": [{"type": "text", "text": text}, *attached]}
        message: dict[str, Any] = self.request("POST", f"/session/{session}/message", body)
        return message

    def create(self) -> str:
        """A new session; returns its id."""
        return str(self.request("POST", "/session", {})["id"])

    def fork(self, session: str) -> str:
        """A copy of a session with all its messages; returns its id."""
        return str(self.request("POST", f"/session/{session}/fork", {})["id"])

    def revert(self, session: str, message: str) -> None:
        """Take a user message and all that follows it back; the next prompt removes them for good."""
        self.request("POST", f"/session/{session}/revert", {"messageID": message})

    def compact(self, session: str) -> None:
        """Let the model summarize the session; later turns begin with the summary."""
        self.request("POST", f"/session/{session}/summarize", {"providerID": "mock", "modelID": "m"})


class OpenCode:
    """One host with a home and a database of its own below `root`.

    It works in `workspace/project`, where `workspace` is `root` unless several hosts share one. The project
    is no git repository, so that OpenCode files its sessions under the directory.
    """

    def __init__(self, binary: Path, root: Path, model: MockModel, *, workspace: Path | None = None) -> None:
        self.binary = binary
        self.root = root
        self.model = model
        self.workspace = root if workspace is None else workspace
        self.project = self.workspace / "project"
        self.project.mkdir(parents=True, exist_ok=True)
        self.environment = isolated_environment(root, temporary=self.workspace / "tmp")
        # The list of all the world's models, which is in the binary, costs each start a second and each page several.
        models = root / "models.json"
        models.write_text("{}")
        self.environment["OPENCODE_MODELS_PATH"] = str(models)
        self._running = 0
        self.configure()

    @property
    def database(self) -> Path:
        """The host's SQLite file; it exists after the first run."""
        return self.root / "data" / "opencode" / "opencode.db"

    @property
    def config(self) -> Path:
        """The host's configuration directory: `opencode.json`, `plugin/`."""
        return self.root / "config" / "opencode"

    def configure(self, **settings: object) -> None:
        """Write `opencode.json`: the mock provider and these top-level settings, nothing else."""
        provider = {
            "npm": "@ai-sdk/openai-compatible",
            "options": {"baseURL": self.model.url, "apiKey": "none"},
            "models": {
                "m": {
                    "name": "Mock",
                    "attachment": True,
                    "tool_call": True,
                    "modalities": {"input": ["text", "image", "pdf"], "output": ["text"]},
                    "limit": {"context": 1_000_000, "output": 8_000},
                }
            },
        }
        base = {"model": "mock/m", "small_model": "mock/m", "provider": {"mock": provider}}
        self.config.mkdir(parents=True, exist_ok=True)
        (self.config / "opencode.json").write_text(json.dumps(base | settings))

    def clone(self, root: Path, model: MockModel) -> "OpenCode":
        """A second host below a new `root`, with a copy of this one's data directory.

        This host must be stopped. The clone shares the workspace, whose paths go into each request: the same
        turn in two clones sends the same bytes. Nothing of this host's configuration is copied.
        """
        shutil.copytree(self.root / "data", root / "data")
        return OpenCode(self.binary, root, model, workspace=self.workspace)

    def run(
        self,
        text: str,
        *,
        files: Sequence[Path] = (),
        session: str | None = None,
        continue_last: bool = False,
    ) -> str:
        """One turn from the command line; returns the model's answer.

        OpenCode puts quotation marks around a text with spaces before it stores and sends it.
        """
        return self.turn(text, files=files, session=session, continue_last=continue_last).text

    def turn(
        self,
        text: str,
        *,
        files: Sequence[Path] = (),
        session: str | None = None,
        continue_last: bool = False,
    ) -> Turn:
        """As `run`, and tells the session too. `text` comes first: `-f` takes all words that follow it."""
        arguments = ["run", "--format", "json", text]
        arguments += ["--continue"] if continue_last else []
        arguments += ["--session", session] if session is not None else []
        arguments += [word for file in files for word in ("-f", str(file))]
        output = self.command(*arguments)
        events = [json.loads(line) for line in output.splitlines()]
        if not events or any(event["type"] == "error" for event in events):
            raise HostError(f"opencode run gave no answer: {output[-OUTPUT_TAIL_CHARS:]}")
        texts = [event["part"]["text"] for event in events if event["type"] == "text"]
        return Turn(events[0]["sessionID"], "\n".join(texts))

    def export(self, session: str) -> dict[str, Any]:
        """What `opencode export` prints: `{"info", "messages"}`."""
        exported: dict[str, Any] = json.loads(self.command("export", session))
        return exported

    def import_(self, path: Path) -> None:
        """Read an exported session into the database."""
        self.command("import", str(path))

    def command(self, *arguments: str, timeout_seconds: float = RUN_TIMEOUT_SECONDS) -> str:
        """Run one command to its end; returns its stdout. Raises `HostError` if it fails or hangs."""
        with self.start(arguments) as (process, output, words):
            try:
                code = process.wait(timeout_seconds)
            except subprocess.TimeoutExpired as error:
                message = f"opencode {arguments[0]} ran over {timeout_seconds} s"
                raise HostError(f"{message}\n{_tail(output)}\n{_tail(words)}") from error
            if code != 0:
                raise HostError(f"opencode {arguments[0]} gave {code}\n{_tail(output)}\n{_tail(words)}")
            return output.read_text()

    @contextmanager
    def serve(self) -> Iterator[Server]:
        """A server that is ready; it is stopped at the end of the block."""
        arguments = ("serve", "--hostname", "127.0.0.1", "--port", str(_free_port()))
        with self.start(arguments) as (process, output, words):
            # A request sent before this line appears would hang.
            deadline = time.monotonic() + START_TIMEOUT_SECONDS
            while LISTENING not in (printed := output.read_text()) or not printed.endswith("\n"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise HostError(f"opencode serve did not start\n{_tail(output)}\n{_tail(words)}")
                time.sleep(POLL_SECONDS)
            yield Server(printed.partition(LISTENING)[2].split()[0])

    @contextmanager
    def start(
        self, arguments: Sequence[str], *, terminal: int | None = None
    ) -> Iterator[tuple[subprocess.Popen[bytes], Path, Path]]:
        """A command that has begun, its stdout and its stderr so far; it is stopped at the end of the block.

        With the descriptor of a `terminal` it reads and writes there instead.
        """
        # Files, not pipes: nothing blocks when they fill up, and a left-over child cannot hold them open.
        with tempfile.TemporaryDirectory(dir=self.root) as directory:
            output, words = Path(directory, "stdout"), Path(directory, "stderr")
            with output.open("wb") as stdout, words.open("wb") as stderr:
                process = subprocess.Popen(
                    [str(self.binary), *arguments],
                    cwd=self.project,
                    # Each start unpacks a library of 5.6 MB there and leaves it.
                    env=self.environment | {"BUN_TMPDIR": directory},
                    # `run` reads a pipe to its end and adds it to the prompt
                    stdin=subprocess.DEVNULL if terminal is None else terminal,
                    stdout=stdout if terminal is None else terminal,
                    stderr=stderr if terminal is None else terminal,
                    start_new_session=True,
                )
            self._running += 1
            try:
                yield process, output, words
            finally:
                _stop(process)
                self._running -= 1
                if not self._running:
                    # A command that exits during the install mentioned at OFFLINE leaves its lock behind, and
                    # the next start with a plugin would wait a minute for it to go stale.
                    shutil.rmtree(self.root / "state" / "opencode" / "locks", ignore_errors=True)


def isolated_environment(root: Path, *, temporary: Path) -> dict[str, str]:
    """Make the directories; return variables that keep the host in them and off the network, and PATH."""
    own = {name: root / place for name, place in PLACES.items()} | {"TMPDIR": temporary}
    for directory in own.values():
        directory.mkdir(parents=True, exist_ok=True)
    paths = {name: str(directory) for name, directory in own.items()}
    return paths | OFFLINE | {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}


@dataclass(frozen=True, slots=True)
class Template:
    """A stopped host with one session of attachments. Clone it: all tests share it."""

    opencode: OpenCode
    session: str


def attachments_session(opencode: OpenCode, model: MockModel) -> str:
    """A session of two turns with five attachments, each of 50 to 150 kB; returns its id.

    Turn 1: the user's PNG, JPEG and PDF, and a PNG that the model has read by a tool. Turn 2: another PNG.
    The bytes are the same each time, but for the PDF's dates.
    """
    files = write_attachments(opencode.project)
    model.answer([ToolCall("read", {"filePath": str(files["tool.png"])})], "I have seen them.")
    user = [files["first.png"], files["photo.jpg"], files["paper.pdf"]]
    session = opencode.turn("Look at these.", files=user).session
    model.answer("And that one.")
    opencode.run("One more.", files=[files["second.png"]], session=session)
    return session


def write_attachments(directory: Path) -> dict[str, Path]:
    """Write the five files of `attachments_session`; returns them by name."""
    names = ("first.png", "second.png", "tool.png", "photo.jpg", "paper.pdf")
    for seed, name in enumerate(names):
        (directory / name).write_bytes(noise_file(Path(name).suffix, seed))
    return {name: directory / name for name in names}


def data_url(file: Path) -> str:
    """The whole file as the `data:` URL that the host makes of it."""
    return f"data:{mime(file)};base64,{base64.b64encode(file.read_bytes()).decode()}"


def mime(file: Path) -> str:
    """The MIME type that a file's name tells."""
    return mimetypes.guess_type(file.name)[0] or "application/octet-stream"


def noise_file(suffix: str, seed: int) -> bytes:
    """A valid image or PDF that does not compress, 50 to 150 kB."""
    image = Image.frombytes("RGB", (200, 200), random.Random(seed).randbytes(200 * 200 * 3))
    out = io.BytesIO()
    if suffix == ".pdf":
        image.save(out, "PDF", quality=95)
    else:
        image.save(out, {".png": "PNG", ".jpg": "JPEG"}[suffix], quality=95)
    return out.getvalue()


READER = """
import hashlib, json, pathlib, shutil, sqlite3, sys, tempfile

task = json.load(sys.stdin)
SHOWN_BYTES = 200

def shown(value):
    if not isinstance(value, bytes):
        return repr(value)
    if len(value) <= SHOWN_BYTES:
        return repr(value)
    return f"{len(value)} bytes sha256:{hashlib.sha256(value).hexdigest()}"

def dump(connection, table):
    info = connection.execute(f'PRAGMA table_info("{table}")').fetchall()
    names = [row[1].decode() for row in info]
    keys = [row[1].decode() for row in sorted(info, key=lambda row: row[5]) if row[5]] or names
    columns = ", ".join(f'typeof("{name}"), "{name}"' for name in names)
    order = ", ".join(f'"{key}"' for key in keys)
    for row in connection.execute(f'SELECT {columns} FROM "{table}" ORDER BY {order}'):
        pairs = zip(names, row[::2], row[1::2])
        yield [table, *(f"{name} {kind.decode()} {shown(value)}" for name, kind, value in pairs)]

with tempfile.TemporaryDirectory() as directory:
    copy = pathlib.Path(directory, "copy.db")
    for suffix in ("", "-wal"):
        if pathlib.Path(task["database"] + suffix).exists():
            shutil.copyfile(task["database"] + suffix, str(copy) + suffix)
    connection = sqlite3.connect(copy)
    if "sql" in task:
        rows = connection.execute(task["sql"], task["parameters"]).fetchall()
    else:
        connection.text_factory = bytes
        rows = [row for table in task["tables"] for row in dump(connection, table)]
    connection.close()
    json.dump(rows, sys.stdout)
"""


def query(database: Path, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
    """The rows of one SELECT over text and numbers. No host may run: a copy of db and wal is read."""
    return _read({"database": str(database), "sql": sql, "parameters": list(parameters)})


def dump_tables(database: Path, tables: Sequence[str] = ("part", "event")) -> list[tuple[Any, ...]]:
    """Every row of the tables by primary key: the table's name, then `column typeof value` for each column.

    Two dumps are equal when all values are, byte for byte. A value over 200 bytes appears as its size and
    SHA-256, so that a failing comparison prints in no time. No host may run: a copy of db and wal is read.
    """
    return _read({"database": str(database), "tables": list(tables)})


def _read(task: Mapping[str, object]) -> list[tuple[Any, ...]]:
    done = subprocess.run(
        [sys.executable, "-c", READER],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise HostError(f"cannot read {task['database']}: {done.stderr}")
    return [tuple(row) for row in json.loads(done.stdout)]


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process politely, then whatever is left of its group."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(STOP_TIMEOUT_SECONDS)
    # The group's number is not given away as long as a child of the process is in it.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_TIMEOUT_SECONDS)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def _tail(path: Path) -> str:
    return path.read_text(errors="replace")[-OUTPUT_TAIL_CHARS:]
