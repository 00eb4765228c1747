"""Where the host app keeps its databases, prompts and plugins here, and the server that it runs."""

import os
from collections.abc import Mapping
from pathlib import Path

from ocblob.databases.addresses import Address
from ocblob.hosts import opencode


def is_hosts_own(database: Address, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the host app itself opens this database: it opens no server's."""
    return database.path is not None and opencode.is_own_database(database.path, environment, Path.home())


def host_databases(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The databases that the host app opens here: each of its channels has its own."""
    return opencode.database_candidates(environment, Path.home())


def prompt_history_files(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The files beside the database in which the host app keeps prompts."""
    return opencode.prompt_history_files(environment, Path.home())


def prompt_history_places(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where the host app keeps prompts, whether there are any yet or not."""
    return opencode.prompt_history_places(environment, Path.home())


def prompt_files_of(database: Address, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The files of prompts that may come to hold refs of this database, there or not; none if it is not the host's."""
    if not is_hosts_own(database, environment):
        return []
    return [str(place.resolve()) for place in prompt_history_places(environment)]


def plugin_installed(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the host app resolves refs by our plugin."""
    return opencode.plugin_installed(environment, Path.home())


def plugin_site(project: Path | None = None, environment: Mapping[str, str] = os.environ) -> opencode.Site:
    """Where the host app's plugin is installed or would be: for the user, or for one project."""
    if project is None:
        return opencode.user_site(environment, Path.home())
    return opencode.project_site(project, environment, Path.home())


def stray_plugins(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Copies of the plugin that the host app loads without options."""
    return opencode.auto_loaded(environment, Path.home())


def plugins_are_off(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the host app, started from here, would load no plugin at all."""
    return environment.get("OPENCODE_PURE", "").lower() in {"1", "true"}


def host_server(url: str, environment: Mapping[str, str] = os.environ) -> opencode.Server:
    """A running server of the host app. Raises `UsageError` for what is no URL of one."""
    return opencode.Server.at(url, environment)


def is_users_server(server: opencode.Server, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a server runs with this user's configuration. Raises `HostError`."""
    return server.is_of(environment, Path.home())
