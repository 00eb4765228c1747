"""The password of a database on a server, where its URL has none: who else names the database, or its driver's places.

It goes into the URL that a driver gets, and into nothing that is shown or kept.
"""

import os
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import quote

from ocblob.config.file import ConfigFile, read_file
from ocblob.config.variables import DATABASE_VARIABLE, MIRROR_VARIABLE
from ocblob.databases.addresses import Address, is_server, server_address
from ocblob.errors import UsageError
from ocblob.urls import shown_url

_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_MYSQL_VARIABLE: Final = "MYSQL_PWD"
_MYSQL_FILE: Final = ".my.cnf"


def with_password(address: Address, environment: Mapping[str, str] = os.environ) -> Address:
    """The same address, with a password if one is known here. libpq looks for its own where none is.

    The environment wins over `config.toml`, that over the places of MySQL's clients.
    """
    if address.path is not None or address.has_password:
        return address
    for url in _known(environment):
        known = server_address(url)
        if known.name == address.name and known.has_password:
            return known
    return _of_mysql(address, environment) if address.name.startswith("mysql://") else address


def databases_of(file: ConfigFile) -> tuple[str, ...]:
    """The key `databases`: URLs with the passwords of databases that are named without. Raises `UsageError`."""
    written = file.values.get("databases", [])
    urls = [url for url in written if isinstance(url, str) and is_server(url)] if isinstance(written, list) else []
    if urls != written:
        # It is not shown: there may be a password in it.
        raise UsageError(f"{file.where('databases')}: databases must be a list of URLs of databases on servers")
    for url in urls:
        try:
            server_address(url)
        except UsageError as error:
            raise UsageError(f"{file.where('databases')}: {error}", hint=error.hint) from error
    return tuple(urls)


def exposed_passwords(environment: Mapping[str, str] = os.environ) -> list[str]:
    """A warning if a config file with a password in it can be read by others; what is wrong with it others tell."""
    try:
        file = read_file(environment)
        if not any(shown_url(url) != url for url in _urls_in(file)):
            return []
        mode = file.path.stat().st_mode
    except (UsageError, OSError):
        return []
    if os.name == "nt" or not mode & _OTHERS:
        return []
    return [f"{file.path} has passwords in it, and others can read it; chmod 600 keeps them out"]


def _known(environment: Mapping[str, str]) -> Iterator[str]:
    """URLs of databases that are named somewhere, with whatever password they have."""
    yield from (url for name in (DATABASE_VARIABLE, MIRROR_VARIABLE) if is_server(url := environment.get(name, "")))
    yield from _urls_in(read_file(environment))


def _urls_in(file: ConfigFile) -> Iterator[str]:
    yield from databases_of(file)
    mirror = file.values.get("mirror")
    if isinstance(mirror, str) and is_server(mirror):
        yield mirror


def _of_mysql(address: Address, environment: Mapping[str, str]) -> Address:
    """As MySQL's own clients find it; our driver looks nowhere."""
    password = environment.get(_MYSQL_VARIABLE) or _password_in(Path.home() / _MYSQL_FILE)
    if not password:
        return address
    scheme, _, rest = address.url.partition("://")
    user, at, place = rest.rpartition("@") if "@" in rest.partition("?")[0] else ("", "", rest)
    del at
    return Address(address.name, None, f"{scheme}://{user}:{quote(password, safe='')}@{place}")


def _password_in(path: Path) -> str:
    """The password of the section [client]; empty if there is none, or no such file."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return ""
    section, found = "", ""
    for line in map(str.strip, lines):
        if line.startswith("["):
            section = line.strip("[]").strip()
        name, equals, value = line.partition("=")
        if section == "client" and equals and name.strip() == "password":
            found = value.strip()
            quoted = len(found) > 1 and found[0] == found[-1] and found[0] in "\"'"
            found = found[1:-1] if quoted else found
    return found
