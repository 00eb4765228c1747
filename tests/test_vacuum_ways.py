import contextlib
import threading
from pathlib import Path

import pytest

from command_line import Cli, cli_in
from ocblob.databases.addresses import file_address
from ocblob.databases.sqlite.vacuum import apply_vacuum, in_place, mend, plan_vacuum, planning, running
from ocblob.databases.vacuum import FileSizes, Method, VacuumReport
from ocblob.errors import DatabaseUnsupportedError
from ocblob.space import vacuum_after, vacuum_pass
from processes import Neighbour, NeighbourError
from samples import bodies, dump, integrity, make_database, make_opencode, opened, payload, query, tree

ROWS, KEPT = 200, 50
LEFTOVERS = ("app.db.ocblob-vacuum-0badcafe", "app.db.ocblob-vacuum-0badcafe-wal")
MB = 10**6


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database in WAL mode of which three quarters are free, alone in its directory."""
    (tmp_path / "data").mkdir()
    return make(tmp_path / "data" / "app.db")


@pytest.fixture
def cut_short(path: Path) -> Path:
    """The same, as a swap leaves it that was killed while it wrote the new file."""
    return cut(path)


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with an environment of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which VACUUM in place of such a database would take minutes."""
    monkeypatch.setattr(planning, "IN_PLACE_BYTES_PER_S", 1000)


def make(path: Path, *settings: str) -> Path:
    """Make such a database."""
    with opened(path) as db:
        for setting in settings:
            db.execute(f"PRAGMA {setting}").fetchall()
        db.execute("PRAGMA user_version=1").fetchall()
    make_database(path, [payload(10_000, number).hex() for number in range(ROWS)])
    with opened(path) as db:
        db.execute(f"DELETE FROM doc WHERE id>{KEPT}").fetchall()
    return path


def cut(path: Path) -> Path:
    """Out of WAL mode, with half of a new file beside it."""
    with opened(path) as db:
        db.execute("PRAGMA journal_mode=delete").fetchall()
    for name in LEFTOVERS:
        path.with_name(name).write_bytes(b"half")
    return path


def shrink(path: Path, method: Method = "auto") -> VacuumReport:
    """Vacuum."""
    return apply_vacuum(plan_vacuum(path, method=method))


def names(path: Path) -> list[str]:
    """Everything beside the database, and itself."""
    return sorted(entry.name for entry in path.parent.iterdir())


def mode(path: Path) -> object:
    """The journal mode that the file says."""
    return query(path, "PRAGMA journal_mode")[0][0]


# A swap that was cut short


@pytest.mark.parametrize("method", ["auto", "swap", "in-place"])
def test_the_next_vacuum_ends_what_was_cut_short(cut_short: Path, method: Method) -> None:
    """WAL mode comes back, half a file goes, and the vacuum is done as if nothing had been."""
    before = dump(cut_short)

    report = shrink(cut_short, method)

    assert ("in-place" if method == "in-place" else "swap", True) == (report.method, report.complete)
    assert report.freed > 0
    assert ("wal", before, ["app.db"]) == (mode(cut_short), dump(cut_short), names(cut_short))


def test_a_plan_leaves_what_was_cut_short_alone(cli: Cli, cut_short: Path) -> None:
    """Nothing is put in order by a dry run."""
    before = tree(cut_short.parent)

    done = cli.run("vacuum", "--db", cut_short, "--dry-run", "--json")

    assert (0, "swap", before) == (done.code, done.json["method"], tree(cut_short.parent))


def test_the_next_pass_ends_what_was_cut_short(cli: Cli, tmp_path: Path) -> None:
    """An offload finds the database in order: WAL mode again, and no half file."""
    path = cut(make_opencode(tmp_path / "copy" / "app.db"))

    done = cli.run("offload", "--db", path)

    assert (0, "wal", ["app.db"]) == (done.code, mode(path), names(path))


def test_leftovers_go_beside_a_host(path: Path) -> None:
    """A host that has the database open in WAL mode keeps no half file on the disk, and notices nothing."""
    with Neighbour(path) as neighbour:
        neighbour.execute("SELECT count(*) FROM doc")
        for name in LEFTOVERS:
            path.with_name(name).write_bytes(b"half")

        mended = mend(path)

        left = names(path)
        neighbour.execute("UPDATE doc SET body='theirs' WHERE id=1")
    assert (True, ["app.db", "app.db-shm", "app.db-wal"]) == (mended, left)
    assert "theirs" == bodies(path)[0]


@pytest.mark.parametrize("begin", ["BEGIN IMMEDIATE", "BEGIN EXCLUSIVE"])
def test_nothing_is_mended_under_somebody_at_work(cut_short: Path, begin: str) -> None:
    """While another process has a transaction open nobody knows what it is at: all stays as it is."""
    with Neighbour(cut_short) as neighbour:
        neighbour.execute(begin)

        mended = mend(cut_short)

        left = names(cut_short)
        neighbour.execute("ROLLBACK")
    assert (False, "delete") == (mended, mode(cut_short))
    assert set(LEFTOVERS) < set(left)


def test_there_is_nothing_to_mend(path: Path, tmp_path: Path) -> None:
    """Without leftovers nothing is touched, whatever the mode; nor is a file that is not there an error."""
    before = tree(path.parent)

    assert [False, False] == [mend(path), mend(tmp_path / "none" / "none.db")]
    assert before == tree(path.parent)


def test_a_database_that_never_was_in_wal_mode_stays_out_of_it(path: Path) -> None:
    """Without a half file a database out of WAL mode is one that wants to be."""
    with opened(path) as db:
        db.execute("PRAGMA journal_mode=delete").fetchall()

    shrink(path)

    assert "delete" == mode(path)


# Gently


@pytest.mark.usefixtures("slow")
def test_gently_a_long_vacuum_is_left_to_a_quiet_moment(path: Path) -> None:
    """Beside a host that would wait, only the WAL is moved into the file: the report says so and is not complete."""
    with Neighbour(path) as neighbour:
        neighbour.execute("UPDATE doc SET body='theirs' WHERE id=1")
        report = shrink(path, "gentle")
        neighbour.execute("UPDATE doc SET body='again' WHERE id=2")

    assert ("checkpoint", True, False) == (report.method, report.put_off, report.complete)
    assert "quiet moment" in report.note
    assert (0, report.before.free_pages) == (report.after.wal, report.after.free_pages)
    assert ["theirs", "again"] == bodies(path)[:2]


@pytest.mark.usefixtures("slow")
def test_gently_alone_it_swaps(path: Path) -> None:
    """When nobody has the database open there is nobody to be gentle with."""
    report = shrink(path, "gentle")

    assert ("swap", False, True) == (report.method, report.put_off, report.complete)


def test_gently_a_short_vacuum_is_done_beside_a_host(path: Path) -> None:
    """What takes a moment is done in place."""
    with Neighbour(path) as neighbour:
        neighbour.execute("SELECT count(*) FROM doc")
        report = shrink(path, "gentle")

    assert ("in-place", True) == (report.method, report.complete)


@pytest.mark.parametrize("method", ["gentle", "auto"])
def test_a_vacuum_that_takes_longer_than_thought_is_given_up(
    path: Path, method: Method, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a busy machine a host does not wait for a VACUUM that was to be short: nothing changes, and that is told."""
    monkeypatch.setattr(planning, "GENTLE_S", 1e-6 if method == "gentle" else 1.0)
    monkeypatch.setattr(planning, "IN_PLACE_BYTES_PER_S", 1e15)
    monkeypatch.setattr("ocblob.space.HOST_PATIENCE_S", 1e-6)
    before = dump(path)
    with Neighbour(path) as neighbour:
        neighbour.execute("SELECT count(*) FROM doc")
        report = vacuum_pass(file_address(path), method=method, force=False, dry_run=False, say=lambda _: None)
        found = (dump(path), integrity(path), names(path))
        forced = vacuum_pass(file_address(path), method="auto", force=True, dry_run=False, say=lambda _: None)

    assert ("in-place", True, in_place.GIVEN_UP) == (report.method, report.put_off, report.note)
    assert report.before.free_pages == report.after.free_pages
    assert (before, "ok", ["app.db", "app.db-shm", "app.db-wal"]) == found
    assert (True, before) == (forced.complete, dump(path))


@pytest.mark.usefixtures("slow")
def test_gently_an_idle_host_may_be_there_that_cannot_be_seen(path: Path) -> None:
    """Out of WAL mode an idle host holds no lock: a long vacuum is left there too."""
    with opened(path) as db:
        db.execute("PRAGMA journal_mode=delete").fetchall()

    report = shrink(path, "gentle")

    assert ("checkpoint", True, 0) == (report.method, report.put_off, report.freed)


@pytest.mark.usefixtures("slow")
def test_a_dry_run_says_what_would_be_left(path: Path) -> None:
    """What a plan puts off is in its report."""
    with Neighbour(path) as neighbour:
        neighbour.execute("SELECT count(*) FROM doc")
        report = vacuum_pass(file_address(path), method="gentle", force=False, dry_run=True, say=lambda _: None)

    assert ("checkpoint", True) == (report.method, report.put_off)
    assert "quiet moment" in report.note


# After a pass


def of_size(file: int, free: int, *, live: int | None = None, wal: int = 0) -> FileSizes:
    """A database of so many bytes."""
    pages = (file if live is None else live + free) // 1000
    return FileSizes(file, wal, 1000, pages, free // 1000, "wal")


@pytest.mark.parametrize(
    ("found", "worth"),
    [
        (of_size(200 * MB, 60 * MB), False),
        (of_size(200 * MB, 65 * MB), True),
        (of_size(1000 * MB, 240 * MB), False),
        (of_size(1000 * MB, 260 * MB), True),
        (of_size(200 * MB, 0, live=20 * MB), True),
        (of_size(1 * MB, 150 * MB, live=50 * MB, wal=200 * MB), True),
        (of_size(0, 0), False),
    ],
    ids=["64 MB", "over 64 MB", "a quarter", "over a quarter", "not shrunk yet", "all in the WAL", "empty"],
)
def test_auto_is_for_much_and_for_a_large_share(found: FileSizes, *, worth: bool) -> None:
    """By itself a vacuum comes when over 64 MB and over a quarter of the file are free, wherever they lie."""
    assert worth == found.worth_vacuum


def test_after_a_pass_auto_looks_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A small database is left alone by auto and shrunk by always; never does nothing."""
    said: list[str] = []
    never, auto = (vacuum_after(file_address(path), when, say=said.append) for when in ("never", "auto"))
    monkeypatch.setattr("ocblob.databases.vacuum.WORTH_BYTES", MB)
    worth = vacuum_after(file_address(path), "auto", say=said.append)
    always = vacuum_after(file_address(path), "always", say=said.append)

    assert [(None, "")] * 2 == [(done.report, done.skipped) for done in (never, auto)]
    assert worth.report is not None
    assert ("swap", "") == (worth.report.method, worth.skipped)
    assert always.report is not None
    assert "none" == always.report.method


@pytest.mark.usefixtures("slow")
def test_after_a_pass_an_error_is_a_reason(path: Path) -> None:
    """A vacuum that cannot be had, or not yet, costs the pass nothing but says why."""
    with Neighbour(path) as neighbour:
        neighbour.execute("SELECT count(*) FROM doc")
        refused = vacuum_after(file_address(path), "always", say=lambda _: None)
        left = vacuum_after(file_address(path), "always", say=lambda _: None, method="gentle")
    path.rename(path.with_name("away.db"))
    gone = vacuum_after(file_address(path), "auto", say=lambda _: None)

    assert [None, None] == [refused.report, gone.report]
    assert "block it for about" in refused.skipped
    assert "no database at" in gone.skipped
    assert left.report is not None
    assert left.report.note == left.skipped != ""


@pytest.mark.parametrize(
    ("words", "method"),
    [
        (["--vacuum"], "swap"),
        (["--vacuum", "-q"], "swap"),
        (["--vacuum=always"], "swap"),
        (["--vacuum=auto"], None),
        (["--vacuum=never"], None),
        ([], None),
    ],
)
def test_vacuum_takes_a_word_or_none(cli: Cli, tmp_path: Path, words: list[str], method: str | None) -> None:
    """`--vacuum` alone means always, at the end of the line and before another option."""
    db = make_opencode(tmp_path / "copy" / "app.db")

    done = cli.run("offload", "--db", db, "--json", *words)

    assert 0 == done.code
    assert method == (done.json["vacuum"] and done.json["vacuum"]["method"])


def test_vacuum_takes_no_other_word(cli: Cli, path: Path) -> None:
    """What is none of its words is a usage error, before anything is done."""
    done = cli.run("offload", "--db", path, "--vacuum=sometimes")

    assert 2 == done.code
    assert "'sometimes' is not one of" in done.err


# Honestly


def test_a_reader_that_is_done_soon_is_waited_for(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that a reader holds up is tried again, so that the file is small after all."""
    tries: list[bool] = []
    real = in_place.checkpoint
    with Neighbour(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM doc")

        def checkpoint(*arguments: object) -> bool:
            if len(tries) == 3:
                reader.execute("COMMIT")
            tries.append(real(*arguments))  # type: ignore[arg-type]
            return tries[-1]

        monkeypatch.setattr(in_place, "checkpoint", checkpoint)
        report = shrink(path)

    assert [True, False, False, True, True] == tries
    assert (True, 0) == (report.complete, report.after.wal)
    assert report.freed > MB


def test_larger_than_before_is_never_called_done(path: Path) -> None:
    """If a host writes more than comes back, the report is not complete and says why."""
    with Neighbour(path) as neighbour:
        neighbour.execute("SELECT count(*) FROM doc")
        plan = plan_vacuum(path)
        neighbour.execute("INSERT INTO doc (body) VALUES (hex(randomblob(4000000)))")
        report = apply_vacuum(plan)

    assert (False, running.LARGER) == (report.complete, report.note)
    assert report.freed < 0


def test_what_was_taken_is_said_in_words(cli: Cli, path: Path) -> None:
    """A vacuum that a reader holds up takes room: it says so, and never that it has saved a negative size."""
    with Neighbour(path) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM doc")
        done = cli.run("vacuum", "--db", path)

    assert 3 == done.code
    assert b"took    1.0 MB more than before, gave nothing back" in done.out
    assert b"-" not in done.out.split(b"after")[1].replace(b"in-place", b"")
    assert "reading" in done.err


def test_the_report_tells_before_and_after(cli: Cli, path: Path) -> None:
    """File, WAL, live bytes and time, in words and as JSON."""
    words = cli.run("vacuum", "--db", path, "--dry-run").out.decode()
    done = cli.run("vacuum", "--db", path, "--json").json
    again = cli.run("vacuum", "--db", path).out.decode()

    live = {"page_size", "pages", "free_pages", "file", "wal", "total", "free", "live"}
    assert live <= done["before"].keys() & done["after"].keys()
    assert done["before"]["total"] - done["after"]["total"] == done["freed"] > 0
    assert done["after"]["file"] <= done["before"]["live"] * 1.1
    assert done["elapsed_s"] > 0
    assert done["before"]["live"] < done["room_needed"] < 2 * done["before"]["live"]
    assert "needs   1.3 MB of room for a while" in words
    assert "before  file 4.1 MB, WAL 0 B, live 1.0 MB, free inside 3.1 MB" in words
    assert "after   file 1.0 MB, WAL 0 B, live 1.0 MB, free inside 0 B" in again
    assert "freed   0 B in 0.0" in again


def test_a_large_wal_goes_without_a_vacuum(path: Path) -> None:
    """Where nothing is free inside but the WAL is large, a checkpoint is enough, beside a host too."""
    shrink(path)
    with Neighbour(path) as neighbour:
        neighbour.execute("PRAGMA wal_autocheckpoint=0")
        neighbour.execute("UPDATE doc SET body=upper(body)")
        report = shrink(path)
        neighbour.execute("UPDATE doc SET body='theirs' WHERE id=1")

    assert ("checkpoint", True) == (report.method, report.complete)
    assert (0, report.before.wal) == (report.after.wal, report.freed)
    assert report.freed > MB


# Other databases


@pytest.mark.parametrize("method", ["auto", "swap", "in-place"])
@pytest.mark.parametrize(
    "settings",
    [["page_size=512"], ["page_size=65536"], ["auto_vacuum=1"], ["auto_vacuum=2"], ["page_size=1024", "auto_vacuum=2"]],
    ids=",".join,
)
def test_other_pages_and_modes_stay(tmp_path: Path, settings: list[str], method: Method) -> None:
    """Whatever the size of pages and the mode of giving them back, the file is small and both stay."""
    (tmp_path / "data").mkdir()
    path = make(tmp_path / "data" / "app.db", *settings)
    before, size = dump(path), path.stat().st_size

    report = shrink(path, method)

    assert report.complete
    assert path.stat().st_size <= min(size, report.before.live * 1.1 + 65536)
    assert (before, "ok", 0, "wal") == (dump(path), integrity(path), report.after.free_pages, mode(path))
    for setting in settings:
        name, _, value = setting.partition("=")
        assert [(int(value),)] == query(path, f"PRAGMA {name}")


def test_an_empty_database_is_left_empty(tmp_path: Path) -> None:
    """A file of no bytes has nothing to give back."""
    path = tmp_path / "app.db"
    path.touch()

    report = shrink(path)

    assert ("none", 0, True) == (report.method, report.freed, report.complete)
    with pytest.raises(DatabaseUnsupportedError, match="WAL"):
        plan_vacuum(path, method="swap")


def test_a_host_may_start_while_the_plan_is_carried_out(path: Path) -> None:
    """Hosts that come and go while databases are swapped find all rows, or an error in the moment of a rename."""
    found: list[int] = []
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            with Neighbour(path) as neighbour, contextlib.suppress(NeighbourError):
                found.append(neighbour.execute("SELECT count(*) FROM doc")[0][0])

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for _ in range(10):
            vacuum_after(file_address(path), "always", say=lambda _: None, method="gentle")
    finally:
        stop.set()
        thread.join()

    assert {KEPT} == set(found)
