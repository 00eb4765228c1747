"""Why a ref cannot be resolved: a reason's name to count by, and words."""

from ocblob.errors import BackendError, BlobCorruptError, BlobError, BlobExpiredError
from ocblob.ref import Ref
from ocblob.store import BlobStore


def reason_of(error: BlobError | BackendError) -> str:
    """What a blob that cannot be had is counted by: missing, expired, corrupt or unavailable."""
    if isinstance(error, BlobExpiredError):
        return "expired"
    if isinstance(error, BlobCorruptError):
        return "corrupt"
    return "missing" if isinstance(error, BlobError) else "unavailable"


class Unresolved:
    """Asks one store. What it found damaged once is told as damaged again, though it is in quarantine by then."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._corrupt: dict[str, tuple[str, str]] = {}

    def why(self, ref: Ref) -> tuple[str, str] | None:
        """The reason (missing, expired, corrupt, unavailable, foreign) and words; None if the blob is there and true.

        The whole blob is read for the answer.
        """
        if ref.digest in self._corrupt:
            return self._corrupt[ref.digest]
        try:
            size = self._store.reader.verify(ref.digest)
        except (BlobError, BackendError) as error:
            reason, words = reason_of(error), str(error)
            if reason == "corrupt":
                self._corrupt[ref.digest] = (reason, words)
            elif reason == "missing" and ref.store not in {"", self._store.short_id}:
                words += f"; the ref belongs to store {ref.store}..."
            return reason, words
        if size != ref.size:
            return "foreign", f"the ref says {ref.size} bytes, blob {ref.digest} has {size}"
        return None
