"""The real OpenCode lists, opens and continues sessions that were archived, deleted and put back."""

import json
import shutil
from pathlib import Path
from typing import Any

from mock_model import MockModel
from opencode import OpenCode, Template, data_url
from plugin import NEEDLE, ocblob, store_of, use_plugin

from ocblob.databases.sqlite import SQLiteDatabase
from samples import opencode_profile, query
from talks import Dump, rows, sessions, sound

ALL_FILES = ("first.png", "photo.jpg", "paper.pdf", "second.png", "tool.png")


def delete(host: OpenCode) -> None:
    """Every session out of the database of a host that does not run."""
    tree = opencode_profile(host.database).tree
    assert tree is not None
    with SQLiteDatabase(host.database) as database:
        database.delete_sessions(tree, sessions(host.database), unchanged=lambda _: True)
    assert [] == sessions(host.database)


def opened(host: OpenCode, session: str) -> tuple[list[str], list[dict[str, Any]]]:
    """What a host lists, and the messages of one session."""
    with host.serve() as server:
        return [str(entry["id"]) for entry in server.sessions()], server.messages(session)


def away_and_back(host: OpenCode, archive: Path, *options: str) -> tuple[Dump, dict[str, Any]]:
    """Archive all sessions, delete them, put them back; the tables as they were before, and the report."""
    ocblob(host, "archive", str(archive), *options)
    before = rows(host.database)
    delete(host)
    done = ocblob(host, "unarchive", str(archive))
    return before, done


def test_every_table_is_what_it_was(attachments_host: OpenCode, tmp_path: Path) -> None:
    """Rowids, types and bytes of all tables; SQLite's own checks find nothing after each step."""
    before, done = away_and_back(attachments_host, tmp_path / "all.json.zst")

    assert before == rows(attachments_host.database)
    assert sound(attachments_host.database)
    assert (1, True) == (done["insert"], done["complete"])
    assert [] == query(attachments_host.database, "PRAGMA foreign_key_check")


def test_the_host_lists_and_opens_it(attachments_template: Template, model: MockModel, tmp_path: Path) -> None:
    """What the server says of an unarchived session is what it says of one that was never away."""
    template, session = attachments_template.opencode, attachments_template.session
    untouched, back = (template.clone(tmp_path / name, model) for name in ("untouched", "back"))

    away_and_back(back, tmp_path / "all.json")

    assert opened(untouched, session) == opened(back, session)
    assert untouched.export(session) == back.export(session)


def test_the_next_request_is_the_same(attachments_template: Template, model: MockModel, tmp_path: Path) -> None:
    """A session that was away sends the model what one sends that was never archived."""
    template = attachments_template.opencode
    untouched, back = (template.clone(tmp_path / name, model) for name in ("untouched", "back"))
    away_and_back(back, tmp_path / "all.json.zst")
    model.answer("One.", "Two.")

    for host in (untouched, back):
        host.run("How many?", session=attachments_template.session)

    assert model.turns[0] == model.turns[1]
    assert all(data_url(template.project / name).encode() in model.turns[1] for name in ALL_FILES)


def test_with_refs_and_the_plugin_the_next_request_is_the_same(
    attachments_template: Template, model: MockModel, tmp_path: Path
) -> None:
    """Refs come back as refs, their blobs into a store that had lost everything, and the plugin finds them."""
    template = attachments_template.opencode
    untouched, back = (template.clone(tmp_path / name, model) for name in ("untouched", "back"))
    use_plugin(back)
    ocblob(back, "offload")
    ocblob(back, "archive", str(tmp_path / "all.json.zst"))
    before = rows(back.database)
    delete(back)
    shutil.rmtree(store_of(back))

    done = ocblob(back, "unarchive", str(tmp_path / "all.json.zst"))
    model.answer("One.", "Two.")
    after = rows(back.database)
    for host in (untouched, back):
        host.run("How many?", session=attachments_template.session)

    assert before == after
    assert (len(ALL_FILES), True) == (done["blobs"]["new"], done["store_created"])
    assert model.turns[0] == model.turns[1]
    assert NEEDLE.encode() not in model.turns[1]


def test_an_archive_with_refs_needs_its_store(attachments_host: OpenCode, tmp_path: Path) -> None:
    """With its store everything resolves; without, the rows come back and the refs are counted."""
    ocblob(attachments_host, "offload", "--no-plugin")
    before, done = away_and_back(attachments_host, tmp_path / "refs.json", "--refs")
    after = rows(attachments_host.database)
    delete(attachments_host)
    shutil.rmtree(store_of(attachments_host))
    lost = ocblob(attachments_host, "unarchive", str(tmp_path / "refs.json"), codes=(3,))

    assert before == after == rows(attachments_host.database)
    assert ({}, {"missing": len(ALL_FILES)}) == (done["blobs"]["unresolved"], lost["blobs"]["unresolved"])


def test_beside_a_running_server(
    attachments_host: OpenCode, attachments_template: Template, model: MockModel, tmp_path: Path
) -> None:
    """A server that runs shows the session as soon as it is back, and goes on with it."""
    session = attachments_template.session
    ocblob(attachments_host, "archive", str(tmp_path / "all.json.zst"))
    delete(attachments_host)
    model.answer("Answered.")

    with attachments_host.serve() as server:
        before = server.sessions()
        ocblob(attachments_host, "unarchive", str(tmp_path / "all.json.zst"))
        listed = [entry["id"] for entry in server.sessions()]
        reply = server.prompt(session, "Still there?")

    assert ([], [session]) == (before, listed)
    assert "Answered." in json.dumps(reply)
