"""The recorder and the model of a power cut, on small cases whose answers are known."""

import os
import shutil
import threading
from itertools import pairwise
from pathlib import Path

import pytest

from crash_operations import ROOT, Enter, Leave, Mark, Operation, Recording, Sync, Tree, Write
from crash_record import acknowledge, record
from crash_states import State, kind_of, later, sample, states, without
from crash_strace import calls, need_strace

OLD, NEW = b"old" * 500, b"new" * 500
BESIDE, NAME, BELOW = 1, 2, 3
"""Inodes: a new file, the old one, a directory."""


def tree() -> Tree:
    """A file `name`, and an empty directory `below`."""
    return Tree({ROOT: {"name": NAME, "below": BELOW}, BELOW: {}}, {NAME: OLD})


def recording(*operations: Operation) -> Recording:
    """What happens to it."""
    return Recording(tree(), operations, tree())


def write(at: int) -> Write:
    """New bytes in the file beside."""
    return Write(2 * at, 2 * at + 1, "beside", BESIDE, 0, NEW)


def enter(at: int, name: str = "beside", *, directory: int = ROOT, left: tuple[int, str] | None = None) -> Enter:
    """A name for the file beside."""
    return Enter(2 * at, 2 * at + 1, name, directory, name, BESIDE, left=left)


def sync(at: int, inode: int) -> Sync:
    """An fsync."""
    return Sync(2 * at, 2 * at + 1, "", inode)


def disks(*operations: Operation) -> list[dict[str, bytes | None]]:
    """Every disk that a power cut may leave."""
    return [state.files for state in states(recording(*operations))]


def end(*operations: Operation) -> list[dict[str, bytes | None]]:
    """Those that it may leave after the last operation."""
    told = Mark(98, 99, "end")
    return [state.files for state in states(recording(*operations, told)) if "end" in state.told]


def test_a_file_and_its_name_are_durable_one_by_one() -> None:
    """Fsync of a file keeps its bytes, fsync of the directory its name; only both keep the file."""
    assert NEW in {disk.get("beside") for disk in end(enter(0), write(1))}
    assert {None, NEW} == {disk.get("beside") for disk in end(enter(0), write(1), sync(2, BESIDE))}
    assert (
        {b"", NEW, NEW[:512], bytes(len(NEW))}
        >= {disk["beside"] for disk in end(enter(0), write(1), sync(2, ROOT))}
        > {b"", NEW}
    )
    assert [NEW] == [disk["beside"] for disk in end(enter(0), write(1), sync(2, BESIDE), sync(3, ROOT))]


def test_a_write_may_be_torn_at_a_sector() -> None:
    """The last write may have reached the disk in part."""
    assert NEW[:512] in [disk.get("beside") for disk in disks(enter(0), write(1))]


def test_bytes_that_were_not_synced_may_be_missing_under_the_new_name() -> None:
    """A rename over a file leaves the old one or the new one, the new one maybe without its bytes."""
    rename = enter(2, "name", left=(ROOT, "beside"))

    assert b"" in [disk["name"] for disk in disks(enter(0), write(1), rename)]
    assert {OLD, NEW} == {disk["name"] for disk in disks(enter(0), write(1), sync(2, BESIDE), rename)}


def test_a_rename_loses_no_file() -> None:
    """Between two directories a file has its old name, its new one, or both, whichever directory is synced."""
    made = (enter(0), write(1), sync(2, BESIDE), sync(3, ROOT))
    moved = enter(4, "there", directory=BELOW, left=(ROOT, "beside"))

    for more in ((), (sync(5, ROOT),), (sync(5, BELOW),)):
        for disk in end(*made, moved, *more):
            assert NEW in {disk.get("beside"), disk.get("below/there")}


def test_a_directory_without_a_durable_name_takes_all_with_it() -> None:
    """What is durable in a new directory is lost if the directory's own name is not durable."""
    made = (Enter(0, 1, "new", ROOT, "new", 4, is_directory=True), enter(1, directory=4), write(2))
    synced = (sync(3, BESIDE), sync(4, 4))

    assert {None, NEW} == {disk.get("new/beside") for disk in end(*made, *synced)}
    assert [NEW] == [disk.get("new/beside") for disk in end(*made, *synced, sync(5, ROOT))]


def test_an_fsync_covers_only_what_was_done_before_it_began() -> None:
    """A write that was under way when another thread began its fsync may be lost."""
    under_way = Write(3, 6, "beside", BESIDE, 0, NEW)

    assert b"" in [disk["beside"] for disk in end(enter(0), sync(1, ROOT), under_way, Sync(4, 5, "", BESIDE))]


def test_a_removed_name_may_be_there_again() -> None:
    """A removal is durable with its directory."""
    removal = Leave(0, 1, "name", ROOT, "name", NAME)

    assert {None, OLD} == {disk.get("name") for disk in end(removal)}
    assert [None] == [disk.get("name") for disk in end(removal, sync(1, ROOT))]


def test_states_are_told_once_and_sampled_by_their_kinds() -> None:
    """Equal disks are one state; a sample takes from every kind of step first."""
    many = [Enter(at, at, f"objects/{at:02x}", ROOT, f"{at}", 100 + at) for at in range(30)]
    found = list(states(recording(*many, enter(50), write(51))))

    assert len(found) == len({state.key for state in found})
    assert {state.kind for state in found} == {state.kind for state in sample(found, 5)}
    assert "objects/*/*" == kind_of(f"objects/0f/{'a' * 62}")


def test_a_recording_without_a_step() -> None:
    """A step is left out, or comes later than others; the rest keeps its order."""
    whole = recording(enter(0), write(1), sync(2, BESIDE), sync(3, ROOT))
    mutated = later(whole, lambda item: isinstance(item, Write), lambda item: isinstance(item, Sync))

    assert [Enter, Write] == [type(item) for item in without(whole, lambda item: isinstance(item, Sync)).operations]
    assert [Enter, Sync, Sync, Write] == [type(item) for item in mutated.operations]
    assert all(one.done < other.begun for one, other in pairwise(mutated.operations))


def test_calls_of_threads_are_put_together() -> None:
    """A call that another thread's interrupts is one call, from its beginning to its end."""
    lines = [
        r'7  pwrite64(3, "\x61\x62", 2, 4096 <unfinished ...>',
        "8  fsync(4 <unfinished ...>",
        "7  <... pwrite64 resumed>) = 2",
        "8  <... fsync resumed>) = 0",
        "8  --- SIGCHLD {si_signo=SIGCHLD} ---",
        "7  +++ exited with 0 +++",
    ]
    write_call, fsync_call = calls(lines)

    assert (["pwrite64", "fsync"], [b"ab"]) == ([write_call.name, fsync_call.name], write_call.texts())
    assert (0, 2, 1, 3) == (write_call.begun, write_call.done, fsync_call.begun, fsync_call.done)
    assert 4096 == write_call.numbers()[-1]


def many_ways(root: Path) -> None:
    """In a child: files changed in every way that the recorder understands."""
    with (root / "file").open("w+b") as file:
        file.write(b"0123456789")
        file.flush()
        os.pwrite(file.fileno(), b"xx", 20)
        file.seek(2)
        copy = os.dup(file.fileno())
        os.write(copy, b"CC")
        os.writev(copy, [b"D", b"E"])
        os.ftruncate(copy, 15)
        os.fsync(copy)
        os.close(copy)
    with (root / "file").open("ab") as file:
        file.write(b"end")
    (root / "deep" / "er").mkdir(parents=True)
    os.link(root / "file", root / "deep" / "er" / "link")
    threads = [threading.Thread(target=(root / f"{name}").write_bytes, args=(NEW,)) for name in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    acknowledge(root, "written")
    (root / "0").replace(root / "deep" / "1")
    (root / "1").unlink()
    directory = os.open(root, os.O_RDONLY)
    os.rename("2", "renamed", src_dir_fd=directory, dst_dir_fd=directory)
    os.fsync(directory)
    os.close(directory)
    (root / "gone" / "with").mkdir(parents=True)
    (root / "gone" / "with" / "file").write_bytes(OLD)
    shutil.rmtree(root / "gone")
    os.truncate(root / "3", 5)


@pytest.fixture
def recorded(tmp_path: Path) -> Recording:
    """What a child did that did everything."""
    need_strace()
    root = tmp_path.resolve() / "work"
    root.mkdir()
    (root / "before").write_bytes(OLD)
    return record(root, many_ways)


def test_the_recorder_sees_every_change(recorded: Recording) -> None:
    """Its model of names and bytes equals the disk at the end, which `record` itself demands; fsyncs and marks too."""
    files = recorded.after.flat()

    assert b"01CCDE6789\0\0\0\0\0end" == files["file"] == files["deep/er/link"]
    assert (OLD, NEW, NEW, NEW[:5]) == (files["before"], files["deep/1"], files["renamed"], files["3"])
    assert ["file", ""] == [item.path for item in recorded.operations if isinstance(item, Sync)]
    assert ["written"] == [item.path for item in recorded.operations if isinstance(item, Mark)]


def test_everything_done_and_nothing_done_are_both_possible(recorded: Recording) -> None:
    """A power cut at the end may leave the disk as it was before, or as it is."""
    found: list[State] = list(states(recorded))

    assert recorded.before.flat() in [state.files for state in found]
    assert recorded.after.flat() in [state.files for state in found]
