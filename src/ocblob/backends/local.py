"""Objects as files below one directory.

An object appears by a rename of a whole, fsynced file. Directories are 0700, files 0600.
"""

import contextlib
import os
import shutil
import stat
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import BinaryIO, Final

from ocblob.backends.base import ObjectStat
from ocblob.errors import BackendError, ObjectNotFoundError, StoreUnavailableError
from ocblob.filesystem import create_private, fsync_directory, fsync_fd, make_private_directory

SYNCERS: Final = 8
"""Directories fsynced at a time: file systems serve several for the price of one."""


class LocalBackend:
    """Keys are paths below `root`, with slashes on every platform."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def url(self) -> str:
        """The directory."""
        return str(self.root)

    @property
    def limits(self) -> tuple[str, ...]:
        """None."""
        return ()

    def path(self, key: str) -> Path:
        """The file of an object."""
        return self.root.joinpath(*key.split("/"))

    def put(self, key: str, data: BinaryIO, *, size: int) -> str:
        """Write beside, fsync, rename, fsync the directory."""
        path = self.path(key)
        beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
        try:
            make_private_directory(path.parent)
            with create_private(beside) as file:
                shutil.copyfileobj(data, file)
                if file.tell() != size:
                    raise BackendError(f"{path}: got {file.tell()} bytes instead of {size}")
                file.flush()
                fsync_fd(file.fileno())
                version = _version(os.fstat(file.fileno()))
            beside.replace(path)
            fsync_directory(path.parent)
        except OSError as error:
            raise _translate(error, path) from error
        finally:
            # On a read-only file system even this is an error, and would hide the one that counts.
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)
        return version

    def put_new(self, key: str, data: BinaryIO, *, size: int) -> str | None:
        """A hard link appears only where nothing is; the name beside it goes away."""
        target = self.path(key)
        beside = f"{key}.new-{os.getpid()}-{os.urandom(4).hex()}"
        version = self.put(beside, data, size=size)
        try:
            os.link(self.path(beside), target)
        except FileExistsError:
            return None
        except OSError:
            # No hard links on this file system: the race is as narrow as two calls.
            if target.exists():
                return None
            self.path(beside).replace(target)
        finally:
            self.delete(beside)
        self.sync([key])
        return version

    def adopt(self, key: str, path: Path) -> None:
        """Rename; the file must be on the same file system."""
        target = self.path(key)
        try:
            try:
                path.replace(target)
            except FileNotFoundError:
                make_private_directory(target.parent)
                path.replace(target)
        except OSError as error:
            raise _translate(error, target) from error

    def sync(self, keys: Iterable[str]) -> None:
        """Fsync each directory that holds one of the keys, once."""
        directories = sorted({self.path(key).parent for key in keys})
        with ThreadPoolExecutor(SYNCERS) as pool:
            for _ in pool.map(_sync_directory, directories):
                pass

    def sync_object(self, key: str) -> None:
        """Make an object durable that somebody else may have put a moment ago."""
        path = self.path(key)
        try:
            with path.open("rb+") as file:
                fsync_fd(file.fileno())
        except OSError as error:
            raise _translate(error, path) from error

    def open(self, key: str) -> BinaryIO:
        """The open file, seekable and unbuffered: readers here read in large pieces."""
        path = self.path(key)
        try:
            return path.open("rb", buffering=0)
        except OSError as error:
            raise _translate(error, path) from error

    def version(self, file: BinaryIO) -> str:
        """By the open file, wherever it has been moved since."""
        return _version(os.fstat(file.fileno()))

    def stat(self, key: str) -> ObjectStat:
        """By the file's own size and time."""
        path = self.path(key)
        try:
            found = path.stat()
        except OSError as error:
            raise _translate(error, path) from error
        if not stat.S_ISREG(found.st_mode):
            raise ObjectNotFoundError(f"{path}: not a file")
        return ObjectStat(key, found.st_size, found.st_mtime, _version(found))

    def move(self, key: str, to: str, *, version: str = "") -> bool:
        """Rename."""
        source, target = self.path(key), self.path(to)
        try:
            if version and _version(source.stat()) != version:
                return False
            make_private_directory(target.parent)
            source.replace(target)
        except OSError as error:
            raise _translate(error, source) from error
        return True

    def delete(self, key: str, *, version: str = "") -> bool:
        """Unlink."""
        path = self.path(key)
        try:
            if version and _version(path.stat()) != version:
                return False
            path.unlink(missing_ok=True)
        except FileNotFoundError:
            return True
        except OSError as error:
            raise _translate(error, path) from error
        return True

    def scan(self, prefix: str) -> Iterator[ObjectStat]:
        """Walk the directory in the order of names; one directory's names in memory at a time.

        Half-written files are passed over.
        """
        pending = [prefix.rstrip("/")]
        while pending:
            at = pending.pop()
            below = []
            try:
                with os.scandir(self.path(at)) as entries:
                    ordered = sorted(entries, key=lambda entry: entry.name)
                for entry in ordered:
                    key = f"{at}/{entry.name}"
                    if entry.is_dir(follow_symlinks=False):
                        below.append(key)
                    elif not entry.name.startswith("."):
                        # Gone since it was listed: the others are still there.
                        with contextlib.suppress(FileNotFoundError):
                            found = entry.stat(follow_symlinks=False)
                            yield ObjectStat(key, found.st_size, found.st_mtime, _version(found))
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _translate(error, self.path(at)) from error
            pending += reversed(below)

    def children(self, prefix: str) -> list[str]:
        """The names in one directory."""
        path = self.path(prefix.rstrip("/"))
        try:
            return sorted(entry.name for entry in path.iterdir() if not entry.name.startswith("."))
        except FileNotFoundError:
            return []
        except OSError as error:
            raise _translate(error, path) from error


def _version(found: os.stat_result) -> str:
    """One file and its content, for as long as it lives under whatever name."""
    return f"{found.st_dev:x}-{found.st_ino:x}-{found.st_mtime_ns:x}"


def _sync_directory(directory: Path) -> None:
    try:
        fsync_directory(directory)
    except FileNotFoundError:
        return  # what was in it moved away, and the directory too
    except OSError as error:
        raise _translate(error, directory) from error


def _translate(error: OSError, path: Path) -> BackendError:
    reason = error.strerror or type(error).__name__
    if isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError):
        return ObjectNotFoundError(f"{path}: {reason}")
    return StoreUnavailableError(f"{path}: {reason}")
