"""Sizes and ages as people write them. MB is 10^6 bytes, MiB 2^20."""

import re
from typing import Final

from ocblob.errors import UsageError

_SIZE_UNITS: Final = {
    "": 1, "b": 1,
    "kb": 10**3, "mb": 10**6, "gb": 10**9, "tb": 10**12,
    "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40,
}  # fmt: skip
_AGE_UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_MOST: Final = 2**62
_NUMBER_UNIT = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,9})?)\s*([A-Za-z]*)\s*")


def parse_size(text: str) -> int:
    """Bytes: `200MB`, `1.5GiB`, `8192`. Raises `UsageError`."""
    match = _NUMBER_UNIT.fullmatch(text)
    if match is None or match[2].lower() not in _SIZE_UNITS:
        raise UsageError(f"{text!r} is no size; write it as 200MB, 1.5GiB or a number of bytes")
    # In whole numbers: floats lose bytes, and the decimal module costs start-up time.
    whole, _, part = match[1].partition(".")
    unit = _SIZE_UNITS[match[2].lower()]
    size = int(whole) * unit + (int(part) * unit // 10 ** len(part) if part else 0)
    if size > _MOST:
        raise UsageError(f"{text!r} is more than any disk holds; write a size as 200MB, 1.5GiB")
    return size


def parse_age(text: str) -> float:
    """Seconds: `30d`, `12h`, `15m`, `90s`, `2w`. Raises `UsageError`."""
    match = _NUMBER_UNIT.fullmatch(text)
    if match is None or match[2].lower() not in _AGE_UNITS:
        raise UsageError(f"{text!r} is no age; write it as 30d, 12h or 15m")
    age = float(match[1]) * _AGE_UNITS[match[2].lower()]
    if age > _MOST / 10**9:
        raise UsageError(f"{text!r} is older than anything; write an age as 30d, 12h or 15m")
    return age


def format_size(size: float) -> str:
    """With three digits or so: `372.6 MB`."""
    if abs(size) < 999.5:  # noqa: PLR2004 - what rounds to a thousand is one of the next unit
        return f"{size:.0f} B"
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if abs(size) < 999.5:  # noqa: PLR2004
            return f"{size:.1f} {unit}" if abs(size) < 99.95 else f"{size:.0f} {unit}"  # noqa: PLR2004
    return f"{size / 1000:.2f} TB"
