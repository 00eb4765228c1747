"""Offload on PostgreSQL and MariaDB, against the server's own bulk read of the same rows and against the store alone.

The servers are started here, in a directory of their own, with the settings they come with. Each round gives `ocblob
offload` a fresh copy of a table of 1 GB of attachments, all different; the bulk read is `COPY ... TO STDOUT` or `SELECT
... INTO OUTFILE` of the same cells. Ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import Run, Spread, ratio, run
from measure import summary as summarize
from workbench import HERE, PYTHON, child_env

MB = 1_000_000
MIB = 1 << 20
RSS_BAR, RATIO_BAR = 100 * MIB, 0.5
SMALLEST, LARGEST = 10_000, 2 * MB
"""Bytes of a payload; as many between 10 and 20 KB as between 1 and 2 MB."""
OCBLOB = (PYTHON, "-m", "ocblob")

MAKE = """
import random, sys
from pathlib import Path
import pybase64, sqlalchemy as sa
from ocblob.databases.addresses import server_address
url, total, payloads = server_address(sys.argv[1]).url, int(sys.argv[2]), Path(sys.argv[3])
rng, made, count = random.Random(20261128), 0, 0
payloads.mkdir(exist_ok=True)
engine = sa.create_engine(url)
with engine.begin() as connection:
    while made < total:
        raw = rng.randbytes(round(SMALLEST * (LARGEST / SMALLEST) ** rng.random()))
        (payloads / f"{count:06d}").write_bytes(raw)
        text = pybase64.b64encode(raw).decode()
        data = f'{{"type":"file","mime":"application/pdf","url":"data:application/pdf;base64,{text}"}}'
        connection.execute(sa.text("INSERT INTO attachments VALUES (:i, :s, :d)"),
                           {"i": f"prt_{count:06d}", "s": f"ses_{count // 20:04d}", "d": data})
        made, count = made + len(data), count + 1
print(count)
""".replace("SMALLEST", str(SMALLEST)).replace("LARGEST", str(LARGEST))

STORE = """
import sys
from functools import partial
from itertools import islice
from pathlib import Path
from ocblob.digest import digest_of
from ocblob.store import BlobStore
from ocblob.store.writer import Wanted
files = iter(sorted(Path(sys.argv[1]).iterdir()))
store, _ = BlobStore.create(sys.argv[2])
with store, store.writer() as writer:
    while some := list(islice(files, 128)):
        wanted = [Wanted(digest_of(data), len(data), partial(lambda p: iter([p.read_bytes()]), path))
                  for path in some for data in [path.read_bytes()]]
        receipt = writer.begin(wanted).finish()
        writer.confirm(receipt.stored)
        assert not receipt.failed
"""


SERVE = """
import json, sys
sys.path.append(sys.argv[1])
from mariadb import MariaDB, find_mariadb
from postgresql import PostgreSQL, find_postgresql
from server_process import ADMINISTRATOR, PASSWORD
postgres, maria = find_postgresql(), find_mariadb()
if postgres is None or maria is None:
    sys.exit("no servers: install postgresql and mariadb-server")
with PostgreSQL(postgres) as one, MariaDB(maria) as other:
    print(json.dumps([{"kind": server.kind, "port": server.port, "root": str(server.root), "user": ADMINISTRATOR,
        "password": PASSWORD, "database": server.fresh_database()} for server in (one, other)]), flush=True)
    sys.stdin.read()
"""


@dataclass(frozen=True, slots=True)
class Server:
    """One that runs. It is another process's: who measures stays small, and a driver is large."""

    kind: str
    port: int
    root: str
    user: str
    """Its administrator: who reads into a file of the server's must be one."""
    password: str
    database: str

    @property
    def url(self) -> str:
        """The database."""
        return f"{self.kind}://{self.user}:{self.password}@127.0.0.1:{self.port}/{self.database}"

    def client(self, statement: str) -> list[str]:
        """A command that runs a statement."""
        if self.kind == "postgresql":
            return ["psql", self.url, "-qAtc", statement]
        return [
            *("mariadb", "--no-defaults", "-h127.0.0.1", f"-P{self.port}", f"-u{self.user}", f"-p{self.password}"),
            *(self.database, "-e", statement),
        ]


@dataclass(frozen=True, slots=True)
class Side:
    """One kind of server, and what is said to it."""

    columns: str
    """Those of a table of attachments, and what follows them."""
    settled: tuple[str, ...]
    """Statements after which nothing is left to be written."""
    bulk: str
    """The server's own way to read every cell."""


SIDES = {
    "postgresql": Side(
        "(id text PRIMARY KEY, session_id text, data text)",
        ("VACUUM ANALYZE part", "CHECKPOINT"),
        r"\copy attachments(data) to '/dev/null'",  # COPY TO STDOUT; the client lets it go
    ),
    "mariadb": Side(
        "(id varchar(64) PRIMARY KEY, session_id varchar(64), data longtext) COLLATE utf8mb4_bin",
        (),
        "SELECT data INTO OUTFILE 'OUTFILE' FROM attachments",
    ),
}


@contextmanager
def servers(env: dict[str, str]) -> Iterator[list[Server]]:
    """Both of them, running."""
    integration = str(HERE.parent / "tests" / "integration")
    command = [PYTHON, "-c", SERVE, integration]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        yield [Server(**one) for one in json.loads(line or b"[]")]
        process.stdin.close()


def measured(server: Server, directory: Path, options: argparse.Namespace, env: dict[str, str]) -> dict[str, Any]:
    """Make the rows, then offload, bulk read and store in turn."""
    side = SIDES[server.kind]
    run(server.client(f"CREATE TABLE attachments {side.columns}"), env=env)
    payloads, store, outfile = directory / "payloads", directory / "store", Path(server.root) / "outfile"
    made = run([PYTHON, "-c", MAKE, server.url, str(options.size_mb * MB), str(payloads)], env=env)
    count = int(made.output)
    print(f"\n{server.kind}: {count:,} cells, {options.size_mb} MB", flush=True)
    runs: dict[str, list[Run]] = {"offload": [], "bulk read": [], "store": []}
    for number in range(options.rounds + 1):
        fresh = (
            "DROP TABLE IF EXISTS part",
            f"CREATE TABLE part {side.columns}",
            "INSERT INTO part SELECT * FROM attachments",
        )
        for statement in (*fresh, *side.settled):
            run(server.client(statement), env=env)
        os.sync()
        trials: dict[str, list[str]] = {
            "bulk read": server.client(side.bulk.replace("'OUTFILE'", f"'{outfile}'")),
            "offload": [
                *(*OCBLOB, "offload", "--db", server.url, "--table", "part:data"),
                *("--store", str(store), "--yes", "--json", "--quiet", "--no-previews"),
            ],
            "store": [PYTHON, "-c", STORE, str(payloads), str(store)],
        }
        for trial, command in trials.items():
            shutil.rmtree(store, ignore_errors=True)
            outfile.unlink(missing_ok=True)
            one = run(command, env=env)
            if trial == "offload" and (moved := json.loads(one.output)["report"]["payloads"]) != count:
                raise SystemExit(f"{server.kind}: {moved} of {count} payloads were moved")
            if number:  # the first round warms up
                runs[trial].append(one)
                print(f"  {number}/{options.rounds} {trial}: {one.wall_s:.2f} s", file=sys.stderr)
    return told(server.kind, runs, options.size_mb)


def told(name: str, runs: dict[str, list[Run]], size_mb: int) -> dict[str, Any]:
    """Print what it cost, and whether the bars are met."""
    for trial, several in runs.items():
        wall = Spread.of(one.wall_s for one in several)
        cpu, peak = Spread.of(one.cpu_s for one in several), max(one.peak_rss for one in several)
        print(
            f"  {trial:<12} {wall.median:6.2f} s ({wall.min:.2f} to {wall.max:.2f})  {size_mb / wall.median:5.0f} MB/s"
            f"  {cpu.median:5.2f} s of CPU of ours  {peak / MIB:4.0f} MiB"
        )
    speed = ratio(runs["bulk read"], runs["offload"])
    both = Spread.of(
        (bulk.wall_s + store.wall_s) / offload.wall_s
        for bulk, store, offload in zip(runs["bulk read"], runs["store"], runs["offload"], strict=True)
    )
    peak = max(one.peak_rss for one in runs["offload"])
    told_bar(f"{speed.median:.2f}x of the speed of the bulk read", met=speed.median >= RATIO_BAR, wanted="0.5x")
    print(f"  {both.median:.2f}x of the speed of the bulk read and then the store")
    told_bar(f"peak memory {peak / MIB:.0f} MiB", met=peak <= RSS_BAR, wanted=f"{RSS_BAR // MIB} MiB")
    figures = {trial: summarize(several) for trial, several in runs.items()}
    return {"server": name, "runs": figures, "of_bulk_read": speed.median, "of_both": both.median, "peak_rss": peak}


def told_bar(text: str, *, met: bool, wanted: str) -> None:
    """Print whether something is as it is promised."""
    print(f"  {text}: {'met' if met else 'NOT MET'} ({wanted})", flush=True)


def main() -> None:
    """Measure one server after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["postgresql", "mariadb"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="ocblob-bench-") as scratch:
        directory = Path(scratch)
        env = child_env(directory)
        with servers(env) as running:
            for server in running:
                if options.only in {None, server.kind}:
                    results.append(measured(server, directory, options, env))
                    shutil.rmtree(directory / "payloads")
    if options.json:
        print(json.dumps(results))


if __name__ == "__main__":
    main()
