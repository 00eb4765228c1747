"""What seals a session in a mirror before it goes: whatever could keep it from coming back as it is keeps it here."""

import contextlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mirrors import Keeping, Mirroring, change
from ocblob.cells import Scope, SessionTree
from ocblob.databases.mirror_rows import RowMark
from ocblob.databases.session_rows import Content
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.digest import digest_of
from ocblob.errors import BlobCorruptError, DatabaseLockedError, DatabaseUnsupportedError
from ocblob.offload import offload
from ocblob.rows import session_digest
from ocblob.sessions.contents import BlobSource
from ocblob.sessions.lacking import Lacking
from ocblob.sessions.mirror_seal import MirrorSeal
from ocblob.sessions.mirror_source import MirrorSource, StoreBlobs
from ocblob.sessions.mirroring import MirrorReport
from ocblob.sessions.seals import Sealed
from ocblob.store import BlobStore
from ocblob.store.places import Machine
from ocblob.store.registry import Registry
from samples import flip, object_path, opencode_profile, opened, payload
from talks import Talk, make_talks

SIZE = 20_000
BLOB = digest_of(payload(SIZE, "ses_a"))


def source_of(target: SQLiteDatabase, *, trusting: bool = False) -> MirrorSource:
    """The sessions of a mirror."""
    profile = opencode_profile(target.path)
    assert profile.tree is not None
    return MirrorSource(target, profile.tree, "opencode", (*profile.columns, *profile.counted), trusting)


class Scene:
    """A database of two sessions, a mirror that has them, and a store that knows the mirror."""

    def __init__(self, root: Path, store: BlobStore) -> None:
        self.root = root
        self.store = store
        self.path = make_talks(root / "opencode.db", [Talk("ses_a", 3, size=SIZE), Talk("ses_b", 2)])
        self.there = root / "mirror.db"
        self.brought: list[tuple[list[str], bool]] = []
        """What was to be mirrored, and whether without trust."""
        self.meanwhile: Callable[[], object] = lambda: None
        """What happens when they have been looked at."""
        self.knows_mirror = True
        self.report = MirrorReport()
        self.allowed = frozenset[str]()
        """Reasons for which a ref may lack its blob."""

    def in_file(self) -> SQLiteDatabase:
        """The mirror is another host's file."""
        shutil.copy(self.path, self.there)
        return SQLiteDatabase(self.there)

    def in_records(self) -> Keeping:
        """The mirror keeps records and refs, as a server does."""
        target = Keeping(self.there)
        assert Mirroring(self.path, target, self.store).run().complete
        return target

    def seal(self, target: SQLiteDatabase, *sessions: str, source: SQLiteDatabase | None = None) -> Sealed:
        """Of these sessions, by a mirror that is not brought up to date."""
        with target, source or SQLiteDatabase(self.path) as database:
            tree, found = opencode_profile(database.path).tree, source_of(target)
            assert tree is not None

            @contextlib.contextmanager
            def opened_again() -> Iterator[MirrorSource]:
                yield found
                self.meanwhile()

            if self.knows_mirror:
                self.store.registry.register(target.url, host="opencode")
            lacking = Lacking(self.store, self.allowed)
            seal = MirrorSeal(database, tree, "the mirror", self._bring, opened_again, lacking, None)
            return seal.seal(sessions)

    def digest(self, session: str) -> str:
        """Of a session as it is."""
        tree = opencode_profile(self.path).tree
        assert tree is not None
        with SQLiteDatabase(self.path) as database, database.snapshot() as state:
            return session_digest(state, tree, session)

    def _bring(self, sessions: Sequence[str], verify: bool) -> MirrorReport:  # noqa: FBT001
        self.brought.append((list(sessions), verify))
        return self.report


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Both sessions are in both."""
    store, _ = BlobStore.create(str(tmp_path / "store"))
    with store:
        yield Scene(tmp_path, store)


def test_what_both_have_is_sealed_at_once(scene: Scene) -> None:
    """In a file and where records are kept, by what it is here."""
    digests = {session: scene.digest(session) for session in ("ses_a", "ses_b")}

    file = scene.seal(scene.in_file(), "ses_a", "ses_b")
    scene.there.unlink()
    kept = scene.seal(scene.in_records(), "ses_a", "ses_b")

    assert [(digests, {}), (digests, {})] == [(sealed.digests, sealed.left) for sealed in (file, kept)]
    assert [(["ses_a", "ses_b"], False)] * 2 == scene.brought


@pytest.mark.parametrize(
    ("here", "there", "why"),
    [
        ([], ["ALTER TABLE part ADD COLUMN extra TEXT NOT NULL DEFAULT 'x'"], "value for extra in it"),
        (["DROP TABLE todo"], [], "rows of todo, for which the database has no table"),
        (
            ["ALTER TABLE project ADD COLUMN extra TEXT", "UPDATE project SET extra='x'"],
            [],
            "prj has a value for extra",
        ),
        ([], ["DELETE FROM project"], "it has no project prj"),
        ([], ["DROP TABLE project"], "it has no table project"),
        ([], ["DROP TABLE todo"], "there is no table todo in it"),
        ([], ["DROP TABLE todo", "CREATE TABLE todo (session_id, content, time_updated)"], "no primary key"),
    ],
    ids=["column", "table", "project's column", "project", "projects", "lacks a table", "lacks a key"],
)
def test_what_could_not_come_back_stays(scene: Scene, here: list[str], there: list[str], why: str) -> None:
    """Another host's file may have other tables than this one: a pull would be refused. None stops the pass."""
    target = scene.in_file()
    change(scene.there, *there)
    change(scene.path, *here)

    sealed = scene.seal(target, "ses_a", "ses_b")

    assert ["ses_a", "ses_b"] == sorted(sealed.left)
    assert why in sealed.left["ses_a"]


def test_nothing_that_the_other_host_added_is_in_the_way_while_it_is_empty(scene: Scene) -> None:
    """A column without a value, a table without rows of these sessions."""
    target = scene.in_file()
    change(scene.there, "ALTER TABLE part ADD COLUMN extra TEXT", "DELETE FROM todo")
    change(scene.path, "DROP TABLE todo")

    assert {} == scene.seal(target, "ses_a").left


@pytest.mark.parametrize(
    ("here", "there", "why"),
    [
        ("", "DELETE FROM todo", "it has 0 rows of todo, and the database 1"),
        ("DELETE FROM todo", "", "it has 1 rows of todo, and the database 0"),
        ("", "UPDATE todo SET content='y'", "its rows of todo are not those of the database"),
        ("", "UPDATE part SET rowid=rowid+100 WHERE id LIKE '%_1'", "its rows of part lie in another order"),
    ],
)
def test_rows_are_compared_as_they_are_now(scene: Scene, here: str, there: str, why: str) -> None:
    """In both directions, and where records are kept in the order that they lie in."""
    target = scene.in_records()
    change(scene.path, here)
    change(scene.there, there)

    assert why in scene.seal(target, "ses_a").left["ses_a"]


def test_a_record_has_to_be_about_these_rows(scene: Scene) -> None:
    """A pull goes by it."""
    target = scene.in_records()
    target.kept["ses_a"] = replace(target.kept["ses_a"], digest="0" * 64)
    del target.kept["ses_b"]

    left = scene.seal(target, "ses_a", "ses_b").left

    assert ["its record is about other rows", "it has no record of it"] == [why.split(": ")[1] for why in left.values()]


def test_a_mirror_that_somebody_holds_seals_nothing(scene: Scene) -> None:
    """It is tried again later, as a whole."""
    scene.report.locked = "the mirror is locked"

    with pytest.raises(DatabaseLockedError, match="the mirror is locked"):
        scene.seal(scene.in_file(), "ses_a")


@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("damage", ["missing", "corrupt"])
def test_blobs_are_read_to_their_ends(scene: Scene, damage: str, *, again: bool) -> None:
    """That one has the right name proves nothing; one that mirroring has brought back counts as there."""
    target = scene.in_records()
    blob = object_path(scene.root / "store", BLOB)
    data = blob.read_bytes()
    if damage == "missing":
        blob.unlink()
    else:
        flip(blob, len(data) - 200)
    if again:
        scene.meanwhile = lambda: blob.write_bytes(data)

    left = scene.seal(target, "ses_a", "ses_b").left

    assert ([] if again else ["ses_a"]) == list(left)
    assert again or f"(2 {damage})" in left["ses_a"]


@pytest.mark.parametrize("allowed", [False, True])
def test_a_ref_of_before_may_lack_its_blob_if_somebody_says_so(scene: Scene, *, allowed: bool) -> None:
    """It is as good there as here."""
    with SQLiteDatabase(scene.path) as database:
        assert offload(database, scene.store, opencode_profile(scene.path).columns, scope=Scope()).complete
    target = scene.in_records()
    object_path(scene.root / "store", BLOB).unlink()
    scene.allowed = frozenset({"missing"} if allowed else ())

    left = scene.seal(target, "ses_a", "ses_b").left

    assert ({} if allowed else {"ses_a": "the mirror does not hold it: refs without a blob (2 missing)"}) == left


@pytest.mark.parametrize("records", [False, True])
def test_a_ref_that_only_a_mirror_makes_stays_with_its_session(scene: Scene, *, records: bool) -> None:
    """It would come back as the payload that it stands for, whether the mirror has it as a ref or not."""
    with scene.in_records() as target, opened(target.path) as db:
        data = db.execute("SELECT data FROM part WHERE id='prt_ses_a_1'").fetchall()[0][0]
    with opened(scene.path) as db:
        db.execute("UPDATE part SET data=? WHERE id='prt_ses_a_1'", (data,)).fetchall()
    scene.there.unlink()

    sealed = scene.seal(scene.in_records() if records else scene.in_file(), "ses_a", "ses_b")

    assert {"ses_a": "the mirror does not hold it: it has a ref that only a mirror makes"} == sealed.left


@pytest.mark.parametrize("lost", [False, True])
def test_a_mirror_that_the_store_does_not_know_holds_no_refs(scene: Scene, *, lost: bool) -> None:
    """Once the session has gone from here, a prune would find nobody who names its blobs; nor is a lost one sealed."""
    target = scene.in_records()
    scene.knows_mirror = lost
    if lost:
        object_path(scene.root / "store", BLOB).unlink()

    sealed = scene.seal(target, "ses_a", "ses_b")

    assert ["ses_a"] == list(sealed.left)
    assert ("2 missing" if lost else "the store has not learned of the mirror") in sealed.left["ses_a"]


def test_a_file_of_that_name_on_another_machine_is_another_mirror(scene: Scene) -> None:
    """The machine that has it tells what it names; of this one nobody knows."""
    target = scene.in_records()
    scene.knows_mirror = False
    Registry(scene.store.backend, machine=Machine("elsewhere", "box")).register(target.url, host="opencode")

    assert ["ses_a"] == list(scene.seal(target, "ses_a").left)


def test_a_blob_that_a_file_would_need_stops_no_other_session(scene: Scene) -> None:
    """From a server's mirror to a file payloads are read on the way: one that is lost keeps its session alone."""
    source = scene.in_records()
    scene.there = scene.root / "file.db"
    shutil.copy(scene.path, scene.there)
    object_path(scene.root / "store", BLOB).unlink()

    sealed = scene.seal(SQLiteDatabase(scene.there), "ses_a", "ses_b", source=source)

    assert ["ses_a"] == list(sealed.left)
    assert BLOB in sealed.left["ses_a"]


def test_a_session_that_goes_before_it_is_looked_at_again_is_not_sealed(scene: Scene) -> None:
    """It was not held when it was looked at, whatever it was then."""
    target = scene.in_file()
    change(scene.there, "DELETE FROM todo WHERE session_id='ses_b'")
    scene.meanwhile = lambda: change(scene.path, "DELETE FROM session WHERE id='ses_b'")

    sealed = scene.seal(target, "ses_a", "ses_b")

    assert ({"ses_a": scene.digest("ses_a")}, {}) == (sealed.digests, sealed.left)
    assert [(["ses_a", "ses_b"], False), ([], True)] == scene.brought


def test_rows_that_are_not_those_that_were_mirrored_do_not_come_back(scene: Scene) -> None:
    """Who may write into the mirror may have changed them."""
    with scene.in_records() as target:
        before = refused(source_of(target), "ses_a")
        change(scene.there, "UPDATE todo SET content='y'")
        changed, wanted = (refused(source_of(target, trusting=each), "ses_a") for each in (False, True))

    assert ("", "") == (before, wanted)
    assert "are not those that were mirrored" in changed


def test_columns_that_came_after_a_session_are_not_given_with_it(scene: Scene) -> None:
    """There it gets the default, which may be that there has to be a value."""
    with scene.in_records() as target:
        change(scene.there, "ALTER TABLE part ADD COLUMN extra TEXT")
        columns = {
            table.columns
            for _, found in source_of(target).sessions(["ses_a"], blobs=StoreBlobs(scene.store))
            for table, _ in found
            if table.table == "part"
        }

    assert [("id", "message_id", "session_id", "time_created", "time_updated", "data")] == list(columns)


class _Short:
    """Gives less than there is to be."""

    def chunks(self, digest: str) -> Iterator[bytes]:
        """See `BlobSource`."""
        yield digest.encode()


def test_a_blob_of_another_size_is_no_payload(scene: Scene) -> None:
    """Whoever may write into the mirror may have changed what its refs say."""
    with scene.in_records() as target, pytest.raises(BlobCorruptError, match="a row says 20000 bytes of blob"):
        read(source_of(target), "ses_a", _Short())


def read(source: MirrorSource, session: str, blobs: BlobSource) -> None:
    """Every content of a session."""
    for _, found in source.sessions([session], blobs=blobs):
        for _, row in found:
            for value in row.values:
                assert not isinstance(value, Content) or value.size == sum(map(len, value.chunks()))


def test_what_an_interrupted_mirror_has_put_does_not_come_back(scene: Scene) -> None:
    """Rows without a record may be some of them only; who wants them all the same says so."""
    with scene.in_records() as target:
        del target.kept["ses_b"]
        cases = (("ses_a", False), ("ses_b", True), ("ses_b", False))
        kept, wanted, begun = (refused(source_of(target, trusting=each), session) for session, each in cases)

    assert ("", "") == (kept, wanted)
    assert "a mirror that was interrupted has put it there" in begun


@pytest.mark.parametrize("of_a_mirror", [True, False])
def test_what_a_host_keeps_on_a_server_comes_without_a_record(scene: Scene, *, of_a_mirror: bool) -> None:
    """Its rows have no digests, in a mirror's tables or in its own."""

    class Written(Keeping):
        def marks(self, tree: SessionTree, table: str, session: str) -> Iterator[RowMark]:
            if not of_a_mirror:
                raise DatabaseUnsupportedError(f"table {table} is no mirror's")
            return (replace(mark, digest="") for mark in super().marks(tree, table, session))

    scene.in_file().close()
    with Written(scene.there) as target:
        assert "" == refused(source_of(target), "ses_a")


def refused(source: MirrorSource, session: str) -> str:
    """Why a mirror does not give a session; empty if it does."""
    try:
        for _, found in source.sessions([session]):
            next(found)
    except DatabaseUnsupportedError as error:
        return str(error)
    return ""
