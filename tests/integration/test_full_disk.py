"""A disk that is really full: a small file system of the test's own."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import disks
from disks import remount
from ocblob import BlobStore
from ocblob.check import check
from processes import environment
from samples import dump, integrity, make_opencode, refs, unresolved

DISK_BYTES = 2_000_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    with disks.small_disk(tmp_path / "disk", DISK_BYTES) as root:
        yield root


def test_a_full_disk_gives_the_batch_up(small_disk: Path, tmp_path: Path) -> None:
    """An offload that fills the disk ends with a clear error; every ref resolves, and a larger disk completes it."""
    path, store = tmp_path / "a.db", small_disk / "store"
    make_opencode(path, sessions=3, parts=20, size=150_000)
    original = dump(path)

    def run(verb: str, *more: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "ocblob", verb, "--db", str(path), "--store", str(store), *more]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
        assert code == done.returncode, done.stderr
        return done.stderr

    told = run("offload", "--no-plugin", code=1)

    assert "No space left on device" in told or "full" in told
    assert "ok" == integrity(path)
    assert [] == unresolved(path, store)
    with BlobStore.open(store) as opened:
        assert 0 == check(opened, []).corrupt
    remount(small_disk, f"size={20 * DISK_BYTES}")
    run("offload", "--no-plugin")
    assert refs(path)
    assert [] == unresolved(path, store)
    run("restore")
    assert original == dump(path)


@pytest.mark.parametrize(
    ("parts", "size", "code"),
    [pytest.param(20, 150_000, 1, id="for attachments"), pytest.param(2, 100_000, 3, id="for rows")],
)
def test_an_unarchive_that_finds_no_room_loses_nothing(
    small_disk: Path, tmp_path: Path, parts: int, size: int, code: int
) -> None:
    """It ends with a clear error, what is back is whole, and a larger disk completes it."""
    source, archive, path = tmp_path / "a.db", tmp_path / "all.json.zst", small_disk / "a.db"
    make_opencode(source, sessions=3, parts=parts, size=size)
    original = dump(source)
    make_opencode(path, sessions=0)

    def run(*words: str, code: int = 0) -> str:
        command = [sys.executable, "-m", "ocblob", *words, "--store", str(tmp_path / "store")]
        done = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=120, check=False)
        assert code == done.returncode, done.stderr
        return done.stderr

    run("archive", str(archive), "--db", str(source))
    told = run("unarchive", str(archive), "--db", str(path), code=code)

    assert "No space left on device" in told or "no room on the disk" in told or "full" in told
    assert "ok" == integrity(path)
    assert len(original["session"]) > len(dump(path)["session"])
    subprocess.run(["mount", "-o", f"remount,size={60 * DISK_BYTES}", str(small_disk)], check=True)
    run("unarchive", str(archive), "--db", str(path))
    assert original == dump(path)
