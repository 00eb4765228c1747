"""What prune must read before it judges: the databases whose rows may name blobs, and pins.

A database is registered before its first row names a blob, durably.
"""

import time
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, replace

from ocblob.backends.base import Backend
from ocblob.digest import check_digest, digest_of
from ocblob.errors import ObjectNotFoundError, StoreFormatError
from ocblob.store.layout import DATABASES, PINS, get_json, put_json
from ocblob.store.places import Machine
from ocblob.urls import means_this_machine

_NO_MACHINE = Machine("", "")


@dataclass(frozen=True, slots=True)
class RegisteredDatabase:
    """One database that may hold refs into the store."""

    id: str
    url: str
    """The resolved path, or a URL without its password."""
    host: str
    """The name of its host profile."""
    registered_at: int
    """Seconds since the epoch."""
    tables: tuple[str, ...] = ()
    """The cells that were named, as `table:column`; empty if the host profile names them."""
    machine: str = ""
    """The id of the machine that the path, or a server on loopback, is on; empty if every machine that uses the store
    can reach it.
    """
    machine_name: str = ""
    files: tuple[str, ...] = ()
    """Text files beside the database whose lines may name blobs too: resolved paths, some may not be there."""


@dataclass(frozen=True, slots=True)
class Pin:
    """A blob that is kept although no registered database names it."""

    digest: str
    why: str
    pinned_at: int


class Registry:
    """Small JSON objects in the store itself, so that every host that uses it sees them."""

    def __init__(self, backend: Backend, *, machine: Machine | None = None) -> None:
        self._backend = backend
        self._machine = machine
        """This machine, for a store that several of them share."""

    def register(
        self, url: str, *, host: str, tables: Iterable[str] = (), files: Iterable[str] = ()
    ) -> RegisteredDatabase:
        """Enter a database; one that is known stays, and gains the cells and the files that are named now."""
        machine = self._machine if self._machine is not None and means_this_machine(url) else _NO_MACHINE
        database_id = digest_of(f"{machine.id}{url}".encode("utf-8", "surrogateescape"))[:16]
        key = f"{DATABASES}{database_id}.json"
        entry = RegisteredDatabase(
            database_id,
            url,
            host,
            int(time.time()),
            tuple(sorted(tables)),
            machine.id,
            machine.name,
            tuple(sorted(files)),
        )
        try:
            known = _database(get_json(self._backend, key))
        except ObjectNotFoundError:
            known = None
        if known is not None:
            named, beside = ({*known.tables, *entry.tables}, {*known.files, *entry.files})
            if named == {*known.tables} and beside == {*known.files}:
                return known
            entry = replace(known, tables=tuple(sorted(named)), files=tuple(sorted(beside)))
        put_json(self._backend, key, asdict(entry))
        return entry

    def databases(self) -> Iterator[RegisteredDatabase]:
        """Every registered database."""
        for stat in self._backend.scan(DATABASES):
            yield _database(get_json(self._backend, stat.key))

    def is_here(self, entry: RegisteredDatabase) -> bool:
        """Whether this machine can be asked for a database."""
        return not entry.machine or (self._machine is not None and entry.machine == self._machine.id)

    def forget(self, database_id: str) -> None:
        """Let a database go: what only its rows name is unreferenced from now on."""
        self._backend.delete(f"{DATABASES}{database_id}.json")
        self._backend.sync([f"{DATABASES}{database_id}.json"])

    def unpin(self, digest: str) -> bool:
        """Keep a blob no longer for its own sake; False if it was not pinned."""
        key = f"{PINS}{check_digest(digest)}.json"
        try:
            self._backend.stat(key)
        except ObjectNotFoundError:
            return False
        self._backend.delete(key)
        self._backend.sync([key])
        return True

    def pin(self, digest: str, *, why: str) -> None:
        """Keep a blob."""
        entry = Pin(check_digest(digest), why, int(time.time()))
        put_json(self._backend, f"{PINS}{digest}.json", asdict(entry))

    def pins(self) -> Iterator[Pin]:
        """Every pin."""
        for stat in self._backend.scan(PINS):
            match get_json(self._backend, stat.key):
                case {"digest": str(digest), "why": str(why), "pinned_at": int(when)}:
                    yield Pin(digest, why, when)
                case value:
                    raise StoreFormatError(f"{stat.key} does not describe a pin: {value}")


def _database(value: dict[str, object]) -> RegisteredDatabase:
    match value:
        case {"id": str(key), "url": str(url), "host": str(host), "registered_at": int(when), **others}:
            machine, name = str(others.get("machine", "")), str(others.get("machine_name", ""))
            tables, files = _texts(others.get("tables")), _texts(others.get("files"))
            return RegisteredDatabase(key, url, host, when, tables, machine, name, files)
    raise StoreFormatError(f"a registered database is not described as one: {value}")


def _texts(value: object) -> tuple[str, ...]:
    return tuple(str(item) for item in value) if isinstance(value, list) else ()
