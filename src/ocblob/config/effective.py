"""Every setting with its value and where that came from, as people look at them. No secret is among them."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from ocblob.config.directories import archive_directory
from ocblob.config.file import ConfigFile, read_file
from ocblob.config.keys import KEYS, as_written
from ocblob.config.passwords import databases_of, exposed_passwords
from ocblob.config.places import database_place
from ocblob.config.session_settings import DEFAULT, Settings, settings
from ocblob.config.stores import backend_options, cache_bytes, previews_of, store_url
from ocblob.config.variables import S3_VARIABLES
from ocblob.errors import UsageError
from ocblob.urls import is_secret, shown_url

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Setting:
    """One key."""

    key: str
    value: Any
    """As it would stand in a file; None where nothing is set."""
    source: str
    """`file:line`, a variable, an option, `default`."""


@dataclass(frozen=True, slots=True)
class Effective:
    """What holds, and what is wrong with it."""

    file: str
    """The config file, there or not."""
    is_there: bool
    settings: tuple[Setting, ...]
    problems: tuple[UsageError, ...]
    warnings: tuple[str, ...] = ()


def effective(
    db: str | None, store: str | None, cache_size: str | None, environment: Mapping[str, str] = os.environ
) -> Effective:
    """What a command with these options would go by. Opens neither database nor store.

    Raises `UsageError` only for a config file that is no TOML, or is named and not there.
    """
    file = read_file(environment)
    of_sessions = settings(environment, strict=False)
    problems = list(of_sessions.problems)

    def tried(read: Callable[[], _Value]) -> _Value | None:
        try:
            return read()
        except UsageError as error:
            problems.append(error)
            return None

    rows = [_database(db, environment)]
    if place := tried(lambda: store_url(store, file, environment)):
        rows.append(Setting("store", shown_url(place.url), place.source))
    if size := tried(lambda: cache_bytes(cache_size, file, environment)):
        rows.append(Setting("cache_size", *size))
    wish = tried(lambda: previews_of(file))
    rows.append(Setting("previews", wish, DEFAULT if wish is None else file.where("previews")))
    if urls := tried(lambda: databases_of(file)):
        rows.append(Setting("databases", [shown_url(url) for url in urls], file.where("databases")))
    rows += _of_sessions(of_sessions, environment)
    rows += _of_backends(file, tried(lambda: backend_options(file, environment)) or {}, environment)
    return Effective(
        str(file.path), file.path.is_file(), tuple(rows), tuple(problems), tuple(exposed_passwords(environment))
    )


def _database(option: str | None, environment: Mapping[str, str]) -> Setting:
    try:
        place = database_place(option, environment)
    except UsageError:
        return Setting("db", None, "none found")
    return Setting("db", shown_url(place.url), place.source)


def _of_sessions(found: Settings, environment: Mapping[str, str]) -> list[Setting]:
    rows = []
    for key in KEYS:
        value = as_written(key, getattr(found, key.field)) if key.name != "archive" else _archive(found, environment)
        if key.name == "mirror" and found.mirror is not None:
            value = shown_url(found.mirror)
        rows.append(Setting(key.name, value, found.source(key.field)))
    return rows


def _archive(found: Settings, environment: Mapping[str, str]) -> str | bool:
    return str(found.archive or archive_directory(environment)) if found.archives else False


def _of_backends(
    file: ConfigFile, options: Mapping[str, Mapping[str, str]], environment: Mapping[str, str]
) -> list[Setting]:
    rows = []
    for scheme, table in options.items():
        for key, value in table.items():
            variable = f"{S3_VARIABLES}{key.upper()}"
            source = variable if scheme == "s3" and variable in environment else file.where(scheme, key)
            rows.append(Setting(f"{scheme}.{key}", "..." if is_secret(key) else shown_url(value), source))
    return rows
