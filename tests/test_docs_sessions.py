"""What `docs/sessions.md` says is what the program does: its commands run, its tables are true."""

import os
import re
import shlex
from pathlib import Path

import pytest

from command_line import Cli, cli_in
from talks import make_talks, many, sessions, sound

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "sessions.md").read_text(encoding="utf-8")
NOT_RUN = ("Scheduling",)
"""Sections whose commands change the machine; they have tests of their own."""


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line in a directory of its own, with a database of twelve sessions that the environment names."""
    cli = cli_in(tmp_path, monkeypatch, capsysbinary)
    path = make_talks(tmp_path / "copy" / "opencode.db", many(12, size=100_000))
    monkeypatch.setenv("OCBLOB_DB", str(path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backups").mkdir()
    return cli


def examples() -> list[tuple[str, str]]:
    """Every command line of the page that is about ocblob, with the section that it stands in."""
    found = []
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE):
        title = section.partition("\n")[0]
        found += [(title, line) for line in re.findall(r"^    (ocblob .*)$", section, re.MULTILINE)]
    return found


def test_the_commands_of_the_page_run(cli: Cli) -> None:
    """Each example ends well, one after the other, and all sessions are there at the end."""
    run = [shlex.split(line) for title, line in examples() if title not in NOT_RUN]

    failed = [(words, done) for words in run if (done := cli.run(*words[1:])).code]

    assert [] == failed
    assert 12 <= len(run)
    path = Path(os.environ["OCBLOB_DB"])
    assert 12 == len(sessions(path))
    assert sound(path)


def test_every_failure_has_a_test() -> None:
    """Each row of the table of failures names tests that exist."""
    table = PAGE.partition("## What failures mean")[2]
    rows = [line for line in table.splitlines() if line.startswith("| ")][1:]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = [re.findall(r"`(test_\w+)`", row) for row in rows]

    assert len(rows) > 8
    assert [] == [row for row, tests in zip(rows, named, strict=True) if not tests]
    assert [] == [name for tests in named for name in tests if f"def {name}(" not in sources]


def test_the_page_has_every_limit() -> None:
    """The limits of `retain` that the program knows stand in the page's table."""
    from ocblob.sessions.plan import Limit

    table = PAGE.partition("| limit | what goes")[2].partition("\n\n")[0]

    assert {f"--{limit}" for limit in Limit} == set(re.findall(r"`(--[a-z-]+)", table))
