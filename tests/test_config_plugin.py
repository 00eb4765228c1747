"""What the plugin that starts a pass says, in its rank among all settings."""

import json
from pathlib import Path
from typing import Any

import pytest

from ocblob import config
from ocblob.errors import UsageError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home in which the user's entry allows 100 sessions, and keeps one."""
    monkeypatch.setenv("HOME", str(tmp_path))
    options = {"maxSessions": 100, "keep": ["ses_user"], "archive": "beside"}
    directory = tmp_path / "config" / "opencode"
    directory.mkdir(parents=True)
    entry = [(directory / "ocblob" / "ocblob.js").as_uri(), options]
    (directory / "opencode.json").write_text(json.dumps({"plugin": [entry]}))
    return tmp_path


def found(home: Path, said: Any, **more: str) -> config.Settings:
    """The settings of a pass that a plugin starts."""
    text = said if isinstance(said, str) else json.dumps(said)
    return config.settings({"XDG_CONFIG_HOME": str(home / "config"), "OCBLOB_PLUGIN_OPTIONS": text, **more})


def test_it_wins_over_the_users_entry_and_over_nothing_else(home: Path) -> None:
    """A project's entry counts for its OpenCode; what the user wrote into config.toml, or a variable, wins."""
    said = {"maxSessions": 7, "maxAgeDays": 30, "by": "used"}
    assert (100, None) == (found(home, {}).max_sessions, found(home, {}).max_age_s)
    by_plugin = found(home, said)
    (home / "config" / "ocblob").mkdir()
    (home / "config" / "ocblob" / "config.toml").write_text("maxSessions = 50\n")
    by_file = found(home, said)
    by_variable = found(home, said, OCBLOB_MAX_SESSIONS="60")
    assert [7, 50, 60] == [each.max_sessions for each in (by_plugin, by_file, by_variable)]
    assert [30 * 86400] * 3 == [each.max_age_s for each in (by_plugin, by_file, by_variable)]
    assert "OCBLOB_PLUGIN_OPTIONS" == by_plugin.source("max_sessions")


def test_it_takes_nothing_back_that_the_user_keeps(home: Path) -> None:
    """Kept sessions add up; a directory that it does not name stays the user's, relative to the user's file."""
    settings = found(home, {"maxSessions": 7, "keep": ["ses_project"], "maxSizeMB": None, "command": ["x"]})
    assert {"ses_user", "ses_project"} == set(settings.keep)
    assert home / "config" / "opencode" / "beside" == settings.archive
    assert settings.max_size is None


@pytest.mark.parametrize(
    "said", ["[]", "nonsense", '"x"', "[" * 100_000, {"maxSessions": 0}, {"keep": "ses_1"}], ids=len
)
def test_what_cannot_be_meant_stops_the_pass(home: Path, said: Any) -> None:
    """Rather no eviction than another one than was meant."""
    with pytest.raises(UsageError):
        found(home, said)
