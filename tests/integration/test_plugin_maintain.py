"""The plugin's maintain passes: only where a limit is meant, after the re-scan, in turn with other hosts."""

import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest
from plugin_process import FakeCommand, Runtime

MINUTE_MS = 60_000
PATIENCE_SECONDS = 30
NICE = 10
LIMIT = {"maxSessions": 100}
USUAL = ["maintain", "--scheduled", "--quiet", "--no-plugin", "--no-create", "--db"]


@pytest.fixture
def command(tmp_path: Path) -> FakeCommand:
    """What stands in for ocblob."""
    return FakeCommand(tmp_path / "command")


def idle(session: str = "ses_1") -> list[Any]:
    """A step: a session comes to rest."""
    return ["hook", "event", {"event": {"type": "session.idle", "properties": {"sessionID": session}}}]


def calls(command: FakeCommand, verb: str, count: int) -> list[dict[str, Any]]:
    """How a verb was called, once that has been so often."""
    end = time.monotonic() + PATIENCE_SECONDS
    while len(command.calls(verb)) < count and time.monotonic() < end:
        time.sleep(0.01)
    return command.calls(verb)


def ended(command: FakeCommand, root: Path, kind: str) -> list[Any]:
    """A step: the last pass of a kind is over."""
    name = hashlib.sha256(str(command.database).encode()).hexdigest()[:16]
    return ["ended", str(root / "state" / "ocblob" / "plugin" / f"{kind}-{name}")]


@pytest.mark.parametrize(
    "options",
    [
        {"maxSizeMB": 200},
        {"maxSizeMB": 0.5, "maxAgeDays": 1.5},
        {"maxSessions": 9, "by": "used", "keepActiveDays": 0, "keep": ["ses_1", "ses_2"], "archive": "/a b/c"},
        {"maxSessions": 9, "archive": False, "archiveRefs": True, "vacuum": "never"},
        {"maxSessions": 9, "archive": "~/archives", "warnMB": [1], "prune": False, "evictMaxSizeMB": 5},
        {"mirror": "postgresql://me@host/db"},
    ],
)
def test_the_pass_hears_what_the_entry_says(
    tmp_path: Path, runtime: Runtime, command: FakeCommand, options: dict[str, Any]
) -> None:
    """Limits and all that stands beside them; nothing that is null, and no directory that begins nowhere."""
    nothing: dict[str, object] = {"maxAgeDays": None} if "maxAgeDays" not in options else {}
    nothing |= {"archive": "beside/the/file"} if "archive" not in options else {}
    nothing |= {"mirror": "beside/the/file.db"} if "mirror" not in options else {}
    given = command.options | {"rescan": False} | options | nothing
    case = runtime.one(tmp_path, {"options": given, "steps": [idle()]})
    (call,) = calls(command, "maintain", 1)
    assert [*USUAL, str(command.database)] == call["words"]
    assert options == call["said"]
    assert [] == case["logs"]


def test_without_a_limit_nothing_runs(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Neither by default, nor by nulls, nor by what only stands beside limits."""
    beside = {"by": "used", "keep": ["ses_1"], "vacuum": "always", "maxSizeMB": None, "maxAgeDays": None}
    for options in ({}, beside):
        given = command.options | {"rescan": False} | options
        runtime.one(tmp_path, {"options": given, "steps": [idle(), ["advance", 200 * MINUTE_MS], idle()]})
    assert [] == command.calls("maintain")


@pytest.mark.parametrize(
    "wrong",
    [{"maxSizeMB": 0}, {"maxAgeDays": -1}, {"maxSessions": 0}, {"keep": "ses_1"}, {"keepActiveDays": "7"},
     {"archive": True}, {"by": "size"}],
)  # fmt: skip
def test_what_cannot_be_meant_evicts_nothing(
    tmp_path: Path, runtime: Runtime, command: FakeCommand, wrong: dict[str, Any]
) -> None:
    """Zero is no limit, and a limit beside a word that was meant to keep something does not run without that word."""
    given = command.options | {"rescan": False} | ({"maxAgeDays": 30} | wrong)
    case = runtime.one(tmp_path, {"options": given, "steps": [idle(), ["advance", 200 * MINUTE_MS], idle()]})
    assert [] == command.calls("maintain")
    (told,) = (log for log in case["logs"] if "no session is retained" in log["message"])
    assert ("warn", True) == (told["level"], next(iter(wrong)) in told["message"])


def test_at_most_once_an_hour_and_after_the_re_scan(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """The first one when the re-scan has ended; the next one when an hour is over, if the host has rested since."""
    steps = [
        idle("ses_1"),
        ended(command, tmp_path, "pass"),
        ["advance", 10_000],
        ended(command, tmp_path, "maintain"),
        ["advance", 20 * MINUTE_MS],
        idle("ses_2"),
        ["advance", 10 * MINUTE_MS],
        ended(command, tmp_path, "pass"),
        ["advance", 35 * MINUTE_MS],
        ended(command, tmp_path, "maintain"),
        ["advance", 300 * MINUTE_MS],
    ]
    runtime.one(tmp_path, {"options": command.options | LIMIT, "steps": steps})
    assert 2 == len(calls(command, "maintain", 2))
    lines = (command.root / "calls").read_text().splitlines()
    assert ["offload", "maintain", "offload", "maintain"] == [
        verb for verb in (json.loads(line)["words"][0] for line in lines) if verb != "plugin"
    ]


def test_hosts_take_turns(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """A second host of the same database leaves it alone within the hour; `maintainMinutes` says another time."""
    given = command.options | {"rescan": False} | LIMIT
    for options in (given, given, given | {"maintainMinutes": 0.01}):
        steps = [["advance", 5000], idle(), ended(command, tmp_path, "maintain")]
        runtime.one(tmp_path, {"options": options, "steps": steps})
    assert 2 == len(calls(command, "maintain", 2))


def test_it_is_nice_and_in_a_group_of_its_own(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """As a re-scan."""
    given = command.options | {"rescan": False} | LIMIT
    runtime.one(tmp_path, {"options": given, "steps": [idle()]})
    (call,) = calls(command, "maintain", 1)
    assert call["pid"] == call["group"]
    assert os.nice(0) + NICE == call["nice"]


def test_what_a_pass_says_is_in_the_log(tmp_path: Path, runtime: Runtime, command: FakeCommand) -> None:
    """Warnings as warnings, an eviction among them, the last ones of very many; a failure with its words."""
    found = {}
    for mode, count in (("warns", "1"), ("warns", "1000"), ("fails", "1")):
        given = command.options | {"rescan": False, "environment": {"FAKE_MODE": mode, "FAKE_COUNT": count}} | LIMIT
        told = "a word" if mode == "warns" else "gave 1"
        steps = [["advance", 61 * MINUTE_MS], idle(), ["told", told]]
        case = runtime.one(tmp_path / mode / count, {"options": given, "steps": steps})
        found[f"{mode} {count}"] = [(log["level"], log["message"]) for log in case["logs"]]
    expected = [
        ("warn", "ocblob: evicted session ses_old"),
        ("warn", "ocblob: OpenCode database is large"),
        ("info", "ocblob: a word"),
    ]
    assert [expected, expected] == [found["warns 1"], found["warns 1000"]]
    ((level, message),) = found["fails 1"]
    assert "warn" == level
    assert "the maintain pass gave 1: Error: the disk is on fire" in message
