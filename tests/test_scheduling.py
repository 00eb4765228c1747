import itertools
import plistlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ocblob.errors import ScheduleError, UsageError
from ocblob.scheduling import KINDS, Every, Job, Kind, install, remove, show
from ocblob.scheduling.cron import line_of
from ocblob.scheduling.every import EVERY_MINUTES_MAX
from ocblob.scheduling.schtasks import task_text
from ocblob.scheduling.systemd import service_text, timer_text
from schedulers import NOTED, Schedulers, job

ODD = (
    "two words",
    "100%",
    "50% 'of' \"it\"",
    "dollar$HOME",
    "back\\slash",
    "back\\%slash it",
    "ä/öü",
    "`id`;&|<>#!*?[]{}~",
    "",
)
"""Words that one or the other format takes for something else."""
OF_KIND: tuple[tuple[Kind, str], ...] = (
    ("systemd", "linux"),
    ("launchd", "darwin"),
    ("schtasks", "win32"),
    ("cron", "linux"),
)


@pytest.fixture
def schedulers(tmp_path: Path) -> Schedulers:
    """A machine with all of them."""
    found = Schedulers(tmp_path)
    found.have(*NOTED)
    return found


@pytest.mark.parametrize(("kind", "platform"), OF_KIND)
def test_install_show_and_remove(schedulers: Schedulers, kind: Kind, platform: str) -> None:
    """What was installed is shown as it stands, a second installation changes nothing, and a removal leaves nothing."""
    report = install(schedulers.machine(platform), job(), kind)
    found = show(schedulers.machine(platform), kind)
    again = install(schedulers.machine(platform), job(), kind)
    assert [kind] == report.kinds
    assert [("ocblob-maintain", kind)] == [(one.name, one.kind) for one in found]
    assert "maintain" in found[0].text
    assert all(written.text.strip() in found[0].text for written in report.written)
    assert found == show(schedulers.machine(platform), kind)
    assert report.written == again.written
    assert [kind] == remove(schedulers.machine(platform), "ocblob-maintain", kind).kinds
    assert [] == show(schedulers.machine(platform), kind)
    assert [] == [path for path in (schedulers.root / "home").rglob("*") if path.is_file()]
    gone = remove(schedulers.machine(platform), "ocblob-maintain", kind)
    assert ([], [], []) == (gone.kinds, gone.removed, gone.commands)


@pytest.mark.parametrize(("kind", "platform"), OF_KIND)
def test_another_time_replaces_the_first(schedulers: Schedulers, kind: Kind, platform: str) -> None:
    """One job a database, whatever its times were before; another database's stays."""
    install(schedulers.machine(platform), job(name="ocblob-maintain-1a2b3c4d"), kind)
    install(schedulers.machine(platform), job(), kind)
    install(schedulers.machine(platform), job(minutes=15), kind)
    found = {one.name: one.text for one in show(schedulers.machine(platform), kind)}
    assert ["ocblob-maintain", "ocblob-maintain-1a2b3c4d"] == sorted(found)
    assert found["ocblob-maintain"] != found["ocblob-maintain-1a2b3c4d"]
    remove(schedulers.machine(platform), "ocblob-maintain", kind)
    assert ["ocblob-maintain-1a2b3c4d"] == [one.name for one in show(schedulers.machine(platform), kind)]


@pytest.mark.parametrize(("kind", "platform"), OF_KIND)
def test_a_dry_run_changes_nothing(schedulers: Schedulers, kind: Kind, platform: str) -> None:
    """It tells what would be written and run, and no command that changes anything is called."""
    report = install(schedulers.machine(platform, dry_run=True), job(), kind)
    assert report.written
    assert report.commands
    assert [] == show(schedulers.machine(platform), kind)
    install(schedulers.machine(platform), job(), kind)
    calls, found = schedulers.calls, show(schedulers.machine(platform), kind)
    report = remove(schedulers.machine(platform, dry_run=True), "ocblob-maintain", kind)
    assert [kind] == report.kinds
    assert (calls, found) == (schedulers.calls, show(schedulers.machine(platform), kind))


@pytest.mark.parametrize(
    ("platform", "there", "chosen"),
    [
        ("linux", ("systemctl", "crontab"), "systemd"),
        ("linux", ("crontab",), "cron"),
        ("freebsd14", ("crontab",), "cron"),
        ("darwin", ("launchctl", "crontab"), "launchd"),
        ("win32", ("schtasks",), "schtasks"),
    ],
)
def test_the_best_that_the_machine_has(tmp_path: Path, platform: str, there: tuple[str, ...], chosen: Kind) -> None:
    """Without a word about it the system's own scheduler is taken, cron where there is no other one."""
    schedulers = Schedulers(tmp_path)
    schedulers.have(*there)
    assert [chosen] == install(schedulers.machine(platform), job()).kinds


def test_a_manager_that_does_not_answer_is_none(schedulers: Schedulers) -> None:
    """Where systemctl is installed and the user's manager does not run, cron is taken; who insists is told."""
    schedulers.refuse("systemctl", "show-environment")
    with pytest.raises(ScheduleError, match="systemd is not here, or does not answer"):
        install(schedulers.machine(), job(), "systemd")
    assert ["cron"] == install(schedulers.machine(), job()).kinds


def test_a_machine_without_any(tmp_path: Path) -> None:
    """It is told what needs none."""
    with pytest.raises(ScheduleError, match="no scheduler") as raised:
        install(Schedulers(tmp_path).machine(), job())
    assert "watch" in raised.value.hint


@pytest.mark.parametrize(
    ("kind", "command", "words"),
    [("systemd", "systemctl", "enable"), ("launchd", "launchctl", "bootstrap"), ("schtasks", "schtasks", "/Create"),
     ("cron", "crontab", "-")],
)  # fmt: skip
def test_a_refusal_is_told_in_the_systems_words(schedulers: Schedulers, kind: Kind, command: str, words: str) -> None:
    """A command that fails is an error with what it said."""
    if kind == "cron":
        schedulers.keep("crontab", "")
    schedulers.refuse(command, words)
    with pytest.raises(ScheduleError, match="the moon is in the wrong house"):
        install(schedulers.machine("darwin" if kind == "launchd" else "linux"), job(), kind)


def test_two_kinds_at_once_are_told(schedulers: Schedulers) -> None:
    """Who has a cron line and installs a timer runs everything twice: a note says how to end that."""
    install(schedulers.machine(), job(), "cron")
    notes = install(schedulers.machine(), job(), "systemd").notes
    assert any("schedule remove --kind cron" in note for note in notes)
    assert ["systemd", "cron"] == remove(schedulers.machine(), "ocblob-maintain").kinds


# ---- systemd --------------------------------------------------------------------------------------------------------


def test_a_timer_with_new_times_is_started_anew(schedulers: Schedulers) -> None:
    """Systemd goes on with the old times unless it is told; the same timer again is left alone."""
    for minutes in (1440, 15, 15):
        install(schedulers.machine(), job(minutes=minutes), "systemd")
    restarts = [words for verb, words in schedulers.calls if verb == "systemctl" and "restart" in words]
    assert [["--user", "restart", "ocblob-maintain.timer"]] == restarts


needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")


def verified(root: Path, one: Job) -> str:
    """What systemd says of the two units."""
    (root / "one.service").write_text(service_text(one))
    (root / "one.timer").write_text(timer_text(one))
    words = ["systemd-analyze", "verify", "--man=no", str(root / "one.service"), str(root / "one.timer")]
    return subprocess.run(words, capture_output=True, text=True, check=False).stderr


@needs_systemd
@pytest.mark.parametrize("word", [word for word in ODD if word])
def test_systemd_reads_a_command_as_it_is_meant(tmp_path: Path, word: str) -> None:
    """Systemd itself finds the executable by its odd name, and complains of one that is not there by the same."""
    command = tmp_path / word.replace("/", "-") / "run"
    if not set("\"'\\") & set(word):
        said = verified(tmp_path, job(str(command), *ODD, variables={"NAME": word}))
        assert f"Command {command} is not executable" in said
    command.parent.mkdir()
    shutil.copy("/bin/true", command)
    assert "" == verified(tmp_path, job(str(command), *ODD, variables={"NAME": word}))


@needs_systemd
@pytest.mark.parametrize("minutes", [1, 5, 7, 15, 60, 90, 120, 720, 1440, 2880, 10_080])
def test_systemd_takes_every_time(tmp_path: Path, minutes: int) -> None:
    """Times that a calendar has stand in one, others count from the last run: systemd takes them all."""
    assert "" == verified(tmp_path, job("/bin/true", minutes=minutes))


# ---- cron -----------------------------------------------------------------------------------------------------------


def as_cron_runs(line: str) -> list[str]:
    """The words of a line's command: cron cuts at a percent that has no backslash, and a shell reads the rest."""
    command, text = line.split(" ", 5)[5], ""
    escaped = False
    for char in command:
        if escaped:
            text = text[:-1] + char if char == "%" else text + char
            escaped = False
            continue
        if char == "%":
            break
        escaped = char == "\\"
        text += char
    show_words = f"nice() {{ {sys.executable} -c 'import sys; print(ascii(sys.argv[1:]))' \"$@\"; }}; {text}"
    done = subprocess.run(["/bin/sh", "-c", show_words], capture_output=True, text=True, check=True)
    return list(eval(done.stdout))


def test_cron_and_the_shell_read_a_command_as_it_is_meant() -> None:
    """Every odd word arrives whole, in words and in variables."""
    variables = {f"NAME{index}": word for index, word in enumerate(ODD)}
    (line,) = line_of(job("/bin/run", *ODD, variables=variables)).splitlines()
    words = as_cron_runs(line)
    assert ["-n", "10", "env", *(f"{k}={v}" for k, v in variables.items()), "/bin/run", *ODD] == words


@pytest.mark.many
@given(st.text(st.sampled_from("%\\'\" a$#ü"), max_size=12))
def test_cron_reads_any_word_as_it_is_meant(word: str) -> None:
    """Percents, backslashes and quotes in any order."""
    assert ["-n", "10", "/bin/run", word] == as_cron_runs(line_of(job("/bin/run", word)))


def test_other_lines_of_a_crontab_stay_byte_for_byte(schedulers: Schedulers) -> None:
    """Comments, variables, blank lines, bytes that are no UTF-8, and a line that only looks like ours."""
    others = "# mine\n\nMAILTO=me\n5 4 * * * echo \udcff  \n# * * * * * run # ocblob schedule: ocblob-maintain\n"
    schedulers.keep("crontab", others)
    install(schedulers.machine(), job(), "cron")
    with_ours = schedulers.kept("crontab")
    assert with_ours.startswith(others)
    assert others.count("\n") + 1 == with_ours.count("\n")
    schedulers.keep("crontab", with_ours + "1 1 * * * last\n")
    install(schedulers.machine(), job(minutes=60), "cron")
    assert schedulers.kept("crontab").endswith("\n1 1 * * * last\n")
    remove(schedulers.machine(), "ocblob-maintain", "cron")
    assert others + "1 1 * * * last\n" == schedulers.kept("crontab")


def test_a_crontab_that_cannot_be_read_is_never_written(schedulers: Schedulers) -> None:
    """An error of `crontab -l` must not look like an empty table."""
    schedulers.keep("crontab", "1 1 * * * mine\n")
    schedulers.refuse("crontab", "-l")
    with pytest.raises(ScheduleError, match="nothing was changed"):
        install(schedulers.machine(), job(), "cron")
    assert "1 1 * * * mine\n" == schedulers.kept("crontab")


@pytest.mark.parametrize("minutes", [7, 45, 90, 2880, 5 * 60])
def test_cron_refuses_times_that_it_would_not_keep(minutes: int) -> None:
    """`*/7` begins anew each hour: that is not every seven minutes."""
    with pytest.raises(UsageError, match="cron cannot run a command every"):
        line_of(job(minutes=minutes))


def test_a_line_that_crons_would_cut_is_refused() -> None:
    """Nothing is installed that would run half of a command."""
    with pytest.raises(UsageError, match="more than crons take"):
        line_of(job("/" + "x" * 1000))


# ---- launchd and Windows, as their formats are read ------------------------------------------------------------------


def test_an_agent_holds_the_command_as_it_is_meant(schedulers: Schedulers) -> None:
    """Its property list gives back every odd word, and times as launchd has them."""
    path = schedulers.root / "home" / "Library" / "LaunchAgents" / "ocblob-maintain.plist"
    found: list[dict[str, Any]] = []
    for minutes in (15, 1440, 10_080):
        install(
            schedulers.machine("darwin"), job("/bin/run", *ODD, minutes=minutes, variables={"NAME": ODD[2]}), "launchd"
        )
        found.append(plistlib.loads(path.read_bytes()))
    assert ["/bin/run", *ODD] == found[0]["ProgramArguments"]
    assert {"NAME": ODD[2]} == found[0]["EnvironmentVariables"]
    assert 900 == found[0]["StartInterval"]
    assert {"Hour": 12, "Minute": 17} == found[1]["StartCalendarInterval"]
    assert {"Weekday": 1, "Hour": 12, "Minute": 17} == found[2]["StartCalendarInterval"]
    assert ["bootstrap", "bootout", "bootstrap", "bootout", "bootstrap"] == [words[0] for _, words in schedulers.calls]


def test_a_task_holds_the_command_as_it_is_meant() -> None:
    """Its XML gives back the command and one line of arguments, quoted by Windows' own rules."""
    tree = ET.fromstring(task_text(job("C:\\a & b\\python.exe", *ODD)).partition("\n")[2])
    names = {"t": "http://schemas.microsoft.com/windows/2004/02/mit/task"}
    assert "C:\\a & b\\python.exe" == tree.findtext(".//t:Command", namespaces=names)
    assert subprocess.list2cmdline(ODD) == tree.findtext(".//t:Arguments", namespaces=names)
    assert "1" == tree.findtext(".//t:DaysInterval", namespaces=names)
    tree = ET.fromstring(task_text(job(minutes=90)).partition("\n")[2])
    assert "PT90M" == tree.findtext(".//t:Interval", namespaces=names)


def test_a_task_with_variables_is_refused() -> None:
    """Windows gives a task none of its own: what would be missing is named."""
    with pytest.raises(UsageError, match="OCBLOB_S3_ENDPOINT_URL"):
        task_text(job(variables={"OCBLOB_S3_ENDPOINT_URL": "https://s3.example"}))


# ---- what may be scheduled -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [0.0, 59.0, 61.0, 90.0, -60.0, 31 * 86400.0, 1e18])
def test_times_that_no_scheduler_keeps_are_refused(seconds: float) -> None:
    """Whole minutes, up to a month."""
    with pytest.raises(UsageError, match="whole minutes"):
        Every.of(seconds)


@given(st.integers(1, EVERY_MINUTES_MAX))
def test_a_calendar_comes_back_at_the_same_times(minutes: int) -> None:
    """What is said as a calendar divides its hour, its day, or is one; and every time is told as it was written."""
    every = Every(minutes)
    unit_minutes = {"minutes": 1, "hours": 60, "days": 1440, "weeks": 10_080}
    if every.calendar is not None:
        unit, count = every.calendar
        assert minutes == count * unit_minutes[unit]
    shown = str(every)
    assert minutes == int(shown[:-1]) * {"m": 1, "h": 60, "d": 1440, "w": 10_080}[shown[-1]]


@pytest.mark.parametrize(("text", "kind"), list(itertools.product(["a\nb", "a\x00b", "\udcff"], KINDS)))
def test_text_that_no_format_holds_is_refused(text: str, kind: Kind) -> None:
    """A path with a line break would be another command."""
    with pytest.raises(UsageError, match="cannot stand in a schedule"):
        KINDS[kind].install(Schedulers(Path("/nowhere")).machine(), job("/bin/run", text))
