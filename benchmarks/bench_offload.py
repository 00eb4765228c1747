"""What an offload costs, beside `zstd -3`, SQLite's `VACUUM INTO` and a plain script on the same database.

Prints one table per section, and all figures as JSON with `--json`. Each run has a fresh copy of its own.
A small run of the same command comes first, so that "cold" means the database and not the program.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from measure import CommandFailedError, Run, Spread, interleave, ratio, run
from measure import summary as summarize
from workbench import HERE, PYTHON, WARM_UP_PROFILE, Bench, Case, Command, child_env, environment

OCBLOB = (PYTHON, "-m", "ocblob")
VACUUM_IN_PLACE = ("vacuum", "--in-place")
IMPORT_ROUNDS = 20
MB = 1_000_000

VACUUM_INTO = "import apsw, sys; apsw.Connection(sys.argv[1]).execute('VACUUM INTO ?', (sys.argv[2],))"
LARGEST_CELL = """
import apsw, sys
print(apsw.Connection(sys.argv[1]).execute("SELECT max(octet_length(data)) FROM part").get)
"""
LARGEST_REF = """
import apsw, base64, sys
mark = "b2NibG9iLzEg"  # base64 of "ocblob/1 "; 116 characters hold the digest and the size after it
sql = "SELECT substr(data, instr(data, ?1), 116) FROM part WHERE instr(data, ?1)"
refs = [base64.b64decode(text).split()[1:3] for (text,) in apsw.Connection(sys.argv[1]).execute(sql, (mark,))]
print(max(refs, key=lambda ref: int(ref[1]))[0].decode())
"""
STREAM_BLOB = """
import sys
from ocblob import Resolver
size = 0
with Resolver(sys.argv[1]).open(sys.argv[2]) as stream:
    while chunk := stream.read(1 << 20):
        size += len(chunk)
print(size)
"""


def offload(database: Path, out: Path, *more: str) -> Command:
    """Return the offload of a database that nobody else has open."""
    return [
        *OCBLOB,
        "offload",
        "--no-plugin",
        *([] if "--previews" in more else ["--no-previews"]),  # what everybody pays, Pillow or not
        "--db",
        str(database),
        "--store",
        str(out / "store"),
        "--json",
        *more,
    ]


def restore(database: Path, out: Path) -> Command:
    """Return the restore of all payloads."""
    return [*OCBLOB, "restore", "--db", str(database), "--store", str(out / "store"), "--json"]


def plain_script(database: Path, out: Path, *more: str) -> Command:
    """Return the rival in plain Python."""
    return [PYTHON, str(HERE / "plain_script.py"), str(database), str(out / "files"), *more]


CASES: dict[str, Case] = {
    "ocblob offload --vacuum": lambda db, out: [offload(db, out, "--vacuum")],
    "ocblob offload, vacuum in place": lambda db, out: [
        offload(db, out),
        [*OCBLOB, *VACUUM_IN_PLACE, "--db", str(db), "--json"],
    ],
    "ocblob offload --vacuum, with previews": lambda db, out: [offload(db, out, "--vacuum", "--previews")],
    "zstd -3 -T1": lambda db, out: [["zstd", "-3", "-T1", "-q", "-k", "-o", str(out / "db.zst"), str(db)]],
    "VACUUM INTO": lambda db, out: [[PYTHON, "-c", VACUUM_INTO, str(db), str(out / "vacuumed.db")]],
    "plain script": lambda db, out: [plain_script(db, out)],
    "plain script, no secure_delete": lambda db, out: [plain_script(db, out, "--no-secure-delete")],
}
RIVALS = ("zstd -3 -T1", "plain script")


def bench_pass(bench: Bench) -> dict[str, Any]:
    """Measure the whole pass, warm and cold."""
    result: dict[str, Any] = {}
    cases = [name for name, case in CASES.items() if _runs(bench, name, case)]
    for cache in bench.caches:
        left: dict[str, int] = {}
        trials = {name: partial(_trial, bench, name, cache, left) for name in cases}
        runs = interleave(trials, bench.rounds)
        result[cache] = {
            name: {
                **summarize(of),
                "bytes_left": left[name],
                "ratio": {rival: asdict(ratio(of, runs[rival])) for rival in RIVALS if rival in runs},
                "runs": [_figures(one) for one in of],
            }
            for name, of in runs.items()
        }
        _table(f"{bench.profile}, {cache}", result[cache])
    return result


def _trial(bench: Bench, name: str, cache: str, left: dict[str, int]) -> Run:
    """Run one case, and note how many bytes stand on disk after it, the database included."""
    one, directory = bench.trial(CASES[name], bench.profile, cache)
    left[name] = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    return one


def bench_second(bench: Bench) -> dict[str, Any]:
    """Measure a second pass over a database that has nothing left to offload, against the first."""
    firsts: list[Run] = []
    seconds: list[Run] = []
    for _ in range(bench.rounds):
        first, directory = bench.trial(CASES["ocblob offload --vacuum"], bench.profile, "warm")
        firsts.append(first)
        seconds.append(run(offload(directory / "opencode.db", directory, "--vacuum"), env=bench.env))
    elapsed = [_elapsed(second) / _elapsed(first) for first, second in zip(firsts, seconds, strict=True)]
    _table("second pass", {"first": summarize(firsts), "second": summarize(seconds)})
    process, inside = ratio(seconds, firsts), Spread.of(elapsed)
    print(f"second / first: {process.median:.4f} by the process, {inside.median:.4f} by its own `elapsed_s`")
    return {
        "first": summarize(firsts),
        "second": summarize(seconds),
        "ratio": {"process": asdict(process), "elapsed_s": asdict(inside)},
    }


def bench_giant(bench: Bench) -> dict[str, Any]:
    """Measure the memory that one cell of 700 MB takes: offloaded, read through a resolver, and put back."""
    runs: dict[str, list[Run]] = {"offload": [], "resolver stream": [], "restore": []}
    cell = int(bench.value(LARGEST_CELL, str(bench.database("giant"))))
    for _ in range(bench.rounds):
        one, directory = bench.trial(CASES["ocblob offload --vacuum"], "giant", "warm")
        database = directory / "opencode.db"
        digest = bench.value(LARGEST_REF, str(database))
        store = str(directory / "store")
        runs["offload"].append(one)
        runs["resolver stream"].append(run([PYTHON, "-c", STREAM_BLOB, store, digest], env=bench.env))
        runs["restore"].append(run(restore(database, directory), env=bench.env))
        if int(bench.value(LARGEST_CELL, str(database))) != cell:
            message = "the restored cell has another length"
            raise CommandFailedError(message)
    result = {name: summarize(of) for name, of in runs.items()}
    shares = {name: figures["peak_rss"]["median"] / cell for name, figures in result.items()}
    _table(f"a cell of {cell / MB:.0f} MB", result)
    print("peak memory / cell: " + ", ".join(f"{name} {share:.2f}" for name, share in shares.items()))
    return {"cell_size": cell, "peak_rss_per_cell": shares, **result}


def bench_resolver(bench: Bench) -> dict[str, Any]:
    """Measure verified reads of 1 MiB blobs; the work is in `resolver_latency.py`."""
    with tempfile.TemporaryDirectory(dir=bench.directory) as directory:
        output = run([PYTHON, str(HERE / "resolver_latency.py"), directory], env=bench.env).output
    result: dict[str, Any] = json.loads(output)
    print("\nresolver, 1 MiB, medians")
    for name, figures in result.items():
        print(
            f"  {name:<32}{figures['resolver_us']:>9.0f} us  plain {figures['plain_us']:>6.0f} us"
            f"  ratio {figures['ratio']:.2f}"
        )
    return result


def bench_import(bench: Bench) -> dict[str, Any]:
    """Measure what `import ocblob` adds to the start of Python."""
    codes = {"import": "import ocblob", "bare": "pass"}
    for code in codes.values():
        run([PYTHON, "-c", code], env=bench.env)
    trials = {name: lambda code=code: run([PYTHON, "-c", code], env=bench.env) for name, code in codes.items()}
    runs = interleave(trials, IMPORT_ROUNDS)
    result = {name: summarize(of) for name, of in runs.items()}
    added_s = result["import"]["wall_s"]["median"] - result["bare"]["wall_s"]["median"]
    _table("import", result)
    print(f"import ocblob: {added_s * 1000:.1f} ms")
    return {"added_s": added_s, **result}


SECTIONS: dict[str, Callable[[Bench], dict[str, Any]]] = {
    "pass": bench_pass,
    "second": bench_second,
    "giant": bench_giant,
    "resolver": bench_resolver,
    "import": bench_import,
}


def _runs(bench: Bench, name: str, case: Case) -> bool:
    """Whether a case runs here at all; a missing tool is no reason to measure nothing."""
    try:
        bench.trial(case, WARM_UP_PROFILE, "warm")
    except (CommandFailedError, FileNotFoundError) as error:
        print(f"left out: {name}: {error}", file=sys.stderr)
        return False
    return True


def _elapsed(one: Run) -> float:
    """Return the pass's own figure, without the start of Python and the vacuum."""
    return float(json.loads(one.output)["report"]["elapsed_s"])


def _figures(one: Run) -> dict[str, float]:
    return {"wall_s": one.wall_s, "cpu_s": one.cpu_s, "peak_rss": one.peak_rss}


def _table(title: str, rows: Mapping[str, Mapping[str, Any]]) -> None:
    rivals = [name for name in RIVALS if name in rows]
    print(f"\n{title}")
    heads = "".join(f"{'/ ' + rival:>16}" for rival in rivals)
    print(f"  {'':<34}{'wall s':>8}{'min':>8}{'max':>8}{'CPU s':>8}{'RSS MB':>8}{heads}")
    for name, figures in rows.items():
        wall = figures["wall_s"]
        ratios = "".join(f"{figures['ratio'][rival]['median']:>16.2f}" for rival in rivals)
        print(
            f"  {name:<34}{wall['median']:>8.3f}{wall['min']:>8.3f}{wall['max']:>8.3f}"
            f"{figures['cpu_s']['median']:>8.3f}{figures['peak_rss']['median'] / MB:>8.0f}{ratios}"
        )


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main(argv: list[str] | None = None) -> int:
    """Run the chosen sections."""
    parser = argparse.ArgumentParser(description="Measure ocblob against its rivals.")
    parser.add_argument("--dir", type=Path, help="keeps databases between runs (default: a temporary directory)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--profile", default="seed", help="the database of `pass` and `second` (default: seed)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cache", type=_names, default=["warm", "cold"], help="warm,cold")
    parser.add_argument("--only", type=_names, default=list(SECTIONS), help=",".join(SECTIONS))
    arguments = parser.parse_args(argv)
    if unknown := set(arguments.only) - set(SECTIONS) | set(arguments.cache) - {"warm", "cold"}:
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    with tempfile.TemporaryDirectory(prefix="ocblob-bench-") as temporary:
        directory = (arguments.dir or Path(temporary)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        bench = Bench(directory, arguments.profile, arguments.rounds, tuple(arguments.cache), child_env(directory))
        report: dict[str, Any] = {"environment": environment(bench), "sections": {}}
        failed = False
        for name in arguments.only:
            try:
                report["sections"][name] = SECTIONS[name](bench)
            except CommandFailedError as error:
                print(f"left out: {name}: {error}", file=sys.stderr)
                failed = True
            if arguments.json:  # after every section: a later one may be cut off
                arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(directory / "scratch", ignore_errors=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
