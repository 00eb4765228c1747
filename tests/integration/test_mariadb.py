"""What MySQL and MariaDB have of their own: character sets, engines, packets, versions made of a row's content."""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from mariadb import MariaDB
from proxy import Proxy
from server_process import PASSWORD

from database_contracts import BODY, edit, edits, listed, outcomes
from large_cells import offload_and_restore
from ocblob.cells import Column, Scope, SessionTable
from ocblob.databases.addresses import server_address
from ocblob.databases.base import Outcome
from ocblob.databases.opening import open_database
from ocblob.errors import CellError, DatabaseError, DatabaseUnsupportedError
from server_place import ServerPlace

SMALL_PACKET = 4 * 1024 * 1024
LARGE_PACKET = 512 * 1024 * 1024
LARGE_SQL = "CONCAT('{\"url\":\"data:image/png;base64,', REPEAT('QUFB', 78643200), '\"}')"


@pytest.fixture(scope="module")
def url(mariadb: MariaDB) -> str:
    """A database for all tests here."""
    return mariadb.fresh_url()


@pytest.fixture
def place(url: str) -> Iterator[ServerPlace]:
    """Empty tables."""
    place = ServerPlace(url)
    place.clear()
    yield place
    place.close()


@pytest.fixture
def packet(mariadb: MariaDB) -> Iterator[MariaDB]:
    """The server, whose largest packet a test may set for the connections to come."""
    ((before,),) = mariadb.execute("SELECT @@GLOBAL.max_allowed_packet")
    yield mariadb
    mariadb.execute(f"SET GLOBAL max_allowed_packet = {before}")


@pytest.mark.parametrize(
    ("columns", "words"),
    [
        ("id bigint PRIMARY KEY, body longtext CHARACTER SET latin1", "character set is latin1"),
        ("id bigint PRIMARY KEY, body longtext) CHARACTER SET latin1 COMMENT = (''", "character set is latin1"),
        ("id bigint PRIMARY KEY, body char(200)", "pads what is put"),
        ("id bigint PRIMARY KEY, body enum('a', 'b')", "neither text nor blob"),
        ("id bigint PRIMARY KEY, body set('a', 'b')", "neither text nor blob"),
        ("id bigint PRIMARY KEY, body bit(8)", "neither text nor blob"),
        ("id bigint PRIMARY KEY, n int, body longtext GENERATED ALWAYS AS (repeat('x', n)) STORED", "generated"),
        ("id bigint, body longtext", "no primary key"),
        ("id bigint UNIQUE, body longtext", "no primary key"),
        ("id float PRIMARY KEY, body longtext", "rounded number"),
        ("id time PRIMARY KEY, body longtext", "a span of time"),
        ("id enum('a', 'b') PRIMARY KEY, body longtext", "a row is found by"),
        ("id bigint PRIMARY KEY, body longtext) ENGINE = (MyISAM", "only InnoDB"),
    ],
)
def test_what_cannot_be_swapped_is_refused(place: ServerPlace, columns: str, words: str) -> None:
    """Types and sets that change what is put, rows that are not found again for sure, tables without transactions."""
    statement = f"CREATE TABLE odd ({columns})".replace(" = (MyISAM)", " = MyISAM").replace(" COMMENT = ('')", "")
    place.run(statement)

    with open_database(place.address) as database, pytest.raises(DatabaseUnsupportedError, match=words):
        database.check_column(Column("odd", "body"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("datetime(6)", "'2024-02-29 12:00:00.123456'"),
        ("timestamp(3) DEFAULT 0", "'2024-02-29 12:00:00.123'"),
        ("decimal(30, 10)", "12345678901234567890.0123456789"),
        ("varbinary(20)", "x'00ff41'"),
        ("binary(4)", "x'00ff'"),
        ("char(5)", "'ab '"),
        ("varchar(20) CHARACTER SET latin1", "'für'"),
        ("bigint unsigned", "18446744073709551615"),
        ("uuid", "'7d444840-9dc0-11d1-b245-5ffdce74fad2'"),
        ("bigint UNIQUE NOT NULL, n int", "7, 1"),
    ],
)
def test_keys_of_many_types_find_their_rows(place: ServerPlace, key: str, value: str) -> None:
    """Whatever the key is made of, its row is listed, read, named, found and swapped."""
    primary = "" if "UNIQUE" in key else " PRIMARY KEY"
    place.run(f"CREATE TABLE odd (body longtext, id {key}{primary})")
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


def test_times_are_those_of_utc_whatever_the_servers_zone(place: ServerPlace, mariadb: MariaDB) -> None:
    """In a zone with summer time two moments of a year would be one key, and one text in an archive."""
    place.run("CREATE TABLE odd (id timestamp DEFAULT 0 PRIMARY KEY, body longtext)")
    place.run("INSERT INTO odd VALUES (FROM_UNIXTIME(1730000000), 'old')")
    mariadb.execute("SET GLOBAL time_zone = '+05:30'")
    try:
        with open_database(place.address) as database:
            (found,) = listed(database, Column("odd", "body"))
    finally:
        mariadb.execute("SET GLOBAL time_zone = SYSTEM")

    assert (datetime(2024, 10, 27, 3, 33, 20),) == found.key  # noqa: DTZ001 - as the driver gives it


def test_times_of_the_last_update_stay(place: ServerPlace) -> None:
    """A row is the same afterwards but for the cell, whether that is sent with the statement or in pieces."""
    place.run(
        "CREATE TABLE odd (id bigint PRIMARY KEY, body longtext, u timestamp(6) NULL ON UPDATE current_timestamp(6),"
        " d datetime DEFAULT '2020-01-01' ON UPDATE now())"
    )
    place.run("INSERT INTO odd VALUES (1, 'old', '2020-02-02', '2020-03-03'), (2, 'old', NULL, NULL)")

    with open_database(place.address) as database:
        one, two = listed(database, Column("odd", "body"))
        edits = [edit(database, one, b"new"), edit(database, two, b"n" * 6_000_000)]
        results = database.swap(edits, stamp=database.stamp())

    assert [Outcome.SWAPPED] * 2 == outcomes(results)
    assert [("2020-02-02 00:00:00.000000", "2020-03-03 00:00:00"), (None, None)] == place.run(
        "SELECT CAST(u AS CHAR), CAST(d AS CHAR) FROM odd ORDER BY id"
    )


def test_a_text_that_it_cannot_hold_is_one_edits_trouble(place: ServerPlace) -> None:
    """What is no UTF-8, or has characters that a set of three bytes lacks, is refused; nothing is changed to fit."""
    place.run("CREATE TABLE odd (id bigint PRIMARY KEY, body longtext CHARACTER SET utf8mb3)")
    news = ["😀".encode(), b"\xff\xfe", "😀".encode() * 2_000_000, b"\xff" * 6_000_000, "für €".encode()]
    for number in range(len(news)):
        place.run("INSERT INTO odd VALUES (:id, 'old')", id=number)
    column = Column("odd", "body")

    with open_database(place.address) as database:
        edits = [edit(database, cell, new) for cell, new in zip(listed(database, column), news, strict=True)]
        results = database.swap(edits, stamp=database.stamp())

    assert [*[CellError] * 4, type(None)] == [type(result.error) for result in results]
    assert [("old",)] * 4 + [("für €",)] == place.run("SELECT body FROM odd ORDER BY id")


def test_a_value_beyond_the_packet_is_found_out_before_anything_is_written(place: ServerPlace, packet: MariaDB) -> None:
    """What the server takes and what the cell needs are told, with what to do; the cell beside it is swapped."""
    packet.execute(f"SET GLOBAL max_allowed_packet = {SMALL_PACKET}")
    place.put("a", b"old")
    place.put("b", b"old")
    size = SMALL_PACKET + 1

    with open_database(place.address) as database:
        one, two = listed(database)
        edits = [edit(database, one, b"x" * size), edit(database, two, b"x" * (SMALL_PACKET // 2))]
        refused, swapped = database.swap(edits, stamp=database.stamp())

    assert refused.error is not None
    assert f"max_allowed_packet is {SMALL_PACKET:,} bytes" in str(refused.error)
    assert f"needs {size:,}" in str(refused.error)
    assert "max_allowed_packet" in getattr(refused.error, "hint", "")
    assert Outcome.SWAPPED == swapped.outcome
    assert [(b"old", None), (b"x" * (SMALL_PACKET // 2), None)] == [place.look(key) for key in "ab"]


def test_cells_beyond_the_packet_are_listed_and_read(place: ServerPlace, packet: MariaDB) -> None:
    """A cell that came in under a larger limit is read all the same, and gets a smaller content."""
    content = "é0123456789abcd".encode() * 600_000
    place.put("a", content)
    packet.execute(f"SET GLOBAL max_allowed_packet = {SMALL_PACKET}")

    with open_database(place.address) as database:
        (cell,) = listed(database)
        with database.cells() as cells:
            reader = cells.open(cell)
            read = b"".join(reader.read(0, reader.size))
        results = database.swap([edit(database, cell, b"new")], stamp=database.stamp())

    assert len(content) == cell.size
    assert content == read
    assert [Outcome.SWAPPED] == outcomes(results)


def test_sessions_are_compared_by_their_bytes_whatever_the_collation(place: ServerPlace) -> None:
    """A collation that takes `s` for `S`, and blanks for nothing, does not take one session for the other."""
    place.run("ALTER TABLE doc MODIFY session_id varchar(100) CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci")
    for key, session in (("a", "s"), ("b", "S"), ("c", "S ")):
        place.put(key, b"text", session=session)
    scope = Scope(sessions=("S",), session_table=SessionTable("talk", "id", "time_updated"))

    with open_database(place.address) as database:
        found = [database.row_names(cell) for cell in listed(database, scope=scope)]

    assert [("b", "S")] == found


@pytest.mark.parametrize("answered", [False, True])
def test_a_commit_that_nobody_answers_is_recognised(
    place: ServerPlace, mariadb: MariaDB, url: str, *, answered: bool
) -> None:
    """Whether it came through or not: every cell is swapped once, and none is called changed."""
    for key in "abc":
        place.put(key, b"old")

    with (
        Proxy(mariadb.port) as proxy,
        open_database(server_address(mariadb.url(url.rpartition("/")[2], port=proxy.port))) as database,
    ):
        edits = [edit(database, cell, b"new") for cell in listed(database)]
        fault = proxy.cut(way="up", word=b"COMMIT", following=b"UPDATE", answered=answered)
        results = database.swap(edits, stamp=database.stamp())

    assert fault.happened.is_set()
    assert [Outcome.SWAPPED] * 3 == outcomes(results)
    assert {(b"new", None)} == {place.look(key) for key in "abc"}


@pytest.mark.parametrize(("database", "password"), [("mysql", "wr0ng"), ("nothing", PASSWORD)])
def test_a_refused_connection_is_told_without_the_password(mariadb: MariaDB, database: str, password: str) -> None:
    """The server's words are told, and no password."""
    with pytest.raises(DatabaseError, match=r"[Aa]ccess denied|Unknown database") as caught:
        open_database(server_address(mariadb.url(database, password=password)))

    assert "wr0ng" not in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_300_mb_move_out_and_come_back(place: ServerPlace, packet: MariaDB, tmp_path: Path) -> None:
    """One cell of 300 MB goes to the store and returns byte for byte, in less than 100 MiB of our memory."""
    packet.execute(f"SET GLOBAL max_allowed_packet = {LARGE_PACKET}")
    place.close()
    place.run(f"INSERT INTO doc (id, body) VALUES ('a', {LARGE_SQL})")
    before = place.run("SELECT octet_length(body), md5(body) FROM doc")

    moved, restored, peak_mib = offload_and_restore(place.address, BODY, tmp_path / "store")

    assert (1, 1) == (moved, restored)
    assert before == place.run("SELECT octet_length(body), md5(body) FROM doc")
    assert peak_mib <= 100
