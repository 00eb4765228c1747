"""Sessions into an archive file: from SQLite, with and without a store, and what stands against it."""

import errno
import json
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pybase64
import pytest

from ocblob import filesystem
from ocblob.cells import Scope
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.errors import ArchiveError, BlobCorruptError, OcblobError, UsageError
from ocblob.offload import offload
from ocblob.ref import Ref
from ocblob.rewrite import reference_text
from ocblob.rows import session_digest
from ocblob.sessions import contents, sealing
from ocblob.sessions.archive import ArchiveReport, apply_archive, plan_archive
from ocblob.sessions.element_writer import ElementWriter
from ocblob.sessions.lines import TextSink
from ocblob.sessions.reader import Archive
from ocblob.sessions.sealing import archive_place
from ocblob.sessions.verification import verify
from ocblob.store import BlobStore
from processes import Neighbour, finish, spawn
from samples import DAY_MS, flip, object_path, objects, opencode_profile, refs, tree
from talks import Talk, make_talks, many

TALKS = [Talk("ses_a", 30, size=5000), Talk("ses_b", 20, 10, parent="ses_a", size=5000), Talk("ses_c", 5, v2=True)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database of three sessions; the second is the first one's child."""
    return make_talks(tmp_path / "db" / "a.db", TALKS)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[BlobStore]:
    """An empty store."""
    with BlobStore.create(tmp_path / "store")[0] as made:
        yield made


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """An empty directory."""
    directory = tmp_path / "archives"
    directory.mkdir()
    return directory


def archive(path: Path, to: Path, store: BlobStore | None = None, *, refs: bool = False) -> ArchiveReport:
    """Archive all sessions of a database."""
    profile = opencode_profile(path)
    assert profile.tree is not None
    with SQLiteDatabase(path, read_only=True) as database:
        plan = plan_archive(database.survey(profile.tree))
        where = archive_place(to, stem="a")
        return apply_archive(database, profile.tree, plan, where, store, host="opencode", refs=refs)


def placeholder(mime: str) -> bytes:
    """What a user saves who saves what a ref shows."""
    return pybase64.b64decode(reference_text(mime, Ref("a" * 64, 5000)) or b"")


def digests(path: Path) -> dict[str, str]:
    """What each session of a database is."""
    profile = opencode_profile(path)
    assert profile.tree is not None
    with SQLiteDatabase(path, read_only=True) as database, database.snapshot() as snapshot:
        found = [each.id for each in database.survey(profile.tree)]
        return {session: session_digest(snapshot, profile.tree, session) for session in found}


def move_out(path: Path, store: BlobStore) -> None:
    """Offload what can be."""
    profile = opencode_profile(path)
    with SQLiteDatabase(path) as database:
        offload(database, store, (*profile.columns, *profile.counted), scope=Scope(), min_chars=1000)


def test_an_archive_holds_what_the_database_does(path: Path, place: Path) -> None:
    """Every session's digest is that of the database, which stays as it is; only the owner can read the file."""
    expected, before = digests(path), tree(path.parent)

    report = archive(path, place)

    assert expected == report.digests == verify(Path(report.path))
    assert before == tree(path.parent)
    assert [Path(report.path)] == list(place.iterdir())
    assert Path(report.path).stat().st_size == report.size
    assert 0o600 == Path(report.path).stat().st_mode & 0o777 or os.name == "nt"
    assert report.complete


def test_sessions_are_chosen_with_their_descendants(path: Path) -> None:
    """A session brings its children; an age is that of the latest use of the whole tree; an unknown one is told."""
    profile = opencode_profile(path)
    assert profile.tree is not None
    now_ms = time.time() * 1000
    with SQLiteDatabase(path, read_only=True) as database:
        facts = list(database.survey(profile.tree))

    def chosen(**wish: Any) -> list[str]:
        return [each.id for each in plan_archive(facts, **wish).sessions]

    assert ["ses_a", "ses_b", "ses_c"] == chosen()
    assert ["ses_a", "ses_b"] == chosen(sessions=["ses_a"])
    assert ["ses_b"] == chosen(sessions=["ses_b"])
    assert ["ses_a", "ses_b"] == chosen(used_before_ms=int(now_ms - 7 * DAY_MS))
    assert [] == chosen(used_before_ms=int(now_ms - 15 * DAY_MS))
    with pytest.raises(OcblobError, match="no session nope"):
        plan_archive(facts, sessions=["ses_a", "nope"])


def test_what_was_moved_out_is_in_the_archive_again(path: Path, place: Path, store: BlobStore) -> None:
    """Blobs that rows name come out of the store, each once; rows keep their refs; who reads it needs no store."""
    move_out(path, store)
    expected = digests(path)

    report = archive(path, place, store)

    assert (expected, {}) == (report.digests, report.unresolved)
    assert len(objects(Path(store.url))) == report.blobs
    with Archive(Path(report.path)).extract(None) as blobs:
        assert objects(Path(store.url)) == sorted(blobs.digests())
        assert all(store.read(digest) == b"".join(blobs.chunks(digest)) for digest in blobs.digests())


@pytest.mark.parametrize("mime", ["image/png", "text/plain"])
@pytest.mark.parametrize("blob", [b"", b"x", placeholder("image/png"), placeholder("text/plain")], ids=len)
def test_any_blob_that_a_ref_names_can_be_archived(
    path: Path, place: Path, store: BlobStore, blob: bytes, mime: str
) -> None:
    """An empty one, and one that is a placeholder itself, as a user may have put them, are in the archive as bytes."""
    digest = store.put([blob]).digest
    text = reference_text(mime, Ref(digest, len(blob)))
    assert text is not None
    url = f"data:{mime};base64,{text.decode()}"
    with Neighbour(path) as neighbour:
        neighbour.execute("UPDATE part SET data=? WHERE session_id='ses_a'", json.dumps({"type": "file", "url": url}))

    report = archive(path, place, store)

    assert {} == report.unresolved
    with Archive(Path(report.path)).extract(None) as blobs:
        assert blob == b"".join(blobs.chunks(digest))


@pytest.mark.parametrize("how", ["missing", "corrupt", "unavailable"])
def test_a_ref_without_its_blob_is_counted_and_the_rows_are_there(
    path: Path, place: Path, store: BlobStore, how: str
) -> None:
    """By its reason, its row and its session; every other session is whole."""
    move_out(path, store)
    lost = refs(path)[0].digest
    if how == "missing":
        object_path(Path(store.url), lost).unlink()
    elif how == "corrupt":
        flip(object_path(Path(store.url), lost), 90)

    report = archive(path, place, None if how == "unavailable" else store)

    assert {how} == report.unresolved.keys()
    assert not report.complete
    assert verify(Path(report.path)) == report.digests == digests(path)
    assert all(problem.startswith(("part:", "event:", "session_message:")) for problem in report.problems)
    if how != "unavailable":
        assert [2, 0, 0] == [sum(session.unresolved.values()) for session in report.sessions]


def test_refs_may_stay_refs(path: Path, place: Path, store: BlobStore) -> None:
    """With refs nothing comes out of the store, its blobs are pinned there; payloads in rows are kept all the same."""
    make_talks(path.with_name("b.db"), [Talk("ses_d", 3)])
    move_out(path, store)

    report = archive(path, place / "a.json", store, refs=True)
    inline = archive(path.with_name("b.db"), place / "b.json", store, refs=True)

    assert objects(Path(store.url)) == sorted(pin.digest for pin in store.registry.pins())
    assert (0, 1) == (report.blobs, inline.blobs)
    assert report.complete
    assert digests(path) == verify(Path(report.path))
    assert all(pin.why == "archive a.json" for pin in store.registry.pins())


def test_refs_without_their_blobs_are_not_pinned(path: Path, place: Path, store: BlobStore) -> None:
    """What the store does not hold is told, not promised."""
    move_out(path, store)
    lost = refs(path)[0].digest
    object_path(Path(store.url), lost).unlink()

    report = archive(path, place, store, refs=True)

    assert {"missing": 2} == report.unresolved
    assert lost not in {pin.digest for pin in store.registry.pins()}


def test_each_session_is_of_one_state(path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows that come while a session is read are not in it; a session that goes before it is come to is told."""
    with Neighbour(path) as host:

        def look(self: Any, facts: Any) -> Any:
            if facts.id == "ses_a":
                host.execute("INSERT INTO todo SELECT session_id, 'new', status, priority, 9, 1, 1 FROM todo LIMIT 1")
                host.execute("DELETE FROM session WHERE id='ses_c'")
            return write(self, facts)

        write = ElementWriter.write
        expected = digests(path)
        monkeypatch.setattr(ElementWriter, "write", look)
        report = archive(path, place)

    assert ("ses_c",) == report.gone
    assert {name: expected[name] for name in ("ses_a", "ses_b")} == report.digests
    assert ["ses_a", "ses_b"] == [session.id for session, _ in Archive(Path(report.path)).headers()]


def test_no_sessions_make_no_file(tmp_path: Path, place: Path) -> None:
    """Nothing is written when there is nothing to write."""
    assert "" == archive(make_talks(tmp_path / "db" / "none.db", []), place).path
    assert [] == list(place.iterdir())


def test_a_file_that_is_there_is_never_written_over(path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not one that was there, not a link to nothing, and not one that came while the archive was being made."""
    (place / "a.json").write_text("mine")
    (place / "b.json").symlink_to(place / "nowhere")
    for name in ("a.json", "b.json"):
        with pytest.raises(UsageError, match="is there already"):
            archive(path, place / name)

    def late(part: Path, *, directory: Path) -> dict[str, str]:
        (place / "c.json").write_text("mine")
        return verify(part, directory=directory)

    monkeypatch.setattr(sealing, "verify", late)
    with pytest.raises(ArchiveError, match="come to be there"):
        archive(path, place / "c.json")
    assert {"a.json": "mine", "c.json": "mine"} == {
        each.name: each.read_text() for each in place.iterdir() if not each.is_symlink()
    }


@pytest.mark.parametrize("name", ["a.zip", "a", ".json", ".json.zst", "a.zst", "nowhere/a.json"])
def test_a_path_that_cannot_be_meant_is_refused(path: Path, place: Path, name: str) -> None:
    """Another suffix, no name, a directory that is not there."""
    with pytest.raises(UsageError):
        archive(path, place / name)
    assert [] == list(place.iterdir())


def broken_writes(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """The disk takes the first bytes of an archive and no more."""
    create = filesystem.create_private

    def full(part: Path) -> Any:
        file = create(part)
        file.write(b"[")

        class Full:
            def __getattr__(self, name: str) -> Any:
                return getattr(file, name)

            def __enter__(self) -> Any:
                return self

            def __exit__(self, *_: object) -> None:
                file.close()

            def write(self, _data: bytes) -> int:
                raise OSError(code, os.strerror(code))

        return Full()

    monkeypatch.setattr(sealing, "create_private", full)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_takes_no_more_leaves_nothing(
    path: Path, place: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """A full or a broken disk is told by the directory's name, and no half file is there."""
    broken_writes(monkeypatch, code)

    with pytest.raises(ArchiveError, match=f"{place}: no archive was written"):
        archive(path, place)
    assert [] == list(place.iterdir())


def test_an_archive_that_reads_back_as_another_is_thrown_away(
    path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the disk gives back decides: damage between writing and reading leaves no file."""
    fsync = filesystem.fsync_fd

    def damage(fd: int) -> None:
        fsync(fd)
        (part,) = place.glob(".ocblob-archive-*.part")
        flip(part, part.stat().st_size // 2)

    monkeypatch.setattr(sealing, "fsync_fd", damage)
    with pytest.raises(ArchiveError, match=r"not as it was written|damaged"):
        archive(path, place)
    assert [] == list(place.iterdir())


def test_an_archive_that_holds_other_sessions_is_thrown_away(place: Path) -> None:
    """Verified is what was to go into it, not only that it is an archive."""

    def write(sink: TextSink) -> dict[str, str]:
        sink.write(b"[\n]\n")
        return {"ses_a": "0" * 64}

    with pytest.raises(ArchiveError, match="does not hold what went into it"):
        sealing.seal(archive_place(place / "a.json", stem="a"), write, progress=lambda _: None)
    assert [] == list(place.iterdir())


def test_a_nearly_full_disk_is_left_alone(path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A large archive ends before a host beside it runs into a full disk."""
    monkeypatch.setattr(contents, "ROOM_LOOK_BYTES", 1000)
    monkeypatch.setattr(contents, "RESERVE_BYTES", 2**62)

    with pytest.raises(ArchiveError, match="nearly full"):
        archive(path, place)
    assert [] == list(place.iterdir())


def test_what_a_killed_run_left_goes_a_day_later(path: Path, place: Path) -> None:
    """An unfinished file that is old is removed; one that somebody may be writing, and any other file, stay."""
    old, young, other = (place / f".ocblob-archive-{digit * 16}.part" for digit in "ab0")
    other = other.with_suffix(".mine")
    for file in (old, young, other):
        file.write_text("[")
    os.utime(old, (1, time.time() - 2 * 86400))
    os.utime(other, (1, time.time() - 2 * 86400))

    report = archive(path, place)

    assert {young, other, Path(report.path)} == set(place.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="permissions are POSIX's")
def test_a_directory_that_cannot_be_written_is_told(place: Path) -> None:
    """With its name, and nothing else happens."""
    code = f"""
from pathlib import Path
from processes import as_nobody
from ocblob.errors import ArchiveError
from ocblob.sessions.sealing import archive_place, seal
place = archive_place(Path({str(place)!r}), stem="a")
with as_nobody():
    try:
        seal(place, lambda sink: dict(), progress=lambda _: None)
    except ArchiveError as error:
        print(error)
"""
    for parent in place.parents:
        if "pytest" in parent.name or parent == place.parent:
            parent.chmod(0o755)
    place.chmod(0o555)

    assert f"{place}: no archive was written: Permission denied" == finish(spawn(code)).strip()


@pytest.mark.skipif(os.name == "nt", reason="a rename does it there")
def test_a_file_system_without_hard_links_gets_archives_too(
    path: Path, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name is taken by an empty file first; one that is there is not written over there either."""
    monkeypatch.setattr(Path, "hardlink_to", _no_links)

    report = archive(path, place)

    assert digests(path) == verify(Path(report.path))
    assert [Path(report.path)] == list(place.iterdir())
    source = place / "new"
    source.write_text("new")
    with pytest.raises(FileExistsError):
        filesystem.publish_new(source, Path(report.path))
    assert report.size == Path(report.path).stat().st_size


def _no_links(self: Path, target: Path) -> None:
    raise PermissionError(errno.EPERM, f"{self} to {target}")


def test_an_interrupted_run_leaves_nothing(path: Path, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while sessions are written removes what was begun."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ElementWriter, "write", interrupt)
    with pytest.raises(KeyboardInterrupt):
        archive(path, place)
    assert [] == list(place.iterdir())


def test_a_blob_that_goes_bad_while_it_is_read_stops_the_archive(
    path: Path, place: Path, store: BlobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was found true a moment before; no archive with half of it is kept."""
    move_out(path, store)

    def half(self: BlobStore, digest: str) -> Iterator[bytes]:
        del self
        yield b"half"
        raise BlobCorruptError("gone bad", digest=digest)

    monkeypatch.setattr(BlobStore, "chunks", half)
    with pytest.raises(BlobCorruptError):
        archive(path, place, store)
    assert [] == list(place.iterdir())


def test_many_sessions_share_one_file(tmp_path: Path, place: Path) -> None:
    """Every session is one element, in the order of their trees."""
    path = make_talks(tmp_path / "db" / "many.db", many(20))

    report = archive(path, place / "a.json")

    elements = json.loads(Path(report.path).read_bytes())
    assert [session.id for session in report.sessions] == [element["ocblob"]["session"] for element in elements]
    assert 20 == len(elements)
