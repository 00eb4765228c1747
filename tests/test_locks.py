"""Locks of a database that ocblob has open are never dropped by its own hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from generate import make_database

SCRIPT = """
import json, os, sys
from pathlib import Path
from ocblob.cli.main import group

database = Path(sys.argv[1]).resolve()
opened = []

def look(event, arguments):
    if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
        if Path(os.fsdecode(arguments[0])).resolve() == database:
            opened.append(str(arguments))

sys.addaudithook(look)
try:
    group.main(sys.argv[2:], standalone_mode=False)
finally:
    print(json.dumps(opened), file=sys.stderr)
"""


@pytest.mark.parametrize("command", [("offload", "--no-plugin"), ("status",), ("ls",), ("check",), ("restore",)])
def test_no_command_opens_the_file_of_a_database_itself(tmp_path: Path, command: tuple[str, ...]) -> None:
    """Only SQLite opens the file: closing any other descriptor of it would drop this process's locks on it."""
    database, store = tmp_path / "opencode.db", tmp_path / "store"
    make_database(database, "tiny", seed=7)
    places = ("--db", str(database), "--store", str(store))
    subprocess.run((sys.executable, "-m", "ocblob", "offload", "-q", "--no-plugin", *places), check=True, timeout=60)

    done = subprocess.run(
        (sys.executable, "-c", SCRIPT, str(database), *command, *places),
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip

    assert [] == json.loads(done.stderr.splitlines()[-1])
