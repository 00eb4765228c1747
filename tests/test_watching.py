import gc
import itertools
import os
import signal
import tracemalloc
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ocblob.errors import UsageError
from ocblob.watching import DAY_S, Fingerprint, Terminated, Watch, end_on_sigterm, look_at, watch

MINUTE = 60.0
EVERY_S = 15 * MINUTE


def files(number: int) -> Fingerprint:
    """A database that was changed so many times, and no WAL."""
    return ((1, 4096, number), None)


@dataclass
class World:
    """Time and files that a script moves on, and the passes that ran."""

    changes: dict[float, Fingerprint]
    """What is found from when on."""
    end_s: float
    outcomes: list[bool] = field(default_factory=list)
    """Whether a pass was complete; those that are not listed are."""
    writes: bool = False
    """Whether passes change the database themselves."""
    now: float = 0.0
    passes: list[float] = field(default_factory=list)
    looks: int = 0
    absences: int = 0

    def look(self) -> Fingerprint:
        """The files as they are now."""
        self.looks += 1
        found = next(state for at, state in sorted(self.changes.items(), reverse=True) if at <= self.now)
        database = found[0]
        if database is None or not self.writes:
            return found
        return ((database[0], database[1], database[2] + 1000 * len(self.passes)), *found[1:])

    def work(self) -> bool:
        """One pass, of a second."""
        self.passes.append(self.now)
        self.now += 1
        return self.outcomes.pop(0) if self.outcomes else True

    def sleep(self, seconds: float) -> None:
        """Time goes on, and ends the loop."""
        self.now += seconds
        if self.now > self.end_s:
            raise Terminated

    def absent(self) -> None:
        """There is no database."""
        self.absences += 1

    def run(self, every_s: float = EVERY_S) -> list[float]:
        """When passes began."""
        with pytest.raises(Terminated):
            watch(self.work, self.look, every_s=every_s, clock=lambda: self.now, sleep=self.sleep, absent=self.absent)
        return self.passes


def test_a_first_pass_runs_at_once_and_nothing_else_until_something_changes() -> None:
    """Half a day without a change is one pass."""
    assert [0.0] == World({0: files(0)}, DAY_S / 2).run()


def test_a_pass_during_which_files_changed_is_followed_by_one_more() -> None:
    """A host may have written after the pass had looked there; that it may have been the pass itself ends it then."""
    passes = World({0: files(0)}, DAY_S / 2, writes=True).run()
    assert 2 == len(passes)
    assert EVERY_S <= passes[1] <= EVERY_S + 10


def test_a_pass_a_day_runs_though_nothing_changed() -> None:
    """Limits of age depend on the time alone."""
    passes = World({0: files(0)}, 2.5 * DAY_S).run()
    assert 3 == len(passes)
    assert all(DAY_S <= later - earlier < DAY_S + 10 for earlier, later in itertools.pairwise(passes))


def test_a_change_wakes_early_when_it_is_quiet_again() -> None:
    """A change long after the last pass is looked at some seconds after it, not at the next tick."""
    (first, second) = World({0: files(0), 200: files(1), 203: files(2)}, 800).run()
    assert 0 == first
    assert 208 <= second <= 215


def test_an_early_pass_keeps_its_distance() -> None:
    """A change right after a pass waits for a minute."""
    passes = World({0: files(0), 10: files(1)}, 500).run()
    assert 2 == len(passes)
    assert 61 <= passes[1] <= 70


def test_a_host_that_never_rests_is_looked_at_once_a_tick() -> None:
    """Changes at every look end in one pass each `every`, no more."""
    busy = {float(at): files(at) for at in range(0, 3600, 2)}
    passes = World(busy, 3600).run()
    assert 4 == len(passes)
    assert all(later - earlier >= EVERY_S for earlier, later in itertools.pairwise(passes))


def test_what_was_left_is_tried_again_ever_more_rarely() -> None:
    """A pass that could not do all runs again after one tick, two, four: until one is complete."""
    passes = World({0: files(0)}, DAY_S / 2, outcomes=[False, False, False]).run()
    ticks = [round((later - earlier) / EVERY_S) for earlier, later in itertools.pairwise(passes)]
    assert [1, 2, 4] == ticks


def test_a_failing_database_that_changes_is_tried_once_a_tick() -> None:
    """Early passes are for those that work."""
    busy = {float(at): files(at) for at in range(0, 3600, 300)}
    passes = World(busy, 3600, outcomes=[False] * 20).run()
    assert all(later - earlier >= EVERY_S for earlier, later in itertools.pairwise(passes))
    assert 4 == len(passes)


def test_a_database_that_goes_and_comes_is_waited_for() -> None:
    """It is told once each time, and a pass runs when another file is there."""
    gone: Fingerprint = (None, None)
    other: Fingerprint = ((2, 4096, 9), None)
    world = World({0: gone, 300: files(0), 900: gone, 1500: other}, 3000)
    passes = world.run()
    assert [300.0] == passes[:1]
    assert 1500 <= passes[1] <= 1510
    assert [2, 2] == [len(passes), world.absences]


def test_thousands_of_looks_keep_nothing() -> None:
    """Memory after 5000 looks and 100 passes is what it was after a few."""
    changes = {float(at): files(at) for at in range(0, 20_000, 200)}
    world = World(changes, 26_000)
    sizes: dict[int, int] = {}
    look = world.look

    def measured() -> Fingerprint:
        if world.looks in {50, 5000}:
            gc.collect()
            sizes[world.looks] = tracemalloc.get_traced_memory()[0]
        return look()

    tracemalloc.start()
    try:
        with pytest.raises(Terminated):
            watch(
                world.work, measured, every_s=EVERY_S, clock=lambda: world.now, sleep=world.sleep, absent=world.absent
            )
    finally:
        tracemalloc.stop()
    assert len(world.passes) >= 100
    assert sizes[5000] - sizes[50] < 16_384  # the test's own list of passes


def test_a_tick_that_cannot_be_meant_is_refused() -> None:
    """Neither zero nor a year is a tick."""
    for every_s in (0.0, 0.5, 365 * DAY_S):
        with pytest.raises(UsageError, match="between 1s and 1d"):
            Watch(every_s)


def test_every_change_of_a_file_is_seen(tmp_path: Path) -> None:
    """Another size, another time, another file in its place, none: each looks different; a look alone does not."""
    path = tmp_path / "a.db"
    path.write_bytes(b"one")
    os.utime(path, ns=(1, 1))
    seen = [look_at([path]), look_at([path])]
    path.write_bytes(b"other")
    os.utime(path, ns=(1, 1))
    seen.append(look_at([path]))
    os.utime(path, ns=(2, 2))
    seen.append(look_at([path]))
    (tmp_path / "b.db").write_bytes(b"other")
    os.utime(tmp_path / "b.db", ns=(2, 2))
    (tmp_path / "b.db").replace(path)
    seen.append(look_at([path]))
    path.unlink()
    seen.append(look_at([path]))
    assert seen[0] == seen[1]
    assert 5 == len(set(seen))
    assert (None,) == seen[-1]


def test_sigterm_ends_as_ctrl_c_does_and_only_once() -> None:
    """It raises where the program is; a second one is ignored, and the handler of before comes back."""
    before = signal.getsignal(signal.SIGTERM)
    restore = end_on_sigterm()
    try:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    finally:
        restore()
    assert before == signal.getsignal(signal.SIGTERM)
