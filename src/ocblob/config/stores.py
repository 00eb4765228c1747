"""Which blob store a command works on, and with which options."""

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ocblob.backends import local_path
from ocblob.config.directories import data_directory, state_directory
from ocblob.config.file import ConfigFile, config_file
from ocblob.config.places import Place, not_empty
from ocblob.config.variables import CACHE_VARIABLE, CONFIG_VARIABLE, S3_VARIABLES, STATE_VARIABLE, STORE_VARIABLE
from ocblob.errors import UsageError
from ocblob.filesystem import expanded
from ocblob.store.places import CACHE_BYTES, LocalTier, Options
from ocblob.units import parse_size
from ocblob.urls import is_secret, refuse_secrets


@dataclass(frozen=True, slots=True)
class StorePlace(Place):
    """A store, with what opening it takes."""

    tier: LocalTier
    options: Options


def store_place(
    option: str | None, *, cache_size: str | None = None, environment: Mapping[str, str] = os.environ
) -> StorePlace:
    """The store of a command: the option, the environment, the config file, or one in the user's data directory."""
    file = config_file(environment)
    place = store_url(option, file, environment)
    size, _ = cache_bytes(cache_size, file, environment)
    tier = LocalTier(state_directory(environment) / "stores", size)
    return StorePlace(place.url, place.source, tier, backend_options(file, environment))


def store_url(option: str | None, file: ConfigFile, environment: Mapping[str, str]) -> Place:
    """The store alone, without what opening it takes."""
    if option is not None:
        return Place(not_empty(option, "--store"), "--store")
    if named := environment.get(STORE_VARIABLE):
        return Place(named, STORE_VARIABLE)
    if "store" in file.values:
        return Place(_written(file), file.where("store"))
    return Place(str(data_directory(environment) / "store"), "default")


def _written(file: ConfigFile) -> str:
    """The store of the config file. A relative path begins there: elsewhere each directory would get a store."""
    text = file.text("store")
    if not text.strip():
        raise file.error("must be a path or a URL", "store")
    return text if "://" in text else str(file.path.absolute().parent / expanded(text))


def previews(option: bool | None, environment: Mapping[str, str] = os.environ) -> bool | None:  # noqa: FBT001
    """Whether refs of pictures show them: the option, the config file; None if nobody says so."""
    return option if option is not None else previews_of(config_file(environment))


def previews_of(file: ConfigFile) -> bool | None:
    """The config file's word on previews."""
    wish = file.values.get("previews")
    if wish is not None and not isinstance(wish, bool):
        raise file.error("must be true or false", "previews")
    return wish


def cache_bytes(option: str | None, file: ConfigFile, environment: Mapping[str, str]) -> tuple[int, str]:
    """What the tier may hold, and who says so. Raises `UsageError` that names where a size stands that is none."""
    if option is not None:
        size, source = option, "--cache-size"
    elif named := environment.get(CACHE_VARIABLE):
        size, source = named, CACHE_VARIABLE
    elif "cache_size" in file.values:
        size, source = file.text("cache_size"), file.where("cache_size")
    else:
        return CACHE_BYTES, "default"
    try:
        return parse_size(size), source
    except UsageError as error:
        name = ": cache_size" if source == file.where("cache_size") else ""
        raise UsageError(f"{source}{name}: {error}") from error


def passed_on(place: StorePlace, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The variables that a command needs where another environment is, as in a desktop app. Never a secret.

    Raises `UsageError` for a value with a password in it, which would be kept.
    """
    file = config_file(environment)
    found = {CONFIG_VARIABLE: str(file.path.absolute())} if file.values or file.named else {}
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


def backend_options(file: ConfigFile, environment: Mapping[str, str]) -> Options:
    """The options of backends: a table a scheme, and variables over it."""
    options = {scheme.lower(): {key: file.text(scheme, key) for key in table} for scheme, table in file.tables.items()}
    for name, value in environment.items():
        if name.startswith(S3_VARIABLES):
            options.setdefault("s3", {})[name.removeprefix(S3_VARIABLES).lower()] = value
    return options
