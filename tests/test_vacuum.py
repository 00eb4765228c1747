import json
import os
import pickle
import shutil
import stat
import threading
from collections import namedtuple
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import apsw
import pytest

from disks import small_disk
from ocblob.databases.sqlite.vacuum import apply_vacuum, in_use, plan_vacuum, sizes, swap
from ocblob.databases.vacuum import Method, VacuumReport
from ocblob.errors import DatabaseError, DatabaseLockedError, DatabaseUnsupportedError
from processes import NOBODY, Neighbour, NeighbourError, finish, spawn
from samples import bodies, dump, integrity, make_database, opened, payload, query

ROWS, KEPT = 200, 50
DiskUsage = namedtuple("DiskUsage", ("total", "used", "free"))  # noqa: PYI024 - as that of shutil

KILLER = """
import json, os, random, shutil, signal, sys, time
from pathlib import Path
from kills import killed_at_lines
from ocblob.databases.sqlite import vacuum
from samples import dump, integrity, opened

source, path, method, cut_short = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], bool(sys.argv[5])

def fresh():
    for old in path.parent.iterdir():
        old.unlink()
    for suffix in ("", "-wal"):
        shutil.copy(f"{source}{suffix}", f"{path}{suffix}")
    if cut_short:
        with opened(path) as db:
            db.execute("PRAGMA journal_mode=delete").fetchall()
        path.with_name(f"{path.name}.ocblob-vacuum-0badcafe").write_bytes(b"half")

def start(action):
    child = os.fork()
    if child == 0:
        try:
            action()
            os._exit(0)
        finally:
            os._exit(1)
    return child

def work():
    vacuum.apply_vacuum(vacuum.plan_vacuum(path, method=method))

def check(what):
    found = integrity(path)
    if found != "ok" or dump(path) != expected:
        wrong.append(f"{what}: {found}")
        return
    try:
        work()
        with opened(path) as db:
            if db.execute("PRAGMA journal_mode").get != "wal":
                wrong.append(f"{what}: not in WAL mode")
    except Exception as error:
        wrong.append(f"{what}: then {error}")
    if dump(path) != expected or [entry.name for entry in path.parent.iterdir()] != [path.name]:
        wrong.append(f"{what}: left {sorted(entry.name for entry in path.parent.iterdir())}")

fresh()
expected, wrong = dump(path), []
ours = (os.path.dirname(vacuum.__file__) + os.sep,)
lines, finished = killed_at_lines(fresh, work, lambda line: check(f"line {line}"), ours)
fresh()
begun = time.monotonic()
os.waitpid(start(work), 0)
elapsed = time.monotonic() - begun
for number in range(int(sys.argv[4])):
    fresh()
    child = start(work)
    time.sleep(random.uniform(0, elapsed))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    check(f"moment {number}")
print(json.dumps({"lines": lines, "finished": finished, "wrong": wrong}))
"""

OTHER = """
import pickle, sys
from ocblob.databases.sqlite.vacuum import apply_vacuum
from ocblob.errors import DatabaseLockedError
try:
    apply_vacuum(pickle.loads(bytes.fromhex(sys.argv[1])))
except DatabaseLockedError:
    print("locked")
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database in WAL mode of which three quarters are free, alone in its directory."""
    (tmp_path / "data").mkdir()
    return make(tmp_path / "data" / "app.db")


def make(path: Path, journal: str = "wal") -> Path:
    """Make such a database."""
    make_database(path, [payload(10_000, number).hex() for number in range(ROWS)], journal=journal)
    with opened(path) as db:
        db.execute(f"DELETE FROM doc WHERE id>{KEPT}; PRAGMA user_version=7; PRAGMA application_id=99").fetchall()
    return path


def shrink(path: Path, method: Method = "auto") -> VacuumReport:
    """Vacuum."""
    return apply_vacuum(plan_vacuum(path, method=method))


def companions(path: Path) -> list[str]:
    """Everything beside the database, and itself."""
    return sorted(entry.name for entry in path.parent.iterdir())


METHODS: list[Literal["swap", "in-place"]] = ["swap", "in-place"]
WAYS = [("swap", "wal"), ("in-place", "wal"), ("in-place", "delete")]


@pytest.mark.parametrize(("method", "journal"), WAYS)
def test_gives_space_back_and_changes_nothing_else(tmp_path: Path, method: Method, journal: str) -> None:
    """All rows and settings stay, the file is as small as its content, one file is left, and the report is true."""
    (tmp_path / "data").mkdir()
    path = make(tmp_path / "data" / "app.db", journal)
    before, size = dump(path), path.stat().st_size
    plan = plan_vacuum(path, method=method)

    report = apply_vacuum(plan)

    assert (method, method) == (plan.method, report.method)
    assert before == dump(path)
    assert [(journal, 7, 99)] == [
        tuple(query(path, f"PRAGMA {name}")[0][0] for name in ("journal_mode", "user_version", "application_id"))
    ]
    assert "ok" == integrity(path)
    assert ["app.db"] == companions(path)
    assert (size, path.stat().st_size) == (report.before.total, report.after.total)
    assert size - path.stat().st_size == report.freed > size // 2
    assert (0, True, "") == (report.after.free_pages, report.complete, report.note)


def test_auto_swaps_when_nobody_is_there(path: Path) -> None:
    """Alone with the database, the cheap way is taken: there is another file afterwards."""
    inode = path.stat().st_ino

    report = shrink(path)

    assert "swap" == report.method
    assert inode != path.stat().st_ino


def test_auto_does_nothing_when_nothing_is_free(path: Path) -> None:
    """A database without free pages is left alone."""
    shrink(path)
    before = path.stat()

    report = shrink(path)

    assert ("none", 0, True) == (report.method, report.freed, report.complete)
    assert (before.st_ino, before.st_mtime_ns) == (path.stat().st_ino, path.stat().st_mtime_ns)


def test_a_swap_keeps_mode_and_owner(path: Path) -> None:
    """The new file belongs to whom the old one did, with the same permissions."""
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, NOBODY, NOBODY)
    before = path.stat()

    shrink(path, "swap")

    after = path.stat()
    assert (before.st_mode, before.st_uid, before.st_gid) == (after.st_mode, after.st_uid, after.st_gid)


def test_the_copy_is_private_while_it_is_made(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody else can read the copy of a private database, not for a moment."""
    path.chmod(0o600)
    modes: list[int] = []
    real = swap._finish_copy

    def finish_copy(old: Path, new: Path) -> None:
        modes.append(stat.S_IMODE(new.stat().st_mode))
        real(old, new)

    monkeypatch.setattr(swap, "_finish_copy", finish_copy)
    before = os.umask(0)
    try:
        shrink(path, "swap")
    finally:
        os.umask(before)

    assert [0o600] == modes
    assert 0o600 == stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("method", METHODS)
def test_a_symlink_stays_one(path: Path, tmp_path: Path, method: Method) -> None:
    """Named through a symlink, the file behind it is vacuumed and the link is left."""
    link = tmp_path / "link.db"
    link.symlink_to(path)
    before = dump(path)

    report = shrink(link, method)

    assert link.is_symlink()
    assert before == dump(path) == dump(link)
    assert report.freed > 0
    assert ["app.db"] == companions(path)
    assert ["data", "link.db"] == sorted(entry.name for entry in tmp_path.iterdir())


def test_a_hard_link_is_not_left_behind(path: Path, tmp_path: Path) -> None:
    """A file with a second name is never swapped; in place both names see the small file."""
    other = tmp_path / "other.db"
    other.hardlink_to(path)
    before = dump(path)

    with pytest.raises(DatabaseUnsupportedError, match="hard link") as caught:
        plan_vacuum(path, method="swap")
    report = shrink(path)

    assert "--in-place" in caught.value.hint
    assert "in-place" == report.method
    assert path.samefile(other)
    assert before == dump(path)


def test_without_a_wal_there_is_no_swap(tmp_path: Path) -> None:
    """Where an idle host holds no lock nobody can say that it is not there: a swap is refused, in place it goes."""
    (tmp_path / "data").mkdir()
    path = make(tmp_path / "data" / "app.db", "delete")
    inode = path.stat().st_ino

    with pytest.raises(DatabaseUnsupportedError, match="WAL") as caught:
        plan_vacuum(path, method="swap")
    report = shrink(path)

    assert "--in-place" in caught.value.hint
    assert ("in-place", inode) == (report.method, path.stat().st_ino)
    assert report.freed > 0


def test_a_link_that_is_made_after_the_plan_is_seen(path: Path, tmp_path: Path) -> None:
    """What the plan allowed is looked at again when it is done."""
    plan = plan_vacuum(path, method="swap")
    (tmp_path / "other.db").hardlink_to(path)
    inode = path.stat().st_ino

    with pytest.raises(DatabaseUnsupportedError, match="hard link"):
        apply_vacuum(plan)

    assert inode == path.stat().st_ino


def test_in_use_sees_any_open_connection(path: Path) -> None:
    """A process that has read something is seen as long as it has the database open, and leaves no trace."""
    before = in_use(path)
    with Neighbour(path) as neighbour:
        neighbour.execute("SELECT count(*) FROM doc")
        during = in_use(path)
        neighbour.execute("INSERT INTO doc (body) VALUES ('new')")

    assert [False, True, False] == [before, during, in_use(path)]
    assert KEPT + 1 == len(bodies(path))
    assert ["app.db"] == companions(path)


def test_beside_another_process_it_is_done_in_place(path: Path) -> None:
    """With a host on the database the plan is in place; the host goes on, before and after."""
    inode = path.stat().st_ino
    with Neighbour(path) as neighbour:
        neighbour.execute("UPDATE doc SET body='theirs' WHERE id=1")
        plan = plan_vacuum(path)
        report = apply_vacuum(plan)
        neighbour.execute("UPDATE doc SET body='again' WHERE id=2")

    assert (True, "in-place") == (plan.in_use, plan.method)
    assert report.complete
    assert (inode, 0) == (path.stat().st_ino, report.after.free_pages)
    assert ["theirs", "again"] == bodies(path)[:2]
    assert plan.before.total - path.stat().st_size > 1_000_000


def test_a_swap_beside_another_process_is_refused(path: Path) -> None:
    """Asked for by name, a swap with the database open elsewhere is an error with a hint, and nothing is changed."""
    with Neighbour(path) as neighbour:
        neighbour.execute("SELECT count(*) FROM doc")
        before = path.stat()

        with pytest.raises(DatabaseLockedError, match="open in another process") as caught:
            plan_vacuum(path, method="swap")

        assert before.st_ino == path.stat().st_ino
    assert "--in-place" in caught.value.hint


def test_who_comes_between_plan_and_swap_is_seen(path: Path) -> None:
    """If a host opens the database after the plan, the swap does not happen; the host's writes are there."""
    plan = plan_vacuum(path, method="swap")
    before = path.stat()
    with Neighbour(path) as neighbour:
        neighbour.execute("UPDATE doc SET body='theirs' WHERE id=1")

        with pytest.raises(DatabaseLockedError):
            apply_vacuum(plan)

        neighbour.execute("UPDATE doc SET body='again' WHERE id=2")
    assert before.st_ino == path.stat().st_ino
    assert ["theirs", "again"] == bodies(path)[:2]
    assert ["app.db"] == companions(path)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("write", ["INSERT INTO doc (body) VALUES ('late')", "UPDATE doc SET body='late' WHERE id=1"])
def test_nobody_writes_where_nobody_will_look(path: Path, write: str, method: Method) -> None:
    """A process that opened the database just before either has its write in it, or gets an error: none is lost."""
    with Neighbour(path) as neighbour:
        shrink(path, method)
        try:
            neighbour.execute(write)
            written = True
        except NeighbourError:
            written = False

    assert written == ("late" in bodies(path))
    assert "ok" == integrity(path)
    assert KEPT <= len(bodies(path))


@pytest.fixture
def stale(tmp_path: Path) -> Path:
    """A database with an old -wal beside it, which holds the last rows of a process that was killed."""
    (tmp_path / "stale").mkdir()
    path = make(tmp_path / "stale" / "app.db")
    with Neighbour(path) as neighbour:
        neighbour.execute("PRAGMA wal_autocheckpoint=0")
        for number in range(20):
            neighbour.execute("INSERT INTO doc (body) VALUES (?)", f"late {number}")
        neighbour.kill()
    path.with_name("app.db-shm").unlink()
    assert path.with_name("app.db-wal").stat().st_size > 10_000
    return path


@pytest.mark.parametrize("method", METHODS)
def test_what_a_killed_process_left_in_the_wal_is_kept(stale: Path, method: Method) -> None:
    """The rows of an old -wal are in the new file, and the -wal is gone."""
    report = shrink(stale, method)

    assert [f"late {number}" for number in range(20)] == bodies(stale)[KEPT:]
    assert report.before.wal > 10_000
    assert ["app.db"] == companions(stale)


def test_looking_leaves_an_old_wal_alone(stale: Path) -> None:
    """Measuring, asking who is there and planning change neither the file nor a -wal that is there."""
    files = [stale, stale.with_name("app.db-wal")]
    before = [file.read_bytes() for file in files]

    sizes(stale)
    in_use(stale)
    plan_vacuum(stale)

    assert before == [file.read_bytes() for file in files]


def test_looking_leaves_nothing_behind(path: Path) -> None:
    """Measuring, asking who is there and planning leave one file."""
    before = path.read_bytes()

    sizes(path)
    in_use(path)
    plan_vacuum(path)

    assert ["app.db"] == companions(path)
    assert before == path.read_bytes()


@pytest.mark.parametrize("method", METHODS)
def test_no_room_is_an_error_before_anything_is_done(
    path: Path, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk without room for the copy is an error that says how much is needed."""
    before = path.read_bytes()
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(10**9, 10**9, 1000))

    with pytest.raises(DatabaseError, match="MB of room"):
        plan_vacuum(path, method=method)

    assert before == path.read_bytes()


@pytest.fixture
def full_disk(tmp_path: Path) -> Iterator[Path]:
    """A directory on a file system of five megabytes."""
    with small_disk(tmp_path / "small", 5 * 1024 * 1024) as at:
        yield at


@pytest.mark.parametrize(("method", "journal"), WAYS)
def test_a_disk_that_fills_up_loses_nothing(
    full_disk: Path, method: Method, journal: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the room goes while the copy is made, the database is as it was, and no half copy is left."""
    path = full_disk / "app.db"
    path.write_bytes(make(full_disk.parent / "app.db", journal).read_bytes())
    before = dump(path)
    (full_disk / "ballast").write_bytes(bytes(shutil.disk_usage(full_disk).free - 200_000))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: DiskUsage(10**9, 0, 10**9))

    with pytest.raises(DatabaseError, match="full"):
        shrink(path, method)
    left = companions(path)

    assert ["app.db", "ballast"] == left
    assert before == dump(path)
    assert [(journal,)] == query(path, "PRAGMA journal_mode")
    (full_disk / "ballast").unlink()
    assert shrink(path, method).freed > 0
    assert before == dump(path)


@pytest.mark.parametrize("broken", ["fsync", "replace"])
def test_a_swap_that_fails_leaves_the_old_file(path: Path, broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error before the rename is reported, and the database is what it was, still in WAL mode."""
    before, inode = dump(path), path.stat().st_ino

    def fail(*_arguments: object) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, broken, fail)
        with pytest.raises(DatabaseError, match="Input/output error"):
            shrink(path, "swap")

    assert (before, inode) == (dump(path), path.stat().st_ino)
    assert [("wal",)] == query(path, "PRAGMA journal_mode")
    assert ["app.db"] == companions(path)


def test_a_swap_is_durable_step_by_step(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The copy is synced before the rename, the directory after it, and only then the old file is spoiled."""
    events: list[str] = []

    def record(name: str, function: Callable[..., object]) -> None:
        def recorded(*arguments: object) -> object:
            events.append(name)
            return function(*arguments)

        monkeypatch.setattr(os, name, recorded)

    def fsync(fd: int) -> None:
        events.append("fsync directory" if stat.S_ISDIR(os.fstat(fd).st_mode) else "fsync file")

    record("replace", os.replace)
    record("pwrite", os.pwrite)
    monkeypatch.setattr(os, "fsync", fsync)

    shrink(path, "swap")

    assert ["fsync directory", "fsync file", "replace", "fsync directory", "pwrite"] == events


def test_an_interrupt_behind_the_rename_ends_the_swap(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old file gets no WAL again, which would lie beside the new one, and is spoiled all the same."""
    before, old = dump(path), path.stat().st_ino
    events: list[str] = []
    replace, pwrite, execute = os.replace, os.pwrite, apsw.Connection.execute

    def interrupted(source: Path, target: Path) -> None:
        replace(source, target)
        events.append("replace")
        raise KeyboardInterrupt

    def written(fd: int, data: bytes, at: int) -> int:
        assert old == os.fstat(fd).st_ino
        events.append("pwrite")
        return pwrite(fd, data, at)

    class Recording(apsw.Connection):
        def execute(self, sql: str, *arguments: object) -> object:  # type: ignore[override]
            if events:
                events.append(sql)
            return execute(self, sql, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", interrupted)
    monkeypatch.setattr(os, "pwrite", written)
    monkeypatch.setattr(apsw, "Connection", Recording)
    with pytest.raises(KeyboardInterrupt):
        shrink(path, "swap")
    monkeypatch.undo()

    assert ["replace", "pwrite"] == events
    assert ["app.db"] == companions(path)
    assert ("ok", before) == (integrity(path), dump(path))
    assert "wal" == sizes(path).journal_mode


def test_a_reader_keeps_the_file_large_and_the_report_says_so(path: Path) -> None:
    """While a process reads an old state the space cannot come back: the report is not complete, and counts truly."""
    with Neighbour(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM doc")
        before = path.stat().st_size

        report = shrink(path)

        wal = path.with_name("app.db-wal").stat().st_size
        assert (before, wal) == (report.after.file, report.after.wal)
        assert (-wal, False) == (report.freed, report.complete)
        assert "reading" in report.note
        reader.execute("COMMIT")
    with opened(path) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    assert path.stat().st_size < before // 2


def test_what_a_reader_held_up_is_finished_by_the_next_vacuum(path: Path) -> None:
    """When the reader has gone without a checkpoint of its own, a second vacuum makes the file small."""
    before = path.stat().st_size
    with Neighbour(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM doc")
        shrink(path)
        reader.kill()

    report = shrink(path)

    assert report.complete
    assert report.freed > 0
    assert path.stat().st_size == report.after.total < before // 2


def test_a_writer_is_not_frozen_by_a_reader(path: Path) -> None:
    """In place, with a reader of an old state in one process, writers in another never wait for long."""
    refused: list[str] = []
    done = threading.Event()
    with Neighbour(path) as reader, Neighbour(path, patience_s=2.0) as writer:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM doc")

        def write() -> None:
            while not done.is_set():
                try:
                    writer.execute("UPDATE doc SET body='theirs' WHERE id=1")
                except NeighbourError as error:
                    refused.append(str(error))

        thread = threading.Thread(target=write)
        thread.start()
        try:
            report = shrink(path)
        finally:
            done.set()
            thread.join()

    assert [] == refused
    assert not report.complete
    assert "theirs" == bodies(path)[0]


def test_two_vacuums_at_once_do_no_harm(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second vacuum finds the first one at work and leaves its half-made copy alone."""
    before, plan = dump(path), plan_vacuum(path, method="swap")
    said: list[str] = []
    real = swap._finish_copy

    def finish_copy(old: Path, new: Path) -> None:
        said.append(finish(spawn(OTHER, pickle.dumps(plan).hex())).strip())
        real(old, new)

    monkeypatch.setattr(swap, "_finish_copy", finish_copy)

    report = apply_vacuum(plan)

    assert ["locked"] == said
    assert report.freed > 0
    assert before == dump(path)
    assert ["app.db"] == companions(path)


def test_leftovers_of_a_killed_vacuum_are_removed(tmp_path: Path) -> None:
    """The next swap removes half-made copies, whatever the database is called, and no other file."""
    (tmp_path / "data").mkdir()
    path = make(tmp_path / "data" / "app [1]*.db")
    for name in ("app [1]*.db.ocblob-vacuum-0badcafe", "app [1]*.db.ocblob-vacuum-0badcafe-wal", "app 1.db.backup"):
        (path.parent / name).write_bytes(b"half")

    shrink(path, "swap")

    assert ["app 1.db.backup", "app [1]*.db"] == companions(path)


@pytest.mark.many
@pytest.mark.parametrize(
    ("method", "cut_short", "lines"),
    [("swap", "", 40), ("in-place", "", 10), ("swap", "cut short", 40)],
    ids=["swap", "in place", "after a swap that was cut short"],
)
def test_killed_at_any_moment_all_rows_are_there(
    stale: Path, tmp_path: Path, method: str, cut_short: str, lines: int
) -> None:
    """SIGKILL at every line of it and at 20 random moments: the database is whole, and a next vacuum cleans up.

    No host sets WAL mode meanwhile: the next vacuum does.
    """
    (tmp_path / "work").mkdir()

    killer = spawn(KILLER, str(stale), str(tmp_path / "work" / "app.db"), method, "20", cut_short)
    report = json.loads(finish(killer))

    assert [] == report["wrong"]
    assert 0 == report["finished"]
    assert lines < report["lines"]
