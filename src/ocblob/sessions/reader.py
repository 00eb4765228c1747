"""Reading an archive: what is in it, the rows of its sessions, and the blobs that these need.

    archive = Archive(path)                                    # nothing is read yet
    for session, totals in archive.headers(): ...              # every session; for a list
    with archive.needed(wanted) as needed:                     # raw digests: .payloads stand in rows, .refs are named
        with archive.extract(needed, directory) as blobs:      # one pass; verified by digest; `chunks(digest)`
            for session, rows in archive.sessions(wanted, blobs=blobs, directory=directory):
                for table, row in rows: ...                    # context rows first: `table.context`

Each call reads the file from its beginning, forward, in bounded memory: lines of parts and attachments are passed over
in pieces. `wanted` are ids of sessions; an empty one means all. A row's contents may be asked for again and again
until the next row is asked for; texts that hold payloads get their bytes from `blobs`, which may also be a store.
Rows of a session that are not read are passed over. `directory` is where files without a name take what is large;
None means the system's temporary directory. Whatever is not as it was written raises `ArchiveError` with file and
line; `verification.verify` looks at all of it.
"""

import contextlib
from collections.abc import Collection, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from ocblob.databases.session_rows import Row
from ocblob.marks import Marks
from ocblob.sessions.contents import BlobSource, NoBlobs, RowContents
from ocblob.sessions.elements import ArchivedSession, ArchivedTable, ArchivedTotals, Elements, Rows
from ocblob.sessions.extraction import ExtractedBlobs, extract
from ocblob.sessions.lines import Lines
from ocblob.sessions.spans import refs_of

__all__ = ["Archive", "ArchivedSession", "ArchivedTable", "ArchivedTotals", "BlobSource", "ExtractedBlobs", "Needed"]


class Needed:
    """Which blobs some sessions need, as raw digests in temporary files; use it as a context manager."""

    def __init__(self) -> None:
        self.payloads = Marks()
        """Those whose base64 stands in rows."""
        self.refs = Marks()
        """Those that refs in rows name; not all of them need be in the archive."""

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, bytes) and (digest in self.payloads or digest in self.refs)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.payloads.close()
        self.refs.close()

    def add(self, row: Row) -> None:
        """Note what one row needs, which was read with `self` for its blobs."""
        for ref in refs_of(row):
            self.refs.add(ref)

    def chunks(self, digest: str) -> Iterator[bytes]:
        """Instead of a blob: it is noted, and left out of the text."""
        self.payloads.add_digests((bytes.fromhex(digest),))
        return iter(())


@dataclass(frozen=True, slots=True)
class Archive:
    """One archive file."""

    path: Path

    @property
    def noun(self) -> str:
        """How messages call it."""
        return "archive"

    def headers(self) -> Iterator[tuple[ArchivedSession, ArchivedTotals]]:
        """Every session, in the order of the file. All of it is read; each session's text must have its digest."""
        with Lines(self.path) as lines:
            elements = Elements(lines)
            while (session := elements.begin()) is not None:
                elements.pass_rows()
                yield session, elements.totals()

    def sessions(
        self, wanted: Collection[str] = (), *, blobs: BlobSource | None = None, directory: Path | None = None
    ) -> Iterator[tuple[ArchivedSession, Rows]]:
        """The wanted sessions with their rows; the rows of one are read before the next one is asked for."""
        with Lines(self.path) as lines, contextlib.closing(RowContents(directory, blobs or NoBlobs())) as contents:
            elements = Elements(lines)
            while (session := elements.begin()) is not None:
                if wanted and session.id not in wanted:
                    elements.pass_rows()
                else:
                    rows = elements.rows(contents)
                    yield session, rows
                    for _ in rows:
                        pass
                elements.totals()

    def needed(self, wanted: Collection[str] = ()) -> Needed:
        """The blobs that these sessions need."""
        needed = Needed()
        try:
            for _session, rows in self.sessions(wanted, blobs=needed):
                for _table, row in rows:
                    needed.add(row)
        except BaseException:
            needed.__exit__()
            raise
        return needed

    def extract(self, wanted: Container[bytes] | None, directory: Path | None = None) -> ExtractedBlobs:
        """Take blobs out: those whose raw digests are `wanted`, or all. Use what it gives as a context manager."""
        return extract(self.path, wanted, directory)
