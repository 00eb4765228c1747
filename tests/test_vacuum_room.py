import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from disks import small_disk
from generate import make_database
from ocblob.databases.addresses import file_address
from ocblob.databases.sqlite.vacuum import plan_vacuum, sizes
from ocblob.databases.vacuum import VacuumReport
from ocblob.errors import DatabaseError
from ocblob.space import vacuum_pass
from processes import Neighbour
from samples import dump, opened, query

ROOM_BYTES = 2 * 10**9
SAMPLE_S = 0.0005
DELETIONS = (
    "DELETE FROM event WHERE aggregate_id IN gone",
    "DELETE FROM event_sequence WHERE aggregate_id IN gone",
    "DELETE FROM session WHERE id IN gone",
)
WAYS: list[tuple[Literal["swap", "in-place"], str]] = [("swap", "wal"), ("in-place", "wal"), ("in-place", "delete")]


@pytest.fixture(scope="module")
def halved(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A realistic database of 200 MB of which every other session is deleted."""
    path = tmp_path_factory.mktemp("demo") / "opencode.db"
    make_database(path, "demo")
    with opened(path) as db:
        db.execute("PRAGMA foreign_keys=ON; PRAGMA secure_delete=OFF").fetchall()
        db.execute("CREATE TEMP TABLE gone AS SELECT id FROM session WHERE rowid % 2").fetchall()
        for deletion in DELETIONS:
            db.execute(deletion).fetchall()
    yield path
    shutil.rmtree(path.parent)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own, so that files without a name count too."""
    with small_disk(tmp_path / "disk", ROOM_BYTES) as at:
        yield at


def content_bytes(path: Path) -> int:
    """What the values of all rows take."""
    total = 0
    for (table,) in query(path, "SELECT name FROM sqlite_schema WHERE type='table'"):
        assert isinstance(table, str)
        names = [str(name) for (name,) in query(path, "SELECT name FROM pragma_table_info(?)", table)]
        each = "+".join(f'coalesce(octet_length("{name}"), 0)' for name in names)
        ((size,),) = query(path, f'SELECT coalesce(sum({each}), 0) FROM "{table}"')
        assert isinstance(size, int)
        total += size
    return total


def watched(at: Path, path: Path, work: Callable[[], VacuumReport]) -> tuple[VacuumReport, int, int]:
    """Do it, and look all the time: the most that the disk held beyond before, and file, WAL and journal together."""
    before = shutil.disk_usage(at).used
    disk, files = [0], [0]
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            disk.append(shutil.disk_usage(at).used - before)
            files.append(sum(_size(path.with_name(path.name + suffix)) for suffix in ("", "-wal", "-journal")))
            time.sleep(SAMPLE_S)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        report = work()
    finally:
        stop.set()
        thread.join()
    return report, max(disk), max(files)


def _size(path: Path) -> int:
    try:
        return os.stat(path).st_size  # noqa: PTH116 - never opened beside SQLite
    except FileNotFoundError:
        return 0


def announced(said: list[str]) -> int:
    """The room that was asked for, in bytes; none if that was not worth a word."""
    return sum(int(line.split(" MB of room")[0].rsplit(" ", 1)[1]) * 10**6 for line in said if " MB of room" in line)


@pytest.mark.parametrize(("method", "journal"), WAYS)
def test_it_takes_no_more_room_than_it_said(
    halved: Path,
    disk: Path,
    method: Literal["swap", "in-place"],
    journal: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All the time the disk holds at most what was there before and what was announced; the file is small then."""
    path = Path(shutil.copy(halved, disk / "app.db"))
    with opened(path) as db:
        db.execute(f"PRAGMA journal_mode={journal}").fetchall()
    rows, said = dump(path), list[str]()
    monkeypatch.setattr("ocblob.space.ANNOUNCED_BYTES", 1)

    report, most, files = watched(
        disk, path, lambda: vacuum_pass(file_address(path), method=method, force=False, dry_run=False, say=said.append)
    )

    room = announced(said)
    assert 150_000_000 < report.before.total
    assert most <= room
    assert files <= report.before.total + room
    assert (method, True, rows) == (report.method, report.complete, dump(path))
    assert report.after.total <= report.before.live * 1.1
    assert report.after.total <= content_bytes(path) * 1.1


def test_beside_a_reader_it_takes_no_more_room_than_it_said(halved: Path, disk: Path) -> None:
    """With a full WAL and a reader that holds it, what stays on the disk at the end was announced too."""
    path, said = Path(shutil.copy(halved, disk / "app.db")), list[str]()
    with Neighbour(path) as writer, Neighbour(path) as reader:
        writer.execute("PRAGMA wal_autocheckpoint=0")
        writer.execute("CREATE TABLE more AS SELECT zeroblob(20000000) AS b")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM session")

        report, most, files = watched(
            disk,
            path,
            lambda: vacuum_pass(file_address(path), method="auto", force=False, dry_run=False, say=said.append),
        )

    assert ("in-place", False) == (report.method, report.complete)
    assert report.freed < 0
    assert announced(said) > 100_000_000
    assert most <= announced(said)
    assert files <= report.before.total + announced(said)


def test_room_that_is_not_there_is_asked_for_first(halved: Path, disk: Path) -> None:
    """Without the room that it would announce, nothing is begun."""
    path = Path(shutil.copy(halved, disk / "app.db"))
    needed, before = plan_vacuum(path, method="in-place").room_needed, sizes(path)
    (disk / "ballast").write_bytes(bytes(shutil.disk_usage(disk).free - needed + 10**6))

    with pytest.raises(DatabaseError, match="MB of room for a while, the disk has"):
        vacuum_pass(file_address(path), method="in-place", force=False, dry_run=False, say=lambda _: None)

    assert before == sizes(path)
