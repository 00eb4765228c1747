"""Passwords of databases on servers: where one is found, and that it is never shown or kept."""

import json
from pathlib import Path

import pytest

from command_line import Cli, Done, cli_in
from ocblob import config
from ocblob.databases.addresses import server_address
from ocblob.errors import UsageError
from schedulers import Schedulers

SECRET = "hush6"
NAMED = "postgresql://u@h:1/d"
WHOLE = f"postgresql://u:{SECRET}@h:1/d"


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with homes of its own, and cron."""
    schedulers = Schedulers(tmp_path)
    schedulers.have("crontab")
    monkeypatch.setenv("PATH", str(schedulers.bin))
    return cli_in(tmp_path, monkeypatch, capfdbinary)


@pytest.fixture
def toml(cli: Cli) -> Path:
    """The usual config file, which nobody else can read."""
    path = cli.root / "config" / "ocblob" / "config.toml"
    path.parent.mkdir(parents=True)
    path.touch(0o600)
    return path


def said(done: Done) -> str:
    """All that a command has written."""
    return done.out.decode() + done.err


def url_of(named: str) -> str:
    """What a driver is given for a URL."""
    return config.database_address(config.Place(named, "--db")).url


@pytest.mark.parametrize("variable", ["OCBLOB_DB", "OCBLOB_MIRROR"])
def test_who_names_the_same_database_gives_its_password(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """A variable with the same URL and a password; of another database it says nothing."""
    monkeypatch.setenv(variable, WHOLE)
    assert f"postgresql+psycopg://u:{SECRET}@h:1/d" == url_of(NAMED)
    assert "postgresql+psycopg://u@h:1/other" == url_of("postgresql://u@h:1/other")
    assert "postgresql+psycopg://u:own@h:1/d" == url_of("postgresql://u:own@h:1/d")
    assert cli.root.exists()


def test_the_config_file_gives_passwords(toml: Path) -> None:
    """Its keys `databases` and `mirror`, whatever driver each names."""
    toml.write_text(f'databases = ["postgresql+psycopg://u:{SECRET}@h:1/d"]\nmirror = "mysql://m:{SECRET}@h/d"\n')
    assert [True, True, False] == [SECRET in url_of(url) for url in (NAMED, "mariadb://m@h/d", "mysql://x@h/d")]


def test_mysql_s_own_places_are_looked_at(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """MYSQL_PWD, and before it nothing but a URL; else [client] of ~/.my.cnf. libpq looks by itself."""
    monkeypatch.setattr(Path, "home", lambda: cli.root)
    (cli.root / ".my.cnf").write_text(
        '!includedir /etc\n[mysqld]\npassword=no\n[client]\nuser = u\npassword = "a @b"\n'
    )
    assert "mysql+pymysql://u:a%20%40b@h/d" == url_of("mysql://u@h/d")
    monkeypatch.setenv("MYSQL_PWD", "p/w")
    assert "mysql+pymysql://u:p%2Fw@h/d?ssl=1" == url_of("mysql://u@h/d?ssl=1")
    assert "postgresql+psycopg://u@h/d" == url_of("postgresql://u@h/d")


def test_config_show_hides_them(toml: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words and in JSON, of the option, of variables and of every key."""
    toml.write_text(f'databases = ["{WHOLE}"]\nmirror = "{WHOLE}"\n')
    monkeypatch.setenv("OCBLOB_DB", WHOLE)
    for words in ((), ("--json",), ("--db", WHOLE)):
        shown = cli.run("config", "show", *words)
        assert (0, True, False) == (shown.code, NAMED in said(shown), SECRET in said(shown))
    settings = json.loads(cli.run("config", "show", "--json").out)["settings"]
    assert {"value": [NAMED], "source": f"{toml}:1"} == settings["databases"]


@pytest.mark.parametrize(
    "written", [f'["{SECRET}"]', f'"{WHOLE}"', f'["oracle://u:{SECRET}@h/d"]', f'["postgresql://u:{SECRET}/x@h/d"]']
)
def test_what_cannot_be_meant_is_not_repeated(toml: Path, cli: Cli, written: str) -> None:
    """A value that is no list of URLs may hold a password all the same; the file and the line are told."""
    toml.write_text(f"\ndatabases = {written}\n")
    for words in (("config", "show"), ("status", "--db", NAMED)):
        done = cli.run(*words)
        assert (2, True, False) == (done.code, f"{toml}:2: " in done.err, SECRET in said(done))


@pytest.mark.parametrize(
    ("mode", "content", "warned"),
    [(0o600, WHOLE, 0), (0o640, WHOLE, 1), (0o604, WHOLE, 1), (0o644, NAMED, 0)],
)
def test_a_file_with_passwords_that_others_can_read_is_warned_of(
    toml: Path, cli: Cli, mode: int, content: str, warned: int
) -> None:
    """Only one with a password in it, whoever else may read it."""
    toml.write_text(f'databases = ["{content}"]\n')
    toml.chmod(mode)
    for words in (("store", "databases", "-q"), ("config", "show")):
        assert warned == cli.run(*words).err.count("others can read it; chmod 600")


def test_a_schedule_keeps_no_password(toml: Path, cli: Cli) -> None:
    """A URL with one is refused, unless the config file has it too: then the job names the database without."""
    install = ("schedule", "install", "--kind", "cron", "--json", "--db", WHOLE)
    refused = cli.run(*install)
    assert (2, True) == (refused.code, 'write databases = ["' in refused.err)
    toml.write_text(f'databases = ["{WHOLE}"]\n')
    done = cli.run(*install)
    assert (0, True) == (done.code, f"--db {NAMED}" in said(done))
    kept = "".join(path.read_text(errors="replace") for path in cli.root.rglob("*") if path.is_file() and path != toml)
    assert [False] * 3 == [SECRET in text for text in (said(refused), said(done), kept)]


def test_a_schedule_says_which_password_it_loses(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that the driver reads here is not there tonight."""
    monkeypatch.setenv("PGPASSWORD", SECRET)
    done = cli.run("schedule", "install", "--kind", "cron", "--json", "--db", NAMED)
    assert (0, True, False) == (done.code, "PGPASSWORD is not kept" in said(done), SECRET in said(done))


def test_the_plugin_takes_no_server(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCode opens files; where OCBLOB_DB names a server, --db names OpenCode's own."""
    monkeypatch.setenv("OCBLOB_DB", WHOLE)
    done = cli.run("plugin", "install")
    assert (2, True, False) == (done.code, "OpenCode opens files only" in done.err, SECRET in done.err)


@pytest.mark.parametrize(
    "url", [f"postgresql://u:{SECRET}@x@h/d", f"mysql://u:x/{SECRET}@h/d", f"mysql://u:x?{SECRET}/@h/d"]
)
def test_a_password_that_would_be_cut_is_refused(url: str) -> None:
    """Where it ends is told in one way only, or it might be shown."""
    with pytest.raises(UsageError, match="where the password ends") as refused:
        server_address(url)
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("url", [f" {WHOLE}", f"postgresql:/u:{SECRET}@h/d"])
def test_what_is_no_url_by_a_slip_is_refused_without_its_password(cli: Cli, url: str) -> None:
    """It is shown like one, and taken for no path."""
    done = cli.run("status", "--db", url)
    assert (2, True, False) == (done.code, "no such kind of database" in done.err, SECRET in done.err)
