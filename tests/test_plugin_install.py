import itertools
import json
import os
import shlex
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from command_line import Cli, Done, cli_in
from ocblob import __version__, config
from ocblob.errors import UsageError
from ocblob.hosts.opencode.installation import apply_install, plan_install
from ocblob.hosts.opencode.jsonc import parse
from ocblob.hosts.opencode.stub import Packages, packages, put_stub, remove_stub
from ocblob.plugins import script, version_of
from samples import cell, dump, make_opencode, object_path, opened, payload, prompt_line, refs, tree

SCHEMA = "https://opencode.ai/config.json"
ANSWER_S = 60

TEXTS: dict[str, str] = {
    "nothing": "",
    "an empty object": "{}",
    "an empty object on two lines": "{\n}\n",
    "no plugins": '{\n  "$schema": "https://opencode.ai/config.json",\n  "model": "a/b"\n}\n',
    "tabs": '{\n\t"model": "a/b",\n\t"mcp": {\n\t\t"x": {}\n\t}\n}',
    "one line": '{"model": "a/b", "plugin": ["other"]}',
    "an empty array": '{"plugin": [], "model": "a/b"}',
    "others on lines": '{\n    "plugin": [\n        "one",\n        ["two", { "a": 1 }]\n    ]\n}\n',
    "comments": '// mine\n{\n  "plugin": [\n    "one", // the one\n    // "two",\n  ],\n  /* end */\n}\n',
    "carriage returns": '{\r\n  "plugin": [\r\n    "one"\r\n  ]\r\n}\r\n',
    "a byte order mark": '\ufeff{\n  "model": "a/b"\n}\n',
    "variables": '{\n  "model": "{env:MODEL}",\n  "limit": {env:LIMIT},\n}\n',
    "escapes": '{"model": "\\u00e9\\/é", "n": 1.50e+1, "plugin": ["\\u006fne"]}',
}

BROKEN: dict[str, tuple[bytes, str]] = {
    "broken": (b'{\n  "model": \n}', "line 3, column 1: expected a value, found '}'"),
    "a list": (b"[]", "it is no JSON object"),
    "a plugin that is no array": (b'{"plugin": "ocblob"}', '"plugin" is no array'),
    "another encoding": ('{"model": "é"}'.encode("utf-16"), "is not UTF-8"),
}


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with an environment of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def own(cli: Cli) -> Path:
    """OpenCode's own database, where it would open it."""
    return make_opencode(cli.root / "data" / "opencode" / "opencode.db", now_ms=10**12)


def directory_of(cli: Cli) -> Path:
    """OpenCode's configuration directory."""
    return cli.root / "config" / "opencode"


def write(cli: Cli, text: str | bytes, name: str = "opencode.json") -> Path:
    """A configuration."""
    path = directory_of(cli) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def plugins(path: Path) -> list[Any]:
    """The entries of a configuration."""
    found = parse(path.read_bytes().decode()).value["plugin"]
    assert isinstance(found, list)
    return found


def options(path: Path) -> dict[str, Any]:
    """Those of our entry, which is the last."""
    spec, found = plugins(path)[-1]
    assert spec.endswith("/ocblob/ocblob.js")
    assert isinstance(found, dict)
    return found


def change(path: Path, old: str, new: str) -> None:
    """Edit a configuration by hand."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def on_a_terminal(cli: Cli, *arguments: str, answers: str) -> Done:
    """Run a command in a process whose input is a terminal, and type the answers."""
    if sys.platform == "win32":
        pytest.skip("no terminals to be had")
    ours, theirs = os.openpty()
    os.write(ours, answers.encode())
    command = [sys.executable, "-m", "ocblob", *arguments]
    done = subprocess.run(command, stdin=theirs, capture_output=True, timeout=ANSWER_S, check=False, cwd=cli.root)
    os.close(ours)
    os.close(theirs)
    return Done(done.returncode, done.stdout, done.stderr.decode())


# The configuration


def test_the_first_installation_makes_what_is_needed(cli: Cli) -> None:
    """The script, a configuration whose one entry has absolute paths, and the stand-in."""
    done = cli.run("plugin", "install")
    path = directory_of(cli) / "opencode.json"

    assert (0, f"created a blob store at {cli.store}\n") == (done.code, done.err)
    assert script() == (directory_of(cli) / "ocblob" / "ocblob.js").read_bytes()
    assert {"$schema": SCHEMA, "plugin": plugins(path)} == parse(path.read_text()).value
    assert (directory_of(cli) / "ocblob" / "ocblob.js").as_uri() == plugins(path)[0][0]
    assert {
        "command": [sys.executable, "-P", "-m", "ocblob"],
        "store": str(cli.store),
        "objects": str(cli.store / "objects"),
        "db": str(cli.root / "data" / "opencode" / "opencode.db"),
        "ingest": True,
        "rescan": True,
    } == options(path)
    assert Packages.STAND_IN == packages(directory_of(cli))


def test_a_removal_leaves_nothing_of_a_first_installation(cli: Cli) -> None:
    """Everything that was made goes, the configuration too if nothing else is in it."""
    cli.run("plugin", "install")
    done = cli.run("plugin", "remove")

    assert 0 == done.code
    assert {} == tree(directory_of(cli))


@pytest.mark.parametrize(
    ("text", "name"),
    list(zip(TEXTS.values(), itertools.cycle(["opencode.json", "opencode.jsonc"]), strict=False)),
    ids=TEXTS,
)
def test_every_other_byte_stays(cli: Cli, text: str, name: str) -> None:
    """The entry is all that an installation adds, a second one changes nothing, and a removal gives every byte back."""
    path = write(cli, text, name)
    before = parse(text).value if text else {"$schema": SCHEMA}
    installed = cli.run("plugin", "install")
    first = tree(cli.root / "config")
    after = parse(path.read_bytes().decode()).value
    again = cli.run("plugin", "install")
    second = tree(cli.root / "config")
    removed = cli.run("plugin", "remove")

    assert [0, 0, 0] == [installed.code, again.code, removed.code]
    assert before.get("plugin", []) == after["plugin"][:-1]
    assert {**before, "plugin": []} == {**after, "plugin": []}
    assert (b"already installed", first) == (again.out[:17], second)
    assert text.encode() == path.read_bytes()
    assert [name] == [entry.name for entry in directory_of(cli).iterdir()]


def test_the_schema_that_opencode_adds_stays(cli: Cli) -> None:
    """OpenCode may write into the file meanwhile: that is no reason to leave our entry, or to take more away."""
    path = write(cli, '{\n  "model": "a/b"\n}\n')
    cli.run("plugin", "install")
    change(path, "{\n  ", f'{{\n  "$schema": "{SCHEMA}",\n  ')

    assert 0 == cli.run("plugin", "remove").code
    assert f'{{\n  "$schema": "{SCHEMA}",\n  "model": "a/b"\n}}\n' == path.read_text()


@pytest.mark.parametrize(("text", "words"), BROKEN.values(), ids=BROKEN)
@pytest.mark.parametrize("verb", ["install", "remove"])
def test_what_cannot_be_edited_is_left_alone(cli: Cli, text: bytes, words: str, verb: str) -> None:
    """The error names the file and what is wrong; nothing at all is written."""
    path = write(cli, text)
    before = tree(cli.root)
    done = cli.run("plugin", verb)

    assert 2 == done.code
    assert str(path) in done.err
    assert words in done.err
    assert before == tree(cli.root)


def test_a_read_only_file_is_left_alone(cli: Cli) -> None:
    """Who has taken the right to write a file away means it, whatever a rename could do."""
    path = write(cli, "{}")
    path.chmod(0o444)
    before = tree(cli.root)
    done = cli.run("plugin", "install")

    assert (2, before) == (done.code, tree(cli.root))
    assert f"{path} is read-only; nothing was written" in done.err


def test_an_edit_beside_ours_is_not_lost(cli: Cli) -> None:
    """What was written after the look at the file stays, and nothing of ours is written."""
    path = write(cli, "{}")
    plan = plan_install(config.plugin_site(), script(), {"store": "/s"}, new={})
    path.write_text('{"model": "a/b"}')

    with pytest.raises(UsageError, match="has changed meanwhile"):
        apply_install(plan)
    assert ['{"model": "a/b"}', 1] == [path.read_text(), len(list(directory_of(cli).iterdir()))]


def test_a_disk_that_refuses_is_told(cli: Cli) -> None:
    """The error names the place, and the configuration is as it was."""
    path = write(cli, "{}")
    (directory_of(cli) / "ocblob").write_text("no directory")
    done = cli.run("plugin", "install")

    assert (1, "{}") == (done.code, path.read_text())
    assert str(directory_of(cli) / "ocblob") in done.err


def test_a_link_is_followed_and_stays(cli: Cli) -> None:
    """The file behind the link is edited, with its mode as it was."""
    path = write(cli, "", "opencode.jsonc")
    path.unlink()
    real = cli.root / "dotfiles.jsonc"
    real.write_text("{}")
    real.chmod(0o640)
    path.symlink_to(real)
    cli.run("plugin", "install")
    mode, spec = stat.S_IMODE(real.stat().st_mode), plugins(real)[0][0]
    cli.run("plugin", "remove")

    assert 0o640 == mode
    assert spec.endswith("/ocblob.js")
    assert (True, "{}") == (path.is_symlink(), real.read_text())


def test_a_link_to_nothing_is_told(cli: Cli) -> None:
    """Where a link leads nowhere nobody knows what is meant."""
    path = write(cli, "")
    path.unlink()
    path.symlink_to(cli.root / "none")
    done = cli.run("plugin", "install")

    assert (2, f"Error: {path} is a link to nothing\n") == (done.code, done.err)
    assert [path] == list(directory_of(cli).iterdir())


def test_the_file_that_has_the_entry_keeps_it(cli: Cli) -> None:
    """A new entry goes into opencode.jsonc if that is there; an old one is brought up to date where it is."""
    old = write(cli, "{}", "opencode.json")
    cli.run("plugin", "install")
    new = write(cli, "{}", "opencode.jsonc")
    before = old.read_bytes()
    change(old, str(cli.store), str(cli.root / "elsewhere"))
    cli.run("plugin", "install")
    kept = (old.read_bytes(), new.read_text())
    cli.run("plugin", "remove")
    cli.run("plugin", "install")

    assert (before, "{}") == kept
    assert ("{}", 1) == (old.read_text(), len(plugins(new)))


def test_the_file_that_a_variable_names_counts(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entry in OPENCODE_CONFIG is ours as well, and the offload sees it."""
    cli.run("plugin", "install")
    own = directory_of(cli) / "opencode.json"
    named = cli.root / "named.json"
    named.write_bytes(own.read_bytes())
    own.unlink()
    without = config.plugin_installed()
    monkeypatch.setenv("OPENCODE_CONFIG", str(named))
    cli.run("plugin", "install", "--max-sessions", "7")

    assert (False, True) == (without, config.plugin_installed())
    assert (7, False) == (options(named)["maxSessions"], own.exists())


def test_what_was_changed_by_hand_stays(cli: Cli) -> None:
    """Options, comments and order of an entry survive; what is given now is set."""
    path = write(cli, "{}")
    cli.run("plugin", "install", "--max-age-days", "30")
    change(path, '"ingest": true', '"ingest": false, // not yet\n      "cacheMB": 9')
    change(path, '"maxAgeDays": 30', '"maxAgeDays": 31')
    change(path, f"[{json.dumps(sys.executable)}", '["/old/python"')
    cli.run("plugin", "install", "--max-sessions", "5")
    found, text = options(path), path.read_text()
    cli.run("plugin", "install", "--ingest", "--no-rescan", "--max-age-days", "8")
    given = options(path)

    assert [False, True, 9, 31, 5] == [
        found[name] for name in ("ingest", "rescan", "cacheMB", "maxAgeDays", "maxSessions")
    ]
    assert sys.executable == found["command"][0]
    assert '"ingest": false, // not yet\n' in text
    assert [True, False, 9, 8] == [given[name] for name in ("ingest", "rescan", "cacheMB", "maxAgeDays")]


def test_limits_of_the_entry_are_ocblobs_too(cli: Cli) -> None:
    """What `install` is told to retain counts for every pass, and `config show` says where it stands."""
    cli.run("plugin", "install", "--max-size-mb", "300", "--max-age-days", "60", "--max-sessions", "50")
    path = directory_of(cli) / "opencode.json"
    shown = cli.run("config", "show", "--json").json["settings"]

    assert (300, 60, 50) == tuple(options(path)[name] for name in ("maxSizeMB", "maxAgeDays", "maxSessions"))
    assert [300, 60, 50] == [shown[name]["value"] for name in ("maxSizeMB", "maxAgeDays", "maxSessions")]
    assert all(str(path) in shown[name]["source"] for name in ("maxSizeMB", "maxAgeDays", "maxSessions"))


def test_a_limit_that_every_pass_would_refuse_is_not_written(cli: Cli) -> None:
    """It would stop each command that retains."""
    done = cli.run("plugin", "install", "--max-size-mb", "9" * 20)

    assert (2, True) == (done.code, "maxSizeMB is 99999999999999999999: a maximum size of" in done.err)
    assert not (directory_of(cli) / "opencode.json").exists()


@pytest.mark.parametrize(
    "entry", ['"{uri}"', '["{uri}"]', '["{uri}", {{}}]', '"./ocblob/ocblob.js"', '["{uri}", null]']
)
def test_an_entry_without_options_gets_them(cli: Cli, entry: str) -> None:
    """Whatever form it has, it becomes the one entry of the plugin."""
    uri = (directory_of(cli) / "ocblob" / "ocblob.js").as_uri()
    path = write(cli, f'{{"plugin": ["one", {entry.format(uri=uri)}, "two"]}}')
    cli.run("plugin", "install")
    one, ours, two = plugins(path)

    assert (["one", "two"], uri) == ([one, two], ours[0])
    assert str(cli.store) == ours[1]["store"]


def test_a_dry_run_writes_nothing(cli: Cli) -> None:
    """It tells what would be done, for both verbs."""
    path = write(cli, "{}")
    before = tree(cli.root)
    installed = cli.run("plugin", "install", "--dry-run", "--json").json
    same = tree(cli.root)
    cli.run("plugin", "install")
    between = tree(cli.root)
    removed = cli.run("plugin", "remove", "--dry-run", "--json").json

    assert (True, str(path)) == (installed["changed"], installed["file"])
    assert (before, between) == (same, tree(cli.root))
    assert str(path) in removed["removed"]


# The options


def test_a_store_that_the_plugin_has_is_not_lost_by_default(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its blobs are there: only a store that somebody names takes its place."""
    path = write(cli, "{}")
    cli.run("plugin", "install")
    monkeypatch.delenv("OCBLOB_STORE")
    kept, first = cli.run("plugin", "install"), options(path)["store"]
    cli.run("plugin", "install", "--store", cli.root / "other")

    assert f"the plugin keeps its store {cli.store}; --store names another one\n" == kept.err
    assert str(cli.store) == first
    assert (str(cli.root / "other"), str(cli.root / "other" / "objects")) == (
        options(path)["store"],
        options(path)["objects"],
    )


def test_a_remote_store_has_its_objects_in_the_tier(cli: Cli) -> None:
    """The plugin reads hot blobs by itself: the store is opened, made if need be, and its tier named."""
    path = write(cli, "{}")
    done = cli.run("plugin", "install", "--store", f"memory://{cli.root.name}", "--cache-size", "5MB")
    found = options(path)
    objects = Path(found["objects"])

    assert "created a blob store at memory://" in done.err
    assert (f"memory://{cli.root.name}", "objects") == (found["store"], objects.name)
    assert cli.root / "state" / "ocblob" / "stores" == objects.parent.parent
    assert {"OCBLOB_CACHE_SIZE": "5000000", "XDG_STATE_HOME": str(cli.root / "state")} == found["environment"]


def test_a_store_that_does_not_answer_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin is installed all the same, and asks ocblob for every blob."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    monkeypatch.setenv("OCBLOB_S3_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("OCBLOB_S3_RETRIES", "1")
    path = write(cli, "{}")
    done = cli.run("plugin", "install", "--store", "s3://bucket/prefix")

    assert 0 == done.code
    assert "warning: the store cannot be reached now" in done.err
    assert ("s3://bucket/prefix", "") == (options(path)["store"], options(path)["objects"])
    assert {
        "OCBLOB_S3_ENDPOINT_URL": "http://127.0.0.1:1",
        "OCBLOB_S3_RETRIES": "1",
        "XDG_STATE_HOME": str(cli.root / "state"),
    } == options(path)["environment"]


def test_a_config_file_is_found_from_anywhere(cli: Cli) -> None:
    """A desktop app has other variables: the file that counts here is named."""
    file = cli.root / "config" / "ocblob" / "config.toml"
    file.parent.mkdir(parents=True)
    file.write_text('cache_size = "3MB"\n')
    path = write(cli, '{"plugin": []}')
    cli.run("plugin", "install")

    assert {"OCBLOB_CONFIG": str(file)} == options(path)["environment"]


@pytest.mark.parametrize(
    ("variable", "value", "store"),
    [("OCBLOB_S3_PROXY", "http://u:hush@h", "store"), ("OCBLOB_X", "", "s3://bucket?secret_key=hush")],
)
def test_a_secret_is_refused(cli: Cli, monkeypatch: pytest.MonkeyPatch, variable: str, value: str, store: str) -> None:
    """A password or a key is neither kept nor shown."""
    monkeypatch.setenv(variable, value)
    before = tree(cli.root)
    done = cli.run("plugin", "install", "--store", store)

    assert (2, before) == (done.code, tree(cli.root))
    assert "hush" not in done.err


# A project


def test_a_project_has_a_plugin_of_its_own(cli: Cli) -> None:
    """Its script and entry are in its own directory, the user's configuration stays; both together are told."""
    project = cli.root / "project"
    project.mkdir()
    done = cli.run("plugin", "install", "--project", project)
    path = project / ".opencode" / "opencode.json"
    user = cli.run("plugin", "install")
    both = cli.run("plugin", "install", "--project", project)
    status = cli.run("plugin", "status", "--project", project, "--json")
    removed = cli.run("plugin", "remove")
    left = options(path)["store"]
    cli.run("plugin", "remove", "--project", project)

    assert [0, 0, 0, 3, 0] == [done.code, user.code, both.code, status.code, removed.code]
    assert "so it runs twice in this project" in both.err
    assert ["user", "project"] == [one["kind"] for one in status.json["installations"]]
    assert any("loaded 2 times" in problem for problem in status.json["problems"])
    assert str(cli.store) == left
    assert {} == tree(project)


def test_a_project_that_is_none_is_told(cli: Cli) -> None:
    """A directory that is not there is made by nobody."""
    done = cli.run("plugin", "install", "--project", cli.root / "none")

    assert (2, False) == (done.code, (cli.root / "none").exists())


def test_the_stand_in_of_all_projects_outlives_one(cli: Cli) -> None:
    """Where the user's plugin stays, so does what keeps OpenCode from waiting."""
    project = cli.root / "project"
    project.mkdir()
    cli.run("plugin", "install", "--project", project)
    cli.run("plugin", "install")
    cli.run("plugin", "remove", "--project", project)

    assert Packages.STAND_IN == packages(directory_of(cli))


# The stand-in


def packages_there(directory: Path) -> None:
    """What OpenCode leaves after an installation."""
    (directory / "node_modules" / "@opencode-ai" / "plugin").mkdir(parents=True)
    lock = {"packages": {"": {"dependencies": {"@opencode-ai/plugin": "1.18.33"}}}}
    (directory / "package-lock.json").write_text(json.dumps(lock))
    (directory / "package.json").write_text('{"dependencies": {"@opencode-ai/plugin": "1.18.33"}}')


def packages_of_others(directory: Path) -> None:
    """Packages without the one that OpenCode wants."""
    (directory / "node_modules").mkdir(parents=True)
    (directory / "package.json").write_text('{"dependencies": {"left-pad": "1.0.0"}}')


def code_that_imports(directory: Path) -> None:
    """A plugin that needs the real package."""
    (directory / "plugin").mkdir(parents=True)
    (directory / "plugin" / "mine.ts").write_text('import { tool } from "@opencode-ai/plugin"\n')


def code_that_names_types(directory: Path) -> None:
    """A plugin that needs the package for an editor only."""
    (directory / "plugins").mkdir(parents=True)
    (directory / "plugins" / "mine.ts").write_text('import type { Plugin } from "@opencode-ai/plugin"\n')


@pytest.mark.parametrize(
    ("make", "before", "after"),
    [
        (packages_there, Packages.READY, Packages.READY),
        (packages_of_others, Packages.WANTED, Packages.WANTED),
        (code_that_imports, Packages.WANTED, Packages.WANTED),
        (code_that_names_types, Packages.MISSING, Packages.STAND_IN),
    ],
)
def test_what_is_there_is_never_touched(
    cli: Cli, make: Callable[[Path], None], before: Packages, after: Packages
) -> None:
    """A stand-in is put only where nothing is and nothing needs the real package; else it is said what that means."""
    directory = directory_of(cli)
    directory.mkdir(parents=True)
    make(directory)
    there, state = tree(directory), packages(directory)
    done = cli.run("plugin", "install")
    now, later = tree(directory), packages(directory)
    cli.run("plugin", "remove")

    assert (before, after) == (state, later)
    assert ("OpenCode installs npm packages" in done.err) == (after is Packages.WANTED)
    assert there.items() <= now.items()
    assert there == tree(directory)


def test_every_directory_that_opencode_looks_into_gets_a_stand_in(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those in the home and of OPENCODE_CONFIG_DIR too, if they are there; a removal takes each away."""
    named, home = tmp_path / "named", cli.root / "home" / ".opencode"
    monkeypatch.setenv("OPENCODE_CONFIG_DIR", str(named))
    home.mkdir(parents=True)
    named.mkdir()
    stand_ins = cli.run("plugin", "install", "--json").json["stand_ins"]
    states = {packages(path) for path in (home, named, directory_of(cli))}
    cli.run("plugin", "remove")

    assert sorted(map(str, (home, named, directory_of(cli)))) == sorted(stand_ins)
    assert ({Packages.STAND_IN}, {}, {}) == (states, tree(home), tree(named))


def test_a_stand_in_can_be_put_and_removed_after_a_crash(tmp_path: Path) -> None:
    """Half of one is missing, not somebody else's; what others have put beside it stays."""
    put_stub(tmp_path)
    (tmp_path / "package-lock.json").unlink()
    half = packages(tmp_path)
    put_stub(tmp_path)
    whole = packages(tmp_path)
    (tmp_path / "node_modules" / "other").mkdir()
    gone = (remove_stub(tmp_path), remove_stub(tmp_path))

    assert (Packages.MISSING, Packages.STAND_IN) == (half, whole)
    assert ((True, False), ["other"]) == (gone, [path.name for path in (tmp_path / "node_modules").iterdir()])


def test_a_stand_in_that_somebody_changed_is_theirs(cli: Cli) -> None:
    """A lock file that names more is no longer ours to remove."""
    cli.run("plugin", "install")
    lock = directory_of(cli) / "package-lock.json"
    change(lock, '"*"', '"*", "left-pad": "1.0.0"')
    cli.run("plugin", "remove")

    assert (True, Packages.READY) == (lock.exists(), packages(directory_of(cli)))


# Refs, and the removal


@pytest.fixture
def offloaded(cli: Cli, own: Path) -> dict[str, list[tuple[object, ...]]]:
    """What the database held before the plugin was installed and its attachments moved out."""
    before = dump(own)
    cli.run("plugin", "install")
    assert 0 == cli.run("offload").code
    return before


@pytest.mark.usefixtures("offloaded")
def test_refs_stop_a_removal(cli: Cli) -> None:
    """Without a terminal and a word nothing is removed, and it says how to go on."""
    before = tree(cli.root / "config")
    done = cli.run("plugin", "remove")

    assert (2, before) == (done.code, tree(cli.root / "config"))
    assert "12 attachments are outside of the database" in done.err
    assert "hint: say --restore or --keep-refs\n" in done.err


def test_a_removal_can_restore(cli: Cli, own: Path, offloaded: dict[str, list[tuple[object, ...]]]) -> None:
    """Every value comes back, then the plugin goes."""
    done = cli.run("plugin", "remove", "--restore", "--json")

    assert (0, 12) == (done.code, done.json["restored"]["report"]["refs_restored"])
    assert (offloaded, {}) == (dump(own), tree(directory_of(cli)))


@pytest.mark.usefixtures("own")
def test_refs_of_prompts_alone_stop_a_removal(cli: Cli) -> None:
    """A prompt that is sent again would be a placeholder; a history that cannot be read may hold some."""
    history = cli.root / "state" / "opencode" / "prompt-history.jsonl"
    history.parent.mkdir(parents=True)
    history.write_bytes(before := prompt_line("[Image 1]", payload(20_000, 1)))
    cli.run("plugin", "install")
    assert [0, 0] == [cli.run("offload", "--prompt-history").code, cli.run("restore").code]
    stopped = cli.run("plugin", "remove")
    stash = history.with_name("prompt-stash.jsonl")
    stash.mkdir()
    unread = cli.run("plugin", "remove")
    stash.rmdir()
    done = cli.run("plugin", "remove", "--restore", "--json")

    assert [2, 2, 0] == [stopped.code, unread.code, done.code]
    assert "1 attachments are outside of the database" in stopped.err
    assert f"whether refs are left cannot be told: {stash} cannot be read: Is a directory" in unread.err
    assert (before, 1) == (history.read_bytes(), done.json["refs"])
    assert {} == tree(directory_of(cli))


@pytest.mark.usefixtures("own")
def test_refs_of_another_channel_stop_a_removal(cli: Cli) -> None:
    """The plugin serves every database that OpenCode opens, whichever it was installed for."""
    cli.run("plugin", "install")
    channel = make_opencode(cli.root / "data" / "opencode" / "opencode-dev.db", sessions=1, parts=1)
    cli.run("offload", "--db", channel)
    before = tree(cli.root / "config")
    stopped = cli.run("plugin", "remove", "--restore")
    kept = tree(cli.root / "config")
    cli.run("restore", "--db", channel)

    assert (2, before) == (stopped.code, kept)
    assert f"2 attachments are outside of {channel}, which OpenCode opens as well; nothing was removed" in stopped.err
    assert f"hint: ocblob restore --db {channel}, or say --keep-refs\n" in stopped.err
    assert 0 == cli.run("plugin", "remove").code


@pytest.mark.usefixtures("offloaded")
def test_a_removal_can_keep_refs(cli: Cli, own: Path) -> None:
    """Told so, it only removes."""
    assert 0 == cli.run("plugin", "remove", "--keep-refs").code
    assert (12, {}) == (len(refs(own)), tree(directory_of(cli)))


@pytest.mark.usefixtures("offloaded")
def test_a_restore_that_leaves_refs_keeps_the_plugin(cli: Cli, own: Path) -> None:
    """A blob that is lost must not cost the others their plugin."""
    object_path(cli.store, refs(own)[0].digest).unlink()
    before = tree(directory_of(cli))
    done = cli.run("plugin", "remove", "--restore")

    assert (3, before) == (done.code, tree(directory_of(cli)))
    assert "the plugin stays, because refs are left" in done.err


@pytest.mark.parametrize(
    ("answers", "code", "left", "stays"), [("y\n", 0, 0, False), ("n\ny\n", 0, 12, False), ("n\nn\n", 2, 12, True)]
)
@pytest.mark.usefixtures("offloaded")
def test_a_terminal_is_asked(cli: Cli, own: Path, answers: str, code: int, left: int, stays: bool) -> None:  # noqa: FBT001
    """It may put back first, or remove all the same, or do nothing."""
    done = on_a_terminal(cli, "plugin", "remove", answers=answers)

    assert (code, left, stays) == (done.code, len(refs(own)), (directory_of(cli) / "ocblob").exists())


def test_both_words_are_one_too_many(cli: Cli) -> None:
    """Refs cannot be restored and kept."""
    assert 2 == cli.run("plugin", "remove", "--restore", "--keep-refs").code


def test_a_removal_where_nothing_is(cli: Cli) -> None:
    """There is nothing to do, and that is no error."""
    done = cli.run("plugin", "remove")

    assert (0, b"the plugin was not installed\n") == (done.code, done.out)


# Status


def status(cli: Cli, *arguments: str | Path) -> tuple[int, dict[str, Any]]:
    """Exit code and figures."""
    done = cli.run("plugin", "status", "--json", *arguments)
    return done.code, done.json


def test_status_of_nothing(cli: Cli) -> None:
    """Not installed is worth a 3 and a word."""
    code, found = status(cli)

    assert (3, False, []) == (code, found["installed"], found["installations"])
    assert ["the plugin is not installed; `ocblob plugin install` does it"] == found["problems"]


@pytest.mark.usefixtures("offloaded")
def test_status_of_what_works(cli: Cli) -> None:
    """Script, command, store and database are right, and a ref of the session that was active last resolves."""
    code, found = status(cli)
    (one,) = found["installations"]

    assert (0, True, []) == (code, found["sound"], found["problems"])
    assert ("user", True, __version__, __version__) == (
        one["kind"],
        one["current"],
        one["version"],
        one["command_version"],
    )
    assert (12, 0, "ses_0", True) == (found["refs"], found["v2_refs"], found["session"], found["resolves"])
    assert {str(directory_of(cli)): "stand-in"} == found["packages"]
    assert b"one of the newest session resolves" in cli.run("plugin", "status").out


@pytest.mark.usefixtures("offloaded")
def test_status_tells_each_thing_that_is_wrong(cli: Cli, own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another script, a command that is gone, another store and database, a lost blob, V2 refs, no packages."""
    directory = directory_of(cli)
    path = directory / "opencode.json"
    (directory / "ocblob" / "ocblob.js").write_text("// ocblob plugin 0.0.1\n")
    change(path, json.dumps(sys.executable), '"/none/python"')
    (directory / "package-lock.json").unlink()
    (directory / "node_modules" / "@opencode-ai" / "plugin" / "index.js").unlink()
    (directory / "plugin").mkdir()
    (directory / "plugin" / "ocblob.js").write_bytes(script())
    for ref in refs(own):
        object_path(cli.store, ref.digest).unlink(missing_ok=True)
    with opened(own) as db:
        body = db.execute("SELECT data FROM part LIMIT 1").get
        db.execute("INSERT INTO session_message VALUES ('m', 'ses_0', 'user', 1, 1, 1, ?)", (body,))
    monkeypatch.setenv("OCBLOB_STORE", str(cli.root / "other"))
    monkeypatch.setenv("OPENCODE_PURE", "1")
    make_opencode(cli.root / "other.db")
    code, found = status(cli, "--db", cli.root / "other.db")

    told = "\n".join(found["problems"])
    assert (3, False, False, 1) == (code, found["sound"], found["resolves"], found["v2_refs"])
    for words in (
        f"is 0.0.1, not {__version__} of this ocblob",
        "the plugin's command /none/python -P -m ocblob does not run: No such file or directory",
        f"the plugin's store is {cli.store}, a command here uses {cli.root / 'other'} (OCBLOB_STORE)",
        f"the plugin's database is {own}, a command here uses {cli.root / 'other.db'} (--db)",
        "does not resolve: ",
        "1 refs are in tables of V2 sessions",
        "OpenCode installs npm packages into",
        f"{directory / 'plugin' / 'ocblob.js'} is loaded without options; remove it",
        "OPENCODE_PURE is set",
    ):
        assert words in told


def test_status_of_a_script_that_is_gone(cli: Cli) -> None:
    """An entry that names nothing is no plugin."""
    cli.run("plugin", "install")
    (directory_of(cli) / "ocblob" / "ocblob.js").unlink()
    code, found = status(cli)

    assert (3, "") == (code, found["installations"][0]["version"])
    assert "No such file or directory; `ocblob plugin install` writes it" in found["problems"][0]
    assert not config.plugin_installed()


def test_status_does_not_run_what_a_project_says(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a directory brings along is run only if somebody names the project."""
    project = cli.root / "project"
    project.mkdir()
    cli.run("plugin", "install", "--project", project)
    monkeypatch.chdir(project)

    assert ([], 1) == (status(cli)[1]["installations"], len(status(cli, "--project", project)[1]["installations"]))


def test_status_of_a_file_that_opencode_cannot_read(cli: Cli) -> None:
    """A broken configuration loads no plugin."""
    path = write(cli, "{")
    code, found = status(cli)

    assert 3 == code
    assert found["problems"][0].startswith(f"{path}: line 1, column 2")
    assert not config.plugin_installed()


# The offload


def test_an_offload_offers_the_plugin(cli: Cli, own: Path) -> None:
    """On a terminal a yes installs it, and the offload goes on."""
    done = on_a_terminal(cli, "offload", answers="y\n")

    assert (0, 12, True) == (done.code, len(refs(own)), config.plugin_installed())
    assert "installed the plugin" in done.err


def test_an_offload_takes_no_for_an_answer(cli: Cli, own: Path) -> None:
    """A no leaves everything as it was, and says how to go on."""
    done = on_a_terminal(cli, "offload", answers="n\n")

    assert (2, 0, {}) == (done.code, len(refs(own)), tree(directory_of(cli)))
    assert "hint: ocblob plugin install\n" in done.err


def test_an_offload_goes_where_the_plugin_looks(cli: Cli, own: Path) -> None:
    """What moves out into another store, OpenCode would not find: the offload stops, and says what to do."""
    mine, yours = str(cli.root / "mine"), str(cli.root / "yours")
    cli.run("plugin", "install", "--store", mine)
    stopped = cli.run("offload", "--store", yours)

    assert (2, 0) == (stopped.code, len(refs(own)))
    assert (
        f"hint: --store {shlex.quote(mine)}, or `ocblob plugin install --store {shlex.quote(yours)}`\n" in stopped.err
    )
    assert (0, 12) == (cli.run("offload", "--store", mine).code, len(refs(own)))


def test_an_offload_goes_elsewhere_if_told_to(cli: Cli, own: Path) -> None:
    """Who says --no-plugin takes care of it."""
    cli.run("plugin", "install", "--store", str(cli.root / "mine"))

    assert (0, 12) == (cli.run("offload", "--no-plugin", "--store", str(cli.root / "yours")).code, len(refs(own)))


def test_a_relative_store_is_told(cli: Cli, own: Path) -> None:
    """One that was written by hand would be another store in each project: the plugin does not take it."""
    store = str(cli.root / "mine")
    cli.run("plugin", "install", "--store", store)
    change(directory_of(cli) / "opencode.json", f'"store": {json.dumps(store)}', '"store": "mine"')
    looked, moved = cli.run("plugin", "status"), cli.run("offload", "--store", store)

    assert (3, 2, 0) == (looked.code, moved.code, len(refs(own)))
    assert "Warning: the plugin's store mine is relative" in looked.err
    assert "hint: ocblob plugin install --store PATH\n" in moved.err


def test_an_offload_waits_for_an_opencode_that_runs(cli: Cli, own: Path) -> None:
    """Who has the database open has not loaded what was just installed: nothing moves out under it."""
    with opened(own) as db:
        db.execute("SELECT count(*) FROM part").fetchall()
        done = on_a_terminal(cli, "offload", answers="y\n")

    assert (2, 0, True) == (done.code, len(refs(own)), config.plugin_installed())
    assert "hint: restart OpenCode, then run `ocblob offload` again\n" in done.err


# The rest


def test_a_server_that_is_none_is_told(cli: Cli) -> None:
    """Who names a server wants it told: the plugin is installed, and the exit code is 3."""
    done = cli.run("plugin", "install", "--server", "http://127.0.0.1:1")

    assert (3, True) == (done.code, config.plugin_installed())
    assert "Warning: http://127.0.0.1:1 does not answer" in done.err


@pytest.mark.parametrize("url", ["127.0.0.1:4096", "ftp://h", "http://u:hush@h", "http://"])
def test_a_server_that_cannot_be_meant_is_refused(cli: Cli, url: str) -> None:
    """A URL of another kind, or with a password in it."""
    done = cli.run("plugin", "install", "--server", url)

    assert 2 == done.code
    assert "hush" not in done.err


def test_the_script_says_its_version() -> None:
    """The first line of the script that is shipped names this version; anything else names none."""
    assert [__version__, "", ""] == [version_of(data) for data in (script(), b"", b"// another plugin 1.0\n")]


def test_the_open_database_asks_for_a_restart(cli: Cli, own: Path) -> None:
    """Who has it open reads its configuration only when it starts."""
    closed = cli.run("plugin", "install", "--json").json["told"]
    with opened(own) as db:
        db.execute("SELECT count(*) FROM part").fetchall()
        open_ = cli.run("plugin", "install", "--json").json["told"]

    assert ["next start", "restart"] == [closed, open_]


def test_payloads_alone_are_no_refs(cli: Cli, own: Path) -> None:
    """Attachments that never moved out do not stop a removal."""
    with opened(own) as db:
        db.execute("UPDATE part SET data=?", (cell(payload(30_000)),))
    cli.run("plugin", "install")

    assert 0 == cli.run("plugin", "remove").code
