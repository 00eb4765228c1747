"""The plugin's re-scans: one at a time for a database, whoever starts it, and on its own feet."""

import hashlib
import os
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from plugin_process import FakeCommand, Runtime, isolated

MINUTE_MS = 60_000
PATIENCE_SECONDS = 30
HOSTS = 4
NICE = 10
LOOKED = "the blobs are on holiday"
"""What the fake `plugin status` says; every host asks once."""
LOOK = [["advance", 20_000], ["told", LOOKED]]
"""Steps: the time comes at which it is asked."""


@pytest.fixture
def command(tmp_path: Path) -> FakeCommand:
    """What stands in for ocblob."""
    return FakeCommand(tmp_path / "command")


def idle(*sessions: object) -> list[list[Any]]:
    """Steps: these sessions come to rest."""
    events = [{"event": {"type": "session.idle", "properties": {"sessionID": session}}} for session in sessions]
    return [["hook", "event", event] for event in events]


def passes(command: FakeCommand, count: int) -> list[list[str]]:
    """The sessions of each pass, once there have been `count`."""
    end = time.monotonic() + PATIENCE_SECONDS
    while len(command.calls("offload")) < count and time.monotonic() < end:
        time.sleep(0.01)
    return [call["words"][8:] for call in command.calls("offload")]


def turn_file(command: FakeCommand, root: Path) -> Path:
    """Where hosts below `root` take turns."""
    name = hashlib.sha256(str(command.database).encode()).hexdigest()[:16]
    return root / "state" / "ocblob" / "plugin" / f"pass-{name}"


def make_turn(command: FakeCommand, root: Path, text: str, *, age_seconds: float) -> Path:
    """A turn that somebody took before."""
    file = turn_file(command, root)
    file.parent.mkdir(parents=True)
    file.write_text(text)
    os.utime(file, times=(time.time() - age_seconds, time.time() - age_seconds))
    return file


def a_dead_pid() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def test_sessions_that_rest_are_looked_at_in_turn(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """The first at once, those that follow together when five minutes are over; then again at once."""
    ended = ["ended", str(turn_file(command, tmp_path))]
    steps = [*idle("ses_1", "ses_2", "ses_3", "ses_2", None, 5), ended, *LOOK, ["advance", 5 * MINUTE_MS - 25_000]]
    steps += [*idle("ses_4"), ["advance", 6000], ended, ["advance", 5 * MINUTE_MS], *idle("ses_5")]

    case = runtime.one(tmp_path, {"options": command.options, "steps": steps})

    expected = [["--session", "ses_1"], ["--session", "ses_2", "--session", "ses_3", "--session", "ses_4"]]
    assert [*expected, ["--session", "ses_5"]] == passes(command, 3)
    words = command.calls("offload")[0]["words"]
    options = ["--no-plugin", "--no-create", "--quiet", "--min-size", "8192", "--db", str(command.database)]
    assert ["offload", *options] == words[:8]
    assert [f"ocblob: {LOOKED}"] == [log["message"] for log in case["logs"]]


def test_a_pass_is_nice_and_in_a_group_of_its_own(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """It may take its time, and no signal to the host's group reaches it; what it prints goes nowhere."""
    runtime.one(tmp_path, {"options": command.options, "steps": idle("ses_1")})
    passes(command, 1)
    (call,) = command.calls("offload")
    assert call["pid"] == call["group"]
    assert os.nice(0) + NICE == call["nice"]


def test_a_pass_outlives_its_host(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """The host's whole process group is killed; the pass ends in peace."""
    options = command.options | {"environment": {"FAKE_MODE": "slow"}}
    begun = command.root / "go-begun"
    steps = [*idle("ses_1"), ["until", str(tmp_path / "never")]]
    with runtime.running(tmp_path / "run", [{"options": options, "steps": steps}]) as (process, _):
        end = time.monotonic() + PATIENCE_SECONDS
        while not begun.exists() and time.monotonic() < end:
            time.sleep(0.01)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(PATIENCE_SECONDS)
    assert [] == command.calls("offload")
    (command.root / "go").touch()
    assert [["--session", "ses_1"]] == passes(command, 1)


@pytest.mark.parametrize("turn", ["none", "old", "dead"])
def test_hosts_of_one_database_start_one_pass(
    tmp_path: Path, runtime: Runtime, command: FakeCommand, turn: str
) -> None:
    """Of several that begin at the same moment; whether there was a turn before or not."""
    if turn != "none":
        pid = a_dead_pid() if turn == "dead" else 0
        make_turn(command, tmp_path, str(pid), age_seconds=1000)
    go = tmp_path / "start"
    environment = {name: value for name, value in isolated(tmp_path).items() if name.startswith("XDG")}
    steps = [["write", "{ready}", ""], ["until", str(go)], *idle("ses_1")]
    with ExitStack() as stack:
        hosts = []
        for number in range(HOSTS):
            ready = tmp_path / f"ready-{number}"
            own = [[str(ready) if word == "{ready}" else word for word in step] for step in steps]
            case = {"options": command.options, "environment": environment, "steps": own}
            hosts.append((ready, *stack.enter_context(runtime.running(tmp_path / f"host-{number}", [case]))))
        end = time.monotonic() + PATIENCE_SECONDS
        while not all(ready.exists() for ready, _, _ in hosts) and time.monotonic() < end:
            time.sleep(0.01)
        go.touch()
        assert [0] * HOSTS == [process.wait(PATIENCE_SECONDS) for _, process, _ in hosts]
    assert [["--session", "ses_1"]] == passes(command, 1)
    assert not list(turn_file(command, tmp_path).parent.glob("*.lock"))


def test_a_turn_of_others(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """A pass that runs is waited for, one that is dead, or claims to have run for hours, is not."""
    here = os.getpid()
    turns = {
        "runs": (str(here), 1000.0),
        "has just begun": (str(here), 1.0),
        "dead": (str(a_dead_pid()), 1000.0),
        "for hours": (str(here), 4000.0),
        "of the future": (str(a_dead_pid()), -1000.0),
        "runs in the future": (str(here), -1000.0),
        "no number": ("x" * 5000, 1000.0),
        "a group": ("-1", 1000.0),
    }
    cases = []
    for name, (text, age) in turns.items():
        root = tmp_path / name
        make_turn(command, root, text, age_seconds=age)
        environment = {"XDG_STATE_HOME": str(root / "state")}
        cases.append({"options": command.options, "environment": environment, "steps": idle(name)})

    runtime.run(tmp_path, cases)

    taken = ["dead", "for hours", "of the future", "no number", "a group"]
    assert sorted(taken) == sorted(words[1] for words in passes(command, len(taken)))


def test_a_lock_that_was_left_behind(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """A host died while it took its turn: after a minute the others go on."""
    lock = turn_file(command, tmp_path).with_name(turn_file(command, tmp_path).name + ".lock")
    lock.parent.mkdir(parents=True)
    lock.touch()
    steps = [*idle("ses_1"), *LOOK, ["advance", 10_000], *idle("ses_2"), ["advance", MINUTE_MS]]

    case = runtime.one(tmp_path, {"options": command.options, "steps": steps})

    assert [["--session", "ses_1", "--session", "ses_2"]] == passes(command, 1)
    assert not lock.exists()
    assert [f"ocblob: {LOOKED}"] == [log["message"] for log in case["logs"]]


def test_what_may_go_wrong_is_told(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """No state directory, no command, a pass that fails, also in a timer: nothing throws, and the next one works."""
    blocked = tmp_path / "blocked"
    blocked.write_text("a file stands in the way")
    state, moved = tmp_path / "state", tmp_path / "moved"
    absent = command.options | {"command": [str(tmp_path / "absent")]}
    fails = command.options | {"environment": {"FAKE_MODE": "fails"}}
    in_a_timer = [
        *idle("ses_3", "ses_4"),
        ["rename", str(state), str(moved)],
        ["write", str(state), "in the way"],
        ["advance", 5 * MINUTE_MS],
        ["told", "no re-scan"],
        ["remove", str(state)],
        *idle("ses_5"),
    ]

    def case(options: dict[str, Any], place: Path, steps: list[list[Any]]) -> dict[str, Any]:
        return {"options": options, "environment": {"XDG_STATE_HOME": str(place)}, "steps": steps}

    cases = [
        case(command.options, blocked, idle("ses_1", "ses_2")),
        case(command.options, state, in_a_timer),
        case(absent, tmp_path / "two", [*idle("ses_6"), ["told", "no re-scan"]]),
        case(fails, tmp_path / "three", [*idle("ses_7"), ["told", "gave 1"]]),
    ]

    found = runtime.run(tmp_path, cases)

    expected = [["--session", "ses_3"], ["--session", "ses_4", "--session", "ses_5"], ["--session", "ses_7"]]
    assert expected == sorted(passes(command, 3))
    told = [[log["message"] for log in case["logs"] if "re-scan" in log["message"]] for case in found]
    assert [1, 1, 1, 1] == [len(messages) for messages in told]
    assert "the disk is on fire" in told[3][0]


def test_re_scans_may_be_off(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """With `rescan: false` nothing is started, and nobody's turn is taken."""
    runtime.one(tmp_path, {"options": command.options | {"rescan": False}, "steps": idle("ses_1")})
    assert [] == command.calls("offload")
    assert not turn_file(command, tmp_path).parent.exists()


# ---- places -------------------------------------------------------------------------------------------------------


def test_the_hosts_own_database(tmp_path: Path, runtime: Runtime) -> None:
    """The environment tells; else the one in the data directory; of several the one that is open, or all by age."""
    names = {"one": ["opencode.db"], "two": ["opencode.db", "opencode-dev.db"], "none": ["other.db", "opencode-/.db"]}
    for place, files in names.items():
        for age, name in enumerate(files):
            file = tmp_path / place / "opencode" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()
            os.utime(file, times=(time.time() - 1000 - age, time.time() - 1000 - age))
    (tmp_path / "two" / "opencode" / "opencode-dev.db-wal").touch()
    option = {"db": "/named.db"}
    two = tmp_path / "two" / "opencode"
    ask: list[Any] = ["ask", "ownDatabases", [[option]]]

    def case(place: str, *before: list[Any], **more: str) -> dict[str, Any]:
        return {"environment": {"XDG_DATA_HOME": str(tmp_path / place), **more}, "steps": [*before, ask]}

    cases = [
        case("one"),
        case("two"),
        case("two", ["open", str(two / "opencode.db")]),
        case("none"),
        case("absent"),
        case("two", OPENCODE_DB="/else/where.db"),
        case("two", OPENCODE_DB="mine.db"),
    ]

    found = [item["done"][-1]["gave"][0] for item in runtime.run(tmp_path, cases)]

    newest_first = [str(two / "opencode-dev.db"), str(two / "opencode.db")]
    opened = newest_first[1:] if Path("/proc/self/fd").exists() else newest_first
    assert [str(tmp_path / "one" / "opencode" / "opencode.db")] == found[0]
    assert [newest_first, opened] == found[1:3]
    assert [["/named.db"], ["/named.db"], ["/else/where.db"], [str(two / "mine.db")]] == found[3:]


def test_where_blobs_lie(tmp_path: Path, runtime: Runtime) -> None:
    """In the store that the command would open, by the same options and variables, if it is on this machine."""
    named, home = str(tmp_path / "named"), str(tmp_path / "home")
    data = {"HOME": home, "XDG_DATA_HOME": str(tmp_path / "data")}
    asked: list[tuple[dict[str, str], dict[str, str]]] = [
        ({"store": named}, {}),
        ({"store": "~/blobs"}, {}),
        ({}, {"OCBLOB_STORE": named}),
        ({"store": "s3://bucket"}, {"OCBLOB_STORE": named}),
        ({"objects": named, "store": "s3://bucket"}, {}),
    ]
    cases = [
        {
            "environment": data | environment,
            "steps": [["ask", "objectsDirectory", [[{"objects": "", "store": "", **options}]]]],
        }
        for options, environment in asked
    ]

    found = [case["done"][0]["gave"][0] for case in runtime.run(tmp_path, cases)]

    assert [f"{named}/objects", f"{home}/blobs/objects", f"{named}/objects", "", named] == found
