"""The rules of the store, each with a way to switch it off, and the histories in which that loses something."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, cast
from unittest import mock

import histories_simulation
from histories import COLUMN, Profile
from histories_places import OwnBackend, SharedBackend
from histories_processes import now
from ocblob import deletions, evict, prune
from ocblob.databases.sqlite import sweep
from ocblob.digest import check_digest
from ocblob.errors import BlobExpiredError, DatabaseError, DeletionRefusedError, ObjectNotFoundError
from ocblob.marks import Marks, refs_in
from ocblob.published import publish
from ocblob.store import blobstore, claims, keepers, layout, reader, registry, shelf, survey, tiers, trash
from ocblob.store import catalog as catalogs

Patch = tuple[Any, str, Any]

_plan_prune = prune.plan_prune
_mark_here = histories_simulation._mark_here
_mark_elsewhere = deletions._mark_elsewhere
_choose = survey.Survey.choose
_expire = trash.Trash.expire
_put_json = layout.put_json
_release = tiers.release
_claimed_until = catalogs.Catalog.claimed_until
_own_keys = reader.Reader._own_keys
_first_good = reader.Reader._first_good
_change = trash.Trash._change
_quarantine = reader.Reader._quarantine


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule of the store."""

    words: str
    off: tuple[Patch, ...]
    profile: Profile = Profile()  # noqa: RUF009 - frozen
    redundant: str = ""
    """Why nothing is lost without it, if that is so."""
    seed: int = 0
    """Where to begin: a history that loses something is not far from here."""


SHARED: Final = Profile(shapes=("shared",))
OWN: Final = Profile(shapes=("own",))
WITH_COPY: Final = Profile(shapes=("own+copy",))
ASLEEP: Final = Profile(pauses=0.4, weights={"asleep": 60})
SLEEPY: Final = Profile(
    pauses=0.8, weights={"grace": 20, "use": 20, "offload": 15, "condemn": 12, "clear": 4, "wait": 6, "backup": 1}
)
EXPIRING: Final = Profile(
    pauses=0.6,
    weights={"expire": 12, "use": 20, "offload": 14, "grace": 3, "condemn": 2, "resume": 14, "race": 30, "insert": 8},
)


def _no_grace(*arguments: Any, **options: Any) -> Any:
    return _plan_prune(*arguments, **{**options, "grace_s": -1})


def _choose_without(verbs: dict[str, str]) -> Any:
    """Plans without one of their conditions; an empty one means that nothing is chosen."""

    def choose(self: survey.Survey, verb: str, select: str, bindings: Any = None) -> tuple[int, int]:
        if verb in verbs:
            select = select.replace(verbs[verb], "") if verbs[verb] else f"SELECT * FROM ({select}) WHERE 0"
        return _choose(self, verb, select, bindings)

    return choose


UNNAMED: Final = " AND NOT EXISTS (SELECT 1 FROM marks.mark m WHERE m.digest=t.digest)"


def _change_unclaimed(self: trash.Trash, *arguments: Any, **options: Any) -> Any:
    with mock.patch.object(self._catalog, "claimed_until", return_value=0):
        return _change(self, *arguments, **options)


def _release_unclaimed(store: Any, *arguments: Any) -> Any:
    with mock.patch.object(store.catalog, "claimed_until", return_value=0):
        return _release(store, *arguments)


def _mark_one(store: Any, entry: Any, marks: Any, **options: Any) -> int:
    if entry.url.endswith("db1.sqlite"):

        class Nothing:
            def digests(self) -> Iterator[bytes]:
                return iter(())

        publish(store.backend, entry.id, cast("Marks", Nothing()), taken_at=options["now"])
        return 0
    return _mark_here(store, entry, marks, **options)


def _mark_strictly(marks: Any, database: Any) -> int:
    sweep._make_durable(database.path)
    for _cell, ref in refs_in(database, (COLUMN,)):
        marks.add(ref)
    return 0


def _mark_readable(store: Any, entry: Any, marks: Any, **options: Any) -> int:
    try:
        return _mark_here(store, entry, marks, **options)
    except (DeletionRefusedError, DatabaseError):
        return 0


def _mark_said(store: Any, entry: Any, marks: Any, *, now: float, grace_s: float) -> float:
    try:
        return _mark_elsewhere(store, entry, marks, now=now, grace_s=grace_s)
    except DeletionRefusedError:
        return now


def _mark_of_any_age(store: Any, entry: Any, marks: Any, *, now: float, grace_s: float) -> float:
    del grace_s
    _mark_elsewhere(store, entry, marks, now=now, grace_s=1e12)
    return now


def _any_proof(_catalog: Any, places: Any, _digest: str) -> Any:
    class Anything:
        def stands(self, *_arguments: Any) -> bool:
            return True

    return Anything() if places else None


def _known(catalog: Any, keeper: Any, digest: str) -> bool:
    return keepers._known(catalog, keeper, digest) is not None


def _found_unverified(self: shelf.LocalShelf, digest: str, row: Any) -> Any:
    del row
    live = layout.object_key(digest)
    with contextlib.suppress(ObjectNotFoundError):
        stat = self._backend.stat(live)
        header = self._reader.open(digest).header
        return shelf.Stored(digest, header.size, stat.stored_size, new=False, held=stat.stored_size)
    return None


def _remembered(self: shelf.RemoteShelf, digest: str, row: Any) -> Any:
    del self
    if row is None or not row.version:
        return None
    return shelf.Stored(digest, row.size, row.stored_size, new=False, held=row.held, version=row.version)


def _found_in_trash(self: shelf.RemoteShelf, digest: str, row: Any) -> Any:
    del row
    with contextlib.suppress(ObjectNotFoundError):
        if key := self._reader.find(digest):
            size, version = self._reader.verify_own(digest, key)
            stored_size = self._backend.stat(key).stored_size
            return shelf.Stored(digest, size, stored_size, new=False, version=version)
    return None


def _buried_first(self: reader.Reader, digest: str, use: Any) -> Any:
    with contextlib.suppress(ObjectNotFoundError):
        tombstone = layout.get_json(self._backend, layout.tombstone_key(check_digest(digest)))
        raise BlobExpiredError("there is a tombstone", digest=digest, tombstone=tombstone)
    return _first_good(self, digest, use)


def _live_only(self: reader.Reader, digest: str) -> Iterator[str]:
    del self
    yield layout.object_key(digest)


def _tombstone_last(self: trash.Trash, *arguments: Any, **options: Any) -> Any:
    waiting: list[Any] = []
    with mock.patch.object(trash, "put_json", lambda *put: waiting.append(put)):
        gone = _expire(self, *arguments, **options)
    for put in waiting:
        if put[1].removeprefix(layout.TOMBSTONES)[:64] in {item.digest for item in gone}:
            _put_json(*put)
    return gone


def _any_version(kind: Any, name: str) -> Patch:
    real = getattr(kind, name)

    def act(self: Any, *keys: str, version: str = "") -> Any:
        del version
        return real(self, *keys)

    return kind, name, act


def _quarantine_by_name(self: reader.Reader, digest: str, found: Any) -> None:
    """Whatever has the name now."""
    if self._care is None or (self._tier is not None and found.backend is self._tier.directory):
        _quarantine(self, digest, found)
        return
    with contextlib.suppress(ObjectNotFoundError):
        found.backend.move(found.key, f"{layout.QUARANTINE}{digest}.{now():.0f}")


def _change_blindly(self: trash.Trash, items: Any, old: Any, new: Any, *, generation: str = "") -> Any:
    with self._catalog.transaction():
        for item in items:
            for state in catalogs.State:
                self._catalog.change_state(item.digest, state, new, generation=generation)
    del old
    return list(items)


BACKENDS: Final = (SharedBackend, OwnBackend)

RULES: Final[dict[str, Rule]] = {
    "grace": Rule("a condemned blob dies only when its grace is over", ((deletions, "plan_prune", _no_grace),)),
    "second-mark": Rule(
        "a second mark must not find it either",
        ((survey.Survey, "choose", _choose_without({"delete": UNNAMED, "revive": ""})),),
        SLEEPY,
        seed=40,
    ),
    "revive": Rule(
        "a mark that finds a condemned blob brings it back, and its grace begins anew",
        ((survey.Survey, "choose", _choose_without({"revive": ""})),),
        replace(OWN, pauses=0.1, weights={"back": 40}),
    ),
    "deleter-claims": Rule(
        "a deleter passes over claimed blobs",
        ((trash.Trash, "_change", _change_unclaimed),),
        replace(EXPIRING, shapes=("own",)),
    ),
    "confirm": Rule(
        "a writer confirms just before the swap",
        ((claims.Claims, "confirm", lambda *_: None),),
        ASLEEP,
    ),
    "lease": Rule(
        "a claim ends by time, and who slept past it begins again",
        ((claims.Claims, "check_standing", lambda *_: None),),
        ASLEEP,
    ),
    "epoch": Rule(
        "a writer reads the epoch before the swap",
        ((blobstore.BlobStore, "_epoch", lambda _: ""),),
        replace(EXPIRING, shapes=("shared",)),
    ),
    "every-database": Rule("every registered database is marked", ((deletions, "_mark_here", _mark_one),)),
    "pins": Rule(
        "pins are marked",
        ((registry.Registry, "pins", lambda _: iter(())),),
        Profile(weights={"put": 12, "seal": 10, "grace": 20}),
    ),
    "lenient": Rule(
        "a marker counts wherever it stands",
        ((deletions, "mark", _mark_strictly),),
        Profile(weights={"talk": 12, "unquote": 0}),
    ),
    "durable-marks": Rule(
        "what is marked is durable",
        ((sweep, "_make_durable", lambda _: None),),
        Profile(weights={"checkpoint": 8, "clear": 6}),
    ),
    "unreadable": Rule(
        "no prune while a registered database cannot be read",
        ((deletions, "_mark_here", _mark_readable),),
        Profile(shapes=("own",), weights={"unmount": 14, "mount": 3}),
    ),
    "elsewhere": Rule(
        "no prune before every machine has said what it names",
        ((deletions, "_mark_elsewhere", _mark_said),),
        SHARED,
    ),
    "mark-age": Rule(
        "a blob is judged at the time of the oldest mark",
        ((deletions, "_mark_elsewhere", _mark_of_any_age),),
        SHARED,
    ),
    "proof": Rule(
        "nothing is evicted that another place is not proven to hold",
        ((tiers, "prove", _any_proof),),
        replace(WITH_COPY, weights={"evict": 12}),
    ),
    "proof-now": Rule(
        "a proof asks the other place now",
        ((keepers, "_holds", _known),),
        replace(WITH_COPY, pauses=0.1, weights={"evict": 20, "sync": 24, "damage": 30, "sleep": 20}),
    ),
    "evict-claims": Rule(
        "an eviction passes over claimed blobs",
        ((tiers, "release", _release_unclaimed), (evict, "release", _release_unclaimed)),
        replace(WITH_COPY, pauses=0.7, weights={"evict": 14, "sync": 14}),
        redundant="what goes is proven in another place at that moment, claimed or not; a claim only saves a fetch",
    ),
    "proof-stands": Rule(
        "a proof is looked at again in the transaction that lets the copy go",
        ((keepers.Proof, "stands", lambda *_: True),),
        replace(WITH_COPY, pauses=0.15, weights={"drowsy": 400}),
        seed=70,
    ),
    "versions": Rule(
        "a delete and a move touch only the version that was listed",
        tuple(_any_version(kind, name) for kind in BACKENDS for name in ("move", "delete")),
        replace(EXPIRING, shapes=("shared",), weights={"race on": 60}),
        seed=60,
    ),
    "verified-hit": Rule(
        "a local dedupe hit is read and verified",
        ((shelf.LocalShelf, "find", _found_unverified),),
        replace(OWN, weights={"damage": 20, "use": 40, "read": 0, "check": 0, "restore": 0, "bad": 0}),
        seed=48,
    ),
    "asked-hit": Rule("a remote dedupe hit is asked for", ((shelf.RemoteShelf, "find", _remembered),), SHARED),
    "trash-hit": Rule(
        "what lies in the trash is no hit until it is moved back",
        ((shelf.RemoteShelf, "find", _found_in_trash),),
        replace(SHARED, pauses=0.4, weights={"late": 60}),
    ),
    "object-wins": Rule(
        "an object wins over a tombstone",
        ((reader.Reader, "_first_good", _buried_first),),
        EXPIRING,
    ),
    "tombstone-first": Rule(
        "a tombstone is there before its blob goes",
        ((trash.Trash, "expire", _tombstone_last),),
        EXPIRING,
    ),
    "trash-read": Rule("a condemned blob still reads back", ((reader.Reader, "_own_keys", _live_only),)),
    "quarantine-version": Rule(
        "only the very object that was read as damaged goes to quarantine",
        ((reader.Reader, "_quarantine", _quarantine_by_name),),
        Profile(shapes=("own",), pauses=0.6, weights={"bad": 60}),
    ),
    "states": Rule(
        "each step of a deleter is a compare-and-swap of the blob's state",
        ((trash.Trash, "_change", _change_blindly),),
        SLEEPY,
        seed=180,
    ),
}


@contextlib.contextmanager
def switched_off(name: str) -> Iterator[None]:
    """Without one rule; it wins over what a simulated world replaces."""
    histories_simulation.overrides[:] = RULES[name].off if name else ()
    try:
        yield
    finally:
        histories_simulation.overrides.clear()
