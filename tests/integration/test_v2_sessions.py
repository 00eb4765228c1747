"""V2 sessions of the real OpenCode: counted, left alone unless asked, and put back; no migration harms a ref.

No hook of OpenCode runs for a V2 session, so refs in its rows stay placeholders until `restore`.
"""

import json
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import apsw
import pytest
from mock_model import MockModel, ToolCall
from opencode import (
    POLL_SECONDS,
    HostError,
    OpenCode,
    Server,
    Template,
    data_url,
    dump_tables,
    query,
    write_attachments,
)
from plugin import NEEDLE, ocblob

PROMPT_TIMEOUT_SECONDS = 60.0
USER_FILES = ("first.png", "photo.jpg")  # V2's OpenAI protocol takes no PDF
V2_TABLES = ("session_message", "session_input")
ALL_TABLES = (*V2_TABLES, "part", "event", "message", "session", "event_sequence", "session_context_epoch")


@dataclass(frozen=True)
class V2Server:
    """A running server and its V2 API."""

    server: Server
    model: MockModel

    def create(self, directory: Path) -> str:
        """A new session of the mock model; returns its id."""
        body = {"location": {"directory": str(directory)}, "model": {"providerID": "mock", "id": "m"}}
        return str(self.server.request("POST", "/api/session", body)["data"]["id"])

    def prompt(self, session: str, text: str, *files: Path) -> bytes:
        """One turn; returns the last request of the model."""
        begin = len(self.model.turns)
        attached = [{"uri": data_url(file), "name": file.name} for file in files]
        self.server.request("POST", f"/api/session/{session}/prompt", {"prompt": {"text": text, "files": attached}})
        # `wait` of 1.18.33 answers 503: not available yet.
        self._until(lambda: session not in self.server.request("GET", "/api/session/active")["data"])
        assert len(self.model.turns) > begin, self.messages(session)[0]
        return self.model.turns[-1]

    def messages(self, session: str) -> list[dict[str, Any]]:
        """The messages of a session, the newest first."""
        found: list[dict[str, Any]] = self.server.request("GET", f"/api/session/{session}/message")["data"]
        return found

    def wait_for_models(self) -> None:
        """Wait until the configured provider is there: a prompt before that ends without a word."""
        self._until(lambda: "mock" in [entry["id"] for entry in self.server.request("GET", "/api/provider")["data"]])

    @staticmethod
    def _until(done: Any) -> None:
        deadline = time.monotonic() + PROMPT_TIMEOUT_SECONDS
        while not done():
            if time.monotonic() > deadline:
                raise HostError("the V2 API took too long")
            time.sleep(POLL_SECONDS)


@contextmanager
def serving(opencode: OpenCode, model: MockModel) -> Iterator[V2Server]:
    """A server whose V2 API knows the mock model."""
    with opencode.serve() as server:
        v2 = V2Server(server, model)
        v2.wait_for_models()
        yield v2


@pytest.fixture(scope="module")
def v2_template(opencode_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    """A host with one V2 session: two pictures by the user, and one that a tool has read."""
    with MockModel() as model:
        opencode = OpenCode(opencode_binary, tmp_path_factory.mktemp("v2"), model)
        files = write_attachments(opencode.project)
        model.answer([ToolCall("read", {"path": str(files["tool.png"])})], "I have seen them.")
        with serving(opencode, model) as v2:
            session = v2.create(opencode.project)
            v2.prompt(session, "Look at these.", *(files[name] for name in USER_FILES))
        yield Template(opencode, session)


@pytest.fixture
def v2_host(v2_template: Template, tmp_path: Path, model: MockModel) -> OpenCode:
    """A clone of the template, for the test to change."""
    return v2_template.opencode.clone(tmp_path / "v2", model)


def columns(opencode: OpenCode) -> dict[str, tuple[int, int]]:
    """How many payloads and refs `status` counts in each column that has any."""
    found = ocblob(opencode, "status")["columns"]
    return {item["column"]: (item["inline"], item["refs"]) for item in found if item["inline"] or item["refs"]}


def v2_warnings(opencode: OpenCode) -> list[str]:
    """What `status` says of refs in V2 sessions."""
    return [text for text in ocblob(opencode, "status")["warnings"] if "V2" in text]


def test_v2_payloads_are_counted_and_left(v2_host: OpenCode) -> None:
    """Of the four copies of each payload `offload` takes those in events; the cells of V2 sessions stay as they are."""
    before = dump_tables(v2_host.database, V2_TABLES)

    counted = columns(v2_host)
    done = ocblob(v2_host, "offload", "--no-plugin")

    assert {"event:data": (5, 0), "session_message:data": (3, 0), "session_input:prompt": (2, 0)} == counted
    assert 5 == done["report"]["payloads"]
    assert {"event:data": (0, 5), "session_message:data": (3, 0), "session_input:prompt": (2, 0)} == columns(v2_host)
    assert before == dump_tables(v2_host.database, V2_TABLES)
    assert [] == v2_warnings(v2_host)


def test_include_v2_moves_them_and_restore_brings_all_back(v2_host: OpenCode) -> None:
    """With --include-v2 all data URLs move out and `status` warns; `restore` gives back every table byte for byte."""
    before = dump_tables(v2_host.database, ALL_TABLES)

    done = ocblob(v2_host, "offload", "--no-plugin", "--include-v2", "--vacuum")
    between = columns(v2_host)
    warned = v2_warnings(v2_host)
    ocblob(v2_host, "restore")

    assert 10 == done["report"]["payloads"]
    assert 3 == done["report"]["blobs_new"]
    assert {"event:data": (0, 5), "session_message:data": (0, 3), "session_input:prompt": (0, 2)} == between
    assert len(warned) == 1
    assert "5 refs" in warned[0]
    assert "ocblob restore" in warned[0]
    assert before == dump_tables(v2_host.database, ALL_TABLES)
    assert [] == v2_warnings(v2_host)


def test_a_v2_session_goes_on_with_placeholders_until_restore(
    v2_host: OpenCode, v2_template: Template, model: MockModel
) -> None:
    """The model sees files after `offload`, placeholders after `--include-v2`, and the files again after `restore`.

    The server runs all the time, and the session opens and answers in each state.
    """
    session = v2_template.session
    payloads = [data_url(v2_host.project / name).encode() for name in (*USER_FILES, "tool.png")]
    model.answer("One.", "Two.", "Three.")

    with serving(v2_host, model) as v2:
        ocblob(v2_host, "offload", "--no-plugin")
        events_moved = v2.prompt(session, "First.")
        ocblob(v2_host, "offload", "--no-plugin", "--include-v2")
        messages = v2.messages(session)
        all_moved = v2.prompt(session, "Second.")
        ocblob(v2_host, "restore")
        restored = v2.prompt(session, "Third.")

    assert [True] * 3 == [payload in events_moved for payload in payloads]
    assert NEEDLE.encode() not in events_moved
    files = [file["uri"] for message in messages for file in message.get("files", [])]
    assert [True] * 2 == [NEEDLE in uri for uri in files]
    assert [False] * 3 == [payload in all_moved for payload in payloads]
    assert 3 == all_moved.count(NEEDLE.encode())
    assert [True] * 3 == [payload in restored for payload in payloads]
    assert NEEDLE.encode() not in restored
    assert earlier(events_moved) == earlier(restored)[: len(earlier(events_moved))]


def earlier(request: bytes) -> list[Any]:
    """The messages of a request to the model."""
    found: list[Any] = json.loads(request)["messages"]
    return found


def test_base64_without_a_data_url_stays(v2_host: OpenCode) -> None:
    """The raw base64 that a V2 tool keeps beside its data URL is no attachment to us: it is left in the row."""
    raw = data_url(v2_host.project / "tool.png").partition(",")[2]

    ocblob(v2_host, "offload", "--no-plugin", "--include-v2")

    kept = query(v2_host.database, "SELECT data FROM session_message WHERE type = 'assistant'")
    assert 1 == sum(cell.count(raw) for (cell,) in kept)


def test_refs_survive_the_migrations_of_an_upgrade(
    attachments_host: OpenCode, attachments_template: Template, model: MockModel
) -> None:
    """The last migrations empty the event log and the V2 tables; rows of parts keep their refs, and all comes back.

    The same session opened as a V2 session begins empty: 1.18.33 takes nothing over from its parts.
    """
    parts = dump_tables(attachments_host.database, ["part"])
    ocblob(attachments_host, "offload", "--no-plugin")
    offloaded = dump_tables(attachments_host.database, ["part"])
    forget_migrations(
        attachments_host, "20260622170816_reset_v2_session_state", "20260622202450_simplify_session_input"
    )

    with serving(attachments_host, model) as v2:
        taken_over = v2.messages(attachments_template.session)
        v2.server.messages(attachments_template.session)

    assert [] == taken_over
    assert [] == dump_tables(attachments_host.database, ["event"])
    assert offloaded == dump_tables(attachments_host.database, ["part"])
    ocblob(attachments_host, "restore")
    assert parts == dump_tables(attachments_host.database, ["part"])


def forget_migrations(opencode: OpenCode, *names: str) -> None:
    """Make a database one that the migrations have not seen yet. No host may run."""
    with closing(apsw.Connection(str(opencode.database))) as connection, connection:
        marks = ", ".join("?" for _ in names)
        connection.execute(f"DELETE FROM migration WHERE id IN ({marks})", names).fetchall()
        assert len(names) == connection.changes()


def test_what_opencode_2_takes_over_is_counted_and_comes_back(attachments_host: OpenCode) -> None:
    """Rows as OpenCode 2 makes them of refs, a user's files without headers, hold the payloads after `restore`.

    They are written by this test, after its source: its package is not to be had where the tests run.
    """
    inline = taken_over(attachments_host)
    ocblob(attachments_host, "offload", "--no-plugin")
    with closing(apsw.Connection(str(attachments_host.database))) as connection, connection:
        connection.executemany("INSERT INTO session_message VALUES (?,?,?,?,0,0,?)", taken_over(attachments_host))

    counted = columns(attachments_host)["session_message:data"]
    warned = v2_warnings(attachments_host)
    ocblob(attachments_host, "restore")

    rows = query(attachments_host.database, "SELECT id, session_id, type, seq, data FROM session_message ORDER BY seq")
    assert (0, 5) == counted
    assert len(warned) == 1
    assert inline == rows


def taken_over(opencode: OpenCode) -> list[tuple[Any, ...]]:
    """The rows of `session_message` that OpenCode 2 would make of the parts with attachments. No host may run."""
    rows = []
    parts = query(opencode.database, "SELECT id, session_id, data FROM part ORDER BY id")
    for key, session, data in parts:
        part = json.loads(data)
        if part["type"] == "file":
            payload = part["url"].partition(",")[2]
            file = {"data": payload, "mime": part["mime"], "source": {"type": "inline"}, "name": part["filename"]}
            rows.append((key, session, "user", {"text": "", "files": [file]}))
        elif part["type"] == "tool":
            content = [
                {"type": "file", "uri": file["url"], "mime": file["mime"]} for file in part["state"]["attachments"]
            ]
            rows.append((key, session, "assistant", {"content": [{"type": "tool", "state": {"content": content}}]}))
    return [
        (key, session, kind, seq, json.dumps(data, separators=(",", ":")))
        for seq, (key, session, kind, data) in enumerate(rows)
    ]
