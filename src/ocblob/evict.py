"""Bring the local tier below its limits, least recently used first; nothing that is not proven elsewhere goes.

Only when it is asked to expire does it drop last copies, and leaves a tombstone for each.
"""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from ocblob.errors import BackendError, BlobError, UsageError
from ocblob.pass_report import Problems
from ocblob.store import BlobStore
from ocblob.store.keepers import known_elsewhere
from ocblob.store.layout import object_key
from ocblob.store.survey import Survey
from ocblob.store.tiers import LOW_WATER, keepers_of, release
from ocblob.store.trash import BATCH_BLOBS, Item

SIZE_MIN_BYTES: Final = 1_000_000
AGE_MIN_S: Final = 3600
_SIGNATURES: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
)


@dataclass(frozen=True, slots=True)
class Limits:
    """What the local tier may hold."""

    max_size: int | None = None
    """Bytes at rest."""
    max_age_s: float | None = None
    """Since the last use."""

    def check(self) -> None:
        """Raise `UsageError` for limits that cannot be meant."""
        if self.max_size is None and self.max_age_s is None:
            raise UsageError("nothing to do: name a limit", hint="--max-size 10GB, --max-age 90d")
        if self.max_size is not None and self.max_size < SIZE_MIN_BYTES:
            raise UsageError(f"--max-size {self.max_size}: at least 1MB; a limit of nothing would evict everything")
        if self.max_age_s is not None and self.max_age_s < AGE_MIN_S:
            raise UsageError(f"--max-age {self.max_age_s:.0f} s: at least one hour, as last uses are kept by the hour")


@dataclass(frozen=True, slots=True)
class EvictPlan:
    """What is over the limits. Sizes in bytes at rest."""

    held: int
    """What the judged place holds, the trash included."""
    target: int
    """What it shall hold at the most, by size: the low-water mark if it is over the limit, else no less than now."""
    old: int
    """Blobs whose last use is longer ago than the limit."""
    old_size: int
    used_before: int
    """Seconds since the epoch; 0 for no limit."""

    @property
    def over(self) -> int:
        """Bytes to go because of the size."""
        return max(self.held - self.target, 0)


@dataclass(slots=True)
class EvictReport(Problems):
    """What an eviction did. Sizes in bytes at rest."""

    plan: EvictPlan | None = None
    pruned_size: int = 0
    """Unreferenced blobs whose grace was over."""
    evicted: int = 0
    evicted_size: int = 0
    """Local copies that another place was proven to hold."""
    expired: int = 0
    expired_size: int = 0
    last_copies: int = 0
    last_copies_size: int = 0
    """What is over the limits and stays: no other place is proven to hold it."""

    @property
    def complete(self) -> bool:
        """Whether all limits are kept."""
        return not self.last_copies


def plan_evict(survey: Survey, limits: Limits, *, now: float, durable: bool = False) -> EvictPlan:
    """What is over the limits, by the catalog. With `durable` a remote store's own objects are judged, not its tier.

    One walk over the catalog; the order is made when it is applied.
    """
    limits.check()
    before = 0 if limits.max_age_s is None else int(now - limits.max_age_s)
    live, old, old_size, condemned = survey.held(used_before=before, durable=durable)
    held = live + condemned
    over = limits.max_size is not None and held > limits.max_size
    target = int((limits.max_size or 0) * LOW_WATER) if over else held
    return EvictPlan(held, target, old, old_size, used_before=before)


def apply_evict(  # noqa: PLR0913
    store: BlobStore,
    survey: Survey,
    plan: EvictPlan,
    *,
    pruned_size: int = 0,
    expire: bool = False,
    policy: str = "evict",
    dry_run: bool = False,
) -> EvictReport:
    """Drop local copies that are proven elsewhere; with `expire` last copies too, the least recently used first.

    A dry run changes nothing and asks no keeper: what the catalog knows to be elsewhere counts as proven.
    """
    begun = time.monotonic()
    report = EvictReport(plan=plan, pruned_size=pruned_size)
    evictor = _Evictor(store, plan, report, over=plan.over, expire=expire, policy=policy, dry_run=dry_run)
    for batch in survey.least_recently_used(batch=BATCH_BLOBS, durable=expire and store.remote):
        if not evictor.take(batch):
            break
    evictor.count_left()
    if not dry_run:
        store.tidy_trash()
    report.elapsed_s = time.monotonic() - begun
    return report


class _Evictor:
    """Goes along the blobs in the order of their last use until the limits are kept."""

    def __init__(  # noqa: PLR0913
        self,
        store: BlobStore,
        plan: EvictPlan,
        report: EvictReport,
        *,
        over: int,
        expire: bool,
        policy: str,
        dry_run: bool,
    ) -> None:
        self._store = store
        self._plan = plan
        self._report = report
        self._over = over
        self._policy = policy if expire else ""
        self._dry_run = dry_run
        # A remote store that is to expire blobs lets go of its own: nobody else keeps those.
        self._keepers = [] if expire and store.remote else keepers_of(store)
        self._kept = 0
        self._kept_size = 0
        self._kept_old = 0
        self._kept_old_size = 0

    def take(self, batch: list[Item]) -> bool:
        """Deal with a batch; False when the limits are kept and the others are used later."""
        while batch:
            wanted = list(self._over_limit(batch))
            if not wanted:
                return False
            batch = batch[len(wanted) :]
            gone = self._let_go(wanted)
            for item in wanted:
                if item.digest in gone:
                    self._over -= item.stored_size
                else:
                    self._kept += 1
                    self._kept_size += item.stored_size
                    self._kept_old += self._is_old(item)
                    self._kept_old_size += item.stored_size * self._is_old(item)
        return True

    def count_left(self) -> None:
        """Report the last copies that keep the store over its limits."""
        by_size = self._over > 0
        self._report.last_copies = self._kept if by_size else self._kept_old
        self._report.last_copies_size = self._kept_size if by_size else self._kept_old_size

    def _over_limit(self, batch: list[Item]) -> Iterator[Item]:
        """The blobs at the beginning of a batch that would have to go."""
        ahead = self._over
        for item in batch:
            if ahead <= 0 and not self._is_old(item):
                return
            ahead -= item.stored_size
            yield item

    def _is_old(self, item: Item) -> bool:
        return int(item.key) < self._plan.used_before

    def _let_go(self, items: list[Item]) -> set[str]:
        gone = self._released([item.digest for item in items])
        self._report.evicted += len(gone)
        self._report.evicted_size += sum(item.stored_size for item in items if item.digest in gone)
        last = [replace(item, key=object_key(item.digest)) for item in items if item.digest not in gone]
        if not self._policy or not last:
            return gone
        expired = last if self._dry_run else self._expired(last)
        self._report.expired += len(expired)
        self._report.expired_size += sum(item.stored_size for item in expired)
        return gone | {item.digest for item in expired}

    def _released(self, digests: list[str]) -> set[str]:
        if not self._keepers:
            return set()
        if self._dry_run:
            return {digest for digest in digests if known_elsewhere(self._store.catalog, self._keepers, digest)}
        return set(release(self._store, digests, self._keepers))

    def _expired(self, items: list[Item]) -> list[Item]:
        expired = self._store.trash().expire(items, policy=self._policy, mime=partial(_mime_of, self._store))
        if self._store.tier is not None:
            for item in expired:
                # The catalog no longer knows of the file: nothing would ever find it again.
                self._store.tier.drop(item.digest)
        return expired


def _mime_of(store: BlobStore, item: Item) -> str:
    """The media type by a blob's first bytes; for a tombstone's reader, who has nothing else."""
    with contextlib.suppress(BackendError, BlobError), store.reader.open(item.digest) as stream:
        head = stream.read(16) or b""
        return next((mime for signature, mime in _SIGNATURES if head.startswith(signature)), "")
    return ""
