"""`ocblob watch`: maintenance passes in a loop, in the foreground."""

import time
from collections.abc import Callable
from typing import Any

import click

from ocblob import config
from ocblob.cli.main import EXIT_DONE, EXIT_ERROR, EXIT_SIZE_WARNING, complain, exit_code
from ocblob.cli.maintain import command as maintain_command
from ocblob.cli.maintain import maintain_options
from ocblob.cli.options import AgeType, sayer
from ocblob.cli.retention_options import Retention
from ocblob.databases.addresses import Address
from ocblob.databases.disk import activity
from ocblob.errors import DatabaseError, OcblobError, UsageError
from ocblob.watching import (
    LOOK_AT_SERVER_S,
    LOOK_S,
    Fingerprint,
    Terminated,
    Watch,
    end_on_sigterm,
    look_at,
    watch,
)

_WORDS = "ocblob.words"
_EVERY = "--every"


class _Remembering(click.Command):
    """Keeps the words of the command line: each pass is told them anew, and reads the configuration as it is then."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = tuple(args)
        return super().parse_args(ctx, args)


@click.command(cls=_Remembering)
@click.option(
    _EVERY, "every_s", type=AgeType(), default="15m", show_default=True, metavar="AGE",
    help="The time between two passes; one that finds nothing changed is left out.",
)  # fmt: skip
@maintain_options
@click.pass_context
def command(
    ctx: click.Context,
    /,
    *,
    every_s: float,
    db: str | None,
    quiet: bool,
    retention: Retention,
    **options: Any,
) -> None:
    """Run `maintain` again and again: at once, and then whenever the database has changed.

    Wakes early when the database or its WAL changed and then rested for some seconds; not sooner than a minute after
    the last pass. A server is asked for its counters of changes. Nothing changed, nothing is done, but once a day.
    Ends on Ctrl-C and SIGTERM; what was done stays. All other options are those of `maintain`.
    """
    del options
    Watch(every_s)
    archive = retention.settings.archive
    if archive is not None and retention.settings.source("archive") == "--archive" and not archive.is_dir():
        raise UsageError(f"--archive {archive}: each pass writes an archive of its own; name a directory that is there")
    place = config.plugin_database(db)
    address = config.database_address(place)
    words = [*_without_every(ctx.meta[_WORDS]), "--db", place.url]
    # Somebody may look on when it begins; what is said then is not said every quarter of an hour.
    later: list[str] = []
    why: list[str] = []

    def one_pass() -> bool:
        complete = _run_pass([*words, *later])
        later[:] = ["--scheduled"]
        return complete

    say = sayer(quiet=quiet)
    say(f"watching {place.shown}")
    restore = end_on_sigterm()
    try:
        watch(
            one_pass,
            _looker(address, why),
            every_s=every_s,
            clock=_clock(),
            sleep=time.sleep,
            absent=lambda: say(f"{why[-1] if why else f'{place.shown} is not there'}; waiting for it"),
            look_s=LOOK_S if address.path else LOOK_AT_SERVER_S,
        )
    except Terminated:
        say("ended by SIGTERM; what was done stays")
        ctx.exit(EXIT_DONE)
    finally:
        restore()


def _without_every(words: tuple[str, ...]) -> list[str]:
    """The words that are the pass's."""
    kept: list[str] = []
    left_out = False
    for word in words:
        if left_out or word == _EVERY or word.startswith(f"{_EVERY}="):
            left_out = word == _EVERY and not left_out
        else:
            kept.append(word)
    return kept


def _run_pass(words: list[str]) -> bool:
    """One pass; whether it did all there was to do. What goes wrong is told, and the loop goes on."""
    try:
        # Not `main`: that would make another exception of SIGTERM's.
        with maintain_command.make_context("ocblob maintain", list(words)) as ctx:
            maintain_command.invoke(ctx)
        code = EXIT_DONE
    except click.exceptions.Exit as ended:
        code = ended.exit_code
    except OcblobError as error:
        complain(str(error), error.hint)
        code = exit_code(error)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except OSError as error:
        complain(f"{error.filename or 'the pass'}: {error.strerror}")
        code = EXIT_ERROR
    return code in {EXIT_DONE, EXIT_SIZE_WARNING}


def _looker(address: Address, why: list[str]) -> Callable[[], Fingerprint]:
    """Looks at the database, its WAL, and the files of configuration that are read now.

    `why` is what a server that is not to be had says.
    """
    files = config.files_read()
    path = address.path
    if path is None:
        return lambda: (_activity(address, why), *look_at(files))

    def look() -> Fingerprint:
        # Of a link SQLite keeps the WAL where the file is; and it may come to lead elsewhere.
        wal = path.resolve()
        return look_at((path, wal.with_name(f"{wal.name}-wal"), *files))

    return look


def _activity(address: Address, why: list[str]) -> tuple[int, int, int] | None:
    try:
        return activity(address)
    except DatabaseError as error:
        why[:] = [str(error)]
        return None


def _clock() -> Callable[[], float]:
    """Goes on while the machine sleeps, where the system has such a clock."""
    boot = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic if boot is None else lambda: time.clock_gettime(boot)
