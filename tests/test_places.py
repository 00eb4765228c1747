import json
import platform
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ocblob.backends.local import LocalBackend
from ocblob.errors import StoreUnavailableError, UsageError
from ocblob.store import LocalTier
from ocblob.store.places import Notes, machine_of, place_of
from processes import finish, spawn

MACHINE = """
import sys
from pathlib import Path
from ocblob.store.places import LocalTier, machine_of
print(machine_of(LocalTier(Path(sys.argv[1]))).id)
"""


def test_notes_are_kept(tmp_path: Path) -> None:
    """What was noted is there for the next process; it can be changed, counted and forgotten."""
    notes = Notes(tmp_path / "state" / "servers.json")
    notes["a"] = "1"
    notes["b"] = "2"
    notes["a"] = "3"
    again = Notes(tmp_path / "state" / "servers.json")
    kept = dict(again)
    del again["b"]

    assert {"a": "3", "b": "2"} == kept
    assert ({"a": "3"}, 1, ["a"]) == (dict(notes), len(notes), list(notes))


def test_notes_that_are_not_there_are_none(tmp_path: Path) -> None:
    """Without a file there are no notes, and looking makes none."""
    notes = Notes(tmp_path / "servers.json")

    assert (0, None) == (len(notes), notes.get("a"))
    with pytest.raises(KeyError):
        notes["a"]
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b"\xff\xfe", b"null"])
def test_damaged_notes_are_none(tmp_path: Path, content: bytes) -> None:
    """Notes are found out again, so damaged ones cost nothing."""
    path = tmp_path / "servers.json"
    path.write_bytes(content)
    notes = Notes(path)
    empty = dict(notes)
    notes["a"] = "1"

    assert ({}, {"a": "1"}) == (empty, json.loads(path.read_bytes()))


def test_notes_that_cannot_be_kept_are_let_go(tmp_path: Path) -> None:
    """Where nothing can be written nothing is noted, and nobody is bothered."""
    (tmp_path / "file").write_text("no directory")
    notes = Notes(tmp_path / "file" / "servers.json")
    notes["a"] = "1"

    assert 0 == len(notes)


def test_a_machine_is_the_same_every_time(tmp_path: Path) -> None:
    """The id is made once, for this directory; another directory is another machine."""
    one, again = (machine_of(LocalTier(tmp_path / "one")) for _time in range(2))
    other = machine_of(LocalTier(tmp_path / "two"))

    assert one == again
    assert one.id != other.id
    assert 16 == len(one.id)
    assert platform.node() == one.name


def test_a_copied_machine_of_another_name_is_another_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An image of a machine that runs under another name has other files."""
    one = machine_of(LocalTier(tmp_path))
    monkeypatch.setattr(platform, "node", lambda: "other")

    assert one.id != machine_of(LocalTier(tmp_path)).id


def test_machines_that_are_made_at_once_are_one(tmp_path: Path) -> None:
    """Threads and processes that ask for the id for the first time, all at once, get the same one."""
    with ThreadPoolExecutor(8) as pool:
        ids = set(pool.map(lambda _: machine_of(LocalTier(tmp_path / "threads")).id, range(8)))
    children = [spawn(MACHINE, str(tmp_path / "processes")) for _child in range(4)]

    assert 1 == len(ids)
    assert 1 == len({finish(child) for child in children})


def test_a_machine_without_a_directory_is_told(tmp_path: Path) -> None:
    """Where nothing can be kept there is no machine, and the error names the place."""
    (tmp_path / "file").write_text("no directory")

    with pytest.raises(StoreUnavailableError, match="file"):
        machine_of(LocalTier(tmp_path / "file" / "tier"))


def test_a_path_is_a_local_place(tmp_path: Path) -> None:
    """Paths and file URLs lead to the same directory."""
    for url in (str(tmp_path), f"file://{tmp_path}"):
        backend = place_of(url, None, None)
        assert isinstance(backend, LocalBackend)
        assert tmp_path == backend.root


@pytest.mark.parametrize("url", ["", "gopher://h/d"])
def test_no_place_at_all_is_a_usage_error(url: str) -> None:
    """What leads nowhere is refused in words."""
    with pytest.raises(UsageError):
        place_of(url, None, None)
