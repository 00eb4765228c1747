"""The whole way through real SQLite files: offload, offload again, restore; every cell byte for byte."""

import base64
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ocblob import BlobStore, Resolver, find_refs
from ocblob.cells import Column, Scope
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.digest import digest_of
from ocblob.hosts.detect import profile_of
from ocblob.offload import OffloadReport, offload
from ocblob.restore import RestoreReport, restore
from odd_cells import CELLS, MIN_CHARS, TALK, OddCell, documents, part, ref_url, url
from samples import BODY, DOC_SCHEMA, OPENCODE_SCHEMA, opened, payload

Rows = dict[str, tuple[str, bytes]]
"""The type and the bytes of each cell, by its row's name."""

pytestmark = [pytest.mark.many, pytest.mark.xdist_group("roundtrip")]  # each journey is made once for all of them
NAMES: Final = {f"row {number:03} {odd.name}": odd for number, odd in enumerate(CELLS)}
CANDIDATES: Final = tuple(odd for odd in CELLS if odd.is_candidate)
VALUE_SQL: Final = {
    "text": "CAST(?2 AS TEXT)",
    "blob": "?2",
    "null": "nullif(?2, ?2)",
    "integer": "CAST(?2 AS INTEGER)",
    "real": "CAST(CAST(?2 AS TEXT) AS REAL)",
}
OPENCODE_ROW: Final = "INSERT INTO part VALUES (?1, 'msg', 'ses', 1, 2, {})"
GENERIC_ROW: Final = "INSERT INTO notes (name, body) VALUES (?1, {})"
TRIGGER: Final = (
    "CREATE TRIGGER look AFTER UPDATE ON doc BEGIN INSERT INTO log VALUES (json_extract(new.body, '$.filename')); END"
)
GENERIC_SCHEMA: Final = "CREATE TABLE notes (number INTEGER PRIMARY KEY, name TEXT, body, done INTEGER DEFAULT 7)"


@dataclass(frozen=True, slots=True)
class Kind:
    """One sort of database file."""

    page_size: int
    journal: str
    table: str
    """`part` of OpenCode, or one that is named with `--table`."""

    def __str__(self) -> str:
        return f"{self.table}-{self.page_size}-{self.journal}"

    def make(self, path: Path) -> None:
        """A database with every odd cell in a row of its own."""
        with opened(path) as db:
            db.execute(f"PRAGMA page_size={self.page_size}; PRAGMA synchronous=OFF").fetchall()
            db.execute(f"PRAGMA journal_mode={self.journal}").fetchall()
            if self.table == "part":
                db.execute(OPENCODE_SCHEMA.replace("data TEXT NOT NULL", "data TEXT")).fetchall()
                db.execute("INSERT INTO session VALUES ('ses', NULL, 'talk', 1, 2)")
                db.execute("INSERT INTO message VALUES ('msg', 'ses', 1, 2, '{}')")
            else:
                db.execute(GENERIC_SCHEMA)
            row = OPENCODE_ROW if self.table == "part" else GENERIC_ROW
            with db:
                for name, odd in NAMES.items():
                    db.execute(row.format(VALUE_SQL[odd.type]), (name, odd.data))

    def rows(self, path: Path) -> Rows:
        """Every odd cell as it is now."""
        sql = (
            "SELECT id, typeof(data), CAST(data AS BLOB) FROM part"
            if self.table == "part"
            else "SELECT name, typeof(body), CAST(body AS BLOB) FROM notes"
        )
        with opened(path) as db:
            return {str(name): (str(kind), bytes(value or b"")) for name, kind, value in db.execute(sql)}

    def columns(self, database: SQLiteDatabase) -> tuple[Column, ...]:
        """As the host profile, or `--table`, names them."""
        return profile_of(database.tables(), () if self.table == "part" else ("notes:body",)).columns


KINDS: Final = [
    Kind(512, "wal", "part"),
    Kind(512, "delete", "notes"),
    Kind(4096, "wal", "notes"),
    Kind(4096, "delete", "part"),
    Kind(65_536, "wal", "part"),
    Kind(65_536, "delete", "notes"),
]


@dataclass(frozen=True, slots=True)
class Journey:
    """What a database went through."""

    store: Path
    before: Rows
    out: OffloadReport
    offloaded: Rows
    again: OffloadReport
    after_again: Rows
    back: RestoreReport
    restored: Rows
    elsewhere: tuple[list[tuple[object, ...]], list[tuple[object, ...]]]
    """Everything but the odd cells, before and at the end."""
    integrity: object


@pytest.fixture(scope="module", params=KINDS, ids=str)
def journey(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Journey:
    """A database of one kind that was offloaded twice and restored."""
    kind: Kind = request.param
    root = tmp_path_factory.mktemp("journey")
    path, where = root / "odd.db", root / "store"
    kind.make(path)
    before, elsewhere = kind.rows(path), everything_else(path)
    out = offloaded(kind, path, where)
    went = kind.rows(path)
    again = offloaded(kind, path, where)
    after_again = kind.rows(path)
    with SQLiteDatabase(path) as database, BlobStore.open(where) as store:
        back = restore(database, store, kind.columns(database), scope=Scope())
    with opened(path) as db:
        integrity = db.execute("PRAGMA integrity_check").get
        assert kind.journal == db.execute("PRAGMA journal_mode").get
        assert kind.page_size == db.execute("PRAGMA page_size").get
    ends = (elsewhere, everything_else(path))
    return Journey(where, before, out, went, again, after_again, back, kind.rows(path), ends, integrity)


def offloaded(kind: Kind, path: Path, where: Path) -> OffloadReport:
    """One offload at the default minimum."""
    with SQLiteDatabase(path) as database, BlobStore.create(where)[0] as store:
        return offload(database, store, kind.columns(database), scope=Scope())


def everything_else(path: Path) -> list[tuple[object, ...]]:
    """The schema, and every value that no pass may touch."""
    with opened(path) as db:
        found = list(db.execute("SELECT type, name, sql FROM sqlite_schema ORDER BY name"))
        for table in ("session", "message", "event"):
            if any(name == table for _, name, _ in found):
                found += list(db.execute(f"SELECT * FROM {table}"))
        if any(name == "part" for _, name, _ in found):
            found += list(db.execute("SELECT id, message_id, session_id, time_created, time_updated FROM part"))
        else:
            found += list(db.execute("SELECT number, name, done FROM notes"))
    return found


def expected_stays(odds: tuple[OddCell, ...]) -> dict[str, int]:
    """How many payloads stay for each reason."""
    return dict(Counter(reason.value for odd in odds for reason in odd.stays))


def test_offload_moves_exactly_what_is_expected(journey: Journey) -> None:
    """Of every odd cell the expected payloads move, the others are counted with their reasons, and nothing fails."""
    moves = sum(odd.moves for odd in CANDIDATES)
    assert ([], 0, 0) == (journey.out.problems, journey.out.failed, journey.out.changed)
    assert (moves, len(CANDIDATES)) == (journey.out.payloads, journey.out.cells)
    assert sum(odd.moves > 0 for odd in CANDIDATES) == journey.out.cells_swapped
    assert expected_stays(CANDIDATES) == journey.out.inline
    assert sum(odd.refs for odd in CANDIDATES) == journey.out.refs
    assert journey.out.complete


def test_offload_touches_only_cells_with_payloads(journey: Journey) -> None:
    """A cell from which nothing moves keeps every byte; one from which something does keeps its type."""
    for name, odd in NAMES.items():
        before, after = journey.before[name], journey.offloaded[name]
        if odd.is_candidate and odd.moves:
            assert before[0] == after[0]
            assert len(after[1]) < len(before[1])
            assert odd.moves + odd.refs == len(find_refs(after[1]))
        else:
            assert before == after


def test_resolver_gives_every_offloaded_cell_back(journey: Journey) -> None:
    """What a host gets from the resolver is each cell as it was before, byte for byte."""
    with Resolver(journey.store) as resolver:
        for name, (_, data) in journey.before.items():
            assert data == resolver.rehydrate(journey.offloaded[name][1], missing="keep")


def test_store_holds_each_blob_once(journey: Journey) -> None:
    """A payload that stands in many places is one blob."""
    named = {ref.digest for _, data in journey.offloaded.values() for ref in find_refs(data)}
    with BlobStore.open(journey.store) as store:
        held = {digest for digest, _ in store.objects()}
    assert held <= named
    assert journey.out.blobs_new == len(held)


def test_second_offload_moves_nothing(journey: Journey) -> None:
    """Offloading again finds only refs and what stays, and changes no cell."""
    assert (0, 0, 0) == (journey.again.payloads, journey.again.cells_swapped, journey.again.blobs_new)
    assert ([], 0) == (journey.again.problems, journey.again.failed)
    assert journey.offloaded == journey.after_again


def test_restore_gives_every_cell_back(journey: Journey) -> None:
    """After a restore each cell has the type and the bytes it had before, and the file is sound."""
    for name, expected in journey.before.items():
        assert (name, expected) == (name, journey.restored[name])
    assert journey.before.keys() == journey.restored.keys()
    assert "ok" == journey.integrity


def test_restore_counts_what_it_put_back(journey: Journey) -> None:
    """Every payload that moved is put back, and nothing fails."""
    assert sum(odd.moves for odd in CANDIDATES) == journey.back.refs_restored
    assert journey.out.cells_swapped == journey.back.cells_restored
    assert (0, 0) == (journey.back.failed, journey.back.changed)


def test_forged_refs_stay_and_are_counted(journey: Journey) -> None:
    """Refs that nothing resolves are counted with their reason, and make the restore incomplete."""
    foreign = sum(odd.foreign for odd in CELLS)
    missing = sum(odd.refs for odd in CELLS) - foreign
    assert {"missing": missing, "foreign": foreign} == journey.back.unresolved
    assert not journey.back.complete


def test_nothing_else_in_the_file_changes(journey: Journey) -> None:
    """Schema, other columns and other tables, times of change too, are as they were."""
    before, after = journey.elsewhere
    assert before == after


def test_corpus_is_large_and_its_names_differ() -> None:
    """Every odd cell has a name of its own, and most of them are looked into."""
    assert len(CELLS) == len({odd.name for odd in CELLS})
    assert len(CANDIDATES) > 120


# One database at a time


@dataclass(frozen=True, slots=True)
class Place:
    """A database with the table `doc`, and where its store is."""

    path: Path
    store: Path

    def fill(self, cells: list[bytes], *, schema: str = DOC_SCHEMA) -> None:
        """Make it, a row for each cell."""
        with opened(self.path) as db:
            db.execute("PRAGMA journal_mode=wal; PRAGMA synchronous=OFF").fetchall()
            db.execute(schema).fetchall()
            with db:
                db.executemany("INSERT INTO doc (body) VALUES (CAST(? AS TEXT))", [(cell,) for cell in cells])

    def cells(self) -> list[bytes]:
        """What stands there now."""
        with opened(self.path) as db:
            return [bytes(cell) for (cell,) in db.execute("SELECT CAST(body AS BLOB) FROM doc ORDER BY id")]

    def offload(self, min_chars: int = MIN_CHARS) -> OffloadReport:
        """One pass."""
        with self.both() as (database, store):
            return offload(database, store, (BODY,), scope=Scope(), min_chars=min_chars)

    def restore(self) -> RestoreReport:
        """Everything back."""
        with self.both() as (database, store):
            return restore(database, store, (BODY,), scope=Scope())

    @contextlib.contextmanager
    def both(self) -> Iterator[tuple[SQLiteDatabase, BlobStore]]:
        """The database and the store, opened."""
        with SQLiteDatabase(self.path) as database, BlobStore.create(self.store)[0] as store:
            yield database, store


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty place."""
    return Place(tmp_path / "doc.db", tmp_path / "store")


@pytest.fixture(scope="module")
def growing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store for all examples: what one has put, another finds."""
    return tmp_path_factory.mktemp("growing") / "store"


@settings(deadline=None, max_examples=25)
@given(cells=st.lists(documents(), min_size=1, max_size=12), min_chars=st.sampled_from([1, 400, 900]))
def test_any_documents_come_back(growing: Path, cells: list[bytes], min_chars: int) -> None:
    """For any JSON and any placement of payloads, what restore puts back is what offload found."""
    with TemporaryDirectory() as root:
        place = Place(Path(root) / "doc.db", growing)
        place.fill(cells)
        out = place.offload(min_chars)
        changed = sum(before != after for before, after in zip(cells, place.cells(), strict=True))
        assert (out.cells_swapped, 0) == (changed, out.failed)
        assert out.payloads == place.restore().refs_restored
        assert cells == place.cells()


def test_ref_whose_blob_is_there_is_counted_and_resolved(place: Place) -> None:
    """A placeholder that a user attached again is a ref: it stays out of the way, and a restore gives the real file."""
    data = payload(9000)
    copied = part(ref_url(digest_of(data), len(data)))
    full = part(b"data:image/png;base64," + base64.b64encode(data))
    place.fill([full, copied, b" " * 9000 + copied])
    out = place.offload()
    assert (1, 1) == (out.payloads, out.refs)
    back = place.restore()
    assert (3, {}) == (back.refs_restored, back.unresolved)
    assert [full, full, b" " * 9000 + full] == place.cells()


@pytest.mark.parametrize(
    ("column", "more"),
    [
        ("TEXT CHECK (json_valid(body))", ""),
        ("TEXT UNIQUE", ""),
        ("TEXT", "CREATE INDEX doc_body ON doc (body)"),
        ("TEXT", "CREATE INDEX doc_type ON doc (json_extract(body, '$.type'))"),
        ("TEXT", f"CREATE TABLE log (seen TEXT); {TRIGGER}"),
        ("VARCHAR(10)", ""),
        ("TEXT NOT NULL", ""),
    ],
    ids=["check", "unique", "index", "expression", "trigger", "varchar", "not null"],
)
def test_large_cells_come_back_whatever_watches_them(place: Place, column: str, more: str) -> None:
    """A cell of several MiB goes out and back under checks, indexes and triggers, which see only what is whole."""
    cells = [part(url(number, chars=chars)) for number, chars in enumerate((6_000_000, 9000, 5_600_000))]
    place.fill(cells, schema=f"CREATE TABLE doc (id INTEGER PRIMARY KEY, body {column}); {more}")
    assert (3, 0) == ((out := place.offload()).payloads, out.failed)
    assert (3, 0) == ((back := place.restore()).refs_restored, back.failed)
    assert cells == place.cells()
    with opened(place.path) as db:
        assert "ok" == db.execute("PRAGMA integrity_check").get
        if "TRIGGER" in more:
            assert [("a.png", 6)] == list(db.execute("SELECT seen, count(*) FROM log GROUP BY seen"))


def test_text_that_a_host_adds_does_not_bar_a_restore(place: Place) -> None:
    """A cell that grew by megabytes of text after its payload moved out gets the payload back all the same."""
    place.fill([part(url(1))])
    place.offload()
    (cell,) = place.cells()
    words = json.dumps({"words": (TALK * 200_000).decode()}).encode()
    with opened(place.path) as db:
        db.execute("UPDATE doc SET body=CAST(? AS TEXT)", (b"[" + cell + b"," + words + b"]",))
    assert 1 == place.restore().refs_restored
    assert [b"[" + part(url(1)) + b"," + words + b"]"] == place.cells()


def test_rows_that_a_host_inserts_meanwhile_are_no_failure(place: Place) -> None:
    """A row that appears during a pass is taken by it or by the next one; nothing is reported as wrong."""
    place.fill([part(b"x" * 9000)] * 700)
    with opened(place.path) as host, place.both() as (database, store):
        inserted: list[object] = []

        def insert(_size: int) -> None:
            if not inserted:
                inserted.append(host.execute("INSERT INTO doc (body) VALUES (CAST(? AS TEXT))", (part(url(1)),)).get)

        out = offload(database, store, (BODY,), scope=Scope(), progress=insert)
    assert (0, 0, []) == (out.failed, out.changed, out.problems)
    assert 1 == out.payloads + place.offload().payloads


def test_cells_that_a_host_changes_meanwhile_keep_its_words(place: Place) -> None:
    """A cell that changes, or goes, between the look and the swap ends as the host wrote it, its payload moved."""
    cells = [part(url(number)) for number in range(40)]
    place.fill(cells)
    with opened(place.path) as host, place.both() as (database, store):
        seen: list[int] = []

        def meddle(_size: int) -> None:
            seen.append(1)
            if len(seen) == 10:
                host.execute("UPDATE doc SET body=replace(body, 'a.png', 'b.png') WHERE id<=5")
                host.execute("DELETE FROM doc WHERE id=6")
                host.execute("UPDATE doc SET body=NULL WHERE id=7")

        out = offload(database, store, (BODY,), scope=Scope(), progress=meddle)
    assert (38, 0) == (out.payloads, out.failed)
    place.restore()
    expected = [cell.replace(b"a.png", b"b.png") if number < 5 else cell for number, cell in enumerate(cells)]
    with opened(place.path) as db:
        found = dict(db.execute("SELECT id, CAST(body AS BLOB) FROM doc"))
    assert {number: cell for number, cell in enumerate(expected, 1) if number not in {6, 7}} | {7: None} == found


@pytest.mark.parametrize("at", [1, 150, 500])
def test_interrupted_pass_loses_nothing(place: Place, at: int) -> None:
    """A pass that ends by an error at any cell raises just that error, and every cell can be restored."""
    cells = [part(url(number % 300)) for number in range(600)]
    place.fill(cells)

    class InterruptError(Exception):
        """What stops the pass."""

    seen: list[int] = []

    def stop(_size: int) -> None:
        seen.append(1)
        if len(seen) == at:
            raise InterruptError

    with place.both() as (database, store), pytest.raises(InterruptError):
        offload(database, store, (BODY,), scope=Scope(), progress=stop)
    with Resolver(place.store) as resolver:
        assert cells == [resolver.rehydrate(cell) for cell in place.cells()]
    assert (0, []) == ((out := place.offload()).failed, out.problems)
    assert 600 == place.restore().refs_restored
    assert cells == place.cells()


def test_a_forged_ref_of_any_size_breaks_nothing(place: Place) -> None:
    """Refs with absurd sizes are counted as missing, each of them, and their cells stay."""
    cells = [part(ref_url("9c" * 32, size)) for size in (0, 1, 2**31, 2**40, 2**53 - 1)]
    place.fill(cells)
    assert {"missing": 5} == place.restore().unresolved
    assert cells == place.cells()


def test_lock_of_another_writer_is_said(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody holds the write lock for longer than we wait, the pass ends with that error and no change."""
    from ocblob.databases.sqlite import connection
    from ocblob.errors import DatabaseLockedError

    monkeypatch.setattr(connection, "BUSY_TIMEOUT_MS", 50)
    place.fill([part(url(1))])
    with opened(place.path) as host, place.both() as (database, store):
        host.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseLockedError):
            offload(database, store, (BODY,), scope=Scope())
        host.execute("ROLLBACK")
    assert [part(url(1))] == place.cells()
    assert 1 == place.offload().payloads
