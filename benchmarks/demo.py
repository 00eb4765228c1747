"""The main job on a database of 200 MB: offload, look, read one attachment back, restore, compare; then sessions.

The oldest sessions go into an archive, the space comes back, and then the sessions. Everything happens in `./demo`,
which is made anew. No OpenCode is needed: the database is generated in OpenCode's schema, with attachments that are
real PNG, JPEG and PDF files; its times are moved, so that no session is active.
"""

import contextlib
import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import apsw

from generate import make_database
from ocblob import Resolver, find_refs
from session_scenes import age

DIRECTORY = Path("demo")
SHOWN_LINES = 6
DATABASE = DIRECTORY / "opencode.db"
STORE = DIRECTORY / "store"
ARCHIVE = DIRECTORY / "oldest.json.zst"
EVICTED = DIRECTORY / "evicted.log"


def main() -> None:
    """Run it all; a difference after the restore is an error."""
    shutil.rmtree(DIRECTORY, ignore_errors=True)
    DIRECTORY.mkdir()
    print(f"# a database of OpenCode's kind, generated: {DATABASE}")
    make_database(DATABASE, "demo", seed=1)
    age(str(DATABASE))
    before = fingerprint()

    ocblob("status")
    ocblob("offload", "--vacuum")
    ocblob("status")
    ocblob("ls", "-n", "3")
    read_one()
    ocblob("check", "--read-data")
    ocblob("restore")

    compare(before, "restored")

    ocblob("retain", "--max-size", "100MB", "--dry-run", shown=SHOWN_LINES)
    ocblob("retain", "--max-size", "100MB", "--archive", str(ARCHIVE), "--vacuum", words=EVICTED)
    ocblob("unarchive", str(ARCHIVE))
    compare(before, "unarchived")


def ocblob(*arguments: str, shown: int | None = None, words: Path | None = None) -> None:
    """Run a command as a user would, and show it: so many lines from its start and its end, its words in a file."""
    into = f" 2> {words}" if words else ""
    print(f"\n$ ocblob {' '.join(arguments)}{into}", flush=True)
    environment = {**os.environ, "OCBLOB_DB": str(DATABASE), "OCBLOB_STORE": str(STORE)}
    with words.open("wb") if words else contextlib.nullcontext() as stderr:
        command = [sys.executable, "-m", "ocblob", *arguments]
        stdout = subprocess.PIPE if shown else None
        done = subprocess.run(command, env=environment, check=True, stdout=stdout, stderr=stderr, text=True)
    if shown:
        lines = done.stdout.splitlines()
        print("\n".join((*lines[:shown], f"  ... {len(lines) - 2 * shown} more lines ...", *lines[-shown:])))


def compare(before: str, how: str) -> None:
    """End with an error unless everything is what it was."""
    after = fingerprint()
    if before != after:
        sys.exit(f"the {how} tables differ: {before} is now {after}")
    print(f"\n# every value of part and event has the type and the bytes it had: sha256 {after[:16]}...")


def read_one() -> None:
    """What a host does: a row's text in, the attachment's bytes out."""
    with apsw.Connection(str(DATABASE), flags=apsw.SQLITE_OPEN_READONLY) as database:
        sql = "SELECT data FROM part WHERE instr(data, 'b2NibG9iLzEg') LIMIT 1"
        cell = str(database.execute(sql).get)
    database.close()
    with Resolver(STORE) as resolver:
        begun = time.perf_counter()
        data = resolver.read(find_refs(cell)[0])
        milliseconds = (time.perf_counter() - begun) * 1000
        print(f"\n>>> Resolver({str(STORE)!r}).read(find_refs(cell)[0])")
        print(f"{data[:16]!r}... {len(data):,} bytes, verified, in {milliseconds:.1f} ms; the cell has {len(cell)}")


def fingerprint() -> str:
    """A digest of every value of the tables that offload touches, with its type."""
    digest = hashlib.sha256()
    database = apsw.Connection(str(DATABASE), flags=apsw.SQLITE_OPEN_READONLY)
    for table in ("part", "event"):
        for row in database.execute(f"SELECT typeof(data), CAST(data AS BLOB), * FROM {table} ORDER BY id"):
            for value in row:
                data = value if isinstance(value, bytes) else repr(value).encode()
                digest.update(len(data).to_bytes(8, "little") + data)
    database.close()
    return digest.hexdigest()


if __name__ == "__main__":
    main()
