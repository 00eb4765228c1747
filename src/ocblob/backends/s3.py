"""Objects in a bucket of Amazon S3, or of a server that speaks its protocol.

A put is durable when the server acknowledges it. boto3 signs the SHA-256 of every body and the server checks it, so
no MD5 is sent as well. Where a server keeps no conditions, `put_new` is a HEAD and a put: two processes at once may
both be told that they put the object, and a versioned delete compares first. Above 64 MiB the same may happen on a
server that keeps the condition, but not in one step with completing an upload (SeaweedFS 4.48).
"""

import threading
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from typing import Any, BinaryIO, Final, cast

from ocblob.backends import s3_multipart as multipart
from ocblob.backends.base import ObjectStat
from ocblob.backends.s3_bucket import Bucket
from ocblob.backends.s3_errors import REMOTE_ERRORS, is_refused, is_unsupported, says_missing
from ocblob.backends.s3_options import S3Options
from ocblob.backends.s3_probe import PROBED, Capabilities, Probe
from ocblob.backends.s3_put import put, put_if_absent
from ocblob.backends.s3_reader import S3Reader, version_of
from ocblob.backends.source import Source
from ocblob.errors import StoreUnavailableError

MOVE_TRIES: Final = 4
LOCKS: Final = 64
"""Of keys that are put on a server without conditions, one for many keys."""
ARCHIVES: Final = frozenset({"GLACIER", "DEEP_ARCHIVE"})


class S3Backend:
    """Keys below a prefix. Credentials come by boto3's own rules only; a version is an ETag.

    `remembered` keeps what a probe of the server found, for the next process: text, by server and bucket.
    """

    def __init__(
        self,
        url: str,
        options: Mapping[str, str] | None = None,
        *,
        remembered: MutableMapping[str, str] | None = None,
    ) -> None:
        self._bucket = Bucket(S3Options.parse(url, options))
        self._probe = Probe(self._bucket, PROBED if remembered is None else remembered)
        self._races = [threading.Lock() for _ in range(LOCKS)]

    @property
    def url(self) -> str:
        """Bucket, prefix and server."""
        return self._bucket.options.url

    @property
    def capabilities(self) -> Capabilities | None:
        """What the server does with conditions; None before it mattered."""
        return self._probe.known

    @property
    def limits(self) -> tuple[str, ...]:
        """By what the probe has found."""
        known = self.capabilities
        found = []
        if known is not None and not known.put_if_absent:
            found.append(
                "ignores If-None-Match: two machines may put the same new object at once, with the same content"
            )
        if known is not None and not known.delete_if_match:
            found.append("ignores If-Match on deletes: versions are compared by a request before, with a short gap")
        return tuple(found)

    def probe(self) -> Capabilities:
        """The same, looked at now if it is not known: a few small requests."""
        try:
            return self._probe.capabilities()
        except REMOTE_ERRORS as error:
            raise self._bucket.translated(error, "probe") from error

    def close(self) -> None:
        """Let go of the connections."""
        self._bucket.client.close()

    def put(self, key: str, data: BinaryIO, *, size: int) -> str:
        """One request, or parts from 64 MiB on; a source that cannot be rewound is held in memory, one part of it."""
        source = Source(data, size, self._bucket.place(key))
        try:
            return put(self._bucket, key, source)
        except REMOTE_ERRORS as error:
            raise self._bucket.translated(error, key) from error

    def put_new(self, key: str, data: BinaryIO, *, size: int) -> str | None:
        """By `If-None-Match`, if the server keeps it."""
        source = Source(data, size, self._bucket.place(key))
        keeps = self.probe().put_if_absent
        try:
            if keeps:
                try:
                    return put_if_absent(self._bucket, key, source)
                except REMOTE_ERRORS as error:
                    if not is_unsupported(error):
                        raise
                    self._probe.refute_put_if_absent()
            with self._races[hash(key) % LOCKS]:
                return None if self._bucket.head(key) else put(self._bucket, key, source)
        except REMOTE_ERRORS as error:
            raise self._bucket.translated(error, key) from error

    def open(self, key: str) -> BinaryIO:
        """One streaming request, already under way."""
        at = self._bucket.at(key)
        try:
            answer = self._bucket.client.get_object(**at)
        except REMOTE_ERRORS as error:
            raise self._bucket.translated(error, key) from error
        return cast("BinaryIO", S3Reader(self._bucket.client, self._bucket.place(key), at, answer))

    def version(self, file: BinaryIO) -> str:
        """The ETag that came with the bytes."""
        return file.version if isinstance(file, S3Reader) else ""

    def stat(self, key: str) -> ObjectStat:
        """By a HEAD."""
        found = self._bucket.found(key)
        size, modified = int(found["ContentLength"]), found["LastModified"].timestamp()
        return ObjectStat(key, size, modified, version_of(found), _readable(found))

    def move(self, key: str, to: str, *, version: str = "") -> bool:
        """A copy on the server, and a delete of the version that was copied."""
        for _ in range(MOVE_TRIES):
            found = self._bucket.found(key)
            copied = version_of(found)
            if version not in {"", copied}:
                return False
            try:
                self._copy(key, to, found)
            except REMOTE_ERRORS as error:
                if is_refused(error):
                    continue  # replaced since the HEAD
                raise self._bucket.translated(error, key) from error
            # What was put under the old name meanwhile came after the move, and stays.
            self.delete(key, version=copied)
            return True
        raise StoreUnavailableError(f"{self._bucket.place(key)}: is replaced faster than it can be moved")

    def delete(self, key: str, *, version: str = "") -> bool:
        """With `If-Match`, if the server keeps it; else by comparing first."""
        condition = {}
        if version and self.probe().delete_if_match:
            condition = {"IfMatch": f'"{version}"'}
        elif version:
            found = self._bucket.head(key)
            if found is None or version_of(found) != version:
                return found is None
        try:
            self._bucket.client.delete_object(**self._bucket.at(key), **condition)
        except REMOTE_ERRORS as error:
            if is_refused(error) or says_missing(error):
                # An object that is not there matches nothing, either; an attempt of ours may have deleted it.
                return self._bucket.head(key) is None
            raise self._bucket.translated(error, key) from error
        return True

    def sync(self, keys: Iterable[str]) -> None:
        """What the server has acknowledged is durable."""

    def scan(self, prefix: str) -> Iterator[ObjectStat]:
        """By pages of 1000. Whether an archived object was restored, only `stat` can tell."""
        for page in self._bucket.pages(prefix):
            for found in page.get("Contents", ()):
                key = str(found["Key"]).removeprefix(self._bucket.options.prefix)
                # Consoles make "directories": empty objects whose names end in a slash.
                if not key.endswith("/"):
                    size, modified = int(found["Size"]), found["LastModified"].timestamp()
                    readable = found.get("StorageClass") not in ARCHIVES
                    yield ObjectStat(key, size, modified, version_of(found), readable)

    def children(self, prefix: str) -> list[str]:
        """The server groups what is right below."""
        whole = self._bucket.options.prefix + prefix
        names: set[str] = set()
        for page in self._bucket.pages(prefix, Delimiter="/"):
            names.update(str(found["Prefix"]).removeprefix(whole) for found in page.get("CommonPrefixes", ()))
            names.update(str(found["Key"]).removeprefix(whole) for found in page.get("Contents", ()))
        return sorted({name.rstrip("/") for name in names} - {""})

    def _copy(self, key: str, to: str, found: Mapping[str, Any]) -> None:
        client, target = self._bucket.client, self._bucket.at(to)
        made, size, version = self._bucket.options.at_rest, int(found["ContentLength"]), version_of(found)
        copied: dict[str, Any] = {"CopySource": self._bucket.at(key)}
        if version:
            copied["CopySourceIfMatch"] = f'"{version}"'
        if size <= multipart.COPY_BYTES:
            client.copy_object(**target, **copied, **made)
            return
        parts = multipart.copy_parts(client, target, size, copied)
        create = {**made, "Metadata": found.get("Metadata", {})}
        multipart.upload(client, target, parts, create=create, condition={})


def _readable(found: Mapping[str, Any]) -> bool:
    """Whether an object's storage class lets it be read at once."""
    if found.get("ArchiveStatus"):
        return False
    restored = 'ongoing-request="false"' in str(found.get("Restore", ""))
    return found.get("StorageClass") not in ARCHIVES or restored
