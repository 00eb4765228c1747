"""A stand-in for the package that OpenCode wants beside every configuration, so that it starts without a network.

Before OpenCode 1.18.33 loads a plugin it installs `@opencode-ai/plugin` into each of its configuration directories,
and waits: offline more than a minute, at every start. It does not if there is a `node_modules` and the
`package-lock.json` names the package. The stand-in is just that. A plugin that really imports the package makes the
stand-in remove itself, and OpenCode's next start installs the real one.
"""

import contextlib
import json
import os
import re
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, Final

from ocblob.filesystem import make_private_directory, write_durable

PACKAGE: Final = "@opencode-ai/plugin"

_MODULES: Final = "node_modules"
_LOCK: Final = "package-lock.json"
_FOREIGN: Final = (_MODULES, _LOCK, "package.json", "bun.lock")
_DEPENDENCIES: Final = ("dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
_CODE: Final = ("plugin", "plugins", "tool", "tools")
_IMPORT = re.compile(rf"^(?!\s*import\s+type\b).*[\"']{PACKAGE}", re.MULTILINE)

_SCRIPT: Final = """\
// Stands in for @opencode-ai/plugin while nothing needs it, so that OpenCode starts without a network.
// Put here by `ocblob plugin install`. Who imports it needs the real one: this one goes, and OpenCode installs that.
const fs = require("node:fs")
const path = require("node:path")

const root = path.resolve(__dirname, "..", "..", "..")
const lock = path.join(root, "package-lock.json")
try {
  if (fs.readFileSync(lock, "utf8").includes("ocblob-stand-in")) fs.rmSync(lock)
  for (const name of ["index.js", "package.json"]) fs.rmSync(path.join(__dirname, name))
  for (const at of [__dirname, path.dirname(__dirname), path.join(root, "node_modules")]) fs.rmdirSync(at)
} catch {
  // What others have put there stays.
}
throw new Error("@opencode-ai/plugin is not installed yet: OpenCode installs it at its next start")
"""
_FILES: Final[dict[str, str]] = {
    f"{_MODULES}/{PACKAGE}/package.json": json.dumps(
        {"name": PACKAGE, "version": "0.0.0", "main": "index.js", "exports": {".": "./index.js", "./*": "./index.js"}}
    )
    + "\n",
    f"{_MODULES}/{PACKAGE}/index.js": _SCRIPT,
    # Last: only with it is the stand-in one.
    _LOCK: json.dumps(
        {"name": "ocblob-stand-in", "lockfileVersion": 3, "packages": {"": {"dependencies": {PACKAGE: "*"}}}}
    )
    + "\n",
}


class Packages(Enum):
    """What OpenCode does with a configuration directory before it loads plugins."""

    READY = "ready"
    """It has what it wants; nothing is waited for."""
    STAND_IN = "stand-in"
    """The same, by ours."""
    MISSING = "missing"
    """It installs and waits; a stand-in can be put there."""
    WANTED = "wanted"
    """It installs and waits, for packages that something there needs or that others have begun to install."""


def packages(directory: Path) -> Packages:
    """What holds for a directory. One that is not there, or that cannot be written, OpenCode leaves alone."""
    if not directory.is_dir() or not os.access(directory, os.W_OK):
        return Packages.READY
    if (directory / _MODULES).exists() and _names_everything(directory):
        return Packages.STAND_IN if is_ours(directory) else Packages.READY
    if is_ours(directory) and not (directory / "package.json").exists():
        return Packages.MISSING  # a crash while it was put there
    foreign = any((directory / name).exists() for name in _FOREIGN)
    return Packages.WANTED if foreign or _imports_package(directory) else Packages.MISSING


def put_stub(directory: Path) -> None:
    """Put the stand-in into a directory whose packages are missing. May be repeated after a crash. Raises OSError."""
    for name, text in _FILES.items():
        path = directory / name
        make_private_directory(path.parent)
        write_durable(path, text.encode())


def remove_stub(directory: Path) -> bool:
    """Take an untouched stand-in away; whether it was one. May be repeated after a crash. Raises OSError."""
    if not is_ours(directory):
        return False
    for name in reversed(_FILES):
        (directory / name).unlink(missing_ok=True)
    package = directory / _MODULES / PACKAGE
    with contextlib.suppress(OSError):  # what others have put beside it stays
        for at in (package, package.parent, directory / _MODULES):
            at.rmdir()
    return True


def is_ours(directory: Path) -> bool:
    """Whether what is in a directory is our stand-in as it was put there, in whole or in part."""
    *_, script, lock = (_text(directory / name) == text for name, text in _FILES.items())
    return script and (lock or not (directory / _LOCK).exists())


def _names_everything(directory: Path) -> bool:
    """OpenCode's own question: whether the lock file names all that is wanted."""
    wanted = {PACKAGE} | _named(_read(directory / "package.json"))
    locked = _read(directory / _LOCK).get("packages")
    root = locked.get("") if isinstance(locked, dict) else None
    return wanted <= _named(root if isinstance(root, dict) else {})


def _imports_package(directory: Path) -> bool:
    code = (path for name in _CODE for path in (directory / name).glob("*.[jt]s"))
    return any(_IMPORT.search(_text(path)) for path in code)


def _named(document: Mapping[str, Any]) -> set[str]:
    return {name for kind in _DEPENDENCIES if isinstance(found := document.get(kind), dict) for name in found}


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(_text(path))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
