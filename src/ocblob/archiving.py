"""An archive as a whole: the database, the store that its refs need, and the place of the file."""

import contextlib
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from ocblob import config
from ocblob.errors import ArchiveError
from ocblob.passes import opened, session_tree
from ocblob.sessions.archive import ArchivePlan, ArchiveReport, apply_archive, plan_archive
from ocblob.sessions.contents import RESERVE_BYTES
from ocblob.sessions.sealing import ArchivePlace, archive_place, make_directory
from ocblob.space import ANNOUNCED_BYTES, Say
from ocblob.stores import store_at_hand
from ocblob.units import format_size

SMALL_SHARE = 50
"""An archive of repeated text takes no smaller part of it than this, so less room than that is too little."""


@dataclass(frozen=True, slots=True)
class ArchivePass:
    """What an archive holds, or would hold."""

    plan: ArchivePlan
    report: ArchiveReport | None
    """None for a dry run."""
    place: str
    """The file, or the directory that gets one."""

    @property
    def complete(self) -> bool:
        """Whether no ref in it is without its blob."""
        return self.report is None or self.report.complete


def archive_pass(  # noqa: PLR0913
    place: config.Place,
    store_place: config.StorePlace,
    path: Path | None,
    *,
    sessions: tuple[str, ...] = (),
    min_age_s: float | None = None,
    refs: bool = False,
    dry_run: bool = False,
    say: Say = lambda _: None,
    bar: Callable[[int], AbstractContextManager[Callable[[int], None]]] = lambda _: contextlib.nullcontext(
        lambda _: None
    ),
) -> ArchivePass:
    """Seal sessions in a new file at `path`, in that directory, or in the default one.

    The database is only read. Raises `UsageError` for a place that cannot be meant, `OcblobError` for a session that is
    not there, and what `apply_archive` raises.
    """
    target = _target(path, stem=config.database_address(place).stem)
    with opened(place) as at:
        tree = session_tree(at)
        before_ms = None if min_age_s is None else int((time.time() - min_age_s) * 1000)
        plan = plan_archive(at.database.survey(tree), sessions=sessions, used_before_ms=before_ms)
        shown = str(target.directory / target.name)
        if dry_run or not plan.sessions:
            return ArchivePass(plan, None if dry_run else ArchiveReport(""), shown)
        if path is None:
            make_directory(target.directory)
        check_room(target, plan.size, say)
        at_hand = store_at_hand(store_place, say, needed=refs, read_only=not refs)
        with at_hand as (store, _), bar(plan.size) as progress:
            report = apply_archive(
                at.database, tree, plan, target, store, host=at.profile.name, refs=refs, progress=progress
            )
    return ArchivePass(plan, report, shown)


def check_room(place: ArchivePlace, size: int, say: Say) -> None:
    """Raise `ArchiveError` if the disk is too full for even a small archive of so many bytes; announce a large one."""
    free = shutil.disk_usage(place.directory).free
    if free < size // SMALL_SHARE + (RESERVE_BYTES if size > RESERVE_BYTES else 0):
        raise ArchiveError(
            f"{place.directory}: {format_size(free)} of room, too little for {format_size(size)} of sessions;"
            " nothing was written"
        )
    if size >= ANNOUNCED_BYTES:
        say(
            f"archiving {format_size(size)}; the file and, while it is read back, its attachments beside it take up to"
            f" {format_size(2 * size)} of room ({format_size(free)} are free)"
        )


def _target(path: Path | None, *, stem: str) -> ArchivePlace:
    if path is not None:
        return archive_place(path, stem=stem)
    return ArchivePlace(config.settings(strict=False).archive or config.archive_directory(), "", stem)
