"""Which database a command works on: the option, the environment, or the host app's own."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ocblob.config.host import host_databases
from ocblob.config.passwords import with_password
from ocblob.config.variables import DATABASE_VARIABLE
from ocblob.databases.addresses import Address, file_address, is_server, server_address
from ocblob.errors import UsageError
from ocblob.filesystem import expanded
from ocblob.hosts import opencode
from ocblob.urls import shown_url


@dataclass(frozen=True, slots=True)
class Place:
    """A database or a store, and why it is this one."""

    url: str = field(repr=False)
    """As it was said; of a server with the password."""
    source: str
    """`--db`, `OCBLOB_DB`, `default` ..."""

    @property
    def shown(self) -> str:
        """How messages name it: without a password."""
        return shown_url(self.url)


def named_database(option: str | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """The database that the option or the environment names; None if neither does.

    Raises `UsageError` for an empty option: an unset shell variable must not mean the user's own data.
    """
    if option is not None:
        return not_empty(option, "--db")
    return environment.get(DATABASE_VARIABLE) or None


def database_place(option: str | None, environment: Mapping[str, str] = os.environ) -> Place:
    """The database of a command: the option, the environment, or the OpenCode database that is found.

    Raises `UsageError` if there is none.
    """
    if named := named_database(option, environment):
        return Place(named, "--db" if option else DATABASE_VARIABLE)
    found = host_databases(environment)
    if not found:
        raise UsageError("no OpenCode database found", hint=f"name one with --db or {DATABASE_VARIABLE}")
    return Place(str(found[0]), "found")


def plugin_database(option: str | None, environment: Mapping[str, str] = os.environ) -> Place:
    """The database of the plugin: as of a command, or the one that the host app will make at its first start."""
    if named_database(option, environment) or host_databases(environment):
        return database_place(option, environment)
    return Place(str(opencode.default_database(environment, Path.home())), "default")


def database_address(place: Place, environment: Mapping[str, str] = os.environ) -> Address:
    """Where a database is: a path, `sqlite:///path`, or a server's URL, which gets the password that is known here.

    Raises `UsageError` for a kind of database that is not known.
    """
    if is_server(place.url):
        return with_password(server_address(place.url), environment)
    if place.url.startswith("sqlite:///"):
        return file_address(Path(place.url.removeprefix("sqlite:///")))
    return file_address(expanded(place.url))


def named_servers(option: str | None, environment: Mapping[str, str] = os.environ) -> list[Address]:
    """The database that a command names beside its store, if that is on a server: its password is known."""
    named = named_database(option, environment)
    return [] if named is None or not is_server(named) else [database_address(Place(named, "--db"), environment)]


def database_path(place: Place) -> Path:
    """The file of a database that can be nothing else: OpenCode keeps its own in one. Raises `UsageError`."""
    path = database_address(place).path
    if path is None:
        raise UsageError(
            f"{place.shown} ({place.source}) is on a server, and OpenCode opens files only",
            hint="--db names the file of OpenCode's own database",
        )
    return path


def not_empty(text: str, option: str) -> str:
    """What an option names. Raises `UsageError` for an empty one."""
    if not text:
        raise UsageError(f"{option} is empty")
    return text
