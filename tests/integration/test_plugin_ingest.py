"""With the plugin attachments go into the store before OpenCode stores them, and the model is sent the same bytes."""

import io
import random
import sys
import time
from pathlib import Path

import pytest
from mock_model import MockModel, ToolCall
from opencode import OpenCode, Server, data_url, query
from PIL import Image
from plugin import COMMAND, NEEDLE, log_of, ocblob, says, store_of, use_plugin

from ocblob import find_refs
from samples import objects

CELL_CHARS_MAX = 20_000
LARGE_CELLS = """
    SELECT sum(length(data) > ?1) FROM (
        SELECT data FROM part UNION ALL SELECT data FROM event UNION ALL SELECT data FROM message)
"""
PDF_BYTES = 5_000_000
MCP_SERVER = Path(__file__).with_name("mcp_server.py")
PASS_TIMEOUT_SECONDS = 60.0
POLL_SECONDS = 0.1


def make_files(directory: Path) -> dict[str, Path]:
    """A PDF of 5 MB and a PNG of 2 MB for the user, others of these sizes for tools, and pictures that get resized."""
    picture = {name: picture_bytes(seed, 820, 820) for name, seed in (("user.png", 1), ("tool.png", 2), ("mcp.png", 3))}
    wide = {"wide.png": picture_bytes(4, 2400, 40)}
    papers = {name: pdf_bytes(seed) for name, seed in (("user.pdf", 5), ("tool.pdf", 6))}
    for name, data in (picture | wide | papers).items():
        (directory / name).write_bytes(data)
    return {path.name: path for path in directory.iterdir()}


def picture_bytes(seed: int, width: int, height: int) -> bytes:
    """A PNG of noise."""
    out = io.BytesIO()
    Image.frombytes("RGB", (width, height), random.Random(seed).randbytes(width * height * 3)).save(out, "PNG")
    return out.getvalue()


def pdf_bytes(seed: int) -> bytes:
    """A PDF of one page, with a stream of noise behind it that makes it large."""
    out = io.BytesIO()
    Image.new("RGB", (64, 64)).save(out, "PDF")
    return out.getvalue() + b"%" + random.Random(seed).randbytes(PDF_BYTES - len(out.getvalue())) + b"\n%%EOF\n"


def talk(server: Server, model: MockModel, files: dict[str, Path]) -> tuple[str, list[bytes]]:
    """A session in which the user and tools attach everything; its id, and what the model was sent."""
    begin = len(model.turns)
    session = server.create()
    read = [ToolCall("read", {"filePath": str(files[name])}) for name in ("tool.png", "tool.pdf", "wide.png")]
    model.answer([*read, ToolCall("pictures_picture", {})], "I have seen them.", "Yes.")
    server.prompt(session, "Look at these.", files=[files[name] for name in ("user.png", "user.pdf", "wide.png")])
    server.prompt(session, "Have you seen all?")
    return session, model.turns[begin:]


def test_rows_never_grow_and_the_model_sees_the_same(opencode_binary: Path, tmp_path: Path, model: MockModel) -> None:
    """5 MB PDFs and 2 MB PNGs, by the user, by tools and over MCP: no cell above 20 kB, each request as without plugin.

    Pictures over 2000 pixels are resized by OpenCode itself, and are taken by the pass behind the session.
    """
    plain, plugged = (OpenCode(opencode_binary, tmp_path / name, model, workspace=tmp_path) for name in ("a", "b"))
    files = make_files(plain.project)
    mcp = {"pictures": {"type": "local", "command": [sys.executable, str(MCP_SERVER), str(files["mcp.png"])]}}
    plain.configure(mcp=mcp)
    use_plugin(plugged, settings={"mcp": mcp})

    with plain.serve() as server:
        _, expected = talk(server, model, files)
    with plugged.serve() as server:
        _, actual = talk(server, model, files)

    assert 3 == len(expected)
    assert [len(body) for body in expected] == [len(body) for body in actual]
    assert expected == actual
    seen = {name for name in files if name != "wide.png" and data_url(files[name]).encode() in actual[-1]}
    assert {"user.png", "user.pdf", "tool.png", "tool.pdf", "mcp.png"} == seen
    assert [] == [line for line in log_of(plugged) if "stays in the database" in line]
    (plain_cells,), (large,) = (query(host.database, LARGE_CELLS, [CELL_CHARS_MAX]) for host in (plain, plugged))
    assert (14, 4) == (*plain_cells, *large)
    assert 4 == ocblob(plugged, "offload")["report"]["payloads"]
    assert [(0,)] == query(plugged.database, LARGE_CELLS, [CELL_CHARS_MAX])


def test_without_ocblob_attachments_stay_inline(opencode: OpenCode, model: MockModel) -> None:
    """If the command cannot be run OpenCode stores the attachment itself, the turn goes on, and the log says so."""
    use_plugin(opencode, command=["/nowhere/ocblob"])
    picture = opencode.project / "small.png"
    picture.write_bytes(picture_bytes(1, 200, 200))

    with opencode.serve() as server:
        server.prompt(server.create(), "Look.", files=[picture])
        assert says(opencode, "stays in the database", "/nowhere/ocblob")

    assert [(1,)] == query(
        opencode.database, "SELECT count(*) FROM part WHERE data ->> '$.url' = ?", [data_url(picture)]
    )
    assert data_url(picture).encode() in model.turns[-1]


def test_ingest_can_be_switched_off(opencode: OpenCode) -> None:
    """With `ingest: false` rows hold what OpenCode puts there, until a pass comes."""
    use_plugin(opencode, ingest=False)
    picture = opencode.project / "small.png"
    picture.write_bytes(picture_bytes(1, 200, 200))

    opencode.run("Look.", files=[picture])

    assert [(0,)] == query(opencode.database, "SELECT count(*) FROM part WHERE instr(data, ?)", [NEEDLE])
    assert [] == objects(store_of(opencode))


def test_a_store_that_is_not_there_is_not_made(opencode: OpenCode, model: MockModel) -> None:
    """Its drive may not be mounted: the attachment is stored by OpenCode, and the log says why."""
    use_plugin(opencode, store=str(opencode.root / "drive" / "blobs"))
    picture = opencode.project / "small.png"
    picture.write_bytes(picture_bytes(1, 200, 200))

    with opencode.serve() as server:
        server.prompt(server.create(), "Look.", files=[picture])
        assert says(opencode, "stays in the database", "no blob store")

    assert [(0,)] == query(opencode.database, "SELECT count(*) FROM part WHERE instr(data, ?)", [NEEDLE])
    assert data_url(picture).encode() in model.turns[-1]
    assert not (opencode.root / "drive").exists()


@pytest.mark.parametrize("way", ["serve", "run"])
def test_a_session_that_rests_is_offloaded(opencode: OpenCode, model: MockModel, way: str) -> None:
    """When a session is idle a pass over it starts by itself, and goes on though `opencode run` has ended."""
    use_plugin(opencode, ingest=False, rescan=True)
    picture = opencode.project / "small.png"
    picture.write_bytes(picture_bytes(1, 200, 200))

    if way == "run":
        opencode.run("Look.", files=[picture])
        wait_for_pass(opencode)
    else:
        with opencode.serve() as server:
            session = server.create()
            server.prompt(session, "Look.", files=[picture])
            wait_for_pass(opencode)
            urls = [part["url"] for message in server.messages(session) for part in message["parts"] if "url" in part]
            assert 1 == len([url for url in urls if find_refs(url)])
            server.prompt(session, "Still there?")
        assert data_url(picture).encode() in model.turns[-1]

    assert [(2,)] == query(
        opencode.database,
        "SELECT (SELECT count(*) FROM part WHERE instr(data, ?)) + (SELECT count(*) FROM event WHERE instr(data, ?))",
        [NEEDLE, NEEDLE],
    )


def wait_for_pass(opencode: OpenCode) -> None:
    """Until the pass that the plugin has started has ended."""
    place = opencode.root / "state" / "ocblob" / "plugin"
    deadline = time.monotonic() + PASS_TIMEOUT_SECONDS
    while time.monotonic() < deadline:
        turns = [path for path in place.glob("pass-*") if path.suffix != ".log"] if place.is_dir() else []
        pids = [text for path in turns if (text := path.read_text())]
        if pids and not any(_is_running(pid) for pid in pids):
            return
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"no pass of {COMMAND} has ended")


def _is_running(pid: str) -> bool:
    """Whether a process works; a dead one whose parent has not asked yet does not."""
    stat = Path("/proc", pid, "stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"
