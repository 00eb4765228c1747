"""The pass that the system runs by itself: installed with its scheduler, found again, taken away."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from ocblob.errors import ScheduleError
from ocblob.scheduling.base import NAME, Found, Job, Kind, Scheduler
from ocblob.scheduling.cron import Cron
from ocblob.scheduling.every import Every
from ocblob.scheduling.launchd import Launchd
from ocblob.scheduling.machine import Machine, Written
from ocblob.scheduling.schtasks import Schtasks
from ocblob.scheduling.systemd import Systemd

__all__ = [
    "KINDS",
    "NAME",
    "Every",
    "Found",
    "Job",
    "Kind",
    "Machine",
    "ScheduleReport",
    "Scheduler",
    "install",
    "remove",
    "show",
]

KINDS: dict[Kind, Scheduler] = {
    "systemd": Systemd(),
    "launchd": Launchd(),
    "schtasks": Schtasks(),
    "cron": Cron(),
}
_OF_PLATFORM: dict[str, tuple[Kind, ...]] = {"darwin": ("launchd", "cron"), "win32": ("schtasks",)}
_ELSEWHERE: tuple[Kind, ...] = ("systemd", "cron")


@dataclass(slots=True)
class ScheduleReport:
    """What was done, or would be."""

    kinds: list[Kind]
    """Where; none if there was nothing to remove."""
    name: str
    written: list[Written]
    removed: list[str]
    commands: list[tuple[str, ...]]
    """Those that change something, in order."""
    notes: list[str] = field(default_factory=list)


def install(machine: Machine, job: Job, kind: Kind | None = None) -> ScheduleReport:
    """Install a job, in place of one of its name. A second time it changes nothing.

    Raises `UsageError` for times that this scheduler cannot keep, `ScheduleError` if there is none.
    """
    if kind is not None and not KINDS[kind].available(machine):
        raise ScheduleError(f"{kind} is not here, or does not answer")
    chosen = KINDS[kind] if kind is not None else next(_available(machine), None)
    if chosen is None:
        raise ScheduleError(
            "no scheduler is here that could be told", hint="`ocblob watch` runs passes in the foreground"
        )
    chosen.install(machine, job)
    return _report(machine, [chosen.kind], job.name, _notes(machine, chosen, job.name))


def remove(machine: Machine, name: str, kind: Kind | None = None) -> ScheduleReport:
    """Take a job away from every scheduler that has it, and nothing else."""
    places = [KINDS[kind]] if kind is not None else list(_available(machine))
    return _report(machine, [place.kind for place in places if place.remove(machine, name)], name, [])


def show(machine: Machine, kind: Kind | None = None) -> list[Found]:
    """All jobs of ours that a scheduler has."""
    places = [KINDS[kind]] if kind is not None else list(_available(machine))
    return [found for place in places for found in place.find(machine)]


def _available(machine: Machine) -> Iterator[Scheduler]:
    """What the machine has, the best first."""
    for kind in _OF_PLATFORM.get(machine.platform, _ELSEWHERE):
        if KINDS[kind].available(machine):
            yield KINDS[kind]


def _report(machine: Machine, kinds: list[Kind], name: str, notes: list[str]) -> ScheduleReport:
    return ScheduleReport(kinds, name, machine.written, machine.removed, machine.commands, notes)


def _notes(machine: Machine, chosen: Scheduler, name: str) -> list[str]:
    notes = [
        f"{other.kind} runs it too; `ocblob schedule remove --kind {other.kind}` takes that away"
        for other in _available(machine)
        if other is not chosen and any(found.name == name for found in other.find(machine))
    ]
    if chosen.kind == "systemd":
        notes.append("it runs while you are logged in; `loginctl enable-linger` lets it run always")
    return notes
