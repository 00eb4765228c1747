"""No option of the sessions' commands is accepted and ignored: each changes what can be seen.

The trap of other cleaners: a flag that is parsed and then read by nobody. Every option that a command has stands here.
"""

import importlib
import io
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
import pybase64
import pytest
from PIL import Image

from archived import elements
from command_line import Cli, Done, cli_in
from ocblob.digest import digest_of
from ocblob.sessions import unarchive_plan
from processes import NOBODY, Neighbour
from samples import cell, object_path, opened, payload, query, refs
from talks import Talk, make_talks, sessions
from test_traps import archived, archives

COMMANDS = ("retain", "archive", "unarchive", "pull", "maintain")
SIZE = 300_000
TALKS = (
    Talk("ses_a", 100),
    Talk("ses_b", 99, used_days=20),
    Talk("ses_c", 98, used_days=60),
    Talk("ses_d", 97),
)
"""By their beginning: a b c d. By their last use: a d c b."""


@dataclass
class Scene:
    """A database with `TALKS`, and what a command did there."""

    cli: Cli
    path: Path
    done: Done = field(default_factory=lambda: Done(0, b"", ""))
    beside: ExitStack = field(default_factory=ExitStack)
    """Who else is there until the test ends."""

    @property
    def directory(self) -> Path:
        """Where archives are by default."""
        return self.cli.root / "data"

    @property
    def elsewhere(self) -> Path:
        """Where a user wants them."""
        return self.cli.root / "elsewhere"

    def run(self, *arguments: str) -> Done:
        """Run a command on the database."""
        words = (word.replace("ELSEWHERE", str(self.elsewhere)) for word in arguments)
        self.done = self.cli.run(*words, "--db", self.path)
        return self.done

    def must(self, *arguments: str) -> None:
        """Run a command that prepares the scene."""
        done = self.run(*arguments)
        assert 0 == done.code, done


@dataclass(frozen=True)
class Effect:
    """What one option changes: the same command without it and with it."""

    option: str
    command: tuple[str, ...]
    words: tuple[str, ...]
    """The option as it is given."""
    look: Callable[[Scene], Any]
    without: Any
    given: Any
    prepare: Callable[[Scene], None] = lambda _: None

    def __str__(self) -> str:
        return f"{self.command[0]} {self.option}"


def left(scene: Scene) -> str:
    """The sessions that are left, by their last letters."""
    return "".join(session[-1] for session in sessions(scene.path))


def sealed(scene: Scene) -> str:
    """The sessions in archives in the default place, and those elsewhere."""
    places = (archived(place) for place in (scene.directory, scene.elsewhere))
    return "/".join("".join(session[-1] for session in found) for found in places)


def kept(scene: Scene) -> str:
    """The sessions in archives in the default place, and those in a mirror elsewhere."""
    mirror = scene.elsewhere / "mirror.db"
    there = "".join(session[-1] for session in sessions(mirror)) if mirror.exists() else ""
    return f"{sealed(scene).partition('/')[0]}/{there}"


def offloaded(scene: Scene) -> None:
    """All attachments are in the store."""
    scene.must("offload", "--no-plugin")


def one_blob_gone(scene: Scene) -> None:
    """The oldest session's attachment is in no store any more."""
    offloaded(scene)
    object_path(scene.cli.store, digest_of(payload(SIZE, "ses_a"))).unlink()


def evicted(scene: Scene) -> None:
    """The two oldest are in an archive, and only there."""
    scene.must("retain", "--max-sessions", "2", "--archive", "ELSEWHERE/a.json")


def inline(scene: Scene) -> int:
    """How many archived sessions have their attachment with them."""
    places = (scene.directory, scene.elsewhere)
    found = [element for place in places for file in archives(place) for element in elements(file)]
    return sum("base64," + first_of(element) in str(element) for element in found)


def first_of(element: dict[str, Any]) -> str:
    """The beginning of a session's attachment in base64."""
    return pybase64.b64encode(payload(SIZE, element["info"]["id"])[:300]).decode()


def free_pages(scene: Scene) -> bool:
    """Whether the file has any."""
    ((pages,),) = query(scene.path, "PRAGMA freelist_count")
    return pages != 0


TWO = ("retain", "--max-sessions", "2")
RETAIN = (
    Effect("--max-size", ("retain", "--max-sessions", "4"), ("--max-size", "1.8MB"), left, "abcd", "cd"),
    Effect("--max-age", ("retain", "--max-sessions", "4"), ("--max-age", "98.5d"), left, "abcd", "cd"),
    Effect("--max-sessions", ("retain", "--max-age", "1000d"), ("--max-sessions", "3"), left, "abcd", "bcd"),
    Effect("--by", TWO, ("--by", "used"), left, "cd", "bc"),
    Effect("--keep-active", TWO, ("--keep-active", "30d"), left, "cd", "bd"),
    Effect("--keep", TWO, ("--keep", "ses_a"), left, "cd", "ad"),
    Effect("--archive", TWO, ("--archive", "ELSEWHERE/one.json"), sealed, "ab/", "/ab"),
    Effect("--no-archive", TWO, ("--no-archive",), sealed, "ab/", "/"),
    Effect("--mirror", TWO, ("--mirror", "ELSEWHERE/mirror.db"), kept, "ab/", "/ab"),
    Effect("--refs", TWO, ("--refs",), inline, 2, 0, offloaded),
    Effect("--allow-unresolved", TWO, ("--allow-unresolved",), lambda at: (left(at), at.done.code), ("acd", 3),
           ("cd", 0), one_blob_gone),
    Effect("--vacuum", TWO, ("--vacuum",), free_pages, True, False),
    Effect("--vacuum", (*TWO, "--vacuum"), ("--vacuum=auto",), free_pages, False, True),
    Effect("--dry-run", TWO, ("--dry-run",), lambda at: (left(at), sealed(at)), ("cd", "ab/"), ("abcd", "/")),
)  # fmt: skip
ARCHIVE = (
    Effect("PATH", ("archive",), ("ELSEWHERE/all.json.zst",), sealed, "abcd/", "/abcd"),
    Effect("--session", ("archive",), ("--session", "ses_c"), sealed, "abcd/", "c/"),
    Effect("--min-age", ("archive",), ("--min-age", "30d"), sealed, "abcd/", "acd/"),
    Effect("--refs", ("archive",), ("--refs",), inline, 4, 0, offloaded),
    Effect("--dry-run", ("archive",), ("--dry-run",), sealed, "abcd/", "/"),
)


def changed(scene: Scene) -> None:
    """All are in an archive, and have gone on since."""
    scene.must("archive", "ELSEWHERE/a.json")
    with opened(scene.path) as db:
        db.execute("UPDATE session SET title='went on'").fetchall()


def titles(scene: Scene) -> int:
    """How many sessions have gone on."""
    ((count,),) = query(scene.path, "SELECT count(*) FROM session WHERE title='went on'")
    assert isinstance(count, int)
    return count


def evicted_beside_a_host(scene: Scene) -> None:
    """Another process has the database open, and what counts as a large cell is small."""
    evicted(scene)
    scene.beside.enter_context(Neighbour(scene.path)).execute("SELECT count(*) FROM part")
    scene.cli.monkeypatch.setattr(unarchive_plan, "LARGE_CELL_BYTES", SIZE)


def damaged(scene: Scene) -> None:
    """The archive of the two oldest has another word in the first."""
    evicted(scene)
    archive = scene.elsewhere / "a.json"
    archive.write_bytes(archive.read_bytes().replace(b"the talk ses_a", b"the walk ses_a"))


BACK = ("unarchive", "ELSEWHERE/a.json")
UNARCHIVE = (
    Effect("--list", BACK, ("--list",), lambda at: (left(at), b"ses_a" in at.done.out), ("abcd", False),
           ("cd", True), evicted),
    Effect("--session", BACK, ("--session", "ses_b"), left, "abcd", "bcd", evicted),
    Effect("PATH", ("unarchive",), ("ELSEWHERE/a.json",), left, "cd", "abcd", evicted),
    Effect("--replace", BACK, ("--replace",), titles, 4, 0, changed),
    Effect("--force", BACK, ("--force",), left, "cd", "abcd", evicted_beside_a_host),
    Effect("--salvage", BACK, ("--salvage",), left, "cd", "bcd", damaged),
    Effect("--dry-run", BACK, ("--dry-run",), left, "abcd", "cd", evicted),
)  # fmt: skip


def mirrored(scene: Scene) -> None:
    """The two oldest are in a mirror, and only there."""
    scene.must("retain", "--max-sessions", "2", "--mirror", "ELSEWHERE/mirror.db")


def gone_on(scene: Scene) -> None:
    """All are in a mirror, and have gone on since."""
    scene.must("mirror", "--to", "ELSEWHERE/mirror.db")
    with opened(scene.path) as db:
        db.execute("UPDATE session SET title='went on'").fetchall()


def mirrored_beside_a_host(scene: Scene) -> None:
    """Another process has the database open, and what counts as a large cell is small."""
    mirrored(scene)
    scene.beside.enter_context(Neighbour(scene.path)).execute("SELECT count(*) FROM part")
    scene.cli.monkeypatch.setattr(unarchive_plan, "LARGE_CELL_BYTES", SIZE)


THERE = ("--from", "ELSEWHERE/mirror.db")
PULL = (
    Effect("--session", ("pull", *THERE), ("--session", "ses_b"), left, "cd", "bcd", mirrored),
    Effect("--query", ("pull", *THERE), ("--query", "talk ses_b"), left, "cd", "bcd", mirrored),
    Effect("--from", ("pull", "--session", "ses_b"), THERE, left, "cd", "bcd", mirrored),
    Effect("--replace", ("pull", *THERE, "--session", "ses_a"), ("--replace",), titles, 4, 3, gone_on),
    Effect("--force", ("pull", *THERE, "--session", "ses_a"), ("--force",), left, "cd", "acd", mirrored_beside_a_host),
    Effect("--dry-run", ("pull", *THERE, "--session", "ses_a"), ("--dry-run",), left, "acd", "cd", mirrored),
)


def maintained(effect: Effect) -> Effect:
    """The same option of a whole pass."""
    return replace(effect, command=("maintain", "--no-plugin", *effect.command[1:]))


def configured(*lines: str) -> Callable[[Scene], None]:
    """A config file of these lines."""

    def write(scene: Scene) -> None:
        config = scene.cli.root / "config" / "ocblob" / "config.toml"
        config.parent.mkdir(parents=True)
        config.write_text("\n".join(lines))

    return write


def warned_today(scene: Scene) -> None:
    """A scheduled pass has warned of the size."""
    configured("warnMB = [1]", "offload = false")(scene)
    scene.must("maintain", "--scheduled")
    assert "Warning" in scene.done.err


def with_a_picture(scene: Scene) -> None:
    """One attachment is a picture."""
    picture = Image.effect_noise((200, 200), 50)
    out = io.BytesIO()
    picture.save(out, "PNG")
    with opened(scene.path) as db:
        db.execute("UPDATE part SET data=? WHERE id='prt_ses_a_1'", (cell(out.getvalue(), "image/png"),)).fetchall()


def of_somebody_else(scene: Scene) -> None:
    """The database is another user's."""
    if os.geteuid() != 0:
        pytest.skip("giving a file away takes root")
    for file in scene.path.parent.iterdir():
        os.chown(file, NOBODY, NOBODY)


def shows_it(scene: Scene) -> bool:
    """Whether the picture's ref is more than a card that says where it is."""
    ((size,),) = query(scene.path, "SELECT length(data) FROM part WHERE id='prt_ses_a_1'")
    assert isinstance(size, int)
    return size > 3000


def refs_there(scene: Scene) -> bool:
    """Whether anything has moved out."""
    return bool(refs(scene.path))


PASS = ("maintain", "--no-plugin")
MAINTAIN = (
    # What moved out is no size of a session's any more.
    replace(maintained(RETAIN[0]), prepare=configured("offload = false")),
    *(maintained(effect) for effect in RETAIN[1:] if effect.option != "--mirror"),
    Effect("--mirror", (*PASS, *TWO[1:]), ("--mirror", "ELSEWHERE/mirror.db"), kept, "ab/", "/abcd"),
    Effect("--no-plugin", ("maintain",), ("--no-plugin",), refs_there, False, True),
    Effect("--no-create", PASS, ("--no-create",), refs_there, True, False),
    Effect("--create", (*PASS, "--no-create"), ("--create",), refs_there, False, True),
    Effect("--previews", (*PASS, "--no-previews"), ("--previews",), shows_it, False, True, with_a_picture),
    Effect("--no-previews", (*PASS, "--previews"), ("--no-previews",), shows_it, True, False, with_a_picture),
    Effect("--yes", PASS, ("--yes",), refs_there, False, True, of_somebody_else),
    Effect("--scheduled", ("maintain",), ("--scheduled",), lambda at: "Warning" in at.done.err, True, False,
           warned_today),
    Effect("--check", ("maintain",), ("--check",), lambda at: at.done.code, 0, 4,
           configured("warnMB = [1]", "offload = false")),
)  # fmt: skip
EFFECTS = (*RETAIN, *ARCHIVE, *UNARCHIVE, *PULL, *MAINTAIN)


@pytest.fixture
def scene(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]
) -> Iterator[Scene]:
    """OpenCode's own database, with an environment of its own."""
    scene = scene_in(tmp_path, monkeypatch, capsysbinary)
    with scene.beside:
        yield scene


def scene_in(root: Path, monkeypatch: pytest.MonkeyPatch, captured: pytest.CaptureFixture[bytes]) -> Scene:
    """The same below a directory."""
    cli = cli_in(root, monkeypatch, captured)
    (root / "elsewhere").mkdir()
    talks = [Talk(talk.id, talk.created_days, talk.used_days, size=SIZE) for talk in TALKS]
    return Scene(cli, make_talks(root / "data" / "opencode" / "opencode.db", talks))


@pytest.mark.parametrize("effect", EFFECTS, ids=str)
def test_the_option_does_what_it_says(effect: Effect, scene: Scene) -> None:
    """The command does one thing with the option and another one without it."""
    effect.prepare(scene)

    scene.run(*effect.command, *effect.words)

    assert effect.given == effect.look(scene), scene.done


@pytest.mark.parametrize("effect", EFFECTS, ids=str)
def test_without_the_option_it_is_not_done(effect: Effect, scene: Scene) -> None:
    """What the option is to change is otherwise another thing: a default that did the same would prove nothing."""
    effect.prepare(scene)

    scene.run(*effect.command)

    assert effect.without == effect.look(scene), scene.done


def test_every_option_stands_here() -> None:
    """Each option of these commands has its effect in this file, but for those that every command takes."""
    stand = {(effect.command[0], effect.option) for effect in EFFECTS}

    assert [] == [option for option in options() if option not in stand]


def options() -> Iterator[tuple[str, str]]:
    """Every option of its own of these commands."""
    usual = {"--db", "--store", "--config", "--json", "-q", "-v", "-h", "--cache-size"}
    for name in COMMANDS:
        command = importlib.import_module(f"ocblob.cli.{name}").command
        for parameter in command.params:
            if isinstance(parameter, click.Argument):
                yield name, "PATH"
            elif not usual & set(parameter.opts):
                yield name, parameter.opts[0]
                yield from ((name, option) for option in parameter.secondary_opts)
