"""Mirrors between real servers and files."""

from pathlib import Path

from mirrors import compared, make_odd, mirror


def test_a_chain_of_mirrors_ends_where_it_began(tmp_path: Path, postgresql_url: str, mariadb_url: str) -> None:
    """SQLite to PostgreSQL to MariaDB to SQLite: every row of every table is what and where it was, byte for byte."""
    first, last, store = make_odd(tmp_path / "first.db"), tmp_path / "last.db", tmp_path / "store"

    for source, target in ((first, postgresql_url), (postgresql_url, mariadb_url), (mariadb_url, last)):
        report = mirror(source, target, store)
        assert [] == report.problems
        assert report.complete

    assert compared(first) == compared(last)
