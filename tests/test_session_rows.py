import math
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import Content, Deleted, Row, SessionDatabase, Snapshot
from ocblob.databases.sqlite import SQLiteDatabase, session_delete, session_pieces
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.errors import DatabaseError, DatabaseLockedError, DatabaseUnsupportedError
from ocblob.rows import session_digest
from processes import Neighbour, finish, spawn
from samples import dump, integrity, opened, query
from session_contracts import (
    TREE,
    SessionRowsContract,
    content,
    copied,
    delete,
    digest,
    everything,
    facts,
    fill,
    plain,
    put,
    remade,
    row,
    session_rows,
)

SCHEMA = """
    CREATE TABLE project (id TEXT PRIMARY KEY, name TEXT);
    CREATE TABLE session (id TEXT PRIMARY KEY, project_id TEXT NOT NULL REFERENCES project(id), parent_id TEXT,
        title TEXT NOT NULL, share_url TEXT, cost REAL NOT NULL DEFAULT 0, time_created INTEGER NOT NULL,
        time_updated INTEGER NOT NULL);
    CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES session(id) ON DELETE CASCADE,
        time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT NOT NULL REFERENCES message(id) ON DELETE CASCADE,
        session_id TEXT NOT NULL, time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE TABLE session_share (session_id TEXT PRIMARY KEY REFERENCES session(id) ON DELETE CASCADE, url TEXT);
    CREATE TABLE event_sequence (aggregate_id TEXT PRIMARY KEY, seq INTEGER NOT NULL);
    CREATE TABLE event (id TEXT PRIMARY KEY, aggregate_id TEXT NOT NULL
        REFERENCES event_sequence(aggregate_id) ON DELETE CASCADE, seq INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE INDEX part_session_idx ON part (session_id);
    CREATE INDEX part_message_idx ON part (message_id);
    CREATE UNIQUE INDEX event_idx ON event (aggregate_id, seq);
"""


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    """A database without rows; sound in the end."""
    path = tmp_path / "app.db"
    with opened(path) as db:
        db.execute("PRAGMA journal_mode=wal").fetchall()
        db.execute(SCHEMA).fetchall()
    yield path
    assert "ok" == integrity(path)
    assert [] == query(path, "PRAGMA foreign_key_check")


@pytest.fixture
def database(path: Path) -> Iterator[SessionDatabase]:
    """The same, open."""
    with SQLiteDatabase(path) as database:
        yield database


@pytest.fixture
def in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tree is a large one; a transaction takes two rows."""
    monkeypatch.setattr(session_delete, "WHOLE_ROWS_MAX", 0)
    monkeypatch.setattr(session_pieces, "PIECE_ROWS", 2)
    monkeypatch.setattr("ocblob.databases.sqlite.session_writing.TRANSACTION_S", 0)


def with_table(name: str) -> SessionTree:
    """The tree with one more table that has a column with the session's id."""
    return replace(TREE, owned=(*TREE.owned, OwnedTable(name, "id")))


class TestSQLite(SessionRowsContract):
    """A SQLite file in WAL mode."""


@pytest.mark.usefixtures("in_pieces")
class TestSQLiteInPieces(SessionRowsContract):
    """The same, and every transaction ends as early as it may."""


def values_of(database: SessionDatabase, table: str, column: str, value: str) -> list[tuple[object, ...]]:
    """The rows of any table, with their types."""
    with database.snapshot() as state:
        return [tuple(map(plain, found.values)) for found in state.context_rows(table, column, value)]


ODD_VALUES = (
    None,
    0,
    -(2**63),
    2**63 - 1,
    2**53 + 1,
    0.1,
    5e-324,
    1.7976931348623157e308,
    math.inf,
    -math.inf,
    content(b""),
    content(b"", "blob"),
    content(b"\xff\xfe \x00 in the middle\xc3"),
    content(b"\x00\xff" * 10, "blob"),
    content(b"\xff" * 100_000),
    content(b"\x00" * 100_000, "blob"),
    content(b"\xe2\x82" * 2_500_000),
    content(b"\xe2\x82" * 2_500_000, "blob"),
)


@pytest.mark.parametrize("declared", ["", "BLOB", "ANY", "TEXT", "INTEGER", "REAL", "NUMERIC"])
def test_what_a_column_holds_is_read_and_put_in_exactly(path: Path, declared: str) -> None:
    """Any value that a column of any affinity can hold goes out and in with its type and bytes."""
    with SQLiteDatabase(path) as database:
        query(path, f"CREATE TABLE odd (id TEXT, value {declared})")
        for value in ODD_VALUES:
            made = plain(value)
            kind, bound = made if isinstance(made, tuple) else ("", made)
            query(path, f"INSERT INTO odd VALUES ('a', {'CAST(? AS TEXT)' if kind == 'text' else '?'})", bound)
        with database.snapshot() as state:
            rows = [
                (found.rowid, tuple(plain(value) for value in found.values))
                for found in state.context_rows("odd", "id", "a")
            ]
        before = dump(path)["odd"]
        query(path, "DELETE FROM odd")
        with database.inserter() as inserter:
            for rowid, values in rows:
                inserter.add("odd", ("id", "value"), Row(rowid, remade(values)))
        assert before == dump(path)["odd"]
        assert len(ODD_VALUES) == len(before)


@pytest.mark.parametrize(
    ("declared", "value"),
    [
        ("TEXT", 5),
        ("TEXT", 0.5),
        ("INTEGER", 5.0),
        ("NUMERIC", -0.0),
        ("INTEGER", content("12")),
        ("NUMERIC", content("1e5")),
        ("REAL", 7),
        ("REAL", content("0.5")),
    ],
)
def test_value_that_a_column_would_change_is_refused(path: Path, declared: str, value: float | Content) -> None:
    """SQLite would store another type: such a row does not go in, and is named."""
    query(path, f"CREATE TABLE odd (id TEXT PRIMARY KEY, value {declared})")
    with SQLiteDatabase(path) as database:
        with pytest.raises(DatabaseError, match=r"odd a .*column value holds no"), database.inserter() as inserter:
            inserter.add("odd", ("id", "value"), row("a", value))
        assert [] == values_of(database, "odd", "id", "a")


def test_negative_zero_and_integral_reals_stay_where_nothing_is_converted(path: Path) -> None:
    """A column without affinity gives a real back as the very same real."""
    query(path, "CREATE TABLE odd (id TEXT, value)")
    with SQLiteDatabase(path) as database:
        with database.inserter() as inserter:
            for value in (-0.0, 5.0, 5):
                inserter.add("odd", ("id", "value"), row("a", value))
        assert ["-0.0", "5.0", "5"] == [repr(value) for _, value in values_of(database, "odd", "id", "a")]


@pytest.mark.parametrize(
    "schema",
    [
        "CREATE TABLE odd (id TEXT, n INTEGER, value TEXT, PRIMARY KEY (id, n)) WITHOUT ROWID",
        "CREATE TABLE odd (id TEXT, n INTEGER, value TEXT, twice AS (n * 2), PRIMARY KEY (id, n))",
        'CREATE TABLE odd (id TEXT, n INTEGER, value TEXT, "rowid" INTEGER DEFAULT 7, PRIMARY KEY (n))',
        "CREATE TABLE odd (id TEXT, n INTEGER PRIMARY KEY, value TEXT)",
        "CREATE TABLE odd (id TEXT, n INTEGER PRIMARY KEY, value TEXT CHECK (instr(value, ' ') > 0))",
        "CREATE TABLE odd (id TEXT, n INTEGER, value TEXT, PRIMARY KEY (id, n)) STRICT",
        "CREATE TABLE odd (id TEXT, n INTEGER, value TEXT UNIQUE)",
    ],
    ids=["without-rowid", "generated", "hidden-rowid", "alias", "check", "strict", "unique"],
)
def test_tables_of_every_kind_are_read_deleted_and_filled(
    path: Path, schema: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More rows than a page of keys, with large contents, go out and in, in their order."""
    query(path, schema)
    with opened(path) as db, db:
        db.executemany(
            "INSERT INTO odd (id, n, value) VALUES ('one', ?, ?)",
            [(n * 3, f"{n} " + "q" * (6_000_000 if n == 5 else 70_000 if n % 100 == 0 else 10)) for n in range(700)],
        )
    owned = OwnedTable("odd", "id")
    with SQLiteDatabase(path) as database:
        fill(database, "one")
        before = dump(path)
        with database.snapshot() as state:
            columns = state.shape("odd").columns
            rows = list(state.rows(owned, "one"))
            copies = [(found.rowid, [plain(value) for value in found.values]) for found in rows]
            assert [n * 3 for n in range(700)] == [found.values[1] for found in rows]
        for whole in (10_000, 0):
            monkeypatch.setattr(session_delete, "WHOLE_ROWS_MAX", whole)
            with database.snapshot() as state:
                rest = copied(state, "one")
            result = database.delete_sessions(with_table("odd"), ["one"], unchanged=lambda _: True)
            assert (Deleted.DELETED, 709) == (result.outcome, result.rows)
            assert [] == query(path, "SELECT * FROM odd")
            put(database, rest)
            with database.inserter() as inserter:
                for rowid, values in copies:
                    inserter.add("odd", columns, Row(rowid, remade(values)))
            assert before == dump(path)


def test_added_column_and_its_large_default_are_read(path: Path) -> None:
    """A row from before a column was added has its default, however large, and goes back with it."""
    with SQLiteDatabase(path) as database:
        fill(database, "one")
        query(path, f"ALTER TABLE part ADD COLUMN more TEXT DEFAULT '{'d' * 100_000}'")
        query(path, "ALTER TABLE part ADD COLUMN number REAL NOT NULL DEFAULT 1")
        before = digest(database, "one")
        with database.snapshot() as state:
            rows = copied(state, "one")
        assert [(("text", b"d" * 100_000), 1.0)] * 3 == [values[-2:] for values in everything(database, "one")["part"]]
        delete(database, "one")
        put(database, rows)
        assert before == digest(database, "one")


def test_times_that_are_no_integers_are_unknown(path: Path) -> None:
    """Text, reals and nulls in a time's column tell nothing; a row that has a time still does."""
    query(path, "CREATE TABLE loose (id TEXT PRIMARY KEY, parent_id, title, time_created, time_updated, share_url)")
    loose = OwnedTable("loose", "id", "time_updated")
    tree = replace(TREE, sessions=loose, owned=(loose, *TREE.owned[2:]))
    for name, value in (("text", "soon"), ("real", 5.5), ("null", None), ("blob", b"5"), ("number", 7)):
        query(path, "INSERT INTO loose VALUES (?1, '', x'ff41', ?2, ?2, NULL)", name, value)
    with SQLiteDatabase(path) as database:
        found = {facts.id: (facts.created_ms, facts.used_ms) for facts in database.survey(tree)}
        unknown = dict.fromkeys(("text", "real", "null", "blob"), (None, None))
        assert {**unknown, "number": (7, 7)} == found
        assert {"\ufffdA"} == {facts.title for facts in database.survey(tree)}


def test_session_id_that_is_no_valid_text_is_found_by_what_the_survey_says(path: Path) -> None:
    """Its rows are read and deleted by that name."""
    with SQLiteDatabase(path) as database:
        fill(database, "one")
        query(path, "INSERT INTO session VALUES (CAST(x'ff00fe' AS TEXT), 'prj', '', 't', NULL, 0, 1, 1)")
        (name,) = facts(database).keys() - {"one"}
        assert 1 == len(everything(database, name)["session"])
        assert (Deleted.DELETED, 1) == delete(database, name)
        assert {"one"} == facts(database).keys()


def test_rows_that_cannot_lie_where_they_lay_keep_their_order(path: Path) -> None:
    """A rowid that somebody has taken moves that row and those after it to the end."""
    with SQLiteDatabase(path) as database:
        fill(database, "one", "two", parts=4)
        before = digest(database, "one")
        with database.snapshot() as state:
            rows = copied(state, "one")
        delete(database, "one")
        query(
            path,
            "INSERT INTO part (rowid, id, message_id, session_id, time_created, time_updated, data)"
            " VALUES (2, 'prt_x', 'msg_two', 'two', 1, 1, '{}')",
        )
        put(database, rows)
        assert before == digest(database, "one")
        found = query(path, "SELECT rowid FROM part WHERE session_id='one' ORDER BY id")
        assert [(1,), (9,), (10,), (11,)] == found


def test_part_of_another_session_is_not_deleted_along(path: Path) -> None:
    """A row that a cascade would take, and that was not looked at, stops the deletion; with its session it goes."""
    with SQLiteDatabase(path) as database:
        fill(database, "one", "two")
        query(path, "UPDATE part SET message_id='msg_one' WHERE id='prt_two_1'")
        before = dump(path)
        with pytest.raises(DatabaseError, match=r"part prt_two_1 .*session two"):
            delete(database, "one")
        with pytest.raises(DatabaseError, match=r"part prt_two_1"):
            database.delete_and_insert(TREE, "one", session_rows("one"))
        assert before == dump(path)
        assert (Deleted.DELETED, 9) == delete(database, "two")
        assert (Deleted.DELETED, 9) == delete(database, "one")


def test_sessions_that_refer_to_each_other_go_together(path: Path) -> None:
    """What a cascade would take may be part of the same tree."""
    with SQLiteDatabase(path) as database:
        fill(database, "one", "two")
        query(path, "UPDATE part SET message_id='msg_one' WHERE id='prt_two_1'")
        assert (Deleted.DELETED, 18) == delete(database, "one", "two")


@pytest.mark.parametrize("action", ["CASCADE", "NO ACTION", "RESTRICT"])
@pytest.mark.parametrize("whole", [10_000, 0], ids=["whole", "in-pieces"])
def test_rows_of_a_tree_that_refer_to_each_other_go_together(
    path: Path, monkeypatch: pytest.MonkeyPatch, whole: int, action: str
) -> None:
    """Sessions and rows that refer to others of their table are deleted with them, or stop the deletion."""
    monkeypatch.setattr(session_delete, "WHOLE_ROWS_MAX", whole)
    query(path, f"ALTER TABLE session ADD COLUMN root TEXT REFERENCES session(id) ON DELETE {action}")
    with SQLiteDatabase(path) as database:
        fill(database, "one", "two")
        query(path, "UPDATE session SET root='one' WHERE id='two'")
        with pytest.raises(DatabaseError, match="session two"):
            delete(database, "one")
        if action == "CASCADE":
            query(path, "CREATE TABLE node (id TEXT, n INTEGER PRIMARY KEY, up REFERENCES node(n) ON DELETE CASCADE)")
            query(path, "INSERT INTO node VALUES ('one', 1, NULL), ('one', 2, 1), ('two', 3, 2)")
            result = database.delete_sessions(with_table("node"), ["one", "two"], unchanged=lambda _: True)
            assert (Deleted.DELETED, 21) == (result.outcome, result.rows)
        elif action == "NO ACTION":
            assert (Deleted.DELETED, 18) == delete(database, "one", "two")
        elif whole:
            with pytest.raises(DatabaseError, match="FOREIGN KEY"):
                delete(database, "one", "two")
            assert 18 == len(rows_of(database, "one")) + len(rows_of(database, "two"))
        else:
            assert (Deleted.HALF, 16) == delete(database, "one", "two")


def test_table_with_the_sessions_id_loses_its_rows_too(path: Path) -> None:
    """A table that has come with a later version leaves no orphan."""
    query(path, "CREATE TABLE later (id TEXT, note TEXT)")
    query(path, "INSERT INTO later VALUES ('one', 'a'), ('two', 'b')")
    with SQLiteDatabase(path) as database:
        fill(database, "one", "two")
        result = database.delete_sessions(with_table("later"), ["one"], unchanged=lambda _: True)
        assert (Deleted.DELETED, 10) == (result.outcome, result.rows)
    assert [("two", "b")] == query(path, "SELECT * FROM later")


def test_table_that_refers_to_a_session_without_naming_it_is_refused(path: Path) -> None:
    """Nobody can say whose its rows are."""
    with SQLiteDatabase(path) as database:
        database.check_tree(TREE)
        query(path, "CREATE TABLE note (part_id TEXT REFERENCES part(id) ON DELETE CASCADE)")
        with pytest.raises(DatabaseUnsupportedError, match=r"table note .*part"):
            database.check_tree(TREE)


def test_views_and_missing_columns_are_refused(path: Path) -> None:
    """An owned table is a table, and has the columns that it is said to have."""
    query(path, "CREATE VIEW shown AS SELECT id FROM session")
    query(path, "CREATE TABLE later (session TEXT)")
    with SQLiteDatabase(path, read_only=True) as database:
        with pytest.raises(DatabaseUnsupportedError, match=r"shown .* is a view"):
            database.check_tree(with_table("shown"))
        with pytest.raises(DatabaseUnsupportedError, match=r"later .* has no column id"):
            database.check_tree(with_table("later"))


def test_trigger_on_deletion_is_refused(path: Path) -> None:
    """What it takes is in no archive; one that only speaks of deleting is no obstacle."""
    query(path, "CREATE TABLE counted (n)")
    query(path, "CREATE TRIGGER added AFTER INSERT ON part BEGIN DELETE FROM counted; END")
    with SQLiteDatabase(path) as database:
        fill(database, "one", "two")
        assert (Deleted.DELETED, 9) == delete(database, "two")
        query(path, "CREATE TRIGGER takes AFTER DELETE /* all -- */ --\n ON part BEGIN DELETE FROM project; END")
        with pytest.raises(DatabaseUnsupportedError, match="takes"):
            delete(database, "one")
        query(path, "DROP TRIGGER takes")


def test_nothing_is_written_to_a_database_that_is_open_for_reading(path: Path) -> None:
    """Deleting and inserting are refused."""
    with SQLiteDatabase(path, read_only=True) as database:
        with pytest.raises(DatabaseUnsupportedError, match="reading only"):
            delete(database, "one")
        with pytest.raises(DatabaseUnsupportedError, match="reading only"), database.inserter():
            pass


def test_lock_of_another_process_is_told(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting and inserting wait for a while and change nothing."""
    monkeypatch.setattr("ocblob.databases.sqlite.connection.BUSY_TIMEOUT_MS", 20)
    with SQLiteDatabase(path) as database:
        fill(database, "one")
        with Neighbour(path) as neighbour:
            neighbour.execute("BEGIN IMMEDIATE")
            with pytest.raises(DatabaseLockedError):
                delete(database, "one")
            with pytest.raises(DatabaseLockedError):
                put(database, session_rows("two"))
            with pytest.raises(DatabaseLockedError):
                database.delete_and_insert(TREE, "one", session_rows("one"))
            assert 9 == len(rows_of(database, "one"))
            neighbour.execute("ROLLBACK")
        assert {"one"} == facts(database).keys()


def test_constraint_that_replaces_rows_replaces_none(path: Path) -> None:
    """A row that is there stays, whatever the table says about conflicts."""
    query(path, "CREATE TABLE odd (id TEXT UNIQUE ON CONFLICT REPLACE, value TEXT)")
    query(path, "INSERT INTO odd VALUES ('a', 'mine')")
    with SQLiteDatabase(path) as database, pytest.raises(DatabaseError, match=r"odd 7 .*UNIQUE"):
        put(database, [("odd", ("id", "value"), row("a", "new", rowid=7))])
    assert [("a", "mine")] == query(path, "SELECT * FROM odd")


@pytest.mark.parametrize("size", [10, 5_000_000])
@pytest.mark.parametrize("came", [9, 11])
def test_content_of_another_size_is_refused(path: Path, size: int, came: int) -> None:
    """A source that gives fewer or more bytes than it said leaves no row."""
    wrong = replace(content(b"x" * (size - 10 + came)), size=size)
    with SQLiteDatabase(path) as database:
        fill(database)
        columns = ("id", "project_id", "title", "time_created", "time_updated")
        rows = [("session", columns, row("one", "prj", wrong, 1, 1))]
        with pytest.raises(DatabaseError, match=r"session one .*bytes came"):
            put(database, rows)
        with pytest.raises(DatabaseError, match=r"session one .*bytes came"):
            database.delete_and_insert(TREE, "one", rows)
        assert {} == facts(database)


def rows_of(database: SessionDatabase, session: str) -> list[object]:
    """Every row of a session."""
    return [values for rows in everything(database, session).values() for values in rows]


OTHERS_WORK = "UPDATE part SET data='{\"other\":1}' WHERE id='prt_two_0'"
WORK = "UPDATE part SET data='[]' WHERE id='prt_one_2'"
"""A change of the same length, with the same time."""


@pytest.mark.parametrize("whole", [10_000, 0], ids=["whole", "in-pieces"])
@pytest.mark.parametrize(
    ("sql", "outcome"), [(OTHERS_WORK, (Deleted.DELETED, 9)), (WORK, (Deleted.CHANGED, 0))], ids=["other", "same"]
)
def test_commit_after_the_look_matters_only_in_these_sessions(
    path: Path, monkeypatch: pytest.MonkeyPatch, whole: int, sql: str, outcome: tuple[Deleted, int]
) -> None:
    """Work in another session is no obstacle; in this one nothing is deleted, were it one byte that changed."""
    monkeypatch.setattr(session_delete, "WHOLE_ROWS_MAX", whole)
    with SQLiteDatabase(path) as database, Neighbour(path) as neighbour:
        fill(database, "one", "two")
        expected = digest(database, "one")
        looks: list[bool] = []

        def unchanged(state: Snapshot) -> bool:
            same = session_digest(state, TREE, "one") == expected
            if not looks:
                neighbour.execute(sql)
            looks.append(same)
            return same

        found = database.delete_sessions(TREE, ["one"], unchanged=unchanged)
        assert outcome == (found.outcome, found.rows)
        assert looks[0]


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize(
    ("sql", "outcome"),
    [
        (OTHERS_WORK, Deleted.DELETED),
        (WORK, Deleted.HALF),
        ("UPDATE session SET time_updated=9 WHERE id='one'", Deleted.HALF),
        ("DELETE FROM part WHERE id='prt_one_2'", Deleted.HALF),
        ("INSERT INTO part VALUES ('new', 'msg_one', 'one', 1, 1, '{}')", Deleted.HALF),
        ("INSERT INTO part VALUES ('new', 'msg_one', 'two', 1, 1, '{}')", Deleted.HALF),
        ("INSERT INTO session VALUES ('child', 'prj', 'one', 't', NULL, 0, 1, 1)", Deleted.HALF),
        ("ALTER TABLE message ADD COLUMN more DEFAULT 5", Deleted.HALF),
    ],
    ids=["other", "changed", "session", "deleted", "inserted", "referring", "child", "schema"],
)
def test_work_between_two_pieces_is_noticed(
    path: Path, monkeypatch: pytest.MonkeyPatch, sql: str, outcome: Deleted
) -> None:
    """What another process commits in these sessions ends the deletion, and stays; what is left is consistent."""
    with SQLiteDatabase(path) as database, Neighbour(path) as neighbour:
        fill(database, "one", "two", parts=5)
        original = session_pieces.PieceDeletion._delete_some
        calls: list[int] = []

        def delete_some(self: session_pieces.PieceDeletion, *pieces: Any) -> object:
            if len(calls) == 2:
                neighbour.execute(sql)
            calls.append(1)
            return original(self, *pieces)

        monkeypatch.setattr(session_pieces.PieceDeletion, "_delete_some", delete_some)
        result = database.delete_sessions(TREE, ["one"], unchanged=lambda _: True)
        assert outcome is result.outcome
        if outcome is Deleted.HALF:
            assert 0 < result.rows < 13
            assert 1 == len(everything(database, "one")["session"])
        assert 13 + ("'two'" in sql) == len(rows_of(database, "two"))


@pytest.mark.usefixtures("in_pieces")
def test_large_rows_that_change_behind_the_look_stay(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are compared outside of the lock, and once more under it if somebody has committed in between."""
    monkeypatch.setattr(session_pieces, "LARGE_BYTES", 0)
    with SQLiteDatabase(path) as database, Neighbour(path) as neighbour:
        fill(database, "one", "two", parts=5)
        neighbour_at_work = iter((OTHERS_WORK,))
        original = session_pieces.PieceDeletion._compared_outside

        def compared_outside(self: session_pieces.PieceDeletion, piece: session_pieces.Piece) -> object:
            for sql in neighbour_at_work:
                neighbour.execute(sql)
            seen = original(self, piece)
            if piece.table == "part":
                neighbour.execute("UPDATE part SET data='new' WHERE rowid=?", *piece.addresses[0][1])
            return seen

        monkeypatch.setattr(session_pieces.PieceDeletion, "_compared_outside", compared_outside)
        assert Deleted.HALF is delete(database, "one")[0]
        assert [("new",)] == query(path, "SELECT DISTINCT data FROM part WHERE session_id='one' AND data='new'")
        assert 5 == len(everything(database, "one")["part"])


@pytest.mark.usefixtures("in_pieces")
def test_a_row_that_comes_at_the_end_is_no_orphan(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that begins anew behind those that went, and that nothing refers to, keeps its session."""
    with SQLiteDatabase(path) as database, Neighbour(path) as neighbour:
        fill(database, "one", parts=5)
        original = session_pieces.PieceDeletion._delete_last

        def delete_last(self: session_pieces.PieceDeletion, tables: Any) -> None:
            neighbour.execute("INSERT INTO event_sequence VALUES ('one', 0)")
            original(self, tables)

        monkeypatch.setattr(session_pieces.PieceDeletion, "_delete_last", delete_last)
        assert (Deleted.HALF, 12) == delete(database, "one")
        assert ["event_sequence", "session"] == sorted(
            name for name, rows in everything(database, "one").items() if rows
        )


@pytest.mark.usefixtures("in_pieces")
def test_session_that_was_deleted_by_half_is_put_back(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The rows that went are put in again beside those that stayed."""
    with SQLiteDatabase(path) as database, Neighbour(path) as neighbour:
        fill(database, "one", parts=5)
        before = digest(database, "one")
        with database.snapshot() as state:
            rows = copied(state, "one")
        original = session_pieces.PieceDeletion._delete_last

        def delete_last(self: session_pieces.PieceDeletion, tables: Any) -> None:
            neighbour.execute("UPDATE session SET title='new' WHERE id='one'")
            original(self, tables)

        monkeypatch.setattr(session_pieces.PieceDeletion, "_delete_last", delete_last)
        assert (Deleted.HALF, 12) == delete(database, "one")
        put(database, rows[1:])
        query(path, "UPDATE session SET title='talk one' WHERE id='one'")
        assert before == digest(database, "one")


@pytest.mark.usefixtures("in_pieces")
@pytest.mark.parametrize("work", ["", OTHERS_WORK, WORK])
def test_large_piece_is_compared_outside_of_the_lock(path: Path, monkeypatch: pytest.MonkeyPatch, work: str) -> None:
    """It is deleted when it is what was looked at, also if others commit, and not if it changed."""
    monkeypatch.setattr(session_pieces, "LARGE_BYTES", 1)
    with SQLiteDatabase(path) as database, Neighbour(path) as neighbour:
        fill(database, "one", "two", data=b"[1]")

        def unchanged(_: Snapshot) -> bool:
            if work:
                neighbour.execute(work)
            return True

        result = database.delete_sessions(TREE, ["one"], unchanged=unchanged)
        # Events go first: by then some are gone.
        assert (Deleted.HALF if work == WORK else Deleted.DELETED) is result.outcome


@pytest.mark.parametrize("whole", [10_000, 0])
@pytest.mark.parametrize(
    ("commits", "outcome", "looks"), [(0, Deleted.DELETED, 1), (1, Deleted.DELETED, 2), (99, Deleted.CHANGED, 3)]
)
def test_without_a_wal_a_tree_is_deleted_in_one_transaction(
    path: Path, monkeypatch: pytest.MonkeyPatch, whole: int, commits: int, outcome: Deleted, looks: int
) -> None:
    """A large one is looked at again outside of the lock if somebody has committed; at last it is left."""
    query(path, "PRAGMA journal_mode=delete")
    monkeypatch.setattr(session_delete, "WHOLE_ROWS_MAX", whole)
    with SQLiteDatabase(path) as database, Neighbour(path) as neighbour:
        fill(database, "one", "two")
        original = session_delete._delete_whole
        calls: list[int] = []
        looked: list[int] = []

        def delete_whole(*arguments: Any) -> object:
            if len(calls) < commits:
                neighbour.execute("UPDATE part SET time_updated=time_updated+1 WHERE id='prt_two_0'")
            calls.append(1)
            return original(*arguments)

        monkeypatch.setattr(session_delete, "_delete_whole", delete_whole)

        def unchanged(_: Snapshot) -> bool:
            looked.append(1)
            return True

        result = database.delete_sessions(TREE, ["one"], unchanged=unchanged)
        small = whole > 0 and commits > 0
        assert (Deleted.DELETED if small else outcome, 2 if small else looks) == (result.outcome, len(looked))


BUSY = """
import sqlite3, sys, time
longest = 0.0
db = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=30)
print("ready", flush=True)
until, n = time.monotonic() + float(sys.argv[2]), 0
while (begun := time.monotonic()) < until:
    db.execute("BEGIN IMMEDIATE")
    longest = max(longest, time.monotonic() - begun)
    db.execute("INSERT INTO event VALUES (?, 'two', ?, '{}')", (f"busy_{n}", 1000 + n))
    db.execute("UPDATE session SET time_updated=time_updated+1 WHERE id='two'")
    db.execute("COMMIT")
    n += 1
print(n, longest)
"""


@pytest.mark.parametrize("whole", [10_000, 0], ids=["whole", "in-pieces"])
def test_sessions_go_and_come_beside_a_process_that_writes_all_the_time(
    path: Path, monkeypatch: pytest.MonkeyPatch, whole: int
) -> None:
    """Deletions and insertions beside work in another session lose nothing of either."""
    monkeypatch.setattr(session_delete, "WHOLE_ROWS_MAX", whole)
    monkeypatch.setattr(session_pieces, "PIECE_ROWS", 5)
    with SQLiteDatabase(path) as database:
        fill(database, "one", "two", parts=40, data=b"x" * 70_000)
        before = digest(database, "one")
        with database.snapshot() as state:
            rows = copied(state, "one")
        child = spawn(BUSY, str(path), "1.5")
        assert child.stdout is not None
        child.stdout.readline()
        rounds = 0
        while child.poll() is None:
            result = database.delete_sessions(
                TREE, ["one"], unchanged=lambda state: session_digest(state, TREE, "one") == before
            )
            assert Deleted.DELETED is result.outcome
            put(database, rows)
            assert before == digest(database, "one")
            rounds += 1
        assert rounds > 0
        written = int(finish(child).split()[0])
        assert written + 83 == len(rows_of(database, "two"))


def test_sessions_come_beside_a_full_disk_or_not_at_all(path: Path) -> None:
    """A database that may not grow says so, and holds nothing by half."""
    with SQLiteDatabase(path) as database:
        fill(database, "one")
        original = SessionWriter.__init__

        def bounded(self: SessionWriter, place: Path) -> None:
            original(self, place)
            self.rows("PRAGMA max_page_count=60")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SessionWriter, "__init__", bounded)
            with pytest.raises(DatabaseError, match="disk is full"):
                database.delete_and_insert(TREE, "one", session_rows("one", data=b"x" * 300_000))
            with pytest.raises(DatabaseError, match="disk is full"):
                put(database, session_rows("two", data=b"x" * 300_000))
        assert 9 == len(rows_of(database, "one"))


GIANT_BYTES = 300_000_000
GIANT = """
import sys
from pathlib import Path
from dataclasses import replace
from ocblob.databases.session_rows import Content, Row
from ocblob.databases.sqlite import SQLiteDatabase, session_delete
from ocblob.rows import session_digest
from processes import peak_bytes
from session_contracts import COLUMNS, TREE, content, fill, put, row, session_rows

path, task, size = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])

def chunks():
    for start in range(0, size, 1 << 20):
        yield b"0123456789abcdef" * 65536 if size - start >= 1 << 20 else b"x" * (size - start)

def same(state):
    return session_digest(state, TREE, "one") == digest

with SQLiteDatabase(path) as database:
    if task == "insert":
        fill(database)
        rows = session_rows("one", parts=1)
        giant = Row(None, (*rows[2][2].values[:-1], Content("text", size, chunks)))
        put(database, [*rows[:2], ("part", COLUMNS["part"], giant), *rows[3:]])
    else:
        with database.snapshot() as state:
            digest = session_digest(state, TREE, "one")
        print(database.delete_sessions(TREE, ["one"], unchanged=same).outcome.value)
print(peak_bytes() / 1e6)
"""


@pytest.mark.alone
@pytest.mark.skipif(sys.platform == "win32", reason="peak memory is not told there")
def test_giant_text_is_read_and_deleted_in_bounded_memory(path: Path) -> None:
    """Reading, comparing and deleting hold no more than a few pieces; putting it in costs SQLite twice the cell."""
    inserted = finish(spawn(GIANT, str(path), "insert", str(GIANT_BYTES))).split()
    assert float(inserted[-1]) < 100 + 2.2 * GIANT_BYTES / 1e6
    outcome, peak = finish(spawn(GIANT, str(path), "delete", str(GIANT_BYTES))).split()
    assert Deleted.DELETED.value == outcome
    assert float(peak) < 100


@pytest.mark.alone
def test_host_gets_the_lock_while_a_large_session_goes_and_comes(path: Path) -> None:
    """A process that writes all the time waits nowhere near the 5 s after which it would give up."""
    with SQLiteDatabase(path) as database:
        fill(database, "two")
        put(database, session_rows("one", parts=6_000, data=b"x" * 4_000))
        before = digest(database, "one")
        with database.snapshot() as state:
            rows = copied(state, "one")
        child = spawn(BUSY, str(path), "5")
        assert child.stdout is not None
        child.stdout.readline()
        result = database.delete_sessions(TREE, ["one"], unchanged=lambda state: state.exists(TREE, "one"))
        assert Deleted.DELETED is result.outcome
        put(database, rows)
        assert before == digest(database, "one")
        written, longest = finish(child).split()
        assert int(written) > 100
        assert float(longest) < 1.5
        assert database.longest_transaction_s < 0.5
