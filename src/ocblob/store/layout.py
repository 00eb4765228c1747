"""Where everything lies in a store, and the file that says that it is one.

store.json                     format version, store id, hash name
objects/<2 hex>/<62 hex>       blobs
staging/<writer>/              unpublished files
trash/<generation>/<2>/<62>    condemned blobs in their grace
quarantine/<digest>.<when>     corrupt objects, moved, never deleted
tombstones/<digest>.json       blobs whose last copy was expired
databases/<id>.json            what prune must read before it judges
pins/<digest>.json             blobs that no database names
copies/<id>.json               other places that hold the same blobs
copy-of.json                   in such a place: it is not for itself to judge what goes
epoch.json                     changes with every round of deletions
catalog.sqlite                 sizes, last use, states, claims

A remote store has the same keys below its prefix, but for staging and the catalog: those two, and a tier of hot
blobs under objects/, are in a directory of each host.
"""

import io
import json
import os
import re
from dataclasses import dataclass
from typing import Final

from ocblob.backends.base import Backend
from ocblob.digest import HASH_NAME, is_digest
from ocblob.errors import ObjectNotFoundError, StoreFormatError, StoreNotFoundError

STORE_KEY: Final = "store.json"
OBJECTS: Final = "objects/"
STAGING: Final = "staging/"
TRASH: Final = "trash/"
QUARANTINE: Final = "quarantine/"
TOMBSTONES: Final = "tombstones/"
DATABASES: Final = "databases/"
PINS: Final = "pins/"
COPIES: Final = "copies/"
COPY_OF_KEY: Final = "copy-of.json"
PROBE: Final = "probe/"
EPOCH_KEY: Final = "epoch.json"
CATALOG_FILE: Final = "catalog.sqlite"
FORMAT_VERSION: Final = 1
METADATA_BYTES_MAX: Final = 1 << 20

_STORE_ID = re.compile(r"[0-9a-f]{32}")
_GENERATION = re.compile(r"([0-9a-f]{10})-[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class StoreIdentity:
    """What `store.json` says."""

    id: str
    """32 hex digits; a ref's `store=` shows the first 8."""

    @property
    def short_id(self) -> str:
        """What a ref carries."""
        return self.id[:8]


def object_key(digest: str) -> str:
    """Where a live blob lies."""
    return f"{OBJECTS}{digest[:2]}/{digest[2:]}"


def trash_key(generation: str, digest: str) -> str:
    """Where a condemned blob lies."""
    return f"{TRASH}{generation}/{digest[:2]}/{digest[2:]}"


def tombstone_key(digest: str) -> str:
    """What is left of an expired blob."""
    return f"{TOMBSTONES}{digest}.json"


def new_generation(now: float) -> str:
    """A name in the trash for what one round sets aside; it tells when, so that every host can judge the grace."""
    return f"{int(now):010x}-{os.urandom(4).hex()}"


def generation_time(generation: str) -> int | None:
    """When a generation was begun, seconds since the epoch; None if the name is not one of ours."""
    match = _GENERATION.fullmatch(generation)
    return None if match is None else int(match[1], 16)


def digest_of_key(key: str) -> str:
    """The digest in the key of a live or condemned blob; empty if it is another file."""
    digest = "".join(key.split("/")[-2:])
    return digest if is_digest(digest) else ""


def read_identity(backend: Backend) -> StoreIdentity:
    """Raises `StoreNotFoundError` if there is no store, `StoreFormatError` if it is not for this version."""
    try:
        found = get_json(backend, STORE_KEY)
    except ObjectNotFoundError as error:
        raise StoreNotFoundError(
            f"no blob store at {backend.url}", hint="`ocblob offload` and `ocblob put` create one"
        ) from error
    if found.get("format") != FORMAT_VERSION or found.get("hash") != HASH_NAME:
        raise StoreFormatError(
            f"{backend.url} is a store of format {found.get('format')!r} with {found.get('hash')!r}; "
            f"this ocblob knows format {FORMAT_VERSION} with {HASH_NAME}"
        )
    store_id = found.get("id")
    if not isinstance(store_id, str) or not _STORE_ID.fullmatch(store_id):
        raise StoreFormatError(f"{backend.url}: {STORE_KEY} has no store id")
    return StoreIdentity(store_id)


def create_identity(backend: Backend, identity: StoreIdentity | None = None) -> StoreIdentity:
    """Write a new store's `store.json`; if another process was faster, its store is the store.

    With an identity of another store this place becomes a copy of it.
    """
    identity = identity or StoreIdentity(os.urandom(16).hex())
    data = _json({"format": FORMAT_VERSION, "id": identity.id, "hash": HASH_NAME})
    if backend.put_new(STORE_KEY, io.BytesIO(data), size=len(data)) is not None:
        return identity
    return read_identity(backend)


def put_json(backend: Backend, key: str, value: dict[str, object]) -> None:
    """Store a small JSON object, durably."""
    data = _json(value)
    backend.put(key, io.BytesIO(data), size=len(data))


def _json(value: dict[str, object]) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode("utf-8", "surrogatepass")


def get_json(backend: Backend, key: str) -> dict[str, object]:
    """Read a small JSON object. Raises `StoreFormatError` if it is none."""
    with backend.open(key) as file:
        data = file.read(METADATA_BYTES_MAX)
    try:
        value = json.loads(data)
    except ValueError as error:
        raise StoreFormatError(f"{backend.url}: {key} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise StoreFormatError(f"{backend.url}: {key} is not a JSON object")
    return value
