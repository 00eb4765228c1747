"""What people look at first: where the bytes are, what is still inline, and whether it is too much."""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from ocblob import config
from ocblob.cells import Column, Scope
from ocblob.databases.base import CellReader
from ocblob.databases.disk import sizes
from ocblob.databases.opening import HostDatabase
from ocblob.databases.vacuum import FileSizes
from ocblob.errors import BackendError, CellError, StoreError
from ocblob.hosts.base import HostProfile
from ocblob.marks import REF_CELL_BYTES_MIN, Marks
from ocblob.prompts.lines import PromptFile
from ocblob.scan import InlineSpan, PayloadSpan, RefSpan, scan
from ocblob.size_warnings import look
from ocblob.store import BlobStore
from ocblob.store.catalog import Totals


@dataclass(slots=True)
class ColumnStatus:
    """What the cells of one column hold. Sizes in bytes."""

    column: str
    offloaded: bool
    """Whether `offload` takes this column."""
    inline: int = 0
    inline_chars: int = 0
    """Base64 text that is still in the rows."""
    refs: int = 0
    refs_size: int = 0
    """Bytes of attachments that refs stand for."""


@dataclass(slots=True)
class PromptFileStatus:
    """What one of the host's prompt files holds. Sizes in bytes."""

    path: str
    size: int = 0
    inline: int = 0
    inline_chars: int = 0
    refs: int = 0
    refs_size: int = 0


@dataclass(frozen=True, slots=True)
class TableStatus:
    """One table."""

    rows: int
    size: int
    """Bytes of content."""


@dataclass(slots=True)
class Status:
    """A database and its store."""

    database: str
    host: str
    unknown_schema: str
    sizes: FileSizes
    tables: dict[str, TableStatus]
    columns: list[ColumnStatus] = field(default_factory=list)
    prompts: list[PromptFileStatus] = field(default_factory=list)
    """Only beside the host's own database."""
    blobs_named: int = 0
    dedup_saved: int = 0
    """Bytes of attachments that refs name again and the store keeps once."""
    store: str = ""
    """Empty if there is none yet."""
    store_blobs: int = 0
    store_size: int = 0
    store_stored_size: int = 0
    warnings: list[str] = field(default_factory=list)
    too_large: bool = False

    @property
    def inline_chars(self) -> int:
        """Base64 in rows that an offload would look at."""
        return sum(column.inline_chars for column in self.columns if column.offloaded)


def status(
    database: HostDatabase,
    profile: HostProfile,
    store: BlobStore | None,
    *,
    min_chars: int,
    progress: Callable[[int], None] = lambda _: None,
) -> Status:
    """Look at everything, change nothing. Every cell that may hold a payload or a ref is read, in pieces."""
    tables = {name: TableStatus(*found) for name, found in database.table_sizes().items()}
    found = Status(database.url, profile.name, profile.unknown, sizes(database.address), tables)
    with contextlib.closing(Marks()) as marks:
        for columns, offloaded in ((profile.columns, True), (profile.counted, False)):
            for column in columns:
                found.columns.append(_column_status(database, column, offloaded, min_chars, marks, progress))
        unreadable = _prompts_status(found, database, min_chars, marks)
        found.blobs_named, unique, named = marks.totals()
        found.dedup_saved = named - unique
    if store is not None:
        found.store = store.url
        try:
            totals = store.catalog.totals()
        except (StoreError, BackendError) as error:
            totals = Totals(0, 0, 0, 0, 0)
            unreadable.append(f"the store's sizes are not known: {error}")
        found.store_blobs, found.store_size, found.store_stored_size = (
            totals.blobs,
            totals.size,
            totals.stored_size,
        )
    v2_refs = sum(column.refs for column in found.columns if not column.offloaded)
    found.warnings = [*database.warnings, *unreadable, *v2_warnings(v2_refs)]
    warning = look(database.address, host=found.host, found=found.sizes, inline_chars=found.inline_chars)
    if warning is not None:
        found.warnings.append(warning.text)
        found.too_large = True
    return found


def v2_warnings(refs: int) -> list[str]:
    """The warning for so many refs in tables of V2 sessions; none for none."""
    if not refs:
        return []
    text = f"{refs} refs are in tables of V2 sessions, where no hook of OpenCode resolves them"
    return [f"{text}; `ocblob restore` puts them back"]


def _column_status(  # noqa: PLR0913, PLR0917
    database: HostDatabase,
    column: Column,
    offloaded: bool,  # noqa: FBT001
    min_chars: int,
    marks: Marks,
    progress: Callable[[int], None],
) -> ColumnStatus:
    counted = ColumnStatus(str(column), offloaded)
    with database.cells() as cells:
        for cell in database.candidates(column, larger_than=REF_CELL_BYTES_MIN, scope=Scope()):
            with contextlib.suppress(CellError):
                reader = cells.open(cell)
                _count(counted, reader, min_chars, marks, bare_refs=column.bare_refs)
            progress(cell.size)
    return counted


def _prompts_status(found: Status, database: HostDatabase, min_chars: int, marks: Marks) -> list[str]:
    """The host's prompt files, if it is its own database; warnings about those that cannot be read."""
    warnings = []
    for path in config.prompt_history_files() if config.is_hosts_own(database.address) else ():
        counted = PromptFileStatus(str(path))
        try:
            with PromptFile(path) as file:
                counted.size = file.size
                for line in file.lines():
                    _count(counted, line, min_chars, marks)
        except (OSError, CellError) as error:
            warnings.append(f"{path}: {error.strerror if isinstance(error, OSError) else error}")
        else:
            found.prompts.append(counted)
    return warnings


def _count(
    counted: ColumnStatus | PromptFileStatus,
    reader: CellReader,
    min_chars: int,
    marks: Marks,
    *,
    bare_refs: bool = False,
) -> None:
    for span in scan(reader.read(0, reader.size), min_chars=min_chars, hashing=False, bare_refs=bare_refs):
        match span:
            case PayloadSpan():
                counted.inline += 1
                counted.inline_chars += span.end - span.start
            case RefSpan():
                counted.refs += 1
                counted.refs_size += span.ref.size
                marks.add(span.ref)
            case InlineSpan():
                pass
