"""The real terminal interface and its prompt history: it reads refs, writes them anew as they are, and goes on."""

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
from opencode import OpenCode, data_url, noise_file

from ocblob import BlobStore, find_refs
from ocblob.prompts import offload_prompts, restore_prompts
from samples import payload, prompt_line

PATIENCE_S: Final = 40.0
MIN_CHARS: Final = 8192
ROWS, COLUMNS = 40, 120
QUERIES: Final = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;c"}
"""What a terminal is asked, and answers: where the cursor is, and which one it is."""
_ESCAPES = re.compile(rb"\x1b(\[[0-9;?<=>]*[ -/]*[@-~]|\][^\x07\x1b]*(\x07|\x1b\\))")


class Terminal:
    """A terminal with OpenCode's interface in it."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._shown = b""

    def wait(self, until: Callable[[bytes], bool], what: str) -> None:
        """Read what is shown until something holds of the text of it all."""
        deadline = time.monotonic() + PATIENCE_S
        while not until(_ESCAPES.sub(b"", self._shown)):
            if time.monotonic() > deadline:
                pytest.fail(f"the interface did not show {what}: {_ESCAPES.sub(b'', self._shown)[-2000:]!r}")
            if select.select([self._fd], [], [], 0.05)[0]:
                shown = os.read(self._fd, 65536)
                self._shown += shown
                for query, answer in QUERIES.items():
                    if query in shown:
                        os.write(self._fd, answer)

    def send(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._fd, keys)

    def paste(self, text: str) -> None:
        """As terminals hand over what is pasted, or a file that is dropped on them."""
        self.send(b"\x1b[200~" + text.encode() + b"\x1b[201~")


@contextlib.contextmanager
def terminal(opencode: OpenCode) -> Iterator[Terminal]:
    """Start the interface; it is killed at the end, as when a window is closed."""
    unpacked = opencode.root / "bun"
    unpacked.mkdir()
    more = {"TERM": "xterm-256color", "BUN_TMPDIR": str(unpacked)}
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(opencode.project)
        os.execve(opencode.binary, [str(opencode.binary)], opencode.environment | more)
    try:
        fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
        yield Terminal(fd)
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        os.close(fd)


def test_the_interface_keeps_refs_in_its_history(opencode: OpenCode, tmp_path: Path) -> None:
    """It writes refs anew as they are and appends a pasted picture in full; all of it comes back byte for byte."""
    history = opencode.root / "state" / "opencode" / "prompt-history.jsonl"
    history.parent.mkdir(parents=True, exist_ok=True)
    before = prompt_line("hello") + prompt_line("[Image 1] look", payload(20_000, 1))
    history.write_bytes(before)
    picture = opencode.project / "1.png"
    picture.write_bytes(noise_file(".png", 1))
    with BlobStore.create(tmp_path / "store")[0] as store:
        assert 1 == offload_prompts([history], store, min_chars=MIN_CHARS).payloads
        moved, written = history.read_bytes(), history.stat().st_mtime_ns
        with terminal(opencode) as screen:
            screen.wait(
                lambda _: history.stat().st_mtime_ns != written and history.stat().st_size > 0, "that it starts"
            )
            assert moved == history.read_bytes()
            screen.wait(lambda shown: b"Ask anything" in shown, "its prompt")
            screen.paste(str(picture))
            screen.wait(lambda shown: b"[Image" in shown, "the picture")
            screen.send(b"and this")
            screen.wait(lambda shown: b"this" in shown, "the text")
            screen.send(b"\r")
            screen.wait(lambda _: history.stat().st_size > len(moved), "a line of history")
        after = history.read_bytes()
        assert moved == after[: len(moved)]
        again = offload_prompts([history], store, min_chars=MIN_CHARS)
        assert (1, 1, True) == (again.payloads, again.refs, again.complete)
        assert 2 == len([ref for line in history.read_bytes().splitlines() for ref in find_refs(line)])
        assert 2 == restore_prompts([history], store).refs_restored

    line = after[len(moved) :]
    assert before + line == history.read_bytes()
    assert data_url(picture).encode() in line
    # Our own lines in other tests are what it writes.
    ours = prompt_line("[Image 1] and this", picture.read_bytes()).replace(b"/home/me", str(opencode.project).encode())
    assert ours == line
