"""The directories that are ours by default: what the user keeps, and what this machine can make anew."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from ocblob.config.variables import CONFIG_VARIABLE, DATA_VARIABLE, STATE_VARIABLE
from ocblob.filesystem import expanded


def data_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """What the user keeps: the default store, and archives."""
    if _is_xdg() and (named := environment.get(DATA_VARIABLE)):
        return Path(named) / "ocblob"
    import platformdirs  # noqa: PLC0415 - 10 ms that only the default is worth

    return platformdirs.user_data_path("ocblob", appauthor=False)


def archive_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """Where archives go that nobody names a place for. It need not be there yet."""
    return data_directory(environment) / "archives"


def state_directory(environment: Mapping[str, str] = os.environ) -> Path:
    """What belongs to this machine and can be made anew."""
    if named := environment.get(STATE_VARIABLE):
        return Path(named) / "ocblob"
    if not _is_xdg():
        import platformdirs  # noqa: PLC0415 - as above

        return platformdirs.user_state_path("ocblob", appauthor=False)
    return Path.home() / ".local" / "state" / "ocblob"


def config_path(environment: Mapping[str, str] = os.environ) -> Path:
    """The config file: the one that is named, or the user's. It need not be there."""
    if named := environment.get(CONFIG_VARIABLE):
        return expanded(named)
    base = environment.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "ocblob" / "config.toml"


def _is_xdg() -> bool:
    return os.name != "nt" and sys.platform != "darwin"
