"""Which blobs rows name: counted in a temporary file, so that memory does not grow with their number.

Two ways: `refs_in` parses strictly, for what works on refs. `mark` is lenient, for what deletes blobs: it takes
every occurrence of the marker that a digest follows, in any usual encoding. Too many cost nothing, one that is
missed costs a blob.
"""

import contextlib
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import apsw
import pybase64

from ocblob.cells import Column, Scope
from ocblob.databases.base import OVERLAP_BYTES, PIECE_BYTES, Cell, Cells, Database, overlapping
from ocblob.errors import CellError, DatabaseError, OcblobError
from ocblob.filesystem import fsync_fd, is_stream
from ocblob.ref import MARKER, Ref
from ocblob.scan import RefSpan, Span, scan

REF_CELL_BYTES_MIN = 100
"""No cell with a ref in it is shorter."""
MARK_BYTES_MIN: Final = 73
"""Nor one with a bare marker and its digest than this."""
PENDING_MAX: Final = 50_000
"""Digests that wait in memory; sorted, so many of them touch each page of the file only once."""
CACHE_KIB: Final = 8192
BUSY_TIMEOUT_MS: Final = 5000

_WORD: Final = b"ocblob"
_WIDE: Final = b"o\0c\0b\0l\0o\0b"
"""The middle of it in UTF-16, of either byte order."""
_HEX: Final = 64
_WIDE_BYTES: Final = 512
_LINE_BYTES: Final = OVERLAP_BYTES // 2
"""Base64 of a marker and its digest has 98 characters; this leaves room for line breaks in it."""

# Whatever stands between the word and the digest; what escapes it may end in digits that look like its first
# ones (%20, \u0020), so each 64 digits of a longer run count.
_PLAIN = re.compile(rb"ocblob(?s:.{0,48}?)([0-9a-fA-F]{64,96})")
_BREAK = re.compile(rb"\\+(?:[rnt]|u000[9aAdD])|%0[9aAdD]|&#(?:1[03]|x[aAdD]);|=\r?\n|[\s\\]+")
_STANDARD = bytes.maketrans(b"-_", b"+/")


@dataclass(frozen=True, slots=True)
class _Core:
    """The characters of base64 that are the same wherever the marker stands at one offset modulo 3."""

    offset: int

    @property
    def text(self) -> bytes:
        """At offsets 1 and 2 the characters around it depend on the neighbours."""
        skipped = (0, 2, 3)[self.offset]
        return pybase64.b64encode(bytes(self.offset) + MARKER)[skipped : skipped + (12, 11, 11)[self.offset]]

    @property
    def halves(self) -> tuple[bytes, bytes]:
        """One of them is whole if a line breaks in the text."""
        return self.text[:6], self.text[6:]

    def digest(self, text: bytes) -> bytes | None:
        """The digest in base64 that begins with this core."""
        # No digit makes a character in which the alphabets differ, but what follows may make the last one such.
        taken = (98, 97, 97)[self.offset]
        if len(text) < taken:
            return None
        padded = b"A" * (0, 2, 3)[self.offset] + text[:taken].translate(_STANDARD)
        try:
            data = pybase64.b64decode(padded + b"A" * (-len(padded) % 4), validate=True)
        except ValueError:
            return None
        return _unhex(data[self.offset + len(MARKER) :][:_HEX])


_CORES: Final = tuple(_Core(offset) for offset in range(3))
_HALVES: Final = tuple((core, core.text, *core.halves) for core in _CORES)
NEEDLES: Final = (*(half for core in _CORES for half in core.halves), _WORD, _WIDE)
"""What has none of these in it has no digest for `digests_in`."""


def digests_in(piece: bytes) -> Iterator[bytes]:
    """The raw digests behind every marker in some text, as often as they stand there; and perhaps a few more.

    Found are plain markers, escaped for JSON, URLs or HTML, any number of times, in UTF-8 or UTF-16; and base64
    at any alignment, of either alphabet, with or without line breaks, as they are or escaped.
    """
    for core, text, first, second in _HALVES:
        for at in _find(piece, first):
            digest = core.digest(piece[at : at + 98]) if piece.startswith(text, at) else None
            if digest:
                yield digest
            else:
                yield from _broken(piece, at, core)
        for at in _find(piece, second):
            if not piece.endswith(first, 0, at):
                yield from _broken(piece, at, core)
    if _WORD in piece:
        yield from _plain(piece)
    for at in _find(piece, _WIDE):
        yield from _plain(piece[at : at + _WIDE_BYTES].replace(b"\0", b""))


def _find(piece: bytes, needle: bytes) -> Iterator[int]:
    at = piece.find(needle)
    while at >= 0:
        yield at
        at = piece.find(needle, at + 1)


def _broken(piece: bytes, at: int, core: _Core) -> Iterator[bytes]:
    """Base64 with line breaks in it, near an offset."""
    text = _BREAK.sub(b"", piece[max(at - 64, 0) : at + _LINE_BYTES])
    for start in _find(text, core.text):
        if digest := core.digest(text[start : start + 98]):
            yield digest


def _plain(text: bytes) -> Iterator[bytes]:
    for at in _find(text, _WORD):
        if match := _PLAIN.match(text, at):
            run = match[1]
            for start in range(len(run) - _HEX + 1):
                yield bytes.fromhex(run[start : start + _HEX].decode("ascii"))


def _unhex(digits: bytes) -> bytes | None:
    try:
        digest = bytes.fromhex(digits.decode("ascii"))
    except ValueError:
        return None
    return digest if len(digest) * 2 == _HEX else None


@dataclass(frozen=True, slots=True)
class Mark:
    """One digest and how it is named."""

    digest: str
    size: int
    """0 if no ref was parsed that says it."""
    refs: int


class Marks:
    """A set of digests with counts, in a temporary database that is gone when it is closed."""

    def __init__(self, path: Path | None = None) -> None:
        """Without a path it makes a directory of its own."""
        self._pending: dict[bytes, tuple[int | None, int]] = {}
        try:
            self._directory = None if path else tempfile.TemporaryDirectory(prefix="ocblob-marks-")
        except OSError as error:
            raise OcblobError(f"no temporary directory for marks: {error.strerror}") from error
        self._path = path or Path(self._directory.name if self._directory else "") / "marks.sqlite"
        self._path.unlink(missing_ok=True)
        with self._translated():
            self._db = apsw.Connection(str(self._path))
            self._db.set_busy_timeout(BUSY_TIMEOUT_MS)
            self._db.execute(
                f"PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF; PRAGMA cache_size=-{CACHE_KIB};"
                "CREATE TABLE mark (digest BLOB PRIMARY KEY, size INTEGER, refs INTEGER) WITHOUT ROWID"
            ).fetchall()

    @property
    def path(self) -> Path:
        """A file to ATTACH, whose table `mark (digest, size, refs)` holds all that was added up to now."""
        self._flush()
        return self._path

    def add(self, ref: Ref) -> None:
        """Count one ref."""
        self._add(bytes.fromhex(ref.digest), ref.size)

    def add_digests(self, digests: Iterable[bytes]) -> int:
        """Count raw digests of blobs of unknown size; how many they were."""
        count = 0
        for digest in digests:
            self._add(digest, None)
            count += 1
        return count

    def _add(self, digest: bytes, size: int | None) -> None:
        known, refs = self._pending.get(digest, (None, 0))
        self._pending[digest] = (size if known is None else known, refs + 1)
        if len(self._pending) >= PENDING_MAX:
            self._flush()

    def _flush(self) -> None:
        if self._pending:
            rows = ((digest, *counted) for digest, counted in sorted(self._pending.items()))
            with self._translated(), self._db:
                self._db.executemany(
                    "INSERT INTO mark VALUES (?,?,?) ON CONFLICT (digest) DO UPDATE"
                    " SET refs=refs+excluded.refs, size=coalesce(size, excluded.size)",
                    rows,
                )
            self._pending.clear()

    def __contains__(self, digest: bytes) -> bool:
        if digest in self._pending:
            return True
        with self._translated():
            return bool(self._db.execute("SELECT 1 FROM mark WHERE digest=?", (digest,)).get)

    def __iter__(self) -> Iterator[Mark]:
        for digest, size, refs in self._rows("SELECT digest, coalesce(size, 0), refs FROM mark ORDER BY digest"):
            yield Mark(digest.hex(), int(size), int(refs))

    def digests(self) -> Iterator[bytes]:
        """All raw digests, ordered."""
        for (digest,) in self._rows("SELECT digest FROM mark ORDER BY digest"):
            yield digest

    def totals(self) -> tuple[int, int, int]:
        """Digests, their bytes, and the bytes of all refs together."""
        digests = unique = named = 0
        # Users can forge refs of any size: the sums are not left to 64 bits.
        for size, refs in self._rows("SELECT coalesce(size, 0), refs FROM mark"):
            digests, unique, named = digests + 1, unique + size, named + size * refs
        return digests, unique, named

    def _rows(self, sql: str) -> Iterator[tuple[Any, ...]]:
        self._flush()
        with self._translated():
            yield from self._db.execute(sql)

    def close(self) -> None:
        """Remove the file."""
        self._pending.clear()
        self._db.close()
        self._path.unlink(missing_ok=True)
        if self._directory is not None:
            self._directory.cleanup()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except apsw.Error as error:
            raise OcblobError(f"the marks in {self._path}: {error}") from error


def mark(marks: Marks, database: Database) -> int:
    """Add every digest that anything in a database names; how many occurrences there are, some of them twice.

    Raises `DatabaseError` unless all of it was read; what was added until then stays.
    """
    pieces = database.sweep(NEEDLES, larger_than=MARK_BYTES_MIN - 1)
    return sum(marks.add_digests(digests_in(piece)) for piece in pieces)


def mark_file(marks: Marks, path: Path) -> int:
    """The same for a text file, as it is now and after a power cut; one that is missing or keeps nothing names none."""
    try:
        if is_stream(path):
            return 0
        with path.open("rb") as file:
            with contextlib.suppress(PermissionError):  # Windows flushes only what is open for writing
                fsync_fd(file.fileno())
            chunks = iter(lambda: file.read(PIECE_BYTES), b"")
            return sum(marks.add_digests(digests_in(piece)) for piece in overlapping(chunks))
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise DatabaseError(f"{path} cannot be read: {error.strerror}") from error


def refs_in(database: Database, columns: tuple[Column, ...]) -> Iterator[tuple[Cell, Ref]]:
    """Every ref in these columns' cells, strictly parsed."""
    with database.cells() as cells:
        for column in columns:
            for cell in database.candidates(column, larger_than=REF_CELL_BYTES_MIN, scope=Scope()):
                for span in _spans(cells, cell):
                    if isinstance(span, RefSpan):
                        yield cell, span.ref
            cells.release()


def _spans(cells: Cells, cell: Cell) -> Iterator[Span]:
    try:
        reader = cells.open(cell)
        yield from scan(reader.read(0, reader.size), hashing=False, bare_refs=cell.column.bare_refs)
    except CellError:
        return  # the row went away, or changed: it is no row to judge by now
