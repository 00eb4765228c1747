"""What the documents say is what the program does."""

import importlib
import re
import tomllib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import ocblob
from ocblob.cli.main import COMMANDS, group

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DESIGN = (ROOT / "docs" / "design.md").read_text(encoding="utf-8")


def run(*arguments: str) -> str:
    """What a command prints when it succeeds."""
    result = CliRunner().invoke(group, arguments, catch_exceptions=False)
    assert 0 == result.exit_code
    return result.stdout


def test_the_readme_has_every_command() -> None:
    """Each command of the program stands in the README's table, and no other one does."""
    table = README.partition("| command | does |")[2].partition("\n\n")[0]

    assert sorted(COMMANDS) == sorted(re.findall(r"`ocblob (\w+)`", table))


def commands() -> list[tuple[str, ...]]:
    """Every command, and those of a group one by one."""
    found: list[tuple[str, ...]] = []
    for name in COMMANDS:
        command = importlib.import_module(f"ocblob.cli.{name}").command
        found += [(name, below) for below in command.commands] if isinstance(command, click.Group) else [(name,)]
    return found


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_takes_the_standard_options(command: tuple[str, ...]) -> None:
    """Each command's help names --db, --store, --config, --json, -q and -v."""
    text = run(*command, "--help")

    assert [] == [option for option in ("--db", "--store", "--config", "--json", "-q,", "-v,") if option not in text]


def test_options_of_the_readme_exist() -> None:
    """Each option that the README writes beside a command is one that some command has."""
    helps = "\n".join(run(*command, "--help") for command in commands())
    mentioned = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", README)) - {"--help"}

    assert set() == {option for option in mentioned if option not in helps}


def test_exit_codes_stand_in_the_help_and_in_the_readme() -> None:
    """The codes that the program knows are the ones it documents."""
    module = importlib.import_module("ocblob.cli.main")
    codes = {str(value) for name, value in vars(module).items() if name.startswith("EXIT_") and isinstance(value, int)}
    sentence = README.partition("Exit codes:")[2].partition("\n\n")[0]

    assert codes == set(re.findall(r"\b(\d+) [a-z]", sentence))
    assert codes == set(re.findall(r"\b(\d+) [a-z]", run("--help").partition("Exit codes:")[2]))


def test_the_python_example_imports_what_there_is() -> None:
    """The names that the README imports are public."""
    names = re.findall(r"from ocblob import ([\w, ]+)", README)

    assert names
    assert [] == [name for line in names for name in line.split(", ") if name not in ocblob.__all__]


def test_the_design_has_every_reason() -> None:
    """Each reason for staying inline is explained."""
    from ocblob.scan import Reason

    assert [] == [reason.value for reason in Reason if f"`{reason.value}`" not in DESIGN]


def test_the_design_has_every_module_in_its_layer() -> None:
    """Each module of the package stands in the design's table of layers."""
    table = DESIGN.partition("## Layers")[2].partition("\n## ")[0]
    modules = {path.stem for path in (ROOT / "src" / "ocblob").iterdir() if path.suffix == ".py" or path.is_dir()}

    assert set() == {name for name in modules if not name.startswith("_") and name != "py" and name not in table}


def test_the_plugins_options_stand_in_the_docs() -> None:
    """Each option that the plugin knows stands in the table with its default, and no other one does."""
    script = (ROOT / "src" / "ocblob" / "hosts" / "opencode" / "ocblob.js").read_text(encoding="utf-8")
    known = re.findall(
        r"^  (\w+): (.*?),(?: //.*)?$", script.partition("const DEFAULTS = {")[2].partition("\n}")[0], re.MULTILINE
    )
    page = (ROOT / "docs" / "opencode.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| (`.+?`) \| (.*?)\| ", page.partition("| option | default | means |")[2].partition("\n\n")[0], re.MULTILINE
    )
    documented = [
        (name, default.strip().strip("`")) for names, default in rows for name in re.findall(r"`(\w+)`", names)
    ]

    assert [(name, default.strip('"')) for name, default in known] == documented


def test_make_targets_of_the_readme_exist() -> None:
    """Each `make` target that the README names is in the Makefile."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"\bmake (\w+)(?=[`\s])", README)) & {"demo", "test", "lint", "bench"}

    assert {"demo", "test", "bench"} <= targets
    assert set() == {target for target in targets if f"\n{target}:" not in makefile}


def test_the_version_is_one() -> None:
    """The package and its metadata say the same version."""
    metadata = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))

    assert metadata["project"]["version"] == ocblob.__version__
    assert ocblob.__version__ in run("--version")


def test_every_failure_has_a_test() -> None:
    """Each row of the table of failures names tests that exist."""
    text = (ROOT / "docs" / "stores.md").read_text(encoding="utf-8")
    rows = [line for line in text.partition("## What failures mean")[2].splitlines() if line.startswith("| ")][1:]
    sources = "\n".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py"))
    named = [re.findall(r"`(test_\w+)`", row) for row in rows]

    assert len(rows) > 20
    assert [] == [row for row, tests in zip(rows, named, strict=True) if not tests]
    assert [] == [name for tests in named for name in tests if f"def {name}(" not in sources]
