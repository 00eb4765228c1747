"""The config file: which one it is, what stands in it, and where."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ocblob.config.directories import config_path
from ocblob.config.keys import FILE_KEYS, SESSION_KEYS
from ocblob.config.variables import CONFIG_VARIABLE
from ocblob.errors import UsageError
from ocblob.filesystem import expanded, link_to_nothing
from ocblob.urls import is_secret


@dataclass(frozen=True, slots=True)
class ConfigFile:
    """One config file, read."""

    path: Path
    named: bool
    """Whether the user named it, so that it has to be there."""
    values: Mapping[str, Any] = field(default_factory=dict)
    """Empty if there is no such file."""
    content: str = ""

    @property
    def tables(self) -> dict[str, Mapping[str, Any]]:
        """The options of backends, by the scheme of their URLs. A key of ours is none, whatever it is."""
        known = (*FILE_KEYS, *SESSION_KEYS)
        return {key: value for key, value in self.values.items() if isinstance(value, dict) and key not in known}

    def where(self, *key: str) -> str:
        """`path:line` of a key below its tables, or of the nearest table around it whose line is known."""
        from ocblob.config.toml_lines import lines_of  # noqa: PLC0415 - only a file that is there is worth it

        lines = lines_of(self.content)
        known = (key[:length] for length in range(len(key), 0, -1) if key[:length] in lines)
        line = next((lines[path] for path in known), None)
        return str(self.path) if line is None else f"{self.path}:{line}"

    def error(self, words: str, *key: str, hint: str = "") -> UsageError:
        """What is wrong with a key, which is there."""
        found: Any = self.values
        for part in key:
            found = found[part]
        shown = "..." if is_secret(key[-1]) else repr(found)
        return UsageError(f"{self.where(*key)}: {'.'.join(key)} {words}, found {shown}", hint=hint)

    def text(self, *key: str) -> str:
        """A text or a number. Raises `UsageError` for anything else."""
        value: Any = self.values
        for part in key:
            value = value[part]
        if isinstance(value, bool):
            return str(value).lower()
        if not isinstance(value, str | int):
            raise self.error("must be a text or a number", *key)
        return str(value)

    def misplaced(self) -> Iterator[UsageError]:
        """Keys that nobody knows, and those that slipped into a table."""
        known = (*FILE_KEYS, *SESSION_KEYS)
        for key in (key for key in self.values if key not in known and key not in self.tables):
            yield UsageError(f"{self.where(key)}: unknown key {key}", hint=_meant(key, known))
        ours = {_plain(name) for name in SESSION_KEYS}
        for key, table in self.tables.items():
            for slipped in (name for name in table if _plain(name) in ours):
                yield UsageError(
                    f"{self.where(key, slipped)}: {slipped} stands in the table [{key}]",
                    hint="write it above the first table; what follows [name] belongs to that table",
                )


def config_file(environment: Mapping[str, str] = os.environ) -> ConfigFile:
    """The config file and what stands in it; nothing if there is none.

    Raises `UsageError` that names the file and the line for what is no TOML, and for a key that nobody knows. What the
    values may be is for those to say who read them: a wrong limit of sessions is no reason to give out no attachment.
    """
    file = read_file(environment)
    for error in file.misplaced():
        raise error
    return file


def read_file(environment: Mapping[str, str] = os.environ) -> ConfigFile:
    """As `config_file`, whatever its keys are called."""
    named = environment.get(CONFIG_VARIABLE)
    path = config_path(environment)
    if not _is_there(path):
        if named:
            raise UsageError(f"{path}: there is no such config file", hint=f"{CONFIG_VARIABLE} or --config names it")
        if link := link_to_nothing(path):
            # Its drive is not mounted, maybe; and what it keeps would go.
            raise UsageError(f"{link} is a link to nothing")
        return ConfigFile(path, named=False)
    if path.is_fifo():
        # The second who reads it would find nothing: no limit, and nothing to keep.
        raise UsageError(f"{path} is a pipe; a config file is read more than once")
    import tomllib  # noqa: PLC0415 - only a file that is there is worth it

    try:
        content = path.read_text(encoding="utf-8-sig")
        values = tomllib.loads(content)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{path}: {error}") from error
    return ConfigFile(path, bool(named), values, content)


@contextlib.contextmanager
def using_file(path: str) -> Iterator[None]:
    """While this lasts, the config file is this one: here and in every process that is started.

    Raises `UsageError` for an empty name, and if there is no such file.
    """
    if not path:
        raise UsageError("--config is empty")
    chosen = expanded(path).absolute()
    if not chosen.exists():
        raise UsageError(f"--config: there is no file {chosen}")
    before = os.environ.get(CONFIG_VARIABLE)
    os.environ[CONFIG_VARIABLE] = str(chosen)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(CONFIG_VARIABLE, None)
        else:
            os.environ[CONFIG_VARIABLE] = before


def _is_there(path: Path) -> bool:
    """Raises `UsageError` if nobody can say: `exists` of newer Pythons would say no."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}") from error
    return True


def _meant(key: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only a mistake is worth it

    lower = {_plain(name): name for name in known}
    near = get_close_matches(_plain(key), lower, 1)
    return f"is {lower[near[0]]} meant?" if near else f"known are {', '.join(known)} and tables such as [s3]"


def _plain(name: str) -> str:
    """As people confuse it: `max_size_mb`."""
    return name.lower().replace("_", "")
