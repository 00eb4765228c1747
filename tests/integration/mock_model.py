"""A stand-in for a model provider that speaks the OpenAI chat protocol over loopback HTTP.

Every request body is kept as the bytes that arrived, in order, so that tests can compare what a host sends.
"""

import json
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

TITLE_PROMPT = "You are a title generator."
"""How OpenCode begins the system message of the side request that names a session."""

POLL_SECONDS = 0.05
"""How soon the server notices that it is to stop."""


@dataclass(frozen=True, slots=True)
class ToolCall:
    """One tool that the model asks the host to run."""

    name: str
    arguments: Mapping[str, Any]


Answer: TypeAlias = str | Sequence[ToolCall]
"""What the model says in one request: a text that ends the turn, or tools to run before it asks again."""


@dataclass(frozen=True, slots=True)
class Request:
    """One request body as it arrived."""

    kind: Literal["turn", "title"]
    body: bytes


class MockModel:
    """Answers with the queued answers in order, then with `default`.

    Title requests run beside the first turn and may come before or after it, so they never take a queued
    answer. Requests without tools count as turns unless they carry the title prompt: compaction sends such.
    """

    def __init__(self, *, default: str = "done", title: str = "A title") -> None:
        self._default = default
        self._title = title
        self._answers: deque[Answer] = deque()
        self._requests: list[Request] = []
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(POLL_SECONDS,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        """The base URL to configure as the provider's `baseURL`."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    @property
    def requests(self) -> list[Request]:
        """Everything received so far, oldest first."""
        with self._lock:
            return list(self._requests)

    @property
    def turns(self) -> list[bytes]:
        """The bodies of all requests but those for titles, oldest first."""
        return [request.body for request in self.requests if request.kind == "turn"]

    @property
    def titles(self) -> list[bytes]:
        """The bodies of the requests for titles, oldest first."""
        return [request.body for request in self.requests if request.kind == "title"]

    @property
    def unused(self) -> int:
        """How many queued answers nobody has asked for yet."""
        with self._lock:
            return len(self._answers)

    def answer(self, *answers: Answer) -> None:
        """Queue answers, one per coming request; a text also ends the host's turn."""
        with self._lock:
            self._answers.extend(answers)

    def take(self, stream: BufferedIOBase, size: int) -> Answer:
        """Read a request body of `size` bytes and take its answer."""
        return self.receive(stream.read(size))

    def receive(self, body: bytes) -> Answer:
        """Record a request body and take its answer."""
        kind: Literal["turn", "title"] = "title" if _is_title(body) else "turn"
        with self._lock:
            self._requests.append(Request(kind, body))
            if kind == "title":
                return self._title
            return self._answers.popleft() if self._answers else self._default


def _is_title(body: bytes) -> bool:
    first = json.loads(body)["messages"][0]
    return first["role"] == "system" and str(first["content"]).startswith(TITLE_PROMPT)


def _handler(model: MockModel) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            if self.path != "/v1/chat/completions":
                self.send_error(404)
                return
            answer = model.take(self.rfile, int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.end_headers()
            for event in _events(answer):
                self.wfile.write(b"data: " + event + b"\n\n")

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the name in the base class)
            """Stay quiet: the requests are recorded."""

    return Handler


def _events(answer: Answer) -> Iterator[bytes]:
    if isinstance(answer, str):
        yield _chunk({"role": "assistant", "content": answer}, None)
        yield _chunk({}, "stop")
    else:
        yield _chunk({"role": "assistant", "tool_calls": _tool_calls(answer)}, None)
        yield _chunk({}, "tool_calls")
    yield b"[DONE]"


def _tool_calls(calls: Sequence[ToolCall]) -> list[dict[str, Any]]:
    return [
        {
            "index": index,
            "id": f"call_{index}",
            "type": "function",
            "function": {"name": call.name, "arguments": json.dumps(dict(call.arguments))},
        }
        for index, call in enumerate(calls)
    ]


def _chunk(delta: Mapping[str, Any], finish: str | None) -> bytes:
    chunk: dict[str, Any] = {
        "id": "chatcmpl-0",
        "object": "chat.completion.chunk",
        "created": 0,
        "model": "m",
        "choices": [{"index": 0, "delta": delta, "finish_reason": finish}],
    }
    if finish is not None:
        chunk["usage"] = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return json.dumps(chunk).encode()
