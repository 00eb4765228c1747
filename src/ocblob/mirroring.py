"""A mirror as a whole: both databases and the store opened, the target made fit and registered, the verb run."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from ocblob import config
from ocblob.cells import SessionTree
from ocblob.databases.addresses import Address
from ocblob.databases.disk import host_waits
from ocblob.databases.opening import HostDatabase, open_database
from ocblob.databases.sqlite import create_file
from ocblob.errors import BackendError, UsageError
from ocblob.passes import Opened, opened, session_tree
from ocblob.sessions.mirroring import (
    Direction,
    Manner,
    MirrorFate,
    MirrorPlan,
    MirrorReport,
    apply_mirror,
    definitions,
    plan_mirror,
)
from ocblob.space import Say
from ocblob.store import BlobStore
from ocblob.store.places import machine_of
from ocblob.stores import create_store, store_at_hand
from ocblob.unfinished import Notes

_IN_PIECES: Final = (
    "a retention or a pull is at it, or was killed at it: rows may be missing, which the next `ocblob retain` puts"
    " back, or the same pull once more"
)
Bar = Callable[[int], AbstractContextManager[Callable[[int], None]]]


@dataclass(frozen=True, slots=True)
class Planned:
    """How much a mirror was to look at."""

    sessions: int
    rows: int
    size: int
    skipped: int
    """Sessions that are as they were."""

    @classmethod
    def by(cls, plan: MirrorPlan) -> Self:
        """The numbers of a plan: who reports them has no use for every session."""
        return cls(len(plan.sessions), plan.rows, plan.size, plan.skipped)


@dataclass(frozen=True, slots=True)
class MirrorPass:
    """What a mirror did, or would do, with its surroundings."""

    source: str
    target: str
    plan: Planned
    report: MirrorReport | None
    """None for a dry run."""
    store: str
    """Where payloads went; empty if none of them was to go."""
    store_created: bool

    @property
    def complete(self) -> bool:
        """Whether the target has all that it should have."""
        return self.report is None or self.report.complete


def mirror_pass(  # noqa: PLR0913
    source_place: config.Place,
    target_place: config.Place,
    store_place: config.StorePlace,
    *,
    sessions: tuple[str, ...] = (),
    offload: bool = True,
    verify: bool = False,
    force: bool = False,
    dry_run: bool = False,
    say: Say = lambda _: None,
    bar: Bar = lambda _: contextlib.nullcontext(lambda _: None),
) -> MirrorPass:
    """Bring sessions of one database up to date in another; all of them if none is named.

    Payloads go into the store on the way to a server, which is made if it is not there. A dry run makes and writes
    nothing. Raises `UsageError` for places that cannot be meant.
    """
    target_address = config.database_address(target_place)
    with opened(source_place) as at:
        tree = session_tree(at)
        check_places(at.database.address, target_address)
        origin = origin_of(at.database.address, store_place)
        if dry_run:
            with looked_at(target_address, tree) as target:
                plan = plan_mirror(at.database, target, tree, origin=origin, sessions=sessions, verify=verify)
            return MirrorPass(at.database.url, target_address.name, Planned.by(plan), None, "", False)
        # Asked before we have it open ourselves.
        large_cells = not host_waits(target_address)
        with mirror_target(target_address, at, tree) as (target, made), contextlib.ExitStack() as stack:
            for warning in (*at.database.warnings, *target.warnings):
                say(f"warning: {warning}")
            plan = plan_mirror(at.database, target, tree, origin=origin, sessions=sessions, verify=verify)
            in_pieces = Notes.of(at.database.address).in_pieces() & {each.id for each in plan.sessions}
            plan = plan.without(in_pieces)
            offloads = offload and target.keeps_records
            store, created = _store(stack, store_place, at, target, needed=offloads, say=say)
            report = apply_mirror(
                at.database,
                target,
                tree,
                plan,
                store,
                origin=origin,
                direction=Direction(at.all_columns, offloads),
                manner=Manner(verify=verify, force=force, large_cells=large_cells),
                directory=scratch_directory(at.database.address, target_address),
                announce=say,
                progress=stack.enter_context(bar(plan.size)),
            )
            report.made = made
            for session in sorted(in_pieces):
                report.leave(session, MirrorFate.FAILED, _IN_PIECES)
            url = store.url if store and offloads else ""
            return MirrorPass(at.database.url, target.url, Planned.by(plan), report, url, created)


@contextlib.contextmanager
def mirror_target(address: Address, at: Opened, tree: SessionTree) -> Iterator[tuple[HostDatabase, list[str]]]:
    """The target of a mirror, with the tables that it needs, and what was made of these, in words."""
    if address.path is not None:
        create_file(address.path)
    with open_database(address) as target:
        yield target, target.prepare(definitions(at.database, tree))


@contextlib.contextmanager
def looked_at(address: Address, tree: SessionTree) -> Iterator[HostDatabase | None]:
    """The target of a mirror, for reading; None if it is not there, or has no sessions yet."""
    if address.path is not None and not address.path.exists():
        yield None
        return
    with open_database(address, read_only=True) as target:
        yield target if tree.sessions.table in target.tables() else None


def check_places(source: Address, target: Address) -> None:
    """Raise `UsageError` if they are one: what went into it would go from it."""
    if is_one(source, target):
        raise UsageError(f"{target} cannot be a mirror of itself", hint="--from names the source, --to the mirror")


def is_one(source: Address, target: Address) -> bool:
    """Whether two addresses are one database, by whatever names."""
    if source.path is not None and target.path is not None and target.path.exists():
        return source.path.samefile(target.path)
    if source.name != target.name and source.path is None and source.kind == target.kind:
        from ocblob.databases.sql.tokens import is_same  # noqa: PLC0415 - loads SQLAlchemy

        return is_same(source, target)
    return source.name == target.name


def origin_of(source: Address, store_place: config.StorePlace) -> str:
    """What records call a source. A path means something on one machine."""
    return source.name if source.path is None else f"{machine_of(store_place.tier).id}:{source.name}"


def scratch_directory(*addresses: Address) -> Path | None:
    """Where rows wait that are too large for memory: beside a file. The system's own place may be memory."""
    for address in addresses:
        if address.path is not None and os.access(address.path.parent, os.W_OK):
            return address.path.parent
    return None


def _store(  # noqa: PLR0913
    stack: contextlib.ExitStack,
    place: config.StorePlace,
    at: Opened,
    target: HostDatabase,
    *,
    needed: bool,
    say: Say,
) -> tuple[BlobStore | None, bool]:
    """The store, which knows of the target from now on. Where it only has to be read it may be away."""
    created = False
    if needed:
        store, created = create_store(place)
        stack.enter_context(store)
        if created:
            say(f"created a blob store at {store.url}")
        _register(store, at, target)
        return store, created
    found, _ = stack.enter_context(store_at_hand(place, say, needed=False))
    if found is not None:
        try:
            _register(found, at, target)
        except BackendError as error:
            say(f"warning: not registered with the store: {error}")
    return found, created


def _register(store: BlobStore, at: Opened, target: HostDatabase) -> None:
    files = config.prompt_files_of(target.address)
    store.registry.register(target.url, host=at.profile.name, files=files)
