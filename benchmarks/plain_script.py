"""The rival: what one would write in an afternoon with the standard library, and no less careful than that.

Every data URL in `part` and `event` goes into a file named by its hash, the row keeps `file-hash:...`. One
connection reads and another writes, so that it holds one row at a time.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

TABLES = ("part", "event")


def offload(database: Path, directory: Path, *, secure_delete: bool) -> int:
    """Move the payloads of a database into `directory`; return how many were moved."""
    directory.mkdir(parents=True, exist_ok=True)
    reader = sqlite3.connect(database)
    writer = sqlite3.connect(database)
    if not secure_delete:  # some distributions build SQLite with it on, and every freed page is then zeroed
        writer.execute("PRAGMA secure_delete=OFF")
    moved = 0
    for table in TABLES:
        rows = reader.execute(f"SELECT id, data FROM {table} WHERE instr(data, ';base64,')")
        for row_id, data in rows:
            value, count = _replace(json.loads(data), directory)
            if count:
                text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
                writer.execute(f"UPDATE {table} SET data = ? WHERE id = ?", (text, row_id))
                moved += count
    writer.commit()
    reader.close()
    writer.execute("VACUUM")
    writer.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    writer.close()
    return moved


def _replace(value: Any, directory: Path) -> tuple[Any, int]:
    """Return the value with each data URL in it replaced, and how many there were."""
    if isinstance(value, str) and value.startswith("data:"):
        header, separator, payload = value.partition(";base64,")
        if not separator:
            return value, 0
        return f"{header};file-hash:{_store(base64.b64decode(payload), directory)}", 1
    if isinstance(value, dict):
        pairs = {key: _replace(item, directory) for key, item in value.items()}
        return {key: item for key, (item, _) in pairs.items()}, sum(count for _, count in pairs.values())
    if isinstance(value, list):
        items = [_replace(item, directory) for item in value]
        return [item for item, _ in items], sum(count for _, count in items)
    return value, 0


def _store(payload: bytes, directory: Path) -> str:
    digest = hashlib.sha256(payload).hexdigest()
    path = directory / digest
    if not path.exists():
        path.write_bytes(payload)
    return digest


def main(argv: list[str] | None = None) -> int:
    """Offload one database."""
    parser = argparse.ArgumentParser(description="Offload a database the plain way.")
    parser.add_argument("database", type=Path)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--no-secure-delete", action="store_true", help="turn SQLite's secure_delete off")
    arguments = parser.parse_args(argv)
    print(offload(arguments.database, arguments.directory, secure_delete=not arguments.no_secure_delete))
    return 0


if __name__ == "__main__":
    sys.exit(main())
