import contextlib
from typing import cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from histories import BLOBS, TO_THE_END, Player
from histories_simulation import scratch, simulated
from histories_world import World

pytestmark = pytest.mark.many

EXAMPLES = 120
STEPS = 25

databases = st.integers(0, 1)
blobs = st.integers(0, BLOBS - 1)
stops = st.one_of(st.just(TO_THE_END), st.integers(0, 20))


class Store(RuleBasedStateMachine):
    """Two writers, a reader and deleters of one local store, with or without a copy.

    A blob that anything registered has named within the grace is readable, or raises the error that tells why: expired
    by an explicit `--expire`, or damaged where no other copy was.
    """

    shape = "own"

    def __init__(self) -> None:
        super().__init__()
        self._stack = contextlib.ExitStack()
        self._root = self._stack.enter_context(scratch()) / "world"
        self._stack.enter_context(simulated())
        self._root.mkdir()
        self.world = World(self._root, self.shape, copies=False, lazy=False, cache_bytes=0)
        self.player = Player(self.world)

    def teardown(self) -> None:
        """Every process that sleeps ends, and then all is well too."""
        try:
            while self.world.processes:
                self.player.play(("resume", 0, 0, TO_THE_END))
        finally:
            self.world.close()
            self._stack.close()

    @invariant()
    def everything_promised_reads_back(self) -> None:
        """See `World`."""
        self.world.check()

    @rule(database=databases, blob=blobs)
    def insert(self, database: int, blob: int) -> None:
        """A row with a payload."""
        self.player.play(("insert", database, blob, 0))

    @rule(database=databases, row=blobs)
    def delete(self, database: int, row: int) -> None:
        """A row goes."""
        self.player.play(("delete", database, row, 0))

    @rule(database=databases)
    def clear(self, database: int) -> None:
        """All rows go."""
        self.player.play(("clear", database, 0, 0))

    @rule(database=databases, row=blobs)
    def copy_row(self, database: int, row: int) -> None:
        """A row of the other database stands in this one too."""
        self.player.play(("import", database, row, 0))

    @rule(database=databases, stop=stops)
    def offload(self, database: int, stop: int) -> None:
        """One of the two writers."""
        self.player.play(("offload", database, 0, stop))

    @rule(database=databases)
    def restore(self, database: int) -> None:
        """Payloads go back to their rows."""
        self.player.play(("restore", database, 0, TO_THE_END))

    @rule(blob=blobs)
    def put(self, blob: int) -> None:
        """A blob is put and pinned."""
        self.player.play(("put", 0, blob, TO_THE_END))

    @rule(blob=blobs)
    def unpin(self, blob: int) -> None:
        """It is no longer pinned."""
        self.player.play(("unpin", 0, blob, 0))

    @rule(blob=blobs, stop=stops)
    def read(self, blob: int, stop: int) -> None:
        """A reader, which may stop before it brings a blob back or heals it."""
        self.player.play(("read", 0, blob, stop))

    @rule(stop=stops)
    def prune(self, stop: int) -> None:
        """To its end, or asleep on its way."""
        self.player.play(("prune", 0, 0, stop))

    @rule(limit=st.integers(0, 2), stop=stops)
    def evict(self, limit: int, stop: int) -> None:
        """By size or by age."""
        self.player.play(("evict", 0, limit, stop))

    @rule(limit=st.integers(0, 2), stop=stops)
    def expire(self, limit: int, stop: int) -> None:
        """Last copies too."""
        self.player.play(("expire", 0, limit, stop))

    @rule(stop=stops)
    def sync(self, stop: int) -> None:
        """The copy is filled."""
        self.player.play(("sync", 0, 0, stop))

    @rule(kind=st.integers(0, 5))
    def check(self, kind: int) -> None:
        """With repair, or without."""
        self.player.play(("check", 0, kind, TO_THE_END))

    @rule(place=st.integers(0, 5), blob=blobs)
    def damage(self, place: int, blob: int) -> None:
        """A bit flips."""
        self.player.play(("damage", place, blob, 0))

    @rule(kept=st.integers(0, 2))
    def power_cut(self, kept: int) -> None:
        """Everything that runs dies, and rows that were not durable are as before."""
        self.player.play(("power", 0, kept, 0))

    @rule(sleep=st.integers(0, 4))
    def sleep(self, sleep: int) -> None:
        """Minutes to a fortnight."""
        self.player.play(("sleep", sleep, 0, 0))

    @precondition(lambda self: bool(cast("Store", self).world.processes))
    @rule(which=st.integers(0, 3), stop=stops)
    def wake(self, which: int, stop: int) -> None:
        """A process that sleeps goes on."""
        self.player.play(("resume", which, 0, stop))

    @precondition(lambda self: bool(cast("Store", self).world.processes))
    @rule(which=st.integers(0, 3))
    def crash(self, which: int) -> None:
        """A process that sleeps dies."""
        self.player.play(("kill", which, 0, 0))


class StoreWithCopy(Store):
    """The same with a copy."""

    shape = "own+copy"


@pytest.mark.parametrize("machine", [Store, StoreWithCopy])
def test_a_referenced_blob_is_readable_or_says_why_not(machine: type[Store]) -> None:
    """Whatever writers, readers, deleters and crashes do, in any order."""
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
