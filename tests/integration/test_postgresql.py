"""What PostgreSQL has of its own: types, collations, versions of rows, connections that are refused."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from postgresql import PostgreSQL
from proxy import Proxy
from server_process import PASSWORD

from database_contracts import BODY, EVERYTHING, RAW, edit, edits, listed, outcomes
from large_cells import offload_and_restore
from ocblob import BlobStore
from ocblob.cells import Column, Scope, SessionTable
from ocblob.databases.addresses import server_address
from ocblob.databases.base import Outcome
from ocblob.databases.opening import open_database
from ocblob.databases.sql.database import SqlDatabase
from ocblob.errors import CellError, DatabaseUnsupportedError, UsageError
from ocblob.offload import offload
from ocblob.restore import restore
from processes import finish, spawn
from samples import cell, payload
from server_place import ServerPlace

LARGE_SQL = "'{\"url\":\"data:image/png;base64,' || repeat('QUFB', 78643200) || '\"}'"


@pytest.fixture(scope="module")
def url(postgresql: PostgreSQL) -> str:
    """A database for all tests here."""
    return postgresql.fresh_url()


@pytest.fixture
def place(url: str) -> Iterator[ServerPlace]:
    """Empty tables."""
    place = ServerPlace(url)
    place.clear()
    yield place
    place.close()


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("id bigint PRIMARY KEY, body json", "JSON: neither text nor blob"),
        ("id bigint PRIMARY KEY, body jsonb", "JSONB: neither text nor blob"),
        ("id bigint PRIMARY KEY, body text[]", "neither text nor blob"),
        ("id bigint PRIMARY KEY, body char(20000)", "pads its text"),
        ("id bigint PRIMARY KEY, n bigint, body text GENERATED ALWAYS AS (repeat('x', n::int)) STORED", "generated"),
        ("id bigint, body text", "no primary key"),
        ("id bigint UNIQUE, body text", "no primary key"),
        ("id double precision PRIMARY KEY, body text", "rounded number"),
        ("id int[] PRIMARY KEY, body text", "a row is found by"),
    ],
)
def test_what_cannot_be_swapped_is_refused(place: ServerPlace, columns: str, words: str) -> None:
    """Types that change what is put, and rows that are not found again for sure."""
    place.run(f"CREATE TABLE odd ({columns})")

    with open_database(place.address) as database, pytest.raises(DatabaseUnsupportedError, match=words):
        database.check_column(Column("odd", "body"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("uuid", "'7d444840-9dc0-11d1-b245-5ffdce74fad2'"),
        ("timestamptz", "'2024-02-29 12:00:00.123456+05:30'"),
        ("date", "'2024-02-29'"),
        ("numeric(30, 10)", "12345678901234567890.0123456789"),
        ("bytea", "'\\x00ff41'"),
        ("boolean", "true"),
        ("char(5)", "'ab'"),
        ("bigint UNIQUE NOT NULL, n int", "7, 1"),
    ],
)
def test_keys_of_many_types_find_their_rows(place: ServerPlace, key: str, value: str) -> None:
    """Whatever the key is made of, its row is listed, read, named, found and swapped."""
    primary = "" if "UNIQUE" in key else " PRIMARY KEY"
    place.run(f"CREATE TABLE odd (body text, id {key}{primary})")
    place.run(f"INSERT INTO odd VALUES ('old', {value})")
    column = Column("odd", "body")

    with open_database(place.address) as database:
        database.check_column(column)
        ((cell, change),) = edits(database, column, b"new")
        results = database.swap([change], stamp=database.stamp())
        found = database.find_again(cell)

    assert [Outcome.SWAPPED] == outcomes(results)
    assert found
    assert [("new",)] == place.run("SELECT body FROM odd")


def test_what_was_sent_of_a_large_content_that_failed_is_in_no_other(place: ServerPlace) -> None:
    """A mirror puts an odd text elsewhere, in the same transaction, when some pieces of it are there already."""
    place.run("CREATE TABLE odd (id bigint PRIMARY KEY, body bytea)")
    place.run("INSERT INTO odd VALUES (1, '')")

    def failing() -> Iterator[bytes]:
        yield b"first "
        raise ValueError

    with SqlDatabase(place.address) as database, database.server.transaction() as connection:
        table, put = database.known["odd"], database.server.dialect.put_large
        for chunks in (failing(), iter([b"second"])):
            with contextlib.suppress(ValueError):
                put(connection, table["body"], table["id"] == 1, chunks, text=False)

    assert [(b"second",)] == place.run("SELECT body FROM odd")


def test_a_text_that_it_cannot_hold_is_one_edits_trouble(place: ServerPlace) -> None:
    """A zero byte and what is no UTF-8 are refused in words, small or large, and nothing is changed."""
    for key in "abcd":
        place.put(key, b"old")
    news = [b"x\0y", b"\xff\xfe", b"\xff" * 6_000_000, b"x\0" * 3_000_000]

    with open_database(place.address) as database:
        edits = [edit(database, cell, new) for cell, new in zip(listed(database), news, strict=True)]
        results = database.swap(edits, stamp=database.stamp())

    assert [CellError] * 4 == [type(result.error) for result in results]
    assert {(b"old", None)} == {place.look(key) for key in "abcd"}


def test_any_write_to_a_row_is_a_new_version(place: ServerPlace) -> None:
    """Who changes another column of the row, or writes the same content again, is noticed too."""
    for key in "ab":
        place.put(key, b"old")

    with open_database(place.address) as database:
        edits = [edit(database, cell, b"new") for cell in listed(database)]
        place.change("a", b"old")
        place.run("UPDATE doc SET time_updated = 5 WHERE id = 'b'")
        results = database.swap(edits, stamp=database.stamp())

    assert [Outcome.CHANGED] * 2 == outcomes(results)


def test_two_cells_of_a_row_go_and_come_back_in_one_pass(place: ServerPlace, tmp_path: Path) -> None:
    """A row has one version for both: who changes one of them looks at the other anew."""
    rows = {key: tuple(cell(payload(9000, (key, n))).encode() for n in (1, 2)) for key in "ab"}
    for key, (body, raw) in rows.items():
        place.put(key, body, raw)

    with open_database(place.address) as database, BlobStore.create(tmp_path / "store")[0] as store:
        out = offload(database, store, (BODY, RAW), scope=EVERYTHING, previews=False)
        back = restore(database, store, (BODY, RAW), scope=EVERYTHING)

    assert (4, True, 4, True) == (out.payloads, out.complete, back.refs_restored, back.complete)
    assert rows == {key: place.look(key) for key in rows}


def test_sessions_are_compared_by_their_bytes_whatever_the_collation(place: ServerPlace) -> None:
    """A collation that takes `s` for `S` does not take one session for the other."""
    place.run(
        "CREATE COLLATION IF NOT EXISTS blind (provider = icu, locale = 'und-u-ks-level1', deterministic = false)"
    )
    place.run("ALTER TABLE doc ALTER session_id TYPE text COLLATE blind")
    place.put("a", b"text", session="s")
    place.put("b", b"text", session="S")
    scope = Scope(sessions=("S",), session_table=SessionTable("talk", "id", "time_updated"))

    with open_database(place.address) as database:
        found = [database.row_names(cell) for cell in listed(database, scope=scope)]

    assert [("b", "S")] == found


@pytest.mark.parametrize("answered", [False, True])
def test_a_commit_that_nobody_answers_is_recognised(
    place: ServerPlace, postgresql: PostgreSQL, url: str, *, answered: bool
) -> None:
    """Whether it came through or not: every cell is swapped once, and none is called changed."""
    for key in "abc":
        place.put(key, b"old")
    database_name = url.rpartition("/")[2]

    with (
        Proxy(postgresql.port) as proxy,
        open_database(server_address(postgresql.url(database_name, port=proxy.port))) as database,
    ):
        edits = [edit(database, cell, b"new") for cell in listed(database)]
        fault = proxy.cut(way="up", word=b"COMMIT", following=b"UPDATE", answered=answered)
        results = database.swap(edits, stamp=database.stamp())

    assert fault.happened.is_set()
    assert [Outcome.SWAPPED] * 3 == outcomes(results)
    assert {(b"new", None)} == {place.look(key) for key in "abc"}


@pytest.mark.parametrize(
    ("database", "password", "words"),
    [("postgres", "wr0ng", "authentication failed"), ("nothing", PASSWORD, "does not exist")],
)
def test_a_refused_connection_is_told_without_the_password(
    postgresql: PostgreSQL, database: str, password: str, words: str
) -> None:
    """The server's words are told, and no password."""
    with pytest.raises(DatabaseUnsupportedError, match=words) as caught:
        open_database(server_address(postgresql.url(database, password=password)))

    assert "wr0ng" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_driver_that_is_not_known_is_refused() -> None:
    """Another driver than ours would give other values."""
    with pytest.raises(UsageError, match="driver asyncpg") as caught:
        open_database(server_address("postgresql+asyncpg://me:pass@localhost/x"))

    assert "postgresql+psycopg://" in caught.value.hint


@pytest.mark.parametrize(("missing", "word"), [("sqlalchemy", "sqlalchemy"), ("psycopg", "psycopg")])
def test_a_driver_that_is_not_installed_is_named(missing: str, word: str) -> None:
    """What has to be installed is said."""
    code = f"""
import sys
sys.modules[{missing!r}] = None
from ocblob.databases.addresses import server_address
from ocblob.databases.opening import open_database
from ocblob.errors import UsageError
try:
    open_database(server_address("postgresql://me@127.0.0.1/x"))
except UsageError as error:
    print(error, error.hint)
"""
    told = finish(spawn(code))

    assert word in told
    assert "pip install 'ocblob[postgres]'" in told


def test_300_mb_move_out_and_come_back(place: ServerPlace, tmp_path: Path) -> None:
    """One cell of 300 MB goes to the store and returns byte for byte, in less than 100 MiB of our memory."""
    place.run(f"INSERT INTO doc (id, body) VALUES ('a', {LARGE_SQL})")
    before = place.run("SELECT octet_length(body), md5(body) FROM doc")

    moved, restored, peak_mib = offload_and_restore(place.address, BODY, tmp_path / "store")

    assert (1, 1) == (moved, restored)
    assert before == place.run("SELECT octet_length(body), md5(body) FROM doc")
    assert peak_mib <= 100
