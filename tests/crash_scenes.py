"""What is recorded: one function per scene, run in a child process, and what must hold after a power cut.

A scene is three functions: `prepare` lays everything out (all of that is durable), `work` runs under the recorder,
and `trouble` looks at one state with fresh eyes and says what is wrong.
"""

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Callable, Container, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from unittest import mock

import apsw

from crash_record import Work, acknowledge
from crash_sessions import (
    archive,
    archive_refs,
    retain,
    retain_in_pieces,
    sessions_and_store,
    sessions_in_an_archive,
    sessions_trouble,
    unarchive,
    whole_sessions,
)
from crash_states import State
from ocblob import BlobStore, Resolver, find_refs, replacing
from ocblob.cells import Column, Scope
from ocblob.config import StorePlace
from ocblob.databases.sqlite import SQLiteDatabase
from ocblob.databases.sqlite.vacuum import apply_vacuum, plan_vacuum
from ocblob.deletions import evict_pass, prune_pass
from ocblob.digest import digest_of
from ocblob.errors import BlobExpiredError, OcblobError
from ocblob.evict import Limits
from ocblob.offload import offload
from ocblob.prompts import offload_prompts, restore_prompts
from ocblob.restore import restore
from ocblob.store.places import LocalTier
from ocblob.sync import sync
from processes import TIMEOUT_S, spawn
from samples import Value, cell, flip, make_opencode, object_path, opened, payload

COLUMNS: Final = (Column("part", "data"), Column("event", "data"))
GRACE_S: Final = 86400.0
MIN_CHARS: Final = 1000
PAYLOAD_BYTES: Final = 6000
BLOBS: Final = (payload(5000, "one"), payload(3000, "two"))
DIGESTS: Final = tuple(digest_of(payload(PAYLOAD_BYTES, (0, part))) for part in range(3))
SMALL_BATCH_CELLS: Final = 2
PROMPTS: Final = "".join(f"{cell(payload(PAYLOAD_BYTES, (0, part)))}\n" for part in range(2)).encode()

Rows = dict[str, list[tuple[Value, ...]]]

KILLED_WRITER: Final = """
import os, signal, sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("UPDATE session SET title=title||hex(zeroblob(5000))")
os.kill(os.getpid(), signal.SIGKILL)
"""


@dataclass(frozen=True, slots=True)
class Scene:
    """One thing that ocblob does, to be cut short anywhere."""

    name: str
    prepare: Work
    """In this process; everything it leaves is durable."""
    work: Work
    """In the recorded child."""
    trouble: Callable[[Path, State, Rows], list[str]]
    """In this process, on a disk as a power cut left it: what is wrong. Gets the rows of the beginning."""
    whole: Callable[[Path], Rows] | None = None
    """How the rows of the beginning are taken; None: those of all tables, with every ref resolved."""


# --- what the scenes do; each runs in a child, and `acknowledge` says what somebody was told


def put(root: Path) -> None:
    """Two blobs and a pin."""
    with _store(root) as store:
        for data in BLOBS:
            acknowledge(root, f"put-{store.put([data]).digest}")
        store.registry.pin(digest_of(BLOBS[0]), why="put")
        acknowledge(root, f"pin-{digest_of(BLOBS[0])}")


def offload_all(root: Path) -> None:
    """A whole pass, as the command line makes it."""
    with _store(root) as store, SQLiteDatabase(root / "opencode.db") as database:
        store.registry.register(database.url, host="opencode")
        acknowledge(root, "registered")
        report = offload(database, store, COLUMNS, scope=Scope(), min_chars=MIN_CHARS)
        assert report.complete
        acknowledge(root, "offloaded")


def offload_in_batches(root: Path) -> None:
    """The same, in batches of two cells, several on their way at a time."""
    import ocblob.batches

    ocblob.batches.BATCH_CELLS = SMALL_BATCH_CELLS  # type: ignore[misc]
    offload_all(root)


def offload_beside_another(root: Path) -> None:
    """Another writer has renamed an object into its place a moment ago, and is stopped before its fsyncs."""
    for stray in sorted((root / "other").iterdir()):
        staged = root / "store" / "staging" / stray.name
        staged.write_bytes(stray.read_bytes())
        staged.rename(object_path(root / "store", stray.name))
    offload_all(root)


def restore_all(root: Path) -> None:
    """Every payload back into its row."""
    with _store(root) as store, SQLiteDatabase(root / "opencode.db") as database:
        store.registry.register(database.url, host="opencode")
        assert restore(database, store, COLUMNS, scope=Scope()).complete
        acknowledge(root, "restored")


def vacuum(root: Path) -> None:
    """A new file in the place of the old one."""
    plan = plan_vacuum(root / "opencode.db", method="swap")
    apply_vacuum(plan)
    acknowledge(root, "vacuumed")


def prune(root: Path) -> None:
    """Unreferenced blobs into the trash, or out of it for good."""
    prune_pass(_place(root), grace_s=GRACE_S, force=True)
    acknowledge(root, "pruned")


def expire(root: Path) -> None:
    """Last copies of blobs that nobody has read for a day, with a tombstone for each."""
    evict_pass(_place(root), Limits(max_age_s=GRACE_S), grace_s=GRACE_S, expire=True)
    acknowledge(root, "expired")


def copy_and_evict(root: Path) -> None:
    """Blobs into another place; then the local copies go, as that one is proven to hold them."""
    with _store(root) as store:
        store.add_copy(str(root / "copy"))
        assert sync(store).complete
        acknowledge(root, "copied")
    evict_pass(_place(root), Limits(max_age_s=GRACE_S), grace_s=GRACE_S)
    acknowledge(root, "evicted")


def move_prompts(root: Path) -> None:
    """The payloads of a prompt history out of it, and back."""
    with _store(root) as store:
        assert offload_prompts([_history(root)], store, min_chars=MIN_CHARS).payloads
        acknowledge(root, "prompts-out")
        assert restore_prompts([_history(root)], store).complete
        acknowledge(root, "prompts-back")


# --- what lies there before


def nothing(root: Path) -> None:
    """An empty directory."""


def store_with_a_blob(root: Path) -> None:
    """A store that is in use."""
    with _store(root) as store:
        store.put([payload(2000, "before")])


def database_only(root: Path) -> None:
    """A host's database, its WAL not empty: the host was killed."""
    make_opencode(root / "opencode.db", sessions=1, parts=3, size=PAYLOAD_BYTES)
    _leave_a_wal(root / "opencode.db")


def database_and_store(root: Path) -> None:
    """Both."""
    store_with_a_blob(root)
    database_only(root)


def database_and_strays(root: Path) -> None:
    """Both, and ready-made objects of the database's blobs beside them."""
    database_and_store(root)
    (root / "other").mkdir()
    make_opencode(root / "aside.db", sessions=1, parts=3, size=PAYLOAD_BYTES)
    with BlobStore.create(root / "aside")[0] as aside:
        for part in range(2):
            digest = aside.put([payload(PAYLOAD_BYTES, (0, part))]).digest
            shutil.copy(object_path(root / "aside", digest), root / "other" / digest)
    shutil.rmtree(root / "aside")
    (root / "aside.db").unlink()


def database_and_damage(root: Path) -> None:
    """Both, and the store holds damaged objects of the database's blobs."""
    database_and_store(root)
    with _store(root) as store:
        digests = [store.put([payload(PAYLOAD_BYTES, (0, part))]).digest for part in range(2)]
    for digest in digests:
        flip(object_path(root / "store", digest), 3000)


def offloaded(root: Path) -> None:
    """A database whose payloads are in the store."""
    database_and_store(root)
    offload_all(root)


def with_free_pages(root: Path) -> None:
    """A database whose rows have become small, in WAL mode, with a WAL."""
    offloaded(root)
    _leave_a_wal(root / "opencode.db")


def offloaded_and_more(root: Path) -> None:
    """And blobs that nothing names."""
    offloaded(root)
    with _store(root) as store:
        for data in BLOBS:
            store.put([data])


def in_the_trash(root: Path) -> None:
    """All blobs were unreferenced some days ago, and lie in the trash."""
    with days_ago(3):
        offloaded_and_more(root)
        restore_all(root)
        prune(root)


def in_the_trash_and_named(root: Path) -> None:
    """The same, and a backup of the database, with its refs, was put back since."""
    with days_ago(3):
        offloaded_and_more(root)
        shutil.copy(root / "opencode.db", root / "backup.db")
        restore_all(root)
        prune(root)
    (root / "backup.db").replace(root / "opencode.db")


def unread_for_days(root: Path) -> None:
    """A database whose payloads are in the store."""
    with days_ago(3):
        offloaded(root)


def prompts_and_store(root: Path) -> None:
    """A host's history, and a store that is in use."""
    store_with_a_blob(root)
    _history(root).parent.mkdir()
    _history(root).write_bytes(PROMPTS)


@contextlib.contextmanager
def days_ago(days: int) -> Iterator[None]:
    """The clock was slow then."""
    real = time.time

    def slow() -> float:
        return real() - days * 86400

    with mock.patch("time.time", slow):
        yield


# --- what must hold


def store_trouble(root: Path, state: State, _original: Rows) -> list[str]:
    """What was acknowledged is there; the catalog opens and knows nothing that is not there; the next put works."""
    found = list[str]()
    promised = [what.partition("-")[2] for what in state.told if what.startswith("put-")]
    if promised:
        with Resolver(root / "store") as resolver:
            for digest in promised:
                if digest_of(resolver.read(digest)) != digest:
                    found.append(f"blob {digest} is another")
    with _store(root) as store:
        pins = {pin.digest for pin in store.registry.pins()}
        found += [f"pin {what} is gone" for what in state.told if what.startswith("pin-") and what[4:] not in pins]
        found += catalog_trouble(root, store)
        for data in BLOBS:
            if store.read(store.put([data]).digest) != data:
                found.append("the next put does not give back what it got")
    return found


def rows_trouble(root: Path, state: State, original: Rows) -> list[str]:
    """Each row is what it was, itself or by the blobs it names; what was told holds; the next passes cure the rest."""
    path, found = root / "opencode.db", list[str]()
    rows = read_rows(path, found)
    named = {ref.digest for row in itertools.chain(*rows.values()) for text in _texts(row) for ref in find_refs(text)}
    if named:
        found += registry_trouble(path, root / "store")
    if rows != original and resolved(rows, root / "store") != original:
        found.append("rows are not what they were")
    if "restored" in state.told and named:
        found.append("restore was acknowledged, and refs are there")
    if "registered" in state.told:
        found += registry_trouble(path, root / "store")
    if "vacuumed" in state.told:
        with opened(path) as db:
            if db.execute("PRAGMA freelist_count").get:
                found.append("vacuum was acknowledged, and the old file is there")
    with _store(root) as store, SQLiteDatabase(path) as database:
        if "offloaded" in state.told:
            found += [f"blob {digest} is gone" for digest in DIGESTS if not store.contains(digest)]
        found += catalog_trouble(root, store)
        found += next_trouble(store, database)
    if read_rows(path, found) != original:
        found.append("the next restore gives other rows")
    return found


def registry_trouble(path: Path, store: Path) -> list[str]:
    """Whether a database is registered: prune must look at its rows."""
    with BlobStore.open(store) as at:
        known = [entry.url for entry in at.registry.databases()]
    return [] if str(path) in known else ["the database is not registered"]


def next_trouble(store: BlobStore, database: SQLiteDatabase) -> list[str]:
    """What the next passes cannot do."""
    store.registry.register(database.url, host="opencode")
    out = offload(database, store, COLUMNS, scope=Scope(), min_chars=MIN_CHARS)
    back = restore(database, store, COLUMNS, scope=Scope())
    found = [f"the next offload: {out.problems}"] if not out.complete else []
    return found + ([f"the next restore: {back.problems}"] if not back.complete else [])


def condemned_trouble(root: Path, state: State, original: Rows) -> list[str]:
    """All of that; and what nothing names is there in its grace."""
    found = list[str]()
    with Resolver(root / "store") as resolver:
        found += [f"blob {digest_of(data)} is gone" for data in BLOBS if resolver.read(digest_of(data)) != data]
    return found + rows_trouble(root, state, original)


def copied_trouble(root: Path, state: State, original: Rows) -> list[str]:
    """All of that; and the copy is a store of its own, with the records of the first one."""
    found = list[str]()
    if "copied" in state.told:
        with Resolver(root / "copy") as resolver:
            found += [
                f"the copy's {digest} is another" for digest in DIGESTS if digest_of(resolver.read(digest)) != digest
            ]
        found += registry_trouble(root / "opencode.db", root / "copy")
    return found + rows_trouble(root, state, original)


def expired_trouble(root: Path, state: State, original: Rows) -> list[str]:
    """A ref resolves, or says that its blob was dropped; never that it is missing."""
    found = list[str]()
    rows = read_rows(root / "opencode.db", found)
    expired = 0
    with Resolver(root / "store") as resolver:
        for text in itertools.chain(*(_texts(row) for row in itertools.chain(*rows.values()))):
            for ref in find_refs(text):
                try:
                    resolver.read(ref)
                except BlobExpiredError:
                    expired += 1
    if "expired" in state.told and not expired:
        found.append("nothing is expired, and it was told")
    with _store(root) as store:
        found += catalog_trouble(root, store)
        for part in range(3):
            data = payload(PAYLOAD_BYTES, (0, part))
            if store.read(store.put([data]).digest) != data:
                found.append("the next put does not give back what it got")
    return found if resolved(rows, root / "store") == original else [*found, "rows are not what they were"]


def vacuum_trouble(root: Path, state: State, original: Rows) -> list[str]:
    """All of that; and the next vacuum leaves nothing behind."""
    path, found = root / "opencode.db", list[str]()
    read_rows(path, found)
    apply_vacuum(plan_vacuum(path, method="swap"))
    found += [f"{left.name} is left" for left in root.glob("opencode.db?*") if "vacuum" in left.name]
    with opened(path) as db:
        if db.execute("PRAGMA journal_mode").get != "wal":
            found.append("the database was in WAL mode, and is not any more")
    return found + rows_trouble(root, state, original)


def prompts_trouble(root: Path, state: State, _original: Rows) -> list[str]:
    """The history is what it was, itself or by the blobs it names; what was told holds; the next pass tidies up."""
    text, found = _history(root).read_bytes(), list[str]()
    if _resolved_lines(root, text) != PROMPTS:
        found.append("the history is not what it was")
    if "prompts-back" in state.told and text != PROMPTS:
        found.append("restore was acknowledged, and refs are there")
    if "prompts-out" in state.told and "prompts-back" not in state.told:
        found += [
            f"blob {digest} is gone" for digest in DIGESTS[:2] if not object_path(root / "store", digest).exists()
        ]
    with _store(root) as store:
        found += catalog_trouble(root, store)
        # Nobody writes to it here: there is nothing to linger for.
        with mock.patch.object(replacing, "LINGER_S", 0.0):
            back = restore_prompts([_history(root)], store)
    found += [f"the next restore: {back.problems}"] if not back.complete else []
    found += [f"{left.name} is left" for left in _history(root).parent.iterdir() if left != _history(root)]
    return found if _history(root).read_bytes() == PROMPTS else [*found, "the next restore gives another history"]


def catalog_trouble(root: Path, store: BlobStore) -> list[str]:
    """Whether the catalog is whole, and behind the objects or level with them."""
    live = (row for row in store.catalog.blobs() if row.state.name == "LIVE" and row.held)
    ahead = [row.digest for row in live if not store.contains(row.digest)]
    found = [f"the catalog knows {digest}, the store has none" for digest in ahead]
    if (check := _integrity(root / "store" / "catalog.sqlite")) != "ok":
        found.append(f"the catalog: {check}")
    return found


def read_rows(path: Path, found: list[str]) -> Rows:
    """Every row of every table; SQLite's own check goes into `found`."""
    with opened(path) as db:
        if (check := db.execute("PRAGMA integrity_check").get) != "ok":
            found.append(f"the database: {check}")
        names = [str(name) for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type='table'")]
        return {name: db.execute(f'SELECT * FROM "{name}" ORDER BY 1').fetchall() for name in names}


def original_rows(scene: Scene, root: Path) -> Rows:
    """The rows as they were at the beginning; before any offload, unless the scene says otherwise."""
    if scene.whole is not None:
        return scene.whole(root)
    path = root / "opencode.db"
    if not path.exists():
        return {}
    rows = read_rows(path, [])
    return resolved(rows, root / "store") if (root / "store").exists() else rows


def resolved(rows: Rows, store: Path) -> Rows:
    """The rows with every ref replaced by what it stands for; each blob is verified."""
    with Resolver(store) as resolver:
        return {table: [tuple(_whole(resolver, value) for value in row) for row in rows[table]] for table in rows}


SCENES: Final = (
    Scene("put into a new store", nothing, put, store_trouble),
    Scene("put", store_with_a_blob, put, store_trouble),
    Scene("offload into a new store", database_only, offload_all, rows_trouble),
    Scene("offload in batches", database_and_store, offload_in_batches, rows_trouble),
    Scene("dedupe hit on another writer's object", database_and_strays, offload_beside_another, rows_trouble),
    Scene("repair of damaged objects", database_and_damage, offload_all, rows_trouble),
    Scene("restore", offloaded, restore_all, rows_trouble),
    Scene("dedupe hit in the trash", in_the_trash, offload_all, rows_trouble),
    Scene("prune: condemn", offloaded_and_more, prune, condemned_trouble),
    Scene("prune: delete and revive", in_the_trash_and_named, prune, rows_trouble),
    Scene("evict: expire", unread_for_days, expire, expired_trouble),
    Scene("evict to a copy", unread_for_days, copy_and_evict, copied_trouble),
    Scene("prompts out and back", prompts_and_store, move_prompts, prompts_trouble),
    Scene("vacuum by swap", with_free_pages, vacuum, vacuum_trouble),
    Scene("archive", sessions_and_store, archive, sessions_trouble, whole_sessions),
    Scene("archive with refs", sessions_and_store, archive_refs, sessions_trouble, whole_sessions),
    Scene("archive, retain, vacuum", sessions_and_store, retain, sessions_trouble, whole_sessions),
    Scene("retain in pieces", sessions_and_store, retain_in_pieces, sessions_trouble, whole_sessions),
    Scene("unarchive", sessions_in_an_archive, unarchive, sessions_trouble, whole_sessions),
)


def examine(scene: Scene, root: Path, state: State, original: Rows) -> list[str]:
    """Lay a state out in the place of the recorded directory, and say what is wrong with it."""
    lay_out(root, state.files)
    try:
        return scene.trouble(root, state, original)
    except (OcblobError, apsw.Error, OSError, KeyError) as error:
        return [f"{type(error).__name__}: {error}"]


def lay_out(root: Path, files: dict[str, bytes | None]) -> None:
    """Make a directory hold just this. Directories that are there already stay: most states have 256 of them."""
    root.mkdir(parents=True, exist_ok=True)
    there = _emptied(root, files)
    for path, content in sorted(files.items()):
        if content is not None:
            (root / path).write_bytes(content)
        elif path not in there:
            (root / path).mkdir()


def _emptied(root: Path, kept: Container[str]) -> set[str]:
    """Remove all files, and the directories that are not to be kept; returns those that are."""
    top, there = len(str(root)) + 1, set[str]()
    for name, _, files in os.walk(root, topdown=False):
        directory, path = Path(name), name[top:]
        for file in files:
            (directory / file).unlink()
        if path in kept:
            there.add(path)
        elif path:
            directory.rmdir()
    return there


def _leave_a_wal(path: Path) -> None:
    """As a host does that is killed."""
    with spawn(KILLED_WRITER, str(path)) as process:
        process.communicate(timeout=TIMEOUT_S)
    path.with_name(f"{path.name}-shm").unlink()
    assert path.with_name(f"{path.name}-wal").stat().st_size


def _place(root: Path) -> StorePlace:
    return StorePlace(str(root / "store"), "--store", LocalTier(root / "state"), {})


def _history(root: Path) -> Path:
    return root / "state" / "prompt-history.jsonl"


def _resolved_lines(root: Path, text: bytes) -> bytes:
    with Resolver(root / "store") as resolver:
        return b"".join(resolver.rehydrate(line) for line in text.splitlines(keepends=True))


def _store(root: Path) -> BlobStore:
    return BlobStore.create(root / "store")[0]


def _texts(row: tuple[Value, ...]) -> Iterator[str]:
    return (value for value in row if isinstance(value, str))


def _whole(resolver: Resolver, value: Value) -> Value:
    return resolver.rehydrate(value) if isinstance(value, str) and find_refs(value) else value


def _integrity(path: Path) -> object:
    with opened(path) as db:
        return db.execute("PRAGMA integrity_check").get
