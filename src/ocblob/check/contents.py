"""Every byte of every object, of a store and of its copies."""

from collections.abc import Callable
from typing import Final

from ocblob.backends.base import Backend
from ocblob.check.report import CheckReport, Share
from ocblob.errors import BackendError, BlobCorruptError, BlobError, ObjectNotFoundError, StoreUnavailableError
from ocblob.store import BlobStore
from ocblob.store.copies import refill
from ocblob.store.layout import OBJECTS, TRASH, digest_of_key, generation_time, object_key
from ocblob.store.nurse import heal_from_copies
from ocblob.store.reader import Reader
from ocblob.store.survey import Survey

NOTED_OBJECTS: Final = 200
"""A check that is stopped goes on from here the next time."""
_NOTE: Final = "check --read-data"


class Contents:
    """Every byte of every object, of the store and of its copies."""

    def __init__(
        self,
        store: BlobStore,
        report: CheckReport,
        share: Share,
        *,
        repair: bool,
        progress: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._store = store
        self._report = report
        self._share = share
        self._repair = repair
        self._progress = progress

    def read(self, survey: Survey, *, restart: bool) -> None:
        """Read all, from where an earlier check was stopped."""
        store, note = self._store, f"{_NOTE} {self._share}"
        after = "" if restart or not store.writable else store.catalog.note(note)
        self._report.resumed_after = after
        for number, (digest, stored_size) in enumerate(survey.objects(after=after)):
            if self._share.holds(digest):
                self._own(digest, object_key(digest))
                self._progress(stored_size)
            if number % NOTED_OBJECTS == NOTED_OBJECTS - 1 and store.writable:
                store.catalog.set_note(note, digest)
        for stat in store.backend.scan(TRASH):
            digest = digest_of_key(stat.key)
            if digest and generation_time(stat.key.split("/")[1]) is not None and self._share.holds(digest):
                self._own(digest, stat.key)
        for _copy, place in store.copies():
            self._copy(place)
            if self._repair:
                self._complete(place, survey)
        if store.writable:
            store.catalog.set_note(note, "")

    def _own(self, digest: str, key: str) -> None:
        try:
            self._store.reader.verify_own(digest, key)
        except BlobCorruptError as error:
            self._damaged(error, healed=self._repair and heal_from_copies(self._store, digest))
        except ObjectNotFoundError:
            return  # pruned meanwhile
        except StoreUnavailableError as error:
            # A bad sector: told, and the others are read all the same.
            self._report.broken += 1
            self._report.tell(str(error))
        self._report.objects_read += 1

    def _copy(self, place: Backend) -> None:
        reader = Reader(place, care=_Quiet() if self._store.writable else None)
        for stat in place.scan(OBJECTS):
            digest = digest_of_key(stat.key)
            if not digest or not self._share.holds(digest):
                continue
            try:
                reader.verify_own(digest, stat.key)
            except BlobCorruptError as error:
                self._damaged(error, healed=self._repair and self._refill(place, digest))
            except ObjectNotFoundError:
                continue
            self._report.objects_read += 1
            self._progress(stat.stored_size)

    def _complete(self, place: Backend, survey: Survey) -> None:
        """What an earlier check has moved away from a copy comes back too."""
        for digest, _stored_size in survey.objects():
            if not self._share.holds(digest):
                continue
            try:
                place.stat(object_key(digest))
            except ObjectNotFoundError:
                self._report.repaired += self._refill(place, digest)

    def _refill(self, place: Backend, digest: str) -> bool:
        try:
            refill(self._store, place, digest)
        except (BlobError, BackendError):
            return False
        return True

    def _damaged(self, error: BlobCorruptError, *, healed: bool) -> None:
        self._report.corrupt += not healed
        self._report.repaired += healed
        end = "put right from another copy" if healed else "it is in quarantine now" if self._store.writable else ""
        self._report.tell(f"{error}; {end}".removesuffix("; "))


class _Quiet:
    """See `Care`: a copy has no catalog of its own."""

    def corrupt(self, digest: str) -> None:
        """Nothing to note."""

    def in_trash(self, digest: str, key: str) -> None:
        """A copy has no trash."""

    def heal(self, digest: str, source: object) -> None:
        """The check does that, if it is asked to."""
