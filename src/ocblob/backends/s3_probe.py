"""Which conditions an S3 server keeps. Some refuse them, some ignore them: only trying tells."""

import contextlib
import os
import threading
from collections.abc import MutableMapping
from dataclasses import dataclass, replace
from typing import Final, Self

from ocblob.backends.s3_bucket import Bucket
from ocblob.backends.s3_errors import (
    CONFLICT,
    FORBIDDEN,
    NOT_IMPLEMENTED,
    REFUSED,
    REMOTE_ERRORS,
    code_of,
    is_refused,
    status_of,
)

NO_SUCH_ETAG: Final = f'"{"0" * 32}"'
_UNKNOWN_CONDITION: Final = frozenset({400, 405, NOT_IMPLEMENTED})

PROBED: Final[dict[str, str]] = {}
"""What this process has found out, for callers that do not remember it themselves."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What one server does with conditions."""

    put_if_absent: bool
    """`If-None-Match: *` keeps a put from replacing an object."""
    delete_if_match: bool
    """`If-Match` keeps a delete from hitting a later version."""

    def __str__(self) -> str:
        return " ".join(name for name in ("put_if_absent", "delete_if_match") if getattr(self, name)) or "none"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` gave."""
        words = text.split()
        return cls(put_if_absent="put_if_absent" in words, delete_if_match="delete_if_match" in words)


class Probe:
    """The capabilities of one bucket at one server, looked at when they are first asked for and then remembered."""

    def __init__(self, bucket: Bucket, remembered: MutableMapping[str, str]) -> None:
        self._bucket = bucket
        self._name = f"{bucket.options.endpoint_url or 'aws'}/{bucket.options.bucket}"
        self._remembered = remembered
        self._lock = threading.Lock()

    @property
    def known(self) -> Capabilities | None:
        """None before anybody has looked."""
        text = self._remembered.get(self._name)
        return None if text is None else Capabilities.parse(text)

    def capabilities(self) -> Capabilities:
        """At the first time four small requests. Raises `REMOTE_ERRORS` if the server does not let us look."""
        with self._lock:
            if known := self.known:
                return known
            found = self._look()
            self._remembered[self._name] = str(found)
            return found

    def refute_put_if_absent(self) -> None:
        """The server refused the condition after all."""
        with self._lock:
            known = self.known or Capabilities(put_if_absent=False, delete_if_match=False)
            self._remembered[self._name] = str(replace(known, put_if_absent=False))

    def _look(self) -> Capabilities:
        target = self._bucket.at(f"probe/{os.urandom(8).hex()}")
        self._bucket.client.put_object(**target, Body=b"probe")
        try:
            put_if_absent = self._put_is_refused(target)
            delete_if_match = self._delete_is_refused(target)
        finally:
            # Who may not delete leaves five bytes.
            with contextlib.suppress(*REMOTE_ERRORS):
                self._bucket.client.delete_object(**target)
        return Capabilities(put_if_absent=put_if_absent, delete_if_match=delete_if_match)

    def _put_is_refused(self, target: dict[str, str]) -> bool:
        try:
            self._bucket.client.put_object(**target, Body=b"again", IfNoneMatch="*")
        except REMOTE_ERRORS as error:
            if is_refused(error) or status_of(error) == CONFLICT:
                return True
            if status_of(error) not in _UNKNOWN_CONDITION and code_of(error) != "NotImplemented":
                raise
        return False

    def _delete_is_refused(self, target: dict[str, str]) -> bool:
        try:
            self._bucket.client.delete_object(**target, IfMatch=NO_SUCH_ETAG)
        except REMOTE_ERRORS as error:
            if status_of(error) not in {*_UNKNOWN_CONDITION, *REFUSED, FORBIDDEN}:
                raise
            return is_refused(error)
        return False
