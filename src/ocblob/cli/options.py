"""Options that several commands share, and how they print."""

import contextlib
import json
import re
import sys
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ocblob import config
from ocblob.cells import Column, Scope
from ocblob.databases.base import Database
from ocblob.databases.shards import measured
from ocblob.errors import UsageError
from ocblob.hosts.base import HostProfile
from ocblob.units import parse_age, parse_size

if TYPE_CHECKING:
    from rich.progress import Progress

_Function = TypeVar("_Function", bound=Callable[..., Any])


class SizeType(click.ParamType[int]):
    """`200MB`, `1.5GiB`, `8192`."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """As bytes."""
        try:
            return value if isinstance(value, int) else parse_size(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class AgeType(click.ParamType[float]):
    """`30d`, `12h`."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """As seconds."""
        try:
            return value if isinstance(value, float) else parse_age(value)
        except UsageError as error:
            self.fail(str(error), param, ctx)


class ShardType(click.ParamType[tuple[int, int]]):
    """`2/4`: the second of four."""

    name = "shard"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """As the number of the shard, from 1 on, and how many there are."""
        match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", str(value))
        part, parts = (int(match[1]), int(match[2])) if match else (0, 0)
        if not 1 <= part <= parts:
            self.fail(f"{value!r} is no shard; write 1/4 to 4/4 for the four parts of a pass", param, ctx)
        return part, parts


_CACHE_SIZE = "ocblob.cache_size"


def _cache_size(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    del param
    ctx.meta[_CACHE_SIZE] = value


def _config(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    del param
    if value is not None:
        # Of the root: a context of which an option is wrong is never closed.
        ctx.find_root().with_resource(config.using_file(value))


def _store(ctx: click.Context, param: click.Parameter, value: str | None) -> config.StorePlace:
    del param
    print_warnings(config.exposed_passwords())
    return config.store_place(value, cache_size=ctx.meta.get(_CACHE_SIZE))


_db_option = click.option(
    "--db",
    metavar="PATH_OR_URL",
    help="The database (env OCBLOB_DB; default: the OpenCode database that is found).",
)
_store_option = click.option(
    "--store",
    "store_place",
    callback=_store,
    metavar="PATH_OR_URL",
    help="The blob store (env OCBLOB_STORE; default: in the user data directory).",
)
_cache_option = click.option(
    "--cache-size",
    is_eager=True,  # the store's place is made of both
    expose_value=False,
    callback=_cache_size,
    metavar="SIZE",
    help="Hot blobs of a remote store kept here (env OCBLOB_CACHE_SIZE; default: 1GB).",
)
_config_option = click.option(
    "--config",
    is_eager=True,  # other options ask what stands in it
    expose_value=False,
    callback=_config,
    metavar="PATH",
    help="The config file (env OCBLOB_CONFIG; default: ocblob/config.toml in ~/.config).",
)
_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Say what would happen, change nothing.")
table_option = click.option(
    "--table",
    "tables",
    multiple=True,
    metavar="TABLE:COLUMN",
    help="Only these cells; any database has some.",
)
prompts_option = click.option(
    "--prompt-history",
    "prompts",
    is_flag=True,
    help="Also OpenCode's files of prompts and stashed prompts, the whole of them.",
)
create_option = click.option(
    "--create/--no-create", default=True, help="Whether a store that is not there is made.  [default: it is]"
)
previews_option = click.option(
    "--previews/--no-previews",
    default=None,
    callback=lambda _ctx, _param, value: config.previews(value),
    help="Whether the ref of a picture shows it.  [default: if Pillow is there]",
)
vacuum_option = click.option(
    "--vacuum",
    is_flag=False,
    flag_value="always",
    type=click.Choice(["auto", "always", "never"]),
    metavar="[=auto|always]",
    help="Give the disk space back afterwards; auto: only if it is over 64 MB and a quarter of the file.",
)
"""None where nobody says so."""
shard_option = click.option(
    "--shard",
    type=ShardType(),
    metavar="I/N",
    help="Only the I-th of N parts of the rows; N processes, wherever they run, do the whole.",
)
session_option = click.option(
    "--session", "sessions", multiple=True, metavar="ID", help="Only this session; may be repeated."
)


def standard_options(function: _Function) -> _Function:
    """What every command takes: --db, --store, --cache-size, --config, --json, -q and -v."""
    return _db_option(_store_option(_cache_option(_common_options(function))))


def unread_options(function: _Function) -> _Function:
    """The same, with `store` and `cache_size` as they were written: what they mean may be wrong."""
    store = click.option("--store", metavar="PATH_OR_URL", help="As of any other command.")
    size = click.option("--cache-size", metavar="SIZE", help="As of any other command.")
    return _db_option(store(size(_common_options(function))))


def _common_options(function: _Function) -> _Function:
    quiet = click.option("-q", "--quiet", is_flag=True, help="Errors and warnings only.")
    verbose = click.option("-v", "--verbose", is_flag=True, help="Every problem, row by row.")
    return _config_option(_json_option(quiet(verbose(function))))


def mirror_place(option: str, said: str | None) -> config.Place:
    """The mirror that an option says, or else the configuration. Raises `UsageError` if nobody does."""
    if said is not None:
        if not said.strip():
            raise UsageError(f"{option} is empty")
        return config.Place(said, option)
    settings = config.settings(strict=False)
    if settings.mirror_place is None:
        unknown = UsageError(
            "no mirror is known", hint=f"{option} names one, or OCBLOB_MIRROR, or the key mirror of the config file"
        )
        raise next(iter(settings.problems), unknown)
    return settings.mirror_place


def scope_of(
    sessions: tuple[str, ...],
    *,
    min_age_s: float | None = None,
    keep_newest: int = 0,
    shard: tuple[int, int] | None = None,
) -> Callable[[HostProfile], Scope]:
    """The rows that the options mean, once the host is known."""
    for session in sessions:
        if not session.isprintable():
            raise UsageError(f"--session {session!r} is no id")
    before = None if min_age_s is None else int((time.time() - min_age_s) * 1000)
    return lambda profile: Scope(sessions, before, keep_newest, profile.session_table, shard=shard)


def print_json(value: Any, **more: Any) -> None:
    """One object on stdout; `more` stands beside its fields, or in their place."""
    click.echo(json.dumps(_plain(value) | _plain(more), indent=2, default=str))


def _plain(value: Any) -> Any:
    """Values as JSON has them; what a report can tell by its properties is in it too."""
    if is_dataclass(value) and not isinstance(value, type):
        # What is not for people's eyes has no place in a `repr` either: a URL with its password.
        told = [item.name for item in fields(value) if item.repr]
        kinds = reversed(type(value).__mro__)
        told += [name for kind in kinds for name, item in vars(kind).items() if isinstance(item, property)]
        return {name: _plain(getattr(value, name)) for name in told}
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def printable(text: str) -> str:
    """Text out of rows, as a terminal can show it: whatever was stored there."""
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)
    return shown.encode("utf-8", "replace").decode("utf-8")


def print_table(head: Sequence[str], rows: Iterable[Sequence[str]], *, numbers: Collection[str]) -> None:
    """Lines of columns on stdout, those of `numbers` set to the right."""
    table = [head, *(tuple(map(printable, row)) for row in rows)]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    for row in table:
        cells = [
            cell.rjust(width) if name in numbers else cell.ljust(width)
            for name, cell, width in zip(head, row, widths, strict=True)
        ]
        click.echo("  " + "  ".join(cells).rstrip())


def sayer(*, quiet: bool) -> Callable[[str], None]:
    """Words for people on stderr."""
    return (lambda _: None) if quiet else (lambda text: click.echo(text, err=True))


def asker(*, yes: bool) -> Callable[[str], bool]:
    """A question for people: yes by option, by answer on a terminal, else no."""
    return lambda question: yes or (sys.stdin.isatty() and click.confirm(question, err=True))


def print_warnings(warnings: Iterable[str]) -> None:
    """What people are told whether they asked for words or not."""
    for warning in warnings:
        click.echo(f"Warning: {warning}", err=True)


def print_problems(problems: list[str], total: int, *, verbose: bool) -> None:
    """What went wrong with rows; the first few, unless all are asked for."""
    shown = problems if verbose else problems[:5]
    for problem in shown:
        click.echo(f"  {problem}", err=True)
    if total > len(shown):
        more = "-v shows more" if len(problems) > len(shown) else "and so on"
        click.echo(f"  ... and {total - len(shown)} more ({more})", err=True)


@contextlib.contextmanager
def byte_bar(label: str, total: int, *, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar over a known number of bytes; on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield lambda _: None
        return
    with _bar() as bar:
        task = bar.add_task(label, total=total)
        yield lambda size: bar.advance(task, size)


@contextlib.contextmanager
def progress_bar(
    label: str, *, quiet: bool
) -> Iterator[Callable[[Database, tuple[Column, ...], int, Scope], Callable[[int], None]]]:
    """A bar over the bytes of the cells to look at; on a terminal only."""
    if quiet or not sys.stderr.isatty():
        yield lambda *_: lambda _: None
        return
    with _bar() as bar:

        def start(
            database: Database, cells: tuple[Column, ...], larger_than: int, scope: Scope
        ) -> Callable[[int], None]:
            total = sum(measured(database, column, larger_than=larger_than, scope=scope)[1] for column in cells)
            task = bar.add_task(label, total=total)
            return lambda size: bar.advance(task, size)

        yield start


def _bar() -> "Progress":
    from rich.console import Console  # noqa: PLC0415 - costs time that only a terminal is worth
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn  # noqa: PLC0415

    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)
