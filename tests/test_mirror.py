"""Sessions kept in another database: what goes there, what stays, and what becomes of it when it is cut short."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from mirrors import FAMILY, Broken, Keeping, Mirroring, change, compared, make_odd, mirror, mirrored
from ocblob.cells import Scope, SessionTree
from ocblob.databases.mirror_rows import RowMark
from ocblob.databases.session_rows import Content, Row
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.databases.sqlite.mirror_writing import SQLiteMirrorWriter
from ocblob.databases.sqlite.session_writing import SessionWriter
from ocblob.digest import digest_of
from ocblob.errors import BlobError, ClaimLostError, OcblobError, StoreUnavailableError, UsageError
from ocblob.offload import offload
from ocblob.sessions.mirroring import MirrorFate
from ocblob.store import BlobStore
from ocblob.store.writer import Batch, Writer
from samples import cell, opencode_profile, opened, payload, query
from talks import Talk, insert, make_talks, rows, sessions, sound


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A family and two more sessions."""
    return make_talks(tmp_path / "opencode.db", [replace(each, size=20_000) for each in FAMILY])


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """An empty store."""
    store, _ = BlobStore.create(str(tmp_path / "store"))
    with store:
        yield store


@pytest.fixture
def keeping(tmp_path: Path) -> Iterator[Keeping]:
    """A target that keeps records."""
    with Keeping(tmp_path / "mirror.db") as target:
        yield target


def test_a_new_file_gets_every_row_and_its_tables(tmp_path: Path) -> None:
    """Rows, rowids and types are those of the source, and so are the statements that made tables and indexes."""
    source, target = make_odd(tmp_path / "a.db"), tmp_path / "b.db"
    report = mirror(source, target, tmp_path / "store")

    assert report.complete
    assert compared(source) == compared(target)
    made = "SELECT tbl_name, name, sql FROM sqlite_schema WHERE sql IS NOT NULL"
    assert set(query(target, made)) <= set(query(source, made))
    assert not (tmp_path / "store").exists()


def test_what_a_file_has_got_is_durable(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retention goes by it: a power cut must not take it from both."""
    target, seen = tmp_path / "b.db", list[int]()
    plain = SessionWriter.make_durable

    def make_durable(self: SessionWriter) -> None:
        seen.append(len(sessions(target)))
        plain(self)

    monkeypatch.setattr(SessionWriter, "make_durable", make_durable)

    mirror(source, target, tmp_path / "store")

    assert (0, 4) == (seen[0], seen[-1])


def test_what_has_not_changed_is_not_looked_at(source: Path, tmp_path: Path) -> None:
    """A second run skips every session by what surveys tell, and one that verifies finds all of it there."""
    target, store = tmp_path / "b.db", tmp_path / "store"
    mirror(source, target, store)
    again, verified = mirror(source, target, store), mirror(source, target, store, verify=True)

    assert (4, {}) == (again.skipped, again.fates)
    assert dict.fromkeys(sessions(source), MirrorFate.SAME) == verified.fates
    assert (0, 0) == (verified.rows_put, verified.rows_removed)


def test_a_mirror_is_small_and_gives_everything_back(
    source: Path, keeping: Keeping, store: BlobStore, tmp_path: Path
) -> None:
    """Payloads are blobs of the store meanwhile, each once, and the rows that come back are what they were."""
    report = Mirroring(source, keeping, store).run()
    assert report.complete
    assert (4, 32) == (report.blobs_new, report.rows_put)
    sizes = {path: query(path, "SELECT sum(length(data)) FROM part")[0][0] for path in (source, keeping.path)}
    assert sizes[keeping.path] < sizes[source] / 20  # type: ignore[operator]

    back = mirror(keeping.path, tmp_path / "back.db", tmp_path / "store")
    assert back.complete
    assert compared(source) == compared(tmp_path / "back.db")


def test_refs_of_an_offload_stay_refs(source: Path, keeping: Keeping, store: BlobStore, tmp_path: Path) -> None:
    """What was a ref in the source is one in what comes back: the source is not told from its mirror."""
    with SQLiteDatabase(source) as database:
        offload(database, store, opencode_profile(source).columns, scope=Scope())
    Mirroring(source, keeping, store).run()
    mirror(keeping.path, tmp_path / "back.db", tmp_path / "store")

    assert compared(source) == compared(tmp_path / "back.db")


def test_only_rows_that_changed_are_put(source: Path, keeping: Keeping, store: BlobStore) -> None:
    """A part that was added, one that was changed, and one that is gone: nothing else is written."""
    Mirroring(source, keeping, store).run()
    with opened(source) as db, db:
        insert(db, "part", id="prt_new", message_id="msg_ses_a_2", session_id="ses_a", time_created=1,
               time_updated=2_000_000_000_000, data=cell(payload(30_000, "new")))  # fmt: skip
    change(source, "UPDATE part SET data='{}' WHERE id='prt_ses_b_2'", "DELETE FROM part WHERE id='prt_ses_a_1'")
    report = Mirroring(source, keeping, store).run()

    assert (2, 1) == (report.rows_put, report.rows_removed)
    assert {"ses_a": MirrorFate.MIRRORED, "ses_b": MirrorFate.MIRRORED} == report.fates
    assert 2 == report.skipped
    ids = [query(path, "SELECT id FROM part ORDER BY rowid") for path in (source, keeping.path)]
    assert ids[0] == ids[1]


def test_sessions_that_went_from_the_source_stay(source: Path, keeping: Keeping, store: BlobStore) -> None:
    """A mirror is where evicted sessions are."""
    Mirroring(source, keeping, store).run()
    before = rows(keeping.path)
    change(source, "PRAGMA foreign_keys=OFF", "DELETE FROM part", "DELETE FROM message", "DELETE FROM session")
    report = Mirroring(source, keeping, store).run()

    assert report.complete
    assert before == rows(keeping.path)


def test_rows_that_moved_are_put_where_they_lie_now(source: Path, keeping: Keeping, store: BlobStore) -> None:
    """A vacuum of the source gives its rows new places; their order in the mirror follows."""
    Mirroring(source, keeping, store).run()
    change(source, "UPDATE part SET rowid=rowid+100", "UPDATE session SET time_updated=time_updated+1 WHERE id='ses_a'")
    report = Mirroring(source, keeping, store).run(verify=True)

    assert [(report.rows_put,)] == query(source, "SELECT count(*)+1 FROM part")
    places = "SELECT id FROM part ORDER BY rowid"
    assert query(source, places) == query(keeping.path, places)


@pytest.mark.parametrize("steps", [1, 2, 12, 25, 32, 33, 35])
def test_a_run_that_is_cut_short_is_completed_by_the_next(
    source: Path, store: BlobStore, tmp_path: Path, steps: int
) -> None:
    """Wherever it ends, no record is there of rows that are not, and another run brings what is missing."""
    with Keeping(tmp_path / "mirror.db", breaks=steps) as target:
        with pytest.raises(Broken):
            Mirroring(source, target, store).run()
        change(source, "DELETE FROM part WHERE id='prt_ses_a_2'", "UPDATE event_sequence SET seq=999")
        change(source, "UPDATE session SET time_updated=time_updated+1")
        report = Mirroring(source, target, store).run()
        assert [] == report.problems
        assert report.complete
        verified = Mirroring(source, target, store).run(verify=True)
    assert (0, 0) == (verified.rows_put, verified.rows_removed)
    mirror(target.path, tmp_path / "back.db", tmp_path / "store")
    assert compared(source) == compared(tmp_path / "back.db")


def test_a_row_that_somebody_changed_in_the_mirror_is_put_again(
    source: Path, keeping: Keeping, store: BlobStore
) -> None:
    """With --verify the source wins over what was written into its mirror."""
    Mirroring(source, keeping, store).run()
    change(keeping.path, "UPDATE part SET data='{}' WHERE id='prt_ses_a_1'")
    report = Mirroring(source, keeping, store).run(verify=True)

    assert (1, True) == (report.rows_put, report.complete)


def test_verify_brings_back_blobs_that_the_store_has_lost(
    source: Path, keeping: Keeping, store: BlobStore, tmp_path: Path
) -> None:
    """The source still has the payloads."""
    Mirroring(source, keeping, store).run()
    for digest, _ in list(store.objects()):
        (tmp_path / "store" / "objects" / digest[:2] / digest[2:]).unlink()
    Mirroring(source, keeping, store).run(verify=True)

    assert 4 == len(list(store.objects()))


def test_a_session_of_two_databases_goes_forward_only(
    source: Path, keeping: Keeping, store: BlobStore, tmp_path: Path
) -> None:
    """An older copy elsewhere changes nothing, one that went on adds to it, and two that went on are a conflict."""
    copy = tmp_path / "copy.db"
    mirror(source, copy, tmp_path / "store")
    Mirroring(source, keeping, store).run()
    write_more(source, "ses_b", "one")
    Mirroring(source, keeping, store).run()

    older = Mirroring(copy, keeping, store, origin="there").run()
    assert (MirrorFate.AHEAD, MirrorFate.SAME) == (older.fates["ses_b"], older.fates["ses_a"])

    write_more(copy, "ses_b", "two")
    before = rows(keeping.path)
    parted = Mirroring(copy, keeping, store, origin="there").run()
    assert (MirrorFate.CONFLICT, 1) == (parted.fates["ses_b"], parted.conflicts)
    assert not parted.complete
    assert before == rows(keeping.path)

    forced = Mirroring(copy, keeping, store, origin="there").run(force=True)
    assert MirrorFate.MIRRORED == forced.fates["ses_b"]
    parts = "SELECT id FROM part WHERE session_id='ses_b' ORDER BY id"
    assert query(copy, parts) == query(keeping.path, parts)


def write_more(path: Path, session: str, name: str) -> None:
    """A host goes on with a session."""
    with opened(path) as db, db:
        db.execute("UPDATE session SET time_updated=time_updated+1000 WHERE id=?", (session,))
        db.execute("UPDATE event_sequence SET seq=seq+1 WHERE aggregate_id=?", (session,))
        insert(db, "part", id=f"prt_{name}", message_id=f"msg_{session}_2", session_id=session, time_created=1,
               time_updated=1, data="{}")  # fmt: skip


def test_a_file_of_a_host_gets_what_is_newer(source: Path, tmp_path: Path) -> None:
    """A session that went on is brought up to date in another file, and one that went on there is left."""
    target, store = tmp_path / "b.db", tmp_path / "store"
    mirror(source, target, store)
    write_more(source, "ses_a", "here")
    write_more(target, "ses_b", "there")
    before = rows(target)
    report = mirror(source, target, store)

    assert {"ses_a": MirrorFate.MIRRORED, "ses_b": MirrorFate.AHEAD} == report.fates
    assert sound(target)
    mine = [row for row in rows(target)["part"] if row in before["part"]]
    assert before["part"] == mine
    assert rows(source)["session"][0] == rows(target)["session"][0]


def test_rows_of_another_session_are_never_taken(source: Path, tmp_path: Path) -> None:
    """A part with the id of another session's part is refused by name, and the other sessions go."""
    target, store = tmp_path / "b.db", tmp_path / "store"
    make_talks(target, [Talk("ses_own", 1)])
    change(target, "UPDATE part SET id='prt_ses_a_1' WHERE id='prt_ses_own_1'")
    before = rows(target)["part"]
    report = mirror(source, target, store)

    assert {"ses_a": MirrorFate.FAILED, "ses_b": MirrorFate.MIRRORED}.items() <= report.fates.items()
    assert ["ses_a: part prt_ses_a_1 is a row of another session in the target"] == report.problems
    assert before == [row for row in rows(target)["part"] if row in before]


def test_a_host_file_without_a_table_gets_no_session_that_has_rows_of_it(source: Path, tmp_path: Path) -> None:
    """The others go: an older host has no place for what a later one keeps."""
    target = make_talks(tmp_path / "b.db", [])
    change(target, "DROP TABLE todo")
    change(source, "DELETE FROM todo WHERE session_id<>'ses_b'")

    report = mirror(source, target, tmp_path / "store")

    assert ["ses_b: the target has no table todo, and the session has rows of it"] == report.problems
    assert ["ses_a", "ses_a1", "ses_v2"] == sessions(target)


@pytest.mark.parametrize("force", [False, True])
def test_a_host_does_not_wait_for_large_cells(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, force: bool
) -> None:
    """Sessions with one are left unless somebody says so, and the others go; a disk that is too small is told first."""
    monkeypatch.setattr("ocblob.mirroring.host_waits", lambda _: True)
    for name in ("LARGE_CELL_BYTES", "ANNOUNCED_CELL_BYTES"):
        monkeypatch.setattr(f"ocblob.sessions.mirroring.sending.{name}", 10_000)
    change(source, "DELETE FROM part WHERE id='prt_ses_b_1'", "DELETE FROM event WHERE aggregate_id='ses_b'")
    target, store, said = tmp_path / "b.db", tmp_path / "store", list[str]()

    report = mirror(source, target, store, force=force, say=said.append)
    monkeypatch.setattr(SQLiteDatabase, "room", lambda _: 100)
    full = mirror(source, tmp_path / "c.db", store, force=True)

    assert ({"ses_b"} if not force else {"ses_a", "ses_a1", "ses_b", "ses_v2"}) == {
        session for session, fate in report.fates.items() if fate is MirrorFate.MIRRORED
    }
    assert force or "in one cell, and the host would wait for it; --force" in report.problems[0]
    assert force == any("takes about 0 MB of memory" in words for words in said)
    assert "no room on the disk for the " in full.problems[0]


def test_rows_that_no_mirror_has_put_are_what_somebody_went_on_with(
    source: Path, store: BlobStore, tmp_path: Path
) -> None:
    """A server's rows without digests, and no record: whatever is there stays as it is, and it is told."""

    class Written(Keeping):
        def marks(self, tree: SessionTree, table: str, session: str) -> Iterator[RowMark]:
            return (replace(mark, digest="") for mark in super().marks(tree, table, session))

    path = tmp_path / "mirror.db"
    mirror(source, path, tmp_path / "store")
    write_more(path, "ses_b", "more")
    before = rows(path)
    with Written(path) as target:
        report = Mirroring(source, target, store).run()

    assert (MirrorFate.CONFLICT, before) == (report.fates["ses_b"], rows(path))


def test_a_host_file_with_other_columns_keeps_them(source: Path, tmp_path: Path) -> None:
    """A column that only the target has keeps what it holds; one that it lacks stops sessions with a value there."""
    target, store = tmp_path / "b.db", tmp_path / "store"
    mirror(source, target, store)
    change(
        target,
        "ALTER TABLE part ADD mood TEXT NOT NULL DEFAULT 'calm'",
        "UPDATE part SET mood='wild' WHERE session_id='ses_a'",
    )
    change(source, "ALTER TABLE part ADD weight INTEGER", "UPDATE part SET weight=7 WHERE session_id='ses_b'")
    write_more(source, "ses_a", "more")
    change(source, "UPDATE part SET data='{\"new\":1}', time_updated=time_updated+1 WHERE id='prt_ses_a_2'")
    report = mirror(source, target, store)

    assert {"ses_a": MirrorFate.MIRRORED, "ses_b": MirrorFate.FAILED}.items() <= report.fates.items()
    assert ["ses_b: part prt_ses_b_1 has a value for weight, which the target has no column for"] == report.problems
    assert [("wild",), ("wild",), ("calm",)] == query(
        target, "SELECT mood FROM part WHERE session_id='ses_a' ORDER BY rowid"
    )


def test_a_session_whose_blob_is_gone_is_left(source: Path, keeping: Keeping, store: BlobStore, tmp_path: Path) -> None:
    """It is told which blob, and every other session comes back."""
    Mirroring(source, keeping, store).run()
    digest = digest_of(payload(20_000, "ses_b"))
    (tmp_path / "store" / "objects" / digest[:2] / digest[2:]).unlink()
    report = mirror(keeping.path, tmp_path / "back.db", tmp_path / "store")

    assert MirrorFate.FAILED == report.fates["ses_b"]
    assert digest in report.problems[0]
    assert 3 == report.mirrored


def test_a_project_that_does_not_read_back_is_told(
    source: Path, keeping: Keeping, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No session is recorded whose project the target has not taken."""
    plain = SQLiteMirrorWriter.put

    def put(self: SQLiteMirrorWriter, table: str, *arguments: Any, **options: Any) -> None:
        if table != "project":
            plain(self, table, *arguments, **options)

    monkeypatch.setattr(SQLiteMirrorWriter, "put", put)
    report = Mirroring(source, keeping, store).run()

    assert {MirrorFate.FAILED} == set(report.fates.values())
    assert "ses_a: a row of project does not read back as it was sent" in report.problems
    assert {} == keeping.kept


def test_a_session_that_does_not_read_back_is_not_recorded(
    source: Path, keeping: Keeping, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither at once nor when it is sent again with every row read; the others are."""
    plain = SQLiteMirrorWriter.put

    def put(self: SQLiteMirrorWriter, table: str, columns: Sequence[str], row: Row, *more: Any, **options: Any) -> None:
        if table == "todo" and b"ses_b" in [b"".join(v.chunks()) for v in row.values if isinstance(v, Content)]:
            row = Row(row.rowid, (*row.values[:-1], 7))
        plain(self, table, columns, row, *more, **options)

    monkeypatch.setattr(SQLiteMirrorWriter, "put", put)
    report = Mirroring(source, keeping, store).run()

    assert (MirrorFate.FAILED, 1) == (report.fates["ses_b"], report.failed)
    assert {"ses_a", "ses_a1", "ses_v2"} == keeping.kept.keys()


def test_the_store_knows_a_mirror_before_its_first_row(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prune that does not read it would take the blobs that its rows name."""
    known = list[set[str]]()

    class Watched(Keeping):
        @contextmanager
        def mirror_writer(self) -> Iterator[SQLiteMirrorWriter]:
            with BlobStore.open(str(tmp_path / "store"), read_only=True) as store:
                known.append({entry.url for entry in store.registry.databases()})
            with super().mirror_writer() as writer:
                yield writer

    monkeypatch.setattr("ocblob.mirroring.open_database", lambda address, **_: Watched(address.path))
    done = mirror(source, tmp_path / "mirror.db", tmp_path / "store")

    assert done.payload_chars
    assert known
    assert {str(tmp_path / "mirror.db")} == set.intersection(*known)


def test_a_store_that_cannot_be_written_ends_it(
    source: Path, keeping: Keeping, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be asked again for each session, and is an error of none of them."""

    def confirm(_writer: Writer, _stored: Any) -> None:
        raise StoreUnavailableError("it is away")

    monkeypatch.setattr(Writer, "confirm", confirm)

    with pytest.raises(StoreUnavailableError):
        Mirroring(source, keeping, store).run()
    assert {} == keeping.kept


def test_no_row_is_put_whose_blob_is_not_there_and_claimed(
    source: Path, keeping: Keeping, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A blob that was taken away meanwhile is put again; one that cannot be put fails its session."""
    plain, calls = Writer.confirm, count()

    def confirm(self: Writer, stored: Any) -> None:
        if next(calls) == 0:
            raise ClaimLostError("somebody pruned")
        plain(self, stored)

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "confirm", confirm)
        assert Mirroring(source, keeping, store).run().complete
    assert next(calls) > 1

    finish = Batch.finish
    refused = BlobError("no room", digest="0" * 64)
    monkeypatch.setattr(Batch, "finish", lambda self: replace(finish(self), failed={"0" * 64: refused}))
    write_more(source, "ses_b", "more")
    change(source, f"UPDATE part SET data='{cell(payload(20_000, 9))}' WHERE id='prt_more'")
    report = Mirroring(source, keeping, store).run()

    assert {"ses_b": MirrorFate.FAILED} == report.fates
    assert [] == query(keeping.path, "SELECT id FROM part WHERE id='prt_more'")


def test_a_session_of_an_impossible_name_stops_no_other(source: Path, keeping: Keeping, store: BlobStore) -> None:
    """No server finds a text again that is none."""
    change(source, "PRAGMA foreign_keys=OFF", "UPDATE session SET id=CAST(x'ff00' AS TEXT) WHERE id='ses_b'")
    report = Mirroring(source, keeping, store).run()

    assert {"\udcff\0": MirrorFate.FAILED, "ses_a": MirrorFate.MIRRORED}.items() <= report.fates.items()
    assert [] == query(keeping.path, "SELECT id FROM session WHERE id NOT IN ('ses_a', 'ses_a1', 'ses_v2')")


def test_children_come_along_and_nobody_else(source: Path, tmp_path: Path) -> None:
    """A session that is named brings those that it has begun."""
    mirror(source, tmp_path / "b.db", tmp_path / "store", sessions=("ses_a",))
    assert ["ses_a", "ses_a1"] == sessions(tmp_path / "b.db")


def test_what_cannot_be_meant_is_refused(source: Path, tmp_path: Path) -> None:
    """A database is no mirror of itself, and a session that is not there is no wish."""
    with pytest.raises(UsageError, match="cannot be a mirror of itself"):
        mirror(source, source, tmp_path / "store")
    with pytest.raises(OcblobError, match="there is no session ses_x"):
        mirror(source, tmp_path / "b.db", tmp_path / "store", sessions=("ses_x",))


def test_a_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    """It tells what it would look at, and makes neither target nor store."""
    done = mirrored(source, tmp_path / "b.db", tmp_path / "store", dry_run=True)

    assert (4, None) == (done.plan.sessions, done.report)
    assert not (tmp_path / "b.db").exists()
    assert not (tmp_path / "store").exists()


def test_the_project_of_a_session_comes_along(source: Path, tmp_path: Path) -> None:
    """Where it is missing; one that is there is left unless the source's is newer."""
    target, store = tmp_path / "b.db", tmp_path / "store"
    mirror(source, target, store)
    change(target, "UPDATE project SET worktree='/there', time_updated=5")
    write_more(source, "ses_a", "more")
    mirror(source, target, store)
    assert [("/there",)] == query(target, "SELECT worktree FROM project")

    change(source, "UPDATE project SET worktree='/here', time_updated=6")
    write_more(source, "ses_a", "yet more")
    mirror(source, target, store)
    assert [("/here",)] == query(target, "SELECT worktree FROM project")
