"""Where OpenCode keeps its database and looks for plugins, on every platform.

It follows the XDG variables on Linux, macOS and Windows alike.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

_DATABASE_NAME = re.compile(r"opencode(-[A-Za-z0-9._-]+)?\.db")
_PLUGIN_FILE: Final = "ocblob.js"
_PROMPT_FILES: Final = ("prompt-history.jsonl", "prompt-stash.jsonl")


def database_candidates(environment: Mapping[str, str], home: Path) -> list[Path]:
    """The databases OpenCode would open, the likeliest first; only ones that exist."""
    directory = _directory(environment, home, "XDG_DATA_HOME", ".local/share")
    if named := environment.get("OPENCODE_DB"):
        path = directory / named  # a relative name is below the data directory, an absolute one stays
        return [path] if path.is_file() else []
    if not directory.is_dir():
        return []
    found = [path for path in directory.iterdir() if _DATABASE_NAME.fullmatch(path.name) and path.is_file()]
    # Channel builds have databases of their own; the released one is what most people mean.
    return sorted(found, key=lambda path: (path.name != "opencode.db", -path.stat().st_mtime))


def is_own_database(path: Path, environment: Mapping[str, str], home: Path) -> bool:
    """Whether this is a database that an OpenCode here would open, and not a copy kept elsewhere."""
    resolved = path.resolve()
    if any(candidate.resolve() == resolved for candidate in database_candidates(environment, home)):
        return True
    return resolved.parent.name == "opencode" and _DATABASE_NAME.fullmatch(resolved.name) is not None


def prompt_history_files(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Where OpenCode keeps prompts, with refs in what was pasted. Left out is only what is surely not there."""
    return [path for path in prompt_history_places(environment, home) if not _is_missing(path)]


def prompt_history_places(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Where OpenCode would keep them, whether there are any yet or not."""
    directory = _directory(environment, home, "XDG_STATE_HOME", ".local/state")
    return [directory / name for name in _PROMPT_FILES]


def _is_missing(path: Path) -> bool:
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # nobody can say; whoever reads it will
    return False


def plugin_installed(environment: Mapping[str, str], home: Path) -> bool:
    """Whether OpenCode's own configuration loads our plugin."""
    directory = _directory(environment, home, "XDG_CONFIG_HOME", ".config")
    if any((directory / name / _PLUGIN_FILE).is_file() for name in ("plugin", "plugins")):
        return True
    configs = (directory / name for name in ("opencode.json", "opencode.jsonc"))
    return any(_PLUGIN_FILE in config.read_text("utf-8", "replace") for config in configs if config.is_file())


def _directory(environment: Mapping[str, str], home: Path, variable: str, default: str) -> Path:
    base = environment.get(variable)
    return (Path(base) if base else home / default) / "opencode"
