"""What every database with sessions must do, and rows to do it with."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Literal

import pytest

from ocblob.cells import OwnedTable, SessionTree
from ocblob.databases.session_rows import (
    SMALL_BYTES,
    Content,
    Deleted,
    Row,
    SessionDatabase,
    SessionFacts,
    Snapshot,
    Value,
)
from ocblob.errors import DatabaseError, DatabaseUnsupportedError
from ocblob.rows import session_digest
from samples import payload

Plain = int | float | tuple["Kind", bytes] | None
"""A value as it can be compared."""
Kind = Literal["text", "blob"]
Rows = list[tuple[str, tuple[str, ...], Row]]

TREE = SessionTree(
    sessions=OwnedTable("session", "id", "time_updated"),
    parent="parent_id",
    created="time_created",
    title="title",
    shared=("share_url",),
    shared_tables=("session_share",),
    owned=(
        OwnedTable("session", "id", "time_updated"),
        OwnedTable("message", "session_id", "time_updated"),
        OwnedTable("part", "session_id", "time_updated"),
        OwnedTable("session_share", "session_id"),
        OwnedTable("event_sequence", "aggregate_id"),
        OwnedTable("event", "aggregate_id"),
    ),
    context=(("project_id", "project", "id"),),
)
COLUMNS = {
    "project": ("id", "name"),
    "session": ("id", "project_id", "parent_id", "title", "share_url", "cost", "time_created", "time_updated"),
    "message": ("id", "session_id", "time_created", "time_updated", "data"),
    "part": ("id", "message_id", "session_id", "time_created", "time_updated", "data"),
    "session_share": ("session_id", "url"),
    "event_sequence": ("aggregate_id", "seq"),
    "event": ("id", "aggregate_id", "seq", "data"),
}
"""The tables that a database of this contract begins with, empty; keys refer as in OpenCode's."""
LARGE = payload(5_000_000)


def content(value: str | bytes, kind: Kind = "text", *, pieces: int = 100_000) -> Content:
    """A text, or a blob, that comes in pieces."""
    data = value.encode() if isinstance(value, str) else value
    return Content(kind, len(data), partial(_pieces, data, pieces))


def _pieces(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


def row(*values: str | float | Content | None, rowid: int | None = None) -> Row:
    """A row; texts may be given as they are."""
    return Row(rowid, tuple(content(value) if isinstance(value, str) else value for value in values))


def plain(value: Value) -> Plain:
    """A value with its bytes."""
    return (value.kind, b"".join(value.chunks())) if isinstance(value, Content) else value


def remade(values: Sequence[Plain]) -> tuple[Value, ...]:
    """Values that can be put in."""
    return tuple(content(value[1], value[0]) if isinstance(value, tuple) else value for value in values)


def session_rows(
    name: str, *, parent: str | None = None, parts: int = 3, data: bytes = b"{}", at: int = 1000, events: bool = True
) -> Rows:
    """A session of one message: each part stands in an event again."""
    message = f"msg_{name}"
    rows = [
        ("session", row(name, "prj", parent, f"talk {name}", None, 0.5, at, at + 1)),
        ("message", row(message, name, at, at, '{"role":"user"}')),
        *(("part", row(f"prt_{name}_{n}", message, name, at, at + n, content(data))) for n in range(parts)),
    ]
    if events:
        rows.append(("event_sequence", row(name, parts)))
        rows += [("event", row(f"evt_{name}_{n}", name, n, content(data))) for n in range(parts)]
    return [(table, COLUMNS[table], found) for table, found in rows]


def put(database: SessionDatabase, rows: Sequence[tuple[str, tuple[str, ...], Row]]) -> None:
    """Put rows in."""
    with database.inserter() as inserter:
        for table, columns, found in rows:
            inserter.add(table, columns, found)


def fill(database: SessionDatabase, *names: str, data: bytes = b"{}", parts: int = 3) -> None:
    """A project, and these sessions of it."""
    put(database, [("project", COLUMNS["project"], row("prj", "a project"))])
    for name in names:
        put(database, session_rows(name, data=data, parts=parts))


def everything(database: SessionDatabase, session: str) -> dict[str, list[tuple[Plain, ...]]]:
    """All rows of a session, in every table that has some."""
    with database.snapshot() as state:
        found = {
            owned.table: [tuple(map(plain, found.values)) for found in state.rows(owned, session)]
            for owned in TREE.owned
        }
    return {table: rows for table, rows in found.items() if rows}


def copied(state: Snapshot, session: str) -> Rows:
    """All rows of a session as they may be put in, in memory."""
    return [
        (owned.table, state.shape(owned.table).columns, Row(found.rowid, tuple(map(_copy, found.values))))
        for owned in TREE.owned
        for found in state.rows(owned, session)
    ]


def _copy(value: Value) -> Value:
    return content(b"".join(value.chunks()), value.kind) if isinstance(value, Content) else value


def digest(database: SessionDatabase, session: str) -> str:
    """What a session is now."""
    with database.snapshot() as state:
        return session_digest(state, TREE, session)


def facts(database: SessionDatabase) -> dict[str, SessionFacts]:
    """What the survey tells, by the session's id."""
    return {found.id: found for found in database.survey(TREE)}


def delete(database: SessionDatabase, *sessions: str, expected: bool = True) -> tuple[Deleted, int]:
    """Delete sessions that are, or are not, what they were."""
    result = database.delete_sessions(TREE, sessions, unchanged=lambda _: expected)
    return result.outcome, result.rows


class SessionRowsContract:
    """Every database with sessions; a subclass gives a fixture `database` whose tables are those of `COLUMNS`."""

    def test_survey_tells_size_rows_and_times_without_content(self, database: SessionDatabase) -> None:
        """A session's facts are those of all its rows in every owned table."""
        fill(database)
        put(database, session_rows("one", data=b"x" * 100, parts=2, at=5000))
        put(database, session_rows("two", parent="one", parts=0, at=9000))
        one, two = facts(database)["one"], facts(database)["two"]
        assert ("", "talk one", 5000, 5001, 7, False) == (
            one.parent,
            one.title,
            one.created_ms,
            one.used_ms,
            one.rows,
            one.shared,
        )
        size = sum(
            len(value[1]) if isinstance(value, tuple) else 0 if value is None else len(str(value))
            for rows in everything(database, "one").values()
            for values in rows
            for value in values
        )
        assert size == one.size
        assert ("one", 3, 9001) == (two.parent, two.rows, two.used_ms)

    def test_a_session_is_shared_by_its_column_or_by_a_row(self, database: SessionDatabase) -> None:
        """A share's address that is empty shares nothing."""
        fill(database, "row", "none")
        for name, url in (("column", "https://share/1"), ("empty", "")):
            put(database, [("session", COLUMNS["session"], row(name, "prj", None, "", url, 0.0, 1, 1))])
        put(database, [("session_share", COLUMNS["session_share"], row("row", "https://share/2"))])
        assert {"column": True, "row": True, "empty": False, "none": False} == {
            name: found.shared for name, found in facts(database).items()
        }

    def test_snapshot_shows_one_state(self, database: SessionDatabase) -> None:
        """What is put in after a snapshot was taken is not in it."""
        fill(database, "one")
        with database.snapshot() as state:
            assert state.exists(TREE, "one")
            put(database, session_rows("two"))
            assert not state.exists(TREE, "two")
            assert [] == list(state.rows(TREE.owned[2], "two"))
        with database.snapshot() as state:
            assert state.exists(TREE, "two")

    def test_snapshot_finds_rows_children_and_context(self, database: SessionDatabase) -> None:
        """Rows by their key, sessions by their parents, and rows that are referred to."""
        fill(database, "root")
        put(database, session_rows("child", parent="root"))
        put(database, session_rows("grandchild", parent="child"))
        with database.snapshot() as state:
            assert {"child"} == state.children(TREE, ["root", "nobody"])
            assert {"child", "grandchild"} == state.children(TREE, ["root", "child"])
            assert set() == state.children(TREE, [])
            found = state.find("part", [content("prt_child_1")])
            assert found is not None
            assert ("text", b"msg_child") == plain(found.values[1])
            assert None is state.find("part", [content("prt_child_9")])
            assert [(("text", b"prj"), ("text", b"a project"))] == [
                tuple(map(plain, found.values)) for found in state.context_rows("project", "id", "prj")
            ]

    def test_shape_names_columns_key_and_what_is_required(self, database: SessionDatabase) -> None:
        """The columns come in their order; a table that is not there is refused."""
        with database.snapshot() as state:
            shape = state.shape("part")
            assert (COLUMNS["part"], ("id",)) == (shape.columns, shape.key)
            assert shape.required >= {"message_id", "session_id", "data"}
            assert "cost" not in state.shape("session").required
            with pytest.raises(DatabaseUnsupportedError, match="nowhere"):
                state.shape("nowhere")

    def test_what_goes_in_comes_out(self, database: SessionDatabase) -> None:
        """Texts, numbers and large contents are read back byte for byte, in the order of rows."""
        fill(database, "one", data="späß {} \U0001f600".encode())
        big = session_rows("two", data=LARGE.hex().encode()[:5_000_000], parts=2)
        put(database, big)
        found = everything(database, "two")
        for owned in TREE.owned:
            expected = [tuple(map(plain, made.values)) for table, _, made in big if table == owned.table]
            assert expected == found.get(owned.table, [])

    def test_large_contents_come_when_they_are_asked_for(self, database: SessionDatabase) -> None:
        """They come in pieces, and may be asked for twice, in any order."""
        fill(database, "one", data=b"y" * (SMALL_BYTES + 1), parts=2)
        with database.snapshot() as state:
            values = [found.values[-1] for found in state.rows(TREE.owned[2], "one")]
            contents = [value for value in values if isinstance(value, Content)]
            assert 2 == len(contents)
            for value in (*reversed(contents), contents[0]):
                assert b"y" * (SMALL_BYTES + 1) == b"".join(value.chunks())

    def test_deleting_takes_every_row_of_these_sessions_and_no_other(self, database: SessionDatabase) -> None:
        """All tables are without rows of them; a session beside them is as it was."""
        fill(database, "one", "two", "three")
        before = everything(database, "two")
        assert (Deleted.DELETED, 18) == delete(database, "one", "three")
        assert ({}, {}, before) == tuple(everything(database, name) for name in ("one", "three", "two"))
        assert {"two"} == set(facts(database))

    def test_what_is_not_what_was_looked_at_stays(self, database: SessionDatabase) -> None:
        """Nothing is deleted when the caller says that it is another state."""
        fill(database, "one")
        before = everything(database, "one")
        assert (Deleted.CHANGED, 0) == delete(database, "one", expected=False)
        assert before == everything(database, "one")

    def test_deletion_asks_about_the_state_that_it_deletes(self, database: SessionDatabase) -> None:
        """The caller sees the rows, and the same digest as in a snapshot."""
        fill(database, "one")
        expected = digest(database, "one")
        result = database.delete_sessions(
            TREE, ["one"], unchanged=lambda state: session_digest(state, TREE, "one") == expected
        )
        assert Deleted.DELETED is result.outcome

    def test_deleted_sessions_go_back_as_they_were(self, database: SessionDatabase) -> None:
        """A session that is read, deleted and put in has the same digest, and its rows lie where they lay."""
        fill(database, "one", "two", "three", data=b"z" * 100_000)
        before = digest(database, "two")
        with database.snapshot() as state:
            rows = copied(state, "two")
        delete(database, "two")
        put(database, rows)
        assert before == digest(database, "two")
        with database.snapshot() as state:
            assert [found.rowid for _, _, found in rows] == [found.rowid for _, _, found in copied(state, "two")]

    @pytest.mark.parametrize(
        ("table", "columns", "values", "message"),
        [
            ("part", ("id", "colour"), ("p", "red"), "colour"),
            ("parts", ("id",), ("p",), "parts"),
            ("part", COLUMNS["part"], ("prt_one_0", "msg_one", "one", 1, 1, "{}"), "part prt_one_0"),
            ("part", COLUMNS["part"], ("prt_new", "msg_gone", "one", 1, 1, "{}"), "msg_gone"),
            ("part", COLUMNS["part"], ("prt_new", "msg_one", "one", 1, 1, None), "part prt_new"),
            ("part", COLUMNS["part"][:-1], ("prt_new", "msg_one", "one", 1, 1), "part prt_new"),
        ],
    )
    def test_row_that_cannot_go_in_is_named(
        self,
        database: SessionDatabase,
        table: str,
        columns: Sequence[str],
        values: Sequence[str | int | None],
        message: str,
    ) -> None:
        """The error tells the row and what stands against it; nothing of it is there."""
        fill(database, "one")
        before = everything(database, "one")
        with pytest.raises(DatabaseError, match=message):
            put(database, [*session_rows("two"), (table, tuple(columns), row(*values))])
        assert before == everything(database, "one")

    def test_rows_beside_a_refused_one_go_in(self, database: SessionDatabase) -> None:
        """One row that is there already keeps no other one out."""
        fill(database, "one")
        rows = session_rows("one") + session_rows("two")
        with pytest.raises(DatabaseError, match="session one"):
            put(database, rows)
        assert 9 == sum(map(len, everything(database, "two").values()))

    def test_columns_that_are_not_named_get_their_defaults(self, database: SessionDatabase) -> None:
        """A row from before a column was added goes in without it."""
        fill(database)
        columns = ("id", "project_id", "title", "time_created", "time_updated")
        put(database, [("session", columns, row("old", "prj", "old", 1, 1))])
        (found,) = everything(database, "old")["session"]
        assert (None, None, 0.0) == (found[2], found[4], found[5])

    def test_session_is_replaced_as_a_whole(self, database: SessionDatabase) -> None:
        """Its rows are those that were given, and no other."""
        fill(database, "one", "two")
        new = session_rows("one", data=b"new", parts=1)
        database.delete_and_insert(TREE, "one", new)
        assert [("text", b"new")] == [values[-1] for values in everything(database, "one")["part"]]
        assert 9 == sum(map(len, everything(database, "two").values()))

    def test_session_that_cannot_be_replaced_stays(self, database: SessionDatabase) -> None:
        """A row that cannot go in leaves all as it was."""
        fill(database, "one", "two")
        before = everything(database, "one")
        with pytest.raises(DatabaseError, match="prt_two_0"):
            database.delete_and_insert(TREE, "one", [*session_rows("one", data=b"new"), *session_rows("two")[2:3]])
        assert before == everything(database, "one")
