"""Archives in bounded memory: cells of hundreds of megabytes, written, verified and read, in a child process."""

from pathlib import Path

import apsw
import pybase64
import pytest

from processes import finish, spawn
from samples import opened, payload
from talks import Talk, make_talks

pytestmark = pytest.mark.many

LIMIT_BYTES = 100 * 1024 * 1024
TEXT_BYTES = 300_000_000
PAYLOAD_CHARS = 200_000_000
CODE = """
import sys
from pathlib import Path
from ocblob.databases.session_rows import Content
from processes import peak_bytes
from test_archive import archive, digests
from ocblob.sessions.reader import Archive
path, place = map(Path, sys.argv[1:])
report = archive(path, place)
assert digests(path) == report.digests
file = Archive(Path(report.path))
size = 0
with file.needed() as needed, file.extract(needed, place.parent) as blobs:
    for _session, rows in file.sessions(blobs=blobs, directory=place.parent):
        for table, row in rows:
            for value in row.values:
                if isinstance(value, Content):
                    size += sum(map(len, value.chunks())) if not table.context else 0
assert size == sum(session.size for session in report.sessions)
print(size, peak_bytes())
"""


def grow(db: apsw.Connection, table: str, size: int) -> None:
    """One more cell with a JSON string of so many bytes: noise in base64 as a payload, or words."""
    before, after = (b'{"type":"text","text":"', b'"}') if table == "part" else (b'{"url":"data:;base64,', b'"}')
    piece = b"words and " * 100_000 if table == "part" else pybase64.b64encode(payload(750_000))
    total = len(before) + size // len(piece) * len(piece) + len(after)
    db.execute(f"UPDATE {table} SET data=CAST(zeroblob(?) AS TEXT) WHERE rowid=1", (total,)).fetchall()
    with db.blob_open("main", table, "data", 1, True) as blob:
        blob.write(before)
        for _ in range(size // len(piece)):
            blob.write(piece)
        blob.write(after)


@pytest.mark.parametrize("name", ["a.json.zst"])
def test_huge_cells_are_archived_and_read_in_100_mib(tmp_path: Path, name: str) -> None:
    """A text of 300 MB in a part and a payload of 200 MB in an event never lie in memory."""
    path = make_talks(tmp_path / "a.db", [Talk("ses_a", 3)])
    with opened(path) as db:
        grow(db, "part", TEXT_BYTES)
        grow(db, "event", PAYLOAD_CHARS)

    size, peak = map(int, finish(spawn(CODE, str(path), str(tmp_path / name))).split())

    assert size > TEXT_BYTES + PAYLOAD_CHARS
    assert peak <= LIMIT_BYTES
