"""The command line, run in this process."""

import io
import json
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from ocblob.cli import main


@dataclass(frozen=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: bytes
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value


@dataclass(frozen=True)
class Cli:
    """The command line, run in this process, with an environment of its own."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    captured: pytest.CaptureFixture[bytes]

    @property
    def store(self) -> Path:
        """Where the environment says that the store is."""
        return self.root / "store"

    def run(self, *arguments: str | Path, stdin: bytes = b"") -> Done:
        """Run a command."""
        with self.monkeypatch.context() as patch:
            patch.setattr(sys, "argv", ["ocblob", *map(str, arguments)])
            patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
            with pytest.raises(SystemExit) as ended:
                main()
        out, err = self.captured.readouterr()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, out, err.decode())


def cli_in(root: Path, monkeypatch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[bytes]) -> Cli:
    """Homes below the test's directory, the store named by the environment."""
    for name in list(os.environ):
        if name.startswith(("OCBLOB", "OPENCODE")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(root / "home"))
    for kind in ("DATA", "CONFIG", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(root / kind.lower()))
    monkeypatch.setenv("OCBLOB_STORE", str(root / "store"))
    return Cli(root, monkeypatch, captured)
