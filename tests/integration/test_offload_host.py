"""The real OpenCode goes on after an offload, and a restore gives back the rows that it wrote."""

import json
import subprocess
import sys
from pathlib import Path

from mock_model import MockModel
from opencode import OpenCode, Template, data_url, dump_tables, query
from plugin import NEEDLE, ocblob, store_of

from ocblob import Resolver, find_refs

USER_FILES = ("first.png", "photo.jpg", "paper.pdf", "second.png")
ALL_FILES = (*USER_FILES, "tool.png")
ALL_TABLES = ("part", "event", "message", "session", "event_sequence", "project")


def test_offload_moves_every_attachment_of_a_real_session(attachments_host: OpenCode) -> None:
    """Five attachments leave part and event; each is stored once and resolves to the user's own file."""
    done = ocblob(attachments_host, "offload", "--no-plugin")

    assert 2 * len(ALL_FILES) == done["report"]["payloads"]
    assert len(ALL_FILES) == done["report"]["blobs_new"]
    assert [("ok",)] == query(attachments_host.database, "PRAGMA integrity_check")
    assert [] == query(attachments_host.database, "PRAGMA foreign_key_check")
    cells = query(attachments_host.database, f"SELECT data FROM part WHERE instr(data, '{NEEDLE}') ORDER BY id")
    refs = [ref for (cell,) in cells for ref in find_refs(cell)]
    with Resolver(store_of(attachments_host)) as resolver:
        actual = {resolver.read(ref) for ref in refs}
    assert {(attachments_host.project / name).read_bytes() for name in ALL_FILES} == actual


def test_the_host_lists_opens_and_continues_an_offloaded_session(
    attachments_host: OpenCode, model: MockModel, attachments_template: Template
) -> None:
    """After offload and vacuum the session is listed, opens over HTTP, and a next turn is answered."""
    session = attachments_template.session
    ocblob(attachments_host, "offload", "--no-plugin", "--vacuum")
    model.answer("Still here.")

    with attachments_host.serve() as server:
        listed = [entry["id"] for entry in server.sessions()]
        messages = server.messages(session)
    answer = attachments_host.run("Go on.", session=session)

    assert [session] == listed
    urls = [part["url"] for message in messages for part in message["parts"] if part["type"] == "file"]
    assert len(USER_FILES) == len([url for url in urls if find_refs(url)])
    assert "Still here." == answer
    assert NEEDLE.encode() in model.turns[-1]


def test_restore_gives_back_every_table_byte_for_byte(attachments_host: OpenCode) -> None:
    """After offload, vacuum and restore each value of each table has the type and the bytes it had."""
    before = dump_tables(attachments_host.database, ALL_TABLES)

    ocblob(attachments_host, "offload", "--no-plugin", "--vacuum")
    between = dump_tables(attachments_host.database, ALL_TABLES)
    ocblob(attachments_host, "restore")

    assert before != between
    assert before == dump_tables(attachments_host.database, ALL_TABLES)
    assert [("ok",)] == query(attachments_host.database, "PRAGMA integrity_check")


def test_a_restored_session_sends_the_model_what_it_sent_before(
    attachments_template: Template, model: MockModel, tmp_path: Path
) -> None:
    """The next request of a session that was offloaded and restored equals that of one never touched."""
    template = attachments_template.opencode
    untouched, restored = (template.clone(tmp_path / name, model) for name in ("untouched", "restored"))
    model.answer("One.", "Two.")

    ocblob(restored, "offload", "--no-plugin")
    ocblob(restored, "restore")
    for host in (untouched, restored):
        host.run("How many?", session=attachments_template.session)

    assert model.turns[0] == model.turns[1]
    assert all(data_url(template.project / name).encode() in model.turns[1] for name in ALL_FILES)


def test_offload_beside_a_running_server_loses_nothing(
    attachments_host: OpenCode, model: MockModel, attachments_template: Template
) -> None:
    """While a server is open an offload and an in-place vacuum succeed, and the server sees the refs at once."""
    session = attachments_template.session
    model.answer("Answered.")

    with attachments_host.serve() as server:
        done = ocblob(attachments_host, "offload", "--no-plugin")
        vacuumed = ocblob(attachments_host, "vacuum")
        messages = server.messages(session)
        reply = server.prompt(session, "Still there?")

    assert 2 * len(ALL_FILES) == done["report"]["payloads"]
    assert "in-place" == vacuumed["method"]
    assert len(USER_FILES) == sum(
        1 for message in messages for part in message["parts"] if part["type"] == "file" and find_refs(part["url"])
    )
    assert "Answered." in json.dumps(reply)


def test_offload_of_the_hosts_own_database_wants_the_plugin(attachments_host: OpenCode) -> None:
    """Without the plugin and without --no-plugin the command stops with 2, names both, and changes nothing."""
    before = dump_tables(attachments_host.database)
    command = (sys.executable, "-m", "ocblob", "offload", "--store", str(store_of(attachments_host)))

    done = subprocess.run(
        command, capture_output=True, text=True, timeout=60, check=False, env=attachments_host.environment
    )

    assert 2 == done.returncode, done.stderr
    assert "--no-plugin" in done.stderr
    assert "hint: ocblob plugin install" in done.stderr
    assert before == dump_tables(attachments_host.database)
