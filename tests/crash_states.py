"""What a power cut may leave of a recording, by a weak model of a POSIX file system.

Bytes of a file are durable after an fsync of the file; a name is durable after an fsync of its directory, and of that
directory's own name in the one above. Without an fsync each write, each change of size and each name may or may not
have reached the disk, in any combination, and the last write may be torn at a sector. What the model grants:

- A rename is atomic: the inode has the old name, the new one, or, between two directories, both; never none.
- Changes of one name, or of one inode's names, reach the disk in their order (they are one slot of one directory,
  or one entry that moves).
- fsync of a directory makes all of its names durable, fsync of a file all of its bytes and its size.
"""

import random
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
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
    resized,
    written,
)

SECTOR_BYTES: Final = 512
EXHAUSTIVE_ITEMS: Final = 5
"""So many pending effects are combined in every way; of more, a family of combinations is taken."""
_CHANCE: Final = re.compile(r"[0-9a-f]{62,64}|(?<=/)[0-9a-f]{2}(?=/|$)|(\d+-)?[0-9a-f]{8,16}(\.\d+\.[0-9a-f]{8})?|\d+")
PICKED: Final = 6
"""So many single effects are left out, and taken alone, at each cut beyond that."""
OFTEN: Final = 50
SEED: Final = 20260124


@dataclass(frozen=True, slots=True, eq=False)
class Item:
    """One effect that may or may not reach the disk: bytes of a file, or names that change together."""

    number: int
    done: int
    inode: int
    """The file that is written, or that gets or loses a name."""
    change: Write | Truncate | None = None
    names: tuple[tuple[int, str, int | None], ...] = ()
    """(directory, name, inode, or None if the name goes)."""

    @property
    def is_name(self) -> bool:
        """Whether names change, not bytes."""
        return self.change is None

    def waits_for(self, other: "Item") -> bool:
        """Whether this one cannot be on disk before an earlier one is."""
        if not (self.is_name and other.is_name):
            return False
        if self.inode == other.inode:
            return True
        mine = {(directory, name) for directory, name, _ in self.names}
        return any((directory, name) in mine for directory, name, _ in other.names)


@dataclass(frozen=True, slots=True)
class State:
    """One possible disk after a power cut."""

    files: dict[str, bytes | None] = field(repr=False)
    """Path to content; None for a directory."""
    told: frozenset[str]
    """What had been acknowledged by then."""
    cut: int
    """How many operations had begun."""
    words: str
    """Where the cut is and what is missing, for people."""
    key: bytes = field(repr=False)
    """The same for equal states."""
    kind: str
    """What kind of step the cut comes after."""
    systematic: bool
    """Not one of a large family: the first to be sampled."""


@dataclass(frozen=True, slots=True)
class _Listing:
    """What lies in one durable directory."""

    directories: dict[str, None]
    """Paths."""
    below: tuple[tuple[str, int], ...]
    """The same directories, each as the beginning of paths and its inode."""
    files: tuple[tuple[str, int], ...]
    key: bytes


@dataclass(slots=True)
class _Choice:
    items: tuple[Item, ...]
    torn: Item | None = None
    padded: bool = False
    systematic: bool = False


class Disk:
    """Durable bytes and names, and what is on its way."""

    def __init__(self, before: Tree, *, seed: int = SEED) -> None:
        self._durable = before.copy()
        self._pending: list[Item] = []
        self._waits: dict[int, set[Item]] = {}
        self._numbers = 0
        self._random = random.Random(seed)
        self._versions: dict[int, int] = {}
        self._contents: dict[tuple[int, ...], tuple[bytes, bytes]] = {}
        self._listings: dict[tuple[str, int], _Listing] = {}

    def apply(self, operation: Operation) -> None:
        """Let one operation happen."""
        match operation:
            case Write() | Truncate():
                self._durable.files.setdefault(operation.inode, b"")
                self._add(operation, operation.inode, change=operation)
            case Enter():
                self._enter(operation)
            case Leave():
                self._add(operation, operation.inode, names=((operation.directory, operation.name, None),))
            case Sync():
                self._sync(operation)
            case Mark():
                pass

    def _enter(self, made: Enter) -> None:
        if made.is_directory:
            self._durable.directories.setdefault(made.inode, {})
        else:
            self._durable.files.setdefault(made.inode, b"")
        entered = (made.directory, made.name, made.inode)
        if made.left is None:
            self._add(made, made.inode, names=(entered,))
        elif made.left[0] == made.directory:
            self._add(made, made.inode, names=((*made.left, None), entered))
        else:
            self._add(made, made.inode, names=(entered,))
            self._add(made, made.inode, names=((*made.left, None),))

    def _add(
        self,
        operation: Operation,
        inode: int,
        *,
        change: Write | Truncate | None = None,
        names: tuple[tuple[int, str, int | None], ...] = (),
    ) -> None:
        self._numbers += 1
        item = Item(self._numbers, operation.done, inode, change, names)
        waits: set[Item] = set()
        if item.is_name:
            for other in self._pending:
                if item.waits_for(other):
                    waits |= {other, *self._waits[other.number]}
        self._waits[item.number] = waits
        self._pending.append(item)

    def _sync(self, sync: Sync) -> None:
        covered: set[Item] = set()
        for item in self._pending:
            if item.done > sync.begun:
                continue
            mine = item.inode == sync.inode if not item.is_name else any(place[0] == sync.inode for place in item.names)
            if mine:
                covered |= {item, *self._waits[item.number]}
        if any(item.is_name for item in covered):
            self._listings.clear()
        for item in sorted(covered, key=lambda item: item.number):
            self._pending.remove(item)
            if item.change is not None:
                old = self._durable.files[item.inode]
                self._durable.files[item.inode] = _changed(old, item.change)
                self._versions[item.inode] = item.number
            else:
                _rename(self._durable.directories, item)
        for item in self._pending:
            self._waits[item.number] -= covered

    def states(
        self, told: frozenset[str], cut: int, words: str, kind: str = "", *, fresh: bool, often: bool = False
    ) -> Iterator[State]:
        """The disks that a power cut now may leave; only those with the newest effect in them if it is `fresh`.

        After a kind of step that comes `often`, the 256 directories of a store say, only the systematic ones.
        """
        newest = self._pending[-1] if fresh and self._pending else None
        for choice in self._choices(newest):
            if often and not choice.systematic:
                continue
            yield self._state(choice, told, cut, words, kind)

    def _choices(self, newest: Item | None) -> Iterator[_Choice]:
        pending = tuple(self._pending)
        must = set() if newest is None else {newest, *self._waits[newest.number]}
        free = [item for item in pending if item not in must]
        if newest is not None and isinstance(newest.change, Write) and len(newest.change.data) > SECTOR_BYTES:
            yield _Choice(pending, torn=newest, systematic=True)
        if any(not item.is_name for item in pending):
            yield _Choice(tuple(item for item in pending if item.is_name), padded=True, systematic=True)
        if len(free) <= EXHAUSTIVE_ITEMS:
            for bits in range(1 << len(free)):
                yield self._closed({item for at, item in enumerate(free) if bits >> at & 1} | must, systematic=True)
            return
        yield _Choice(pending, systematic=True)
        yield self._closed(must, systematic=True)
        yield self._closed({item for item in free if item.is_name} | must, systematic=True)
        yield self._closed({item for item in free if not item.is_name} | must, systematic=True)
        if newest is None:
            for end in range(1, len(pending)):
                yield self._closed(set(pending[:end]))
        for item in self._random.sample(free, min(PICKED, len(free))):
            yield self._without(item, must)
            yield self._closed({item} | must)
        for _ in range(PICKED):
            yield self._closed({item for item in free if self._random.random() < 0.5} | must)

    def _closed(self, items: set[Item], *, systematic: bool = False) -> _Choice:
        """With all that these effects wait for."""
        whole = set(items).union(*(self._waits[item.number] for item in items))
        return _Choice(tuple(item for item in self._pending if item in whole), systematic=systematic)

    def _without(self, item: Item, must: set[Item]) -> _Choice:
        left = [other for other in self._pending if other is not item and item not in self._waits[other.number]]
        return self._closed({*left, *must})

    def _state(self, choice: _Choice, told: frozenset[str], cut: int, words: str, kind: str) -> State:
        # A store has 256 directories, most of them empty and as they were: only what a choice changes is copied.
        directories = dict(self._durable.directories)
        for directory in {place[0] for item in choice.items for place in item.names}:
            directories[directory] = dict(directories[directory])
        changes: dict[int, list[Item]] = {}
        for item in choice.items:
            if item.is_name:
                _rename(directories, item)
            else:
                changes.setdefault(item.inode, []).append(item)
        files: dict[str, bytes | None] = {}
        whole = blake2b(digest_size=16)
        stack: list[tuple[str, int]] = [("", ROOT)]
        while stack:
            prefix, directory = stack.pop()
            listing = self._listing(prefix, directory, directories[directory])
            files.update(listing.directories)
            stack += [place for place in listing.below if directories[place[1]]]
            whole.update(listing.key)
            for path, inode in listing.files:
                content, digest = self._content(inode, changes.get(inode, []), choice)
                files[path] = content
                whole.update(f"{path}\0".encode() + digest)
        whole.update("\0".join(sorted(told)).encode())
        kept = {item.number for item in choice.items}
        missing = [item for item in self._pending if item.number not in kept]
        details = [
            *(["all"] if not missing else []),
            *map(_words, missing[:6]),
            *([f"and {len(missing) - 6} more"] if len(missing) > 6 else []),
        ]
        if choice.torn:
            details.append(f"torn: {_words(choice.torn)}")
        if choice.padded:
            details.append("sizes are there, bytes are not")
        lost = ("missing: " if missing else "pending is there: ") + "; ".join(details)
        return State(files, told, cut, f"{words}; {lost}", whole.digest(), kind, choice.systematic)

    def _listing(self, prefix: str, directory: int, names: dict[str, int]) -> _Listing:
        """What lies in a directory; for one that is as it is on disk it is known already, until names are synced."""
        unchanged = names is self._durable.directories[directory]
        if unchanged and (known := self._listings.get((prefix, directory))) is not None:
            return known
        paths = sorted((prefix + name, inode) for name, inode in names.items() if not name.endswith(VOLATILE))
        below = [(path, inode) for path, inode in paths if inode in self._durable.directories]
        listing = _Listing(
            directories=dict.fromkeys(path for path, _ in below),
            below=tuple((f"{path}/", inode) for path, inode in below),
            files=tuple((path, inode) for path, inode in paths if inode not in self._durable.directories),
            key="".join(f"{path}/\0" for path, _ in below).encode(),
        )
        if unchanged:
            self._listings[prefix, directory] = listing
        return listing

    def _content(self, inode: int, items: list[Item], choice: _Choice) -> tuple[bytes, bytes]:
        pending = [item for item in self._pending if item.inode == inode and item.change] if choice.padded else []
        torn, size = choice.torn.number if choice.torn else 0, pending[-1].number if pending else 0
        key = (inode, self._versions.get(inode, 0), torn, size, *[item.number for item in items])
        if (known := self._contents.get(key)) is not None:
            return known
        content = self._durable.files[inode]
        for item in items:
            assert item.change is not None
            content = _changed(content, _half(item.change) if item is choice.torn else item.change)
        if pending:
            full = content
            for item in pending:
                assert item.change is not None
                full = _changed(full, item.change)
            content = resized(content, len(full))
        self._contents[key] = content, blake2b(content, digest_size=16).digest()
        return self._contents[key]


def states(recording: Recording, *, seed: int = SEED) -> Iterator[State]:
    """Every state of the families of all cuts, each once."""
    disk, seen, told = Disk(recording.before, seed=seed), set[bytes](), frozenset[str]()
    kinds = Counter[str]()
    for cut, operation in enumerate(recording.operations, start=1):
        disk.apply(operation)
        if isinstance(operation, Mark):
            told |= {operation.path}
        # An fsync only takes possibilities away, so nothing new can be seen after it; but there are fewer left,
        # and more of them are combined.
        fresh = not isinstance(operation, Sync | Mark)
        kind = f"{type(operation).__name__} {kind_of(operation.path)}"
        words = f"cut after operation {cut}, {type(operation).__name__} {operation.path}"
        kinds[kind] += 1
        for state in disk.states(told, cut, words, kind, fresh=fresh, often=kinds[kind] > OFTEN):
            if state.key not in seen:
                seen.add(state.key)
                yield state


def sample(found: Iterable[State], bound: int, *, seed: int = SEED) -> list[State]:
    """At most `bound` states; the first ones are of every kind of step, systematic ones before others."""
    rng, found = random.Random(seed), list(found)
    kinds: dict[str, list[tuple[bool, float, int]]] = {}
    for at, state in enumerate(found):
        kinds.setdefault(state.kind, []).append((not state.systematic, rng.random(), at))
    ranked = [(rank, at) for members in kinds.values() for rank, (_, _, at) in enumerate(sorted(members))]
    return [found[at] for _, at in sorted(ranked)[:bound]]


def kind_of(path: str) -> str:
    """A path without the parts that differ from run to run."""
    return _CHANCE.sub("*", path)


def without(recording: Recording, gone: Callable[[Operation], bool]) -> Recording:
    """The recording of a program that leaves some operations out."""
    return replace(recording, operations=tuple(item for item in recording.operations if not gone(item)))


def later(recording: Recording, late: Callable[[Operation], bool], until: Callable[[Operation], bool]) -> Recording:
    """The recording of a program that does some operations only after the last one of others."""
    moved = [item for item in recording.operations if late(item)]
    rest = [item for item in recording.operations if not late(item)]
    end = max((at + 1 for at, item in enumerate(rest) if until(item)), default=0)
    return replace(recording, operations=tuple(_renumbered([*rest[:end], *moved, *rest[end:]])))


def _renumbered(operations: list[Operation]) -> Iterator[Operation]:
    """Each begins when the one before is done."""
    for at, item in enumerate(operations):
        yield replace(item, begun=2 * at, done=2 * at + 1)


def _changed(content: bytes, change: Write | Truncate) -> bytes:
    if isinstance(change, Write):
        return written(content, change.offset, change.data)
    return resized(content, change.size)


def _half(change: Write | Truncate) -> Write | Truncate:
    """What a torn write leaves: its first half, to a whole sector."""
    if isinstance(change, Truncate):
        return change
    keep = max(SECTOR_BYTES, len(change.data) // 2 // SECTOR_BYTES * SECTOR_BYTES)
    return replace(change, data=change.data[:keep])


def _rename(directories: dict[int, dict[str, int]], item: Item) -> None:
    for directory, name, inode in item.names:
        if inode is not None:
            directories[directory][name] = inode
        elif directories[directory].get(name) == item.inode:
            del directories[directory][name]


def _words(item: Item) -> str:
    if item.change is not None:
        what = f"write at {item.change.offset}" if isinstance(item.change, Write) else f"size {item.change.size}"
        return f"{item.change.path} {what}"
    return ", ".join(f"{'-' if inode is None else '+'}{name}" for _, name, inode in item.names)
