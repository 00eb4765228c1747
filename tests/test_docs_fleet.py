"""What `docs/fleet.md` says is what the program and the model do."""

import re
import subprocess
import sys
from pathlib import Path

from click.testing import CliRunner

from ocblob.cli.offload import command
from ocblob.fleet import FleetReport, run

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "fleet.md").read_text(encoding="utf-8")


def test_the_options_are_those_of_the_program() -> None:
    """Each option of the table, and every other one of ours on the page, is one of `offload`."""
    known = set(re.findall(r"--[a-z][a-z-]+", CliRunner().invoke(command, ["--help"]).output))
    table = PAGE.partition("| option | means |")[2].partition("\n\n")[0]
    others = {"--nthreads", "--scheduler-file", "--array", "--to", "--cell-kb", "--size-mb"}  # of Dask, Slurm, scripts

    assert ["--dask", "--part-size", "--send-password"] == re.findall(r"^\| `(--[a-z-]+)`", table, re.MULTILINE)
    assert set() == set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGE)) - known - others


def test_the_numbers_of_the_report_have_its_names() -> None:
    """What the page says of the report is in it."""
    named = {"workers", "parts", "parts_failed", "worker_s", "cells_gone"}

    assert named <= {name for name in FleetReport.__dataclass_fields__ if f"`{name}`" in PAGE}


def test_limits_are_the_ones_of_the_code() -> None:
    """Tries, patience, and when a pass is given up."""
    assert (2, 120, 8) == (run.RETRIES, run.ALONE_S, run.HOPELESS_PARTS)
    for words in ("is tried three times", "waits two minutes", "the first eight all fail"):
        assert words in PAGE


def test_the_table_is_what_the_model_prints() -> None:
    """Its rows stand on the page as the script prints them."""
    script = ROOT / "benchmarks" / "fleet_model.py"
    printed = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True).stdout

    assert 14 == len(printed.splitlines())
    assert printed in PAGE


def test_shards_of_the_examples_begin_with_one() -> None:
    """Kubernetes counts from 0, Slurm as it is told."""
    assert "$((JOB_COMPLETION_INDEX + 1))/16" in PAGE
    assert "--array=1-16" in PAGE
    assert re.findall(r"--shard (\S+)", PAGE)
