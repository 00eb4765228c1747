"""Every statement that SQL Server gets: it is T-SQL to sqlglot, keeps rules that sqlglot does not, and is looked at.

What was looked at is in `golden/mssql`. After a change of a statement run `OCBLOB_GOLDEN=write pytest
tests/test_mssql_statements.py`, read the difference, and commit it. No server has run any of it.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import pytest
import sqlalchemy as sa
from sqlglot import exp

import tsql
from mirror_contracts import definitions, kinds, mirror, odd_rows, record
from ocblob.cells import Column, KeyRange, Scope, SearchedColumn, SessionTable
from ocblob.databases.addresses import server_address
from ocblob.databases.base import Edit
from ocblob.databases.session_rows import ColumnDefinition, TableDefinition
from ocblob.databases.sql import reclaim, sizes, tokens
from ocblob.databases.sql.database import SqlDatabase
from ocblob.databases.sql.dialects import Trouble
from ocblob.databases.sql.dialects.mssql import MsSqlDialect
from ocblob.databases.sql.fetching import Fetcher
from ocblob.databases.sql.server import Server
from ocblob.databases.sql.spool import Spool
from server_place import ServerPlace
from session_contracts import TREE, content, delete, fill, session_rows
from tsql_reflection import driver, host_tables
from tsql_translation import parsed

__all__ = ["driver"]

GOLDEN: Final = Path(__file__).parent / "golden" / "mssql"
BODY: Final = Column("doc", "body", session="session_id", updated="time_updated")
RAW: Final = Column("doc", "raw", session="session_id")
TALKS: Final = SessionTable("talk", "id", "time_updated")
NOT_UNDERSTOOD: Final = re.compile(r"SAVE TRANSACTION \w{1,32}$|ALTER (INDEX ALL ON \w+ REORGANIZE|TABLE \w+ REBUILD)")
"""What sqlglot keeps as words."""
BATCHES: Final = re.compile(r"SET NOCOUNT ON; DECLARE |IF @@TRANCOUNT = 0 BEGIN TRANSACTION|EXEC sys\.sp_flush_log")
"""Not one statement each; short enough to be read."""
VALUES: Final = (exp.Predicate, exp.And, exp.Or, exp.Not, exp.Boolean)


def opened() -> SqlDatabase:
    """The database."""
    return SqlDatabase(server_address(tsql.URL))


def cells_there(place: ServerPlace) -> None:
    """Some rows."""
    place.clear()
    for at in range(3):
        place.run("INSERT INTO talk VALUES (:id, :at)", id=f"s{at}", at=at)
        place.put(f"k{at}", f"body {at} ß".encode() * 20, b"raw" * 20, session=f"s{at}", updated=at)


def listing(database: SqlDatabase) -> None:
    """Which cells there are."""
    for column in (BODY, RAW):
        list(database.candidates(column, larger_than=10, scope=Scope()))
    scopes = [
        Scope(sessions=("s0", "s1")),
        Scope(keep_newest=1, session_table=TALKS),
        Scope(updated_before_ms=2, session_table=TALKS),
        Scope(sessions=("s0",), session_table=TALKS),
        Scope(keys=KeyRange(after=("k0",), upto=("k2",))),
    ]
    for scope in scopes:
        full = Scope(**{name: getattr(scope, name) for name in Scope.__slots__} | {"session_table": TALKS})
        database.check_scope(BODY, full)
        list(database.candidates(BODY, larger_than=10, scope=full))
    list(database.candidates(RAW, larger_than=10, scope=Scope(updated_before_ms=2, session_table=TALKS)))
    database.measure(BODY, larger_than=10, scope=Scope())
    cell = database.find(BODY, "k1")
    assert cell is not None
    assert ("k1", "s1") == database.row_names(cell)
    assert database.find_again(cell)
    assert {"s0": 0, "s1": 1, "s2": 2} == database.session_times(TALKS)
    assert 3 == database.table_sizes()["doc"][0]


def paging(database: SqlDatabase) -> None:
    """The next page of a table with a key of two columns."""
    assert [] == list(database.candidates(Column("pair", "body"), larger_than=10**6, scope=KEYS))


KEYS: Final = Scope(keys=KeyRange(after=("k0", 1), upto=None))


def reading(database: SqlDatabase) -> None:
    """Cells fetched together, and one in pieces."""
    listed = list(database.candidates(BODY, larger_than=10, scope=Scope()))
    spool = Spool()
    Fetcher(database.server, database.known, spool).together(listed, kept=lambda _cell: True)
    assert all(map(spool.get, listed))
    spool.clear()
    with database.cells() as cells:
        found = database.find(RAW, "k1")
        assert found is not None
        assert cells.open(found).version


def _pieces(data: bytes) -> Iterator[bytes]:
    yield data


def swapping(database: SqlDatabase) -> None:
    """Small contents in one transaction, again each in a savepoint, and a large one."""
    database.check_column(BODY)
    news = [(BODY, b"new"), (RAW, b"new"), (BODY, b"large \xc3\x9f" * 1_000_000)]
    with database.cells() as cells:
        for column, new in news:
            cell = database.find(column, "k1")
            assert cell is not None
            version = cells.open(cell).version
            edit = Edit(cell, len(new), partial(_pieces, new), lambda _reader: True, version)
            assert [None] == [result.error for result in database.swap([edit], stamp=database.stamp())]


def sweeping(database: SqlDatabase) -> None:
    """Everything is read."""
    assert list(database.sweep([b"body 1", b"nothing"]))


def sessions(database: SqlDatabase) -> None:
    """Rows of sessions, read, deleted and put in."""
    fill(database, "one", "two")
    database.check_tree(TREE)
    assert 2 == len(list(database.survey(TREE)))
    with database.snapshot() as state:
        for owned in TREE.owned:
            list(state.rows(owned, "one"))
        state.find("part", (content("prt_one_0"),))
        state.children(TREE, ["one"])
        state.exists(TREE, "one")
        state.definition("part")
    database.search([SearchedColumn("part", "data", "session_id", mark="text")], "100% [of] it")
    delete(database, "one")
    rows = session_rows("two", data=b"x" * 2_000_000, parts=1)
    database.delete_and_insert(TREE, "two", rows)


def mirroring(database: SqlDatabase) -> None:
    """Tables of a mirror made and widened, its rows put, marked, removed and recorded."""
    database.prepare([*definitions(), kinds()])
    gained = definitions(tables=["part"])[0]
    database.prepare([TableDefinition("part", (*gained.columns, ColumnDefinition("gained", "blob", 0, False)))])
    mirror(database, session_rows("one", parts=1))
    mirror(database, [("kinds", KINDS, each) for each in odd_rows()])
    list(database.marks(TREE, "part", "one"))
    with database.mirror_writer() as writer:
        writer.record(record("one"))
        writer.remove("part", (content("prt_one_0"),))
    assert ["one"] == [each.session for each in database.records()]
    with database.snapshot() as state:
        list(state.rows(TREE.owned[-1], "one"))


KINDS: Final = tuple(column.name for column in kinds().columns)


def upkeep(database: SqlDatabase) -> None:
    """What is asked about the server, and done for its disk."""
    address = database.address
    sizes.sizes(address)
    sizes.activity(address)
    for method in ("in-place", "gentle"):
        reclaim.apply_vacuum(reclaim.plan_vacuum(address, method=method))
    token = tokens.HeldToken(address)
    token.hold()
    assert tokens.sees(address, token.token, patience_s=0)
    token.close()


AREAS: Final[dict[str, Callable[[SqlDatabase], None]]] = {
    "connecting": lambda _database: None,
    "listing": listing,
    "paging": paging,
    "reading": reading,
    "swapping": swapping,
    "sweeping": sweeping,
    "sessions": sessions,
    "mirroring": mirroring,
    "upkeep": upkeep,
}


@pytest.fixture
def sent(
    driver: tsql.Driver, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[tsql.Sent]]:
    """The statements of an area, each once, without those of every new connection."""
    area = request.param
    with opened() as database:
        connecting = dict.fromkeys(driver.sent)
        if area == "sessions":
            host_tables(database)
        elif area != "mirroring":
            place = ServerPlace(tsql.URL)
            cells_there(place)
            place.run(
                f"CREATE TABLE pair (a {place.key} NOT NULL, b INT NOT NULL, body {place.text}, PRIMARY KEY (a, b))"
            )
            place.close()
        database.known.forget()
        if area == "connecting":
            yield list(connecting)
            return
        driver.sent.clear()
        monkeypatch.setattr(MsSqlDialect, "large_bytes", 200 if area == "reading" else MsSqlDialect.large_bytes)
        AREAS[area](database)
    yield [each for each in dict.fromkeys(driver.sent) if each not in connecting]


@pytest.mark.parametrize(("sent", "name"), [(area, area) for area in AREAS], indirect=["sent"])
def test_statements_are_those_that_were_looked_at(sent: list[tsql.Sent], name: str) -> None:
    """Each is T-SQL, breaks no rule, and stands in the golden file of its area, with the types of what is bound."""
    for each in sent:
        check(each)

    words = "\n".join(written(each) for each in sent)
    path = GOLDEN / f"{name}.sql"
    if os.environ.get("OCBLOB_GOLDEN") == "write":
        path.write_text(words)
    assert path.read_text() == words


def written(sent: tsql.Sent) -> str:
    """As it stands in a golden file."""
    plain = BATCHES.match(sent.sql) or NOT_UNDERSTOOD.match(sent.sql) or sent.sql.startswith("SET ")
    sql = " ".join(sent.sql.split()) if plain else parsed(sent.sql).sql("tsql", pretty=True, comments=False)
    bound = f"-- {', '.join(sent.types)}\n" if sent.types else ""
    return f"{bound}{sql};\n"


def check(sent: tsql.Sent) -> None:
    """Raise for what SQL Server does not take, or takes for something else."""
    sql = sent.sql
    for words in ("FOR UPDATE", " LIMIT ", " USING ", ".WRITE", "NOLOCK", "UPDLOCK", "HOLDLOCK", "ROWLOCK"):
        assert words not in sql.upper()
    # A type in a cast has no collation.
    assert not re.search(
        r"AS N?VARCHAR\(\w+\) COLLATE", re.sub(r"CREATE TABLE.*|ALTER TABLE.*", "", sql, flags=re.DOTALL)
    )
    assert len(sent.types) <= tsql.MARKS_MAX
    # By the code page of the database, not of the column.
    assert not any("SQL_VARCHAR" in each or "SQL_LONG" in each for each in sent.types)
    if BATCHES.match(sql):
        return
    if NOT_UNDERSTOOD.match(sql):
        return
    tree = parsed(sql)
    assert not list(tree.find_all(exp.Command, exp.Merge, exp.WithTableHint, exp.Boolean, exp.Lock))
    for node in tree.walk():
        _check_node(node)


def _check_node(node: exp.Expr) -> None:
    match node:
        case exp.Binary() | exp.In():
            assert not isinstance(node.this, exp.Tuple), f"{node.sql('tsql')}: tuples are not compared"
        case exp.Select():
            ordered = node.args.get("order")
            limited = node.args.get("limit") or node.args.get("offset")
            assert ordered or not isinstance(node.args.get("limit"), exp.Fetch), "FETCH without ORDER BY"
            assert not ordered or limited or node.parent is None, "ORDER BY in a subquery"
            assert not any(isinstance(_bare(each), VALUES) for each in node.expressions), "a condition is no value"
            group = node.args.get("group")
            assert not group or not list(group.find_all(exp.Placeholder)), "GROUP BY of what is bound"
            names = [each.sql() for each in ordered.expressions] if ordered else []
            assert len(set(names)) == len(names), "ORDER BY of the same twice"
        case exp.Where() | exp.Having():
            assert isinstance(_bare(node.this), VALUES), "a value is no condition"
        case exp.If() if not isinstance(node.parent, exp.Case) or node.parent.this is None:
            assert isinstance(_bare(node.this), VALUES), "a value is no condition"
            assert not isinstance(_bare(node.args["true"]), VALUES), "a condition is no value"
        case exp.Sum():
            wide = any(cast.to.is_type("bigint") for cast in node.find_all(exp.Cast))
            assert wide or "sys." in node.root().sql(), f"{node.sql()} may be too large for int"
        case exp.Values():
            assert len(node.expressions) <= 1000


def _bare(node: exp.Expr) -> exp.Expr:
    return node.this if isinstance(node, exp.Alias | exp.Paren) else node


def test_driver_is_the_latest_of_microsofts(driver: tsql.Driver) -> None:
    """A URL names none; one that does keeps it."""
    server = Server(server_address("mssql://user@server/db"), read_only=True)
    assert "ODBC Driver 18 for SQL Server" == server.engine.url.query["driver"]
    named = Server(server_address("mssql://user@server/db?driver=FreeTDS"), read_only=True)
    assert "FreeTDS" == named.engine.url.query["driver"]
    assert driver.drivers()


def test_every_area_has_a_golden_file() -> None:
    """And none is left over."""
    assert sorted(AREAS) == sorted(path.stem for path in GOLDEN.glob("*.sql"))


@pytest.mark.parametrize(
    ("state", "words", "expected"),
    [
        ("40001", "Transaction (Process ID 55) was deadlocked (1205) (SQLExecDirectW)", Trouble.AGAIN),
        ("42000", "Lock request time out period exceeded. (1222) (SQLExecDirectW)", Trouble.LOCKED),
        ("23000", "The duplicate key value is (1205). (2627) (SQLExecDirectW); [23000] It ended. (3621)", Trouble.ROW),
        ("23000", "conflicted with the FOREIGN KEY constraint (547) (SQLExecDirectW)", Trouble.DANGLING),
        ("23000", "conflicted with the CHECK constraint (547) (SQLExecDirectW)", Trouble.ROW),
        ("08S01", "TCP Provider: Error code 0x68 (104) (SQLExecDirectW)", Trouble.LOST),
        ("HYT00", "Login timeout expired (0) (SQLDriverConnect)", Trouble.LOST),
        ("HYT00", "Lock request time out period exceeded. (1222) (SQLExecDirectW)", Trouble.LOCKED),
        ("42000", "Cannot roll back sa_savepoint_1. (6401) (SQLExecDirectW)", Trouble.AGAIN),
        ("42000", "Incorrect syntax near 'x'. (102) (SQLExecDirectW)", Trouble.OTHER),
    ],
)
def test_errors_are_told_by_the_servers_number(state: str, words: str, expected: Trouble) -> None:
    """As pyodbc writes them; a number in a row's own text is none."""
    error = sa.exc.DBAPIError("", None, tsql.DatabaseError(state, f"[{state}] [Microsoft][ODBC Driver 18]{words}"))

    assert expected is MsSqlDialect().trouble(error)


def test_a_piece_may_end_within_a_character(driver: tsql.Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two halves of a surrogate pair in two pieces are one character."""
    monkeypatch.setattr("ocblob.databases.sql.dialects.mssql.PIECE_BYTES", 4)
    text = "a😀ß"
    with opened() as database, database.server.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE t (id INT NOT NULL PRIMARY KEY, body NVARCHAR(MAX))")
        value = sa.cast(sa.literal_column(f"0x{text.encode('utf-16-le').hex()}"), sa.NVARCHAR())
        connection.execute(sa.text(f"INSERT INTO t VALUES (1, {value.compile(dialect=connection.dialect)})"))
        table = database.known["t"]
        seen = hashlib.sha256()
        pieces = MsSqlDialect().stream(connection, table["body"], table["id"] == 1, text=True, seen=seen)

        assert text.encode() == b"".join(pieces)
        assert hashlib.sha256(text.encode("utf-16-le")).digest() == seen.digest()
    assert driver.sent
