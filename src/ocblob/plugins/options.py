"""The options of the plugin's entry: with absolute paths, since a desktop app sees another environment than a shell."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ocblob import config
from ocblob.backends import local_path
from ocblob.config.keys import key_of, meant
from ocblob.errors import BackendError, StoreError, UsageError
from ocblob.hosts.opencode.installation import installed
from ocblob.space import Say
from ocblob.stores import create_store
from ocblob.urls import refuse_secrets, shown_url

NEW: Mapping[str, Any] = {"ingest": True, "rescan": True}
"""What stands in a new entry, to be found and changed by hand."""


@dataclass(frozen=True, slots=True)
class Choices:
    """What the user says about it; None leaves the entry's own word."""

    ingest: bool | None = None
    rescan: bool | None = None
    max_size_mb: int | None = None
    max_age_days: int | None = None
    max_sessions: int | None = None

    def options(self) -> dict[str, Any]:
        """Under the plugin's names. Raises `UsageError` for a limit that every pass would refuse."""
        named = {
            "ingest": self.ingest,
            "rescan": self.rescan,
            "maxSizeMB": self.max_size_mb,
            "maxAgeDays": self.max_age_days,
            "maxSessions": self.max_sessions,
        }
        found = {name: value for name, value in named.items() if value is not None}
        for name, value in found.items():
            if (key := key_of(name)) is not None:
                meant(key, value)
        return found


def entry_options(  # noqa: PLR0913
    existing: Mapping[str, Any],
    database: config.Place,
    store: config.StorePlace,
    choices: Choices,
    *,
    command: tuple[str, ...],
    dry_run: bool,
    say: Say,
) -> dict[str, Any]:
    """What is to stand in the entry, as far as we decide it.

    A store or a database that the entry names stays unless another one is named now: blobs may be there. Raises
    `UsageError` for a URL with a secret in it.
    """
    found: dict[str, Any] = {"command": list(command)}
    if existing.get("store") and store.source == "default":
        if existing["store"] != _store_url(store):
            say(f"the plugin keeps its store {shown_url(str(existing['store']))}; --store names another one")
    else:
        found["store"] = _store_url(store)
        if not dry_run or local_path(store.url) is not None:
            found["objects"] = _objects(store, say=say)
    if not (existing.get("db") and database.source in {"default", "found"}):
        found["db"] = str(config.database_path(database).absolute())
    environment = existing.get("environment")
    given = {**(environment if isinstance(environment, dict) else {}), **config.passed_on(store)}
    return found | ({"environment": given} if given else {}) | choices.options()


def store_of(options: Mapping[str, Any]) -> config.StorePlace:
    """The store that the plugin's commands use. Raises `UsageError` if its options name none that it takes."""
    url, more = options.get("store"), options.get("environment")
    if not isinstance(url, str) or not url:
        raise UsageError("the plugin's options name no store", hint="ocblob plugin install")
    if "://" not in url and not Path(url).expanduser().is_absolute():
        raise UsageError(
            f"the plugin's store {url} is relative, so the plugin does not take it",
            hint="ocblob plugin install --store PATH",
        )
    variables = more if isinstance(more, dict) else {}
    return config.store_place(url, environment=config.with_variables({k: str(v) for k, v in variables.items()}))


def database_of(options: Mapping[str, Any]) -> config.Place:
    """The database that the plugin's commands work on. Raises `UsageError` if its options name none."""
    path = options.get("db")
    if not isinstance(path, str) or not path:
        raise UsageError("the plugin's options name no database", hint="ocblob plugin install")
    return config.Place(path, "plugin")


def check_same_store(database: config.Place, store: config.StorePlace, *, optional: bool = True) -> None:
    """Raise `UsageError` if what moves out of the host app's own database goes where its plugin does not look.

    Without a plugin there is nothing to compare; a project's plugin is not looked at. `optional` is whether the command
    has --no-plugin.
    """
    if not config.is_hosts_own(config.database_address(database)):
        return
    found = installed(config.plugin_site())
    if not found or not found[-1].options.get("store"):
        return
    own = store_of(found[-1].options)
    if not same_place(own.url, store.url):
        there, here = shown_url(own.url), shown_url(store.url)
        raise UsageError(
            f"OpenCode's plugin looks into the store {there}, and would not find what goes to {here}"
            f" ({store.source}){'; --no-plugin goes on all the same' if optional else ''}",
            hint=f"--store {shlex.quote(there)}, or `ocblob plugin install --store {shlex.quote(here)}`",
        )


def same_place(one: str, other: str) -> bool:
    """Whether two paths or URLs name one place."""
    if "://" in one or "://" in other:
        return one.removeprefix("sqlite:///") == other.removeprefix("sqlite:///")
    return Path(one).expanduser().resolve() == Path(other).expanduser().resolve()


def _store_url(store: config.StorePlace) -> str:
    path = local_path(store.url)
    if path is not None:
        return str(path.absolute())
    refuse_secrets(store.url)
    return store.url


def _objects(store: config.StorePlace, *, say: Say) -> str:
    """Where objects lie on this machine, so that the plugin can read them by itself; empty if that is not known."""
    path = local_path(store.url)
    if path is not None:
        return str(path.absolute() / "objects")
    try:
        opened, created = create_store(store)
        with opened:
            if created:
                say(f"created a blob store at {opened.url}")
            return str(opened.local.path("objects"))
    except (BackendError, StoreError) as error:
        say(f"warning: the store cannot be reached now, so the plugin asks `ocblob cat` for every blob: {error}")
        return ""
