"""Our entry in one file of OpenCode's configuration; nothing else in it is ever changed.

Each edit is checked before anybody writes it: parsed again, it differs from what was there in our entry alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from ocblob.errors import UsageError
from ocblob.hosts.opencode.jsonc import Node, parse
from ocblob.hosts.opencode.jsonc_edits import appended, removed, replaced, written

PLUGIN_FILE: Final = "ocblob.js"
SCHEMA: Final = "https://opencode.ai/config.json"
"""OpenCode adds it to a file that lacks it."""

_KEY: Final = "plugin"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry of `plugin` that loads a file of our plugin's name."""

    index: int
    path: Path
    options: Mapping[str, Any]


def entries(text: str, directory: Path) -> list[Entry]:
    """Our entries in a file's text; relative paths begin in `directory`. Raises `UsageError` as `parse` does."""
    plugins = _plugins(_document(text))
    return [] if plugins is None else _entries(plugins, directory)


def own_options(root: Node, directory: Path) -> Node | None:
    """Where the options of the last of our entries stand; the entry itself if it has none; None without an entry."""
    plugins = _plugins(root)
    found = [] if plugins is None else _entries(plugins, directory)
    if plugins is None or not found:
        return None
    item = plugins.items[found[-1].index]
    return item.items[1] if found[-1].options else item


def with_entry(text: str, directory: Path, plugin: Path, options: Mapping[str, Any], *, new: Mapping[str, Any]) -> str:
    """The text with the entry that loads `plugin`: added, or brought up to date.

    `options` are set, others of an entry that is there stay; `new` is set in a new entry only.
    Raises `UsageError` for a file that OpenCode would not read, or whose `plugin` is no array.
    """
    root = _document(text)
    plugins = _plugins(root)
    found = [] if plugins is None else _entries(plugins, directory)
    if found:
        changed = _updated(text, directory, plugin, {**found[-1].options, **options})
    elif plugins is None:
        element = _entry(plugin, {**options, **new}).replace("\n", "\n\t")
        changed = appended(text, root, f'"{_KEY}": [\n\t{element}\n]')
    else:
        changed = appended(text, plugins, _entry(plugin, {**options, **new}))
    _check(text, changed, directory)
    if [plugin] != [entry.path for entry in entries(changed, directory)][-1:]:
        raise UsageError("the entry that would be written does not read as what was meant; nothing was written")
    return changed


def without_entries(text: str, directory: Path, *, empty_array: bool) -> str:
    """The text without our entries; `empty_array` takes an array that is empty then away as well."""
    changed = text
    while found := entries(changed, directory):
        plugins = _plugins(_document(changed))
        if plugins is None:
            break
        changed = removed(changed, plugins, found[-1].index)
    root = _document(changed)
    plugins = _plugins(root)
    if empty_array and changed != text and plugins is not None and not plugins.items:
        changed = removed(changed, root, [member.node for member in root.members].index(plugins))
    _check(text, changed, directory)
    return changed


def has_array(text: str) -> bool:
    """Whether there is a `plugin`, even an empty one."""
    return _plugins(_document(text)) is not None


def new_document(plugin: Path, options: Mapping[str, Any]) -> str:
    """A whole file with our entry."""
    return with_entry(f'{{\n  "$schema": {written(SCHEMA)}\n}}\n', plugin.parent, plugin, options, new={})


def is_bare(text: str) -> bool:
    """Whether a document says nothing, or only what schema it follows."""
    if not text:
        return True
    commented = "//" in text.replace(SCHEMA, "") or "/*" in text
    return not commented and _document(text).value in ({}, {"$schema": SCHEMA})


def _document(text: str) -> Node:
    root = parse(text)
    if not isinstance(root.value, dict):
        raise UsageError("it is no JSON object")
    return root


def _plugins(root: Node) -> Node | None:
    member = root.member(_KEY)
    if member is None:
        return None
    if not isinstance(member.node.value, list):
        raise UsageError(f'"{_KEY}" is no array')
    return member.node


def _entries(plugins: Node, directory: Path) -> list[Entry]:
    found = []
    for index, item in enumerate(plugins.items):
        spec, options = _parts(item.value)
        path = _path(spec, directory)
        if path is not None and path.name == PLUGIN_FILE:
            found.append(Entry(index, path, options))
    return found


def _parts(value: object) -> tuple[str, Mapping[str, Any]]:
    match value:
        case [str(spec), dict(options), *_]:
            return spec, options
        case str(spec) | [str(spec), *_]:
            return spec, {}
    return "", {}


def _path(spec: str, directory: Path) -> Path | None:
    """The file that an entry names; None for a package of npm."""
    if spec.startswith("file://"):
        from urllib.request import url2pathname  # noqa: PLC0415 - loads an HTTP client; only an entry is worth it

        try:
            return Path(url2pathname(urlsplit(spec).path))
        except ValueError:
            return None
    if spec.startswith(".") or Path(spec).is_absolute():
        return directory / spec
    return None


def _entry(plugin: Path, options: Mapping[str, Any]) -> str:
    members = ",".join(f"\n\t{written(name)}: {written(value)}" for name, value in options.items())
    return f"[{written(plugin.as_uri())}, {{{members}\n}}]"


def _updated(text: str, directory: Path, plugin: Path, options: Mapping[str, Any]) -> str:
    """The text with the last of our entries loading `plugin` with these options; what is right stays as written."""
    item = _last(text, directory)
    if len(item.items) < 2 or not isinstance(item.items[1].value, dict):  # noqa: PLR2004 - file and options
        return replaced(text, item, _entry(plugin, options))
    if _path(item.items[0].value, directory) != plugin:
        text = replaced(text, item.items[0], written(plugin.as_uri()))
    for name, value in options.items():
        node = _last(text, directory).items[1]
        member = node.member(name)
        if member is None:
            text = appended(text, node, f"{written(name)}: {written(value)}")
        elif member.node.value != value or type(member.node.value) is not type(value):
            text = replaced(text, member.node, written(value))
    return text


def _last(text: str, directory: Path) -> Node:
    plugins = _plugins(_document(text))
    if plugins is None:
        raise UsageError(f'"{_KEY}" is not there')
    return plugins.items[_entries(plugins, directory)[-1].index]


def _check(before: str, after: str, directory: Path) -> None:
    """Raise `UsageError` unless two texts say the same but for our entries and an empty array of plugins."""
    if _others(before, directory) != _others(after, directory):
        raise UsageError("the edit would change more than our entry; nothing was written")


def _others(text: str, directory: Path) -> list[object]:
    root = _document(text)
    plugins = _plugins(root)
    ours = [] if plugins is None else [entry.index for entry in _entries(plugins, directory)]
    others = [] if plugins is None else [item.value for at, item in enumerate(plugins.items) if at not in ours]
    members = [(member.name, member.node.value) for member in root.members if member.name != _KEY]
    # A second `plugin` does not count for OpenCode either, but it is not ours to change.
    shadowed = [member.node.value for member in root.members if member.name == _KEY][:-1]
    return [members, others, shadowed]
