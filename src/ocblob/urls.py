"""URLs as they may be shown and kept: without a password, a key or a token."""

import re
from typing import Final
from urllib.parse import urlsplit

from ocblob.errors import UsageError

_TELLTALE: Final = "secret|token|passw|credential|signature|access_?key|account_?key|api_?key|sas"
_OF_DATABASE: Final = re.compile(
    r"^(\s*(?:postgres(?:ql)?|mysql|mariadb|mssql)[^:/]*://[^:@/?#]*):(?:[^?]*@|[^@]*@)", re.IGNORECASE
)
"""The driver takes all up to an @ for the password: slashes too, and a question mark if there is no @ before it."""
SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")
"""Two letters at least: `C:\\store` is a path."""


def refuse_secrets(url: str) -> None:
    """Raise `UsageError`, which does not repeat it, for a URL with a secret in it: it would be kept and shown."""
    if shown_url(url) != url:
        raise UsageError(
            f"{shown_url(url)}: a URL must not hold a password or a key",
            hint="put it where the driver looks for it: its environment or its configuration",
        )


def means_this_machine(url: str) -> bool:
    """Whether another machine would mean something else by it: a path, or a server on loopback or a socket."""
    if not SCHEME.match(url):
        return True
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return True
    return host in {"", "::1", "."} or host.startswith(("localhost", "127.", "(local"))


def is_secret(name: str) -> bool:
    """Whether an option of this name looks like a secret."""
    return re.search(_TELLTALE, name, re.IGNORECASE) is not None


def shown_url(url: str) -> str:
    """A URL for messages: without a password, and without the values of options that look like secrets."""
    if not SCHEME.match(url.lstrip()):
        return url
    url = _OF_DATABASE.sub(r"\1@", url)
    hidden = re.sub(r"(://[^/@:?#]*):[^@/]*@", r"\1@", url)
    return re.sub(rf"([?&][^=&#]*(?:{_TELLTALE})[^=&#]*)=[^&#]*", r"\1=...", hidden, flags=re.IGNORECASE)
