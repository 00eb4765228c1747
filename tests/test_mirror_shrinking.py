"""Rows that went from a source go from its mirror only if somebody has used their session since."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import mirrors
from mirrors import Keeping, Mirroring, change
from ocblob.sessions.mirroring import MirrorFate, MirrorPlan, plan_mirror
from ocblob.store import BlobStore
from talks import Talk, make_talks, rows

HALF = "DELETE FROM part WHERE session_id='ses_b'"
USED = "UPDATE session SET time_updated=time_updated+1000 WHERE id='ses_b'"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Two sessions."""
    return make_talks(tmp_path / "opencode.db", [Talk("ses_a", 3), Talk("ses_b", 2)])


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Keeping]:
    """A target that keeps records."""
    with Keeping(tmp_path / "mirror.db") as target:
        yield target


@pytest.fixture
def mirror(source: Path, target: Keeping, tmp_path: Path) -> Iterator[Mirroring]:
    """Both sessions are there."""
    store, _ = BlobStore.create(str(tmp_path / "store"))
    with store:
        mirroring = Mirroring(source, target, store)
        mirroring.run()
        yield mirroring


@pytest.mark.parametrize("verify", [False, True])
def test_what_a_killed_deletion_has_left_takes_nothing_away(
    source: Path, target: Keeping, mirror: Mirroring, *, verify: bool
) -> None:
    """The mirror may be the only place that has the session whole: nothing of it changes, and it is told."""
    before, records = rows(target.path), dict(target.kept)
    change(source, HALF, "UPDATE message SET data='{ }' WHERE session_id='ses_b'")

    report = mirror.run(verify=verify)

    assert (MirrorFate.CONFLICT, False) == (report.fates["ses_b"], report.complete)
    assert "`ocblob pull` brings them back" in report.problems[0]
    assert (before, records["ses_b"]) == (rows(target.path), target.kept["ses_b"])


def test_a_deletion_that_begins_after_the_plan_takes_nothing_away(
    source: Path, target: Keeping, mirror: Mirroring, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two passes at once: one has mirrored the session and deletes it, the other one planned when it was newer."""
    change(source, USED)

    def planned(*arguments: Any, **options: Any) -> MirrorPlan:
        plan = plan_mirror(*arguments, **options)
        monkeypatch.undo()
        mirror.run()
        change(source, HALF)
        return plan

    monkeypatch.setattr(mirrors, "plan_mirror", planned)
    before = rows(target.path)["part"]

    report = mirror.run()

    assert MirrorFate.CONFLICT == report.fates["ses_b"]
    assert before == rows(target.path)["part"]


def test_a_source_that_was_brought_back_from_a_backup_takes_nothing_away(
    source: Path, target: Keeping, mirror: Mirroring, tmp_path: Path
) -> None:
    """What was mirrored since is newer: it is left, and the report says that the mirror is ahead."""
    shutil.copy(source, tmp_path / "backup.db")
    change(source, USED, "UPDATE part SET data='{ }', time_updated=time_updated+9 WHERE id='prt_ses_b_1'")
    mirror.run()
    before = rows(target.path)
    for name in ("", "-wal", "-shm"):
        Path(f"{source}{name}").unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", source)

    report = mirror.run()

    assert {"ses_b": MirrorFate.AHEAD} == report.fates
    assert before == rows(target.path)


@pytest.mark.parametrize("force", [False, True])
def test_rows_go_if_the_session_was_used_or_somebody_says_so(
    source: Path, target: Keeping, mirror: Mirroring, *, force: bool
) -> None:
    """A host takes messages back when somebody goes on from an earlier one."""
    change(source, HALF, "UPDATE part SET data='{}'" if force else USED)

    report = mirror.run(force=force)

    assert (MirrorFate.MIRRORED, 2) == (report.fates["ses_b"], report.rows_removed)
    assert rows(source)["part"] == rows(target.path)["part"]
