"""Putting one object so that afterwards it is known whether it is there, and whose it is.

Every put carries a nonce in its metadata. One whose answer was lost, or that met itself when it was sent again, is
known by a HEAD: its nonce is on the object or it is not.
"""

import os
import time
from collections.abc import Mapping
from typing import Final

from ocblob.backends import s3_multipart as multipart
from ocblob.backends.s3_bucket import Bucket
from ocblob.backends.s3_errors import CONFLICT, REMOTE_ERRORS, is_ambiguous, is_refused, status_of
from ocblob.backends.s3_reader import version_of
from ocblob.backends.source import Source
from ocblob.errors import BackendError

NONCE: Final = "ocblob-put"
IF_ABSENT: Final[Mapping[str, str]] = {"IfNoneMatch": "*"}


def put(bucket: Bucket, key: str, source: Source) -> str:
    """Put, whatever was there; the version. Raises `REMOTE_ERRORS`."""
    version = _put(bucket, key, source, {})
    assert version is not None  # noqa: S101 - only a condition makes it None
    return version


def put_if_absent(bucket: Bucket, key: str, source: Source) -> str | None:
    """Put on the condition that there is no such object; None if there is. Raises `REMOTE_ERRORS`."""
    for pause in multipart.tries():
        try:
            return _put(bucket, key, source, IF_ABSENT)
        except REMOTE_ERRORS as error:
            # Refused, but nothing is there any more: it went away in between, as good as a conflict.
            conflict = status_of(error) == CONFLICT or is_refused(error)
            spent = _in_parts(source) and not source.rewinds
            if not conflict or spent or pause is None:
                raise
            time.sleep(pause)
    raise AssertionError


def _put(bucket: Bucket, key: str, source: Source, condition: Mapping[str, str]) -> str | None:
    nonce = os.urandom(16).hex()
    target, made = bucket.at(key), {**bucket.options.at_rest, "Metadata": {NONCE: nonce}}
    try:
        if not _in_parts(source):
            body = source.body()
            answer = bucket.client.put_object(**target, **made, **condition, Body=body, ContentLength=source.size)
            return version_of(answer)
        if condition and bucket.head(key):
            return None  # before all the parts are sent in vain
        parts = multipart.send_parts(bucket.client, target, source)
        return multipart.upload(bucket.client, target, parts, create=made, condition=condition)
    except REMOTE_ERRORS as error:
        if source.error:
            raise source.error from error
        if not is_refused(error) and not is_ambiguous(error):
            raise
        try:
            found = bucket.head(key)
        except BackendError:
            raise error from None
        if found and found.get("Metadata", {}).get(NONCE) == nonce:
            return version_of(found)
        if found and condition:
            return None
        raise


def _in_parts(source: Source) -> bool:
    return source.size > (multipart.MULTIPART_BYTES if source.rewinds else multipart.PART_BYTES)
