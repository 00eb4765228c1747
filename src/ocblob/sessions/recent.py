"""One snapshot for many small questions: a new one costs more than they do."""

import contextlib
import time
from types import TracebackType
from typing import Self

from ocblob.databases.base import SNAPSHOT_S
from ocblob.databases.session_rows import SessionDatabase, Snapshot


class RecentSnapshot:
    """A snapshot that is renewed when it has become old; use it as a context manager."""

    def __init__(self, database: SessionDatabase) -> None:
        self._database = database
        self._open = contextlib.ExitStack()
        self._snapshot: Snapshot | None = None
        self._until = 0.0

    def now(self) -> Snapshot:
        """One that is `SNAPSHOT_S` old at most. Rows of earlier ones cannot be read any more."""
        if self._snapshot is None or time.monotonic() > self._until:
            self.release()
            self._snapshot = self._open.enter_context(self._database.snapshot())
            self._until = time.monotonic() + SNAPSHOT_S
        return self._snapshot

    def still(self) -> Snapshot:
        """The one that is open, however old: rows of it are being read."""
        return self.now() if self._snapshot is None else self._snapshot

    def release(self) -> None:
        """Hold nothing until the next question: what is asked then is answered afresh."""
        self._snapshot = None
        self._open.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
