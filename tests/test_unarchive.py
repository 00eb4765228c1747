"""`sessions.unarchive`: sessions out of an archive, back into a database, byte for byte."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from archived import write_archive
from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import Inserter, Row
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.digest import digest_of
from ocblob.errors import ArchiveError, UsageError
from ocblob.sessions.archive import apply_archive, plan_archive
from ocblob.sessions.reader import Archive
from ocblob.sessions.sealing import archive_place
from ocblob.sessions.unarchive import UnarchiveReport, apply_unarchive, put_back
from ocblob.sessions.unarchive_plan import Choice, Fate, SessionPlan, chosen, plan_unarchive
from odd_cells import CELLS
from processes import Neighbour, finish, spawn
from samples import make_opencode, opencode_profile, opened, payload, query
from talks import Talk, make_talks, many, rows, sessions, sound

REPLACE = "--replace puts the one of the archive in its place"
TALKS = (*many(2), Talk("ses_kid", 5, parent="ses_1"), Talk("ses_v2", 3, v2=True), Talk("ses_share", 2, shared=True))


def tree_of(path: Path) -> SessionTree:
    """What a session owns in this database."""
    tree = opencode_profile(path).tree
    assert tree is not None
    return tree


def archived(path: Path, file: Path) -> Path:
    """An archive of every session."""
    with SQLiteDatabase(path, read_only=True) as database:
        return write_archive(file, database, tree_of(path), sessions(path))


def delete(path: Path, *ids: str) -> None:
    """Sessions out of a database, all rows of them."""
    with SQLiteDatabase(path) as database:
        database.delete_sessions(tree_of(path), ids or sessions(path), unchanged=lambda _: True)


def change(path: Path, *statements: str) -> None:
    """SQL on a database, foreign keys off."""
    with opened(path) as db:
        for statement in statements:
            db.execute(statement).fetchall()


def unarchive(
    path: Path,
    file: Path,
    *ids: str,
    choice: Choice | None = None,
    room: Callable[[], int] | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> UnarchiveReport:
    """Plan and apply."""
    with SQLiteDatabase(path) as database:
        return run(database, tree_of(path), file, ids, choice or Choice(), room, announce)


def run(
    database: SQLiteDatabase,
    tree: SessionTree,
    file: Path,
    ids: Sequence[str] = (),
    choice: Choice | None = None,
    room: Callable[[], int] | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> UnarchiveReport:
    """The same on a database that is open."""
    archive = Archive(file)
    headers = list(archive.headers())
    with archive.extract(None) as blobs:
        plans = plan_unarchive(
            database,
            tree,
            archive,
            headers,
            sessions=chosen(headers, ids),
            blobs=blobs,
            choice=choice or Choice(),
        )
        return apply_unarchive(database, tree, archive, headers, plans, blobs=blobs, room=room, announce=announce)


def plan(path: Path, file: Path, *ids: str, choice: Choice | None = None) -> dict[str, SessionPlan]:
    """Only the plan, by session."""
    archive = Archive(file)
    headers = list(archive.headers())
    with SQLiteDatabase(path, read_only=True) as database, archive.extract(None) as blobs:
        plans = plan_unarchive(
            database,
            tree_of(path),
            archive,
            headers,
            sessions=chosen(headers, ids),
            blobs=blobs,
            choice=choice or Choice(),
        )
    return {each.session: each for each in plans}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with sessions of every kind."""
    return make_talks(tmp_path / "opencode.db", TALKS)


@pytest.fixture
def file(path: Path, tmp_path: Path) -> Path:
    """An archive of all of it."""
    return archived(path, tmp_path / "all.json")


def test_rows_that_do_not_read_back_are_told(path: Path, file: Path) -> None:
    """A trigger of the database's own writes something else: no session whose rows it changed counts as back."""
    delete(path)
    change(
        path,
        "CREATE TRIGGER meddles AFTER INSERT ON part WHEN new.session_id='ses_kid'"
        " BEGIN UPDATE part SET data='{}' WHERE id=new.id; END",
    )

    report = unarchive(path, file)

    assert (1, Fate.REFUSED) == (report.failed, report.fates["ses_kid"])
    assert "ses_kid: it does not read back as the archive has it" in report.problems[0]


def test_all_sessions_come_back_with_their_places(path: Path, file: Path) -> None:
    """After a deletion every table is what it was: rowids, types, bytes, the log of events."""
    before = rows(path)
    delete(path)

    report = unarchive(path, file)

    assert before == rows(path)
    assert sound(path)
    assert {Fate.INSERT} == set(report.fates.values())
    assert report.complete


def test_odd_cells_come_back(tmp_path: Path) -> None:
    """Broken JSON, invalid UTF-8, blobs, numbers, nulls, refs: each cell is what it was."""
    path = make_opencode(tmp_path / "odd.db", sessions=1, parts=0)
    with opened(path) as db, db:
        for number, odd in enumerate(CELLS):
            value = {"integer": int, "real": float}.get(odd.type, bytes)(odd.data) if odd.type != "null" else None
            text = "CAST(? AS TEXT)" if odd.type == "text" else "?"
            db.execute(
                f"INSERT INTO event VALUES (?, 'ses_0', ?, 'x', {text})",
                (f"evt_{number}", number, value if value is not None else ""),
            )
    file = archived(path, tmp_path / "odd.json")
    before = rows(path)
    delete(path)

    report = unarchive(path, file)

    assert before == rows(path)
    assert report.complete


def test_a_database_without_a_wal_takes_them(path: Path, file: Path) -> None:
    """There nobody can commit while we read, so we read only when nothing waits to be committed."""
    before = rows(path)
    delete(path)
    change(path, "DELETE FROM project", "PRAGMA journal_mode=delete")

    report = unarchive(path, file)

    assert before == rows(path)
    assert report.complete


def test_an_empty_database_takes_them(path: Path, file: Path, tmp_path: Path) -> None:
    """A database that has never had them gets the row of their project too."""
    other = make_talks(tmp_path / "other.db", [])
    change(other, "DELETE FROM project")

    unarchive(other, file)

    assert rows(path) == rows(other)


def test_a_project_that_is_there_stays(path: Path, file: Path) -> None:
    """A row that sessions only refer to is put in if it is missing, and never changed."""
    delete(path)
    change(path, "UPDATE project SET worktree='/elsewhere'")

    unarchive(path, file)

    assert [("/elsewhere",)] == query(path, "SELECT worktree FROM project")


def test_a_second_time_changes_nothing(path: Path, file: Path) -> None:
    """What is there and equal is left; the file of the database is not even written."""
    delete(path)
    unarchive(path, file)
    before = path.read_bytes()

    report = unarchive(path, file)

    assert {Fate.THERE} == set(report.fates.values())
    assert (0, True) == (report.rows, report.complete)
    assert before == path.read_bytes()


def test_only_the_named_session_and_its_children(path: Path, file: Path) -> None:
    """A session brings its archived children along, and nothing else."""
    delete(path)

    unarchive(path, file, "ses_1")

    assert ["ses_1", "ses_kid"] == sessions(path)


def test_an_unknown_session_is_named_with_what_there_is(file: Path) -> None:
    """The error names the session and the first few that the archive holds."""
    with pytest.raises(UsageError, match=r"no session ses_9; it holds ses_0, ses_1, ses_kid, ses_share, ses_v2$"):
        chosen(list(Archive(file).headers()), ["ses_9"])


def test_half_a_session_is_completed(path: Path, file: Path) -> None:
    """Rows that are missing go in beside those that are there and equal."""
    before = rows(path)
    change(path, "DELETE FROM event WHERE aggregate_id='ses_0'", "DELETE FROM part WHERE id='prt_ses_0_1'")

    report = unarchive(path, file)

    assert before == rows(path)
    assert (Fate.COMPLETE, 2) == (report.fates["ses_0"], report.rows)


def test_a_session_that_differs_is_refused(path: Path, file: Path) -> None:
    """The first differing row is named, nothing of the session is touched, the others come back."""
    delete(path, "ses_v2")
    change(path, "UPDATE part SET data='{}' WHERE id='prt_ses_0_2'")
    before = rows(path)["part"]

    report = unarchive(path, file)

    assert [f"ses_0: part prt_ses_0_2 is there and differs from the row of the archive; {REPLACE}"] == report.problems
    assert before == rows(path)["part"]
    assert "ses_v2" in sessions(path)
    assert (1, False) == (report.failed, report.complete)


MORE = {
    "todo": "INSERT INTO todo SELECT session_id, 'more', status, priority, 7, 1, 1 FROM todo",
    "event": "INSERT INTO event SELECT 'evt_new', aggregate_id, 9, type, data FROM event",
}


@pytest.mark.parametrize("table", MORE)
def test_a_session_with_more_rows_is_refused(path: Path, file: Path, table: str) -> None:
    """Rows that the archive does not have are never lost to it."""
    owner = "session_id" if table == "todo" else "aggregate_id"
    change(path, f"{MORE[table]} WHERE {owner}='ses_0'")

    assert f"table {table} has 1 row that the archive does not have; {REPLACE}" == plan(path, file)["ses_0"].why


def test_a_row_of_another_session_in_its_place_is_refused(path: Path, file: Path) -> None:
    """An id that another session has taken since is a row that differs."""
    delete(path, "ses_0")
    change(path, "UPDATE message SET id='msg_ses_0_1' WHERE id='msg_ses_share_1'")

    assert plan(path, file)["ses_0"].why.startswith("message msg_ses_0_1 is there and differs")


def test_replace_puts_the_archived_session_in_its_place(path: Path, file: Path) -> None:
    """Rows that differ and rows that are new go; every table is as archived."""
    before = rows(path)
    change(
        path,
        "UPDATE part SET data='{}' WHERE id='prt_ses_0_2'",
        "UPDATE event_sequence SET seq=9 WHERE aggregate_id='ses_0'",
        "INSERT INTO event SELECT 'evt_new', aggregate_id, 9, type, data FROM event WHERE aggregate_id='ses_0'",
    )

    report = unarchive(path, file, choice=Choice(replace=True))

    assert before == rows(path)
    assert (Fate.REPLACE, Fate.THERE) == (report.fates["ses_0"], report.fates["ses_1"])
    assert report.complete


def test_replace_leaves_children_that_only_the_database_has(path: Path, file: Path) -> None:
    """A child that was begun after the archive stays when its parent is replaced."""
    change(
        path,
        "UPDATE session SET title='new' WHERE id='ses_0'",
        "INSERT INTO session (id, project_id, parent_id, slug, directory, title, version, time_created, time_updated)"
        " VALUES ('ses_new', 'prj', 'ses_0', 's', '/', 'a child', '1', 1, 1)",
    )

    unarchive(path, file, choice=Choice(replace=True))

    assert [("the talk ses_0",)] == query(path, "SELECT title FROM session WHERE id='ses_0'")
    assert "ses_new" in sessions(path)


def test_a_replace_that_cannot_be_leaves_what_is_there(path: Path, file: Path) -> None:
    """If a row does not go in, the session is as it was before."""
    delete(path, "ses_0")
    change(path, "UPDATE message SET id='msg_ses_0_1' WHERE id='msg_ses_share_1'")
    before = rows(path)

    report = unarchive(path, file, "ses_0", choice=Choice(replace=True))

    assert before == rows(path)
    assert 1 == report.failed


def test_gained_columns_get_their_defaults(path: Path, file: Path) -> None:
    """An archive that is older than a column opens; equal rows are equal all the same."""
    delete(path, "ses_0")
    change(path, "ALTER TABLE part ADD COLUMN colour TEXT NOT NULL DEFAULT 'red'", "ALTER TABLE part ADD COLUMN x")

    report = unarchive(path, file)

    assert [("red", None)] == query(path, "SELECT DISTINCT colour, x FROM part")
    assert report.complete


def test_a_gained_column_without_a_default_is_an_obstacle(path: Path, file: Path) -> None:
    """It is said before anything goes in."""
    delete(path)
    change(
        path,
        "DROP TABLE todo",
        "CREATE TABLE todo (session_id TEXT, position INTEGER, content TEXT, status TEXT, priority TEXT,"
        " time_created INTEGER, time_updated INTEGER, owner TEXT NOT NULL, PRIMARY KEY (session_id, position))",
    )

    report = unarchive(path, file)

    assert "ses_0: table todo needs a value for owner, which the archive does not know" == report.problems[0]
    assert [] == sessions(path)


def test_a_lost_column_is_an_obstacle_if_it_had_a_value(path: Path, file: Path) -> None:
    """Nothing of an archived row is dropped silently; nulls are nothing."""
    delete(path)
    change(path, "ALTER TABLE session DROP COLUMN share_url")

    report = unarchive(path, file)

    assert ["ses_share: table session has no column share_url any more, and session ses_share has a value there"] == (
        report.problems
    )
    assert ["ses_0", "ses_1", "ses_kid", "ses_v2"] == sessions(path)


def test_a_lost_table_is_an_obstacle_if_it_had_rows(path: Path, file: Path) -> None:
    """Sessions without rows in it come back."""
    delete(path)
    change(path, "DROP TABLE session_input")

    report = unarchive(path, file)

    assert ["ses_v2: there is no table session_input any more, and the archive has rows of it"] == report.problems
    assert ["ses_0", "ses_1", "ses_kid", "ses_share"] == sessions(path)


def test_a_rowid_that_is_taken_is_no_obstacle(path: Path, file: Path) -> None:
    """The row goes elsewhere, and the session is compared row by row then."""
    delete(path, "ses_0")
    change(path, "UPDATE part SET rowid=100 WHERE id='prt_ses_1_1'", "UPDATE part SET rowid=1 WHERE id='prt_ses_1_2'")

    report = unarchive(path, file, "ses_0")

    assert report.complete
    assert {Fate.THERE} == {each.fate for each in plan(path, file).values()}


def test_tables_without_a_key_are_compared_by_their_rows(path: Path, tmp_path: Path) -> None:
    """Equal rows are counted; a missing one goes in, one more is refused."""
    change(
        path,
        "CREATE TABLE note (session_id TEXT, text TEXT)",
        "INSERT INTO note VALUES ('ses_0','a'), ('ses_0','a'), ('ses_0','b'), ('ses_1','a')",
    )
    file = archived(path, tmp_path / "notes.json")
    before = rows(path)
    change(path, "DELETE FROM note WHERE rowid=2", "DELETE FROM note WHERE session_id='ses_1'")

    assert 2 == unarchive(path, file).rows
    assert before == rows(path)
    change(path, "INSERT INTO note VALUES ('ses_0','a')")
    assert plan(path, file)["ses_0"].why.startswith("table note has 1 row that the archive does not have")


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        ("DELETE FROM message WHERE id=(SELECT message_id FROM part WHERE session_id='ses_0' LIMIT 1)", "message"),
        ("UPDATE session SET project_id='prj_gone' WHERE id='ses_0'", "project prj_gone"),
        ("DELETE FROM event_sequence WHERE aggregate_id='ses_0'", "event_sequence ses_0"),
    ],
)
def test_rows_that_refer_to_nothing_come_back_as_they_were(path: Path, file: Path, damage: str, names: str) -> None:
    """Who cleaned with foreign keys off left orphans: they come back with their session, told, and spoil no other."""
    change(path, damage)
    file = archived(path, file.with_name("damaged.json"))
    before, dangling = rows(path), query(path, "PRAGMA foreign_key_check")
    with SQLiteDatabase(path, read_only=True) as database:
        total = sum(facts.rows for facts in database.survey(tree_of(path)))
    delete(path)
    words: list[str] = []

    report = unarchive(path, file, announce=words.append)

    assert before == rows(path)
    assert dangling == query(path, "PRAGMA foreign_key_check") != []
    assert dict.fromkeys(sessions(path), Fate.INSERT) == report.fates
    assert total == report.rows
    assert [True] == [text.startswith("warning: ses_0: ") and f"there is no {names}" in text for text in words]


ORPHAN = "INSERT INTO part VALUES ('prt_orphan','msg_gone','ses_0',1,1,'{}')"


def test_a_session_with_orphans_is_replaced(path: Path, file: Path) -> None:
    """What the archive has takes the place of what is there, orphans and all, in one transaction."""
    change(path, ORPHAN)
    file = archived(path, file.with_name("damaged.json"))
    before = rows(path)
    change(path, "UPDATE session SET title='changed' WHERE id='ses_0'", "DELETE FROM part WHERE id='prt_orphan'")

    report = unarchive(path, file, "ses_0", choice=Choice(replace=True))

    assert before == rows(path)
    assert {"ses_0": Fate.REPLACE} == report.fates


def test_a_session_with_orphans_is_put_back(path: Path, file: Path) -> None:
    """Half deleted, it gets all of its rows again, whatever they refer to."""
    change(path, ORPHAN)
    file = archived(path, file.with_name("damaged.json"))
    before = rows(path)
    change(path, "DELETE FROM part WHERE session_id='ses_0'", "DELETE FROM event WHERE aggregate_id='ses_0'")

    with SQLiteDatabase(path) as database:
        report = put_back(database, tree_of(path), file, ["ses_0"])

    assert before == rows(path)
    assert report.complete


def forged(path: Path, file: Path, **other: object) -> Path:
    """An archive of ses_0 that is what it says, by whoever has another idea of what a session is."""
    with SQLiteDatabase(path, read_only=True) as database:
        return write_archive(file.with_name("forged.json"), database, replace(tree_of(path), **other), ["ses_0"])  # type: ignore[arg-type]


def test_a_forged_archive_puts_nothing_into_other_tables(path: Path, file: Path) -> None:
    """With a session goes its project, and nothing else: no permission or account of who made the archive."""
    change(path, "INSERT INTO permission VALUES ('per_1','prj','allow','*',1,1)")
    tree = tree_of(path)
    file = forged(path, file, context=(("project_id", "permission", "project_id"), *tree.context))
    change(path, "DELETE FROM permission")
    delete(path, "ses_0")

    assert {"ses_0": Fate.INSERT} == unarchive(path, file).fates
    assert [] == query(path, "SELECT * FROM permission")


def test_a_forged_archive_puts_nothing_into_other_sessions(path: Path, file: Path) -> None:
    """A row of an archived session that names another one is refused, and the session with it."""
    change(path, "INSERT INTO todo VALUES ('ses_1','ses_0','completed','low',7,1,1)")
    owned = [OwnedTable("todo", "content") if each.table == "todo" else each for each in tree_of(path).owned]
    file = forged(path, file, owned=tuple(owned))
    change(path, "DELETE FROM todo WHERE position=7")
    delete(path, "ses_0")
    before = rows(path)

    report = unarchive(path, file)

    assert ["ses_0: todo ses_1 7 is of another session"] == report.problems
    assert before == rows(path)


class Interrupted(BaseException):
    """As Ctrl-C."""


def test_an_interruption_at_any_row_is_completed(path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever call it comes in, running it again makes all of it what it was."""
    delete(path, "ses_0", "ses_1", "ses_kid")
    file = archived(path, file.with_name("two.json"))
    before = rows(path)
    delete(path)
    total = unarchive(path, file).rows
    real = SQLiteDatabase.inserter
    for stop in range(total):
        delete(path)
        with monkeypatch.context() as patch:
            patch.setattr(SQLiteDatabase, "inserter", _stopping(real, stop))
            with pytest.raises(Interrupted):
                unarchive(path, file)

        report = unarchive(path, file)

        assert before == rows(path)
        assert report.complete


def _stopping(real: Callable[[SQLiteDatabase], object], stop: int) -> Callable[..., object]:
    left = stop

    @contextmanager
    def inserter(database: SQLiteDatabase, *, dangling: bool = False) -> Iterator[Inserter]:
        with real(database, dangling=dangling) as rows_in:  # type: ignore[call-arg, attr-defined]

            class Stopping:
                def add(self, table: str, columns: Sequence[str], row: Row) -> None:
                    nonlocal left
                    if left == 0:
                        raise Interrupted
                    left -= 1
                    rows_in.add(table, columns, row)

            yield Stopping()

    return inserter


def test_a_held_lock_ends_it_and_loses_nothing(path: Path, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds the lock for longer than we wait is told; what is back stays, the next run goes on."""
    before = rows(path)
    delete(path)
    monkeypatch.setattr("ocblob.databases.sqlite.connection.BUSY_TIMEOUT_MS", 50)
    with Neighbour(path) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")
        report = unarchive(path, file)
        neighbour.execute("COMMIT")

    assert "locked by another process" in report.locked
    assert not report.complete
    assert unarchive(path, file).complete
    assert before == rows(path)


def test_no_room_on_the_disk_is_said_before(path: Path, file: Path) -> None:
    """Nothing of a session goes in that the disk has no room for."""
    delete(path)

    report = unarchive(path, file, "ses_0", room=lambda: 100)

    assert report.problems[0].startswith("ses_0: no room on the disk for the ")
    assert [] == sessions(path)


def test_a_large_cell_beside_a_live_host_needs_force(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The session is left and told; a host must not wait for it."""
    file = archived(path, tmp_path / "all.json")
    delete(path, "ses_0")
    monkeypatch.setattr("ocblob.sessions.unarchive_plan.LARGE_CELL_BYTES", 1000)

    refused = plan(path, file, choice=Choice(large_cells=False))

    assert refused["ses_0"].why.endswith("and the host would wait for it; --force does it all the same")
    assert Fate.THERE == refused["ses_1"].fate


def test_a_replacement_that_a_host_would_not_wait_for_needs_force(
    path: Path, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one transaction, and a host loses a prompt that waits too long for it."""
    change(path, "UPDATE session SET title='new' WHERE id='ses_0'")
    monkeypatch.setattr("ocblob.sessions.unarchive_plan.INSERT_BYTES_PER_S", 1000)

    refused = plan(path, file, choice=Choice(replace=True, large_cells=False))

    assert refused["ses_0"].why.endswith("would block the host for about 6 s; --force does it all the same")
    assert Fate.REPLACE == plan(path, file, choice=Choice(replace=True))["ses_0"].fate


def test_rows_that_somebody_else_put_in_meanwhile_are_no_failure(path: Path, file: Path) -> None:
    """Two that put the same sessions back at once get in each other's way, and both end well."""
    before = rows(path)
    delete(path)
    archive = Archive(file)
    headers = list(archive.headers())
    with SQLiteDatabase(path) as database, archive.extract(None) as blobs:
        tree, ids = tree_of(path), chosen(headers, ())
        plans = plan_unarchive(database, tree, archive, headers, sessions=ids, blobs=blobs, choice=Choice())
        assert unarchive(path, file).complete
        report = apply_unarchive(database, tree, archive, headers, plans, blobs=blobs)

    assert [] == report.problems
    assert before == rows(path)


def test_put_back_saves_all_that_can_be(path: Path, file: Path) -> None:
    """A row whose place another one has taken is told; the rows behind it go in."""
    change(
        path,
        "DELETE FROM part WHERE session_id='ses_0'",
        "DELETE FROM todo WHERE session_id='ses_0'",
        "CREATE UNIQUE INDEX one_text ON part (session_id) WHERE id LIKE 'prt_ses_0%' OR id='new'",
        "INSERT INTO part SELECT 'new', message_id, 'ses_0', 1, 1, '{}' FROM part WHERE id='prt_ses_1_1'",
    )
    with SQLiteDatabase(path) as database:
        report = put_back(database, tree_of(path), file, ["ses_0"])

    assert 1 == report.failed
    assert "UNIQUE constraint failed" in report.problems[0]
    assert [("ses_0",)] == query(path, "SELECT session_id FROM todo WHERE session_id='ses_0'")


def test_put_back_keeps_what_is_new(path: Path, file: Path) -> None:
    """Missing rows go in; rows that are new or changed stay as the database has them."""
    change(
        path,
        "DELETE FROM event WHERE aggregate_id='ses_0'",
        "UPDATE event_sequence SET seq=9 WHERE aggregate_id='ses_0'",
        "UPDATE session SET title='new' WHERE id='ses_0'",
        "INSERT INTO event SELECT 'evt_new', 'ses_0', 9, 'x', '{}'",
    )
    with SQLiteDatabase(path) as database:
        report = put_back(database, tree_of(path), file, ["ses_0"])

    assert [("evt_new",), ("evt_ses_0",)] == query(path, "SELECT id FROM event WHERE aggregate_id='ses_0' ORDER BY id")
    assert [("new", 9)] == query(
        path, "SELECT title, seq FROM session, event_sequence WHERE id=aggregate_id AND id='ses_0'"
    )
    assert (1, True) == (report.rows, report.complete)


def test_a_blob_that_the_archive_lost_stops_one_session(path: Path, tmp_path: Path) -> None:
    """The session that needs it is told, the others come back."""
    with SQLiteDatabase(path, read_only=True) as database:
        lost = digest_of(payload(2000, "ses_0"))
        file = write_archive(tmp_path / "lost.json", database, tree_of(path), sessions(path), lost=[lost])
    delete(path)

    report = unarchive(path, file)

    assert [f"ses_0: the archive does not hold blob {lost}"] == report.problems
    assert ["ses_1", "ses_kid", "ses_share", "ses_v2"] == sessions(path)


def test_rows_that_are_not_those_that_were_archived_are_refused(path: Path, file: Path) -> None:
    """The digest behind a session is of its rows, or nothing of it goes in."""
    delete(path)
    text = file.read_text(encoding="utf-8")
    at = text.index('"digest":"') + len('"digest":"')
    file.write_text(text[:at] + "0" * 64 + text[at + 64 :], encoding="utf-8")

    report = unarchive(path, file)

    assert ["ses_0: its rows in the archive are not those that were archived: the file is damaged"] == report.problems
    assert 4 == len(sessions(path))


@pytest.mark.parametrize("cut", ["head", "middle", "tail"])
def test_a_damaged_archive_changes_nothing(path: Path, file: Path, cut: str) -> None:
    """What is cut or changed is told with its line, before any row goes in."""
    delete(path)
    data = bytearray(file.read_bytes())
    if cut == "middle":
        data[len(data) // 2] ^= 1
    file.write_bytes(bytes(data[1:] if cut == "head" else data[:-3] if cut == "tail" else data))

    with pytest.raises(ArchiveError, match=r"all\.json, line "):
        unarchive(path, file)

    assert [] == sessions(path)


PEAK = """
import sys
from pathlib import Path
from processes import peak_bytes
from test_unarchive import SQLiteDatabase, run, tree_of
path, file = Path(sys.argv[1]), Path(sys.argv[2])
with SQLiteDatabase(path) as database:
    tree = tree_of(path)
    before = peak_bytes()
    report = run(database, tree, file)
    assert report.complete, report.problems
    print(peak_bytes() - before)
"""


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "win32", reason="tells no peak of memory")
def test_memory_is_bounded_by_the_largest_cell(tmp_path: Path) -> None:
    """Many cells of 8 MB come back in far less than all of them take."""
    path = make_opencode(tmp_path / "large.db", sessions=1, parts=8, size=8_000_000)
    file = archived(path, tmp_path / "large.json")
    delete(path)

    assert int(finish(spawn(PEAK, str(path), str(file)))) < 60_000_000


def test_the_archive_of_our_writer_comes_back(path: Path, tmp_path: Path) -> None:
    """What `archive` writes, compressed and with its messages, is put back byte for byte."""
    before = rows(path)
    place = archive_place(tmp_path / "all.json.zst", stem="all")
    with SQLiteDatabase(path, read_only=True) as database:
        tree = tree_of(path)
        plan_of_all = plan_archive(database.survey(tree))
        apply_archive(database, tree, plan_of_all, place, None, host="opencode")
    delete(path)

    assert unarchive(path, tmp_path / "all.json.zst").complete
    assert before == rows(path)
