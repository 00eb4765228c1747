"""Whatever a user does in a session, the model is sent the same bytes with the plugin as if nothing had moved out.

Two servers run side by side on clones of one host: one as it was, one whose attachments are in the store.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mock_model import MockModel, ToolCall
from opencode import OpenCode, Server, data_url, noise_file, query
from plugin import NEEDLE, log_of, ocblob, use_plugin

FLOWS = ("next", "user", "fork", "revert", "compact", "compact-tail", "sub-agent", "import")
LINE = "The quick brown fox jumps over the lazy dog.\n"
FILES = {
    "picture.png": noise_file(".png", 1),
    "photo.jpg": noise_file(".jpg", 2),
    "paper.pdf": noise_file(".pdf", 3),
    "notes.txt": (LINE * 1000).encode(),
    "tool.png": noise_file(".png", 4),
    "tool.pdf": noise_file(".pdf", 5),
    "agent.png": noise_file(".png", 6),
}


@dataclass(frozen=True)
class Pair:
    """Two hosts with the same sessions: one a session for each flow."""

    model: MockModel
    inline: OpenCode
    offloaded: OpenCode
    servers: tuple[Server, Server]
    """Of the one as it was, and of the one with refs and the plugin."""
    sessions: dict[str, str]

    def same(self, *before: list[bytes]) -> None:
        """Assert that both lists of requests are equal, and that neither of them names a ref."""
        first, second = before
        assert len(first) > 0
        assert [len(body) for body in first] == [len(body) for body in second]
        assert first == second
        assert not any(NEEDLE.encode() in body for body in second)

    def requests(self, server: Server, flow: str, *prompts: str) -> list[bytes]:
        """What the model gets for prompts in a flow's session."""
        begin = len(self.model.turns)
        for text in prompts:
            server.prompt(self.sessions[flow], text)
        return self.model.turns[begin:]


def session_of(server: Server, model: MockModel, project: Path) -> str:
    """A session with a file of each kind by the user, and two that a tool has read."""
    session = server.create()
    model.answer(
        [
            ToolCall("read", {"filePath": str(project / "tool.png")}),
            ToolCall("read", {"filePath": str(project / "tool.pdf")}),
        ],
        "I have seen them.",
    )
    user = ("picture.png", "photo.jpg", "paper.pdf", "notes.txt")
    server.prompt(session, "Look at these.", files=[project / name for name in user])
    return session


def sub_agent_session(server: Server, model: MockModel, project: Path) -> str:
    """A session whose sub-agent has read a picture."""
    session = server.create()
    task = ToolCall("task", {"description": "look", "prompt": "Look at it.", "subagent_type": "general"})
    model.answer([task], [ToolCall("read", {"filePath": str(project / "agent.png")})], "A picture.", "It says so.")
    server.prompt(session, "Have it looked at.")
    return session


@pytest.fixture(scope="module")
def pair(opencode_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """The two hosts with their servers; each test has a session of its own in them."""
    root = tmp_path_factory.mktemp("flows")
    with MockModel() as model:
        template = OpenCode(opencode_binary, root / "template", model)
        for name, data in FILES.items():
            (template.project / name).write_bytes(data)
        with template.serve() as server:
            sessions = {flow: session_of(server, model, template.project) for flow in FLOWS if flow != "sub-agent"}
            sessions["sub-agent"] = sub_agent_session(server, model, template.project)
        inline, offloaded = (template.clone(root / name, model) for name in ("inline", "offloaded"))
        ocblob(offloaded, "offload", "--no-plugin", "--vacuum")
        use_plugin(offloaded)
        with inline.serve() as first, offloaded.serve() as second:
            yield Pair(model, inline, offloaded, (first, second), sessions)


def test_the_next_turn_sends_every_attachment(pair: Pair) -> None:
    """The next turn's request is the same, and holds the bytes of all that was attached or read by a tool."""
    first, second = (pair.requests(server, "next", "How many?") for server in pair.servers)

    pair.same(first, second)
    named = set(FILES) - {"agent.png", "notes.txt"}
    assert set() == {name for name in named if data_url(pair.inline.project / name).encode() not in second[0]}
    assert LINE.encode()[:-1] in second[0]


def test_new_attachments_are_sent_as_they_are(pair: Pair) -> None:
    """A turn that attaches files of its own sends the same as a host without the plugin, in this turn and the next."""
    files = [pair.inline.project / name for name in ("picture.png", "paper.pdf", "notes.txt")]
    sent = []
    for server in pair.servers:
        begin = len(pair.model.turns)
        server.prompt(pair.sessions["user"], "And these?", files=files)
        server.prompt(pair.sessions["user"], "Sure?")
        sent.append(pair.model.turns[begin:])

    pair.same(*sent)
    assert 2 == len(sent[0])


def test_a_fork_sends_what_the_session_sent(pair: Pair) -> None:
    """A fork holds refs; its turns send the payloads."""
    sent = []
    for server in pair.servers:
        begin = len(pair.model.turns)
        server.prompt(server.fork(pair.sessions["fork"]), "In the fork.")
        sent.append(pair.model.turns[begin:])

    pair.same(*sent)


def test_a_reverted_session_goes_on(pair: Pair) -> None:
    """After a later message was taken back, the next turn sends what is left, in both hosts."""
    sent = []
    for server in pair.servers:
        session = pair.sessions["revert"]
        server.prompt(session, "Wrong way.", files=[pair.inline.project / "photo.jpg"])
        users = [message["info"]["id"] for message in server.messages(session) if message["info"]["role"] == "user"]
        server.revert(session, users[-1])
        begin = len(pair.model.turns)
        server.prompt(session, "Right way.")
        sent.append(pair.model.turns[begin:])

    pair.same(*sent)
    assert not any(b"Wrong way." in body for body in sent[1])


def test_a_sub_agent_sees_its_attachments(pair: Pair) -> None:
    """The sub-agent's session and its parent go on with the same requests; the picture is in the sub-agent's."""
    (child,) = (
        info["id"] for info in pair.servers[0].request("GET", f"/session/{pair.sessions['sub-agent']}/children")
    )
    sent = []
    for server in pair.servers:
        begin = len(pair.model.turns)
        server.prompt(child, "What was it?")
        server.prompt(pair.sessions["sub-agent"], "What did it say?")
        sent.append(pair.model.turns[begin:])

    pair.same(*sent)
    assert data_url(pair.inline.project / "agent.png").encode() in sent[1][0]


def test_a_new_sub_agent_sees_what_it_reads(pair: Pair) -> None:
    """A sub-agent that runs with the plugin is sent what it would be sent without it."""
    task = ToolCall("task", {"description": "look", "prompt": "Look again.", "subagent_type": "general"})
    read = ToolCall("read", {"filePath": str(pair.inline.project / "tool.png")})
    sent = []
    for server in pair.servers:
        begin = len(pair.model.turns)
        pair.model.answer([task], [read], "A picture.", "It says so.")
        server.prompt(server.create(), "Have it looked at.")
        sent.append([_without_ids(body) for body in pair.model.turns[begin:]])

    pair.same(*sent)
    assert 4 == len(sent[0])


def test_a_compaction_keeps_more_of_what_is_small(pair: Pair) -> None:
    """OpenCode measures the tail that it keeps by the stored text: with refs it keeps more, and summarizes the rest.

    What leaves the summary's request stands in full in the turns that follow.
    """
    (whole, after), (summary, with_tail) = (
        _compacted(pair, server, pair.sessions["compact-tail"]) for server in pair.servers
    )

    lines, fewer = (json.loads(body)["messages"][-1]["content"].splitlines() for body in (whole, summary))
    kept = [line for line in lines if line not in fewer]
    assert [] == [line for line in fewer if line not in lines]
    assert kept[-1] == "[Attached application/pdf: file]"
    assert data_url(pair.inline.project / "tool.png").encode() not in after
    assert data_url(pair.inline.project / "tool.png").encode() in with_tail
    assert NEEDLE.encode() not in summary + with_tail


def test_a_compaction_without_a_tail_sends_the_same(pair: Pair) -> None:
    """Where OpenCode keeps no tail, the request that summarizes a session and the next turn's are the same."""
    for server in pair.servers:
        _keep_no_tail(server)
    sent = [_compacted(pair, server, pair.sessions["compact"]) for server in pair.servers]

    pair.same(*sent)
    assert 2 == len(sent[0])


def test_an_export_can_be_imported_and_goes_on(pair: Pair, tmp_path: Path, opencode_binary: Path) -> None:
    """A session exported with its refs and imported by another host with the plugin sends the payloads there."""
    exported = [host.command("export", pair.sessions["import"]) for host in (pair.inline, pair.offloaded)]
    sent = []
    for number, text in enumerate(exported):
        host = OpenCode(opencode_binary, tmp_path / str(number), pair.model, workspace=pair.inline.workspace)
        (tmp_path / "session.json").write_text(text)
        host.import_(tmp_path / "session.json")
        use_plugin(host, store=str(pair.offloaded.root / "blobs"))
        begin = len(pair.model.turns)
        host.run("Go on.", session=pair.sessions["import"])
        sent.append(pair.model.turns[begin:])

    pair.same(*sent)
    assert NEEDLE in exported[1]
    assert NEEDLE not in exported[0]


def test_nothing_went_wrong_on_the_way(pair: Pair) -> None:
    """The plugin had nothing to say, and rows still hold refs and small cells only: what it fills in is not stored."""
    assert [] == [line for line in log_of(pair.offloaded) if "not available" in line or "level=ERROR" in line]
    largest = query(pair.offloaded.database, "SELECT max(length(data)) FROM part")
    assert largest < [(70_000,)]


def _compacted(pair: Pair, server: Server, session: str) -> list[bytes]:
    """The requests of a compaction and of the turn behind it."""
    begin = len(pair.model.turns)
    pair.model.answer("A summary.")
    server.compact(session)
    server.prompt(session, "Go on.")
    return pair.model.turns[begin:]


def _keep_no_tail(server: Server) -> None:
    """Change the host's settings while it runs."""
    server.request("PATCH", "/global/config", {"compaction": {"tail_turns": 0}})
    server.request("POST", "/instance/dispose")


def _without_ids(body: bytes) -> bytes:
    """A request without the ids of the sessions that it names: each host makes its own."""
    return re.sub(rb"ses_[0-9A-Za-z]+", b"ses_", body)
