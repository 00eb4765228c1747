"""Sessions out of a database of 1.1 GB and back: time, peak memory, sizes on disk, and whether all rows are equal.

Then the plan of a retention over 10,000 sessions, and one session of 2 GB. Each command runs in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from measure import CommandFailedError, Run, interleave, ratio, run
from measure import summary as summarize
from workbench import HERE, PYTHON, Bench, child_env

MB = 1_000_000
MIB = 1 << 20
OCBLOB = (PYTHON, "-m", "ocblob")
WATCH_S = 0.002
RSS_BAR, PLAN_BAR_S, SIZE_BAR = 100 * MIB, 2.0, 1.1

VACUUM_INTO = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('VACUUM INTO ?', (sys.argv[2],))"
SCENES = str(HERE / "session_scenes.py")


@dataclass(slots=True)
class Watch:
    """The most bytes that a directory has held."""

    most: int = 0
    stop: threading.Event = field(default_factory=threading.Event)

    def look(self, directory: Path) -> None:
        """Until told to stop."""
        while not self.stop.wait(WATCH_S):
            self.most = max(self.most, bytes_in(directory))


@contextmanager
def watched(directory: Path) -> Iterator[Watch]:
    """Watch a directory while the block runs."""
    watch = Watch(bytes_in(directory))
    thread = threading.Thread(target=watch.look, args=(directory,))
    thread.start()
    try:
        yield watch
    finally:
        watch.stop.set()
        thread.join()


def bytes_in(directory: Path) -> int:
    """Bytes of a database, its WAL and what is made beside them, as far as they are still there."""
    total = 0
    for path in directory.iterdir():
        if path.name.endswith("-shm"):
            continue
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


class Sessions:
    """Commands on copies of databases, each in a directory of its own."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench

    def aged(self) -> Path:
        """The generated database, made once; nothing in it is active."""
        path = self._bench.directory / f"{self._bench.profile}-aged.db"
        if not path.exists():
            shutil.copyfile(self._bench.database(self._bench.profile), path)
            self.look("age", path)
        return path

    def made(self, action: str, amount: int) -> Path:
        """A synthetic database, made once."""
        path = self._bench.directory / f"{action}-{amount}.db"
        if not path.exists():
            print(f"making {path}", file=sys.stderr)
            self.look(action, path, str(amount))
        return path

    def fresh(self, source: Path) -> Path:
        """A copy of a database, alone in its directory; what was there goes."""
        scratch = self._bench.directory / "scratch"
        shutil.rmtree(scratch, ignore_errors=True)
        (scratch / "copy").mkdir(parents=True)
        return Path(shutil.copyfile(source, scratch / "copy" / "opencode.db"))

    def ocblob(self, path: Path, *words: str) -> Run:
        """A command of ours."""
        store = str(path.parents[1] / "store")
        return run([*OCBLOB, *words, "--db", str(path), "--store", store, "--json"], env=self._bench.env)

    def look(self, action: str, path: Path, *more: str) -> str:
        """What an action of `session_scenes.py` prints about a database."""
        return run([PYTHON, SCENES, action, str(path), *more], env=self._bench.env).output.strip()


def bench_archive(sessions: Sessions, rounds: int) -> dict[str, Any]:
    """Archive the whole database, beside what else makes one compressed file of it."""
    source = sessions.aged()

    def trial(command: Callable[[Path, Path], Run], sizes: dict[str, int], name: str) -> Run:
        path = sessions.fresh(source)
        out = path.parents[1] / "out"
        out.mkdir()
        done = command(path, out)
        sizes[name] = sum(file.stat().st_size for file in out.iterdir() if file.suffix == ".zst")
        return done

    shell = {
        "VACUUM INTO, zstd -3 -T1": f'{PYTHON} -c "$0" "$1" "$2/copy.db" && zstd -3 -T1 -q "$2/copy.db"',
        "sqlite3 .dump | zstd -3 -T1": 'sqlite3 "$1" .dump | zstd -3 -T1 -q -o "$2/dump.zst"',
    }
    commands: dict[str, Callable[[Path, Path], Run]] = {
        "ocblob archive": lambda path, out: sessions.ocblob(path, "archive", str(out / "all.json.zst")),
        **{name: partial(baseline, line) for name, line in shell.items() if can_run(line)},
    }
    sizes: dict[str, int] = {}
    runs = interleave({name: partial(trial, made, sizes, name) for name, made in commands.items()}, rounds)
    size = source.stat().st_size
    print(f"\narchive of a database of {size / MB:.0f} MB, medians of {rounds}")
    for name, of in runs.items():
        wall = statistics.median(one.wall_s for one in of)
        cpu, rss = statistics.median(one.cpu_s for one in of), max(one.peak_rss for one in of)
        share = "" if name == "ocblob archive" else f"  ours takes {ratio(runs['ocblob archive'], of).median:.2f} of it"
        print(f"  {name:<28} {wall:6.2f} s  {size / wall / MB:5.0f} MB/s  {cpu:6.2f} s CPU  {rss / MB:6.1f} MB peak"
              f"  {sizes[name] / MB:6.1f} MB in the file{share}")  # fmt: skip
    return {name: summarize(of) | {"file_size": sizes[name]} for name, of in runs.items()}


def baseline(line: str, path: Path, out: Path) -> Run:
    """A line of shell on a database and a directory for what it makes."""
    return run(["sh", "-c", line, VACUUM_INTO, str(path), str(out)])


def can_run(line: str) -> bool:
    """Whether the programs of a line of shell are here."""
    return all(shutil.which(name) for name in ("sqlite3", "zstd") if name in line)


def bench_round_trip(sessions: Sessions, limit: str) -> dict[str, Any]:
    """Archive and drop, give the space back, put back: every table is equal to a copy made before."""
    source = sessions.aged()
    path = sessions.fresh(source)
    before = sessions.look("fingerprint", path)
    out = path.parents[1] / "out"
    print(f"\nround trip of a database of {source.stat().st_size / MB:.0f} MB, down to {limit}")
    retained = sessions.ocblob(path, "retain", "--max-size", limit, "--archive", str(out), "--vacuum=never")
    told("retain, with its archive", retained)
    (archive,) = out.iterdir()
    between = bytes_in(path.parent)
    announced = json.loads(sessions.ocblob(path, "vacuum", "--dry-run").output)
    with watched(path.parent) as watch:
        vacuumed = sessions.ocblob(path, "vacuum")
    told("vacuum", vacuumed)
    live, after = int(sessions.look("live", path)), bytes_in(path.parent)
    room = announced.get("room_needed", live)
    sound = not sessions.look("fingerprint", path).startswith("not")
    back = sessions.ocblob(path, "unarchive", str(archive))
    told("unarchive", back)
    equal = before == sessions.look("fingerprint", path)
    print(f"  archive {archive.stat().st_size / MB:.1f} MB; file and WAL {between / MB:.1f} MB before the vacuum,"
          f" {after / MB:.1f} MB after it, {live / MB:.1f} MB live")  # fmt: skip
    bar(f"after the vacuum {after / live:.3f} of the live bytes", met=after <= SIZE_BAR * live, wanted=f"{SIZE_BAR}")
    bar(f"at most {watch.most / MB:.1f} MB while it ran, {between / MB:.1f} MB before and {room / MB:.1f} MB announced",
        met=watch.most <= between + room, wanted="no more than the sum")  # fmt: skip
    bar("integrity_check and foreign_key_check between", met=sound, wanted="clean")
    bar("every value of every table after the round trip", met=equal, wanted="equal, and sound")
    small_enough("retain and vacuum", max(retained.peak_rss, vacuumed.peak_rss))
    small_enough("unarchive", back.peak_rss, cell=int(sessions.look("cell", source)))
    return {"retain": figures(retained), "vacuum": figures(vacuumed), "unarchive": figures(back), "equal": equal,
            "live": live, "after": after, "before": between, "most": watch.most, "announced": room}  # fmt: skip


def bench_one_pass(sessions: Sessions, limit: str) -> dict[str, Any]:
    """`retain --vacuum` as one command."""
    path = sessions.fresh(sessions.aged())
    before = bytes_in(path.parent)
    with watched(path.parent) as watch:
        done = sessions.ocblob(path, "retain", "--max-size", limit, "--vacuum")
    live, after = int(sessions.look("live", path)), bytes_in(path.parent)
    told(f"retain --max-size {limit} --vacuum", done)
    print(f"  {before / MB:.1f} MB -> {after / MB:.1f} MB on disk, {live / MB:.1f} MB live,"
          f" at most {watch.most / MB:.1f} MB meanwhile")  # fmt: skip
    bar(f"{after / live:.3f} of the live bytes", met=after <= SIZE_BAR * live, wanted=f"{SIZE_BAR}")
    return {**figures(done), "before": before, "after": after, "live": live, "most": watch.most}


def bench_plan(sessions: Sessions, count: int) -> dict[str, Any]:
    """The plan of a retention, as a whole command."""
    path = sessions.fresh(sessions.made("many", count))
    runs = [sessions.ocblob(path, "retain", "--max-sessions", str(count // 2), "--dry-run") for _ in range(5)]
    best = statistics.median(one.wall_s for one in runs)
    print(f"\nplan of a retention over {count:,} sessions, {path.stat().st_size / MB:.0f} MB, {51 * count:,} rows")
    cpu = statistics.median(one.cpu_s for one in runs)
    bar(f"retain --dry-run takes {best:.2f} s, {cpu:.2f} s of CPU", met=best <= PLAN_BAR_S, wanted=f"{PLAN_BAR_S} s")
    small_enough("the whole command", max(one.peak_rss for one in runs))
    return summarize(runs)


def bench_large(sessions: Sessions, size: int) -> dict[str, Any]:
    """One session of 2 GB, twenty files in a part and an event each."""
    path = sessions.fresh(sessions.made("large", size))
    out = path.parents[1] / "all.json.zst"
    print(f"\none session of {size / MB:.0f} MB")
    archived = sessions.ocblob(path, "archive", str(out))
    told("archive", archived)
    small_enough("archive", archived.peak_rss)
    before = sessions.look("fingerprint", path)
    dropped = sessions.ocblob(path, "retain", "--max-age", "7d", "--archive", str(path.parents[1] / "second.json.zst"))
    told("retain, with its archive", dropped)
    small_enough("retain", dropped.peak_rss)
    back = sessions.ocblob(path, "unarchive", str(out))
    told("unarchive", back)
    small_enough("unarchive", back.peak_rss, cell=int(sessions.look("cell", path)))
    bar("every value of every table", met=before == sessions.look("fingerprint", path), wanted="equal, and sound")
    print(f"  archive {out.stat().st_size / MB:.1f} MB, cells of {size / 40 / MB:.0f} MB")
    return {"archive": figures(archived), "retain": figures(dropped), "unarchive": figures(back)}


def told(name: str, one: Run) -> None:
    """Print what a command cost."""
    print(f"  {name:<34} {one.wall_s:6.2f} s  {one.cpu_s:6.2f} s of CPU  {one.peak_rss / MIB:6.0f} MiB", flush=True)


def small_enough(name: str, peak: int, *, cell: int = 0) -> None:
    """Print whether memory was bounded; a `cell` that goes back into TEXT takes SQLite twice its size on top."""
    more = f" and twice the largest cell of {cell / MB:.0f} MB" if cell else ""
    met = peak <= RSS_BAR + 2 * cell
    bar(f"peak memory of {name} {peak / MIB:.0f} MiB", met=met, wanted=f"{RSS_BAR // MIB} MiB{more}")


def bar(text: str, *, met: bool, wanted: str) -> None:
    """Print whether something is as it is promised."""
    print(f"  {'met   ' if met else 'MISSED'}  {text} (wanted: {wanted})", flush=True)


def figures(one: Run) -> dict[str, float]:
    """For JSON."""
    return {"wall_s": one.wall_s, "cpu_s": one.cpu_s, "peak_rss": one.peak_rss}


def main(argv: list[str] | None = None) -> int:
    """Run the chosen sections."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, help="keeps databases between runs (default: a temporary directory)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--profile", default="seed", help="the generated database (default: seed)")
    parser.add_argument("--limit", default="100MB", metavar="SIZE", help="what a retention leaves (default: 100MB)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--sessions", type=int, default=10_000, help="of the plan (default: 10000)")
    parser.add_argument("--large", type=int, default=2000, metavar="MB", help="the large session (default: 2000)")
    parser.add_argument("--only", help="archive,trip,pass,plan,large")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="ocblob-bench-") as temporary:
        directory = (options.dir or Path(temporary)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        sessions = Sessions(Bench(directory, options.profile, options.rounds, (), child_env(directory)))
        sections: dict[str, Callable[[], dict[str, Any]]] = {
            "archive": lambda: bench_archive(sessions, options.rounds),
            "trip": lambda: bench_round_trip(sessions, options.limit),
            "pass": lambda: bench_one_pass(sessions, options.limit),
            "plan": lambda: bench_plan(sessions, options.sessions),
            "large": lambda: bench_large(sessions, options.large * MB),
        }
        chosen = options.only.split(",") if options.only else list(sections)
        report = {}
        try:
            for name in chosen:
                report[name] = sections[name]()
        except CommandFailedError as error:
            print(error, file=sys.stderr)
            return 1
        finally:
            shutil.rmtree(directory / "scratch", ignore_errors=True)
        if options.json:
            options.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
