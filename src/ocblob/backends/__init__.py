"""Places for bytes. A backend knows keys and bytes; what they mean is the store's business."""

from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import urlsplit

from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.errors import UsageError
from ocblob.filesystem import expanded
from ocblob.urls import SCHEME


def local_path(url: str) -> Path | None:
    """The directory that a path or a `file://` URL names; None for any other URL."""
    if not url:
        raise UsageError("the store's path or URL is empty")
    if not SCHEME.match(url):
        return expanded(url)
    if not url.lower().startswith("file://"):
        return None  # not looked at any further here: an error would repeat a password in it
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{url}: {error}") from error
    if parts.netloc not in {"", "localhost"}:
        raise UsageError(f"{url}: a file URL names no other host")
    from urllib.request import url2pathname  # noqa: PLC0415 - loads an HTTP client; 40 ms that only this form is worth

    return Path(url2pathname(parts.path))


def scheme_of(url: str) -> str:
    """The scheme of a URL; `file` for a path."""
    return "file" if local_path(url) is not None else url.partition("://")[0].lower()


def connect(
    url: str, options: Mapping[str, str] | None = None, *, remembered: MutableMapping[str, str] | None = None
) -> Backend:
    """The place that a path or a URL names. `options` are the backend's own; those in the URL win.

    `remembered` is text that a backend found out of its server and wants to be told the next time.
    """
    path = local_path(url)
    if path is not None:
        return LocalBackend(path.absolute())
    if scheme_of(url) == "local":
        raise UsageError(f"{url}: write a local directory as a path")
    return _SCHEMES.get(scheme_of(url), _fsspec)(url, options, remembered)


def _s3(url: str, options: Mapping[str, str] | None, remembered: MutableMapping[str, str] | None) -> Backend:
    from ocblob.backends.s3 import S3Backend  # noqa: PLC0415 - boto3 takes 0.3 s that only S3 is worth

    return S3Backend(url, options, remembered=remembered)


def _fsspec(url: str, options: Mapping[str, str] | None, _: MutableMapping[str, str] | None) -> Backend:
    from ocblob.backends.fsspec import FsspecBackend  # noqa: PLC0415 - only other URLs need it

    return FsspecBackend(url, options)


_Connect: TypeAlias = Callable[[str, Mapping[str, str] | None, MutableMapping[str, str] | None], Backend]
_SCHEMES: Final[dict[str, _Connect]] = {"s3": _s3}
"""Backends of our own, besides paths; fsspec knows the rest."""
