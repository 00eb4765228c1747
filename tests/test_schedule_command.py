import json
import shlex
import sys
from pathlib import Path

import pytest

from command_line import Cli, cli_in
from schedulers import NOTED, Schedulers

MAINTAIN = (sys.executable, "-P", "-m", "ocblob", "maintain", "--scheduled", "--quiet")


@pytest.fixture
def schedulers(tmp_path: Path) -> Schedulers:
    """A machine with all of them."""
    found = Schedulers(tmp_path)
    found.have(*NOTED)
    return found


@pytest.fixture
def cli(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes], schedulers: Schedulers
) -> Cli:
    """The command line, with only those schedulers on PATH."""
    monkeypatch.setenv("PATH", str(schedulers.bin))
    return cli_in(tmp_path, monkeypatch, capfdbinary)


def words_of(schedulers: Schedulers) -> list[str]:
    """The command of the crontab's only line, without `nice`."""
    (line,) = schedulers.kept("crontab").splitlines()
    return shlex.split(line, comments=True)[8:]


def test_all_is_passed_by_absolute_path(cli: Cli, schedulers: Schedulers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Database, store and config file are those of this shell, from whatever directory they were named."""
    monkeypatch.chdir(cli.root)
    (cli.root / "my config.toml").write_text("maxSessions = 3\n")
    where = ("--db", "my data.db", "--store", "blobs", "--config", "my config.toml")
    assert 0 == cli.run("schedule", "install", "--kind", "cron", *where).code
    words = words_of(schedulers)
    kept = dict(word.split("=", 1) for word in words[1 : words.index(sys.executable)])
    assert "env" == words[0]
    assert {"XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"} <= set(kept)
    places = [
        "--db",
        f"{cli.root}/my data.db",
        "--store",
        f"{cli.root}/blobs",
        "--config",
        f"{cli.root}/my config.toml",
    ]
    assert [*MAINTAIN, *places] == words[words.index(sys.executable) :]


def test_a_limit_of_this_shell_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that would hold here and not tonight is named, and is not in the job."""
    monkeypatch.setenv("OCBLOB_MAX_AGE", "30d")
    said = cli.run("schedule", "install", "--kind", "cron").out.decode()

    assert "OCBLOB_MAX_AGE is not kept; it belongs into the config file" in said
    assert 1 == said.count("OCBLOB_MAX_AGE")


def test_what_would_not_work_tonight_is_told_now(cli: Cli) -> None:
    """A job beside a plugin of another store is refused; one without a plugin is told to move nothing out."""
    words = ("schedule", "install", "--kind", "cron")
    without = cli.run(*words).out.decode()
    cli.run("schedule", "remove")
    cli.run("plugin", "install", "--store", cli.root / "other")
    refused = cli.run(*words)

    assert "it moves no attachment out until OpenCode has the plugin: `ocblob plugin install`" in without
    assert (2, True) == (refused.code, f"OpenCode's plugin looks into the store {cli.root / 'other'}" in refused.err)
    assert "--no-plugin" not in refused.err
    assert b"nothing is scheduled\n" == cli.run("schedule", "show").out
    assert "it moves no attachment" not in cli.run(*words, "--store", cli.root / "other").out.decode()


def test_what_was_done_is_said(cli: Cli) -> None:
    """Every file with its text, and every command that was run; the second installation says the same."""
    done = cli.run("schedule", "install", "--every", "15m")
    shown = cli.run("schedule", "show")
    said = done.out.decode()
    units = cli.root / "config" / "systemd" / "user"
    assert 0 == done.code
    for expected in (
        f"wrote {units}/ocblob-maintain.service",
        f"wrote {units}/ocblob-maintain.timer",
        "OnCalendar=*:0/15",
        "SuccessExitStatus=3 4",
        "ran systemctl --user daemon-reload",
        "ran systemctl --user enable --now ocblob-maintain.timer",
        "enable-linger",
    ):
        assert expected in said
    assert "next run Sun 2026-11-29" in shown.out.decode()
    assert "OnCalendar=*:0/15" in shown.out.decode()
    assert said == cli.run("schedule", "install", "--every", "15m").out.decode()
    assert "took away" in cli.run("schedule", "remove").out.decode()
    assert b"nothing is scheduled\n" == cli.run("schedule", "show").out
    assert b"nothing is scheduled as ocblob-maintain\n" == cli.run("schedule", "remove").out


def test_json_and_dry_run(cli: Cli, schedulers: Schedulers) -> None:
    """One object each; a dry run has told everything and changed nothing."""
    planned = cli.run("schedule", "install", "--dry-run", "--json").json
    assert [] == schedulers.calls
    assert {"jobs": []} == cli.run("schedule", "show", "--json").json
    done = cli.run("schedule", "install", "--json").json
    assert planned == done
    assert (["systemd"], "ocblob-maintain") == (done["kinds"], done["name"])
    assert 2 == len(done["written"])
    (shown,) = cli.run("schedule", "show", "--json").json["jobs"]
    assert "systemd" == shown["kind"]
    assert ["systemd"] == cli.run("schedule", "remove", "--json").json["kinds"]
    assert [] == cli.run("schedule", "remove", "--json").json["kinds"]


def test_each_database_has_its_own_job(cli: Cli, schedulers: Schedulers) -> None:
    """One that is named does not replace the one that is found by itself, and is removed by its name."""
    one = str(cli.root / "one.db")
    for where in ((), ("--db", one), ("--db", one)):
        assert 0 == cli.run("schedule", "install", "--kind", "cron", *where).code
    assert 2 == len(schedulers.kept("crontab").splitlines())
    assert 0 == cli.run("schedule", "remove", "--db", one).code
    (line,) = schedulers.kept("crontab").splitlines()
    assert line.endswith("# ocblob schedule: ocblob-maintain")


def test_a_password_that_only_this_shell_has_for_the_mirror_is_told(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The pass would mirror tonight, and find no password."""
    monkeypatch.setenv("PGPASSWORD", "hunter5")
    without = cli.run("schedule", "install", "--kind", "cron", "--dry-run").out.decode()
    (cli.root / "mirrored.toml").write_text('mirror = "postgresql://me@host/sessions"\n')
    said = cli.run("schedule", "install", "--kind", "cron", "--dry-run", "--config", cli.root / "mirrored.toml")

    assert (0, False) == (said.code, "PGPASSWORD" in without)
    assert "PGPASSWORD is not kept" in said.out.decode()


def test_secrets_are_never_kept(cli: Cli, schedulers: Schedulers, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of S3 go along, a key does not, and it is said; a URL with a password is refused."""
    monkeypatch.setenv("OCBLOB_S3_ENDPOINT_URL", "https://s3.example")
    monkeypatch.setenv("OCBLOB_S3_SECRET_ACCESS_KEY", "hunter2")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "hunter3")
    monkeypatch.setenv("AWS_PROFILE", "work")
    done = cli.run("schedule", "install", "--kind", "cron", "--store", "s3://bucket/prefix")
    assert 0 == done.code
    assert "OCBLOB_S3_ENDPOINT_URL=https://s3.example" in words_of(schedulers)
    assert "AWS_PROFILE=work" in words_of(schedulers)
    assert "hunter" not in schedulers.kept("crontab")
    assert "  AWS_SECRET_ACCESS_KEY is not kept" in done.out.decode()
    assert "  OCBLOB_S3_SECRET_ACCESS_KEY is not kept" in done.out.decode()
    refused = cli.run("schedule", "install", "--kind", "cron", "--store", "https://me:hunter4@host/blobs")
    assert 2 == refused.code


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("--every", "90s"), 2, "whole minutes"),
        (("--every", "7m", "--kind", "cron"), 2, "cron cannot run a command every 7m"),
        (("--every", "soon"), 2, "is no age"),
        (("--kind", "launchd"), 1, "launchd is not here"),
    ],
)
def test_what_cannot_be_is_refused(
    cli: Cli, schedulers: Schedulers, words: tuple[str, ...], code: int, said: str
) -> None:
    """In words, and nothing is installed."""
    (schedulers.bin / "launchctl").unlink()
    done = cli.run("schedule", "install", *words)
    assert code == done.code
    assert said in done.err
    assert [] == json.loads(cli.run("schedule", "show", "--json").out)["jobs"]


def test_a_configuration_that_cannot_be_meant_is_told_at_once(cli: Cli, schedulers: Schedulers) -> None:
    """Not at night, by a pass that nobody sees."""
    (cli.root / "config" / "ocblob").mkdir(parents=True)
    (cli.root / "config" / "ocblob" / "config.toml").write_text("maxSizeMB = 0\n")
    done = cli.run("schedule", "install")
    assert 2 == done.code
    assert "maxSizeMB" in done.err
    assert [] == schedulers.calls
