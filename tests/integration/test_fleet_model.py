"""The model of what a fleet costs, against the requests of real passes."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.client
import psycopg
import pytest
from distributed import LocalCluster
from postgresql import PostgreSQL
from seaweedfs import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, SeaweedFS
from server_process import PASSWORD

from fleet_model import (
    FIRST_TIME,
    GB,
    Machines,
    Measured,
    Prices,
    Requests,
    Workload,
    batches_of,
    hours_of,
    parts_of,
    requests_of,
    table,
)
from ocblob import config
from ocblob.cells import Column, Scope
from ocblob.databases.addresses import server_address
from ocblob.databases.opening import open_database
from ocblob.fleet import Fleet, FleetReport
from ocblob.offload import MIN_CHARS
from ocblob.stores import create_store
from samples import cell, payload

ROWS = 40
SIZE = 30_000
PART_BYTES = 500_000
NAMES = {
    "PutObject": "put",
    "GetObject": "get",
    "HeadObject": "head",
    "ListObjectsV2": "list",
    "DeleteObject": "delete",
}


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """What this process asks of S3 servers, by the name of the request."""
    counted: Counter[str] = Counter()
    real = botocore.client.BaseClient._make_api_call

    def call(self: Any, name: str, parameters: Any) -> Any:
        counted[NAMES[name]] += 1
        return real(self, name, parameters)

    monkeypatch.setattr(botocore.client.BaseClient, "_make_api_call", call)
    return counted


@pytest.fixture
def store_url(seaweedfs: SeaweedFS, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A store that somebody else has made."""
    for name in [name for name in os.environ if name.startswith("OCBLOB")]:
        monkeypatch.delenv(name)
    variables = {"AWS_ACCESS_KEY_ID": ACCESS_KEY, "AWS_SECRET_ACCESS_KEY": SECRET_KEY, "AWS_DEFAULT_REGION": REGION}
    for name, value in {**variables, "PGPASSWORD": PASSWORD, "HOME": str(tmp_path)}.items():
        monkeypatch.setenv(name, value)
    be_machine("theirs", monkeypatch, tmp_path)
    url = f"s3://{BUCKET}/model-{os.urandom(6).hex()}?endpoint_url={seaweedfs.endpoint}&path_style=true"
    create_store(config.store_place(url))[0].close()
    return url


@pytest.fixture(scope="module")
def workers() -> Iterator[Any]:
    """A thread of this process: its requests are counted with the client's."""
    with LocalCluster(  # type: ignore[no-untyped-call]
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=50
    ) as cluster:
        yield cluster


def be_machine(name: str, monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Know of stores what this machine knows."""
    monkeypatch.setenv("XDG_STATE_HOME", str(root / name))


def pass_over(url: str, store_url: str, cluster: Any) -> FleetReport:
    """A first pass over a database of its own, registered as the command does it."""
    with psycopg.connect(url, autocommit=True) as connection, connection.cursor() as cursor:
        cursor.execute("CREATE TABLE doc (id text PRIMARY KEY, body text)")
        with cursor.copy("COPY doc FROM STDIN") as copy:
            for number in range(ROWS):
                copy.write_row((f"d{number:05}", cell(payload(SIZE, number), n=f"{number:03}")))
    place, address = config.store_place(store_url), server_address(url)
    store, _ = create_store(place)
    with open_database(address) as database, store:
        store.registry.register(address.name, host="generic")
        fleet = Fleet(cluster.scheduler_address, address, place, PART_BYTES)
        column = Column("doc", "body")
        return fleet(
            database, store, (column,), scope=Scope(), min_chars=MIN_CHARS, progress=lambda _: None, previews=False
        )


def test_requests_are_those_of_a_real_pass(
    postgresql: PostgreSQL,
    store_url: str,
    workers: Any,
    calls: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """To the last one: of new payloads, and of those that another machine has put before."""
    cell_bytes = len(cell(payload(SIZE), n="000"))
    for name, repeated in (("first", 0.0), ("second", 1.0)):
        be_machine(name, monkeypatch, tmp_path)
        calls.clear()

        report = pass_over(postgresql.fresh_url(), store_url, workers)

        workload = Workload(ROWS, cell_bytes, repeated)
        expected = requests_of(workload, Machines(1, part_bytes=PART_BYTES))
        assert expected == Requests(**{name: calls[name] for name in NAMES.values()})
        assert (ROWS, len(parts_of(workload, PART_BYTES))) == (report.payloads, report.parts)
        assert round(ROWS * (1 - repeated)) == report.blobs_new


def test_parts_and_batches_are_those_of_the_code() -> None:
    """The numbers that the model has from the product are still its numbers."""
    import fleet_model as model
    from ocblob import batches
    from ocblob.fleet import parts

    assert (parts.FIRST_PART_BYTES, parts.LAST_PART_BYTES, parts.PARTS_OF_A_SIZE) == (
        model.FIRST_PART_BYTES,
        model.LAST_PART_BYTES,
        model.PARTS_OF_A_SIZE,
    )
    assert (batches.FIRST_BATCH_BYTES, batches.BATCH_BYTES, batches.BATCH_CELLS) == (
        model.FIRST_BATCH_BYTES,
        model.BATCH_BYTES,
        model.BATCH_CELLS,
    )
    assert [1, 1, 2, 4] == [batches_of(*cells) for cells in ((1, 10), (256, 10), (257, 10), (120, 10**6))]


def test_the_model_is_in_proportion() -> None:
    """Ten times the cells are about ten times the requests, the hours and the dollars, by the same limit."""
    machines, measured = Machines(8), Measured(10, 1, 5, 1)
    small, large = Workload(400_000, 250_000, 0.5), Workload(4_000_000, 250_000, 0.5)

    puts = [requests_of(one, machines).put for one in (small, large)]
    hours = [hours_of(one, machines, measured) for one in (small, large)]
    dollars = [requests_of(one, machines).cost(Prices()) for one in (small, large)]

    assert 100 * GB == small.size
    assert pytest.approx(10, rel=0.01) == puts[1] / puts[0]
    assert pytest.approx(10, rel=0.01) == dollars[1] / dollars[0]
    assert all(pytest.approx(10 * hours[0][name]) == hours[1][name] for name in hours[0])
    assert 0.4 * 5 < dollars[0] < 5
    assert "100 GB" == table(small, machines, measured, Prices())[0]


def test_a_machine_is_asked_once() -> None:
    """What a server keeps of conditions costs each machine four requests, whatever it moves."""
    few, many = (requests_of(Workload(10, 1000), Machines(count)) for count in (1, 11))

    assert 10 * FIRST_TIME.put == many.put - few.put
