"""What an S3 URL and its options say. A secret is refused here, and never repeated."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from ocblob.errors import UsageError

ATTEMPTS: Final = 4
"""Of one request, by boto3's `standard` rules: throttling, 5xx, and connections that fail or stall."""
TIMEOUT_SECONDS: Final = 60.0
CONNECT_TIMEOUT_SECONDS: Final = 10.0

_SECRET: Final = re.compile(r"secret|token|passw|credential|signature|access_?key|api_?key", re.IGNORECASE)
_BUCKET: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_WORD: Final = re.compile(r"[A-Za-z0-9_:/.@-]+")
_YES_NO: Final = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
_CREDENTIALS_HINT: Final = "credentials come from the environment, a profile or a role, as boto3 finds them"


@dataclass(frozen=True, slots=True)
class S3Options:
    """One place in S3: bucket, prefix, and how to talk to the server."""

    bucket: str
    prefix: str
    """Of every key; empty, or ends in a slash."""
    endpoint_url: str = ""
    """Another server than Amazon's."""
    region: str = ""
    path_style: bool | None = None
    """The bucket in the path instead of the host name: by default wherever there is an `endpoint_url`."""
    profile: str = ""
    """In the user's AWS configuration."""
    sse: str = ""
    """Encryption at rest: `AES256`, `aws:kms` or `aws:kms:dsse`."""
    kms_key_id: str = ""
    storage_class: str = ""
    timeout: float = TIMEOUT_SECONDS
    """How long a connection may be silent."""
    connect_timeout: float = CONNECT_TIMEOUT_SECONDS
    retries: int = ATTEMPTS
    """Attempts of one request, the first one included."""

    @classmethod
    def parse(cls, url: str, options: Mapping[str, str] | None = None) -> Self:
        """Take a URL's own options before the others'. Raises `UsageError`, which names the key and no secret."""
        parts = _split(url)
        bucket, prefix = _place(parts)
        try:
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        except ValueError:
            raise UsageError(f"s3://{bucket}: the options after ? do not read as key=value") from None
        repeated = {key for key, _ in pairs if [name for name, _ in pairs].count(key) > 1}
        if repeated:
            raise UsageError(f"s3://{bucket}: {_shown(min(repeated))} stands twice")
        given = {**(options or {}), **dict(pairs)}
        values = {key: _value(key, text) for key, text in given.items()}
        if values.get("kms_key_id") and not str(values.get("sse", "")).startswith("aws:kms"):
            raise UsageError("kms_key_id: only with sse=aws:kms")
        return cls(bucket, prefix, **values)

    @property
    def url(self) -> str:
        """The place, without what does not identify it."""
        query = f"?{urlencode({'endpoint_url': self.endpoint_url}, safe=':/')}" if self.endpoint_url else ""
        return f"s3://{self.bucket}/{self.prefix}".rstrip("/") + query

    @property
    def at_rest(self) -> dict[str, str]:
        """What each request that makes an object says about how it is kept."""
        named = {
            "ServerSideEncryption": self.sse,
            "SSEKMSKeyId": self.kms_key_id,
            "StorageClass": self.storage_class,
        }
        return {name: value for name, value in named.items() if value}


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:
        raise UsageError("the S3 URL does not read as s3://bucket/prefix") from None
    # A slash in a password ends the host part: what is left of it still has the colon.
    if "@" in parts.netloc or ":" in parts.netloc:
        raise UsageError("the S3 URL names a user or a password", hint=_CREDENTIALS_HINT)
    if parts.fragment:
        raise UsageError("the S3 URL has a #: write %23 in a prefix")
    return parts


def _place(parts: SplitResult) -> tuple[str, str]:
    if parts.scheme.lower() != "s3" or not _BUCKET.fullmatch(parts.netloc):
        raise UsageError("the S3 URL does not read as s3://bucket/prefix")
    names = [name for name in unquote(parts.path).split("/") if name]
    if {".", ".."} & set(names):
        raise UsageError(f"s3://{parts.netloc}: a prefix has no . or .. in it")
    return parts.netloc, "".join(f"{name}/" for name in names)


def _shown(key: str) -> str:
    """A key of the user's, unless it may be something pasted into the wrong place."""
    return key if re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]{0,30}", key) else "one of the keys"


def _value(key: str, text: str) -> Any:
    if key in _PARSERS:
        return _PARSERS[key](key, text)
    if _SECRET.search(key):
        raise UsageError(f"{_shown(key)}: a secret is no option of a store", hint=_CREDENTIALS_HINT)
    raise UsageError(f"{_shown(key)}: no option of an S3 store", hint=f"there are: {', '.join(sorted(_PARSERS))}")


def _word(key: str, text: str) -> str:
    if not _WORD.fullmatch(text):
        raise UsageError(f"{key}: empty, or has characters that do not belong there")
    return text


def _profile(key: str, text: str) -> str:
    if not text.strip():
        raise UsageError(f"{key}: empty")
    return text


def _encryption(key: str, text: str) -> str:
    if text not in {"AES256", "aws:kms", "aws:kms:dsse"}:
        raise UsageError(f"{key}: AES256, aws:kms or aws:kms:dsse")
    return text


def _yes_no(key: str, text: str) -> bool:
    try:
        return _YES_NO[text.lower()]
    except KeyError:
        raise UsageError(f"{key}: true or false") from None


def _seconds(key: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise UsageError(f"{key}: a number of seconds")
    return seconds


def _attempts(key: str, text: str) -> int:
    if not re.fullmatch(r"[1-9][0-9]?", text):
        raise UsageError(f"{key}: a number of attempts, from 1")
    return int(text)


def _endpoint(key: str, text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, known = urlsplit(""), False
    if "@" in text or parts.query or parts.fragment:
        raise UsageError(f"{key}: has a user, a password or a query", hint=_CREDENTIALS_HINT)
    if not known:
        raise UsageError(f"{key}: does not read as https://host or http://host:port")
    return text.rstrip("/")


_PARSERS: Final[dict[str, Callable[[str, str], Any]]] = {
    "endpoint_url": _endpoint,
    "region": _word,
    "path_style": _yes_no,
    "profile": _profile,
    "sse": _encryption,
    "kms_key_id": _word,
    "storage_class": _word,
    "timeout": _seconds,
    "connect_timeout": _seconds,
    "retries": _attempts,
}
