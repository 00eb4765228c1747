"""Run commands as child processes and say what they cost: wall time, CPU time, peak memory.

A child starts with its parent's peak memory in its own account: exec keeps the high-water mark of the
address space that it leaves. So whoever measures stays small: this module imports nothing large, and refuses
when it has grown. A peak as low as `rss_floor` means "no more than that".
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

MAXRSS_UNIT_BYTES = 1 if sys.platform == "darwin" else 1024
SMALL_ENOUGH_BYTES = 48 * 1024 * 1024
DROP_CACHES = Path("/proc/sys/vm/drop_caches")
OUTPUT_TAIL_BYTES = 64_000
ERROR_TAIL_BYTES = 2000


@dataclass(frozen=True, slots=True)
class Run:
    """One run of one command."""

    wall_s: float
    cpu_s: float
    """User and system time, of the command and of what it waited for."""
    peak_rss: int
    """Bytes; the largest single process."""
    output: str = ""
    """The end of its stdout."""


@dataclass(frozen=True, slots=True)
class Spread:
    """The extremes and the middle of some figures."""

    min: float
    median: float
    max: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Spread:
        """Return the spread of at least one value."""
        ordered = sorted(values)
        return cls(ordered[0], statistics.median(ordered), ordered[-1])


def rss_floor() -> int:
    """Return this process's own peak in bytes, below which no child can be seen."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MAXRSS_UNIT_BYTES


class CommandFailedError(Exception):
    """A measured command ended with another code than 0: its figures mean nothing."""


def run(command: Sequence[str], *, env: Mapping[str, str] | None = None) -> Run:
    """Run one command to its end and measure it; raise `CommandFailedError` with its stderr if it fails."""
    if rss_floor() > SMALL_ENOUGH_BYTES:
        message = f"this process peaked at {rss_floor()} bytes, so its children would seem to as well"
        raise MemoryError(message)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        started = time.perf_counter()
        child = os.posix_spawnp(
            command[0],
            list(command),
            dict(os.environ if env is None else env),
            file_actions=[(os.POSIX_SPAWN_DUP2, out.fileno(), 1), (os.POSIX_SPAWN_DUP2, err.fileno(), 2)],
        )
        _, status, usage = os.wait4(child, 0)
        wall_s = time.perf_counter() - started
        if (code := os.waitstatus_to_exitcode(status)) != 0:
            message = f"exit {code}: {' '.join(command)}\n{_tail(err, ERROR_TAIL_BYTES)}"
            raise CommandFailedError(message)
        return Run(
            wall_s=wall_s,
            cpu_s=usage.ru_utime + usage.ru_stime,
            peak_rss=usage.ru_maxrss * MAXRSS_UNIT_BYTES,
            output=_tail(out, OUTPUT_TAIL_BYTES),
        )


def _tail(file: BinaryIO, limit: int) -> str:
    file.seek(max(0, file.seek(0, os.SEEK_END) - limit))
    return file.read().decode("utf-8", "replace")


def run_all(commands: Iterable[Sequence[str]], *, env: Mapping[str, str] | None = None) -> Run:
    """Run commands one after the other: times add up, memory is the largest, output is that of the last."""
    runs = [run(command, env=env) for command in commands]
    return Run(
        wall_s=sum(one.wall_s for one in runs),
        cpu_s=sum(one.cpu_s for one in runs),
        peak_rss=max(one.peak_rss for one in runs),
        output=runs[-1].output,
    )


def drop_page_cache(paths: Iterable[Path]) -> str:
    """Make the next reads cold; return how: `drop_caches` (all files), else `fadvise` (these files)."""
    os.sync()  # a dirty page cannot be dropped
    try:
        DROP_CACHES.write_text("3")
    except OSError:
        if not hasattr(os, "posix_fadvise"):
            return "none"
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
        return "fadvise"
    return "drop_caches"


def interleave(trials: Mapping[str, Callable[[], Run]], rounds: int) -> dict[str, list[Run]]:
    """Run every trial once a round, A B A B: what slows the machine for a while slows them alike."""
    runs: dict[str, list[Run]] = {name: [] for name in trials}
    for number in range(rounds):
        for name, trial in trials.items():
            runs[name].append(trial())
            print(f"  {number + 1}/{rounds} {name}: {runs[name][-1].wall_s:.3f} s", file=sys.stderr)
    return runs


def summary(runs: Sequence[Run]) -> dict[str, dict[str, float]]:
    """Return the spread of each figure over some runs."""
    return {
        "wall_s": asdict(Spread.of(one.wall_s for one in runs)),
        "cpu_s": asdict(Spread.of(one.cpu_s for one in runs)),
        "peak_rss": asdict(Spread.of(one.peak_rss for one in runs)),
    }


def ratio(runs: Sequence[Run], others: Sequence[Run]) -> Spread:
    """Return the spread of wall time over wall time, taken round by round."""
    return Spread.of(one.wall_s / other.wall_s for one, other in zip(runs, others, strict=True))


def main(argv: list[str] | None = None) -> int:
    """Measure one command, or two side by side."""
    parser = argparse.ArgumentParser(
        description="Measure a command, or two in turn.",
        usage="measure.py [--runs N] [--cold FILE]... -- COMMAND... [--vs COMMAND...]",
    )
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--cold", type=Path, action="append", default=[], help="drop this file's pages first")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args(argv)
    words = arguments.command[1:] if arguments.command[:1] == ["--"] else arguments.command
    split = words.index("--vs") if "--vs" in words else len(words)
    commands = {"a": words[:split], "b": words[split + 1 :]}
    if not commands["a"]:
        parser.error("a command is needed")
    how = "warm"

    def trial(command: list[str]) -> Run:
        nonlocal how
        if arguments.cold:
            how = f"cold ({drop_page_cache(arguments.cold)})"
        return run(command)

    trials = {name: lambda command=command: trial(command) for name, command in commands.items() if command}
    try:
        runs = interleave(trials, arguments.runs)
    except CommandFailedError as error:
        print(error, file=sys.stderr)
        return 1
    result: dict[str, object] = {name: summary(of) for name, of in runs.items()}
    if "b" in runs:
        result["a/b"] = asdict(ratio(runs["a"], runs["b"]))
    print(json.dumps({"cache": how, "rss_floor": rss_floor(), **result}, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
