"""Whatever becomes of store, command or options: turns are answered, and nothing throws in the host."""

import contextlib
import os
import random
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mock_model import MockModel
from opencode import OpenCode, Server, data_url, noise_file, query
from plugin import NEEDLE, ocblob, says, store_of, thrown, use_plugin

from ocblob import find_refs
from samples import flip, object_path

FAULTS = ("corrupt", "missing", "read-only", "expired", "deleted", "no command", "wrong options")
ANSWER = "Answered."


@pytest.fixture(scope="module")
def template(opencode_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OpenCode]:
    """A host with a session for each fault, each with a picture of its own, all of it offloaded."""
    with MockModel() as model:
        opencode = OpenCode(opencode_binary, tmp_path_factory.mktemp("faults"), model)
        with opencode.serve() as server:
            for number, fault in enumerate(FAULTS):
                picture = opencode.project / f"{fault}.png"
                picture.write_bytes(noise_file(".png", number))
                server.prompt(server.create(), f"This is {fault}.", files=[picture])
        ocblob(opencode, "offload", "--no-plugin")
        yield opencode


@pytest.fixture
def host(template: OpenCode, tmp_path: Path, model: MockModel) -> OpenCode:
    """A clone of it, with a store of its own."""
    opencode = template.clone(tmp_path / "host", model)
    shutil.copytree(store_of(template), store_of(opencode))
    return opencode


def sessions_of(host: OpenCode) -> dict[str, tuple[str, str]]:
    """Each fault's session and the digest of its picture."""
    rows = query(
        host.database,
        "SELECT session_id, data ->> '$.filename', data ->> '$.url' FROM part WHERE instr(data, ?)",
        [NEEDLE],
    )
    return {Path(name).stem: (session, find_refs(url)[0].digest) for session, name, url in rows}


def ask(host: OpenCode, server: Server, session: str) -> bytes:
    """A turn that has to be answered; what the model was sent for it."""
    host.model.answer(ANSWER)
    reply = server.prompt(session, "Go on.")
    assert [ANSWER] == [part["text"] for part in reply["parts"] if part["type"] == "text"]
    assert "error" not in reply["info"]
    return host.model.turns[-1]


def test_a_store_that_fails_is_told_in_words(host: OpenCode) -> None:
    """A blob corrupt, missing or expired, a store read-only or gone: the turn goes on, and the model reads why."""
    use_plugin(host, cacheMB=0)
    sessions, store = sessions_of(host), store_of(host)
    flip(object_path(store, sessions["corrupt"][1]), 5000)
    object_path(store, sessions["missing"][1]).unlink()
    new = host.project / "new.png"
    new.write_bytes(noise_file(".png", 99))
    large = host.root / "large.bin"
    large.write_bytes(random.Random(1).randbytes(3_000_000))

    with host.serve() as server:
        told = {fault: ask(host, server, sessions[fault][0]) for fault in ("corrupt", "missing")}
        with read_only(store):
            whole = ask(host, server, sessions["read-only"][0])
            server.prompt(sessions["read-only"][0], "And this?", files=[new])
        ocblob(host, "put", str(large))
        ocblob(host, "evict", "--expire", "--max-size", "1MB", "--yes")
        told["expired"] = ask(host, server, sessions["expired"][0])
        store.rename(store.with_name("away"))
        told["deleted"] = ask(host, server, sessions["deleted"][0])
        store.with_name("away").rename(store)

    reasons = {
        "corrupt": b"does not decompress",
        "missing": b"not in the store",
        "expired": b"evict --expire",
        "deleted": b"no blob store",
    }
    for fault, body in told.items():
        assert f'[The attachment \\"{fault}.png\\" (image/png'.encode() in body, fault
        assert reasons[fault] in body.partition(b"is not available: ")[2][:400], fault
        assert NEEDLE.encode() not in body
    assert data_url(host.project / "read-only.png").encode() in whole
    assert [(1,)] == query(host.database, "SELECT count(*) FROM part WHERE data ->> '$.url' = ?", [data_url(new)])
    assert [] == thrown(host)


def test_a_command_that_is_not_there_is_told_in_words(host: OpenCode) -> None:
    """Blobs that lie here are resolved without it; others are told, and a new attachment stays in the row."""
    use_plugin(host, command=["no-such-ocblob"])
    sessions, store = sessions_of(host), store_of(host)
    object_path(store, sessions["missing"][1]).unlink()

    with host.serve() as server:
        whole = ask(host, server, sessions["no command"][0])
        told = ask(host, server, sessions["missing"][0])

    assert data_url(host.project / "no command.png").encode() in whole
    assert b"is not available: " in told
    assert b"no-such-ocblob" in told.partition(b"is not available: ")[2][:400]
    assert [] == thrown(host)


def test_wrong_options_count_for_nothing(host: OpenCode) -> None:
    """Options that cannot be meant are told in the log, and the others work."""
    wrong: dict[str, Any] = {
        "command": 7,
        "ingest": "yes",
        "cacheMB": -1,
        "minSize": "8kB",
        "environment": [1],
        "colour": "blue",
    }
    use_plugin(host, **wrong)

    with host.serve() as server:
        whole = ask(host, server, sessions_of_running(server)["wrong options"])
        assert [] == [name for name in wrong if not says(host, f"option {name}")]

    assert data_url(host.project / "wrong options.png").encode() in whole
    assert [] == thrown(host)


def test_without_the_plugin_the_turn_is_answered(host: OpenCode) -> None:
    """The model is sent the placeholder, which is a valid picture, and the turn goes on."""
    with host.serve() as server:
        body = ask(host, server, sessions_of_running(server)["missing"])

    assert NEEDLE.encode() in body
    assert data_url(host.project / "missing.png").encode() not in body


def sessions_of_running(server: Server) -> dict[str, str]:
    """Each fault's session, as a running server tells."""
    found: dict[str, str] = {}
    for session in (info["id"] for info in server.sessions()):
        names = [part["filename"] for message in server.messages(session) for part in message["parts"] if "url" in part]
        found |= {Path(name).stem: session for name in names}
    return found


@contextlib.contextmanager
def read_only(directory: Path) -> Iterator[None]:
    """A directory that not even root can write to."""
    if os.geteuid() != 0:
        paths = [directory, *directory.rglob("*")]
        modes = [(path, path.stat().st_mode) for path in paths]
        for path in paths:
            path.chmod(0o555 if path.is_dir() else 0o444)
        yield
        for path, mode in modes:
            path.chmod(mode)
        return
    subprocess.run(["mount", "--bind", str(directory), str(directory)], check=True)
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(directory)], check=True)
        yield
    finally:
        subprocess.run(["umount", str(directory)], check=True)
