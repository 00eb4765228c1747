"""Opening the places of a store, and what one machine keeps for them."""

import contextlib
import io
import json
import os
import platform
from collections.abc import Iterator, Mapping, MutableMapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ocblob.backends import connect, scheme_of
from ocblob.backends.base import Backend
from ocblob.backends.local import LocalBackend
from ocblob.digest import digest_of
from ocblob.errors import ObjectNotFoundError, StoreUnavailableError
from ocblob.filesystem import make_private_directory, write_durable

CACHE_BYTES: Final = 10**9

Options = Mapping[str, Mapping[str, str]]
"""The options of backends, by the scheme of their URLs; never a secret."""


@dataclass(frozen=True, slots=True)
class LocalTier:
    """Where this host keeps what belongs to remote stores: catalogs, staging and hot blobs."""

    directory: Path
    """One directory below it for each store."""
    cache_bytes: int = CACHE_BYTES
    """Hot blobs of each store; 0 keeps none."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Who registers a database with a store that several machines share: a path means something on one of them."""

    id: str
    """16 hex digits: of something random that was written once, and the machine's name."""
    name: str
    """For messages."""


def place_of(url: str, options: Options | None, tier: LocalTier | None) -> Backend:
    """The backend of a path or a URL."""
    remembered = None if tier is None else Notes(tier.directory / "servers.json")
    return connect(url, (options or {}).get(scheme_of(url)), remembered=remembered)


def machine_of(tier: LocalTier) -> Machine:
    """This machine, as its tier's directory knows it. Raises `StoreUnavailableError` if nothing can be kept there."""
    path = tier.directory / "machine-id"
    try:
        if not path.exists():
            token = os.urandom(8).hex().encode()
            # It appears whole, and once: half a token would be another machine.
            LocalBackend(tier.directory).put_new(path.name, io.BytesIO(token), size=len(token))
        # Images of machines are copied, names and all that is in them; what is then called otherwise is another one.
        own = f"{path.read_text(encoding='ascii').strip()} {platform.node()}"
        return Machine(digest_of(own.encode("utf-8", "replace"))[:16], platform.node())
    except OSError as error:
        raise StoreUnavailableError(f"{path}: {error.strerror}") from error
    except ObjectNotFoundError as error:
        raise StoreUnavailableError(str(error)) from error


class Notes(MutableMapping[str, str]):
    """Small values in one file; what cannot be kept is found out again."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __getitem__(self, key: str) -> str:
        return self._read()[key]

    def __setitem__(self, key: str, value: str) -> None:
        self._write({**self._read(), key: value})

    def __delitem__(self, key: str) -> None:
        self._write({name: value for name, value in self._read().items() if name != key})

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())

    def _read(self) -> dict[str, str]:
        try:
            value = json.loads(self._path.read_bytes())
        except (OSError, ValueError):
            return {}
        return value if isinstance(value, dict) else {}

    def _write(self, value: dict[str, str]) -> None:
        with contextlib.suppress(OSError):
            make_private_directory(self._path.parent)
            write_durable(self._path, json.dumps(value).encode())
