import json
import time
from pathlib import Path

import pytest

from command_line import Cli, cli_in
from ocblob import BlobStore
from ocblob.backends.local import LocalBackend
from ocblob.digest import digest_of
from ocblob.sync import sync
from samples import flip, make_opencode, object_path, objects, payload, tree
from stores import DAY_S, Clock, put_many, set_used

SIZE = 300_000
DATA = payload(20_000, "data")
DIGEST = digest_of(DATA)
ABSENT = digest_of(b"absent")


@pytest.fixture
def cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsysbinary: pytest.CaptureFixture[bytes]) -> Cli:
    """The command line with an environment of its own."""
    return cli_in(tmp_path, monkeypatch, capsysbinary)


@pytest.fixture
def db(cli: Cli, tmp_path: Path) -> Path:
    """A database that is offloaded, four blobs of it."""
    path = make_opencode(tmp_path / "app.db", sessions=2, parts=2, size=30_000, now_ms=int(time.time() * 1000))
    assert 0 == cli.run("offload", "--db", path, "-q").code
    return path


@pytest.fixture
def orphan(cli: Cli, db: Path) -> str:
    """A small blob that nothing names."""
    assert db.is_file()
    with BlobStore.open(cli.store) as store:
        return store.put([payload(5000, "orphan")]).digest


@pytest.fixture
def full(cli: Cli) -> list[str]:
    """A store of ten blobs of 0.3 MB that a copy could hold; the first was used ten days ago."""
    with BlobStore.create(cli.store)[0] as store:
        digests = put_many(store, 10, size=SIZE)
        set_used(store, {digest: int(time.time()) - (10 - n) * DAY_S for n, digest in enumerate(digests)})
    return digests


def blobs_in(root: Path) -> dict[str, tuple[int, str]]:
    """The store's objects and records; the catalog may change when it is opened."""
    return {name: entry for name, entry in tree(root).items() if not name.startswith("catalog.sqlite")}


COMMANDS: list[list[str]] = [
    ["store", "info"],
    ["store", "validate"],
    ["store", "databases"],
    ["store", "forget-db", "x"],
    ["store", "pins"],
    ["store", "unpin", DIGEST],
    ["store", "add-copy", "elsewhere"],
    ["store", "sync"],
    ["evict", "--max-size", "1GB"],
    ["evict", "--max-size", "1GB", "--dry-run"],
    ["prune"],
    ["prune", "--dry-run"],
]


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_a_store_they_exit_10(cli: Cli, arguments: list[str]) -> None:
    """None of them makes a store; the error says what does."""
    done = cli.run(*arguments)

    assert (10, b"") == (done.code, done.out)
    assert "no blob store at" in done.err
    assert not cli.store.exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["store"],
        ["store", "frobnicate"],
        ["store", "unpin"],
        ["store", "forget-db"],
        ["store", "add-copy"],
        ["store", "forget-db", "x"],
        ["store", "unpin", "hello"],
        ["store", "sync"],
        ["evict"],
        ["evict", "--max-size", "0"],
        ["evict", "--max-size", "1kB"],
        ["evict", "--max-age", "1m"],
        ["evict", "--max-size", "large"],
        ["evict", "--max-size", "1GB", "--expire"],
        ["prune", "--grace", "1h"],
        ["prune", "--grace", "0d"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_exits_2(cli: Cli, db: Path, arguments: list[str]) -> None:
    """A usage error changes nothing."""
    assert db.is_file()
    before = blobs_in(cli.store)

    done = cli.run(*arguments)

    assert 2 == done.code
    assert before == blobs_in(cli.store)


def test_info_tells_what_a_store_holds(cli: Cli, db: Path) -> None:
    """Figures in words and as JSON; they agree with the files."""
    assert db.is_file()
    cli.run("store", "add-copy", cli.root / "copy")
    size = sum(path.stat().st_size for path in (cli.store / "objects").rglob("*") if path.is_file())
    text, found = cli.run("store", "info"), cli.run("store", "info", "--json").json

    assert 0 == text.code
    assert f"store       {cli.store}\n" in text.out.decode()
    assert "blobs     4, 120 kB" in text.out.decode()
    assert "registry  1 database(s), 0 pin(s)" in text.out.decode()
    assert f"copy      {cli.root / 'copy'}" in text.out.decode()
    assert (4, 120_000, size, size, False) == tuple(
        found[name] for name in ("blobs", "size", "stored_size", "held", "remote")
    )
    assert (1, 0, 0, 0, 0) == tuple(found[name] for name in ("databases", "pins", "trash", "quarantined", "expired"))
    assert [str(cli.root / "copy")] == found["copies"]


def test_info_changes_nothing(cli: Cli, db: Path) -> None:
    """Looking at a store is not using it."""
    assert db.is_file()
    before = blobs_in(cli.store)
    cli.run("store", "info")

    assert before == blobs_in(cli.store)


def test_validate_finds_a_local_store_sound(cli: Cli, db: Path) -> None:
    """Every operation is tried in the store and its copies, and nothing of it is left."""
    assert db.is_file()
    cli.run("store", "add-copy", cli.root / "copy")
    text, found = cli.run("store", "validate", "-v"), cli.run("store", "validate", "--json").json

    assert 0 == text.code
    assert 2 == text.out.decode().count(": sound")
    assert "ok    put only what is not there" in text.out.decode()
    assert [True, True] == [report["sound"] for report in found["places"]]
    assert [] == [path for path in (cli.store / "probe").glob("*") if path.is_file()]


def test_validate_tells_what_a_place_does_not_do(cli: Cli, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A place that replaces what it shall not is not sound: exit 3, in words and as JSON."""
    assert db.is_file()

    def put_new(backend: LocalBackend, key: str, data: object, *, size: int) -> str | None:
        return backend.put(key, data, size=size)  # type: ignore[arg-type]

    monkeypatch.setattr(LocalBackend, "put_new", put_new)
    text, found = cli.run("store", "validate"), cli.run("store", "validate", "--json")

    assert (3, 3) == (text.code, found.code)
    assert "NOT sound" in text.out.decode()
    assert "FAIL  put only what is not there" in text.out.decode()
    assert not found.json["places"][0]["sound"]


def test_databases_are_listed_and_forgotten(cli: Cli, db: Path) -> None:
    """Each registered database has an id and a day; it can be forgotten by its id or its path."""
    text, found = cli.run("store", "databases"), cli.run("store", "databases", "--json").json
    (entry,) = found["databases"]
    forgotten = cli.run("store", "forget-db", entry["id"])
    none = cli.run("store", "databases", "--json").json
    cli.run("offload", "--db", db)
    again = cli.run("store", "forget-db", str(db), "--json").json

    assert text.out.decode().startswith(f"{entry['id']}  20")
    assert text.out.decode().endswith(f"opencode  {db}\n")
    assert (0, "`ocblob prune` no longer reads it" in forgotten.err, []) == (forgotten.code, True, none["databases"])
    assert str(db) == again["forgotten"]["url"]


def test_pins_are_listed_and_taken_off(cli: Cli) -> None:
    """A put without a database pins its blob; an unpin takes the pin off, once."""
    cli.run("put", "-", "--mime", "text/plain", stdin=b"x" * 10_000)
    digest = digest_of(b"x" * 10_000)
    text, found = cli.run("store", "pins"), cli.run("store", "pins", "--json").json
    first, second = cli.run("store", "unpin", digest), cli.run("store", "unpin", digest, ABSENT, "--json")

    assert digest in text.out.decode()
    assert [digest] == [pin["digest"] for pin in found["pins"]]
    assert (0, f"unpinned {digest}\n") == (first.code, first.err)
    assert (3, {"unpinned": {digest: False, ABSENT: False}}) == (second.code, second.json)
    assert f"{ABSENT} was not pinned" in second.err
    assert [] == cli.run("store", "pins", "--json").json["pins"]


def test_a_copy_is_added_and_filled(cli: Cli, db: Path) -> None:
    """`add-copy` declares, `sync` fills, and a second `sync` finds everything there."""
    assert db.is_file()
    added = cli.run("store", "add-copy", cli.root / "copy")
    first, second = cli.run("store", "sync"), cli.run("store", "sync", "--json").json

    assert (0, 0) == (added.code, first.code)
    assert "`ocblob store sync` fills it" in added.err
    assert first.out.decode().startswith("sync  4 of 4 objects copied, ")
    assert (4, 4, 0, 0, True) == tuple(second[name] for name in ("objects", "present", "copied", "failed", "complete"))
    assert objects(cli.store) == objects(cli.root / "copy")


def test_a_copy_of_another_store_is_an_error(cli: Cli, db: Path) -> None:
    """It is refused with a hint."""
    assert db.is_file()
    BlobStore.create(cli.root / "other")[0].close()
    done = cli.run("store", "add-copy", cli.root / "other")

    assert (1, "hint: name an empty place\n" in done.err) == (done.code, True)


def test_a_sync_that_is_not_complete_exits_3(cli: Cli, db: Path) -> None:
    """What could not be copied is named; the others are copied."""
    assert db.is_file()
    bad = objects(cli.store)[0]
    flip(object_path(cli.store, bad), 500)
    cli.run("store", "add-copy", cli.root / "copy")

    done = cli.run("store", "sync")

    assert (3, True) == (done.code, bad in done.err)
    assert 3 == len(objects(cli.root / "copy"))


def test_prune_sets_aside_and_deletes_later(cli: Cli, orphan: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In words: what is marked, deleted, set aside, brought back and waiting."""
    clock = Clock(monkeypatch)
    first = cli.run("prune")
    clock.wait(days=15)
    dry = cli.run("prune", "--dry-run")
    second = cli.run("prune", "--json").json

    assert (0, 0) == (first.code, dry.code)
    assert "deleted for good 0 blobs" in first.out.decode()
    assert "set aside 1 blobs" in first.out.decode()
    assert "in 1 database(s)" in first.out.decode()
    assert "would be deleted for good 1 blobs" in dry.out.decode()
    assert (1, 0, 0) == tuple(second["report"][name] for name in ("deleted", "condemned", "revived"))
    assert orphan not in objects(cli.store)
    assert 0 == cli.run("check").code


def test_a_dry_prune_as_json_has_no_report(cli: Cli, orphan: str) -> None:
    """Nothing was done, so there is nothing to report but the plan."""
    found = cli.run("prune", "--dry-run", "--json").json

    assert (None, 1) == (found["report"], found["plan"]["condemned"])
    assert orphan in objects(cli.store)


def test_a_refused_prune_exits_1(cli: Cli, db: Path, orphan: str) -> None:
    """The refusal names the database and says what to do, in words and as JSON."""
    db.unlink()
    done = cli.run("prune", "--json")

    assert (1, "DeletionRefusedError") == (done.code, done.json["error"]["kind"])
    assert str(db) in done.err
    assert "forget-db" in done.err
    assert orphan in objects(cli.store)


def test_a_large_prune_asks_for_force(cli: Cli, db: Path) -> None:
    """More than a tenth: exit 1 without --force, done with it."""
    assert 0 == cli.run("restore", "--db", db).code
    cli.run("vacuum", "--db", db)
    refused, forced = cli.run("prune"), cli.run("prune", "--force", "--json")

    assert (1, 0) == (refused.code, forced.code)
    assert "more than a tenth of the store" in refused.err
    assert "say --force" in refused.err
    assert 4 == forced.json["report"]["condemned"]


def test_prune_may_be_quiet(cli: Cli, orphan: str) -> None:
    """With -q nothing is said when nothing is wrong."""
    assert orphan
    done = cli.run("prune", "-q")

    assert (0, b"", "") == (done.code, done.out, done.err)


def test_evict_tells_of_last_copies(cli: Cli, full: list[str]) -> None:
    """Without another place nothing goes: exit 3, with the bytes and blobs that stay and what can be done."""
    done = cli.run("evict", "--max-age", "7.5d")

    assert 3 == done.code
    assert (
        "900 kB in 3 blobs are last copies: no other place is proven to hold them, so they stay\n"
        "hint: ocblob store add-copy URL, then ocblob store sync; or --expire\n"
    ) == done.err
    assert b"evicted   0 local copies" in done.out
    assert sorted(full) == objects(cli.store)


def test_evict_drops_what_a_copy_holds(cli: Cli, full: list[str]) -> None:
    """With a copy the store is brought below its limit: exit 0, in words and as JSON."""
    cli.run("store", "add-copy", cli.root / "copy")
    cli.run("store", "sync")
    dry = cli.run("evict", "--max-age", "7.5d", "--dry-run")
    untouched = objects(cli.store)
    text = cli.run("evict", "--max-age", "7.5d")
    found = cli.run("evict", "--max-size", "1MB", "--json").json

    assert (0, 0) == (dry.code, text.code)
    assert (b"would evict", True) == (dry.out[:11], b"3 blobs too old" in dry.out)
    assert sorted(full) == untouched
    assert b"evicted   3 local copies, 900 kB" in text.out
    assert (5, True) == (found["report"]["evicted"], found["report"]["complete"])
    assert sorted(full[8:]) == objects(cli.store)
    assert 0 == cli.run("check").code


def test_evict_expires_only_when_told_twice(cli: Cli, full: list[str]) -> None:
    """--expire asks; without an answer it is a usage error, with --yes last copies go and reading them says so."""
    asked = cli.run("evict", "--max-age", "7.5d", "--expire")
    done = cli.run("evict", "--max-age", "7.5d", "--expire", "--yes")
    read = cli.run("cat", full[0])

    assert (2, "say --yes" in asked.err) == (asked.code, True)
    assert (0, True) == (done.code, b"expired   3 blobs, 900 kB" in done.out)
    assert sorted(full[3:]) == objects(cli.store)
    assert 1 == read.code
    assert "was dropped by evict --expire --max-age 7.5d on 20" in read.err
    assert 3 == cli.run("store", "info", "--json").json["expired"]


def test_a_dry_expiry_asks_nothing(cli: Cli, full: list[str]) -> None:
    """A dry run may be had without a question."""
    done = cli.run("evict", "--max-age", "7.5d", "--expire", "--dry-run", "--json")

    assert (0, 3) == (done.code, done.json["report"]["plan"]["old"])
    assert sorted(full) == objects(cli.store)


def test_a_damaged_copy_does_not_let_blobs_go(cli: Cli, full: list[str]) -> None:
    """What the copy cannot prove stays: exit 3."""
    cli.run("store", "add-copy", cli.root / "copy")
    cli.run("store", "sync")
    flip(object_path(cli.root / "copy", full[1]), 500)

    done = cli.run("evict", "--max-age", "7.5d", "--json")

    assert (3, 2, 1) == (done.code, done.json["report"]["evicted"], done.json["report"]["last_copies"])
    assert full[1] in objects(cli.store)


def test_check_repairs_from_a_copy(cli: Cli, full: list[str]) -> None:
    """A flipped bit is found by --read-data and put right by --repair: exit 0 afterwards."""
    with BlobStore.open(cli.store) as store:
        store.add_copy(str(cli.root / "copy"))
        sync(store)
    flip(object_path(cli.store, full[4]), 5000)

    repaired = cli.run("check", "--read-data", "--repair", "--json")
    again = cli.run("check", "--read-data", "--json")

    assert (0, 1, 0) == (repaired.code, repaired.json["repaired"], repaired.json["corrupt"])
    assert (0, 20) == (again.code, again.json["objects_read"])


@pytest.mark.parametrize("arguments", [["store", "info"], ["prune"], ["evict", "--max-size", "1GB"]], ids=" ".join)
def test_a_store_with_a_damaged_registry_is_an_error(cli: Cli, db: Path, arguments: list[str]) -> None:
    """What prune must read is not guessed: a registry entry that is none stops whoever needs it."""
    assert db.is_file()
    (entry,) = (cli.store / "databases").iterdir()
    entry.write_text(json.dumps({"id": 1}))

    done = cli.run(*arguments)

    assert (0 if arguments[0] == "evict" else 1) == done.code


def test_forget_db_takes_a_relative_path(cli: Cli, db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A database is found by its path as the user writes it."""
    with BlobStore.create(cli.store)[0] as store:
        store.registry.register(str(db.resolve()), host="opencode")
    monkeypatch.chdir(db.parent)

    assert 0 == cli.run("store", "forget-db", db.name, "--store", cli.store).code
    assert [] == cli.run("store", "databases", "--store", cli.store, "--json").json["databases"]


def test_the_mirror_is_not_forgotten(cli: Cli, db: Path) -> None:
    """Sessions may be nowhere else, and need their blobs: who gives it up takes it out of the configuration first."""
    url = "postgresql://me@db.example.org/sessions"
    with BlobStore.create(cli.store)[0] as store:
        store.registry.register(url, host="opencode")
    config = cli.root / "mirrored.toml"
    config.write_text('mirror = "postgres://me:s3cret@db.example.org/sessions"\n', encoding="utf-8")
    config.chmod(0o600)

    refused = cli.run("store", "forget-db", url, "--config", config)
    assert (2, True, False) == (refused.code, f"mirror that {config}:1 names" in refused.err, "s3cret" in refused.err)
    assert 0 == cli.run("store", "forget-db", str(db), "--config", config).code
    assert 0 == cli.run("store", "forget-db", "postgres://me:s3cret@db.example.org/sessions").code


def test_a_server_that_is_not_registered_is_named_without_its_password(cli: Cli, db: Path) -> None:
    """Whatever went wrong, nobody's terminal keeps it."""
    assert db.is_file()
    done = cli.run("store", "forget-db", "mysql://me:s3cret@h/d")

    assert (2, True, False) == (done.code, "mysql://me@h/d is not registered" in done.err, "s3cret" in done.err)


def test_a_rebuild_goes_alone(cli: Cli, full: list[str]) -> None:
    """A new catalog is not mixed with a check; alone it says what it did, and nothing of refs."""
    mixed = cli.run("check", "--store", cli.store, "--rebuild-catalog", "--repair")
    alone = cli.run("check", "--store", cli.store, "--rebuild-catalog")

    assert (2, 0) == (mixed.code, alone.code)
    assert f"catalog rebuilt: {len(full)} of {len(full)} objects".encode() in alone.out
    assert b"refs" not in alone.out


def test_a_dry_eviction_tells_what_would_stay(cli: Cli, full: list[str]) -> None:
    """Without a copy the exit code of a dry run is that of the real one; with one it says what would go."""
    alone = cli.run("evict", "--store", cli.store, "--max-size", "1MB", "--dry-run")
    cli.run("store", "add-copy", cli.root / "copy", "--store", cli.store)
    cli.run("store", "sync", "--store", cli.store)
    copied = cli.run("evict", "--store", cli.store, "--max-size", "1MB", "--dry-run", "--json")

    assert 3 == alone.code
    assert 0 == copied.code
    assert copied.json["report"]["evicted"] > 0
    with BlobStore.open(cli.store) as store:
        assert len(full) == sum(1 for _ in store.objects())


def test_a_size_that_is_none_names_where_it_stands(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The variable is named, not only the value."""
    monkeypatch.setenv("OCBLOB_CACHE_SIZE", "abc")

    done = cli.run("store", "info", "--store", cli.store)

    assert 2 == done.code
    assert "OCBLOB_CACHE_SIZE" in done.err
