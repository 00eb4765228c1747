"""Places for bytes. A backend knows keys and bytes; what they mean is the store's business."""

import re
from pathlib import Path
from urllib.parse import urlsplit

from ocblob.errors import UsageError
from ocblob.filesystem import expanded

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""Two letters at least: `C:\\store` is a path."""


def local_path(url: str) -> Path | None:
    """The directory that a path or a `file://` URL names; None for any other URL."""
    if not url:
        raise UsageError("the store's path or URL is empty")
    if not _SCHEME.match(url):
        return expanded(url)
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise UsageError(f"{url}: {error}") from error
    if parts.scheme.lower() != "file":
        return None
    if parts.netloc not in {"", "localhost"}:
        raise UsageError(f"{url}: a file URL names no other host")
    from urllib.request import url2pathname  # noqa: PLC0415 - loads an HTTP client; 40 ms that only this form is worth

    return Path(url2pathname(parts.path))
