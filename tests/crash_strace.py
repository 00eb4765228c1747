"""Running a child under `strace`, and its lines as calls, in the order in which they take effect."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from processes import environment

TIMEOUT_S: Final = 120.0
CALLS: Final = (
    "open,openat,creat,close,dup,dup2,dup3,fcntl,read,readv,write,writev,pwrite64,pwritev,pwritev2,lseek,ftruncate,truncate,"
    "fallocate,fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,chdir,fchdir,mmap,sendfile,copy_file_range,splice,clone,clone3,fork,vfork,openat2"
)
_LINE: Final = re.compile(r"(\d+) +(.*)", re.DOTALL)
_RESUMED: Final = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_CALL: Final = re.compile(r"(\w+)\((.*)\) += (0x[0-9a-f]+|-?\d+|\?)(.*)", re.DOTALL)
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')

_LATE: Final = frozenset({"open", "openat", "creat", "dup", "dup2", "dup3", "fcntl"})
"""Calls that give out a descriptor: that may be one which another thread has closed meanwhile."""


class RecordError(Exception):
    """The recorder cannot say what a system call did."""


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that has returned."""

    name: str
    arguments: str
    result: int
    begun: int
    """The number of the line in which it begins."""
    done: int

    def texts(self) -> list[bytes]:
        """The paths, or the bytes, among the arguments."""
        found = _TEXT.findall(self.arguments)
        if any(cut for _, cut in found):
            raise RecordError(f"{self.name}: strace has cut a text short")
        return [bytes.fromhex(text.replace("\\x", "")) for text, _ in found]

    def numbers(self) -> list[int]:
        """The numeric arguments; texts and names of flags are passed over."""
        bare = _TEXT.sub("", self.arguments)
        return [int(part, 0) for part in re.split(r"[,\s]+", bare) if re.fullmatch(r"-?\d+|0x[0-9a-f]+", part)]

    @property
    def fd(self) -> int:
        """The descriptor, if that is the first argument."""
        return int(self.arguments.split(",", 1)[0].split("<")[0], 0)


def need_strace() -> None:
    """Skip the test where there is no strace; continuous integration must have it."""
    if sys.platform == "linux" and shutil.which("strace"):
        return
    if os.environ.get("CI"):
        pytest.fail("strace is missing: no file operation can be recorded")
    pytest.skip("file operations are recorded with strace, which is not here")


def trace(command: list[str], to: Path) -> list[Call]:
    """Run a command that must end well; every call of it that has to do with files."""
    strace = ["strace", "-f", "--seccomp-bpf", "-xx", "-s", "16777216", "-e", f"trace={CALLS}", "-e", "raw=read,readv"]
    options = ["-e", "signal=none", "-o", str(to)]
    run = [*strace, *options, *command]
    done = subprocess.run(run, env=environment(), capture_output=True, timeout=TIMEOUT_S, check=False, text=True)
    if done.returncode:
        raise RecordError(f"{command[-1]} ended with {done.returncode}: {done.stderr}")
    lines = to.read_text(encoding="ascii").splitlines()
    to.unlink()
    return calls(lines)


def calls(lines: list[str]) -> list[Call]:
    """Each call once, in the order of effects: what gives out a descriptor when it returns, others when they begin."""
    begun: dict[str, tuple[int, str]] = {}
    found: list[Call] = []
    for number, line in enumerate(lines):
        matched = _LINE.fullmatch(line)
        if matched is None or matched[2].startswith(("+++", "---")):
            continue
        task, text, start = matched[1], matched[2], number
        if text.endswith(" <unfinished ...>"):
            begun[task] = (number, text.removesuffix(" <unfinished ...>"))
            continue
        if resumed := _RESUMED.fullmatch(text):
            start, head = begun.pop(task)
            text = head + resumed[2]
        if (call := _CALL.fullmatch(text)) is None:
            raise RecordError(f"strace says {line[:200]!r}")
        if call[3] != "?":
            found.append(Call(call[1], call[2], int(call[3], 0), start, number))
    return sorted(found, key=lambda call: call.done if call.name in _LATE else call.begun)
