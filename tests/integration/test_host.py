"""The harness drives the real OpenCode, and OpenCode stores attachments where ocblob looks for them."""

import json
import os
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from mock_model import MockModel
from opencode import HostError, OpenCode, Template, data_url, dump_tables, query

USER_FILES = ("first.png", "photo.jpg", "paper.pdf", "second.png")
ALL_FILES = (*USER_FILES, "tool.png")
MIN_FILE_BYTES = 40_000

USER_URLS = "SELECT data ->> '$.url' FROM part WHERE data ->> '$.type' = 'file' ORDER BY id"
TOOL_URLS = """
    SELECT attachment.value ->> '$.url'
    FROM part, json_each(part.data, '$.state.attachments') AS attachment
    WHERE part.data ->> '$.type' = 'tool'
"""
EVENT_URLS = """
    SELECT node.value FROM event, json_tree(event.data) AS node
    WHERE event.type = 'message.part.updated.1' AND node.key = 'url'
"""


def urls(opencode: OpenCode, names: tuple[str, ...]) -> list[str]:
    """Return the data URLs that the host should have made of the workspace's files."""
    return [data_url(opencode.project / name) for name in names]


def test_user_files_become_file_parts(attachments_template: Template) -> None:
    """Each file of the user is one part of type file whose url is a data URL of the whole file."""
    opencode = attachments_template.opencode

    actual = [url for (url,) in query(opencode.database, USER_URLS)]

    assert urls(opencode, USER_FILES) == actual
    assert MIN_FILE_BYTES < min((opencode.project / name).stat().st_size for name in ALL_FILES)


def test_a_read_image_becomes_a_tool_attachment(attachments_template: Template) -> None:
    """An image that a tool has read is an attachment in the state of the tool's part."""
    opencode = attachments_template.opencode

    actual = [url for (url,) in query(opencode.database, TOOL_URLS)]

    assert urls(opencode, ("tool.png",)) == actual


def test_events_hold_a_copy_of_each_attachment(attachments_template: Template) -> None:
    """The event log holds the data URL of each attachment once more."""
    opencode = attachments_template.opencode

    actual = [url for (url,) in query(opencode.database, EVENT_URLS)]

    assert sorted(urls(opencode, ALL_FILES)) == sorted(actual)


def test_the_same_turn_in_two_clones_sends_the_same_request(
    attachments_template: Template, model: MockModel, tmp_path: Path
) -> None:
    """A continued session sends every attachment, in the same bytes from either of two clones."""
    template = attachments_template.opencode
    first, second = (template.clone(tmp_path / name, model) for name in ("first", "second"))
    model.answer("Five.", "Five again.")

    answers = [
        first.run("How many?", continue_last=True),
        second.run("How many?", session=attachments_template.session),
    ]

    assert ["Five.", "Five again."] == answers
    assert model.turns[0] == model.turns[1]
    assert [] == [name for name in ALL_FILES if data_url(template.project / name).encode() not in model.turns[0]]
    assert [] == model.titles


def test_a_server_shows_the_messages(
    attachments_host: OpenCode, attachments_template: Template, model: MockModel
) -> None:
    """A server lists the session, gives its messages with all files, and takes a prompt with a file."""
    session = attachments_template.session
    model.answer("Seen before.")

    with attachments_host.serve() as server:
        sessions = [info["id"] for info in server.sessions()]
        messages = server.messages(session)
        server.prompt(session, "Again.", files=[attachments_host.project / "first.png"])

    parts = [part for message in messages for part in message["parts"]]
    assert [session] == sessions
    assert urls(attachments_host, USER_FILES) == [part["url"] for part in parts if part["type"] == "file"]
    assert data_url(attachments_host.project / "first.png").encode() in model.turns[-1]
    with pytest.raises(HostError, match="refused"):
        server.sessions()


def test_an_export_can_be_imported(
    attachments_host: OpenCode, attachments_template: Template, opencode: OpenCode, tmp_path: Path
) -> None:
    """An exported session holds all data URLs, and another host that imports it stores them."""
    exported = attachments_host.export(attachments_template.session)
    path = tmp_path / "session.json"
    path.write_text(json.dumps(exported))

    opencode.import_(path)

    assert ["info", "messages"] == list(exported)
    assert urls(attachments_host, USER_FILES) == [url for (url,) in query(opencode.database, USER_URLS)]
    assert urls(attachments_host, ("tool.png",)) == [url for (url,) in query(opencode.database, TOOL_URLS)]


def test_a_command_that_hangs_is_killed_and_quoted(tmp_path: Path, model: MockModel) -> None:
    """A command over its time is killed with its children, and the exception tells what it printed."""
    opencode = OpenCode(tmp_path / "fake", tmp_path / "root", model)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    child = f"(trap '' TERM; echo started; sleep 30; echo survived) >{shlex.quote(str(pipe))} &"
    opencode.binary.write_text(f"#!/bin/sh\necho some words >&2\n{child}\nwait\n")
    opencode.binary.chmod(0o700)

    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(HostError, match=r"over 0\.5 s\n+some words"):
        opencode.command("hang", timeout_seconds=0.5)

    os.set_blocking(reader, True)  # from here to the end of the last process that holds the pipe
    with os.fdopen(reader, "rb") as output:
        assert b"started\n" == output.read()


def test_a_dump_tells_values_of_another_type_apart(tmp_path: Path) -> None:
    """Dumps of text and of a blob of the same bytes differ, dumps of equal rows do not."""
    databases = [tmp_path / name for name in ("text", "blob", "again")]
    for database, value in zip(databases, ("x" * 500, b"x" * 500, "x" * 500), strict=True):
        with closing(sqlite3.connect(database)) as connection, connection:
            connection.execute("CREATE TABLE part (id text PRIMARY KEY, data text)")
            connection.execute("INSERT INTO part VALUES ('prt_1', ?)", (value,))

    text, blob, again = (dump_tables(database, ["part"]) for database in databases)

    assert text == again
    assert text != blob
