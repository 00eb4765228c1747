"""Why a ref cannot be resolved: a reason's name to count by, and words."""

from ocblob.errors import BackendError, BlobCorruptError, BlobError, BlobExpiredError
from ocblob.ref import Ref
from ocblob.store import BlobStore


class Unresolved:
    """Asks one store. What it found damaged once is told as damaged again, though it is in quarantine by then."""

    def __init__(self, store: BlobStore) -> None:
        self._store = store
        self._corrupt: dict[str, tuple[str, str]] = {}

    def why(self, ref: Ref) -> tuple[str, str] | None:  # noqa: PLR0911 - one for each way to fail
        """The reason (missing, expired, corrupt, unavailable, foreign) and words; None if the blob is there and true.

        The whole blob is read for the answer.
        """
        if ref.digest in self._corrupt:
            return self._corrupt[ref.digest]
        try:
            size = self._store.reader.verify(ref.digest)
        except BlobExpiredError as error:
            return "expired", str(error)
        except BlobCorruptError as error:
            self._corrupt[ref.digest] = ("corrupt", str(error))
            return self._corrupt[ref.digest]
        except BlobError as error:
            foreign = ref.store not in {"", self._store.short_id}
            return "missing", f"{error}; the ref belongs to store {ref.store}..." if foreign else str(error)
        except BackendError as error:
            return "unavailable", str(error)
        if size != ref.size:
            return "foreign", f"the ref says {ref.size} bytes, blob {ref.digest} has {size}"
        return None
