"""Reading through one of fsspec's drivers, and its errors in ours.

What a driver says may hold a secret: of an error only its kind is passed on.
"""

import os
from typing import Any

from ocblob.errors import BackendError, ObjectNotFoundError, StoreUnavailableError
from ocblob.positioned import Positioned


class FsspecReader(Positioned):
    """The bytes of an object; an end before its size is an error."""

    def __init__(self, file: Any, place: str, size: int, version: str) -> None:
        super().__init__(size)
        self.version = version
        self._file = file
        self._place = place

    def read_at(self, at: int, size: int) -> bytes:
        """By the driver's file, which reads ahead."""
        try:
            if self._file.tell() != at:
                self._file.seek(at)
            data = bytes(self._file.read(size))
        except Exception as error:
            raise translate(error, self._place) from error
        if not data:
            raise StoreUnavailableError(f"{self._place}: ends after {at} of {self.size} bytes")
        return data

    def close(self) -> None:
        """And the driver's file."""
        if not self.closed:
            super().close()
            self._file.close()


def translate(error: Exception, place: str) -> BackendError:
    """What to raise for an error of a driver, or of what it is built on."""
    if isinstance(error, BackendError):
        return error
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return ObjectNotFoundError(f"{place}: no such object")
    reason = type(error).__name__
    if isinstance(error, OSError) and error.errno:
        reason = os.strerror(error.errno)
    return StoreUnavailableError(f"{place}: {reason}")
