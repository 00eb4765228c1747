"""Mirrors between real servers and files."""

from collections.abc import Sequence
from itertools import count
from pathlib import Path

import pytest
from served import execute

from mirrors import FAMILY, change, compared, make_odd, mirror, mirrored
from ocblob.databases.addresses import server_address
from ocblob.databases.opening import open_database
from ocblob.databases.session_rows import Row
from ocblob.databases.sql.mirror_writing import SqlMirrorWriter
from ocblob.errors import DatabaseUnsupportedError
from ocblob.sessions.mirroring import MirrorFate
from samples import opened
from talks import Talk, make_talks
from test_mirror import write_more


def test_a_chain_of_mirrors_ends_where_it_began(tmp_path: Path, postgresql_url: str, mariadb_url: str) -> None:
    """SQLite to PostgreSQL to MariaDB to SQLite: every row of every table is what and where it was, byte for byte."""
    first, last, store = make_odd(tmp_path / "first.db"), tmp_path / "last.db", tmp_path / "store"

    for source, target in ((first, postgresql_url), (postgresql_url, mariadb_url), (mariadb_url, last)):
        report = mirror(source, target, store)
        assert [] == report.problems
        assert report.complete

    assert compared(first) == compared(last)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A family and two more sessions, with attachments of 200 kB."""
    return make_talks(
        tmp_path / "opencode.db",
        [Talk(each.id, each.created_days, parent=each.parent, size=200_000, v2=each.v2) for each in FAMILY],
    )


def test_a_mirror_beside_other_tables_follows_its_source(source: Path, tmp_path: Path, server_url: str) -> None:
    """Other tables stay as they are; what changes, comes and goes in the source does so there; all of it comes back."""
    store, back = tmp_path / "store", tmp_path / "back.db"
    execute(
        server_url,
        "CREATE TABLE invoice (id INTEGER PRIMARY KEY, what VARCHAR(40))",
        "INSERT INTO invoice VALUES (1, 'ink')",
    )
    first = mirrored(source, server_url, store)
    assert first.report is not None
    assert (4, 4, True) == (first.report.mirrored, first.report.blobs_new, first.complete)
    # Eight payloads of 267 kB went; what is left are refs and words.
    assert first.report.payload_chars > 1_800_000
    assert first.report.size_put < 20_000
    again = mirror(source, server_url, store)
    assert (4, 0) == (again.skipped, len(again.fates))

    change(source, "ALTER TABLE part ADD mood TEXT DEFAULT 'calm'", "DELETE FROM part WHERE id='prt_ses_b_1'")
    write_more(source, "ses_a", "more")
    change(source, "UPDATE part SET mood=NULL WHERE id='prt_more'", "UPDATE session SET time_updated=time_updated+1")
    later = mirror(source, server_url, store)
    assert ["column mood"] == [" ".join(words.split()[:2]) for words in later.made]
    assert later.complete
    assert 1 == later.rows_removed
    verified = mirror(source, server_url, store, verify=True)
    assert (0, 0, True) == (verified.rows_put, verified.rows_removed, verified.complete)

    assert mirror(server_url, back, store).complete
    assert compared(source) == compared(back)
    assert [(1, "ink")] == execute(server_url, "SELECT id, what FROM invoice")


def test_tables_of_these_names_that_are_somebody_elses_are_not_touched(
    source: Path, tmp_path: Path, server_url: str
) -> None:
    """A table `session` that is no host's stops the mirror before it makes anything."""
    execute(server_url, "CREATE TABLE session (number INTEGER PRIMARY KEY)")
    with pytest.raises(DatabaseUnsupportedError, match="session"):
        mirror(source, server_url, tmp_path / "store")
    with open_database(server_address(server_url)) as database:
        assert {"session": frozenset({"number"})} == database.tables()


def test_a_replica_is_no_target(source: Path, tmp_path: Path, postgresql_url: str) -> None:
    """A mirror that has every table and takes no row is refused before a store is made, or knows of it."""
    mirror(source, postgresql_url, tmp_path / "first")
    name = postgresql_url.rpartition("/")[2]
    execute(postgresql_url, f"ALTER DATABASE {name} SET default_transaction_read_only = on")  # as a standby answers

    with pytest.raises(DatabaseUnsupportedError, match=r"the mirror cannot be written: .*read-only transaction"):
        mirror(source, postgresql_url, tmp_path / "store")
    assert not (tmp_path / "store").exists()


def test_what_somebody_changed_in_the_mirror_is_put_again(source: Path, tmp_path: Path, server_url: str) -> None:
    """A session that changed is read back: a row that is not as it is kept to be is sent again, and no rest is left."""
    store = tmp_path / "store"
    mirror(source, server_url, store)
    execute(server_url, "UPDATE part SET data='{}' WHERE id='prt_ses_a_1'")
    write_more(source, "ses_a", "more")
    report = mirror(source, server_url, store)

    assert {"ses_a": MirrorFate.MIRRORED} == {name: report.fates[name] for name in ("ses_a",)}
    assert report.complete
    mirror(server_url, tmp_path / "back.db", store)
    assert compared(source) == compared(tmp_path / "back.db")


def test_a_row_of_another_session_stays(source: Path, tmp_path: Path, server_url: str) -> None:
    """Its session may be nowhere else: who comes with the same key later is refused by name, unless he insists."""
    store = tmp_path / "store"
    other = make_talks(tmp_path / "other.db", [Talk("ses_x", 1), Talk("ses_y", 1)])
    change(other, "UPDATE part SET id='prt_ses_b_1' WHERE id='prt_ses_x_1'")
    mirror(source, server_url, store)
    told = "SELECT session_id FROM part WHERE id='prt_ses_b_1'"

    refused = mirror(other, server_url, store)
    assert (MirrorFate.FAILED, 1) == (refused.fates["ses_x"], refused.failed)
    assert "is a row of another session" in refused.problems[0]
    assert [("ses_b",)] == execute(server_url, told)

    mirror(other, server_url, store, force=True)
    assert [("ses_x",)] == execute(server_url, told)


def test_two_sources_share_a_mirror(source: Path, tmp_path: Path, server_url: str) -> None:
    """Sessions of both are there; one that both went on with is left, and told."""
    store, other = tmp_path / "store", tmp_path / "other.db"
    mirror(source, other, store)
    with opened(other) as db, db:
        db.execute("UPDATE session SET id='ses_alone' WHERE id='ses_v2'").fetchall()
    mirror(source, server_url, store)
    write_more(source, "ses_b", "one")
    write_more(other, "ses_b", "two")
    mirror(source, server_url, store)
    report = mirror(other, server_url, store)

    assert (MirrorFate.CONFLICT, MirrorFate.SAME) == (report.fates["ses_b"], report.fates["ses_a"])
    assert MirrorFate.MIRRORED == report.fates["ses_alone"]
    assert [("prt_one",)] == execute(server_url, "SELECT id FROM part WHERE id IN ('prt_one', 'prt_two')")


@pytest.mark.parametrize("breaks", [2, 20])
def test_a_run_that_is_interrupted_is_completed_by_the_next(
    source: Path, tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch, breaks: int
) -> None:
    """Rows without a record are no obstacle, also when the source has moved on by then."""
    plain, calls = SqlMirrorWriter.put, count(1)

    def put(
        self: SqlMirrorWriter, table: str, columns: Sequence[str], row: Row, digest: str, *, owner: str = ""
    ) -> None:
        if next(calls) == breaks:
            raise KeyboardInterrupt
        plain(self, table, columns, row, digest, owner=owner)

    monkeypatch.setattr(SqlMirrorWriter, "put", put)
    with pytest.raises(KeyboardInterrupt):
        mirror(source, postgresql_url, tmp_path / "store")
    write_more(source, "ses_a", "after")
    assert mirror(source, postgresql_url, tmp_path / "store").complete
    mirror(postgresql_url, tmp_path / "back.db", tmp_path / "store")
    assert compared(source) == compared(tmp_path / "back.db")
