"""Rows of OpenCode sessions, shaped as the host writes them: keys, key order, ids and times.

A part is stored in the order in which the host built the object, its event in the order of the host's schema
(`EVENT_ORDER`); both were taken from databases that 1.18.33 wrote.
"""

from __future__ import annotations

import json
import random
import string
from datetime import UTC, datetime
from typing import Any

import apsw

VERSION = "1.18.33"
OLD_VERSION = "1.1.48"
PROJECT = "b68fee725fc19de6ffb8bd19633635fb8bb3a3f1"
WORKTREE = "/home/dev/app"
BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase

EVENT_ORDER = {
    "text": ("type", "text", "synthetic", "time"),
    "file": ("id", "sessionID", "messageID", "type", "mime", "filename", "url", "source"),
    "reasoning": ("type", "text", "metadata", "time"),
    "tool": ("type", "callID", "tool", "state"),
    "step-start": ("type", "snapshot"),
    "step-finish": ("type", "reason", "snapshot", "cost", "tokens"),
    "patch": ("type", "hash", "files"),
}
STATE_ORDER = ("status", "input", "raw", "output", "title", "metadata", "time", "attachments")
MESSAGE_ORDER = (
    "role",
    "time",
    "summary",
    "parentID",
    "modelID",
    "providerID",
    "mode",
    "agent",
    "model",
    "path",
    "cost",
    "tokens",
    "finish",
)
SAMPLE = (
    "the a to of and in is it that for this with as on be was are from when not if else return value row "
    "page part session message index query cache file path error test build branch commit stream buffer "
    "offset length chunk import def class self None True False async await raise except yield lambda "
    "print open read write close config option default timeout retry server client request response "
    "header body token model prompt agent tool = == != -> { } ( ) [ ] => // # :: && || += 0 1 2 42 128 "
    "4096 0x1f 3.14 über Größe naïve → ✓ 日本語 🙂 \n \n \n \n"
)
WORDS = SAMPLE.split(" ")
NO_TOKENS = {"input": 0, "output": 0, "reasoning": 0, "cache": {"write": 0, "read": 0}}
MODEL = {"id": "sonnet", "providerID": "anthropic", "variant": "default"}
SLUGS = (
    ("lucky", "clever", "quiet", "brave", "amber", "misty"),
    ("island", "lagoon", "harbor", "meadow", "comet", "otter"),
)
RUN_PERMISSION = [
    {"permission": name, "pattern": "*", "action": "deny"} for name in ("question", "plan_enter", "plan_exit")
]


def dumps(value: object) -> str:
    """Return JSON as JavaScript's `JSON.stringify` writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class Host:
    """The host's connection, clock and ids."""

    def __init__(self, connection: apsw.Connection, rng: random.Random) -> None:
        self.connection = connection
        self.parts = 0
        self._rng = rng
        self._now = 0
        self._last_id = 0

    def projects(self, now: int) -> None:
        """Insert the two projects: a git work tree, and the one for everything else."""
        self.connection.executemany(
            "INSERT INTO project (id, worktree, vcs, time_created, time_updated, sandboxes) "
            "VALUES (?, ?, ?, ?, ?, '[]')",
            [("global", "/", None, now, now), (PROJECT, WORKTREE, "git", now, now)],
        )
        self.connection.execute(
            "INSERT INTO project_directory (project_id, directory, time_created) VALUES (?, ?, ?)",
            (PROJECT, WORKTREE, now),
        )

    def set_time(self, now: int) -> None:
        """Move the clock forward, never back: ids follow it."""
        self._now = max(self._now, now)

    def tick(self, longest_ms: int = 40) -> int:
        """Let some time pass; the time it is then."""
        self._now += self._rng.randint(1, longest_ms)
        return self._now

    def new_id(self, prefix: str, *, descending: bool = False) -> str:
        """Return 48 bits of time and counter in hex, then 14 random characters; session ids count down."""
        self._last_id = max(self._last_id + 1, self._now * 4096 + 1)
        bits = (~self._last_id if descending else self._last_id) & (1 << 48) - 1
        return f"{prefix}_{bits:012x}{''.join(self._rng.choices(BASE62, k=14))}"

    def text(self, length: int) -> str:
        """Return words, code and line breaks of about `length` characters."""
        return " ".join(self._rng.choices(WORDS, k=max(1, length // 5)))

    def sha(self) -> str:
        """Return a git object name."""
        return f"{self._rng.getrandbits(160):040x}"


class Session:
    """One session and its rows; `logged` sessions have events too."""

    def __init__(self, host: Host, rng: random.Random, *, parent: str | None, logged: bool) -> None:
        self.host = host
        self.logged = logged
        self.parts = 0
        self._rng = rng
        self._sequence = -1
        self._created = self._updated = host.tick()
        self.id = host.new_id("ses", descending=True)
        self.in_git = in_git = rng.random() < 0.8
        self._info: dict[str, Any] = {
            "id": self.id,
            "slug": f"{rng.choice(SLUGS[0])}-{rng.choice(SLUGS[1])}",
            "projectID": PROJECT if in_git else "global",
            "directory": WORKTREE,
            "path": "" if in_git else WORKTREE[1:],
            **({"parentID": parent} if parent else {}),
            "cost": 0,
            "tokens": {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}},
            "title": f"New session - {_iso(self._created)}",
            "version": VERSION if logged else OLD_VERSION,
        }
        self.root = WORKTREE if in_git else "/"
        self._permission = RUN_PERMISSION if rng.random() < 0.3 else None
        self._insert()
        if logged:
            host.connection.execute("INSERT INTO event_sequence (aggregate_id, seq) VALUES (?, 0)", (self.id,))
        self._event("session.created.1", {"sessionID": self.id, "info": self._current()})

    def _insert(self) -> None:
        info = self._info
        row = {
            "id": self.id,
            "project_id": info["projectID"],
            "parent_id": info.get("parentID"),
            "slug": info["slug"],
            "directory": info["directory"],
            "path": info["path"],
            "title": info["title"],
            "version": info["version"],
            "summary_additions": 0,
            "summary_deletions": 0,
            "summary_files": 0,
            "permission": dumps(self._permission) if self._permission else None,
            "agent": "build",
            "model": dumps(MODEL),
            "time_created": self._created,
            "time_updated": self._created,
        }
        self.host.connection.execute(
            f"INSERT INTO session ({', '.join(row)}) VALUES ({', '.join('?' * len(row))})",
            tuple(row.values()),
        )

    def _current(self) -> dict[str, Any]:
        info = {**self._info, "time": {"created": self._created, "updated": self._updated}}
        if self._permission:
            info["permission"] = self._permission
        return info

    def _event(self, kind: str, data: dict[str, Any]) -> None:
        if not self.logged:
            return
        self._sequence += 1
        self.host.connection.execute(
            "INSERT INTO event (id, aggregate_id, seq, type, data) VALUES (?, ?, ?, ?, ?)",
            (self.host.new_id("evt"), self.id, self._sequence, kind, dumps(data)),
        )

    def update(self, *, title: str | None = None) -> None:
        """Write the event that says that the session changed."""
        self._updated = self.host.tick()
        if title:
            self._info["title"] = title
        self._event("session.updated.1", {"sessionID": self.id, "info": self._current()})

    def close(self) -> None:
        """Write the last state of the session's own rows."""
        execute = self.host.connection.execute
        tokens = self._info["tokens"]
        execute(
            "UPDATE session SET title=?, time_updated=?, cost=?, tokens_input=?, tokens_output=? WHERE id=?",
            (
                self._info["title"],
                self._updated,
                self._info["cost"],
                tokens["input"],
                tokens["output"],
                self.id,
            ),
        )
        execute("UPDATE event_sequence SET seq=? WHERE aggregate_id=?", (self._sequence, self.id))
        for position in range(self._rng.randrange(4)):
            execute(
                "INSERT INTO todo VALUES (?, ?, 'completed', 'medium', ?, ?, ?)",
                (self.id, self.host.text(40), position, self._updated, self._updated),
            )

    def message(self, message_id: str, created: int, data: dict[str, Any]) -> None:
        """Write the next state of a message: its event, then its row."""
        info = {"id": message_id, "sessionID": self.id, **_ordered(data, MESSAGE_ORDER)}
        self._event("message.updated.1", {"sessionID": self.id, "info": info})
        self.host.connection.execute(
            "INSERT INTO message (id, session_id, time_created, time_updated, data) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET time_updated=excluded.time_updated, data=excluded.data",
            (message_id, self.id, created, self.host.tick(), dumps(data)),
        )

    def user_message(self) -> str:
        """Write a user's message; return its id."""
        created = self.host.tick(60_000)
        message_id = self.host.new_id("msg")
        model = {"providerID": "anthropic", "modelID": "sonnet"}
        data: dict[str, Any] = {
            "role": "user",
            "time": {"created": created},
            "agent": "build",
            "model": model,
        }
        self.message(message_id, created, data)
        self.message(message_id, created, {**data, "summary": {"diffs": []}})
        return message_id

    def spend(self, tokens_in: int, tokens_out: int, cost: float) -> None:
        """Add to the session's totals, which its next event shows."""
        total = self._info["tokens"]
        total = {**total, "input": total["input"] + tokens_in, "output": total["output"] + tokens_out}
        self._info = {**self._info, "tokens": total, "cost": round(self._info["cost"] + cost, 6)}

    def part(self, message_id: str, data: dict[str, Any], *earlier: dict[str, Any]) -> str:
        """Write an event for each `earlier` state and one for this, then the row; return the part's id."""
        created = self.host.tick()
        part_id = self.host.new_id("prt")
        for state in (*earlier, data):
            part = {"id": part_id, "sessionID": self.id, "messageID": message_id, **as_logged(state)}
            moment = self.host.tick()
            self._event("message.part.updated.1", {"sessionID": self.id, "part": part, "time": moment})
        self._insert_part(part_id, message_id, created, "?", (dumps(data),))
        return part_id

    def insert_part(self, message_id: str, expression: str) -> int:
        """Write a part row alone, its data an SQL expression; return its rowid."""
        self._insert_part(self.host.new_id("prt"), message_id, self.host.tick(), expression, ())
        return self.host.connection.last_insert_rowid()

    def _insert_part(self, part_id: str, message: str, created: int, data: str, values: tuple[str, ...]) -> None:
        self.parts += 1
        self.host.parts += 1
        self.host.connection.execute(
            "INSERT INTO part (id, message_id, session_id, time_created, time_updated, data) "
            f"VALUES (?, ?, ?, ?, ?, {data})",
            (part_id, message, self.id, created, self.host.tick(), *values),
        )


def as_logged(part: dict[str, Any]) -> dict[str, Any]:
    """Return a part as its event holds it: the schema's key order, and no keys that the schema lacks."""
    logged = _ordered(part, EVENT_ORDER[part["type"]])
    if "state" in logged:
        state = logged["state"] = _ordered(logged["state"], STATE_ORDER)
        if "attachments" in state:
            state["attachments"] = [as_logged(file) for file in state["attachments"]]
    return logged


def _ordered(data: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    ordered = {key: data[key] for key in order if key in data}
    if "tokens" in ordered:
        cache = ordered["tokens"]["cache"]
        ordered["tokens"] = {**ordered["tokens"], "cache": {"read": cache["read"], "write": cache["write"]}}
    return ordered


def _iso(moment_ms: int) -> str:
    moment = datetime.fromtimestamp(moment_ms // 1000, UTC)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{moment_ms % 1000:03}Z"
