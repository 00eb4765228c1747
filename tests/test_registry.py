import json
import time
from pathlib import Path

import pytest

from ocblob.backends.local import LocalBackend
from ocblob.digest import digest_of
from ocblob.errors import StoreFormatError, StoreUnavailableError, UsageError
from ocblob.store.places import Machine
from ocblob.store.registry import Registry

DIGEST = digest_of(b"pinned")


@pytest.fixture
def registry(tmp_path: Path) -> Registry:
    """One of an empty place."""
    return Registry(LocalBackend(tmp_path))


def test_an_empty_registry_names_nothing(registry: Registry) -> None:
    """Before anything is registered there are neither databases nor pins."""
    assert [] == [*registry.databases(), *registry.pins()]


def test_remembers_databases(registry: Registry) -> None:
    """Each database that was registered is listed with its host and the time."""
    before = int(time.time())
    entries = [registry.register(f"/srv/{name}.db", host="opencode") for name in ("a", "b", "c")]

    found = sorted(registry.databases(), key=lambda entry: entry.url)

    assert entries == found
    assert ["/srv/a.db", "/srv/b.db", "/srv/c.db"] == [entry.url for entry in found]
    assert 3 == len({entry.id for entry in found})
    assert all(before <= entry.registered_at <= time.time() for entry in found)


def test_a_database_is_registered_once(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registering again keeps the entry and its time."""
    first = registry.register("/srv/a.db", host="opencode")
    monkeypatch.setattr(time, "time", lambda: 4e9)

    assert first == registry.register("/srv/a.db", host="opencode")
    assert [first] == list(registry.databases())


def test_named_cells_are_remembered(registry: Registry) -> None:
    """The cells that were ever named for a database add up, and are there for the next reader."""
    registry.register("/srv/a.db", host="generic", tables=["doc:body"])
    registry.register("/srv/a.db", host="generic", tables=["note:text"])
    registry.register("/srv/a.db", host="generic")

    (entry,) = registry.databases()

    assert ("doc:body", "note:text") == entry.tables


def test_files_beside_are_remembered(registry: Registry) -> None:
    """The files that may name blobs add up like cells do."""
    registry.register("/srv/a.db", host="opencode", files=["/state/b.jsonl"])
    registry.register("/srv/a.db", host="opencode", tables=["doc:body"], files=["/other/a.jsonl"])
    registry.register("/srv/a.db", host="opencode")

    (entry,) = registry.databases()

    assert (("doc:body",), ("/other/a.jsonl", "/state/b.jsonl")) == (entry.tables, entry.files)


@pytest.mark.parametrize("url", ["/srv/ünïcode ☃.db", "/srv/\udcff.db", "/srv/new\nline.db", "postgresql://u@h/db"])
def test_any_name_can_be_registered(registry: Registry, url: str) -> None:
    """A path of any bytes comes back as it was."""
    registry.register(url, host="generic")

    assert [url] == [entry.url for entry in registry.databases()]


def test_entries_are_plain_json(registry: Registry, tmp_path: Path) -> None:
    """An entry can be read by people, and by an ocblob that knows nothing of its newest fields."""
    entry = registry.register("/srv/a.db", host="opencode")
    path = tmp_path / "databases" / f"{entry.id}.json"

    assert "/srv/a.db" == json.loads(path.read_text())["url"]
    path.write_text(json.dumps({**json.loads(path.read_text()), "colour": "blue"}))
    assert [entry] == list(registry.databases())


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"id": "0"}'])
def test_a_damaged_entry_is_an_error(registry: Registry, tmp_path: Path, damage: bytes) -> None:
    """Who must know every database is told that one entry cannot be read; it is never passed over."""
    entry = registry.register("/srv/a.db", host="opencode")
    (tmp_path / "databases" / f"{entry.id}.json").write_bytes(damage)

    with pytest.raises(StoreFormatError):
        list(registry.databases())


def test_an_unreadable_registry_is_an_error(registry: Registry, tmp_path: Path) -> None:
    """If the entries cannot be listed that is an error, never an empty list."""
    (tmp_path / "databases").symlink_to(tmp_path / "databases")

    with pytest.raises(StoreUnavailableError):
        list(registry.databases())


def test_remembers_pins(registry: Registry) -> None:
    """A pin names its blob and why it is kept; pinning again keeps one pin."""
    registry.pin(DIGEST, why="put")
    registry.pin(DIGEST, why="by hand")

    assert [(DIGEST, "by hand")] == [(pin.digest, pin.why) for pin in registry.pins()]


@pytest.mark.parametrize("digest", ["", "abc", DIGEST.upper(), f"{DIGEST}\n", f"../{DIGEST[3:]}"])
def test_only_digests_are_pinned(registry: Registry, tmp_path: Path, digest: str) -> None:
    """What is no digest is refused before it becomes a path."""
    with pytest.raises(UsageError):
        registry.pin(digest, why="test")

    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("url", "is_here"),
    [
        ("/srv/a.db", False),
        ("postgresql://u@localhost/db", False),
        ("postgresql://u@127.0.0.1:5433/db", False),
        ("mysql://u@[::1]/db", False),
        ("postgresql:///db?host=/run/postgresql", False),
        ("mssql://u@localhost%5Cexpress/db", False),
        ("postgresql://u@db.example/db", True),
        ("mysql://u@10.0.0.7:3306/db", True),
    ],
)
def test_a_server_on_loopback_is_on_one_machine(tmp_path: Path, url: str, *, is_here: bool) -> None:
    """On another machine the same URL is another database: what it names says nothing of what this one names."""
    one, other = (Registry(LocalBackend(tmp_path), machine=Machine(name, name)) for name in ("one", "other"))
    entry = one.register(url, host="opencode")

    assert (True, is_here) == (one.is_here(entry), other.is_here(entry))
    assert is_here == (entry == other.register(url, host="opencode"))
