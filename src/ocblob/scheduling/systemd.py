"""A timer of the user's systemd: a service that runs the job, and the timer that starts it."""

from pathlib import Path
from typing import Final

from ocblob.scheduling.base import NAME, Found, Job, Kind
from ocblob.scheduling.every import AT_HOUR, AT_MINUTE, Every
from ocblob.scheduling.machine import Machine

SUCCESS: Final = "3 4"
"""Exit codes that are no failure of the unit: incomplete, a size warning."""
_SHELL: Final = ("/bin/sh", "-c", 'exec "$0" "$@"')
_HEAD: Final = "# Written by `ocblob schedule install`; `ocblob schedule remove` takes it away.\n"


class Systemd:
    """Runs while the user is logged in, or always after `loginctl enable-linger`."""

    kind: Kind = "systemd"

    def available(self, machine: Machine) -> bool:
        """Whether the user's manager answers: in a container or over su it may not run."""
        return machine.has("systemctl") and machine.ask("systemctl", "--user", "show-environment").code == 0

    def install(self, machine: Machine, job: Job) -> None:
        """Write both units, and start the timer."""
        directory = _directory(machine)
        timer = f"{job.name}.timer"
        was_there = (directory / timer).is_file()
        machine.write(directory / f"{job.name}.service", service_text(job).encode())
        changed = machine.write(directory / timer, timer_text(job).encode())
        machine.act("systemctl", "--user", "daemon-reload")
        machine.act("systemctl", "--user", "enable", "--now", timer)
        if was_there and changed:
            # One that is running goes on with the old times.
            machine.act("systemctl", "--user", "restart", timer)

    def remove(self, machine: Machine, name: str) -> bool:
        """Stop the timer, and remove both units."""
        units = [path for kind in ("timer", "service") if (path := _directory(machine) / f"{name}.{kind}").is_file()]
        if not units:
            return False
        if units[0].suffix == ".timer":
            machine.act("systemctl", "--user", "disable", "--now", f"{name}.timer")
        for unit in units:
            machine.remove(unit)
        machine.act("systemctl", "--user", "daemon-reload")
        return True

    def find(self, machine: Machine) -> list[Found]:
        """The units whose names begin as ours do."""
        found = []
        for timer in sorted(_directory(machine).glob(f"{NAME}*.timer")):
            service = timer.with_suffix(".service")
            texts = [path.read_text(encoding="utf-8") for path in (timer, service) if path.is_file()]
            when = machine.ask("systemctl", "--user", "show", timer.name, "-p", "NextElapseUSecRealtime", "--value")
            found.append(Found(self.kind, timer.stem, str(timer), "\n".join(texts), _line(when.out, when.code)))
        return found


def _directory(machine: Machine) -> Path:
    return machine.config_directory / "systemd" / "user"


def _line(text: str, code: int) -> str:
    return text.strip() if code == 0 else ""


def service_text(job: Job) -> str:
    """The unit that runs the job once. A colon before the command: a dollar in it is a dollar."""
    # systemd takes no quotes and no backslash in a command's own path, however they are quoted.
    plain = not set("\"'\\") & set(job.words[0])
    words = " ".join(quoted(word) for word in (job.words if plain else (*_SHELL, *job.words)))
    variables = "".join(f"Environment={quoted(f'{name}={value}')}\n" for name, value in job.variables.items())
    return (
        f"{_HEAD}[Unit]\nDescription={_specifiers(job.description)}\n\n"
        f"[Service]\nType=oneshot\nExecStart=:{words}\n{variables}"
        f"SuccessExitStatus={SUCCESS}\nNice=10\nIOSchedulingClass=idle\n"
    )


def timer_text(job: Job) -> str:
    """The unit that starts it; times that were slept through are made up for where they stand in a calendar."""
    return (
        f"{_HEAD}[Unit]\nDescription={_specifiers(job.description)}\n\n"
        f"[Timer]\n{_times(job.every)}\n"
        "[Install]\nWantedBy=timers.target\n"
    )


def _times(every: Every) -> str:
    match every.calendar:
        case ("minutes", count):
            when = f"*:0/{count}"
        case ("hours", count):
            when = f"0/{count}:{AT_MINUTE}"
        case ("days", _):
            when = f"*-*-* {AT_HOUR}:{AT_MINUTE}"
        case ("weeks", _):
            when = f"Mon *-*-* {AT_HOUR}:{AT_MINUTE}"
        case _:
            return f"OnActiveSec=1min\nOnUnitActiveSec={every.minutes}min\n"
    return f"OnCalendar={when}\nPersistent=true\n"


def quoted(word: str) -> str:
    """A word of a command line or an assignment, as systemd reads it."""
    return '"' + _specifiers(word.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _specifiers(text: str) -> str:
    return text.replace("%", "%%")
