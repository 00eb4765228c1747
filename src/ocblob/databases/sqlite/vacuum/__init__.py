"""Giving a SQLite file's free pages back to the disk, and saying honestly how much came back.

Two ways: `swap` writes a new file and renames it over the old one, ten times cheaper, but only while nobody
else has the database open; `in_place` is SQLite's own VACUUM, beside other processes.
"""

from ocblob.databases.sqlite.vacuum.leftovers import mend
from ocblob.databases.sqlite.vacuum.measuring import in_use, sizes
from ocblob.databases.sqlite.vacuum.planning import plan_vacuum
from ocblob.databases.sqlite.vacuum.running import apply_vacuum

__all__ = [
    "apply_vacuum",
    "in_use",
    "mend",
    "plan_vacuum",
    "sizes",
]
