"""Files that commands write for people."""

import os
from collections.abc import Iterable
from pathlib import Path

from ocblob.errors import OcblobError, UsageError
from ocblob.filesystem import create_private


def write_whole(path: Path, chunks: Iterable[bytes], *, force: bool) -> int:
    """Write a file whole or not at all: it gets its name when the last byte is there. Returns its size.

    A device or a pipe is written through. Raises `UsageError` if a file is there and `force` is not.
    """
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                return sum(file.write(chunk) for chunk in chunks)
        target = path.resolve()
        if target.exists() and not force:
            raise UsageError(f"{path} is there already", hint="--force writes over it")
        return _write_beside(target, chunks)
    except OSError as error:
        raise OcblobError(f"{path}: {error.strerror}") from error


def _write_beside(target: Path, chunks: Iterable[bytes]) -> int:
    beside = target.with_name(f".{target.name}.{os.getpid()}.ocblob")
    try:
        with create_private(beside) as file:
            size = sum(file.write(chunk) for chunk in chunks)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
    return size
