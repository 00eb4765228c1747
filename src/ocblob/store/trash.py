"""Taking blobs away, step by step: live -> condemned -> deleting -> gone.

Each step is a compare-and-swap in the catalog that a standing claim refuses, and every step may be repeated after a
crash. An object is only ever *moved* away from where writers look for it; what is removed lies in the trash. So a
writer that puts a blob anew is safe whatever a deleter, awake or asleep, does afterwards.
"""

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final, TypeVar

from ocblob.backends.base import Backend
from ocblob.errors import ObjectNotFoundError
from ocblob.store.catalog import Catalog, State
from ocblob.store.layout import (
    generation_time,
    new_generation,
    object_key,
    put_json,
    tombstone_key,
    trash_key,
)

R = TypeVar("R")

BATCH_BLOBS: Final = 500
"""In one transaction of the catalog."""
MOVERS: Final = 8
SLEPT_S: Final = 600


@dataclass(frozen=True, slots=True)
class Item:
    """One object that is to go, as it was listed."""

    digest: str
    stored_size: int
    version: str
    key: str
    """Where it was listed: live, or in the trash."""


class Trash:
    """The deleter of one store, on one host."""

    def __init__(self, backend: Backend, catalog: Catalog) -> None:
        self._backend = backend
        self._catalog = catalog
        self._generation = ""

    def condemn(self, items: Sequence[Item], *, generation: str = "") -> list[Item]:
        """Move live blobs to the trash; returns those that are there now, by their new keys.

        A claimed blob stays, and so does one that was put again since it was listed. The generation begins now, not
        when the round was planned, unless one is named: the grace begins when a blob leaves its place.
        """
        named, generation = generation, generation or self._current()
        condemned = self._change(items, State.LIVE, State.CONDEMNED, generation=generation)
        in_trash = self._to_trash(condemned, generation)
        there = {item.digest for item in in_trash}
        if kept := [item for item in condemned if item.digest not in there]:
            self._change(kept, State.CONDEMNED, State.LIVE)
        if not named and time.time() - (generation_time(generation) or 0) > SLEPT_S:
            # This machine slept on the way: what it moved a moment ago must not look as if it lay there since.
            in_trash = self._to_trash(in_trash, self._current())
        return in_trash

    def revive(self, items: Sequence[Item]) -> int:
        """Bring blobs back from the trash; returns how many. One that is live already stays as it is."""
        with self._catalog.transaction():
            # A deleter that has come further than this may go on: the object is not moved back under its hands.
            back = [item for item in items if self._live_again(item.digest)]
        moved = self._each(((item, object_key(item.digest)) for item in back), self._brought_back)
        self._backend.sync(key for item in back for key in (item.key, object_key(item.digest)))
        return sum(moved)

    def delete(self, items: Sequence[Item], *, also: Callable[[Sequence[str]], None] = lambda _: None) -> list[Item]:
        """Remove condemned objects for good; returns those that are gone. `also` removes what others hold of them.

        A blob that somebody has claimed or brought back meanwhile stays.
        """
        chosen = self._change(items, State.CONDEMNED, State.DELETING)
        gone = self._each(((item, item.key) for item in chosen), self._removed)
        self._backend.sync([item.key for item in chosen])
        removed = [item for item, done in zip(chosen, gone, strict=True) if done]
        left = {item.digest for item in chosen} - {item.digest for item in removed}
        with self._catalog.transaction():
            rows = {item.digest: self._catalog.get(item.digest) for item in chosen}
            dead = [digest for digest, row in rows.items() if row is not None and row.state is State.DELETING]
            # Inside the transaction: who puts the blob anew, and trusts a copy elsewhere, waits until it is gone there.
            also([digest for digest in dead if digest not in left])
            for digest in dead:
                if digest in left:
                    self._catalog.change_state(digest, State.DELETING, State.LIVE)
                else:
                    self._catalog.remove(digest)
        # One that was put anew meanwhile has lost an object here, and is not gone.
        kept = {digest for digest, row in rows.items() if row is not None and row.state is not State.DELETING}
        return [item for item in removed if item.digest not in kept]

    def expire(
        self, items: Sequence[Item], *, policy: str, mime: Callable[[Item], str], generation: str = ""
    ) -> list[Item]:
        """Drop referenced blobs for good, their tombstones first; returns those that are gone."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time()))
        sizes = {item.digest: row.size for item in items if (row := self._catalog.get(item.digest))}
        generation = generation or new_generation(time.time())
        condemned = self._change(items, State.LIVE, State.CONDEMNED, generation=generation)

        def bury(item: Item, key: str) -> None:
            size = sizes.get(item.digest, 0)
            tombstone = {"digest": item.digest, "size": size, "mime": mime(item), "when": now, "policy": policy}
            put_json(self._backend, key, tombstone)

        self._each(((item, tombstone_key(item.digest)) for item in condemned), bury)
        gone = self.delete(self._to_trash(condemned, generation))
        names = {item.digest for item in gone}
        left = [item for item in condemned if item.digest not in names]
        self._change(left, State.CONDEMNED, State.LIVE)
        self._each(((item, object_key(item.digest)) for item in left), self._unburied)
        return gone

    def _unburied(self, item: Item, live: str) -> None:
        """A tombstone must not stand beside a blob that stayed; one whose object is gone already keeps it."""
        with contextlib.suppress(ObjectNotFoundError):
            self._backend.stat(live)
            self._backend.delete(tombstone_key(item.digest))

    def _to_trash(self, items: Sequence[Item], generation: str) -> list[Item]:
        """Move objects, durably; those that are there now, by their new keys."""
        targets = [trash_key(generation, item.digest) for item in items]
        moved = self._each(zip(items, targets, strict=True), self._moved)
        self._backend.sync([*(item.key for item in items), *targets])
        return [
            Item(item.digest, item.stored_size, version, target)
            for item, target, version in zip(items, targets, moved, strict=True)
            if version is not None
        ]

    def _current(self) -> str:
        """One generation a round, as long as it is young: reads look into each of them."""
        if not self._generation or time.time() - (generation_time(self._generation) or 0) > SLEPT_S / 2:
            self._generation = new_generation(time.time())
        return self._generation

    def _change(self, items: Sequence[Item], old: State, new: State, *, generation: str = "") -> list[Item]:
        """Compare and swap in one transaction; those that were `old` and that nobody claims."""
        now = time.time()
        with self._catalog.transaction():
            return [
                item
                for item in items
                if (new is State.LIVE or self._catalog.claimed_until(item.digest) <= now)
                and self._catalog.change_state(item.digest, old, new, generation=generation)
            ]

    def _live_again(self, digest: str) -> bool:
        row = self._catalog.get(digest)
        if row is None or row.state is State.LIVE:
            return True
        return self._catalog.change_state(digest, State.CONDEMNED, State.LIVE)

    def _moved(self, item: Item, target: str) -> str | None:
        """The version under the new name; None if it is another object by now, or gone."""
        try:
            if not self._backend.move(item.key, target, version=item.version):
                return None
            return self._backend.stat(target).version
        except ObjectNotFoundError:
            return None

    def _brought_back(self, item: Item, live: str) -> bool:
        with contextlib.suppress(ObjectNotFoundError):
            self._backend.stat(live)
            return False
        return self._moved(item, live) is not None

    def _removed(self, item: Item, key: str) -> bool:
        with contextlib.suppress(ObjectNotFoundError):
            self._backend.stat(key)
            return self._backend.delete(key, version=item.version)
        # Brought back, and maybe condemned again by another round, which has a grace of its own.
        return False

    @staticmethod
    def _each(pairs: Iterable[tuple[Item, str]], act: Callable[[Item, str], R]) -> list[R]:
        """Several at a time, in order; a remote store answers each in its own time."""
        with ThreadPoolExecutor(MOVERS) as pool:
            return list(pool.map(lambda pair: act(*pair), pairs))
