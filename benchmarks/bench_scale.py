"""A store of a million blobs, made synthetically: what planning costs, apart from the list and the marks.

Each step runs in a process of its own over the same catalog, and says its time and its peak memory.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from workbench import PYTHON, child_env

MB = 1_000_000
COMMON = """
import apsw, hashlib, json, os, resource, sys, time
from pathlib import Path
from ocblob.backends.base import ObjectStat
from ocblob.store.catalog import Catalog
from ocblob.store.layout import new_generation
from ocblob.store.survey import Survey
root, count = Path(sys.argv[1]), int(sys.argv[2])
ID = "0" * 32
NOW = 1_800_000_000
def digest(number):
    return hashlib.blake2b(number.to_bytes(8, "little"), digest_size=32).digest()
class Listed:
    '''A place that lists what the catalog has, in order.'''
    def __init__(self, trash):
        self.trash = trash
        self.generation = new_generation(NOW - 20 * 86400)
    def scan(self, prefix):
        live = prefix == "objects/"
        for number, name in enumerate(self.names(live)):
            key = f"{prefix}{'' if live else self.generation + '/'}{name[:2]}/{name[2:]}"
            yield ObjectStat(key, 90_000 + number % 20_000, NOW - 20 * 86400, f"v{number:x}")
    def names(self, live):
        if not live:
            return sorted(digest(number).hex() for number in range(count, count + self.trash))
        db = apsw.Connection(str(root / "catalog.sqlite"))
        return (name for (name,) in db.execute("SELECT lower(hex(digest)) FROM blob ORDER BY digest"))
def report(name, begun, **more):
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"name": name, "wall_s": time.perf_counter() - begun, "peak_rss": rss, **more}), flush=True)
"""
MAKE = """
catalog = Catalog(root / "catalog.sqlite", store_id=ID)
catalog.close()
db = apsw.Connection(str(root / "catalog.sqlite"))
db.execute("PRAGMA synchronous=OFF").fetchall()
with db:
    db.executemany(
        "INSERT INTO blob VALUES (?1, 100000, ?2, ?2, 0, ?3, ?4, '', '')",
        sorted((digest(n), 90_000 + n % 20_000, NOW - 40 * 86400, NOW - n * 7919 % (90 * 86400)) for n in range(count)),
    )
db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
report("make", time.perf_counter())
"""
MARKS = """
from ocblob.marks import Marks
begun = time.perf_counter()
marks = Marks(root / "marks.sqlite")
marks.add_digests(digest(number) for number in range(count) if number % 20)
marks.path
report("marks of 95 %, made", begun)
os._exit(0)
"""
STATUS = """
begun = time.perf_counter()
catalog = Catalog(root / "catalog.sqlite", store_id=ID, read_only=True)
totals = catalog.totals()
assert totals.blobs == count
report("status (sums)", begun)
"""
PRUNE = """
from ocblob.prune import plan_prune
catalog = Catalog(root / "catalog.sqlite", store_id=ID)
with Survey(catalog) as survey:
    begun = time.perf_counter()
    survey.take(Listed(count // 100))
    listed = time.perf_counter() - begun
    begun = time.perf_counter()
    survey.reconcile(remote=False)
    reconciled = time.perf_counter() - begun
    begun = time.perf_counter()
    plan = plan_prune(survey, root / "marks.sqlite", now=NOW)
    assert plan.condemned == count // 20 and plan.deleted == count // 100, plan
    report("prune plan", begun, list_s=listed, reconcile_s=reconciled)
"""
EVICT = """
from ocblob.evict import Limits, plan_evict
catalog = Catalog(root / "catalog.sqlite", store_id=ID)
begun = time.perf_counter()
with Survey(catalog) as survey:
    plan = plan_evict(survey, Limits(max_size=50_000 * count, max_age_s=60 * 86400), now=NOW)
    first = next(survey.least_recently_used(batch=500, durable=False))
    assert plan.over > 0 and plan.old > 0 and len(first) == 500
report("evict plan", begun)
"""


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blobs", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="ocblob-bench-") as name:
        env = child_env(Path(name))
        rows: list[dict[str, Any]] = []
        for code in (MAKE, MARKS, STATUS, EVICT, PRUNE):
            command = [PYTHON, "-c", COMMON + code, name, str(options.blobs)]
            done = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE)
            rows.append(json.loads(done.stdout))
    if options.json:
        print(json.dumps(rows))
        return
    print(f"{options.blobs:,} blobs")
    for row in rows[1:]:
        more = (
            f"   (list {row['list_s']:.1f} s, reconcile {row['reconcile_s']:.1f} s, apart)" if "list_s" in row else ""
        )
        print(f"{row['name']:<24} {row['wall_s']:6.2f} s  {row['peak_rss'] / MB:6.1f} MB{more}")


if __name__ == "__main__":
    main()
