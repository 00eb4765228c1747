"""Rows that wait to be put in, with contents that are here already: a source may take its time for them."""

import contextlib
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import IO, Self

from ocblob.databases.session_rows import CONTENT_READ_BYTES, Content, Row, Value
from ocblob.databases.sqlite.session_snapshot import held
from ocblob.databases.sqlite.swapping import BOUND_BYTES_MAX
from ocblob.errors import DatabaseError


class Taken:
    """Takes rows from anywhere; contents up to `BOUND_BYTES_MAX` stay in memory. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        # Beside the database: the system's temporary directory may be memory.
        self._directory = path.parent
        self._files = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.release()

    def release(self) -> None:
        """None of the rows that were taken is read any more."""
        self._files.close()

    def row(self, row: Row) -> Row:
        """The same one. Reads its contents; what they raise is raised."""
        return Row(row.rowid, tuple(map(self._value, row.values)))

    def _value(self, value: Value) -> Value:
        if not isinstance(value, Content):
            return value
        if value.size <= BOUND_BYTES_MAX:
            data = held(value)
            return Content(value.kind, value.size, partial(iter, (data,)))
        with self._disk_errors():
            file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115 - it stays until it is put in
        self._files.enter_context(file)
        for chunk in value.chunks():
            with self._disk_errors():
                file.write(chunk)
        with self._disk_errors():
            file.flush()
        return Content(value.kind, value.size, partial(_chunks, file))

    @contextlib.contextmanager
    def _disk_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DatabaseError(f"{self._directory}: {error.strerror}") from error


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    file.seek(0)
    while chunk := file.read(CONTENT_READ_BYTES):
        yield chunk
