"""A Dask cluster of the tests' own, whose workers may be killed at any time: who is not started again is replaced.

A worker is a process; its nanny, a task in ours, starts it again whenever it dies.
"""

import contextlib
import os
import random
import signal
import time
from collections.abc import Iterator, Mapping
from typing import Any

import dask
from distributed import Client, LocalCluster
from distributed.core import Status
from distributed.utils import get_mp_context

WORKERS = 2
STAFF_SECONDS = 60.0
KILL_SECONDS = 30.0
POLL_SECONDS = 0.02
GIVEN_UP = {Status.closing, Status.closed, Status.failed}
SETTINGS = {
    # A cluster closes a nanny whose worker was lost so long ago, if just then the worker is not there: it may have been
    # killed again since, and be starting. Nannies need no such help.
    "distributed.deploy.lost-worker-timeout": "1h",
    # Workers are forks of a process that has loaded all they need: a start takes a tenth of the time.
    "distributed.worker.multiprocessing-method": "forkserver",
}
LOADED = [
    *("distributed", "distributed.nanny", "distributed.worker", "psycopg", "ocblob.fleet.task"),
    *("ocblob.databases.sql.database", "ocblob.databases.sql.tokens", "ocblob.backends.s3_bucket"),
]


@contextlib.contextmanager
def running_cluster(environment: Mapping[str, str], *, workers: int = WORKERS) -> Iterator[Any]:
    """Workers in processes of their own, two threads in each, with these variables beside ours."""
    with dask.config.set(SETTINGS):
        get_mp_context().set_forkserver_preload(LOADED)  # type: ignore[no-untyped-call]
        with LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=workers,
            threads_per_worker=2,
            processes=True,
            dashboard_address=":0",
            silence_logs=50,
            env=dict(environment),
        ) as cluster:
            yield cluster


def staff(cluster: Any, *, workers: int = WORKERS) -> None:
    """Begin to replace the workers that nobody starts again."""
    for name, nanny in list(cluster.workers.items()):
        if nanny.status in GIVEN_UP:
            cluster.worker_spec.pop(name, None)
    cluster.scale(workers)


def await_staff(cluster: Any, *, workers: int = WORKERS) -> None:
    """Until so many workers are there, whatever was killed before; as a last resort all are replaced."""
    begun, replaced = time.monotonic(), False
    while len(pids_at_work(cluster)) < workers:
        waited = time.monotonic() - begun
        assert waited < STAFF_SECONDS, f"workers that do not come: {cluster.workers}"
        if waited > STAFF_SECONDS / 2 and not replaced:
            cluster.scale(0)
            replaced = True
        staff(cluster, workers=workers)
        time.sleep(POLL_SECONDS)


def pids_at_work(cluster: Any) -> list[int]:
    """The processes of the workers that the scheduler knows and that live."""
    known = cluster.scheduler.workers
    nannies = [nanny for nanny in list(cluster.workers.values()) if nanny.worker_address in known]
    return sorted(pid for pid in (nanny.pid for nanny in nannies) if pid is not None)


def kill_a_worker(cluster: Any, dice: random.Random) -> int:
    """One that is at work, or, if there is none, one that is just starting. Its process."""
    deadline = time.monotonic() + KILL_SECONDS
    while time.monotonic() < deadline:
        starting = [pid for pid in (nanny.pid for nanny in list(cluster.workers.values())) if pid is not None]
        pids = pids_at_work(cluster) or starting
        if pids:
            pid: int = dice.choice(pids)
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
                staff(cluster)
                return pid
        staff(cluster)
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"no worker to kill: {cluster.workers}")


def await_idle(cluster: Any, *, deadline: float) -> None:
    """Until no worker has a part to do."""
    with Client(cluster.scheduler_address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        while any(client.processing().values()) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
        assert not any(client.processing().values())
