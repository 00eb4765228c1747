"""Schedulers that stand in for a system's own: scripts on PATH that note calls and keep what they get."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocblob.scheduling import Every, Job, Machine

_SCRIPT = r"""#!{python} -IS
import json, os, sys
root = {root!r}
verb, words = os.path.basename(sys.argv[0]), sys.argv[1:]
given = sys.stdin.buffer.read().decode("utf-8", "surrogateescape")
with open(os.path.join(root, "calls"), "a") as file:
    file.write(json.dumps([verb, words]) + "\n")
table = os.path.join(root, verb + ".kept")
refused = os.path.join(root, verb + ".refuses")
if os.path.exists(refused) and open(refused).read() in " ".join(words):
    sys.exit("the moon is in the wrong house")

def kept():
    try:
        with open(table, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except FileNotFoundError:
        return None

def keep(text):
    with open(table, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)

if verb == "crontab":
    if words == ["-l"]:
        if kept() is None:
            sys.exit("no crontab for somebody")
        sys.stdout.buffer.write(kept().encode("utf-8", "surrogateescape"))
    elif words == ["-r"]:
        os.remove(table)
    else:
        assert words == ["-"] and given.endswith("\n")
        keep(given)
elif verb == "systemctl" and "show" in words:
    print("Sun 2026-11-29 12:17:00 UTC")
elif verb == "launchctl":
    loaded = json.loads(kept() or "[]")
    name = os.path.basename(words[-1]).removesuffix(".plist")
    if words[0] == "print":
        sys.exit(0 if name in loaded else "Could not find service")
    keep(json.dumps([*loaded, name] if words[0] == "bootstrap" else [one for one in loaded if one != name]))
elif verb == "schtasks":
    tasks = json.loads(kept() or "{{}}")
    name = words[words.index("/TN") + 1] if "/TN" in words else ""
    if words[0] == "/Create":
        with open(words[words.index("/XML") + 1], encoding="utf-16") as file:
            tasks[name] = file.read()
    elif name and name not in tasks:
        sys.exit("ERROR: The system cannot find the file specified.")
    elif words[0] == "/Delete":
        del tasks[name]
    elif "/XML" in words:
        print(tasks[name])
    else:
        for one in ["Microsoft\\Other", *tasks]:
            print('"\\%s","11/29/2026 12:17:00 PM","Ready"' % one)
    keep(json.dumps(tasks))
"""
NOTED = ("systemctl", "crontab", "launchctl", "schtasks")


@dataclass(frozen=True)
class Schedulers:
    """A home, and the schedulers that a machine has."""

    root: Path

    @property
    def bin(self) -> Path:
        """The only directory on PATH."""
        return self.root / "bin"

    def have(self, *names: str) -> None:
        """Put these on PATH."""
        self.bin.mkdir(parents=True, exist_ok=True)
        for name in names:
            (self.bin / name).write_text(_SCRIPT.format(python=sys.executable, root=str(self.root)))
            (self.bin / name).chmod(0o755)

    def refuse(self, name: str, words: str) -> None:
        """Let one fail at a command line that holds these words."""
        (self.root / f"{name}.refuses").write_text(words)

    def machine(self, platform: str = "linux", *, dry_run: bool = False) -> Machine:
        """The machine that ocblob sees."""
        return Machine(self.root / "home", {"PATH": str(self.bin)}, platform, dry_run)

    def kept(self, name: str) -> str:
        """What one keeps."""
        return (self.root / f"{name}.kept").read_text("utf-8", "surrogateescape")

    def keep(self, name: str, text: str) -> None:
        """Let one have something already."""
        (self.root / f"{name}.kept").write_text(text, "utf-8", "surrogateescape")

    @property
    def calls(self) -> list[list[Any]]:
        """All calls so far, those that change nothing left out."""
        file = self.root / "calls"
        noted = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        asks = {"show", "show-environment", "-l", "print", "/Query"}
        return [call for call in noted if not asks & set(call[1])]


def job(
    *words: str, minutes: int = 1440, name: str = "ocblob-maintain", variables: Mapping[str, str] | None = None
) -> Job:
    """Something to schedule."""
    return Job(name, words or ("/usr/bin/ocblob", "maintain"), variables or {}, Every(minutes), "ocblob: maintenance")
