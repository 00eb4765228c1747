"""What every database that sessions are mirrored to must do, and values of every kind to do it with."""

import threading
from collections.abc import Sequence
from dataclasses import replace

import pytest

from ocblob.cells import OwnedTable
from ocblob.databases.mirror_rows import MirroredSession
from ocblob.databases.opening import HostDatabase
from ocblob.databases.session_rows import ColumnDefinition, Row, TableDefinition, Value
from ocblob.errors import DatabaseError
from session_contracts import (
    COLUMNS,
    TREE,
    Kind,
    Plain,
    content,
    copied,
    delete,
    digest,
    everything,
    facts,
    plain,
    put,
    remade,
    row,
    session_rows,
)

LARGE_BYTES = 3_000_000
"""More than goes in as one value."""
KINDS = OwnedTable("kinds", "session_id")
KINDS_TREE = replace(TREE, owned=(*TREE.owned, KINDS))
KINDS_COLUMNS = ("id", "session_id", "words", "number", "share", "anything")
NUMBERS: tuple[Plain, ...] = (0, -1, 2**63 - 1, -(2**63), 0.1 + 0.2, 1e308, 5e-324, -0.0, float("inf"), float("-inf"))
TEXTS: tuple[Plain, ...] = (
    ("text", b""),
    ("text", b"trailing "),
    ("text", "sp\u00e4\u00df \U0001f600 \ufffe \u2028".encode()),
    ("text", b"with \0 in it"),
    ("text", b"no UTF-8: \xff\xfe \xed\xa0\x80"),
    ("text", b"'quoted' \\ \"%s\" :name"),
    ("blob", b""),
    ("blob", bytes(range(256))),
    ("blob", b"looks like a text"),
)
ODD: dict[str, tuple[Plain, ...]] = {
    "words": TEXTS,
    # What SQLite leaves as it is in a column of integers: no text that looks like a number.
    "number": (2**63 - 1, -(2**63), 0, 0.5, 5e-324, float("inf"), *TEXTS),
    "share": (0.1 + 0.2, 1e308, 5e-324, -5e-324, 1.7976931348623157e308, float("-inf"), 1.0, *TEXTS),
    "anything": (*NUMBERS, *TEXTS),
}
"""Values of each column that SQLite holds there."""


def definitions(*, tables: Sequence[str] = tuple(COLUMNS)) -> list[TableDefinition]:
    """Of the tables of the contract."""
    return [_definition(table) for table in tables]


def _definition(table: str) -> TableDefinition:
    numbers = {"seq", "time_created", "time_updated"}
    names = COLUMNS[table]
    return TableDefinition(
        table,
        tuple(
            ColumnDefinition(
                name,
                "integer" if name in numbers else "real" if name == "cost" else "text",
                key=int(name == names[0]),
                indexed=name.endswith("_id"),
            )
            for name in names
        ),
    )


def kinds() -> TableDefinition:
    """Of a table with a column of each affinity."""
    return TableDefinition(
        "kinds",
        (
            ColumnDefinition("id", "text", key=1),
            ColumnDefinition("session_id", "text", indexed=True),
            ColumnDefinition("words", "text"),
            ColumnDefinition("number", "integer"),
            ColumnDefinition("share", "real"),
            ColumnDefinition("anything", "blob"),
        ),
    )


def odd_rows() -> list[Row]:
    """Rows of `kinds`, each with one value that is not a common one, and rowids in another order than their keys."""
    rows = list[Row]()
    for column, values in ODD.items():
        for number, value in enumerate(values):
            cells: dict[str, Plain] = {"words": ("text", b"w"), "number": 1, "share": 1.5, "anything": None}
            cells[column] = value
            key = content(f"{column}_{number:03}")
            rows.append(Row(1000 - len(rows), (key, content("one"), *remade(list(cells.values())))))
    return rows


def mirror(target: HostDatabase, rows: Sequence[tuple[str, tuple[str, ...], Row]], *, digest: str = "d") -> None:
    """Put rows; what the digest of a row is, is nobody's business here."""
    with target.mirror_writer() as writer:
        for table, columns, found in rows:
            writer.put(table, columns, found, digest)


def rows_of(target: HostDatabase, table: OwnedTable, session: str) -> list[tuple[int | None, tuple[Plain, ...]]]:
    """Rows with where they lie."""
    with target.snapshot() as state:
        return [(found.rowid, tuple(map(_exact, found.values))) for found in state.rows(table, session)]


def expected(rows: Sequence[Row]) -> list[tuple[int | None, tuple[Plain, ...]]]:
    """The same of rows in memory: they lie by their rowids."""
    return [(found.rowid, tuple(map(_exact, found.values))) for found in sorted(rows, key=lambda row: row.rowid or 0)]


def _exact(value: Value) -> Plain:
    """As it can be compared: a zero with a sign is another one."""
    return ("text", value.hex().encode()) if isinstance(value, float) else plain(value)


def record(session: str, **changes: object) -> MirroredSession:
    """What a mirror notes."""
    made = MirroredSession(
        session, "ab" * 32, 9, 9, 2**40, 1_700_000_000_000, "machine:/a/b", 1, columns={"part": COLUMNS["part"]}
    )
    return replace(made, **changes)  # type: ignore[arg-type]


def with_rowids(rows: Sequence[tuple[str, tuple[str, ...], Row]]) -> list[tuple[str, tuple[str, ...], Row]]:
    """Rows that lie somewhere."""
    return [(table, columns, Row(number + 1, found.values)) for number, (table, columns, found) in enumerate(rows)]


class MirrorRowsContract:
    """Every database that sessions go to; a subclass gives a fixture `target`, which is empty."""

    def test_tables_are_made_once(self, target: HostDatabase) -> None:
        """What was made is told; made again, it is nothing."""
        said = target.prepare(definitions())
        assert all(any(table in words for words in said) for table in COLUMNS)
        assert [] == target.prepare(definitions())
        assert set(COLUMNS) == set(target.tables())
        assert {table: set(names) for table, names in COLUMNS.items()} == {
            table: set(names) for table, names in target.tables().items()
        }
        with target.snapshot() as state:
            assert (COLUMNS["part"], ("id",)) == (state.shape("part").columns, state.shape("part").key)
            assert [(each.name, each.affinity) for each in definitions()[1].columns] == [
                (each.name, each.affinity) for each in state.definition("session").columns
            ]

    def test_rows_are_there_as_they_were_put(self, target: HostDatabase) -> None:
        """With their rowids, their marks and in their order; other sessions' rows are not among them."""
        target.prepare(definitions())
        rows = with_rowids(session_rows("one", data="sp\u00e4\u00df".encode(), parts=60))
        mirror(target, [*rows, *session_rows("two")])
        for owned in TREE.owned:
            mine = [found for table, _, found in rows if table == owned.table]
            assert expected(mine) == rows_of(target, owned, "one")
            if target.keeps_records:
                assert [((plain(found.values[0]),), found.rowid, "d") for found in mine] == [
                    (tuple(map(plain, mark.key)), mark.rowid, mark.digest)
                    for mark in target.marks(TREE, owned.table, "one")
                ]
        assert {"one": 123, "two": 9} == {name: found.rows for name, found in facts(target).items()}

    def test_row_takes_the_place_of_the_one_with_its_key(self, target: HostDatabase) -> None:
        """And rows that are removed are gone; what is removed and not there is no trouble."""
        target.prepare(definitions())
        rows = session_rows("one")
        mirror(target, rows)
        new = row("prt_one_1", "msg_one", "one", 1, 7, "new", rowid=5)
        with target.mirror_writer() as writer:
            writer.put("part", COLUMNS["part"], new, "other")
            for gone in ("prt_one_2", "prt_one_9"):
                writer.remove("part", [content(gone)])
        parts = everything(target, "one")["part"]
        assert {b"prt_one_0": b"{}", b"prt_one_1": b"new"} == {values[0][1]: values[-1][1] for values in parts}  # type: ignore[index]

    def test_row_that_is_put_and_removed_is_gone(self, target: HostDatabase) -> None:
        """What was said last holds, also within one transaction."""
        target.prepare(definitions())
        with target.mirror_writer() as writer:
            for table, columns, found in session_rows("one"):
                writer.put(table, columns, found, "d")
            writer.remove("part", [content("prt_one_0")])
            writer.remove("part", [content("prt_one_1")])
            writer.put("part", COLUMNS["part"], row("prt_one_1", "msg_one", "one", 1, 1, "again"), "d")
        parts = everything(target, "one")["part"]
        assert {b"prt_one_1": b"again", b"prt_one_2": b"{}"} == {values[0][1]: values[-1][1] for values in parts}  # type: ignore[index]

    def test_records_are_kept(self, target: HostDatabase) -> None:
        """Each session's last one, with everything in it; where none are kept there are none."""
        target.prepare(definitions())
        with target.mirror_writer() as writer:
            writer.record(record("one"))
            writer.record(record("two", source_used_ms=None))
            writer.record(record("one", rows=10, digest="cd" * 32))
        expected = [record("one", rows=10, digest="cd" * 32), record("two", source_used_ms=None)]
        assert (expected if target.keeps_records else []) == list(target.records())

    def test_values_of_every_kind_come_back(self, target: HostDatabase) -> None:
        """Type for type, byte for byte, in the order of their rowids; found by their keys too."""
        target.prepare([*definitions(), kinds()])
        rows = odd_rows()
        mirror(target, [("kinds", KINDS_COLUMNS, found) for found in rows])
        assert expected(rows) == rows_of(target, KINDS, "one")
        with target.snapshot() as state:
            for made in rows:
                found = state.find("kinds", [made.values[0]])
                assert found is not None
                assert expected([made]) == expected([found])

    def test_odd_values_go_with_their_rows(self, target: HostDatabase) -> None:
        """One that is replaced by a common one, or removed, leaves nothing behind; neither does a session."""
        target.prepare([*definitions(), kinds()])
        rows = odd_rows()
        mirror(target, [("kinds", KINDS_COLUMNS, found) for found in rows])
        common = [Row(found.rowid, (*found.values[:2], *remade([("text", b"x"), 1, 2.5, None]))) for found in rows]
        with target.mirror_writer() as writer:
            for found in common[1::2]:
                writer.put("kinds", KINDS_COLUMNS, found, "d")
        mixed = [common[number] if number % 2 else found for number, found in enumerate(rows)]
        assert expected(mixed) == rows_of(target, KINDS, "one")
        put(target, session_rows("one"))
        result = target.delete_sessions(KINDS_TREE, ["one"], unchanged=lambda _: True)
        assert len(rows) + 9 == result.rows
        with target.mirror_writer() as writer:
            for found in common:
                writer.put("kinds", KINDS_COLUMNS, found, "d")
        assert expected(common) == rows_of(target, KINDS, "one")

    @pytest.mark.parametrize(
        ("column", "kind", "unit"),
        [
            ("words", "text", "sp\u00e4\u00df ".encode()),
            ("words", "text", b"\0zero"),
            ("words", "text", b"\xff"),
            ("anything", "blob", b"\0\xff"),
        ],
    )
    def test_large_values_come_back(self, target: HostDatabase, column: str, kind: Kind, unit: bytes) -> None:
        """Those that their column holds and those that it does not; put again, they are others."""
        target.prepare([*definitions(), kinds()])
        for data in (unit * (LARGE_BYTES // len(unit)), unit * (LARGE_BYTES // len(unit) + 1)):
            cells: dict[str, Plain] = {"words": ("text", b"w"), "number": 1, "share": 1.5, "anything": None}
            cells[column] = (kind, data)
            made = Row(3, (content("k"), content("one"), *remade(list(cells.values()))))
            mirror(target, [("kinds", KINDS_COLUMNS, made)])
            assert expected([made]) == rows_of(target, KINDS, "one")

    def test_sessions_are_read_deleted_and_put_in(self, target: HostDatabase) -> None:
        """What was mirrored is a database of sessions as any other is."""
        target.prepare(definitions())
        mirror(target, with_rowids(session_rows("one")))
        mirror(target, session_rows("two"))
        before = digest(target, "one")
        with target.snapshot() as state:
            rows = copied(state, "one")
        delete(target, "one")
        assert {"two"} == set(facts(target))
        put(target, rows)
        assert before == digest(target, "one")
        if target.keeps_records:
            # Nobody knows the digests of rows that no mirror put.
            assert [""] * 3 == [mark.digest for mark in target.marks(TREE, "part", "one")]

    def test_record_of_a_deleted_session_is_gone(self, target: HostDatabase) -> None:
        """Or the next mirror would take it for there."""
        target.prepare(definitions())
        mirror(target, session_rows("one"))
        with target.mirror_writer() as writer:
            writer.record(record("one"))
            writer.record(record("two"))
        delete(target, "one")
        assert (["two"] if target.keeps_records else []) == [found.session for found in target.records()]

    def test_row_that_cannot_go_in_is_named(self, target: HostDatabase) -> None:
        """A column that is not there is told."""
        target.prepare(definitions())
        with pytest.raises(DatabaseError, match="colour"):
            mirror(target, [("part", ("id", "colour"), row("p", "red"))])


class OwnMirrorContract:
    """A database that is nothing but a mirror, with records; a subclass gives a fixture `target`, which is empty."""

    def test_columns_that_a_source_gained_are_added(self, target: HostDatabase) -> None:
        """Rows from before have nothing there; a source without the column is no reason to lose it."""
        target.prepare(definitions())
        mirror(target, session_rows("old"))
        (part,) = definitions(tables=["part"])
        wider = replace(part, columns=(*part.columns, ColumnDefinition("colour", "text")))
        said = target.prepare([wider])
        assert 1 == len(said)
        assert "colour" in said[0]
        assert [] == target.prepare([wider])
        assert [] == target.prepare([part])
        columns = (*COLUMNS["part"], "colour")
        mirror(target, [("part", columns, row("prt_new", "msg_new", "new", 1, 1, "{}", "red"))])
        with target.snapshot() as state:
            assert columns == state.shape("part").columns
            assert columns == tuple(each.name for each in state.definition("part").columns)
        assert [("text", b"red")] == [values[-1] for values in everything(target, "new")["part"]]
        assert [None] * 3 == [values[-1] for values in everything(target, "old")["part"]]

    def test_keys_may_be_odd(self, target: HostDatabase) -> None:
        """SQLite has values of any type and any length in a key; rows are found, marked and removed by them."""
        target.prepare([*definitions(), kinds()])
        keys: list[Plain] = [("text", b"k"), ("text", b"K"), ("text", b"k "), ("text", b"\xff"), ("blob", b"k"), 7]
        keys += [("text", b"\0"), ("text", "\u00e4".encode() * 255), ("text", "\u00e4".encode() * 300_000)]
        rows = [
            Row(number, (*remade([key]), content("one"), *remade([("text", b"w"), 1, 1.5, None])))
            for number, key in enumerate(keys)
        ]
        for _ in range(2):
            mirror(target, [("kinds", KINDS_COLUMNS, found) for found in rows])
            assert expected(rows) == rows_of(target, KINDS, "one")
        marks = list(target.marks(KINDS_TREE, "kinds", "one"))
        assert [(key,) for key in keys] == [tuple(map(plain, mark.key)) for mark in marks]
        with target.snapshot() as state, target.mirror_writer() as writer:
            for made in rows:
                found = state.find("kinds", made.values[:1])
                assert found is not None
                assert expected([made]) == expected([found])
                writer.remove("kinds", found.values[:1])
        assert [] == rows_of(target, KINDS, "one")

    def test_row_without_a_whole_key_is_refused(self, target: HostDatabase) -> None:
        """SQLite has nulls in a key, and nobody finds them; the rows beside it are in."""
        target.prepare(definitions())
        without = row(None, "msg_one", "one", 1, 1, "{}")
        with pytest.raises(DatabaseError, match="part"):
            mirror(target, [*session_rows("one"), ("part", COLUMNS["part"], without)])

    def test_two_mirrors_at_once_put_whole_rows(self, target: HostDatabase) -> None:
        """Each row is there once, of one of the two; nobody fails for the other's sake."""
        failed: list[Exception] = []

        def work(word: bytes) -> None:
            try:
                target.prepare(definitions())
                for name in ("one", "two"):
                    rows = session_rows(name, data=word, parts=200)
                    mirror(target, rows if word == b"a" else rows[::-1], digest=word.decode())
            except Exception as error:  # noqa: BLE001 - it is looked at below
                failed.append(error)

        threads = [threading.Thread(target=work, args=(word,)) for word in (b"a", b"b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [] == failed
        for name in ("one", "two"):
            parts = everything(target, name)["part"]
            assert 200 == len(parts)
            marks = [mark.digest.encode() for mark in target.marks(TREE, "part", name)]
            assert [values[-1] for values in parts] == [("text", mark) for mark in marks]
