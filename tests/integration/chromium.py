"""A real browser: headless Chromium, driven through its DevTools protocol. It talks to loopback only."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from websockets.sync.client import ClientConnection, connect

NAMES = ("chromium", "chromium-browser", "google-chrome")
START_TIMEOUT_SECONDS = 60.0
ANSWER_TIMEOUT_SECONDS = 60.0
STOP_TIMEOUT_SECONDS = 5.0
POLL_SECONDS = 0.05
HTTP_ERROR = 400
OUTPUT_TAIL_CHARS = 4000
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # it is small in containers
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--remote-debugging-port=0",
    "--window-size=1280,1600",
)


class BrowserError(Exception):
    """The browser did not start, did not answer, or could not do what it was told."""


class Page:
    """One tab. It notes every error from the moment it opens."""

    def __init__(self, browser: "Chromium", session: str) -> None:
        self._browser = browser
        self._session = session
        self.errors: list[str] = []
        """Exceptions, errors on the console, requests that failed or were answered with one."""

    def open(self, url: str) -> None:
        """Begin to load a page; the scripts in it go on after that."""
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.call("Page.navigate", url=url)

    def evaluate(self, script: str) -> Any:
        """The value of a JavaScript expression; a promise is awaited. Raises `BrowserError` if it throws."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in done:
            raise BrowserError(json.dumps(done["exceptionDetails"]))
        return done["result"].get("value")

    def wait_for(self, script: str, *, timeout_seconds: float) -> Any:
        """The value of an expression as soon as it is true. Raises `BrowserError` if that takes too long."""
        deadline = time.monotonic() + timeout_seconds
        while True:
            # While a page loads, the world that a script runs in may be replaced under its hands.
            with suppress(BrowserError):
                if value := self.evaluate(script):
                    return value
            if time.monotonic() > deadline:
                raise BrowserError(f"not true after {timeout_seconds} s: {script}; {self.errors}")
            time.sleep(POLL_SECONDS)

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """One command of the DevTools protocol to this tab."""
        return self._browser.call(method, parameters, session=self._session)

    def note(self, event: Mapping[str, Any]) -> None:
        """Take an event of this tab; those that tell of an error are kept."""
        about = event["params"]
        match event["method"]:
            case "Runtime.exceptionThrown":
                details = about["exceptionDetails"]
                self.errors.append(details.get("exception", {}).get("description") or details["text"])
            case "Runtime.consoleAPICalled" if about["type"] == "error":
                self.errors.append(" ".join(str(item.get("value", item)) for item in about["args"]))
            case "Log.entryAdded" if about["entry"]["level"] == "error":
                self.errors.append(about["entry"]["text"])
            case "Network.responseReceived" if about["response"]["status"] >= HTTP_ERROR:
                self.errors.append(f"{about['response']['status']} {about['response']['url']}")
            case "Network.loadingFailed" if not about.get("canceled"):
                self.errors.append(f"{about['type']}: {about['errorText']}")


class Chromium:
    """A browser with an empty profile, from entering to leaving the context."""

    def __init__(self, binary: Path, profile: Path) -> None:
        self._binary = binary
        self._profile = profile
        self._pages: dict[str, Page] = {}
        self._calls = 0
        self._stack = ExitStack()
        self._connection: ClientConnection

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            process = self._start()
            stack.callback(_stop, process)
            self._connection = stack.enter_context(connect(self._address(process), max_size=None, proxy=None))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def page(self) -> Iterator[Page]:
        """A new tab; it is closed at the end of the block."""
        target = self.call("Target.createTarget", {"url": "about:blank"})["targetId"]
        session = self.call("Target.attachToTarget", {"targetId": target, "flatten": True})["sessionId"]
        page = self._pages[session] = Page(self, session)
        try:
            yield page
        finally:
            del self._pages[session]
            self.call("Target.closeTarget", {"targetId": target})

    def call(self, method: str, parameters: Mapping[str, object], *, session: str | None = None) -> dict[str, Any]:
        """Send a command and wait for its result; events that come before it go to their pages."""
        self._calls += 1
        call = {"id": self._calls, "method": method, "params": parameters}
        self._connection.send(json.dumps(call if session is None else call | {"sessionId": session}))
        while True:
            try:
                answer = json.loads(self._connection.recv(timeout=ANSWER_TIMEOUT_SECONDS))
            except TimeoutError as error:
                raise BrowserError(f"{method}: no answer in {ANSWER_TIMEOUT_SECONDS} s") from error
            if answer.get("id") == self._calls:
                if "error" in answer:
                    raise BrowserError(f"{method}: {answer['error']['message']}")
                result: dict[str, Any] = answer["result"]
                return result
            if page := self._pages.get(answer.get("sessionId", "")):
                page.note(answer)

    def _start(self) -> subprocess.Popen[bytes]:
        self._profile.mkdir(parents=True)
        with (self._profile / "stderr").open("wb") as stderr:
            return subprocess.Popen(
                (str(self._binary), *OPTIONS, f"--user-data-dir={self._profile}", "about:blank"),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                # Some of its parts keep directories of their own there.
                env=os.environ | {"HOME": str(self._profile)},
                start_new_session=True,
            )

    def _address(self, process: subprocess.Popen[bytes]) -> str:
        """Where it listens; it writes that into its profile once it does."""
        place = self._profile / "DevToolsActivePort"
        deadline = time.monotonic() + START_TIMEOUT_SECONDS
        while not (place.exists() and len(lines := place.read_text().split()) > 1):
            if process.poll() is not None or time.monotonic() > deadline:
                words = (self._profile / "stderr").read_text(errors="replace")
                raise BrowserError(f"{self._binary} did not start: {words[-OUTPUT_TAIL_CHARS:]}")
            time.sleep(POLL_SECONDS)
        return f"ws://127.0.0.1:{lines[0]}{lines[1]}"


def _stop(process: subprocess.Popen[bytes]) -> None:
    # It has nothing to save, and being asked politely takes it a second.
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(STOP_TIMEOUT_SECONDS)


def find_chromium() -> Path | None:
    """OCBLOB_TEST_CHROMIUM, or the first one on PATH."""
    named = os.environ.get("OCBLOB_TEST_CHROMIUM")
    found = [named] if named else [shutil.which(name) for name in NAMES]
    return next((Path(path) for path in found if path), None)
