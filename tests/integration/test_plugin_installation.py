"""The real OpenCode loads what `ocblob plugin install` writes, starts with it offline, and is left as it was."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mock_model import MockModel
from opencode import OpenCode, Server, Template, data_url, dump_tables, query
from plugin import NEEDLE, ocblob

from ocblob.hosts.opencode.stub import Packages, packages

SCHEMA_LINE = '\n  "$schema": "https://opencode.ai/config.json",'
"""What OpenCode adds to a configuration when it reads it."""
REFS = "SELECT count(*) FROM part WHERE instr(data, ?)"
IMPORTS = """
import { tool } from "@opencode-ai/plugin"
const mine = tool({ description: "d", args: {}, async execute() { return "x" } })
export const Mine = async () => ({ tool: { mine } })
"""


@contextmanager
def silent_registry() -> Iterator[tuple[str, list[socket.socket]]]:
    """A server that takes every connection and never answers, as a network that swallows packets; who has come."""
    came: list[socket.socket] = []

    def take(listener: socket.socket) -> None:
        while True:
            try:
                came.append(listener.accept()[0])
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=take, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}", came
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()
            for connection in came:
                connection.close()


def install(opencode: OpenCode, server: Server | None, *more: str, codes: tuple[int, ...] = (0,)) -> dict[str, Any]:
    """Install the plugin and tell a server, or nobody."""
    # Without a name the default port is asked, where another OpenCode may be.
    named = ("--server", server.url) if server else ()
    return ocblob(opencode, "plugin", "install", *named, *more, codes=codes)


def loaded(server: Server, project: Path) -> list[Any]:
    """The plugins that a server has read for a project."""
    plugins = server.request("GET", f"/config?directory={project}").get("plugin", [])
    assert isinstance(plugins, list)
    return plugins


def test_what_is_installed_gives_attachments_back_and_goes_without_a_trace(
    attachments_template: Template, model: MockModel, tmp_path: Path
) -> None:
    """The request is the one of a host as it was; afterwards rows and configuration are what they were."""
    inline, moved = (attachments_template.opencode.clone(tmp_path / name, model) for name in ("inline", "moved"))
    configuration = moved.config / "opencode.json"
    settings, rows = configuration.read_text(), dump_tables(moved.database)
    install(moved, None)
    ocblob(moved, "offload")
    ((refs,),) = query(moved.database, REFS, [NEEDLE])
    status = ocblob(moved, "plugin", "status")
    model.answer("Five.", "Five again.")
    answers = [host.run("How many?", continue_last=True) for host in (inline, moved)]
    after = dump_tables(moved.database)
    ocblob(moved, "plugin", "remove", "--restore")

    assert (5, True, True) == (refs, status["sound"], status["resolves"])
    assert ["Five.", "Five again."] == answers
    assert model.turns[0] == model.turns[1]
    assert rows == [row for row in dump_tables(moved.database) if row in rows]
    assert rows != [row for row in after if row in rows]
    assert settings == configuration.read_text().replace(SCHEMA_LINE, "")
    assert {".gitignore", "opencode.json"} == {path.name for path in moved.config.iterdir()}


def test_a_start_without_a_network_asks_no_registry(
    attachments_host: OpenCode, attachments_template: Template, model: MockModel
) -> None:
    """With the stand-in nothing is installed and nothing waited for, at the first start and at the second."""
    del attachments_host.environment["NPM_CONFIG_FETCH_RETRIES"]
    install(attachments_host, None)
    ocblob(attachments_host, "offload")
    model.answer("Here.", "Here again.")
    with silent_registry() as (url, came):
        attachments_host.environment["NPM_CONFIG_REGISTRY"] = url
        answers = [attachments_host.run(text, session=attachments_template.session) for text in ("One", "Two")]
        connections = len(came)

    assert (["Here.", "Here again."], 0) == (answers, connections)
    assert data_url(attachments_host.project / "paper.pdf").encode() in model.turns[-1]
    assert Packages.STAND_IN == packages(attachments_host.config)


def test_a_plugin_that_needs_the_package_gets_the_stand_in_out_of_the_way(opencode: OpenCode) -> None:
    """The turn goes on, and OpenCode is free to install the real package at its next start."""
    install(opencode, None)
    (opencode.config / "plugin").mkdir()
    (opencode.config / "plugin" / "mine.ts").write_text(IMPORTS)

    assert "done" == opencode.run("Hello")
    assert (False, False) == tuple((opencode.config / name).exists() for name in ("node_modules", "package-lock.json"))
    assert Packages.WANTED == packages(opencode.config)


@pytest.fixture
def project_host(opencode: OpenCode) -> OpenCode:
    """A host that reads its project's configuration too."""
    del opencode.environment["OPENCODE_DISABLE_PROJECT_CONFIG"]
    return opencode


def test_a_running_server_loads_a_projects_plugin(project_host: OpenCode, tmp_path: Path, model: MockModel) -> None:
    """It is told, and reads the project's configuration again; of a script that it has loaded it keeps the old one.

    With another configuration it is another user's: nothing is asked of it, and the exit code is 3.
    """
    other = OpenCode(project_host.binary, tmp_path / "other", model)
    project = project_host.project
    script = project / ".opencode" / "ocblob" / "ocblob.js"
    with project_host.serve() as server:
        server.sessions()
        first = install(project_host, server, "--project", str(project))
        again = install(project_host, server, "--project", str(project))
        options = install(project_host, server, "--project", str(project), "--max-sessions", "9")
        ((spec, given),) = loaded(server, project)
        script.write_text("// ocblob plugin 0.0.1\n")
        newer = install(project_host, server, "--project", str(project))
        foreign = install(other, server, codes=(3,))

    reports = (first, again, options, newer)
    assert ["loaded", "loaded", "loaded", "restart"] == [report["told"] for report in reports]
    assert [True, False, True, True] == [report["changed"] for report in reports]
    assert (script.as_uri(), 9) == (spec, given["maxSessions"])
    assert ("unreachable", [f"{server.url} runs with another configuration than {other.config}"]) == (
        foreign["told"],
        foreign["notes"],
    )


def test_a_running_server_must_be_restarted_for_the_users_plugin(opencode: OpenCode) -> None:
    """It reads the user's configuration once: that is said, and true. After a restart our entry counts for OpenCode.

    It does so among comments and trailing commas, behind a byte order mark.
    """
    settings = json.loads((opencode.config / "opencode.json").read_text())
    lines = [f"  {json.dumps(name)}: {json.dumps(value)}," for name, value in settings.items()]
    text = "\n".join(["\ufeff{ // mine", *lines, '  "plugin": [', "    // none yet", "  ], /* so far */", "}"])
    (opencode.config / "opencode.json").unlink()
    (opencode.config / "opencode.jsonc").write_text(text)
    with opencode.serve() as server:
        server.sessions()
        told = install(opencode, server)["told"]
        before = loaded(server, opencode.project)
    with opencode.serve() as server:
        again = install(opencode, server)
        after = loaded(server, opencode.project)

    assert ("restart", []) == (told, before)
    assert ("loaded", False) == (again["told"], again["changed"])
    assert [(opencode.config / "ocblob" / "ocblob.js").as_uri()] == [spec for spec, _options in after]


def test_a_server_with_a_password_is_asked_with_it(project_host: OpenCode) -> None:
    """The password is in the variable that OpenCode has for it; without it nothing can be told."""
    project = ("--project", str(project_host.project))
    project_host.environment["OPENCODE_SERVER_PASSWORD"] = "open sesame"
    with project_host.serve() as server:
        with_it = install(project_host, server, *project)
        project_host.environment["OPENCODE_SERVER_PASSWORD"] = ""
        without = install(project_host, server, *project, codes=(3,))

    assert "loaded" == with_it["told"]
    assert ("unreachable", [f"{server.url} answers 401; set OPENCODE_SERVER_PASSWORD"]) == (
        without["told"],
        without["notes"],
    )
