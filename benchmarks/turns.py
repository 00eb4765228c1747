"""One turn of a session: the user's question with its attachments, then the agent's steps and its answer."""

from __future__ import annotations

import base64
import random
from typing import Any

from attachments import Attachment
from transcript import BASE62, NO_TOKENS, WORKTREE, Session, dumps

OUTPUT_LIMIT_CHARS = 30_000


class Turn:
    """Writes one turn; every length and choice comes from `rng`."""

    def __init__(self, session: Session, rng: random.Random) -> None:
        self._session = session
        self._host = session.host
        self._rng = rng

    def write(self, attachments: list[Attachment]) -> None:
        """Write the turn. The user attaches some of the files, tools return the others."""
        by_user: list[Attachment] = []
        by_tool: list[Attachment] = []
        for file in attachments:
            (by_user if self._rng.random() < 0.6 else by_tool).append(file)
        question = self._session.user_message()
        for file in by_user:
            self._user_file(question, file)
        self._session.part(question, {"type": "text", "text": self._words(120)})
        self._session.update(title=self._words(20).replace("\n", " ") if self._rng.random() < 0.2 else None)
        for file in by_tool:
            self._step(question, "read", file)
        for _ in range(self._rng.randint(1, 6)):
            self._step(question, self._rng.choice(("read", "bash", "write")))
        self._step(question, None)

    def _words(self, median: int, *, spread: float = 1.2, least: int = 20) -> str:
        """Text whose lengths vary as widely as `spread` says around `median` characters."""
        length = self._rng.lognormvariate(0, spread) * median
        return self._host.text(int(min(OUTPUT_LIMIT_CHARS, max(least, length))))

    def _output(self) -> str:
        """What a tool reads, prints or writes: 0.1 to 30 kB, mostly little."""
        return self._words(100, spread=1.7, least=100)

    def _user_file(self, message: str, file: Attachment) -> None:
        url = data_url(file)
        if file.kind == "png" and self._rng.random() < 0.6:  # pasted in the terminal
            label = {"value": "[Image 1]", "start": 4, "end": 13}
            source = {"text": label, "type": "file", "path": "clipboard"}
            pasted = {
                "type": "file",
                "mime": file.mime,
                "filename": "clipboard",
                "url": url,
                "source": source,
            }
            self._session.part(message, pasted)
            return
        call = dumps({"filePath": f"{WORKTREE}/{file.name}"})
        for text in (f"Called the Read tool with the following input: {call}", _read_message(file)):
            self._session.part(message, {"type": "text", "synthetic": True, "text": text})
        part = {"type": "file", "mime": file.mime, "url": url, "synthetic": True, "filename": file.name}
        self._session.part(message, part)

    def _step(self, question: str, tool: str | None, file: Attachment | None = None) -> None:
        """One message of the agent; without a tool it is the answer."""
        session = self._session
        created = self._host.tick(4000)
        message = self._host.new_id("msg")
        reason = "tool-calls" if tool else "stop"
        cost = round(self._rng.random() / 9, 6)
        used = {"input": self._rng.randrange(90_000), "output": self._rng.randrange(2000), "reasoning": 0}
        tokens = {"total": used["input"] + used["output"], **used, "cache": {"write": 0, "read": 0}}
        state: dict[str, Any] = {"parentID": question, "role": "assistant", "mode": "build", "agent": "build"}
        state |= {"path": {"cwd": WORKTREE, "root": session.root}, "cost": 0, "tokens": NO_TOKENS}
        state |= {"modelID": "sonnet", "providerID": "anthropic", "time": {"created": created}}
        session.message(message, created, state)
        session.update()
        snapshot = {"snapshot": self._host.sha()} if session.in_git else {}
        session.part(message, {**snapshot, "type": "step-start"})
        if self._rng.random() < 0.5:
            self._reasoning(message)
        if tool is None or self._rng.random() < 0.6:
            self._text(message)
        if tool:
            self._tool(message, tool, file)
        finish = {"reason": reason, **snapshot, "type": "step-finish", "tokens": tokens, "cost": cost}
        session.part(message, finish)
        if snapshot and tool == "write":
            session.part(message, {"type": "patch", "hash": self._host.sha(), "files": [self._path()]})
        state |= {"cost": cost, "tokens": tokens, "finish": reason}
        session.message(message, created, state)
        state["time"] = {"created": created, "completed": self._host.tick()}
        session.message(message, created, state)
        session.spend(used["input"], used["output"], cost)

    def _text(self, message: str) -> None:
        start = {"start": self._host.tick()}
        done = {"type": "text", "text": self._words(120), "time": {**start, "end": self._host.tick()}}
        self._session.part(message, done, {"type": "text", "text": "", "time": start})

    def _reasoning(self, message: str) -> None:
        """A thought with its signature: base64, but no data URL."""
        start = {"start": self._host.tick()}
        signature = base64.b64encode(self._rng.randbytes(self._rng.randint(120, 500))).decode("ascii")
        done = {"type": "reasoning", "text": self._words(60), "time": {**start, "end": self._host.tick()}}
        done["metadata"] = {"anthropic": {"signature": signature}}
        self._session.part(message, done, {"type": "reasoning", "text": "", "time": start})

    def _tool(self, message: str, tool: str, file: Attachment | None) -> None:
        time = {"start": self._host.tick()}
        given, result = self._call(tool, file)
        call = {"type": "tool", "tool": tool, "callID": f"toolu_{''.join(self._rng.choices(BASE62, k=24))}"}
        pending = {**call, "state": {"status": "pending", "input": {}, "raw": ""}}
        running = {**call, "state": {"status": "running", "input": given, "time": time}}
        state = {"status": "completed", "input": given, **result}
        state["time"] = {**time, "end": self._host.tick(2000)}
        if file:
            ids = {"id": self._host.new_id("prt"), "sessionID": self._session.id, "messageID": message}
            state["attachments"] = [{"type": "file", "mime": file.mime, "url": data_url(file), **ids}]
        self._session.part(message, {**call, "state": state}, pending, running)

    def _call(self, tool: str, file: Attachment | None) -> tuple[dict[str, Any], dict[str, Any]]:
        """A tool's input, and what its state holds when it is done."""
        if file:
            output = _read_message(file)
            metadata: dict[str, Any] = {"preview": output, "truncated": False, "loaded": []}
            path = f"{WORKTREE}/{file.name}"
            return {"filePath": path}, {"output": output, "metadata": metadata, "title": path[1:]}
        text = self._output()
        path = self._path()
        if tool == "bash":
            given = {"command": f"pytest -q {path}", "description": "Run tests"}
            metadata = {"output": text, "exit": 0, "truncated": False}
            return given, {"output": text, "metadata": metadata, "title": given["command"]}
        if tool == "write":
            metadata = {"diagnostics": {}, "filepath": path, "exists": False, "truncated": False}
            result = {"output": "Wrote file successfully.", "metadata": metadata, "title": path}
            return {"filePath": path, "content": text}, result
        lines = text.split("\n")
        numbered = "\n".join(f"{number}: {line}" for number, line in enumerate(lines, 1))
        output = f"<path>{path}</path>\n<type>file</type>\n<content>\n{numbered}\n\n"
        output += f"(End of file - total {len(lines)} lines)\n</content>"
        display = {"type": "file", "path": path, "text": text, "lineStart": 1, "lineEnd": len(lines)}
        display |= {"totalLines": len(lines), "truncated": False}
        metadata = {"preview": lines[0], "truncated": False, "loaded": [], "display": display}
        return {"filePath": path}, {"output": output, "metadata": metadata, "title": path[1:]}

    def _path(self) -> str:
        return f"{WORKTREE}/src/{self._rng.randrange(500)}.py"


def data_url(file: Attachment) -> str:
    """Return the attachment as the host keeps it."""
    return f"data:{file.mime};base64,{base64.b64encode(file.data).decode('ascii')}"


def _read_message(file: Attachment) -> str:
    return f"{'PDF' if file.kind == 'pdf' else 'Image'} read successfully"
