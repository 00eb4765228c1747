"""What is scheduled, and the seam behind which each system's scheduler stands."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

from ocblob.errors import UsageError
from ocblob.scheduling.every import Every
from ocblob.scheduling.machine import Machine

Kind = Literal["systemd", "launchd", "schtasks", "cron"]
NAME = "ocblob-maintain"
"""What every job's name begins with; by it they are found again."""


@dataclass(frozen=True, slots=True)
class Job:
    """One command, again and again."""

    name: str
    words: tuple[str, ...]
    """The command line; the first is an absolute path."""
    variables: Mapping[str, str]
    """What it needs of the environment, beside what a scheduler gives it."""
    every: Every
    description: str

    def __post_init__(self) -> None:
        for text in (*self.words, *self.variables.values(), self.description):
            if not text.isprintable():
                raise UsageError(f"{text!r} has a character that cannot stand in a schedule")


@dataclass(frozen=True, slots=True)
class Found:
    """A job as the system has it."""

    kind: Kind
    name: str
    place: str
    """The file, or the table, where it stands."""
    text: str
    next_run: str = ""
    """As the system says it; empty if it does not."""


class Scheduler(Protocol):
    """One kind of scheduler. Raises `ScheduleError` if the system refuses."""

    kind: Kind

    def available(self, machine: Machine) -> bool:
        """Whether this machine has it, and it answers."""

    def install(self, machine: Machine, job: Job) -> None:
        """Put the job there, in place of one of its name. Raises `UsageError` for times that it cannot keep."""

    def remove(self, machine: Machine, name: str) -> bool:
        """Take exactly that job away; False if there is none."""

    def find(self, machine: Machine) -> list[Found]:
        """All jobs of ours."""
