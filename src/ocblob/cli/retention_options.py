"""Options of every command that retains sessions, and how it tells what goes."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar, cast, get_args

import click

from ocblob import config
from ocblob.cli.options import AgeType, SizeType, printable, vacuum_option
from ocblob.config.session_settings import DEFAULT
from ocblob.databases.addresses import is_server, server_address
from ocblob.errors import UsageError
from ocblob.filesystem import expanded
from ocblob.sessions.limits import DAY_S, By
from ocblob.sessions.plan import Limit, RetainPlan
from ocblob.sessions.trees import Tree
from ocblob.space import VacuumWhen
from ocblob.units import format_size

_Function = TypeVar("_Function", bound=Callable[..., Any])
_TITLE_CHARS = 40
_SHOWN: dict[Limit, Callable[[float], str]] = {
    Limit.AGE: lambda age_s: f"{age_s / DAY_S:,.1f}".removesuffix(".0") + "d",
    Limit.SESSIONS: lambda count: f"{count:,.0f}",
    Limit.SIZE: format_size,
}

_OPTIONS = (
    click.option("--max-size", type=SizeType(), metavar="SIZE", help="What rows of sessions may hold, with events."),
    click.option("--max-age", "max_age_s", type=AgeType(), metavar="AGE", help="How old a session may be."),
    click.option("--max-sessions", type=int, metavar="N", help="How many there may be, children not counted."),
    click.option("--by", type=click.Choice(get_args(By)), help="What age and order go by.  [default: created]"),
    click.option(
        "--keep-active",
        "keep_active_s",
        type=AgeType(),
        metavar="AGE",
        help="Leave what was used within this time.  [default: 7d]",
    ),
    click.option("--keep", multiple=True, metavar="ID", help="Leave this session and its tree; may be repeated."),
    click.option(
        "--archive",
        metavar="PATH",
        help="Where what goes is sealed first: a directory, or a new .json or .json.zst file.",
    ),
    click.option("--no-archive", is_flag=True, help="Delete without an archive: what goes is gone for good."),
    click.option(
        "--mirror",
        metavar="PATH_OR_URL",
        help="Where what goes is kept instead: another database, brought up to date first. With --archive in both.",
    ),
    click.option(
        "--refs",
        "archive_refs",
        is_flag=True,
        default=None,
        help="Leave attachments that the store holds out of the archive, and pin them there.",
    ),
    click.option(
        "--allow-unresolved", is_flag=True, help="Also sessions with refs whose blobs the store does not have."
    ),
    vacuum_option,
)


@dataclass(frozen=True, slots=True)
class Retention:
    """What a command shall retain: its options over the settings."""

    settings: config.Settings
    keep: tuple[str, ...]
    """What the command line keeps: it must be there."""
    allow_unresolved: bool
    vacuum: VacuumWhen | None
    """None: the command line does not say."""

    @property
    def vacuum_when(self) -> VacuumWhen | None:
        """What somebody says, here or in the configuration; None if nobody does."""
        said = self.settings.source("vacuum") != DEFAULT
        return self.vacuum or (self.settings.vacuum if said else None)


def retention_options(function: _Function) -> _Function:
    """--max-size, --max-age, --archive ... as one argument, `retention`."""

    @functools.wraps(function)
    def collected(
        *arguments: Any,
        keep: tuple[str, ...],
        archive: str | None,
        no_archive: bool,
        mirror: str | None,
        archive_refs: bool | None,
        allow_unresolved: bool,
        vacuum: VacuumWhen | None,
        max_size: int | None,
        max_age_s: float | None,
        max_sessions: int | None,
        by: By | None,
        keep_active_s: float | None,
        **more: Any,
    ) -> Any:
        settings = config.settings().with_options(
            max_size=max_size,
            max_age_s=max_age_s,
            max_sessions=max_sessions,
            by=by,
            keep_active_s=keep_active_s,
            keep=keep,
            archive=_archive(archive),
            archive_wanted=False if no_archive else None,
            mirror=_mirror(mirror),
            archive_refs=archive_refs or None,
        )
        _check(settings, archive=archive, no_archive=no_archive, refs=bool(archive_refs), unresolved=allow_unresolved)
        return function(*arguments, retention=Retention(settings, keep, allow_unresolved, vacuum), **more)

    decorated: Any = collected
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return cast("_Function", decorated)


def _archive(path: str | None) -> Path | None:
    if path is not None and not path.strip():
        raise UsageError("--archive is empty")
    return None if path is None else expanded(path)


def _mirror(place: str | None) -> str | None:
    if place is not None and not place.strip():
        raise UsageError("--mirror is empty")
    if place is not None and is_server(place):
        server_address(place)  # one that nobody knows is told now, and not on the day when a session would go
    return place


def _check(settings: config.Settings, *, archive: str | None, no_archive: bool, refs: bool, unresolved: bool) -> None:
    """Raise `UsageError` for options that would be taken and then ignored."""
    if no_archive and archive is not None:
        raise UsageError("--archive and --no-archive exclude each other")
    if settings.archives:
        return
    for option, given in {"--refs": refs, "--allow-unresolved": unresolved and settings.mirror is None}.items():
        if given:
            why = "--no-archive" if no_archive else f"archive = false ({settings.source('archive_wanted')})"
            if settings.archive_wanted:
                why = f"mirror ({settings.source('mirror')}) alone; --archive names one"
            raise UsageError(f"{option} is about the archive, and there is none by {why}")


def eviction_words(tree: Tree, where: str) -> str:
    """The line that tells of a tree that is gone."""
    count = len(tree.sessions)
    sessions = "1 session" if count == 1 else f"{count:,} sessions"
    return (
        f'warning: evicted session {printable(tree.root)} "{shortened(tree.title)}" (created {day(tree.created_ms)},'
        f" last used {day(tree.used_ms)}, {sessions}, {format_size(tree.size)})"
        + (f" into {where}" if where else "; it is in no archive")
    )


def limits_words(settings: config.Settings) -> str:
    """The limits that hold, and who says so: `max-size 200 MB (--max-size), max-age 30d (config.toml:2)`."""
    given = {"max_size": Limit.SIZE, "max_age_s": Limit.AGE, "max_sessions": Limit.SESSIONS}
    return ", ".join(
        f"{limit} {_SHOWN[limit](getattr(settings, name))} ({settings.source(name)})"
        for name, limit in given.items()
        if getattr(settings, name) is not None
    )


def missed_words(plan: RetainPlan) -> list[str]:
    """A line for each limit that does not hold although all went that may go."""
    words = []
    for missed in plan.missed:
        allowed, remains = (_SHOWN[missed.limit](value) for value in (missed.allowed, missed.remains))
        left = f"the oldest that remains is of {remains}" if missed.limit is Limit.AGE else f"{remains} remain"
        words.append(f"--{missed.limit} {allowed} is not reached: {left}; what may never go: {protected_words(plan)}")
    return words


def protected_words(plan: RetainPlan) -> str:
    """How many sessions are protected by what: `2 active (1.0 MB), 1 shared (2.3 MB)`."""
    return ", ".join(f"{each.trees:,} {each.reason} ({format_size(each.size)})" for each in plan.protected)


def shortened(title: str) -> str:
    """A title out of a row, as it has room in a line."""
    shown = printable(title)
    return shown if len(shown) <= _TITLE_CHARS else f"{shown[: _TITLE_CHARS - 3]}..."


def day(time_ms: int | None) -> str:
    """A time as a day of the calendar, in UTC."""
    if time_ms is None:
        return "unknown"
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d")
    except (OverflowError, ValueError, OSError):
        return "unknown"
