"""What lies in a store, listed into temporary tables beside the catalog, so that memory does not grow with it.

A survey is taken before the marks: what is put later is not judged by them.
"""

import contextlib
import itertools
import time
from collections.abc import Iterable, Iterator, Mapping
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

_FREE: Final = "NOT EXISTS (SELECT 1 FROM main.claim c WHERE c.digest=t.digest AND c.until>:now)"
# Of rows that a statement calls `t`.
NOT_LIVE: Final = "NOT EXISTS (SELECT 1 FROM temp.live l WHERE l.digest=t.digest)"
NOT_IN_TRASH: Final = "NOT EXISTS (SELECT 1 FROM temp.trash x WHERE x.digest=t.digest)"
_ENTER: Final = f"""
INSERT INTO main.blob
SELECT t.digest, 0, t.stored_size, iif(:remote, 0, t.stored_size), {State.LIVE:d}, :now, :now, '', ''
FROM temp.live t WHERE NOT EXISTS (SELECT 1 FROM main.blob b WHERE b.digest=t.digest)
"""
_CONDEMN: Final = f"""
INSERT INTO main.blob
SELECT t.digest, 0, t.stored_size, iif(:remote, 0, t.stored_size), {State.CONDEMNED:d}, :now, :now, '', ''
FROM temp.trash t WHERE {NOT_LIVE} AND {_FREE} GROUP BY t.digest
ON CONFLICT (digest) DO UPDATE SET state={State.CONDEMNED:d}, since=:now
WHERE state={State.LIVE:d} OR (state={State.DELETING:d} AND since<:now-{STUCK_S})
"""
_LIVE_AGAIN: Final = f"""
UPDATE main.blob AS t SET state={State.LIVE:d}, since=:now, generation=''
WHERE state IN ({State.CONDEMNED:d}, {State.DELETING:d}) AND since<:now-{STUCK_S}
AND EXISTS (SELECT 1 FROM temp.live l WHERE l.digest=t.digest)
"""
_COUNT_HELD: Final = f"""
UPDATE main.blob AS t SET held=stored_size
WHERE held=0 AND state={State.LIVE:d} AND NOT {NOT_LIVE}
"""
_FORGET_DELETED: Final = f"""
DELETE FROM main.blob AS t WHERE state={State.DELETING:d} AND since<:now-{STUCK_S} AND {_FREE} AND {NOT_IN_TRASH}
"""
_FORGET_UNKNOWN: Final = f"""
DELETE FROM main.blob AS t WHERE held=0 AND {_FREE} AND {NOT_IN_TRASH} AND {NOT_LIVE}
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
        that died leaves its blob condemned, or live if it had not moved it yet. What a remote store has no object of
        is forgotten: its catalog is one host's memory of it.
        """
        now = int(time.time())
        last = _FORGET_UNKNOWN if remote else _COUNT_HELD
        statements = (_ENTER, _CONDEMN, _LIVE_AGAIN, _FORGET_DELETED, last)
        self.db.execute("BEGIN IMMEDIATE")
        try:
            for statement in statements:
                self.db.execute(statement, {"now": now, "remote": remote})
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
        ((live, trash),) = self._rows(
            "SELECT (SELECT coalesce(sum(stored_size),0) FROM temp.live),"
            " (SELECT coalesce(sum(stored_size),0) FROM temp.trash)"
        )
        return int(live), int(trash)

    def held(self, *, used_before: int, durable: bool) -> tuple[int, int, int, int]:
        """Bytes of the local tier's live blobs, number and bytes of those not used since, and bytes of its trash.

        With `durable` the store's own objects are meant, and no trash.
        """
        column = "stored_size" if durable else "held"
        ((live, old, old_size, trash),) = self._rows(
            f"SELECT coalesce(sum(iif(state={State.LIVE:d},{column},0)),0),"
            f" coalesce(sum(state={State.LIVE:d} AND {column}>0 AND used_at<?1),0),"
            f" coalesce(sum(iif(state={State.LIVE:d} AND used_at<?1,{column},0)),0),"
            f" coalesce(sum(iif(state<>{State.LIVE:d},held,0)),0) FROM main.blob",
            (used_before,),
        )
        return int(live), int(old), int(old_size), 0 if durable else int(trash)

    def least_recently_used(self, *, batch: int, durable: bool) -> Iterator[list[Item]]:
        """Live blobs of the tier in the order of their last use, which stands in the place of a key.

        With `durable` those of the store itself. A page in memory; they may change meanwhile.
        """
        column = "stored_size" if durable else "held"
        sql = (
            f"SELECT digest, used_at, {column}, version FROM main.blob"
            f" WHERE {column}>0 AND state={State.LIVE:d} AND (used_at, digest)>(?,?)"
            f" ORDER BY used_at, digest LIMIT {batch}"
        )
        after: tuple[int, bytes] = (-1, b"")
        while rows := self._rows(sql, after):
            yield [Item(digest.hex(), int(size), str(version), str(used)) for digest, used, size, version in rows]
            after = (int(rows[-1][1]), rows[-1][0])

    def objects(self, *, after: str = "") -> Iterator[tuple[str, int]]:
        """Digest and stored size of every live object, ordered, from behind a digest on; a page in memory."""
        sql = f"SELECT digest, stored_size FROM temp.live WHERE digest>? ORDER BY digest LIMIT {LISTED_ROWS}"
        last = bytes.fromhex(after)
        while rows := self._rows(sql, (last,)):
            for digest, stored_size in rows:
                yield digest.hex(), int(stored_size)
            last = rows[-1][0]

    def drop(self, digest: str) -> None:
        """Take a live object off the list: it turned out to be none."""
        self.db.execute("DELETE FROM temp.live WHERE digest=?", (bytes.fromhex(digest),))

    def vouches(self, digest: str, size: int) -> bool:
        """Whether catalog and listing agree that a blob of this size is live."""
        sql = (
            "SELECT 1 FROM main.blob b JOIN temp.live l USING (digest)"
            f" WHERE digest=? AND b.size=? AND b.stored_size=l.stored_size AND b.state={State.LIVE:d}"
        )
        return self.db.execute(sql, (bytes.fromhex(digest), size)).get is not None

    def choose(self, verb: str, select: str, bindings: Mapping[str, int] | None = None) -> tuple[int, int]:
        """Note what a plan chose for a verb; returns how many, and their bytes.

        `select` gives digest, key, stored_size and version.
        """
        self.db.execute("DELETE FROM temp.chosen WHERE verb=?", (verb,))
        self.db.execute(f"INSERT INTO temp.chosen SELECT '{verb}', * FROM ({select})", bindings or {})
        sql = "SELECT count(*), coalesce(sum(stored_size),0) FROM temp.chosen WHERE verb=?"
        ((count, size),) = self._rows(sql, (verb,))
        return int(count), int(size)

    def chosen(self, verb: str, *, batch: int) -> Iterator[list[Item]]:
        """What was chosen, in its order, a batch in memory at a time."""
        sql = (
            "SELECT rowid, hex(digest), key, stored_size, version FROM temp.chosen"
            f" WHERE verb=? AND rowid>? ORDER BY rowid LIMIT {batch}"
        )
        after = -1
        while rows := self._rows(sql, (verb, after)):
            yield [Item(str(row[1]).lower(), int(row[3]), str(row[4]), str(row[2])) for row in rows]
            after = int(rows[-1][0])

    def close(self) -> None:
        """Drop the tables."""
        self.db.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def _rows(self, sql: str, bindings: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        return self.db.execute(sql, bindings).fetchall()

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
