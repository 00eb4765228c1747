"""Refs back to bytes, for a host that shows or sends them.

A resolver never opens the host's database, needs nothing writable, and hands out verified bytes only.
"""

import io
import os
from collections.abc import Iterator
from typing import Literal, Self, overload

from ocblob import base64stream
from ocblob.digest import check_digest
from ocblob.errors import BlobCorruptError, BlobError, UsageError
from ocblob.ref import Ref
from ocblob.scan import RefSpan, find_refs, scan_text
from ocblob.store import BlobStore, LocalTier
from ocblob.store.places import Options
from ocblob.store.stream import BlobStream

Missing = Literal["raise", "keep"]


class Resolver:
    """Reads blobs by ref. Thread-safe; make one and keep it.

    From a remote store it reads directly, unless it gets a `tier`: a directory that keeps hot blobs. `options` are
    the backends', by the scheme of their URLs. Raises `StoreNotFoundError` if there is no store at this path or URL.
    """

    def __init__(
        self,
        store: str | os.PathLike[str] | BlobStore,
        *,
        tier: LocalTier | None = None,
        options: Options | None = None,
    ) -> None:
        self._store = store if isinstance(store, BlobStore) else BlobStore.open(store, tier=tier, options=options)

    def read(self, ref: Ref | str) -> bytes:
        """The bytes of an attachment, verified. `ref` may be a `Ref`, a digest, or a ref's data URL.

        Raises `BlobMissingError`, `BlobExpiredError`, `BlobCorruptError`, or `BackendError` if the store
        cannot say. Memory: the attachment, twice while it is joined.
        """
        digest, size = _named(ref)
        data = self._store.read(digest)
        if size is not None and size != len(data):
            raise BlobCorruptError(f"the ref says {size} bytes, blob {digest} has {len(data)}", digest=digest)
        return data

    def open(self, ref: Ref | str) -> "io.BufferedReader[BlobStream]":
        """A readable, seekable stream of an attachment. Raises as `read` does, here or while it is read.

        Read from beginning to end it is verified at its end; a part of it by its frames' checksums only.
        Memory: about 2 MiB, whatever the size.
        """
        digest, size = _named(ref)
        stream = self._store.open_blob(digest)
        if size is not None and size != stream.raw.size:
            stream.close()
            raise BlobCorruptError(f"the ref says {size} bytes, blob {digest} has another size", digest=digest)
        return stream

    @overload
    def rehydrate(self, cell: str, missing: Missing = "raise") -> str: ...
    @overload
    def rehydrate(self, cell: bytes, missing: Missing = "raise") -> bytes: ...
    def rehydrate(self, cell: str | bytes, missing: Missing = "raise") -> str | bytes:
        """A cell's text, or one data URL, with every ref replaced by its payload; all else stays, byte for byte.

        With `missing="keep"` a ref whose blob is missing, expired or corrupt stays; a store that
        cannot say is an error all the same. Memory: the result, twice while joined.
        """
        if missing not in {"raise", "keep"}:
            raise UsageError(f'missing={missing!r}: expected "raise" or "keep"')
        if isinstance(cell, bytes):
            return b"".join(self._pieces(cell, missing))
        return b"".join(self._pieces(cell.encode("utf-8", "surrogatepass"), missing)).decode("utf-8", "surrogatepass")

    def close(self) -> None:
        """Give the store free."""
        self._store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _pieces(self, cell: bytes, missing: Missing) -> Iterator[bytes]:
        at = 0
        for span in scan_text(cell):
            if not isinstance(span, RefSpan):
                continue
            try:
                data = self.read(span.ref)
            except BlobError:
                if missing == "raise":
                    raise
                continue
            yield cell[at : span.start]
            yield from base64stream.encode((data,))
            at = span.end
        yield cell[at:]


def _named(ref: Ref | str) -> tuple[str, int | None]:
    if isinstance(ref, Ref):
        return ref.digest, ref.size
    if ref.startswith("data:"):
        found = find_refs(ref)
        if len(found) != 1:
            raise UsageError("the data URL is no ref")
        return found[0].digest, found[0].size
    return check_digest(ref), None
