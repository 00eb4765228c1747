"""URLs as they may be shown and kept: without a password, a key or a token."""

import re
from typing import Final
from urllib.parse import parse_qs, quote_plus, unquote_plus, urlsplit

from ocblob.errors import UsageError

_TELLTALE: Final = "secret|token|passw|pwd|credential|signature|access_?key|account_?key|api_?key|sas"
_SERVER: Final = r"\s*(?:postgres(?:ql)?|mysql|mariadb|mssql)(?:\+\w*)?:"
_OF_SERVER: Final = re.compile(_SERVER, re.IGNORECASE)
_PASSWORD: Final = re.compile(rf"^({_SERVER}/*[^:@/?#]*):(?:[^?]*@|[^@]*@)", re.IGNORECASE)
"""The driver takes all up to an @ for the password: slashes too, and a question mark if there is no @ before it."""
_NO_PORT: Final = re.compile(rf"^({_SERVER}/*[^:@/?#\[]+):(?!\d*(?:[/?#]|$))[^@/?#]*(?=[/?#]|$)", re.IGNORECASE)
"""Who forgets the host has a password where a port would be."""
_ODBC: Final = "odbc_connect"
_ODBC_PASSWORD: Final = re.compile(r"(?:^|;)\s*(?:pwd|password)\s*=\s*(?:\{(?:[^}]|\}\})*\}|[^;]*)", re.IGNORECASE)
_ON_MACHINE: Final = frozenset(
    {"unix_socket", "service", "servicefile", "read_default_file", "read_default_group", _ODBC, "dsn"}
)
"""Options that say by a file of this machine which server is meant."""
_HOSTS: Final = ("host", "hostaddr")
"""Options that name the server in place of the URL's own host."""
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
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return True
    options = parse_qs(parts.query, keep_blank_values=True)
    if any(name.lower() in _ON_MACHINE for name in options):
        return True
    if parts.scheme.startswith("mssql") and not parts.path.strip("/"):
        return True  # a name that the ODBC driver looks up here
    named = [each for name in _HOSTS for value in options.get(name, ()) for each in value.split(",")]
    return any(map(_is_here, named or [host]))


def _is_here(host: str) -> bool:
    return host in {"", "::1", ".", "0.0.0.0", "::"} or host.startswith(("localhost", "127.", "(local", "/", "@"))  # noqa: S104 - nothing is bound to it


def names_server(url: str) -> bool:
    """Whether a database on a server is meant by it, however the URL goes on: no file begins so."""
    return _OF_SERVER.match(url) is not None


def is_secret(name: str) -> bool:
    """Whether an option of this name looks like a secret."""
    return re.search(_TELLTALE, name, re.IGNORECASE) is not None


def shown_url(url: str) -> str:
    """A URL for messages: without a password, and without the values of options that look like secrets.

    Of a database on a server these options are left out: it is known by this URL, whoever has the password.
    """
    if names_server(url):
        return _without_options(_NO_PORT.sub(r"\1", _PASSWORD.sub(r"\1@", url)))
    if not SCHEME.match(url.lstrip()):
        return url
    hidden = re.sub(r"(://[^/@:?#]*):[^@/]*@", r"\1@", url)
    return re.sub(rf"([?&][^=&#]*(?:{_TELLTALE})[^=&#]*)=[^&#]*", r"\1=...", hidden, flags=re.IGNORECASE)


def _without_options(url: str) -> str:
    place, mark, query = url.partition("?")
    kept = [_without_password(option) for option in query.split("&") if not is_secret(_name(option))]
    return f"{place}{mark}{'&'.join(kept)}" if kept or not query else place


def _without_password(option: str) -> str:
    """An option as it is; but a whole ODBC connection string may have a password in it."""
    name, equals, value = option.partition("=")
    if _name(option).lower() != _ODBC or not _ODBC_PASSWORD.search(words := unquote_plus(value)):
        return option
    return f"{name}{equals}{quote_plus(_ODBC_PASSWORD.sub('', words).lstrip(';'))}"


def _name(option: str) -> str:
    return unquote_plus(option.partition("=")[0])
