"""A `session` object in OpenCode's configuration: the host starts, drops it, and leaves it in its file."""

import json

from mock_model import MockModel
from opencode import OpenCode

from ocblob import config

SESSION = {"maxSizeMB": 200, "keep": ["ses_1"], "archive": False, "vacuum": "auto", "warnMB": [100.5, 500]}


def test_a_session_object_does_no_harm(opencode: OpenCode, model: MockModel) -> None:
    """A turn runs as ever, the host knows nothing of the object, its file keeps it, and ocblob reads it."""
    opencode.configure(session=SESSION)
    model.answer("Hello.")

    answer = opencode.run("Hi")
    with opencode.serve() as server:
        known = server.request("GET", "/config")
    file = opencode.config / "opencode.json"
    found = config.settings(opencode.environment)

    assert "Hello." == answer
    assert ("mock/m", False) == (known["model"], "session" in known)
    assert SESSION == json.loads(file.read_text())["session"]
    assert (200_000_000, ("ses_1",), False) == (found.max_size, found.keep, found.archive_wanted)
    assert (100_500_000, 500_000_000) == found.warn_bytes
    assert found.source("max_size").startswith(f"{file}:")
