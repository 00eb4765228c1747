"""What can go wrong around sessions at the command line: a clear message, its exit code, and nothing lost.

Commands run in processes of their own, as users and timers run them.
"""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

import disks
from disks import remount
from processes import Neighbour, environment
from talks import Dump, make_talks, many, rows, sessions, sound

SIZE = 300_000
"""Bytes of an attachment, of which a session holds two copies in base64."""
DISK_BYTES = 3_000_000
TIMEOUT_S = 120
POLL_S = 0.02
GROW = "UPDATE session SET title=title || 'x' WHERE id='ses_4' RETURNING length(title)"


@dataclass(frozen=True)
class Place:
    """A database, a store and homes below one directory."""

    root: Path

    @property
    def path(self) -> Path:
        """The database."""
        return self.root / "copy" / "opencode.db"

    def start(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command on the database."""
        homes = {f"XDG_{kind}_HOME": str(self.root / kind.lower()) for kind in ("DATA", "CONFIG", "STATE", "CACHE")}
        homes |= {"HOME": str(self.root / "home"), "OCBLOB_STORE": str(self.root / "store")}
        command = [sys.executable, "-m", "ocblob", *map(str, arguments), "--db", str(self.path)]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, env=environment(homes), stdout=pipe, stderr=pipe, text=True)

    def run(self, *arguments: str | Path, code: int = 0) -> str:
        """Run a command on the database; what it said, or printed."""
        process = self.start(*arguments)
        out, err = process.communicate(timeout=TIMEOUT_S)
        assert code == process.returncode, (out, err)
        return err or out

    def archives(self) -> list[Path]:
        """All that is, or was to be, an archive."""
        return sorted(file for file in self.root.rglob("*") if ".json" in file.name and "store" not in file.parts)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Ten sessions, the oldest of 100 days ago."""
    place = Place(tmp_path)
    make_talks(place.path, many(10, size=SIZE))
    return place


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    with disks.small_disk(tmp_path / "disk", DISK_BYTES) as root:
        yield root


# A full disk


@pytest.mark.parametrize("verb", ["archive", "retain"])
def test_a_disk_without_room_for_the_archive_keeps_every_session(place: Place, small_disk: Path, verb: str) -> None:
    """Where the archive does not fit nothing is deleted and no half archive stays; with more room it is done."""
    before = rows(place.path)
    limits = ("--max-sessions", "1") if verb == "retain" else ()
    option = ("--archive", small_disk) if verb == "retain" else (small_disk,)

    told = place.run(verb, *option, *limits, code=1)

    assert "No space left on device" in told or "full" in told
    assert str(small_disk) in told
    assert before == rows(place.path)
    assert [] == list(small_disk.iterdir())
    remount(small_disk, f"size={20 * DISK_BYTES}")
    place.run(verb, *option, *limits)
    assert 1 == len(list(small_disk.iterdir()))


def test_a_disk_without_room_for_the_sessions_takes_none_or_all_of_one(place: Place, small_disk: Path) -> None:
    """Where a session that comes back does not fit it stays in the archive: no half of it is in the database."""
    before = rows(place.path)
    place.run("retain", "--max-sessions", "1", "--archive", place.root / "a.json.zst", "--vacuum")
    there = Place(small_disk)
    there.path.parent.mkdir()
    shutil.copyfile(place.path, there.path)
    shutil.rmtree(place.path.parent)

    told = there.run("unarchive", place.root / "a.json.zst", code=1)

    assert "full" in told or "No space left on device" in told
    back = sessions(there.path)
    assert sound(there.path)
    kept = {session for session in back if rows_of(before, session) == rows_of(rows(there.path), session)}
    assert set(back) == kept
    remount(small_disk, f"size={20 * DISK_BYTES}")
    there.run("unarchive", place.root / "a.json.zst", code=0)
    assert values(before) == values(rows(there.path))


def rows_of(dump: Dump, session: str) -> list[str]:
    """The rows that name a session, without their places."""
    return sorted(repr(row[1:]) for table in dump.values() for row in table if session.encode() in row)


def values(dump: Dump) -> dict[str, list[str]]:
    """A database's values without their places, which a vacuum in between may have changed."""
    return {table: sorted(repr(row[1:]) for row in found) for table, found in dump.items()}


# What cannot be written


def test_a_read_only_archive_directory_keeps_every_session(place: Place, small_disk: Path) -> None:
    """Where no archive can be written nothing is deleted, and the message names the place."""
    before = rows(place.path)
    remount(small_disk, "ro")

    told = [
        place.run("retain", "--max-sessions", "1", "--archive", small_disk, code=1),
        place.run("archive", small_disk / "a.json", code=1),
    ]

    assert [] == [text for text in told if "ead-only file system" not in text or str(small_disk) not in text]
    assert [] == [text for text in told if "Traceback" in text]
    assert before == rows(place.path)


def test_an_archive_place_that_is_no_directory_keeps_every_session(place: Place) -> None:
    """A parent that is a file, or a name that is neither, is an error of its own before anything is read."""
    before = rows(place.path)
    (place.root / "file").write_text("mine")

    for target in (place.root / "file" / "a.json", place.root / "file"):
        told = place.run("retain", "--max-sessions", "1", "--archive", target, code=2)
        assert str(place.root / "file") in told

    assert "mine" == (place.root / "file").read_text()
    assert before == rows(place.path)


# Somebody else


def test_a_held_write_lock_changes_nothing(place: Place) -> None:
    """While another process keeps the write lock `retain` and `unarchive` give up with 11; an archive can be read."""
    place.run("archive", place.root / "a.json.zst")
    place.run("retain", "--max-sessions", "5", "--no-archive")
    before = rows(place.path)
    with Neighbour(place.path) as other:
        other.execute("BEGIN IMMEDIATE")
        told = [
            place.run("retain", "--max-sessions", "1", code=11),
            place.run("unarchive", place.root / "a.json.zst", code=11),
        ]
        place.run("archive", place.root / "b.json")
        other.execute("COMMIT")

    assert [] == [text for text in told if "locked" not in text or str(place.path) not in text]
    assert before == rows(place.path)
    place.run("unarchive", place.root / "a.json.zst")
    assert 10 == len(sessions(place.path))


def test_a_second_maintain_beside_a_first_stands_back(place: Place) -> None:
    """Two passes never run at once: the second says that one runs, exits 11 and changes nothing."""
    configure(place, "maxSessions = 5")
    with Neighbour(place.path) as other:
        other.execute("BEGIN IMMEDIATE")
        first = place.start("maintain", "--no-plugin")
        wait_for_lock(place, first)
        before = rows(place.path)

        told = place.run("maintain", "--no-plugin", code=11)

        assert "maintain" in told
        assert before == rows(place.path)
        other.execute("COMMIT")
    _, err = first.communicate(timeout=TIMEOUT_S)
    assert first.returncode in {0, 11}, err
    place.run("maintain", "--no-plugin")
    assert 5 == len(sessions(place.path))
    assert sound(place.path)


def configure(place: Place, text: str) -> None:
    """Write the config file."""
    config = place.root / "config" / "ocblob" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(text + "\n")


def wait_for_lock(place: Place, first: subprocess.Popen[str]) -> None:
    """Wait until a pass has begun."""
    while not list(place.root.rglob("*maintain*")):
        assert first.poll() is None
        time.sleep(POLL_S)


# What others have done to an archive


def test_a_damaged_archive_gives_nothing_half(place: Place) -> None:
    """A flipped bit or a missing end is told with the file's name, and no row goes in."""
    archive = place.root / "a.json.zst"
    place.run("retain", "--max-sessions", "1", "--archive", archive)
    before, whole = rows(place.path), archive.read_bytes()

    for name, data in (("cut", whole[: len(whole) // 2]), ("flipped", flipped(whole)), ("empty", b"")):
        damaged = place.root / f"{name}.json.zst"
        damaged.write_bytes(data)
        told = place.run("unarchive", damaged, code=1)
        assert str(damaged) in told
        assert "Traceback" not in told

    assert before == rows(place.path)


def flipped(data: bytes) -> bytes:
    """One bit in the middle is another one."""
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


def test_a_foreign_file_is_no_archive(place: Place) -> None:
    """JSON that ocblob has not written, an export of OpenCode's among it, is refused in words."""
    before = rows(place.path)

    for number, value in enumerate(([], {}, [{"info": {}, "messages": []}], {"info": {}, "messages": []}, "text")):
        foreign = place.root / f"{number}.json"
        foreign.write_text(json.dumps(value))
        told = place.run("unarchive", foreign, code=1)
        assert str(foreign) in told

    assert before == rows(place.path)


def test_a_session_that_went_on_is_not_overwritten(place: Place) -> None:
    """What is in the database and differs from the archive stays unless --replace is given; others come back."""
    place.run("archive", place.root / "a.json")
    before = rows(place.path)
    with Neighbour(place.path) as other:
        other.execute("PRAGMA foreign_keys=ON")
        other.execute("UPDATE session SET title='went on' WHERE id='ses_9'")
    place.run("retain", "--max-sessions", "5", "--no-archive")

    told = place.run("unarchive", place.root / "a.json", code=3)

    assert "ses_9" in told
    changed = rows(place.path)
    assert 10 == len(changed["session"])
    assert {table: before[table] for table in before if table != "session"} == {
        table: changed[table] for table in changed if table != "session"
    }
    place.run("unarchive", place.root / "a.json", "--replace")
    assert before == rows(place.path)


def test_a_missing_blob_keeps_its_session(place: Place) -> None:
    """A session with a reference that cannot be read now is left, told, and exit 3 says that it is not all."""
    place.run("offload", "--no-plugin")
    before = rows(place.path)
    shutil.move(place.root / "store" / "objects", place.root / "away")
    (place.root / "store" / "objects").mkdir()

    told = place.run("retain", "--max-sessions", "9", code=3)

    assert "ses_0" in told
    assert before == rows(place.path)
    shutil.rmtree(place.root / "store" / "objects")
    shutil.move(place.root / "away", place.root / "store" / "objects")
    place.run("retain", "--max-sessions", "9")
    assert "ses_0" not in sessions(place.path)


def test_a_host_of_another_schema_loses_nothing(place: Place) -> None:
    """A schema that is not known is left alone, whatever the limits."""
    with Neighbour(place.path) as other:
        other.execute("ALTER TABLE session RENAME COLUMN time_updated TO touched")
    before = rows(place.path)

    told = place.run("retain", "--max-sessions", "1", code=1)

    assert "time_updated" in told
    assert before == rows(place.path)


def test_no_change_is_lost_that_comes_while_a_session_is_archived(place: Place) -> None:
    """A session that changes between its archive and its deletion stays, or the archive has its last change."""
    last = 0
    with Neighbour(place.path) as other:
        process = place.start("retain", "--max-sessions", "1", "--archive", place.root / "a.json")
        while process.poll() is None:
            changed = other.execute(GROW)
            last = changed[0][0] if changed else last
        process.communicate()
        left = other.execute("SELECT length(title) FROM session WHERE id='ses_4'")

    if not left:
        found = json.loads((place.root / "a.json").read_bytes())
        left = [[len(element["info"]["title"])] for element in found if element["info"]["id"] == "ses_4"]
    assert [[last]] == left
