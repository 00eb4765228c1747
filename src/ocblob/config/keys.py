"""The keys of the configuration: what each may be, what it means to a verb, and what it is when nobody says.

A value that cannot be meant is refused. It never comes to mean more than was written: not to evict
more, not to keep less.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite
from typing import Any, Final, Literal, get_args

from ocblob.databases.addresses import is_server, server_address
from ocblob.errors import UsageError
from ocblob.sessions.limits import AGE_MAX_S, DAY_S, KEEP_ACTIVE_S, SIZE_MAX_BYTES, By, RetainLimits
from ocblob.urls import shown_url

Vacuum = Literal["auto", "always", "never"]

MEGABYTE: Final = 10**6
_ID: Final = re.compile(r"[!-~]+")
_VARIABLE: Final = re.compile(r"\{(?:env|file):")
"""What OpenCode puts a text in place of before it reads its configuration; nobody does so for us."""
FILE_KEYS: Final = ("store", "cache_size", "previews", "databases")
"""Those of `config.toml` alone: OpenCode's configuration says them in the plugin's own options."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the sessions' configuration, in whatever file it stands."""

    name: str
    field: str
    """Of `Settings`."""
    default: Any
    """As it would be written; None if it can only be left out."""
    allowed: str
    """What it may be, in words that follow "must be"."""
    read: Callable[[Any], Any]
    """What is written, as `Settings` has it. Raises `TypeError` or `ValueError`, and `UsageError` for a limit."""


def _number(value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise TypeError
    return value


def _whole(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError
    return value


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _bytes(value: Any) -> int:
    # Whole numbers stay whole: a float of a large one is another one.
    return round(_number(value) * MEGABYTE)


def _seconds(value: Any) -> float:
    return float(_number(value) * DAY_S)


def _limit(name: str, read: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """What `RetainLimits` has under this name, if it can be meant."""

    def checked(value: Any) -> Any:
        amount = read(value)
        # With any limit at all: without one there is nothing to keep from.
        limits: dict[str, Any] = {"max_sessions": 1, name: amount}
        RetainLimits(**limits).check()
        return amount

    return checked


def _within(read: Callable[[Any], Any], most: float) -> Callable[[Any], Any]:
    """More than nothing, and no more than can be."""

    def checked(value: Any) -> Any:
        amount = read(value)
        if not 0 < amount <= most:
            raise ValueError
        return amount

    return checked


def _one_of(*words: str) -> Callable[[Any], Any]:
    def checked(value: Any) -> Any:
        if value not in words:
            raise ValueError
        return value

    return checked


def _ids(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise TypeError
    # A space too many, or a variable of OpenCode's, would name no session; and what was meant to stay would go.
    if not all(_ID.fullmatch(item) and not _VARIABLE.search(item) for item in value):
        raise ValueError
    return tuple(value)


def _sizes(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list):
        raise TypeError
    sizes = tuple(_within(_bytes, SIZE_MAX_BYTES)(item) for item in value)
    if any(one >= other for one, other in pairwise(sizes)):
        raise ValueError
    return sizes


def _directory(value: Any) -> str | None:
    """None: no archive is wanted."""
    if value is False:
        return None
    if not isinstance(value, str):
        raise TypeError
    # A file would be there already at the next pass.
    if not value.strip() or "://" in value or value.endswith((".json", ".json.zst")) or _VARIABLE.search(value):
        raise ValueError
    return value


def _database(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    if not value.strip() or _VARIABLE.search(value):
        raise ValueError
    if is_server(value):
        server_address(value)
    return value


_BYS: Final = get_args(By)
_VACUUMS: Final = get_args(Vacuum)
_YES_OR_NO: Final = "true or false"

KEYS: Final = (
    Key("maxSizeMB", "max_size", None, "a number of megabytes, such as 200", _limit("max_size", _bytes)),
    Key("maxAgeDays", "max_age_s", None, "a number of days, such as 30", _limit("max_age_s", _seconds)),
    Key("maxSessions", "max_sessions", None, "a whole number, such as 100", _limit("max_sessions", _whole)),
    Key("by", "by", "created", " or ".join(f'"{by}"' for by in _BYS), _one_of(*_BYS)),
    Key(
        "keepActiveDays",
        "keep_active_s",
        int(KEEP_ACTIVE_S / DAY_S),
        "a number of days, such as 7",
        _limit("keep_active_s", _seconds),
    ),
    Key("keep", "keep", [], "a list of session ids", _ids),
    Key("archive", "archive", None, "a directory, or false", _directory),
    Key("archiveRefs", "archive_refs", False, _YES_OR_NO, _boolean),
    Key("mirror", "mirror", None, "a path or the URL of a database", _database),
    Key("vacuum", "vacuum", "auto", ", ".join(f'"{vacuum}"' for vacuum in _VACUUMS), _one_of(*_VACUUMS)),
    Key("warnMB", "warn_bytes", [100, 500, 1000], "a list of growing numbers of megabytes, none of them 0", _sizes),
    Key("offload", "offload", True, _YES_OR_NO, _boolean),
    Key("prune", "prune", True, _YES_OR_NO, _boolean),
    Key("evictMaxSizeMB", "evict_max_size", None, "a number of megabytes above 0", _within(_bytes, SIZE_MAX_BYTES)),
    Key("evictMaxAgeDays", "evict_max_age_s", None, "a number of days above 0", _within(_seconds, AGE_MAX_S)),
)
SESSION_KEYS: Final = tuple(key.name for key in KEYS)
_KEY_OF: Final = {key.name: key for key in KEYS}


def key_of(name: str) -> Key | None:
    """The key of this name; None if it is none of ours."""
    return _KEY_OF.get(name)


def meant(key: Key, value: Any) -> Any:
    """A value as `Settings` has it. Raises `UsageError`, which does not say where it stands, for one that cannot be."""
    try:
        return key.read(value)
    except (TypeError, ValueError, OverflowError):
        words = f"must be {key.allowed}, found {_shown(value)}"
    except UsageError as error:
        words = f"is {_shown(value)}: {error}"
    hint = ""
    if value == 0 and value is not False and key.default is None:
        hint = f"without {key.name} there is no such limit; remove it"
    elif isinstance(value, str) and key.allowed.startswith("a number of"):
        hint = "a number without a unit and without quotation marks"
    raise UsageError(f"{key.name} {words}", hint=hint)


def as_written(key: Key, value: Any) -> Any:
    """A value of `Settings` as it would stand in a file."""
    if isinstance(value, tuple):
        return [as_written(key, item) for item in value]
    if value is None or isinstance(value, str):
        return value
    unit = MEGABYTE if key.name.endswith("MB") else DAY_S if key.name.endswith("Days") else 1
    return value if unit == 1 else int(value // unit) if value % unit == 0 else value / unit


def _shown(value: Any) -> str:
    """As it is written in TOML and JSON alike, as far as one line goes."""
    if isinstance(value, bool):
        return str(value).lower()
    text = f'"{shown_url(value)}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."  # noqa: PLR2004 - what a line of a terminal has room for
