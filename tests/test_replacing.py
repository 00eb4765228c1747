import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ocblob import replacing
from ocblob.digest import digest_of
from ocblob.filesystem import is_written, sole_replacer
from ocblob.replacing import Content, Replaced, name_for_new, replace, tidy
from processes import as_nobody, environment, finish, spawn

OLD = b'{"input":"one"}\n{"input":"two"}\n'
NEW = b'{"input":"1"}\n{"input":"2"}\n'
LATE = b'{"input":"late"}\n'
ANEW = b'{"input":"two"}\n{"input":"anew"}\n'

HOLDER = """
import os, sys
fd = os.open(sys.argv[1], os.O_APPEND | getattr(os, sys.argv[2]))
print("open", flush=True)
sys.stdin.read()
"""

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A file that a host appends to."""
    path = tmp_path / "prompt-history.jsonl"
    path.write_bytes(OLD)
    return path


@pytest.fixture
def at_rename(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let things happen right before and right after each of the coming renames, one pair for each."""

    def plan(*moments: tuple[Callable[[], object], Callable[[], object]]) -> None:
        real, left = Path.replace, list(moments)

        def watched(source: Path, target: Path) -> Path:
            before, after = left.pop(0) if left else (lambda: None, lambda: None)
            before()
            done = real(source, target)
            after()
            return done

        monkeypatch.setattr(Path, "replace", watched)

    return plan


class Writer:
    """A host that has opened a file and not written to it yet."""

    def __init__(self, path: Path, flags: int) -> None:
        self._path = path
        self._flags = flags
        self._fd = -1

    def open(self) -> None:
        """By name."""
        self._fd = os.open(self._path, os.O_WRONLY | self._flags)

    def write(self, data: bytes) -> Callable[[], None]:
        """Write, and close it."""

        def do() -> None:
            os.write(self._fd, data)
            os.close(self._fd)

        return do


def put(path: Path, data: bytes = NEW) -> Replaced:
    """Replace a file that holds `OLD`."""
    new = name_for_new(path)
    new.write_bytes(data)
    try:
        return replace(path, new, Content(len(OLD), digest_of(OLD)[:16]))
    finally:
        new.unlink(missing_ok=True)


def append(path: Path, data: bytes) -> Callable[[], None]:
    """A host that appends a line by name."""

    def do() -> None:
        with path.open("ab") as file:
            file.write(data)

    return do


def nothing() -> None:
    """Nothing happens."""


@pytest.fixture
def holder(history: Path) -> Iterator[Callable[[str], subprocess.Popen[str]]]:
    """Start a second process that has the file open."""
    started = []

    def hold(flag: str) -> subprocess.Popen[str]:
        process = spawn(HOLDER, str(history), flag, stdin=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None
        assert "open\n" == process.stdout.readline()
        return process

    yield hold
    for process in started:
        finish(process)


def test_replaced_as_a_whole(history: Path) -> None:
    """The new content is there, with the mode that was, and nothing is left beside it."""
    history.chmod(0o640)

    assert Replaced.DONE is put(history)
    assert NEW == history.read_bytes()
    assert 0o640 == stat.S_IMODE(history.stat().st_mode)
    assert [history] == list(history.parent.iterdir())


def test_what_is_not_as_it_was_stays(history: Path) -> None:
    """A file that was written anew since it was read is not replaced."""
    history.write_bytes(ANEW + OLD)

    assert Replaced.CHANGED is put(history)
    assert ANEW + OLD == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


def test_lines_that_came_before_the_rename(history: Path) -> None:
    """What was appended since the file was read is in the new one too."""
    append(history, LATE)()

    assert Replaced.DONE is put(history)
    assert NEW + LATE == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


@linux_only
def test_held_open_for_writing(
    history: Path, holder: Callable[[str], subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that another process has open for writing, with or without reading, is in use and stays."""
    monkeypatch.setattr(replacing, "PATIENCE_S", 0.0)
    for flag in ("O_WRONLY", "O_RDWR"):
        process = holder(flag)
        assert Replaced.IN_USE is put(history)
        finish(process)

    assert OLD == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


def test_readers_are_no_hindrance(history: Path, holder: Callable[[str], subprocess.Popen[str]]) -> None:
    """A file that another process reads is replaced."""
    holder("O_RDONLY")

    assert Replaced.DONE is put(history)
    assert NEW == history.read_bytes()


def test_a_line_to_the_old_file_moves_over(history: Path, at_rename: Callable[..., None]) -> None:
    """Who has found the old file and appends to it after the rename loses nothing."""
    host = Writer(history, os.O_APPEND)
    at_rename((host.open, host.write(LATE)))

    assert Replaced.DONE is put(history)
    assert NEW + LATE == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


def test_lines_to_both_files_are_kept(history: Path, at_rename: Callable[..., None]) -> None:
    """A late line comes behind what was appended to the new file meanwhile."""
    host = Writer(history, os.O_APPEND)

    def both() -> None:
        append(history, b'{"input":"new"}\n')()
        host.write(LATE)()

    at_rename((host.open, both))

    assert Replaced.DONE is put(history)
    assert NEW + b'{"input":"new"}\n' + LATE == history.read_bytes()


def test_half_a_line_is_left_for_later(history: Path, at_rename: Callable[..., None]) -> None:
    """A line that is being written at the rename is not torn by one that comes to the new file."""
    append(history, b'{"input":"ha')()
    at_rename((nothing, append(history, LATE)))

    assert Replaced.DONE is put(history)
    assert NEW + LATE + b'{"input":"ha' == history.read_bytes()


def test_a_file_written_anew_is_what_the_host_means(history: Path, at_rename: Callable[..., None]) -> None:
    """Who has found the old file and writes it anew gets it back in its place; lines to the new one come along."""
    host = Writer(history, os.O_TRUNC)

    def both() -> None:
        append(history, LATE)()
        host.write(ANEW)()

    at_rename((host.open, both))

    assert Replaced.CHANGED is put(history)
    assert ANEW + LATE == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


@linux_only
def test_a_late_writer_that_stays(
    history: Path, at_rename: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has opened the old file just before the rename and keeps it open gets it back in its place."""
    monkeypatch.setattr(replacing, "PATIENCE_S", 0.0)
    host = Writer(history, os.O_APPEND)
    at_rename((host.open, nothing))

    assert Replaced.IN_USE is put(history)
    host.write(LATE)()
    assert OLD + LATE == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


def test_two_files_written_anew_are_both_kept(history: Path, at_rename: Callable[..., None]) -> None:
    """If two hosts write anew at that very moment, one is the file, and where the other is is said."""
    first, second = Writer(history, os.O_TRUNC), Writer(history, os.O_TRUNC)
    at_rename((first.open, first.write(ANEW)), (second.open, second.write(LATE)))

    with pytest.raises(OSError, match="what one of them wrote is in") as caught:
        put(history)
    assert ANEW == history.read_bytes()
    (kept,) = (path for path in history.parent.iterdir() if path != history)
    assert str(kept) in str(caught.value)
    assert LATE == kept.read_bytes()
    assert [kept] == tidy(history)


def test_another_file_in_its_place(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that an editor has put there by a rename meanwhile stays."""
    edited = history.with_name("edited")
    edited.write_bytes(ANEW)
    real = os.link

    def link(source: Path, target: Path) -> None:
        real(source, target)
        edited.replace(history)

    monkeypatch.setattr(os, "link", link)

    assert Replaced.CHANGED is put(history)
    assert ANEW == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


def test_a_hard_link_is_refused(history: Path) -> None:
    """A file that has another name would go on being the other one there."""
    os.link(history, history.with_name("other"))

    with pytest.raises(OSError, match="another hard link"):
        put(history)
    assert OLD == history.read_bytes()


def test_no_second_name_to_be_had(history: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file system has no hard links nothing is replaced, and that is what is said."""

    def link(source: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted", str(source), None, str(target))

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="cannot have a second name for a while: Operation not permitted"):
        put(history)
    assert OLD == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


KILLED = """
import os, signal, sys
from pathlib import Path
from ocblob.replacing import content_of, name_for_new, replace
path, after = Path(sys.argv[1]), sys.argv[2] == "after"
real = Path.replace
def killed(source, target):
    if after:
        fd = os.open(path, os.O_WRONLY | os.O_APPEND)
        real(source, target)
        os.write(fd, sys.argv[3].encode())
    os.kill(os.getpid(), signal.SIGKILL)
Path.replace = killed
new = name_for_new(path)
new.write_text(sys.argv[4])
replace(path, new, content_of(path))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="no SIGKILL")
@pytest.mark.parametrize(("when", "expected"), [("before", OLD), ("after", NEW + LATE)])
def test_killed_at_the_rename(history: Path, when: str, expected: bytes) -> None:
    """What a killed process leaves is tidied up; a late line that only the old file has moves over."""
    command = [sys.executable, "-c", KILLED, str(history), when, LATE.decode(), NEW.decode()]
    done = subprocess.run(command, env=environment(), check=False)
    assert -signal.SIGKILL == done.returncode
    assert len(list(history.parent.iterdir())) > 1

    assert [] == tidy(history)
    assert expected == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


FULL = """
import os, sys
from pathlib import Path
from ocblob.replacing import content_of, name_for_new, replace
path, late = Path(sys.argv[1]), sys.argv[2].encode()
real_replace, real_write = Path.replace, os.write
def write(fd, data):
    if len(data) < len(late):
        raise OSError(28, "No space left on device")
    return real_write(fd, data[:5])
def renamed(source, target):
    fd = os.open(target, os.O_WRONLY | os.O_APPEND)
    real_replace(source, target)
    real_write(fd, late)
    os.close(fd)
    os.write = write
Path.replace = renamed
new = name_for_new(path)
new.write_text(sys.argv[3])
try:
    replace(path, new, content_of(path))
except OSError as error:
    print(error.strerror)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="nobody renames over an open file there")
def test_a_disk_full_halfway_through_a_late_line(history: Path) -> None:
    """The line is there as a whole after the next pass: not behind the half that could be written."""
    assert "No space left on device\n" == finish(spawn(FULL, str(history), LATE.decode(), NEW.decode()))
    half = history.read_bytes()
    assert [] == tidy(history)

    assert NEW + LATE[:5] == half
    assert NEW + LATE[:5] + b"\n" + LATE == history.read_bytes()
    assert [history] == list(history.parent.iterdir())


def test_tidy_leaves_what_it_does_not_understand(history: Path) -> None:
    """A file under such a name that is no old content of this one stays, and is told; others' are not looked at."""
    strange = history.with_name(f".{history.name}.what{replacing.KEPT}")
    strange.write_bytes(LATE)
    other = history.with_name(f".prompt-stash.jsonl.00000000{replacing.NEW}")
    other.write_bytes(LATE)

    assert [strange] == tidy(history)
    assert OLD == history.read_bytes()
    assert {history, strange, other} == set(history.parent.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="directories are not locked there")
def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Whoever comes second is told so at once; when the first one is done the way is free."""
    with (
        sole_replacer(tmp_path),
        pytest.raises(BlockingIOError, match="another ocblob is at work"),
        sole_replacer(tmp_path),
    ):
        pass
    with sole_replacer(tmp_path):
        assert tmp_path.is_dir()


@linux_only
def test_the_kernel_knows_every_writer(history: Path) -> None:
    """A writer that has the file under another name is seen when the kernel is asked."""
    other = history.with_name("other")
    os.link(history, other)
    with other.open("ab"):
        assert [False, True] == [is_written(history, name=history.name, nameless=ask) for ask in (False, True)]
    assert not is_written(history, name=history.name, nameless=True)


@linux_only
@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of somebody else")
def test_anothers_file_has_no_lease(history: Path) -> None:
    """Where the kernel gives no answer, what can be seen has to do."""
    for parent in history.parents[:3]:
        parent.chmod(0o755)
    other = history.with_name("other")
    os.link(history, other)
    with other.open("ab"), as_nobody():
        assert not is_written(history, name=history.name, nameless=True)
        assert is_written(history, name=other.name, nameless=True)
