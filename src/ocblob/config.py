"""Where things are by default, and what the environment and the config file say. The only file that reads them.

An option wins over the environment, the environment over `config.toml`, and that over the default.
"""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ocblob.backends import is_secret, local_path, refuse_secrets, shown_url
from ocblob.errors import UsageError
from ocblob.filesystem import expanded
from ocblob.hosts import opencode
from ocblob.store.places import CACHE_BYTES, LocalTier, Options
from ocblob.units import parse_size

DATABASE_VARIABLE = "OCBLOB_DB"
STORE_VARIABLE = "OCBLOB_STORE"
CACHE_VARIABLE = "OCBLOB_CACHE_SIZE"
CONFIG_VARIABLE = "OCBLOB_CONFIG"
STATE_VARIABLE = "XDG_STATE_HOME"
S3_VARIABLES = "OCBLOB_S3_"
"""`OCBLOB_S3_ENDPOINT_URL` is the option `endpoint_url` of `s3://` URLs."""
_KEYS = ("store", "cache_size", "previews")


@dataclass(frozen=True, slots=True)
class Place:
    """A database or a store, and why it is this one."""

    url: str
    source: str
    """`--db`, `OCBLOB_DB`, `default` ..."""


@dataclass(frozen=True, slots=True)
class StorePlace(Place):
    """A store, with what opening it takes."""

    tier: LocalTier
    options: Options


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


def store_place(
    option: str | None, *, cache_size: str | None = None, environment: Mapping[str, str] = os.environ
) -> StorePlace:
    """The store of a command: the option, the environment, the config file, or one in the user's data directory."""
    path, settings = config_file(environment)
    if option is not None:
        url, source = _not_empty(option, "--store"), "--store"
    elif named := environment.get(STORE_VARIABLE):
        url, source = named, STORE_VARIABLE
    elif "store" in settings:
        url, source = _text(settings["store"], path, "store"), str(path)
    else:
        import platformdirs  # noqa: PLC0415 - 10 ms that only the default is worth

        url, source = str(platformdirs.user_data_path("ocblob", appauthor=False) / "store"), "default"
    tier = LocalTier(_state_directory(environment) / "stores", _cache_bytes(cache_size, path, settings, environment))
    return StorePlace(url, source, tier, _options(path, settings, environment))


def previews(option: bool | None, environment: Mapping[str, str] = os.environ) -> bool | None:  # noqa: FBT001
    """Whether refs of pictures show them: the option, the config file; None if nobody says so."""
    path, settings = config_file(environment)
    wish = option if option is not None else settings.get("previews")
    if wish is not None and not isinstance(wish, bool):
        raise UsageError(f"{path}: previews must be true or false")
    return wish


def _cache_bytes(option: str | None, path: Path, settings: Mapping[str, object], environment: Mapping[str, str]) -> int:
    """What the tier may hold. Raises `UsageError` that names where a size stands that is none."""
    if option is not None:
        size, source = option, "--cache-size"
    elif named := environment.get(CACHE_VARIABLE):
        size, source = named, CACHE_VARIABLE
    elif "cache_size" in settings:
        size, source = _text(settings["cache_size"], path, "cache_size"), f"{path}: cache_size"
    else:
        return CACHE_BYTES
    try:
        return parse_size(size)
    except UsageError as error:
        raise UsageError(f"{source}: {error}") from error


def config_file(environment: Mapping[str, str] = os.environ) -> tuple[Path, dict[str, object]]:
    """The config file's path and what stands in it; nothing if there is none.

    Raises `UsageError` that names the file and the key for what cannot be meant.
    """
    base = environment.get("XDG_CONFIG_HOME")
    default = (Path(base) if base else Path.home() / ".config") / "ocblob" / "config.toml"
    named = environment.get(CONFIG_VARIABLE)
    path = expanded(named) if named else default
    if not named and not path.is_file():
        return path, {}
    import tomllib  # noqa: PLC0415 - only a file that is there is worth it

    try:
        settings = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path}: {error}") from error
    for key, value in settings.items():
        if key not in _KEYS and not isinstance(value, dict):
            raise UsageError(f"{path}: unknown key {key}", hint=f"known are {', '.join(_KEYS)} and tables such as [s3]")
    return path, settings


def _options(path: Path, settings: Mapping[str, object], environment: Mapping[str, str]) -> Options:
    """The options of backends: a table a scheme, and variables over it."""
    options = {
        scheme.lower(): {key: _text(value, path, f"{scheme}.{key}") for key, value in table.items()}
        for scheme, table in settings.items()
        if isinstance(table, dict)
    }
    for name, value in environment.items():
        if name.startswith(S3_VARIABLES):
            options.setdefault("s3", {})[name.removeprefix(S3_VARIABLES).lower()] = value
    return options


def _text(value: object, path: Path, key: str) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, str | int):
        raise UsageError(f"{path}: {key} must be a text or a number")
    return str(value)


def _state_directory(environment: Mapping[str, str]) -> Path:
    """What belongs to this machine and can be made anew."""
    if named := environment.get(STATE_VARIABLE):
        return Path(named) / "ocblob"
    if os.name == "nt" or sys.platform == "darwin":
        import platformdirs  # noqa: PLC0415 - as above

        return platformdirs.user_state_path("ocblob", appauthor=False)
    return Path.home() / ".local" / "state" / "ocblob"


def _not_empty(text: str, option: str) -> str:
    if not text:
        raise UsageError(f"{option} is empty")
    return text


def database_path(place: Place) -> Path:
    """The file of a SQLite database: a path, or `sqlite:///path`."""
    if place.url.startswith("sqlite:///"):
        return Path(place.url.removeprefix("sqlite:///"))
    if "://" in place.url:
        raise UsageError(f"{shown_url(place.url)}: this version opens SQLite files only")
    return expanded(place.url)


def is_hosts_own(path: Path, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the host app itself opens this database."""
    return opencode.is_own_database(path, environment, Path.home())


def host_databases(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The databases that the host app opens here: each of its channels has its own."""
    return opencode.database_candidates(environment, Path.home())


def prompt_history_files(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """The files beside the database in which the host app keeps prompts."""
    return opencode.prompt_history_files(environment, Path.home())


def prompt_history_places(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where the host app keeps prompts, whether there are any yet or not."""
    return opencode.prompt_history_places(environment, Path.home())


def prompt_files_of(path: Path, environment: Mapping[str, str] = os.environ) -> list[str]:
    """The files of prompts that may come to hold refs of this database, there or not; none if it is not the host's."""
    if not is_hosts_own(path, environment):
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


def plugin_database(option: str | None, environment: Mapping[str, str] = os.environ) -> Place:
    """The database of the plugin: as of a command, or the one that the host app will make at its first start."""
    if named_database(option, environment) or opencode.database_candidates(environment, Path.home()):
        return database_place(option, environment)
    return Place(str(opencode.default_database(environment, Path.home())), "default")


def passed_on(place: StorePlace, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that a command needs where another environment is, as in a desktop app. Never a secret.

    Raises `UsageError` for a value with a password in it, which would be kept.
    """
    path, settings = config_file(environment)
    found = {CONFIG_VARIABLE: str(path.absolute())} if settings else {}
    for name, value in environment.items():
        if name.startswith(S3_VARIABLES) and not is_secret(name):
            refuse_secrets(value)
            found[name] = value
    if local_path(place.url) is None:
        # The tier must be the same one there.
        if state := environment.get(STATE_VARIABLE):
            found[STATE_VARIABLE] = state
        if place.tier.cache_bytes != CACHE_BYTES:
            found[CACHE_VARIABLE] = str(place.tier.cache_bytes)
    return dict(sorted(found.items()))


def with_variables(more: Mapping[str, str], environment: Mapping[str, str] = os.environ) -> Mapping[str, str]:
    """The environment of a command that the plugin starts."""
    return {**environment, **more}


def host_server(url: str, environment: Mapping[str, str] = os.environ) -> opencode.Server:
    """A running server of the host app. Raises `UsageError` for what is no URL of one."""
    return opencode.Server.at(url, environment)


def is_users_server(server: opencode.Server, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether a server runs with this user's configuration. Raises `HostError`."""
    return server.is_of(environment, Path.home())
