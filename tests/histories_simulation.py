"""Time, threads and durability as the worlds of this process have them, and the points where a process may stop."""

import contextlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

from histories_processes import Inline, KilledError, Lazy, current, now, point
from ocblob import batches, deletions, evict, sync
from ocblob.backends import local as local_backend
from ocblob.backends.base import Backend
from ocblob.databases.sqlite import SQLiteDatabase, sweep
from ocblob.databases.sqlite.swapping import Swapper
from ocblob.errors import (
    DatabaseError,
)
from ocblob.store import BlobStore, tiers, trash, writer
from ocblob.store import catalog as catalogs
from ocblob.store.survey import Survey

_real_transaction = catalogs.Catalog.transaction
_real_swap = SQLiteDatabase.swap
_real_durable = sweep._make_durable
_real_flush = Swapper.flush
_real_confirm = writer.Writer.confirm
_real_finish = writer.Batch.finish
_real_take = Survey.take
_real_mark_here = deletions._mark_here
_real_change = trash.Trash._change
_real_reconcile = Survey.reconcile


@contextlib.contextmanager
def _transaction(self: catalogs.Catalog, **options: Any) -> Iterator[None]:
    process = current()
    if process is None:
        with _real_transaction(self, **options):
            yield
        return
    if process.killed:
        raise KilledError
    process.busy += 1
    try:
        with _real_transaction(self, **options):
            yield
    finally:
        process.busy -= 1


def _swap(self: SQLiteDatabase, edits: Any, *, stamp: object) -> Any:
    point("swap")
    process = current()
    if process is None:
        return _real_swap(self, edits, stamp=stamp)
    database = process.world.database_at(self.path)
    before = database.named()
    process.busy += 1
    try:
        return _real_swap(self, edits, stamp=stamp)
    finally:
        process.busy -= 1
        if not process.killed:
            process.world.swapped(process, database.named() - before)


def _make_durable(path: Path) -> None:
    point("fsync")
    _real_durable(path)
    _noted_durable(path)


def _flush(self: Swapper) -> None:
    point("flush")
    _real_flush(self)
    _noted_durable(self._path)


def _noted_durable(path: Path) -> None:
    if (process := current()) is not None:
        process.world.database_at(path).made_durable()


def _confirm(self: writer.Writer, digests: Any) -> None:
    point("confirm")
    _real_confirm(self, digests)
    if (process := current()) is not None:
        process.world.confirmed(process, digests)


def _finish(self: writer.Batch) -> writer.Receipt:
    point("finish")
    return _real_finish(self)


def _take(self: Survey, backend: Backend) -> None:
    point("survey")
    _real_take(self, backend)
    point("surveyed")


def _mark_here(store: BlobStore, entry: Any, marks: Any, **options: Any) -> int:
    point("mark")
    process = current()
    if process is not None and not process.world.database_at(Path(entry.url)).mounted:
        raise deletions._refusal(entry, "it is not mounted", here=True) from DatabaseError("not mounted")
    return _real_mark_here(store, entry, marks, **options)


def _change(self: trash.Trash, *arguments: Any, **options: Any) -> Any:
    point("change")
    return _real_change(self, *arguments, **options)


def _remove_stale(staging: Path) -> None:
    """By the simulated time: what a process that began more than a day ago has staged is gone."""
    process = current()
    if process is None or not staging.is_dir():
        return
    began: dict[Path, float] = process.world.__dict__.setdefault("staged", {})
    for directory in staging.iterdir():
        if began.setdefault(directory, now()) < now() - writer.STALE_STAGING_S:
            shutil.rmtree(directory, ignore_errors=True)


overrides: list[tuple[Any, str, Any]] = []
"""What a rule that is switched off replaces; it comes last."""


@contextlib.contextmanager
def simulated() -> Iterator[None]:
    """Time, threads and durability as the worlds of this process have them."""
    with contextlib.ExitStack() as stack:
        for module in (trash, tiers, batches, local_backend, sync):
            stack.enter_context(mock.patch.object(module, "ThreadPoolExecutor", Inline))
        for target, name, new in (
            (writer, "ThreadPoolExecutor", Lazy),
            (writer, "_remove_stale", _remove_stale),
            (catalogs.Catalog, "transaction", _transaction),
            (SQLiteDatabase, "swap", _swap),
            (sweep, "_make_durable", _make_durable),
            (Swapper, "flush", _flush),
            (writer.Writer, "confirm", _confirm),
            (writer.Batch, "finish", _finish),
            (Survey, "take", _take),
            (deletions, "_mark_here", _mark_here),
            (trash.Trash, "_change", _change),
            (deletions, "open_store", lambda place, read_only=False: place.opened()),  # noqa: ARG005
            (evict, "SIZE_MIN_BYTES", 1),
            (time, "time", now),
        ):
            stack.enter_context(mock.patch.object(target, name, new))
        for target, name, new in overrides:
            stack.enter_context(mock.patch.object(target, name, new))
        yield


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory in memory if there is one."""
    base = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    path = Path(tempfile.mkdtemp(prefix="ocblob-history-", dir=base))
    before, tempfile.tempdir = tempfile.tempdir, str(path)
    try:
        yield path
    finally:
        tempfile.tempdir = before
        shutil.rmtree(path, ignore_errors=True)
