"""Processes that die at one line of our own code: for scripts that run in a child, since they fork."""

import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any


def killed_at_line(number: int, work: Callable[[], object], parts: tuple[str, ...]) -> int:
    """Do some work in a fork that is killed at the n-th line it runs in files whose paths have one of these in them.

    Returns how the fork has ended: `-SIGKILL`, or 0 if the work has no such line.
    """
    child = os.fork()
    if child == 0:
        try:
            _die_at_line(number, parts)
            work()
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def killed_at_lines(
    fresh: Callable[[], object],
    work: Callable[[], object],
    after: Callable[[int], object],
    parts: tuple[str, ...],
    *,
    step: int = 1,
) -> tuple[int, int]:
    """Kill some work at one line after another, begun afresh each time, and look at what each kill leaves.

    `after` gets the line's number. Returns how many kills there were, and how the work ends when nobody kills it.
    """
    line, kills = 1, 0
    while True:
        fresh()
        code = killed_at_line(line, work, parts)
        if code != -signal.SIGKILL:
            return kills, code
        after(line)
        kills += 1
        line += step


def _die_at_line(number: int, parts: tuple[str, ...]) -> None:
    seen = 0

    def trace(frame: FrameType, event: str, _argument: Any) -> Any:
        nonlocal seen
        if not any(part in frame.f_code.co_filename for part in parts):
            return None
        seen += event == "line"
        if seen == number:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    threading.settrace(trace)
    sys.settrace(trace)
