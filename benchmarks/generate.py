"""A realistic OpenCode 1.18.33 database: its schema, its row shapes, its order of writing.

An event comes before the row that it repeats. Sessions older than the host's event log have no events and no
attachments here. The same seed gives the same database.
"""

from __future__ import annotations

import argparse
import base64
import json
import random
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import apsw

from attachments import SIZES_BYTES, STEP_WEIGHTS, Attachment, large_pdf, small_attachment
from transcript import Host, Session
from turns import Turn

SCHEMA = Path(__file__).with_name("opencode_schema.sql")
PAGE_SIZE_BYTES = 4096
FIRST_MS = 1_767_600_000_000  # 2026-01-05
EVENT_LOG_MS = 1_774_309_702_000  # 2026-03-23, when the host began to keep events
LAST_MS = 1_795_000_000_000  # 2026-11-18
UNLOGGED_SHARE = 0.7
"""Share of the parts that are older than the event log."""
REPEAT_EVERY = 5  # one small attachment in five is an earlier one again: 20 %
GIANT_CHUNK_BYTES = 3_000_000  # a multiple of 3, so that chunks encode one by one
KINDS = ("png", "png", "png", "jpg", "jpg", "pdf")

Placed = tuple[float, Attachment]
"""An attachment and its place in the log of events, 0.0 to 1.0."""


@dataclass(frozen=True, slots=True)
class Profile:
    """How much of everything."""

    parts: int
    session_parts: int
    """Parts in one session, about."""
    small_bytes: int
    """Decoded bytes of the small attachments, repeats included, one copy each."""
    largest_step: int
    """The largest small attachment, as a step of `SIZES_BYTES`."""
    large: tuple[int, ...] = ()
    """Decoded size of each large PDF."""
    giant_bytes: int = 0
    """Decoded size of one more payload that stands in `part` only; 0 for none."""


TINY = Profile(parts=700, session_parts=60, small_bytes=1_300_000, largest_step=3)
PROFILES = {
    "seed": Profile(parts=52_000, session_parts=130, small_bytes=127_000_000, largest_step=7, large=(52_000_000,) * 5),
    "demo": Profile(parts=9_400, session_parts=130, small_bytes=45_000_000, largest_step=7, large=(12_000_000,) * 2),
    "tiny": TINY,
    "giant": Profile(TINY.parts, TINY.session_parts, TINY.small_bytes, TINY.largest_step, giant_bytes=525_000_000),
}


@dataclass(slots=True)
class Summary:
    """What was made, counted while it was written."""

    file_size: int = 0
    rows: dict[str, int] = field(default_factory=dict)
    attachments: int = 0
    """Attached files; each stands in `part` and again in `event`, the giant one only in `part`."""
    repeats: int = 0
    decoded_size: int = 0
    """Bytes of all attachments, repeats included, one copy each."""
    unique_size: int = 0
    base64_size: int = 0
    """Base64 text in the database, over `part` and `event`."""

    def count(self, size: int, *, repeat: bool, copies: int = 2) -> None:
        """One more attachment of `size` bytes that stands in `copies` cells."""
        self.attachments += 1
        self.repeats += repeat
        self.decoded_size += size
        self.unique_size += 0 if repeat else size
        self.base64_size += copies * 4 * ((size + 2) // 3)


def make_database(path: Path | str, profile: str, seed: int = 1) -> Summary:
    """Write a new database at `path`, which must not exist: one file in WAL mode, whole or not at all."""
    path = Path(path)
    if path.exists():
        raise FileExistsError(path)
    plan = PROFILES[profile]
    rng = random.Random(seed)
    summary = Summary()
    partial = path.with_name(f"{path.name}.partial")
    partial.unlink(missing_ok=True)
    connection = apsw.Connection(str(partial))
    try:
        # Nothing here has to survive a crash; the file is in WAL mode only once it is complete.
        connection.execute(
            f"PRAGMA page_size={PAGE_SIZE_BYTES}; PRAGMA auto_vacuum=0; PRAGMA journal_mode=OFF;"
            "PRAGMA synchronous=OFF; PRAGMA foreign_keys=ON; PRAGMA cache_size=-65536; BEGIN"
        ).fetchall()  # apsw runs what follows a row only when the row is fetched
        connection.execute(SCHEMA.read_text(encoding="utf-8"))
        host = Host(connection, rng)
        host.projects(FIRST_MS)
        _write_sessions(host, plan, _attachments(plan, seed, summary), rng)
        if plan.giant_bytes:
            _write_giant(host, plan.giant_bytes, rng)
            summary.count(plan.giant_bytes, repeat=False, copies=1)
        connection.execute("COMMIT; PRAGMA journal_mode=WAL; PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
        for table in ("session", "message", "part", "event"):
            summary.rows[table] = int(connection.execute(f"SELECT count(*) FROM {table}").get)
    finally:
        connection.close()
    partial.rename(path)
    summary.file_size = path.stat().st_size
    return summary


def _attachments(plan: Profile, seed: int, summary: Summary) -> Iterator[Placed]:
    """Yield every attachment in order, the large PDFs spread evenly among the small ones."""
    rng = random.Random(f"{seed}/attachments")
    steps = range(min(plan.largest_step + 1, len(SIZES_BYTES)))
    made: list[tuple[str, int, int]] = []
    spent = 0
    large = 0
    while spent < plan.small_bytes:
        if large < len(plan.large) and spent / plan.small_bytes >= (large + 0.5) / len(plan.large):
            attachment = large_pdf(seed, plan.large[large], large)
            summary.count(len(attachment.data), repeat=False)
            large += 1
            yield spent / plan.small_bytes, attachment
        repeat = len(made) % REPEAT_EVERY == REPEAT_EVERY - 1
        step = rng.choices(steps, STEP_WEIGHTS[: len(steps)])[0]
        fresh = (rng.choice(KINDS), step, len(made))
        made.append(rng.choice(made) if repeat else fresh)
        attachment = small_attachment(seed, *made[-1])
        summary.count(len(attachment.data), repeat=repeat)
        yield spent / plan.small_bytes, attachment
        spent += len(attachment.data)


def _write_sessions(host: Host, plan: Profile, files: Iterator[tuple[float, Attachment]], rng: random.Random) -> None:
    """Write sessions until there are enough parts; files come as fast as the log of events grows."""
    unlogged_parts = int(plan.parts * UNLOGGED_SHARE)
    waiting = next(files, None)
    session: Session | None = None
    while host.parts < plan.parts or waiting:
        logged = host.parts >= unlogged_parts
        place = min(1.0, (host.parts - unlogged_parts) / (plan.parts - unlogged_parts))
        if session is None or session.parts >= plan.session_parts or session.logged != logged:
            if session:
                session.close()
            start, end = (EVENT_LOG_MS, LAST_MS) if logged else (FIRST_MS, EVENT_LOG_MS - 86_400_000)
            share = place if logged else host.parts / unlogged_parts
            host.set_time(start + int((end - start) * share))
            parent = session.id if session and session.logged == logged and rng.random() < 0.1 else None
            session = Session(host, rng, parent=parent, logged=logged)
        due: list[Attachment] = []
        while logged and waiting and (waiting[0] <= place or host.parts >= plan.parts):
            due.append(waiting[1])
            waiting = next(files, None)
        Turn(session, rng).write(due)
    if session:
        session.close()


def _write_giant(host: Host, size: int, rng: random.Random) -> None:
    """Write one file part of `size` decoded bytes, streamed into a TEXT cell made at its full length."""
    session = Session(host, rng, parent=None, logged=True)
    message = session.user_message()
    head = b'{"type":"file","mime":"application/pdf","filename":"giant.pdf","url":"data:application/pdf;base64,'
    tail = b'"}'
    length = len(head) + 4 * ((size + 2) // 3) + len(tail)
    rowid = session.insert_part(message, f"CAST(zeroblob({length}) AS TEXT)")
    blob = host.connection.blob_open("main", "part", "data", rowid, writeable=True)
    blob.write(head)
    for start in range(0, size, GIANT_CHUNK_BYTES):
        chunk = rng.randbytes(min(GIANT_CHUNK_BYTES, size - start))
        if start == 0:
            chunk = b"%PDF-1.4\n" + chunk[9:]
        blob.write(base64.b64encode(chunk))
    blob.write(tail)
    blob.close()
    session.close()


def main(argv: list[str] | None = None) -> int:
    """Make one database and print its summary."""
    parser = argparse.ArgumentParser(description="Make a realistic OpenCode database.")
    parser.add_argument("path", type=Path)
    parser.add_argument("--profile", choices=sorted(PROFILES), default="seed")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    summary: dict[str, Any] = asdict(make_database(arguments.path, arguments.profile, arguments.seed))
    print(json.dumps(summary, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
