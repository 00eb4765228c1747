"""A live server under load on a database of a gigabyte, while its attachments move out and come back."""

import json
import os
import random
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import apsw
import pybase64
import pytest
from mock_model import MockModel
from opencode import OpenCode, Server, data_url, noise_file, query
from plugin import COMMAND, NEEDLE, store_of, thrown, use_plugin

SESSIONS = 50
BULK_BYTES = int(os.environ.get("OCBLOB_TEST_LIVE_MB", "1000")) * 1_000_000
"""Base64 in the database beside what the prompts are about."""
CELL_BYTES = 12_000_000
VERB_TIMEOUT_SECONDS = 300


def grow(database: Path) -> None:
    """Add large PDFs to the first session, as rows like its own; no host may run."""
    connection = apsw.Connection(str(database))
    connection.execute("PRAGMA foreign_keys=ON; PRAGMA synchronous=OFF").fetchall()
    names = [name for (name,) in connection.execute("SELECT name FROM pragma_table_info('part')")]
    row = connection.execute("SELECT * FROM part WHERE data ->> '$.type' = 'file' LIMIT 1").fetchone()
    assert row is not None
    model = dict(zip(names, row, strict=True))
    source = random.Random(1)
    with connection:
        for number in range(BULK_BYTES // CELL_BYTES):
            payload = pybase64.b64encode(source.randbytes(CELL_BYTES * 3 // 4)).decode()
            data = {"type": "file", "mime": "application/pdf", "url": f"data:application/pdf;base64,{payload}"}
            new = model | {"id": f"prt_bulk{number:06}", "data": json.dumps(data)}
            connection.execute(f"INSERT INTO part VALUES ({','.join('?' * len(names))})", [new[name] for name in names])
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    connection.close()


def beside(opencode: OpenCode, server: Server, sessions: Sequence[str], *verbs: tuple[str, ...]) -> list[int]:
    """Run verbs, one after the other, while every session is prompted at once; their exit codes."""
    place = ("--db", str(opencode.database), "--store", str(store_of(opencode)))

    def run(verb: tuple[str, ...]) -> int:
        command = (*COMMAND, *verb, *place)
        return subprocess.run(
            command, env=opencode.environment, capture_output=True, timeout=VERB_TIMEOUT_SECONDS, check=False
        ).returncode

    with ThreadPoolExecutor(SESSIONS + 1) as pool:
        codes = pool.submit(lambda: [run(verb) for verb in verbs])
        replies = list(pool.map(lambda session: server.prompt(session, f"During {verbs[0][0]}."), sessions))
        assert [] == [reply["info"]["error"] for reply in replies if "error" in reply["info"]]
        return codes.result()


@pytest.fixture
def crowded(opencode_binary: Path, tmp_path: Path, model: MockModel) -> tuple[OpenCode, list[str]]:
    """A host with a picture in each of fifty sessions, and a gigabyte in one of another."""
    opencode = OpenCode(opencode_binary, tmp_path, model)
    with opencode.serve() as server:
        server.prompt(server.create(), "The large one.", files=[picture(opencode, SESSIONS)])
        sessions = []
        for number in range(SESSIONS):
            sessions.append(server.create())
            server.prompt(sessions[-1], "Look.", files=[picture(opencode, number)])
    grow(opencode.database)
    return opencode, sessions


def picture(opencode: OpenCode, number: int) -> Path:
    """A picture of its own for each session."""
    path = opencode.project / f"{number}.png"
    path.write_bytes(noise_file(".png", number))
    return path


@pytest.mark.alone
def test_fifty_prompts_at_once_beside_every_verb(crowded: tuple[OpenCode, list[str]], model: MockModel) -> None:
    """Fifty prompts during offload and vacuum, fifty during restore: all are answered, stored, and sent whole."""
    opencode, sessions = crowded
    use_plugin(opencode)
    assert opencode.database.stat().st_size > BULK_BYTES * 0.98
    begin = len(model.turns)

    with opencode.serve() as server:
        out = beside(opencode, server, sessions, ("offload", "--no-plugin"), ("vacuum",))
        small = opencode.database.stat().st_size
        back = beside(opencode, server, sessions, ("restore",))
        bodies = model.turns[begin:]

    assert [0, 0] == out
    assert back in ([0], [3])  # 3: a row that its host changed meanwhile waits for the next restore
    assert small < BULK_BYTES / 10
    assert 2 * SESSIONS == len(bodies)
    payloads = [data_url(opencode.project / f"{number}.png").encode() for number in range(SESSIONS)]
    assert [2] * SESSIONS == [sum(payload in body for body in bodies) for payload in payloads]
    assert not any(NEEDLE.encode() in body for body in bodies)
    stored = "SELECT count(DISTINCT session_id) FROM part WHERE data ->> '$.text' = ?"
    for verb in ("offload", "restore"):
        assert [(SESSIONS,)] == query(opencode.database, stored, [f"During {verb}."])
    assert [("ok",)] == query(opencode.database, "PRAGMA integrity_check")
    assert [] == thrown(opencode)
