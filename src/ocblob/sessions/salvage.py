"""What is whole in a damaged archive: every session whose text is as it was written, in a new file.

Sessions are told apart by the lines between them, which stand nowhere else: a string has no line ends in JSON. Behind
a damaged frame of a compressed archive nothing can be read.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final

from ocblob.errors import ArchiveError, BlobCorruptError
from ocblob.filesystem import create_private
from ocblob.pass_report import Problems
from ocblob.sessions.lines import text_chunks
from ocblob.sessions.reader import Archive

_BEGIN: Final = b"[\n"
_BETWEEN: Final = b"\n,\n"
_END: Final = b"]\n"


@dataclass(slots=True)
class Salvaged(Problems):
    """What was found."""

    sessions: list[str] = field(default_factory=list)
    """The ids of those that are whole, in the archive's order."""
    lost: int = 0
    """Pieces of the file that are no whole session."""


def salvage(path: Path, target: Path) -> Salvaged:
    """Write the sessions that are whole to a new archive, plain text. Takes twice its room beside it for a while.

    Raises `ArchiveError` if the file cannot be opened, or the disk does not take what is in it.
    """
    report = Salvaged()
    part = target.with_name(f"{target.name}.part")
    try:
        with create_private(target) as file:
            file.write(_BEGIN)
            for number, why in enumerate(_elements(path, part), start=1):
                try:
                    ids = [session.id for session, _ in Archive(part).headers()]
                except ArchiveError as error:
                    report.lost += 1
                    report.tell(f"piece {number}: {why or str(error).partition(': ')[2]}")
                    continue
                if report.sessions:
                    file.write(_BETWEEN[1:])
                _append(part, file)
                report.sessions += ids
            file.write(_END)
    except OSError as error:
        raise ArchiveError(f"{error.filename or target}: {error.strerror or error}") from error
    finally:
        part.unlink(missing_ok=True)
    return report


def _elements(path: Path, part: Path) -> Iterator[str]:
    """Each piece between two separating lines, in `part`, as an archive of its own; and why it ends early, if so."""
    held, first, why = b"", True, ""
    with path.open("rb") as source:
        chunks = text_chunks(source)
        file = _begun(part)
        try:
            while chunk := next(chunks, b""):
                held += chunk
                if first:
                    held, first = held.removeprefix(_BEGIN), False
                while (end := held.find(_BETWEEN)) >= 0:
                    file.write(held[: end + 1] + _END)
                    file.close()
                    yield ""
                    file, held = _begun(part), held[end + len(_BETWEEN) :]
                file.write(held[: -len(_END)])
                held = held[-len(_END) :]
        except BlobCorruptError as error:
            why = f"damaged from here on ({error})"
        finally:
            file.write(held.removesuffix(_END) + _END)
            file.close()
    yield why


def _begun(part: Path) -> BinaryIO:
    part.unlink(missing_ok=True)
    file = create_private(part)
    file.write(_BEGIN)
    return file


def _append(part: Path, target: BinaryIO) -> None:
    """The element of an archive of one, without what stands around it."""
    with part.open("rb") as file:
        file.seek(len(_BEGIN))
        shutil.copyfileobj(file, target)
    target.seek(-len(_END), os.SEEK_END)
    target.truncate()
