"""Mirrors made in tests: databases with odd rows, the verb as the command line calls it, a comparison of every byte."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ocblob import config
from ocblob.cells import SessionTree
from ocblob.databases.mirror_rows import MirroredSession, RowMark
from ocblob.databases.session_rows import Row, Value
from ocblob.databases.sqlite import SQLiteDatabase, create_file
from ocblob.databases.sqlite.mirror_writing import SQLiteMirrorWriter
from ocblob.mirroring import MirrorPass, mirror_pass
from ocblob.rows import row_digest
from ocblob.sessions.mirroring import Direction, Manner, MirrorReport, apply_mirror, definitions, plan_mirror
from ocblob.store import BlobStore
from ocblob.store.places import LocalTier
from odd_cells import CELLS
from samples import cell, opencode_profile, opened, payload
from talks import Dump, Talk, insert, make_talks, rows

FAMILY = (
    Talk("ses_a", 100),
    Talk("ses_a1", 99, parent="ses_a", shared=True),
    Talk("ses_b", 50),
    Talk("ses_v2", 1, v2=True),
)


def change(path: Path, *statements: str) -> None:
    """Somebody writes."""
    with opened(path) as db, db:
        for statement in statements:
            db.execute(statement).fetchall()


def mirror(source: Path | str, target: Path | str, store: Path, **options: Any) -> MirrorReport:
    """Mirror one database to another; what was done."""
    report = mirrored(source, target, store, **options).report
    assert report is not None
    return report


def mirrored(source: Path | str, target: Path | str, store: Path, **options: Any) -> MirrorPass:
    """The same with its surroundings."""
    place = config.StorePlace(str(store), "--store", LocalTier(store.parent / "state"), {})
    return mirror_pass(config.Place(str(source), "--from"), config.Place(str(target), "--to"), place, **options)


def make_odd(path: Path, *, size: int = 60_000) -> Path:
    """Sessions with attachments, and rows with every cell that a row may have."""
    make_talks(path, [Talk("ses_a", 100, size=size), *FAMILY[1:], Talk("ses_odd", 5)])
    with opened(path) as db, db:
        part: dict[str, str | float | bytes | None] = {
            "message_id": "msg_ses_odd_1",
            "session_id": "ses_odd",
            "time_created": 5,
        }
        for number, odd in enumerate(CELLS):
            if odd.type == "null":
                continue
            insert(db, "part", id=f"prt_odd_{number:04}", time_updated=number, data="", **part)
            db.execute(
                f"UPDATE part SET data=CAST(? AS {odd.type}) WHERE id=?", (odd.data, f"prt_odd_{number:04}")
            ).fetchall()
        for number, (value, kind) in enumerate(ODD_VALUES):
            insert(db, "part", id=f"prt_value_{number:04}", time_updated=number, data="{}", **part)
            db.execute(f"UPDATE part SET time_created={kind} WHERE id=?1", (f"prt_value_{number:04}", value)).fetchall()
        keys = ("Prt_A", "prt_a", "prt_ä", "prt_ä ", "prt_\U0001f600", "prt_a\n", "x" * 900)
        for key in keys:
            insert(db, "part", id=key, time_updated=1, data=cell(payload(20_000, key)), **part)
    return path


ODD_VALUES = (
    ("a text", "?2"),
    (b"a blob", "?2"),
    (b"\xff\x00", "CAST(?2 AS TEXT)"),
    (0.5, "?2"),
    (float("inf"), "?2"),
    (-0.0, "?2"),
    (2**63 - 1, "?2"),
    (-(2**63), "?2"),
)
"""What a column of integers holds when somebody puts it there."""


def compared(path: Path) -> Dump:
    """What a mirror of all sessions must give back: the rows of every table that it is about."""
    found = rows(path)
    return {table: found[table] for table in found if table == "project" or _is_owned(table)}


def _is_owned(table: str) -> bool:
    return table in {
        "session",
        "message",
        "part",
        "todo",
        "session_message",
        "session_input",
        "session_context_epoch",
        "session_share",
        "event_sequence",
        "event",
    }


class Keeping(SQLiteDatabase):
    """A file that keeps records, as a server does: by the digests of its rows as they are. Nothing outlives it."""

    def __init__(self, path: Path, *, breaks: int = 0) -> None:
        """`breaks`: the call of a writer's that raises `Broken` instead of doing anything."""
        create_file(path)
        super().__init__(path)
        self.kept: dict[str, MirroredSession] = {}
        self.calls = 0
        self.breaks = breaks

    @property
    def keeps_records(self) -> bool:
        """It does."""
        return True

    def records(self, session: str | None = None) -> Iterator[MirroredSession]:
        """See `MirrorDatabase`."""
        return iter([kept for kept in self.kept.values() if session in {None, kept.session}])

    def marks(self, tree: SessionTree, table: str, session: str) -> Iterator[RowMark]:
        """See `MirrorDatabase`."""
        owned = next(owned for owned in tree.owned if owned.table == table)
        with self.snapshot() as state:
            shape = state.shape(table)
            for row in state.rows(owned, session):
                key = tuple(row.values[shape.columns.index(name)] for name in shape.key)
                yield RowMark(key, row.rowid, row_digest(table, shape.columns, row))

    @contextlib.contextmanager
    def mirror_writer(self) -> Iterator[SQLiteMirrorWriter]:
        """See `MirrorDatabase`."""
        with super().mirror_writer() as writer:
            yield _KeepingWriter(self, writer)

    def step(self) -> None:
        """A call of a writer's."""
        self.calls += 1
        if self.calls == self.breaks:
            raise Broken


class Broken(BaseException):
    """The process ends here."""


class _KeepingWriter(SQLiteMirrorWriter):
    def __init__(self, database: Keeping, writer: SQLiteMirrorWriter) -> None:
        self._database = database
        self._inner = writer

    def put(self, table: str, columns: Sequence[str], row: Row, digest: str, *, owner: str = "") -> None:
        """See `MirrorWriter`."""
        self._database.step()
        self._inner.put(table, columns, row, digest, owner=owner)

    def remove(self, table: str, key: Sequence[Value]) -> None:
        """See `MirrorWriter`."""
        self._database.step()
        self._inner.remove(table, key)

    def record(self, session: MirroredSession) -> None:
        """See `MirrorWriter`."""
        self._inner.record(session)
        self._database.step()
        self._database.kept[session.session] = session


class Mirroring:
    """A mirror to a `Keeping`, as `mirror_pass` does it."""

    def __init__(self, source: Path, target: Keeping, store: BlobStore, *, origin: str = "here") -> None:
        self.source = source
        self.target = target
        self.store = store
        self.origin = origin

    def run(self, *, verify: bool = False, force: bool = False) -> MirrorReport:
        """Plan and apply."""
        profile = opencode_profile(self.source)
        assert profile.tree is not None
        with SQLiteDatabase(self.source, read_only=True) as source:
            self.target.prepare(definitions(source, profile.tree))
            plan = plan_mirror(source, self.target, profile.tree, origin=self.origin, verify=verify)
            return apply_mirror(
                source,
                self.target,
                profile.tree,
                plan,
                self.store,
                origin=self.origin,
                direction=Direction((*profile.columns, *profile.counted), offload=True),
                manner=Manner(verify=verify, force=force),
            )
