import json
import os
import time
from pathlib import Path

import pytest

from ocblob.databases.addresses import file_address
from ocblob.errors import DatabaseError, DatabaseLockedError
from ocblob.maintaining.lock import name_of, sole_maintainer
from processes import as_nobody, spawn

HOLD = """
import sys, time
from pathlib import Path
from ocblob.databases.addresses import file_address
from ocblob.maintaining.lock import sole_maintainer
with sole_maintainer(Path(sys.argv[1]), file_address(Path(sys.argv[2]))):
    print("held", flush=True)
    sys.stdin.readline() if sys.stdin else time.sleep(60)
    time.sleep(60)
"""


def test_a_second_one_is_kept_out_and_told_by_whom(tmp_path: Path) -> None:
    """The message names the process and since when; another database is not concerned."""
    locks, database = tmp_path / "locks", tmp_path / "a.db"
    child = spawn(HOLD, str(locks), str(database), stdin=-1)
    try:
        assert child.stdout is not None
        assert "held" == child.stdout.readline().strip()
        with (
            pytest.raises(DatabaseLockedError, match=rf"process {child.pid} since 20\d\d-"),
            sole_maintainer(locks, file_address(database)),
        ):
            pass
        with sole_maintainer(locks, file_address(tmp_path / "other.db")):
            pass
    finally:
        child.kill()
        child.communicate()
    with sole_maintainer(locks, file_address(database)):
        note = json.loads((locks / f"{name_of(file_address(database))}.holder").read_text())
    assert os.getpid() == note["pid"]


def test_one_path_by_two_names_is_one_database(tmp_path: Path) -> None:
    """A link to the database is locked with it."""
    (tmp_path / "a.db").touch()
    (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
    with (
        sole_maintainer(tmp_path / "locks", file_address(tmp_path / "a.db")),
        pytest.raises(DatabaseLockedError),
        sole_maintainer(tmp_path / "locks", file_address(tmp_path / "link.db")),
    ):
        pass


@pytest.mark.parametrize("note", ["", "{}", "[]", '{"pid": "x", "since": 1}', '{"pid": 1, "since": 1e300}', "nö"])
def test_a_note_that_cannot_be_read_is_left_out(tmp_path: Path, note: str) -> None:
    """Who holds it may just be about to write it."""
    with sole_maintainer(tmp_path, file_address(tmp_path / "a.db")):
        (tmp_path / f"{name_of(file_address(tmp_path / 'a.db'))}.holder").write_text(note)
        with (
            pytest.raises(DatabaseLockedError, match=r"database is running: "),
            sole_maintainer(tmp_path, file_address(tmp_path / "a.db")),
        ):
            pass


def test_an_error_of_the_pass_is_its_own_and_gives_the_lock_up(tmp_path: Path) -> None:
    """Whatever ends a pass, the next one may run."""
    with pytest.raises(FileNotFoundError), sole_maintainer(tmp_path, file_address(tmp_path / "a.db")):
        (tmp_path / "absent").read_bytes()
    with sole_maintainer(tmp_path, file_address(tmp_path / "a.db")):
        assert time.time() > 0


def test_no_place_for_a_lock_is_an_error_that_names_it(tmp_path: Path) -> None:
    """A file in the way, or a directory that may not be written: told, and nothing begun."""
    (tmp_path / "file").touch()
    (tmp_path / "closed").mkdir(mode=0o500)
    with (
        pytest.raises(DatabaseError, match="no lock for maintain"),
        sole_maintainer(tmp_path / "file", file_address(tmp_path / "a.db")),
    ):
        pass
    tmp_path.chmod(0o755)
    (tmp_path / "closed").chmod(0o555)
    with (
        as_nobody(),
        pytest.raises(DatabaseError, match="no lock for maintain"),
        sole_maintainer(tmp_path / "closed", file_address(tmp_path / "a.db")),
    ):
        pass
