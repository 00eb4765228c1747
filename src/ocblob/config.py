"""Where things are by default, and what the environment says. The only file that reads it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ocblob.errors import UsageError
from ocblob.filesystem import expanded
from ocblob.hosts import opencode

DATABASE_VARIABLE = "OCBLOB_DB"
STORE_VARIABLE = "OCBLOB_STORE"


@dataclass(frozen=True, slots=True)
class Place:
    """A database or a store, and why it is this one."""

    url: str
    source: str
    """`--db`, `OCBLOB_DB`, `default` ..."""


def named_database(option: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The database that the option or the environment names; None if neither does.

    Raises `UsageError` for an empty option: an unset shell variable must not mean the user's own data.
    """
    if option is not None:
        return _not_empty(option, "--db")
    return environment.get(DATABASE_VARIABLE) or None


def database_place(option: str | None, environment: Mapping[str, str] = os.environ) -> Place:
    """The database of a command: the option, the environment, or the OpenCode database that is found.

    Raises `UsageError` if there is none.
    """
    if named := named_database(option, environment):
        return Place(named, "--db" if option else DATABASE_VARIABLE)
    found = opencode.database_candidates(environment, Path.home())
    if not found:
        raise UsageError("no OpenCode database found", hint=f"name one with --db or {DATABASE_VARIABLE}")
    return Place(str(found[0]), "found")


def store_place(option: str | None, environment: Mapping[str, str] = os.environ) -> Place:
    """The store of a command: the option, the environment, or one in the user's data directory."""
    if option is not None:
        return Place(_not_empty(option, "--store"), "--store")
    if named := environment.get(STORE_VARIABLE):
        return Place(named, STORE_VARIABLE)
    import platformdirs  # noqa: PLC0415 - 10 ms that only the default is worth

    return Place(str(platformdirs.user_data_path("ocblob", appauthor=False) / "store"), "default")


def _not_empty(text: str, option: str) -> str:
    if not text:
        raise UsageError(f"{option} is empty")
    return text


def database_path(place: Place) -> Path:
    """The file of a SQLite database: a path, or `sqlite:///path`."""
    if place.url.startswith("sqlite:///"):
        return Path(place.url.removeprefix("sqlite:///"))
    if "://" in place.url:
        raise UsageError(f"{place.url}: this version opens SQLite files only")
    return expanded(place.url)


def is_hosts_own(path: Path, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the host app itself opens this database."""
    return opencode.is_own_database(path, environment, Path.home())


def plugin_installed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the host app resolves refs by our plugin."""
    return opencode.plugin_installed(environment, Path.home())
