"""What an offload changes for the real OpenCode: time, memory and disk of what it does with one session.

Inline against offloaded with the plugin, in turn, on a session of five PDFs of 52 MB and on the largest session of a
generated database of 1.1 GB; then what the plugin costs at the start. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from measure import CommandFailedError, Run, Spread, interleave, ratio, run
from workbench import HERE, PYTHON, Bench, child_env

MB = 1_000_000
HOST = str(HERE / "opencode_host.py")
INLINE, OFFLOADED = SIDES = ("inline", "offloaded")
BARE = "bare"
BINARY = "OCBLOB_TEST_OPENCODE"
GAIN = 0.9
"""A ratio above this is no gain."""

OPERATIONS = {
    "get": "GET messages, first",
    "get-again": "GET messages, again",
    "export": "`opencode export`",
    "fork": "fork",
    "run": "`opencode run`, a whole turn",
    "prompt": "the second turn in a server",
    "tui": "TUI shows the session",
    "listening": "start until it listens",
    "list": "start until sessions are listed",
}
QUICK = ("get", "fork", "run")
STARTS = ("listening", "list")
GET_RSS_BAR, GET_TIME_BAR, START_BAR_S = 1 / 4, 1 / 10, 1.0


@dataclass(frozen=True, slots=True)
class SceneKind:
    """What a scene is made of."""

    title: str
    options: tuple[str, ...] = ()
    profile: str = ""
    """The generated database that it begins with; empty for a session that OpenCode writes."""


SCENES = {
    # 39 MB are 52 MB of base64: that is what OpenCode holds, twice.
    "pdfs": SceneKind("a session of five PDFs of 52 MB", ("--pdfs", "5", "--pdf-bytes", "39000000")),
    "seed": SceneKind("the largest session of a database of 1.1 GB", profile="seed"),
    "small": SceneKind("a session of two PDFs of 0.7 MB", ("--pdfs", "2", "--pdf-bytes", "500000")),
}


@dataclass(frozen=True, slots=True)
class Trial:
    """A measured trial and what came with it."""

    run: Run
    grown: int
    requests: Sequence[Sequence[Any]]


@dataclass(frozen=True, slots=True)
class Row:
    """One operation on both sides, round by round."""

    operation: str
    trials: Mapping[str, Sequence[Trial]]

    def runs(self, side: str) -> list[Run]:
        """The measured part."""
        return [trial.run for trial in self.trials[side]]

    @property
    def time_ratio(self) -> Spread:
        """Offloaded over inline."""
        return ratio(self.runs(OFFLOADED), self.runs(INLINE))

    @property
    def rss_ratio(self) -> float:
        """Offloaded over inline."""
        return self.peak_rss(OFFLOADED) / self.peak_rss(INLINE)

    def wall_s(self, side: str) -> float:
        """The median."""
        return statistics.median(one.wall_s for one in self.runs(side))

    def cpu_s(self, side: str) -> float:
        """The median, over OpenCode's whole life."""
        return statistics.median(one.cpu_s for one in self.runs(side))

    def peak_rss(self, side: str) -> float:
        """The median, in bytes."""
        return statistics.median(one.peak_rss for one in self.runs(side))

    def grown(self, side: str) -> float:
        """The median, in bytes."""
        return statistics.median(trial.grown for trial in self.trials[side])

    @property
    def requests_equal(self) -> bool:
        """Whether the model got the same bytes, whatever the side and the round."""
        return len({json.dumps(trial.requests) for trials in self.trials.values() for trial in trials}) == 1

    def figures(self) -> dict[str, Any]:
        """All of it, for JSON."""
        sides = {side: [asdict(one) for one in trials] for side, trials in self.trials.items()}
        return {"time_ratio": self.time_ratio.median, "rss_ratio": self.rss_ratio, **sides}


class Scenes:
    """Runs trials in scenes that are made once."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        named = {BINARY: os.environ[BINARY]} if BINARY in os.environ else {}
        self._env = {**bench.env, **named}

    def make(self, name: str) -> dict[str, Any]:
        """Make a scene; return OpenCode's version and the size of both databases."""
        kind = SCENES[name]
        generated = ("--generated", str(self._bench.database(kind.profile))) if kind.profile else ()
        print(f"making {self._path(name)}", file=sys.stderr)
        done = run([PYTHON, HOST, self._path(name), "make", *kind.options, *generated], env=self._env)
        made: dict[str, Any] = json.loads(done.output)
        self._env[BINARY] = made["binary"]  # looked for once: that starts it
        return made

    def rows(self, name: str, operations: Sequence[str]) -> list[Row]:
        """Measure both sides in turn."""
        return [self._row(name, operation, SIDES) for operation in operations]

    def starts(self, name: str) -> list[Row]:
        """Measure the start of a host without a network, with and without the plugin."""
        return [self._row(name, operation, (BARE, OFFLOADED), "--offline") for operation in STARTS]

    def _row(self, name: str, operation: str, sides: Sequence[str], *options: str) -> Row:
        noted: dict[str, list[Trial]] = {side: [] for side in sides}
        trials = {
            f"{operation}, {side}": partial(self._trial, name, operation, side, noted[side], options) for side in sides
        }
        interleave(trials, self._bench.rounds)
        return Row(operation, noted)

    def _trial(self, name: str, operation: str, side: str, noted: list[Trial], options: Sequence[str]) -> Run:
        done = run([PYTHON, HOST, self._path(name), operation, side, *options], env=self._env)
        found = json.loads(done.output)
        noted.append(
            Trial(Run(found["wall_s"], found["cpu_s"], found["peak_rss"]), found["grown"], found["requests"]),
        )
        return noted[-1].run

    def _path(self, name: str) -> str:
        return str(self._bench.directory / "scenes" / name)


def table(rows: Sequence[Row]) -> str:
    """Both sides beside each other, as Markdown."""
    lines = [
        "| | inline | offloaded | ratio | inline RSS | offloaded RSS | ratio | database grows, inline | offloaded |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        times = f"{row.wall_s(INLINE):.2f} s | {row.wall_s(OFFLOADED):.2f} s | {row.time_ratio.median:.2f}"
        rss = f"{row.peak_rss(INLINE) / MB:.0f} MB | {row.peak_rss(OFFLOADED) / MB:.0f} MB | {row.rss_ratio:.2f}"
        grown = f"{row.grown(INLINE) / MB:.1f} MB | {row.grown(OFFLOADED) / MB:.1f} MB"
        lines.append(f"| {OPERATIONS[row.operation]} | {times} | {rss} | {grown} |")
    return "\n".join(lines)


def no_gain(rows: Sequence[Row]) -> list[str]:
    """What an offload does not make faster or smaller, in words."""
    found = []
    for row in rows:
        kinds = {"time": row.time_ratio.median, "memory": row.rss_ratio}
        if not_better := [f"{kind} x{value:.2f}" for kind, value in kinds.items() if value > GAIN]:
            found.append(f"- {OPERATIONS[row.operation]}: {', '.join(not_better)}")
    return found


def requests(rows: Sequence[Row]) -> list[str]:
    """Whether the model got the same bytes on both sides."""
    lines = []
    for row in rows:
        if any(sent := trial.requests for trial in row.trials[INLINE]):
            size = " and ".join(f"{size:,}" for size, _ in sent)
            says = "the same on both sides" if row.requests_equal else "NOT the same on both sides"
            lines.append(f"- {OPERATIONS[row.operation]}: the model got {size} bytes, {says}")
    return lines


def bars(rows: Sequence[Row]) -> list[str]:
    """What issue and README promise of GET messages."""
    lines = []
    for row in rows:
        if row.operation.startswith("get"):
            met = row.rss_ratio <= GET_RSS_BAR and row.time_ratio.median <= GET_TIME_BAR
            says = f"{row.rss_ratio:.2f} of the memory (1/4) and {row.time_ratio.median:.3f} of the time (1/10)"
            lines.append(f"- {OPERATIONS[row.operation]}: {says}: {'met' if met else 'MISSED'}")
    return lines


def print_starts(rows: Sequence[Row]) -> None:
    """What the plugin costs at the start, beside a host that has nothing to install either."""
    print("\n## The start without a network\n")
    print("| | no plugin | plugin | more | CPU | CPU with plugin | RSS | RSS with plugin |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows:
        more = statistics.median(
            one.wall_s - other.wall_s for one, other in zip(row.runs(OFFLOADED), row.runs(BARE), strict=True)
        )
        cpu = f"{row.cpu_s(BARE):.2f} s | {row.cpu_s(OFFLOADED):.2f} s"
        rss = f"{row.peak_rss(BARE) / MB:.0f} MB | {row.peak_rss(OFFLOADED) / MB:.0f} MB"
        met = "met" if more <= START_BAR_S else "MISSED"
        times = f"{row.wall_s(BARE):.2f} s | {row.wall_s(OFFLOADED):.2f} s | {more:+.2f} s (1 s: {met})"
        print(f"| {OPERATIONS[row.operation]} | {times} | {cpu} | {rss} |")


def load() -> str:
    """How busy the machine is, where that can be asked."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} CPUs" if hasattr(os, "getloadavg") else ""


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def main(argv: list[str] | None = None) -> int:
    """Measure each scene, then the start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", type=Path, help="keeps databases between runs (default: a temporary directory)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scenes", type=_names, default=["pdfs", "seed"], help=",".join(SCENES))
    parser.add_argument("--only", type=_names, default=list(OPERATIONS), help=",".join(OPERATIONS))
    parser.add_argument("--no-starts", action="store_true", help="leave the start without a network out")
    parser.add_argument("--quick", action="store_true", help="one round of three operations on a small session")
    arguments = parser.parse_args(argv)
    if arguments.quick:
        arguments.scenes, arguments.only, arguments.rounds, arguments.no_starts = ["small"], list(QUICK), 1, True
    if unknown := set(arguments.scenes) - set(SCENES) | set(arguments.only) - set(OPERATIONS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    report: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="ocblob-bench-") as temporary:
        directory = (arguments.dir or Path(temporary)).resolve()
        directory.mkdir(parents=True, exist_ok=True)
        bench = Bench(directory, "", arguments.rounds, (), child_env(directory))
        scenes = Scenes(bench)
        try:
            for name in arguments.scenes:
                made = scenes.make(name)
                begun = load()
                rows = scenes.rows(name, arguments.only)
                sizes = " to ".join(f"{made['sizes'][side] / MB:.1f} MB" for side in SIDES)
                store = f"{made['store'] / MB:.1f} MB"
                print(f"\n## OpenCode {made['version']}, {SCENES[name].title}\n")
                print(f"The database: {sizes}, and a store of {store}. {begun}, {load()} at the end.\n")
                print(table(rows))
                for title, lines in (
                    ("What does not gain", no_gain(rows)),
                    ("Requests", requests(rows)),
                    ("Bars", bars(rows) if name == "pdfs" else []),
                ):
                    print("\n".join((f"\n{title}:", *lines)) if lines else "", flush=True)
                report[name] = {**made, "load": begun, "rows": {row.operation: row.figures() for row in rows}}
            if not arguments.no_starts:
                print_starts(scenes.starts(arguments.scenes[0]))
        except CommandFailedError as error:
            print(error, file=sys.stderr)
            return 1
        if arguments.json:
            arguments.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
