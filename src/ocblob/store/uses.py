"""Last uses, noted coarsely and in the background of reading, where something can be written."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Final

from ocblob.errors import BackendError, DatabaseUnsupportedError, StoreError
from ocblob.store.catalog import Catalog

TOUCH_EVERY_S: Final = 60.0
TOUCH_BLOBS: Final = 256


class Uses:
    """Collects what was read, and enters it now and then."""

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog
        self._lock = threading.Lock()
        self._used: dict[str, int] = {}
        self._since = time.monotonic()

    def note(self, digest: str) -> None:
        """A blob was read."""
        with self._lock:
            self._used[digest] = int(time.time())
            due = len(self._used) >= TOUCH_BLOBS or time.monotonic() - self._since > TOUCH_EVERY_S
        if due:
            self.flush()

    def flush(self) -> None:
        """Enter what was collected; reading must work where that cannot be done."""
        with self._lock:
            used, self._used = self._used, {}
            self._since = time.monotonic()
        with contextlib.suppress(BackendError, StoreError, DatabaseUnsupportedError):
            if used:
                self._catalog().touch(used)
