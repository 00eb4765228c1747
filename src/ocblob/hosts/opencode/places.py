"""Where OpenCode keeps its database and looks for plugins, on every platform.

It follows the XDG variables on Linux, macOS and Windows alike.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from ocblob.errors import UsageError
from ocblob.filesystem import is_stream
from ocblob.hosts.opencode.configuration import PLUGIN_FILE, entries

_DATABASE_NAME = re.compile(r"opencode(-[A-Za-z0-9._-]+)?\.db")
_CONFIG_FILES: Final = ("opencode.json", "opencode.jsonc")
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


def default_database(environment: Mapping[str, str], home: Path) -> Path:
    """The database that OpenCode will make when it runs for the first time."""
    return _directory(environment, home, "XDG_DATA_HOME", ".local/share") / (
        environment.get("OPENCODE_DB") or "opencode.db"
    )


def is_own_database(path: Path, environment: Mapping[str, str], home: Path) -> bool:
    """Whether this is a database that an OpenCode here would open, and not a copy kept elsewhere."""
    resolved = path.resolve()
    if any(candidate.resolve() == resolved for candidate in database_candidates(environment, home)):
        return True
    return resolved.parent.name == "opencode" and _DATABASE_NAME.fullmatch(resolved.name) is not None


def prompt_history_files(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Where OpenCode keeps prompts, with refs in what was pasted. Left out is only what surely keeps nothing."""
    return [path for path in prompt_history_places(environment, home) if not _keeps_nothing(path)]


def prompt_history_places(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Where OpenCode would keep them, whether there are any yet or not."""
    directory = _directory(environment, home, "XDG_STATE_HOME", ".local/state")
    return [directory / name for name in _PROMPT_FILES]


def _keeps_nothing(path: Path) -> bool:
    try:
        return is_stream(path)  # a link to /dev/null, by which users turn a history off
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False  # nobody can say; whoever reads it will


def plugin_installed(environment: Mapping[str, str], home: Path) -> bool:
    """Whether OpenCode's own configuration loads our plugin in every project, and its file is there."""
    return any(
        path.is_file() for path in (*auto_loaded(environment, home), *configured(config_files(environment, home)))
    )


def config_directory(environment: Mapping[str, str], home: Path) -> Path:
    """The user's configuration directory."""
    return _directory(environment, home, "XDG_CONFIG_HOME", ".config")


def config_directories(environment: Mapping[str, str], home: Path) -> list[Path]:
    """The directories that OpenCode looks into in every project, and keeps packages of npm in. Some may be missing."""
    named = environment.get("OPENCODE_CONFIG_DIR")
    return [config_directory(environment, home), home / ".opencode", *([Path(named)] if named else [])]


def config_files(environment: Mapping[str, str], home: Path) -> list[Path]:
    """The files that OpenCode merges in every project, in its order: the last one wins. Some may be missing."""
    user, *others = config_directories(environment, home)
    named = environment.get("OPENCODE_CONFIG")
    return [
        *(user / name for name in ("config.json", *_CONFIG_FILES)),
        *([Path(named)] if named else []),
        *(directory / name for directory in others for name in _CONFIG_FILES),
    ]


def project_files(project: Path) -> list[Path]:
    """The files that OpenCode merges in a project's directory, in its order."""
    return [directory / name for directory in (project, project / ".opencode") for name in _CONFIG_FILES]


def auto_loaded(environment: Mapping[str, str], home: Path) -> list[Path]:
    """Copies of our plugin where OpenCode loads every file, without options."""
    return [
        path
        for directory in config_directories(environment, home)
        for name in ("plugin", "plugins")
        if (path := directory / name / PLUGIN_FILE).is_file()
    ]


def configured(files: Iterable[Path]) -> Iterator[Path]:
    """The plugin files that entries of these files name. A file that OpenCode cannot read loads nothing."""
    for file in files:
        with contextlib.suppress(OSError, ValueError, UsageError):
            yield from (entry.path for entry in entries(file.read_bytes().decode("utf-8"), file.parent))


def _directory(environment: Mapping[str, str], home: Path, variable: str, default: str) -> Path:
    base = environment.get(variable)
    return (Path(base) if base else home / default) / "opencode"
