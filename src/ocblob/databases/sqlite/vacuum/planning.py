"""Which way a vacuum goes, how much room it takes for a while, and for how long a host would wait."""

import math
import shutil
import sys
from pathlib import Path
from typing import Final

from ocblob.databases.addresses import file_address
from ocblob.databases.sqlite.connection import check_file
from ocblob.databases.sqlite.vacuum.leftovers import is_cut_short
from ocblob.databases.sqlite.vacuum.measuring import in_use, sizes
from ocblob.databases.vacuum import Chosen, FileSizes, Method, VacuumPlan
from ocblob.errors import DatabaseError, DatabaseLockedError, DatabaseUnsupportedError

SWAP_SUPPORTED: Final = sys.platform != "win32"
"""Windows lets nobody rename over a file that is open."""
IN_PLACE_BYTES_PER_S: Final = 400e6
"""Live bytes that VACUUM in place rewrites in a second, on the slow side; writers wait meanwhile."""
GENTLE_S: Final = 1.0
"""A host that waits longer than this is not treated gently."""
FRAME_BYTES: Final = 24
"""Of SQLite's WAL, beside each page in it."""
SMALL_ROOM: Final = 256 * 1024
"""The WAL's header and index, a page or two that a B-tree needs more than before."""


def plan_vacuum(path: Path, *, method: Method = "auto") -> VacuumPlan:
    """Choose the way and check that there is room. Raises `DatabaseUnsupportedError` or `DatabaseLockedError`."""
    check_file(path, read_only=False)
    resolved = path.resolve()
    before = sizes(resolved)
    used = in_use(resolved)
    chosen, put_off = _choose(resolved, before, method, used=used)
    room = _room(before, chosen)
    available = shutil.disk_usage(resolved.parent).free
    if room > available:
        raise DatabaseError(
            f"{resolved}: vacuum needs {room / 1e6:.0f} MB of room for a while, the disk has {available / 1e6:.0f} MB"
        )
    blocks = before.live / IN_PLACE_BYTES_PER_S if chosen == "in-place" else 0.0
    patience = GENTLE_S if method == "gentle" and _may_wait(before, used=used) else math.inf
    return VacuumPlan(file_address(resolved), before, used, chosen, room, blocks, put_off, patience)


def _choose(path: Path, before: FileSizes, method: Method, *, used: bool) -> tuple[Chosen, str]:
    """The way, and why it is not the whole way."""
    if method == "in-place":
        return "in-place", ""
    if method == "swap":
        _check_swap(path, before)
        if used:
            raise DatabaseLockedError(
                f"{path} is open in another process", hint="stop it, or vacuum with --in-place beside it"
            )
        return "swap", ""
    if not before.free_pages:
        return ("checkpoint" if before.wal or before.file > before.pages * before.page_size else "none"), ""
    if not used and _can_swap(path, before):
        return "swap", ""
    seconds = before.live / IN_PLACE_BYTES_PER_S
    if method == "gentle" and _may_wait(before, used=used) and seconds > GENTLE_S:
        return "checkpoint", (
            f"{before.free / 1e6:.0f} MB free inside are left to a quiet moment: VACUUM would block the host for about"
            f" {seconds:.0f} s"
        )
    return "in-place", ""


def _may_wait(before: FileSizes, *, used: bool) -> bool:
    """Whether a host may be there. Out of WAL mode an idle one cannot be seen: it counts as one that is."""
    return used or before.journal_mode != "wal"


def _room(before: FileSizes, chosen: Chosen) -> int:
    """What file, WAL and temporary files may take at most beyond what is there."""
    # Whatever is done, the WAL goes into the file first, which grows to its full size.
    grows = max(0, before.pages * before.page_size - before.file)
    if chosen == "none":
        return 0
    if chosen == "checkpoint":
        return grows
    if chosen == "swap":
        return grows + before.live + SMALL_ROOM
    # The live bytes go through a temporary file, and from there through the WAL; or over the old ones in the file,
    # which lie in a rollback journal meanwhile.
    pages = before.live // before.page_size
    return grows + before.live + pages * (before.page_size + FRAME_BYTES) + SMALL_ROOM


def _can_swap(path: Path, before: FileSizes) -> bool:
    try:
        _check_swap(path, before)
    except DatabaseUnsupportedError:
        return False
    return True


def _check_swap(path: Path, before: FileSizes) -> None:
    if before.journal_mode != "wal" and not is_cut_short(path, before):
        # Elsewhere an idle host holds no lock: nobody can say whether it has the file open.
        raise DatabaseUnsupportedError(
            f"{path} is not in WAL mode; a swap could leave a host behind", hint="use --in-place"
        )
    if not SWAP_SUPPORTED:
        raise DatabaseUnsupportedError("vacuum by swap needs a POSIX system", hint="use --in-place")
    check_links(path)


def check_links(path: Path) -> None:
    """Raise `DatabaseUnsupportedError` for a file of which a swap would leave a name behind."""
    if path.stat().st_nlink > 1:
        raise DatabaseUnsupportedError(
            f"{path} has another hard link, which a swap would leave behind", hint="use --in-place"
        )
