"""Warnings about a database that has grown too large, and what would help.

A pass warns after its work, with the size that is left. A scheduled pass warns once a day for each threshold.
"""

import contextlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ocblob import config
from ocblob.config.directories import state_directory
from ocblob.databases.addresses import Address
from ocblob.databases.disk import sizes
from ocblob.databases.opening import open_database
from ocblob.databases.vacuum import FileSizes
from ocblob.errors import DatabaseError, UsageError
from ocblob.filesystem import make_private_directory, write_durable
from ocblob.hosts.detect import host_of
from ocblob.units import format_size

DEFAULT_WARN_BYTES: Final = config.Settings().warn_bytes
"""Database and WAL together."""
STATE_FILE: Final = "size-warnings.json"
RETAIN_BYTES: Final = 200 * 10**6
"""The size of sessions that a warning proposes to keep."""
_WORTH_BYTES: Final = 10**6
"""What helps less is not worth a word."""
_STATE_BYTES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class SizeWarning:
    """A database and its WAL are over a threshold."""

    text: str
    """Without the word `Warning`."""
    threshold: int
    """The highest one that is crossed, in bytes."""


class Measured:
    """A pass that has looked at the size of its database when it was done."""

    __slots__ = ()

    size_warning: SizeWarning | None
    """Of the database as it is now."""

    @property
    def warnings(self) -> list[str]:
        """What people should be told, whether they asked for words or not."""
        return told(self.size_warning)

    @property
    def too_large(self) -> bool:
        """Whether the database is over a threshold of size."""
        return self.size_warning is not None


def look(
    address: Address, *, host: str | None = None, found: FileSizes | None = None, inline_chars: int | None = None
) -> SizeWarning | None:
    """The warning for a database as it is now; None if it is small enough.

    What the caller knows already is not looked up again. `inline_chars` is the base64 that an offload would move out;
    None if nobody has counted it: then neither an offload nor an eviction is named.
    """
    found = found or sizes(address)
    thresholds = _thresholds()
    if found.total < min(thresholds, default=found.total + 1):
        return None
    host = _host_of(address) if host is None else host
    needs_plugin = host == "opencode" and config.is_hosts_own(address) and not config.plugin_installed()
    return size_warning(found, host, thresholds, inline_chars=inline_chars, needs_plugin=needs_plugin)


def size_warning(
    found: FileSizes,
    host: str,
    thresholds: Sequence[int] = DEFAULT_WARN_BYTES,
    *,
    inline_chars: int | None = None,
    needs_plugin: bool = False,
) -> SizeWarning | None:
    """The warning for these sizes; it names only what would help."""
    crossed = [threshold for threshold in thresholds if found.total >= threshold]
    if not crossed:
        return None
    name = "OpenCode database" if host == "opencode" else "database"
    text = f"{name} is {format_size(found.total)} (over {format_size(max(crossed))})"
    inline, given_back = inline_chars or 0, found.total - found.live
    helps = []
    if inline >= _WORTH_BYTES:
        first = "ocblob plugin install, then " if needs_plugin else ""
        helps.append(f"{first}ocblob offload --vacuum would move {format_size(inline)} of attachments out")
    if given_back >= _WORTH_BYTES:
        helps.append(f"ocblob vacuum gives {format_size(given_back)} back")
    kept = RETAIN_BYTES if found.live - inline > RETAIN_BYTES else min(thresholds)
    if inline_chars is None and found.live >= min(thresholds):
        # Nobody is told to give sessions away where moving attachments out may do.
        helps.append("ocblob status tells what would help")
    elif host == "opencode" and found.live - inline >= kept:
        helps.append(f"ocblob retain --max-size {kept / 1e6:.0f}MB evicts old sessions")
    return SizeWarning(f"{text}: {'; '.join(helps)}" if helps else text, max(crossed))


def told(warning: SizeWarning | None) -> list[str]:
    """A warning as a report lists it."""
    return [] if warning is None else [warning.text]


def is_due(address: Address, warning: SizeWarning, *, state: Path | None = None, now: float | None = None) -> bool:
    """Whether a scheduled pass should say it: nobody has said it of this database and threshold today. It is said then.

    A state file that is damaged or cannot be written stops nothing: the warning comes again.
    """
    file = (state or state_directory()) / STATE_FILE
    today = time.strftime("%Y-%m-%d", time.localtime(now))
    said = [entry for entry in _said(file) if entry[2] == today]
    entry = [address.name, warning.threshold, today]
    if entry in said:
        return False
    with contextlib.suppress(OSError):
        make_private_directory(file.parent)
        write_durable(file, json.dumps([*said, entry]).encode())
    return True


def _said(file: Path) -> list[list[object]]:
    """Database, threshold and day of each warning; nothing if the file does not say so."""
    try:
        with file.open("rb") as opened:
            entries = json.loads(opened.read(_STATE_BYTES))
    except (OSError, ValueError, RecursionError):
        return []
    found = entries if isinstance(entries, list) else []
    return [entry for entry in found if isinstance(entry, list) and len(entry) == len(("database", "threshold", "day"))]


def _thresholds() -> tuple[int, ...]:
    """As configured. A configuration that cannot be meant must not cost a pass that is done its report."""
    try:
        return config.settings(strict=False).warn_bytes
    except UsageError:
        return DEFAULT_WARN_BYTES


def _host_of(address: Address) -> str:
    try:
        with open_database(address, read_only=True) as database:
            return host_of(database.tables())
    except DatabaseError:
        return ""
