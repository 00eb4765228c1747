"""Every change that a child process makes below one directory, in order, as `strace` saw it.

A change counts from the moment its system call begins; an fsync counts when it has returned, and covers only what
was done before it began. The model of names and bytes is kept beside; at the end it must equal what lies on disk.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from processes import environment

ROOT: Final = 0
"""The inode number of the recorded directory."""
ACKNOWLEDGED: Final = "ack-"
VOLATILE: Final = "-shm"
"""SQLite's shared memory: mapped, never durable, made anew after a power cut."""
TIMEOUT_S: Final = 120.0
CALLS: Final = (
    "open,openat,creat,close,dup,dup2,dup3,fcntl,read,readv,write,writev,pwrite64,pwritev,pwritev2,lseek,ftruncate,truncate,"
    "fallocate,fsync,fdatasync,sync,syncfs,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,"
    "mkdir,mkdirat,rmdir,chdir,fchdir,mmap,sendfile,copy_file_range,splice,clone,clone3,fork,vfork,openat2"
)
CHILD: Final = """
import importlib, pathlib, sys
root, *names = sys.argv[1:]
for name in names:
    module, function = name.split(":")
    function = getattr(importlib.import_module(module), function)
    function(pathlib.Path(root))
"""

_LINE: Final = re.compile(r"(\d+) +(.*)", re.DOTALL)
_RESUMED: Final = re.compile(r"<\.\.\. (\w+) resumed>(.*)", re.DOTALL)
_CALL: Final = re.compile(r"(\w+)\((.*)\) += (0x[0-9a-f]+|-?\d+|\?)(.*)", re.DOTALL)
_TEXT: Final = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')

Work = Callable[[Path], None]
"""A function of a module that a child can import; it gets the recorded directory."""


class RecordError(Exception):
    """The recorder cannot say what a system call did."""


@dataclass(frozen=True, slots=True)
class Change:
    """One effect on the disk: `begun` and `done` are its places in the trace."""

    begun: int
    done: int
    path: str
    """For people and for patterns: below the recorded directory, as it was at that time."""


@dataclass(frozen=True, slots=True)
class Write(Change):
    """Bytes into a file."""

    inode: int
    offset: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Truncate(Change):
    """A file's new size, smaller or larger."""

    inode: int
    size: int


@dataclass(frozen=True, slots=True)
class Enter(Change):
    """A name for an inode: made, linked, or the target of a rename (what had the name loses it)."""

    directory: int
    name: str
    inode: int
    is_directory: bool = False
    left: tuple[int, str] | None = None
    """The name that a rename takes away."""


@dataclass(frozen=True, slots=True)
class Leave(Change):
    """A name removed."""

    directory: int
    name: str
    inode: int


@dataclass(frozen=True, slots=True)
class Sync(Change):
    """An fsync or fdatasync of a file or a directory that has returned."""

    inode: int


@dataclass(frozen=True, slots=True)
class Mark(Change):
    """The child has told somebody that a thing is done; `path` says which."""


Operation = Write | Truncate | Enter | Leave | Sync | Mark


@dataclass(slots=True)
class Tree:
    """Names and bytes: directories by inode, files by inode."""

    directories: dict[int, dict[str, int]] = field(default_factory=lambda: {ROOT: {}})
    files: dict[int, bytes] = field(default_factory=dict)

    def flat(self) -> dict[str, bytes | None]:
        """Path to content, None for a directory; what is volatile is left out."""
        found: dict[str, bytes | None] = {}
        pending = [("", ROOT)]
        while pending:
            prefix, directory = pending.pop()
            for name, inode in self.directories[directory].items():
                if inode in self.directories:
                    found[prefix + name] = None
                    pending.append((f"{prefix}{name}/", inode))
                elif not name.endswith(VOLATILE):
                    found[prefix + name] = self.files[inode]
        return found

    def copy(self) -> "Tree":
        """One that may be changed apart."""
        return Tree({inode: dict(names) for inode, names in self.directories.items()}, dict(self.files))


@dataclass(frozen=True, slots=True)
class Recording:
    """What was there, all of it durable, and what a child did to it."""

    before: Tree
    operations: tuple[Operation, ...]
    after: Tree


def need_strace() -> None:
    """Skip the test where there is no strace; continuous integration must have it."""
    if sys.platform == "linux" and shutil.which("strace"):
        return
    if os.environ.get("CI"):
        pytest.fail("strace is missing: no file operation can be recorded")
    pytest.skip("file operations are recorded with strace, which is not here")


def record(root: Path, *work: Work) -> Recording:
    """Run functions in one child process, in order; what lies below `root` before counts as durable."""
    before = read_tree(root)
    trace = root.with_name(f"{root.name}.strace")
    names = [f"{function.__module__}:{function.__qualname__}" for function in work]
    strace = [
        "strace",
        "-f",
        "-xx",
        "-s",
        "16777216",
        "-e",
        f"trace={CALLS}",
        "-e",
        "raw=read,readv",
        "-e",
        "signal=none",
    ]
    child = [sys.executable, "-B", "-c", CHILD, str(root), *names]
    command = [*strace, "--seccomp-bpf", "-o", str(trace), *child]
    done = subprocess.run(command, env=environment(), capture_output=True, timeout=TIMEOUT_S, check=False, text=True)
    if done.returncode:
        raise RecordError(f"{names} ended with {done.returncode}: {done.stderr}")
    recorder = _Recorder(root, before.copy())
    with trace.open(encoding="ascii") as lines:
        recorder.run(lines.read().splitlines())
    trace.unlink()
    after = read_tree(root)
    modelled, found = recorder.tree.flat(), after.flat()
    if modelled != found:
        wrong = sorted(
            path for path in modelled.keys() | found.keys() if modelled.get(path, b"-") != found.get(path, b"-")
        )
        raise RecordError(f"the model differs from the disk: {wrong}")
    return Recording(before, tuple(sorted(recorder.operations, key=_when)), recorder.tree)


def acknowledge(root: Path, what: str) -> None:
    """In a child: leave a mark in the recording, as if somebody were told now that `what` is done."""
    try:
        os.close(os.open(root / f"{ACKNOWLEDGED}{what}", os.O_RDONLY))
    except FileNotFoundError:
        return
    raise RecordError(f"{what} must be no file's name")


def read_tree(root: Path) -> Tree:
    """What lies on disk; inode numbers of our own, the same for hard links."""
    tree, known = Tree(), dict[int, int]()
    numbers = {root: ROOT}
    for path in sorted(root.rglob("*")):
        stat = path.stat()
        inode = known.setdefault(stat.st_ino, len(known) + 1)
        tree.directories[numbers[path.parent]][path.name] = inode
        if path.is_dir():
            numbers[path] = inode
            tree.directories[inode] = {}
        else:
            tree.files[inode] = path.read_bytes()
    return tree


def _when(operation: Operation) -> int:
    return operation.done if isinstance(operation, Sync) else operation.begun


@dataclass(slots=True)
class _OpenFile:
    inode: int
    position: int = 0
    appends: bool = False


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    arguments: str
    result: int
    begun: int
    done: int

    def texts(self) -> list[bytes]:
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
        return int(self.arguments.split(",", 1)[0].split("<")[0], 0)


class _Recorder:
    """Turns lines of strace into operations."""

    def __init__(self, root: Path, tree: Tree) -> None:
        self.root = os.fsencode(root)
        self.tree = tree
        self.operations: list[Operation] = []
        self._fds: dict[int, _OpenFile | bytes] = {}
        """An open file or directory below the root, or the path of another one."""
        self._paths: dict[int, str] = {ROOT: ""}
        self._next = 1 + max([*tree.files, *tree.directories])
        for path, inode in _named(tree):
            self._paths[inode] = path

    def run(self, lines: list[str]) -> None:
        """Each call once, where it takes effect: an open and an fsync where they return, others where they begin."""
        begun: dict[str, tuple[int, str]] = {}
        calls: list[_Call] = []
        for number, line in enumerate(lines):
            matched = _LINE.fullmatch(line)
            if matched is None or matched[2].startswith(("+++", "---")):
                continue
            task, text = matched[1], matched[2]
            start = number
            if text.endswith(" <unfinished ...>"):
                begun[task] = (number, text.removesuffix(" <unfinished ...>"))
                continue
            if resumed := _RESUMED.fullmatch(text):
                start, head = begun.pop(task)
                text = head + resumed[2]
            if (found := _CALL.fullmatch(text)) is None:
                raise RecordError(f"strace says {line[:200]!r}")
            if found[3] != "?":
                calls.append(_Call(found[1], found[2], int(found[3], 0), start, number))
        late = {"open", "openat", "openat2", "creat", "dup", "dup2", "dup3", "fcntl"}
        calls.sort(key=lambda call: call.done if call.name in late else call.begun)
        for call in calls:
            self._take(call)

    def _take(self, call: _Call) -> None:
        if call.name in {"open", "openat", "creat"}:
            self._open(call)
        elif call.result >= 0:
            handler = getattr(self, f"_{call.name.rstrip('0123456789')}", None)
            if handler is None:
                raise RecordError(f"{call.name} is not understood")
            handler(call)

    def _file(self, call: _Call) -> _OpenFile | None:
        found = self._fds.get(call.fd)
        return found if isinstance(found, _OpenFile) else None

    def _below(self, path: bytes, fd: str = "AT_FDCWD") -> tuple[int, str] | None:
        """The directory and the last name of a path below the root; None for another one."""
        if not path.startswith(b"/") and fd != "AT_FDCWD":
            base = self._fds.get(int(fd))
            if isinstance(base, _OpenFile):
                return self._walk(base.inode, path)
            path = (base or b"/nowhere") + b"/" + path
        path = os.path.normpath(path)
        if path == self.root:
            return ROOT, ""
        return self._walk(ROOT, path[len(self.root) + 1 :]) if path.startswith(self.root + b"/") else None

    def _walk(self, directory: int, path: bytes) -> tuple[int, str] | None:
        *parents, name = os.fsdecode(path).split("/")
        for parent in parents:
            if (inode := self.tree.directories[directory].get(parent)) is None:
                return None
            directory = inode
        return directory, name

    def _path(self, place: tuple[int, str]) -> str:
        parent = self._paths[place[0]]
        return f"{parent}/{place[1]}" if parent else place[1]

    def _places(self, call: _Call) -> list[tuple[int, str] | None]:
        """The paths of a call, each with the directory before it, if it has one."""
        fds = re.findall(r'(AT_FDCWD|\d+), "', call.arguments) if "at" in call.name else []
        texts = call.texts()
        return [self._below(text, fds[i] if i < len(fds) else "AT_FDCWD") for i, text in enumerate(texts)]

    def _open(self, call: _Call) -> None:
        (place,) = self._places(call)
        if place is not None and place[0] == ROOT and place[1].startswith(ACKNOWLEDGED):
            self.operations.append(Mark(call.begun, call.done, place[1].removeprefix(ACKNOWLEDGED)))
        if call.result < 0:
            return
        if place is None:
            self._fds[call.result] = call.texts()[0]
            return
        directory, name = place
        inode = self.tree.directories[directory].get(name) if name else ROOT
        if inode is None:
            inode = self._enter(call, place, is_directory=False)
        elif "O_TRUNC" in call.arguments and self.tree.files[inode]:
            self._resize(call, inode, 0)
        self._fds[call.result] = _OpenFile(inode, appends="O_APPEND" in call.arguments)

    def _enter(self, call: _Call, place: tuple[int, str], *, is_directory: bool, inode: int | None = None) -> int:
        if inode is None:
            inode, self._next = self._next, self._next + 1
            if is_directory:
                self.tree.directories[inode] = {}
            else:
                self.tree.files[inode] = b""
        self.tree.directories[place[0]][place[1]] = inode
        path = self._paths[inode] = self._path(place)
        self._add(Enter(call.begun, call.done, path, *place, inode, is_directory))
        return inode

    def _add(self, operation: Operation) -> None:
        if not operation.path.endswith(VOLATILE):
            self.operations.append(operation)

    def _close(self, call: _Call) -> None:
        self._fds.pop(call.fd, None)

    def _dup(self, call: _Call) -> None:
        self._fds.pop(call.result, None)
        if (found := self._fds.get(call.fd)) is not None:
            self._fds[call.result] = found

    def _fcntl(self, call: _Call) -> None:
        if "F_DUPFD" in call.arguments:
            self._dup(call)

    def _read(self, call: _Call) -> None:
        if file := self._file(call):
            file.position += call.result

    _readv = _read

    def _write(self, call: _Call) -> None:
        if file := self._file(call):
            if file.appends:
                file.position = len(self.tree.files[file.inode])
            self._store(call, file.inode, file.position)
            file.position += call.result

    _writev = _write

    def _pwrite(self, call: _Call) -> None:
        if file := self._file(call):
            self._store(call, file.inode, call.numbers()[-1])

    _pwritev = _pwrite

    def _store(self, call: _Call, inode: int, offset: int) -> None:
        data = b"".join(call.texts())[: call.result]
        if len(data) != call.result:
            raise RecordError(f"{call.name}: {len(data)} of {call.result} bytes in the trace")
        self.tree.files[inode] = written(self.tree.files[inode], offset, data)
        self._add(Write(call.begun, call.done, self._paths[inode], inode, offset, data))

    def _lseek(self, call: _Call) -> None:
        if file := self._file(call):
            file.position = call.result

    def _ftruncate(self, call: _Call) -> None:
        if file := self._file(call):
            self._resize(call, file.inode, call.numbers()[-1])

    def _truncate(self, call: _Call) -> None:
        (place,) = self._places(call)
        if place is not None:
            self._resize(call, self.tree.directories[place[0]][place[1]], call.numbers()[-1])

    def _resize(self, call: _Call, inode: int, size: int) -> None:
        self.tree.files[inode] = resized(self.tree.files[inode], size)
        self._add(Truncate(call.begun, call.done, self._paths[inode], inode, size))

    def _fsync(self, call: _Call) -> None:
        if file := self._file(call):
            self._add(Sync(call.begun, call.done, self._paths[file.inode], file.inode))

    _fdatasync = _fsync

    def _rename(self, call: _Call) -> None:
        source, target = self._places(call)
        if source is None and target is None:
            return
        if source is None or target is None or "RENAME_EXCHANGE" in call.arguments:
            raise RecordError(f"{call.name} over the edge of {self.root!r}")
        inode = self.tree.directories[source[0]].pop(source[1])
        self.tree.directories[target[0]][target[1]] = inode
        path = self._paths[inode] = self._path(target)
        self._add(Enter(call.begun, call.done, path, *target, inode, inode in self.tree.directories, source))

    _renameat = _rename

    def _link(self, call: _Call) -> None:
        source, target = self._places(call)
        if source is not None and target is not None:
            self._enter(call, target, is_directory=False, inode=self.tree.directories[source[0]][source[1]])

    _linkat = _link

    def _unlink(self, call: _Call) -> None:
        (place,) = self._places(call)
        if place is not None:
            inode = self.tree.directories[place[0]].pop(place[1])
            self._add(Leave(call.begun, call.done, self._path(place), *place, inode))

    _unlinkat = _rmdir = _unlink

    def _mkdir(self, call: _Call) -> None:
        (place,) = self._places(call)
        if place is not None:
            self._enter(call, place, is_directory=True)

    _mkdirat = _mkdir

    def _mmap(self, call: _Call) -> None:
        fd = int(call.arguments.split(", ")[4])
        file = self._fds.get(fd)
        shared = "MAP_SHARED" in call.arguments and "PROT_WRITE" in call.arguments
        if shared and isinstance(file, _OpenFile) and not self._paths[file.inode].endswith(VOLATILE):
            raise RecordError(f"{self._paths[file.inode]} is mapped for writing")

    def _clone(self, call: _Call) -> None:
        if "CLONE_THREAD" not in call.arguments:
            raise RecordError("the child has started another process")

    _fork = _vfork = _clone

    def _chdir(self, call: _Call) -> None:
        raise RecordError(f"{call.name}: relative paths are not followed")

    _fchdir = _sync = _syncfs = _symlink = _symlinkat = _fallocate = _openat_ = _chdir

    def _sendfile(self, call: _Call) -> None:
        if self._file(call):
            raise RecordError(f"{call.name}: its bytes are not in the trace")

    _copy_file_range = _splice = _sendfile


def _named(tree: Tree) -> list[tuple[str, int]]:
    found, pending = list[tuple[str, int]](), [("", ROOT)]
    while pending:
        prefix, directory = pending.pop()
        for name, inode in tree.directories[directory].items():
            found.append((prefix + name, inode))
            if inode in tree.directories:
                pending.append((f"{prefix}{name}/", inode))
    return found


def written(content: bytes, offset: int, data: bytes) -> bytes:
    """A file's bytes after a write; a gap reads as zeros."""
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


def resized(content: bytes, size: int) -> bytes:
    """A file's bytes after a truncation, or an extension by zeros."""
    return content[:size].ljust(size, b"\0")
