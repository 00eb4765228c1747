"""What durable files need and platforms do differently; every platform-bound line of ocblob stands here.

Linux is what the tests run on; the macOS and Windows branches follow their documentation.
"""

import contextlib
import os
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from stat import S_ISDIR, S_ISREG
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
    if "\0" in text:
        raise UsageError(f"{text!r}: a path cannot have a null character")
    try:
        text.encode("utf-8")
        return Path(text).expanduser()
    except UnicodeEncodeError:
        raise UsageError(f"{text!r}: a path that is not valid UTF-8 cannot be used") from None
    except RuntimeError as error:
        raise UsageError(f"{text}: {error}") from error


def link_to_nothing(path: Path) -> Path | None:
    """The link on the way to a path that leads nowhere; None if there is none: then nothing is there indeed."""
    return next((part for part in (path, *path.parents) if part.is_symlink() and not part.exists()), None)


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


def write_durable(path: Path, data: bytes, *, like: Path | None = None) -> None:
    """Replace a small file as a whole: after a power cut it holds the old bytes or the new ones.

    Only its owner can read it, or who may read `like`.
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    try:
        fd = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), PRIVATE_FILE_MODE)
        with os.fdopen(fd, "wb") as file:
            if like is not None:
                copy_mode_and_owner(like, beside)
            file.write(data)
            file.flush()
            fsync_fd(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    fsync_directory(path.parent)


def publish_new(source: Path, target: Path) -> None:
    """Give a finished file its name, durably, unless something has that name. Raises `FileExistsError` then.

    `source` is gone afterwards. On a file system without hard links an empty file takes the name first.
    """
    if sys.platform == "win32":
        source.rename(target)  # it never replaces
        return
    try:
        target.hardlink_to(source)
    except FileExistsError:
        raise
    except OSError:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE_FILE_MODE))
        source.replace(target)
    # The new name is durable before the old one goes.
    fsync_directory(target.parent)
    source.unlink(missing_ok=True)
    fsync_directory(target.parent)


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


def is_stream(path: Path) -> bool:
    """Whether it is a pipe, a socket or a device: it keeps nothing, and reading it may never end. Raises OSError."""
    mode = path.stat().st_mode
    return not (S_ISREG(mode) or S_ISDIR(mode))


@contextlib.contextmanager
def sole_replacer(directory: Path) -> Iterator[None]:
    """Keep every other process of ours from replacing files in a directory; not on Windows.

    Raises `BlockingIOError` if one is at it. File systems that lock no directories go without.
    """
    if sys.platform == "win32":
        yield
        return
    import fcntl  # noqa: PLC0415 - not on Windows

    fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BlockingIOError(0, "another ocblob is at work on it", str(directory)) from None
        except OSError:
            pass
        yield
    finally:
        os.close(fd)


def is_written(path: Path, *, name: str, nameless: bool = False) -> bool:
    """Whether a process has a file open for writing that it knows as `name`, as far as can be seen.

    Seen are processes of one's own; root sees all. With `nameless` the kernel is asked too, which knows them all,
    where the file is one's own: that turns away who opens it without waiting (O_NONBLOCK) at that instant, so only
    do it to a file that nobody can find any more. Windows lets nobody rename a file that is open: always False.
    """
    if sys.platform == "linux":
        return _linux_writers(path, name) or (nameless and _linux_lease_refused(path))
    return _macos_writers(path) if sys.platform == "darwin" else False


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


def _linux_writers(path: Path, name: str) -> bool:
    wanted = path.stat()
    for process in Path("/proc").iterdir():
        # It may end under our eyes, or be another user's.
        with contextlib.suppress(OSError):
            for fd in (process / "fd").iterdir() if process.name.isdigit() else ():
                # The name first: to ask a descriptor on a dead network file system would take forever.
                with contextlib.suppress(OSError):
                    known = name in str(fd.readlink()) and os.path.samestat(wanted, fd.stat())
                    if known and _linux_writes(process / "fdinfo" / fd.name):
                        return True
    return False


def _linux_writes(info: Path) -> bool:
    flags = re.search(r"^flags:\s*([0-7]+)$", info.read_text(encoding="ascii"), re.MULTILINE)
    return flags is not None and int(flags[1], 8) & os.O_ACCMODE != os.O_RDONLY


def _linux_lease_refused(path: Path) -> bool:
    """A lease for reading is given only where nobody has the file open or mapped for writing."""
    import fcntl  # noqa: PLC0415 - not on Windows

    fd = os.open(path, os.O_RDONLY)
    try:
        # Who opens it while the lease stands makes the kernel send a signal: one that is ignored, as SIGIO kills.
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return False  # another user's file, or a file system without leases
    finally:
        os.close(fd)
    return False


def _macos_writers(path: Path) -> bool:
    import subprocess  # noqa: PLC0415 - only here

    lsof = ["/usr/sbin/lsof", "-Fa", "--", str(path)]
    listed = subprocess.run(lsof, capture_output=True, text=True, check=False).stdout  # noqa: S603 - no shell
    return any(line[:1] == "a" and line[1:2] in {"w", "u"} for line in listed.splitlines())
