"""What a worker does: one part of a pass, by URLs only.

A part may be begun anywhere, by several workers at once, and again after any of them has died: `offload` may.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import ocblob
from ocblob import config
from ocblob.cells import Column, Scope
from ocblob.databases.addresses import Address
from ocblob.databases.opening import HostDatabase, open_database
from ocblob.errors import ObjectNotFoundError, OcblobError, StoreNotFoundError, UsageError
from ocblob.offload import OffloadReport, offload
from ocblob.store import BlobStore
from ocblob.store.places import Options

TOKEN_PATIENCE_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Job:
    """What all parts of a pass share. Dask shows and logs it: only what may be seen stands in its `repr`."""

    version: str
    """Of ocblob, the same everywhere."""
    database: str
    """The URL's name: without a password."""
    url: str = field(repr=False)
    """The URL; with a password only if the user said so."""
    database_token: str = field(repr=False)
    store: str
    store_id: str
    store_token: str = field(repr=False)
    """The key of an object that the client has put there for this pass."""
    options: Options = field(repr=False)
    """The client's, of its backends; a worker's own win."""
    min_chars: int
    previews: bool | None


class PartError(Exception):
    """Why a part is not done, in words; it travels between processes."""


class PassCancelledError(OcblobError):
    """Nobody waits for this part any more."""


def offload_part(job: Job, column: Column, scope: Scope) -> OffloadReport:
    """Offload the cells of one column with keys in one range. Raises `PartError`; the rest of them stays inline."""
    with _told(), _opened(job) as (database, store):
        return offload(
            database,
            store,
            (column,),
            scope=scope,
            min_chars=job.min_chars,
            progress=_stopper(),
            previews=job.previews,
        )


async def greet(job: Job) -> str:
    """Why this worker cannot do any part; empty if it can. It answers even while it is busy."""

    def look() -> str:
        try:
            with _told(), _opened(job):
                return ""
        except PartError as error:
            return str(error)

    return await asyncio.to_thread(look)


@contextmanager
def _told() -> Iterator[None]:
    """Errors as words: ours know more than their text, and others may not be known where they arrive."""
    try:
        yield
    except OcblobError as error:
        raise PartError(f"{error} (hint: {error.hint})" if error.hint else str(error)) from None
    except ModuleNotFoundError as error:
        raise PartError(f"the module {error.name} is not installed") from None


@contextmanager
def _opened(job: Job) -> Iterator[tuple[HostDatabase, BlobStore]]:
    """Database and store, once they are known to be the client's."""
    if job.version != ocblob.__version__:
        raise UsageError(f"a worker has ocblob {ocblob.__version__}, and the pass was begun by {job.version}")
    with ExitStack() as stack:
        store = stack.enter_context(_store(job))
        address = config.workers_address(job.url)
        _check_database(job, address)
        yield stack.enter_context(open_database(address)), store


def _check_database(job: Job, address: Address) -> None:
    from ocblob.databases.sql.tokens import sees  # noqa: PLC0415 - SQLAlchemy is loaded by who opens a server's database

    if not sees(address, job.database_token, patience_s=TOKEN_PATIENCE_S):
        raise UsageError(
            f"{job.database} is another database on a worker than where the pass was begun",
            hint="name the server as every machine reaches it, not as localhost",
        )


def _store(job: Job) -> BlobStore:
    place = config.store_place(job.store)
    own = place.options
    options = {scheme: {**job.options.get(scheme, {}), **own.get(scheme, {})} for scheme in {*job.options, *own}}
    try:
        store = BlobStore.open(job.store, tier=place.tier, options=options)
        store.backend.stat(job.store_token)
    except (ObjectNotFoundError, StoreNotFoundError) as error:
        raise UsageError(
            f"{job.store} is another place on a worker than where the pass was begun",
            hint="an S3 store, or a directory that every machine has mounted",
        ) from error
    return store


def _stopper() -> Callable[[int], None]:
    """Ends a pass between two cells when the client has cancelled it, or is gone."""
    from distributed import get_worker  # noqa: PLC0415 - only a worker needs it

    try:
        worker: Any = get_worker()
        key = worker.get_current_task()
    except ValueError:
        return lambda _: None  # called by no worker

    def stop(_: int) -> None:
        task = worker.state.tasks.get(key)
        if task is not None and task.state == "cancelled":
            raise PassCancelledError("the pass was cancelled")

    return stop
