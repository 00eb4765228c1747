"""What an offload by a fleet costs: requests, bytes, time and money, from 100 GB to 100 TB of cells.

Requests follow from how the passes work, and a test compares them with those of a real pass. CPU seconds are measured
by `bench_fleet.py`; what is beyond what was measured there is extrapolated, in proportion.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import dataclass, fields

GB = 10**9
MIB = 2**20
FIRST_PART_BYTES, LAST_PART_BYTES, PARTS_OF_A_SIZE = 64 * 10**6, GB, 16
"""As `ocblob.fleet.parts` cuts them, if nobody says otherwise."""
FIRST_BATCH_BYTES, BATCH_BYTES, BATCH_CELLS = 8 * MIB, 64 * MIB, 256
"""As `ocblob.batches` makes them."""
MULTIPART_BYTES, MULTIPART_PART_BYTES = 64 * MIB, 16 * MIB


@dataclass(frozen=True, slots=True)
class Workload:
    """What is to be moved."""

    cells: int
    cell_bytes: int
    """Of base64, mean."""
    repeated: float = 0.0
    """Share of the payloads that another machine has put before: each costs a PUT in vain, a GET and two HEADs."""
    at_rest: float = 0.74
    """Bytes in the store for each byte of a cell: base64 is 4/3, and pictures hardly get smaller."""

    @property
    def size(self) -> int:
        """Bytes of cells."""
        return self.cells * self.cell_bytes


@dataclass(frozen=True, slots=True)
class Machines:
    """Who moves it."""

    workers: int = 1
    """Processes of Dask's, each on a machine of its own."""
    cores: int = 4
    """Of each; as many threads."""
    database_cores: int = 8
    database_bytes_s: float = 1.25 * GB
    """The database's network: 10 Gbit/s."""
    part_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Measured:
    """CPU seconds, by `bench_fleet.py` on two cores with everything on the same machine."""

    worker_per_gb: float = 0.0
    worker_per_1000_cells: float = 0.0
    database_per_gb: float = 0.0
    database_per_1000_cells: float = 0.0


MEASURED = Measured(worker_per_gb=19, worker_per_1000_cells=3.1, database_per_gb=7.2, database_per_1000_cells=0.21)
"""Over 300 MB of cells of 40 kB, and of 4 MB, with other work on the machine."""


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices in dollars; Amazon's for us-east-1 in 2026 unless you say otherwise."""

    put_1000: float = 0.005
    """PUT, LIST and the steps of a multipart upload."""
    get_1000: float = 0.0004
    """GET and HEAD; DELETE is free."""
    gb_month: float = 0.023
    core_hour: float = 0.05


@dataclass(frozen=True, slots=True)
class Requests:
    """To the store."""

    put: int
    get: int
    head: int
    list: int
    delete: int

    def __add__(self, other: Requests) -> Requests:
        """Both."""
        return Requests(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))

    def __mul__(self, times: int) -> Requests:
        """So many times."""
        return Requests(*(getattr(self, one.name) * times for one in fields(self)))

    def cost(self, prices: Prices) -> float:
        """Dollars."""
        return (self.put + self.list) / 1000 * prices.put_1000 + (self.get + self.head) / 1000 * prices.get_1000


CLIENT = Requests(put=2, get=2, head=0, list=0, delete=1)
"""The store opened, the database registered (a GET that may find nothing, a PUT), the token put and taken away."""
GREETING = Requests(put=0, get=1, head=1, list=0, delete=0)
"""Each worker before the pass: is it the same store?"""
FIRST_TIME = Requests(put=2, get=0, head=0, list=0, delete=2)
"""Once for a machine and a server, by each thread that comes at once: which conditions does it keep?"""
PART = Requests(put=0, get=2, head=1, list=1, delete=0)
"""Each part: identity and epoch, the token, tombstones."""
BATCH = Requests(put=0, get=1, head=0, list=0, delete=0)
"""The epoch, just before rows are swapped."""
REPEATED = Requests(put=0, get=1, head=2, list=0, delete=0)
"""Beside the PUT in vain: was it ours, with its answer lost? What is there is read and verified, its size asked."""


def parts_of(workload: Workload, part_bytes: int | None = None) -> list[int]:
    """Cells in each part of one table whose cells are all of one size."""
    parts: list[int] = []
    left = workload.cells
    while left > 0:
        limit = part_bytes or min(FIRST_PART_BYTES << min(len(parts) // PARTS_OF_A_SIZE, 8), LAST_PART_BYTES)
        parts.append(min(left, max(limit // workload.cell_bytes, 1)))
        left -= parts[-1]
    return parts


def batches_of(cells: int, cell_bytes: int) -> int:
    """Batches of one part: they begin small and double."""
    batches, limit = 0, FIRST_BATCH_BYTES
    while cells > 0:
        cells -= min(BATCH_CELLS, math.ceil(limit / cell_bytes))
        batches, limit = batches + 1, min(2 * limit, BATCH_BYTES)
    return batches


def requests_of(workload: Workload, machines: Machines) -> Requests:
    """To the store, for a first pass."""
    parts = parts_of(workload, machines.part_bytes)
    batches = sum(count * batches_of(cells, workload.cell_bytes) for cells, count in Counter(parts).items())
    stored = workload.cell_bytes * workload.at_rest
    steps = 1 if stored <= MULTIPART_BYTES else 2 + math.ceil(stored / MULTIPART_PART_BYTES)
    puts = Requests(put=workload.cells * steps, get=0, head=0, list=0, delete=0)
    return (
        CLIENT
        + (GREETING + FIRST_TIME) * machines.workers
        + PART * len(parts)
        + BATCH * batches
        + puts
        + REPEATED * round(workload.cells * workload.repeated)
    )


def hours_of(workload: Workload, machines: Machines, measured: Measured) -> dict[str, float]:
    """How long each of them is at work; the pass takes as long as the one that takes longest."""
    size_gb, thousands = workload.size / GB, workload.cells / 1000
    worker = measured.worker_per_gb * size_gb + measured.worker_per_1000_cells * thousands
    database = measured.database_per_gb * size_gb + measured.database_per_1000_cells * thousands
    return {
        "workers": worker / (machines.workers * machines.cores) / 3600,
        "database": database / machines.database_cores / 3600,
        "network": workload.size / machines.database_bytes_s / 3600,
    }


def table(workload: Workload, machines: Machines, measured: Measured, prices: Prices) -> list[str]:
    """One row: what it is, requests, hours by what limits them, dollars."""
    requests = requests_of(workload, machines)
    hours = hours_of(workload, machines, measured)
    limit = max(hours, key=lambda name: hours[name])
    compute = hours[limit] * machines.workers * machines.cores * prices.core_hour
    stored_gb = workload.size * workload.at_rest * (1 - workload.repeated) / GB
    return [
        _size(workload.size),
        f"{workload.cells / 1e6:,.1f} M",
        f"{machines.workers}",
        f"{len(parts_of(workload, machines.part_bytes)):,}",
        f"{requests.put / 1e6:,.2f} M",
        f"{(requests.get + requests.head) / 1e6:,.2f} M",
        f"{hours[limit]:,.2f} h ({limit})",
        f"${requests.cost(prices):,.2f}",
        f"${compute:,.2f}",
        f"${stored_gb * prices.gb_month:,.0f}",
    ]


HEAD = [
    "cells",
    "number",
    "workers",
    "parts",
    "PUT",
    "GET, HEAD",
    "time",
    "requests",
    "workers' cores",
    "a month at rest",
]


def _size(size: float) -> str:
    return f"{size / 1e12:g} TB" if size >= 10**12 else f"{size / GB:g} GB"


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cell-kb", type=float, default=250.0, help="mean size of a cell, kB of base64")
    parser.add_argument("--repeated", type=float, default=0.5, help="share of payloads that another machine has put")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 8, 32])
    for group in (Machines(), MEASURED, Prices()):
        for one in fields(group):
            if one.name not in {"workers", "part_bytes"}:
                kind = type(getattr(group, one.name))
                parser.add_argument(f"--{one.name.replace('_', '-')}", type=kind, default=getattr(group, one.name))
    said = vars(parser.parse_args())
    measured = Measured(**{one.name: said[one.name] for one in fields(Measured)})
    prices = Prices(**{one.name: said[one.name] for one in fields(Prices)})
    cell_bytes = round(said["cell_kb"] * 1000)
    print(f"| {' | '.join(HEAD)} |\n|{'---|' * len(HEAD)}")
    for size in (100 * GB, 10**12, 10**13, 10**14):
        for workers in said["workers"]:
            machines = Machines(workers, said["cores"], said["database_cores"], said["database_bytes_s"])
            workload = Workload(size // cell_bytes, cell_bytes, said["repeated"])
            print(f"| {' | '.join(table(workload, machines, measured, prices))} |")


if __name__ == "__main__":
    main()
