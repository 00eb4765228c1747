"""Whose database it is; where no host is known the user names the cells."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from ocblob.cells import Column
from ocblob.errors import UnknownHostError, UsageError
from ocblob.hosts.base import HostProfile
from ocblob.hosts.opencode import profile as opencode

NAME = "generic"
_TABLE_COLUMN = re.compile(r"(?P<table>[^:]+):(?P<column>[^:]+)")


def profile_of(
    tables: Mapping[str, frozenset[str]], named: Iterable[str] = (), also: Iterable[str] = ()
) -> HostProfile:
    """The profile of a database: the detected host's, or of just the columns named as `table:column`.

    `also` names columns that are added to whatever the host has. Raises `UsageError` if nothing is named and no
    host is known, or a name is not of that form.
    """
    detected = opencode.detect(tables)
    if columns := tuple(_column(name, detected) for name in dict.fromkeys(named)):
        sessions = detected.session_table if detected else None
        return HostProfile(detected.name if detected else NAME, columns, session_table=sessions)
    more = tuple(_column(name, detected) for name in dict.fromkeys(also))
    if detected is not None:
        known = {(column.table, column.column) for column in (*detected.columns, *detected.counted)}
        added = tuple(column for column in more if (column.table, column.column) not in known)
        return replace(detected, columns=(*detected.columns, *added))
    if more:
        return HostProfile(NAME, more)
    raise UnknownHostError("this is no database of a known host", hint="name the cells with --table table:column")


def host_of(tables: Mapping[str, frozenset[str]]) -> str:
    """The name of the host that a database with these tables belongs to."""
    detected = opencode.detect(tables)
    return detected.name if detected else NAME


def _column(name: str, detected: HostProfile | None) -> Column:
    match = _TABLE_COLUMN.fullmatch(name)
    if match is None:
        raise UsageError(f"--table {name}: expected table:column, as part:data")
    column = Column(match["table"], match["column"])
    known = (*detected.columns, *detected.counted) if detected else ()
    # A column the host profile knows keeps what is known of its sessions and times.
    return next((other for other in known if (other.table, other.column) == (column.table, column.column)), column)
