import io
import os
import stat
from pathlib import Path

import pytest

from contracts import DATA, OTHER, BackendContract, listed, put, read
from ocblob.backends import local_path
from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.backends.memory import MemoryBackend
from ocblob.errors import BackendError, ObjectNotFoundError, StoreUnavailableError, UsageError
from samples import tree

SHARED_MEMORY = Path("/dev/shm")


class TestMemoryBackend(BackendContract):
    """Objects in a dict."""

    @pytest.fixture
    def backend(self) -> Backend:
        """An empty one."""
        return MemoryBackend()


class TestLocalBackend(BackendContract):
    """Objects as files."""

    @pytest.fixture
    def backend(self, tmp_path: Path) -> Backend:
        """Below a directory that is not there yet."""
        return LocalBackend(tmp_path / "root")


@pytest.fixture
def local(tmp_path: Path) -> LocalBackend:
    """A local backend of the test's own."""
    return LocalBackend(tmp_path / "root")


def test_local_objects_are_private(local: LocalBackend) -> None:
    """Directories are 0700 and files 0600 even if the umask would let everybody in."""
    before = os.umask(0)
    try:
        put(local, "objects/00/one")
    finally:
        os.umask(before)

    modes = {name: stat.S_IMODE(mode) for name, (mode, _) in tree(local.root).items()}

    assert {"objects": 0o700, "objects/00": 0o700, "objects/00/one": 0o600} == modes
    assert 0o700 == stat.S_IMODE(local.root.stat().st_mode)


def test_local_scan_passes_half_written_files_over(local: LocalBackend) -> None:
    """A file that a killed put left is not an object."""
    put(local, "objects/00/one")
    (local.root / "objects/00/.two.123.abcd").write_bytes(b"half")

    assert ["objects/00/one"] == listed(local, "objects/")


def test_local_put_is_durable_before_it_shows(local: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file's bytes are synced before the rename, and the directory after it."""
    events: list[str] = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(fd: int) -> None:
        events.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        real_fsync(fd)

    def replace(source: Path, target: Path) -> None:
        events.append("rename")
        real_replace(source, target)

    put(local, "objects/00/other")
    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)

    put(local, "objects/00/one")

    assert ["file", "rename", "directory"] == events


def test_local_put_that_cannot_be_synced_leaves_nothing(local: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the bytes cannot be made durable no object appears, and no file stays behind."""

    def fsync(fd: int) -> None:
        if stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(StoreUnavailableError, match="Input/output error"):
        put(local, "objects/00/one")

    assert [] == [path for path in local.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize("key", ["objects/00/loop", "objects/loop/one"])
def test_local_says_unavailable_when_it_cannot_look(local: LocalBackend, key: str) -> None:
    """A path that cannot be followed is not an object that is absent."""
    (local.root / "objects" / "00").mkdir(parents=True)
    for loop in ("objects/00/loop", "objects/loop"):
        (local.root / loop).symlink_to(local.root / loop)

    for look in (local.open, local.stat):
        with pytest.raises(StoreUnavailableError):
            look(key)


def test_local_scan_says_unavailable_when_it_cannot_look(local: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that may not be read makes a scan fail, never end early."""
    put(local, "objects/00/one")

    def scandir(_path: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "scandir", scandir)

    with pytest.raises(StoreUnavailableError, match="Permission denied"):
        listed(local, "objects/")


def test_local_adopts_only_within_one_file_system(local: LocalBackend) -> None:
    """A file from elsewhere cannot be renamed into place: an error, and the file stays where it is."""
    if not SHARED_MEMORY.is_dir() or SHARED_MEMORY.stat().st_dev == local.root.parent.stat().st_dev:
        pytest.skip("needs two file systems")
    path = SHARED_MEMORY / f"ocblob-test-{os.getpid()}"
    path.write_bytes(DATA)
    try:
        with pytest.raises(BackendError):
            local.adopt("objects/00/one", path)

        assert DATA == path.read_bytes()
        assert [] == listed(local, "objects/")
    finally:
        path.unlink()


def test_local_sync_passes_an_error_on(local: LocalBackend, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory that cannot be made durable is an error."""
    put(local, "objects/00/one")

    def fsync(_fd: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fsync)

    with pytest.raises(StoreUnavailableError, match="Input/output error"):
        local.sync(["objects/00/one"])


def test_local_open_object_outlives_its_name(local: LocalBackend) -> None:
    """A reader goes on with the bytes it opened when the object is replaced or deleted."""
    put(local, "objects/00/one")

    with local.open("objects/00/one") as file:
        head = file.read(100)
        put(local, "objects/00/one", b"new")
        local.delete("objects/00/one")
        rest = b"".join(iter(lambda: file.read(1000), b""))

    assert DATA == head + rest


def test_local_reader_can_seek(local: LocalBackend) -> None:
    """A local object can be read from any place."""
    put(local, "objects/00/one")

    with local.open("objects/00/one") as file:
        file.seek(2000)
        assert DATA[2000:2010] == file.read(10)


def test_memory_objects_are_the_process_own(tmp_path: Path) -> None:
    """Two memory backends share nothing."""
    one, two = MemoryBackend(), MemoryBackend()
    put(one, "objects/00/one")

    assert DATA == read(one, "objects/00/one")
    with pytest.raises(ObjectNotFoundError):
        two.open("objects/00/one")
    assert one.url != two.url
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/srv/blobs", Path("/srv/blobs")),
        ("blobs", Path("blobs")),
        ("file:///srv/blobs", Path("/srv/blobs")),
        ("file:///srv/my%20blobs", Path("/srv/my blobs")),
        ("file://localhost/srv/blobs", Path("/srv/blobs")),
        ("FILE:///srv/blobs", Path("/srv/blobs")),
        ("C:\\blobs", Path("C:\\blobs")),
        ("s3://bucket/prefix", None),
        ("gs://bucket", None),
    ],
)
def test_local_path_knows_what_is_a_directory(url: str, expected: Path | None) -> None:
    """A path or a file URL names a directory; any other scheme names something else."""
    assert expected == local_path(url)


def test_local_path_expands_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """A leading tilde is the home directory."""
    monkeypatch.setenv("HOME", "/home/dev")

    assert Path("/home/dev/blobs") == local_path("~/blobs")


@pytest.mark.parametrize("url", ["", "file://otherhost/srv/blobs"])
def test_local_path_refuses_what_names_nothing_here(url: str) -> None:
    """An empty URL, or a file on another host, is a usage error."""
    with pytest.raises(UsageError):
        local_path(url)


def test_put_reads_from_where_the_source_is(local: LocalBackend) -> None:
    """A source that was read in part gives its rest."""
    source = io.BytesIO(DATA)
    source.seek(1000)

    local.put("objects/00/one", source, size=len(DATA) - 1000)

    assert DATA[1000:] == read(local, "objects/00/one")


def test_local_adopts_a_file(local: LocalBackend, tmp_path: Path) -> None:
    """A local file becomes an object with its bytes, and is a file no more."""
    path = tmp_path / "staged"
    path.write_bytes(DATA)

    local.adopt("objects/00/one", path)
    local.sync(["objects/00/one"])

    assert DATA == read(local, "objects/00/one")
    assert not path.exists()


def test_local_an_adopted_file_replaces_the_object(local: LocalBackend, tmp_path: Path) -> None:
    """Adopting over an object leaves the adopted bytes."""
    put(local, "objects/00/one", OTHER)
    path = tmp_path / "staged"
    path.write_bytes(DATA)

    local.adopt("objects/00/one", path)

    assert DATA == read(local, "objects/00/one")


def test_local_a_file_that_is_not_there_is_not_adopted(local: LocalBackend, tmp_path: Path) -> None:
    """Adopting nothing is an error of the backend and makes no object."""
    with pytest.raises((BackendError, FileNotFoundError)):
        local.adopt("objects/00/one", tmp_path / "none")

    assert [] == listed(local, "objects/")
