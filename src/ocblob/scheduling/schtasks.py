"""A task of the Windows Task Scheduler, given to `schtasks` as XML: its options know neither priority nor battery."""

import csv
import io
import subprocess
import tempfile
from pathlib import Path
from typing import Final
from xml.sax.saxutils import escape

from ocblob.errors import UsageError
from ocblob.scheduling.base import NAME, Found, Job, Kind
from ocblob.scheduling.every import AT_HOUR, AT_MINUTE, DAY_MINUTES, Every
from ocblob.scheduling.machine import Machine, Written

_START: Final = f"2024-01-01T{AT_HOUR:02}:{AT_MINUTE:02}:00"


class Schtasks:
    """Runs while the user is logged in, on battery too; a pass that was missed runs when it can."""

    kind: Kind = "schtasks"

    def available(self, machine: Machine) -> bool:
        """Whether it is there."""
        return machine.has("schtasks")

    def install(self, machine: Machine, job: Job) -> None:
        """Create the task, in place of one of its name."""
        text = task_text(job)
        machine.written.append(Written(f"task {job.name}", text))
        with tempfile.TemporaryDirectory(prefix="ocblob-") as directory:
            path = Path(directory) / f"{job.name}.xml"
            path.write_text(text, encoding="utf-16")
            machine.act("schtasks", "/Create", "/TN", job.name, "/XML", str(path), "/F")

    def remove(self, machine: Machine, name: str) -> bool:
        """Delete the task."""
        if machine.ask("schtasks", "/Query", "/TN", name).code != 0:
            return False
        machine.act("schtasks", "/Delete", "/TN", name, "/F")
        machine.removed.append(f"task {name}")
        return True

    def find(self, machine: Machine) -> list[Found]:
        """The tasks whose names begin as ours do."""
        found: list[Found] = []
        for row in csv.reader(io.StringIO(machine.ask("schtasks", "/Query", "/FO", "CSV", "/NH").out)):
            name = row[0].removeprefix("\\") if row else ""
            if name.startswith(NAME) and name not in {other.name for other in found}:
                text = machine.ask("schtasks", "/Query", "/TN", name, "/XML", "ONE").out
                found.append(Found(self.kind, name, f"task {name}", text, row[1] if len(row) > 1 else ""))
        return found


def task_text(job: Job) -> str:
    """The task as XML. Raises `UsageError` for variables, which a task cannot have."""
    if job.variables:
        raise UsageError(
            f"a Windows task has no variables of its own, and {', '.join(job.variables)} would be needed",
            hint="put it into config.toml (a table such as [s3]), or set it for the user",
        )
    command, arguments = _windowless(job.words[0]), subprocess.list2cmdline(job.words[1:])
    return f"""<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>{escape(job.description)}</Description></RegistrationInfo>
  <Triggers>{_trigger(job.every)}</Triggers>
  <Principals>
    <Principal id="Author"><LogonType>InteractiveToken</LogonType><RunLevel>LeastPrivilege</RunLevel></Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <Hidden>true</Hidden>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>7</Priority>
  </Settings>
  <Actions Context="Author">
    <Exec><Command>{escape(command)}</Command><Arguments>{escape(arguments)}</Arguments></Exec>
  </Actions>
</Task>
"""


def _windowless(command: str) -> str:
    """A Python that opens no console window, where there is one beside it."""
    other = Path(command).with_name("pythonw.exe")
    return str(other) if Path(command).name.lower() == "python.exe" and other.is_file() else command


def _trigger(every: Every) -> str:
    days, rest = divmod(every.minutes, DAY_MINUTES)
    if not rest:
        schedule = f"<ScheduleByDay><DaysInterval>{days}</DaysInterval></ScheduleByDay>"
        return f"<CalendarTrigger><StartBoundary>{_START}</StartBoundary>{schedule}</CalendarTrigger>"
    repetition = f"<Repetition><Interval>PT{every.minutes}M</Interval></Repetition>"
    return f"<TimeTrigger>{repetition}<StartBoundary>{_START}</StartBoundary></TimeTrigger>"
