"""Mirroring a database of OpenCode's to PostgreSQL and MariaDB, against the server's own bulk load of the same rows.

The servers are started here, in a directory of their own, with the settings they come with. Each round mirrors into
fresh databases: as it is by default, payloads going into a store; then payloads and all, which is what the server's own
dump is made of and loaded from (`pg_dump` and `pg_restore`; `mariadb-dump` and `mariadb`); then once more, when nothing
has changed. Ratios are taken within a round.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from bench_databases import OCBLOB, Server, servers, told_bar
from measure import Run, Spread, ratio, run, run_all
from measure import summary as summarize
from workbench import HERE, PYTHON, child_env

MIB: Final = 1 << 20
RSS_BAR: Final = 100 * MIB
MIRROR, WHOLE, LOAD, AGAIN = "mirror", "mirror --no-offload", "bulk load", "mirror again"
POSTGRESQL: Final = "/usr/lib/postgresql"


def main() -> None:
    """Measure one server after the other."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="seed", help="the generated database (default: seed)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=["postgresql", "mariadb"])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="ocblob-bench-") as scratch:
        directory = Path(scratch)
        env = child_env(directory)
        source = directory / "opencode.db"
        run([PYTHON, str(HERE / "generate.py"), str(source), "--profile", options.profile], env=env)
        with servers(env) as running:
            wanted = (server for server in running if options.only in {None, server.kind})
            results += [measured(server, source, directory, options.rounds, env) for server in wanted]
    if options.json:
        print(json.dumps(results))


def measured(server: Server, source: Path, directory: Path, rounds: int, env: dict[str, str]) -> dict[str, Any]:
    """Mirror, load and mirror again, round by round."""
    size = source.stat().st_size
    print(f"\n{server.kind}: a database of {size / 1e6:,.0f} MB", flush=True)
    store, dump = directory / "store", directory / "dump"
    runs: dict[str, list[Run]] = {MIRROR: [], WHOLE: [], LOAD: [], AGAIN: []}
    for number in range(1, rounds + 1):
        shutil.rmtree(store, ignore_errors=True)
        target, whole, loaded = (fresh(server, name, env) for name in ("target", "whole", "loaded"))
        trials = {
            MIRROR: [mirror(source, target, store)],
            WHOLE: [mirror(source, whole, store, "--no-offload")],
            LOAD: load(loaded, dump),
            AGAIN: [mirror(source, target, store)],
        }
        for trial, commands in trials.items():
            if trial == LOAD:
                run(dumped(whole, dump), env=env)
            runs[trial].append(one := run_all(commands, env=env))
            print(f"  {number}/{rounds} {trial}: {one.wall_s:.2f} s", file=sys.stderr)
    return told(server.kind, runs, size)


def fresh(server: Server, name: str, env: dict[str, str]) -> Server:
    """A database with nothing in it."""
    for statement in (f"DROP DATABASE IF EXISTS {name}", f"CREATE DATABASE {name}"):
        run(server.client(statement), env=env)
    return replace(server, database=name)


def mirror(source: Path, target: Server, store: Path, *more: str) -> list[str]:
    """The command."""
    places = ("--from", str(source), "--to", target.url, "--store", str(store))
    return [*OCBLOB, "mirror", *places, "--json", "--quiet", *more]


def dumped(server: Server, dump: Path) -> list[str]:
    """The server's own way to write a database into a file."""
    if server.kind == "postgresql":
        return [postgresql("pg_dump"), "-Fc", "-Z0", "-f", str(dump), server.url]
    return ["mariadb-dump", *reached(server), "--hex-blob", f"--result-file={dump}", server.database]


def load(server: Server, dump: Path) -> Sequence[Sequence[str]]:
    """And to load it, durably."""
    if server.kind == "postgresql":
        return [[postgresql("pg_restore"), "-d", server.url, str(dump)]]
    return [["mariadb", *reached(server), server.database, "-e", f"source {dump}"]]


def reached(server: Server) -> Sequence[str]:
    """What MariaDB's commands are told of a server."""
    return [
        *("--no-defaults", "-h127.0.0.1", f"-P{server.port}", f"-u{server.user}", f"-p{server.password}"),
        "--max-allowed-packet=1G",
    ]


def postgresql(command: str) -> str:
    """One of PostgreSQL's own commands: that of its newest version here."""
    found = shutil.which(command) or next(
        (str(path) for path in sorted(Path(POSTGRESQL).glob(f"*/bin/{command}"), reverse=True)), None
    )
    if found is None:
        raise SystemExit(f"no {command}: install postgresql-client")
    return found


def told(name: str, runs: dict[str, list[Run]], size: int) -> dict[str, Any]:
    """Print what it cost."""
    for trial, several in runs.items():
        wall = Spread.of(one.wall_s for one in several)
        cpu, peak = Spread.of(one.cpu_s for one in several), max(one.peak_rss for one in several)
        print(
            f"  {trial:<20} {wall.median:6.2f} s ({wall.min:.2f} to {wall.max:.2f})"
            f"  {size / 1e6 / wall.median:5.0f} MB/s  {cpu.median:5.2f} s of CPU of ours  {peak / MIB:4.0f} MiB"
        )
    speeds = {trial: ratio(runs[LOAD], runs[trial]).median for trial in (MIRROR, WHOLE)}
    print(f"  {speeds[MIRROR]:.2f}x of the speed of the bulk load, {speeds[WHOLE]:.2f}x with payloads")
    peak = max(one.peak_rss for trial in (MIRROR, WHOLE, AGAIN) for one in runs[trial])
    told_bar(f"peak memory {peak / MIB:.0f} MiB", met=peak <= RSS_BAR, wanted=f"{RSS_BAR // MIB} MiB")
    figures = {trial: summarize(several) for trial, several in runs.items()}
    return {"server": name, "runs": figures, "of_bulk_load": speeds, "peak_rss": peak}


if __name__ == "__main__":
    main()
