"""The real OpenCode goes on with sessions that were evicted after a mirror to a real server, and pulled."""

import json
from pathlib import Path
from typing import Any

import pytest
from mock_model import MockModel, ToolCall
from opencode import OpenCode, Template, data_url
from plugin import NEEDLE, ocblob, use_plugin

from samples import opened as database
from samples import query, refs
from talks import rows, sessions, sound

ALL_FILES = ("first.png", "photo.jpg", "paper.pdf", "second.png", "tool.png")
OLD_MS = 100 * 86_400_000


def aged(host: OpenCode) -> None:
    """Its sessions began long ago, as far as a limit goes."""
    with database(host.database) as db:
        db.execute("UPDATE session SET time_created=time_created-?", (OLD_MS,)).fetchall()


def evict(host: OpenCode, url: str) -> None:
    """Everything into the mirror, and out of the database."""
    done = ocblob(host, "retain", "--max-age", "30d", "--keep-active", "0d", "--mirror", url)
    assert done["report"]["mirror"]
    assert [] == sessions(host.database)


def pull(host: OpenCode, url: str, *words: str) -> dict[str, Any]:
    """A session comes back."""
    return ocblob(host, "pull", *words, "--from", url)


@pytest.fixture
def pair(attachments_template: Template, model: MockModel, tmp_path: Path) -> tuple[OpenCode, OpenCode]:
    """Two hosts with the same old session: one that stays as it is, and one whose session goes and comes back."""
    untouched, back = (attachments_template.opencode.clone(tmp_path / name, model) for name in ("untouched", "back"))
    for host in (untouched, back):
        aged(host)
    return untouched, back


def test_the_next_request_is_the_same(
    pair: tuple[OpenCode, OpenCode], attachments_template: Template, model: MockModel, postgresql_url: str
) -> None:
    """Attachments, tool results and events are byte for byte what they were; a mirror then has nothing to do."""
    untouched, back = pair
    before = rows(back.database)

    evict(back, postgresql_url)
    done = pull(back, postgresql_url, "--session", attachments_template.session)
    after = rows(back.database)
    mirrored = ocblob(back, "mirror", "--to", postgresql_url)
    model.answer("One.", "Two.")
    for host in pair:
        host.run("How many?", session=attachments_template.session)

    assert (1, True) == (done["insert"], done["complete"])
    assert before == after
    assert (0, 1) == (mirrored["report"]["rows_put"], mirrored["report"]["skipped"])
    assert model.turns[0] == model.turns[1]
    project = attachments_template.opencode.project
    assert all(data_url(project / name).encode() in model.turns[1] for name in ALL_FILES)
    assert (
        untouched.export(attachments_template.session)["messages"][:4]
        == (back.export(attachments_template.session)["messages"][:4])
    )


def test_with_refs_and_the_plugin_the_next_request_is_the_same(
    pair: tuple[OpenCode, OpenCode], attachments_template: Template, model: MockModel, postgresql_url: str
) -> None:
    """Refs that the database had come back as refs, and the plugin finds their blobs."""
    _, back = pair
    use_plugin(back)
    ocblob(back, "offload")
    before = rows(back.database)

    evict(back, postgresql_url)
    pull(back, postgresql_url, "--session", attachments_template.session)
    after = rows(back.database)
    model.answer("One.", "Two.")
    for host in pair:
        host.run("How many?", session=attachments_template.session)

    assert before == after
    assert refs(back.database) or NEEDLE in json.dumps(after, default=str)
    assert model.turns[0] == model.turns[1]
    assert NEEDLE.encode() not in model.turns[1]


def test_beside_a_running_server(
    pair: tuple[OpenCode, OpenCode], attachments_template: Template, model: MockModel, postgresql_url: str
) -> None:
    """A session is found by words in it, shows as soon as it is back, goes on, and stays at the next retention."""
    _, back = pair
    session = attachments_template.session
    model.answer("Answered.")

    with back.serve() as server:
        there = [entry["id"] for entry in server.sessions()]
        evict(back, postgresql_url)
        away = server.sessions()
        done = pull(back, postgresql_url, "--query", "i HAVE seen them")
        listed = [entry["id"] for entry in server.sessions()]
        kept = ocblob(back, "retain", "--max-age", "30d", "--mirror", postgresql_url, codes=(3,))
        reply = server.prompt(session, "Still there?")

    assert ([session], [], [session]) == (there, away, listed)
    assert [session] == [match["id"] for match in done["matches"]]
    assert [("active", 1)] == [(each["reason"], each["trees"]) for each in kept["plan"]["protected"]]
    assert "Answered." in json.dumps(reply)
    assert sound(back.database)


def test_a_session_comes_with_its_sub_agents(opencode: OpenCode, model: MockModel, postgresql_url: str) -> None:
    """What an agent has begun goes and comes back with it, and the work that was done there is told the model again."""
    task = {"description": "look", "prompt": "Look around.", "subagent_type": "general"}
    model.answer([ToolCall("task", task)], "I looked around.", "It has looked.")
    session = opencode.turn("Let somebody look.").session
    aged(opencode)
    before = rows(opencode.database)
    family = sessions(opencode.database)

    evict(opencode, postgresql_url)
    done = pull(opencode, postgresql_url, "--session", session)
    after = rows(opencode.database)
    model.answer("Yes.")
    opencode.run("Did it?", session=session)

    assert (2, 2) == (len(family), done["insert"])
    assert before == after
    assert b"I looked around." in model.turns[-1]
    assert [(session,)] == query(opencode.database, "SELECT parent_id FROM session WHERE parent_id IS NOT NULL")
