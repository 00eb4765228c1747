"""What a store is, and whether its places do what is relied on: tried out, not believed."""

import io
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from ocblob.backends.base import Backend
from ocblob.errors import BackendError, StoreError
from ocblob.store import BlobStore
from ocblob.store.epoch import read_epoch
from ocblob.store.layout import QUARANTINE, TOMBSTONES

TRIAL_BYTES: Final = 70_000
SKEW_S: Final = 60.0


@dataclass(slots=True)
class StoreInfo:
    """One store in figures. Sizes in bytes."""

    url: str
    id: str
    remote: bool
    blobs: int
    size: int
    stored_size: int
    held: int
    """At rest on the local tier."""
    cache_size: int
    """What the tier of a remote store may hold."""
    trash: int
    quarantined: int
    expired: int
    databases: int
    pins: int
    copies: list[str]
    epoch: str


@dataclass(slots=True)
class PlaceReport:
    """What one place does."""

    url: str
    passed: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What is not as it could be, and what that means."""
    failed: list[str] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether blobs may be kept here."""
        return not self.failed


def store_info(store: BlobStore) -> StoreInfo:
    """Look, change nothing. The catalog tells the sums: on a remote store, of what this host knows."""
    totals = store.catalog.totals()
    backend = store.backend
    return StoreInfo(
        url=store.url,
        id=store.id,
        remote=store.remote,
        blobs=totals.blobs,
        size=totals.size,
        stored_size=totals.stored_size,
        held=totals.held,
        cache_size=0 if store.tier is None else store.tier.capacity,
        trash=totals.condemned,
        quarantined=sum(1 for _ in backend.scan(QUARANTINE)),
        expired=sum(1 for _ in backend.scan(TOMBSTONES)),
        databases=sum(1 for _ in store.registry.databases()),
        pins=sum(1 for _ in store.registry.pins()),
        copies=[place.url for _copy, place in store.copies()],
        epoch=read_epoch(backend),
    )


def validate(store: BlobStore) -> list[PlaceReport]:
    """Try every operation on small objects of its own in the store and in each copy."""
    return [_tried(place) for place in (store.backend, *(place for _copy, place in store.copies()))]


def _tried(place: Backend) -> PlaceReport:
    report = PlaceReport(place.url)
    key = f"probe/{os.urandom(8).hex()}"
    trials: tuple[tuple[str, Callable[[], str]], ...] = (
        ("put and read back", lambda: _round_trip(place, key)),
        ("read a part", lambda: _part(place, key)),
        ("put only what is not there", lambda: _conditional_put(place, key)),
        ("delete only the version that was seen", lambda: _conditional_delete(place, key)),
        ("list", lambda: _listing(place, key)),
        ("move", lambda: _moving(place, key)),
        ("delete", lambda: _deletion(place, key)),
    )
    try:
        for name, trial in trials:
            note = trial()
            if note:
                report.notes.append(note)
            else:
                report.passed.append(name)
        report.notes += place.limits
    except (BackendError, StoreError) as error:
        report.failed.append(f"{name}: {error}")
    finally:
        for left in (key, f"{key}.moved"):
            try:
                place.delete(left)
            except BackendError as error:
                report.failed.append(f"delete: {error}")
    return report


def _round_trip(place: Backend, key: str) -> str:
    data = os.urandom(TRIAL_BYTES)
    version = place.put(key, io.BytesIO(data), size=len(data))
    with place.open(key) as file:
        found = b"".join(iter(lambda: file.read(1 << 16), b""))
    if found != data:
        raise StoreError(f"{place.url}: {len(found)} other bytes came back")
    stat = place.stat(key)
    if not version or stat.version != version:
        return "tells no versions: evicting a local copy reads the whole object first, and deletes compare nothing"
    if abs(stat.modified - time.time()) > SKEW_S:
        return f"its clock differs by {stat.modified - time.time():.0f} s; graces are judged by the earlier clock"
    return ""


def _part(place: Backend, key: str) -> str:
    with place.open(key) as file:
        file.seek(60_000)
        if len(file.read(100)) not in range(1, 101):
            raise StoreError(f"{place.url}: cannot be read in parts")
    return ""


def _conditional_put(place: Backend, key: str) -> str:
    if place.put_new(key, io.BytesIO(b"other"), size=5) is not None:
        raise StoreError(f"{place.url}: an object that was there was replaced")
    return ""


def _conditional_delete(place: Backend, key: str) -> str:
    version = place.stat(key).version
    if version and place.delete(key, version="0" * 32):
        raise StoreError(f"{place.url}: a delete hit another version than it named")
    return ""


def _listing(place: Backend, key: str) -> str:
    if key not in [stat.key for stat in place.scan("probe/")]:
        return "a list does not show at once what was put: run prune at quiet times"
    return ""


def _moving(place: Backend, key: str) -> str:
    place.move(key, f"{key}.moved")
    place.sync([key, f"{key}.moved"])
    place.stat(f"{key}.moved")
    return ""


def _deletion(place: Backend, key: str) -> str:
    place.delete(f"{key}.moved")
    place.sync([f"{key}.moved"])
    return ""
