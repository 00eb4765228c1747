"""One cell's spans swapped: plan what goes where, then stream the new content.

Every other byte of the cell stays as it is: JSON is cut and joined as bytes, never parsed and written again.
"""

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Final

import pybase64

from ocblob.base64stream import NotCanonicalError, decode, encoded_size
from ocblob.databases.base import CellReader
from ocblob.digest import Hasher, digest_of
from ocblob.errors import CellError
from ocblob.json_text import is_json
from ocblob.placeholders import CARRIER_BYTES_MAX, build, carry, media_type
from ocblob.placeholders.preview import Previews
from ocblob.ref import REF_CHARS_MAX, Ref, marker_line
from ocblob.scan import InlineSpan, PayloadSpan, Reason, RefSpan, scan

KEPT_BYTES_MAX: Final = 8 * 1024 * 1024
"""A cell's new content is held in memory while its row waits; a larger one stays inline."""
PREVIEW_WORTH: Final = 4
"""A ref with a preview in it must be at least this many times shorter than the payload."""
_REF_CHARS_MIN: Final = 120
RAW_DIGEST_BYTES_MIN: Final = 64 * 1024 * 1024
"""Cells from this size on are recognised by their digest: half the time of finding their payloads again."""
HASHED_CHUNKS: Final = 16
RAW_DIGEST_SPANS_MIN: Final = 200
"""And so are cells with more data URLs in them than this."""
_Pairs = tuple[tuple[str, str], ...]
"""What refs say of themselves."""


@dataclass(frozen=True, slots=True)
class Replacement:
    """New bytes for bytes `start` to `end` of a cell."""

    start: int
    end: int
    size: int
    chunks: Callable[[], Iterable[bytes]]


@dataclass(frozen=True, slots=True)
class OffloadPlan:
    """What offloading one cell would do to it."""

    payloads: tuple[PayloadSpan, ...]
    """What moves out."""
    ref_chars: tuple[int, ...]
    """How long the ref is that stands for each of them in the new content."""
    content: bytes
    """The cell's new content; empty if nothing moves."""
    inline: dict[Reason, int]
    """How many payloads stay, by reason."""
    refs: int
    """How many had moved out before."""
    raw_digest: str = ""
    """Of the cell as it was read, if finding its payloads again would take too long under a lock."""
    version: object = None
    """`CellReader.version` of what was read."""


def plan_offload(
    reader: CellReader, *, min_chars: int, store: str, previews: Previews | None = None, by: str = ""
) -> OffloadPlan:
    """Scan a cell and build its new content; a picture's ref shows it if there are `previews`.

    Refs say `by` what they were made, if that is no offload. Memory: the text that stays, at most `KEPT_BYTES_MAX`,
    and what a preview takes.
    """
    raw = Hasher() if reader.size >= RAW_DIGEST_BYTES_MIN else None
    pairs = (("store", store), ("by", by)) if by else (("store", store),)
    found = _find(_seen_by(raw, reader.read(0, reader.size)), min_chars=min_chars, pairs=pairs)
    if not found.payloads:
        return OffloadPlan((), (), b"", found.inline, found.refs)
    refusal = Reason.KEPT_TEXT
    if spliced_size(reader.size, found.replacements) <= KEPT_BYTES_MAX:
        if previews is not None:
            _show(found, reader, previews, pairs)
        content = b"".join(splice(reader, found.replacements))
        if is_json(content):
            digest = raw.hexdigest() if raw else _raw_digest(reader) if found.seen > RAW_DIGEST_SPANS_MIN else ""
            ref_chars = tuple(new.size for new in found.replacements)
            payloads = tuple(found.payloads)
            return OffloadPlan(payloads, ref_chars, content, found.inline, found.refs, digest, reader.version)
        refusal = Reason.BROKEN_JSON
    found.inline[refusal] = found.inline.get(refusal, 0) + len(found.payloads)
    return OffloadPlan((), (), b"", found.inline, found.refs)


def still_fits(plan: OffloadPlan, reader: CellReader) -> bool:
    """Whether a cell is still what a plan was made from.

    A plan holds every byte that stays and the digest of every byte that goes, so an equal one comes from an equal
    cell. Nothing is parsed or made: somebody waits for a lock meanwhile.
    """
    if plan.raw_digest:
        return _raw_digest(reader) == plan.raw_digest
    saved = sum(span.end - span.start - chars for span, chars in zip(plan.payloads, plan.ref_chars, strict=True))
    if reader.size - saved != len(plan.content):
        return False
    at = new = 0
    for span, chars in zip(plan.payloads, plan.ref_chars, strict=True):
        kept = plan.content[new : new + span.start - at]
        if not _is_text(reader.read(at, span.start), kept) or not _is_payload(reader, span):
            return False
        at, new = span.end, new + len(kept) + chars
    return _is_text(reader.read(at, reader.size), plan.content[new:])


def _is_text(chunks: Iterable[bytes], text: bytes) -> bool:
    at = 0
    for chunk in chunks:
        if not text.startswith(chunk, at):
            return False
        at += len(chunk)
    return at == len(text)


def _is_payload(reader: CellReader, span: PayloadSpan) -> bool:
    hasher = Hasher()
    try:
        for chunk in decode(reader.read(span.start, span.end)):
            hasher.update(chunk)
    except NotCanonicalError:
        return False
    return hasher.hexdigest() == span.digest


@dataclass(slots=True)
class _Found:
    payloads: list[PayloadSpan] = field(default_factory=list)
    replacements: list[Replacement] = field(default_factory=list)
    inline: dict[Reason, int] = field(default_factory=dict)
    refs: int = 0
    seen: int = 0


def _find(chunks: Iterator[bytes], *, min_chars: int, pairs: _Pairs) -> _Found:
    found = _Found()
    for span in scan(chunks, min_chars=min_chars):
        found.seen += 1
        if isinstance(span, RefSpan):
            found.refs += 1
            continue
        stays = span.reason if isinstance(span, InlineSpan) else None
        if isinstance(span, PayloadSpan):
            replacement = _replacement(span, pairs)
            if isinstance(replacement, Replacement):
                found.payloads.append(span)
                found.replacements.append(replacement)
            else:
                stays = replacement
        if stays is not None:
            found.inline[stays] = found.inline.get(stays, 0) + 1
        if len(found.replacements) * _REF_CHARS_MIN > KEPT_BYTES_MAX:
            break  # too large already; what follows need not be read
    return found


def _show(found: _Found, reader: CellReader, previews: Previews, pairs: _Pairs) -> None:
    """Give pictures refs that show them, as long as the new content may be held in memory with these."""
    size = spliced_size(reader.size, found.replacements)
    for index, (span, plain) in enumerate(zip(found.payloads, found.replacements, strict=True)):
        shown = preview_text(span.mime, _ref(span, pairs), previews, partial(_payload, reader, span))
        if shown is None or size - plain.size + len(shown) > KEPT_BYTES_MAX:
            continue
        size += len(shown) - plain.size
        found.replacements[index] = Replacement(span.start, span.end, len(shown), partial(_one, shown))


def _one(text: bytes) -> tuple[bytes]:
    return (text,)


def _payload(reader: CellReader, span: PayloadSpan) -> bytes:
    """A payload's bytes, read again. Memory: twice those."""
    try:
        data = b"".join(decode(reader.read(span.start, span.end)))
    except NotCanonicalError as error:
        raise CellError(f"the payload of blob {span.digest} changed while it was read") from error
    if digest_of(data) != span.digest:
        raise CellError(f"the payload of blob {span.digest} changed while it was read")
    return data


def _seen_by(hasher: Hasher | None, chunks: Iterator[bytes]) -> Iterator[bytes]:
    for chunk in chunks:
        if hasher is not None:
            hasher.update(chunk)
        yield chunk


def _raw_digest(reader: CellReader) -> str:
    """Read in this thread, hash in another: somebody may wait for a lock meanwhile. Memory: 8 MiB."""
    hasher = Hasher()
    chunks = reader.read(0, reader.size)
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(_update, hasher, ())
        while batch := tuple(itertools.islice(chunks, HASHED_CHUNKS)):
            hashed.result()
            hashed = pool.submit(_update, hasher, batch)
        hashed.result()
    return hasher.hexdigest()


def _update(hasher: Hasher, chunks: Iterable[bytes]) -> None:
    for chunk in chunks:
        hasher.update(chunk)


def _replacement(span: PayloadSpan, pairs: _Pairs) -> Replacement | Reason:
    reference = reference_text(span.mime, _ref(span, pairs))
    if reference is None:
        return Reason.NO_CARRIER
    if len(reference) >= span.end - span.start:
        return Reason.SMALL
    return Replacement(span.start, span.end, len(reference), partial(_one, reference))


def _ref(span: PayloadSpan, pairs: _Pairs) -> Ref:
    return Ref(span.digest, span.size, pairs)


def reference_text(mime: str, ref: Ref) -> bytes | None:
    """The base64 text that stands for a blob in a row; None if no placeholder exists for the type."""
    placeholder = build(mime, marker_line(ref))
    return None if placeholder is None else pybase64.b64encode(placeholder)


def preview_text(mime: str, ref: Ref, previews: Previews, read: Callable[[], bytes]) -> bytes | None:
    """The same with a preview of the blob, whose bytes `read` gives; None if there is none, or it is not worth it."""
    marker = marker_line(ref)
    chars = min(encoded_size(ref.size) // PREVIEW_WORTH, REF_CHARS_MAX)
    room = chars // 4 * 3 - len(marker) - CARRIER_BYTES_MAX
    picture = previews.thumbnail(media_type(mime), ref.digest, ref.size, room=room, read=read)
    placeholder = None if picture is None else carry(mime, picture, marker)
    return None if placeholder is None else pybase64.b64encode(placeholder)


def splice(reader: CellReader, replacements: Sequence[Replacement]) -> Iterator[bytes]:
    """The cell's bytes with the replacements, which are in order, in their places."""
    at = 0
    for replacement in replacements:
        yield from reader.read(at, replacement.start)
        yield from replacement.chunks()
        at = replacement.end
    yield from reader.read(at, reader.size)


def spliced_size(size: int, replacements: Iterable[Replacement]) -> int:
    """Bytes of a cell of `size` bytes after the replacements."""
    return size + sum(new.size - (new.end - new.start) for new in replacements)
