"""One bucket at one server: the client, the names of objects, and what its answers mean for a key."""

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError

from ocblob.backends.s3_errors import FORBIDDEN, NOT_FOUND, REMOTE_ERRORS, may_be_missing, status_of, translate
from ocblob.backends.s3_options import S3Options
from ocblob.errors import BackendError, ObjectNotFoundError, StoreUnavailableError, UsageError

CONNECTIONS: Final = 32
SEEN_SECONDS: Final = 10.0
"""For so long a bare 404 is believed to be about the key, after the bucket was seen."""


class Bucket:
    """What requests are made of. `client` is boto3's own, for the life of the bucket, and thread-safe."""

    def __init__(self, options: S3Options) -> None:
        self.options = options
        self.client = _client(options)
        self._seen = -SEEN_SECONDS

    def place(self, key: str) -> str:
        """An object's name in messages."""
        return f"s3://{self.options.bucket}/{self.options.prefix}{key}"

    def at(self, key: str) -> dict[str, str]:
        """An object's name in requests."""
        return {"Bucket": self.options.bucket, "Key": self.options.prefix + key}

    def head(self, key: str) -> Mapping[str, Any] | None:
        """What the server tells of an object; None if the bucket is there and the object is not.

        Raises `BackendError`.
        """
        try:
            answer: Mapping[str, Any] = self.client.head_object(**self.at(key))
        except REMOTE_ERRORS as error:
            problem = self.translated(error, key)
            if isinstance(problem, ObjectNotFoundError):
                return None
            raise problem from error
        self._seen = time.monotonic()
        return answer

    def found(self, key: str) -> Mapping[str, Any]:
        """As `head`, but an object that is not there is an error."""
        answer = self.head(key)
        if answer is None:
            raise ObjectNotFoundError(f"{self.place(key)}: no such object")
        return answer

    def pages(self, prefix: str, **more: str) -> Iterator[Mapping[str, Any]]:
        """The listing of what is below a prefix, a page in memory at a time."""
        whole = self.options.prefix + prefix
        paginator = self.client.get_paginator("list_objects_v2")
        try:
            yield from paginator.paginate(Bucket=self.options.bucket, Prefix=whole, **more)
        except REMOTE_ERRORS as error:
            raise translate(error, self.place(prefix)) from error

    def translated(self, error: Exception, key: str) -> BackendError:
        """What to raise for one of `REMOTE_ERRORS`. A bare 404 says nothing of the key until the bucket was seen."""
        if not may_be_missing(error):
            return translate(error, self.place(key))
        if time.monotonic() - self._seen > SEEN_SECONDS:
            try:
                self.client.head_bucket(Bucket=self.options.bucket)
            except REMOTE_ERRORS as problem:
                if status_of(problem) == NOT_FOUND:
                    return StoreUnavailableError(f"s3://{self.options.bucket}: there is no such bucket")
                # It is there, and only its name is not ours to ask for.
                if status_of(problem) != FORBIDDEN:
                    return translate(problem, self.place(key))
            self._seen = time.monotonic()
        return ObjectNotFoundError(f"{self.place(key)}: no such object")


def _client(options: S3Options) -> Any:
    path_style = bool(options.endpoint_url) if options.path_style is None else options.path_style
    config = Config(
        connect_timeout=options.connect_timeout,
        read_timeout=options.timeout,
        max_pool_connections=CONNECTIONS,
        tcp_keepalive=True,
        retries={"mode": "standard", "total_max_attempts": options.retries},
        s3={"addressing_style": "path" if path_style else "virtual" if options.path_style is False else "auto"},
        # The other value breaks R2, MinIO and B2.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    endpoint = options.endpoint_url or None
    try:
        session = boto3.session.Session(profile_name=options.profile or None, region_name=options.region or None)
        region = session.region_name or ("us-east-1" if endpoint else None)
        return session.client("s3", region_name=region, endpoint_url=endpoint, config=config)
    except (BotoCoreError, ValueError) as error:
        problem = f"{options.url}: {type(error).__name__}"
        raise UsageError(problem, hint="see profile, region and endpoint_url, and the AWS configuration") from error
