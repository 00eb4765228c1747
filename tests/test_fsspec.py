import io
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFile, MemoryFileSystem

from contracts import DATA, OTHER, BackendContract, listed, put, read
from ocblob.backends import connect
from ocblob.backends.base import Backend
from ocblob.backends.fsspec import FsspecBackend
from ocblob.backends.fsspec_info import modified_of, version_of
from ocblob.errors import BackendError, ObjectNotFoundError, StoreUnavailableError, UsageError

KEY = "objects/00/one"
SECRET = "hunter2"


class TestFsspecMemory(BackendContract):
    """A place for objects: whole puts, copies, no directories."""

    @pytest.fixture
    def backend(self) -> Backend:
        """A prefix of the test's own: the memory is the process's."""
        return FsspecBackend(f"memory://tests/{uuid.uuid4().hex}")


class TestFsspecFiles(BackendContract):
    """A real file system: other names, renames, directories."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        """A directory that is not there yet."""
        return FsspecBackend(f"file://{tmp_path}/root")


class TestFsspecStreams(BackendContract):
    """A place that neither renames nor copies, and takes large objects as streams."""

    @pytest.fixture
    def backend(self, monkeypatch: pytest.MonkeyPatch) -> Backend:
        """Every object is large here."""
        monkeypatch.setattr("ocblob.backends.fsspec.WHOLE_BYTES", 0)
        monkeypatch.setattr("ocblob.backends.fsspec.COPYING", frozenset())
        return FsspecBackend(f"memory://tests/{uuid.uuid4().hex}")


@pytest.fixture
def memory() -> FsspecBackend:
    """An empty place of the test's own."""
    return FsspecBackend(f"memory://tests/{uuid.uuid4().hex}")


@pytest.fixture
def files(tmp_path: Path) -> FsspecBackend:
    """A directory of the test's own."""
    return FsspecBackend(f"file://{tmp_path}/root")


def fail_with(error: Exception) -> Any:
    """A method that raises."""

    def fail(*_arguments: object, **_more: object) -> None:
        raise error

    return fail


@pytest.mark.parametrize("method", ["info", "ls", "open", "rm_file", "cp_file", "pipe_file"])
@pytest.mark.parametrize("error", [PermissionError(13, f"no {SECRET}"), RuntimeError(f"no {SECRET}"), TimeoutError()])
def test_a_drivers_error_means_that_nobody_can_say(
    memory: FsspecBackend, monkeypatch: pytest.MonkeyPatch, method: str, error: Exception
) -> None:
    """Whatever a driver raises, but that the object is not there, is unavailable; its words are not passed on."""
    put(memory, KEY)
    monkeypatch.setattr(MemoryFileSystem, method, fail_with(error))
    calls: dict[str, Callable[[], object]] = {
        "info": lambda: memory.stat(KEY),
        "ls": lambda: listed(memory, "objects/"),
        "open": lambda: memory.open(KEY),
        "rm_file": lambda: memory.delete(KEY),
        "cp_file": lambda: memory.move(KEY, "trash/one"),
        "pipe_file": lambda: put(memory, KEY),
    }

    with pytest.raises(StoreUnavailableError) as caught:
        calls[method]()

    assert SECRET not in str(caught.value)
    assert memory.url in str(caught.value)


def test_a_reader_that_fails_is_an_error(memory: FsspecBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that breaks off, or ends too early, gives no end of the object."""
    put(memory, KEY)
    with memory.open(KEY) as file:
        monkeypatch.setattr(MemoryFile, "read", lambda *_: b"")
        with pytest.raises(StoreUnavailableError, match="ends after 0 of 3000 bytes"):
            file.read(10)
        monkeypatch.setattr(MemoryFile, "read", fail_with(OSError(5, "broken")))
        with pytest.raises(StoreUnavailableError, match="Input/output error"):
            file.read(10)


def test_an_object_that_did_not_arrive_whole_is_an_error(
    memory: FsspecBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A put is only done when the place tells the object's size."""
    monkeypatch.setattr(MemoryFileSystem, "info", lambda *_: {"type": "file", "size": 17})

    with pytest.raises(StoreUnavailableError, match="17 of 3000 bytes arrived"):
        put(memory, KEY)


def test_a_copy_that_is_not_whole_keeps_the_original(memory: FsspecBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A move deletes the old name only when the new one has all bytes."""
    put(memory, KEY)
    real = MemoryFileSystem.cp_file

    def half(self: Any, source: str, target: str) -> None:
        real(self, source, target)
        self.pipe_file(target, b"half")

    monkeypatch.setattr(MemoryFileSystem, "cp_file", half)

    with pytest.raises(StoreUnavailableError, match="the copy is not whole"):
        memory.move(KEY, "trash/one")

    assert DATA == read(memory, KEY)


def test_a_stream_that_fails_is_discarded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver's file that is written in part is never closed: closing it would make the object."""
    monkeypatch.setattr("ocblob.backends.fsspec.WHOLE_BYTES", 0)
    monkeypatch.setattr("ocblob.backends.fsspec.FINISHING", frozenset({"memory"}))
    memory = FsspecBackend(f"memory://tests/{uuid.uuid4().hex}")
    events: list[str] = []

    class Written(io.BytesIO):
        def write(self, _data: object, /) -> int:
            raise OSError(28, "No space left on device")

        def discard(self) -> None:
            events.append("discard")

        def close(self) -> None:
            events.append("close")

    monkeypatch.setattr(MemoryFileSystem, "open", lambda *_: Written())

    with pytest.raises(StoreUnavailableError, match="No space left on device"):
        put(memory, KEY)

    assert "discard" == events[0]
    assert [] == listed(memory, "objects/")


def test_a_file_appears_under_its_name_when_it_is_whole(files: FsspecBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real file system an object is written beside, and a put that fails leaves nothing there."""
    put(files, KEY, OTHER)
    seen: list[list[str]] = []

    def failing(_self: LocalFileSystem, source: str, _target: str) -> None:
        seen.append([name.rpartition("/")[2] for name in (source,)])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalFileSystem, "mv", failing)
    with pytest.raises(StoreUnavailableError):
        put(files, KEY, DATA)

    assert OTHER == read(files, KEY)
    assert seen[0][0].startswith(".one.")
    assert ["one"] == [path.name for path in Path(files._root, "objects/00").iterdir()]


def test_a_server_that_renames_over_nothing_is_helped(files: FsspecBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a rename refuses a name that is taken, what had it is put aside first, and put back if that fails."""
    real = LocalFileSystem.mv
    broken: list[str] = []

    def careful(self: LocalFileSystem, source: str, target: str) -> None:
        if Path(target).exists():
            raise FileExistsError(17, "File exists")
        if broken and target.endswith("/one") and ".one." in source:
            raise OSError(5, broken.pop())
        real(self, source, target)

    monkeypatch.setattr(LocalFileSystem, "mv", careful)
    put(files, KEY, OTHER)
    put(files, KEY, DATA)
    assert DATA == read(files, KEY)
    assert [KEY] == listed(files, "objects/")

    broken.append("broken")
    with pytest.raises(StoreUnavailableError):
        put(files, KEY, OTHER)
    assert DATA == read(files, KEY)
    assert [KEY] == listed(files, "objects/")


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (f"memory://user:{SECRET}@host/p", "memory://user@host/p"),
        (f"memory://user:a/{SECRET}@host/p/", "memory://user@host/p"),
        (f"memory://user:@{SECRET}@host/p", "memory://user@host/p"),
        (f"memory://host/p?sig={SECRET}", "memory://host/p"),
        ("memory://container@account/p", "memory://container@account/p"),
    ],
)
def test_the_url_for_messages_has_no_secret(url: str, shown: str) -> None:
    """A password and a query are not shown."""
    assert shown == FsspecBackend(url).url


@pytest.mark.parametrize(
    ("url", "words"), [("nothing://x", "nothing: no such kind of store"), ("zip://a::file:///b", "chained")]
)
def test_a_url_that_no_driver_takes_is_a_usage_error(url: str, words: str) -> None:
    """An unknown scheme and a chain of URLs are refused."""
    with pytest.raises(UsageError, match=words):
        connect(url)


def test_a_driver_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hint is the command that installs the driver."""
    monkeypatch.setitem(sys.modules, "gcsfs", None)

    with pytest.raises(UsageError, match="gs: its driver is not installed") as caught:
        connect("gs://bucket/p")

    assert "pip install gcsfs" == caught.value.hint


@pytest.mark.parametrize(
    ("error", "expected"),
    [(TypeError(SECRET), UsageError), (ValueError(SECRET), UsageError), (OSError(111, SECRET), StoreUnavailableError)],
)
def test_a_driver_that_does_not_start_is_an_error_without_its_words(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception]
) -> None:
    """A driver may connect at once, and say too much when it fails."""
    monkeypatch.setattr(fsspec.core, "url_to_fs", fail_with(error))

    with pytest.raises(expected) as caught:
        connect(f"memory://user:{SECRET}@host/p", {"password": SECRET})

    assert SECRET not in str(caught.value)


def test_connect_gives_options_to_the_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of other places are their drivers' own."""
    given: dict[str, str] = {}

    def note(_url: str, **options: str) -> tuple[object, str]:
        given.update(options)
        return fsspec.filesystem("memory"), "/p"

    monkeypatch.setattr(fsspec.core, "url_to_fs", note)

    assert isinstance(connect("memory://p", {"project": "blobs"}), FsspecBackend)
    assert {"project": "blobs"} == given


def test_what_it_does_not_promise_is_said() -> None:
    """Whoever shows a store can show its limits."""
    words = " ".join(FsspecBackend.LIMITS)

    assert all(word in words for word in ("synced", "put_new", "version", "mount"))


def test_a_missing_object_is_no_error_to_delete_and_a_directory_is_no_object(files: FsspecBackend) -> None:
    """Deleting what is only a directory does nothing."""
    put(files, KEY)

    assert files.delete("objects/00")
    assert DATA == read(files, KEY)
    with pytest.raises(ObjectNotFoundError):
        files.move("objects/00", "trash/00")


def test_a_source_that_fails_leaves_no_file(files: FsspecBackend) -> None:
    """A size that is not the announced one leaves nothing beside, either."""
    put(files, KEY)
    with pytest.raises(BackendError):
        files.put(KEY, io.BufferedReader(_Endless()), size=10)

    assert ["one"] == [path.name for path in Path(files._root, "objects/00").iterdir()]


class _Endless(io.RawIOBase):
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        return len(buffer)


@pytest.mark.parametrize(
    ("found", "version"),
    [
        ({"generation": "17", "etag": "x"}, "17"),
        ({"ETag": '"abc"'}, "abc"),
        ({"content_md5": "q=="}, "q=="),
        ({"mtime": 1700000000, "size": 3}, ""),
        ({"mtime": 1700000000.25, "size": 3, "ino": 7}, "1700000000.250000-3-7"),
        ({"size": 3}, ""),
    ],
)
def test_a_version_is_what_changes_with_every_put(found: dict[str, Any], version: str) -> None:
    """A time of whole seconds is none: two puts may share it."""
    assert version == version_of(found)


@pytest.mark.parametrize(
    ("found", "modified"),
    [
        ({"LastModified": "2026-01-05T00:00:00Z"}, 1767571200.0),
        ({"updated": "yesterday", "created": 5}, 5.0),
        ({}, 0.0),
    ],
)
def test_times_come_in_any_form(found: dict[str, Any], modified: float) -> None:
    """Drivers give numbers, texts, or nothing."""
    assert modified == modified_of(found)
