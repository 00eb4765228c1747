"""Databases, fresh copies of them, and an environment in which a command meets nothing else."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Run, drop_page_cache, rss_floor, run, run_all

HERE = Path(__file__).parent
PYTHON = sys.executable
WARM_UP_PROFILE = "tiny"
VERSIONS = """
import apsw, json, sqlite3
secure = sqlite3.connect(":memory:").execute("PRAGMA secure_delete").fetchone()[0]
versions = {"sqlite3": sqlite3.sqlite_version, "sqlite3_secure_delete": secure}
print(json.dumps({**versions, "apsw": apsw.sqlite_lib_version()}))
"""

Command = Sequence[str]
Case = Callable[[Path, Path], list[Command]]
"""Commands for a database and a directory of its own; they run in order and count as one."""


@dataclass(frozen=True, slots=True)
class Bench:
    """Where databases and copies are, and how often things run."""

    directory: Path
    profile: str
    rounds: int
    caches: tuple[str, ...]
    env: Mapping[str, str]

    def database(self, profile: str) -> Path:
        """Return a generated database, made once."""
        path = self.directory / f"{profile}.db"
        if not path.exists():
            print(f"making {path}", file=sys.stderr)
            run([PYTHON, str(HERE / "generate.py"), str(path), "--profile", profile], env=self.env)
        return path

    def trial(self, case: Case, profile: str, cache: str) -> tuple[Run, Path]:
        """Measure a case on fresh copies; the directory that it leaves stays until the next trial."""
        scratch = self.directory / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        commands: list[list[Command]] = []
        for name, of in (("warm-up", WARM_UP_PROFILE), ("run", profile)):
            (scratch / name).mkdir(parents=True)
            copy = scratch / name / "opencode.db"
            shutil.copyfile(self.database(of), copy)
            commands.append(case(copy, scratch / name))
        os.sync()
        if cache == "cold":
            drop_page_cache([copy])
        run_all(commands[0], env=self.env)
        return run_all(commands[1], env=self.env), scratch / "run"

    def value(self, code: str, *arguments: str) -> str:
        """Return what a few lines of Python print, run in a process of their own."""
        return run([PYTHON, "-c", code, *arguments], env=self.env).output.strip()


def environment(bench: Bench) -> dict[str, Any]:
    """Return what the figures depend on besides the code."""
    return {
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "python": platform.python_version(),
        "cold": drop_page_cache([bench.database(WARM_UP_PROFILE)]),
        "rss_floor": rss_floor(),
        "sqlite": json.loads(bench.value(VERSIONS)),
        "zstd": run(["zstd", "--version"], env=bench.env).output.strip() if shutil.which("zstd") else None,
        "file_size": {bench.profile: bench.database(bench.profile).stat().st_size},
    }


def child_env(directory: Path) -> dict[str, str]:
    """Return an environment without the user's settings that writes only below `directory`.

    Modules are compiled once, as those of an installed tool are.
    """
    dropped = ("OCBLOB_", "PYTHONDONTWRITEBYTECODE")
    env = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    for name in ("CONFIG_HOME", "DATA_HOME", "STATE_HOME", "CACHE_HOME"):
        env[f"XDG_{name}"] = str(directory / "xdg" / name.lower())
    return {**env, "PYTHONPYCACHEPREFIX": str(directory / "pycache")}
