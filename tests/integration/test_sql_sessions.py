"""Sessions on real servers: their rows, a deletion beside somebody who writes, and a server that is killed."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from server_process import ServerProcess
from sqlalchemy.dialects import mysql

from mirror_contracts import MirrorRowsContract, OwnMirrorContract, definitions, mirror, rows_of
from ocblob.cells import OwnedTable
from ocblob.databases.addresses import server_address
from ocblob.databases.session_rows import Content, Deleted, Inserter, Row, Snapshot
from ocblob.databases.sql import mirror_tables
from ocblob.databases.sql.database import SqlDatabase
from ocblob.databases.sql.server import ConnectionLostError, Server
from ocblob.errors import DanglingRowError, DatabaseError, DatabaseUnsupportedError
from ocblob.rows import session_digest
from session_contracts import (
    COLUMNS,
    TREE,
    SessionRowsContract,
    content,
    copied,
    delete,
    digest,
    everything,
    facts,
    fill,
    put,
    row,
    session_rows,
)

TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
TEXT = TEXT.with_variant(sa.NVARCHAR(), "mssql")
ID = sa.String(80).with_variant(mysql.VARCHAR(80, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
ID = ID.with_variant(sa.NVARCHAR(80, collation="Latin1_General_100_BIN2"), "mssql")
PARENTS = {
    ("session", "project_id"): "project.id",
    ("message", "session_id"): "session.id",
    ("part", "message_id"): "message.id",
    ("session_share", "session_id"): "session.id",
    ("event", "aggregate_id"): "event_sequence.aggregate_id",
}
OPTIONAL = {"name", "parent_id", "share_url", "url"}


def host_tables() -> sa.MetaData:
    """The tables of the contract as a host would make them on a server."""
    metadata = sa.MetaData()
    for table, names in COLUMNS.items():
        sa.Table(table, metadata, *(_column(table, name, key=name == names[0]) for name in names))
    return metadata


def _column(table: str, name: str, *, key: bool) -> sa.Column[object]:
    refers = [sa.ForeignKey(PARENTS[table, name], ondelete="CASCADE")] if (table, name) in PARENTS else []
    if name == "cost":
        return sa.Column(name, sa.Double(), nullable=False, server_default=sa.text("0"))
    if name.startswith("time_") or name == "seq":
        return sa.Column(name, sa.BigInteger(), nullable=False)
    kind = ID if key or name.endswith("_id") else TEXT
    return sa.Column(name, kind, *refers, primary_key=key, nullable=name in OPTIONAL, index=name == "session_id")


@pytest.fixture
def database(server_url: str) -> Iterator[SqlDatabase]:
    """A host's database on a server, without rows."""
    with SqlDatabase(server_address(server_url)) as database:
        host_tables().create_all(database.server.engine)
        yield database


class TestSqlSessions(SessionRowsContract):
    """PostgreSQL, MariaDB, and the servers that the environment names."""


@pytest.fixture
def target(server_url: str) -> Iterator[SqlDatabase]:
    """An empty database on a server."""
    with SqlDatabase(server_address(server_url)) as database:
        yield database


class TestSqlMirror(MirrorRowsContract, OwnMirrorContract):
    """The same servers."""


def occupied(database: SqlDatabase, *statements: str) -> dict[str, tuple[str, ...]]:
    """What is there, after somebody else made tables."""
    with database.server.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    database.known.forget()
    return database.known.all_names()


@pytest.mark.parametrize(
    ("statement", "name"),
    [("CREATE TABLE part (id INTEGER)", "part"), ("CREATE TABLE ocblob_session (mine INTEGER)", "ocblob_session")],
)
def test_table_that_is_not_a_mirrors_stays(target: SqlDatabase, statement: str, name: str) -> None:
    """It is refused by its name before anything is made, whether it is one of the host's names or of ours."""
    before = occupied(target, statement)
    with pytest.raises(DatabaseUnsupportedError, match=name):
        target.prepare(definitions())
    target.known.forget()
    assert before == target.known.all_names()


def test_mirror_of_another_format_is_refused(target: SqlDatabase) -> None:
    """A later version may have other tables."""
    target.prepare(definitions())
    occupied(target, "UPDATE ocblob_mirror SET format = 99")
    with pytest.raises(DatabaseUnsupportedError, match="99"):
        target.prepare(definitions())


def test_tables_are_made_after_a_crash_at_any_step(target: SqlDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it stopped, the next run makes what is missing."""
    missing = mirror_tables._missing
    tables = definitions(tables=["session", "part"])
    steps = len(missing(target.server, target.known, tables))

    def crash(_connection: sa.Connection) -> None:
        raise ZeroDivisionError

    for number in range(steps):

        def crashing(*arguments: Any, number: int = number) -> list[Any]:
            found = missing(*arguments)
            # MariaDB keeps what was made before: there the rest is shorter each time.
            return [replace(step, make=crash) if at == number else step for at, step in enumerate(found)]

        with monkeypatch.context() as patch, contextlib.suppress(ZeroDivisionError):
            patch.setattr(mirror_tables, "_missing", crashing)
            target.prepare(tables)
    target.prepare(tables)
    assert {"session", "part"} == set(target.tables())
    mirror(target, [part for part in session_rows("one") if part[0] == "part"])
    assert 3 == len(rows_of(target, TREE.owned[2], "one"))


def written_beside(url: str, table: str, **values: object) -> threading.Thread:
    """Somebody who puts a row in, and waits for its lock if he has to."""

    def work() -> None:
        names, places = ", ".join(values), ", ".join(f":{name}" for name in values)
        engine = sa.create_engine(server_address(url).url, poolclass=sa.NullPool)
        # By the time that he may write, what his row refers to may be gone; he is told then.
        with contextlib.suppress(sa.exc.IntegrityError), engine.begin() as connection:
            connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({places})"), values)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(0.5)
    return thread


@pytest.mark.parametrize("mirrored", [False, True])
def test_deletion_takes_no_row_that_was_not_looked_at(server_url: str, mirrored: bool) -> None:  # noqa: FBT001
    """Whoever writes while the session is looked at loses nothing: either it stays whole, or his row comes later."""
    with SqlDatabase(server_address(server_url)) as database:
        if mirrored:
            database.prepare(definitions())
        else:
            host_tables().create_all(database.server.engine)
        fill(database, "one", "two")
        before, writers = everything(database, "one"), list[threading.Thread]()

        def unchanged(state: Snapshot) -> bool:
            same = session_digest(state, TREE, "one") == looked_at
            if not writers:
                row = {"id": "new", "aggregate_id": "one", "seq": 9, "data": "{}"}
                writers.append(written_beside(server_url, "event", **row))
            return same

        looked_at = digest(database, "one")
        result = database.delete_sessions(TREE, ["one"], unchanged=unchanged)
        writers[0].join()
        after = everything(database, "one")
        new = [(("text", b"new"), ("text", b"one"), 9, ("text", b"{}"))]
        if result.outcome is Deleted.DELETED:
            assert after in ({}, {"event": new})
        else:
            assert {**before, "event": [*new, *before["event"]]} == {
                table: sorted(rows, key=lambda values: values[0] != ("text", b"new")) if table == "event" else rows
                for table, rows in after.items()
            }
        assert 9 == facts(database)["two"].rows


def restarted(server: ServerProcess) -> Callable[[], None]:
    """What kills the server when it is called first, and lets it come up again after a while."""
    called: list[bool] = []

    def kill_once() -> None:
        if not called:
            called.append(True)
            server.kill()
            threading.Timer(0.3, server.start).start()

    return kill_once


def large(kill: Callable[[], None], *, pieces: int = 12) -> Content:
    """A text that comes while the server is killed."""

    def chunks() -> Iterator[bytes]:
        for number in range(pieces):
            if number == pieces // 2:
                kill()
            yield b"%x" % number * 256 * 1024

    return Content("text", pieces * 256 * 1024, chunks)


def test_killed_server_is_waited_for(own_server: ServerProcess) -> None:
    """A deletion, an insertion and a mirror that lose their server go on when it is back; nothing is there twice."""
    with SqlDatabase(server_address(own_server.fresh_url())) as database:
        host_tables().create_all(database.server.engine)
        fill(database, "one", "two")

        kill = restarted(own_server)
        result = database.delete_sessions(TREE, ["one"], unchanged=lambda _: kill() is None)
        assert (Deleted.DELETED, 9) == (result.outcome, result.rows)

        rows = session_rows("three")
        part = Row(None, (*row("prt_large", "msg_three", "three", 1, 1).values, large(restarted(own_server))))
        put(database, [*rows, ("part", COLUMNS["part"], part), *session_rows("four")])
        assert {"two": 9, "three": 10, "four": 9} == {name: found.rows for name, found in facts(database).items()}
    with SqlDatabase(server_address(own_server.fresh_url())) as database:
        database.prepare(definitions())
        part = Row(None, (*part.values[:-1], large(restarted(own_server))))
        mirror(database, [*rows, ("part", COLUMNS["part"], part), *session_rows("four")])
        assert {"three": 10, "four": 9} == {name: found.rows for name, found in facts(database).items()}
        assert [part.content_size] == [
            found.content_size for found in _rows(database, "three") if found.content_size > 1000
        ]


def _rows(database: SqlDatabase, session: str) -> list[Row]:
    with database.snapshot() as state:
        return list(state.rows(TREE.owned[2], session))


@pytest.fixture
def unanswered(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[bool]]:
    """The next transaction is committed, and its answer is lost."""
    wanted: list[bool] = []
    transaction = Server.transaction

    @contextlib.contextmanager
    def losing(self: Server, *, serializable: bool = False) -> Iterator[sa.Connection]:
        with transaction(self, serializable=serializable) as connection:
            yield connection
        if wanted and wanted.pop():
            raise ConnectionLostError("the connection was lost")

    monkeypatch.setattr(Server, "transaction", losing)
    yield wanted
    assert [] == wanted


def test_commit_without_an_answer_is_found_out(database: SqlDatabase, unanswered: list[bool]) -> None:
    """What was done is neither done twice nor told to have failed."""
    fill(database, "one", "two")
    unanswered.append(True)
    assert (Deleted.DELETED, 9) == delete(database, "one")
    unanswered.append(True)
    put(database, session_rows("three"))
    assert {"two": 9, "three": 9} == {name: found.rows for name, found in facts(database).items()}
    unanswered.append(True)
    with pytest.raises(DatabaseError, match="session two"):
        put(database, [*session_rows("four"), *with_title("two", "another")])
    assert {"two", "three", "four"} == set(facts(database))


def with_title(name: str, title: str) -> list[tuple[str, tuple[str, ...], Row]]:
    """The row of a session with another title."""
    table, columns, found = session_rows(name)[0]
    return [(table, columns, Row(None, (*found.values[:3], content(title), *found.values[4:])))]


def test_rows_that_refer_to_none_go_in_if_they_may(server: ServerProcess) -> None:
    """Whoever asks for it, and may switch the server's checks off, gets rows without their parents."""
    url = server.fresh_url()
    rows = session_rows("one")[2:3]
    with SqlDatabase(server_address(url)) as database:
        host_tables().create_all(database.server.engine)
        with pytest.raises(DanglingRowError, match="there is no message msg_one"):
            put(database, rows)
        # PostgreSQL leaves that to its administrator.
        if server.kind == "postgresql":
            with pytest.raises(DatabaseUnsupportedError, match="session_replication_role"), _dangling(database) as into:
                into.add(*rows[0])
            server.execute("GRANT SET ON PARAMETER session_replication_role TO ocblob")
        with _dangling(database) as into:
            into.add(*rows[0])
        assert ["part"] == list(everything(database, "one"))
        with pytest.raises(DanglingRowError):
            put(database, session_rows("two")[2:3])


def _dangling(database: SqlDatabase) -> contextlib.AbstractContextManager[Inserter]:
    return database.inserter(dangling=True)


def test_values_of_a_servers_own_types_come_back(database: SqlDatabase) -> None:
    """Times, decimals, documents and whatever else a server has are carried as it writes them."""
    own = {"postgresql": "uuid, k jsonb, l interval, m text[]", "mysql": "CHAR(36), k JSON, l DATE, m YEAR"}
    value = {
        "postgresql": "'6f1ed002-ab59-4c4e-8a54-3c2fdd2d61ab', '{\"b\": [1, \"\u00e4\"]}', '1 day 02:03', '{a,NULL}'",
        "mysql": "'6f1ed002-ab59-4c4e-8a54-3c2fdd2d61ab', '{\"b\": [1, \"\u00e4\"]}', '2024-02-29', 1999",
    }
    with database.server.engine.begin() as connection:
        kind = connection.dialect.name
        connection.exec_driver_sql(
            "CREATE TABLE typed (a INTEGER PRIMARY KEY, session_id VARCHAR(80), b TIMESTAMP(6) NULL, c NUMERIC(30,10),"
            f" d BOOLEAN, e REAL, f {'BYTEA' if kind == 'postgresql' else 'LONGBLOB'}, j {own[kind]})"
        )
        blob = "'\\x00ff'" if kind == "postgresql" else "X'00ff'"
        connection.exec_driver_sql(
            "INSERT INTO typed VALUES (1, 'one', '2024-02-29 12:34:56.789012', 12345678901234567890.0123456789, true,"
            f" 0.1, {blob}, {value[kind]}), (2, 'one', NULL, -0.5, false, NULL, NULL, NULL, NULL, NULL, NULL)"
        )
    fill(database, "one")
    tree = replace(TREE, owned=(*TREE.owned, OwnedTable("typed", "session_id")))
    database.known.forget()
    before = _typed(database)
    with database.snapshot() as state:
        rows = copied(state, "one")
        rows += [("typed", state.shape("typed").columns, found) for found in state.rows(tree.owned[-1], "one")]
    database.delete_and_insert(tree, "one", rows)
    assert before == _typed(database)
    database.delete_sessions(tree, ["one"], unchanged=lambda _: True)
    put(database, rows)
    assert before == _typed(database)


def _typed(database: SqlDatabase) -> list[tuple[object, ...]]:
    with database.server.engine.connect() as connection:
        return [tuple(found) for found in connection.exec_driver_sql("SELECT * FROM typed ORDER BY a")]
