"""What tests are made of: payloads, cells, databases, and looks at what became of them.

Databases are made and read with apsw, like the product does it: two copies of SQLite in one process must not
hold one file.
"""

import contextlib
import json
import random
from collections.abc import Iterable, Iterator
from pathlib import Path

import apsw
import pybase64

from ocblob import Resolver, find_refs
from ocblob.cells import Column, Scope, SessionTable
from ocblob.databases.sqlite.connection import quote
from ocblob.digest import digest_of
from ocblob.errors import BlobError
from ocblob.hosts.base import HostProfile
from ocblob.hosts.opencode import detect
from ocblob.ref import Ref

Value = str | bytes | int | float | None
"""What a cell of SQLite holds."""

DOC_SCHEMA = "CREATE TABLE doc (id INTEGER PRIMARY KEY, body TEXT)"
BODY = Column("doc", "body")
EVERYTHING = Scope()
SESSIONS = SessionTable("session", "id", "time_updated")
DAY_MS = 86_400_000
SHOWN_BYTES = 40

OPENCODE_SCHEMA = """
    CREATE TABLE session (id TEXT PRIMARY KEY, parent_id TEXT, title TEXT NOT NULL, time_created INTEGER NOT NULL,
        time_updated INTEGER NOT NULL);
    CREATE TABLE message (id TEXT PRIMARY KEY, session_id TEXT NOT NULL REFERENCES session(id) ON DELETE CASCADE,
        time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE TABLE part (id TEXT PRIMARY KEY, message_id TEXT NOT NULL REFERENCES message(id) ON DELETE CASCADE,
        session_id TEXT NOT NULL, time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE TABLE event_sequence (aggregate_id TEXT PRIMARY KEY, seq INTEGER NOT NULL);
    CREATE TABLE event (id TEXT PRIMARY KEY, aggregate_id TEXT NOT NULL, seq INTEGER NOT NULL, type TEXT NOT NULL,
        data TEXT NOT NULL);
    CREATE TABLE session_message (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, type TEXT NOT NULL,
        seq INTEGER NOT NULL, time_created INTEGER NOT NULL, time_updated INTEGER NOT NULL, data TEXT NOT NULL);
    CREATE TABLE session_input (id TEXT PRIMARY KEY, session_id TEXT NOT NULL, prompt TEXT NOT NULL,
        time_created INTEGER NOT NULL);
    CREATE INDEX part_session_idx ON part (session_id);
"""


def payload(size: int, seed: object = 0) -> bytes:
    """Bytes that no codec makes smaller; the same for the same seed."""
    return random.Random(str(seed)).randbytes(size)


def data_url(data: bytes, mime: str = "application/pdf") -> str:
    """The data URL of a file."""
    return f"data:{mime};base64,{pybase64.b64encode(data).decode('ascii')}"


def cell(data: bytes, mime: str = "application/pdf", **more: object) -> str:
    """A row's JSON with one attachment, as OpenCode writes a file part."""
    value = {"type": "file", "mime": mime, "url": data_url(data, mime), **more}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def prompt_line(text: str, *files: bytes, mode: str = "normal", **more: object) -> bytes:
    """A line of `prompt-history.jsonl` as OpenCode 1.18.33 writes it, `JSON.stringify` and a newline.

    `integration/test_prompt_history.py` compares it with one that its interface has written. A line of the stash has
    a `timestamp` too, by its code.
    """
    parts = []
    for number, data in enumerate(files, start=1):
        shown = f"[Image {number}]"
        source = {
            "type": "file",
            "path": f"/home/me/{number}.png",
            "text": {"start": 10 * (number - 1), "end": 10 * (number - 1) + len(shown), "value": shown},
        }
        url = data_url(data, "image/png")
        parts.append({"type": "file", "mime": "image/png", "filename": f"{number}.png", "url": url, "source": source})
    value = {"input": text, "parts": parts, "mode": mode, **more}
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def make_database(path: Path, bodies: Iterable[Value], *, schema: str = DOC_SCHEMA, journal: str = "wal") -> Path:
    """A database with one row of `doc` for each body, ids from 1; one file, closed."""
    with opened(path) as db:
        db.execute(f"PRAGMA journal_mode={journal}").fetchall()
        db.execute(schema).fetchall()
        with db:
            db.executemany("INSERT INTO doc (id, body) VALUES (?,?)", list(enumerate(bodies, start=1)))
    return path


def make_opencode(path: Path, *, sessions: int = 2, parts: int = 3, size: int = 20_000, now_ms: int = 0) -> Path:
    """A database of an OpenCode: each part's attachment stands in an event again; session 0 was active last."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with opened(path) as db:
        db.execute("PRAGMA journal_mode=wal").fetchall()
        db.execute(OPENCODE_SCHEMA).fetchall()
        with db:
            for session in range(sessions):
                _session(db, session, parts, size, now_ms - session * DAY_MS)
    return path


def _session(db: apsw.Connection, number: int, parts: int, size: int, at: int) -> None:
    session, message = f"ses_{number}", f"msg_{number}"
    db.execute("INSERT INTO session VALUES (?, NULL, 'a talk', ?, ?)", (session, at, at))
    db.execute('INSERT INTO message VALUES (?, ?, ?, ?, \'{"role":"user"}\')', (message, session, at, at))
    db.execute("INSERT INTO event_sequence VALUES (?, ?)", (session, parts))
    for part in range(parts):
        data = cell(payload(size, (number, part)), filename=f"{number}-{part}.pdf")
        db.execute("INSERT INTO part VALUES (?,?,?,?,?,?)", (f"prt_{number}_{part}", message, session, at, at, data))
        event = f'{{"sessionID":"{session}","part":{data}}}'
        values = (f"evt_{number}_{part}", session, part, "message.part.updated.1", event)
        db.execute("INSERT INTO event VALUES (?,?,?,?,?)", values)


def opencode_profile(path: Path) -> HostProfile:
    """What `make_opencode`'s tables mean."""
    tables = {str(name) for (name,) in query(path, "SELECT name FROM sqlite_schema WHERE type='table'")}
    found = detect({name: frozenset(columns(path, name)) for name in tables})
    assert found is not None
    return found


def columns(path: Path, table: str) -> list[str]:
    """The names of a table's columns."""
    return [str(name) for (name,) in query(path, "SELECT name FROM pragma_table_xinfo(?)", table)]


@contextlib.contextmanager
def opened(path: Path) -> Iterator[apsw.Connection]:
    """A connection with a writer's usual patience."""
    with contextlib.closing(apsw.Connection(str(path))) as db:
        db.set_busy_timeout(5000)
        yield db


def query(path: Path, sql: str, *bindings: Value) -> list[tuple[Value, ...]]:
    """The rows of one statement."""
    with opened(path) as db:
        return db.execute(sql, bindings).fetchall()


def bodies(path: Path) -> list[object]:
    """Every body of `doc`, in the order of ids."""
    return [body for (body,) in query(path, "SELECT body FROM doc ORDER BY id")]


def dump(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Every value of every ordinary table with its type; long ones by their digests."""
    tables = query(path, "SELECT name FROM pragma_table_list WHERE schema='main' AND type='table' AND wr=0")
    return {str(name): _rows(path, str(name)) for (name,) in tables if not str(name).startswith("sqlite_")}


def _rows(path: Path, table: str) -> list[tuple[object, ...]]:
    values = ", ".join(f"typeof({quote(name)}), CAST({quote(name)} AS BLOB)" for name in columns(path, table))
    with opened(path) as db:
        return [tuple(map(_short, row)) for row in db.execute(f"SELECT {values} FROM {quote(table)} ORDER BY 1, 2")]


def _short(value: object) -> object:
    return digest_of(value) if isinstance(value, bytes) and len(value) > SHOWN_BYTES else value


def integrity(path: Path) -> object:
    """What SQLite's own check says: `ok`."""
    ((found, *_),) = query(path, "PRAGMA integrity_check(1)")
    return found


def refs(path: Path) -> list[Ref]:
    """Every ref in every text of every table."""
    found = []
    for table in dump(path):
        for name in columns(path, table):
            for (value,) in query(path, f"SELECT {quote(name)} FROM {quote(table)} WHERE typeof({quote(name)})='text'"):
                found += find_refs(str(value))
    return found


def unresolved(path: Path, store: Path) -> list[str]:
    """The digests of refs that a fresh resolver cannot give the bytes of."""
    lost = []
    named = refs(path)
    if not named:
        return []
    with Resolver(store) as resolver:
        for ref in named:
            try:
                resolver.read(ref)
            except BlobError:
                lost.append(ref.digest)
    return lost


def tree(root: Path) -> dict[str, tuple[int, str]]:
    """Every file and directory below a root, with its mode and, for a file, the digest of its bytes."""
    if not root.exists():
        return {}
    return {
        str(path.relative_to(root)): (path.stat().st_mode, digest_of(path.read_bytes()) if path.is_file() else "")
        for path in sorted(root.rglob("*"))
    }


def object_path(store: Path, digest: str) -> Path:
    """The file of a live blob."""
    return store / "objects" / digest[:2] / digest[2:]


def objects(store: Path) -> list[str]:
    """The digests of the live objects, ordered."""
    return sorted(path.parent.name + path.name for path in (store / "objects").glob("*/*"))


def flip(path: Path, offset: int) -> None:
    """Damage one bit of a file in place."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 0x10
    path.write_bytes(data)
