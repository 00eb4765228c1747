"""Power cuts at every file operation: no row ever names a blob that is not there; and the gate that proves the test.

`crash_record` says what is recorded, `crash_states` what a power cut may leave, `crash_scenes` what must hold. To add
a scene, write its three functions there and put it into `SCENES`; the steps it relies on go into `STEPS` here.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from crash_breaks import (
    no_flush,
    no_fsync_of_object_directories,
    no_fsync_of_staged_files,
    no_fsync_of_the_swap,
    registered_last,
)
from crash_operations import Enter, Leave, Mark, Operation, Recording, Sync, Truncate, read_tree
from crash_record import Work, record
from crash_scenes import SCENES, Rows, Scene, examine, lay_out, original_rows
from crash_states import State, kind_of, later, sample, states, without
from crash_strace import need_strace
from disks import memory_directory

STATES = int(os.environ.get("OCBLOB_TEST_CRASH_STATES", "24"))
"""States that are looked at for each scene and each left-out step; 100000 looks at all."""
pytestmark = [pytest.mark.many, pytest.mark.xdist_group("crash")]  # each scene is recorded once for all of them


@dataclass(frozen=True, slots=True)
class Recorded:
    """A scene, run once."""

    scene: Scene
    root: Path
    recording: Recording
    original: Rows
    found: tuple[State, ...]
    """Every state of the families."""

    def bad(self, chosen: list[State]) -> Iterator[str]:
        """What is wrong with some states, in words."""
        for state in chosen:
            for trouble in examine(self.scene, self.root, state, self.original):
                yield f"{trouble} [{state.words}]"


GATE_STATES = 1500
"""Bad states are among the first ones; a step that is not needed takes this many."""

Mutation = Callable[[Recording], Recording]


@dataclass(frozen=True, slots=True)
class Step:
    """A step that the order of writes needs, and the same run without it."""

    name: str
    scene: str
    mutate: Mutation
    kind: str | None = None
    """The kind of files of which no fsync at all is left."""


def unsynced(kind: str) -> Mutation:
    """No fsync of these files or directories."""
    return lambda recording: without(recording, lambda item: isinstance(item, Sync) and kind_of(item.path) == kind)


def fsync_step(name: str, scene: str, kind: str) -> Step:
    """A step that is all the fsyncs of a kind."""
    return Step(name, scene, unsynced(kind), kind)


def unsynced_after(kind: str, made: str) -> Mutation:
    """No fsync of a directory after something in it got its name."""

    def mutated(recording: Recording) -> Recording:
        operations = list(recording.operations)
        names = [at for at, item in enumerate(operations) if isinstance(item, Enter) and kind_of(item.path) == made]
        left_out = next(filter(syncs(kind), operations[names[-1] :]))
        return without(recording, lambda item: item is left_out)

    return mutated


def is_of(*beginnings: str) -> Callable[[Operation], bool]:
    """Whether an operation is on files whose paths begin so."""
    return lambda item: not isinstance(item, Mark) and item.path.startswith(beginnings)


def told(what: str) -> Callable[[Operation], bool]:
    """Whether an operation acknowledges something."""
    return lambda item: isinstance(item, Mark) and item.path.startswith(what)


def syncs(*kinds: str) -> Callable[[Operation], bool]:
    """Whether an operation is an fsync of these."""
    return lambda item: isinstance(item, Sync) and kind_of(item.path) in kinds


def put_off(late: Callable[[Operation], bool], until: Callable[[Operation], bool]) -> Mutation:
    """Some operations come only after the last of others."""
    return lambda recording: later(recording, late, until)


BATCHES, NEW_PUT, VACUUM = "offload in batches", "put into a new store", "vacuum by swap"
DEDUPE, REPAIR = "dedupe hit on another writer's object", "repair of damaged objects"
PROMPTS = "prompts out and back"
EXPIRE, CONDEMN, COPY = "evict: expire", "prune: condemn", "evict to a copy"
RETAIN, ARCHIVE_REFS, UNARCHIVE = "archive, retain, vacuum", "archive with refs", "unarchive"
ROWS = is_of("opencode.db")
STEPS = (
    # An fsync left out: each kind that any scene has, in a scene where it matters.
    fsync_step("fsync of staged files", BATCHES, "store/staging/*/*"),
    fsync_step("fsync of object directories", BATCHES, "store/objects/*"),
    fsync_step("fsync of another writer's object", DEDUPE, "store/objects/*/*"),
    fsync_step("fsync of the 256 directories' names", NEW_PUT, "store/objects"),
    fsync_step("fsync of store.json", NEW_PUT, "store/.store.json.new-*"),
    fsync_step("fsync of the store's name", NEW_PUT, ""),
    fsync_step("fsync after store.json is there", NEW_PUT, "store"),
    fsync_step("fsync of a registration", BATCHES, "store/databases/.*.json.*.*"),
    fsync_step("fsync of a registration's name", BATCHES, "store/databases"),
    Step("fsync after the first registration's directory", BATCHES, unsynced_after("store", "store/databases")),
    fsync_step("fsync of a pin", "put", "store/pins/.*.json.*.*"),
    fsync_step("fsync of a pin's name", "put", "store/pins"),
    Step("fsync after the first pin's directory", "put", unsynced_after("store", "store/pins")),
    fsync_step("fsync of the catalog's first journal", NEW_PUT, "store/catalog.sqlite-journal"),
    fsync_step("fsync of the catalog", NEW_PUT, "store/catalog.sqlite"),
    fsync_step("fsync of the catalog's WAL", REPAIR, "store/catalog.sqlite-wal"),
    fsync_step("fsync of the host's WAL before a checkpoint", BATCHES, "opencode.db-wal"),
    fsync_step("fsync of the host's file after a checkpoint", BATCHES, "opencode.db"),
    fsync_step("fsync of the host's WAL at the end of a restore", "restore", "opencode.db-wal"),
    fsync_step("fsync of the WAL's name at the end of a restore", "restore", ""),
    fsync_step("fsync of the vacuumed file", VACUUM, "opencode.db.ocblob-vacuum-*"),
    Step("fsync after the vacuumed file is in its place", VACUUM, unsynced_after("", "opencode.db")),
    fsync_step("fsync after the old WAL is gone", VACUUM, ""),
    fsync_step("fsync of a tombstone", EXPIRE, "store/tombstones/.*.json.*.*"),
    fsync_step("fsync of a tombstone's name", EXPIRE, "store/tombstones"),
    fsync_step("fsync of the trash", CONDEMN, "store/trash"),
    fsync_step("fsync of a generation of the trash", CONDEMN, "store/trash/*-*"),
    fsync_step("fsync of what is deleted from the trash", EXPIRE, "store/trash/*-*/*"),
    fsync_step("fsync of objects in a copy", COPY, "copy/objects/*/.*.*.*"),
    fsync_step("fsync of a copy's object directories", COPY, "copy/objects/*"),
    fsync_step("fsync of a copy's 256 directories' names", COPY, "copy/objects"),
    fsync_step("fsync of a copy's store.json", COPY, "copy/.store.json.new-*"),
    fsync_step("fsync of a copy's registrations", COPY, "copy/databases/.*.json.*.*"),
    fsync_step("fsync of a copy's registrations' names", COPY, "copy/databases"),
    fsync_step("fsync of what is in a copy", COPY, "copy"),
    fsync_step("fsync of a copy's declaration", COPY, "store/copies/.*.json.*.*"),
    fsync_step("fsync of a copy's declaration's name", COPY, "store/copies"),
    fsync_step("fsync of a new prompt file", PROMPTS, "state/.prompt-history.jsonl.*.ocblob-new"),
    fsync_step("fsync of a new prompt file's name", PROMPTS, "state"),
    fsync_step("fsync of an archive", RETAIN, "archives/.ocblob-archive-*.part"),
    fsync_step("fsync of an archive's name", RETAIN, "archives"),
    # The same steps in another order.
    Step("archive durable before its sessions go", RETAIN, put_off(is_of("archives"), ROWS)),
    Step("archive durable before it is told", ARCHIVE_REFS, put_off(syncs("archives"), told("archived"))),
    Step("pins before the archive", ARCHIVE_REFS, put_off(is_of("store/pins"), told("archived"))),
    Step("blobs before the rows that come back", UNARCHIVE, put_off(is_of("store/objects"), ROWS)),
    Step("rows durable before they are told", UNARCHIVE, put_off(syncs("opencode.db-wal"), told("unarchived"))),
    Step("blobs before the prompts that name them", PROMPTS, put_off(is_of("store/objects"), told("prompts-out"))),
    Step("tombstones before the objects go", EXPIRE, put_off(is_of("store/tombstones"), is_of("store/trash"))),
    Step("a copy's objects before the local ones go", COPY, put_off(is_of("copy/objects/"), is_of("store/objects"))),
    Step("registered before its rows", BATCHES, put_off(is_of("store/databases"), ROWS)),
    Step("objects before the rows", BATCHES, put_off(is_of("store/objects"), ROWS)),
    Step("object directories durable before the rows", BATCHES, put_off(syncs("store/objects/*"), ROWS)),
    Step("objects whole before the rows", BATCHES, put_off(syncs("store/staging/*/*"), ROWS)),
    Step("objects before the catalog", "put", put_off(is_of("store/objects"), is_of("store/catalog.sqlite"))),
    Step("put durable before it is told", "put", put_off(syncs("store/objects/*"), told("put-"))),
    Step("pin durable before it is told", "put", put_off(syncs("store/pins"), told("pin-"))),
    Step("restore durable before it is told", "restore", put_off(syncs("opencode.db-wal"), told("restored"))),
    Step(
        "old WAL gone before the new file is in its place",
        VACUUM,
        put_off(lambda item: isinstance(item, Leave | Truncate) and item.path == "opencode.db-wal", ROWS),
    ),
    Step(
        "old file spoiled only when the new one is in its place",
        VACUUM,
        put_off(lambda item: isinstance(item, Enter) and item.left is not None, ROWS),
    ),
)
REDUNDANT = {
    "copy/.copy-of.json.*.*": "it keeps people from pruning a copy for itself; no scene opens one as a store",
    "store/staging": "a writer's directory: what is in it is renamed away or thrown away",
    "store/quarantine": "a move is one change: the fsync of the directory that was left carries it",
    "opencode.db-journal": "SQLite's, for leaving WAL mode: only the first sector of a page changes",
    "opencode.db.ocblob-vacuum-*-journal": "SQLite's, of a file that is not in its place yet",
}
"""Kinds of fsync without which no scene has a bad state, and why."""


@pytest.fixture(scope="module")
def memory() -> Iterator[Path]:
    """A directory in memory where there is such a place: what a state holds does not depend on the disk."""
    with memory_directory() as path:
        yield path


@pytest.fixture(scope="module")
def recorded(memory: Path) -> Callable[[str], Recorded]:
    """Run a scene under the recorder, once for all tests."""
    need_strace()
    done: dict[str, Recorded] = {}

    def get(name: str) -> Recorded:
        if name not in done:
            scene = next(scene for scene in SCENES if scene.name == name)
            done[name] = run(scene, memory / f"scene{SCENES.index(scene)}" / "work")
        return done[name]

    return get


def run(scene: Scene, root: Path, *before: Work) -> Recorded:
    """Prepare, run and record a scene; `before` runs in the child first, and may change what the code does."""
    root.mkdir(parents=True)
    scene.prepare(root)
    ready = read_tree(root).flat()
    original = original_rows(scene, root)
    lay_out(root, ready)
    recording = record(root, *before, scene.work)
    return Recorded(scene, root, recording, original, tuple(states(recording)))


@pytest.mark.parametrize("name", [scene.name for scene in SCENES])
def test_a_power_cut_at_any_moment_loses_nothing(recorded: Callable[[str], Recorded], name: str) -> None:
    """In every state that a power cut may leave, rows hold their payloads or refs that resolve."""
    at = recorded(name)
    chosen = sample(list(at.found), STATES)
    print(f"{name}: {len(at.recording.operations)} operations, {len(at.found)} states, {len(chosen)} looked at")

    assert [] == list(at.bad(chosen))
    assert min(STATES, 10) <= len(chosen)


@pytest.mark.parametrize("step", STEPS, ids=[step.name for step in STEPS])
def test_each_step_is_needed(recorded: Callable[[str], Recorded], step: Step) -> None:
    """Without this one step of the order of writes, some state is bad: the test above would see it."""
    at = recorded(step.scene)
    mutated = step.mutate(at.recording)
    legal = {state.key for state in at.found}
    more = sample([state for state in states(mutated) if state.key not in legal], GATE_STATES)

    assert mutated.operations != at.recording.operations
    assert None is not next(at.bad(more), None), f"{len(more)} states without it, and none is bad"


def test_every_fsync_has_its_step(recorded: Callable[[str], Recorded]) -> None:
    """No fsync is in a scene that neither a step above leaves out nor a reason calls redundant."""
    seen = {
        kind_of(item.path)
        for scene in SCENES
        for item in recorded(scene.name).recording.operations
        if isinstance(item, Sync)
    }

    assert seen == {step.kind for step in STEPS if step.kind is not None} | REDUNDANT.keys()


@pytest.mark.parametrize(
    ("broken", "name"),
    [
        (no_fsync_of_staged_files, BATCHES),
        (no_fsync_of_object_directories, BATCHES),
        (registered_last, BATCHES),
        (no_flush, "restore"),
        (no_fsync_of_the_swap, VACUUM),
    ],
)
def test_code_without_a_step_is_found_out(memory: Path, broken: Work, name: str) -> None:
    """The same with the code itself changed, not its recording: what it does not call is seen to be missing."""
    need_strace()
    scene = next(scene for scene in SCENES if scene.name == name)
    at = run(scene, memory / broken.__name__ / "work", broken)

    assert None is not next(at.bad(sample(at.found, GATE_STATES)), None)
