"""Rows of OpenCode sessions, shaped as the host writes them: keys, key order, ids and times.

A part is stored in the order in which the host built the object, its event in the order of the host's schema
(`EVENT_ORDER`); both were taken from databases that 1.18.33 wrote.
"""

from __future__ import annotations

import base64
import json
import random
import string
from datetime import UTC, datetime
from typing import Any, ClassVar

import apsw
from attachments import Attachment

VERSION = "1.18.33"
OLD_VERSION = "1.1.48"
PROJECT = "b68fee725fc19de6ffb8bd19633635fb8bb3a3f1"
WORKTREE = "/home/dev/app"
OUTPUT_LIMIT_BYTES = 30_000
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
STATE_ORDER = ("status", "input", "output", "title", "metadata", "time", "attachments")
MESSAGE_ORDER = (
    *(
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
    ),
    *("tokens", "finish"),
)
WORDS = (
    "the a to of and in is it that for this with as on be was are from when not if else return value row page part "
    "session message index query cache file path error test build branch commit stream buffer offset length chunk "
    "import def class self None True False async await raise except yield lambda print open read write close "
    "config option default timeout retry server client request response header body token model prompt agent tool "
    "= == != -> { } ( ) [ ] => // # :: && || += 0 1 2 42 128 4096 0x1f 3.14 über Größe naïve → ✓ 日本語 🙂 \n \n \n \n"
).split(" ")
NO_TOKENS = {"input": 0, "output": 0, "reasoning": 0, "cache": {"write": 0, "read": 0}}
SLUGS = (
    ("lucky", "clever", "quiet", "brave", "amber", "misty"),
    ("island", "lagoon", "harbor", "meadow", "comet", "otter"),
)
RUN_PERMISSION = [
    {"permission": name, "pattern": "*", "action": "deny"} for name in ("question", "plan_enter", "plan_exit")
]


def dumps(value: object) -> str:
    """JSON as JavaScript's `JSON.stringify` writes it."""
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
        """The two projects: a git work tree, and the one for everything else."""
        self.connection.executemany(
            "INSERT INTO project (id, worktree, vcs, time_created, time_updated, sandboxes) VALUES (?, ?, ?, ?, ?, '[]')",
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
        """48 bits of time and counter in hex, then 14 random characters; session ids count down."""
        self._last_id = max(self._last_id + 1, self._now * 4096 + 1)
        bits = (~self._last_id if descending else self._last_id) & (1 << 48) - 1
        return f"{prefix}_{bits:012x}{''.join(self._rng.choices(BASE62, k=14))}"

    def text(self, length: int) -> str:
        """Words, code and line breaks of about `length` characters."""
        return " ".join(self._rng.choices(WORDS, k=max(1, length // 5)))

    def sha(self) -> str:
        """A git object name."""
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
        in_git = rng.random() < 0.8
        self._info: dict[str, Any] = {
            "id": self.id,
            "slug": f"{rng.choice(SLUGS[0])}-{rng.choice(SLUGS[1])}",
            "projectID": PROJECT if in_git else "global",
            "directory": WORKTREE,
            "path": "" if in_git else WORKTREE[1:],
            **({"parentID": parent} if parent else {}),
            "cost": 0,
            "tokens": {"input": 0, "output": 0, "reasoning": 0, "cache": {"read": 0, "write": 0}},
            "title": f"New session - {datetime.fromtimestamp(self._created / 1000, UTC):%Y-%m-%dT%H:%M:%S.000Z}",
            "version": VERSION if logged else OLD_VERSION,
        }
        self.root = WORKTREE if in_git else "/"
        self._permission = RUN_PERMISSION if rng.random() < 0.3 else None
        self._insert()
        if logged:
            host.connection.execute(
                "INSERT INTO event_sequence (aggregate_id, seq) VALUES (?, 0)", (self.id,)
            )
        self._event("session.created.1", {"sessionID": self.id, "info": self._current()})

    def _insert(self) -> None:
        info = self._info
        names = (
            "id project_id parent_id slug directory path title version cost permission agent model".split()
        )
        names += ["summary_additions", "summary_deletions", "summary_files", "time_created", "time_updated"]
        permission = dumps(self._permission) if self._permission else None
        model = dumps({"id": "sonnet", "providerID": "anthropic", "variant": "default"})
        values = (
            self.id,
            info["projectID"],
            info.get("parentID"),
            info["slug"],
            info["directory"],
            info["path"],
        )
        self.host.connection.execute(
            f"INSERT INTO session ({', '.join(names)}) VALUES ({', '.join('?' * len(names))})",
            (*values, info["title"], info["version"], 0.0, permission, "build", model, 0, 0, 0)
            + (self._created, self._created),
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
        """The host says that the session changed."""
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
        """The next state of a message: its event, then its row."""
        info = {"id": message_id, "sessionID": self.id, **_ordered(data, MESSAGE_ORDER)}
        self._event("message.updated.1", {"sessionID": self.id, "info": info})
        self.host.connection.execute(
            "INSERT INTO message (id, session_id, time_created, time_updated, data) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT (id) DO UPDATE SET time_updated=excluded.time_updated, data=excluded.data",
            (message_id, self.id, created, self.host.tick(), dumps(data)),
        )

    def user_message(self) -> str:
        """A user's message; its id."""
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
        """A part row, after an event for each `earlier` state and one for this; its id."""
        created = self.host.tick()
        part_id = self.host.new_id("prt")
        for state in (*earlier, data):
            part = {"id": part_id, "sessionID": self.id, "messageID": message_id, **as_logged(state)}
            moment = self.host.tick()
            self._event("message.part.updated.1", {"sessionID": self.id, "part": part, "time": moment})
        self._insert_part(part_id, message_id, created, "?", (dumps(data),))
        return part_id

    def insert_part(self, message_id: str, expression: str) -> int:
        """A part row alone, its data an SQL expression; its rowid."""
        self._insert_part(self.host.new_id("prt"), message_id, self.host.tick(), expression, ())
        return self.host.connection.last_insert_rowid()

    def _insert_part(
        self, part_id: str, message: str, created: int, data: str, values: tuple[str, ...]
    ) -> None:
        self.parts += 1
        self.host.parts += 1
        self.host.connection.execute(
            "INSERT INTO part (id, message_id, session_id, time_created, time_updated, data) "
            f"VALUES (?, ?, ?, ?, ?, {data})",
            (part_id, message, self.id, created, self.host.tick(), *values),
        )


def as_logged(part: dict[str, Any]) -> dict[str, Any]:
    """A part as its event holds it: the schema's key order, and no keys that the schema lacks."""
    logged = _ordered(part, EVENT_ORDER[part["type"]])
    if "state" in logged:
        state = logged["state"] = _ordered(logged["state"], STATE_ORDER)
        if "attachments" in state:
            state["attachments"] = [as_logged(file) for file in state["attachments"]]
    if "tokens" in logged:
        cache = logged["tokens"]["cache"]
        logged["tokens"] = {**logged["tokens"], "cache": {"read": cache["read"], "write": cache["write"]}}
    return logged


def _ordered(data: dict[str, Any], order: tuple[str, ...]) -> dict[str, Any]:
    return {key: data[key] for key in order if key in data}


class Turn:
    """One question of the user, and the agent's steps until its answer."""

    UNLOGGED_SHARE: ClassVar[float] = 0.65
    """Share of the parts that are older than the event log."""

    def __init__(self, session: Session, rng: random.Random) -> None:
        self._session = session
        self._host = session.host
        self._rng = rng

    def write(self, attachments: list[Attachment]) -> None:
        """The user attaches some of these files, tools return the others."""
        by_user = [file for file in attachments if self._rng.random() < 0.6]
        by_tool = [file for file in attachments if file not in by_user]
        question = self._session.user_message()
        for file in by_user:
            self._user_file(question, file)
        self._session.part(question, {"type": "text", "text": self._host.text(self._size(120))})
        self._session.update(
            title=self._host.text(30).replace("\n", " ") if self._rng.random() < 0.2 else None
        )
        for step in range(steps := self._rng.randint(2, 7) + len(by_tool)):
            tool_file = by_tool[step] if step < len(by_tool) else None
            self._step(question, last=step == steps - 1, file=tool_file)

    def _size(self, median: int, *, spread: float = 1.2) -> int:
        return int(min(OUTPUT_LIMIT_BYTES, max(20, self._rng.lognormvariate(0, spread) * median)))

    def _output(self) -> str:
        """What a tool read, printed or wrote: 0.1 to 30 kB, mostly little."""
        return self._host.text(max(100, self._size(130, spread=1.7)))

    def _user_file(self, message: str, file: Attachment) -> None:
        url = data_url(file)
        if file.kind == "png" and self._rng.random() < 0.6:  # pasted in the terminal
            source = {
                "text": {"value": "[Image 1]", "start": 4, "end": 13},
                "type": "file",
                "path": "clipboard",
            }
            part = {"type": "file", "mime": file.mime, "filename": "clipboard", "url": url, "source": source}
            self._session.part(message, part)
            return
        call = dumps({"filePath": f"{WORKTREE}/{file.name}"})
        noun = "PDF" if file.kind == "pdf" else "Image"
        for text in (f"Called the Read tool with the following input: {call}", f"{noun} read successfully"):
            self._session.part(message, {"type": "text", "synthetic": True, "text": text})
        part = {"type": "file", "mime": file.mime, "url": url, "synthetic": True, "filename": file.name}
        self._session.part(message, part)

    def _step(self, question: str, *, last: bool, file: Attachment | None) -> None:
        created = self._host.tick(4000)
        message = self._host.new_id("msg")
        reason = "stop" if last else "tool-calls"
        cost = round(self._rng.random() / 9, 6)
        used = {"input": self._rng.randrange(90_000), "output": self._rng.randrange(2000), "reasoning": 0}
        tokens = {"total": used["input"] + used["output"], **used, "cache": {"write": 0, "read": 0}}
        state: dict[str, Any] = {"parentID": question, "role": "assistant", "mode": "build", "agent": "build"}
        state |= {"path": {"cwd": WORKTREE, "root": self._session.root}, "cost": 0, "tokens": NO_TOKENS}
        state |= {"modelID": "sonnet", "providerID": "anthropic", "time": {"created": created}}
        self._session.message(message, created, state)
        self._session.update()
        snapshot = {"snapshot": self._host.sha()}
        self._session.part(message, {**snapshot, "type": "step-start"})
        self._reasoning(message)
        if last or self._rng.random() < 0.6:
            self._text(message)
        if not last:
            self._tool(message, file)
        finish = {"reason": reason, **snapshot, "type": "step-finish", "tokens": tokens, "cost": cost}
        self._session.part(message, finish)
        state |= {"cost": cost, "tokens": tokens, "finish": reason}
        self._session.message(message, created, state)
        state["time"] = {"created": created, "completed": self._host.tick()}
        self._session.message(message, created, state)
        self._session.spend(used["input"], used["output"], cost)

    def _text(self, message: str) -> None:
        start = {"start": self._host.tick()}
        text = self._host.text(self._size(120))
        done = {"type": "text", "text": text, "time": {**start, "end": self._host.tick()}}
        self._session.part(message, done, {"type": "text", "text": "", "time": start})

    def _reasoning(self, message: str) -> None:
        if self._rng.random() < 0.5:
            return
        start = {"start": self._host.tick()}
        text = self._host.text(self._size(60))
        signature = base64.b64encode(self._rng.randbytes(self._size(160))).decode("ascii")
        done = {"type": "reasoning", "text": text, "time": {**start, "end": self._host.tick()}}
        done |= {"metadata": {"anthropic": {"signature": signature}}}
        self._session.part(message, done, {"type": "reasoning", "text": "", "time": start})

    def _tool(self, message: str, file: Attachment | None) -> None:
        time = {"start": self._host.tick()}
        name = "read" if file else self._rng.choice(("read", "bash", "write"))
        given, output, metadata, title = getattr(self, f"_{name}")(file)
        call = {"type": "tool", "tool": name, "callID": f"toolu_{''.join(self._rng.choices(BASE62, k=24))}"}
        pending = {**call, "state": {"status": "pending", "input": {}, "raw": ""}}
        running = {**call, "state": {"status": "running", "input": given, "time": time}}
        state = {
            "status": "completed",
            "input": given,
            "output": output,
            "metadata": metadata,
            "title": title,
        }
        state |= {"time": {**time, "end": self._host.tick(2000)}}
        if file:
            ids = {"id": self._host.new_id("prt"), "sessionID": self._session.id, "messageID": message}
            state["attachments"] = [{"type": "file", "mime": file.mime, "url": data_url(file), **ids}]
        self._session.part(message, {**call, "state": state}, pending, running)
        if name == "write":
            self._session.part(
                message, {"type": "patch", "hash": self._host.sha(), "files": [given["filePath"]]}
            )

    def _read(self, file: Attachment | None) -> tuple[dict[str, Any], str, dict[str, Any], str]:
        if file:
            output = f"{'PDF' if file.kind == 'pdf' else 'Image'} read successfully"
            metadata = {"preview": output, "truncated": False, "loaded": []}
            return {"filePath": f"{WORKTREE}/{file.name}"}, output, metadata, f"home/dev/app/{file.name}"
        path = f"{WORKTREE}/src/{self._rng.randrange(500)}.py"
        text = self._output()
        lines = text.split("\n")
        numbered = "\n".join(f"{number}: {line}" for number, line in enumerate(lines, 1))
        end = f"\n\n(End of file - total {len(lines)} lines)\n</content>"
        output = f"<path>{path}</path>\n<type>file</type>\n<content>\n{numbered}{end}"
        display = {"type": "file", "path": path, "text": text, "lineStart": 1, "lineEnd": len(lines)}
        display |= {"totalLines": len(lines), "truncated": False}
        metadata = {"preview": lines[0], "truncated": False, "loaded": [], "display": display}
        return {"filePath": path}, output, metadata, path[1:]

    def _bash(self, _file: None) -> tuple[dict[str, Any], str, dict[str, Any], str]:
        command = f"pytest -q tests/test_{self._rng.randrange(500)}.py"
        output = self._output() + "\n"
        metadata = {"output": output, "exit": 0, "truncated": False}
        return {"command": command, "description": "Run tests"}, output, metadata, command

    def _write(self, _file: None) -> tuple[dict[str, Any], str, dict[str, Any], str]:
        path = f"{WORKTREE}/src/{self._rng.randrange(500)}.py"
        metadata = {"diagnostics": {}, "filepath": path, "exists": False, "truncated": False}
        given = {"filePath": path, "content": self._output()}
        return given, "Wrote file successfully.", metadata, path.rsplit("/", 1)[1]


def data_url(file: Attachment) -> str:
    """The attachment as the host keeps it."""
    return f"data:{file.mime};base64,{base64.b64encode(file.data).decode('ascii')}"
