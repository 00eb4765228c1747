"""Databases for the benchmark of sessions, and looks at them; each action in a process of its own.

Times are moved or set so that no session is active.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import random
import sys
import time
from collections.abc import Callable
from pathlib import Path

import apsw

from generate import SCHEMA

DAY_MS = 86_400_000
OLD_MS = 1_700_000_000_000  # 2023-11-14
REST_DAYS = 21
TEXT = "x" * 500
CHUNK_CHARS = 4_000_000
COPIES = 20
"""Files of the large session, each in a part and again in an event."""
MESSAGES, PARTS, EVENTS = 5, 15, 30
"""Of each of many sessions."""
HEAD = b'{"type":"file","mime":"application/pdf","filename":"large.pdf","url":"data:application/pdf;base64,'
TAIL = b'"}'
SESSION = (
    "INSERT INTO session (id, project_id, parent_id, slug, directory, title, version, time_created, time_updated)"
    " VALUES (?, 'p', ?, 's', '/', 't', '1.18.33', ?, ?)"
)


def age(path: str, _: int = 0) -> None:
    """Move all times, so that the last session was used three weeks ago."""
    db = apsw.Connection(path)
    last = int(str(db.execute("SELECT max(time_updated) FROM session").get))
    delta = int(time.time() * 1000) - REST_DAYS * DAY_MS - last
    with db:
        for table in tables(db):
            for name in columns(db, table):
                if name.startswith("time"):
                    db.execute(f'UPDATE "{table}" SET "{name}"="{name}"+?', (delta,))
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    db.close()


def fingerprint(path: str, _: int) -> None:
    """Print a digest of every value of every table with its type; or what SQLite's checks find."""
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    whole = hashlib.sha256()
    for table in tables(db):
        whole.update(table.encode())
        values = ", ".join(f'typeof("{name}"), CAST("{name}" AS BLOB)' for name in columns(db, table))
        keys = db.execute("SELECT name FROM pragma_table_info(?) WHERE pk ORDER BY pk", (table,)).fetchall()
        order = ", ".join(f'"{name}"' for (name,) in keys) or "rowid"
        for row in db.execute(f'SELECT {values} FROM "{table}" ORDER BY {order}'):
            for value in row:
                data = value if isinstance(value, bytes) else repr(value).encode()
                whole.update(len(data).to_bytes(8, "little") + data)
    found = [db.execute("PRAGMA integrity_check(1)").get, *db.execute("PRAGMA foreign_key_check")]
    print(whole.hexdigest() if found == ["ok"] else f"not sound: {found}")


def live(path: str, _: int) -> None:
    """Print the bytes in pages that hold something."""
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    size, pages, free = (
        int(str(db.execute(f"PRAGMA {name}").get)) for name in ("page_size", "page_count", "freelist_count")
    )
    print(size * (pages - free))


def cell(path: str, _: int) -> None:
    """Print the size of the largest cell of a part or an event."""
    db = apsw.Connection(path, flags=apsw.SQLITE_OPEN_READONLY)
    sizes = (db.execute(f"SELECT max(octet_length(data)) FROM {table}").get for table in ("part", "event"))
    print(max(int(str(size or 0)) for size in sizes))


def many(path: str, count: int) -> None:
    """Write sessions of text, a tenth of them begun by the one before."""
    db, rng = begun(path), random.Random(1)
    with db:
        for number in range(count):
            session, at = f"ses_{number:05}", OLD_MS + number * 1000
            parent = f"ses_{number - 1:05}" if number and rng.random() < 0.1 else None
            db.execute(SESSION, (session, parent, at, at))
            db.execute("INSERT INTO event_sequence (aggregate_id, seq) VALUES (?, ?)", (session, EVENTS))
            messages = [f"msg_{number:05}_{index}" for index in range(MESSAGES)]
            db.executemany("INSERT INTO message VALUES (?, ?, ?, ?, ?)", [(m, session, at, at, TEXT) for m in messages])
            db.executemany(
                "INSERT INTO part VALUES (?, ?, ?, ?, ?, ?)",
                [(f"prt_{number:05}_{n:02}", messages[n % MESSAGES], session, at, at, TEXT) for n in range(PARTS)],
            )
            db.executemany(
                "INSERT INTO event VALUES (?, ?, ?, 'x', ?)",
                [(f"evt_{number:05}_{n:02}", session, n, TEXT) for n in range(EVENTS)],
            )
    finished(db)


def large(path: str, size: int) -> None:
    """Write one session whose rows have about `size` bytes."""
    db = begun(path)
    chars = size // (2 * COPIES) // 4 * 4
    text = f"CAST(zeroblob({len(HEAD) + chars + len(TAIL)}) AS TEXT)"
    with db:
        db.execute(SESSION, ("ses_1", None, OLD_MS, OLD_MS))
        db.execute("INSERT INTO event_sequence (aggregate_id, seq) VALUES ('ses_1', ?)", (COPIES,))
        data = '{"role":"user","time":{"created":1}}'
        db.execute("INSERT INTO message VALUES ('msg_1', 'ses_1', ?1, ?1, ?2)", (OLD_MS, data))
        for number in range(COPIES):
            sql = f"INSERT INTO part VALUES (?1, 'msg_1', 'ses_1', ?2, ?2, {text})"
            db.execute(sql, (f"prt_{number:02}", OLD_MS))
            fill(db, "part", number, chars)
            db.execute(f"INSERT INTO event VALUES (?, 'ses_1', ?, 'x', {text})", (f"evt_{number:02}", number))
            fill(db, "event", number, chars)
    finished(db)


def fill(db: apsw.Connection, table: str, seed: int, chars: int) -> None:
    """Give the last row its content: the same for the same seed."""
    rng = random.Random(seed)
    with db.blob_open("main", table, "data", db.last_insert_rowid(), True) as blob:
        blob.write(HEAD)
        for start in range(0, chars, CHUNK_CHARS):
            blob.write(base64.b64encode(rng.randbytes(min(CHUNK_CHARS, chars - start) // 4 * 3)))
        blob.write(TAIL)


def begun(path: str) -> apsw.Connection:
    """A new database with OpenCode's schema and a project. Nothing here has to survive a crash."""
    db = apsw.Connection(path)
    db.execute("PRAGMA journal_mode=OFF; PRAGMA synchronous=OFF").fetchall()
    db.execute(SCHEMA.read_text(encoding="utf-8")).fetchall()
    project = "INSERT INTO project (id, worktree, time_created, time_updated, sandboxes) VALUES ('p', '/', 1, 1, '[]')"
    db.execute(project)
    return db


def finished(db: apsw.Connection) -> None:
    """Leave it in WAL mode, as a host does."""
    db.execute("PRAGMA journal_mode=WAL").fetchall()
    db.close()


def tables(db: apsw.Connection) -> list[str]:
    """The names of all tables."""
    sql = "SELECT name FROM sqlite_schema WHERE type='table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
    return [str(name) for (name,) in db.execute(sql)]


def columns(db: apsw.Connection, table: str) -> list[str]:
    """The names of a table's columns."""
    return [str(name) for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))]


ACTIONS: dict[str, Callable[[str, int], None]] = {
    "age": age,
    "fingerprint": fingerprint,
    "live": live,
    "cell": cell,
    "many": many,
    "large": large,
}


def main(argv: list[str] | None = None) -> int:
    """Do one thing with one database."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("action", choices=ACTIONS)
    parser.add_argument("path", type=Path)
    parser.add_argument("amount", type=int, nargs="?", default=0)
    arguments = parser.parse_args(argv)
    ACTIONS[arguments.action](str(arguments.path), arguments.amount)
    return 0


if __name__ == "__main__":
    sys.exit(main())
