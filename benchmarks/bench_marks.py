"""What the lenient mark costs on a database of many refs: time and peak memory, each in a fresh process.

`sweep` and marks together, the sweep alone with what finds digests in its pieces, and marks alone.
"""

# ruff: noqa: PLC0415 # whoever measures stays small: only children import what they measure
from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from measure import run

ROW_BYTES = 1024
SCHEMA = "CREATE TABLE part (id TEXT PRIMARY KEY, session_id TEXT, data TEXT)"


def fill(path: Path, rows: int) -> None:
    """Make a database with one ref in each row."""
    import apsw

    from ocblob.ref import Ref
    from ocblob.rewrite import reference_text

    def values() -> Iterator[tuple[str, str, str]]:
        rng = random.Random(1)
        for number in range(rows):
            ref = Ref(rng.randbytes(32).hex(), rng.randrange(10**7), (("store", "3f2a9c01"),))
            url = f"data:image/png;base64,{(reference_text('image/png', ref) or b'').decode('ascii')}"
            row = json.dumps({"type": "file", "mime": "image/png", "url": url, "text": ""})
            text = "".join(rng.choices("etaoin shrdlu", k=16)) * ((ROW_BYTES - len(row)) // 16)
            yield f"prt_{number:012}", f"ses_{number // 100:08}", f'{row[:-2]}{text}"}}'

    db = apsw.Connection(str(path))
    db.execute(f"PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF; {SCHEMA}").fetchall()
    with db:
        db.executemany("INSERT INTO part VALUES (?,?,?)", values())
    db.close()


def mark_all(path: Path, rows: int) -> int:
    """Do what `prune` does with a database."""
    from ocblob.databases.sqlite import SQLiteDatabase
    from ocblob.marks import Marks, mark

    marks = Marks()
    with SQLiteDatabase(path, read_only=True) as database:
        mark(marks, database)
    found = marks.totals()[0]
    marks.close()
    return expect(found, rows)


def sweep_only(path: Path, rows: int) -> int:
    """Find every digest and forget it."""
    from ocblob.databases.sqlite import SQLiteDatabase
    from ocblob.marks import MARK_BYTES_MIN, NEEDLES, digests_in

    with SQLiteDatabase(path, read_only=True) as database:
        pieces = database.sweep(NEEDLES, larger_than=MARK_BYTES_MIN - 1)
        return expect(sum(1 for piece in pieces for _ in digests_in(piece)), rows)


def absent(path: Path, _rows: int) -> int:
    """Read all of it for something that is nowhere: every needle is looked for to the end."""
    from ocblob.databases.sqlite import SQLiteDatabase
    from ocblob.marks import MARK_BYTES_MIN, NEEDLES

    with SQLiteDatabase(path, read_only=True) as database:
        needles = [bytes(reversed(needle)) for needle in NEEDLES]
        return expect(sum(1 for _ in database.sweep(needles, larger_than=MARK_BYTES_MIN - 1)), 0)


def marks_only(_path: Path, rows: int) -> int:
    """Add random digests, and read them in order."""
    from ocblob.marks import Marks

    marks, rng = Marks(), random.Random(1)
    marks.add_digests(rng.randbytes(32) for _ in range(rows))
    found = sum(1 for _ in marks.digests())
    marks.close()
    return expect(found, rows)


def expect(found: int, wanted: int) -> int:
    """Return what was found; a figure for less work means nothing."""
    if found != wanted:
        message = f"{found} digests instead of {wanted}"
        raise ValueError(message)
    return found


def nothing(_path: Path, _rows: int) -> int:
    """Import what the others import: where their memory begins."""
    import ocblob.databases.sqlite
    import ocblob.marks  # noqa: F401

    return 0


TRIALS: dict[str, Callable[[Path, int], int]] = {
    "imports alone": nothing,
    "mark (sweep + marks)": mark_all,
    "sweep + digests_in": sweep_only,
    "sweep, nothing found": absent,
    "marks alone": marks_only,
}


def main() -> int:
    """Make the database, run each trial in a process of its own, print a table."""
    parser = argparse.ArgumentParser(description="Measure the lenient mark.")
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", choices=["fill", *TRIALS], help=argparse.SUPPRESS)
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child == "fill":
        fill(arguments.path, arguments.rows)
        return 0
    if arguments.child:
        started = time.perf_counter()
        TRIALS[arguments.child](arguments.path, arguments.rows)
        print(time.perf_counter() - started)
        return 0
    with tempfile.TemporaryDirectory(prefix="ocblob-bench-") as directory:
        path = Path(directory) / "bench.db"
        command = [sys.executable, __file__, "--rows", str(arguments.rows), "--path", str(path), "--child"]
        run([*command, "fill"])
        print(f"{arguments.rows} rows, {path.stat().st_size / 1e6:.0f} MB, page cache warm")
        print(f"{'':24}{'wall s':>8}{'cpu s':>8}{'peak RSS MB':>14}")
        for name in TRIALS:
            found = run([*command, name])
            print(f"{name:24}{found.wall_s:8.2f}{found.cpu_s:8.2f}{found.peak_rss / 1e6:14.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
