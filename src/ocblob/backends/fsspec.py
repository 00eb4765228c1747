"""Objects anywhere that fsspec has a driver for: Google, Azure, SFTP ...

The drivers differ, so this backend promises less than the others; `FsspecBackend.LIMITS` says what.
"""

import contextlib
import errno
import os
import re
import threading
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, BinaryIO, Final, cast

import fsspec

from ocblob.backends.base import ObjectStat
from ocblob.backends.fsspec_info import modified_of, size_of, version_of
from ocblob.backends.fsspec_reader import FsspecReader, translate
from ocblob.backends.source import Source
from ocblob.errors import BackendError, ObjectNotFoundError, StoreUnavailableError, UsageError

PIECE_BYTES: Final = 1 << 20
WHOLE_BYTES: Final = 16 << 20
"""Up to here an object is sent in one call, which no driver leaves half done."""
LOCKS: Final = 64

RENAMING: Final = frozenset({"arrow_hdfs", "file", "ftp", "hdfs", "local", "sftp", "smb", "ssh", "webdav", "webhdfs"})
"""Real file systems: a half-written file shows, so objects are written under another name; a rename is one step."""
FINISHING: Final = frozenset({"abfs", "adl", "az", "gcs", "gs", "oci", "oss"})
"""Places where a stream becomes an object when it is closed, and not before."""
COPYING: Final = frozenset({"gcs", "gs", "memory"})
"""Places whose copy is complete when the call returns; elsewhere the bytes of a moved object pass through here."""
PACKAGES: Final = {
    "abfs": "adlfs",
    "adl": "adlfs",
    "az": "adlfs",
    "gcs": "gcsfs",
    "gs": "gcsfs",
    "oci": "ocifs",
    "oss": "ossfs",
    "sftp": "paramiko",
    "smb": "smbprotocol",
    "ssh": "paramiko",
    "webdav": "webdav4",
}


class FsspecBackend:
    """Keys below a URL. `options` go to the driver as they are."""

    LIMITS: Final = (
        "a put is not synced: it is as durable as the driver makes it",
        "put_new looks and then puts: two processes at once may both be told that they put the object",
        "a version is compared before a delete or a move, not with it, and some places know no versions",
        "a bucket or a mount that is away may look like an object that is not there",
    )
    """What it does not promise, in words for people."""

    def __init__(self, url: str, options: Mapping[str, str] | None = None) -> None:
        scheme = url.partition("://")[0].lower()
        self._url = re.sub(r"//([^@/:?#]*):.*@", r"//\1@", url)
        self._url = re.split(r"[?#]", self._url, maxsplit=1)[0].rstrip("/")
        self._fs, root = _driver(scheme, url, options or {}, self._url)
        self._root = str(root).rstrip("/")
        self._renames = scheme in RENAMING
        self._finishes = scheme in FINISHING
        self._copies = scheme in COPYING
        self._races = [threading.Lock() for _ in range(LOCKS)]

    @property
    def limits(self) -> tuple[str, ...]:
        """What fsspec's drivers do not promise."""
        return self.LIMITS

    @property
    def url(self) -> str:
        """The URL, without a password and a query."""
        return self._url

    def put(self, key: str, data: BinaryIO, *, size: int) -> str:
        """In one call, as a stream, or under another name and a rename: what the place can do whole."""
        source = Source(data, size, self._place(key))
        path = self._path(key)
        if size <= WHOLE_BYTES and not self._renames:
            body = b"".join(source.pieces(PIECE_BYTES))
            self._call(key, self._fs.pipe_file, path, body)
        elif self._finishes:
            self._write(key, path, source)
        else:
            self._put_beside(key, source)
        found = self._info(key)
        if size_of(found) != size:
            raise StoreUnavailableError(f"{self._place(key)}: {size_of(found)} of {size} bytes arrived")
        return version_of(found)

    def put_new(self, key: str, data: BinaryIO, *, size: int) -> str | None:
        """Look, then put; in one process one of several wins."""
        with self._races[hash(key) % LOCKS]:
            try:
                self._info(key)
            except ObjectNotFoundError:
                return self.put(key, data, size=size)
        return None

    def open(self, key: str) -> BinaryIO:
        """With the driver's own read-ahead."""
        found = self._info(key)
        file = self._call(key, self._fs.open, self._path(key), "rb")
        # Some drivers look for themselves: what they found is what they read.
        details = getattr(file, "details", None)
        if isinstance(details, Mapping) and details.get("size") is not None:
            found = details
        reader = FsspecReader(file, self._place(key), size_of(found), version_of(found))
        return cast("BinaryIO", reader)

    def version(self, file: BinaryIO) -> str:
        """As it was when the object was opened."""
        return file.version if isinstance(file, FsspecReader) else ""

    def stat(self, key: str) -> ObjectStat:
        """What the driver tells of it."""
        return _stat(key, self._info(key))

    def move(self, key: str, to: str, *, version: str = "") -> bool:
        """A rename; elsewhere a copy and a delete."""
        found = self._info(key)
        if version not in {"", version_of(found)}:
            return False
        source, target = self._path(key), self._path(to)
        if self._renames:
            self._call(to, self._fs.makedirs, target.rpartition("/")[0], exist_ok=True)
            self._rename(key, source, target)
            return True
        if self._copies:
            self._call(key, self._fs.cp_file, source, target)
        else:
            with self.open(key) as file:
                self.put(to, file, size=size_of(found))
        if size_of(self._info(to)) != size_of(found):
            raise StoreUnavailableError(f"{self._place(to)}: the copy is not whole")
        self.delete(key, version=version_of(found))
        return True

    def delete(self, key: str, *, version: str = "") -> bool:
        """Compare, then delete."""
        try:
            # Some drivers delete a directory by the same call.
            if version not in {"", version_of(self._info(key))}:
                return False
            self._call(key, self._fs.rm_file, self._path(key))
        except ObjectNotFoundError:
            return True
        return True

    def sync(self, keys: Iterable[str]) -> None:
        """Drivers have nothing to say about it."""

    def scan(self, prefix: str) -> Iterator[ObjectStat]:
        """One directory's names in memory at a time. Half-written files are passed over."""
        pending = [prefix.rstrip("/")]
        while pending:
            at = pending.pop()
            for name, found in self._below(at):
                key = f"{at}/{name}"
                if found.get("type") == "directory":
                    pending.append(key)
                elif found.get("type") == "file":
                    yield _stat(key, found)

    def children(self, prefix: str) -> list[str]:
        """The names in one directory."""
        return sorted({name for name, _ in self._below(prefix.rstrip("/"))})

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}"

    def _place(self, key: str) -> str:
        return f"{self._url}/{key}"

    def _call(self, key: str, call: Any, *arguments: Any, **more: Any) -> Any:
        try:
            return call(*arguments, **more)
        except Exception as error:
            raise translate(error, self._place(key)) from error

    def _info(self, key: str) -> Mapping[str, Any]:
        # Drivers remember listings, and other processes put objects.
        self._fs.invalidate_cache()
        found: Mapping[str, Any] = self._call(key, self._fs.info, self._path(key))
        if found.get("type") != "file":
            raise ObjectNotFoundError(f"{self._place(key)}: not an object")
        return found

    def _below(self, at: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
        self._fs.invalidate_cache()
        directory = self._path(at)
        try:
            entries = self._call(at, self._fs.ls, directory, detail=True)
        except ObjectNotFoundError:
            return
        for found in entries:
            name = str(found["name"]).rstrip("/")
            hidden = name.rpartition("/")[2].startswith(".")
            # What is listed for a file, or an object that stands for the directory, is the thing itself.
            if not hidden and name.endswith(f"{directory.lstrip('/')}/{name.rpartition('/')[2]}"):
                yield name.rpartition("/")[2], found

    def _put_beside(self, key: str, source: Source) -> None:
        path = self._path(key)
        directory, _, name = path.rpartition("/")
        beside = f"{directory}/.{name}.{os.urandom(8).hex()}"
        try:
            self._write(key, beside, source)
            self._rename(key, beside, path)
        except BaseException:
            with contextlib.suppress(Exception):
                self._fs.rm_file(beside)
            raise

    def _rename(self, key: str, source: str, target: str) -> None:
        try:
            self._call(key, self._fs.mv, source, target)
        except StoreUnavailableError as error:
            if not isinstance(error.__cause__, OSError) or error.__cause__.errno != errno.EEXIST:
                raise
            # Some servers rename over nothing only.
            aside = f"{target}.{os.urandom(8).hex()}"
            self._call(key, self._fs.mv, target, aside)
            try:
                self._call(key, self._fs.mv, source, target)
            except BackendError:
                self._call(key, self._fs.mv, aside, target)
                raise
            self._call(key, self._fs.rm_file, aside)

    def _write(self, key: str, path: str, source: Source) -> None:
        file = self._opened_to_write(key, path)
        try:
            for piece in source.pieces(PIECE_BYTES):
                self._call(key, file.write, piece)
        except BaseException:
            _discard(file, close=not self._finishes)
            raise
        self._call(key, file.close)

    def _opened_to_write(self, key: str, path: str) -> Any:
        try:
            return self._call(key, self._fs.open, path, "wb")
        except ObjectNotFoundError:
            self._call(key, self._fs.makedirs, path.rpartition("/")[0], exist_ok=True)
            return self._call(key, self._fs.open, path, "wb")


def _discard(file: Any, *, close: bool) -> None:
    """Give a file up that is written in part. Closing one of a driver for objects would make the object."""
    with contextlib.suppress(Exception):
        if close:
            file.close()
        else:
            file.discard()
    with contextlib.suppress(Exception):
        file.closed = True


def _stat(key: str, found: Mapping[str, Any]) -> ObjectStat:
    return ObjectStat(key, size_of(found), modified_of(found), version_of(found))


def _driver(scheme: str, url: str, options: Mapping[str, str], shown: str) -> tuple[Any, str]:
    if "::" in url:
        raise UsageError(f"{scheme}: a store has no chained URL")
    if scheme not in fsspec.available_protocols():
        raise UsageError(f"{scheme}: no such kind of store")
    try:
        found: tuple[Any, str] = fsspec.core.url_to_fs(url, **options)
    except ImportError as error:
        package = PACKAGES.get(scheme, "the driver that fsspec names for it")
        raise UsageError(f"{scheme}: its driver is not installed", hint=f"pip install {package}") from error
    except (TypeError, ValueError) as error:
        raise UsageError(f"{shown}: the driver does not take this URL or its options") from error
    except Exception as error:
        problem: BackendError = translate(error, shown)
        raise StoreUnavailableError(str(problem)) from error
    return found
