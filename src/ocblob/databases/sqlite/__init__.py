"""SQLite files, through apsw: its wheel brings a SQLite that measures cells without reading them.

Two copies of SQLite must never hold one file in one process (closing one drops the other's POSIX locks), so
a host that has a database open runs verbs in a process of their own.
"""

from ocblob.databases.sqlite.database import SQLiteDatabase
from ocblob.databases.sqlite.mirror_tables import create_file

__all__ = ["SQLiteDatabase", "create_file"]
