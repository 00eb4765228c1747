"""Who says something about the retention of sessions: files of ours and of OpenCode's, and variables."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ocblob.config.file import ConfigFile, read_file
from ocblob.config.host import plugin_site
from ocblob.config.keys import Key, key_of
from ocblob.config.variables import MIRROR_VARIABLE, PLUGIN_VARIABLE
from ocblob.errors import UsageError
from ocblob.hosts import opencode
from ocblob.sessions.limits import RetainLimits
from ocblob.units import parse_age, parse_size


@dataclass(frozen=True, slots=True)
class Said:
    """One value, and where it stands."""

    key: Key
    value: Any
    where: str
    """`file:line`, or a variable."""
    base: Path = Path()
    """Where a relative path begins."""
    within: str = ""
    """What stands before the key when it is spoken of: `session.`"""
    is_read: bool = False
    """Whether the value is as `Settings` has it."""


def said(environment: Mapping[str, str]) -> tuple[list[Said], list[UsageError]]:
    """Everything that is said, what wins last, and what could not be read at all."""
    problems: list[UsageError] = []
    found = [*_by_host(environment, problems), *_by_plugin(environment, problems)]
    try:
        file = read_file(environment)
        problems += file.misplaced()
        found += _by_file(file)
    except UsageError as error:
        problems.append(error)
    found += _by_variables(environment, problems)
    return found, problems


def _by_file(file: ConfigFile) -> Iterator[Said]:
    for name, value in file.values.items():
        key = key_of(name)
        if key is not None:
            yield Said(key, value, file.where(name), file.path.absolute().parent)


def _by_host(environment: Mapping[str, str], problems: list[UsageError]) -> Iterator[Said]:
    """OpenCode merges its files, the last one wins. Of the entries of one plugin it takes the last, as a whole."""
    plugin: list[Said] = []
    for file in plugin_site(None, environment).files:
        try:
            options = opencode.read_session_options(file)
        except UsageError as error:
            problems.append(error)
            continue
        yield from _ours(file, options.session, "session.")
        if options.plugin is not None:
            plugin = list(_ours(file, options.plugin, "the plugin's "))
    yield from plugin


def _by_plugin(environment: Mapping[str, str], problems: list[UsageError]) -> Iterator[Said]:
    """The plugin that starts a pass says what stands in its own entry, which may be a project's."""
    try:
        options = json.loads(environment.get(PLUGIN_VARIABLE) or "{}")
    except (ValueError, RecursionError):
        options = None
    if not isinstance(options, dict):
        problems.append(UsageError(f"{PLUGIN_VARIABLE} must be a JSON object"))
        return
    for name, value in options.items():
        key = key_of(name)
        if key is not None and value is not None:
            yield Said(key, value, PLUGIN_VARIABLE, within="the plugin's ")


def _ours(file: Path, written: tuple[opencode.Written, ...], within: str) -> Iterator[Said]:
    for one in written:
        key = key_of(one.name)
        if key is not None:  # another one is the plugin's, or the host's own
            yield Said(key, one.value, f"{file}:{one.line}", file.absolute().parent, within)


def _count(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise UsageError(f"{text!r} is no whole number") from None


LIMIT_VARIABLES: Final[dict[str, tuple[str, Callable[[str], Any]]]] = {
    "OCBLOB_MAX_SIZE": ("maxSizeMB", parse_size),
    "OCBLOB_MAX_AGE": ("maxAgeDays", parse_age),
    "OCBLOB_MAX_SESSIONS": ("maxSessions", _count),
}
"""The key that each stands for, and how it is written: as on the command line."""


def _by_variables(environment: Mapping[str, str], problems: list[UsageError]) -> Iterator[Said]:
    for variable, (name, parse) in LIMIT_VARIABLES.items():
        key = key_of(name)
        if key is None or not environment.get(variable):
            continue
        try:
            value = parse(environment[variable])
            RetainLimits(**{key.field: value}).check()
        except UsageError as error:
            problems.append(UsageError(f"{variable}: {error}"))  # its hint is an option
        else:
            yield Said(key, value, variable, is_read=True)
    if (mirror := key_of("mirror")) is not None and environment.get(MIRROR_VARIABLE):
        yield Said(mirror, environment[MIRROR_VARIABLE], MIRROR_VARIABLE)
