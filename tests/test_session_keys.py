"""No key of the configuration is accepted and ignored: each changes what a command does that is given the file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ocblob.config.keys import SESSION_KEYS
from test_session_flags import (
    PASS,
    TWO,
    Effect,
    Scene,
    free_pages,
    inline,
    kept,
    left,
    offloaded,
    refs_there,
    scene_in,
    sealed,
)

CONFIG = ("--config", "ELSEWHERE/config.toml")


def written(*lines: str, also: Callable[[Scene], None] = lambda _: None) -> Callable[[Scene], None]:
    """A config file of these lines, which nobody reads unless it is named."""

    def write(scene: Scene) -> None:
        also(scene)
        (scene.elsewhere / "config.toml").write_text("\n".join(lines))

    return write


def key(line: str, command: tuple[str, ...], look: Callable[[Scene], object], *, without: object, given: object,
        also: Callable[[Scene], None] = lambda _: None) -> Effect:  # fmt: skip
    """What one line of the file changes."""
    return Effect(line.split(maxsplit=1)[0], command, CONFIG, look, without, given, written(line, also=also))


def has_step(name: str) -> Callable[[Scene], bool]:
    """Whether a pass has come to this step."""
    return lambda scene: f'"name": "{name}"'.encode() in scene.done.out


STEPS = (*PASS, "--json")
KEYS = (
    key("maxSizeMB = 1.8", ("retain", "--max-sessions", "4"), left, without="abcd", given="cd"),
    key("maxAgeDays = 98.5", ("retain", "--max-sessions", "4"), left, without="abcd", given="cd"),
    key("maxSessions = 3", ("retain", "--max-age", "1000d"), left, without="abcd", given="bcd"),
    key('by = "used"', TWO, left, without="cd", given="bc"),
    key("keepActiveDays = 30", TWO, left, without="cd", given="bd"),
    key('keep = ["ses_a"]', TWO, left, without="cd", given="ad"),
    key('archive = "."', TWO, sealed, without="ab/", given="/ab"),
    key("archive = false", TWO, sealed, without="ab/", given="/"),
    key("archiveRefs = true", TWO, inline, without=2, given=0, also=offloaded),
    key('mirror = "mirror.db"', TWO, kept, without="ab/", given="/ab"),
    key('vacuum = "always"', (*PASS, "--max-sessions", "2"), free_pages, without=True, given=False),
    key("warnMB = [1]", ("status",), lambda at: "Warning" in at.done.err + at.done.out.decode(),
        without=False, given=True),
    key("offload = false", PASS, refs_there, without=True, given=False),
    key("prune = false", STEPS, has_step("prune"), without=True, given=False),
    key("evictMaxSizeMB = 1", STEPS, has_step("evict"), without=False, given=True),
    key("evictMaxAgeDays = 1", STEPS, has_step("evict"), without=False, given=True),
)  # fmt: skip


@pytest.fixture
def scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Scene:
    """OpenCode's own database, with an environment of its own."""
    return scene_in(tmp_path, monkeypatch, capsysbinary)


@pytest.mark.parametrize("effect", KEYS, ids=str)
def test_the_key_does_what_it_says(effect: Effect, scene: Scene) -> None:
    """With the file that says it the command does another thing than without."""
    effect.prepare(scene)

    scene.run(*effect.command, *effect.words)

    assert effect.given == effect.look(scene), scene.done


@pytest.mark.parametrize("effect", KEYS, ids=str)
def test_without_the_key_it_is_not_done(effect: Effect, scene: Scene) -> None:
    """A file that nobody names changes nothing."""
    effect.prepare(scene)

    scene.run(*effect.command)

    assert effect.without == effect.look(scene), scene.done


def test_every_key_stands_here() -> None:
    """Each key of sessions that a file may have has its effect in this file."""
    assert set(SESSION_KEYS) == {effect.option for effect in KEYS}
