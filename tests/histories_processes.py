"""Processes that run only while they have their turn, and a time of their own.

Each is a thread; it may be stopped, killed or left asleep at every `point`.
"""

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Self, cast

if TYPE_CHECKING:
    from histories_places import Host
    from histories_world import World

_here = threading.local()
_real_time = time.time
clock = {"began": 0.0, "ahead": 0.0}
"""When the world began, and how many seconds have passed in it: none but those that it is told."""


class LossError(Exception):
    """Something that was promised does not read back."""


class KilledError(BaseException):
    """The process is gone."""


def now() -> float:
    """The simulated time."""
    return clock["began"] + clock["ahead"]


def begin_time() -> None:
    """A world begins. If its seconds were ours, what was used last in it would depend on how fast we are."""
    clock.update(began=_real_time() // 1, ahead=0.0)


def point(label: str) -> None:
    """A place where a process may be stopped."""
    if (process := current()) is not None:
        process.point(label)


def current() -> "Process | None":
    """The process whose turn it is; None outside of any."""
    return cast("Process | None", getattr(_here, "process", None))


class Process(threading.Thread):
    """One run of a verb."""

    def __init__(self, world: "World", host: "Host", verb: str, run: Callable[[], None]) -> None:
        super().__init__(daemon=True)
        self.world = world
        self.host = host
        self.verb = verb
        self.label = "start"
        self.killed = False
        self.ended = False
        self.error: BaseException | None = None
        self.busy = 0
        """Locks that others would wait for."""
        self.confirmed_at: float | None = None
        self.confirmed_seq = 0
        self.begun_seq = world.seq
        self.buried: set[str] = set()
        """Whose tombstones it has put."""
        self._left: int | None = None
        self._run = run
        self._go = threading.Semaphore(0)
        self._back = threading.Semaphore(0)

    def run(self) -> None:
        """The thread: waits for its first turn."""
        _here.process = self
        self._go.acquire()
        try:
            if not self.killed:
                self._run()
        except BaseException as error:  # noqa: BLE001 - judged by who gave the turn
            self.error = error
        self.ended = True
        self._back.release()

    def turn(self, points: int | None = None) -> None:
        """Let it run, to its end or for some points."""
        self._left = points
        if self.ident is None:
            self.start()
        self._go.release()
        self._back.acquire()

    def kill(self) -> None:
        """End it where it stands."""
        self.killed = True
        if not self.ended and self.ident is not None:
            self.turn()

    def point(self, label: str) -> None:
        """Stop here if its points are used up and nobody would wait for a lock."""
        if self.killed:
            raise KilledError
        if self._left is None:
            return
        if self._left > 0 or self.busy:
            self._left = max(self._left - 1, 0)
            return
        self.label = label
        self._back.release()
        self._go.acquire()
        if self.killed:
            raise KilledError


class Inline:
    """An executor without threads: what is submitted is done at once."""

    def __init__(self, *_arguments: object, **_options: object) -> None:
        pass

    def submit(self, act: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Do it."""
        future: Future[Any] = Future()
        try:
            future.set_result(act(*arguments))
        except BaseException as error:  # noqa: BLE001 - raised by `result`
            future.set_exception(error)
        return future

    def map(self, act: Callable[..., Any], *iterables: Iterable[Any]) -> Iterator[Any]:
        """All of them, then the results."""
        futures = [self.submit(act, *arguments) for arguments in zip(*iterables, strict=False)]
        return (future.result() for future in futures)

    def shutdown(self, **_options: object) -> None:
        """Nothing to wait for."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        pass


class Lazy(Inline):
    """Does what is submitted when its result is asked for, if the world likes it so."""

    def submit(self, act: Callable[..., Any], *arguments: Any) -> Future[Any]:
        """Maybe later."""
        process = current()
        if process is None or not process.world.lazy:
            return super().submit(act, *arguments)
        return cast("Future[Any]", _Later(lambda: super(Lazy, self).submit(act, *arguments)))


class _Later:
    def __init__(self, begin: Callable[[], Future[Any]]) -> None:
        self._begin = begin
        self._future: Future[Any] | None = None

    def result(self) -> Any:
        """Do it now, if it was not done yet."""
        self._future = self._future or self._begin()
        return self._future.result()
