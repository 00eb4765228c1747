"""One line in the user's crontab, told from others by a comment at its end; all other lines stay as they are."""

import shlex
from typing import Final

from ocblob.errors import ScheduleError, UsageError
from ocblob.scheduling.base import NAME, Found, Job, Kind
from ocblob.scheduling.every import AT_HOUR, AT_MINUTE, Every
from ocblob.scheduling.machine import Machine, Written

_MARK: Final = " # ocblob schedule: "
"""To cron this is part of the command, to the shell a comment."""
_LINE_CHARS_MAX: Final = 990
"""Crons cut or refuse longer commands."""


class Cron:
    """Runs whether the user is logged in or not; what was slept through is not made up for."""

    kind: Kind = "cron"

    def available(self, machine: Machine) -> bool:
        """Whether it is there."""
        return machine.has("crontab")

    def install(self, machine: Machine, job: Job) -> None:
        """Put the line at the end, or in the place of the one that was there."""
        line = line_of(job)
        machine.written.append(Written("crontab", line))
        before = _lines(machine)
        names = [_name(other) for other in before]
        at = names.index(job.name) if job.name in names else len(before)
        others = [(index, other) for index, other in enumerate(before) if names[index] != job.name]
        after = [other for index, other in others if index < at]
        after += [line, *(other for index, other in others if index > at)]
        if after != before:
            _write(machine, after)

    def remove(self, machine: Machine, name: str) -> bool:
        """Take the line out."""
        before = _lines(machine)
        after = [line for line in before if _name(line) != name]
        if after == before:
            return False
        machine.removed += [f"crontab: {line}" for line in before if _name(line) == name]
        _write(machine, after)
        return True

    def find(self, machine: Machine) -> list[Found]:
        """The lines that are marked. cron does not say when it runs one next."""
        named = [(line, _name(line)) for line in _lines(machine)]
        return [Found(self.kind, name, "crontab", line) for line, name in named if name.startswith(NAME)]


def line_of(job: Job) -> str:
    """The job as cron reads it. Raises `UsageError` for times that cron cannot keep."""
    variables = [f"{name}={value}" for name, value in job.variables.items()]
    words = ["nice", "-n", "10", *(["env", *variables] if variables else []), *job.words]
    line = f"{_times(job.every)} {' '.join(_quoted(word) for word in words)}{_MARK}{job.name}"
    if len(line.encode()) > _LINE_CHARS_MAX:
        raise UsageError(
            f"the crontab line would have {len(line.encode())} bytes, more than crons take",
            hint="shorter paths, or --kind",
        )
    return line


def _times(every: Every) -> str:
    match every.calendar:
        case ("minutes", count):
            return f"{'*' if count == 1 else f'*/{count}'} * * * *"
        case ("hours", count):
            return f"{AT_MINUTE} {'*' if count == 1 else f'*/{count}'} * * *"
        case ("days", _):
            return f"{AT_MINUTE} {AT_HOUR} * * *"
        case ("weeks", _):
            return f"{AT_MINUTE} {AT_HOUR} * * 1"
        case _:
            raise UsageError(
                f"cron cannot run a command every {every}: it knows minutes that divide an hour, hours that"
                " divide a day, 1d and 7d",
                hint="`ocblob watch --every` takes any time",
            )


def _quoted(word: str) -> str:
    """For the shell, and a percent for cron: it must stand behind a backslash, which no shell sees."""
    quoted = shlex.quote(word)
    # Outside of quotes, so that a backslash before it is not taken for cron's.
    return quoted.replace("%", "'\\%'" if quoted.startswith("'") else "\\%")


def _name(line: str) -> str:
    """The name of the job that a line is; empty for a line of somebody else's."""
    if line.lstrip().startswith("#"):
        return ""
    return line.rpartition(_MARK)[2] if _MARK in line else ""


def _lines(machine: Machine) -> list[str]:
    answer = machine.ask("crontab", "-l")
    if answer.code == 0:
        return answer.out.split("\n")[:-1] if answer.out.endswith("\n") else answer.out.split("\n")
    if "no crontab" in answer.said or "No such file" in answer.said:
        return []
    # Whoever writes a crontab must know what stood there.
    raise ScheduleError(f"`crontab -l` gave {answer.code}: {answer.said or 'it says nothing'}; nothing was changed")


def _write(machine: Machine, lines: list[str]) -> None:
    if lines:
        machine.act("crontab", "-", stdin="\n".join(lines) + "\n")
    else:
        machine.act("crontab", "-r")
