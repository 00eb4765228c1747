from dataclasses import fields
from pathlib import Path

import pytest

from ocblob.backends import connect
from ocblob.backends.s3 import S3Backend
from ocblob.backends.s3_options import ATTEMPTS, S3Options
from ocblob.errors import UsageError
from s3_places import without_aws

SECRET = "wJalrXUtnFEMI"


@pytest.mark.parametrize(
    ("url", "bucket", "prefix"),
    [
        ("s3://blobs", "blobs", ""),
        ("s3://blobs/", "blobs", ""),
        ("s3://blobs/team", "blobs", "team/"),
        ("s3://blobs/team/a/", "blobs", "team/a/"),
        ("s3://blobs//team//a", "blobs", "team/a/"),
        ("s3://blobs/my%20team%23", "blobs", "my team#/"),
        ("S3://my.blobs-1", "my.blobs-1", ""),
    ],
)
def test_a_url_names_bucket_and_prefix(url: str, bucket: str, prefix: str) -> None:
    """A prefix ends in one slash, has no empty names, and may be percent-encoded."""
    options = S3Options.parse(url)

    assert (bucket, prefix) == (options.bucket, options.prefix)


def test_a_url_and_its_options_say_how_to_talk() -> None:
    """Every option may stand in the URL or beside it."""
    given = {
        "endpoint_url": "https://s3.example.org/",
        "region": "eu-central-1",
        "path_style": "false",
        "profile": "team blobs",
        "sse": "aws:kms",
        "kms_key_id": "arn:aws:kms:eu-central-1:1:key/ab",
        "storage_class": "STANDARD_IA",
        "timeout": "2.5",
        "connect_timeout": "1",
        "retries": "7",
    }
    expected = S3Options(
        "blobs",
        "p/",
        "https://s3.example.org",
        "eu-central-1",
        path_style=False,
        profile="team blobs",
        sse="aws:kms",
        kms_key_id="arn:aws:kms:eu-central-1:1:key/ab",
        storage_class="STANDARD_IA",
        timeout=2.5,
        connect_timeout=1.0,
        retries=7,
    )

    assert {field.name for field in fields(S3Options)} == {"bucket", "prefix", *given}
    assert expected == S3Options.parse("s3://blobs/p", given)
    query = "&".join(f"{name}={value}" for name, value in given.items())
    assert expected == S3Options.parse(f"s3://blobs/p?{query}")


def test_the_url_wins() -> None:
    """What stands in the URL goes before what a config file says."""
    options = S3Options.parse("s3://blobs?region=eu-west-1", {"region": "us-east-1", "storage_class": "STANDARD_IA"})

    assert ("eu-west-1", "STANDARD_IA", ATTEMPTS) == (options.region, options.storage_class, options.retries)


def test_the_url_for_messages_has_the_server() -> None:
    """Messages name bucket, prefix and server, and nothing else."""
    url = "s3://blobs/p/?region=eu-west-1&profile=team&endpoint_url=http://127.0.0.1:9000"

    assert "s3://blobs/p?endpoint_url=http://127.0.0.1:9000" == S3Options.parse(url).url
    assert "s3://blobs" == S3Options.parse("s3://blobs/?profile=team").url


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("colour", "red"),
        ("endpoint_url", "ftp://host"),
        ("endpoint_url", "localhost:9000"),
        ("endpoint_url", "http://"),
        ("endpoint_url", "http://host:port"),
        ("endpoint_url", "http://[::1"),
        ("region", ""),
        ("region", "eu west"),
        ("path_style", "maybe"),
        ("profile", ""),
        ("sse", "DES"),
        ("kms_key_id", "alias/blobs"),
        ("storage_class", ""),
        ("timeout", "0"),
        ("timeout", "-1"),
        ("timeout", "nan"),
        ("timeout", "inf"),
        ("connect_timeout", "soon"),
        ("retries", "0"),
        ("retries", "many"),
    ],
)
def test_an_option_that_cannot_be_meant_is_named(name: str, value: str) -> None:
    """An unknown option or a bad value is a usage error that names it."""
    with pytest.raises(UsageError, match=name):
        S3Options.parse("s3://blobs", {name: value})


@pytest.mark.parametrize(
    "url",
    [
        "s3://",
        "s3:///prefix",
        "s3://b",
        "s3://my bucket",
        "s3://blobs/a/../b",
        "s3://blobs/p#x",
        "s3://blobs?region",
        "s3://blobs?region=a&region=b",
        "gs://blobs",
        "s3://[blobs",
    ],
)
def test_a_url_that_names_no_place_is_refused(url: str) -> None:
    """A URL without a usable bucket, prefix or query is a usage error."""
    with pytest.raises(UsageError):
        S3Options.parse(url)


@pytest.mark.parametrize(
    "url",
    [
        f"s3://AKIAEXAMPLE:{SECRET}@blobs/p",
        f"s3://AKIAEXAMPLE:{SECRET}/x@blobs/p",
        f"s3://AKIAEXAMPLE:[{SECRET}@blobs/p",
        f"s3://{SECRET}@blobs/p",
        f"s3://blobs/p?aws_secret_access_key={SECRET}",
        f"s3://blobs/p?secret={SECRET}",
        f"s3://blobs/p?session_token={SECRET}",
        f"s3://blobs/p?access_key_id={SECRET}",
        f"s3://blobs/p?password={SECRET}",
        f"s3://blobs/p?{SECRET}{SECRET}{SECRET}=1",
        f"s3://blobs/p?endpoint_url=http://user:{SECRET}@host",
        f"s3://blobs/p?endpoint_url=http://host/?token={SECRET}",
        f"s3://blobs/p?region={SECRET}{{}}",
        f"s3://blobs/p?{SECRET}",
    ],
)
def test_a_secret_is_refused_and_not_repeated(url: str) -> None:
    """A URL is no place for a secret: it is in process lists, messages and config files. Ours do not spread it."""
    with pytest.raises(UsageError) as caught:
        connect(url)

    assert SECRET not in f"{caught.value} {caught.value.hint}"


def test_a_secret_among_the_options_is_refused() -> None:
    """A config file is no place for a secret either."""
    with pytest.raises(UsageError, match="secret_access_key") as caught:
        S3Options.parse("s3://blobs", {"secret_access_key": SECRET})

    assert SECRET not in f"{caught.value} {caught.value.hint}"
    assert "profile" in caught.value.hint


@pytest.mark.parametrize("option", [{"profile": "nobody"}, {"region": "eu/west"}])
def test_what_the_aws_configuration_cannot_give_is_a_usage_error(
    option: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A profile or a region that does not exist is told before anything is sent."""
    without_aws(monkeypatch, tmp_path)

    with pytest.raises(UsageError, match="s3://blobs"):
        S3Backend("s3://blobs", option)
