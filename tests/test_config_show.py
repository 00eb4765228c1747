"""`ocblob config show` and `--config`, through the command line."""

import json
import os
from pathlib import Path

import pytest

from command_line import Cli, cli_in
from ocblob.config.keys import SESSION_KEYS
from samples import make_opencode, query
from talks import Talk, make_talks


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with homes of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def toml(cli: Cli) -> Path:
    """Where the usual config file would be."""
    path = cli.root / "config" / "ocblob" / "config.toml"
    path.parent.mkdir(parents=True)
    return path


def test_without_anything_all_is_default(cli: Cli) -> None:
    """Every key is shown, neither database nor store is needed, and nothing is made."""
    done = cli.run("config", "show", "--json")

    assert (0, "") == (done.code, done.err)
    assert ["db", "store", "cache_size", "previews", *SESSION_KEYS] == list(done.json["settings"])
    assert {"value": str(cli.store), "source": "OCBLOB_STORE"} == done.json["settings"]["store"]
    assert {"value": None, "source": "none found"} == done.json["settings"]["db"]
    assert {"value": [100, 500, 1000], "source": "default"} == done.json["settings"]["warnMB"]
    assert str(cli.root / "data" / "ocblob" / "archives") == done.json["settings"]["archive"]["value"]
    assert (False, []) == (done.json["is_there"], done.json["problems"])
    assert [] == list(cli.root.iterdir())


def test_each_value_says_where_it_comes_from(cli: Cli, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of a file, a variable, an option, the default."""
    toml.write_text('cache_size = "2MB"\npreviews = false\nmaxSizeMB = 200\nkeep = ["ses_1"]\n[s3]\nregion = "eu"\n')
    opencode = cli.root / "config" / "opencode" / "opencode.jsonc"
    opencode.parent.mkdir()
    opencode.write_text('{\n// ours\n"session": {"maxAgeDays": 30, "archive": false}}')
    database = make_opencode(cli.root / "app.db", sessions=1, parts=1, size=100)
    monkeypatch.setenv("OCBLOB_MAX_SESSIONS", "50")
    monkeypatch.setenv("OCBLOB_S3_ENDPOINT_URL", "http://h")

    done = cli.run("config", "show", "--json", "--db", database, "--store", "/blobs")

    found = {key: (one["value"], one["source"]) for key, one in done.json["settings"].items()}
    expected = {
        "db": (str(database), "--db"),
        "store": ("/blobs", "--store"),
        "cache_size": (2_000_000, f"{toml}:1"),
        "previews": (False, f"{toml}:2"),
        "maxSizeMB": (200, f"{toml}:3"),
        "maxAgeDays": (30, f"{opencode}:3"),
        "maxSessions": (50, "OCBLOB_MAX_SESSIONS"),
        "keep": (["ses_1"], f"{toml}:4"),
        "archive": (False, f"{opencode}:3"),
        "keepActiveDays": (7, "default"),
        "s3.region": ("eu", f"{toml}:6"),
        "s3.endpoint_url": ("http://h", "OCBLOB_S3_ENDPOINT_URL"),
    }
    assert 0 == done.code
    assert expected == {key: found[key] for key in expected}


def test_the_table_has_a_line_for_each_key(cli: Cli, toml: Path) -> None:
    """For people: the file first, then key, value and source in columns; -q leaves it out."""
    toml.write_text('maxSizeMB = 200\nkeep = ["ses_1"]\n')
    done = cli.run("config", "show")
    lines = done.out.decode().splitlines()

    assert f"config file  {toml}" == lines[0]
    assert ["maxSizeMB", "200", f"{toml}:1"] == next(line.split() for line in lines if "maxSizeMB " in line)
    assert ["keep", '["ses_1"]', f"{toml}:2"] == next(line.split() for line in lines if "keep " in line)
    assert ["maxAgeDays", "-", "default"] == next(line.split() for line in lines if "maxAgeDays " in line)
    assert b"" == cli.run("config", "show", "-q").out


def test_no_secret_is_shown(cli: Cli, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords in URLs and options that look like secrets are left out, wherever they come from."""
    monkeypatch.delenv("OCBLOB_STORE")
    monkeypatch.setenv("OCBLOB_S3_SESSION_TOKEN", "hush1")
    monkeypatch.setenv("OCBLOB_S3_PROXY", "http://me:hush2@h")
    toml.write_text('store = "s3://me:hush3@bucket"\narchive = "s3://me:hush4@b"\n[gs]\naccess_key = "hush5"\n')
    shown = [cli.run("config", "show", *more) for more in ((), ("--json",), ("--db", "postgresql://u:hush6@h/d"))]

    assert [] == [done for done in shown if "hush" in done.err or b"hush" in done.out]
    assert {"value": "...", "source": f"{toml}:4"} == shown[1].json["settings"]["gs.access_key"]
    assert "s3://me@bucket" == shown[1].json["settings"]["store"]["value"]


def test_every_mistake_is_shown_at_once(cli: Cli, toml: Path) -> None:
    """What is wrong is told line by line, the rest is shown, and the exit code is 2."""
    toml.write_text(
        'stor = "/x"\ncache_size = "large"\npreviews = 1\nmaxSizeMB = 0\nmaxSessions = 9\n[s3]\nregion = [1]\n'
    )
    done = cli.run("config", "show")
    told = [line.partition(f"Error: {toml}:")[2][:20] for line in done.err.splitlines() if line.startswith("Error")]

    assert 2 == done.code
    assert [
        "1: unknown key stor",
        "2: cache_size: 'larg",
        "3: previews must be ",
        "4: maxSizeMB is 0: a",
        "7: s3.region must be",
    ] == sorted(told)
    assert "hint: is store meant?" in done.err
    assert ["maxSessions", "9", f"{toml}:5"] in [line.split() for line in done.out.decode().splitlines()]
    as_json = cli.run("config", "show", "--json")
    assert (2, 5) == (as_json.code, len(as_json.json["problems"]))


@pytest.mark.parametrize("text", ["previews = true\nmaxSizeMB = \nby = 1\n", "a = 1\na = 2\nb = 3\n"])
def test_a_file_that_is_no_toml_is_an_error(cli: Cli, toml: Path, text: str) -> None:
    """There is nothing to show then, but where the file goes wrong."""
    toml.write_text(text)
    done = cli.run("config", "show")

    assert (2, b"") == (done.code, done.out)
    assert f"Error: {toml}: " in done.err
    assert "(at line 2, " in done.err


def test_an_option_names_the_file(cli: Cli, toml: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config wins over OCBLOB_CONFIG and over the usual file, for this command only."""
    toml.write_text("maxSessions = 1")
    for name in ("second", "third"):
        (cli.root / f"{name}.toml").write_text(f'maxSessions = {len(name)}\nstore = "/{name}"')
    monkeypatch.setenv("OCBLOB_CONFIG", str(cli.root / "second.toml"))
    monkeypatch.delenv("OCBLOB_STORE")
    monkeypatch.chdir(cli.root)
    lines = [[], ["--config", "third.toml"], ["--config", str(cli.root / "third.toml"), "--json"], []]
    found = [cli.run("config", "show", "--json", *more).json for more in lines]

    assert [6, 5, 5, 6] == [one["settings"]["maxSessions"]["value"] for one in found]
    assert ["/second", "/third", "/third", "/second"] == [one["settings"]["store"]["value"] for one in found]
    assert str(cli.root / "third.toml") == found[1]["file"]
    assert str(cli.root / "second.toml") == os.environ["OCBLOB_CONFIG"]


def test_the_store_of_a_command_is_in_the_named_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is known before the store is looked for, even if it is named last."""
    monkeypatch.delenv("OCBLOB_STORE")
    own = cli.root / "own.toml"
    own.write_text(f"store = {json.dumps(str(cli.root / 'elsewhere'))}")
    done = cli.run("put", "-", "--no-create", "--config", own, stdin=b"x")
    made = cli.run("put", "-", "--config", own, stdin=b"x")

    assert (10, 0) == (done.code, made.code)
    assert (cli.root / "elsewhere" / "store.json").is_file()


@pytest.mark.parametrize(("name", "words"), [("", "--config is empty"), ("none.toml", "--config: there is no file")])
def test_a_file_that_is_named_must_be_there(cli: Cli, name: str, words: str) -> None:
    """Every command says so, and does nothing."""
    for command in (["config", "show"], ["status"], ["offload"]):
        done = cli.run(*command, "--config", name)
        assert 2 == done.code
        assert f"Error: {words}" in done.err
    assert "OCBLOB_CONFIG" not in os.environ


def test_a_mistake_elsewhere_leaves_no_trace(cli: Cli) -> None:
    """The name of the file ends with its command, even if another option is wrong."""
    own = cli.root / "own.toml"
    own.write_text("")
    done = cli.run("status", "--config", own, "--store", "")

    assert 2 == done.code
    assert "OCBLOB_CONFIG" not in os.environ


def test_the_plugin_is_told_of_the_file(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the plugin runs reads the file that it was installed with, even one that says nothing yet."""
    own = cli.root / "own.toml"
    own.write_text("")
    monkeypatch.chdir(cli.root)
    done = cli.run("plugin", "install", "--config", "own.toml")
    entry = json.loads((cli.root / "config" / "opencode" / "opencode.json").read_text())["plugin"][0][1]

    assert 0 == done.code
    assert str(own) == entry["environment"]["OCBLOB_CONFIG"]


def test_a_wrong_limit_gives_out_attachments_all_the_same(cli: Cli, toml: Path) -> None:
    """A mistake in a limit of sessions is none of `put` and `cat`, which OpenCode waits for."""
    toml.write_text('maxSizeMB = "all"')
    put = cli.run("put", "-", "--json", stdin=b"bytes")
    back = cli.run("cat", put.json["digest"])

    assert (0, b"bytes") == (back.code, back.out)


def test_status_warns_of_a_wrong_limit(cli: Cli) -> None:
    """Whoever looks at the sizes is told that a limit does not hold, and gets the rest."""
    opencode = cli.root / "config" / "opencode" / "opencode.json"
    opencode.parent.mkdir(parents=True)
    opencode.write_text('{"session": {"maxSizeMB": "200MB"}}')
    database = make_opencode(cli.root / "app.db", sessions=1, parts=1, size=100)
    done = cli.run("status", "--db", database)

    assert 0 == done.code
    assert f"Warning: {opencode}:1: session.maxSizeMB must be a number of megabytes" in done.err
    assert b"database" in done.out


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"session": {"maxSessions": 0}}', "session.maxSessions is 0: a maximum of 0 sessions"),
        ('{"session": {"maxSessions": 1, "keep": "ses_1"}}', "session.keep must be a list of session ids"),
        ('{"session": {"maxSessions": 1}', "line 1, column 31: expected ',' or '}'"),
    ],
)
def test_a_wrong_word_on_what_stays_lets_nothing_go(cli: Cli, text: str, words: str) -> None:
    """`retain` stops with the file and the line, even where a limit of its own would hold; nothing is gone."""
    opencode = cli.root / "config" / "opencode" / "opencode.json"
    opencode.parent.mkdir(parents=True)
    opencode.write_text(text)
    database = make_opencode(cli.root / "app.db", sessions=3, parts=1, size=100)
    done = cli.run("retain", "--db", database, "--max-sessions", "1")

    assert 2 == done.code
    assert f"Error: {opencode}:" in done.err
    assert words in done.err
    assert 3 == len(query(database, "SELECT id FROM session"))


def test_the_limit_of_a_file_holds_until_an_option_says_another(cli: Cli) -> None:
    """`retain` takes its limits from OpenCode's configuration, and an option over them."""
    opencode = cli.root / "config" / "opencode" / "opencode.json"
    opencode.parent.mkdir(parents=True)
    opencode.write_text('{"session": {"maxSessions": 1}}')
    database = make_talks(cli.root / "app.db", [Talk(f"ses_{days}", days) for days in (50, 51, 52)])
    found = [
        cli.run("retain", "--db", database, "--dry-run", "--json", *more) for more in ((), ("--max-sessions", "2"))
    ]

    assert [0, 0] == [done.code for done in found]
    assert [1, 2] == [done.json["plan"]["limits"]["max_sessions"] for done in found]
