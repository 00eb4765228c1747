"""OpenCode with the ocblob plugin, and ocblob commands on its database."""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from opencode import OpenCode

from ocblob import BlobStore

PLUGIN = Path(__file__).parents[2] / "src" / "ocblob" / "hosts" / "opencode" / "ocblob.js"
COMMAND = (sys.executable, "-m", "ocblob")
NEEDLE = "b2NibG9iLzEg"
"""What every ref contains."""
COMMAND_TIMEOUT_SECONDS = 300
PATIENCE_SECONDS = 20.0
POLL_SECONDS = 0.05


def store_of(opencode: OpenCode) -> Path:
    """Where `ocblob` below keeps a host's blobs."""
    return opencode.root / "blobs"


def use_plugin(opencode: OpenCode, *, settings: Mapping[str, object] | None = None, **options: object) -> None:
    """Configure the host with the plugin, its options, and other settings of the host; make its store.

    Re-scans are off unless asked for: a test says itself when to offload.
    """
    usual = {"command": COMMAND, "store": str(store_of(opencode)), "db": str(opencode.database), "rescan": False}
    BlobStore.create(store_of(opencode))[0].close()
    opencode.configure(plugin=[[PLUGIN.as_uri(), usual | options]], **(settings or {}))


def ocblob(opencode: OpenCode, *arguments: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Run a command on a host's database; return what it prints as JSON."""
    place = ("--db", str(opencode.database), "--store", str(store_of(opencode)))
    done = subprocess.run(
        (*COMMAND, *arguments, *place, "--json"),
        capture_output=True,
        text=True,
        timeout=COMMAND_TIMEOUT_SECONDS,
        check=False,
        env=opencode.environment,
    )
    assert done.returncode in codes, done.stderr
    return dict(json.loads(done.stdout))


def log_of(opencode: OpenCode) -> list[str]:
    """What the plugin has said in the host's log."""
    return [line for line in _log_lines(opencode) if 'message="ocblob: ' in line]


def says(opencode: OpenCode, *texts: str) -> bool:
    """Whether one line of the plugin says it all. Asked while the host runs: one that ends may lose its last lines."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not any(all(text in line for text in texts) for line in log_of(opencode)):
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def thrown(opencode: OpenCode) -> list[str]:
    """What the host's log says of errors, the plugin's and its own."""
    return [line for line in _log_lines(opencode) if "level=ERROR" in line]


def _log_lines(opencode: OpenCode) -> list[str]:
    files = sorted((opencode.root / "data" / "opencode" / "log").glob("*.log"))
    return [line for file in files for line in file.read_text(errors="replace").splitlines()]
