"""Sessions of every kind in a database with OpenCode's own schema, and looks at what became of them.

Times are days before now. Rows are compared with their rowids and types: nothing less is byte for byte.
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import apsw

from ocblob.databases.sqlite.connection import quote
from ocblob.digest import digest_of
from samples import DAY_MS, cell, columns, opened, payload, query

SCHEMA = Path(__file__).parents[1] / "benchmarks" / "opencode_schema.sql"
SHOWN_BYTES = 60
Dump = dict[str, list[tuple[object, ...]]]
"""The rows of each table: rowid, then type and bytes of each value; long ones by their digests."""


@dataclass(frozen=True)
class Talk:
    """One session. Its rows were all written when it was last used, but for its own row, which tells when it began."""

    id: str
    created_days: float
    used_days: float | None = None
    """None: not since it began."""
    parent: str | None = None
    shared: bool = False
    size: int = 2000
    """Of the one attachment, which stands in a part and again in an event."""
    v2: bool = False
    """Its rows are those of a session of the V2 API, with nothing in `message` and `part`."""

    @property
    def used(self) -> float:
        """Days ago."""
        return self.created_days if self.used_days is None else self.used_days


def make_talks(path: Path, talks: Iterable[Talk]) -> Path:
    """A database in WAL mode with these sessions, closed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened(path) as db:
        db.execute("PRAGMA journal_mode=wal").fetchall()
        db.execute("PRAGMA foreign_keys=ON").fetchall()
        db.execute(SCHEMA.read_text(encoding="utf-8")).fetchall()
        with db:
            insert(db, "project", id="prj", worktree="/", time_created=1, time_updated=1, sandboxes="[]")
            for talk in talks:
                write_talk(db, talk)
    return path


def write_talk(db: apsw.Connection, talk: Talk) -> None:
    """Write the rows of one session."""
    now_ms = time.time() * 1000
    created, used = (int(now_ms - days * DAY_MS) for days in (talk.created_days, talk.used))
    # A real of the column `cost` must come back as a real, 2**62 of a token count exactly.
    insert(
        db,
        "session",
        id=talk.id,
        project_id="prj",
        parent_id=talk.parent,
        slug="quiet-otter",
        directory="/",
        title=f"the talk {talk.id}",
        version="1.18.33",
        share_url="https://example.com/s/1" if talk.shared else None,
        cost=0.1 + 0.2,
        tokens_input=2**62,
        time_created=created,
        time_updated=used,
    )
    data = cell(payload(talk.size, talk.id), filename=f"{talk.id}.pdf")
    insert(db, "event_sequence", aggregate_id=talk.id, seq=1)
    insert(db, "todo", session_id=talk.id, content="x", status="completed", priority="low", position=0,
           time_created=created, time_updated=used)  # fmt: skip
    if talk.shared:
        insert(db, "session_share", session_id=talk.id, id="s", secret="s", url="https://example.com/s/1",
               time_created=created, time_updated=used)  # fmt: skip
    if talk.v2:
        insert(db, "session_message", id=f"smg_{talk.id}", session_id=talk.id, type="user", seq=1, time_created=used,
               time_updated=used, data=data)  # fmt: skip
        insert(db, "session_input", id=f"sin_{talk.id}", session_id=talk.id, prompt='{"text":"hm"}', delivery="now",
               admitted_seq=1, time_created=used)  # fmt: skip
        insert(db, "session_context_epoch", session_id=talk.id, baseline="b", snapshot="s", baseline_seq=1)
        return
    user, model = f"msg_{talk.id}_1", f"msg_{talk.id}_2"
    for message, role in ((user, "user"), (model, "assistant")):
        insert(db, "message", id=message, session_id=talk.id, time_created=used, time_updated=used,
               data=f'{{"role":"{role}","time":{{"created":{used}}}}}')  # fmt: skip
    parts = {f"prt_{talk.id}_1": (user, data), f"prt_{talk.id}_2": (model, '{"type":"text","text":"Ähm…"}')}
    for part, (message, text) in parts.items():
        insert(db, "part", id=part, message_id=message, session_id=talk.id, time_created=used, time_updated=used,
               data=text)  # fmt: skip
    insert(db, "event", id=f"evt_{talk.id}", aggregate_id=talk.id, seq=1, type="message.part.updated.1",
           data=f'{{"sessionID":"{talk.id}","part":{data}}}')  # fmt: skip


def insert(db: apsw.Connection, table: str, **values: str | float | bytes | None) -> None:
    """One row."""
    names, places = ", ".join(map(quote, values)), ", ".join("?" * len(values))
    db.execute(f"INSERT INTO {quote(table)} ({names}) VALUES ({places})", tuple(values.values())).fetchall()


def many(count: int, *, oldest_days: float = 100, size: int = 2000) -> list[Talk]:
    """Sessions ses_0, ses_1 ... the oldest first, a day apart."""
    return [Talk(f"ses_{number}", oldest_days - number, size=size) for number in range(count)]


def sessions(path: Path) -> list[str]:
    """The ids of all sessions, ordered."""
    return [str(name) for (name,) in query(path, "SELECT id FROM session ORDER BY id")]


def rows(path: Path) -> Dump:
    """Everything that stands in every table of the database."""
    tables = query(path, "SELECT name FROM pragma_table_list WHERE schema='main' AND type='table' AND wr=0")
    return {str(name): _rows(path, str(name)) for (name,) in tables if not str(name).startswith("sqlite_")}


def _rows(path: Path, table: str) -> list[tuple[object, ...]]:
    values = ", ".join(f"typeof({quote(name)}), CAST({quote(name)} AS BLOB)" for name in columns(path, table))
    with opened(path) as db:
        found = db.execute(f"SELECT rowid, {values} FROM {quote(table)} ORDER BY rowid")
        return [tuple(map(_short, row)) for row in found]


def _short(value: object) -> object:
    return digest_of(value) if isinstance(value, bytes) and len(value) > SHOWN_BYTES else value


def orphans(path: Path) -> list[str]:
    """Rows that belong to no session, in whatever table with a column that names one, and what foreign keys say."""
    found = [f"{table!s} {rowid!s}" for table, rowid, *_ in query(path, "PRAGMA foreign_key_check")]
    tables = query(path, "SELECT name FROM pragma_table_list WHERE schema='main' AND type='table'")
    for table in (str(name) for (name,) in tables):
        for name in {"session_id", "aggregate_id"} & set(columns(path, table)):
            sql = f"SELECT count(*) FROM {quote(table)} WHERE {quote(name)} NOT IN (SELECT id FROM session)"
            ((count,),) = query(path, sql)
            found += [f"{count!s} rows of {table}"] if count else []
    sql = "SELECT id FROM session WHERE parent_id NOT IN (SELECT id FROM session)"
    return found + [f"session {name!s} without its parent" for (name,) in query(path, sql)]


def sound(path: Path) -> bool:
    """Whether SQLite's own checks find nothing, and no row is an orphan."""
    ((found, *_),) = query(path, "PRAGMA integrity_check(1)")
    return found == "ok" and not orphans(path)


def live_bytes(path: Path) -> int:
    """Bytes in pages that hold something."""
    ((size, pages, free),) = query(path, "SELECT * FROM pragma_page_size, pragma_page_count, pragma_freelist_count")
    assert isinstance(size, int)
    assert isinstance(pages, int)
    assert isinstance(free, int)
    return size * (pages - free)


def on_disk(path: Path) -> int:
    """Bytes of the file and its WAL."""
    return sum(file.stat().st_size for file in (path, path.with_name(f"{path.name}-wal")) if file.exists())
