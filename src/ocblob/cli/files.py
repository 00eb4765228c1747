"""Files that commands write for people."""

import os
from collections.abc import Iterable
from pathlib import Path

from ocblob.errors import OcblobError


def write_whole(path: Path, chunks: Iterable[bytes]) -> int:
    """Write a file whole or not at all: it gets its name when the last byte is there. Returns its size."""
    try:
        return _write(path, chunks)
    except OSError as error:
        raise OcblobError(f"{path}: {error.strerror}") from error


def _write(path: Path, chunks: Iterable[bytes]) -> int:
    beside = path.with_name(f".{path.name}.{os.getpid()}.ocblob")
    size = 0
    try:
        with beside.open("wb") as file:
            for chunk in chunks:
                size += file.write(chunk)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
    return size
