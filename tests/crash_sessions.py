"""Sessions that go into an archive, out of the database, and come back: scenes, and what must hold at any moment.

The one rule: each session is whole in the database, or whole in an archive that proves true; never neither.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Final
from unittest import mock

from crash_record import acknowledge
from crash_states import State
from ocblob import BlobStore
from ocblob.archiving import archive_pass
from ocblob.cells import Scope, SessionTree
from ocblob.config import Place, Settings, StorePlace
from ocblob.databases.sqlite import SQLiteDatabase, session_delete, session_pieces
from ocblob.errors import ArchiveError
from ocblob.offload import offload
from ocblob.retention import retain_pass
from ocblob.rows import session_digest
from ocblob.sessions.reader import Archive
from ocblob.sessions.verification import verify
from ocblob.store.places import LocalTier
from ocblob.unarchiving import unarchive_pass
from samples import Value, dump, make_opencode, opencode_profile, query, unresolved

Rows = dict[str, list[tuple[Value, ...]]]

SESSIONS: Final = 3
KEPT: Final = "ses_0"
"""The one that the limits leave."""
PAYLOAD_BYTES: Final = 6000
MIN_CHARS: Final = 1000
ARCHIVES: Final = "archives"
NOW_MS: Final = 1_780_000_000_000


# --- what lies there before


def sessions_and_store(root: Path) -> None:
    """Three sessions; the payloads of one are in the store."""
    path = root / "opencode.db"
    make_opencode(path, sessions=SESSIONS, parts=2, size=PAYLOAD_BYTES, now_ms=NOW_MS)
    columns = opencode_profile(path).columns
    with BlobStore.create(root / "store")[0] as store, SQLiteDatabase(path) as database:
        store.registry.register(database.url, host="opencode")
        scope = Scope(sessions=("ses_1",), session_table=opencode_profile(path).session_table)
        assert offload(database, store, columns, scope=scope, min_chars=MIN_CHARS).payloads
    (root / ARCHIVES).mkdir()


def sessions_in_an_archive(root: Path) -> None:
    """Two of them, and all blobs, are in an archive only."""
    sessions_and_store(root)
    retain(root)
    shutil.rmtree(root / "store")
    BlobStore.create(root / "store")[0].close()


def whole_sessions(root: Path) -> Rows:
    """The rows of the beginning, and the digests of sessions; those that are in an archive are put back for it."""
    for path in archives(root):
        assert back(root, path)
    return rows_of(root / "opencode.db")


# --- what the scenes do


def retain(root: Path) -> None:
    """All sessions but the newest into an archive and out of the database."""
    done = retain_pass(place(root), store_place(root), settings(root), vacuum="always")
    assert done.complete, done
    acknowledge(root, "retained")


def retain_in_pieces(root: Path) -> None:
    """The same, as large sessions go: a row or two in a transaction."""
    with (
        mock.patch.object(session_delete, "WHOLE_ROWS_MAX", 2),
        mock.patch.object(session_pieces, "PIECE_ROWS", 2),
        mock.patch("ocblob.databases.sqlite.session_writing.TRANSACTION_S", 0.0),
    ):
        retain(root)


def retain_and_back(root: Path) -> None:
    """There and back again."""
    retain(root)
    unarchive(root)


def archive(root: Path) -> None:
    """All sessions into a file that was named."""
    assert archive_pass(place(root), store_place(root), root / ARCHIVES / "all.json").complete
    acknowledge(root, "archived")


def archive_refs(root: Path) -> None:
    """The same; blobs of refs stay in the store, and are pinned there."""
    assert archive_pass(place(root), store_place(root), root / ARCHIVES / "all.json.zst", refs=True).complete
    acknowledge(root, "archived")


def unarchive(root: Path) -> None:
    """What is in the archive back into the database; the store has lost its blobs meanwhile."""
    for path in archives(root):
        assert back(root, path)
    acknowledge(root, "unarchived")


# --- what must hold


def sessions_trouble(root: Path, state: State, original: Rows) -> list[str]:
    """Each session is whole somewhere; what was told holds; the next passes end what was begun and bring all back."""
    found = whole_somewhere(root, original) + blobs_trouble(root)
    if "retained" in state.told:
        left = {str(session) for (session,) in query(root / "opencode.db", "SELECT id FROM session")}
        found += [f"{session} was evicted, and is there" for session in sorted(left - {KEPT})]
    if "archived" in state.told and not any(path.name.startswith("all") for path in archives(root)):
        found.append("an archive was told, and there is none")
    if "unarchived" in state.told:
        left = {str(session) for (session,) in query(root / "opencode.db", "SELECT id FROM session")}
        found += [f"ses_{number} is not back" for number in range(SESSIONS) if f"ses_{number}" not in left]
    return found + next_trouble(root, original)


def whole_somewhere(root: Path, original: Rows) -> list[str]:
    """Sessions that are whole in no place, archives that do not prove true, rows that are nobody's."""
    path = root / "opencode.db"
    found = database_trouble(path)
    wanted = digests_of(original)
    there = {session: digest for session, digest in digests(path).items() if wanted.get(session) == digest}
    sealed = dict[str, set[str]]()
    for file in archives(root):
        try:
            for session, digest in verify(file).items():
                sealed.setdefault(session, set()).add(digest)
        except ArchiveError as error:
            found.append(f"a published archive: {error}")
    for session, digest in wanted.items():
        if session not in there and digest not in sealed.get(session, set()):
            found.append(f"{session} is whole neither in the database nor in an archive")
    return found


def blobs_trouble(root: Path) -> list[str]:
    """Refs in rows whose blobs are not in the store, and archives whose blobs are in neither, nor pinned."""
    found = [
        f"a row names {digest}, which the store has not" for digest in unresolved(root / "opencode.db", root / "store")
    ]
    with BlobStore.open(root / "store") as store:
        pins = {pin.digest for pin in store.registry.pins()}
        for file in archives(root):
            archive = Archive(file)
            with archive.needed() as needed, archive.extract(needed) as blobs:
                bare = {mark.digest for mark in needed.refs if mark.digest not in blobs}
            found += [f"{file.name} names {digest}, which is not pinned" for digest in sorted(bare - pins)]
            found += [
                f"{file.name} names {digest}, which is gone" for digest in sorted(bare) if not store.contains(digest)
            ]
    return found


def next_trouble(root: Path, original: Rows) -> list[str]:
    """What the next retention cannot do, and what is not as it was when all archives are put back."""
    retain_pass(place(root), store_place(root), settings(root), vacuum="always")
    found = database_trouble(root / "opencode.db")
    # The first archive of a session has it whole; a later one may hold what a killed retention had left of it.
    for path in archives(root):
        back(root, path)
    return found if rows_of(root / "opencode.db") == original else [*found, "rows are not what they were"]


def database_trouble(path: Path) -> list[str]:
    """Whether SQLite finds it sound, and every row belongs to something that is there."""
    found = [f"the database: {check!r}" for (check,) in query(path, "PRAGMA integrity_check") if check != "ok"]
    found += [f"a row of {table!r} is nobody's" for table, *_ in query(path, "PRAGMA foreign_key_check")]
    orphans = "SELECT id FROM event WHERE aggregate_id NOT IN (SELECT aggregate_id FROM event_sequence)"
    return found + [f"{event!r} is nobody's" for (event,) in query(path, orphans)]


# --- the places


def back(root: Path, path: Path) -> bool:
    """Put an archive's sessions back; whether all are."""
    done = unarchive_pass(
        place(root), store_place(root), path, sessions=(), replace=False, force=False, dry_run=False, say=lambda _: None
    )
    return done.complete


def archives(root: Path) -> list[Path]:
    """Every archive that has its name, the oldest first."""
    found = [path for path in (root / ARCHIVES).iterdir() if not path.name.startswith(".")]
    return sorted(found, key=lambda path: (path.stat().st_mtime_ns, path.name))


def settings(root: Path) -> Settings:
    """One session may stay."""
    return replace(Settings(), max_sessions=1, keep_active_s=0.0, archive=root / ARCHIVES)


def place(root: Path) -> Place:
    """The database."""
    return Place(str(root / "opencode.db"), "--db")


def store_place(root: Path) -> StorePlace:
    """The store."""
    return StorePlace(str(root / "store"), "--store", LocalTier(root / "state"), {})


def tree_of(path: Path) -> SessionTree:
    """What belongs to a session."""
    tree = opencode_profile(path).tree
    assert tree is not None
    return tree


def digests(path: Path) -> dict[str, str]:
    """Each session of a database, by its digest."""
    tree = tree_of(path)
    with SQLiteDatabase(path, read_only=True) as database, database.snapshot() as snapshot:
        return {facts.id: session_digest(snapshot, tree, facts.id) for facts in database.survey(tree)}


def rows_of(path: Path) -> Rows:
    """Every row with its type, and what each session's digest is."""
    found: Rows = {table: sorted(map(_plain, rows), key=repr) for table, rows in dump(path).items()}
    found["digests"] = [*sorted(digests(path).items())]
    return found


def digests_of(original: Rows) -> dict[str, str]:
    """The digests of the beginning."""
    return {str(session): str(digest) for session, digest in original["digests"]}


def _plain(row: tuple[object, ...]) -> tuple[Value, ...]:
    return tuple(value if isinstance(value, int | float | str | bytes | None) else repr(value) for value in row)
