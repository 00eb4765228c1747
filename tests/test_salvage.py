"""`sessions.salvage`: what is whole in a damaged archive."""

from pathlib import Path

import pytest

from archived import write_archive
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.errors import ArchiveError
from ocblob.sessions.archive import apply_archive, plan_archive
from ocblob.sessions.reader import Archive
from ocblob.sessions.salvage import salvage
from ocblob.sessions.sealing import archive_place
from ocblob.sessions.verification import verify
from samples import opencode_profile
from talks import make_talks, many, sessions

IDS = ["ses_0", "ses_1", "ses_2", "ses_3"]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of four sessions, each larger than a frame."""
    return make_talks(tmp_path / "opencode.db", many(4, size=1_500_000))


def archived(path: Path, file: Path) -> bytes:
    """The bytes of an archive of it: compressed by our writer, plain by hand."""
    tree = opencode_profile(path).tree
    assert tree is not None
    with SQLiteDatabase(path, read_only=True) as database:
        if file.suffix == ".zst":
            plan = plan_archive(database.survey(tree))
            apply_archive(database, tree, plan, archive_place(file, stem="a"), None, host="opencode")
        else:
            write_archive(file, database, tree, sessions(path))
    return file.read_bytes()


def found(tmp_path: Path, data: bytes, name: str) -> tuple[list[str], int]:
    """What is salvaged of these bytes; it is a valid archive."""
    (tmp_path / f"damaged-{name}").write_bytes(data)
    target = tmp_path / "salvaged.json"
    report = salvage(tmp_path / f"damaged-{name}", target)
    assert report.sessions == [session.id for session, _ in Archive(target).headers()] == list(verify(target))
    assert [target.name] == [other.name for other in tmp_path.glob("salvaged*")]
    target.unlink()
    return report.sessions, report.lost


def test_an_archive_that_is_whole(path: Path, tmp_path: Path) -> None:
    """Everything is there, nothing is lost, and the text is the same."""
    data = archived(path, tmp_path / "a.json")
    report = salvage(tmp_path / "a.json", tmp_path / "b.json")

    assert (IDS, 0, []) == (report.sessions, report.lost, report.problems)
    assert data == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_flipped_bit_costs_one_session(path: Path, tmp_path: Path, share: float) -> None:
    """The session that it is in is lost, and only that."""
    data = bytearray(archived(path, tmp_path / "a.json"))
    data[int(len(data) * share)] ^= 1

    whole, lost = found(tmp_path, bytes(data), "a.json")

    assert [each for index, each in enumerate(IDS) if index != int(4 * share)] == whole
    assert 1 == lost


@pytest.mark.parametrize("name", ["a.json", "a.json.zst"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_file_that_was_cut_off(path: Path, tmp_path: Path, name: str, share: float) -> None:
    """All sessions before the cut are there."""
    data = archived(path, tmp_path / name)

    assert (IDS[: int(4 * share)], 1) == found(tmp_path, data[: int(len(data) * share)], name)


def test_a_damaged_frame(path: Path, tmp_path: Path) -> None:
    """Of a compressed archive what stands before the damage is there."""
    data = bytearray(archived(path, tmp_path / "a.json.zst"))
    data[int(len(data) * 0.6)] ^= 1

    assert (IDS[:2], 1) == found(tmp_path, bytes(data), "a.json.zst")


def test_what_is_no_archive(tmp_path: Path) -> None:
    """Nothing is found in it; one that is not there is an error."""
    (tmp_path / "x.json").write_text('{"a": 1}\n', encoding="utf-8")

    assert [] == salvage(tmp_path / "x.json", tmp_path / "y.json").sessions
    with pytest.raises(ArchiveError, match="No such file"):
        salvage(tmp_path / "missing.json", tmp_path / "z.json")
