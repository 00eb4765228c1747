"""What `watch` costs while nothing changes, and what a pass costs that finds nothing to do: CPU time and memory.

The looks are those of the command itself, with a clock that does not wait. A pass runs in this process too, as there.
"""

# ruff: noqa: PLC0415 # the environment is set before anything of ours is imported

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path

from generate import PROFILES, make_database

LOOKS = 10_000


def main() -> None:
    """Print one line a figure."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--profile", choices=sorted(PROFILES), default="demo")
    profile = parser.parse_args().profile
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        os.environ.update({f"XDG_{kind}_HOME": str(root / kind.lower()) for kind in ("DATA", "STATE", "CONFIG")})
        database = root / "copy.db"
        make_database(database, profile, 1)
        measure(root, database)


def measure(root: Path, database: Path) -> None:
    """A look, and a pass after one that has done all."""
    import click

    from ocblob import config
    from ocblob.cli.maintain import command
    from ocblob.watching import Terminated, look_at, watch

    words = ["--db", str(database), "--store", str(root / "store"), "--quiet"]

    def run_pass() -> float:
        begun = time.process_time()
        code = 0
        try:
            with command.make_context("maintain", list(words)) as ctx:
                command.invoke(ctx)
        except click.exceptions.Exit as ended:
            code = ended.exit_code
        assert code == 0
        return time.process_time() - begun

    first, second = run_pass(), run_pass()
    paths = (database, database.with_name(database.name + "-wal"), *config.files_read())
    left = LOOKS

    def sleep(_seconds: float) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            raise Terminated

    begun = time.process_time()
    with contextlib.suppress(Terminated):
        watch(
            lambda: True,
            lambda: look_at(paths),
            every_s=900.0,
            clock=lambda: 0.0,
            sleep=sleep,
            absent=lambda: sys.exit("the database is gone"),
        )
    look = (time.process_time() - begun) / LOOKS
    print(f"database                        {database.stat().st_size / 1e6:.0f} MB")
    print(f"first pass                      {first:.2f} s of CPU")
    print(f"pass with nothing to do         {second * 1000:.0f} ms of CPU")
    print(f"look of watch, nothing changed  {look * 1e6:.0f} us of CPU ({LOOKS:,} looks)")


if __name__ == "__main__":
    main()
