"""Passes in a loop: when something changed, not too often, and at least once a day.

At a file it looks with `stat` alone, so a look costs nothing, and never opens it. A server is asked for counters
that it keeps anyway.
"""

import signal
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, Final

from ocblob.errors import UsageError

DAY_S: Final = 86400.0
"""Limits of age depend on the time alone, so a pass is due after this whatever changed."""
EVERY_S_MIN: Final = 1.0
EVERY_S_MAX: Final = DAY_S
SPACING_S: Final = 60.0
"""From the end of a pass to an early one: a busy host is not scanned all the time."""
QUIET_S: Final = 5.0
"""How long nothing has changed before an early pass: a turn that is being written goes on."""
LOOK_S: Final = 5.0
LOOK_AT_SERVER_S: Final = 15.0
"""A look is a connection of its own."""

Fingerprint = tuple[tuple[int, int, int] | None, ...]
"""Of each file its inode, size and time of change, of a server its counters; None for what is not there."""


class Terminated(KeyboardInterrupt):
    """SIGTERM, raised where Ctrl-C would be: what was done stays."""


def look_at(paths: Iterable[Path]) -> Fingerprint:
    """What tells whether files changed."""
    found: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            stat = path.stat()
            found.append((stat.st_ino, stat.st_size, stat.st_mtime_ns))
        except OSError:
            found.append(None)
    return tuple(found)


@dataclass(slots=True)
class Watch:
    """Decides when a pass is due. Times are those of one clock that never goes back, in seconds."""

    every_s: float
    longest_look_s: float = LOOK_S
    done: Fingerprint | None = None
    """As the last pass left the files; None before the first one."""
    done_at: float = 0.0
    failures: int = 0
    """Passes in a row that left something to do."""
    again: bool = False
    """Whether files changed during the last pass: by its own hand or by the host's, nobody can say."""
    seen: Fingerprint | None = None
    seen_at: float = 0.0
    """Since when the files are as they were seen last."""

    def __post_init__(self) -> None:
        if not EVERY_S_MIN <= self.every_s <= EVERY_S_MAX:
            raise UsageError("--every must be between 1s and 1d")

    @property
    def look_s(self) -> float:
        """The time between two looks."""
        return min(self.longest_look_s, self.every_s)

    def wants(self, found: Fingerprint, now: float) -> bool:
        """Whether a pass is due, the files being as they are found now."""
        if found != self.seen:
            self.seen, self.seen_at = found, now
        if found[0] is None:
            return False  # there is no database
        since = now - self.done_at
        if self.done is None or since >= DAY_S:
            return True
        if found != self.done:
            if self.failures:
                return since >= self.every_s
            quiet = now - self.seen_at >= min(QUIET_S, self.every_s)
            return since >= self.every_s or (quiet and since >= min(SPACING_S, self.every_s))
        if self.again and since >= self.every_s:
            return True
        # What is left to do may be possible now, or never: ever more rarely.
        return self.failures > 0 and since >= self.every_s * 2 ** min(self.failures - 1, 20)

    def passed(self, found: Fingerprint, now: float, *, complete: bool, moved: bool) -> None:
        """A pass has ended, and the files are as they are found now: what it wrote itself is no change.

        If they have moved since it began, one more pass comes at the next tick, and no third one.
        """
        self.again = moved and not self.again
        self.done = self.seen = found
        self.done_at = self.seen_at = now
        self.failures = 0 if complete else self.failures + 1


def watch(  # noqa: PLR0913
    work: Callable[[], bool],
    look: Callable[[], Fingerprint],
    *,
    every_s: float,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
    absent: Callable[[], None],
    look_s: float = LOOK_S,
) -> None:
    """Work whenever it is due, until an exception ends it. `work` says whether it did all there was to do.

    `absent` is called once whenever the database is found to be missing.
    """
    state = Watch(every_s, look_s)
    told = False
    while True:
        found = look()
        if found[0] is None and not told:
            absent()
        told = found[0] is None
        if state.wants(found, clock()):
            complete = work()
            left = look()
            state.passed(left, clock(), complete=complete, moved=left != found)
        sleep(state.look_s)


def end_on_sigterm() -> Callable[[], None]:
    """Let SIGTERM raise `Terminated`, once: a second one must not disturb the end. Returns the undoing."""

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_IGN)
        raise Terminated

    before: Any = signal.signal(signal.SIGTERM, stop)
    return lambda: _restored(before)


def _restored(handler: Any) -> None:
    signal.signal(signal.SIGTERM, handler)
