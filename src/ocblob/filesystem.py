"""What durable files need and platforms do differently; every platform-bound line of ocblob stands here.

Linux is what the tests run on; the macOS and Windows branches follow their documentation.
"""

import contextlib
import os
import re
import sys
from pathlib import Path
from typing import BinaryIO, Final

from ocblob.errors import UsageError

PRIVATE_DIRECTORY_MODE: Final = 0o700
PRIVATE_FILE_MODE: Final = 0o600
NETWORK_FILESYSTEMS: Final = frozenset(
    {
        "9p",
        "afs",
        "ceph",
        "cifs",
        "fuse.glusterfs",
        "fuse.sshfs",
        "lustre",
        "nfs",
        "nfs4",
        "smb3",
        "smbfs",
        "webdav",
    }
)

_OCTAL = re.compile(r"\\([0-7]{3})")
_FULLFSYNC: Final = 51
"""`fcntl.F_FULLFSYNC` of macOS: there fsync alone leaves the bytes in the drive's cache."""


def expanded(text: str) -> Path:
    """The path that a user means, `~` included. Raises `UsageError` if there is no such home or no such name."""
    try:
        text.encode("utf-8")
        return Path(text).expanduser()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r}: a path that is not valid UTF-8 cannot be used") from None
    except RuntimeError as error:
        raise UsageError(f"{text}: {error}") from error


def fsync_fd(fd: int) -> None:
    """Make an open file's bytes survive a power cut. Raises OSError; never call it again on that file then."""
    if sys.platform == "darwin":
        import fcntl  # noqa: PLC0415 - not on Windows

        # Network and some foreign file systems refuse it; fsync is then the best there is.
        with contextlib.suppress(OSError):
            fcntl.fcntl(fd, _FULLFSYNC)
            return
    os.fsync(fd)


def fsync_file(path: Path) -> None:
    """Make a file's bytes durable."""
    fd = os.open(path, os.O_RDWR | getattr(os, "O_BINARY", 0))
    try:
        fsync_fd(fd)
    finally:
        os.close(fd)


def fsync_directory(path: Path) -> None:
    """Make names created, renamed or removed in a directory durable. Windows has no such call and needs none."""
    if sys.platform == "win32":
        return
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fsync_fd(fd)
    finally:
        os.close(fd)


def make_private_directory(path: Path) -> None:
    """Create a directory, parents included, that only its owner can enter; an existing one is left as it is."""
    missing: list[Path] = []
    at = path
    while not at.exists():
        missing.append(at)
        at = at.parent
    for directory in reversed(missing):
        with contextlib.suppress(FileExistsError):
            directory.mkdir(mode=PRIVATE_DIRECTORY_MODE)
        fsync_directory(directory.parent)


def remove_empty_directories(path: Path) -> None:
    """Remove the directories below `path` that hold nothing; one that something is put into meanwhile stays."""
    for directory, _names, _files in os.walk(path, topdown=False):
        if Path(directory) != path:
            with contextlib.suppress(OSError):
                Path(directory).rmdir()


def create_private(path: Path) -> BinaryIO:
    """A new file that only its owner can read."""
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, PRIVATE_FILE_MODE), "w+b")


def write_durable(path: Path, data: bytes) -> None:
    """Replace a small file as a whole: after a power cut it holds the old bytes or the new ones."""
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), PRIVATE_FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            file.write(data)
            file.flush()
            fsync_fd(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def owner_of(path: Path) -> int | None:
    """The user id that owns a file; None where files have no such owner."""
    return None if sys.platform == "win32" else path.stat().st_uid


def is_other_users(path: Path) -> bool:
    """Whether a file belongs to somebody else than who runs this process."""
    return sys.platform != "win32" and owner_of(path) != os.geteuid()


def copy_mode_and_owner(source: Path, target: Path) -> None:
    """Give `target` the permission bits and, where we may, the owner of `source`."""
    stat = source.stat()
    target.chmod(stat.st_mode & 0o7777)
    if sys.platform != "win32" and (stat.st_uid, stat.st_gid) != (os.geteuid(), os.getegid()):
        os.chown(target, stat.st_uid, stat.st_gid)


def network_filesystem(path: Path) -> str | None:
    """The name of the network file system that `path` is on; None for a local or unknown one."""
    if sys.platform == "linux":
        name = _linux_filesystem(path.resolve())
    elif sys.platform == "darwin":
        name = _macos_filesystem(path.resolve())
    else:
        return "UNC share" if str(path.resolve()).startswith("\\\\") else None
    return name if name in NETWORK_FILESYSTEMS else None


def _linux_filesystem(path: Path) -> str:
    best, name = -1, ""
    for line in Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace").splitlines():
        _device, mount, kind, *_ = [*line.split(" "), "", ""]
        mount = _OCTAL.sub(lambda match: chr(int(match[1], 8)), mount)
        # The last of several mounts on one directory is the one that is seen.
        if mount and path.is_relative_to(mount) and len(mount) >= best:
            best, name = len(mount), kind
    return name


def _macos_filesystem(path: Path) -> str:
    import subprocess  # noqa: PLC0415 - only here

    mounts = subprocess.run(["/sbin/mount"], capture_output=True, text=True, check=False).stdout
    best, name = -1, ""
    for line in mounts.splitlines():
        mount, _, options = line.partition(" on ")[2].rpartition(" (")
        if mount and path.is_relative_to(mount) and len(mount) > best:
            best, name = len(mount), options.partition(",")[0].rstrip(")")
    return name
