"""File systems for tests: small ones that fill up, and memory, where a kill costs nothing."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

SHARED_MEMORY = Path("/dev/shm")


@contextlib.contextmanager
def small_disk(root: Path, size: int) -> Iterator[Path]:
    """A file system of so many bytes at a place that is not there yet. In CI it must be had, elsewhere it skips."""
    root.mkdir()
    command = [shutil.which("mount") or "mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(root)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"needs the right to mount a tmpfs: {error}")
    try:
        yield root
    finally:
        subprocess.run(["umount", "-l", str(root)], check=True)


def remount(disk: Path, options: str) -> None:
    """Change a small disk: `size=9000000`, `ro`."""
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


@contextlib.contextmanager
def memory_directory() -> Iterator[Path]:
    """A directory in memory where there is such a place: what a SIGKILL leaves does not depend on the disk."""
    with tempfile.TemporaryDirectory(dir=SHARED_MEMORY if SHARED_MEMORY.is_dir() else None) as name:
        yield Path(name).resolve()
