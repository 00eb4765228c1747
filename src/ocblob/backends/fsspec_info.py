"""What fsspec's drivers tell of an object, each in words of its own."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

_VERSIONS: Final = ("generation", "ETag", "etag", "md5Hash", "content_md5", "md5", "content_hash")
_TIMES: Final = ("mtime", "LastModified", "last_modified", "updated", "modified", "modificationTime", "created")


def size_of(found: Mapping[str, Any]) -> int:
    """Bytes; -1 if the driver does not say."""
    size = found.get("size")
    return -1 if size is None else int(size)


def modified_of(found: Mapping[str, Any]) -> float:
    """Seconds since the epoch; 0 if the driver does not say."""
    return next((time for name in _TIMES if (time := _seconds(found.get(name)))), 0.0)


def version_of(found: Mapping[str, Any]) -> str:
    """What changes with every put; empty if nothing here does.

    A time of whole seconds does not: two puts may share it.
    """
    for name in _VERSIONS:
        if found.get(name):
            return str(found[name]).strip('"')
    time = modified_of(found)
    if time == int(time):
        return ""
    return f"{time:.6f}-{size_of(found)}-{found.get('ino', 0)}"


def _seconds(value: object) -> float:
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return 0.0
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp()
    return float(value) if isinstance(value, int | float) else 0.0
