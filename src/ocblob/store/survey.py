"""What lies in a store, listed into temporary tables beside the catalog, so that memory does not grow with it.

A survey is taken before the marks: what is put later is not judged by them.
"""

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final, Self

from ocblob.backends.base import Backend, ObjectStat
from ocblob.store.catalog import Catalog, State
from ocblob.store.layout import OBJECTS, TRASH, digest_of_key, generation_time
from ocblob.store.trash import Item

LISTED_ROWS: Final = 5000
STUCK_S: Final = 600
"""A deleter that has not ended after this long is dead: its batches take seconds."""

_TABLES: Final = """
CREATE TEMP TABLE live (digest BLOB PRIMARY KEY, stored_size INT, version TEXT) WITHOUT ROWID;
CREATE TEMP TABLE trash (
    digest BLOB, key TEXT, stored_size INT, version TEXT, condemned_at INT, PRIMARY KEY (digest, key)
) WITHOUT ROWID;
CREATE TEMP TABLE chosen (verb TEXT, digest BLOB, key TEXT, stored_size INT, version TEXT);
"""


class Survey:
    """The objects of a store as they were listed. Used as a context manager."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self.db = catalog.connect_beside()
        """Has the catalog's tables, the listings `live` and `trash`, and `chosen`, a plan's choice."""
        self.db.execute(_TABLES).fetchall()

    def take(self, backend: Backend) -> None:
        """List everything."""
        for page in _pages(backend.scan(OBJECTS)):
            rows = [(bytes.fromhex(name), s.stored_size, s.version) for s in page if (name := digest_of_key(s.key))]
            self._insert("INSERT OR REPLACE INTO live VALUES (?,?,?)", rows)
        for page in _pages(backend.scan(TRASH)):
            self._insert("INSERT OR REPLACE INTO trash VALUES (?,?,?,?,?)", [row for s in page if (row := _trashed(s))])

    def reconcile(self, *, remote: bool) -> None:
        """Bring the catalog in line with what was listed, where nobody claims a blob.

        An object that the catalog does not know is entered; one that lies in the trash only is condemned; a deleter
        that died leaves its blob condemned. What a remote store has no object of is forgotten: its catalog is one
        host's memory of it.
        """
        now = int(time.time())
        free = "NOT EXISTS (SELECT 1 FROM main.claim c WHERE c.digest=t.digest AND c.until>:now)"
        condemned = (
            f"SELECT t.digest, 0, t.stored_size, 0, {State.CONDEMNED:d}, :now, :now, '', '' FROM temp.trash t"
            f" WHERE NOT EXISTS (SELECT 1 FROM temp.live l WHERE l.digest=t.digest) AND {free} GROUP BY t.digest"
        )
        statements = [
            f"INSERT INTO main.blob SELECT l.digest, 0, l.stored_size, iif(:remote, 0, l.stored_size),"
            f" {State.LIVE:d}, :now, :now, '', '' FROM temp.live l"
            " WHERE NOT EXISTS (SELECT 1 FROM main.blob b WHERE b.digest=l.digest)",
            f"INSERT INTO main.blob {condemned} ON CONFLICT (digest) DO UPDATE SET state={State.CONDEMNED:d}, since=:now"
            f" WHERE state={State.LIVE:d} OR (state={State.DELETING:d} AND since<:now-{STUCK_S})",
            f"DELETE FROM main.blob AS t WHERE state={State.DELETING:d} AND since<:now-{STUCK_S} AND {free}"
            " AND NOT EXISTS (SELECT 1 FROM temp.trash x WHERE x.digest=t.digest)",
        ]
        if remote:
            statements.append(
                f"DELETE FROM main.blob AS t WHERE {free} AND held=0"
                " AND NOT EXISTS (SELECT 1 FROM temp.trash x WHERE x.digest=t.digest)"
                " AND NOT EXISTS (SELECT 1 FROM temp.live l WHERE l.digest=t.digest)"
            )
        with self._catalog.transaction():
            pass  # whoever wrote meanwhile has ended: the next statements begin a transaction of their own
        self.db.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                names = {"now": now, "remote": remote}
                self.db.execute(statement, {name: value for name, value in names.items() if f":{name}" in statement})
            self.db.execute("COMMIT")
        except BaseException:
            self.db.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def attached(self, marks: Path) -> Iterator[None]:
        """With the marks' own table as `marks.mark`."""
        self.db.execute("ATTACH ? AS marks", (str(marks),))
        try:
            yield
        finally:
            self.db.execute("DETACH marks")

    def totals(self) -> tuple[int, int]:
        """Bytes of live objects, and of the trash."""
        ((live, trash),) = self.db.execute(
            "SELECT (SELECT coalesce(sum(stored_size),0) FROM temp.live),"
            " (SELECT coalesce(sum(stored_size),0) FROM temp.trash)"
        ).fetchall()
        return int(live), int(trash)

    def choose(self, verb: str, select: str, bindings: dict[str, object] | None = None) -> tuple[int, int]:
        """Note what a plan chose for a verb; returns how many, and their bytes.

        `select` gives digest, key, stored_size and version.
        """
        self.db.execute("DELETE FROM temp.chosen WHERE verb=?", (verb,))
        self.db.execute(f"INSERT INTO temp.chosen SELECT '{verb}', * FROM ({select})", bindings or {})
        sql = "SELECT count(*), coalesce(sum(stored_size),0) FROM temp.chosen WHERE verb=?"
        ((count, size),) = self.db.execute(sql, (verb,)).fetchall()
        return int(count), int(size)

    def chosen(self, verb: str, *, batch: int) -> Iterator[list[Item]]:
        """What was chosen, in its order, a batch in memory at a time."""
        sql = (
            "SELECT rowid, hex(digest), key, stored_size, version FROM temp.chosen"
            f" WHERE verb=? AND rowid>? ORDER BY rowid LIMIT {batch}"
        )
        after = -1
        while rows := self.db.execute(sql, (verb, after)).fetchall():
            yield [Item(str(row[1]).lower(), int(row[3]), str(row[4]), str(row[2])) for row in rows]
            after = int(rows[-1][0])

    def close(self) -> None:
        """Drop the tables."""
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _insert(self, sql: str, rows: list[tuple[Any, ...]]) -> None:
        self.db.execute("BEGIN")
        self.db.executemany(sql, rows)
        self.db.execute("COMMIT")


def _trashed(stat: ObjectStat) -> tuple[Any, ...] | None:
    digest, generation = digest_of_key(stat.key), stat.key.split("/")[1]
    begun = generation_time(generation)
    if not digest or begun is None:
        return None  # not ours to judge
    # By the later of two clocks: the host's that named the generation, and the place's that wrote the object.
    return bytes.fromhex(digest), stat.key, stat.stored_size, stat.version, max(begun, int(stat.modified))


def _pages(stats: Iterable[ObjectStat]) -> Iterator[list[ObjectStat]]:
    remaining = iter(stats)
    while page := list(itertools.islice(remaining, LISTED_ROWS)):
        yield page
