"""The real OpenCode keeps its own database below limits: old sessions go into an archive while it runs."""

import json
import time
from pathlib import Path

from mock_model import MockModel
from opencode import OpenCode, write_attachments
from plugin import ocblob, says, thrown, use_plugin

from samples import DAY_MS, columns, opened, query
from talks import orphans, sessions

PATIENCE_SECONDS = 60
OLD_MS = 100 * DAY_MS
LONG = "Slowly, and in every detail. " * 30_000


def age(database: Path, session: str) -> None:
    """Move the times of one session back: what OpenCode has just written is active. No host may run."""
    with opened(database) as db:
        for table, key in (("session", "id"), ("message", "session_id"), ("part", "session_id")):
            for name in {"time_created", "time_updated"} & set(columns(database, table)):
                db.execute(f"UPDATE {table} SET {name}={name}-? WHERE {key}=?", (OLD_MS, session)).fetchall()


def test_old_sessions_go_while_the_host_runs(opencode_binary: Path, tmp_path: Path, model: MockModel) -> None:
    """What is old is in an archive and not in the database; the session that is worked in goes on, with all of it."""
    opencode = OpenCode(opencode_binary, tmp_path, model)
    files = write_attachments(opencode.project)
    archives = tmp_path / "archives of sessions"
    use_plugin(opencode)
    with opencode.serve() as server:
        old = [server.create() for _ in range(2)]
        for session in old:
            server.prompt(session, f"Look at these. {LONG}", files=list(files.values()))
    for session in old:
        age(opencode.database, session)
    use_plugin(opencode, archive=str(archives), maxAgeDays=30)

    with opencode.serve() as server:
        current = server.create()
        server.prompt(current, "The first word.", files=[files["first.png"]])
        deadline = time.monotonic() + PATIENCE_SECONDS
        while [current] != sessions(opencode.database) and time.monotonic() < deadline:
            time.sleep(0.1)
        told = says(opencode, "evicted session", old[0])
        server.prompt(current, "The second word.")
        listed = [session["id"] for session in server.sessions()]
        texts = json.dumps(server.messages(current))

    assert ([current], [current], True) == (sessions(opencode.database), listed, told)
    assert "The first word." in texts
    assert "The second word." in texts
    assert [] == orphans(opencode.database)
    assert [("ok",)] == query(opencode.database, "PRAGMA integrity_check")
    assert [] == thrown(opencode)
    (archive,) = archives.iterdir()
    ocblob(opencode, "unarchive", str(archive))
    assert sorted([current, *old]) == sessions(opencode.database)


def test_a_limit_of_zero_evicts_nothing(opencode_binary: Path, tmp_path: Path, model: MockModel) -> None:
    """It is told in OpenCode's log, and every session stays."""
    opencode = OpenCode(opencode_binary, tmp_path, model)
    use_plugin(opencode)
    with opencode.serve() as server:
        old = server.create()
        server.prompt(old, "Remember this.")
    age(opencode.database, old)
    use_plugin(opencode, maxSizeMB=0, maxAgeDays=30)

    with opencode.serve() as server:
        current = server.create()
        server.prompt(current, "Another one.")
        told = says(opencode, "option maxSizeMB: 0 cannot be meant")
        state = tmp_path / "state" / "ocblob" / "plugin"

    assert told
    assert sorted([old, current]) == sessions(opencode.database)
    assert not list(state.glob("maintain-*"))
