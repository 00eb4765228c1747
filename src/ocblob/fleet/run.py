"""Offloading by the workers of a cluster: parts are submitted as they are found, and their reports summed up.

The client reads no payload, and keeps as many parts in flight as the workers have use for.
"""

import contextlib
import io
import os
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any, Final, Self

import ocblob
from ocblob import config
from ocblob.backends import local_path
from ocblob.cells import Column, Scope
from ocblob.databases.addresses import Address
from ocblob.databases.base import Database
from ocblob.errors import BackendError, DatabaseError, FleetError, UsageError
from ocblob.fleet.cluster import check_workers, connected, wait_for_one
from ocblob.fleet.parts import Part, cut
from ocblob.fleet.report import FleetReport
from ocblob.fleet.task import Job, offload_part
from ocblob.space import Say
from ocblob.store import BlobStore
from ocblob.store.layout import PROBE
from ocblob.urls import refuse_secrets, shown_url

RETRIES: Final = 2
PARTS_A_THREAD: Final = 2
"""Parts in flight for each thread of a worker: one it is at, one it can go on with."""
LOOK_S: Final = 1.0
ANSWER_DOUBLINGS_MAX: Final = 3
"""An answer that does not come is waited for twice as long, up to 8 s: workers look for the token for 20 s."""
ALONE_S: Final = 120.0
"""Without any worker the pass waits so long: their scheduler may be starting others."""
HOPELESS_PARTS: Final = 8
"""So many that fail before a single one is done: what is wrong with them is wrong with all."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """The workers of a cluster; called as `offload.offload` is."""

    scheduler: str
    """`tcp://host:port`, or the path of a scheduler file."""
    address: Address
    store_place: config.StorePlace
    part_bytes: int | None = None
    """Bytes of cells in one part; None: they grow."""
    send_password: bool = False
    """Whether the database's password goes to the workers through the scheduler."""
    say: Say = lambda _: None

    def __post_init__(self) -> None:
        if self.address.path is not None:
            raise UsageError(
                f"--dask: {self.address} is a SQLite file, which one machine at a time can open",
                hint="a fleet offloads from a database on a server: `ocblob mirror --to` moves sessions to one",
            )
        # Every worker is told of it, and Dask shows it.
        refuse_secrets(self.store_place.url)

    def __call__(  # noqa: PLR0913 - as `offload`
        self,
        database: Database,
        store: BlobStore,
        columns: tuple[Column, ...],
        *,
        scope: Scope,
        min_chars: int,
        progress: Callable[[int], None],
        previews: bool | None,
    ) -> FleetReport:
        """Offload. Raises `FleetError` if the cluster cannot; what was swapped by then is durable in the store."""
        from ocblob.databases.sql.tokens import HeldToken  # noqa: PLC0415 - loads SQLAlchemy

        begun = time.monotonic()
        report = FleetReport()
        with (
            connected(self.scheduler) as client,
            _store_token(store) as store_token,
            contextlib.closing(HeldToken(self.address)) as held,
        ):
            held.hold()
            job = self._job(store, store_token, held.token, min_chars=min_chars, previews=previews)
            with _reached():
                check_workers(client, job)
            parts = cut(database, columns, larger_than=min_chars, scope=scope, part_bytes=self.part_bytes)
            with _Flight(client, job, report, progress, held.hold) as flight:
                self.say(f"offloading with {report.workers} workers of {self.scheduler}")
                for part in parts:
                    flight.submit(part)
                flight.finish()
        report.elapsed_s = time.monotonic() - begun
        return report

    def _job(self, store: BlobStore, store_token: str, token: str, *, min_chars: int, previews: bool | None) -> Job:
        url = self.address.url if self.send_password else shown_url(self.address.url)
        path = local_path(self.store_place.url)
        return Job(
            ocblob.__version__,
            self.address.name,
            url,
            token,
            self.store_place.url if path is None else os.path.realpath(path),
            store.id,
            store_token,
            config.without_secrets(self.store_place.options),
            min_chars,
            previews,
        )


class _Flight:
    """Parts on their way. Leaving it by an error cancels them: workers stop between two cells."""

    def __init__(
        self, client: Any, job: Job, report: FleetReport, progress: Callable[[int], None], keep: Callable[[], None]
    ) -> None:
        self._client = client
        self._job = job
        self._report = report
        self._progress = progress
        self._keep = keep
        self._pending: dict[Any, Part] = {}
        self._run = uuid.uuid4().hex[:8]
        self._submitted = 0
        self._looked = -LOOK_S
        self._unanswered = 0
        """Answers in a row that did not come in time."""
        self._peopled = time.monotonic()
        """When there was a worker."""
        self._limit = 0
        self._look()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_rest: object) -> None:
        if kind is not None and self._pending:
            with contextlib.suppress(Exception):  # the cluster may be what is gone
                self._client.cancel(list(self._pending), force=True)

    def submit(self, part: Part) -> None:
        """Send one; waits while enough are on their way."""
        self._look()
        while len(self._pending) >= self._limit:
            self._wait()
        self._submitted += 1
        # What the dashboard shows of a task is its name.
        key = f"ocblob-offload-{part.column.table}-{self._run}-{self._submitted}"
        with _reached():
            future = self._client.submit(
                offload_part, self._job, part.column, part.scope, key=key, pure=False, retries=RETRIES
            )
        self._pending[future] = part

    def finish(self) -> None:
        """Until no part is on its way. Raises `FleetError` if not a single one is done."""
        while self._pending:
            self._wait()
        if self._report.parts_failed and self._report.parts_failed == self._report.parts:
            raise FleetError(f"no part could be done: {self._report.problems[0]}")

    def _wait(self) -> None:
        with _reached(), contextlib.suppress(TimeoutError):
            wait_for_one(list(self._pending), timeout_s=LOOK_S)
        self._look()
        for future in [future for future in self._pending if future.done()]:
            self._take(future)
            self._look()

    def _take(self, future: Any) -> None:
        """Count a part, unless whoever held its answer has died: another worker does it once more."""
        with _reached():
            try:
                self._count(future, self._pending[future])
            except TimeoutError:
                self._unanswered += 1
                return
        self._unanswered = 0
        self._progress(self._pending.pop(future).size)
        if self._report.parts_failed == self._report.parts == HOPELESS_PARTS:
            raise FleetError(f"the first parts all failed: {self._report.problems[0]}")

    def _count(self, future: Any, part: Part) -> None:
        try:
            # Never for long: the token that workers ask the database for is kept there only while we look.
            report = future.result(timeout=LOOK_S * 2 ** min(self._unanswered, ANSWER_DOUBLINGS_MAX))
        except Exception as error:
            if future.status == "error":
                why = future.exception(timeout=LOOK_S)
                self._report.fail_part(part, str(why) or type(why).__name__)
            elif future.status == "cancelled":
                raise FleetError("the cluster has dropped a part that it was given; what was done stays") from error
            else:
                raise
        else:
            self._report.include(part, report)

    def _look(self) -> None:
        """Who is there, and whether the database still shows our token."""
        if time.monotonic() < self._looked + LOOK_S:
            return
        self._looked = time.monotonic()
        with _reached():
            threads = self._client.nthreads()
        if threads:
            self._peopled = self._looked
        elif self._looked > self._peopled + ALONE_S:
            raise FleetError("the cluster has no workers any more; what was done stays")
        self._report.workers = max(self._report.workers, len(threads))
        self._limit = max(PARTS_A_THREAD * sum(threads.values()), PARTS_A_THREAD)
        with contextlib.suppress(DatabaseError):  # a server that starts again; workers wait for it too
            self._keep()


@contextlib.contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except (OSError, RuntimeError, CancelledError) as error:
        raise FleetError(f"the scheduler does not answer any more: {error}; what was done stays") from error


@contextlib.contextmanager
def _store_token(store: BlobStore) -> Iterator[str]:
    """An object in the store that is nowhere else."""
    key = f"{PROBE}fleet-{os.urandom(8).hex()}"
    store.backend.put(key, io.BytesIO(b"here?"), size=5)
    try:
        yield key
    finally:
        with contextlib.suppress(BackendError):
            store.backend.delete(key)
