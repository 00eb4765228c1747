import contextlib
import stat
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from ocblob.digest import digest_of
from ocblob.errors import StoreFormatError, StoreLockedError, StoreUnavailableError
from ocblob.store.catalog import SCHEMA_VERSION, Catalog, State, Totals
from processes import Neighbour, finish, spawn
from samples import opened

STORE_ID = "0f" * 16
ONE, TWO, THREE = sorted(digest_of(name) for name in (b"one", b"two", b"three"))


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """A new one."""
    with closing(Catalog(tmp_path / "catalog.sqlite", store_id=STORE_ID)) as catalog:
        yield catalog


def enter(catalog: Catalog, *digests: str) -> None:
    """Enter blobs as live."""
    with catalog.transaction():
        for digest in digests:
            catalog.put(digest, size=100, stored_size=60)


def states(catalog: Catalog) -> dict[str, State]:
    """The state of every blob."""
    return {row.digest: row.state for row in catalog.blobs()}


def test_a_commit_is_durable(catalog: Catalog) -> None:
    """The catalog is in WAL mode, and each of its commits is synced in full."""
    assert "wal" == catalog._db.execute("PRAGMA journal_mode").get
    assert 2 == catalog._db.execute("PRAGMA synchronous").get
    assert 1 == catalog._db.execute("PRAGMA fullfsync").get


def test_is_private(catalog: Catalog) -> None:
    """Only its owner can read a catalog and its WAL."""
    enter(catalog, ONE)

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in catalog.path.parent.iterdir()}

    assert dict.fromkeys(("catalog.sqlite", "catalog.sqlite-shm", "catalog.sqlite-wal"), 384) == modes


def test_knows_what_was_entered(catalog: Catalog) -> None:
    """A blob that was entered is live, with its sizes, since now; another one is unknown."""
    before = int(time.time())
    enter(catalog, ONE)

    row = catalog.get(ONE)

    assert row is not None
    assert (ONE, 100, 60, State.LIVE, "") == (row.digest, row.size, row.stored_size, row.state, row.generation)
    assert before <= row.since == row.used_at
    assert catalog.get(TWO) is None


def test_lists_blobs_in_order_over_pages(catalog: Catalog) -> None:
    """More blobs than a page holds are listed once each, in the order of their digests."""
    digests = [digest_of(number.to_bytes(4, "big")) for number in range(2500)]
    enter(catalog, *digests)

    assert sorted(digests) == [row.digest for row in catalog.blobs()]


def test_totals_are_of_live_blobs(catalog: Catalog) -> None:
    """Condemned blobs are counted apart."""
    enter(catalog, ONE, TWO, THREE)
    with catalog.transaction():
        catalog.change_state(TWO, State.LIVE, State.CONDEMNED, generation="g1")

    assert Totals(blobs=2, size=200, stored_size=120, held=120, condemned=60) == catalog.totals()


def test_an_error_undoes_a_transaction(catalog: Catalog) -> None:
    """What raises inside a transaction leaves nothing of it, and the next one goes on."""
    with contextlib.suppress(KeyError), catalog.transaction():
        catalog.put(ONE, size=1, stored_size=1)
        raise KeyError
    enter(catalog, TWO)

    assert {TWO: State.LIVE} == states(catalog)


@pytest.mark.parametrize("actual", list(State))
@pytest.mark.parametrize("expected", list(State))
def test_states_change_by_compare_and_swap(catalog: Catalog, actual: State, expected: State) -> None:
    """A state changes only from the one that is named."""
    enter(catalog, ONE)
    with catalog.transaction():
        catalog.change_state(ONE, State.LIVE, actual)
        done = catalog.change_state(ONE, expected, State.CORRUPT, generation="g1")

    assert (expected is actual) == done
    assert (State.CORRUPT if done else actual) is states(catalog)[ONE]


def test_a_blob_that_is_not_there_changes_no_state(catalog: Catalog) -> None:
    """Compare-and-swap on an unknown blob fails and enters nothing."""
    with catalog.transaction():
        done = catalog.change_state(ONE, State.LIVE, State.CONDEMNED)

    assert not done
    assert {} == states(catalog)


def test_a_put_makes_a_blob_live_and_used(catalog: Catalog) -> None:
    """Entering a blob again clears its old state and generation, and never moves its last use back."""
    enter(catalog, ONE)
    later = int(time.time()) + 50_000
    with catalog.transaction():
        catalog.change_state(ONE, State.LIVE, State.CONDEMNED, generation="g1")
    catalog.touch({ONE: later})
    enter(catalog, ONE)

    row = catalog.get(ONE)

    assert row is not None
    assert (State.LIVE, "", later) == (row.state, row.generation, row.used_at)


def test_last_use_is_coarse(catalog: Catalog) -> None:
    """A use within the hour after the noted one is not written; a later one is, an earlier one never."""
    enter(catalog, ONE)
    row = catalog.get(ONE)
    assert row is not None
    noted = []
    for at in (row.used_at + 3599, row.used_at + 3601, row.used_at - 9000, row.used_at + 9000):
        catalog.touch({ONE: at, TWO: at})
        now = catalog.get(ONE)
        assert now is not None
        noted.append(now.used_at - row.used_at)

    assert [0, 3601, 3601, 9000] == noted


def test_claims_belong_to_writers(catalog: Catalog) -> None:
    """A claim has an end and a writer; it can be extended, and dropping one writer's leaves the others'."""
    with catalog.transaction():
        catalog.set_claims([ONE, TWO], writer="a", until=100)
        catalog.set_claims([ONE], writer="b", until=300)
        catalog.set_claims([ONE], writer="a", until=200)

    before = (catalog.claimed_until(ONE, writer="a"), catalog.claimed_until(ONE), catalog.claimed_until(TWO))
    catalog.drop_claims(writer="b")
    after = (catalog.claimed_until(ONE, writer="a"), catalog.claimed_until(ONE), catalog.claimed_until(THREE))

    assert (200, 300, 100) == before
    assert (200, 200, 0) == after


def test_claims_of_the_dead_are_dropped(catalog: Catalog) -> None:
    """Dropping a writer's claims drops those of others, too, that have ended."""
    with catalog.transaction():
        catalog.set_claims([ONE], writer="dead", until=100)
        catalog.set_claims([TWO], writer="alive", until=900)

    catalog.drop_claims(writer="me", ended_before=500)

    assert (0, 900) == (catalog.claimed_until(ONE), catalog.claimed_until(TWO))


def test_what_was_verified_stays_so_while_it_is_claimed(catalog: Catalog) -> None:
    """A writer's verification holds through further claims, for that writer alone, until it drops them."""
    with catalog.transaction():
        catalog.set_claims([ONE, TWO], writer="a", until=100)
        catalog.set_claims([ONE], writer="b", until=100)
        catalog.set_verified([ONE], writer="a")
        catalog.set_claims([ONE, TWO], writer="a", until=200)

    assert [True, False, False] == [
        catalog.is_verified(digest, writer=writer) for digest, writer in ((ONE, "a"), (ONE, "b"), (TWO, "a"))
    ]
    catalog.drop_claims(writer="a")
    assert not catalog.is_verified(ONE, writer="a")


def test_a_removed_blob_is_unknown(catalog: Catalog) -> None:
    """Remove forgets a blob; removing it again is no error."""
    enter(catalog, ONE, TWO)
    for _ in range(2):
        with catalog.transaction():
            catalog.remove(ONE)

    assert {TWO: State.LIVE} == states(catalog)


def test_stays_when_it_is_opened_again(catalog: Catalog) -> None:
    """A second opening sees what the first one committed."""
    enter(catalog, ONE)

    with closing(Catalog(catalog.path, store_id=STORE_ID)) as again:
        assert {ONE: State.LIVE} == states(again)


def test_another_store_is_refused(catalog: Catalog) -> None:
    """A catalog opens only for the store that it was made for."""
    with pytest.raises(StoreFormatError, match="belongs to another store"):
        Catalog(catalog.path, store_id="1e" * 16)


def test_another_version_is_refused(catalog: Catalog) -> None:
    """A catalog of a later schema is left alone."""
    with opened(catalog.path) as db:
        db.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")

    with pytest.raises(StoreFormatError, match="another version"):
        Catalog(catalog.path, store_id=STORE_ID)


@pytest.mark.parametrize("damage", [b"no database at all" * 300, b"SQLite format 3\0" + b"\xa5" * 5000])
def test_garbage_is_refused(tmp_path: Path, damage: bytes) -> None:
    """A file of garbage is an error that says how to get a new catalog."""
    path = tmp_path / "catalog.sqlite"
    path.write_bytes(damage)

    with pytest.raises(StoreFormatError, match="damaged") as caught:
        Catalog(path, store_id=STORE_ID)

    assert "--rebuild-catalog" in caught.value.hint
    assert damage == path.read_bytes()


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """A catalog that cannot be made is unavailable."""
    with pytest.raises(StoreUnavailableError):
        Catalog(tmp_path / "none" / "catalog.sqlite", store_id=STORE_ID)


def test_a_lock_that_does_not_end_is_an_error(catalog: Catalog) -> None:
    """When another process keeps the catalog locked, the error comes as ours and nothing is half done."""

    def try_to_enter() -> None:
        with catalog.transaction(timeout_ms=20):
            catalog.put(ONE, size=100, stored_size=60)

    with Neighbour(catalog.path) as neighbour:
        neighbour.execute("BEGIN IMMEDIATE")

        with pytest.raises(StoreLockedError, match="locked"):
            try_to_enter()

        neighbour.execute("ROLLBACK")
    enter(catalog, TWO)

    assert {TWO: State.LIVE} == states(catalog)


def test_a_full_disk_is_an_error_in_words(catalog: Catalog) -> None:
    """When SQLite cannot grow the file, the error says so, and the catalog goes on afterwards."""
    enter(catalog, ONE)
    pages = int(str(catalog._db.execute("PRAGMA page_count").get))
    catalog._db.execute(f"PRAGMA max_page_count={pages}")

    with pytest.raises(StoreUnavailableError, match="full"):
        enter(catalog, *(digest_of(number.to_bytes(4, "big")) for number in range(2000)))
    catalog._db.execute("PRAGMA max_page_count=100000")
    enter(catalog, TWO)

    assert {ONE, TWO} == states(catalog).keys()


def test_threads_take_turns(catalog: Catalog) -> None:
    """Transactions of several threads on one catalog are all done, none in another's midst."""

    def work(number: int) -> None:
        digest = digest_of(number.to_bytes(4, "big"))
        with catalog.transaction():
            catalog.put(digest, size=number, stored_size=number)
            assert catalog.change_state(digest, State.LIVE, State.CONDEMNED)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(60)))

    assert [State.CONDEMNED] * 60 == list(states(catalog).values())


def test_a_read_only_catalog_reads(catalog: Catalog) -> None:
    """Opened for reading it answers, and a write is refused."""
    enter(catalog, ONE)

    with closing(Catalog(catalog.path, store_id=STORE_ID, read_only=True)) as reader:
        assert {ONE: State.LIVE} == states(reader)
        with pytest.raises(StoreUnavailableError):
            enter(reader, TWO)


def test_a_closed_catalog_leaves_one_file(tmp_path: Path) -> None:
    """Closing moves the WAL into the file."""
    with closing(Catalog(tmp_path / "catalog.sqlite", store_id=STORE_ID)) as catalog:
        enter(catalog, ONE)

    assert ["catalog.sqlite"] == [path.name for path in tmp_path.iterdir()]
    with closing(apsw.Connection(str(tmp_path / "catalog.sqlite"))) as db:
        assert 1 == db.execute("SELECT count(*) FROM blob").get


def test_held_bytes_are_counted_apart(catalog: Catalog) -> None:
    """What the local tier has of each blob is set by a put, noted later, and forgotten as a whole."""
    with catalog.transaction():
        catalog.put(ONE, size=100, stored_size=60)
        catalog.put(TWO, size=100, stored_size=60, held=0, version="v1")
    first = catalog.totals().held
    with catalog.transaction():
        catalog.set_held([(TWO, 60), (THREE, 60)])
    second = catalog.totals().held
    with catalog.transaction():
        catalog.clear_held()

    assert (60, 120, 0) == (first, second, catalog.totals().held)
    assert {ONE: "", TWO: "v1"} == {row.digest: row.version for row in catalog.blobs()}


def test_copies_are_known_by_place(catalog: Catalog) -> None:
    """An object in another place is known with its size and version, place by place, until it is dropped."""
    with catalog.transaction():
        catalog.set_copies("a", [(ONE, 60, "v1"), (TWO, 60, "v2")])
        catalog.set_copies("b", [(ONE, 60, "w1")])
        catalog.set_copies("a", [(ONE, 61, "v3")])
    known = [catalog.copy_version(ONE, place) for place in ("a", "b", "c")]
    with catalog.transaction():
        catalog.drop_copies([ONE])

    assert [(61, "v3"), (60, "w1"), None] == known
    assert [None, (60, "v2")] == [catalog.copy_version(digest, "a") for digest in (ONE, TWO)]


def test_notes_are_kept(catalog: Catalog) -> None:
    """A small value stays under its name, durably; what was not noted is empty."""
    catalog.set_note("check", "5")
    catalog.set_note("check", "6")
    with closing(Catalog(catalog.path, store_id=STORE_ID)) as again:
        assert ("6", "") == (again.note("check"), again.note("other"))


def test_a_voided_writer_has_verified_nothing(catalog: Catalog) -> None:
    """After something was taken away a writer's claims stand, and what it had verified counts no more."""
    enter(catalog, ONE)
    for writer in ("a", "b"):
        with catalog.transaction():
            catalog.set_claims([ONE], writer=writer, until=2**40)
            catalog.set_verified([ONE], writer=writer)
    catalog.void_verified(writer="a")

    assert [False, True] == [catalog.is_verified(ONE, writer=writer) for writer in ("a", "b")]
    assert 2**40 == catalog.claimed_until(ONE, writer="a")


def test_tables_beside_it_are_nobody_elses(catalog: Catalog) -> None:
    """A connection beside the catalog sees its rows; its temporary tables are its own."""
    enter(catalog, ONE)
    with closing(catalog.connect_beside()) as one, closing(catalog.connect_beside()) as two:
        one.execute("CREATE TEMP TABLE mine (a)").fetchall()

        assert [(1,)] == one.execute("SELECT count(*) FROM main.blob").fetchall()
        with pytest.raises(apsw.SQLError):
            two.execute("SELECT * FROM temp.mine")


RACER = """
import sys
from pathlib import Path
from ocblob.store.catalog import Catalog
print("ready", flush=True)
sys.stdin.readline()
catalog = Catalog(Path(sys.argv[1]), store_id="0f" * 16)
with catalog.transaction():
    catalog.put(sys.argv[2] * 64, size=1, stored_size=1)
catalog.close()
"""


def test_processes_that_make_it_at_once_share_it(tmp_path: Path) -> None:
    """Whoever is first makes it, the others wait, and all of their rows are there."""
    path = tmp_path / "catalog.sqlite"
    racers = [spawn(RACER, str(path), digit, stdin=-1) for digit in "abcdef"]
    for racer in racers:
        assert racer.stdout is not None
        racer.stdout.readline()
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.write("go\n")
        racer.stdin.flush()
    for racer in racers:
        finish(racer)

    with closing(Catalog(path, store_id=STORE_ID)) as catalog:
        assert [digit * 64 for digit in "abcdef"] == [row.digest for row in catalog.blobs()]
