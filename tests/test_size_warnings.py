import json
import time
from pathlib import Path

import pytest

from command_line import Cli, cli_in
from ocblob.databases.addresses import file_address
from ocblob.databases.vacuum import FileSizes
from ocblob.size_warnings import DEFAULT_WARN_BYTES, STATE_FILE, SizeWarning, is_due, size_warning
from samples import cell, make_database, make_opencode, opened, payload

MB = 10**6
NOON_S = time.mktime((2026, 11, 28, 12, 0, 0, 0, 0, -1))
DAY_S = 86_400


def taking(total: int, *, free: int = 0, wal: int = 0) -> FileSizes:
    """A database and WAL of so many bytes."""
    return FileSizes(total - wal, wal, 1000, (total - wal) // 1000, free // 1000, "wal")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line, with thresholds of 1 and 50 MB in its config file."""
    config = tmp_path / "config" / "ocblob" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("warnMB = [1, 50]\n", encoding="utf-8")
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """A copy of an OpenCode database with 4 MB of attachments in it."""
    return make_opencode(tmp_path / "copy" / "app.db", sessions=2, parts=3, size=250_000)


def test_the_warning_says_how_large_and_what_would_help() -> None:
    """The size, the highest threshold that is crossed, and each thing that gives room, with its figure."""
    warning = size_warning(taking(512 * MB, free=40 * MB, wal=10 * MB), "opencode", inline_chars=200 * MB)

    expected = SizeWarning(
        "OpenCode database is 512 MB (over 500 MB): ocblob offload --vacuum would move 200 MB of attachments out;"
        " ocblob vacuum gives 50.0 MB back; ocblob retain --max-size 200MB evicts old sessions",
        500 * MB,
    )
    assert expected == warning


@pytest.mark.parametrize(
    ("total", "threshold"),
    [
        (100 * MB - 1, None),
        (100 * MB, 100 * MB),
        (499 * MB, 100 * MB),
        (500 * MB, 500 * MB),
        (10**9 - 1, 500 * MB),
        (10**9, 10**9),
        (10**12, 10**9),
    ],
)
def test_the_highest_threshold_counts(total: int, threshold: int | None) -> None:
    """Below 100 MB there is no warning; above it is that of 100 MB, 500 MB or 1 GB."""
    warning = size_warning(taking(total), "opencode")

    assert threshold == (warning and warning.threshold)


def test_file_and_wal_count_together() -> None:
    """A small file with a large WAL is warned of, and a checkpoint would help."""
    warning = size_warning(taking(120 * MB, wal=90 * MB), "opencode")

    assert warning is not None
    assert "OpenCode database is 120 MB (over 100 MB): ocblob vacuum gives 90.0 MB back" == warning.text


def test_what_would_not_help_is_not_named() -> None:
    """Nothing inline, nothing free, no sessions of a known host: the size alone is told."""
    warning = size_warning(taking(150 * MB), "generic", inline_chars=0)

    assert warning is not None
    assert "database is 150 MB (over 100 MB)" == warning.text


def test_attachments_first_then_sessions() -> None:
    """If moving attachments out brings it below all thresholds, no session has to go."""
    warning = size_warning(taking(250 * MB), "opencode", inline_chars=200 * MB)

    assert warning is not None
    assert "would move 200 MB" in warning.text
    assert "retain" not in warning.text


def test_nobody_is_told_to_give_away_what_may_be_moved_out() -> None:
    """Where nobody has counted what is inline, status is named, and no eviction."""
    warning = size_warning(taking(250 * MB, free=20 * MB), "opencode")

    assert warning is not None
    assert "(over 100 MB): ocblob vacuum gives 20.0 MB back; ocblob status tells what would help" in warning.text


def test_retention_is_proposed_below_the_size_of_now() -> None:
    """Where 200 MB would evict nothing, the lowest threshold is proposed."""
    warning = size_warning(taking(150 * MB), "opencode", inline_chars=0)

    assert warning is not None
    assert warning.text.endswith("(over 100 MB): ocblob retain --max-size 100MB evicts old sessions")


def test_without_the_plugin_it_comes_first() -> None:
    """OpenCode's own database is not offloaded before the plugin is there, so that is named first."""
    warning = size_warning(taking(150 * MB), "opencode", inline_chars=100 * MB, needs_plugin=True)

    assert warning is not None
    assert ": ocblob plugin install, then ocblob offload --vacuum would move 100 MB" in warning.text


def test_no_thresholds_no_warning() -> None:
    """An empty list turns warnings off."""
    assert size_warning(taking(10**12), "opencode", ()) is None


def warned(threshold: int = 100 * MB) -> SizeWarning:
    """Some warning."""
    return SizeWarning("database is large", threshold)


def test_a_scheduled_warning_comes_once_a_day(tmp_path: Path) -> None:
    """The same threshold of the same database is due once a day, and on the next day again."""
    db, state = tmp_path / "app.db", tmp_path / "state"
    times = [NOON_S, NOON_S + 900, NOON_S + DAY_S, NOON_S + DAY_S + 900]

    assert [True, False, True, False] == [is_due(file_address(db), warned(), state=state, now=now) for now in times]


def test_a_higher_threshold_is_due_at_once(tmp_path: Path) -> None:
    """Each threshold has its own day; falling below one and crossing it again says nothing new."""
    db, state = tmp_path / "app.db", tmp_path / "state"
    crossed = [100 * MB, 500 * MB, 500 * MB, 100 * MB, 10**9]

    due = [
        is_due(file_address(db), warned(threshold), state=state, now=NOON_S + at)
        for at, threshold in enumerate(crossed)
    ]

    assert [True, True, False, False, True] == due


def test_databases_are_warned_of_one_by_one(tmp_path: Path) -> None:
    """What was said of one database is not said of another; two names of one are one."""
    one, two, link = tmp_path / "one.db", tmp_path / "two.db", tmp_path / "link.db"
    link.symlink_to(one)

    assert [True, True, False] == [
        is_due(file_address(db), warned(), state=tmp_path / "s", now=NOON_S) for db in (one, two, link)
    ]


def test_what_is_over_is_forgotten(tmp_path: Path) -> None:
    """The state file holds the warnings of one day."""
    for day in range(5):
        is_due(file_address(tmp_path / "app.db"), warned(), state=tmp_path, now=NOON_S + day * DAY_S)

    assert 1 == len(json.loads((tmp_path / STATE_FILE).read_bytes()))


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\xff\xfe", b"{}", b"[1, 2]", b'[["a"]]', b"null", b'[[1, 2, "2026-11-28"]', b"[" * 100_000, bytes(2 << 20)],
    ids=lambda data: repr(data[:12]),
)
def test_a_damaged_state_warns_and_is_made_anew(tmp_path: Path, damaged: bytes) -> None:
    """Whatever stands in the state file, the warning is due, and then it is known again."""
    (tmp_path / STATE_FILE).write_bytes(damaged)

    due = [is_due(file_address(tmp_path / "app.db"), warned(), state=tmp_path, now=NOON_S) for _ in range(2)]

    assert [True, False] == due


def test_a_state_that_cannot_be_kept_stops_nothing(tmp_path: Path) -> None:
    """Where no state directory can be made, the warning comes every time."""
    (tmp_path / "state").write_bytes(b"a file")

    due = [
        is_due(file_address(tmp_path / "app.db"), warned(), state=tmp_path / "state" / "ocblob", now=NOON_S)
        for _ in range(2)
    ]

    assert [True, True] == due


def test_the_state_is_private(tmp_path: Path) -> None:
    """Only its owner can read which databases there are."""
    is_due(file_address(tmp_path / "app.db"), warned(), state=tmp_path, now=NOON_S)

    assert 0 == (tmp_path / STATE_FILE).stat().st_mode & 0o077


def test_status_warns_by_the_configured_thresholds(cli: Cli, large: Path) -> None:
    """The config file's thresholds hold; with --check the exit code says so; what is inline is named."""
    done = cli.run("status", "--db", large, "--check", "--json")

    assert (4, True) == (done.code, done.json["too_large"])
    assert done.err.startswith("Warning: OpenCode database is 4.")
    assert " MB (over 1.0 MB): ocblob offload --vacuum would move 4.0 MB of attachments out\n" in done.err


@pytest.mark.parametrize("more", [[], ["--json"], ["-q"]], ids=["words", "json", "quiet"])
def test_every_pass_warns_after_its_work(cli: Cli, large: Path, more: list[str]) -> None:
    """An offload warns of what is left to do, a vacuum brings the size below, a restore above: each says so, or not."""
    passes = (["offload", "--dry-run"], ["offload"], ["vacuum"], ["restore"], ["vacuum", "--dry-run"])
    done = [cli.run(*words, "--db", large, *more) for words in passes]

    would, offloaded, vacuumed, restored, looked = (one.err for one in done)
    assert [0] * 5 == [one.code for one in done]
    assert "Warning: OpenCode database is 4." in would
    assert "ocblob offload --vacuum would move 4.0 MB" in would
    assert "Warning: OpenCode database is 4." in offloaded
    assert "ocblob vacuum gives 4." in offloaded
    assert "Warning" not in vacuumed
    assert "Warning: OpenCode database is 4." in restored
    assert "Warning: OpenCode database is 4." in looked
    if "--json" in more:
        assert [True, True, False, True, True] == [one.json["too_large"] for one in done]
        assert [1, 1, 0, 1, 1] == [len(one.json["warnings"]) for one in done]


def test_a_pass_that_is_done_does_not_warn(cli: Cli, large: Path) -> None:
    """Vacuumed at once, the size after the pass counts, not that before."""
    done = cli.run("offload", "--db", large, "--vacuum")

    assert (0, False) == (done.code, "Warning" in done.err)


def test_sessions_go_when_nothing_else_is_left(cli: Cli, tmp_path: Path) -> None:
    """An offload that took everything names retention; one of a single session does not know."""
    small = make_opencode(tmp_path / "copy" / "app.db", sessions=60, parts=5, size=3_000)

    part, whole = (cli.run("offload", "--db", small, *more) for more in (["--session", "ses_0"], []))

    assert "tells what would help" in part.err
    assert "retain" not in part.err
    assert whole.err.endswith("ocblob retain --max-size 1MB evicts old sessions\n")


def test_a_database_of_no_known_host_is_told_as_one(cli: Cli, tmp_path: Path) -> None:
    """Without a host it is a database, and no sessions are named."""
    (tmp_path / "generic").mkdir()
    db = make_database(tmp_path / "generic" / "doc.db", [cell(payload(2_000_000))])

    done = cli.run("vacuum", "--db", db)

    assert 0 == done.code
    assert "Warning: database is 2.7 MB (over 1.0 MB): ocblob status tells what would help\n" in done.err


def test_the_hosts_own_database_asks_for_the_plugin(cli: Cli, tmp_path: Path) -> None:
    """OpenCode's own database without the plugin: installing it is what comes first."""
    make_opencode(tmp_path / "data" / "opencode" / "opencode.db", size=250_000)

    done = cli.run("status")

    assert "ocblob plugin install, then ocblob offload" in done.err


def test_a_configuration_that_cannot_be_meant_costs_no_report(cli: Cli, large: Path) -> None:
    """If the host's configuration is damaged, the default thresholds hold and the pass is done."""
    host = cli.root / "config" / "opencode" / "opencode.json"
    host.parent.mkdir(parents=True)
    host.write_text("{ damaged", encoding="utf-8")

    done = cli.run("offload", "--db", large, "--no-plugin", "--json")

    assert (0, 12) == (done.code, done.json["report"]["payloads"])


def test_the_default_thresholds_are_those_of_the_configuration() -> None:
    """One list, wherever it is asked for."""
    from ocblob.config import Settings

    assert DEFAULT_WARN_BYTES == Settings().warn_bytes


def test_a_database_that_is_no_text_in_utf8_is_vacuumed_all_the_same(cli: Cli, tmp_path: Path) -> None:
    """What only the warning cannot read does not stop a vacuum."""
    (tmp_path / "wide").mkdir()
    path = tmp_path / "wide" / "app.db"
    with opened(path) as db:
        db.execute("PRAGMA encoding='UTF-16le'; CREATE TABLE t AS SELECT randomblob(2000000) AS b").fetchall()

    done = cli.run("vacuum", "--db", path)

    assert 0 == done.code
    assert "Warning: database is 2.0 MB" in done.err
