"""The steps of a pass, each by the verb's own pass. What goes wrong in one is told, and the next one goes on."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ocblob import config
from ocblob.cells import Column, Scope
from ocblob.databases.addresses import Address, is_server
from ocblob.databases.base import Database
from ocblob.databases.disk import sizes
from ocblob.deletions import evict_pass
from ocblob.errors import BackendError, DeletionRefusedError, OcblobError, StoreNotFoundError
from ocblob.evict import Limits
from ocblob.hosts.detect import NAME as GENERIC
from ocblob.maintaining.known_stores import gone, remember, was_here
from ocblob.maintaining.pruning import prune_if_due
from ocblob.maintaining.report import Step, StepName
from ocblob.mirroring import mirror_pass
from ocblob.offload import MIN_CHARS
from ocblob.passes import OffloadPass, offload_pass, registered
from ocblob.plugins.options import check_same_store
from ocblob.retention import retain_pass
from ocblob.sessions.retain import Told
from ocblob.space import Say, VacuumWhen, vacuum_after, vacuum_pass
from ocblob.stores import open_store

Progress = Callable[[Database, tuple[Column, ...], int, Scope], Callable[[int], None]]
_NO_PLUGIN: Final = (
    "this is OpenCode's own database, and OpenCode has no plugin that gives the model what moves out:"
    " `ocblob plugin install`, or --no-plugin"
)
_UNTRUSTED: Final = "the database could not be read or written as it should"


@dataclass(frozen=True, slots=True)
class Orders:
    """What a pass shall do, and on what."""

    place: config.Place
    store: config.StorePlace
    settings: config.Settings
    state: Path
    """A directory of this machine, for locks and times."""
    keep: tuple[str, ...] = ()
    """Sessions that must be there, or nothing is retained."""
    allow_unresolved: bool = False
    vacuum: VacuumWhen = "auto"
    previews: bool | None = None
    create: bool = True
    """Whether a store that is not there is made."""
    need_plugin: bool = True
    scheduled: bool = False
    """Nobody looks on: a warning comes once a day."""
    dry_run: bool = False
    say: Say = lambda _: None
    ask: Callable[[str], bool] = lambda _: False
    hear: Told = lambda _tree, _archive: None
    progress: Progress = field(default=lambda *_: lambda _size: None)

    @property
    def address(self) -> Address:
        """Where the database is."""
        return config.database_address(self.place)

    @property
    def named(self) -> tuple[Address, ...]:
        """The databases that it knows, mirror and all."""
        mirror = self.settings.mirror_place
        return (self.address, *([] if mirror is None else [config.database_address(mirror)]))


def offload_step(orders: Orders, before: list[Step]) -> Step | None:
    """Payloads into the store; not while OpenCode would then show placeholders."""
    del before
    if not orders.settings.offload:
        return None
    if orders.need_plugin and config.is_hosts_own(orders.address):
        if not config.plugin_installed():
            return Step("offload", skipped=_NO_PLUGIN)
        check_same_store(orders.place, orders.store)
    known = was_here(orders.store, orders.state)
    try:
        done = _offload(orders, create=orders.create and not known)
    except StoreNotFoundError as error:
        if known and orders.create:
            raise gone(error) from error
        raise
    if not orders.dry_run:
        remember(orders.store, orders.state)
    return Step("offload", done, complete=done.complete)


def _offload(orders: Orders, *, create: bool) -> OffloadPass:
    return offload_pass(
        orders.place,
        orders.store,
        tables=_tables(orders),
        scope=lambda profile: Scope(session_table=profile.session_table),
        min_chars=MIN_CHARS,
        include_v2=False,
        prompts=False,
        previews=orders.previews,
        create=create,
        need_plugin=orders.need_plugin,
        dry_run=orders.dry_run,
        vacuum="never",
        progress=orders.progress,
        say=orders.say,
        ask=orders.ask,
    )


def _tables(orders: Orders) -> tuple[str, ...]:
    """The cells of a database of no known host are those that were named when it was offloaded by hand."""
    try:
        with open_store(orders.store, read_only=True) as store:
            return next((entry.tables for entry in registered(store, orders.address) if entry.host == GENERIC), ())
    except (StoreNotFoundError, BackendError):
        return ()


def mirror_step(orders: Orders, before: list[Step]) -> Step | None:
    """Every session that has changed into the mirror, if there is one."""
    mirror = orders.settings.mirror_place
    if mirror is None:
        return None
    if any(step.broken for step in before):
        return Step("mirror", skipped=_UNTRUSTED, complete=False)
    if not orders.dry_run and is_server(mirror.url):
        _found_store(orders)
    done = mirror_pass(orders.place, mirror, orders.store, dry_run=orders.dry_run, say=orders.say)
    return Step("mirror", done, complete=done.complete, locked=done.report.locked if done.report else "")


def _found_store(orders: Orders) -> None:
    """Raise `StoreNotFoundError` where a mirror must not make a store: none is to be made, or one has been there."""
    known = was_here(orders.store, orders.state)
    if orders.create and not known:
        return
    try:
        open_store(orders.store, read_only=True).close()
    except StoreNotFoundError as error:
        raise gone(error) if known else error from None


def retain_step(orders: Orders, before: list[Step]) -> Step | None:
    """Old sessions into an archive or the mirror and out of the database, if there is any limit."""
    if not orders.settings.limits.given:
        return None
    if any(step.broken for step in before):
        return Step("retain", skipped=_UNTRUSTED, complete=False)
    if any(step.name == "mirror" and (step.error is not None or step.locked) for step in before):
        return Step("retain", skipped="the mirror does not take what would go", complete=False)
    done = retain_pass(
        orders.place,
        orders.store,
        orders.settings,
        keep=orders.keep,
        allow_unresolved=orders.allow_unresolved,
        vacuum="never",  # a step of its own
        dry_run=orders.dry_run,
        hear=orders.hear,
        say=orders.say,
    )
    return Step("retain", done, complete=done.complete, locked=done.report.locked if done.report else "")


def evict_step(orders: Orders, before: list[Step]) -> Step | None:
    """Local copies of blobs that another place holds, if there is any limit."""
    limits = Limits(orders.settings.evict_max_size, orders.settings.evict_max_age_s)
    if limits.max_size is None and limits.max_age_s is None:
        return None
    if any(step.broken for step in before):
        return Step("evict", skipped=_UNTRUSTED, complete=False)
    try:
        done = evict_pass(orders.store, limits, named=orders.named, dry_run=orders.dry_run, say=orders.say)
    except StoreNotFoundError:
        return Step("evict", skipped="there is no store")
    return Step("evict", done, complete=done.report.complete)


def prune_step(orders: Orders, before: list[Step]) -> Step | None:
    """Blobs that nothing names; never when the database may name more than can be read of it now."""
    if not orders.settings.prune:
        return None
    if any(step.broken for step in before):
        return Step("prune", skipped=_UNTRUSTED, complete=False)
    retained = next((step.done for step in before if step.name == "retain"), None)
    freed = retained is not None and retained.report is not None and retained.report.evicted.trees > 0
    try:
        done = prune_if_due(
            orders.store, orders.state, named=orders.named, freed=freed, dry_run=orders.dry_run, say=orders.say
        )
    except DeletionRefusedError as error:
        # Somebody has to look at it; the database is none the worse.
        hint = f" ({error.hint})" if error.hint else ""
        return Step("prune", skipped=f"{error}{hint}", complete=False)
    return Step("prune", skipped=done) if isinstance(done, str) else Step("prune", done)


def vacuum_step(orders: Orders, before: list[Step]) -> Step | None:
    """Disk space, if it is worth it; what a live host would notice is left to a quiet moment."""
    if orders.vacuum == "never":
        return None
    if any(step.broken for step in before):
        return Step("vacuum", skipped=_UNTRUSTED, complete=False)
    if orders.dry_run:
        if orders.vacuum == "auto" and not sizes(orders.address).worth_vacuum:
            return None
        planned = vacuum_pass(orders.address, method="gentle", force=False, dry_run=True, say=orders.say)
        return Step("vacuum", planned)
    after = vacuum_after(orders.address, orders.vacuum, say=orders.say, method="gentle")
    if after.report is None:
        return Step("vacuum", skipped=after.skipped, complete=False) if after.skipped else None
    return Step("vacuum", after.report, complete=after.report.complete or after.report.put_off)


STEPS: Final[dict[StepName, Callable[[Orders, list[Step]], Step | None]]] = {
    "offload": offload_step,
    "mirror": mirror_step,
    "retain": retain_step,
    "evict": evict_step,
    "prune": prune_step,
    "vacuum": vacuum_step,
}
"""In the order in which they run."""


def run_steps(orders: Orders) -> list[Step]:
    """All of them, one after the other."""
    done: list[Step] = []
    for name, run in STEPS.items():
        try:
            step = run(orders, done)
        except OcblobError as error:
            step = Step(name, error=error, complete=False)
        except OSError as error:
            # A disk that is full, say: the step's own order of writes has lost nothing.
            words = f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error)
            step = Step(name, error=OcblobError(words), complete=False)
        if step is not None:
            done.append(step)
    return done
