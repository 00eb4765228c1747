"""A command that draws on a terminal, and what it has drawn so far. POSIX systems."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import termios
import time
from subprocess import Popen

ROWS_COLUMNS = (40, 120)
READ_BYTES = 65_536
POLL_SECONDS = 0.05
ESCAPES = re.compile(rb"\x1b\[[0-9;?<>=]*[a-zA-Z]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
ANSWERS = {b"\x1b[6n": b"\x1b[1;1R", b"\x1b[c": b"\x1b[?62;c"}
"""What a terminal says when it is asked where its cursor is and what it can do."""


class Terminal:
    """A pseudo terminal: a command gets `slave` as its three streams."""

    def __init__(self) -> None:
        self._master, self.slave = pty.openpty()
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", *ROWS_COLUMNS, 0, 0))
        self._drawn = b""

    def close(self) -> None:
        """Let go of both ends."""
        os.close(self._master)
        os.close(self.slave)

    def wait_for(self, text: str, process: Popen[bytes], *, timeout_seconds: float) -> None:
        """Read until `text` was drawn, in one go and in one colour; raise `TimeoutError` with the end of what was."""
        deadline = time.monotonic() + timeout_seconds
        while text.encode() not in self._drawn:
            if process.poll() is not None or time.monotonic() > deadline:
                words = ESCAPES.sub(b" ", self._drawn).decode(errors="replace")[-1000:]
                raise TimeoutError(f"{text} was not drawn; exit code {process.returncode}: {words}")
            if select.select([self._master], [], [], POLL_SECONDS)[0]:
                self._read()

    def _read(self) -> None:
        chunk = os.read(self._master, READ_BYTES)
        self._drawn += chunk
        for asked, answer in ANSWERS.items():
            if asked in chunk:
                os.write(self._master, answer)
