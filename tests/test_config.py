import os
from pathlib import Path

import pytest

from ocblob import config
from ocblob.errors import UsageError
from ocblob.store.places import CACHE_BYTES


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """An environment whose config directory is the test's."""
    (tmp_path / "config" / "ocblob").mkdir(parents=True)
    return {"XDG_CONFIG_HOME": str(tmp_path / "config"), "XDG_STATE_HOME": str(tmp_path / "state")}


def write(home: dict[str, str], text: str) -> Path:
    """Write the config file."""
    path = Path(home["XDG_CONFIG_HOME"]) / "ocblob" / "config.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_defaults(home: dict[str, str]) -> None:
    """Without a word from anybody the store is in the user's data, the tier in the user's state."""
    place = config.store_place(None, environment=home)

    assert "default" == place.source
    assert place.url.endswith("store")
    assert (CACHE_BYTES, {}) == (place.tier.cache_bytes, place.options)
    assert Path(home["XDG_STATE_HOME"]) / "ocblob" / "stores" == place.tier.directory


def test_the_config_file_names_store_cache_and_options(home: dict[str, str]) -> None:
    """A store, the size of its cache, and a table of options for each scheme."""
    path = write(
        home,
        'store = "s3://bucket/prefix"\ncache_size = "5GB"\n'
        '[s3]\nendpoint_url = "http://127.0.0.1:8333"\npath_style = true\nmax_connections = 20\n'
        '[gs]\nproject = "p"\n',
    )

    place = config.store_place(None, environment=home)

    assert ("s3://bucket/prefix", f"{path}:1", 5 * 10**9) == (place.url, place.source, place.tier.cache_bytes)
    assert {
        "s3": {"endpoint_url": "http://127.0.0.1:8333", "path_style": "true", "max_connections": "20"},
        "gs": {"project": "p"},
    } == place.options


@pytest.mark.parametrize("cache", ["cache_size = 1000000", 'cache_size = "1MB"'])
def test_a_size_may_be_a_number(home: dict[str, str], cache: str) -> None:
    """Bytes as a number, or a size in words."""
    write(home, cache)

    assert 10**6 == config.store_place(None, environment=home).tier.cache_bytes


def test_an_option_wins_over_the_environment_and_that_over_the_file(home: dict[str, str]) -> None:
    """Each source of a setting wins over the next one."""
    write(home, 'store = "/file"\ncache_size = "1MB"\n[s3]\nregion = "file"\nendpoint_url = "http://file"\n')
    named = {**home, "OCBLOB_STORE": "/environment", "OCBLOB_CACHE_SIZE": "2MB", "OCBLOB_S3_REGION": "environment"}
    places = [
        config.store_place(None, environment=home),
        config.store_place(None, environment=named),
        config.store_place("/option", cache_size="3MB", environment=named),
    ]

    assert ["/file", "/environment", "/option"] == [place.url for place in places]
    assert [10**6, 2 * 10**6, 3 * 10**6] == [place.tier.cache_bytes for place in places]
    assert ["OCBLOB_STORE", "--store"] == [place.source for place in places[1:]]
    assert [
        {"region": "file", "endpoint_url": "http://file"},
        {"region": "environment", "endpoint_url": "http://file"},
        {"region": "environment", "endpoint_url": "http://file"},
    ] == [place.options["s3"] for place in places]


def test_the_environment_alone_gives_options(home: dict[str, str]) -> None:
    """No config file is needed for a backend's options."""
    place = config.store_place("s3://b", environment={**home, "OCBLOB_S3_ENDPOINT_URL": "http://h", "OCBLOB_DB": "x"})

    assert {"s3": {"endpoint_url": "http://h"}} == place.options


def test_another_config_file_may_be_named(home: dict[str, str], tmp_path: Path) -> None:
    """OCBLOB_CONFIG names a file in place of the usual one."""
    write(home, 'store = "/usual"')
    other = tmp_path / "other.toml"
    other.write_text('store = "/other"')

    place = config.store_place(None, environment={**home, "OCBLOB_CONFIG": str(other)})

    assert ("/other", f"{other}:1") == (place.url, place.source)


def test_a_named_config_file_must_be_there(home: dict[str, str], tmp_path: Path) -> None:
    """What was named and is not there is an error; the usual file may be absent."""
    with pytest.raises(UsageError, match=r"none\.toml"):
        config.store_place(None, environment={**home, "OCBLOB_CONFIG": str(tmp_path / "none.toml")})
    assert "default" == config.store_place(None, environment=home).source


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('stor = "/x"', "unknown key stor"),
        ("cache = 5", "unknown key cache"),
        ("store = [1]", "store must be a text or a number"),
        ('store = " "', "store must be a path or a URL, found ' '"),
        ("[s3]\nregion = [1]", r"s3\.region must be a text or a number"),
        ("[s3]\nregion = 1.5", r"s3\.region must be a text or a number"),
        ("store = ", "config.toml"),
        ('cache_size = "large"', "large"),
    ],
)
def test_what_cannot_be_meant_names_file_and_key(home: dict[str, str], text: str, words: str) -> None:
    """A mistake in the config file is told with the file and the key."""
    path = write(home, text)

    with pytest.raises(UsageError, match=words) as caught:
        config.store_place(None, environment=home)
    assert "large" in text or str(path) in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_a_pipe_is_no_config_file(home: dict[str, str], tmp_path: Path) -> None:
    """A shell's `<(...)` would give its keys to the first who reads it, and to the second neither limits nor `keep`."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UsageError, match=r"pipe is a pipe; a config file is read more than once"):
        config.store_place(None, environment={**home, "OCBLOB_CONFIG": str(tmp_path / "pipe")})


def test_a_relative_store_begins_at_the_file(home: dict[str, str]) -> None:
    """Wherever a command runs, the config file means the same store; a URL stays as it is."""
    found = []
    for text in ("blobs", "~/blobs", "/blobs", "file:///blobs"):
        path = write(home, f'store = "{text}"')
        found.append(config.store_place(None, environment=home).url)

    assert [str(path.parent / "blobs"), str(Path.home() / "blobs"), "/blobs", "file:///blobs"] == found


def test_a_file_that_is_no_text_is_told(home: dict[str, str]) -> None:
    """Bytes that are no UTF-8 are an error that names the file."""
    path = write(home, "")
    path.write_bytes(b'store = "\xff"')

    with pytest.raises(UsageError, match=r"config\.toml"):
        config.store_place(None, environment=home)


def test_a_byte_order_mark_may_stand_before_it(home: dict[str, str]) -> None:
    """Editors of Windows write one."""
    path = write(home, "")
    path.write_bytes(b'\xef\xbb\xbfstore = "/x"\r\n')

    assert ("/x", f"{path}:1") == ((place := config.store_place(None, environment=home)).url, place.source)


def test_a_link_to_nothing_is_no_absent_file(home: dict[str, str], tmp_path: Path) -> None:
    """What it says is not known: its drive may not be mounted."""
    path = write(home, "")
    path.unlink()
    path.symlink_to(tmp_path / "gone.toml")

    with pytest.raises(UsageError, match=r"config\.toml is a link to nothing"):
        config.store_place(None, environment=home)


@pytest.mark.parametrize("directory", ["ocblob", "opencode"])
def test_a_directory_that_is_a_link_to_nothing_is_not_absent_either(
    home: dict[str, str], tmp_path: Path, directory: str
) -> None:
    """Whole directories of configuration lie elsewhere: what they say to keep must not go while they cannot be read."""
    link = Path(home["XDG_CONFIG_HOME"]) / directory
    if link.is_dir():
        link.rmdir()
    link.symlink_to(tmp_path / "unmounted")

    with pytest.raises(UsageError, match=rf"{directory} is a link to nothing"):
        config.settings(home | {"OCBLOB_MAX_SESSIONS": "3"})


def test_a_loop_of_links_is_no_absent_file(home: dict[str, str]) -> None:
    """What cannot be looked at may well say something."""
    path = write(home, "")
    path.unlink()
    path.symlink_to(path)

    with pytest.raises(UsageError, match=r"config\.toml: Too many levels"):
        config.store_place(None, environment=home)


def test_a_directory_is_no_config_file(home: dict[str, str]) -> None:
    """What cannot be read is an error, not an absent file."""
    path = write(home, "")
    path.unlink()
    path.mkdir()

    with pytest.raises(UsageError, match=r"config\.toml: Is a directory"):
        config.store_place(None, environment=home)


@pytest.mark.parametrize("size", ["-1MB", "1XB", "", "x"])
def test_a_cache_size_that_is_none_is_refused(home: dict[str, str], size: str) -> None:
    """A size must be one, wherever it was said; an empty variable says nothing."""
    environment = {**home, "OCBLOB_CACHE_SIZE": size}
    if not size:
        assert CACHE_BYTES == config.store_place(None, environment=environment).tier.cache_bytes
        return
    with pytest.raises(UsageError):
        config.store_place(None, environment=environment)


def test_an_empty_store_is_refused(home: dict[str, str]) -> None:
    """An unset shell variable must not mean the user's own data."""
    with pytest.raises(UsageError, match="--store is empty"):
        config.store_place("", environment=home)
    assert "default" == config.store_place(None, environment={**home, "OCBLOB_STORE": ""}).source
