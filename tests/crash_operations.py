"""What can happen to files, as values; and a tree of names and bytes to which it happens."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = 0
"""The inode number of the recorded directory."""
VOLATILE: Final = "-shm"
"""SQLite's shared memory: mapped, never durable, made anew after a power cut."""


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

    def paths(self) -> Iterator[tuple[str, int]]:
        """Every path and its inode, a directory before what is in it."""
        pending = [("", ROOT)]
        while pending:
            prefix, directory = pending.pop()
            for name, inode in sorted(self.directories[directory].items()):
                yield prefix + name, inode
                if inode in self.directories:
                    pending.append((f"{prefix}{name}/", inode))

    def flat(self) -> dict[str, bytes | None]:
        """Path to content, None for a directory; what is volatile is left out."""
        return {path: self.files.get(inode) for path, inode in self.paths() if not path.endswith(VOLATILE)}

    def copy(self) -> "Tree":
        """One that may be changed apart."""
        return Tree({inode: dict(names) for inode, names in self.directories.items()}, dict(self.files))


@dataclass(frozen=True, slots=True)
class Recording:
    """What was there, all of it durable, and what a child did to it."""

    before: Tree
    operations: tuple[Operation, ...]
    after: Tree


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


def written(content: bytes, offset: int, data: bytes) -> bytes:
    """A file's bytes after a write; a gap reads as zeros."""
    return content[:offset].ljust(offset, b"\0") + data + content[offset + len(data) :]


def resized(content: bytes, size: int) -> bytes:
    """A file's bytes after a truncation, or an extension by zeros."""
    return content[:size].ljust(size, b"\0")
