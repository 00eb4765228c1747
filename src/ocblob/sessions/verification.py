"""Whether an archive holds what it says: read back from disk as a stranger would, to the last byte."""

import contextlib
from dataclasses import asdict, replace
from pathlib import Path

from ocblob.errors import BlobError
from ocblob.rows import SessionHasher
from ocblob.sessions.contents import RowContents
from ocblob.sessions.elements import ArchivedTotals, Elements
from ocblob.sessions.extraction import ExtractedBlobs, extract
from ocblob.sessions.lines import Lines
from ocblob.sessions.spans import refs_of


def verify(path: Path, *, directory: Path | None = None) -> dict[str, str]:
    """The digest of every session in an archive, by its id. Raises `ArchiveError` that tells file and line.

    The grammar of all lines is checked, every blob by its digest, every session by its digest, rows and size with the
    payloads filled in, and that no more refs than it tells have no blob in it. `directory` takes the blobs
    meanwhile.
    """
    found: dict[str, str] = {}
    with extract(path, None, directory) as blobs, Lines(path) as lines:
        elements = Elements(lines)
        with contextlib.closing(RowContents(directory, blobs)) as contents:
            while (session := elements.begin()) is not None:
                read = _read(elements, contents, blobs, lines)
                told = elements.totals()
                # A blob that a ref names may have come into the archive by a later session.
                if replace(read, unresolved=told.unresolved) != told or read.unresolved > told.unresolved:
                    raise lines.refused(f"session {session.id} is not what it says: {_difference(read, told)}")
                if session.id in found:
                    raise lines.refused(f"session {session.id} is in it twice")
                found[session.id] = read.digest
    return found


def _read(elements: Elements, contents: RowContents, blobs: ExtractedBlobs, lines: Lines) -> ArchivedTotals:
    hasher = SessionHasher()
    rows = size = 0
    table = ""
    absent = set[bytes]()
    for at, row in elements.rows(contents):
        try:
            for ref in refs_of(row):
                if ref.digest not in blobs:
                    absent.add(bytes.fromhex(ref.digest))
            if at.context:
                continue
            if at.table != table:
                table = at.table
                hasher.table(at.table, at.columns)
            hasher.row(row)
        except BlobError as error:
            raise lines.refused(str(error)) from error
        rows += 1
        size += row.content_size
    return ArchivedTotals(rows, size, len(absent), hasher.hexdigest())


def _difference(read: ArchivedTotals, told: ArchivedTotals) -> str:
    """The first thing that is not as it was told; the digest last, since it changes with anything."""
    for name, value in asdict(told).items():
        if getattr(read, name) != value:
            return f"{name} is {getattr(read, name)}, not {value}"
    return ""
