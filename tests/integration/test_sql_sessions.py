"""Sessions on real servers: their rows, a deletion beside somebody who writes, and a server that is killed."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from mirror_contracts import MirrorRowsContract, OwnMirrorContract, definitions, mirror, rows_of
from ocblob.databases.addresses import server_address
from ocblob.databases.session_rows import Deleted, Snapshot
from ocblob.databases.sql import mirror_tables
from ocblob.databases.sql.database import SqlDatabase
from ocblob.errors import DatabaseUnsupportedError
from ocblob.rows import session_digest
from session_contracts import COLUMNS, TREE, SessionRowsContract, digest, everything, facts, fill, session_rows

TEXT = sa.Text().with_variant(mysql.LONGTEXT(charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
ID = sa.String(80).with_variant(mysql.VARCHAR(80, charset="utf8mb4", collation="utf8mb4_bin"), "mysql", "mariadb")
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
