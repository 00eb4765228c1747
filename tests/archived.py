"""Archives written by a few lines of their own, after the grammar alone: reading must not hang on how we write them.

They show no messages, keep every text as a content, and every blob in `attachments`.
"""

import json
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pybase64
import zstandard

from ocblob import find_refs
from ocblob.cells import SessionTree
from ocblob.databases.session_rows import Content, Row, SessionDatabase, SessionFacts, Snapshot
from ocblob.digest import digest_of
from ocblob.rows import session_digest
from ocblob.scan import PayloadSpan, scan

PAYLOAD_CHARS_MIN = 1024
Fetch = Callable[[str], bytes | None]
"""The blob that a ref names; None leaves it out."""


def write_archive(
    path: Path,
    database: SessionDatabase,
    tree: SessionTree,
    sessions: Sequence[str],
    *,
    fetch: Fetch = lambda _: None,
    lost: Collection[str] = (),
) -> Path:
    """Archive these sessions, in this order; payloads of these digests are lost."""
    facts = {each.id: each for each in database.survey(tree)}
    seen = set(lost)
    with database.snapshot() as snapshot:
        elements = [_element(snapshot, tree, facts[session], seen, fetch) for session in sessions]
    path.write_text("[\n" + ",\n".join(elements) + "]\n", encoding="utf-8")
    return path


def _element(snapshot: Snapshot, tree: SessionTree, facts: SessionFacts, seen: set[str], fetch: Fetch) -> str:
    blobs: dict[str, bytes] = {}
    refs: set[str] = set()
    context = [
        _table(snapshot, table, snapshot.context_rows(table, column, value), blobs, refs)
        for own, table, column in tree.context
        for value in _values(snapshot, tree, facts.id, own)
    ]
    tables = [_table(snapshot, owned.table, snapshot.rows(owned, facts.id), blobs, refs) for owned in tree.owned]
    found = {digest: data for digest in sorted(refs) if (data := fetch(digest)) is not None}
    new = {digest: data for digest, data in (blobs | found).items() if digest not in seen}
    seen |= new.keys()
    said = {
        "format": 1, "host": "opencode", "session": facts.id, "parent": facts.parent or None, "title": facts.title,
        "created_ms": facts.created_ms, "used_ms": facts.used_ms, "archived_ms": 1, "refs": False,
    }  # fmt: skip
    totals = {
        "rows": facts.rows, "size": sum(_size(row) for owned in tree.owned for row in snapshot.rows(owned, facts.id)),
        "unresolved": len(refs - found.keys()),
        "digest": session_digest(snapshot, tree, facts.id),
    }  # fmt: skip
    urls = [f'"data:application/pdf;base64,{pybase64.b64encode(data).decode()}"' for data in new.values()]
    text = (
        '{"info":{"id":"x"},\n"messages":[\n],\n"ocblob":' + _packed(said)[:-1] + ",\n"
        + '"attachments":[\n' + _joined(urls) + '],\n"context":[\n' + _joined(filter(None, context))
        + '],\n"tables":[\n' + _joined(filter(None, tables)) + "],\n"
    )  # fmt: skip
    return text + _packed(totals | {"text": digest_of(text.encode())})[1:] + "}\n"


def _table(snapshot: Snapshot, table: str, rows: Iterable[Row], blobs: dict[str, bytes], refs: set[str]) -> str:
    shape = snapshot.shape(table)
    lines = [_row(row, blobs, refs) for row in rows]
    head = {"table": table, "columns": list(shape.columns), "key": list(shape.key), "rows": []}
    return _packed(head)[:-2] + "\n" + _joined(lines) + "]}" if lines else ""


def _row(row: Row, blobs: dict[str, bytes], refs: set[str]) -> str:
    values: list[object] = [row.rowid]
    contents: list[str] = []
    for value in row.values:
        if isinstance(value, Content):
            values.append({"content": len(contents)})
            pieces = list(_pieces(b"".join(value.chunks()), blobs, refs))
            head = _packed({"kind": value.kind, "size": value.size, "pieces": []})
            contents.append(head[:-2] + "\n" + _joined(pieces) + "]}")
        else:
            values.append(value)
    if not contents:
        return _packed(values)
    return '{"row":' + _packed(values) + ',"contents":[\n' + _joined(contents) + "]}"


def _pieces(data: bytes, blobs: dict[str, bytes], refs: set[str]) -> Iterator[str]:
    refs |= {ref.digest for ref in find_refs(data)}
    at = 0
    for span in scan((data,), min_chars=PAYLOAD_CHARS_MIN):
        if isinstance(span, PayloadSpan):
            yield from _raw(data[at : span.start])
            blobs[span.digest] = pybase64.b64decode(data[span.start : span.end])
            assert span.digest == digest_of(blobs[span.digest])
            yield _packed({"base64": span.digest, "size": span.size})
            at = span.end
    yield from _raw(data[at:])


def _raw(data: bytes) -> Iterator[str]:
    if data:
        try:
            yield _packed(data.decode("utf-8"))
        except UnicodeDecodeError:
            yield _packed({"bytes": pybase64.b64encode(data).decode()})


def _values(snapshot: Snapshot, tree: SessionTree, session: str, column: str) -> Iterator[str]:
    place = snapshot.shape(tree.sessions.table).columns.index(column)
    for row in snapshot.rows(tree.sessions, session):
        value = row.values[place]
        if isinstance(value, Content):
            yield b"".join(value.chunks()).decode()


def _size(row: Row) -> int:
    return sum(value.size for value in row.values if isinstance(value, Content))


def _packed(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _joined(items: Iterable[str]) -> str:
    text = ",\n".join(items)
    return text + "\n" if text else ""


def elements(archive: Path) -> list[dict[str, Any]]:
    """What any JSON tool sees in an archive."""
    data = archive.read_bytes()
    if archive.suffix == ".zst":
        data = zstandard.ZstdDecompressor().stream_reader(data, read_across_frames=True).read()
    found = json.loads(data)
    assert isinstance(found, list)
    return found
