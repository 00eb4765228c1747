"""S3 backends for tests: on the fault server, with short timeouts, and one session of boto3 for all of them."""

import contextlib
import functools
import os
from collections.abc import Iterator, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path

import boto3.session
import pytest

from fault_server import SECRET_KEY, FaultServer
from ocblob.backends.s3 import S3Backend
from ocblob.backends.s3_probe import Capabilities
from strict_s3 import ACCESS_KEY, BUCKET

KEEPS_ALL = str(Capabilities(put_if_absent=True, delete_if_match=True))
STALLED_SECONDS = 0.25

session = functools.cache(boto3.session.Session)
"""Making one takes 0.2 s, and it keeps the credentials that it first found."""


@dataclass
class Place:
    """A fault server, and backends of it."""

    server: FaultServer
    closing: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)

    def connect(
        self,
        *,
        bucket: str = BUCKET,
        prefix: str = "p",
        remembered: MutableMapping[str, str] | None = None,
        **options: object,
    ) -> S3Backend:
        """A backend that sends each request once and knows that the server keeps conditions, unless told otherwise."""
        given = {
            "endpoint_url": self.server.endpoint,
            "timeout": str(STALLED_SECONDS),
            "retries": "1",
            **{name: str(value) for name, value in options.items()},
        }
        known = {f"{self.server.endpoint}/{bucket}": KEEPS_ALL} if remembered is None else remembered
        backend = S3Backend(f"s3://{bucket}/{prefix}", given, remembered=known)
        self.closing.callback(backend.close)
        return backend


def without_aws(monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    """Let nothing that this machine or its user says of AWS reach a test."""
    for name in [name for name in os.environ if name.startswith("AWS_") or name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_CONFIG_FILE", str(directory / "no-config"))
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(directory / "no-credentials"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


def use_credentials(monkeypatch: pytest.MonkeyPatch, access_key: str, secret_key: str) -> None:
    """Let boto3 find these."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", access_key)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret_key)


def make_place(monkeypatch: pytest.MonkeyPatch, directory: Path) -> Iterator[Place]:
    """A server of the test's own; boto3 does not wait before it tries again."""
    without_aws(monkeypatch, directory)
    use_credentials(monkeypatch, ACCESS_KEY, SECRET_KEY)
    monkeypatch.setattr("boto3.session.Session", session)
    monkeypatch.setattr("botocore.retries.standard.ExponentialBackoff.delay_amount", lambda *_: 0)
    monkeypatch.setattr("ocblob.backends.s3_multipart.CONFLICT_SECONDS", 0.001)
    with FaultServer() as server:
        place = Place(server)
        with place.closing:
            yield place
