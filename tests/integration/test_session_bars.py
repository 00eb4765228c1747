"""Sessions of the real OpenCode leave its database and come back as they were, and the host goes on with them."""

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from mock_model import MockModel, ToolCall
from opencode import OpenCode, Server, data_url, write_attachments
from plugin import ocblob, store_of, use_plugin
from test_v2_sessions import serving

from archived import elements
from samples import DAY_MS, columns, opened, query, refs, unresolved
from talks import Dump, live_bytes, on_disk, orphans, rows, sessions, sound

ALL = ("--max-age", "30d")
"""Retention that nothing of the scene survives."""
AGED_MS = 100 * DAY_MS


@dataclass(frozen=True)
class Scene:
    """A stopped host with sessions of every kind; to be read and cloned, never changed."""

    opencode: OpenCode
    ids: Mapping[str, str]
    """`files`: attachments, a tool's too; `fork` of it; `agent`: a todo list and a sub-agent's session; `v2`."""


@pytest.fixture(scope="module")
def scene(opencode_binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Sessions as OpenCode itself writes them."""
    with MockModel() as model:
        opencode = OpenCode(opencode_binary, tmp_path_factory.mktemp("sessions"), model)
        write_attachments(opencode.project)
        with serving(opencode, model) as v2:
            ids = {"files": files_session(v2.server, model, opencode.project)}
            ids["agent"] = agent_session(v2.server, model, opencode.project)
            ids["fork"] = v2.server.fork(ids["files"])
            ids["v2"] = v2.create(opencode.project)
            v2.prompt(ids["v2"], "Look at it.", opencode.project / "second.png")
        age(opencode.database)
        yield Scene(opencode, ids)


def age(path: Path) -> None:
    """Move the times of all sessions a hundred days back: what OpenCode has just written is active."""
    with opened(path) as db:
        for table in ("session", "message", "part", "todo", "session_message", "session_input"):
            for name in columns(path, table):
                if name in {"time_created", "time_updated"}:
                    db.execute(f"UPDATE {table} SET {name}={name}-?", (AGED_MS,)).fetchall()


def files_session(server: Server, model: MockModel, project: Path) -> str:
    """Two turns: the user's files, and one that a tool reads."""
    session = server.create()
    model.answer([ToolCall("read", {"filePath": str(project / "tool.png")})], "I have seen them.")
    server.prompt(session, "Look at these.", files=[project / "first.png", project / "paper.pdf"])
    model.answer("And that one.")
    server.prompt(session, "One more.", files=[project / "photo.jpg"])
    return session


def agent_session(server: Server, model: MockModel, project: Path) -> str:
    """A todo list, and a sub-agent that reads a picture in a session of its own."""
    session = server.create()
    todo = {"content": "look", "status": "in_progress", "priority": "high", "id": "1"}
    task = ToolCall("task", {"description": "look", "prompt": "Look at it.", "subagent_type": "general"})
    read = ToolCall("read", {"filePath": str(project / "second.png")})
    model.answer([ToolCall("todowrite", {"todos": [todo]})], [task], [read], "A picture.", "It says so.")
    server.prompt(session, "Have it looked at.")
    return session


@pytest.fixture
def host(scene: Scene, tmp_path: Path, model: MockModel) -> OpenCode:
    """A clone of the scene's host, for the test to change."""
    return scene.opencode.clone(tmp_path / "host", model)


def tables(host: OpenCode) -> Dump:
    """Every table of a stopped host's database, with rowids and types."""
    return rows(host.database)


def test_the_scene_has_every_kind_of_row(scene: Scene) -> None:
    """The sessions of this file have rows in each table that belongs to sessions, but for that of shared ones."""
    found = tables(scene.opencode)

    filled = {"session", "message", "part", "todo", "event", "event_sequence", "session_message", "session_input"}
    assert set() == {name for name in filled if not found[name]}
    assert 5 == len(found["session"])
    assert [(scene.ids["agent"],)] == query(
        scene.opencode.database, "SELECT parent_id FROM session WHERE parent_id IS NOT NULL"
    )


@pytest.mark.parametrize("name", ["all.json", "all.json.zst"])
def test_every_table_comes_back_byte_for_byte(host: OpenCode, tmp_path: Path, name: str) -> None:
    """Archived, dropped, vacuumed and put back: all values, their types and rowids are those of before."""
    before, archive = tables(host), tmp_path / name

    ocblob(host, "archive", str(archive))
    ocblob(host, "retain", *ALL, "--archive", str(tmp_path / f"second.{name}"), "--vacuum")
    assert sound(host.database)
    assert [] == sessions(host.database)
    assert [] == tables(host)["event"]
    assert on_disk(host.database) <= 1.1 * live_bytes(host.database)

    ocblob(host, "unarchive", str(archive))
    assert sound(host.database)
    assert before == tables(host)


def test_both_archives_hold_the_same(host: OpenCode, tmp_path: Path) -> None:
    """What `retain` seals before it deletes is what `archive` seals: each gives every row back."""
    before = tables(host)
    ocblob(host, "retain", *ALL, "--archive", str(tmp_path / "one"))
    (first,) = (tmp_path / "one").iterdir()

    ocblob(host, "unarchive", str(first))
    ocblob(host, "archive", str(tmp_path / "two.json"))

    assert before == tables(host)
    names = [[element["ocblob"]["digest"] for element in elements(file)] for file in (first, tmp_path / "two.json")]
    assert sorted(names[0]) == sorted(names[1])


def test_the_host_lists_opens_and_continues_a_session_that_came_back(
    scene: Scene, host: OpenCode, tmp_path: Path, model: MockModel
) -> None:
    """An unarchived session is listed and opens as before, and its next turn sends what it would have sent."""
    untouched = scene.opencode.clone(tmp_path / "untouched", model)
    session = scene.ids["files"]
    with untouched.serve() as server:
        listed, opened = [entry["id"] for entry in server.sessions()], server.messages(session)
    archive = tmp_path / "all.json.zst"
    ocblob(host, "retain", *ALL, "--archive", str(archive))
    with host.serve() as server:
        assert [] == server.sessions()
    ocblob(host, "unarchive", str(archive))
    model.answer("One.", "One.")

    with host.serve() as server:
        assert listed == [entry["id"] for entry in server.sessions()]
        assert opened == server.messages(session)
    answers = [one.run("How many?", session=session) for one in (untouched, host)]

    assert ["One.", "One."] == answers
    assert model.turns[-2] == model.turns[-1]
    assert data_url(host.project / "paper.pdf").encode() in model.turns[-1]


def test_a_sub_agents_session_comes_back_below_its_parent(scene: Scene, host: OpenCode, tmp_path: Path) -> None:
    """Named by its root, a tree leaves and comes back whole, and the host shows the children again."""
    session, archive = scene.ids["agent"], tmp_path / "all.json"
    with host.serve() as server:
        children = server.request("GET", f"/session/{session}/children")
    ocblob(host, "retain", *ALL, "--archive", str(archive))

    back = [element["ocblob"]["session"] for element in elements(archive)]
    chosen = [name for name in back if name in {session, *(child["id"] for child in children)}]
    ocblob(host, "unarchive", str(archive), *(word for name in chosen for word in ("--session", name)))

    assert 2 == len(sessions(host.database))
    assert [] == orphans(host.database)
    with host.serve() as server:
        assert children == server.request("GET", f"/session/{session}/children")
        assert ["look"] == [item["content"] for item in server.request("GET", f"/session/{session}/todo")]


def test_beside_a_running_server_sessions_go_and_come_back(
    scene: Scene, host: OpenCode, tmp_path: Path, model: MockModel
) -> None:
    """While a server is open they leave its list and come back to it, and it answers in the meantime and afterwards."""
    archive = tmp_path / "all.json.zst"
    model.answer("I am here.", "And still here.")

    with host.serve() as server:
        listed = [entry["id"] for entry in server.sessions()]
        ocblob(host, "retain", *ALL, "--archive", str(archive))
        assert [] == server.sessions()
        fresh = server.create()
        assert "I am here." in json.dumps(server.prompt(fresh, "Are you there?"))
        ocblob(host, "unarchive", str(archive))
        assert {fresh, *listed} == {entry["id"] for entry in server.sessions()}
        assert "And still here." in json.dumps(server.prompt(scene.ids["files"], "Still there?"))

    assert sound(host.database)


@pytest.mark.parametrize("kind", ["files", "fork", "agent"])
def test_an_element_is_what_export_prints_and_import_takes(
    scene: Scene, opencode_binary: Path, tmp_path: Path, model: MockModel, kind: str
) -> None:
    """An element has what the real `opencode export` prints, and the real `opencode import` takes it."""
    session = scene.ids[kind]
    host = scene.opencode.clone(tmp_path / "host", model)
    exported = host.export(session)
    ocblob(host, "archive", str(tmp_path / "a.json"), "--session", session)
    (element,) = (one for one in elements(tmp_path / "a.json") if one["ocblob"]["session"] == session)
    assert ["info", "messages", "ocblob"] == list(element)

    other = OpenCode(opencode_binary, tmp_path / "other", model, workspace=host.workspace)
    (tmp_path / "element.json").write_text(json.dumps(element, ensure_ascii=False))
    other.import_(tmp_path / "element.json")

    assert exported == {name: element[name] for name in ("info", "messages")}
    assert exported["messages"] == other.export(session)["messages"]


def test_an_archive_needs_no_store(host: OpenCode, tmp_path: Path) -> None:
    """Of an offloaded database the archive holds the blobs too: with the store lost, rows and attachments come back."""
    ocblob(host, "offload", "--no-plugin")
    before, archive = tables(host), tmp_path / "all.json.zst"
    assert refs(host.database)
    ocblob(host, "retain", *ALL, "--archive", str(archive))
    shutil.rmtree(store_of(host))

    ocblob(host, "unarchive", str(archive))

    assert before == tables(host)
    assert [] == unresolved(host.database, store_of(host))


def test_an_archive_opens_on_another_machine(
    scene: Scene, opencode_binary: Path, host: OpenCode, tmp_path: Path, model: MockModel
) -> None:
    """In the database of another OpenCode, with sessions of its own, archived ones are listed, opened and continued."""
    other = OpenCode(opencode_binary, tmp_path / "other", model, workspace=host.workspace)
    model.answer("Hello.", "Yes.")
    own = other.turn("Hello?").session
    with host.serve() as server:
        messages = server.messages(scene.ids["files"])
    ocblob(host, "archive", str(tmp_path / "all.json.zst"))

    ocblob(other, "unarchive", str(tmp_path / "all.json.zst"))

    assert sound(other.database)
    with other.serve() as server:
        assert {own, scene.ids["files"], scene.ids["fork"]} <= {entry["id"] for entry in server.sessions()}
        assert messages == server.messages(scene.ids["files"])
    assert "Yes." == other.run("Go on?", session=scene.ids["files"])


def test_with_the_plugin_a_session_that_came_back_sends_its_attachments(
    scene: Scene, host: OpenCode, tmp_path: Path, model: MockModel
) -> None:
    """Offloaded, archived, dropped and put back: the plugin gives the model the attachments as before."""
    use_plugin(host)
    ocblob(host, "offload", "--no-plugin")
    archive = tmp_path / "all.json.zst"
    ocblob(host, "retain", *ALL, "--archive", str(archive))
    shutil.rmtree(store_of(host))
    ocblob(host, "unarchive", str(archive))
    model.answer("I see.")

    host.run("How many?", session=scene.ids["files"])

    for name in ("first.png", "paper.pdf", "photo.jpg", "tool.png"):
        assert data_url(host.project / name).encode() in model.turns[-1]


def test_a_session_that_the_host_goes_on_with_stays(scene: Scene, host: OpenCode, model: MockModel) -> None:
    """Trap: age by `time_created`: a session that was begun long ago and is used today stays; exit 3 says so."""
    model.answer("Yes.")
    host.run("Still there?", session=scene.ids["files"])
    before = rows_of(tables(host), scene.ids["files"])

    ocblob(host, "retain", *ALL, codes=(3,))

    assert [scene.ids["files"]] == sessions(host.database)
    assert before == rows_of(tables(host), scene.ids["files"])
    assert sound(host.database)


def rows_of(dump: Dump, session: str) -> list[tuple[object, ...]]:
    """The rows that name a session."""
    return [row for found in dump.values() for row in found if session.encode() in row]
