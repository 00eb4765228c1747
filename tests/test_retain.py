"""Retention of a database: what goes, what stays, and what becomes of it when somebody comes between."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Deleted, DeleteResult
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.errors import (
    ArchiveError,
    DatabaseError,
    DatabaseLockedError,
    DatabaseUnsupportedError,
    OcblobError,
)
from ocblob.sessions.limits import RetainLimits
from ocblob.sessions.plan import Totals, plan_retain
from ocblob.sessions.retain import Fate, Look, RetainReport, apply_retain
from ocblob.sessions.seals import Seal, Sealed, witness
from ocblob.sessions.trees import Tree
from processes import Neighbour
from samples import opencode_profile, opened
from talks import Talk, make_talks, many, orphans, rows, sessions, sound

FAMILY = (
    Talk("ses_a", 100),
    Talk("ses_a1", 99, parent="ses_a"),
    Talk("ses_a2", 98, parent="ses_a1"),
    Talk("ses_b", 50),
    Talk("ses_c", 40),
    Talk("ses_d", 1),
)


@dataclass
class Scene:
    """A database with sessions, and a retention of it."""

    path: Path
    told: list[tuple[str, str]] = field(default_factory=list)
    """Root and archive of each tree that the retention told of."""
    noted: list[str] = field(default_factory=list)
    """Roots of trees that may be in pieces, by the notes that have not ended."""

    @property
    def tree(self) -> SessionTree:
        """What its tables mean."""
        tree = opencode_profile(self.path).tree
        assert tree is not None
        return tree

    def retain(
        self,
        database: Any,
        limits: RetainLimits,
        *,
        seal: Seal | None = None,
        put_back: Callable[[Sequence[str]], str] | None = None,
        look: Look | None = None,
    ) -> RetainReport:
        """Plan and apply, as `ocblob retain --no-archive` does it unless there is another seal."""

        def told(tree: Tree, archive: str) -> None:
            self.told.append((tree.root, archive))

        def note(tree: Tree, _sealed: Sealed) -> Callable[[], None]:
            self.noted.append(tree.root)
            return lambda: self.noted.remove(tree.root)

        plan = plan_retain(database.survey(self.tree), limits, now_ms=int(time.time() * 1000))
        seal = seal or (lambda sessions: witness(database, self.tree, sessions))
        return apply_retain(database, self.tree, plan, seal=seal, put_back=put_back, look=look, told=told, note=note)


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """A family, two old sessions and a young one."""
    return Scene(make_talks(tmp_path / "opencode.db", FAMILY))


@pytest.fixture
def database(scene: Scene) -> Iterator[SQLiteDatabase]:
    """It, open."""
    with SQLiteDatabase(scene.path) as database:
        yield database


def fates(report: RetainReport) -> dict[str, Fate]:
    """What became of each tree."""
    return {result.root: result.fate for result in report.results}


def raises(error: Exception) -> Callable[[Sequence[str]], str]:
    """Rows that cannot be put back."""

    def put_back(_: Sequence[str]) -> str:
        raise error

    return put_back


def test_whole_trees_go_and_nothing_is_left_of_them(scene: Scene, database: SQLiteDatabase) -> None:
    """No table has a row of a session that went, every other row is as it was, and each tree is told of."""
    before = rows(scene.path)
    report = scene.retain(database, RetainLimits(max_sessions=2))

    assert ["ses_c", "ses_d"] == sessions(scene.path)
    assert sound(scene.path)
    after = rows(scene.path)
    assert {table: [row for row in before[table] if row in after[table]] for table in before} == after
    assert {"ses_a": Fate.EVICTED, "ses_b": Fate.EVICTED} == fates(report)
    assert [("ses_a", ""), ("ses_b", "")] == scene.told
    assert report.complete


def test_the_report_tells_what_went_and_what_remains(scene: Scene, database: SQLiteDatabase) -> None:
    """Sums are those of the plan when all went, and those of the database afterwards."""
    report = scene.retain(database, RetainLimits(max_sessions=2))
    left = plan_retain(database.survey(scene.tree), RetainLimits(max_sessions=9), now_ms=0).before

    assert report.planned == report.evicted
    assert left == report.remains
    assert (2, 4) == (report.evicted.trees, report.evicted.sessions)


def test_a_session_that_is_written_after_the_seal_stays(scene: Scene, database: SQLiteDatabase) -> None:
    """Somebody continues a session between archive and delete: its whole tree stays, the others go."""

    def seal(sessions: Sequence[str]) -> Sealed:
        sealed = witness(database, scene.tree, sessions)
        with Neighbour(scene.path) as neighbour:
            neighbour.execute("UPDATE part SET data='{}' WHERE session_id='ses_a2'")
        return sealed

    report = scene.retain(database, RetainLimits(max_sessions=2), seal=seal)

    assert {"ses_a": Fate.CHANGED, "ses_b": Fate.EVICTED} == fates(report)
    assert ["ses_a", "ses_a1", "ses_a2", "ses_c", "ses_d"] == sessions(scene.path)
    assert ["ses_a stays (changed): somebody works in it, or has deleted it"] == report.problems
    assert not report.complete


def test_a_session_that_is_written_before_the_seal_stays(scene: Scene, database: SQLiteDatabase) -> None:
    """What became active between plan and seal is sealed as it is, and active all the same."""

    def seal(sessions: Sequence[str]) -> Sealed:
        with Neighbour(scene.path) as neighbour:
            neighbour.execute("UPDATE session SET time_updated=? WHERE id='ses_b'", int(time.time() * 1000))
        return witness(database, scene.tree, sessions)

    report = scene.retain(database, RetainLimits(max_sessions=2), seal=seal)

    assert {"ses_a": Fate.EVICTED, "ses_b": Fate.CHANGED} == fates(report)
    assert "ses_b" in sessions(scene.path)


@pytest.mark.parametrize("moment", ["before the seal", "after the seal"])
def test_a_tree_that_got_a_child_stays(scene: Scene, database: SQLiteDatabase, moment: str) -> None:
    """A session begun by one that was to go is no orphan afterwards."""

    def seal(sessions: Sequence[str]) -> Sealed:
        if moment == "after the seal":
            sealed = witness(database, scene.tree, sessions)
        with Neighbour(scene.path) as neighbour:
            neighbour.execute("UPDATE session SET parent_id='ses_b' WHERE id='ses_d'")
        return sealed if moment == "after the seal" else witness(database, scene.tree, sessions)

    report = scene.retain(database, RetainLimits(max_sessions=2), seal=seal)

    assert {"ses_a": Fate.EVICTED, "ses_b": Fate.CHANGED} == fates(report)
    assert [] == orphans(scene.path)


def test_a_child_that_comes_in_the_last_moment_is_seen(scene: Scene, database: SQLiteDatabase) -> None:
    """Children are looked for inside the transaction that deletes."""

    class Late(Forwarding):
        def delete(self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
            with Neighbour(scene.path) as neighbour:
                neighbour.execute("UPDATE session SET parent_id=? WHERE id='ses_d'", sessions[0])
            return self.database.delete_sessions(tree, sessions, unchanged=unchanged)

    report = scene.retain(Late(database), RetainLimits(max_sessions=3))

    assert {"ses_a": Fate.CHANGED} == fates(report)
    assert [] == orphans(scene.path)


def test_a_session_that_is_gone_meanwhile_is_no_error(scene: Scene, database: SQLiteDatabase) -> None:
    """The host's own user deleted it first: the others go."""

    def seal(sessions: Sequence[str]) -> Sealed:
        with Neighbour(scene.path) as neighbour:
            for table in ("part", "message", "todo"):
                neighbour.execute(f"DELETE FROM {table} WHERE session_id='ses_b'")
            neighbour.execute("DELETE FROM session WHERE id='ses_b'")
        return witness(database, scene.tree, sessions)

    report = scene.retain(database, RetainLimits(max_sessions=2), seal=seal)

    assert {"ses_a": Fate.EVICTED, "ses_b": Fate.CHANGED} == fates(report)


def test_what_is_not_sealed_stays_with_its_tree(scene: Scene, database: SQLiteDatabase) -> None:
    """One child whose attachment cannot be archived keeps its parent; the others go."""

    def seal(sessions: Sequence[str]) -> Sealed:
        sealed = witness(database, scene.tree, [session for session in sessions if session != "ses_a2"])
        return Sealed(sealed.digests, {"ses_a2": "blob 12 is missing"}, "x.json.zst", 12)

    report = scene.retain(database, RetainLimits(max_sessions=2), seal=seal)

    assert {"ses_a": Fate.UNSEALED, "ses_b": Fate.EVICTED} == fates(report)
    assert ["ses_a stays (unsealed): ses_a2: blob 12 is missing"] == report.problems
    assert [("ses_b", "x.json.zst")] == scene.told
    assert ("x.json.zst", 12, 3) == (report.archive, report.archive_size, report.archived)


def test_what_nothing_has_sealed_stays(scene: Scene, database: SQLiteDatabase) -> None:
    """A mirror and an archive had it each as it was at another moment: it is not told as left, and does not go."""

    def seal(sessions: Sequence[str]) -> Sealed:
        digests = witness(database, scene.tree, sessions).digests
        return Sealed({session: digest for session, digest in digests.items() if session != "ses_a2"})

    report = scene.retain(database, RetainLimits(max_sessions=2), seal=seal)

    assert {"ses_a": Fate.CHANGED, "ses_b": Fate.EVICTED} == fates(report)


def test_a_seal_that_fails_leaves_everything(scene: Scene, database: SQLiteDatabase) -> None:
    """A full disk or a read-only directory is an error before anything is deleted."""
    before = rows(scene.path)

    def seal(_: Sequence[str]) -> Sealed:
        raise OcblobError("the disk is full")

    with pytest.raises(OcblobError, match="the disk is full"):
        scene.retain(database, RetainLimits(max_sessions=2), seal=seal)
    assert before == rows(scene.path)


def test_one_tree_that_cannot_be_deleted_stops_no_other(tmp_path: Path) -> None:
    """The database refuses one of twenty: it stays whole and is told, nineteen go."""
    scene = Scene(make_talks(tmp_path / "opencode.db", many(21)))
    with SQLiteDatabase(scene.path) as database:

        class Refusing(Forwarding):
            def delete(self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
                if "ses_3" in sessions:
                    raise DatabaseError("a row of it is damaged")
                return self.database.delete_sessions(tree, sessions, unchanged=unchanged)

        report = scene.retain(Refusing(database), RetainLimits(max_sessions=1))

    assert ["ses_20", "ses_3"] == sessions(scene.path)
    assert ["ses_3 stays (failed): a row of it is damaged"] == report.problems
    assert 19 == report.evicted.trees
    assert sound(scene.path)


def test_what_the_database_refuses_is_not_sealed(scene: Scene, database: SQLiteDatabase) -> None:
    """A row of another session hangs on one of these: that tree stays, and no run archives it again; the others go."""
    with opened(scene.path) as db:
        db.execute("UPDATE part SET session_id='ses_d' WHERE id='prt_ses_b_1'").fetchall()
    sealed: list[str] = []

    def seal(sessions: Sequence[str]) -> Sealed:
        sealed.extend(sessions)
        return witness(database, scene.tree, sessions)

    report = scene.retain(database, RetainLimits(max_sessions=1), seal=seal)

    assert {"ses_a": Fate.EVICTED, "ses_b": Fate.FAILED, "ses_c": Fate.EVICTED} == fates(report)
    assert ["ses_a", "ses_a1", "ses_a2", "ses_c"] == sealed
    assert "prt_ses_b_1" in report.problems[0]
    assert ["ses_b", "ses_d"] == sessions(scene.path)


def test_where_nothing_may_go_nothing_is_sealed(scene: Scene, database: SQLiteDatabase) -> None:
    """A trigger that runs when rows are deleted stands against every tree: an error before an archive is begun."""
    with opened(scene.path) as db:
        db.execute("CREATE TRIGGER t AFTER DELETE ON part BEGIN DELETE FROM project; END").fetchall()

    def seal(_: Sequence[str]) -> Sealed:
        raise AssertionError

    with pytest.raises(DatabaseUnsupportedError, match="trigger t"):
        scene.retain(database, RetainLimits(max_sessions=1), seal=seal)
    assert 6 == len(sessions(scene.path))


def test_what_cannot_be_sealed_is_not_tried(scene: Scene, database: SQLiteDatabase) -> None:
    """A session that is known to lack a blob stays with its tree, and none of the tree is sealed."""
    asked: list[str] = []

    def look(sessions: Sequence[str]) -> dict[str, str]:
        asked.extend(sessions)
        return {"ses_a2": "blob 12 is missing"}

    def seal(sessions: Sequence[str]) -> Sealed:
        assert ["ses_b"] == list(sessions)
        return witness(database, scene.tree, sessions)

    report = scene.retain(database, RetainLimits(max_sessions=2), seal=seal, look=look)

    assert ["ses_a", "ses_a1", "ses_a2", "ses_b"] == asked
    assert {"ses_a": Fate.UNSEALED, "ses_b": Fate.EVICTED} == fates(report)
    assert ["ses_a stays (unsealed): ses_a2: blob 12 is missing"] == report.problems


def test_a_lock_before_it_seals_nothing(scene: Scene, database: SQLiteDatabase) -> None:
    """While somebody holds the lock no archive is begun: each of many runs would write one."""

    def seal(_: Sequence[str]) -> Sealed:
        raise AssertionError

    with Neighbour(scene.path) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")
        report = scene.retain(database, RetainLimits(max_sessions=1), seal=seal)
        neighbour.execute("ROLLBACK")

    assert "is locked by another process" in report.locked
    assert not report.complete


def test_a_lock_ends_it_with_what_was_done(scene: Scene, database: SQLiteDatabase) -> None:
    """What went before the lock is told; the rest is as it was."""

    class Locking(Forwarding):
        def delete(self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
            if "ses_b" in sessions:
                raise DatabaseLockedError("somebody holds it")
            return self.database.delete_sessions(tree, sessions, unchanged=unchanged)

    report = scene.retain(Locking(database), RetainLimits(max_sessions=1))

    assert {"ses_a": Fate.EVICTED, "ses_b": Fate.FAILED} == fates(report)
    assert "somebody holds it" == report.locked
    assert not report.complete
    assert ["ses_b", "ses_c", "ses_d"] == sessions(scene.path)


@pytest.mark.parametrize(
    ("put_back", "fate", "words"),
    [
        (lambda _: "", Fate.PUT_BACK, "they are back"),
        (lambda _: "the disk is full", Fate.HALF, "`ocblob unarchive x.json --session ses_b` puts them back"),
        (raises(OSError(28, "No space left")), Fate.HALF, "`ocblob unarchive x.json --session ses_b` puts them back"),
        (raises(ArchiveError("it is gone")), Fate.HALF, "`ocblob unarchive x.json --session ses_b` puts them back"),
        (None, Fate.HALF, "nothing holds them"),
    ],
)
def test_what_was_half_deleted_is_put_back_at_once(
    scene: Scene, database: SQLiteDatabase, put_back: Callable[[Sequence[str]], str] | None, fate: Fate, words: str
) -> None:
    """Somebody began to work in a session while it went piece by piece; if its rows cannot come back, that is told."""
    calls = []

    class Halving(Forwarding):
        def delete(self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
            if "ses_b" in sessions:
                return DeleteResult(Deleted.HALF, 17)
            return self.database.delete_sessions(tree, sessions, unchanged=unchanged)

    def counted(sessions: Sequence[str]) -> str:
        calls.append(tuple(sessions))
        assert put_back is not None
        return put_back(sessions)

    def seal(sessions: Sequence[str]) -> Sealed:
        return Sealed(witness(database, scene.tree, sessions).digests, archive="x.json")

    report = scene.retain(
        Halving(database), RetainLimits(max_sessions=1), seal=seal, put_back=counted if put_back else None
    )

    assert {"ses_a": Fate.EVICTED, "ses_b": fate, "ses_c": Fate.EVICTED} == fates(report)
    assert [("ses_b",)] * (put_back is not None) == calls
    assert ["ses_b"] * (fate is Fate.HALF) == scene.noted
    assert words in report.problems[0]


@pytest.mark.parametrize("error", [DatabaseError("the disk is full"), DatabaseLockedError("somebody holds it")])
def test_what_an_error_leaves_half_deleted_is_put_back(
    scene: Scene, database: SQLiteDatabase, error: DatabaseError
) -> None:
    """An error after some transactions is no error before all of them: the tree is looked at, and comes back."""
    calls = []

    class Breaking(Forwarding):
        def delete(self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
            if "ses_b" not in sessions:
                return self.database.delete_sessions(tree, sessions, unchanged=unchanged)
            with Neighbour(scene.path) as neighbour:
                neighbour.execute("DELETE FROM event WHERE aggregate_id='ses_b'")
            raise error

    def put_back(sessions: Sequence[str]) -> str:
        calls.append(tuple(sessions))
        return ""

    report = scene.retain(Breaking(database), RetainLimits(max_sessions=2), put_back=put_back)

    assert {"ses_a": Fate.EVICTED, "ses_b": Fate.PUT_BACK} == fates(report)
    assert [("ses_b",)] == calls
    assert isinstance(error, DatabaseLockedError) == bool(report.locked)


def test_who_interrupts_it_finds_no_session_in_pieces(scene: Scene, database: SQLiteDatabase) -> None:
    """A tree that is half gone when somebody presses Ctrl-C is put back before the process ends."""
    calls = []

    class Interrupted(Forwarding):
        def delete(self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
            del tree, unchanged
            with Neighbour(scene.path) as neighbour:
                neighbour.execute("DELETE FROM event WHERE aggregate_id=?", sessions[0])
            raise KeyboardInterrupt

    def put_back(sessions: Sequence[str]) -> str:
        calls.append(tuple(sessions))
        return ""

    with pytest.raises(KeyboardInterrupt):
        scene.retain(Interrupted(database), RetainLimits(max_sessions=3), put_back=put_back)
    assert [("ses_a", "ses_a1", "ses_a2")] == calls


@pytest.mark.parametrize("error", [None, DatabaseError("the disk is broken")])
def test_what_went_is_made_durable(scene: Scene, database: SQLiteDatabase, error: DatabaseError | None) -> None:
    """After the last deletion its commits are flushed; if they cannot be, that is told, and what went has gone."""
    calls = []

    class Flushing(Forwarding):
        def delete(self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
            calls.append(sessions[0])
            return self.database.delete_sessions(tree, sessions, unchanged=unchanged)

        def flush(self) -> None:
            calls.append("flush")
            if error is not None:
                raise error

    report = scene.retain(Flushing(database), RetainLimits(max_sessions=2))

    assert ["ses_a", "ses_b", "flush"] == calls
    assert ([] if error is None else [f"after a power cut, what went last may be back: {error}"]) == report.problems
    assert 2 == report.evicted.trees


def test_nothing_to_evict_seals_nothing(scene: Scene, database: SQLiteDatabase) -> None:
    """When the limits hold no archive is begun."""

    def seal(_: Sequence[str]) -> Sealed:
        raise AssertionError

    report = scene.retain(database, RetainLimits(max_sessions=4), seal=seal)

    assert report.complete
    assert Totals(0, 0, 0, 0) == report.evicted


class Forwarding:
    """A database that does what the real one does, but for a deletion that is meant."""

    def __init__(self, database: SQLiteDatabase) -> None:
        self.database = database

    def delete_sessions(self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
        """Asking whether something would be deleted is no deletion yet."""
        if not isinstance(unchanged, partial):
            return self.database.delete_sessions(tree, sessions, unchanged=unchanged)
        return self.delete(tree, sessions, unchanged=unchanged)

    def delete(self, tree: SessionTree, sessions: Sequence[str], *, unchanged: Any) -> DeleteResult:
        """For tests to override."""
        return self.database.delete_sessions(tree, sessions, unchanged=unchanged)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.database, name)
