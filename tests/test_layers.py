"""Who may import whom: the layer table of the design, enforced."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

import ocblob
from talks import Talk, make_talks

SOURCE: Final = Path(ocblob.__file__).parent
DESIGN: Final = Path(__file__).parents[1] / "docs" / "design.md"
TOP: Final = 9
CONFIG: Final = 7
VERBS: Final = 6

ROWS: Final[tuple[tuple[int, frozenset[str]], ...]] = (
    (0, frozenset({"errors"})),
    (
        1,
        frozenset(
            {
                "base64stream",
                "codec",
                "digest",
                "filesystem",
                "json_stream",
                "json_text",
                "positioned",
                "replacing",
                "units",
                "urls",
            }
        ),
    ),
    (2, frozenset({"cells", "placeholders", "ref"})),
    (3, frozenset({"scan"})),
    (3, frozenset({"backends"})),
    (3, frozenset({"databases"})),
    (3, frozenset({"hosts"})),
    (4, frozenset({"store"})),
    (5, frozenset({"batches", "marks", "pass_report", "published", "rewrite", "rows", "unresolved"})),
    *(
        (VERBS, frozenset({verb}))
        for verb in (
            "attachments",
            "check",
            "evict",
            "inspection",
            "offload",
            "prompts",
            "prune",
            "resolver",
            "restore",
            "sync",
        )
    ),
    (VERBS, frozenset({"sessions"})),
    (
        CONFIG,
        frozenset(
            {
                "archiving",
                "config",
                "deletions",
                "fleet",
                "passes",
                "size_warnings",
                "space",
                "plugins",
                "pulled",
                "pulling",
                "mirror_sealing",
                "mirroring",
                "report",
                "retention",
                "status",
                "stores",
                "unarchiving",
                "unfinished",
                "maintaining",
                "scheduling",
                "watching",
            }
        ),
    ),
    (8, frozenset({"cli"})),
    (TOP, frozenset({"__init__", "__main__"})),
)
"""Layer and modules of each row. Modules of one row may import each other; every verb has a row of its own."""

LAYER_OF: Final = {module: layer for layer, modules in ROWS for module in modules}
ROW_OF: Final = {module: modules for _, modules in ROWS for module in modules}
FILES: Final = sorted(SOURCE.rglob("*.py"))


def module_of(path: Path) -> str:
    """The file or package right below `ocblob` that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def name_of(path: Path) -> str:
    """A file's name for messages."""
    return str(path.relative_to(SOURCE))


def tree_of(path: Path) -> ast.Module:
    """A file, parsed."""
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def imports_of(tree: ast.Module) -> Iterator[str]:
    """Every name that a file imports, wherever in it: `ocblob.store.reader`, `apsw`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports are banned"
            assert node.module is not None
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def ours(name: str) -> str | None:
    """The module of ours that an imported name belongs to."""
    package, _, rest = name.partition(".")
    if package != "ocblob":
        return None
    module = rest.partition(".")[0]
    return module if module in LAYER_OF and module not in {"__init__", "__main__"} else "__init__"


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_file_imports_only_from_rows_above_its_own(path: Path) -> None:
    """A file imports from lower layers and from its own row, nothing else of ours."""
    module = module_of(path)
    allowed = {other for other in LAYER_OF if LAYER_OF[other] < LAYER_OF[module]} | ROW_OF[module]
    imported = {found for name in imports_of(tree_of(path)) if (found := ours(name))}
    if module in {"cli", "fleet"}:
        allowed |= {"__init__"}  # one prints the version, the other one compares it
    assert set() == imported - allowed


def test_every_module_has_a_layer() -> None:
    """A new file or package stands in the table before it is used."""
    assert set() == {module_of(path) for path in FILES} - LAYER_OF.keys()


def test_table_names_no_module_twice() -> None:
    """Each module is in one row."""
    names = [module for _, modules in ROWS for module in modules]
    assert len(set(names)) == len(names)


def test_documented_table_is_this_one() -> None:
    """The design document puts every module that is there in the layer that holds."""
    documented: dict[str, int] = {}
    for layer, cells in re.findall(r"^\| (\d) \|((?: .*`.*)\|)$", DESIGN.read_text(encoding="utf-8"), re.MULTILINE):
        names = re.findall(r"`([a-z0-9_]+)(?:\.py|/)?`", cells)
        documented |= {name: int(layer) for name in names if name in LAYER_OF}
    existing = {module_of(path) for path in FILES} - {"__init__", "__main__"}
    assert {module: LAYER_OF[module] for module in existing} == {
        module: documented.get(module, -1) for module in existing
    }


@pytest.mark.parametrize("path", [path for path in FILES if LAYER_OF[module_of(path)] < CONFIG], ids=name_of)
def test_environment_is_read_by_settings_only(path: Path) -> None:
    """Below layer 7 nobody reads the environment or a config file."""
    tree = tree_of(path)
    names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    names |= {name.rpartition(".")[2] for name in imports_of(tree)}
    assert set() == names & {"environ", "environb", "getenv", "getenvb", "putenv"}
    assert set() == {name.partition(".")[0] for name in imports_of(tree)} & {"platformdirs", "tomllib", "configparser"}


@pytest.mark.parametrize("path", [path for path in FILES if module_of(path) != "cli"], ids=name_of)
def test_only_the_command_line_prints(path: Path) -> None:
    """Everything else returns or yields: no print, no stream of the process, no log, no click, no rich."""
    tree = tree_of(path)
    called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
    assert set() == called & {"print", "input", "breakpoint"}
    streams = {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "sys"
    }
    assert set() == streams & {"stdout", "stderr", "stdin", "argv", "exit", "__stdout__", "__stderr__"}
    silenced = {"warnings"} if path.name == "thumbnail.py" else set[str]()  # those of decoders, which print them
    spoken = {"click", "rich", "logging", "warnings"} - silenced
    assert set() == {name.partition(".")[0] for name in imports_of(tree)} & spoken


def test_scanner_does_no_input_or_output() -> None:
    """The scanner is pure: it imports nothing that could open anything, and opens nothing."""
    tree = tree_of(SOURCE / "scan.py")
    foreign = {name.partition(".")[0] for name in imports_of(tree)} - {"ocblob"}
    assert foreign <= {"collections", "dataclasses", "enum", "functools", "itertools", "re", "typing"}
    assert set() == {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)} & {"open", "print", "input"}


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_foreign_libraries_stay_at_their_seam(path: Path) -> None:
    """SQLite is spoken where rows, the catalog and marks are; S3, SQLAlchemy and the like behind their backends."""
    seams = {
        "apsw": {"databases", "store", "marks"},
        "zstandard": {"codec"},
        "blake3": {"digest"},
        "boto3": {"backends"},
        "botocore": {"backends"},
        "fsspec": {"backends"},
        "sqlalchemy": {"databases"},
        "distributed": {"fleet"},
        "sqlite3": set[str](),
        "platformdirs": {"config"},
        "filelock": {"maintaining"},
        "PIL": {"placeholders"},
    }
    imported = {name.partition(".")[0] for name in imports_of(tree_of(path))}
    assert set() == {library for library in imported & seams.keys() if module_of(path) not in seams[library]}


_HEAVY_NAMES: Final = "PIL boto3 botocore click distributed fsspec platformdirs rich sqlalchemy sqlite3"
HEAVY: Final = set(_HEAVY_NAMES.split())


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import ocblob", HEAVY | {"apsw", "zstandard", "blake3", "pybase64", "json"}),
        ("from ocblob import Resolver", HEAVY),
        ("from ocblob import Resolver, find_refs, Ref, BlobStore", HEAVY),
        ("from ocblob import find_refs, Ref", HEAVY | {"apsw"}),
        ("import ocblob.offload, ocblob.restore, ocblob.check", HEAVY),
        (
            "import ocblob.passes, ocblob.deletions, ocblob.retention, ocblob.unarchiving, ocblob.maintaining",
            {"sqlalchemy", "psycopg", "pymysql", "pyodbc", "distributed"},
        ),
        ("import ocblob.cli", {"boto3", "botocore", "fsspec", "sqlalchemy", "rich", "distributed", "apsw"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_importing_loads_only_what_is_needed(statement: str, absent: set[str]) -> None:
    """A host that imports ocblob pays for no library that it does not use."""
    script = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    # Measuring coverage loads libraries of its own.
    bare = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=bare)
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "ocblob" in loaded
    assert set() == loaded & absent


def test_a_pass_over_a_file_loads_nothing_of_servers(tmp_path: Path) -> None:
    """Verbs on SQLite pay neither for SQLAlchemy nor for a driver."""
    path = make_talks(tmp_path / "talks.db", [Talk("ses_1", 9)])
    script = f"""
import sys
from ocblob.cli import main
for words in (["offload", "--no-plugin"], ["status"], ["retain", "--max-sessions", "9"], ["vacuum"], ["maintain"]):
    sys.argv = ["ocblob", *words, "-q", "--db", {str(path)!r}, "--store", {str(tmp_path / "store")!r}]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, words
print("\\n".join(sys.modules))
"""
    homes = {f"XDG_{kind}_HOME": str(tmp_path / kind) for kind in ("DATA", "CONFIG", "STATE")}
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("COVERAGE", "OCBLOB"))}
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        check=True,
        env=bare | homes | {"HOME": str(tmp_path)},
    )
    loaded = {name.partition(".")[0] for name in done.stdout.split()}
    assert "apsw" in loaded
    assert set() == loaded & {"sqlalchemy", "psycopg", "pymysql", "pyodbc", "distributed"}


def test_importing_has_no_effect(tmp_path: Path) -> None:
    """Importing every module writes no file and prints nothing."""
    modules = [
        ".".join(("ocblob", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        for path in FILES
        if path.name != "__main__.py"
    ]
    script = (
        f"import importlib, os\nos.chdir({str(tmp_path)!r})\nfor name in {modules!r}: importlib.import_module(name)"
    )
    command = [sys.executable, "-W", "error", "-c", f"import sys; sys.path.insert(0, {str(SOURCE.parent)!r})\n{script}"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ("", "") == (done.stdout, done.stderr)
    assert [] == list(tmp_path.iterdir())
