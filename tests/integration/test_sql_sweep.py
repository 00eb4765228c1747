"""Everything that a database on a server says: every word of every table, from one state, or an error."""

import contextlib
from collections.abc import Iterator

import pytest
import sqlalchemy as sa
from mariadb import MariaDB
from postgresql import PostgreSQL
from server_process import READER, ServerProcess

from ocblob.databases.addresses import server_address
from ocblob.databases.base import OVERLAP_BYTES, PIECE_BYTES
from ocblob.databases.opening import HostDatabase, open_database
from ocblob.errors import DatabaseError, DatabaseLockedError

NEEDLE = b"ocblob"
LARGE = 5 * PIECE_BYTES


@contextlib.contextmanager
def opened(url: str) -> Iterator[HostDatabase]:
    """A database that is only read."""
    with open_database(server_address(url), read_only=True) as database:
        yield database


def run(url: str, *statements: str) -> None:
    """Statements, each committed."""
    engine = sa.create_engine(server_address(url).url)
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
    engine.dispose()


def swept(url: str, *, larger_than: int = 0) -> bytes:
    """All that a sweep says, pieces apart."""
    with opened(url) as database:
        return b"\n".join(database.sweep([NEEDLE], larger_than=larger_than))


def test_every_type_and_table_is_read(server: ServerProcess) -> None:
    """Texts, blobs and documents of any table, with a key or not, ours too."""
    url = server.fresh_url()
    blob = {"postgresql": "bytea", "mariadb": "longblob"}[server.kind]
    run(
        url,
        f"CREATE TABLE a (id integer PRIMARY KEY, t text, v varchar(40), b {blob}, j json, n integer)",
        "CREATE TABLE keyless (t text)",
        "CREATE TABLE ocblob_session (id integer PRIMARY KEY, d text)",
        "CREATE TABLE ocblob_nothing (id integer PRIMARY KEY)",
        "INSERT INTO a VALUES (1, 'ocblob-t \u00e4', 'ocblob-v', 'ocblob-b', '{\"a\": \"ocblob-j\"}', 1)",
        "INSERT INTO a (id, t) VALUES (2, 'nothing of note')",
        "INSERT INTO keyless VALUES ('ocblob-k')",
        "INSERT INTO ocblob_session VALUES (1, 'ocblob-o')",
    )

    found = swept(url)

    for word in ("ocblob-t \u00e4", "ocblob-v", "ocblob-b", "ocblob-j", "ocblob-k", "ocblob-o"):
        assert word.encode() in found


def test_large_cells_come_in_pieces(server: ServerProcess) -> None:
    """No piece is much larger than it may be, and what lies where two meet is whole in one of them."""
    url = server.fresh_url()
    text = "longtext" if server.kind == "mariadb" else "text"
    at = PIECE_BYTES - len(NEEDLE) // 2
    large = f"concat(repeat('x', {at}), 'ocblob-middle', repeat('y', {LARGE}), 'ocblob-end')"
    run(
        url,
        f"CREATE TABLE a (id integer PRIMARY KEY, t {text})",
        f"CREATE TABLE keyless (t {text})",
        f"INSERT INTO a VALUES (1, {large})",
        f"INSERT INTO keyless VALUES ({large})",
    )

    with opened(url) as database:
        pieces = list(database.sweep([NEEDLE]))

    keyless_whole = server.kind == "mariadb"
    assert keyless_whole == any(len(piece) > PIECE_BYTES + OVERLAP_BYTES for piece in pieces)
    assert 2 == sum(b"ocblob-end" in piece for piece in pieces)
    assert 2 <= sum(b"ocblob-middle" in piece for piece in pieces)


def test_small_cells_may_be_left_out(server: ServerProcess) -> None:
    """Cells of up to so many bytes are not asked for."""
    url = server.fresh_url()
    run(url, "CREATE TABLE a (t text)", "INSERT INTO a VALUES ('ocblob'), ('ocblob-more')")

    assert b"ocblob-more" == swept(url, larger_than=len(NEEDLE))


def test_one_state_is_read(server: ServerProcess) -> None:
    """What moves to another table during a sweep is where it was when it began."""
    url = server.fresh_url()
    run(url, "CREATE TABLE a (t text)", "CREATE TABLE b (t text)", "INSERT INTO b VALUES ('ocblob-moved')")
    run(url, "INSERT INTO a VALUES ('ocblob-first')")

    with opened(url) as database:
        pieces = database.sweep([NEEDLE])
        first = next(pieces)
        run(url, "INSERT INTO a SELECT t FROM b", "DELETE FROM b")
        rest = b"\n".join(pieces)

    assert (b"ocblob-first", b"ocblob-moved") == (first, rest)


def test_a_reader_may_sweep(server: ServerProcess) -> None:
    """A user who may only read sees all of it, and that it is durable."""
    name = server.fresh_database()
    run(server.url(name), "CREATE TABLE a (t text)", "INSERT INTO a VALUES ('ocblob-read')")

    assert b"ocblob-read" == swept(server.url(name, user=READER))


def test_blobs_inside_of_arrays_are_read(postgresql: PostgreSQL) -> None:
    """They are written out in hex; what they say is seen all the same."""
    url = postgresql.fresh_url()
    word = "ocblob-" + "z" * 64
    run(url, "CREATE TABLE a (b bytea[])", f"INSERT INTO a VALUES (ARRAY['xy'::bytea, '{word}'::bytea])")

    assert word.encode() in swept(url)


def test_a_table_that_may_not_be_read_is_named(postgresql: PostgreSQL) -> None:
    """A sweep that cannot see a table is none."""
    name = postgresql.fresh_database()
    run(postgresql.url(name), "CREATE TABLE a (t text)", "CREATE TABLE hidden (t text)")
    postgresql.execute(f"REVOKE ALL ON hidden FROM {READER}", database=name)

    with pytest.raises(DatabaseError, match="table hidden cannot be read"):
        swept(postgresql.url(name, user=READER))


@pytest.mark.parametrize(
    "statements",
    [
        ["ALTER TABLE b ALTER t TYPE text USING t || ''"],
        ["CREATE TABLE c (t text)", "INSERT INTO c VALUES ('ocblob-b')", "DROP TABLE b", "ALTER TABLE c RENAME TO b"],
        ["ALTER TABLE b RENAME TO old", "CREATE TABLE b (t text)"],
    ],
)
def test_a_table_that_is_rewritten_meanwhile_is_an_error(postgresql: PostgreSQL, statements: list[str]) -> None:
    """A state that was taken before shows it as empty, and says nothing of it."""
    url = postgresql.fresh_url()
    run(
        url,
        "CREATE TABLE a (t text)",
        "CREATE TABLE b (t varchar(80))",
        "INSERT INTO a VALUES ('ocblob-a')",
        "INSERT INTO b VALUES ('ocblob-b')",
    )

    with opened(url) as database:
        pieces = database.sweep([NEEDLE])
        assert b"ocblob-a" == next(pieces)
        run(url, *statements)
        with pytest.raises(DatabaseLockedError, match="table b was made anew"):
            list(pieces)


def test_rows_that_a_policy_hides_are_an_error(postgresql: PostgreSQL) -> None:
    """They would be missing without a word."""
    name = postgresql.fresh_database()
    run(
        postgresql.url(name),
        "CREATE TABLE a (t text)",
        "INSERT INTO a VALUES ('ocblob')",
        "ALTER TABLE a ENABLE ROW LEVEL SECURITY",
    )

    with pytest.raises(DatabaseError, match="table a cannot be read"):
        swept(postgresql.url(name, user=READER))


@pytest.mark.parametrize("more", ["SELECT (t) ON {}.a", "SELECT ON mysql.*"])
def test_tables_that_may_be_hidden_are_an_error(mariadb: MariaDB, more: str) -> None:
    """A user with some tables alone is told of no others, whatever it is told of other users' rights."""
    name = mariadb.fresh_database()
    run(mariadb.url(name), "CREATE TABLE a (t text)")
    mariadb.execute(
        "CREATE OR REPLACE USER partly@'%' IDENTIFIED BY 'x'",
        f"GRANT SELECT ON {name}.a TO partly@'%'",
        f"GRANT {more.format(name)} TO partly@'%'",
    )

    with pytest.raises(DatabaseError, match="SELECT on all"):
        swept(mariadb.url(name, user="partly", password="x"))


def test_a_right_to_databases_of_a_pattern_is_one(mariadb: MariaDB) -> None:
    """An underscore means any character in a grant, unless a backslash is before it."""
    name = mariadb.fresh_database()
    run(mariadb.url(name), "CREATE TABLE a (t text)", "INSERT INTO a VALUES ('ocblob-a')")
    escaped = name.replace("_", r"\_")
    mariadb.execute(
        "CREATE OR REPLACE USER pattern@'%' IDENTIFIED BY 'x'", f"GRANT SELECT ON `{escaped}`.* TO pattern@'%'"
    )

    assert b"ocblob-a" == swept(mariadb.url(name, user="pattern", password="x"))


def test_an_engine_without_transactions_is_an_error(mariadb: MariaDB) -> None:
    """Its tables have no one state to read."""
    url = mariadb.fresh_url()
    run(url, "CREATE TABLE a (t text) ENGINE=MyISAM")

    with pytest.raises(DatabaseError, match="MyISAM"):
        swept(url)


def test_rows_with_keys_of_words_are_read(mariadb: MariaDB) -> None:
    """Large cells are found again by an enumeration and a set, too."""
    url = mariadb.fresh_url()
    run(
        url,
        "CREATE TABLE a (k enum('x', 'y'), s set('m', 'n'), t longtext, PRIMARY KEY (k, s))",
        f"INSERT INTO a VALUES ('x', 'm,n', 'ocblob-small'), ('y', 'm', CONCAT(REPEAT('-', {LARGE}), 'ocblob-large'))",
    )

    assert [True, True] == [word in swept(url) for word in (b"ocblob-small", b"ocblob-large")]


def test_text_in_wide_characters_is_read(mariadb: MariaDB) -> None:
    """Whatever a column's character set is, the words in it are seen."""
    url = mariadb.fresh_url()
    run(
        url,
        "CREATE TABLE a (t text CHARACTER SET utf32, l text CHARACTER SET latin1)",
        "INSERT INTO a VALUES ('ocblob-wide', 'ocblob-\u00e4')",
    )

    found = swept(url)

    assert b"ocblob-wide" in found
    assert b"ocblob-" in found.replace(b"ocblob-wide", b"")
