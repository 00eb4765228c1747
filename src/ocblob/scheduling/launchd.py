"""An agent of the user's launchd, on macOS."""

import os
import plistlib
from pathlib import Path
from typing import Any

from ocblob.scheduling.base import NAME, Found, Job, Kind
from ocblob.scheduling.every import AT_HOUR, AT_MINUTE
from ocblob.scheduling.machine import Machine


class Launchd:
    """Runs while the user is logged in; a daily pass that was slept through runs at wake-up."""

    kind: Kind = "launchd"

    def available(self, machine: Machine) -> bool:
        """Whether it is there."""
        return machine.has("launchctl")

    def install(self, machine: Machine, job: Job) -> None:
        """Write the agent, and load it in place of what is loaded."""
        path = _directory(machine) / f"{job.name}.plist"
        machine.write(path, plistlib.dumps(agent(machine, job)))
        if machine.ask("launchctl", "print", f"{_domain()}/{job.name}").code == 0:
            machine.act("launchctl", "bootout", f"{_domain()}/{job.name}")
        machine.act("launchctl", "bootstrap", _domain(), str(path))

    def remove(self, machine: Machine, name: str) -> bool:
        """Unload the agent, and remove its file."""
        loaded = machine.ask("launchctl", "print", f"{_domain()}/{name}").code == 0
        if loaded:
            machine.act("launchctl", "bootout", f"{_domain()}/{name}")
        return machine.remove(_directory(machine) / f"{name}.plist") or loaded

    def find(self, machine: Machine) -> list[Found]:
        """The agents whose names begin as ours do. launchd does not say when it runs one next."""
        return [
            Found(self.kind, path.stem, str(path), path.read_text(encoding="utf-8"))
            for path in sorted(_directory(machine).glob(f"{NAME}*.plist"))
        ]


def agent(machine: Machine, job: Job) -> dict[str, Any]:
    """The job under launchd's names; errors go where macOS shows logs of programs."""
    match job.every.calendar:
        case ("days", _):
            times: dict[str, Any] = {"StartCalendarInterval": {"Hour": AT_HOUR, "Minute": AT_MINUTE}}
        case ("weeks", _):
            times = {"StartCalendarInterval": {"Weekday": 1, "Hour": AT_HOUR, "Minute": AT_MINUTE}}
        case _:
            times = {"StartInterval": job.every.seconds}
    return {
        "Label": job.name,
        "ProgramArguments": list(job.words),
        "EnvironmentVariables": dict(job.variables),
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "Nice": 10,
        "StandardErrorPath": str(machine.home / "Library" / "Logs" / f"{job.name}.log"),
        **times,
    }


def _directory(machine: Machine) -> Path:
    return machine.home / "Library" / "LaunchAgents"


def _domain() -> str:
    return f"gui/{os.getuid()}" if hasattr(os, "getuid") else "gui"
