"""Every change that a child process makes below one directory, in order, as `strace` saw it.

A change counts from the moment its system call begins; an fsync counts when it has returned, and covers only what
was done before it began. The model of names and bytes is kept beside; at the end it must equal what lies on disk.
"""

import os
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from crash_operations import (
    ROOT,
    VOLATILE,
    Enter,
    Leave,
    Mark,
    Operation,
    Recording,
    Sync,
    Tree,
    Truncate,
    Write,
    read_tree,
    resized,
    written,
)
from crash_strace import Call, RecordError, trace

ACKNOWLEDGED: Final = "ack-"
CHILD: Final = """
import importlib, pathlib, sys
root, *names = sys.argv[1:]
for name in names:
    module, function = name.split(":")
    function = getattr(importlib.import_module(module), function)
    function(pathlib.Path(root))
"""

Work = Callable[[Path], None]
"""A function of a module that a child can import; it gets the recorded directory."""


def record(root: Path, *work: Work) -> Recording:
    """Run functions in one child process, in order; what lies below `root` before counts as durable."""
    before = read_tree(root)
    names = [f"{function.__module__}:{function.__qualname__}" for function in work]
    recorder = _Recorder(root, before.copy())
    for call in trace([sys.executable, "-B", "-c", CHILD, str(root), *names], root.with_name(f"{root.name}.strace")):
        recorder.take(call)
    modelled, found = recorder.tree.flat(), read_tree(root).flat()
    if modelled != found:
        paths = sorted(modelled.keys() | found.keys())
        wrong = [path for path in paths if modelled.get(path, b"-") != found.get(path, b"-")]
        raise RecordError(f"the model differs from the disk: {wrong}")
    return Recording(before, tuple(sorted(recorder.operations, key=_when)), recorder.tree)


def acknowledge(root: Path, what: str) -> None:
    """In a child: leave a mark in the recording, as if somebody were told now that `what` is done."""
    try:
        os.close(os.open(root / f"{ACKNOWLEDGED}{what}", os.O_RDONLY))
    except FileNotFoundError:
        return
    raise RecordError(f"{what} must be no file's name")


def _when(operation: Operation) -> int:
    return operation.done if isinstance(operation, Sync) else operation.begun


@dataclass(slots=True)
class _OpenFile:
    inode: int
    position: int = 0
    appends: bool = False


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
        self._paths |= {inode: path for path, inode in tree.paths()}

    def take(self, call: Call) -> None:
        """Let one call happen."""
        if call.name in {"open", "openat", "creat"}:
            self._open(call)
        elif call.result >= 0:
            handler = getattr(self, f"_{call.name.rstrip('0123456789')}", None)
            if handler is None:
                raise RecordError(f"{call.name} is not understood")
            handler(call)

    def _file(self, call: Call) -> _OpenFile | None:
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

    def _places(self, call: Call) -> list[tuple[int, str] | None]:
        """The paths of a call, each with the directory before it, if it has one."""
        fds = re.findall(r'(AT_FDCWD|\d+), "', call.arguments) if "at" in call.name else []
        texts = call.texts()
        return [self._below(text, fds[i] if i < len(fds) else "AT_FDCWD") for i, text in enumerate(texts)]

    def _open(self, call: Call) -> None:
        (place,) = self._places(call)
        if place is not None and place[0] == ROOT and place[1].startswith(ACKNOWLEDGED):
            self.operations.append(Mark(call.begun, call.done, place[1].removeprefix(ACKNOWLEDGED)))
        if call.result < 0:
            return
        if place is None or "O_TMPFILE" in call.arguments:
            # Elsewhere, or a file without a name: no power cut leaves it.
            self._fds[call.result] = call.texts()[0] if place is None else b"/nowhere"
            return
        directory, name = place
        inode = self.tree.directories[directory].get(name) if name else ROOT
        if inode is None:
            inode = self._enter(call, place, is_directory=False)
        elif "O_TRUNC" in call.arguments and self.tree.files[inode]:
            self._resize(call, inode, 0)
        self._fds[call.result] = _OpenFile(inode, appends="O_APPEND" in call.arguments)

    def _enter(self, call: Call, place: tuple[int, str], *, is_directory: bool, inode: int | None = None) -> int:
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

    def _close(self, call: Call) -> None:
        self._fds.pop(call.fd, None)

    def _dup(self, call: Call) -> None:
        self._fds.pop(call.result, None)
        if (found := self._fds.get(call.fd)) is not None:
            self._fds[call.result] = found

    def _fcntl(self, call: Call) -> None:
        if "F_DUPFD" in call.arguments:
            self._dup(call)

    def _read(self, call: Call) -> None:
        if file := self._file(call):
            file.position += call.result

    _readv = _read

    def _write(self, call: Call) -> None:
        if file := self._file(call):
            if file.appends:
                file.position = len(self.tree.files[file.inode])
            self._store(call, file.inode, file.position)
            file.position += call.result

    _writev = _write

    def _pwrite(self, call: Call) -> None:
        if file := self._file(call):
            self._store(call, file.inode, call.numbers()[-1])

    _pwritev = _pwrite

    def _store(self, call: Call, inode: int, offset: int) -> None:
        data = b"".join(call.texts())[: call.result]
        if len(data) != call.result:
            raise RecordError(f"{call.name}: {len(data)} of {call.result} bytes in the trace")
        self.tree.files[inode] = written(self.tree.files[inode], offset, data)
        self._add(Write(call.begun, call.done, self._paths[inode], inode, offset, data))

    def _lseek(self, call: Call) -> None:
        if file := self._file(call):
            file.position = call.result

    def _ftruncate(self, call: Call) -> None:
        if file := self._file(call):
            self._resize(call, file.inode, call.numbers()[-1])

    def _truncate(self, call: Call) -> None:
        (place,) = self._places(call)
        if place is not None:
            self._resize(call, self.tree.directories[place[0]][place[1]], call.numbers()[-1])

    def _resize(self, call: Call, inode: int, size: int) -> None:
        self.tree.files[inode] = resized(self.tree.files[inode], size)
        self._add(Truncate(call.begun, call.done, self._paths[inode], inode, size))

    def _fsync(self, call: Call) -> None:
        if file := self._file(call):
            self._add(Sync(call.begun, call.done, self._paths[file.inode], file.inode))

    _fdatasync = _fsync

    def _rename(self, call: Call) -> None:
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

    def _link(self, call: Call) -> None:
        source, target = self._places(call)
        if source is not None and target is not None:
            self._enter(call, target, is_directory=False, inode=self.tree.directories[source[0]][source[1]])

    _linkat = _link

    def _unlink(self, call: Call) -> None:
        (place,) = self._places(call)
        if place is not None:
            inode = self.tree.directories[place[0]].pop(place[1])
            self._add(Leave(call.begun, call.done, self._path(place), *place, inode))

    _unlinkat = _rmdir = _unlink

    def _mkdir(self, call: Call) -> None:
        (place,) = self._places(call)
        if place is not None:
            self._enter(call, place, is_directory=True)

    _mkdirat = _mkdir

    def _mmap(self, call: Call) -> None:
        fd = int(call.arguments.split(", ")[4])
        file = self._fds.get(fd)
        shared = "MAP_SHARED" in call.arguments and "PROT_WRITE" in call.arguments
        if shared and isinstance(file, _OpenFile) and not self._paths[file.inode].endswith(VOLATILE):
            raise RecordError(f"{self._paths[file.inode]} is mapped for writing")

    def _clone(self, call: Call) -> None:
        if "CLONE_THREAD" not in call.arguments:
            raise RecordError("the child has started another process")

    _fork = _vfork = _clone

    def _chdir(self, call: Call) -> None:
        raise RecordError(f"{call.name}: relative paths are not followed")

    _fchdir = _sync = _syncfs = _symlink = _symlinkat = _fallocate = _openat_ = _chdir

    def _sendfile(self, call: Call) -> None:
        if self._file(call):
            raise RecordError(f"{call.name}: its bytes are not in the trace")

    _copy_file_range = _splice = _sendfile
