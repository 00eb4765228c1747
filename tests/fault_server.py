"""An S3 server on loopback that keeps the rules strictly, and breaks them when a test says so.

Its error messages repeat the request's credentials: no message of ours may.
"""

import socket
import struct
import threading
from dataclasses import dataclass, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal, Self
from xml.sax.saxutils import escape

from strict_s3 import Answer, Request, StrictS3

SECRET_KEY = "fault-server-secret"
STALL_SECONDS = 30.0
POLL_SECONDS = 0.02
BODILESS = frozenset({204, 304})

Do = Literal[
    "answer",  # instead of doing what was asked
    "cut",
    "stall",
    "commit_answer",  # after it was done
    "commit_cut",
    "commit_stall",
    "cut_body",  # of the answer
    "stall_body",
    "flip_body",
    "flip_request",  # on its way here
]


@dataclass
class Fault:
    """What goes wrong, with which requests, and how often."""

    method: str
    do: Do
    status: int = 500
    code: str = "InternalError"
    match: str = ""
    """A part of the request's path and query."""
    times: int = 1
    after: int = 0
    """Requests like this that go well before."""
    at: int = 0
    """The place in the body where it goes wrong."""

    def takes(self, request: Request) -> bool:
        """Whether it befalls this request; counts it."""
        if self.method != request.method or self.match not in request.target or not self.times:
            return False
        if self.after:
            self.after -= 1
            return False
        self.times -= 1
        return True


class FaultServer(StrictS3):
    """The server. Its objects may be looked at and changed; `faults` are taken in order."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Fault] = []
        self.requests: list[Request] = []
        self.released = threading.Event()
        """Ends what is stalled."""
        self._lock = threading.Lock()
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.s3 = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(POLL_SECONDS,), daemon=True)

    @property
    def endpoint(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def fault(self, method: str, do: Do, **more: Any) -> None:
        """Let something go wrong."""
        self.faults.append(Fault(method, do, **more))

    def seen(self, method: str = "", match: str = "") -> list[Request]:
        """Requests that arrived, in order; the probe's are left out."""
        wanted = (r for r in self.requests if "/probe/" not in r.target)
        return [r for r in wanted if method in {"", r.method} and match in r.target]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.released.set()
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def handle(self, request: Request) -> tuple[Answer, Fault | None]:
        """Answer one request, as the first fault that takes it wants."""
        with self._lock:
            self.requests.append(request)
            fault = next((fault for fault in self.faults if fault.takes(request)), None)
            if fault and fault.do in {"cut", "stall"}:
                return Answer(), fault
            if fault and fault.do == "answer":
                return Answer(fault.status, code=fault.code), fault
            if fault and fault.do == "flip_request":
                request = replace(request, body=flipped(request.body, fault.at))
            answer = self.answer(request)
            if fault and fault.do == "commit_answer":
                answer = Answer(fault.status, code=fault.code)
            return answer, fault


def flipped(data: bytes, at: int) -> bytes:
    """With one bit of one byte the other way."""
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def _error(request: Request, answer: Answer) -> Answer:
    if answer.status in BODILESS:
        return answer
    told = f"{request.headers.get('authorization', '')} {SECRET_KEY}"
    body = f"<Error><Code>{answer.code}</Code><Message>you said {escape(told)}</Message></Error>"
    return Answer(answer.status, body.encode())


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64
    s3: FaultServer

    def handle_error(self, *_error: object) -> None:
        """A client that gave up is what faults are for."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def log_message(self, *_args: object) -> None:
        """Say nothing."""

    def handle_request(self) -> None:
        """Take one request, and answer it or not."""
        headers = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        request = Request(self.command, self.path, headers, body)
        answer, fault = self.server.s3.handle(request)
        do = fault.do if fault else ""
        if do in {"stall", "commit_stall"}:
            self.server.s3.released.wait(STALL_SECONDS)
        if do in {"cut", "commit_cut", "stall", "commit_stall"}:
            self._reset()
            return
        if answer.code:
            answer = _error(request, answer)
        length = len(answer.body) if answer.length is None else answer.length
        if request.method == "HEAD":
            answer = replace(answer, body=b"")
        self._send_head(answer, length)
        self._send_body(answer.body, fault)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = handle_request  # noqa: N815

    def _send_head(self, answer: Answer, length: int) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if answer.status not in BODILESS:
            self.send_header("Content-Length", str(length))
        self.end_headers()

    def _send_body(self, body: bytes, fault: Fault | None) -> None:
        if fault and fault.do == "flip_body":
            body = flipped(body, fault.at)
        if fault and fault.do in {"cut_body", "stall_body"}:
            self.wfile.write(body[: fault.at])
            self.wfile.flush()
            if fault.do == "stall_body":
                self.server.s3.released.wait(STALL_SECONDS)
            self.close_connection = True
            return
        self.wfile.write(body)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
