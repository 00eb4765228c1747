"""What an archive shows of a session is what the real OpenCode exports, and takes again."""

import json
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
from mock_model import MockModel
from opencode import OpenCode, Template, query
from plugin import ocblob

SHARED = """
UPDATE session SET share_url='https://example.com/s/1', title='Ein Gespräch "mit" \\ allem', agent='build',
    model='{"id":"m","providerID":"mock","variant":"high"}',
    metadata='{"a":{"b":[1,2.5,null,"\\ud83d\\ude00"]}}',
    permission='[{"permission":"bash","pattern":"*","action":"deny"}]',
    summary_additions=3, summary_deletions=0, summary_files=1,
    summary_diffs='[{"file":"a.py","additions":3,"deletions":0,"status":"added","patch":"+1"}]',
    time_archived=5, cost=0.1, tokens_input=7
WHERE id=?
"""
REVERTED = """
UPDATE session SET revert='{"messageID":"msg_1","partID":"prt_1","snapshot":"abc","diff":"+"}', summary_files=2,
    time_compacting=9
WHERE id=?
"""


def archived(host: OpenCode, path: Path) -> dict[str, dict[str, Any]]:
    """The elements of an archive of the whole database, by their sessions."""
    ocblob(host, "archive", str(path))
    return {element["ocblob"]["session"]: element for element in json.loads(path.read_bytes())}


def change(host: OpenCode, *statements: tuple[str, tuple[str, ...]]) -> None:
    """Change rows of a stopped host."""
    with closing(apsw.Connection(str(host.database))) as db:
        for sql, bindings in statements:
            db.execute(sql, bindings).fetchall()


def test_what_an_archive_shows_is_what_the_host_exports(
    attachments_host: OpenCode, model: MockModel, attachments_template: Template, tmp_path: Path
) -> None:
    """Sessions of all kinds are shown as exported: shared, with a parent, reverted, compacted, without a message."""
    whole = attachments_template.session
    with attachments_host.serve() as server:
        forked, empty = server.fork(whole), server.create()
        model.answer("A summary.")
        server.compact(forked)
        message = server.messages(forked)[0]["info"]["id"]
        server.revert(forked, message)
    change(
        attachments_host,
        (SHARED, (whole,)),
        (REVERTED, (empty,)),
        ("UPDATE session SET parent_id=? WHERE id=?", (whole, forked)),
        # Only the first session to be archived has the payloads; the other is compared by what else it has.
    )
    elements = archived(attachments_host, tmp_path / "a.json")

    assert {whole, forked, empty} == elements.keys()
    for session, element in elements.items():
        expected = attachments_host.export(session)
        assert list(expected["info"]) == list(element["info"])
        assert expected["info"] == element["info"]
        assert [message["info"] for message in expected["messages"]] == [
            message["info"] for message in element["messages"]
        ]
    first = next(iter(elements))
    assert attachments_host.export(first)["messages"] == elements[first]["messages"]
    assert [[part["id"] for part in message["parts"]] for message in attachments_host.export(forked)["messages"]] == [
        [part["id"] for part in message["parts"]] for message in elements[forked]["messages"]
    ]


def test_the_host_imports_an_element(
    attachments_host: OpenCode, model: MockModel, attachments_template: Template, tmp_path: Path, opencode_binary: Path
) -> None:
    """A fresh host takes one element with `opencode import`, and shows the same messages with the same attachments."""
    session = attachments_template.session
    with attachments_host.serve() as server:
        expected = server.messages(session)
    element = archived(attachments_host, tmp_path / "a.json")[session]
    (tmp_path / "session.json").write_text(json.dumps(element))

    fresh = OpenCode(opencode_binary, tmp_path / "fresh", model, workspace=attachments_host.workspace)
    fresh.import_(tmp_path / "session.json")
    with fresh.serve() as server:
        actual = server.messages(session)

    assert expected == actual


def test_an_archive_of_offloaded_sessions_needs_no_store(
    attachments_host: OpenCode, attachments_template: Template, tmp_path: Path
) -> None:
    """What was moved out comes out of the store into the archive, and the export of before is what it shows."""
    session = attachments_template.session
    expected = attachments_host.export(session)
    ocblob(attachments_host, "offload", "--no-plugin")

    element = archived(attachments_host, tmp_path / "a.json")[session]

    assert expected["messages"] == element["messages"]
    assert [("ok",)] == query(attachments_host.database, "PRAGMA integrity_check")
