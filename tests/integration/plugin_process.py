"""The plugin in a process of its own, without OpenCode, and a command that stands in for ocblob.

`plugin_driver.mjs` explains what a case and its steps are.
"""

import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from plugin import PLUGIN

from ocblob.digest import digest_of
from ocblob.ref import Ref
from ocblob.rewrite import reference_text

DRIVER = Path(__file__).with_name("plugin_driver.mjs")
TIMEOUT_SECONDS = 60

TRANSFORM = "experimental.chat.messages.transform"
MESSAGE = "chat.message"
TOOL = "tool.execute.after"

Case = Mapping[str, Any]

FAKE = r"""
import hashlib, json, os, sys, time
root, mode = os.path.dirname(os.path.abspath(__file__)), os.environ.get("FAKE_MODE", "")
verb = sys.argv[1]

def note(**more):
    line = json.dumps({"words": sys.argv[1:], **more}) + "\n"
    with open(os.path.join(root, "calls"), "a") as file:
        file.write(line)

def answer(name):
    with open(os.path.join(root, name), "rb") as file:
        sys.stdout.buffer.write(file.read())

def wait_for(name):
    open(os.path.join(root, name + "-begun"), "w").close()
    end = time.monotonic() + 30
    while not os.path.exists(os.path.join(root, name)) and time.monotonic() < end:
        time.sleep(0.005)

if mode in ("hangs", verb + " hangs"):
    note()
    wait_for("go")
elif mode == "fails":
    note()
    sys.exit("Error: the disk is on fire\nhint: put it out")
elif mode == "warns" and verb == "maintain":
    note()
    many = int(os.environ.get("FAKE_COUNT", "1"))
    for line in ["warning: evicted session ses_old"] * many + ["Warning: OpenCode database is large", "  a word"]:
        print(line, file=sys.stderr)
    sys.exit(3)
elif mode == "endless":
    note()
    while True:
        sys.stdout.write("x" * 65536)
elif mode == "rubbish":
    sys.stdin.buffer.read()
    note()
    print("<html>no JSON</html>")
elif verb == "put":
    data = sys.stdin.buffer.read()
    note(size=len(data), sha256=hashlib.sha256(data).hexdigest())
    answer("other" if mode == "other" else hashlib.sha256(data).hexdigest())
elif verb == "cat":
    note()
    answer(sys.argv[2])
elif verb == "plugin":
    note()
    print(json.dumps({"problems": ["the blobs are on holiday"], "warnings": []}))
else:
    print("a pass says this to nobody")
    if mode == "slow":
        wait_for("go")
    said = json.loads(os.environ.get("OCBLOB_PLUGIN_OPTIONS", "{}"))
    note(nice=os.nice(0), group=os.getpgid(0), pid=os.getpid(), said=said)
"""


@dataclass(frozen=True, slots=True)
class Runtime:
    """What runs JavaScript: OpenCode's own Bun, or Node."""

    name: str
    words: tuple[str, ...]
    environment: Mapping[str, str]
    reads_objects: bool
    """Whether it knows zstd; if not, the plugin has to ask `ocblob cat` for each blob."""

    def run(self, root: Path, cases: Sequence[Case]) -> list[dict[str, Any]]:
        """What became of each case: `done`, one value a step, and `logs`. Nothing printed, nothing uncaught."""
        with self.running(root, cases) as (process, result):
            code = process.wait(TIMEOUT_SECONDS)
            assert (b"", b"") == process.communicate()
        assert 0 == code
        found = json.loads(result.read_text("utf-8"))
        assert [] == found["uncaught"]
        assert ["default"] == found["exports"]
        return list(found["cases"])

    def one(self, root: Path, case: Case) -> dict[str, Any]:
        """As `run`, for one case."""
        (found,) = self.run(root, [case])
        return found

    @contextmanager
    def running(self, root: Path, cases: Sequence[Case]) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
        """The process, in a group of its own, and the file that its results will be in; it is killed at the end."""
        root.mkdir(parents=True, exist_ok=True)
        asked, result = root / "cases.json", root / "result.json"
        asked.write_text(json.dumps(cases))
        with asked.open("rb") as stdin:
            process = subprocess.Popen(
                (*self.words, str(DRIVER), str(PLUGIN), str(result)),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=isolated(root) | dict(self.environment),
                start_new_session=True,
            )
        try:
            yield process, result
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def isolated(root: Path) -> dict[str, str]:
    """An environment in which nothing of the user's is found."""
    places = {"HOME": "home", "XDG_DATA_HOME": "data", "XDG_STATE_HOME": "state", "XDG_CONFIG_HOME": "config"}
    return {"PATH": os.environ["PATH"]} | {name: str(root / place) for name, place in places.items()}


@dataclass(slots=True)
class FakeCommand:
    """A stand-in for ocblob that answers what it has been taught and notes how it was called."""

    root: Path
    options: dict[str, Any] = field(init=False)
    """The plugin's options that name it."""
    database: Path = field(init=False)

    def __post_init__(self) -> None:
        self.root.mkdir(parents=True)
        script = self.root / "fake.py"
        script.write_text(FAKE)
        self.database = self.root / "opencode.db"
        self.options = {
            "command": [sys.executable, "-I", "-S", str(script)],
            "db": str(self.database),
            "objects": str(self.root / "objects"),
        }

    def teach(self, data: bytes, mime: str) -> str:
        """What `put` answers for these bytes, and `cat` for their ref; returns the ref's base64 text."""
        ref = Ref(digest_of(data), len(data), (("store", "3f2a9c01"),))
        text = (reference_text(mime, ref) or b"").decode()
        said = {"digest": ref.digest, "size": ref.size, "mime": mime, "new": True, "url": f"data:{mime};base64,{text}"}
        (self.root / hashlib.sha256(data).hexdigest()).write_text(json.dumps(said))
        (self.root / ref.digest).write_bytes(data)
        return text

    def calls(self, verb: str) -> list[dict[str, Any]]:
        """How it was called, in order: `words`, and what the verb notes."""
        file = self.root / "calls"
        calls = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return [call for call in calls if call["words"][0] == verb]
