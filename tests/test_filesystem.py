import errno
import os
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from ocblob import filesystem
from ocblob.errors import UsageError
from ocblob.filesystem import (
    copy_mode_and_owner,
    expanded,
    fsync_directory,
    fsync_file,
    is_other_users,
    make_private_directory,
    network_filesystem,
    owner_of,
    write_durable,
)

ROOT = os.geteuid() == 0
MOUNTS = """\
proc /proc proc rw 0 0
/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
tmpfs /home/local tmpfs rw 0 0
systemd-1 /mnt/auto autofs rw 0 0
//nas/share /mnt/auto cifs rw 0 0
user@host:/ /mnt/with\\040space fuse.sshfs rw 0 0
/dev/sdb1 /mnt/nas ext4 rw 0 0
"""

Record = list[str]


@pytest.fixture
def synced(monkeypatch: pytest.MonkeyPatch) -> Record:
    """The names of what is fsynced and renamed, in their order."""
    calls: Record = []
    real_fsync, real_replace = os.fsync, os.replace

    def fsync(fd: int) -> None:
        calls.append("directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "file")
        real_fsync(fd)

    def replace(source: Path, target: Path) -> None:
        calls.append("rename")
        real_replace(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    return calls


@pytest.fixture
def mounted(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make Linux say that these are its mounts."""
    real = Path.read_text

    def say(mounts: str) -> None:
        def read_text(path: Path, *args: str | None, **more: str | None) -> str:
            return mounts if str(path) == "/proc/self/mounts" else real(path, *args, **more)

        monkeypatch.setattr(Path, "read_text", read_text)

    return say


def mode_of(path: Path) -> int:
    """The permission bits."""
    return stat.S_IMODE(path.stat().st_mode)


def names_in(path: Path) -> list[str]:
    """What lies in a directory."""
    return sorted(entry.name for entry in path.iterdir())


def test_durable_write_is_file_then_rename_then_directory(tmp_path: Path, synced: Record) -> None:
    """The bytes are durable before the name shows them, and the name before the call returns."""
    write_durable(tmp_path / "small", b"new")
    assert ["file", "rename", "directory"] == synced
    assert b"new" == (tmp_path / "small").read_bytes()
    assert ["small"] == names_in(tmp_path)


def test_durable_write_is_private_and_replaces(tmp_path: Path) -> None:
    """A file that is replaced as a whole is only its owner's to read, and nothing else is left beside it."""
    path = tmp_path / "small"
    path.write_bytes(b"a longer text than the new one")
    write_durable(path, b"new")
    write_durable(path, b"")
    assert b"" == path.read_bytes()
    assert 0o600 == mode_of(path)
    assert ["small"] == names_in(tmp_path)


@pytest.mark.parametrize("failing", ["fsync", "replace"])
def test_failed_write_leaves_the_old_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    """When the disk refuses, the error comes through, the old bytes stand, and no half file is left."""
    path = tmp_path / "small"
    write_durable(path, b"old")

    def refuse(*_args: object) -> None:
        raise OSError(errno.EIO, "input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(os, failing, refuse)
        with pytest.raises(OSError, match="input/output"):
            write_durable(path, b"new")
    assert b"old" == path.read_bytes()
    assert ["small"] == names_in(tmp_path)


def test_failed_fsync_is_never_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second fsync of the same file would lie: after an error the kernel has dropped the pages."""
    calls: list[int] = []

    def refuse(fd: int) -> None:
        calls.append(fd)
        raise OSError(errno.EIO, "input/output error")

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(OSError, match="input/output"):
        write_durable(tmp_path / "small", b"new")
    assert 1 == len(calls)
    with pytest.raises(OSError, match="input/output"):
        fsync_directory(tmp_path)
    assert 2 == len(calls)


def test_fsync_of_a_file_and_a_directory(tmp_path: Path, synced: Record) -> None:
    """Each is one fsync of the thing itself; one that is not there is an error."""
    path = tmp_path / "file"
    path.write_bytes(b"bytes")
    fsync_file(path)
    fsync_directory(tmp_path)
    assert ["file", "directory"] == synced
    with pytest.raises(FileNotFoundError):
        fsync_file(tmp_path / "none")
    with pytest.raises(FileNotFoundError):
        fsync_directory(tmp_path / "none")


def test_private_directories_are_made_with_their_parents(tmp_path: Path, synced: Record) -> None:
    """Every directory that is made is 0700 and durable in its parent; what was there keeps its mode."""
    tmp_path.chmod(0o755)
    make_private_directory(tmp_path / "a" / "b" / "c")
    assert ["directory"] * 3 == synced
    assert [0o700] * 3 == [mode_of(tmp_path / name) for name in ("a", "a/b", "a/b/c")]
    assert 0o755 == mode_of(tmp_path)
    make_private_directory(tmp_path / "a" / "b" / "c")
    assert 3 == len(synced)


def test_private_directory_does_not_mind_a_race(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else may make the directory at the same moment."""
    real = Path.mkdir

    def mkdir(path: Path, mode: int = 0o777) -> None:
        real(path, mode)
        real(path, mode)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    make_private_directory(tmp_path / "a" / "b")
    assert (tmp_path / "a" / "b").is_dir()


def test_directory_below_a_file_is_an_error(tmp_path: Path) -> None:
    """A file where a directory should be is said, not passed over."""
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"directory|exists"):
        make_private_directory(tmp_path / "file" / "below")


def test_mode_and_owner_are_copied(tmp_path: Path) -> None:
    """A file that takes another's place has its permissions, and where we may, its owner."""
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"")
    target.write_bytes(b"")
    source.chmod(0o640)
    if ROOT:
        os.chown(source, 65_534, 65_534)
    copy_mode_and_owner(source, target)
    assert 0o640 == mode_of(target)
    assert owner_of(source) == owner_of(target)
    assert ROOT == is_other_users(target)


def test_a_path_has_no_null_character() -> None:
    """A name that no file can have is refused where it is read, not where it is used."""
    with pytest.raises(UsageError, match="a path cannot have a null character"):
        expanded("a\0b")


def test_own_file_is_not_another_users(tmp_path: Path) -> None:
    """What this process makes is its own."""
    assert os.geteuid() == owner_of(tmp_path)
    assert not is_other_users(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own list of mounts")
def test_this_directory_is_local_by_the_real_list(tmp_path: Path) -> None:
    """The real list of mounts can be read, and names a file system for a real directory."""
    assert "" != filesystem._linux_filesystem(tmp_path.resolve())


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own list of mounts")
@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/data/opencode.db", None),
        ("/home/user/opencode.db", "nfs4"),
        ("/home", "nfs4"),
        ("/homes/opencode.db", None),
        ("/home/local/opencode.db", None),
        ("/mnt/with space/x.db", "fuse.sshfs"),
        ("/mnt/nas/x.db", None),
        ("/mnt/auto/x.db", "cifs"),
    ],
)
def test_network_file_systems_are_known(mounted: Callable[[str], None], path: str, expected: str | None) -> None:
    """The deepest mount decides, the last of two on one directory: an automount lies below what it mounted."""
    mounted(MOUNTS)
    assert expected == network_filesystem(Path(path))


@pytest.mark.skipif(sys.platform != "linux", reason="reads Linux's own list of mounts")
def test_odd_list_of_mounts_is_no_error(mounted: Callable[[str], None]) -> None:
    """A line that makes no sense is passed over."""
    mounted("\nodd\n/dev/sda1 / nfs rw 0 0\n")
    assert "nfs" == network_filesystem(Path("/data"))
