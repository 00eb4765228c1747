"""Where a database is: a SQLite file, or a server's URL.

A password is in the URL that a driver gets, and in nothing that is shown or kept.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from ocblob.errors import UsageError
from ocblob.urls import names_server, shown_url

_DRIVERS: Final = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mssql": "mssql+pyodbc",
}
"""What a URL without a driver means."""
_EXTRAS: Final = {"postgresql": "postgres", "mysql": "mysql", "mssql": "mssql"}
"""The optional dependency that brings a driver."""
_SQLITE: Final = "sqlite:///"


@dataclass(frozen=True, slots=True)
class Address:
    """Where one database is."""

    name: str
    """How messages and registries name it: the resolved path, or the URL without its password."""
    path: Path | None = None
    """The file; None for a server."""
    url: str = field(default="", repr=False)
    """What a server is connected with, password and all; empty for a file."""

    @property
    def has_password(self) -> bool:
        """Whether the URL has a secret in it."""
        return shown_url(self.url) != self.url

    @property
    def kind(self) -> str:
        """What speaks to a server, without the driver; empty for a file."""
        return self.url.partition("+")[0]

    @property
    def extra(self) -> str:
        """What has to be installed for it: `pip install 'ocblob[extra]'`."""
        return _EXTRAS.get(self.kind, "all")

    @property
    def stem(self) -> str:
        """What files about it may be called after."""
        if self.path is not None:
            return self.path.stem
        name = self.name.partition("?")[0].rpartition("/")[2]
        return "".join(char if char.isalnum() or char in "-_." else "_" for char in name) or "database"

    def __str__(self) -> str:
        return self.name


def is_server(url: str) -> bool:
    """Whether a URL names a database on a server, or is one by a slip: as a path it would be shown and kept whole."""
    return names_server(url) or ("://" in url and not url.startswith(_SQLITE))


def server_address(url: str) -> Address:
    """The address of a server's URL. Raises `UsageError` for a kind of database that is not known."""
    scheme, _, rest = url.partition("://")
    kind, _, driver = scheme.lower().partition("+")
    if kind not in _DRIVERS:
        raise UsageError(
            f"{shown_url(url)}: no such kind of database",
            hint="a path, or a URL that begins with postgresql://, mysql://, mariadb:// or mssql://",
        )
    before, _, options = rest.partition("?")
    if set("@/") & set(before.rpartition("@")[0]) or (":" in before and "@" in options and "@" not in before):
        # It would be read otherwise than it is hidden.
        raise UsageError(
            f"{shown_url(url)}: where the password ends cannot be told",
            hint="in a password write %40 for @, %2F for /, %3F for ?",
        )
    port = before.partition("/")[0].partition(":")[2]
    if port and not port.isdecimal() and not set("@[") & set(before):
        raise UsageError(
            f"{shown_url(url)}: its port is no number",
            hint=f"a user and a password stand before the host: {kind}://user:password@host/database",
        )
    kind = _DRIVERS[kind].partition("+")[0]
    full = f"{kind}+{driver}" if driver else _DRIVERS[kind]
    return Address(shown_url(f"{kind}://{rest}"), None, f"{full}://{rest}")


def file_address(path: Path) -> Address:
    """The address of a SQLite file."""
    return Address(str(path.resolve()), path)
