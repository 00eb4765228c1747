"""Where sessions come from that go into a database: an archive file, or a mirror.

A source gives the same rows each time it is asked, or what went in by it does not count as back.
"""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Protocol

from ocblob.sessions.contents import BlobSource
from ocblob.sessions.elements import ArchivedSession, ArchivedTotals, Rows

Header = tuple[ArchivedSession, ArchivedTotals]
"""What is known of a session before its rows are read. An empty digest is one that nobody knows yet."""


class SessionSource(Protocol):
    """Sessions with all their rows. Raises `OcblobError`.

    Of these a `BlobError`, a `BackendError` and a `DatabaseUnsupportedError` are about one session and stop no other.
    """

    @property
    def noun(self) -> str:
        """How messages call it: the archive, the mirror."""

    def sessions(
        self, wanted: Collection[str] = (), *, blobs: BlobSource | None = None, directory: Path | None = None
    ) -> Iterator[tuple[ArchivedSession, Rows]]:
        """The wanted sessions with their rows, those of the context first; none named means all.

        A parent's row comes before those that refer to it. The rows of one session are read before the next one is
        asked for, the contents of a row before the next row. Payloads get their bytes from `blobs`.
        """
