"""Which sessions came back from a mirror, and when: for a while a retention takes them for active.

Their rows are what they were, times too: by these a limit would take them again at the next pass.
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from ocblob import config
from ocblob.databases.addresses import Address
from ocblob.filesystem import make_private_directory, write_durable

KEPT_S: Final = 365 * 86_400
"""Longer ago than anybody keeps what is active."""


def note_pulled(address: Address, sessions: Iterable[str]) -> None:
    """These are back in a database. A state directory that takes no note costs only that they may go again."""
    now_ms = int(time.time() * 1000)
    known = {session: at for session, at in pulled(address).items() if at > now_ms - KEPT_S * 1000}
    said = {"database": address.name, "sessions": known | dict.fromkeys(sessions, now_ms)}
    with contextlib.suppress(OSError):
        make_private_directory(_directory())
        write_durable(_note(address), json.dumps(said).encode())


def pulled(address: Address) -> Mapping[str, int]:
    """When sessions came back into a database, in epoch milliseconds."""
    try:
        said = json.loads(_note(address).read_bytes())
    except (OSError, ValueError):
        return {}
    match said:
        case {"database": address.name, "sessions": {**sessions}}:
            return {str(session): at for session, at in sessions.items() if isinstance(at, int)}
    return {}


def _note(address: Address) -> Path:
    return _directory() / f"{hashlib.sha256(address.name.encode('utf-8', 'surrogateescape')).hexdigest()[:16]}.json"


def _directory() -> Path:
    return config.state_directory() / "pulled"
