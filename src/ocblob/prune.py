"""Unreferenced blobs: set aside at one mark, deleted at a second one, at least a grace later, that still finds no ref.

Whatever is in doubt stays. A blob that the second mark finds, or that somebody reads or puts meanwhile, comes back.
"""

import contextlib
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ocblob.errors import BlobCorruptError, ObjectNotFoundError, UsageError
from ocblob.pass_report import Problems
from ocblob.store import BlobStore
from ocblob.store.layout import object_key
from ocblob.store.survey import NOT_IN_TRASH, NOT_LIVE, Survey
from ocblob.store.trash import BATCH_BLOBS, Item

GRACE_S: Final = 14 * 86400
GRACE_MIN_S: Final = 86400
"""Longer than any claim: a writer that slept past its claim starts again, and finds the blob in the trash."""
LARGE_SHARE: Final = 0.1
"""More than this part of a store's bytes does not go without being asked for."""


@dataclass(frozen=True, slots=True)
class PrunePlan:
    """What a prune would do. Sizes in bytes at rest."""

    condemned: int
    """Live blobs that nothing names: they go to the trash."""
    condemned_size: int
    deleted: int
    """Blobs whose grace is over and that still nothing names."""
    deleted_size: int
    revived: int
    """Blobs in the trash that something names."""
    waiting: int
    """Blobs in the trash in their grace."""
    waiting_size: int
    live_size: int
    trash_size: int

    @property
    def large(self) -> bool:
        """Whether so much would go that somebody should look at it."""
        return self.condemned_size + self.deleted_size > self._noticed

    @property
    def deletes_much(self) -> bool:
        """Whether that is so of what would be deleted for good alone."""
        return self.deleted_size > self._noticed

    @property
    def _noticed(self) -> float:
        return LARGE_SHARE * (self.live_size + self.trash_size)


@dataclass(slots=True)
class PruneReport(Problems):
    """What a prune did."""

    plan: PrunePlan | None = None
    condemned: int = 0
    condemned_size: int = 0
    deleted: int = 0
    deleted_size: int = 0
    revived: int = 0


def check_grace(grace_s: float) -> None:
    """Raise `UsageError` for a grace that protects nobody."""
    if grace_s < GRACE_MIN_S:
        raise UsageError(f"a grace of {grace_s / 3600:.3g} hours is too short: at least one day")


def plan_prune(survey: Survey, marks: Path, *, now: float, grace_s: float = GRACE_S) -> PrunePlan:
    """Judge what a survey listed by marks that were taken after it, at `now` or later.

    The choice itself waits in the survey's temporary table; memory does not grow with it.
    """
    live_size, trash_size = survey.totals()
    unnamed = "NOT EXISTS (SELECT 1 FROM marks.mark m WHERE m.digest=t.digest)"
    rows = "SELECT t.digest, t.key, t.stored_size, t.version FROM temp.trash t WHERE"
    over = {"deadline": int(now - grace_s)}
    with survey.attached(marks):
        condemned = survey.choose(
            "condemn",
            "SELECT t.digest, 'objects/'||lower(substr(hex(t.digest),1,2))||'/'||lower(substr(hex(t.digest),3)) AS key,"
            f" t.stored_size, t.version FROM temp.live t WHERE {unnamed}",
        )
        deleted = survey.choose("delete", f"{rows} t.condemned_at<=:deadline AND {unnamed} AND {NOT_LIVE}", over)
        waiting = survey.choose("wait", f"{rows} t.condemned_at>:deadline AND {unnamed} AND {NOT_LIVE}", over)
        revived = survey.choose("revive", f"{rows} NOT {unnamed} AND {NOT_LIVE}")
        held = f"SELECT t.digest, '', t.held, '' FROM main.blob t WHERE t.held>0 AND {unnamed}"
        survey.choose("gone", f"{held} AND {NOT_LIVE} AND {NOT_IN_TRASH}")
        survey.choose("spare", f"{rows} t.condemned_at<=:deadline AND NOT {NOT_LIVE}", over)
    return PrunePlan(
        condemned=condemned[0],
        condemned_size=condemned[1],
        deleted=deleted[0],
        deleted_size=deleted[1],
        revived=revived[0],
        waiting=waiting[0],
        waiting_size=waiting[1],
        live_size=live_size,
        trash_size=trash_size,
    )


def apply_prune(store: BlobStore, survey: Survey, plan: PrunePlan, *, condemn: bool = True) -> PruneReport:
    """Do what was planned; may be repeated after a crash. With `condemn=False` nothing new goes to the trash."""
    begun = time.monotonic()
    report = PruneReport(plan=plan)
    trash = store.trash()
    for batch in survey.chosen("revive", batch=BATCH_BLOBS):
        report.revived += trash.revive(batch)
    for batch in survey.chosen("delete", batch=BATCH_BLOBS):
        gone = trash.delete(batch, also=store.forget_elsewhere)
        report.deleted += len(gone)
        report.deleted_size += sum(item.stored_size for item in gone)
    if condemn:
        for batch in survey.chosen("condemn", batch=BATCH_BLOBS):
            moved = trash.condemn(batch)
            report.condemned += len(moved)
            report.condemned_size += sum(item.stored_size for item in moved)
    for batch in survey.chosen("spare", batch=BATCH_BLOBS):
        _drop_spares(store, batch)
    for batch in survey.chosen("gone", batch=BATCH_BLOBS):
        _drop_from_tier(store, batch)
    store.tidy_trash()
    report.elapsed_s = time.monotonic() - begun
    return report


def _drop_from_tier(store: BlobStore, batch: list[Item]) -> None:
    """What another host pruned lies in this one's tier for nothing, and would count as last copies there."""
    if store.tier is None:
        return
    catalog, now = store.catalog, time.time()
    with catalog.transaction():
        free = [item.digest for item in batch if catalog.claimed_until(item.digest) <= now]
        for digest in free:
            catalog.remove(digest)
    for digest in free:
        store.tier.drop(digest)


def _drop_spares(store: BlobStore, batch: list[Item]) -> None:
    """What lies in the trash beside a live object goes, if the live one is true."""
    for item in batch:
        with contextlib.suppress(BlobCorruptError, ObjectNotFoundError):
            store.reader.verify_own(item.digest, object_key(item.digest))
            store.backend.delete(item.key, version=item.version)
    store.backend.sync([item.key for item in batch])
